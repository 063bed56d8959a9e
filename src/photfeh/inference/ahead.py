"""Compile what a model needs in a second process, while the first one compiles what measuring the curves needs.

The compiler works on one function at a time in a process. Where nothing is compiled yet, as after an installation, two
processes share the work through the cache on the disk.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from photfeh.core.interrupts import deaf
from photfeh.core.kernels import nothing_compiled
from photfeh.core.threads import number_of_threads

__all__ = ["compiled_beside"]

_POINTS = 20


@contextmanager
def compiled_beside(model: str | None) -> Iterator[None]:
    """Within this context another process compiles the kernels of a model of the package, if nothing is compiled.

    A model folder is tried out, and so compiled, when it is loaded. With a single processor nothing would be gained. No
    result depends on whether the other process does its work.
    """
    if number_of_threads() < 2 or not nothing_compiled() or not _of_the_package(model):
        yield
        return
    command = [sys.executable, "-m", __name__, *([] if model is None else [model])]
    with deaf():
        other = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    try:
        yield
    finally:
        other.kill()
        other.wait()


def _of_the_package(model: str | None) -> bool:
    """Whether it is a trained model; the default is known without the packages that opening models takes."""
    if model in (None, "default"):
        return True
    from photfeh.inference.trained import list_trained

    return model in list_trained()


def main() -> None:
    """Let measuring and every part of a model do their work on a star of no survey.

    First what measuring calls last; then the parts of the model in reverse, so that the first process, should it come
    to them, begins with another.
    """
    import numpy as np

    from photfeh.inference.trained import load
    from photfeh.samples.sequences import plain_star
    from photfeh.signal.fourier import regularised_harmonics

    phase = np.arange(_POINTS) / _POINTS
    regularised_harmonics(
        np.array([0, _POINTS]), phase, np.cos(2.0 * np.pi * phase), np.ones(_POINTS), np.array([0.01])
    )
    for ensemble in load(sys.argv[1] if len(sys.argv) > 1 else None).ensembles.values():
        star = plain_star(ensemble.representation)
        for part in reversed(getattr(ensemble.members[0], "parts_", ())):
            part.predict_dist(star)
        ensemble.predict_interval(star)


if __name__ == "__main__":
    main()
