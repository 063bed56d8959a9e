"""Order statistics for kernels, plain loops: those of numba take seconds to compile, once for every type of array.

All work in place on float64 that may be written, so that each is compiled once.
"""

from __future__ import annotations

import numpy as np

from photfeh.core.kernels import kernel
from photfeh.core.types import FloatArray

__all__ = ["median", "piece", "rank", "sort"]


@kernel()
def piece(values: FloatArray, begin: int, end: int) -> FloatArray:
    """A copy of values[begin:end] that may be written."""
    out = np.empty(end - begin)
    for i in range(end - begin):
        out[i] = values[begin + i]
    return out


@kernel()
def sort(values: FloatArray) -> None:
    """Shell sort; one pass where the values are in order already."""
    n, gap, i = len(values), 1, 1
    while i < n and values[i] >= values[i - 1]:
        i += 1
    if i >= n:
        return
    while gap < n // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for first in range(gap, n):
            value, j = values[first], first
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                j -= gap
            values[j] = value
        gap //= 3


@kernel()
def rank(values: FloatArray, k: int) -> float:
    """The value that would stand at place k in order; all before it are then no larger, all behind it no smaller.

    Hoare (1961, Communications of the ACM 4, 321) in the form of Wirth.
    """
    low, high = 0, len(values) - 1
    while low < high:
        pivot, i, j = values[k], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if j < k:
            low = i
        if k < i:
            high = j
    return float(values[k])


@kernel()
def median(values: FloatArray) -> float:
    """The middle value, or the mean of both; the order of the values is lost. There must be one at least."""
    half = len(values) // 2
    upper = rank(values, half)
    if len(values) % 2:
        return upper
    lower = values[0]
    for i in range(1, half):
        lower = max(lower, values[i])
    return float((lower + upper) / 2.0)
