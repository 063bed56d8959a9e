"""Which subtype of RR Lyrae a star is: given, or told by period and light-curve shape."""

from __future__ import annotations

import numpy as np
import pandas as pd

from photfeh.core.flags import Flag, predictable
from photfeh.core.lightcurves import LightCurves
from photfeh.core.startypes import type_masks
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.signal.fourier import FourierFit
from photfeh.signal.period import find_second_modes

__all__ = ["assign_types", "double_mode", "looks_fundamental"]

_SECOND_MODE_SCATTER = 0.06  # scatter over peak-to-peak amplitude; the second mode of an RRd leaves more than that
_SECOND_MODE_POWER = 0.5  # least share of the residuals that the second mode explains
_SECOND_MODE_ALARM = -3.0  # log10 of the probability of a false alarm


def assign_types(stars: pd.DataFrame) -> pd.DataFrame:
    """Fill in ``type`` where it is missing, not a subtype (RR), or not understood; ``type_source`` says where.

    Only stars that can be predicted are typed. Those that are said to be no RR Lyrae keep their type and get the flag
    WRONG_TYPE, those whose type is not understood UNKNOWN_TYPE.
    """
    stars = stars.copy()
    known = stars["type"].astype(object) if "type" in stars.columns else pd.Series(None, stars.index, dtype=object)
    subtype, other, strange = type_masks(known)
    stars["flag"] = stars["flag"].to_numpy(np.int64) | int(Flag.WRONG_TYPE) * other | int(Flag.UNKNOWN_TYPE) * strange
    fundamental = looks_fundamental(stars["period"].to_numpy(np.float64), stars["r21"].to_numpy(np.float64))
    guess = np.where(fundamental, "RRab", "RRc").astype(object)
    guess[~predictable(stars["flag"])] = None
    kept = subtype | other
    stars["type"] = known.where(kept, pd.Series(guess, index=stars.index))
    stars["type_source"] = np.where(kept, "given", "light curve")
    return stars


def looks_fundamental(period: FloatArray, r21: FloatArray) -> BoolArray:
    """Whether stars of these periods [d] and R21 are RRab rather than RRc, shape (N,).

    RRc below 0.35 d, RRab above 0.42 d, between them by R21 = A2 / A1, RRab above 0.3 (the ranges of Gaia's
    Specific Objects Study, Clementini+ 2023).
    """
    with np.errstate(invalid="ignore"):
        return np.asarray((period > 0.42) | ((period >= 0.35) & (r21 > 0.3)))


def double_mode(curves: LightCurves, phase: FloatArray, fit: FourierFit, period: FloatArray) -> BoolArray:
    """Whether the residuals of the fit hold a second period at the ratio of double-mode stars (RRd), shape (N,).

    Of 809 OGLE stars of a single mode none is marked; of simulated Gaia curves with a second mode of 0.4 times the
    amplitude of the first, seven in ten are. Never in folded curves.
    """
    if curves.folded:
        return np.zeros(len(curves), bool)
    found = np.zeros(len(curves), bool)
    noisy = np.flatnonzero(fit.ok & (fit.scatter > _SECOND_MODE_SCATTER * fit.peak_to_peak))
    if len(noisy):
        points = np.isin(curves.star_index, noisy)
        some = curves[noisy]
        residual = some.mag - _series(fit.coefficients[noisy], some.star_index, phase[points])
        limit = 4.0 * fit.scatter[noisy][some.star_index]
        _, power, alarm = find_second_modes(
            some.offsets, some.time, np.clip(residual, -limit, limit), period[noisy], 2 * fit.order[noisy] + 1
        )
        with np.errstate(invalid="ignore"):
            found[noisy] = (power > _SECOND_MODE_POWER) & (alarm < _SECOND_MODE_ALARM)
    return found


def _series(coefficients: FloatArray, star: IntArray, phase: FloatArray) -> FloatArray:
    """Value of each point's own series [mag], by Horner's rule in exp(2 pi i phase); shape (M,)."""
    turn = np.exp(2j * np.pi * phase)
    value = np.zeros(len(phase), complex)
    for k in range(coefficients.shape[1] // 2, 0, -1):
        value = (value + (coefficients[:, 2 * k - 1] - 1j * coefficients[:, 2 * k])[star]) * turn
    return np.asarray(value.real + coefficients[:, 0][star])
