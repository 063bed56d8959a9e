"""The loop behind the circular networks' predictions: from the points of one star to its ridge-Fourier curve.

The same as :class:`photfeh.models.circular_module.RidgeCurve`, which works on batches and is used in training. There
the order of a sum depends on how many stars and steps are in the batch; here a star is on its own.
"""

from __future__ import annotations

import numpy as np

from photfeh.core.kernels import kernel, over_stars
from photfeh.core.ranks import rank
from photfeh.core.types import Float32Array, FloatArray, IntArray
from photfeh.models.kernels.mixtures import invert

__all__ = ["ROUNDS", "normal_equations", "prior_precision", "ridge_curves"]

ROUNDS = 3
"""Rounds of reweighting."""


def prior_precision(n_harmonics: int, prior: float = 0.7) -> FloatArray:
    """Of the Gaussian prior on mean and coefficients, (2 K + 1,): standard deviation 30, ``prior`` * k**-1.5."""
    spread = prior * np.arange(1.0, n_harmonics + 1.0) ** -1.5
    return np.asarray(np.concatenate([[30.0], np.repeat(spread, 2)]) ** -2.0)


def ridge_curves(
    phase: Float32Array,
    mag: Float32Array,
    lengths: IntArray,
    *,
    precision: FloatArray,
    n_grid: int,
    rounds: int,
) -> Float32Array:
    """Phases [cycle] and magnitudes (N, T), valid as far as ``lengths`` (N,) -> channels (N, 5, n_grid).

    ``precision`` (2 K + 1,): of the Gaussian prior on mean and coefficients. Channels as the module gives them.
    """
    out = np.empty((len(lengths), 5, n_grid), np.float32)
    grid = np.empty((n_grid, len(precision)))
    _waves(np.arange(n_grid) / n_grid, grid)
    over_stars(_draw, len(lengths), (phase, mag, lengths, precision, grid, rounds), (out,), least=16)
    return out


@kernel()
def _waves(phase: FloatArray, basis: FloatArray) -> None:
    """Fill (T, 2 K + 1): one, cosines and sines of 2 pi k phase, by angle addition."""
    for t in range(len(phase)):
        c1, s1 = np.cos(2 * np.pi * phase[t]), np.sin(2 * np.pi * phase[t])
        basis[t, 0], c, s = 1.0, 1.0, 0.0
        for k in range(1, basis.shape[1], 2):
            c, s = c * c1 - s * s1, s * c1 + c * s1
            basis[t, k], basis[t, k + 1] = c, s


@kernel()
def _draw(
    first: int,
    last: int,
    phase: Float32Array,
    mag: Float32Array,
    lengths: IntArray,
    precision: FloatArray,
    grid: FloatArray,
    rounds: int,
    out: Float32Array,
) -> None:
    d = len(precision)
    gram, work, inverse = np.empty((d, d)), np.empty((d, d)), np.empty((d, d))
    right, solution = np.empty(d), np.zeros(d)
    for star in range(first, last):
        m = lengths[star]
        count = max(float(m), 1.0)
        place, y, centre, squares = np.empty(m), np.empty(m), 0.0, 0.0
        basis, weight, residual = np.empty((m, d)), np.ones(m), np.empty(m)
        for t in range(m):
            place[t], y[t] = phase[star, t], mag[star, t]
            centre += y[t]
        centre /= count
        _waves(place, basis)
        for t in range(m):
            y[t] -= centre
            squares += y[t] ** 2
        size, noise = np.sqrt(2.0 * squares / count) + 1e-6, 0.2
        for t in range(m):
            y[t] /= size
        for _ in range(rounds):
            normal_equations(basis, weight, y, gram, right)
            for i in range(d):
                for j in range(d):
                    work[i, j] = gram[i, j]
                work[i, i] += precision[i] * noise**2
            invert(work, inverse)
            used = 0.0
            for i in range(d):
                solution[i] = 0.0
                for j in range(d):
                    solution[i] += inverse[i, j] * right[j]
                    used += inverse[i, j] * gram[i, j]
            for t in range(m):
                residual[t] = y[t]
                for i in range(d):
                    residual[t] -= basis[t, i] * solution[i]
            spent = np.sqrt(count / max(count - used, 0.25 * count))
            noise = 1.4826 * _lower_median(residual) * spent + 1e-3
            for t in range(m):
                weight[t] = max(1.0 - (residual[t] / (4.685 * noise)) ** 2, 0.0) ** 2
        for g in range(len(grid)):
            curve, variance = 0.0, 0.0
            for i in range(d):
                if i > 0:
                    curve += grid[g, i] * solution[i]
                inner = 0.0
                for j in range(d):
                    inner += inverse[i, j] * grid[g, j]
                variance += grid[g, i] * inner
            out[star, 0, g], out[star, 1, g] = curve, noise * np.sqrt(max(variance, 0.0))
            out[star, 2, g], out[star, 3, g] = np.log(noise) + 2.0, np.log(size) + 1.0
            out[star, 4, g] = 0.5 * (np.log(count) - 4.0)


@kernel()
def normal_equations(basis: FloatArray, weight: FloatArray, y: FloatArray, gram: FloatArray, right: FloatArray) -> None:
    """Fill sum w b b^T and sum w b y."""
    d = basis.shape[1]
    for i in range(d):
        right[i] = 0.0
        for j in range(i + 1):
            gram[i, j] = 0.0
    for t in range(len(y)):
        for i in range(d):
            product = weight[t] * basis[t, i]
            right[i] += product * y[t]
            for j in range(i + 1):
                gram[i, j] += product * basis[t, j]
    for i in range(d):
        for j in range(i):
            gram[j, i] = gram[i, j]


@kernel(inline="always")
def _lower_median(residual: FloatArray) -> float:
    """Median of the absolute values, of an even number the lower one of the middle two."""
    n = len(residual)
    if n == 0:
        return 0.0
    size = np.empty(n)
    for t in range(n):
        size[t] = abs(residual[t])
    return rank(size, (n - 1) // 2)
