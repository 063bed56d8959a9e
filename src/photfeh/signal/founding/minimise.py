"""Bounded Brent minimisation in the form ask and tell, so that compiled kernels can share it.

The steps are those of ``scipy.optimize.minimize_scalar(method="bounded")`` (Brent 1973; Forsythe, Malcolm and
Moler 1977, ``fmin``), one for one: where a function has several minima, the same one is found.

    step = empty_state()
    x = begin(step, low, high, tolerance)
    while not step[DONE]:
        x = proceed(step, function(x))
    best = step[BEST]
"""

from __future__ import annotations

import numpy as np

from photfeh.core.kernels import kernel
from photfeh.core.types import FloatArray

__all__ = ["BEST", "BEST_VALUE", "DONE", "FAILED", "begin", "empty_state", "proceed"]


# Places in the state vector. Second and third are the runners-up that the parabola passes through.
BEST, BEST_VALUE, SECOND, SECOND_VALUE, THIRD, THIRD_VALUE = 0, 1, 2, 3, 4, 5
LOW, HIGH, STEP, LAST_STEP, ASKED, COUNT, TOLERANCE, DONE, FAILED = 6, 7, 8, 9, 10, 11, 12, 13, 14

_GOLDEN = 0.5 * (3.0 - np.sqrt(5.0))
_SQRT_EPS = np.sqrt(2.2e-16)
_MAX_CALLS = 500


@kernel()
def empty_state() -> FloatArray:
    """Room for one minimisation."""
    return np.zeros(15)


@kernel()
def begin(s: FloatArray, low: float, high: float, tolerance: float) -> float:
    """Start on ``low..high``; returns the first place to evaluate. ``tolerance`` is absolute, in x."""
    s.fill(0.0)
    s[LOW], s[HIGH], s[TOLERANCE] = low, high, tolerance
    s[BEST] = s[SECOND] = s[THIRD] = s[ASKED] = low + _GOLDEN * (high - low)
    return float(s[ASKED])


@kernel()
def proceed(s: FloatArray, value: float) -> float:
    """Take the function's value at the place asked for; returns the next place, or sets ``DONE``."""
    s[COUNT] += 1
    if s[COUNT] == 1:
        s[BEST_VALUE] = s[SECOND_VALUE] = s[THIRD_VALUE] = value
    else:
        _shrink(s, s[ASKED], value)
    middle = 0.5 * (s[LOW] + s[HIGH])
    tol1 = _SQRT_EPS * abs(s[BEST]) + s[TOLERANCE] / 3.0
    if s[COUNT] >= _MAX_CALLS or np.isnan(value) or np.isnan(s[BEST_VALUE]):
        s[FAILED] = s[DONE] = 1.0
    elif not abs(s[BEST] - middle) > 2.0 * tol1 - 0.5 * (s[HIGH] - s[LOW]):
        s[DONE] = 1.0
    else:
        if not _parabolic_step(s, middle, tol1):
            s[LAST_STEP] = (s[LOW] if s[BEST] >= middle else s[HIGH]) - s[BEST]
            s[STEP] = _GOLDEN * s[LAST_STEP]
        sign = 1.0 if s[STEP] >= 0 else -1.0
        s[ASKED] = s[BEST] + sign * max(abs(s[STEP]), tol1)
    return float(s[ASKED])


@kernel()
def _shrink(s: FloatArray, x: float, value: float) -> None:
    """Narrow the bracket and rank the three best places."""
    if value <= s[BEST_VALUE]:
        if x >= s[BEST]:
            s[LOW] = s[BEST]
        else:
            s[HIGH] = s[BEST]
        s[THIRD], s[THIRD_VALUE] = s[SECOND], s[SECOND_VALUE]
        s[SECOND], s[SECOND_VALUE] = s[BEST], s[BEST_VALUE]
        s[BEST], s[BEST_VALUE] = x, value
        return
    if x < s[BEST]:
        s[LOW] = x
    else:
        s[HIGH] = x
    if value <= s[SECOND_VALUE] or s[SECOND] == s[BEST]:
        s[THIRD], s[THIRD_VALUE] = s[SECOND], s[SECOND_VALUE]
        s[SECOND], s[SECOND_VALUE] = x, value
    elif value <= s[THIRD_VALUE] or s[THIRD] == s[BEST] or s[THIRD] == s[SECOND]:
        s[THIRD], s[THIRD_VALUE] = x, value


@kernel()
def _parabolic_step(s: FloatArray, middle: float, tol1: float) -> bool:
    """Set the step to the minimum of the parabola through the three best places, if that is acceptable."""
    if not abs(s[LAST_STEP]) > tol1:
        return False
    best = s[BEST]
    r = (best - s[SECOND]) * (s[BEST_VALUE] - s[THIRD_VALUE])
    q = (best - s[THIRD]) * (s[BEST_VALUE] - s[SECOND_VALUE])
    p = (best - s[THIRD]) * q - (best - s[SECOND]) * r
    q = 2.0 * (q - r)
    if q > 0.0:
        p = -p
    q = abs(q)
    r = s[LAST_STEP]
    s[LAST_STEP] = s[STEP]
    if not (abs(p) < abs(0.5 * q * r) and p > q * (s[LOW] - best) and p < q * (s[HIGH] - best)):
        return False
    s[STEP] = p / q
    x = best + s[STEP]
    if (x - s[LOW]) < 2.0 * tol1 or (s[HIGH] - x) < 2.0 * tol1:
        s[STEP] = tol1 if middle >= best else -tol1
    return True
