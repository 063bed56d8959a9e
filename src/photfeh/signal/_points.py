"""The points of one star made ready for a spline: weighted, sorted, ties merged."""

from __future__ import annotations

import numpy as np

from photfeh.core.kernels import kernel
from photfeh.core.types import FloatArray

__all__ = ["ready_points"]


@kernel()
def ready_points(
    x: FloatArray, y: FloatArray, weights: FloatArray, tolerance: float, periodic: bool
) -> tuple[int, FloatArray]:
    """Number n of distinct points and an array (3, size) whose first n columns hold their x, y, weight in order of x.

    Points of weight 0 are left out. Points that lie within ``tolerance`` of the first of their group become one:
    its x, the weighted mean of y, the summed weight. If ``periodic``, x is taken modulo 1 and the last point of the
    cycle is a neighbour of the first. An empty ``weights`` means ones.
    """
    points = np.empty((3, len(x)))
    kept = 0
    for i in range(len(x)):
        weight = weights[i] if len(weights) else 1.0
        if weight > 0.0:
            place = x[i]
            if periodic:
                place -= np.floor(place)
                if place >= 1.0:  # a tiny negative number rounds up to 1
                    place = 0.0
            points[0, kept], points[1, kept], points[2, kept] = place, y[i], weight
            kept += 1
    _sort(points, kept)
    n = _merge(points, kept, tolerance)
    if periodic and n > 1 and points[0, 0] + 1.0 - points[0, n - 1] <= tolerance:
        _absorb(points, n - 1, points[1, 0], points[2, 0])
        n -= 1
        for i in range(n):
            _copy(points, i + 1, i)
    return n, points


@kernel()
def _sort(points: FloatArray, n: int) -> None:
    """Shell sort by the first row; one pass where the points are in order already."""
    gap = 1
    if not _is_sorted(points, n):
        while gap < n // 3:
            gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            x, y, weight = points[0, i], points[1, i], points[2, i]
            j = i
            while j >= gap and points[0, j - gap] > x:
                _copy(points, j - gap, j)
                j -= gap
            points[0, j], points[1, j], points[2, j] = x, y, weight
        gap //= 3


@kernel()
def _is_sorted(points: FloatArray, n: int) -> bool:
    i = 1
    while i < n and points[0, i] >= points[0, i - 1]:
        i += 1
    return i >= n


@kernel()
def _merge(points: FloatArray, n: int, tolerance: float) -> int:
    """Join the points of every group; returns how many are left."""
    last = 0
    for i in range(1, n):
        if points[0, i] - points[0, last] <= tolerance:
            _absorb(points, last, points[1, i], points[2, i])
        else:
            last += 1
            _copy(points, i, last)
    return min(last + 1, n)


@kernel()
def _absorb(points: FloatArray, i: int, y: float, weight: float) -> None:
    """Add a value to point ``i``; the mean is formed from a difference, so that equal values stay exactly equal."""
    points[2, i] += weight
    points[1, i] += weight / points[2, i] * (y - points[1, i])


@kernel()
def _copy(points: FloatArray, source: int, target: int) -> None:
    for row in range(3):
        points[row, target] = points[row, source]
