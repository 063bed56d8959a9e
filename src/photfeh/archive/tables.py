"""What the tables of the archive say of the sources: counterparts in other releases, light curves, RR Lyrae rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photfeh.archive.gaia import RELEASES, Release, get_release
from photfeh.archive.tap import Tap
from photfeh.archive.web import ArchiveError
from photfeh.core.cache import Key, Parts
from photfeh.core.errors import BadInput, PhotfehWarning
from photfeh.core.fingerprint import fingerprint
from photfeh.core.stars import validate_stars

__all__ = ["Sources", "sources_of", "star_rows"]


@dataclass(frozen=True)
class Sources:
    """The sources of a request.

    ``asked``: identifiers as given. ``target``: for each the identifier in the release that data are taken from, None
    where it has no counterpart. ``has_curves``: by target, what the archive says; missing where it says nothing.
    """

    release: Release
    asked: tuple[int, ...]
    target: tuple[int | None, ...]
    translated: bool
    has_curves: Mapping[int, bool]

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """The identifiers to ask for, each once, in order."""
        return tuple(dict.fromkeys(number for number in self.target if number is not None))

    @cached_property
    def wanted(self) -> frozenset[int]:
        """The same as a set."""
        return frozenset(self.ids)


def sources_of(
    tap: Tap, asked: tuple[int, ...], release: Release, ids_of: str | None, parts: Parts, *, may_fail: bool
) -> Sources:
    """Translate the identifiers where they are of another release, and ask which sources have light curves.

    Raises
    ------
    BadInput
        if there is no table of counterparts between the two releases.
    ArchiveError
        if the archive cannot be reached; a warning where it ``may_fail`` and nothing has to be translated.
    """
    target: tuple[int | None, ...] = asked
    translated = ids_of is not None and get_release(ids_of).name != release.name
    if translated:
        found = _counterparts(tap, asked, get_release(str(ids_of)), release, parts)
        target = tuple(found.get(number) for number in asked)
    ids = tuple(dict.fromkeys(number for number in target if number is not None))
    name = release.has_curves
    table = _table(
        lambda: tap.rows_of(ids, release.source_table, f"x.source_id, x.{name}"),
        parts, Key("sources", fingerprint(release, ids)), may_fail=may_fail, guessed=bool(release.unverified),
        empty=not ids,
    )  # fmt: skip
    known = _truths(table, name)
    return Sources(release, asked, target, translated, known)


def star_rows(tap: Tap, sources: Sources, parts: Parts, *, may_fail: bool) -> pd.DataFrame:
    """A row for every source that is asked for, in order, with its row of ``vari_rrlyrae`` where it has one.

    Periods and types are those of :func:`photfeh.core.stars.validate_stars`.
    """
    ids, release = sources.ids, sources.release
    table = _table(
        lambda: tap.rows_of(ids, release.variable_table, "x.*"),
        parts, Key("stars", fingerprint(release, ids)), may_fail=may_fail, guessed=bool(release.unverified),
        empty=not ids,
    )  # fmt: skip
    stars = pd.DataFrame({"source_id": pd.Series(ids, dtype="int64")})
    if table.num_rows:
        said = table.to_pandas(integer_object_nulls=True)
        said = said.loc[:, ~said.columns.duplicated()].drop_duplicates("source_id")
        stars = stars.merge(said.astype({"source_id": "int64"}), on="source_id", how="left")
    if sources.translated:
        by_target = {target: asked for asked, target in zip(sources.asked, sources.target, strict=True) if target}
        stars["id_asked"] = stars["source_id"].map(by_target)
    return validate_stars(stars, where=release.variable_table)


def _counterparts(tap: Tap, asked: tuple[int, ...], of: Release, to: Release, parts: Parts) -> dict[int, int]:
    """The counterpart of each identifier: the nearest on the sky, of those at one distance the smallest number."""
    with_table = next((release for release in (to, of) if release.neighbourhood is not None), None)
    if with_table is None or {of.name, to.name} != {"dr3", "dr4"}:
        known = ", ".join(RELEASES)
        raise BadInput(f"no table says which source of {of.name} is which of {to.name}. Known releases: {known}.")
    old, new, distance = with_table.neighbour_columns
    mine, other = (old, new) if of.name == "dr3" else (new, old)
    neighbourhood = str(with_table.neighbourhood)
    table = _table(
        lambda: tap.rows_of(asked, neighbourhood, f"x.{old}, x.{new}, x.{distance}", key=mine),
        parts, Key("counterparts", fingerprint(of, to, asked)), may_fail=False, guessed=False, empty=not asked,
    )  # fmt: skip
    if not table.num_rows:
        return {}
    frame = table.to_pandas().sort_values([mine, distance, other]).drop_duplicates(mine)
    several = table.num_rows - len(frame)
    if several:
        warnings.warn(
            f"{neighbourhood} names {several} more counterparts than sources; the nearest of each is taken.",
            PhotfehWarning,
            stacklevel=4,
        )
    return dict(zip(frame[mine].astype(int), frame[other].astype(int), strict=True))


def _table(
    ask: Callable[[], pa.Table], parts: Parts, key: Key, *, may_fail: bool, guessed: bool, empty: bool
) -> pa.Table:
    """An answer of TAP, from an earlier call where it is on the disk.

    Without it one can go on where it ``may_fail`` (light curves are at hand), or where the names in the query are
    ``guessed`` and the archive does not know them: a warning says so, and the table is empty.
    """
    if empty:
        return pa.table({})
    found = parts.find(key)
    if found is not None:
        return pq.read_table(found / "table.parquet")
    try:
        table = ask()
    except (ArchiveError, BadInput) as error:
        if not (may_fail if isinstance(error, ArchiveError) else guessed):
            raise
        text = f"{str(error).rstrip('.')}; without its table of {key.label}, periods and types may be missing."
        warnings.warn(text, PhotfehWarning, stacklevel=4)
        return pa.table({})
    with parts.writing(key) as beside:
        pq.write_table(table.replace_schema_metadata(None), beside / "table.parquet")
    return table


def _truths(table: pa.Table, name: str) -> dict[int, bool]:
    """source_id -> true or false, as bool, number or text; others are left out."""
    if not table.num_rows:
        return {}
    words = {"true": True, "t": True, "1": True, "1.0": True, "false": False, "f": False, "0": False, "0.0": False}
    pairs = zip(table["source_id"].to_pylist(), table[name].to_pylist(), strict=True)
    told = ((int(number), words.get(str(value).strip().lower())) for number, value in pairs)
    return {number: value for number, value in told if value is not None}
