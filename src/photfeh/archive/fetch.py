"""The verb ``fetch``: light curves and star rows of the Gaia archive in one folder, every source accounted for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from photfeh.archive.chunks import Books, ask_all, read_folder
from photfeh.archive.datalink import FORMATS, DataLink
from photfeh.archive.gaia import (
    BYTES_PER_SOURCE,
    LARGE_REQUEST,
    MOST_IDS,
    SECONDS_PER_SOURCE,
    Release,
    Structure,
    get_release,
)
from photfeh.archive.remote import is_remote
from photfeh.archive.results import Fetched, finished, write_results, write_unfinished
from photfeh.archive.tables import sources_of, star_rows
from photfeh.archive.tap import Tap, to_ids
from photfeh.archive.web import ArchiveError, Patience, session
from photfeh.core.cache import Parts
from photfeh.core.errors import BadInput
from photfeh.core.fingerprint import fingerprint
from photfeh.core.outputs import own_folder
from photfeh.readers.startables import read_stars

__all__ = ["Fetched", "Plan", "fetch", "plan"]

_log = logging.getLogger("photfeh")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What a fetch would take: ``sources``, ``calls`` of DataLink, ``bytes`` on the way and ``hours``, about."""

    release: Release
    sources: int
    calls: int

    @property
    def bytes(self) -> int:
        """Size of the answers."""
        return self.sources * BYTES_PER_SOURCE

    @property
    def hours(self) -> float:
        """Time at the pace of the service."""
        return self.sources * SECONDS_PER_SOURCE / 3600

    @property
    def advice(self) -> str:
        """The bulk doors, where the request is large; else empty."""
        if self.sources <= LARGE_REQUEST:
            return ""
        return (
            f"DataLink gives about one source a second, {self.hours:.0f} hours for these. Faster: download "
            f"{self.release.bulk}, and name the folder by --local (local=)."
        )

    def __str__(self) -> str:
        return (
            f"{self.sources:,} sources of {self.release.datalink_name}: {self.calls:,} calls, about "
            f"{self.bytes / 1e6:,.0f} MB and {_duration(self.hours)}"
        )


def fetch(
    ids: Any = None,
    *,
    cone: tuple[float, float, float] | None = None,
    query: str | None = None,
    output: str | Path | None = None,
    release: str = "dr3",
    ids_of: str | None = None,
    structure: Structure = "individual",
    format: str = "votable",
    chunk: int = 200,
    local: str | Path | None = None,
    overwrite: bool = False,
    patience: Patience | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Light curves and variability parameters of Gaia sources, in one folder.

    Exactly one of ``ids``, ``cone`` and ``query`` says which sources. An interrupted call goes on where it stopped; a
    finished one is answered from the disk.

    Parameters
    ----------
    ids : int, list of int, path or table
        Identifiers; a file or table of any kind with a column of them.
    cone : (ra, dec, radius), optional
        Position and radius [deg, ICRS]: the RR Lyrae stars of ``vari_rrlyrae`` in it.
    query : str, optional
        ADQL; the answer must have a column ``source_id``.
    output : path, optional
        Folder to make. Default: one for this very request in the user's cache folder.
    release : {"dr3", "dr4"}
        Release to take data from.
    ids_of : {"dr3", "dr4"}, optional
        Release that the identifiers are of, where it is another one: translated by ``dr3_neighbourhood``.
    structure : {"individual", "raw"}
        Shape of the answers on the way; the result is the same.
    format : {"votable", "csv", "ecsv", "fits"}
        Format of the answers on the way.
    chunk : int
        Sources in each call, at most 5,000. Larger ones are not faster, and more is lost with each failure.
    local : path or address, optional
        Folder of a HATS catalogue or of bulk files, or the address of a HATS catalogue (https://, s3://; needs the
        extra ``survey``): light curves are taken from there, not from DataLink.
    overwrite : bool
        Write into a folder that photfeh did not make.
    patience : Patience, optional
        Time-outs and repetitions.
    progress : callable, optional
        Called with (what, sources done, sources asked).

    Returns
    -------
    Fetched
        The paths of ``epochs.parquet`` (all bands and flags, for ``prepare`` and ``predict``), ``stars.parquet`` and
        ``reconciliation.csv``, and the latter as a table.

    Raises
    ------
    BadInput
        if arguments make no sense, or the archive has renamed a column (names it).
    ArchiveError
        if the archive cannot be reached; what was received is kept.
    """
    patience = patience or Patience()
    _check(chunk, structure, format)
    edition = get_release(release)
    with session(patience) as web:
        tap = Tap(edition, web, patience)
        asked = _asked(tap, ids, cone, query)
        place = None if local is None else str(local) if is_remote(local) else Path(local).resolve()
        request = fingerprint(edition, asked, ids_of, None if place is None else str(place))
        folder = own_folder(output or default_folder(edition, request), "fetch", overwrite=overwrite)
        with Parts(folder / "parts").claim() as parts:
            done = finished(folder, request)
            if done is not None:
                return done
            books = None
            try:
                sources = sources_of(tap, asked, edition, ids_of, parts, may_fail=place is not None)
                stars = star_rows(tap, sources, parts, may_fail=place is not None)
                books = Books(edition, parts, sources, progress or _silent)
                if place is not None:
                    read_folder(books, place)
                else:
                    planned = Plan(edition, len(sources.ids), -(-len(sources.ids) // chunk))
                    _log.info("%s", " ".join(filter(None, (f"{planned}.", planned.advice))))
                    link = DataLink(edition, web, patience, structure=structure, format=format)
                    ask_all(books, link, chunk, patience)
            except ArchiveError as error:
                write_unfinished(folder, asked, books, str(error))
                raise
            result = write_results(folder, books, stars, request)
            if result.complete:
                parts.clear()
    return result


def plan(
    ids: Any = None,
    *,
    cone: tuple[float, float, float] | None = None,
    query: str | None = None,
    release: str = "dr3",
    chunk: int = 200,
    patience: Patience | None = None,
) -> Plan:
    """What :func:`fetch` would take. A cone or query is asked for its sources, nothing else.

    Raises
    ------
    BadInput, ArchiveError
        as :func:`fetch`.
    """
    patience = patience or Patience()
    _check(chunk, "individual", "votable")
    edition = get_release(release)
    with session(patience) as web:
        asked = _asked(Tap(edition, web, patience), ids, cone, query)
    return Plan(edition, len(asked), -(-len(asked) // chunk))


def default_folder(release: Release, request: str) -> Path:
    """A folder for this request in the user's cache folder."""
    from platformdirs import user_cache_path

    return Path(user_cache_path("photfeh")) / "fetch" / f"{release.name}-{request[:16]}"


def cone_query(release: Release, ra: float, dec: float, radius: float) -> str:
    """ADQL for the RR Lyrae stars of a release around a position [deg].

    Raises
    ------
    BadInput
        if this is no position.
    """
    if not (0 <= ra <= 360 and -90 <= dec <= 90 and 0 < radius <= 90):
        raise BadInput(
            f"no cone: ra {ra:g} (0 to 360), dec {dec:g} (-90 to 90), radius {radius:g} (above 0, to 90), in degrees."
        )
    return (
        f"SELECT v.source_id FROM {release.variable_table} AS v JOIN {release.source_table} AS s "
        f"ON v.source_id = s.source_id WHERE 1 = CONTAINS(POINT(s.ra, s.dec), CIRCLE({ra!r}, {dec!r}, {radius!r})) "
        "ORDER BY v.source_id"
    )


# ---------------------------------------------------------------------- which sources
def _asked(tap: Tap, ids: Any, cone: tuple[float, float, float] | None, query: str | None) -> tuple[int, ...]:
    given = [what for what, value in (("ids", ids), ("cone", cone), ("query", query)) if value is not None]
    if len(given) != 1:
        raise BadInput(f"say which sources by one of ids, cone and query; found {' and '.join(given) or 'none'}.")
    if ids is not None:
        return _identifiers(ids)
    adql = query if query is not None else cone_query(tap.release, *map(float, cone or ()))
    return tuple(to_ids(tap.query(adql), "the query" if query is not None else "the cone"))


def _identifiers(ids: Any) -> tuple[int, ...]:
    """Identifiers, each once, in order; names and numbers that cannot be Gaia's are refused."""
    if isinstance(ids, (int, np.integer)):
        ids = [int(ids)]
    elif isinstance(ids, (range, set, frozenset)):
        ids = sorted(ids)
    stars = read_stars(ids)
    numbers = stars["source_id"].to_numpy(np.int64)
    bad = np.flatnonzero(numbers <= 0)
    if len(bad):
        name = stars["name"].iloc[bad[0]] if "name" in stars.columns else numbers[bad[0]]
        raise BadInput(
            f"{name!r} is no source_id of this Gaia release (a positive integer; DR2 has numbers of its own). Give "
            "source_id, or find the stars by --query or --cone."
        )
    if not len(numbers):
        raise BadInput("no source was named.")
    return tuple(int(number) for number in numbers)


def _check(chunk: int, structure: str, format: str) -> None:
    if not 1 <= chunk <= MOST_IDS:
        raise BadInput(f"a chunk has 1 to {MOST_IDS} sources (the archive takes no more a call), found {chunk}.")
    if structure not in ("individual", "raw"):
        raise BadInput(f"unknown structure {structure!r}. Known: individual, raw.")
    if format not in FORMATS:
        raise BadInput(f"unknown format {format!r}. Known: {', '.join(FORMATS)}.")


def _duration(hours: float) -> str:
    return f"{hours * 60:.0f} minutes" if hours < 1.5 else f"{hours:.0f} hours"


def _silent(what: str, done: int, total: int) -> None:
    """Say nothing."""
