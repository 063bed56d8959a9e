"""Passbands as data: what a magnitude, or a flux, in each of them means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from photfeh.core.errors import BadInput, BandMismatch

__all__ = ["BANDS", "Band", "get_band", "require_same_band"]


@dataclass(frozen=True, kw_only=True)
class Band:
    """A passband of a survey or a photometric system.

    ``system`` is the survey or photometric system; ``scale`` that of its magnitudes. A source of one ``flux_unit`` has
    the magnitude ``zero_point``: mag = zero_point - 2.5 log10(flux); None where nobody has said. ``names_in_files``
    are further names by which the band column of a file may call it. ``source`` is where the numbers come from.
    """

    name: str
    system: str
    scale: Literal["Vega", "AB", "unknown"] = "unknown"
    zero_point: float | None = None
    flux_unit: str | None = None
    names_in_files: tuple[str, ...] = ()
    source: str = ""

    def __str__(self) -> str:
        return self.name if self.system == "unlisted" else f"{self.name} ({self.system})"

    def is_called(self, name: str) -> bool:
        """Whether a file that names a band so means this one."""
        return name.strip() == self.name or name.strip() in self.names_in_files


_RIELLO = "Riello+ 2021, A&A 649, A3"
_BESSELL = "Bessell, Castelli & Plez 1998, A&A 333, 231, table A2"
_OKE = "AB magnitudes, Oke & Gunn 1983, ApJ 266, 713"

BANDS: Mapping[str, Band] = {
    band.name: band
    for band in (
        *(
            Band(
                name=name, system="Gaia", scale="Vega", zero_point=zero_point, flux_unit="electron/s",
                names_in_files=others, source=_RIELLO,
            )
            for name, zero_point, others in (
                ("G", 25.6873668671, ("Gaia_G", "GAIA_G", "Gaia G", "phot_g")),
                ("BP", 25.3385422158, ("bp", "Bp", "Gaia_BP", "GAIA_BP", "Gaia BP", "G_BP", "phot_bp")),
                ("RP", 24.7478955012, ("rp", "Rp", "Gaia_RP", "GAIA_RP", "Gaia RP", "G_RP", "phot_rp")),
            )
        ),
        # a star of magnitude zero has 3636 Jy in V and 2416 Jy in I
        Band(
            name="V", system="Johnson", scale="Vega", zero_point=8.9016, flux_unit="Jy",
            names_in_files=("Johnson_V", "V_Johnson", "Johnson V", "OGLE_V"), source=_BESSELL,
        ),
        Band(
            name="I", system="Cousins", scale="Vega", zero_point=8.4578, flux_unit="Jy",
            names_in_files=("Cousins_I", "Cousins I", "I_C", "Ic", "OGLE_I"), source=_BESSELL,
        ),
        *(
            Band(
                name=f"z{letter}", system="ZTF", scale="AB", zero_point=8.90, flux_unit="Jy",
                names_in_files=(letter, f"ztf_{letter}", f"ZTF_{letter}", f"ztf{letter}", f"ZTF-{letter}", number),
                source=f"{_OKE}; Masci+ 2019, PASP 131, 018003",
            )
            for letter, number in (("g", "1"), ("r", "2"), ("i", "3"))
        ),
        *(
            Band(
                name=f"lsst_{letter}", system="Rubin", scale="AB", zero_point=31.4, flux_unit="nJy",
                names_in_files=(letter, f"LSST_{letter}", f"LSST-{letter}", f"lsst{letter}"),
                source=f"{_OKE}; Rubin Data Products Definition Document, LSE-163",
            )
            for letter in "ugrizy"
        ),
    )
}  # fmt: skip
"""Every band by name. A new one is one entry; bands that are not listed may be used by name, without fluxes."""


def get_band(name: str) -> Band:
    """The band of this name; one that is not listed has no zero point, so that only magnitudes can be read in it.

    Raises
    ------
    BadInput
        if the name is empty.
    """
    name = str(name).strip()
    if not name:
        raise BadInput(f"a band needs a name, such as {', '.join(BANDS)}.")
    if name in BANDS:
        return BANDS[name]
    return Band(name=name, system="unlisted")


def require_same_band(band: str, needed: str, *, what: str, needs: str, remedy: str) -> None:
    """Raise unless two bands are one.

    Raises
    ------
    BandMismatch
        names both bands, ``what`` is in the first, what ``needs`` the second, and the ``remedy``.
    """
    if band != needed:
        raise BandMismatch(f"{what} in band {get_band(band)}, {needs} band {get_band(needed)}. {remedy}")
