"""Periods from sparse light curves: search, check and refinement by weighted least squares of Fourier series.

Every frequency of the grid gets the exact fit of 1..H harmonics with a free mean: the multi-harmonic periodogram, as
``astropy.timeseries.LombScargle(nterms=H)``, which is the oracle in the tests. The kernels are our own: nifty-ls and
astropy take one star a call and are built for thousands of points; for the ~40 points of a Gaia star the plain sums,
vectorised over frequencies, are several times faster (``benchmarks/bench_period.py`` prints them all where nifty-ls is
installed).

The period chosen has the least Bayesian information criterion over frequency *and* order. Explained variance alone will
not do: a series of period 2P holds the frequencies 1/(2P), 1/P, 3/(2P), and so fits a sinusoid of
period P at least as well as a series of period P; only the number of parameters tells them apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from photfeh.core.errors import BadInput
from photfeh.core.kernels import over_stars
from photfeh.core.types import Bool, BoolArray, Float64, FloatArray, IntArray, Str, StrArray
from photfeh.signal._mode_kernels import second_mode_all
from photfeh.signal._period_kernels import ALIASES, MIN_EPOCHS, refine_all, search_all

__all__ = [
    "DOUBLE_MODE_RATIOS",
    "MIN_EPOCHS",
    "PeriodCheck",
    "PeriodSearch",
    "check_periods",
    "find_periods",
    "find_second_modes",
    "refine_periods",
]

DOUBLE_MODE_RATIOS = (0.741, 0.7495)
"""Range of P1 / P0 of double-mode RR Lyrae: the Petersen diagram of Soszynski+ 2014, AcA 64, 177."""


@dataclass(frozen=True, eq=False)
class PeriodSearch:
    """Result of :func:`find_periods` for N stars; rows of stars that could not be searched are NaN.

    ``period`` (N,) [d]. ``power`` (N,): fraction of the weighted variance that the series explains at that period.
    ``aliases``, ``alias_power`` (N, 4): the next best periods, by the criterion, and their powers; NaN where there are
    fewer. ``margin`` (N,): BIC of the first of them minus that of ``period``; below about 10 the choice is
    doubtful. ``ok`` (N,): enough epochs, a baseline of two longest periods, magnitudes that vary.
    """

    period: Float64[FloatArray, " stars"]
    power: Float64[FloatArray, " stars"]
    aliases: Float64[FloatArray, "stars 4"]
    alias_power: Float64[FloatArray, "stars 4"]
    margin: Float64[FloatArray, " stars"]
    ok: Bool[BoolArray, " stars"]


@dataclass(frozen=True, eq=False)
class PeriodCheck:
    """Result of :func:`check_periods` for N stars.

    ``power`` (N,): explained variance at the period given, NaN where that is unknown. ``best_period`` [d],
    ``best_power`` (N,): those of :func:`find_periods`. ``relation`` (N,): what the best period is to the one given:
    "same", "half", "twice", "third", "three times", "sampling alias" (frequencies that differ, or add up, to a
    frequency of the sampling), "unrelated", or "unknown" where either is missing. ``agrees`` (N,): it is the same.
    ``margin``, ``ok`` (N,): those of :func:`find_periods`.
    """

    power: Float64[FloatArray, " stars"]
    best_period: Float64[FloatArray, " stars"]
    best_power: Float64[FloatArray, " stars"]
    relation: Str[StrArray, " stars"]
    agrees: Bool[BoolArray, " stars"]
    margin: Float64[FloatArray, " stars"]
    ok: Bool[BoolArray, " stars"]


SAMPLING_FREQUENCIES = (1.0, 1.0027379, 2.0, 2.0054758, 4.0, 8.0, 1 / 365.25, 2 / 365.25, 1 / 62.97, 2 / 62.97)
"""[1/d]: solar and sidereal day, Gaia's spin (6 h), year, Gaia's precession (62.97 d); Gaia Coll. 2016, A&A 595, A1."""

_SHORTEST = 1e-6  # d: periods and baselines below mean nothing, and their inverses may overflow
_RATIOS = ((2.0, "half"), (0.5, "twice"), (3.0, "third"), (1 / 3, "three times"))


def find_periods(
    offsets: npt.ArrayLike, time: npt.ArrayLike, mag: npt.ArrayLike, mag_error: npt.ArrayLike, *,
    shortest: float = 0.2, longest: float = 1.0, n_harmonics: int = 3,
) -> PeriodSearch:  # fmt: skip
    """Search the periods of N stars.

    Parameters
    ----------
    offsets : (N + 1,) int
        Star ``i`` owns the points ``offsets[i]:offsets[i + 1]``.
    time, mag, mag_error : (M,) float
        Epochs [d], magnitudes [mag], standard errors [mag] (NaN: unknown). Points that are not finite are left out.
    shortest, longest : float
        Range of periods [d].
    n_harmonics : int
        Highest order H of the series, 1..8. Each star's order is chosen with its period.

    Raises
    ------
    BadInput
        if shapes do not match or a setting is out of range; names it.
    """
    curves = _checked(offsets, time, mag, mag_error, n_harmonics)
    if not 0 < shortest < longest < math.inf:
        raise BadInput(f"periods must rise from shortest > 0 to longest, found {shortest} to {longest}; change them.")
    out = np.full((len(curves[0]) - 1, ALIASES + 1, 3), np.nan)
    over_stars(search_all, len(out), (*curves, 1.0 / longest, 1.0 / shortest, n_harmonics), (out,), least=1)
    found = np.where(np.isfinite(out[:, :, :1]), out, np.nan)
    period, power = 1.0 / found[:, :, 0], 1.0 - found[:, :, 2]
    margin = np.diff(curves[0]) * np.log(found[:, 1, 1] / found[:, 0, 1])
    return PeriodSearch(period[:, 0], power[:, 0], period[:, 1:], power[:, 1:], margin, np.isfinite(period[:, 0]))


def check_periods(
    offsets: npt.ArrayLike, time: npt.ArrayLike, mag: npt.ArrayLike, mag_error: npt.ArrayLike, period: npt.ArrayLike, *,
    shortest: float = 0.2, longest: float = 1.0, n_harmonics: int = 3, tolerance: float = 1e-3,
) -> PeriodCheck:  # fmt: skip
    """Compare given periods ``period`` (N,) [d], NaN where unknown, with the best ones found.

    They are the same where they differ by less than ``tolerance`` (a fraction) or, in frequency, by less than the
    resolution 1 / baseline. The other parameters are those of :func:`find_periods`, and so are the errors raised.
    """
    curves = _checked(offsets, time, mag, mag_error, n_harmonics)
    frequency = _frequencies(period, len(curves[0]) - 1)
    search = find_periods(*curves, shortest=shortest, longest=longest, n_harmonics=n_harmonics)
    out = np.full((len(frequency), 3), np.nan)
    over_stars(refine_all, len(frequency), (*curves, frequency, np.zeros(len(frequency)), n_harmonics), (out,), least=4)
    best, resolution = 1.0 / search.period, 1.0 / _baselines(curves[0], curves[1])
    relation = np.where(np.isfinite(best * frequency), "unrelated", "unknown").astype("<U14")
    for step in SAMPLING_FREQUENCIES:
        gap = np.minimum(np.abs(np.abs(best - frequency) - step), np.abs(best + frequency - step))
        relation[gap < resolution] = "sampling alias"
    for ratio, name in (*_RATIOS, (1.0, "same")):
        target = ratio * frequency
        relation[np.abs(best - target) < np.maximum(tolerance * target, max(ratio, 1.0) * resolution)] = name
    return PeriodCheck(out[:, 0], search.period, search.power, relation, relation == "same", search.margin, search.ok)


def refine_periods(
    offsets: npt.ArrayLike, time: npt.ArrayLike, mag: npt.ArrayLike, mag_error: npt.ArrayLike, period: npt.ArrayLike, *,
    reach: npt.ArrayLike = 1.5, n_harmonics: int = 3,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Best period within ``reach`` / baseline (in frequency) of ``period`` (N,) [d], and its standard error [d].

    ``reach`` is one number or one a star, (N,), up to about 15, above which fewer than two trials stand in each peak.
    The order of the series, at most ``n_harmonics``, has the least BIC; outliers are down-weighted (Tukey's biweight).
    The error allows for residuals of unequal size but not for modulation (Blazhko): on simulated Gaia curves 68 % of
    RRc and 54 % of RRab lie within one standard error.

    Both are NaN where nothing could be refined: period unknown, fewer than MIN_EPOCHS or 2 H + 4 epochs, baseline
    below two periods, constant magnitudes. The other parameters, and the errors, are those of :func:`find_periods`.
    """
    curves = _checked(offsets, time, mag, mag_error, n_harmonics)
    frequency = _frequencies(period, len(curves[0]) - 1)
    wide = np.asarray(reach, dtype=np.float64)
    if wide.shape not in ((), frequency.shape) or not (np.isfinite(wide) & (wide > 0)).all():
        raise BadInput(f"reach must be positive, one number or one a star, found {reach!r}; 1.5 is usual.")
    wide = np.array(np.broadcast_to(wide, frequency.shape))
    out = np.full((len(frequency), 3), np.nan)
    over_stars(refine_all, len(frequency), (*curves, frequency, wide, n_harmonics), (out,), least=4)
    return 1.0 / out[:, 1], out[:, 2] / out[:, 1] ** 2


def find_second_modes(
    offsets: IntArray, time: FloatArray, residual: FloatArray, period: FloatArray, parameters: IntArray, *,
    ratios: tuple[float, float] = DOUBLE_MODE_RATIOS,
) -> tuple[FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """Look for the other mode of double-mode stars in what a fit of one mode leaves.

    Parameters
    ----------
    offsets, time
        As :func:`find_periods`.
    residual : (M,) float
        Magnitudes minus the fit [mag], finite; outliers should be clipped.
    period : (N,) float
        Period of the fit [d], of either mode; NaN leaves a star out.
    parameters : (N,) int
        Number of parameters of the fit.
    ratios : (float, float)
        Lowest and highest ratio of first-overtone to fundamental period.

    Returns
    -------
    second_period : (N,) float
        Period of the strongest sinusoid at such a ratio to ``period`` [d].
    power : (N,) float
        Fraction of the variance of the residuals that it explains.
    log_false_alarm : (N,) float
        log10 of the probability that noise does as well: number of independent frequencies times
        (1 - power)^(degrees of freedom / 2), Zechmeister & Kuerster 2009, A&A 496, 577.
    """
    out = np.full((len(offsets) - 1, 3), np.nan)
    frequency = _frequencies(period, len(out))
    over_stars(second_mode_all, len(out), (offsets, time, residual, frequency, parameters, *ratios), (out,), least=16)
    return 1.0 / out[:, 0], out[:, 1], out[:, 2]


def _checked(
    offsets: npt.ArrayLike, time: npt.ArrayLike, mag: npt.ArrayLike, mag_error: npt.ArrayLike, n_harmonics: int
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    places = np.ascontiguousarray(offsets, np.int64)
    columns = [np.ascontiguousarray(column, np.float64) for column in (time, mag, mag_error)]
    points = len(columns[0])
    if places.ndim != 1 or len(places) == 0 or places[0] != 0 or places[-1] != points or (np.diff(places) < 0).any():
        raise BadInput(f"offsets must rise from 0 to the number of points, {points}.")
    for name, column in zip(("time", "mag", "mag_error"), columns, strict=True):
        if column.shape != (points,):
            raise BadInput(f"{name} must have shape ({points},) like time, found {column.shape}.")
    if not 1 <= n_harmonics <= 8:
        raise BadInput(f"n_harmonics must be 1 to 8, found {n_harmonics}.")
    return places, columns[0], columns[1], columns[2]


def _frequencies(period: npt.ArrayLike, stars: int) -> FloatArray:
    values = np.asarray(period, dtype=np.float64)
    if values.shape != (stars,):
        raise BadInput(f"period must have shape ({stars},), one a star, found {values.shape}.")
    return np.asarray(1.0 / np.where(np.isfinite(values) & (values > _SHORTEST), values, np.nan))


def _baselines(offsets: IntArray, time: FloatArray) -> FloatArray:
    """Span of each star's finite times [d], NaN where there are none."""
    span, owner = np.full((2, len(offsets) - 1), np.nan), np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    finite = np.isfinite(time)
    np.fmin.at(span[0], owner[finite], time[finite])
    np.fmax.at(span[1], owner[finite], time[finite])
    return np.where(span[1] - span[0] > _SHORTEST, span[1] - span[0], np.nan)
