"""The loop behind :func:`photfeh.signal.period.find_second_modes`."""

from __future__ import annotations

import math

import numpy as np

from photfeh.core.kernels import kernel
from photfeh.core.types import FloatArray, IntArray

__all__ = ["second_mode_all"]

_GRID_PER_PEAK = 4.0  # trial frequencies per 1 / baseline
_MOST_CYCLES = 2_000_000  # in a baseline; one absurd time must not hold up the others


@kernel()
def _sinusoid_power(
    time: FloatArray, value: FloatArray, low: float, high: float, step: float, now: FloatArray, turn: FloatArray
) -> tuple[float, float]:
    """Largest fraction of the variance that a sinusoid with free mean explains between two frequencies, and where.

    The periodogram of Zechmeister & Kuerster (2009, A&A 496, 577) with equal weights. ``now`` and ``turn`` (n, 2) are
    room for cosine and sine of each point at a frequency, and of what they turn by from one to the next.
    """
    n, best, where, square = len(time), 0.0, low, 0.0
    for p in range(n):
        angle, more = 2.0 * math.pi * low * time[p], 2.0 * math.pi * step * time[p]
        now[p, 0], now[p, 1] = math.cos(angle), math.sin(angle)
        turn[p, 0], turn[p, 1] = math.cos(more), math.sin(more)
        square += value[p] * value[p]
    square /= n
    for k in range(int((high - low) / step) + 1):
        c = s = yc = ys = cc = cs = 0.0
        for p in range(n):
            x, y = now[p, 0], now[p, 1]
            c, s = c + x, s + y
            yc, ys = yc + value[p] * x, ys + value[p] * y
            cc, cs = cc + x * x, cs + x * y
            now[p, 0], now[p, 1] = x * turn[p, 0] - y * turn[p, 1], x * turn[p, 1] + y * turn[p, 0]
        c, s, yc, ys, cc, cs = c / n, s / n, yc / n, ys / n, cc / n, cs / n
        xx, yy, xy = cc - c * c, 1.0 - cc - s * s, cs - c * s
        determinant = xx * yy - xy * xy
        if determinant > 1e-3:
            power = (yy * yc * yc + xx * ys * ys - 2.0 * xy * yc * ys) / (determinant * square)
            if power > best:
                best, where = power, low + k * step
    return best, where


@kernel()
def second_mode_all(
    first: int, last: int, offsets: IntArray, time: FloatArray, residual: FloatArray, frequency: FloatArray,
    parameters: IntArray, low: float, high: float, out: FloatArray,
) -> None:  # fmt: skip
    """Frequency, explained fraction and log10 of the false-alarm probability of a second mode: (N, 3).

    Searched at ``low`` to ``high`` times each star's frequency, and at frequency / ``high`` to frequency / ``low``.
    Plain loops: array expressions on complex numbers take seconds to compile.
    """
    for i in range(first, last):
        begin, end, f = offsets[i], offsets[i + 1], frequency[i]
        n = end - begin
        spare = n - parameters[i] - 3
        if not f > 0.0 or spare < 2:
            continue
        earliest, latest, mean, squares = time[begin], time[begin], 0.0, 0.0
        for p in range(begin, end):
            earliest, latest = min(earliest, time[p]), max(latest, time[p])
            mean += residual[p]
        middle, mean = 0.5 * (earliest + latest), mean / n
        baseline = 2.0 * (latest - middle)
        times, value = np.empty(n), np.empty(n)
        for p in range(n):
            times[p], value[p] = time[begin + p] - middle, residual[begin + p] - mean
            squares += value[p] * value[p]
        if not (math.isfinite(baseline) and baseline * f >= 2.0 and baseline * f < _MOST_CYCLES):
            continue
        if not squares > 0.0:
            continue
        step = 1.0 / (_GRID_PER_PEAK * baseline)
        now, turn = np.empty((n, 2)), np.empty((n, 2))
        power, where = _sinusoid_power(times, value, f * low, f * high, step, now, turn)
        other, there = _sinusoid_power(times, value, f / high, f / low, step, now, turn)
        if other > power:
            power, where = other, there
        trials = max((high - low) * (1.0 + 1.0 / (low * high)) * f * baseline, 1.0)
        alarm = math.log10(trials) + 0.5 * spare * math.log10(max(1.0 - power, 1e-12))
        out[i, 0], out[i, 1], out[i, 2] = where, power, alarm
