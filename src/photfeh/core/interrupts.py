"""Ctrl-C where several processes work for one: the parent hears it, says one line and ends the others."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["deaf", "ignore_interrupts"]


@contextmanager
def deaf() -> Iterator[None]:
    """Processes that are started within do not hear Ctrl-C: who starts them does, and must end them.

    A signal that is ignored stays so in a new process; one that is blocked would not do, since Python's tracker of
    shared resources, which starts with the first process, unblocks it. Nothing is done in another thread than the
    main one, which alone may set signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def ignore_interrupts() -> None:
    """For a process that was started later, as the successor of one: it does not hear Ctrl-C from now on."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
