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
def _sinusoid_power(time: FloatArray, value: FloatArray, low: float, high: float, step: float) -> tuple[float, float]:
    """Largest fraction of the variance that a sinusoid with free mean explains between two frequencies, and where.

    The periodogram of Zechmeister & Kuerster (2009, A&A 496, 577) with equal weights.
    """
    n, best, where = len(time), 0.0, low
    now, turn = np.exp(2j * math.pi * low * time), np.exp(2j * math.pi * step * time)
    square = np.sum(value**2) / n
    for k in range(int((high - low) / step) + 1):
        c = s = yc = ys = cc = cs = 0.0
        for p in range(n):
            x, y = now[p].real, now[p].imag
            c, s = c + x, s + y
            yc, ys = yc + value[p] * x, ys + value[p] * y
            cc, cs = cc + x * x, cs + x * y
            now[p] *= turn[p]
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
    """
    for i in range(first, last):
        here = slice(offsets[i], offsets[i + 1])
        n = offsets[i + 1] - offsets[i]
        spare = n - parameters[i] - 3
        if not frequency[i] > 0.0 or spare < 2:
            continue
        times = time[here] - 0.5 * (time[here].min() + time[here].max())
        baseline = 2.0 * times.max()
        value = residual[here] - np.mean(residual[here])
        if not (math.isfinite(baseline) and baseline * frequency[i] >= 2.0 and baseline * frequency[i] < _MOST_CYCLES):
            continue
        if not np.sum(value**2) > 0.0:
            continue
        step = 1.0 / (_GRID_PER_PEAK * baseline)
        f = frequency[i]
        power, where = _sinusoid_power(times, value, f * low, f * high, step)
        other, there = _sinusoid_power(times, value, f / high, f / low, step)
        if other > power:
            power, where = other, there
        trials = max((high - low) * (1.0 + 1.0 / (low * high)) * f * baseline, 1.0)
        alarm = math.log10(trials) + 0.5 * spare * math.log10(max(1.0 - power, 1e-12))
        out[i, 0], out[i, 1], out[i, 2] = where, power, alarm
