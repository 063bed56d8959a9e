"""Phases and how they lie: folding on the period, gaps, and the two alignments."""

from __future__ import annotations

from typing import Literal

import numpy as np

from photfeh.core.kernels import over_stars
from photfeh.core.types import Float64, FloatArray, Int64, IntArray
from photfeh.signal._phase_kernels import fill_coverage, fill_gaps

__all__ = ["Alignment", "align_phases", "fold_times", "max_phase_gap", "phase_coverage"]

Alignment = Literal["phi1", "maximum"]


def fold_times(
    offsets: Int64[IntArray, " starts"], time: Float64[FloatArray, " points"], period: Float64[FloatArray, " starts-1"]
) -> Float64[FloatArray, " points"]:
    """Phase of every point, frac((t - t_first) / P), shape (M,), in [0, 1).

    Counting from the star's own first epoch keeps the precision and makes the result independent of the zero point of
    time. ``period`` has shape (N,) [d]; points of stars whose period is not positive get phase 0.
    """
    counts = np.diff(offsets)
    if len(time) == 0:
        return np.zeros(0)
    first = time[np.minimum(offsets[:-1], len(time) - 1)]
    usable = np.where(np.isfinite(period) & (period > 0), period, np.inf)
    cycles = (time - np.repeat(first, counts)) / np.repeat(usable, counts)
    phase = cycles - np.floor(cycles)
    phase[phase >= 1.0] = 0.0
    return np.asarray(phase)


def align_phases(
    offsets: Int64[IntArray, " starts"], phase: Float64[FloatArray, " points"], shift: Float64[FloatArray, " starts-1"]
) -> Float64[FloatArray, " points"]:
    """Add each star's ``shift`` (N,) [cycle] to its phases, modulo 1."""
    moved = phase + np.repeat(np.where(np.isfinite(shift), shift, 0.0), np.diff(offsets))
    moved -= np.floor(moved)
    moved[moved >= 1.0] = 0.0
    return np.asarray(moved)


def max_phase_gap(
    offsets: Int64[IntArray, " starts"], phase: Float64[FloatArray, " points"]
) -> Float64[FloatArray, " starts-1"]:
    """Largest circular interval without a point [cycle], shape (N,); 1 for stars with fewer than two points."""
    gap = np.ones(len(offsets) - 1)
    over_stars(fill_gaps, len(gap), (offsets, phase), (gap,))
    return gap


def phase_coverage(
    offsets: Int64[IntArray, " starts"], phase: Float64[FloatArray, " points"], reach: float = 0.05
) -> Float64[FloatArray, " starts-1"]:
    """Fraction of the cycle that lies within ``reach`` [cycle] of a point, shape (N,); 0 for stars without points."""
    covered = np.zeros(len(offsets) - 1)
    over_stars(fill_coverage, len(covered), (offsets, phase, reach), (covered,))
    return covered
