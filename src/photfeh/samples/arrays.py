"""Arrays on the disk: their space is claimed before they are filled, their shape is checked before they are read."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from photfeh.core.errors import BadFile

__all__ = ["allocate", "read_array"]

_BLOCK = 1 << 20
_UNREADABLE = (
    *(OSError, ValueError, TypeError, SyntaxError, EOFError, OverflowError, RecursionError),
    zipfile.BadZipFile,
)


def read_array(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A memory map of an array whose shape and kind are known."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (
        OSError,
        ValueError,
        TypeError,
        SyntaxError,
        EOFError,
        OverflowError,
        RecursionError,
        zipfile.BadZipFile,
    ) as error:
        said = str(error).splitlines() or [type(error).__name__]
        raise BadFile(f"{path} cannot be read ({said[0].rstrip('.')}); prepare the data set again.") from error
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != np.dtype(dtype):
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "no single array"
        raise BadFile(f"{path} holds {found}, not {np.dtype(dtype)} {shape}; prepare the data set again.")
    return array


def allocate(path: Path) -> None:
    """Claim the disk space of a sparse file now: a full disk is an error here, and a killed process on later access."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        for begin in range(0, size, _BLOCK):
            # the same bytes written back: what is sparse becomes zeros on the disk
            file.seek(begin)
            block = file.read(_BLOCK)
            file.seek(begin)
            file.write(block)
