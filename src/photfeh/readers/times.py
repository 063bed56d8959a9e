"""Times as Gaia days: which clock a column counts by is told by its name, its unit and the range of its numbers."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from photfeh.core.errors import BadColumn
from photfeh.core.types import BoolArray, FloatArray
from photfeh.readers.numbers import Points, Stars, plain
from photfeh.readers.tally import Origin
from photfeh.readers.units import converted, split_time_unit

__all__ = ["GAIA_EPOCH", "to_gaia_days"]

GAIA_EPOCH = 2455197.5
"""Julian date of 2010-01-01, from which Gaia counts its days."""

_MJD, _UNIX = 2400000.5, 2440587.5
_NOW = 6200.0
"""Gaia day of December 2026: no observation is later, so larger numbers are not Gaia days."""

_SCALES = ("utc", "tai", "tt", "tdb", "tcg")
"""Time scales that differ from TCB, which Gaia's times are in, and by how much is known."""


@dataclass(frozen=True)
class _Clock:
    """A way to count days (or seconds): its zero as a Julian date and its unit in days."""

    name: str
    zero: float
    unit: float = 1.0

    def gaia_days(self, time: FloatArray) -> FloatArray:
        if self.unit != 1.0:
            return time * self.unit + (self.zero - GAIA_EPOCH)
        return time - (GAIA_EPOCH - self.zero)


_GAIA = _Clock("Gaia days", GAIA_EPOCH)
_JULIAN = _Clock("Julian dates", 0.0)
_MODIFIED = _Clock("modified Julian dates", _MJD)


def to_gaia_days(points: Points, name: str, *, gaia: bool = False) -> FloatArray:
    """A column of times as days from :data:`GAIA_EPOCH`, shape (M,), NaN where missing.

    All points of a star are on one clock. Where neither unit nor metadata say which, it is told by the range of the
    star's times and, where this leaves a choice, by the column's name:

    ======================  =========================================================================
    2 400 000 - 2 500 000   Julian dates
    15 000 - 100 000        modified Julian dates; JD - 2400000 in a column named jd, hjd, bjd, ...
    1000 - 15 000           JD - 2450000 in such a column, MJD - 50000 in one named mjd; else Gaia days
                            up to 6200 (December 2026), JD - 2450000 where the star has later ones
    1e9 - 2e9               Unix seconds
    below                   days from any zero, as they are (differences are all that matters)
    ======================  =========================================================================

    Place-holders (0, -99, 9999, ...) more than a year from all other times of a star are missing values.

    Parameters
    ----------
    points : Points
        The rows, one a point.
    name : str
        The column.
    gaia : bool
        Whether the layout says that small numbers are Gaia days whatever the column is called.

    Raises
    ------
    BadColumn
        if times of a star lie on no one clock, or in 32-bit numbers too coarse for the clock; names the star.
    """
    raw = points.numbers(name)
    unit, zero = _declared_zero(points, name)
    unix = zero is None and _all_within(raw, 1e9, 2e9)
    time = raw if unix else converted(raw, unit, "d", column=name, where=points.origin.name)
    time = points.without_place_holders(raw, time, name, 365.25)
    if zero is None:
        days = _by_range(time, points, _hint(name, unit, gaia), name)
    else:
        days = _counted(time, np.ones(len(time), bool), _Clock("Julian dates", zero), points, name, guessed=False)
    return _barycentric_coordinate_time(days, points.declared(name, "time_scale"))


def _declared_zero(points: Points, name: str) -> tuple[str | None, float | None]:
    """The unit, and the Julian date from which the column counts: by its metadata, its unit or its name."""
    unit, zero = split_time_unit(points.declared(name))
    origin, kind = points.declared(name, "time_origin"), points.declared(name, "time_format")
    if origin is not None:
        return unit, float(origin)
    if kind in ("jd", "mjd"):
        return unit, 0.0 if kind == "jd" else _MJD
    return unit, split_time_unit(name)[1] if zero is None else zero


def _hint(name: str, unit: str | None, gaia: bool) -> str:
    """What name and unit say: "gaia", "mjd", "jd" or nothing."""
    if gaia:
        return "gaia"
    found = re.search(r"mjd|jd", f"{unit or ''} {name}".lower())
    return found[0] if found else ""


def _by_range(time: FloatArray, points: Points, hint: str, name: str) -> FloatArray:
    known = time[np.isfinite(time)]
    if len(known) == 0:
        return time
    whole = _certain(float(known.min()), float(known.max()), hint)
    if whole is not None:
        _remember(whole, float(known.max()), hint, name, points.origin)
        return _counted(time, np.ones(len(time), bool), whole, points, name)
    stars = points.stars
    lowest, highest = stars.range(time)
    clocks = [
        _clock(low, high, hint, name, int(star), points.origin) if low <= high else _GAIA
        for low, high, star in zip(lowest.tolist(), highest.tolist(), stars.ids, strict=True)
    ]
    _refuse_two_guesses(clocks, lowest, stars, hint, name, points.origin)
    for clock in dict.fromkeys(clocks):
        mine = np.array([one == clock for one in clocks])
        _remember(clock, float(highest[mine].max()), hint, name, points.origin)
        time = _counted(time, mine[stars.star], clock, points, name)
    return time


def _certain(low: float, high: float, hint: str) -> _Clock | None:
    """The clock of a whole column, where every star in it would be given the same."""
    if low >= 1000.0 and high <= 15_000.0 and hint in ("jd", "mjd"):
        return _clock_of_range(low, high, hint)
    if low > -100_000.0 and ((high <= 1000.0) or (high <= _NOW and hint in ("", "gaia"))):
        return _GAIA
    return _clock_of_range(low, high, hint) if low > 15_000.0 else None


def _clock(low: float, high: float, hint: str, name: str, star: int, origin: Origin) -> _Clock:
    clock = _clock_of_range(low, high, hint)
    if clock is None:
        raise BadColumn(
            f"{origin.name}: the times of star {star} in column {name!r} run from {low:.10g} to {high:.10g}, which no "
            "one clock does (Julian dates, modified ones, JD - 2450000, Gaia days BJD - 2455197.5, Unix seconds). "
            "Give that column one zero point and its unit."
        )
    return clock


def _clock_of_range(low: float, high: float, hint: str) -> _Clock | None:
    if low > 2_400_000.0 and high < 2_500_000.0:
        return _JULIAN
    if low >= 1e9 and high <= 2e9:
        return _Clock("Unix seconds", _UNIX, 1 / 86400)
    if low > 15_000.0 and high < 100_000.0:
        return _Clock("Julian dates - 2400000", 2400000.0) if hint == "jd" else _MODIFIED
    if high > 15_000.0 or low < -100_000.0:
        return None
    if hint == "jd" and high > 1000.0 and low >= 0.0:
        return _Clock("Julian dates - 2450000", 2450000.0)
    if hint == "mjd" and high > 1000.0 and low >= 0.0:
        return _Clock("modified Julian dates - 50000", _MJD + 50_000)
    if hint == "" and high > _NOW and low >= 0.0:
        return _Clock("Julian dates - 2450000", 2450000.0)
    return _GAIA


def _refuse_two_guesses(
    clocks: list[_Clock], lowest: FloatArray, stars: Stars, hint: str, name: str, origin: Origin
) -> None:
    """Raise if some stars seem to have Gaia days and others JD - 2450000, of which nothing but the range speaks."""
    if hint:
        return
    later = [i for i, clock in enumerate(clocks) if clock.zero == 2450000.0]
    earlier = [i for i, clock in enumerate(clocks) if clock is _GAIA and 1000.0 <= lowest[i] < np.inf]
    if later and earlier:
        raise BadColumn(
            f"{origin.name}: column {name!r} seems to hold Julian dates - 2450000 for star {stars.ids[later[0]]} (from "
            f"{lowest[later[0]]:.10g} on) and Gaia days, or the same, for star {stars.ids[earlier[0]]} (from "
            f"{lowest[earlier[0]]:.10g} on). Call it 'hjd' if all are Julian dates, or bring it to one zero point."
        )


def _remember(clock: _Clock, highest: float, hint: str, name: str, origin: Origin) -> None:
    """Note what nothing but the range says, so that files of a command which differ in it are named."""
    if hint == "" and 1000.0 < highest <= 15_000.0:
        what = "Gaia days (BJD - 2455197.5)" if clock is _GAIA else clock.name
        origin.counts.guess(f"times from 1000 to 15 000 without further word ({name!r})", what, origin.name)


def _counted(
    time: FloatArray, here: BoolArray, clock: _Clock, points: Points, name: str, *, guessed: bool = True
) -> FloatArray:
    """Gaia days of the points ``here``; the others stay."""
    if clock is _GAIA:
        return time
    with np.errstate(invalid="ignore"):
        large = here & (np.abs(time) > 15_000.0)
    if large.any() and plain(points.table[name]).type in (pa.float32(), pa.float16()):
        raise BadColumn(
            f"{points.origin.name}: {name!r} holds {clock.name} as 32-bit numbers, too coarse for a light curve "
            f"(star {points.ids[int(np.argmax(large))]}). Write that column as 64-bit numbers."
        )
    if guessed:
        shift = f"{GAIA_EPOCH - clock.zero:.10g} was subtracted" if clock.unit == 1.0 else "they were converted"
        points.origin.warn(
            f"{name!r} holds {clock.name}; {shift} to count in Gaia days (BJD - 2455197.5). "
            "Give Gaia days to avoid this message.",
            key=f"{name} {clock.name}",
        )
    return np.where(here, clock.gaia_days(time), time)


def _all_within(values: FloatArray, low: float, high: float) -> bool:
    known = values[np.isfinite(values)]
    return len(known) > 0 and bool(known.min() >= low and known.max() <= high)


def _barycentric_coordinate_time(days: FloatArray, scale: str | None) -> FloatArray:
    """Gaia days in the time scale TCB, where the table says in which its times are; else as they are."""
    scale = (scale or "").lower()
    if scale not in _SCALES:
        return days
    from astropy.time import Time

    good = np.isfinite(days)
    result = days.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "dubious year": leap seconds of the future are not known
        time = Time(np.full(int(good.sum()), GAIA_EPOCH), days[good], format="jd", scale=scale).tcb
    result[good] = (time.jd1 - GAIA_EPOCH) + time.jd2
    return result
