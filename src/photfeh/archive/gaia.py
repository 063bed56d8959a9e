"""The Gaia archive as data: addresses, words and names of each release. A change on its side is a change of one line.

What stands for DR4 was written before its release on 2 December 2026. ``unverified`` lists what could not be tried
against the archive by then (docs/archive.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from photfeh.core.errors import UnknownName

__all__ = [
    "ADDRESS_VARIABLE",
    "LARGE_REQUEST",
    "MOST_IDS",
    "RELEASES",
    "FlagsProduct",
    "Release",
    "Structure",
    "get_release",
]

Structure = Literal["individual", "raw"]

MOST_IDS = 5_000
"""Identifiers that DataLink takes in one call; one more is answered with status 500."""

SECONDS_PER_SOURCE = 1.0
"""Pace of DataLink, about."""

BYTES_PER_SOURCE = 30_000
"""Size of one star's epoch photometry on the way, about: zipped VOTable of some 40 transits in three bands."""

LARGE_REQUEST = 10_000
"""Sources from which on the bulk files are the better way (some three hours of DataLink)."""

ADDRESS_VARIABLE = "PHOTFEH_GAIA_ARCHIVE"
"""Environment variable with another address of the archive, such as a mirror."""

_ADDRESS = "https://gea.esac.esa.int"


@dataclass(frozen=True, kw_only=True)
class FlagsProduct:
    """Quality flags that come as a product of their own; joined to the light curves by source and transit.

    ``retrieval_type`` is its name in DataLink's RETRIEVAL_TYPE. ``columns``: for each flag of ``epochs.parquet`` the
    names of the column that tells it, the most likely first; ``{band}`` stands for g, bp and rp. ``times``: columns of
    the observing time by band, by which rows are joined where they have no ``transit_id``.
    """

    retrieval_type: str
    columns: Mapping[str, tuple[str, ...]]
    times: Mapping[str, tuple[str, ...]]


_EPOCH_FLAGS_VARI = FlagsProduct(
    retrieval_type="EPOCH_FLAGS_VARI",
    columns={
        "rejected_by_variability": ("variability_flag_{band}_reject", "rejected_by_variability"),
        "rejected_by_photometry": ("photometry_flag_{band}_reject", "rejected_by_photometry"),
    },
    times={"G": ("g_obs_time", "g_transit_time"), "BP": ("bp_obs_time",), "RP": ("rp_obs_time",)},
)


@dataclass(frozen=True, kw_only=True)
class Release:
    """One data release.

    ``datalink_name`` is its name in DataLink's RELEASE, ``retrieval_type`` that of its light curves. ``structures``
    are the words for each structure, the most likely one first: the other is tried where the server says that it knows
    it. ``source_table``, ``variable_table`` and ``neighbourhood`` are tables of TAP. ``has_curves`` is the column of
    ``source_table`` that says whether a source has light curves. ``flags`` says whether light curves without any
    quality flag are taken or refused; ``flags_product`` is asked for where they come without.
    """

    name: str
    datalink_name: str
    retrieval_type: str
    structures: Mapping[Structure, tuple[str, ...]]
    source_table: str
    variable_table: str
    has_curves: str
    neighbourhood: str | None
    neighbour_columns: tuple[str, str, str] = ("dr3_source_id", "dr4_source_id", "angular_distance")
    bands: tuple[str, ...] = ("G", "BP", "RP")
    flags: Literal["needed", "optional"] = "needed"
    flags_product: FlagsProduct | None = None
    bulk: str = ""
    unverified: tuple[str, ...] = ()

    @property
    def tap(self) -> str:
        """Address of the TAP service."""
        return f"{_address()}/tap-server/tap"

    @property
    def datalink(self) -> str:
        """Address of the DataLink service."""
        return f"{_address()}/data-server/data"


RELEASES: Mapping[str, Release] = {
    "dr3": Release(
        name="dr3",
        datalink_name="Gaia DR3",
        retrieval_type="EPOCH_PHOTOMETRY",
        structures={"individual": ("INDIVIDUAL", "DATAMODEL_STANDARD"), "raw": ("RAW", "DATAMODEL_GAIA")},
        source_table="gaiadr3.gaia_source",
        variable_table="gaiadr3.vari_rrlyrae",
        has_curves="has_epoch_photometry",
        neighbourhood=None,
        bulk="the HATS catalogue gaia_dr3_epoch_phot, or the files EpochPhotometry_*.csv.gz (72.8 GB)",
    ),
    "dr4": Release(
        name="dr4",
        datalink_name="Gaia DR4",
        retrieval_type="EPOCH_PHOTOMETRY",
        structures={"individual": ("DATAMODEL_STANDARD", "INDIVIDUAL"), "raw": ("DATAMODEL_GAIA", "RAW")},
        source_table="gaiadr4.gaia_source",
        variable_table="gaiadr4.vari_rrlyrae",
        has_curves="has_epoch_photometry",
        neighbourhood="gaiadr4.dr3_neighbourhood",
        flags="optional",
        flags_product=_EPOCH_FLAGS_VARI,
        bulk="the HATS catalogue of the release, or its bulk files",
        unverified=(
            "names of the schema (gaiadr4) and of the tables gaia_source, vari_rrlyrae and dr3_neighbourhood",
            "columns of vari_rrlyrae, has_epoch_photometry and those of dr3_neighbourhood",
            "whether quality flags come with EPOCH_PHOTOMETRY or apart, and the columns of EPOCH_FLAGS_VARI",
            "the words DATAMODEL_STANDARD and DATAMODEL_GAIA (the older ones are tried where the server knows them)",
            "the most identifiers of one call (5000), and the pace",
        ),
    ),
}
"""Every release by name. A new one is one entry."""


def get_release(name: str) -> Release:
    """A release by its name in any case, such as ``dr3``.

    Raises
    ------
    UnknownName
        lists the names.
    """
    key = name.strip().lower().replace("gaia", "").replace(" ", "")
    if key not in RELEASES:
        raise UnknownName("Gaia release", name, RELEASES)
    return RELEASES[key]


def _address() -> str:
    return os.environ.get(ADDRESS_VARIABLE, _ADDRESS).rstrip("/")
