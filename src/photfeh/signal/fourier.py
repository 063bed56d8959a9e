"""Robust weighted Fourier decomposition of folded light curves, all stars at once.

Model, cosine series: m(phase) = zp + sum_k A_k cos(2 pi k phase + phi_k), k = 1..K, fitted as
zp + sum_k a_k cos(2 pi k phase) + b_k sin(2 pi k phase) with A_k = hypot(a_k, b_k), phi_k = atan2(-b_k, a_k).

One normal matrix of the highest order serves every lower order: the leading block of its Cholesky factor is the factor
of the leading block, so the residual sums of squares of orders 1..K_max cost one factorisation. The order minimises
the Bayesian information criterion among those that the sampling can support. Iteratively re-weighted least squares
(Huber, then Tukey's biweight; Holland & Welsch 1977) keeps outliers from steering the fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photfeh.core.kernels import over_stars
from photfeh.core.types import Bool, BoolArray, Float64, FloatArray, Int64, IntArray
from photfeh.signal._fourier_kernels import MIN_POINTS, fit_all, ridge_all

__all__ = ["MIN_POINTS", "FourierFit", "evaluate_series", "fit_fourier", "regularised_harmonics"]


MAX_ORDER = 10
_SIZE = 2 * MAX_ORDER + 1


@dataclass(frozen=True, eq=False)
class FourierFit:
    """Result of :func:`fit_fourier` for N stars; rows of stars that could not be fitted are NaN (order 0).

    ``coefficients`` (N, 21): zp, a_1, b_1, a_2, b_2, ... [mag], zero beyond ``order`` (N,).
    ``covariance`` (N, 7, 7): of zp and the first three harmonics, with Student's factor for few points and the
    leakage of the harmonics left out, so that errors cover 68 %. ``point_weight`` (M,): final robust weight of each
    point in [0, 1]. ``scatter`` (N,) [mag]: robust standard deviation of the residuals. ``n_rejected`` (N,): points
    with weight below 0.1. ``max_phase`` (N,) [cycle]: phase of maximum light. ``peak_to_peak`` (N,) [mag].
    """

    order: Int64[IntArray, " stars"]
    coefficients: Float64[FloatArray, "stars 21"]
    covariance: Float64[FloatArray, "stars 7 7"]
    scatter: Float64[FloatArray, " stars"]
    n_rejected: Int64[IntArray, " stars"]
    peak_to_peak: Float64[FloatArray, " stars"]
    max_phase: Float64[FloatArray, " stars"]
    point_weight: Float64[FloatArray, " points"]

    @property
    def ok(self) -> Bool[BoolArray, " stars"]:
        """Which stars were fitted, shape (N,)."""
        return self.order > 0

    def amplitude(self, k: int) -> Float64[FloatArray, " stars"]:
        """A_k [mag], shape (N,); NaN where the fitted order is below ``k``."""
        a, b = self._pair(k)
        return np.asarray(np.hypot(a, b))

    def phase(self, k: int) -> Float64[FloatArray, " stars"]:
        """phi_k [rad] of the cosine series, in (-pi, pi], shape (N,)."""
        a, b = self._pair(k)
        return np.arctan2(-b, a)

    def amplitude_error(self, k: int) -> Float64[FloatArray, " stars"]:
        """Error of A_k [mag], first-order propagation of the covariance; k <= 3."""
        return self._propagate(self._amplitude_gradient(k))

    def ratio(self, k: int) -> tuple[FloatArray, FloatArray]:
        """R_k1 = A_k / A_1 and its standard error; k = 2, 3."""
        value = self.amplitude(k) / self.amplitude(1)
        gradient = (self._amplitude_gradient(k) - value[:, None] * self._amplitude_gradient(1)) / self.amplitude(1)[
            :, None
        ]
        return value, self._propagate(gradient)

    def phase_difference(self, k: int) -> tuple[FloatArray, FloatArray]:
        """phi_k1 = phi_k - k phi_1 in [0, 2 pi) and its error [rad]; k = 2, 3. Simon & Lee (1981).

        The error is arcsin(s), with s from first-order propagation: a Gaussian vector of length A and error sA lies
        within s A of its true *direction* in 68 % of cases, that is, within arcsin(s) of its true phase. From s = 1 on,
        where the phase is as good as unknown, it rises as s pi / 2.
        """
        value = np.mod(self.phase(k) - k * self.phase(1), 2 * np.pi)
        error = self._propagate(self._phase_gradient(k) - k * self._phase_gradient(1))
        return value, np.where(error < 1.0, np.arcsin(np.minimum(error, 1.0)), error * np.pi / 2)

    def _pair(self, k: int) -> tuple[FloatArray, FloatArray]:
        missing = self.order < k
        pair = [np.where(missing, np.nan, self.coefficients[:, 2 * k - 1 + j]) for j in (0, 1)]
        return pair[0], pair[1]

    def _amplitude_gradient(self, k: int) -> FloatArray:
        a, b = self._pair(k)
        gradient = np.zeros((len(self.order), 7))
        size = np.hypot(a, b)
        gradient[:, 2 * k - 1], gradient[:, 2 * k] = a / size, b / size
        return gradient

    def _phase_gradient(self, k: int) -> FloatArray:
        a, b = self._pair(k)
        gradient = np.zeros((len(self.order), 7))
        size2 = a**2 + b**2
        gradient[:, 2 * k - 1], gradient[:, 2 * k] = b / size2, -a / size2
        return gradient

    def _propagate(self, gradient: FloatArray) -> FloatArray:
        variance = np.einsum("ni,nij,nj->n", gradient, self.covariance, gradient)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def fit_fourier(
    offsets: Int64[IntArray, " starts"],
    phase: Float64[FloatArray, " points"],
    mag: Float64[FloatArray, " points"],
    mag_error: Float64[FloatArray, " points"],
    *,
    max_order: int = MAX_ORDER,
) -> FourierFit:
    """Decompose folded light curves of N stars.

    Parameters
    ----------
    offsets : (N + 1,) int64
        Points of star ``i`` are ``offsets[i]:offsets[i + 1]``.
    phase, mag, mag_error : (M,) float64
        Phases in [0, 1), magnitudes [mag], standard errors [mag] (NaN: unknown, equal weights within the star).
    max_order : int
        Highest order tried, 1..10. Fewer points or wide gaps lower it.
    """
    n = len(offsets) - 1
    weight = np.zeros(len(phase))
    out = (
        np.zeros(n, np.int64),
        np.full((n, _SIZE), np.nan),
        np.full((n, 7, 7), np.nan),
        np.full((n, 4), np.nan),
        weight,
    )
    over_stars(fit_all, n, (offsets, phase, mag, mag_error, min(max_order, MAX_ORDER)), out, least=32)
    order, coefficients, covariance, summary, weight = out
    rejected = np.where(order > 0, summary[:, 1], 0).astype(np.int64)
    return FourierFit(order, coefficients, covariance, summary[:, 0], rejected, summary[:, 2], summary[:, 3], weight)


def evaluate_series(
    coefficients: Float64[FloatArray, "stars coefficients"], phase: Float64[FloatArray, " steps"]
) -> Float64[FloatArray, "stars steps"]:
    """The series of each star on common phases: (N, 21), (T,) -> (N, T) [mag]."""
    order = (coefficients.shape[1] - 1) // 2
    angle = 2 * np.pi * np.outer(np.arange(1, order + 1), phase)
    design = np.empty((2 * order + 1, len(phase)))
    design[0], design[1::2], design[2::2] = 1.0, np.cos(angle), np.sin(angle)
    return np.asarray(coefficients @ design)


def regularised_harmonics(
    offsets: Int64[IntArray, " starts"],
    phase: Float64[FloatArray, " points"],
    mag: Float64[FloatArray, " points"],
    point_weight: Float64[FloatArray, " points"],
    scatter: Float64[FloatArray, " starts-1"],
    *,
    n_harmonics: int = 6,
    prior_amplitude: float = 0.2,
    prior_slope: float = 1.5,
) -> Float64[FloatArray, "starts-1 coefficients"]:
    """Fourier coefficients under a Gaussian prior: high harmonics of sparse curves fade out instead of running wild.

    Ridge regression (Hoerl & Kennard 1970) with noise ``scatter`` (N,) [mag] and prior standard deviation
    ``prior_amplitude * k ** -prior_slope`` [mag] on a_k and b_k; ``point_weight`` (M,) as left by :func:`fit_fourier`.

    Returns
    -------
    (N, 2 * n_harmonics + 1) float64
        zp, a_1, b_1, ...; NaN rows where scatter is NaN.
    """
    k = np.arange(1.0, n_harmonics + 1)
    precision = np.zeros(2 * n_harmonics + 1)
    precision[1::2] = precision[2::2] = (prior_amplitude * k**-prior_slope) ** -2.0
    out = np.full((len(offsets) - 1, 2 * n_harmonics + 1), np.nan)
    over_stars(ridge_all, len(out), (offsets, phase, mag, point_weight, scatter, precision), (out,))
    return out
