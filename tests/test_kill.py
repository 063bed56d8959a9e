"""kill -9 at random moments, then the same command again: bit for bit as if nothing had happened, nothing left behind.

No test waits for a clock: each waits for a state on the disk (so many finished parts, or one half written) and kills.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from photfeh.inference.ensemble import Ensemble
from photfeh.samples.dataset import Dataset
from photfeh.simulation.survey import write_simulation
from photfeh.validation.run import Run

PATIENCE = 240.0  # seconds after which a child that does nothing is a failure
START = "import photfeh.models.loop as loop; loop.CHECKPOINT_SECONDS = 0.0\nimport photfeh as pf\n"
SET = "labels='column', cuts='none', types=('RRab', 'RRc'), representations=('raw', 'spline'), stars_per_chunk=25"
CALLS = {
    "prepare": "pf.prepare({epochs!r}, {stars!r}, {output!r}, " + SET + ")",
    "predict": "pf.predict({epochs!r}, {stars!r}, output={output!r} + '.parquet', model='gru', stars_per_chunk=25)",
    "validate": "pf.validate({dataset!r}, {output!r}, models=('ridge-fourier', 'gru'), folds=4, jobs={jobs},"
    " params={{'gru': {{'epochs': 3}}}})",
    "train": "pf.train({dataset!r}, {output!r}, model='gru', params={{'epochs': 3}}, folds=4)",
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory, dataset: Dataset) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("killed")
    write_simulation(250, folder / "survey", seed=3)
    survey = folder / "survey"
    return {
        "epochs": str(survey / "epochs.parquet"), "stars": str(survey / "stars.parquet"), "dataset": str(dataset.folder)
    }  # fmt: skip


def start(verb: str, **values: object) -> subprocess.Popen[str]:
    code = START + CALLS[verb].format(**values)
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, start_new_session=True)


def parts_of(output: Path) -> Path:
    return output / "parts" if output.suffix != ".parquet" else output.with_name(output.name + ".parts")


def wait_for(state: Callable[[], bool], child: subprocess.Popen[str]) -> bool:
    """Whether the state came before the child ended."""
    deadline = time.monotonic() + PATIENCE
    while child.poll() is None:
        if state():
            return True
        assert time.monotonic() < deadline, "the child does nothing"
        time.sleep(0.001)
    return False


def killed_until_done(verb: str, place: Path, kills: int, rng: random.Random, **values: object) -> int:
    """Kill a command up to ``kills`` times in states drawn at random, then let it end; how often it was killed."""
    folder, done = parts_of(place), 0
    while done < kills:
        finished = len(list(folder.glob("[!.]*.*")))
        wanted = finished + rng.choice((0, 1, 1, 2))
        kind = rng.choice(("parts", "half", "state"))

        def state(kind: str = kind, wanted: int = wanted) -> bool:
            if kind == "half" and list(folder.glob(".*.new")):
                return True
            if kind == "state" and list(folder.glob("*.work/*")):
                return True
            return folder.is_dir() and len(list(folder.glob("[!.]*.*"))) > wanted

        child = start(verb, **values)
        if not wait_for(state, child):
            with child.stderr as told:
                assert child.returncode == 0, told.read()
            return done
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stderr.close()
        done += 1
    child = start(verb, **values)
    told = child.communicate(timeout=PATIENCE)[1]
    assert child.returncode == 0, told
    return done


def content(verb: str, output: Path) -> list[pd.DataFrame | np.ndarray | str]:
    """All that a command has made, but for what tells the time."""
    if verb == "predict":
        return [pd.read_parquet(output)]
    if verb == "prepare":
        made = Dataset.open(output)
        arrays = [getattr(made.sequences(kind), name) for kind in ("raw", "spline") for name in ("values", "mask")]
        return [made.stars, made.sequences("raw").features, *arrays]
    if verb == "train":
        return [Ensemble.load(output).fingerprint()]
    run = Run.open(output)
    return [run.out_of_fold, run.history.drop(columns="seconds"), run.metrics]


def check(verb: str, paths: dict[str, str], tmp_path: Path, kills: int, jobs: int, seed: int) -> int:
    suffix = ".parquet" if verb == "predict" else ""
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    values = paths | {"jobs": jobs}
    done = killed_until_done(verb, cut.with_suffix(suffix), kills, random.Random(seed), **values, output=str(cut))
    child = start(verb, **values, output=str(whole))
    assert child.communicate(timeout=PATIENCE)[1] is not None
    assert child.returncode == 0
    assert done >= 1
    for one, two in zip(content(verb, cut.with_suffix(suffix)), content(verb, whole.with_suffix(suffix)), strict=True):
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, two, check_exact=True)
        elif isinstance(one, np.ndarray):
            assert np.array_equal(one, two, equal_nan=True)
        else:
            assert one == two
    names = {path.relative_to(whole.parent).as_posix().replace("whole", "cut", 1) for path in _files(whole, suffix)}
    assert {path.relative_to(cut.parent).as_posix() for path in _files(cut, suffix)} == names
    return done


def _files(output: Path, suffix: str) -> list[Path]:
    """All files of an output, those of its parts too."""
    beside = [path for path in output.parent.glob(f"{output.name}{suffix}*") if path.is_file()]
    return beside + [path for path in output.parent.glob(f"{output.name}*/**/*") if path.is_file()]


@pytest.mark.parametrize("verb", ["prepare", "predict", "train"])
def test_killed_and_called_again(verb, paths, tmp_path):
    check(verb, paths, tmp_path, kills=1 if verb == "train" else 2, jobs=1, seed=1)


def test_a_killed_validation_with_two_jobs(paths, tmp_path):
    check("validate", paths, tmp_path, kills=1, jobs=2, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "jobs"), [(verb, 1) for verb in CALLS] + [("validate", 2)])
def test_killed_twenty_times(verb, jobs, paths, tmp_path):
    total = seed = 0
    while total < 20:
        (tmp_path / str(seed)).mkdir()
        total += check(verb, paths, tmp_path / str(seed), kills=20 - total, jobs=jobs, seed=seed)
        seed += 1
