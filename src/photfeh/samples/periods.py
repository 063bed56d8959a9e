"""Which period a star is folded with: given, refined within its last digit, replaced, or found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from photfeh.core.errors import BadInput, MissingColumn, UnknownName
from photfeh.core.flags import Flag
from photfeh.core.lightcurves import LightCurves
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.signal.fourier import MIN_POINTS
from photfeh.signal.period import check_periods, find_periods, refine_periods

__all__ = [
    "PERIOD_LIMITS",
    "PERIOD_SOURCES",
    "Periods",
    "check_period_setting",
    "check_period_word",
    "last_digit",
    "periods_in_limits",
    "settle_periods",
]

Periods = Literal["given", "check", "search"]
"""``given``: missing periods are searched, those of few digits refined within the last one, or marked as doubtful where
none fits there. ``check``: given ones that clearly do not fit are replaced, too. ``search``: given ones are ignored."""

PERIOD_LIMITS = (0.1, 1.5)
"""Periods [d] outside are taken as mistakes: no RR Lyrae star pulsates so fast or so slowly."""

PERIOD_SOURCES = {
    "given": "by the star table",
    "refined": "given, then refined within its last digit",
    "replaced": "the given one does not fit",
    "found": "none was given, or given ones were to be ignored",
    "unchecked": "given; it was to be checked, but no period could be searched in this light curve",
    "search failed": "one was searched and none could be found",
    "missing": "neither given nor searched, for want of epochs in time",
}
"""Values of the column ``period_source``."""

_DOUBTFUL = 10.0  # difference of the information criterion below which two periods are taken as equally good
_CLEAR = 20.0  # and from which on a given period is replaced
_BLUR = 0.02  # cycles over the baseline that the last digit may leave open before a period is refined
_REACH = 8.0  # cycles over the baseline beyond which a refinement is a search: such periods are checked
_MOST_DECIMALS = 8
_COARSEST = 0.1  # d: a period without any decimal cannot be refined, only replaced


def check_period_word(periods: str) -> None:
    """Raise UnknownName unless this is a setting of :data:`Periods`."""
    if periods not in get_args(Periods):
        raise UnknownName("setting of periods", periods, get_args(Periods))


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
    check_period_word(periods)
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


def periods_in_limits(period: FloatArray) -> BoolArray:
    """Where a period [d] is known and within :data:`PERIOD_LIMITS`."""
    return np.isfinite(period) & (period >= PERIOD_LIMITS[0]) & (period <= PERIOD_LIMITS[1])


def last_digit(period: FloatArray) -> FloatArray:
    """Size of the last decimal that each period [d] was written with, 1e-4 for 0.5467; shape (N,), NaN where unknown.

    Each star speaks for itself, so that its result does not hang on its neighbours in the table. Values that went
    through single precision count by what they were before. Periods of more than eight decimals are as good as exact:
    zero; and so are those beyond :data:`PERIOD_LIMITS`.
    """
    unit = np.where(np.isnan(period), np.nan, 0.0)
    usual = np.where(periods_in_limits(period), period, np.nan)
    for decimals in range(_MOST_DECIMALS, -1, -1):
        rounded = np.round(usual, decimals)
        unit[(rounded == period) | (rounded.astype(np.float32).astype(np.float64) == period)] = 10.0**-decimals
    return unit


def settle_periods(curves: LightCurves, stars: pd.DataFrame, periods: Periods) -> pd.DataFrame:
    """A copy of the table with ``period``, ``period_error``, ``period_source`` and the flags that concern them.

    Row ``i`` of ``stars`` belongs to star ``i`` of ``curves``.
    """
    table = stars.reset_index(drop=True).copy()
    unknown = np.full(len(table), np.nan)
    given, given_error = (
        table[name].to_numpy(np.float64) if name in table.columns else unknown for name in ("period", "period_error")
    )
    made = _Periods.given(given, given_error)
    long_enough = (curves.n_epochs >= MIN_POINTS) & (not curves.folded)
    blur = _blur(curves, given)
    search = np.isnan(given) | (periods == "search")
    check = ~search & ((periods == "check") | (blur > _REACH))
    if not curves.folded:
        made.forget(np.flatnonzero(search))
        made.source[check] = "unchecked"
    _search(made, curves, np.flatnonzero(search & long_enough))
    _check(made, curves, np.flatnonzero(check & long_enough), given, blur, may_replace=periods == "check")
    refine = np.isin(made.source, ("given", "unchecked")) & (blur > _BLUR) & (blur <= _REACH)
    _refine(made, curves, np.flatnonzero(refine & long_enough), given, blur)
    table["period"], table["period_error"], table["period_source"] = made.period, made.error, made.source
    table["flag"] = made.flags()
    return table


@dataclass(frozen=True, eq=False)
class _Periods:
    """Periods of N stars while they are being settled; the arrays are filled in place."""

    period: FloatArray
    error: FloatArray
    source: npt.NDArray[np.object_]
    doubtful: BoolArray

    @classmethod
    def given(cls, period: FloatArray, error: FloatArray) -> _Periods:
        source = np.where(np.isnan(period), "missing", "given").astype(object)
        return cls(period.copy(), error.copy(), source, np.zeros(len(period), bool))

    def forget(self, rows: IntArray) -> None:
        """A period that is searched does not fall back on the given one."""
        self.period[rows], self.error[rows], self.source[rows] = np.nan, np.nan, "search failed"

    def put(self, rows: IntArray, period: FloatArray, error: FloatArray, source: str) -> None:
        self.period[rows], self.error[rows], self.source[rows] = period, error, source

    def flags(self) -> IntArray:
        flag = int(Flag.PERIOD_DOUBTFUL) * self.doubtful.astype(np.int64)
        for source, bit in (
            ("found", Flag.PERIOD_SEARCHED),
            ("replaced", Flag.PERIOD_REPLACED),
            ("refined", Flag.PERIOD_REFINED),
        ):
            flag |= int(bit) * (self.source == source)
        return np.asarray(flag, np.int64)


def _columns(curves: LightCurves) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    return curves.offsets, curves.time, curves.mag, curves.mag_error


def _blur(curves: LightCurves, period: FloatArray) -> FloatArray:
    """Cycles over the baseline that one unit of the last digit amounts to; zero where that cannot be said."""
    if curves.folded or not len(curves.time):
        return np.zeros(len(period))
    begin = np.minimum(curves.offsets[:-1], len(curves.time) - 1)
    end = np.maximum(curves.offsets[1:] - 1, 0)
    baseline = np.where(curves.n_epochs > 1, curves.time[end] - curves.time[begin], 0.0)
    usual = np.where(periods_in_limits(period), period, np.inf)
    return np.asarray(baseline * np.nan_to_num(last_digit(period)) / usual**2)


def _refine(made: _Periods, curves: LightCurves, rows: IntArray, given: FloatArray, blur: FloatArray) -> None:
    """Take the best period within one unit of the last digit, which covers rounded and truncated catalogues.

    Where the light curve knows it less well than the catalogue does, the given period stays.
    """
    if not len(rows):
        return
    refined, error = refine_periods(*_columns(curves[rows]), given[rows], reach=blur[rows])
    unit = last_digit(given[rows])
    better = np.isfinite(refined) & (error < 0.3 * unit) & (np.abs(refined - given[rows]) <= unit + 3.0 * error)
    made.put(rows[better], refined[better], error[better], "refined")


def _search(made: _Periods, curves: LightCurves, rows: IntArray) -> None:
    if not len(rows):
        return
    columns = _columns(curves[rows])
    search = find_periods(*columns)
    period, error = _polished(columns, search.period)
    found = np.isfinite(period)
    made.put(rows[found], period[found], error[found], "found")
    made.doubtful[rows] = search.ok & ~(search.margin > _DOUBTFUL)


def _check(
    made: _Periods, curves: LightCurves, rows: IntArray, given: FloatArray, blur: FloatArray, *, may_replace: bool
) -> None:
    """Refine or replace given periods that clearly do not fit; mark those that another one fits nearly as well."""
    if not len(rows):
        return
    columns, given, unit = _columns(curves[rows]), given[rows], last_digit(given[rows])
    check = check_periods(*columns, given)
    period, error = _polished(columns, check.best_period)
    ambiguous = check.ok & ~(check.margin > _DOUBTFUL)
    with np.errstate(invalid="ignore"):
        gain = curves.n_epochs[rows] * np.log((1.0 - check.power) / np.maximum(1.0 - check.best_power, 1e-9))
    worse = gain > _CLEAR
    # a multiple of the best period fits as well, but with harmonics that it does not need
    wrong = ~check.agrees & ~ambiguous & (worse | np.isin(check.relation, ("half", "third")))
    refined = check.ok & (blur[rows] > _BLUR) & (unit <= _COARSEST) & (np.abs(period - given) <= unit)
    replaced = check.ok & ~refined & (~periods_in_limits(given) | wrong | (check.agrees & worse))
    doubtful = np.where(refined | (replaced & may_replace), ambiguous, check.ok & (replaced | ~check.agrees))
    made.source[rows[check.ok]] = "given"
    made.doubtful[rows] = doubtful
    for where, source in ((replaced & may_replace, "replaced"), (refined, "refined")):
        made.put(rows[where], period[where], error[where], source)


def _polished(
    columns: tuple[IntArray, FloatArray, FloatArray, FloatArray], best: FloatArray
) -> tuple[FloatArray, FloatArray]:
    refined, error = refine_periods(*columns, best)
    return np.where(np.isfinite(refined), refined, best), error
