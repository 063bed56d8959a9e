"""Loops of extreme deconvolution: one star and one component at a time, threads over blocks of stars."""

from __future__ import annotations

import numpy as np

from photfeh.core.kernels import kernel, over_stars
from photfeh.core.types import FloatArray

__all__ = ["expectation", "invert", "posterior"]


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
                matrix[j, j] = np.sqrt(max(total, 1e-300))
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
    """Mean (N,) and variance (N,) of the last coordinate in each star's posterior mixture."""
    mean, variance = np.zeros(len(vector)), np.zeros(len(vector))
    inputs = (information, vector, log_weight, precision, shift)
    over_stars(_fill_posterior, len(vector), inputs, (mean, variance), least=16)
    return mean, variance


@kernel()
def _factor(matrix: FloatArray, right: FloatArray, column: FloatArray) -> float:
    """Cholesky's factor L of a matrix in place of its lower half, and L^-1 right in place of ``right``.

    Returns the logarithm of the determinant. Rows are updated column by column, so that the innermost loop has no sum
    to wait for.
    """
    d = len(right)
    log_determinant = 0.0
    for j in range(d):
        pivot = np.sqrt(max(matrix[j, j], 1e-300))
        matrix[j, j] = pivot
        log_determinant += 2.0 * np.log(pivot)
        right[j] /= pivot
        for i in range(j + 1, d):
            column[i] = matrix[i, j] / pivot
        for i in range(j + 1, d):
            part = column[i]
            matrix[i, j] = part
            right[i] -= part * right[j]
            for k in range(j + 1, i + 1):
                matrix[i, k] -= part * column[k]
    return log_determinant


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
    """Mean and variance of the last coordinate from one Cholesky factor a component.

    With P = V^-1 + L = C C' and z = C^-1 (V^-1 m + h) its share has the factor |P|^-1/2 exp(z z / 2), the last
    coordinate the mean z_D / C_DD and the variance C_DD^-2.
    """
    d, n_components = vector.shape[1], len(log_weight)
    share, each, spread = np.empty(n_components), np.empty(n_components), np.empty(n_components)
    work, right, column = np.empty((d, d)), np.empty(d), np.empty(d)
    for star in range(first, last):
        largest = -np.inf
        for k in range(n_components):
            for i in range(d):
                right[i] = shift[k, i] + vector[star, i]
                for j in range(i + 1):
                    work[i, j] = precision[k, i, j] + information[star, i, j]
            log_determinant = _factor(work, right, column)
            quadratic = 0.0
            for i in range(d):
                quadratic += right[i] * right[i]
            share[k] = log_weight[k] - 0.5 * log_determinant + 0.5 * quadratic
            largest = max(largest, share[k])
            each[k], spread[k] = right[d - 1] / work[d - 1, d - 1], work[d - 1, d - 1] ** -2
        total = 0.0
        for k in range(n_components):
            share[k] = np.exp(share[k] - largest)
            total += share[k]
        for k in range(n_components):
            share[k] /= total
            mean[star] += share[k] * each[k]
        for k in range(n_components):
            variance[star] += share[k] * (spread[k] + (each[k] - mean[star]) ** 2)
