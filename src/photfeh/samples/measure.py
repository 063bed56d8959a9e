"""From raw light curves to measured ones: cleaned, folded, decomposed, aligned; with one table row a star.

This is the one door between observation and everything later: `prepare` and `predict` both go through it, so that a
star is treated alike in training and in use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from photfeh.core.arrays import frozen, owned
from photfeh.core.flags import Flag
from photfeh.core.lightcurves import LightCurves
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.samples.periods import Periods, check_period_setting, periods_in_limits, settle_periods
from photfeh.samples.types import assign_types, double_mode
from photfeh.signal.clean import plausible_points
from photfeh.signal.fold import align_phases, fold_times, max_phase_gap, phase_coverage
from photfeh.signal.fourier import MIN_POINTS, FourierFit, fit_fourier, regularised_harmonics

__all__ = ["N_HARMONICS", "Measurement", "measure"]

N_HARMONICS = 6
"""Harmonics of the regularised decomposition that feeds the feature-based models."""

_LONGEST = 1e5  # days from the star's median epoch; photography of variable stars is not so old
_BRIGHTEST = 1e3  # mag, either sign: beyond are fluxes and place-holders
_SPARSE = 20
_WIDE_GAP = 0.25
_NOISY = 0.25


@dataclass(frozen=True, eq=False)
class Measurement:
    """N measured stars.

    ``curves``: folded, cleaned, phases aligned on phi1 = 0. ``point_weight`` (M,): robust weight in [0, 1] of each
    point. ``table``: one row a star in the same order: the given columns, the Fourier parameters of
    :data:`photfeh.core.stars.COLUMNS` and ``flag``. ``harmonics`` (N, 13): regularised zp, a_1, b_1, ... in the aligned
    frame [mag] (b_1 is close to, not exactly, zero).
    """

    curves: LightCurves
    point_weight: FloatArray
    table: pd.DataFrame
    harmonics: FloatArray

    def __post_init__(self) -> None:
        for name in ("point_weight", "harmonics"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))

    def __len__(self) -> int:
        return len(self.table)

    def select(self, mask: BoolArray) -> Measurement:
        """The stars for which ``mask`` (N,) is true, in their order."""
        if mask.all():
            return self
        return Measurement(
            self.curves[mask],
            frozen(self.point_weight[np.repeat(mask, self.curves.n_epochs)]),
            self.table[mask].reset_index(drop=True),
            frozen(self.harmonics[mask]),
        )

    @property
    def max_phase(self) -> FloatArray:
        """Phase of maximum light in the aligned frame [cycle], shape (N,)."""
        return self.table["max_phase"].to_numpy(dtype=np.float64)


def measure(curves: LightCurves, stars: pd.DataFrame, *, periods: Periods = "given") -> Measurement:
    """Measure the stars of a table; a star without light curve or period gets a row with NaN and a flag.

    Parameters
    ----------
    curves : LightCurves
        In time or already folded; stars that are not in ``stars`` are left out.
    stars : DataFrame
        As :func:`photfeh.core.stars.validate_stars` returns it; ``period`` may be missing where the curves are in time.
    periods : {"given", "check", "search"}
        Which periods are searched, see :data:`photfeh.samples.periods.Periods`; columns ``period_source``,
        ``period_error`` and the flags tell.

    Raises
    ------
    MissingColumn, BadInput, UnknownName
        as :func:`photfeh.samples.periods.check_period_setting`.
    """
    check_period_setting(curves, stars, periods)
    curves = curves.reindex(stars["source_id"].to_numpy())
    curves = _plausible(curves)
    table = settle_periods(curves, stars, periods)
    period = table["period"].to_numpy(dtype=np.float64)
    usable = periods_in_limits(period)
    phase = curves.time if curves.folded else fold_times(curves.offsets, curves.time, np.where(usable, period, np.nan))
    fit = fit_fourier(curves.offsets, phase, curves.mag, curves.mag_error)
    fit = replace(fit, order=np.where(usable, fit.order, 0))
    aligned, weight = _align(curves, phase, fit)
    scatter = np.where(fit.ok, fit.scatter, np.nan)
    harmonics = regularised_harmonics(
        aligned.offsets, aligned.time, aligned.mag, weight, scatter, n_harmonics=N_HARMONICS
    )
    for name, values in _columns(curves, phase, fit, period).items():
        table[name] = values
    table["flag"] |= _flags(table, period, usable, fit)
    table["flag"] |= int(Flag.DOUBLE_MODE) * double_mode(curves, phase, fit, period)
    return Measurement(aligned, frozen(weight), assign_types(table), frozen(harmonics))


def _plausible(curves: LightCurves) -> LightCurves:
    """The points that can belong to the curve of a star: see :data:`_LONGEST`, :data:`_BRIGHTEST` and `signal.clean`.

    A time or magnitude that is absurd (a place-holder, say) must neither steer the others nor overflow.
    """
    sane = np.abs(curves.mag) < _BRIGHTEST
    if not curves.folded and len(curves.time):
        middle = np.minimum((curves.offsets[:-1] + curves.offsets[1:]) // 2, len(curves.time) - 1)
        with np.errstate(over="ignore"):
            sane &= np.abs(curves.time - curves.time[middle][curves.star_index]) < _LONGEST
    if not sane.all():
        curves = curves.select_points(sane)
    return curves.select_points(plausible_points(curves.offsets, curves.mag, curves.mag_error))


def _align(curves: LightCurves, phase: FloatArray, fit: FourierFit) -> tuple[LightCurves, FloatArray]:
    """Shift phases so that phi1 = 0 and sort them, taking the weights along."""
    moved = align_phases(curves.offsets, phase, fit.phase(1) / (2 * np.pi))
    order = np.lexsort((moved, curves.star_index))
    phase, mag, mag_error = (frozen(column[order]) for column in (moved, curves.mag, curves.mag_error))
    aligned = LightCurves(curves.source_id, curves.offsets, phase, mag, mag_error, curves.band, True)
    return aligned, fit.point_weight[order]


def _columns(
    curves: LightCurves, phase: FloatArray, fit: FourierFit, period: FloatArray
) -> dict[str, npt.NDArray[Any]]:
    ok = fit.ok
    columns: dict[str, npt.NDArray[Any]] = {
        "n_epochs": curves.n_epochs - fit.n_rejected,
        "n_rejected": fit.n_rejected,
        "n_harmonics": fit.order,
        "zero_point": fit.coefficients[:, 0],
        "peak_to_peak": fit.peak_to_peak,
        "max_phase": np.mod(fit.max_phase + fit.phase(1) / (2 * np.pi), 1.0),
        "scatter": fit.scatter,
        "snr": fit.peak_to_peak / fit.scatter * np.sqrt(np.maximum(curves.n_epochs - fit.n_rejected, 0)),
        "max_gap": max_phase_gap(curves.offsets, phase),
        "phase_coverage": phase_coverage(curves.offsets, phase),
    }
    for k in (1, 2, 3):
        columns[f"a{k}"], columns[f"a{k}_error"] = fit.amplitude(k), fit.amplitude_error(k)
    for k in (2, 3):
        columns[f"r{k}1"], columns[f"r{k}1_error"] = fit.ratio(k)
        columns[f"phi{k}1"], columns[f"phi{k}1_error"] = fit.phase_difference(k)
    columns["epoch_of_maximum"] = _epoch_of_maximum(curves, fit, period)
    measured = [
        name for name in columns if name not in ("n_epochs", "n_rejected", "n_harmonics", "max_gap", "phase_coverage")
    ]
    for name in measured:
        columns[name] = np.where(ok, columns[name], np.nan)
    return columns


def _epoch_of_maximum(curves: LightCurves, fit: FourierFit, period: FloatArray) -> FloatArray:
    """First maximum after the first epoch [d]; for folded curves its phase."""
    if curves.folded or len(curves.time) == 0:
        return fit.max_phase
    first = curves.time[np.minimum(curves.offsets[:-1], len(curves.time) - 1)]
    return np.asarray(first + fit.max_phase * period)


def _flags(table: pd.DataFrame, period: FloatArray, usable: BoolArray, fit: FourierFit) -> IntArray:
    n_points = table["n_epochs"] + table["n_rejected"]
    flag = np.zeros(len(table), np.int64)
    some = n_points >= MIN_POINTS
    for bit, where in (
        (Flag.NO_LIGHT_CURVE, n_points == 0),
        (Flag.NO_PERIOD, np.isnan(period)),
        (Flag.BAD_PERIOD, ~np.isnan(period) & ~usable),
        (Flag.TOO_FEW_EPOCHS, (n_points > 0) & (n_points < MIN_POINTS)),
        (Flag.NO_FIT, usable & some & ~fit.ok),
        (Flag.SPARSE, some & (table["n_epochs"] < _SPARSE)),
        (Flag.PHASE_GAP, some & (table["max_gap"] > _WIDE_GAP)),
        (Flag.NOISY, table["scatter"] > _NOISY * table["peak_to_peak"]),
    ):
        flag[np.asarray(where, bool)] |= int(bit)
    return flag
