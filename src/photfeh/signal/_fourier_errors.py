"""Errors of Fourier coefficients: few points, robust weights, and the harmonics that were left out."""

from __future__ import annotations

import math

import numpy as np

from photfeh.core.kernels import kernel
from photfeh.core.types import FloatArray
from photfeh.signal._normal_equations import backward, design_row, forward

__all__ = ["add_truncation", "coefficient_variance", "fill_covariance", "omitted_variances", "student_factor"]

_FULL = 21  # columns of ten harmonics
_DECLINE = 0.6  # ratio of successive amplitudes from the third on, rms over RRab and RRc (docs/simulation.md)


@kernel()
def coefficient_variance(residual: FloatArray, weight: FloatArray, robust: FloatArray, used: int) -> float:
    """The factor s^2 of the covariance s^2 (X'WX)^-1 of Tukey's estimate: Huber & Ronchetti (2009), eq. 7.81 to 7.83.

    The plain weighted mean square is too small by a tenth: down-weighting shrinks large residuals that are mere noise.
    """
    n, square, slope, slope2, effective = len(residual), 0.0, 0.0, 0.0, 0.0
    for p in range(n):
        square += weight[p] * robust[p] * residual[p] ** 2
        effective += robust[p]
        inner = math.sqrt(robust[p])  # 1 - (u / c)^2, so that psi' = inner (5 inner - 4)
        derivative = inner * (5.0 * inner - 4.0)
        slope += derivative / n
        slope2 += derivative**2 / n
    slope = max(slope, 0.1)
    correction = 1.0 + used / n * max(slope2 / slope**2 - 1.0, 0.0)
    return square / max(effective - used, 1.0) * (correction * effective / (n * slope)) ** 2


@kernel()
def student_factor(freedom: float) -> float:
    """Ratio of the central 68.3 % interval of Student's t to the Gaussian one (Cornish-Fisher series; within 2 %)."""
    inverse = 1.0 / max(freedom, 1.0)
    return 1.0 + inverse * (0.5 + inverse * (0.25 + inverse * 0.0625))


@kernel()
def fill_covariance(factor: FloatArray, used: int, variance: float, covariance: FloatArray) -> None:
    """``variance`` times the leading block of (X'WX)^-1, zero beyond the order."""
    unit, half, column = np.zeros(used), np.zeros(used), np.zeros(used)
    kept = min(used, 7)
    for i in range(len(covariance)):
        for j in range(len(covariance)):
            covariance[i, j] = 0.0
    for j in range(kept):
        unit[j] = 1.0
        forward(factor, unit, used, half)
        backward(factor, half, used, column)
        unit[j] = 0.0
        for i in range(kept):
            covariance[i, j] = variance * column[i]


@kernel()
def omitted_variances(solution: FloatArray, order: int, highest: int, n: int, variance: float) -> FloatArray:
    """Prior variance of the coefficients of each harmonic beyond the order, which every RR Lyrae has.

    Amplitudes fall by :data:`_DECLINE` a harmonic. Those that the information criterion tried and rejected are below
    its threshold: coefficients spread evenly under it have variance ln(n) s^2 / n, and their estimates, on which it
    decided, that of the noise, 2 s^2 / n.
    """
    last = 0.5 * (solution[2 * order - 1] ** 2 + solution[2 * order] ** 2)
    limit = variance * (2.0 + math.log(n)) / n
    omitted = np.zeros(_FULL // 2 - order)
    for j in range(len(omitted)):
        omitted[j] = last * _DECLINE ** (2 * (j + 1))
        if order + 1 + j <= highest:
            omitted[j] *= limit / (omitted[j] + limit)
    return omitted


@kernel()
def add_truncation(
    phase: FloatArray, weight: FloatArray, factor: FloatArray, order: int, omitted: FloatArray, covariance: FloatArray
) -> None:
    """Add what the omitted harmonics leak into those that were fitted, (X'WX)^-1 X'W Z for each of their columns Z."""
    used, kept = 2 * order + 1, min(2 * order + 1, 7)
    row, overlap = np.empty(_FULL), np.zeros((_FULL, used))
    for p in range(len(phase)):
        if weight[p] > 0.0:
            design_row(phase[p], _FULL, row)
            for i in range(used, _FULL):
                for j in range(used):
                    overlap[i, j] += weight[p] * row[i] * row[j]
    half, leak = np.zeros(used), np.zeros(used)
    for i in range(used, _FULL):
        forward(factor, overlap[i], used, half)
        backward(factor, half, used, leak)
        for a in range(kept):
            for b in range(kept):
                covariance[a, b] += omitted[(i - used) // 2] * leak[a] * leak[b]
