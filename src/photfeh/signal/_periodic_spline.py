"""Periodic cubic smoothing splines for many stars at once: the exact solution, in O(n) for every trial of lambda.

The curve f of period 1 that minimises ``sum_i w_i (y_i - f(x_i))^2 + lam int_0^1 f''^2`` is a cubic spline with knots
at the points. Its values g and second derivatives c there obey (Green and Silverman 1994, section 2.3, closed here
into a ring)::

    B c = Q y,  B = R + lam P,  P = Q W^-1 Q,  g = y - lam W^-1 Q c,  trace A = trace R B^-1,

where A is the influence matrix (I - A = lam W^-1 Q B^-1 Q has the trace of lam P B^-1 = I - R B^-1), Q takes divided
second differences of neighbours (on a ring it is symmetric) and R holds the integrals of products of hat functions.
B has five bands, which close over the corners. It is factored as U^T D U with the last two unknowns as a border: only
the border's two columns fill in. The entries of the inverse on the same places follow backwards (Takahashi's
equations, as in Hutchinson and de Hoog 1985), and with them the trace.

R, P and U are stored by rows, ``a[i] = A[i, i], A[i, i+1], A[i, i+2], A[i, n-2], A[i, n-1]`` for i < n - 2, where the
second and third stop short of the border; ``a[n-2, :2]`` and ``a[n-1, 0]`` hold the corner.

lambda is sought as n / (2 pi k)^4 with n points of mean weight 1: the cut-off k is the harmonic that evenly
sampled data would keep to one half.
"""

from __future__ import annotations

import numpy as np

from photfeh.core.kernels import kernel
from photfeh.core.types import FloatArray, IntArray
from photfeh.signal._points import ready_points
from photfeh.signal.founding.minimise import BEST, BEST_VALUE, DONE, begin, empty_state, proceed

__all__ = ["MAX_EDF_SHARE", "MERGE", "MIN_POINTS", "STIFFEST", "SUPPLEST", "periodic_splines"]


MIN_POINTS = 5
MERGE = 1e-5  # of a cycle; rounding in B grows as the square of the smallest gap
STIFFEST, SUPPLEST = 1.5, 20.0
MAX_EDF_SHARE = 0.8

_TRIALS = 14
_TOLERANCE = 1e-5  # of log k


@kernel()
def periodic_splines(
    first: int,
    last: int,
    offsets: IntArray,
    x: FloatArray,
    y: FloatArray,
    weights: FloatArray,
    reml: bool,
    curve: FloatArray,
    lam: FloatArray,
    edf: FloatArray,
) -> None:
    """Fill ``curve`` (N, M), ``lam`` and ``edf`` (N,); rows that cannot be fitted stay as they are."""
    for star in range(first, last):
        a, b = offsets[star], offsets[star + 1]
        star_weights = weights[a:b] if len(weights) else weights
        n, points = ready_points(x[a:b], y[a:b], star_weights, MERGE, True)
        if n >= MIN_POINTS:
            lam[star], edf[star] = _one_star(points[0, :n], points[1, :n], points[2, :n], reml, curve[star])


@kernel()
def _one_star(x: FloatArray, y: FloatArray, w: FloatArray, reml: bool, curve: FloatArray) -> tuple[float, float]:
    """Fill the curve of one star; returns lambda, for the weights as they were given, and edf."""
    n = len(x)
    mean_weight = w.sum() / n
    for i in range(n):
        w[i] /= mean_weight
    gap, r, p = _ring(x, w)
    qy, u, c = np.empty(n), np.empty((n, 5)), np.empty(n)
    for i in range(n):
        qy[i] = _second_difference(y, gap, i)
    log_k = _best_cut_off(gap, w, r, p, qy, reml, u, c)
    _, edf = _criterion(log_k, gap, w, r, p, qy, reml, u, c)
    lam = _lambda(log_k, n)
    g = np.empty(n)
    for i in range(n):
        g[i] = y[i] - lam / w[i] * _second_difference(c, gap, i)
    _evaluate(x, gap, g, c, curve)
    return lam * mean_weight, edf


@kernel()
def _lambda(log_k: float, n: int) -> float:
    return float(n * np.exp(-4.0 * (np.log(2.0 * np.pi) + log_k)))


@kernel()
def _best_cut_off(
    gap: FloatArray,
    w: FloatArray,
    r: FloatArray,
    p: FloatArray,
    qy: FloatArray,
    reml: bool,
    u: FloatArray,
    c: FloatArray,
) -> float:
    """Logarithm of the cut-off that minimises the criterion: the best of a grid, refined between its neighbours."""
    max_edf = MAX_EDF_SHARE * len(gap)
    low, high = np.log(STIFFEST), np.log(SUPPLEST)
    places, best, best_value, last = np.empty(_TRIALS), 0, np.inf, _TRIALS - 1
    for k in range(_TRIALS):
        places[k] = low + (high - low) * k / (_TRIALS - 1)
        value, edf = _criterion(places[k], gap, w, r, p, qy, reml, u, c)
        if edf > max_edf and k > 0:
            places[k] = _cut_off_of_edf(max_edf, places[k - 1], places[k], r, p, qy, u, c)
            value, _ = _criterion(places[k], gap, w, r, p, qy, reml, u, c)
            last = k
        if value < best_value:
            best, best_value = k, value
        if k == last:
            break
    search = empty_state()
    trial = begin(search, places[max(best - 1, 0)], places[min(best + 1, last)], _TOLERANCE)
    while not search[DONE]:
        value, _ = _criterion(trial, gap, w, r, p, qy, reml, u, c)
        trial = proceed(search, value)
    return float(search[BEST] if search[BEST_VALUE] < best_value else places[best])


@kernel()
def _cut_off_of_edf(
    edf: float,
    low: float,
    high: float,
    r: FloatArray,
    p: FloatArray,
    qy: FloatArray,
    u: FloatArray,
    c: FloatArray,
) -> float:
    """Where the effective degrees of freedom, which rise with the cut-off, reach ``edf``; the side below."""
    while high - low > _TOLERANCE:
        middle = 0.5 * (low + high)
        trace, _ = _solve(_lambda(middle, len(qy)), r, p, qy, u, c)
        if trace > edf:
            high = middle
        else:
            low = middle
    return low


@kernel()
def _criterion(
    log_k: float,
    gap: FloatArray,
    w: FloatArray,
    r: FloatArray,
    p: FloatArray,
    qy: FloatArray,
    reml: bool,
    u: FloatArray,
    c: FloatArray,
) -> tuple[float, float]:
    """The criterion and the effective degrees of freedom; ``c`` is left solved.

    GCV: n sum_i w_i (y_i - g_i)^2 / (n - trace A)^2. REML: (n - 1) log y^T W (I - A) y - log det' (I - A), where the
    product leaves out the zero eigenvalue of the constant (Wahba 1990, section 4.8, generalised maximum likelihood);
    without terms that do not depend on lambda that is (n - 1) log (Q y)^T c + log det B.
    """
    n = len(gap)
    lam = _lambda(log_k, n)
    edf, log_det = _solve(lam, r, p, qy, u, c)
    if reml:
        energy = 0.0
        for i in range(n):
            energy += qy[i] * c[i]
        return (n - 1) * np.log(energy) + log_det, edf
    rss = 0.0
    for i in range(n):
        rss += (lam * _second_difference(c, gap, i)) ** 2 / w[i]
    return n * rss / (n - edf) ** 2, edf


@kernel()
def _second_difference(v: FloatArray, gap: FloatArray, i: int) -> float:
    """Row i of Q v."""
    n = len(v)
    after = v[i + 1] if i < n - 1 else v[0]
    before = v[i - 1] if i else v[n - 1]
    return float((after - v[i]) / gap[i] - (v[i] - before) / (gap[i - 1] if i else gap[n - 1]))


@kernel()
def _ring(x: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The gap after each point, R and P."""
    n = len(x)
    gap = np.empty(n)
    for i in range(n - 1):
        gap[i] = x[i + 1] - x[i]
    gap[n - 1] = x[0] + 1.0 - x[n - 1]
    r, p = np.zeros((n, 5)), np.zeros((n, 5))
    for i in range(n):
        before, after = (i - 1) % n, (i + 1) % n
        left, right, beyond = 1.0 / gap[before], 1.0 / gap[i], 1.0 / gap[after]
        _put(r, i, i, (gap[before] + gap[i]) / 3.0)
        _put(r, i, after, gap[i] / 6.0)
        _put(p, i, i, left**2 / w[before] + (left + right) ** 2 / w[i] + right**2 / w[after])
        _put(p, i, after, -right * ((left + right) / w[i] + (right + beyond) / w[after]))
        _put(p, i, (i + 2) % n, right * beyond / w[after])
    return gap, r, p


@kernel()
def _put(a: FloatArray, i: int, j: int, value: float) -> None:
    """Store A[i, j] of a symmetric matrix on the ring."""
    n, first, last = len(a), min(i, j), max(i, j)
    if first < n - 2 <= last:
        a[first, last - n + 5] = value
    else:
        a[first, last - first] = value


@kernel()
def _solve(
    lam: float, r: FloatArray, p: FloatArray, qy: FloatArray, u: FloatArray, c: FloatArray
) -> tuple[float, float]:
    """Solve B c = Q y; returns the trace of A and log det B. ``u`` is room for the factor."""
    n = len(qy)
    m = n - 2
    for i in range(n):
        c[i] = qy[i]
        for k in range(5):
            u[i, k] = r[i, k] + lam * p[i, k]
    log_det = _factor(u, c)
    # The corner: a symmetric 2 x 2 system and its inverse.
    share = u[m, 1] / u[m, 0]
    last = u[m + 1, 0] - share * u[m, 1]
    log_det += np.log(u[m, 0]) + np.log(last)
    inverse_tt = 1.0 / last
    inverse_st = -share * inverse_tt
    inverse_ss = 1.0 / u[m, 0] - share * inverse_st
    c[m + 1] = (c[m + 1] - share * c[m]) * inverse_tt
    c[m] = c[m] / u[m, 0] - share * c[m + 1]
    edf = r[m, 0] * inverse_ss + 2.0 * r[m, 1] * inverse_st + r[m + 1, 0] * inverse_tt
    edf += _back(r, u, c, inverse_ss, inverse_st, inverse_tt)
    return edf, log_det


@kernel()
def _factor(u: FloatArray, c: FloatArray) -> float:
    """Eliminate all but the corner, in place (``u[i, 0]`` becomes 1 / D_i); returns the log of the product of D_i."""
    m = len(c) - 2
    log_det = 0.0
    for i in range(m):
        log_det += np.log(u[i, 0])
        inverse = 1.0 / u[i, 0]
        e1, e2, es, et = u[i, 1], u[i, 2], u[i, 3], u[i, 4]
        f1, f2, fs, ft = e1 * inverse, e2 * inverse, es * inverse, et * inverse
        if i + 1 < m:
            u[i + 1, 0] -= f1 * e1
            u[i + 1, 1] -= f1 * e2
            u[i + 1, 3] -= f1 * es
            u[i + 1, 4] -= f1 * et
            c[i + 1] -= f1 * c[i]
        if i + 2 < m:
            u[i + 2, 0] -= f2 * e2
            u[i + 2, 3] -= f2 * es
            u[i + 2, 4] -= f2 * et
            c[i + 2] -= f2 * c[i]
        u[m, 0] -= fs * es
        u[m, 1] -= fs * et
        u[m + 1, 0] -= ft * et
        c[m] -= fs * c[i]
        c[m + 1] -= ft * c[i]
        u[i, 0], u[i, 1], u[i, 2], u[i, 3], u[i, 4] = inverse, f1, f2, fs, ft
    return log_det


@kernel()
def _back(r: FloatArray, u: FloatArray, c: FloatArray, ss: float, st: float, tt: float) -> float:
    """Finish ``c`` and the inverse upwards from the corner; returns the trace of R B^-1 less the corner's share.

    Names: ``z12`` is the entry of the inverse for the next unknown and the one after, ``z1s`` for the next
    and the first of the border, ``t`` its second; ``a`` stands for the unknown at hand.
    """
    m = len(c) - 2
    z11 = z12 = z22 = z1s = z1t = z2s = z2t = c1 = c2 = total = 0.0
    for i in range(m - 1, -1, -1):
        f1, f2, fs, ft = u[i, 1], u[i, 2], u[i, 3], u[i, 4]
        a1 = -(f1 * z11 + f2 * z12 + fs * z1s + ft * z1t)
        a2 = -(f1 * z12 + f2 * z22 + fs * z2s + ft * z2t)
        a_s = -(f1 * z1s + f2 * z2s + fs * ss + ft * st)
        a_t = -(f1 * z1t + f2 * z2t + fs * st + ft * tt)
        a_a = u[i, 0] - (f1 * a1 + f2 * a2 + fs * a_s + ft * a_t)
        total += r[i, 0] * a_a + 2.0 * (r[i, 1] * a1 + r[i, 3] * a_s + r[i, 4] * a_t)
        c[i] = c[i] * u[i, 0] - f1 * c1 - f2 * c2 - fs * c[m] - ft * c[m + 1]
        z22, z12, z11, z2s, z1s, z2t, z1t = z11, a1, a_a, z1s, a_s, z1t, a_t
        c2, c1 = c1, c[i]
    return total


@kernel()
def _evaluate(x: FloatArray, gap: FloatArray, g: FloatArray, c: FloatArray, curve: FloatArray) -> None:
    """The spline at the phases k / M."""
    n, size = len(x), len(curve)
    i = n - 1  # the interval that holds phase 0, from the last point of the cycle before
    start = x[n - 1] - 1.0
    following = 0
    for k in range(size):
        phase = k / size
        while following < n and x[following] <= phase:
            i, start = following, x[following]
            following += 1
        j = i + 1 if i < n - 1 else 0
        right = (phase - start) / gap[i]
        left = 1.0 - right
        bend = (left**3 - left) * c[i] + (right**3 - right) * c[j]
        curve[k] = left * g[i] + right * g[j] + bend * gap[i] ** 2 / 6.0
