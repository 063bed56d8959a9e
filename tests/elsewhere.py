"""A script: measure and predict here, then in other threads or processes, and compare to the last bit.

``python elsewhere.py WAY`` prints "same" where everything agrees. Run by test_threads, which gives it a time limit: a
process that hangs must fail a test, not stop it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import torch

import photfeh as pf
from photfeh.core.threads import limited, number_of_threads
from photfeh.samples.measure import measure
from photfeh.simulation.survey import simulate

STARS, SHARES = 60, 2


_MADE = []  # and no functools.cache: joblib cannot send such a function of a script to its workers


def simulated():
    """Made before any thread: OpenBLAS, which draws it, hangs where a process is forked in the middle of its work."""
    if not _MADE:
        _MADE.append(simulate(STARS, seed=11))
    return _MADE[0]


def answer(share):
    """Everything that is compared, of every other star, as bytes: one part searches periods, too."""
    survey = simulated()
    curves, stars = survey.curves[share::SHARES], survey.stars.iloc[share::SHARES].reset_index(drop=True)
    measured = measure(curves, stars)
    searched = measure(curves[:2], stars.iloc[:2], periods="check").table
    tables = [measured.table, searched]
    tables += [pf.load(name).predict(curves, stars) for name in ("default", "gru")]
    numbers = b"".join(table.select_dtypes("number").to_numpy("float64").tobytes() for table in tables)
    return numbers + measured.harmonics.tobytes() + measured.curves.time.tobytes()


def in_processes(method):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        return list(pool.map(answer, range(SHARES)))


def in_bare_fork():
    """os.fork with nothing around it, as some servers do."""
    answers = []
    for share in range(SHARES):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(answer(share))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answers.append(pipe.read())
        assert os.waitpid(child, 0)[1] == 0
    return answers


def in_forks_of_threads():
    """Two threads that each fork while the other measures."""
    with ThreadPoolExecutor(2) as pool:
        busy = pool.submit(answer, 0)
        answers = in_processes("fork")
        busy.result()
    return answers


def in_limited_threads():
    def one(share):
        with limited(1 + share % 3):
            assert number_of_threads() == 1 + share % 3
            return answer(share)

    before = torch.get_num_threads()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(one, range(SHARES)))
    assert torch.get_num_threads() == before
    return answers


def in_threads():
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(answer, range(SHARES)))


def in_joblib():
    import joblib

    return joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(answer)(share) for share in range(SHARES))


def in_dask():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        return client.gather(client.map(answer, range(SHARES)))


WAYS = {
    "fork": lambda: in_processes("fork"),
    "spawn": lambda: in_processes("spawn"),
    "forkserver": lambda: in_processes("forkserver"),
    "bare-fork": in_bare_fork,
    "fork-of-threads": in_forks_of_threads,
    "threads": in_threads,
    "limited-threads": in_limited_threads,
    "joblib": in_joblib,
    "dask": in_dask,
}

if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # Python's own, of forks beside threads
    torch.set_num_threads(2)
    torch.ones(400, 400) @ torch.ones(400, 400)
    torch.rand(200_000).exp().sum()  # OpenMP has threads now, which a fork will not find
    here = [answer(share) for share in range(SHARES)]
    sys.stdout.write("same\n" if WAYS[sys.argv[1]]() == here else "different\n")
