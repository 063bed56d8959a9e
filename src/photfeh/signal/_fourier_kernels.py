"""The loops behind :mod:`photfeh.signal.fourier`: order selection, re-weighting, one star after the other."""

from __future__ import annotations

import math

import numpy as np

from photfeh.core.kernels import kernel
from photfeh.core.ranks import median, piece, sort
from photfeh.core.types import FloatArray, IntArray
from photfeh.signal._fourier_errors import (
    add_truncation,
    coefficient_variance,
    fill_covariance,
    omitted_variances,
    student_factor,
)
from photfeh.signal._normal_equations import backward, cholesky, design_row, forward, normal_matrix

__all__ = ["MIN_POINTS", "fit_all", "ridge_all"]


MIN_POINTS = 8
"""Fewest points that are fitted: one more than the parameters of three harmonics, the least that defines phi31."""

_HUBER, _TUKEY = 2.0, 6.0
_ITERATIONS = 6
_ERROR_FLOOR = 0.005  # mag: calibration noise below which catalogue errors are not believed


@kernel()
def _best_order(z: FloatArray, total: float, effective: float, n_used: float, highest: int, lowest: int) -> int:
    """Order of least BIC = n ln(RSS / n) + p ln n, RSS(K) = m'Wm - |z_1..p|^2 from one factorisation."""
    best, best_score = 0, np.inf
    explained = z[0] ** 2
    for order in range(1, highest + 1):
        explained += z[2 * order - 1] ** 2 + z[2 * order] ** 2
        parameters = 2 * order + 1
        if order < lowest or n_used - parameters < 1:
            continue
        residual = max(total - explained, 1e-12 * total) + 1e-300
        # the small-sample term keeps orders near n / 2 from winning by interpolation (Hurvich & Tsai 1989)
        penalty = parameters * max(math.log(effective), 2.0 * effective / max(effective - parameters - 1.0, 0.5))
        score = effective * math.log(residual / effective) + penalty
        if score < best_score:
            best, best_score = order, score
    return best


@kernel()
def _supported_order(ordered: FloatArray, max_order: int) -> int:
    """Highest order that count and gaps of the phases can carry: 2K + 2 <= n and no harmonic shorter than the gap."""
    n = len(ordered)
    gap = 1.0 + ordered[0] - ordered[n - 1]
    for j in range(1, n):
        gap = max(gap, ordered[j] - ordered[j - 1])
    return max(1, min(max_order, (n - 2) // 2, int(1.0 / max(gap, 1e-3))))


@kernel()
def _robust_weights(residual: FloatArray, scale: float, tukey: bool, out: FloatArray) -> None:
    for p in range(len(residual)):
        u = abs(residual[p]) / scale
        if tukey:
            v = 1.0 - (u / _TUKEY) ** 2
            out[p] = v * v if u < _TUKEY else 0.0
        else:
            out[p] = 1.0 if u < _HUBER else _HUBER / u


@kernel()
def _residual_scale(residual: FloatArray, parameters: int) -> float:
    """1.4826 MAD, widened for the degrees of freedom that the fit has used up."""
    n = len(residual)
    size = np.empty(n)
    for p in range(n):
        size[p] = abs(residual[p])
    used = math.sqrt(n / max(n - parameters, 1.0))
    return max(1.4826 * median(size) * used, 1e-6)


@kernel()
def _extremes(coefficients: FloatArray, size: int) -> tuple[float, float]:
    """Peak-to-peak and phase of maximum light (least magnitude), on 200 phases refined by a parabola."""
    grid = 200
    row, curve, low, high = np.empty(max(size, 3)), np.empty(grid), 0, 0
    for g in range(grid):
        design_row(g / grid, size, row)
        curve[g] = 0.0
        for j in range(size):
            curve[g] += row[j] * coefficients[j]
        low = g if curve[g] < curve[low] else low
        high = g if curve[g] > curve[high] else high
    left, right = curve[(low - 1) % grid], curve[(low + 1) % grid]
    bend = left - 2 * curve[low] + right
    step = 0.5 * (left - right) / bend if bend > 0 else 0.0
    return curve[high] - curve[low], ((low + step) / grid) % 1.0


@kernel(inline="always")
def _fit_one(
    phase: FloatArray,
    mag: FloatArray,
    base: FloatArray,
    highest: int,
    coefficients: FloatArray,
    covariance: FloatArray,
    summary: FloatArray,
    weight: FloatArray,
) -> int:
    n = len(phase)
    lowest = min(3, highest)
    size = 2 * highest + 1
    design = np.empty((n, size))
    for p in range(n):
        design_row(phase[p], size, design[p])
    matrix, rhs, z = np.empty((size, size)), np.empty(size), np.empty(size)
    solution, residual, robust = np.zeros(size), np.empty(n), np.ones(n)
    centred = np.empty(n)
    for p in range(n):
        centred[p] = mag[p]
    centre = median(centred)
    for p in range(n):
        centred[p] = mag[p] - centre
    order, scale = lowest, 0.0
    for iteration in range(_ITERATIONS):
        for p in range(n):
            weight[p] = base[p] * robust[p]
        total = normal_matrix(design, centred, weight, matrix, rhs)
        factored = cholesky(matrix)
        top = min(highest, (factored - 1) // 2)
        if top < 1:
            return 0
        forward(matrix, rhs, 2 * top + 1, z)
        effective, count = 0.0, 0.0  # a whole number, too, would be compiled twice: as the constant 0, and as any
        for p in range(n):
            effective += robust[p]
            count += 1.0 if robust[p] > 0.1 else 0.0
        order = _best_order(z, total, effective, count, top, min(lowest, top))
        if order == 0:
            return 0
        used = 2 * order + 1
        backward(matrix, z, used, solution)
        for p in range(n):
            fitted = 0.0
            for j in range(used):
                fitted += design[p, j] * solution[j]
            residual[p] = centred[p] - fitted
        scale = _residual_scale(residual, used)
        if iteration < _ITERATIONS - 1:
            _robust_weights(residual, scale, iteration >= 2, robust)
    order = _without_overshoot(mag, robust, matrix, z, solution, order, scale)
    used = 2 * order + 1
    rejected, effective = 0.0, 0.0
    for p in range(n):
        fitted = 0.0
        for j in range(used):
            fitted += design[p, j] * solution[j]
        residual[p] = centred[p] - fitted
        rejected += 1.0 if robust[p] < 0.1 else 0.0
        effective += robust[p]
    variance = coefficient_variance(residual, weight, robust, used)
    omitted = omitted_variances(solution, order, highest, n, variance)
    # those that were never tried swell the residuals: not to be counted twice
    untried = 0.0
    for j in range(max(highest - order, 0), len(omitted)):
        untried += omitted[j]
    noise = max(variance - untried, 0.25 * variance) * student_factor(effective - used) ** 2
    fill_covariance(matrix, used, noise, covariance)
    add_truncation(phase, weight, matrix, order, omitted, covariance)
    total = scale
    for j in range(len(coefficients)):
        coefficients[j] = solution[j] if j < used else 0.0
        total += coefficients[j]
    coefficients[0] += centre
    for i in range(len(covariance)):
        for j in range(len(covariance)):
            total += covariance[i, j]
    peak_to_peak, max_phase = _extremes(coefficients, used)
    summary[0], summary[1], summary[2], summary[3] = scale, rejected, peak_to_peak, max_phase
    for p in range(n):
        weight[p] = robust[p]
    # a curve that does not vary has no phases, and values near the limits of the numbers overflow
    whole = math.isfinite(total + centre)
    return order if whole and peak_to_peak > 1e-12 * max(abs(centre), 1.0) else 0


@kernel()
def _without_overshoot(
    mag: FloatArray,
    robust: FloatArray,
    factor: FloatArray,
    z: FloatArray,
    solution: FloatArray,
    order: int,
    scale: float,
) -> int:
    """Lower the order until the curve no longer swings beyond the data, as it does across gaps when overfitted."""
    low, high = np.inf, -np.inf
    for p in range(len(mag)):
        if robust[p] > 0.1:
            low, high = min(low, mag[p]), max(high, mag[p])
    limit = 1.3 * (high - low) + 3.0 * scale
    while order > 1 and _extremes(solution, 2 * order + 1)[0] > limit:
        order -= 1
        backward(factor, z, 2 * order + 1, solution)
    return order


@kernel()
def _point_weights(error: FloatArray) -> FloatArray:
    """Relative weights: unknown errors count as the star's median; the floor keeps single points from ruling."""
    n, m, total = len(error), 0, 0.0
    known, base = np.empty(n), np.empty(n)
    for p in range(n):
        if not np.isnan(error[p]):
            known[m] = error[p]
            m += 1
    middle = median(known[:m]) if m > 0 else 1.0
    for p in range(n):
        sigma = middle if np.isnan(error[p]) else error[p]
        base[p] = 1.0 / (sigma**2 + max(_ERROR_FLOOR, 0.5 * middle) ** 2)
        total += base[p]
    for p in range(n):
        base[p] /= total / n
    return base


@kernel()
def fit_all(
    first: int,
    last: int,
    offsets: IntArray,
    phase: FloatArray,
    mag: FloatArray,
    mag_error: FloatArray,
    max_order: int,
    order: IntArray,
    coefficients: FloatArray,
    covariance: FloatArray,
    summary: FloatArray,
    weight: FloatArray,
) -> None:
    for i in range(first, last):
        begin, end = offsets[i], offsets[i + 1]
        if end - begin < MIN_POINTS:
            continue
        ordered = piece(phase, begin, end)
        sort(ordered)
        order[i] = _fit_one(
            piece(phase, begin, end), piece(mag, begin, end), _point_weights(piece(mag_error, begin, end)),
            _supported_order(ordered, max_order), coefficients[i], covariance[i], summary[i], weight[begin:end],
        )  # fmt: skip
        if order[i] == 0:
            for a in range(coefficients.shape[1]):
                coefficients[i, a] = np.nan
            for a in range(covariance.shape[1]):
                for b in range(covariance.shape[2]):
                    covariance[i, a, b] = np.nan
            for a in range(summary.shape[1]):
                summary[i, a] = np.nan
            for p in range(begin, end):
                weight[p] = 0.0


@kernel()
def ridge_all(
    first: int,
    last: int,
    offsets: IntArray,
    phase: FloatArray,
    mag: FloatArray,
    point_weight: FloatArray,
    scatter: FloatArray,
    precision: FloatArray,
    out: FloatArray,
) -> None:
    size = out.shape[1]
    for i in range(first, last):
        begin, end = offsets[i], offsets[i + 1]
        if np.isnan(scatter[i]) or end <= begin:
            continue
        design = np.empty((end - begin, size))
        for p in range(end - begin):
            design_row(phase[begin + p], size, design[p])
        matrix, rhs = np.empty((size, size)), np.empty(size)
        centred = piece(mag, begin, end)
        centre = median(centred)
        for p in range(end - begin):
            centred[p] = mag[begin + p] - centre
        normal_matrix(design, centred, piece(point_weight, begin, end), matrix, rhs)
        noise = max(scatter[i], _ERROR_FLOOR) ** 2
        for j in range(size):
            matrix[j, j] += noise * precision[j] + 1e-12
        z = np.empty(size)
        if cholesky(matrix) == size:
            forward(matrix, rhs, size, z)
            backward(matrix, z, size, out[i])
            out[i, 0] += centre
