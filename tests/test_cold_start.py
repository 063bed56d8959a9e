"""What the first prediction of a process loads and compiles: no more than one star needs."""

import os
import subprocess
import sys

import numpy as np
import pytest

import photfeh as pf
from photfeh.core.ranks import median, rank, sort
from photfeh.inference import ahead

PREDICT = """
import sys
from collections import Counter
from numba.core import event

compiled = Counter()

class Count(event.Listener):
    def on_start(self, event):
        function = event.data["dispatcher"].py_func
        compiled[f"{function.__module__}.{function.__qualname__}"] += 1
    def on_end(self, event):
        pass

event.register("numba:compile", Count())
import photfeh as pf
print(len(pf.predict("star.csv", "stars.csv")))
used = {
    f"{module}.{name}": len(value.signatures)
    for module in [name for name in sys.modules if name.startswith("photfeh.")]
    for name, value in vars(sys.modules[module]).items()
    if hasattr(value, "nopython_signatures") and value.py_func.__module__ == module and value.signatures
}
print(dict(compiled), used, sorted(sys.modules), sep="\\n")
"""
KERNELS = {
    "photfeh.core.kernels._fill_products",
    "photfeh.models.deconvolution._inform",
    "photfeh.models.kernels.circular._read",
    "photfeh.models.kernels.mixtures._fill_posterior",
    "photfeh.models.kernels.ridge_curve._draw",
    "photfeh.models.kernels.ridge_curve._waves",
    "photfeh.signal._fourier_kernels.fit_all",
    "photfeh.signal._fourier_kernels.ridge_all",
    "photfeh.signal._phase_kernels.fill_coverage",
    "photfeh.signal._phase_kernels.fill_gaps",
    "photfeh.signal._phase_kernels.mark_plausible",
}
"""Kernels that Python calls for a clean curve of known period; a noisy one is searched for a second mode, too."""


def predicted(folder, **environment):
    """What a new process compiles, which kernels it calls with how many kinds of arguments, and what it loads."""
    survey = pf.simulate(1, seed=2, rrc_fraction=0.0, noise=0.002)
    star = next(iter(survey.curves))
    rows = np.column_stack([star.time, star.mag, star.mag_error])
    lines = [f"{star.source_id},{t!r},{m!r},{e!r}" for t, m, e in rows.tolist()]
    (folder / "star.csv").write_text("\n".join(["source_id,time,mag,mag_error", *lines]) + "\n")
    survey.stars[["source_id", "period", "type"]].to_csv(folder / "stars.csv", index=False)
    done = subprocess.run(
        [sys.executable, "-c", PREDICT], cwd=folder, env=os.environ | environment,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    n, *told = done.stdout.splitlines()
    assert n == "1"
    compiled, used, loaded = map(eval, told)
    return compiled, used, loaded


def test_one_star_calls_few_kernels_each_of_one_kind_and_loads_neither_torch_nor_scikit_learn(tmp_path):
    predicted(tmp_path)  # else what another process has compiled meanwhile would be named by chance
    compiled, used, loaded = predicted(tmp_path)
    assert used.keys() >= KERNELS
    assert used.keys() - compiled.keys() <= KERNELS  # what these kernels call is named only where it is compiled
    assert set(used.values()) == {1}, used
    assert not {"torch", "sklearn", "scipy.stats", "scipy.optimize", "matplotlib", "optuna", "lsdb"} & set(loaded)


@pytest.mark.slow
def test_a_fresh_environment_compiles_every_kernel_once_and_no_text(tmp_path):
    """A slice that is assigned to a slice compiles the message of its error, four seconds; medians two each."""
    compiled, _, _ = predicted(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "kernels"))
    ours = {name: count for name, count in compiled.items() if name.startswith("photfeh.")}
    assert ours.keys() >= KERNELS
    assert len(ours) <= 40
    # + - * / of lanes are four functions of one name
    assert not {name: count for name, count in ours.items() if count > 1 and not name.endswith("<lambda>")}
    assert not [name for name in compiled if name.startswith(("numba.cpython.unicode", "numba.misc.quicksort"))]
    assert not [name for name in compiled if "median" in name and name not in ours]
    assert sum(compiled.values()) <= 80


@pytest.mark.slow
def test_what_is_compiled_ahead_is_what_the_models_of_a_prediction_call(tmp_path):
    kept = {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    subprocess.run([sys.executable, "-m", "photfeh.inference.ahead"], env=os.environ | kept, check=True, timeout=600)
    compiled, used, _ = predicted(tmp_path, **kept)
    assert used.keys() >= KERNELS
    assert not [name for name in compiled if name.startswith(("photfeh.models.", "photfeh.core.kernels."))]
    assert "photfeh.signal._fourier_kernels.fit_all" in compiled
    assert "photfeh.signal._fourier_kernels.ridge_all" not in compiled


@pytest.mark.parametrize(
    ("model", "nothing", "threads", "started"),
    [(None, True, 2, True), ("ogle-i-band-rrc", True, 2, True), ("a/folder", True, 2, False), (None, False, 2, False),
     (None, True, 1, False)],
)  # fmt: skip
def test_another_process_compiles_only_where_that_helps_and_ends_with_the_prediction(
    monkeypatch, model, nothing, threads, started
):
    children = []

    class Watched(subprocess.Popen):
        def __init__(self, *args, **how):
            super().__init__(*args, **how)
            children.append(self)

    monkeypatch.setattr(ahead.subprocess, "Popen", Watched)
    monkeypatch.setattr(ahead, "nothing_compiled", lambda: nothing)
    monkeypatch.setattr(ahead, "number_of_threads", lambda: threads)
    with ahead.compiled_beside(model):
        assert len(children) == started
    assert all(child.poll() is not None for child in children)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 40, 251])
def test_ranks_are_those_of_numpy(n):
    rng = np.random.default_rng(n)
    for values in (rng.normal(size=n), rng.integers(0, 4, n).astype(float), np.arange(n) / 3, -np.arange(n) / 7):
        ordered = np.sort(values)
        made = values.copy()
        sort(made)
        assert np.array_equal(made, ordered)
        assert median(values.copy()) == np.median(values)
        assert [rank(values.copy(), k) for k in range(n)] == ordered.tolist()
