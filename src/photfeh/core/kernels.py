"""What all compiled loops share: one decorator, and a cache on disk that knows the sources of every one of them.

numba keeps a compiled function until the file that holds it changes. A kernel that calls one of another file has that
one compiled in, and so would stay as it was when the other changes. Here all kernels live in a folder that is named by
the digest of all files that hold kernels: an edit of one compiles all of them once more, and the old folder goes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from photfeh.core.threads import in_parts

__all__ = ["cache_folder", "kernel", "nothing_compiled", "over_stars", "row_products", "sources"]

Function = TypeVar("Function", bound=Callable[..., Any])
Array = npt.NDArray[Any]

_log = logging.getLogger("photfeh")
_config: Any = numba.config
_PACKAGE = Path(__file__).parents[1]
_HOLDS_KERNELS = re.compile(rb"^\s*(?:import|from) (?:numba|llvmlite|photfeh\.core\.kernels)\b", re.MULTILINE)


def kernel(**options: Any) -> Callable[[Function], Function]:
    """Compile with numba: cached, without the interpreter's lock, divisions by zero as in numpy.

    ``options`` are further ones of :func:`numba.njit`.
    """

    def decorate(function: Function) -> Function:
        with _caching_in(cache_folder()) as cached:
            compiled = numba.njit(cache=cached, nogil=True, error_model="numpy", **options)(function)
        return cast(Function, compiled)

    return decorate


def over_stars(
    kernel: Callable[..., object], n: int, inputs: Sequence[object], outputs: Sequence[Array] = (), *, least: int = 64
) -> None:
    """Run ``kernel(begin, end, *inputs, *outputs)``, which fills rows begin..end of the outputs, over n stars.

    Ranges of stars go to as many threads as :func:`photfeh.core.threads.number_of_threads` says; fewer than ``least``
    stars are not worth a thread. Kernels see input arrays as contiguous and read-only, whatever they are here, so that
    each is compiled once.
    """
    _say_if_new()
    seen = [_read_only(item) if isinstance(item, np.ndarray) else item for item in inputs]
    in_parts(n, lambda begin, end: kernel(begin, end, *seen, *outputs), least=least)


def _read_only(array: Array) -> Array:
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


# --- the cache ------------------------------------------------------------------------------------------------


def sources() -> list[Path]:
    """The files of this package that hold kernels, or what kernels are made of, in order of their names."""
    return [path for path in sorted(_PACKAGE.rglob("*.py")) if _HOLDS_KERNELS.search(path.read_bytes())]


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Where compiled kernels are kept: the folder of this state of the sources; None where nothing can be written.

    Below NUMBA_CACHE_DIR if that is set, else beside the package, else, for a read-only installation, in the user's
    cache. Folders of earlier states of this package are removed when a new one is made.
    """
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    name = digest.hexdigest()[:16]
    mine = hashlib.sha256(str(_PACKAGE).encode()).hexdigest()[:16]
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photfeh" / mine
    chosen = [Path(_config.CACHE_DIR) / "photfeh" / mine] if _config.CACHE_DIR else [_PACKAGE / "__pycache__", user]
    for parent in (path / "kernels" for path in chosen):
        folder = parent / name
        new = not folder.is_dir()
        if not _writable(folder):
            continue
        if new:
            for old in parent.iterdir():
                if old != folder:
                    shutil.rmtree(old, ignore_errors=True)
        return folder
    return None


def nothing_compiled() -> bool:
    """Whether kernels can be kept, and none is kept yet."""
    folder = cache_folder()
    return folder is not None and not any(folder.rglob("*.nbi"))


@lru_cache(maxsize=1)
def _say_if_new() -> None:
    """Before the first stars of a process: tell that nothing is compiled yet, so that the wait is understood."""
    if cache_folder() is None:
        _log.info(
            "compiling kernels; half a minute, every time: nowhere can they be kept. "
            "Set NUMBA_CACHE_DIR to a folder that can be written."
        )
    elif nothing_compiled():
        _log.info("compiling kernels, once for this installation; half a minute")


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 16))  # a full disk lets files be made, but not be written
    except OSError:
        return False
    return True


@contextmanager
def _caching_in(folder: Path | None) -> Iterator[bool]:
    """Let numba put what is decorated within into this folder; tells whether it will be cached at all."""
    before = _config.CACHE_DIR
    _config.CACHE_DIR = str(folder or "")
    try:
        yield folder is not None
    finally:
        _config.CACHE_DIR = before


# --- sums -----------------------------------------------------------------------------------------------------


def row_products(rows: Array, weights: Array) -> Array:
    """Rows @ weights, (N, F), (F,) -> (N,), each row summed by itself and in one order, in float64.

    What the matrix libraries give for a row depends in its last bits on how many others there are.
    """
    if weights.shape != rows.shape[1:]:
        raise ValueError(f"rows of {rows.shape[1:]} numbers cannot be multiplied by {weights.shape} weights")
    out = np.empty(len(rows))
    over_stars(_fill_products, len(rows), (rows, weights), (out,))
    return out


@kernel()
def _fill_products(first: int, last: int, rows: Array, weights: Array, out: Array) -> None:
    for i in range(first, last):
        total = 0.0
        for j in range(rows.shape[1]):
            total += rows[i, j] * weights[j]
        out[i] = total
