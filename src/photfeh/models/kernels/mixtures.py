"""Loops of extreme deconvolution: one star and one component at a time, threads over blocks of stars."""

from __future__ import annotations

import numba
import numpy as np

from photfeh.core.types import FloatArray

__all__ = ["expectation", "invert", "posterior"]


@numba.njit(cache=True)
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


@numba.njit(cache=True)
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


@numba.njit(parallel=True, cache=True)
def expectation(
    information: FloatArray,
    vector: FloatArray,
    star_weight: FloatArray,
    centre: FloatArray,
    log_weight: FloatArray,
    precision: FloatArray,
    shift: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums over stars: share (K,), times mean (K, D), times second moment about ``centre``, lower half (K, D, D)."""
    n, d = vector.shape
    n_components = len(log_weight)
    n_blocks = min(64, n)
    mass = np.zeros((n_blocks, n_components))
    first = np.zeros((n_blocks, n_components, d))
    second = np.zeros((n_blocks, n_components, d, d))
    for block in numba.prange(n_blocks):
        share, mean = np.empty(n_components), np.empty((n_components, d))
        covariance, work = np.empty((n_components, d, d)), np.empty((d, d))
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
    return mass.sum(axis=0), first.sum(axis=0), second.sum(axis=0)


@numba.njit(parallel=True, cache=True)
def posterior(
    information: FloatArray,
    vector: FloatArray,
    log_weight: FloatArray,
    precision: FloatArray,
    shift: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Mean (N, D) and variance (N, D) of each star's posterior mixture."""
    n, d = vector.shape
    n_components = len(log_weight)
    mean, variance = np.zeros((n, d)), np.zeros((n, d))
    for star in numba.prange(n):
        share, each = np.empty(n_components), np.empty((n_components, d))
        covariance, work = np.empty((n_components, d, d)), np.empty((d, d))
        _one_star(information[star], vector[star], log_weight, precision, shift, share, each, covariance, work)
        for k in range(n_components):
            for i in range(d):
                mean[star, i] += share[k] * each[k, i]
        for k in range(n_components):
            for i in range(d):
                variance[star, i] += share[k] * (covariance[k, i, i] + (each[k, i] - mean[star, i]) ** 2)
    return mean, variance
