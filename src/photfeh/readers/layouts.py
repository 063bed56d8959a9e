"""Every known layout of a light-curve table: which column plays which role.

A layout is a function (column names, band, where) -> :class:`Columns`, or None where the table is not of that
layout. A new layout is one such function and one line in :data:`LAYOUTS`; what happens to the columns
afterwards (:mod:`photfeh.readers.points`) is the same for all, be they points in rows or one row a star with
list columns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields

from photfeh.core.errors import BadInput, MissingColumn
from photfeh.core.stars import ALIASES

__all__ = ["COLUMN_ALIASES", "LAYOUTS", "ZERO_POINTS", "Columns", "find_columns", "unknown_band"]

ZERO_POINTS = {"G": 25.6873668671, "BP": 25.3385422158, "RP": 24.7478955012}
"""Gaia EDR3 and DR3, Vega scale: mag = zero point - 2.5 log10(flux in e-/s) (Riello+ 2021, A&A 649, A3)."""

COLUMN_ALIASES: dict[str, tuple[str, ...]] = {
    "source_id": ("source_id", *ALIASES["source_id"]),
    "time": (
        *("time", "t", "bjd", "hjd", "jd", "mjd", "bmjd", "hmjd", "bjd_tcb", "bjd_tdb", "time_bjd"),
        *("obs_time", "obstime", "observation_time", "epoch", "date", "date_obs"),
    ),
    "phase": ("phase", "phases", "ph"),
    "mag": ("mag", "m", "magnitude", "g_mag", "gmag", "mag_g", "g_transit_mag", "mags"),
    "mag_error": (
        *("mag_error", "mag_err", "magerr", "magerror", "e_mag", "emag", "dmag", "err", "error", "e"),
        *("sigma", "mag_sigma", "sigma_mag", "g_mag_error", "g_mag_err", "e_gmag", "e_g_mag"),
        *("magnitude_error", "uncertainty"),
    ),
    "band": ("band", "filter", "passband", "photometric_band", "filtercode"),
}
"""Accepted names of the columns of a generic table, lower case; the first that is there is taken."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column plays which role, for one band; None where there is none.

    Either ``time`` or ``phase`` is given. ``rejected`` are the quality flags, true where a point is bad.
    ``flux`` is in e-/s on Gaia's scale (:data:`ZERO_POINTS`); no other flux is understood.
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
    rejected: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All columns that have to be read."""
        single = [getattr(self, role.name) for role in fields(self) if role.name != "rejected"]
        return list(dict.fromkeys([*filter(None, single), *self.rejected]))


def find_columns(names: Collection[str], band: str, where: str) -> Columns:
    """The roles of a table's columns, by the first layout that recognises them.

    Raises
    ------
    MissingColumn
        if no layout fits; lists the accepted and the found names.
    BadInput
        if the layout has no such band; lists those that are there.
    """
    found = (layout(names, band, where) for layout in LAYOUTS.values())
    return next(columns for columns in found if columns is not None)


# ---------------------------------------------------------------------- the layouts
def _gaia_wide(names: Collection[str], band: str, where: str) -> Columns | None:
    """Gaia, one row a transit with the bands side by side, or one row a star with arrays of these names.

    ``photometry_flag_noisy_data`` is not obeyed: it is set for nearly every G transit of an RR Lyrae star (it
    sees the variability), and the long layout's ``rejected_by_photometry`` does not count it either.
    """
    times = {"G": "g_transit_time", "BP": "bp_obs_time", "RP": "rp_obs_time"}
    known = [name for name, time in times.items() if time in names]
    if not known:
        return None
    if band not in known:
        raise unknown_band(band, known, where)
    prefix, short = {"G": "g_transit_", "BP": "bp_", "RP": "rp_"}[band], band.lower()
    flags = (f"variability_flag_{short}_reject", f"photometry_flag_{short}_reject", "rejected_by_photometry")
    return Columns(
        source_id=_first("source_id", names),
        time=times[band],
        mag=_known(f"{prefix}mag", names),
        rejected=tuple(flag for flag in flags if flag in names),
        **_fluxes(prefix, names),
    )


def _gaia_long(names: Collection[str], band: str, where: str) -> Columns | None:
    """Gaia, one row a transit and band."""
    if not {"band", "time"} <= set(names) or not {"mag", "flux"} & set(names):
        return None
    if "mag" not in names and band not in ZERO_POINTS:
        raise MissingColumn("mag", f"{where}, band {band!r},", found=names)
    return Columns(
        source_id=_first("source_id", names),
        band="band",
        time="time",
        mag=_known("mag", names),
        mag_error=_first("mag_error", names),
        rejected=_quality_flags(names),
        **_fluxes("", names),
    )


def _time_and_magnitude(names: Collection[str], band: str, where: str) -> Columns:
    """Anything else with a time or phase and a magnitude, by :data:`COLUMN_ALIASES`."""
    time, phase, mag = _first("time", names), _first("phase", names), _first("mag", names)
    if time is None and phase is None:
        accepted = (*COLUMN_ALIASES["time"], *COLUMN_ALIASES["phase"], "g_transit_time")
        raise MissingColumn("time", where, accepted=accepted, found=names)
    if mag is None:
        raise MissingColumn("mag", where, accepted=COLUMN_ALIASES["mag"], found=names)
    return Columns(
        source_id=_first("source_id", names),
        band=_first("band", names),
        time=time,
        phase=phase if time is None else None,
        mag=mag,
        mag_error=_first("mag_error", names),
        rejected=_quality_flags(names),
    )


LAYOUTS: dict[str, Callable[[Collection[str], str, str], Columns | None]] = {
    "Gaia archive, wide": _gaia_wide,
    "Gaia archive, long": _gaia_long,
    "time and magnitude": _time_and_magnitude,
}
"""Tried in this order; the first that recognises the columns is taken."""


# ---------------------------------------------------------------------- helpers
def unknown_band(band: str, known: Iterable[str], where: str) -> BadInput:
    """The error for a band that a table does not have."""
    known = list(known)
    if not known:
        return BadInput(f"{where} has no band {band!r}: its band column is empty. Fill it in.")
    return BadInput(f"{where} has no band {band!r}; it holds {', '.join(known)}. Choose one: band={known[0]!r}.")


def _first(role: str, names: Collection[str]) -> str | None:
    return next((name for name in COLUMN_ALIASES[role] if name in names), None)


def _known(name: str, names: Collection[str]) -> str | None:
    return name if name in names else None


def _fluxes(prefix: str, names: Collection[str]) -> dict[str, str | None]:
    return {name: _known(f"{prefix}{name}", names) for name in ("flux", "flux_error", "flux_over_error")}


def _quality_flags(names: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in ("rejected_by_photometry", "rejected_by_variability") if name in names)
