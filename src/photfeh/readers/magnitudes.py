"""Magnitudes and their errors, from columns of magnitudes or fluxes in any unit; place-holders are missing values."""

from __future__ import annotations

import numpy as np

from photfeh.core.bands import get_band
from photfeh.core.errors import MissingColumn
from photfeh.core.types import FloatArray
from photfeh.readers.layouts import COLUMN_ALIASES, Columns
from photfeh.readers.numbers import PLACE_HELD, Points
from photfeh.readers.units import converted

__all__ = ["MAG_PER_RELATIVE_FLUX", "to_magnitudes"]

MAG_PER_RELATIVE_FLUX = 2.5 / np.log(10)
"""1.0857 mag: error of a magnitude whose flux has a relative error of one."""

NO_MAGNITUDE = 90.0
"""Beyond +-90 mag stands a place-holder (99.99, -99), not a measurement; the same for errors."""

NO_ERRORS = (9.9, 9.99, 9.999, 9.9999)
"""Place-holders among errors below :data:`NO_MAGNITUDE`."""

FAR = 5.0
"""A magnitude of 0, -1 or 9.99 is a place-holder if it lies so far from all others of its star [mag]."""


def to_magnitudes(points: Points, columns: Columns, band: str) -> tuple[FloatArray, FloatArray]:
    """Magnitudes and their errors [mag], each of shape (M,), NaN where missing; from the fluxes where they are.

    Raises
    ------
    MissingColumn
        if there is no magnitude, and the flux does not say in which unit it is.
    BadColumn
        for units that cannot be converted, and text that is no number.
    """
    flux, relative = _flux(points, columns, band)
    mag = np.full(len(points.ids), np.nan)
    if columns.mag is not None:
        others = [name for name in columns.other_mags if name in points.table.column_names]
        mag = points.fullest(columns.mag, others, lambda name: _magnitudes(points, name))
    elif flux is None:
        where = f"{points.origin.name}, band {band!r},"
        raise MissingColumn("mag", where, accepted=COLUMN_ALIASES["mag"], found=points.table.column_names)
    error = _errors(points, columns)
    if columns.error_marks_limits and columns.mag_error is not None:
        mag = _without_limits(points, columns.mag_error, mag)
    with np.errstate(invalid="ignore", divide="ignore"):
        if flux is not None and columns.zero_point is not None:
            from_flux = columns.zero_point - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
            mag = np.where(np.isfinite(mag), mag, from_flux)
        for signal_to_noise in relative:
            error = np.where(np.isfinite(error), error, MAG_PER_RELATIVE_FLUX / signal_to_noise)
    return mag, error


def _magnitudes(points: Points, name: str) -> FloatArray:
    raw = points.numbers(name)
    mag = converted(raw, points.declared(name), "mag", column=name, where=points.origin.name)
    with np.errstate(invalid="ignore"):
        filler = np.abs(mag) >= NO_MAGNITUDE
    filler &= np.isfinite(mag)
    points.count(PLACE_HELD.format(name), filler, sample=raw, remedy="Empty those entries.")
    return points.without_place_holders(raw, np.where(filler, np.nan, mag), name, FAR)


def _errors(points: Points, columns: Columns) -> FloatArray:
    """Errors of magnitudes; what is not positive, or a place-holder, is not known."""
    name = columns.mag_error
    if name is None:
        return np.full(len(points.ids), np.nan)
    raw = points.numbers(name)
    error = converted(raw, points.declared(name), "mag", column=name, where=points.origin.name)
    with np.errstate(invalid="ignore"):
        unknown = (raw <= 0) | (error >= NO_MAGNITUDE) | np.isin(raw, NO_ERRORS)
    if columns.error_marks_limits:
        return np.where(unknown, np.nan, error)  # counted as limits
    what = f"have a place-holder, or what is not positive, in column {name!r}; their errors count as unknown"
    points.count(what, unknown, sample=raw, remedy="Empty those entries.", complete=True)
    return np.where(unknown, np.nan, error)


def _without_limits(points: Points, name: str, mag: FloatArray) -> FloatArray:
    raw = points.numbers(name)
    with np.errstate(invalid="ignore"):
        limit = (raw >= NO_MAGNITUDE) & np.isfinite(mag)
    what = f"are limits, no measurements (column {name!r})"
    points.count(what, limit, sample=raw, remedy="Remove those rows to avoid this message.")
    return np.where(limit, np.nan, mag)


def _flux(points: Points, columns: Columns, band: str) -> tuple[FloatArray | None, list[FloatArray]]:
    """Fluxes in the unit of the zero point, None where that is not known; and ratios of flux and error."""
    name, where, unit = columns.flux, points.origin.name, columns.flux_unit
    relative = [] if columns.flux_over_error is None else [_positive(points.numbers(columns.flux_over_error))]
    if unit == "":  # no layout says in which unit it is; the column itself has to
        unit = get_band(band).flux_unit if name is not None and points.declared(name) else None
    if name is None or unit is None:
        return None, relative
    flux = converted(points.numbers(name), points.declared(name), unit, column=name, where=where)
    if columns.flux_error is not None:
        given = points.declared(columns.flux_error) or points.declared(name)
        error = points.numbers(columns.flux_error)
        error = _positive(converted(error, given, unit, column=columns.flux_error, where=where))
        relative.append(_positive(flux / error))
    return flux, relative


def _positive(values: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):
        return np.where(values > 0, values, np.nan)
