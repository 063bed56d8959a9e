"""For some time (FUZZ_SECONDS, a quarter of a minute by default): damage everything that photfeh reads, over and over.

Every reader of light curves and star tables with the seeds of test_fuzz_readers, text made up by hypothesis, and
folders of models, data sets and runs. Allowed are our own errors, in one line, or an answer; a folder of a model or
run must answer as if it were whole. A call that takes a minute, or memory beyond a bound, fails. ``make fuzz`` runs it
for ten minutes; a failure names the seed with which it comes again.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from damaged_folders import ASK, check_message, edit, flip, seal
from photfeh.core.errors import PhotfehError
from photfeh.inference.training import train
from photfeh.samples.preparation import prepare
from photfeh.simulation.survey import simulate
from photfeh.validation.cross_validate import validate
from test_fuzz_readers import SEEDS, damage, try_all

SECONDS = float(os.environ.get("FUZZ_SECONDS", "15"))
FIRST = int(os.environ.get("FUZZ_SEED", str(int(time.time()))))
MODELS = {
    "ridge-fourier": {"degree": 1},
    "gru": {"epochs": 1, "units": (4,), "dropout": (0.1,)},
    "random-forest": {"n_trees": 5},
    "gradient-boosting": {"n_trees": 5, "n_folds": 2},
    "svr": {"C": 1.0, "gamma": 0.2},
    "minirocket": {"n_features": 84},
}
_MOST_SECONDS = 60
_MOST_MEMORY = 2_500_000  # kB beyond what the first round has taken


@contextmanager
def no_hang() -> Iterator[None]:
    def ring(*arguments: object) -> None:
        raise TimeoutError(f"nothing within {_MOST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(_MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def reader(name: str, place: Path) -> Callable[[random.Random], None]:
    def run(draw: random.Random) -> None:
        path = place / name
        path.write_bytes(damage(SEEDS[name], draw))
        try_all(path)

    return run


def folder(kind: str, whole: Path, place: Path) -> Callable[[random.Random], None]:
    told = ASK[kind](whole)

    def run(draw: random.Random) -> None:
        if kind != "model" or draw.random() < 0.5:
            flip(kind, whole, place, told, draw)
            return
        edit(whole, place, draw)
        seal(place / whole.name)
        try:
            ASK[kind](place / whole.name)
        except PhotfehError as error:
            check_message(error, place / whole.name)

    return run


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[random.Random], None]]:
    made, place = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("damaged")
    survey = simulate(150, seed=5)
    options = {"labels": "column", "cuts": "none", "types": ("RRab", "RRc"), "representations": ("raw", "spline")}
    dataset = prepare(survey.curves, survey.stars, made / "dataset", **options, n_points=32)
    for name, params in MODELS.items():
        train(dataset, made / name, model=name, params=params, folds=2)
    validate(dataset, made / "run", models=("ridge-fourier",), params={"ridge-fourier": {"degree": 1}}, folds=2)
    found = {f"reader {name}": reader(name, place) for name in SEEDS}
    for path in sorted(made.iterdir()):
        kind = path.name if path.name in ASK else "model"
        found[f"{kind} {path.name}"] = folder(kind, path, place)
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_damage_for_some_time(targets, capsys):
    ends, seed, memory = time.monotonic() + 0.9 * SECONDS, FIRST, None
    counts = dict.fromkeys(targets, 0)
    while time.monotonic() < ends:
        for name, run in targets.items():
            if time.monotonic() > ends:
                break
            try:
                with no_hang(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    run(random.Random(f"{name} {seed}"))
            except BaseException as error:
                error.add_note(f"{name}: FUZZ_SEED={seed}")
                raise
            counts[name] += 1
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            memory = used if memory is None or seed == FIRST else memory
            assert used - memory < _MOST_MEMORY, f"{name}: FUZZ_SEED={seed}, {used} kB"
        seed += 1
    with capsys.disabled():
        print(f"\n{sum(counts.values())} damaged inputs of {len(counts)} kinds, seeds {FIRST} to {seed - 1}")  # noqa: T201
    assert min(counts.values()) > 0 or SECONDS < 60


LINES = st.lists(
    st.lists(
        st.one_of(
            st.floats().map(repr), st.integers().map(str), st.text(max_size=8),
            st.sampled_from(["time", "mag", "mag_error", "source_id", "period", "hjd", "-", "99.99", "nan", "#", '"']),
        ),
        min_size=1, max_size=6,
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_text_that_nobody_would_write(tmp_path_factory):
    place, ends = tmp_path_factory.mktemp("text"), time.monotonic() + 0.1 * SECONDS

    @settings(max_examples=int(max(20, 4 * SECONDS)), deadline=None, suppress_health_check=list(HealthCheck))
    @given(LINES, st.sampled_from([",", " ", "\t", "|", ";"]), st.sampled_from(["a.csv", "a.txt", "a.dat", "a.ecsv"]))
    def one(lines: list[list[str]], delimiter: str, name: str) -> None:
        if time.monotonic() > ends:
            return
        path = place / name
        path.write_text("\n".join(delimiter.join(cells) for cells in lines), errors="surrogatepass")
        with no_hang():
            try_all(path)

    one()
    assert np.isfinite(ends)
