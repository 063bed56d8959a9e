"""Least squares of Fourier series: rows of the design, normal equations, Cholesky factors, triangular solves."""

from __future__ import annotations

import math

from photfeh.core.kernels import kernel
from photfeh.core.types import FloatArray

__all__ = ["backward", "cholesky", "design_row", "forward", "normal_matrix"]


@kernel(inline="always")
def design_row(phase: float, size: int, row: FloatArray) -> None:
    """1, cos, sin of every harmonic by the angle-addition recurrence."""
    c1, s1 = math.cos(2 * math.pi * phase), math.sin(2 * math.pi * phase)
    row[0], row[1], row[2] = 1.0, c1, s1
    for j in range(3, size, 2):
        row[j] = row[j - 2] * c1 - row[j - 1] * s1
        row[j + 1] = row[j - 1] * c1 + row[j - 2] * s1


@kernel()
def normal_matrix(
    design: FloatArray, mag: FloatArray, weight: FloatArray, matrix: FloatArray, rhs: FloatArray
) -> float:
    """Fill the lower triangle of X'WX and X'Wm; return m'Wm."""
    size = design.shape[1]
    total = 0.0
    for i in range(size):
        rhs[i] = 0.0
        for j in range(size):
            matrix[i, j] = 0.0
    for p in range(len(mag)):
        w = weight[p]
        if w <= 0.0:
            continue
        total += w * mag[p] * mag[p]
        for i in range(size):
            wx = w * design[p, i]
            rhs[i] += wx * mag[p]
            for j in range(i + 1):
                matrix[i, j] += wx * design[p, j]
    return total


@kernel()
def cholesky(matrix: FloatArray) -> int:
    """Factor the lower triangle in place; return how many leading rows could be factored."""
    size = int(matrix.shape[0])
    for i in range(size):
        for j in range(i + 1):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            if i == j:
                if value <= 1e-9 * matrix[0, 0] ** 2:
                    return int(i)
                matrix[i, i] = math.sqrt(value)
            else:
                matrix[i, j] = value / matrix[j, j]
    return size


@kernel()
def forward(factor: FloatArray, rhs: FloatArray, size: int, out: FloatArray) -> None:
    for i in range(size):
        value = rhs[i]
        for j in range(i):
            value -= factor[i, j] * out[j]
        out[i] = value / factor[i, i]


@kernel()
def backward(factor: FloatArray, z: FloatArray, size: int, out: FloatArray) -> None:
    for i in range(size - 1, -1, -1):
        value = z[i]
        for j in range(i + 1, size):
            value -= factor[j, i] * out[j]
        out[i] = value / factor[i, i]
