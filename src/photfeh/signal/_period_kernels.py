"""The loops behind :mod:`photfeh.signal.period`: block sums, small solves, the search and the refinement."""

from __future__ import annotations

import math

import numpy as np

from photfeh.core.kernels import kernel
from photfeh.core.types import FloatArray, IntArray

__all__ = ["ALIASES", "MIN_EPOCHS", "refine_all", "search_all"]

Workspace = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]

MIN_EPOCHS = 10
"""Fewest points of a star that is searched; with fewer, many wrong periods fit."""

_LANES = 64  # frequencies that pass through the kernels together
_OVERSAMPLING = 4.0  # grid points per 1 / baseline
_MAX_GRID = 2_000_000  # frequencies; one absurd time must not hold up the others
_COARSE = 2.0  # reach in 1 / baseline from which on a refinement takes two steps
_CANDIDATES = 16
ALIASES = 4
_LEADING = 0.5  # least share of the explained variance that the first harmonic alone must explain
_FLOOR = 0.03  # mag: calibration noise, modulation and the harmonics left out


@kernel()
def _ready_star(time: FloatArray, mag: FloatArray, mag_error: FloatArray) -> tuple[int, FloatArray]:
    """Number of usable points and rows (time from mid-baseline, weight, weight times scaled magnitude).

    Weights sum to 1; magnitudes have weighted mean 0 and variance 1, so that the sums of squares are fractions. The
    rows have even length, filled with zeros. No points are counted where nothing varies.
    """
    n = len(time)
    star = np.zeros((3, n + n % 2))
    known = mag_error[mag_error > 0.0]
    usual = np.median(known) if len(known) > 0 else 0.0
    kept = 0
    for p in range(n):
        if math.isfinite(time[p]) and math.isfinite(mag[p]):
            error = mag_error[p] if mag_error[p] > 0.0 else usual
            star[0, kept], star[1, kept], star[2, kept] = time[p], 1.0 / (error**2 + _FLOOR**2), mag[p]
            kept += 1
    if kept == 0:
        return 0, star
    points = star[:, :kept]
    points[0] -= 0.5 * (points[0].min() + points[0].max())
    points[1] /= points[1].sum()
    points[2] -= np.sum(points[1] * points[2])
    variance = np.sum(points[1] * points[2] ** 2)
    if not variance > 1e-12 or not points[0].max() > points[0].min():
        return 0, star
    points[2] *= points[1] / math.sqrt(variance)
    return kept, star


@kernel(fastmath=True)
def _workspace(points: int, order: int) -> Workspace:
    """Rotation table, rotation of the block's first frequency, sums, normal matrix and residual fractions."""
    return (
        np.empty((2 * order, 2, points, _LANES)),
        np.empty((2 * order, 2, points)),
        np.empty((6 * order + 2, _LANES)),
        np.empty((order * (2 * order + 1), _LANES)),
        np.empty((order, _LANES)),
    )


@kernel()
def _set_step(star: FloatArray, step: float, work: Workspace) -> None:
    """Rotation of every point from the first frequency of a block to each lane, for each multiple of the frequency."""
    table = work[0]
    for p in range(star.shape[1]):
        angle = 2.0 * math.pi * step * star[0, p]
        for lane in range(_LANES):
            table[0, 0, p, lane], table[0, 1, p, lane] = math.cos(lane * angle), math.sin(lane * angle)
        c, s = table[0, 0, p], table[0, 1, p]
        for k in range(1, len(table)):
            for lane in range(_LANES):
                a, b = table[k - 1, 0, p, lane], table[k - 1, 1, p, lane]
                table[k, 0, p, lane], table[k, 1, p, lane] = a * c[lane] - b * s[lane], b * c[lane] + a * s[lane]


@kernel(fastmath=True)
def _sum_block(star: FloatArray, start: float, order: int, work: Workspace) -> None:
    """Rows 2k, 2k + 1: sums of w cos, w sin of k times the frequency, k <= 2H; from row 4H + 2: of w m, k <= H.

    Two points go together, since stores limit the speed.
    """
    table, base, sums = work[0], work[1], work[2]
    for p in range(star.shape[1]):
        cycles = start * star[0, p]
        angle = 2.0 * math.pi * (cycles - math.floor(cycles))
        c, s = math.cos(angle), math.sin(angle)
        base[0, 0, p], base[0, 1, p] = c, s
        for k in range(1, 2 * order):
            base[k, 0, p] = base[k - 1, 0, p] * c - base[k - 1, 1, p] * s
            base[k, 1, p] = base[k - 1, 0, p] * s + base[k - 1, 1, p] * c
    sums[:, :] = 0.0
    sums[0, :] = 1.0
    for k in range(2 * order):
        a, b = sums[2 * k + 2], sums[2 * k + 3]
        for p in range(0, star.shape[1], 2):
            c0, s0, c1, s1 = base[k, 0, p], base[k, 1, p], base[k, 0, p + 1], base[k, 1, p + 1]
            w0, w1 = star[1, p], star[1, p + 1]
            tc0, ts0, tc1, ts1 = table[k, 0, p], table[k, 1, p], table[k, 0, p + 1], table[k, 1, p + 1]
            if k < order:
                v0, v1 = star[2, p], star[2, p + 1]
                ya, yb = sums[4 * order + 2 * k + 2], sums[4 * order + 2 * k + 3]
                for lane in range(_LANES):
                    cos0, sin0 = c0 * tc0[lane] - s0 * ts0[lane], s0 * tc0[lane] + c0 * ts0[lane]
                    cos1, sin1 = c1 * tc1[lane] - s1 * ts1[lane], s1 * tc1[lane] + c1 * ts1[lane]
                    a[lane] += w0 * cos0 + w1 * cos1
                    b[lane] += w0 * sin0 + w1 * sin1
                    ya[lane] += v0 * cos0 + v1 * cos1
                    yb[lane] += v0 * sin0 + v1 * sin1
            else:
                for lane in range(_LANES):
                    cos0, sin0 = c0 * tc0[lane] - s0 * ts0[lane], s0 * tc0[lane] + c0 * ts0[lane]
                    cos1, sin1 = c1 * tc1[lane] - s1 * ts1[lane], s1 * tc1[lane] + c1 * ts1[lane]
                    a[lane] += w0 * cos0 + w1 * cos1
                    b[lane] += w0 * sin0 + w1 * sin1


@kernel(fastmath=True)
def _fill_matrix(order: int, sums: FloatArray, matrix: FloatArray) -> None:
    """Lower triangle, row by row, of the weighted covariance of cos 1, sin 1, cos 2, ... by the product formulae."""
    for i in range(2 * order):
        j = i // 2 + 1
        for q in range(i + 1):
            k = q // 2 + 1
            row, a, b = matrix[i * (i + 1) // 2 + q], sums[2 * j + i % 2], sums[2 * k + q % 2]
            mixed = (i + q) % 2
            difference, total = sums[2 * (j - k) + mixed], sums[2 * (j + k) + mixed]
            if i % 2 == 0 and mixed == 0:
                sign, sign_total = 1.0, 1.0
            elif mixed == 0:
                sign, sign_total = 1.0, -1.0
            else:
                sign, sign_total = (1.0 if i % 2 == 1 else -1.0), 1.0
            for lane in range(_LANES):
                row[lane] = 0.5 * (sign * difference[lane] + sign_total * total[lane]) - a[lane] * b[lane]


@kernel(fastmath=True)
def _solve_block(order: int, work: Workspace) -> None:
    """Fractions of the variance left by 1..H harmonics: one Cholesky factor a lane, leading blocks for lower orders."""
    sums, matrix, left = work[2], work[3], work[4]
    _fill_matrix(order, sums, matrix)
    z = sums[4 * order + 2 :]
    for i in range(2 * order):
        first = i * (i + 1) // 2
        diagonal = matrix[first + i]
        for q in range(i):
            row = matrix[first + q]
            for k in range(q):
                a, b = matrix[first + k], matrix[q * (q + 1) // 2 + k]
                for lane in range(_LANES):
                    row[lane] -= a[lane] * b[lane]
            inverse, zq = matrix[q * (q + 1) // 2 + q], z[q]
            for lane in range(_LANES):
                row[lane] *= inverse[lane]
                diagonal[lane] -= row[lane] * row[lane]
                z[i, lane] -= row[lane] * zq[lane]
        for lane in range(_LANES):  # the diagonal becomes its inverse; a column that adds nothing is left out
            diagonal[lane] = 1.0 / math.sqrt(diagonal[lane]) if diagonal[lane] > 1e-8 else 0.0
            z[i, lane] *= diagonal[lane]
    for k in range(order):
        for lane in range(_LANES):
            before = left[k - 1, lane] if k > 0 else 1.0
            left[k, lane] = before - z[2 * k, lane] ** 2 - z[2 * k + 1, lane] ** 2


@kernel()
def _penalties(n: int, order: int) -> FloatArray:
    """Factors exp(2 K c / n), K = 1..H, with which the least residual has the least BIC; c = ln n, more for few points.

    The small-sample term (Hurvich & Tsai 1989) keeps orders near n / 2 from winning by interpolation.
    """
    factor = np.full(order, np.inf)
    for k in range(1, order + 1):
        spare = n - 2 * k - 2
        if spare > 0:
            factor[k - 1] = math.exp(2.0 * k / n * max(math.log(n), 2.0 * n / spare))
    return factor


@kernel()
def _score(left: FloatArray, lane: int, factor: FloatArray, leading: float) -> float:
    """Least penalised residual over the orders in which the first harmonic leads, as in every RR Lyrae.

    In a series of twice or three times the period of a nearly sinusoidal RRc, the second or third harmonic leads.
    """
    best = np.inf
    for k in range(len(factor)):
        if 1.0 - left[0, lane] >= leading * (1.0 - left[k, lane]):
            best = min(best, max(left[k, lane], 1e-12) * factor[k])
    return best


@kernel()
def _zoom(
    star: FloatArray, middle: float, step: float, factor: FloatArray, leading: float, work: Workspace
) -> tuple[float, float, float]:
    """Frequency, score and residual fraction (all H harmonics) of the best lane around ``middle``, by a parabola."""
    start = middle - (_LANES // 2) * step
    _sum_block(star, start, len(factor), work)
    _solve_block(len(factor), work)
    left, best, least = work[4], 0, np.inf
    for lane in range(_LANES):
        score = _score(left, lane, factor, leading)
        if score < least:
            best, least = lane, score
    shift = 0.0
    if 0 < best < _LANES - 1:
        below, above = _score(left, best - 1, factor, leading), _score(left, best + 1, factor, leading)
        bend = below + above - 2.0 * least
        shift = 0.5 * (below - above) / bend if bend > 0.0 else 0.0
    return start + (best + min(max(shift, -0.5), 0.5)) * step, least, max(left[len(factor) - 1, best], 0.0)


@kernel()
def _candidates(
    star: FloatArray, low: float, high: float, step: float, factor: FloatArray, work: Workspace
) -> FloatArray:
    """Frequencies (row 0) and scores (row 1) of the best local minima of the score on the grid, best first."""
    found = np.full((2, _CANDIDATES), np.inf)
    order, leading, here, last = len(factor), _LEADING, np.inf, np.inf
    for block in range(math.ceil((high - low) / step / _LANES)):
        start = low + block * _LANES * step
        _sum_block(star, start, order, work)
        _solve_block(order, work)
        for lane in range(_LANES):
            ahead = _score(work[4], lane, factor, leading)
            frequency = start + (lane - 1) * step
            if here <= last and here < ahead and here < found[1, -1] and frequency <= high:
                place = _CANDIDATES - 1
                while place > 0 and found[1, place - 1] > here:
                    found[:, place] = found[:, place - 1]
                    place -= 1
                found[0, place], found[1, place] = frequency, here
            last, here = here, ahead
    return found


@kernel()
def search_all(
    first: int, last: int, offsets: IntArray, time: FloatArray, mag: FloatArray, mag_error: FloatArray,
    low: float, high: float, order: int, out: FloatArray,
) -> None:  # fmt: skip
    """Frequency, score and residual fraction of the best candidates of each star, best first: (N, 1 + A, 3)."""
    for i in range(first, last):
        here = slice(offsets[i], offsets[i + 1])
        n, star = _ready_star(time[here], mag[here], mag_error[here])
        if n < max(MIN_EPOCHS, 2 * order + 4):
            continue
        baseline = star[0].max() - star[0].min()
        if baseline * low < 2.0:
            continue
        step = max(1.0 / (_OVERSAMPLING * baseline), (high - low) / _MAX_GRID)
        factor, work = _penalties(n, order), _workspace(star.shape[1], order)
        _set_step(star, step, work)
        found = _candidates(star, low, high, step, factor, work)
        fine = 2.0 * step / _LANES
        _set_step(star, fine, work)
        best = np.full((_CANDIDATES, 3), np.inf)
        for j in range(_CANDIDATES):
            if found[1, j] < np.inf:
                best[j, 0], best[j, 1], best[j, 2] = _zoom(star, found[0, j], fine, factor, _LEADING, work)
        rank = np.argsort(best[:, 1])
        for j in range(min(ALIASES + 1, _CANDIDATES)):
            out[i, j] = best[rank[j]]


@kernel()
def _polish(star: FloatArray, n: int, frequency: float, order: int) -> tuple[float, float]:
    """Frequency and its standard error by Gauss-Newton steps on frequency and series together, outliers down-weighted.

    The error comes from the curvature by the sandwich formula HC3 (MacKinnon & White 1985, J. Econometrics 29, 305),
    not from the plain covariance behind Montgomery & O'Donoghue (1999, DSSN 13, 28): modulation and missing harmonics
    leave residuals that are largest on the steep branches, just where the period is measured.
    """
    time, weight = star[0, :n], star[1, :n]
    value, span, size = star[2, :n] / weight, time.max() - time.min(), 2 * order + 2
    design, robust, series, variance = np.ones((n, size)), np.ones(n), np.zeros(size - 1), np.nan
    for turn in range(8):
        design[:, size - 1] = 0.0
        for k in range(1, order + 1):
            angle = 2.0 * math.pi * k * frequency * time
            a, b = 2 * k - 1, 2 * k
            design[:, a], design[:, b] = np.cos(angle), np.sin(angle)
            slope = series[b] * design[:, a] - series[a] * design[:, b]
            design[:, size - 1] += 2.0 * math.pi * k * time / span * slope
        residual = value - np.ascontiguousarray(design[:, : size - 1]) @ series
        if turn > 1:
            scale = 1.4826 * np.median(np.abs(residual)) + 1e-9
            robust = np.maximum(1.0 - (residual / (6.0 * scale)) ** 2, 0.0) ** 2
        weighted = design * (weight * robust).reshape(-1, 1)
        columns = np.ascontiguousarray(design.T)
        matrix = columns @ weighted
        for j in range(size):
            matrix[j, j] += 1e-12  # keeps a singular system from stopping the other stars
        change = np.linalg.solve(matrix, columns @ (weight * robust * residual))
        series += change[: size - 1]
        if turn > 0:
            frequency += min(max(change[size - 1], -0.1), 0.1) / span
            inverse = np.linalg.inv(matrix)
            leverage = np.minimum((weighted @ inverse * design).sum(axis=1), 0.9)
            influence = weighted @ np.ascontiguousarray(inverse[size - 1]) * residual / (1.0 - leverage)
            variance = np.sum(influence**2)
    return frequency, math.sqrt(variance) / span


@kernel()
def refine_all(
    first: int, last: int, offsets: IntArray, time: FloatArray, mag: FloatArray, mag_error: FloatArray,
    frequency: FloatArray, reach: FloatArray, order: int, out: FloatArray,
) -> None:  # fmt: skip
    """Explained variance at the frequency given; refined frequency and its error where ``reach`` > 0: (N, 3)."""
    for i in range(first, last):
        here = slice(offsets[i], offsets[i + 1])
        n, star = _ready_star(time[here], mag[here], mag_error[here])
        baseline = star[0].max() - star[0].min() if n > 0 else 0.0
        if n < max(MIN_EPOCHS, 2 * order + 4) or not baseline * frequency[i] >= 2.0:
            continue
        factor, work = _penalties(n, order), _workspace(star.shape[1], order)
        step = 2.0 * reach[i] / baseline / _LANES
        _set_step(star, step, work)
        _sum_block(star, frequency[i], order, work)
        _solve_block(order, work)
        out[i, 0] = 1.0 - work[4][order - 1, 0]
        if reach[i] > 0.0:
            near = _zoom(star, frequency[i], step, factor, 0.0, work)[0]
            if reach[i] > _COARSE:
                _set_step(star, 4.0 * step / _LANES, work)
                near = _zoom(star, near, 4.0 * step / _LANES, factor, 0.0, work)[0]
            _sum_block(star, near, order, work)
            _solve_block(order, work)
            best = int(np.argmin(work[4][:, 0] * factor)) + 1
            near, error = _polish(star, n, near, best)
            if abs(near - frequency[i]) <= (reach[i] + 0.5) / baseline and error < 1.0 / baseline:
                out[i, 1], out[i, 2] = near, error
