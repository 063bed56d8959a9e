"""The loops behind :mod:`photfeh.signal.clean` and :mod:`photfeh.signal.fold`."""

from __future__ import annotations

from photfeh.core.kernels import kernel
from photfeh.core.ranks import median, piece, sort
from photfeh.core.types import BoolArray, FloatArray, IntArray

__all__ = ["fill_coverage", "fill_gaps", "mark_plausible"]


@kernel()
def mark_plausible(
    first: int,
    last: int,
    offsets: IntArray,
    mag: FloatArray,
    mag_error: FloatArray,
    half_range: float,
    max_error: float,
    keep: BoolArray,
) -> None:
    for i in range(first, last):
        begin, end = offsets[i], offsets[i + 1]
        if end > begin:
            centre = median(piece(mag, begin, end))
            for j in range(begin, end):
                keep[j] = abs(mag[j] - centre) <= half_range and not mag_error[j] > max_error


@kernel()
def fill_gaps(first: int, last: int, offsets: IntArray, phase: FloatArray, gap: FloatArray) -> None:
    for i in range(first, last):
        ordered = piece(phase, offsets[i], offsets[i + 1])
        sort(ordered)
        if len(ordered) > 1:
            largest = 1.0 + ordered[0] - ordered[-1]
            for j in range(1, len(ordered)):
                largest = max(largest, ordered[j] - ordered[j - 1])
            gap[i] = largest


@kernel()
def fill_coverage(
    first: int, last: int, offsets: IntArray, phase: FloatArray, reach: float, covered: FloatArray
) -> None:
    for i in range(first, last):
        ordered = piece(phase, offsets[i], offsets[i + 1])
        sort(ordered)
        if len(ordered) > 0:
            total = min(1.0 + ordered[0] - ordered[-1], 2.0 * reach)
            for j in range(1, len(ordered)):
                total += min(ordered[j] - ordered[j - 1], 2.0 * reach)
            covered[i] = total
