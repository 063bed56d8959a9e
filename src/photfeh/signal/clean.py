"""Points that cannot belong to the curve: a first, shape-free cut before any fit."""

from __future__ import annotations

import numpy as np

from photfeh.core.kernels import kernel, over_stars
from photfeh.core.types import BoolArray, FloatArray, IntArray

__all__ = ["plausible_points"]


def plausible_points(
    offsets: IntArray, mag: FloatArray, mag_error: FloatArray, half_range: float = 1.5, max_error: float = 0.5
) -> BoolArray:
    """Where a magnitude is within ``half_range`` [mag] of its star's median and its error below ``max_error``.

    No RR Lyrae star varies by more than about 1.4 mag in G, so such points are blends, wrong matches or artefacts;
    milder outliers are left to the robust fit. Unknown errors (NaN) are accepted. Shape (M,).
    """
    keep = np.zeros(len(mag), np.bool_)
    over_stars(_mark_plausible, len(offsets) - 1, (offsets, mag, mag_error, half_range, max_error), (keep,))
    return keep


@kernel()
def _mark_plausible(
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
            centre = np.median(mag[begin:end])
            for j in range(begin, end):
                keep[j] = abs(mag[j] - centre) <= half_range and not mag_error[j] > max_error
