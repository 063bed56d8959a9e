"""From raw light curves to measured ones: cleaned, folded, decomposed, aligned; with one table row a star.

This is the one door between observation and everything later: `prepare` and `predict` both go through it, so that a
star is treated alike in training and in use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from photfeh.core.arrays import frozen, owned
from photfeh.core.errors import BadInput, MissingColumn, UnknownName
from photfeh.core.flags import Flag, predictable
from photfeh.core.lightcurves import LightCurves
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.signal.clean import plausible_points
from photfeh.signal.fold import align_phases, fold_times, max_phase_gap, phase_coverage
from photfeh.signal.fourier import MIN_POINTS, FourierFit, fit_fourier, regularised_harmonics
from photfeh.signal.period import check_periods, find_periods, refine_periods

__all__ = ["N_HARMONICS", "PERIOD_LIMITS", "Measurement", "Periods", "assign_types", "check_period_setting", "measure"]


Periods = Literal["given", "check", "search"]
"""``given``: only missing periods are searched. ``check``: given ones that clearly do not fit are replaced, too.
``search``: given ones are ignored."""

PERIOD_LIMITS = (0.1, 1.5)
"""Periods [d] outside are taken as mistakes: no RR Lyrae star pulsates so fast or so slowly."""

N_HARMONICS = 6
"""Harmonics of the regularised decomposition that feeds the feature-based models."""

_SPARSE = 20
_WIDE_GAP = 0.25
_NOISY = 0.25
_DOUBTFUL = 10.0  # difference of the information criterion below which two periods are taken as equally good
_CLEAR = 20.0  # and from which on a given period is replaced


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
        Which periods are searched, see :data:`Periods`; columns ``period_source``, ``period_error`` and the flags tell.

    Raises
    ------
    MissingColumn, BadInput, UnknownName
        as :func:`check_period_setting`.
    """
    check_period_setting(curves, stars, periods)
    curves = curves.reindex(stars["source_id"].to_numpy())
    curves = curves.select_points(plausible_points(curves.offsets, curves.mag, curves.mag_error))
    table = _with_periods(curves, stars, periods)
    period = table["period"].to_numpy(dtype=np.float64)
    usable = _in_limits(period)
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
    return Measurement(aligned, frozen(weight), assign_types(table), frozen(harmonics))


def check_period_setting(curves: LightCurves, stars: pd.DataFrame, periods: str) -> None:
    """Whether these curves can be measured with these periods.

    Raises
    ------
    MissingColumn
        if the curves are folded and the table has no period column.
    BadInput
        if the curves are folded and periods are to be checked or searched.
    UnknownName
        if ``periods`` is no such setting.
    """
    if periods not in get_args(Periods):
        raise UnknownName("setting of periods", periods, get_args(Periods))
    if curves.folded and "period" not in stars.columns:
        raise MissingColumn(
            "period",
            "the star table (the light curves give phases, not times: no period can be searched in them)",
            accepted=("p", "per", "pf", "p1_o"),
            found=stars.columns,
        )
    if curves.folded and periods != "given":
        raise BadInput(
            f"periods={periods!r} needs light curves in time, but these give phases: no period can be searched there. "
            "Give the epochs with a time column, or use periods='given'."
        )


def _in_limits(period: FloatArray) -> BoolArray:
    return np.isfinite(period) & (period >= PERIOD_LIMITS[0]) & (period <= PERIOD_LIMITS[1])


def _with_periods(curves: LightCurves, stars: pd.DataFrame, periods: Periods) -> pd.DataFrame:
    """A copy of the table with ``period``, ``period_error``, ``period_source`` and the flags that concern them."""
    table = stars.reset_index(drop=True).copy()
    none = np.full(len(table), np.nan)
    columns = [
        table[name].to_numpy(np.float64) if name in table.columns else none for name in ("period", "period_error")
    ]
    given, error = columns[0].copy(), columns[1].copy()
    period, source = given.copy(), np.full(len(table), "given", object)
    doubtful = np.zeros(len(table), bool)
    wanted = np.full(len(table), periods != "given") | np.isnan(given)
    rows = np.flatnonzero(wanted & (curves.n_epochs >= MIN_POINTS) & (not curves.folded))
    if len(rows):
        found, found_error, replaced, doubtful[rows] = _find(curves[rows], given[rows], periods)
        missing = np.isnan(given[rows]) | (periods == "search")
        use = (missing | replaced) & np.isfinite(found)
        period[rows[use]], error[rows[use]] = found[use], found_error[use]
        source[rows[use]] = np.where(missing[use], "found", "replaced")
    table["period"], table["period_error"], table["period_source"] = period, error, source
    table["flag"] = (
        int(Flag.PERIOD_SEARCHED) * (source == "found")
        | int(Flag.PERIOD_REPLACED) * (source == "replaced")
        | int(Flag.PERIOD_DOUBTFUL) * doubtful
    ).astype(np.int64)
    return table


def _find(
    curves: LightCurves, given: FloatArray, periods: Periods
) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray]:
    """Best period and its error [d] of each star; whether the given one should be replaced; whether it is doubtful."""
    columns = (curves.offsets, curves.time, curves.mag, curves.mag_error)
    if periods == "check":
        check = check_periods(*columns, given)
        best, margin, ok = check.best_period, check.margin, check.ok
    else:
        search = find_periods(*columns)
        best, margin, ok = search.period, search.margin, search.ok
    refined, error = refine_periods(*columns, best)
    found = np.where(np.isfinite(refined), refined, best)
    ambiguous = ok & ~(margin > _DOUBTFUL)
    if periods != "check":
        return found, error, np.zeros(len(found), bool), ambiguous
    worse = curves.n_epochs * np.log((1.0 - check.power) / np.maximum(1.0 - check.best_power, 1e-9)) > _CLEAR
    # a multiple of the best period fits as well, but with harmonics that it does not need
    wrong = ~check.agrees & ~ambiguous & (worse | np.isin(check.relation, ("half", "third")))
    replaced = ok & (~_in_limits(given) | wrong | (check.agrees & worse))
    return found, error, replaced, np.where(replaced | np.isnan(given), ambiguous, ok & ~check.agrees)


def assign_types(stars: pd.DataFrame) -> pd.DataFrame:
    """Fill in missing ``type`` by period and light-curve shape; ``type_source`` says which were filled.

    RRc below 0.35 d, RRab above 0.42 d, between them by R21 = A2 / A1, RRab above 0.3 (the ranges of Gaia's
    Specific Objects Study, Clementini+ 2023).
    """
    stars = stars.copy()
    given = stars["type"].notna() if "type" in stars.columns else pd.Series(False, index=stars.index)
    period, r21 = stars["period"].to_numpy(np.float64), stars["r21"].to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        fundamental = (period > 0.42) | ((period >= 0.35) & (r21 > 0.3))
    guess = np.where(fundamental, "RRab", "RRc").astype(object)
    guess[~predictable(stars["flag"])] = None
    known = (
        stars["type"].astype(object) if "type" in stars.columns else pd.Series(None, index=stars.index, dtype=object)
    )
    stars["type"] = known.where(given, pd.Series(guess, index=stars.index))
    stars["type_source"] = np.where(given, "given", "light curve")
    return stars


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
