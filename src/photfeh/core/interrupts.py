"""Ctrl-C where several processes work for one: the parent hears it, says one line and ends the others."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["deaf"]


@contextmanager
def deaf() -> Iterator[None]:
    """Processes that are started within do not hear Ctrl-C, now or later: who starts them does, and must end them.

    They inherit the signals that are blocked here, as do threads that start further processes. An interrupt that comes
    meanwhile reaches the caller at the end. Nothing is done on Windows, which has no such inheritance.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
