"""Arrays that belong to a noun: nobody can write into them, and no memory of the caller's shows through."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["frozen", "owned"]


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same array, read-only from now on: for one that was just made, so that :func:`owned` need not copy it."""
    array.flags.writeable = False
    return array


def owned(values: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The values as a contiguous, read-only array; copied where the caller could still write into their memory.

    What cannot be written (an Arrow buffer, a file mapped for reading, the arrays of another noun) is not copied.
    """
    array = np.ascontiguousarray(values, dtype=dtype)
    made_here = isinstance(values, np.ndarray) and not np.may_share_memory(array, values)
    if not made_here and _writable(array):
        array = array.copy()
    return frozen(array if array.flags.owndata else array.view())


def _writable(array: npt.NDArray[Any]) -> bool:
    """Whether anybody can write into this memory: through the array, or through one that it is a view of."""
    seen: Any = array
    while isinstance(seen, np.ndarray):
        if seen.flags.writeable:
            return True
        seen = seen.base
    return False
