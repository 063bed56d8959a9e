"""How many threads work at a time, and a pool of our own for the kernels.

The threading layers of numba do not do: the usual one on Linux kills a process that was forked from one that has used
it, the other kills one that calls kernels from two threads at once. A kernel of ours is plain machine code that lets go
of the interpreter's lock and works on a range of stars; the ranges go to threads of Python, which belong to one
process and may be asked from anywhere. What a star gets does not depend on how the stars are shared out.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

from threadpoolctl import threadpool_limits

from photfeh.core.errors import BadInput

__all__ = ["after_fork", "in_parts", "limited", "number_of_threads"]

_chosen: ContextVar[int | None] = ContextVar("photfeh_threads", default=None)
_HOME = os.getpid()


def number_of_threads() -> int:
    """Threads that the kernels use: what :func:`limited` says, else NUMBA_NUM_THREADS or OMP_NUM_THREADS, else cores.

    Cores are those that this process may run on.
    """
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()
        if text.isdigit() and int(text) > 0:
            return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Within this context at most so many threads work: of the kernels, of torch and of the matrix libraries.

    None changes nothing. For the kernels the limit holds in the thread that set it; torch, if it is loaded, and the
    libraries may take it as one for the whole process. No result depends on it.

    Raises
    ------
    BadInput
        if it is no positive number.
    """
    if threads is None:
        yield
        return
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise BadInput(f"threads must be a whole number, 1 or more, found {threads!r}.")
    after_fork()
    outer, token = _chosen.get(), _chosen.set(threads)
    _libraries.enter(threads)
    try:
        yield
    finally:
        _chosen.reset(token)
        _libraries.leave(outer)


class _Libraries:
    """The limits of torch and of the matrix libraries, which the first context notes and every one restores."""

    def __init__(self) -> None:
        self.lock, self.open = threading.Lock(), 0
        self.torch_before: int | None = None
        self.before: Any = None

    def enter(self, threads: int) -> None:
        with self.lock:
            torch = sys.modules.get("torch")
            torch_before = None if torch is None else torch.get_num_threads()  # before OpenMP is told
            before = self._set(threads)
            if not self.open:
                self.before, self.torch_before = before, torch_before
            self.open += 1

    def leave(self, outer: int | None) -> None:
        """Back to the limit of the context around this one, or to what was before all."""
        with self.lock:
            self.open -= 1
            if outer is not None:
                self._set(outer)
                return
            self.before.restore_original_limits()
            if self.torch_before is not None:
                sys.modules["torch"].set_num_threads(self.torch_before)

    @staticmethod
    def _set(threads: int) -> Any:
        threads = 1 if _is_forked() else threads  # see after_fork
        before = threadpool_limits(threads)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        return before


_libraries = _Libraries()


# --- after a fork ---------------------------------------------------------------------------------------------


class _Ready(threading.local):
    process = _HOME


_ready = _Ready()


def _is_forked() -> bool:
    return os.getpid() != _HOME


def after_fork() -> None:
    """Make torch and OpenMP usable in a forked process; to be called before they work.

    The threads of OpenMP do not survive a fork, and it waits for them forever; with one thread there is nothing to
    wait for. Elsewhere nothing changes. The kernels need no such care: their threads are made anew.
    """
    if _ready.process == os.getpid():
        return
    _ready.process = os.getpid()
    threadpool_limits(1, user_api="openmp")
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _forget() -> None:
    """A forked process starts with no threads, no context open, and locks that nobody holds."""
    global _libraries, _pools
    _libraries = _Libraries()
    _dead.append(_pools)  # kept: an executor that is thrown away wakes its threads, which are not there
    _pools = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


# --- the pool -------------------------------------------------------------------------------------------------

_pools: dict[int, ThreadPoolExecutor] = {}
_dead: list[dict[int, ThreadPoolExecutor]] = []


def _submit(threads: int, work: Callable[[int, int], object], begin: int, end: int) -> Future[object]:
    pool = _pools.get(threads)
    if pool is None:
        pool = _pools.setdefault(threads, ThreadPoolExecutor(threads, thread_name_prefix="photfeh"))
    return pool.submit(work, begin, end)


def in_parts(n: int, work: Callable[[int, int], object], *, threads: int | None = None, least: int = 1) -> None:
    """``work(begin, end)`` for ranges that together are 0..n, on several threads; the caller's is one of them.

    ``least``: items that are worth a thread of their own. What one range raises is raised here, after all have ended.
    """
    wanted = number_of_threads() if threads is None else threads
    shares = max(min(wanted, n // least), 1)
    parts = list(pairwise(n * i // shares for i in range(shares + 1)))
    others = [_submit(wanted, work, *part) for part in parts[1:]]
    try:
        work(*parts[0])
    finally:
        failures = [error for error in (other.exception() for other in others) if error is not None]
    if failures:
        raise failures[0]
