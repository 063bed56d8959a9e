"""Loops of extreme deconvolution: one component at a time, threads over blocks of stars.

In training one star at a time, in prediction as many as there are lanes.
"""

from __future__ import annotations

import numpy as np

from photfeh.core.kernels import kernel, over_stars
from photfeh.core.types import FloatArray
from photfeh.models.kernels.lanes import LANES, load, square_root, store, where_less
from photfeh.models.kernels.lanes import spread as lanes_of

__all__ = ["expectation", "invert", "posterior"]

_LEAST = 1e-300
"""Least square of a pivot: what rounding has made negative is taken as this."""


@kernel()
def invert(matrix: FloatArray, inverse: FloatArray) -> float:
    """Inverse of a positive definite matrix (destroyed) by Cholesky; returns the logarithm of its determinant."""
    d = len(matrix)
    log_determinant = 0.0
    for j in range(d):
        for i in range(j, d):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i == j:
                matrix[j, j] = np.sqrt(max(total, _LEAST))
                log_determinant += 2.0 * np.log(matrix[j, j])
            else:
                matrix[i, j] = total / matrix[j, j]
    for j in range(d):  # the lower triangle becomes its own inverse
        matrix[j, j] = 1.0 / matrix[j, j]
        for i in range(j + 1, d):
            total = 0.0
            for k in range(j, i):
                total -= matrix[i, k] * matrix[k, j]
            matrix[i, j] = total / matrix[i, i]
    for i in range(d):
        for j in range(i + 1):
            total = 0.0
            for k in range(i, d):
                total += matrix[k, i] * matrix[k, j]
            inverse[i, j] = total
            inverse[j, i] = total
    return log_determinant


@kernel()
def _one_star(
    information: FloatArray,
    vector: FloatArray,
    log_weight: FloatArray,
    precision: FloatArray,
    shift: FloatArray,
    share: FloatArray,
    mean: FloatArray,
    covariance: FloatArray,
    work: FloatArray,
) -> None:
    """Fill share (K,), posterior mean (K, D) and covariance (K, D, D) of a star.

    ``log_weight`` holds log a_k - log|V_k| / 2 - m_k V_k^-1 m_k / 2, ``precision`` V_k^-1, ``shift`` V_k^-1 m_k. The
    product of the component N(m, V) and the likelihood exp(-x L x / 2 + h x) is Gaussian with precision V^-1 + L.
    """
    d = len(vector)
    largest = -np.inf
    for k in range(len(log_weight)):
        for i in range(d):
            for j in range(d):
                work[i, j] = precision[k, i, j] + information[i, j]
        log_determinant = invert(work, covariance[k])
        quadratic = 0.0
        for i in range(d):
            total = 0.0
            for j in range(d):
                total += covariance[k, i, j] * (shift[k, j] + vector[j])
            mean[k, i] = total
            quadratic += total * (shift[k, i] + vector[i])
        share[k] = log_weight[k] - 0.5 * log_determinant + 0.5 * quadratic
        largest = max(largest, share[k])
    total = 0.0
    for k in range(len(share)):
        share[k] = np.exp(share[k] - largest)
        total += share[k]
    for k in range(len(share)):
        share[k] /= total


def expectation(
    information: FloatArray,
    vector: FloatArray,
    star_weight: FloatArray,
    centre: FloatArray,
    log_weight: FloatArray,
    precision: FloatArray,
    shift: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums over stars: share (K,), times mean (K, D), times second moment about ``centre``, lower half (K, D, D).

    Summed in blocks of stars, so that the number of threads does not change the order of a sum.
    """
    n, d = vector.shape
    blocks, n_components = min(64, n), len(log_weight)
    sums = tuple(np.zeros((blocks, n_components, *more)) for more in ((), (d,), (d, d)))
    inputs = (information, vector, star_weight, centre, log_weight, precision, shift)
    over_stars(_expect, blocks, inputs, sums, least=1)
    mass, first, second = (part.sum(axis=0) for part in sums)
    return mass, first, second


@kernel()
def _expect(
    first_block: int,
    last_block: int,
    information: FloatArray,
    vector: FloatArray,
    star_weight: FloatArray,
    centre: FloatArray,
    log_weight: FloatArray,
    precision: FloatArray,
    shift: FloatArray,
    mass: FloatArray,
    first: FloatArray,
    second: FloatArray,
) -> None:
    n, d = vector.shape
    n_blocks, n_components = mass.shape
    share, mean = np.empty(n_components), np.empty((n_components, d))
    covariance, work = np.empty((n_components, d, d)), np.empty((d, d))
    for block in range(first_block, last_block):
        for star in range(block * n // n_blocks, (block + 1) * n // n_blocks):
            _one_star(information[star], vector[star], log_weight, precision, shift, share, mean, covariance, work)
            for k in range(n_components):
                part = share[k] * star_weight[star]
                if part < 1e-12:
                    continue
                mass[block, k] += part
                for i in range(d):
                    first[block, k, i] += part * mean[k, i]
                    off = part * (mean[k, i] - centre[k, i])
                    for j in range(i + 1):
                        second[block, k, i, j] += off * (mean[k, j] - centre[k, j]) + part * covariance[k, i, j]


def posterior(
    information: FloatArray,
    vector: FloatArray,
    log_weight: FloatArray,
    precision: FloatArray,
    shift: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Mean (M, N) and variance (M, N) of the last coordinate in each star's posterior under each of M mixtures.

    ``information`` (N, D, D) and ``vector`` (N, D) as above, those of the components with an axis more: ``log_weight``
    (M, K), ``precision`` (M, K, D, D), ``shift`` (M, K, D).
    """
    shape = (len(vector), len(log_weight))
    mean, variance = np.zeros(shape), np.zeros(shape)
    inputs = (information, vector, log_weight, precision, shift)
    over_stars(_fill_posterior, len(vector), inputs, (mean, variance), least=LANES)
    return mean.T, variance.T


@kernel()
def _fill_posterior(
    first: int,
    last: int,
    information: FloatArray,
    vector: FloatArray,
    log_weight: FloatArray,
    precision: FloatArray,
    shift: FloatArray,
    mean: FloatArray,
    variance: FloatArray,
) -> None:
    """``LANES`` stars at a time, one Cholesky factor a component; the last star fills up what is left of a block."""
    d, (n_mixtures, n_components) = vector.shape[1], log_weight.shape
    said, linear = np.empty((d, d, LANES)), np.empty((d, LANES))
    work, right = np.empty((d, d, LANES)), np.empty((d, LANES))
    share, each, spread = (
        np.empty((n_components, LANES)),
        np.empty((n_components, LANES)),
        np.empty((n_components, LANES)),
    )
    for begin in range(first, last, LANES):
        for lane in range(LANES):
            star = min(begin + lane, last - 1)
            for i in range(d):
                linear[i, lane] = vector[star, i]
                for j in range(i + 1):
                    said[i, j, lane] = information[star, i, j]
        for m in range(n_mixtures):
            for k in range(n_components):
                _solve(said, linear, precision[m, k], shift[m, k], log_weight[m, k], work, right, share[k])
                for lane in range(LANES):
                    pivot = work[d - 1, d - 1, lane]
                    each[k, lane], spread[k, lane] = right[d - 1, lane] / pivot, pivot**-2
            for lane in range(min(LANES, last - begin)):
                _mix(share, each, spread, lane, m, mean[begin + lane], variance[begin + lane])


@kernel(inline="always")
def _solve(
    said: FloatArray,
    linear: FloatArray,
    precision: FloatArray,
    shift: FloatArray,
    log_weight: float,
    work: FloatArray,
    right: FloatArray,
    share: FloatArray,
) -> None:
    """One component and the likelihoods of ``LANES`` stars, whose index comes last.

    With P = V^-1 + L = C C' and z = C^-1 (V^-1 m + h) the component's share has the factor |P|^-1/2 exp(z z / 2), the
    last coordinate the mean z_D / C_DD and the variance C_DD^-2. Fills C, lower half (D, D, lanes), in ``work``, z in
    ``right`` and the logarithm of the share.
    """
    d = len(linear)
    for i in range(d):
        store(right, (i,), load(linear, (i,)) + shift[i])
    for j in range(d):
        for i in range(j, d):
            left = load(said, (i, j)) + precision[i, j]
            for k in range(j):
                left = left - load(work, (i, k)) * load(work, (j, k))
            if i == j:
                pivot = square_root(where_less(_LEAST, left, left, lanes_of(_LEAST)))
                store(right, (j,), load(right, (j,)) / pivot)
                store(work, (j, j), pivot)
            else:
                left = left / load(work, (j, j))
                store(right, (i,), load(right, (i,)) - left * load(right, (j,)))
                store(work, (i, j), left)
    for lane in range(LANES):
        log_determinant, quadratic = 0.0, 0.0
        for i in range(d):
            log_determinant += 2.0 * np.log(work[i, i, lane])
            quadratic += right[i, lane] * right[i, lane]
        share[lane] = log_weight - 0.5 * log_determinant + 0.5 * quadratic


@kernel(inline="always")
def _mix(
    share: FloatArray,
    each: FloatArray,
    spread: FloatArray,
    lane: int,
    mixture: int,
    mean: FloatArray,
    variance: FloatArray,
) -> None:
    """Mean and variance of one star under one mixture, from the shares of its components."""
    largest, total, middle, square = -np.inf, 0.0, 0.0, 0.0
    for k in range(len(share)):
        largest = max(largest, share[k, lane])
    for k in range(len(share)):
        share[k, lane] = np.exp(share[k, lane] - largest)
        total += share[k, lane]
    for k in range(len(share)):
        share[k, lane] /= total
        middle += share[k, lane] * each[k, lane]
    for k in range(len(share)):
        square += share[k, lane] * (spread[k, lane] + (each[k, lane] - middle) ** 2)
    mean[mixture], variance[mixture] = middle, square
