"""SciPy's ``make_smoothing_spline`` for many stars at once: the same equations, compiled, star by star in parallel.

The spline minimises ``sum_i w_i (y_i - f(x_i))^2 + lam int f''^2`` with knots at the points and natural ends; ``lam``
minimises generalised cross-validation, ``mean((y - f)^2) / (1 - trace/n)^2``, on ``0 <= lam <= n`` (in this
criterion SciPy does not weight the residuals). SciPy's search stops within 1e-5 of ``lam``, which is coarse for curves
against phase (the best ``lam`` is often smaller), so the curve depends on the path of the search and on rounding.
Therefore this module follows SciPy's operations one for one, in the same basis: natural splines made of
B-splines (Woltring 1986; Zemlyanoy 2022), banded solutions as in LAPACK (``gbsv``, ``pbtrf``) and the trace by
Hutchinson and de Hoog (1985), with the roundings of OpenBLAS on processors with AVX-512. There curves are the
same to the last bit. Change no order of operations here.

Matrices with five bands are stored by rows, ``a[i, 2 + j - i] = A[i, j]``, symmetric ones as ``a[i, d] = A[i, i + d]``;
places outside the matrix hold zeros. Rows at work are held in scalars: compilers keep those in registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from photfeh.core.kernels import kernel
from photfeh.core.types import FloatArray, IntArray
from photfeh.signal._points import ready_points
from photfeh.signal.founding.minimise import BEST, DONE, FAILED, begin, empty_state, proceed

__all__ = ["founding_splines"]


_MIN_POINTS = 5  # SciPy's
_TOLERANCE = 1e-5  # SciPy's ``xatol``


def _fused_multiply_add(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    signature = types.float64(types.float64, types.float64, types.float64)
    return signature, lambda context, builder, sig, args: builder.fma(*args)


_fma: Any = intrinsic(_fused_multiply_add)  # a * b + c, rounded once, as OpenBLAS computes it


@kernel()
def founding_splines(
    first: int,
    last: int,
    offsets: IntArray,
    x: FloatArray,
    y: FloatArray,
    weights: FloatArray,
    grid: FloatArray,
    curve: FloatArray,
    lam: FloatArray,
    edf: FloatArray,
) -> None:
    """Fill ``grid`` and ``curve`` (N, M), ``lam`` and ``edf`` (N,); rows that cannot be fitted stay as they are."""
    for star in range(first, last):
        a, b = offsets[star], offsets[star + 1]
        star_weights = weights[a:b] if len(weights) else weights
        n, points = ready_points(x[a:b], y[a:b], star_weights, 0.0, False)
        if n >= _MIN_POINTS:
            _one_star(points[0, :n], points[1, :n], points[2, :n], grid[star], curve[star], lam, edf, star)


@kernel()
def _one_star(
    x: FloatArray,
    y: FloatArray,
    w: FloatArray,
    grid: FloatArray,
    curve: FloatArray,
    lam: FloatArray,
    edf: FloatArray,
    star: int,
) -> None:
    n = len(x)
    design, penalty = _design(x), _penalty(x, w)
    gram, gram_penalty = _gram(design, design, w), _gram(design, penalty, w)
    u, factor, terms = np.empty((n, 6)), np.empty((n + 3, 4)), np.empty((n, 3))
    c, residual = np.zeros(n + 4), np.empty(n)
    search = empty_state()
    trial = begin(search, 0.0, float(n), _TOLERANCE)
    while not search[DONE]:
        mean_square = _fit(design, penalty, trial, y, u, c, residual)
        trace = _trace(gram, gram_penalty, trial, factor, terms)
        trial = proceed(search, mean_square / (1.0 - trace / n) ** 2)
    if search[FAILED]:
        return
    best = float(search[BEST])
    _fit(design, penalty, best, y, u, c, residual)
    _evaluate(x, c[2 : n + 2], grid, curve)
    lam[star] = best
    edf[star] = _trace(gram, gram_penalty, best, factor, terms)


@kernel()
def _knots(x: FloatArray) -> FloatArray:
    """Knots of the cubic B-splines: the points, with both ends repeated three times more."""
    n = len(x)
    t = np.empty(n + 6)
    for i in range(n + 6):
        t[i] = x[min(max(i - 3, 0), n - 1)]
    return t


@kernel()
def _basis(t: FloatArray, interval: int, place: float, h: FloatArray) -> None:
    """The four cubic B-splines that do not vanish between knots ``interval`` and ``interval + 1`` (de Boor 1978)."""
    h[0] = 1.0
    for j in range(1, 4):
        carried = h[0]
        h[0] = 0.0
        for m in range(1, j + 1):
            right, left = t[interval + m], t[interval + m - j]
            following = h[m]
            if right == left:
                h[m] = 0.0
            else:
                share = carried / (right - left)
                h[m - 1] += share * (right - place)
                h[m] = share * (place - left)
            carried = following


@kernel()
def _design(x: FloatArray) -> FloatArray:
    """The basis of natural splines at the points (Zemlyanoy 2022, equation 2.1.7)."""
    n = len(x)
    t = _knots(x)
    bspline = np.empty((n, 4))  # bspline[i, k]: B-spline i + k at point i; at the last point B-spline n - 2 + k
    for i in range(n):
        _basis(t, min(i + 3, n + 1), x[i], bspline[i])
    a = np.zeros((n, 5))
    for j in range(2, n - 2):
        for i in range(j - 1, j + 2):
            a[i, 2 + j - i] = bspline[i, j + 1 - i]
    a[0, 2] = (x[2] + x[1] - 2 * x[0]) * bspline[0, 0]
    a[0, 3] = bspline[0, 0]
    a[1, 1] = (x[2] - x[0]) * bspline[1, 0]
    a[1, 2] = bspline[1, 0] + bspline[1, 1]
    a[2, 1] = bspline[2, 0]
    a[n - 3, 3] = bspline[n - 3, 2]
    a[n - 2, 2] = bspline[n - 2, 1] + bspline[n - 2, 2]
    a[n - 2, 3] = (x[n - 1] - x[n - 3]) * bspline[n - 2, 2]
    a[n - 1, 1] = bspline[n - 1, 3]
    a[n - 1, 2] = (2 * x[n - 1] - x[n - 2] - x[n - 3]) * bspline[n - 1, 3]
    return a


@kernel()
def _divided_difference(x: FloatArray, i: int, first: int, last: int) -> float:
    """Coefficient of f(x_i) in the divided difference of f at the points first..last."""
    product = 1.0
    for k in range(first, last + 1):
        if k != i:
            product *= x[i] - x[k]
    return 1.0 / product


@kernel()
def _penalty(x: FloatArray, w: FloatArray) -> FloatArray:
    """W^-1 E: the jumps of the third derivative of every basis spline, over the weights of the points."""
    n = len(x)
    a = np.zeros((n, 5))
    for j in range(n):
        first, last = max(j - 2, 0), min(j + 2, n - 1)
        if j < 2:
            scale = 1.0
        elif j < n - 2:
            scale = x[j + 2] - x[j - 2]
        else:
            scale = -1.0 if j == n - 2 else 1.0
        for i in range(first, last + 1):
            a[i, 2 + j - i] = 6 * (scale * _divided_difference(x, i, first, last) / w[i])
    return a


@kernel()
def _gram(left: FloatArray, right: FloatArray, w: FloatArray) -> FloatArray:
    """Upper bands of left^T W right, a symmetric product of two five-banded matrices, and three rows of zeros."""
    n = len(left)
    product = np.zeros((n + 3, 4))
    for i in range(n):
        for j in range(i, min(i + 4, n)):
            for row in range(max(j - 2, 0), min(i + 3, n)):
                product[i, j - i] += left[row, 2 + i - row] * (right[row, 2 + j - row] * w[row])
    return product


@kernel()
def _fit(
    design: FloatArray,
    penalty: FloatArray,
    lam: float,
    y: FloatArray,
    u: FloatArray,
    c: FloatArray,
    residual: FloatArray,
) -> float:
    """Solve (X + lam W^-1 E) c = y into ``c[2:-2]``; returns the mean square of the residuals lam W^-1 E c.

    ``c`` (n + 4) must hold two zeros at either end; ``u`` (n, 6) and ``residual`` (n,) are room to work in.
    """
    n = len(y)
    _eliminate(design, penalty, lam, y, u)
    for i in range(n - 1, -1, -1):
        value = u[i, 5]
        for k in range(min(4, n - 1 - i), 0, -1):
            value = _fma(-c[i + 2 + k], u[i, k], value)
        c[i + 2] = value / u[i, 0]
    for i in range(n):
        jump = penalty[i, 4] * c[i + 4]
        for k in range(3, -1, -1):
            jump += penalty[i, k] * c[i + k]
        residual[i] = lam * jump
    return float(np.sqrt(_sum_of_squares(residual)) ** 2 / n)


@kernel()
def _eliminate(design: FloatArray, penalty: FloatArray, lam: float, y: FloatArray, u: FloatArray) -> None:
    """Gaussian elimination with row exchanges (LAPACK gbtf2); ``u[i]``: diagonal, four bands, right side.

    Rows a, b, c are at work in step j, each known by its elements in columns j to j + 4 and its right side.
    """
    n = len(y)
    a0 = a1 = a2 = a3 = a4 = ay = b0 = b1 = b2 = b3 = b4 = by = 0.0
    for j in range(-2, n):
        c0 = c1 = c2 = c3 = c4 = cy = 0.0
        if j + 2 < n:
            x, e = design[j + 2], penalty[j + 2]
            c0, c1, c2 = x[0] + lam * e[0], x[1] + lam * e[1], x[2] + lam * e[2]
            c3, c4, cy = x[3] + lam * e[3], x[4] + lam * e[4], y[j + 2]
        if j >= 0:
            if abs(b0) > abs(a0) and abs(b0) >= abs(c0):
                a0, a1, a2, a3, a4, ay, b0, b1, b2, b3, b4, by = b0, b1, b2, b3, b4, by, a0, a1, a2, a3, a4, ay
            elif abs(c0) > abs(a0):
                a0, a1, a2, a3, a4, ay, c0, c1, c2, c3, c4, cy = c0, c1, c2, c3, c4, cy, a0, a1, a2, a3, a4, ay
            u[j, 0], u[j, 1], u[j, 2], u[j, 3], u[j, 4], u[j, 5] = a0, a1, a2, a3, a4, ay
            f, g = -(b0 * (1.0 / a0)), -(c0 * (1.0 / a0))
            b1, b2, b3 = _fma(f, a1, b1), _fma(f, a2, b2), _fma(f, a3, b3)
            b4, by = _fma(f, a4, b4), _fma(f, ay, by)
            c1, c2, c3 = _fma(g, a1, c1), _fma(g, a2, c2), _fma(g, a3, c3)
            c4, cy = _fma(g, a4, c4), _fma(g, ay, cy)
        a0, a1, a2, a3, a4, ay, b0, b1, b2, b3, b4, by = b1, b2, b3, b4, 0.0, by, c1, c2, c3, c4, 0.0, cy


@kernel()
def _sum_of_squares(v: FloatArray) -> float:
    """Square of the norm of v, summed as OpenBLAS does with AVX-512: in 32 lanes, then 16, then one by one."""
    n = len(v)
    lanes = np.zeros(32)
    for i in range(n - n % 32):
        lanes[i % 32] = _fma(v[i], v[i], lanes[i % 32])
    for i in range(16):
        lanes[i] = lanes[i + i // 4 * 4] + lanes[i + i // 4 * 4 + 4]
    for i in range(n - n % 32, n - n % 16):
        lanes[i % 16] = _fma(v[i], v[i], lanes[i % 16])
    for i in range(4):
        lanes[i] = ((lanes[i] + lanes[i + 4]) + lanes[i + 8]) + lanes[i + 12]
    total = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
    for i in range(n - n % 16, n):
        total = _fma(v[i], v[i], total)
    return float(total)


@kernel()
def _trace(gram: FloatArray, gram_penalty: FloatArray, lam: float, u: FloatArray, terms: FloatArray) -> float:
    """Trace of the influence matrix; NaN where X^T W X + lam X^T E is not positive definite (SciPy raises)."""
    n = len(terms)
    for i in range(n + 3):
        for d in range(4):
            u[i, d] = gram[i, d] + lam * gram_penalty[i, d]
    if not _factor(u):
        return np.nan
    _invert(gram, u, terms)
    trace = 0.0
    for j in range(n):
        column = 2.0 * terms[j - 2, 2] if j > 1 else 0.0
        column += 2.0 * terms[j - 1, 1] if j > 0 else 0.0
        trace += column + terms[j, 0]
    return trace


@kernel()
def _factor(u: FloatArray) -> bool:
    """Cholesky factor in place (LAPACK pbtf2), each row over its diagonal, which ``u[i, 0]`` keeps; false if none.

    Row a is at work; b, c, d are the rows after it, as far as they have been changed yet.
    """
    a0, a1, a2, b0, b1, c0 = u[0, 0], u[0, 1], u[0, 2], u[1, 0], u[1, 1], u[2, 0]
    for i in range(len(u) - 3):
        if not a0 > 0.0:
            return False
        root = np.sqrt(a0)
        scale = 1.0 / root
        f1, f2, f3 = a1 * scale, a2 * scale, u[i, 3] * scale
        b0, b1, b2 = _fma(-f1, f1, b0), _fma(-f1, f2, b1), _fma(-f1, f3, u[i + 1, 2])
        c0, c1, d0 = _fma(-f2, f2, c0), _fma(-f2, f3, u[i + 2, 1]), _fma(-f3, f3, u[i + 3, 0])
        u[i, 0], u[i, 1], u[i, 2], u[i, 3] = root, f1 / root, f2 / root, f3 / root
        a0, a1, a2, b0, b1, c0 = b0, b1, b2, c0, c1, d0
    return True


@kernel()
def _invert(gram: FloatArray, u: FloatArray, terms: FloatArray) -> None:
    """Bands of the inverse (Hutchinson and de Hoog 1985), each times that element of X^T W X, into ``terms`` (n, 3).

    ``z12`` is the element of the inverse in the next row but in the column after the next, and so on.
    """
    z11 = z12 = z13 = z22 = z23 = z33 = 0.0
    for i in range(len(terms) - 1, -1, -1):
        f1, f2, f3 = u[i, 1], u[i, 2], u[i, 3]
        a3 = -f1 * z13 - f2 * z23 - f3 * z33
        a2 = -f1 * z12 - f2 * z22 - f3 * z23
        a1 = -f1 * z11 - f2 * z12 - f3 * z13
        a0 = -f1 * a1 - f2 * a2 - f3 * a3 + 1.0 / u[i, 0] ** 2
        terms[i, 0], terms[i, 1], terms[i, 2] = a0 * gram[i, 0], a1 * gram[i, 1], a2 * gram[i, 2]
        z33, z23, z13, z22, z12, z11 = z22, z12, a2, z11, a1, a0


@kernel()
def _evaluate(x: FloatArray, c: FloatArray, grid: FloatArray, curve: FloatArray) -> None:
    """The spline on an even grid from the first to the last point, both included."""
    n, size = len(x), len(grid)
    t = _knots(x)
    b = np.empty(n + 2)  # coefficients of the B-splines (Zemlyanoy 2022, equation 2.2.10)
    for i in range(2, n):
        b[i] = c[i - 1]
    b[0] = c[0] * (t[5] + t[4] - 2 * t[3]) + c[1]
    b[1] = c[0] * (t[5] - t[3]) + c[1]
    b[n] = c[n - 1] * (t[n + 2] - t[n]) + c[n - 2]
    b[n + 1] = c[n - 1] * (2 * t[n + 2] - t[n + 1] - t[n]) + c[n - 2]
    h = np.empty(4)
    step = (x[n - 1] - x[0]) / (size - 1)
    interval = 3
    for k in range(size):
        place = x[0] + k * step if k < size - 1 else x[n - 1]
        while interval < n + 1 and place >= t[interval + 1]:
            interval += 1
        _basis(t, interval, place, h)
        grid[k] = place
        curve[k] = 0.0
        for m in range(4):
            curve[k] += b[interval - 3 + m] * h[m]
