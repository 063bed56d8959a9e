"""Points that cannot belong to the curve: a first, shape-free cut before any fit."""

from __future__ import annotations

import numpy as np

from photfeh.core.kernels import over_stars
from photfeh.core.types import Bool, BoolArray, Float64, FloatArray, Int64, IntArray
from photfeh.signal._phase_kernels import mark_plausible

__all__ = ["plausible_points"]


def plausible_points(
    offsets: Int64[IntArray, " starts"],
    mag: Float64[FloatArray, " points"],
    mag_error: Float64[FloatArray, " points"],
    half_range: float = 1.5,
    max_error: float = 0.5,
) -> Bool[BoolArray, " points"]:
    """Where a magnitude is within ``half_range`` [mag] of its star's median and its error below ``max_error``.

    No RR Lyrae star varies by more than about 1.4 mag in G, so such points are blends, wrong matches or artefacts;
    milder outliers are left to the robust fit. Unknown errors (NaN) are accepted. Shape (M,).
    """
    keep = np.zeros(len(mag), np.bool_)
    over_stars(mark_plausible, len(offsets) - 1, (offsets, mag, mag_error, half_range, max_error), (keep,))
    return keep
