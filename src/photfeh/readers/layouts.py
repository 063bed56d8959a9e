"""Every known layout of a light-curve table: which column plays which role.

A layout is a function (column names, band) -> :class:`Columns`, or None where the table is not of that layout. A new
layout is one such function and one line in :data:`LAYOUTS`, wherever it stands: of all layouts that recognise a table
the one that knows most of its columns is taken. What happens to the columns afterwards
(:mod:`photfeh.readers.points`) is the same for all, be they points in rows or one row a star with list columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from photfeh.core.bands import BANDS, get_band
from photfeh.core.errors import BadColumn, BadInput, MissingColumn
from photfeh.core.identifiers import IDENTIFIERS, identifier_columns
from photfeh.readers.quality import quality_columns
from photfeh.readers.units import converted, split_time_unit

__all__ = ["COLUMN_ALIASES", "LAYOUTS", "Columns", "find_columns", "unknown_band"]

COLUMN_ALIASES: dict[str, tuple[str, ...]] = {
    "source_id": (*IDENTIFIERS, "id"),
    "time": (
        *("time", "t", "bjd", "hjd", "jd", "mjd", "bmjd", "hmjd", "bjd_tcb", "bjd_tdb", "time_bjd"),
        *("obs_time", "obstime", "observation_time", "expmidptmjd", "midpointmjdtai", "obsmjd", "mjd_obs", "obsjd"),
        *("btjd", "bkjd", "rjd", "julian_date", "unix_time", "epoch", "date", "date_obs"),
    ),
    "phase": ("phase", "phases", "ph"),
    "mag": ("mag", "m", "magnitude", "mags", "psfmag", "psf_mag", "mag_psf", "magpsf", "mag_auto", "mag_0"),
    "mag_error": (
        *("mag_error", "mag_err", "magerr", "magerror", "e_mag", "emag", "dmag", "err", "error", "e"),
        *("sigma", "mag_sigma", "sigma_mag", "magnitude_error", "uncertainty", "mag error", "mag err", "sigmapsf"),
        *("psfmagerr", "psf_mag_err", "mer_0"),
    ),
    "flux": ("flux", "psfflux", "psf_flux"),
    "flux_error": ("flux_error", "flux_err", "fluxerr", "e_flux", "flux error", "psffluxerr", "psf_flux_err"),
    "band": (
        *("band", "filter", "passband", "photometric_band", "filtercode", "filt", "filtername", "filter_name"),
        *("phot_filter", "bandpass", "band_name", "fid", "filterid", "filter_id"),
    ),
}
"""Accepted names of the columns of a general table, lower case; the first that is there is taken.

A magnitude may also bear the name of the band that is asked for (``vmag``, ``v_mag``, ``mag_v`` or ``v`` in V), and
an error that of its magnitude (``e_vmag``, ``vmag_error``, ``vmagerr``)."""

_CLOCKS = ("time", "bjd", "hjd", "jd", "mjd", "bmjd", "hmjd", "bjd_tcb", "bjd_tdb", "time_bjd", "obsmjd", "mjd_obs")
"""Columns of which each may stand for the other where it is fuller; and the same for magnitudes."""

_SAME_MAGS = ("mag", "magnitude", "mags")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column plays which role, for one band; None where there is none.

    Parameters
    ----------
    time, phase : str
        One of the two is given.
    mag, mag_error, flux, flux_error, flux_over_error : str
        Magnitude or flux and what goes with them. Without a unit of its own, the flux is in ``flux_unit``, of which
        one is of magnitude ``zero_point``; where ``flux_unit`` is "", only a flux that declares its unit is used.
    other_times, other_mags : tuple of str
        Columns of the same meaning, taken for a star of which they hold more.
    rejected : tuple of str
        Quality columns that are obeyed (:data:`photfeh.readers.quality.QUALITY`; any other is true where a point is
        bad); ``unknown_quality`` are those that only look like one.
    gaia_days : bool
        Whether small numbers are Gaia days whatever the column is called.
    side_by_side : bool
        Whether a row may lack the band altogether.
    error_marks_limits : bool
        Whether an error of 90 mag or more says that the magnitude is a limit.
    bands : tuple of str
        The bands of the layout where the names of its columns say so.
    known_by : tuple of str or None
        Columns by which the layout recognised the table, the more the better; None: by all that it names.
    """

    source_id: str | None = None
    band: str | None = None
    time: str | None = None
    phase: str | None = None
    mag: str | None
    mag_error: str | None = None
    flux: str | None = None
    flux_error: str | None = None
    flux_over_error: str | None = None
    other_times: tuple[str, ...] = ()
    other_mags: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    unknown_quality: tuple[str, ...] = ()
    flux_unit: str | None = None
    zero_point: float | None = None
    gaia_days: bool = False
    side_by_side: bool = False
    error_marks_limits: bool = False
    bands: tuple[str, ...] = ()
    known_by: tuple[str, ...] | None = None

    @property
    def names(self) -> list[str]:
        """All columns that have to be read: those in use, and those by which the table is recognised."""
        single = [getattr(self, role.name) for role in fields(self)[:9]]
        several = (*self.other_times, *self.other_mags, *self.rejected, *self.unknown_quality, *(self.known_by or ()))
        return list(dict.fromkeys([*filter(None, single), *several]))

    @property
    def certainty(self) -> int:
        """How well the layout knows the table: 0 for a general one."""
        return len(self.names if self.known_by is None else self.known_by)


Layout = Callable[[Collection[str], str], Columns | None]


def find_columns(names: Collection[str], band: str, where: str) -> Columns:
    """The roles of a table's columns, by the layout that knows it best.

    Raises
    ------
    MissingColumn
        if no layout fits; lists the accepted and the found names.
    BadInput
        if the layout has no such band, or two layouts know the table equally well and read it differently.
    """
    found = {title: columns for title, layout in LAYOUTS.items() if (columns := layout(names, band)) is not None}
    if not found:
        raise _nothing_fits(names, band, where)
    best = max(columns.certainty for columns in found.values())
    winners = {title: columns for title, columns in found.items() if columns.certainty == best}
    columns = next(iter(winners.values()))
    if any(replace(other, known_by=columns.known_by) != columns for other in winners.values()):
        raise BadInput(
            f"{where} fits the layouts {' and '.join(map(repr, winners))} equally well, and they read it differently. "
            "Rename its columns (time, mag, mag_error, band, source_id), or let one layout name more of them."
        )
    if columns.bands and band not in columns.bands:
        raise unknown_band(band, columns.bands, where)
    if columns.mag is None and (columns.flux is None or columns.zero_point is None):
        raise MissingColumn("mag", f"{where}, band {band!r},", accepted=COLUMN_ALIASES["mag"], found=names)
    return columns


# ---------------------------------------------------------------------- the layouts
def _gaia_wide(names: Collection[str], band: str) -> Columns | None:
    """Gaia, one row a transit with the bands side by side, or one row a star with arrays of these names; DR3 and DR4.

    ``photometry_flag_noisy_data`` is not obeyed: it is set for nearly every G transit of an RR Lyrae star (it
    sees the variability), and the long layout's ``rejected_by_photometry`` does not count it either.
    """
    times = {"G": "g_transit_time", "BP": "bp_obs_time", "RP": "rp_obs_time"}
    if "g_transit_time" not in names and "g_obs_time" in names:
        times["G"] = "g_obs_time"
    known = [name for name, time in times.items() if time in names]
    if not known:
        return None
    chosen = band if band in known else known[0]
    time, short = times[chosen], chosen.lower()
    prefix = "g_transit_" if time == "g_transit_time" else f"{short}_"
    flags = (f"variability_flag_{short}_reject", f"photometry_flag_{short}_reject", "rejected_by_photometry")
    if chosen == band and not {f"{prefix}mag", f"{prefix}flux"} & set(names):
        return None
    return Columns(
        source_id=_identifier(names),
        time=time,
        mag=_known(f"{prefix}mag", names),
        rejected=tuple(flag for flag in flags if flag in names),
        **_fluxes(prefix, names),
        **flux_scale(chosen, "electron/s"),
        gaia_days=True,
        side_by_side=True,
        bands=tuple(known),
    )


def _gaia_long(names: Collection[str], band: str) -> Columns | None:
    """Gaia, one row a transit and band."""
    own = ("rejected_by_photometry", "rejected_by_variability", "flux_over_error")
    known_by = [name for name in own if name in names] or [name for name in ("transit_id",) if name in names]
    if not known_by or not {"band", "time"} <= set(names) or not {"mag", "flux"} & set(names):
        return None
    rejected, unknown = quality_columns(names)
    return Columns(
        source_id=_identifier(names),
        band="band",
        time="time",
        mag=_known("mag", names),
        mag_error=_first("mag_error", names),
        **_fluxes("", names),
        **(flux_scale(band, "electron/s") if get_band(band).system == "Gaia" else {}),
        rejected=rejected,
        unknown_quality=unknown,
        gaia_days=True,
        known_by=("band", "time", *known_by),
    )


def _rubin(names: Collection[str], band: str) -> Columns | None:
    """Rubin, forced photometry in nJy, AB; where ``scienceFlux`` is there, ``psfFlux`` is of the difference image."""
    if "psfflux" not in names and "scienceflux" not in names:
        return None
    columns = _general(names, band)
    flux = "scienceflux" if "scienceflux" in names else "psfflux"
    if columns.time is None:
        return None
    return replace(
        columns,
        mag=_known("psfmag", names),
        mag_error=_known("psfmagerr", names),
        other_mags=(),
        flux=flux,
        flux_error=_known(f"{flux}err", names),
        **flux_scale(band if get_band(band).system == "Rubin" else f"lsst_{band}", "nJy"),
        bands=(*(letter for letter in "ugrizy"), *(f"lsst_{letter}" for letter in "ugrizy")),
        known_by=tuple(sorted({flux, f"{flux}err", "diaobjectid", columns.time, "psfflux_flag"} & set(names))),
    )


def _asas_sn(names: Collection[str], band: str) -> Columns | None:
    """ASAS-SN, also with the flux in mJy; where the error is 99.99 the magnitude is a limit, not a measurement."""
    fluxes = ("flux(mjy)", "flux (mjy)", "flux_mjy", "flux")
    known_by = {"camera", "limit", "fwhm", "quality", "asas_sn_id", *fluxes} & set(names)
    if len(known_by) < 3 or "mag" not in names:
        return None
    columns = _general(names, band)
    return replace(columns, flux=None, flux_error=None, error_marks_limits=True, known_by=tuple(sorted(known_by)))


def _time_and_magnitude(names: Collection[str], band: str) -> Columns | None:
    """Anything else with a time or phase and a magnitude or flux, by :data:`COLUMN_ALIASES`."""
    columns = _general(names, band)
    missing = (columns.time or columns.phase) is None or (columns.mag or columns.flux) is None
    return None if missing else replace(columns, known_by=())


LAYOUTS: dict[str, Layout] = {
    "Gaia archive, wide": _gaia_wide,
    "Gaia archive, long": _gaia_long,
    "Rubin": _rubin,
    "ASAS-SN": _asas_sn,
    "time and magnitude": _time_and_magnitude,
}
"""In any order: the layout that knows most columns of a table reads it."""


# ---------------------------------------------------------------------- helpers
def unknown_band(band: str, known: Iterable[str], where: str) -> BadInput:
    """The error for a band that a table does not have."""
    known = list(known)
    if not known:
        return BadInput(f"{where} has no band {band!r}: its band column is empty. Fill it in.")
    return BadInput(f"{where} has no band {band!r}; it holds {', '.join(known)}. Choose one: band={known[0]!r}.")


def flux_scale(band: str, unit: str) -> dict[str, Any]:
    """Zero point of fluxes in this unit, from :data:`photfeh.core.bands.BANDS`; nothing where it has none for them."""
    listed = get_band(band)
    if listed.zero_point is None or listed.flux_unit is None:
        return {}
    if unit == listed.flux_unit:
        return {"flux_unit": unit, "zero_point": listed.zero_point}
    try:
        (factor,) = converted(np.ones(1), listed.flux_unit, unit, column="flux", where=band)
    except BadColumn:
        return {}
    return {"flux_unit": unit, "zero_point": listed.zero_point + 2.5 * float(np.log10(factor))}


def _general(names: Collection[str], band: str) -> Columns:
    """Every role by its general names; the flux only where it will declare its unit."""
    time = _first("time", names) or next((name for name in names if split_time_unit(name)[1] is not None), None)
    mag = _first_of((*_names_in_band(band), *COLUMN_ALIASES["mag"], band.lower()), names)
    rejected, unknown = quality_columns(names)
    scale = flux_scale(band, get_band(band).flux_unit or "")
    return Columns(
        source_id=_identifier(names),
        band=_first("band", names),
        time=time,
        phase=_first("phase", names) if time is None else None,
        mag=mag,
        mag_error=None if mag is None else _error_of(mag, names),
        flux=_first("flux", names),
        flux_error=_first("flux_error", names),
        other_times=tuple(name for name in _CLOCKS if name in names and name != time) if time in _CLOCKS else (),
        other_mags=tuple(name for name in _SAME_MAGS if name in names and name != mag) if mag in _SAME_MAGS else (),
        rejected=rejected,
        unknown_quality=unknown,
        zero_point=scale.get("zero_point"),
        flux_unit="" if scale else None,
    )


@lru_cache(maxsize=256)
def _names_in_band(band: str) -> tuple[str, ...]:
    """Names of a magnitude in this band: vmag, v_mag, mag_v, ..."""
    called = {band.lower(), get_band(band).name.lower()[-1] if get_band(band).system in ("ZTF", "Rubin") else ""}
    names = [f"{name}{form}" for name in called if name for form in ("mag", "_mag", "_magnitude", "magnitude")]
    names += [f"{form}{name}" for name in called if name for form in ("mag_", "magnitude_")]
    return (*sorted(names), *(("g_transit_mag",) if band == "G" else ()))


def _error_of(mag: str, names: Collection[str]) -> str | None:
    """The error that bears the name of its magnitude, else one of a general name."""
    stem = _squeezed(mag)
    forms = ("{}error", "{}err", "e{}", "err{}", "error{}", "sigma{}", "{}sigma", "sig{}", "{}unc", "{}uncertainty")
    wanted = [form.format(stem) for form in (*forms, *(("d{}", "s{}") if len(stem) > 1 else ()))]
    own = {_squeezed(name): name for name in names}
    return next((own[form] for form in wanted if form in own), None) or _first("mag_error", names)


@lru_cache(maxsize=4096)
def _squeezed(name: str) -> str:
    return re.sub(r"[\s_.-]+", "", name)


def _nothing_fits(names: Collection[str], band: str, where: str) -> BadInput:
    if "g_transit_time" in names or "g_obs_time" in names:
        return MissingColumn("g_transit_mag", where, accepted=("g_transit_flux", "g_mag", "g_flux"), found=names)
    columns = _general(names, band)
    if columns.time is None and columns.phase is None:
        accepted = (*COLUMN_ALIASES["time"], *COLUMN_ALIASES["phase"], "g_transit_time")
        return MissingColumn("time", where, accepted=accepted, found=names)
    others = [other for other in BANDS if set(_names_in_band(other)) & set(names)]
    if others:
        return unknown_band(band, others, where)
    return MissingColumn("mag", f"{where}, band {band!r},", accepted=COLUMN_ALIASES["mag"], found=names)


def _first(role: str, names: Collection[str]) -> str | None:
    return _first_of(COLUMN_ALIASES[role], names)


def _first_of(wanted: Iterable[str], names: Collection[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _known(name: str, names: Collection[str]) -> str | None:
    return name if name in names else None


def _identifier(names: Collection[str]) -> str | None:
    return next(iter(identifier_columns(names)), None)


def _fluxes(prefix: str, names: Collection[str]) -> dict[str, Any]:
    return {name: _known(f"{prefix}{name}", names) for name in ("flux", "flux_error", "flux_over_error")}
