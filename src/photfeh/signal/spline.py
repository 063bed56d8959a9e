"""Smoothing splines through the folded light curves of many stars: the founding one and a periodic one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from photfeh.core.errors import BadInput, UnknownName
from photfeh.core.kernels import over_stars
from photfeh.core.types import Bool, BoolArray, Float64, FloatArray, IntArray
from photfeh.signal._periodic_spline import periodic_splines
from photfeh.signal.founding.spline import founding_splines

__all__ = ["CRITERIA", "SplineResult", "smooth_founding", "smooth_periodic"]


CRITERIA = ("gcv", "reml")
"""Names of the ways to choose the smoothing parameter of :func:`smooth_periodic`."""


@dataclass(frozen=True, eq=False)
class SplineResult:
    """Smoothed curves of N stars on M grid points each.

    Attributes
    ----------
    x : (N, M) float64
        Phases of the grid; in the founding mode NaN where ``ok`` is false. Read-only where all stars share one grid.
    y : (N, M) float64
        Values [mag]; NaN where ``ok`` is false.
    lam : (N,) float64
        Smoothing parameter of ``sum_i w_i (y_i - f(x_i))^2 + lam int f''^2``, for the weights as given.
    edf : (N,) float64
        Effective degrees of freedom: the trace of the influence matrix.
    ok : (N,) bool
        Whether the star could be fitted.
    """

    x: Float64[FloatArray, "stars steps"]
    y: Float64[FloatArray, "stars steps"]
    lam: Float64[FloatArray, " stars"]
    edf: Float64[FloatArray, " stars"]
    ok: Bool[BoolArray, " stars"]

    def __len__(self) -> int:
        return len(self.ok)


def smooth_founding(
    offsets: npt.ArrayLike,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    grid_points: int = 264,
    *,
    weights: npt.ArrayLike | None = None,
) -> SplineResult:
    """Natural cubic smoothing splines as in the founding pipeline, each from its star's smallest to its largest phase.

    The curve is that of ``scipy.interpolate.make_smoothing_spline(x, y, w)``, found by the same steps: generalised
    cross-validation over ``0 <= lam <= n`` by bounded Brent search. SciPy refuses ties in x; here the points of a tie
    are first merged into their weighted mean with summed weight.

    Where two phases nearly agree (a gap below 1e-3 can be enough), the trace in SciPy's criterion is lost to
    rounding, and the curve hangs on the last digit of the input: about 2 % of real Gaia curves change by 1e-6 to 1 mag
    with the kernel that OpenBLAS picks for the processor, and some become straight lines. This function then
    gives, on any processor, what SciPy gives with AVX-512. :func:`smooth_periodic` has no such weakness.

    Parameters
    ----------
    offsets : (N + 1,) int
        Star ``i`` owns the points ``offsets[i]:offsets[i + 1]``.
    x, y : (points,) float
        Phases and magnitudes, finite. Points that are not in order of x within a star are sorted.
    grid_points : int
        Number of points M of each star's grid ``linspace(min(x), max(x), M)``, at least 2.
    weights : (points,) float, optional
        Not negative; SciPy's ``w``. A point of weight 0 counts as absent. Default: ones.

    Returns
    -------
    SplineResult
        ``ok`` is false for stars of fewer than 5 distinct phases, and where SciPy would find the problem ill-posed.

    Raises
    ------
    BadInput
        if shapes do not match or values are not finite; names the star's row.
    """
    offsets, x, y, w = _checked(offsets, x, y, weights, grid_points)
    stars = len(offsets) - 1
    grid, curve = np.full((stars, grid_points), np.nan), np.full((stars, grid_points), np.nan)
    lam, edf = np.full(stars, np.nan), np.full(stars, np.nan)
    over_stars(founding_splines, stars, (offsets, x, y, w), (grid, curve, lam, edf), least=8)
    return SplineResult(grid, curve, lam, edf, np.isfinite(lam))


def smooth_periodic(
    offsets: npt.ArrayLike,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    grid_points: int = 264,
    *,
    weights: npt.ArrayLike | None = None,
    criterion: Literal["gcv", "reml"] = "gcv",
) -> SplineResult:
    """Cubic smoothing splines of period 1, on the phases k / M, k = 0..M - 1.

    The exact minimiser of ``sum_i w_i (y_i - f(x_i))^2 + lam int_0^1 f''^2`` over functions of period 1: value, first
    and second derivative are continuous everywhere, and no phase is special. ``lam`` minimises generalised
    cross-validation (Craven and Wahba 1979) or the negative restricted likelihood (REML, also called generalised
    maximum likelihood; Wahba 1990, section 4.8). Both count n distinct points: phases within 1e-5 of each
    other are merged into their weighted mean with summed weight, so that splitting a point into copies that share its
    weight changes nothing. Only ratios of weights matter.

    Two guards keep the criterion from collapsing, as it can on few or noisy points. Evenly sampled data keep half of
    harmonic k at ``lam = n (2 pi k)^-4`` (mean weight 1); the search covers 1.5 <= k <= 20, so that a curve
    neither becomes a constant (the first harmonic keeps five sixths) nor follows structure finer than any
    RR Lyrae shows; and it ends where edf reaches 0.8 n, short of interpolation.

    Parameters
    ----------
    offsets : (N + 1,) int
        Star ``i`` owns the points ``offsets[i]:offsets[i + 1]``.
    x, y : (points,) float
        Phases in cycles, taken modulo 1, in any order; magnitudes. Finite.
    grid_points : int
        Number of points M of the grid, at least 2.
    weights : (points,) float, optional
        Not negative, for instance inverse variances. A point of weight 0 counts as absent. Default: ones.
    criterion : {"gcv", "reml"}
        How the smoothing parameter is chosen.

    Returns
    -------
    SplineResult
        ``ok`` is false for stars of fewer than 5 distinct phases.

    Raises
    ------
    BadInput
        if shapes do not match or values are not finite; names the star's row.
    UnknownName
        if the criterion is neither of :data:`CRITERIA`.
    """
    if criterion not in CRITERIA:
        raise UnknownName("criterion", criterion, CRITERIA)
    offsets, x, y, w = _checked(offsets, x, y, weights, grid_points)
    stars = len(offsets) - 1
    curve = np.full((stars, grid_points), np.nan)
    lam, edf = np.full(stars, np.nan), np.full(stars, np.nan)
    over_stars(periodic_splines, stars, (offsets, x, y, w, criterion == "reml"), (curve, lam, edf), least=16)
    grid = np.broadcast_to(np.arange(grid_points) / grid_points, curve.shape)
    return SplineResult(grid, curve, lam, edf, np.isfinite(lam))


def _checked(
    offsets: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike | None, grid_points: int
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """The arrays as the kernels want them; an empty array stands for no weights."""
    if grid_points < 2:
        raise BadInput(f"grid_points must be at least 2, found {grid_points}.")
    starts = np.ascontiguousarray(offsets, dtype=np.int64)
    arrays = {"x": np.ascontiguousarray(x, np.float64), "y": np.ascontiguousarray(y, np.float64)}
    if weights is not None:
        arrays["weights"] = np.ascontiguousarray(weights, np.float64)
    points = arrays["x"].size
    for name, array in arrays.items():
        if array.shape != (points,):
            raise BadInput(f"{name} must have shape ({points},) like x, flat over all stars, found {array.shape}.")
    if starts.ndim != 1 or len(starts) == 0 or starts[0] != 0 or starts[-1] != points or np.any(np.diff(starts) < 0):
        raise BadInput(f"offsets must rise from 0 to the number of points, {points}: one more entry than stars.")
    for name, array in arrays.items():
        bad = ~np.isfinite(array) | (array < 0) if name == "weights" else ~np.isfinite(array)
        if bad.any():
            point = int(np.argmax(bad))
            row = int(np.searchsorted(starts, point, side="right")) - 1
            wrong = "is not finite" if not np.isfinite(array[point]) else "is negative"
            raise BadInput(
                f"star in row {row}: {name} {wrong} at point {point - starts[row]}; drop such points before."
            )
    return starts, arrays["x"], arrays["y"], arrays.get("weights", np.empty(0))
