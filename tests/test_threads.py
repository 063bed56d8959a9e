"""Threads and processes: the same answers to the last bit wherever the work is done, and no hanging or dying child."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from elsewhere import WAYS
from photfeh.core.errors import BadInput
from photfeh.core.kernels import over_stars
from photfeh.core.threads import in_parts, limited, number_of_threads

FORKS = {"fork", "forkserver", "bare-fork", "fork-of-threads"}


QUICK = ("fork",)
"""Ways that are tried in the default run; each starts processes that load everything anew."""


@pytest.mark.parametrize("way", [way if way in QUICK else pytest.param(way, marks=pytest.mark.slow) for way in WAYS])
def test_the_answer_is_the_same_elsewhere(way):
    if way in FORKS and not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    if way == "dask" and importlib.util.find_spec("distributed") is None:
        pytest.skip("needs dask[distributed]: pip install 'photfeh[survey]'")
    script = Path(__file__).with_name("elsewhere.py")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment["NUMBA_NUM_THREADS"] = "3"  # more than one, also on a small machine
    done = subprocess.run(
        [sys.executable, str(script), way], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == "same"


def test_a_limit_reaches_kernels_torch_and_libraries():
    def seen():
        openmp = [pool["num_threads"] for pool in threadpool_info()]
        return number_of_threads(), torch.get_num_threads(), openmp

    before = seen()
    with limited(3):
        assert seen()[:2] == (3, 3)
        with limited(1):
            assert seen() == (1, 1, [1] * len(before[2]))
            with limited(None):
                assert seen()[:2] == (1, 1)
        assert seen()[:2] == (3, 3)
    assert seen() == before
    with pytest.raises(ZeroDivisionError), limited(1):
        raise ZeroDivisionError
    assert seen() == before


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_a_limit_is_a_positive_number(threads):
    with pytest.raises(BadInput, match="whole number, 1 or more"), limited(threads):
        pass


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "6,2"}, 6),
        ({"NUMBA_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"OMP_NUM_THREADS": "many"}, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None),
    ],
)
def test_the_environment_is_obeyed(monkeypatch, environment, expected):
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert number_of_threads() == (expected or os.cpu_count())


@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("least", [1, 30])
def test_parts_cover_everything_once(n, threads, least):
    seen, names = [], set()

    def work(begin, end):
        names.add(threading.current_thread().name)
        seen.extend(range(begin, end))

    in_parts(n, work, threads=threads, least=least)
    assert sorted(seen) == list(range(n))
    assert len(names) <= max(min(threads, n // least), 1)


def test_what_a_part_raises_is_raised_after_all_have_ended():
    ended = []

    def work(begin, end):
        if begin == 0:
            raise KeyError(begin)
        ended.append(end)

    with pytest.raises(KeyError):
        in_parts(8, work, threads=4)
    assert len(ended) == 3
    with pytest.raises(KeyError):
        in_parts(8, lambda begin, end: work(8 - end, 8), threads=4)


def test_kernels_get_contiguous_read_only_inputs_and_may_be_called_from_threads():
    x = np.arange(2000.0)[::2]
    out = np.zeros(1000)

    def double(begin, end, x, factor, out):
        assert x.flags.c_contiguous
        assert not x.flags.writeable
        out[begin:end] = factor * x[begin:end]

    with ThreadPoolExecutor(4) as pool, limited(3):
        list(pool.map(lambda _: over_stars(double, 1000, (x, 2.0), (out,)), range(20)))
    assert (out == 2 * x).all()
    assert x.base.flags.writeable


@pytest.mark.parametrize(("given", "wanted"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_openmp_waits_passively_unless_told_otherwise(given: str | None, wanted: str) -> None:
    """OpenMP itself says what it will do."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_DISPLAY_ENV": "true"} | ({} if given is None else {"OMP_WAIT_POLICY": given})
    done = subprocess.run(
        [sys.executable, "-c", "import photfeh, torch"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    if "OMP_WAIT_POLICY" not in done.stderr:
        pytest.skip("this OpenMP does not tell")
    assert f"OMP_WAIT_POLICY = '{wanted}'" in done.stderr
