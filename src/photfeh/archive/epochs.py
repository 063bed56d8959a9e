"""The archive's light curves in one form: one row for each source, band and transit, whatever layout they come in."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photfeh.archive.gaia import Release
from photfeh.archive.web import Broken
from photfeh.core.errors import BadFile, MissingColumn
from photfeh.core.types import FloatArray, IntArray
from photfeh.readers.compression import Content, contents
from photfeh.readers.files import read_content
from photfeh.readers.identify import star_of_name
from photfeh.readers.layouts import Columns, find_columns
from photfeh.readers.numbers import Points
from photfeh.readers.points import holds_band, rows_of_points, source_ids
from photfeh.readers.quality import known_false
from photfeh.readers.tables import is_list
from photfeh.readers.tally import Origin, Tally
from photfeh.readers.times import to_gaia_days
from photfeh.readers.units import converted

__all__ = ["FLAGS", "SCHEMA", "Answer", "collected", "long_table", "read_answer", "tables_of_zip"]

FLAGS = ("rejected_by_photometry", "rejected_by_variability")

SCHEMA = pa.schema(
    [
        pa.field("source_id", pa.int64()),
        pa.field("transit_id", pa.int64()),
        pa.field("band", pa.string()),
        pa.field("time", pa.float64(), metadata={"unit": "d"}),
        pa.field("mag", pa.float64(), metadata={"unit": "mag"}),
        *(pa.field(name, pa.float64()) for name in ("flux", "flux_error", "flux_over_error")),
        *(pa.field(name, pa.bool_()) for name in FLAGS),
        pa.field("n_obs", pa.int64()),
        pa.field("other_flags", pa.int64()),
    ]
)
"""Columns of ``epochs.parquet``: Gaia's long layout. Times are BJD(TCB) - 2455197.5, fluxes e-/s."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What an answer holds: rows as :data:`SCHEMA`, only of sources that were asked for, each row once.

    ``received``: these sources. ``foreign``: sources that nobody asked for. ``repeated``: sources that came more than
    once. ``no_flags``: the :data:`FLAGS` that no column of the answer told; they are false there.
    """

    rows: pa.Table
    received: tuple[int, ...]
    foreign: tuple[int, ...]
    repeated: tuple[int, ...]
    no_flags: frozenset[str]


def read_answer(path: Path, asked: Collection[int], release: Release, tally: Tally) -> Answer:
    """Read the zip file of DataLink.

    Raises
    ------
    Broken
        if a member cannot be read, is cut off, or holds another source than its name says.
    MissingColumn
        if the archive has renamed a column; names it.
    """
    seen: list[int] = []
    alike: list[tuple[str, list[pa.Table]]] = []
    for content, table in tables_of_zip(path):
        where = f"the archive's {content.name}"
        if "source_id" not in table.column_names:
            raise MissingColumn("source_id", where, found=table.column_names)
        ids = list(dict.fromkeys(source_ids(table["source_id"], where).tolist()))
        named = star_of_name(Path(content.name)) if len(ids) == 1 else None
        if isinstance(named, int) and named > 0 and ids != [named]:
            raise Broken(f"{content.name} holds source {ids[0]}")
        seen += ids
        _put(alike, table.replace_schema_metadata(None), where)
    # products of one shape together: much faster than one by one
    found = [long_table(pa.concat_tables(tables), release, where, tally) for where, tables in alike]
    absent = frozenset().union(*(no_flags for _, no_flags in found))
    return collected([rows for rows, _ in found], seen, asked, absent)


def _put(alike: list[tuple[str, list[pa.Table]]], table: pa.Table, where: str) -> None:
    """Add a table to those with the same columns, types and units."""
    for _, tables in alike:
        if tables[0].schema.equals(table.schema, check_metadata=True):
            tables.append(table)
            return
    alike.append((where, [table]))


def collected(tables: list[pa.Table], seen: list[int], asked: Collection[int], no_flags: frozenset[str]) -> Answer:
    """One answer of several tables of rows; ``seen`` are the sources of each table in turn."""
    rows = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
    wanted = pa.array(sorted(asked), pa.int64())
    unique = list(dict.fromkeys(seen))
    known = set(asked)
    rows = rows.filter(pc.is_in(rows["source_id"], value_set=wanted))
    again = _repeated(rows)
    twice = {number for number, count in Counter(seen).items() if count > 1}
    twice |= set(rows["source_id"].to_numpy()[again].tolist())
    return Answer(
        rows=rows.filter(pa.array(~again)),
        received=tuple(number for number in unique if number in known),
        foreign=tuple(number for number in unique if number not in known),
        repeated=tuple(sorted(twice & known)),
        no_flags=no_flags,
    )


def long_table(table: pa.Table, release: Release, where: str, tally: Tally) -> tuple[pa.Table, frozenset[str]]:
    """A tidy table of any layout of the archive as :data:`SCHEMA`, sources in their order, band by band.

    Returns
    -------
    table : pyarrow.Table
    no_flags : frozenset of str
        Those of :data:`FLAGS` that no column tells.

    Raises
    ------
    MissingColumn
        if time, magnitude, flux or its error is missing in a band, or all flags where the release must have them.
    """
    origin = Origin(where, tally=tally)
    parts, told = [], set()
    for band in release.bands:
        columns = _columns(table, band, where)
        rows, flags = _band_rows(table, columns, band, origin)
        told |= flags
        if rows is not None:
            parts.append(rows)
    absent = frozenset(FLAGS) - told
    if absent == frozenset(FLAGS) and release.flags == "needed":
        raise MissingColumn("variability_flag_g_reject", where, accepted=FLAGS, found=table.column_names)
    whole = pa.concat_tables(parts) if parts else SCHEMA.empty_table()
    ids = whole["source_id"].to_numpy()
    _, first, star = np.unique(ids, return_index=True, return_inverse=True)
    return whole.take(np.argsort(first[star], kind="stable")) if len(ids) else whole, absent


# ---------------------------------------------------------------------- one band
def _columns(table: pa.Table, band: str, where: str) -> Columns:
    """The columns of a band; everything that a measurement needs has to be there."""
    names = table.column_names
    short = band.lower()
    if {"band", "time"} <= set(names):
        columns = find_columns(names, band, where)
        prefix = ""
    else:
        clocks = ("g_transit_time", "g_obs_time") if band == "G" else (f"{short}_obs_time",)
        if not set(clocks) & set(names):
            raise MissingColumn(clocks[0], where, accepted=clocks, found=names)
        columns = find_columns(names, band, where)
        prefix = "g_transit_" if columns.time == "g_transit_time" else f"{short}_"
    needed = {"mag": columns.mag, "flux": columns.flux, "flux_error": columns.flux_error or columns.flux_over_error}
    for role, name in needed.items():
        if name is None:
            raise MissingColumn(f"{prefix}{role}", where, found=names)
    if columns.source_id is None:
        raise MissingColumn("source_id", where, found=names)
    return columns


def _band_rows(table: pa.Table, columns: Columns, band: str, origin: Origin) -> tuple[pa.Table | None, set[str]]:
    """The rows of one band, and which :data:`FLAGS` they tell."""
    short = band.lower()
    extra = {
        "transit_id": _there(table, "transit_id"),
        "n_obs": _there(table, "g_transit_n_obs" if band == "G" else f"{short}_n_obs", f"{short}_n_obs"),
        "other_flags": _there(table, f"{short}_other_flags", "other_flags"),
    }
    names = [name for name in dict.fromkeys([*columns.names, *filter(None, extra.values())])]
    ids = source_ids(table[str(columns.source_id)], origin.name)
    own = table.select(names)
    if any(is_list(own[name].type) for name in names):
        # what is not a list of that length is of the source, or of another band, not of these transits
        extra = {
            role: name if name and _as_long(own, name, str(columns.time)) else None for role, name in extra.items()
        }
        own = own.select(
            [*columns.names, *(name for name in filter(None, extra.values()) if name not in columns.names)]
        )
    ids, own = rows_of_points(ids, own, columns, origin)
    if columns.band is not None:
        mine = np.array([holds_band([name], band) for name in own[columns.band].to_pylist()], bool)
        ids, own = ids[mine], own.filter(pa.array(mine))
    told = {_flag_of(name) for name in columns.rejected}
    if not own.num_rows:
        return None, told
    points = Points(own, ids, origin)
    arrays: dict[str, object] = {
        "source_id": ids,
        "band": np.full(len(ids), band, dtype=object),
        "time": to_gaia_days(points, str(columns.time), gaia=True),
        "mag": _converted(points, columns.mag, "mag"),
        "flux": _converted(points, columns.flux, "electron/s"),
        "flux_error": _converted(points, columns.flux_error, "electron/s"),
        "flux_over_error": _converted(points, columns.flux_over_error, None),
        **{flag: _rejected(own, [name for name in columns.rejected if _flag_of(name) == flag]) for flag in FLAGS},
        **{role: _whole(own, name) for role, name in extra.items()},
    }
    rows = pa.table([pa.array(arrays[f.name], f.type, from_pandas=True) for f in SCHEMA], schema=SCHEMA)
    nothing = pc.and_(pc.and_(rows["time"].is_null(), rows["mag"].is_null()), rows["flux"].is_null())
    return rows.filter(pc.invert(nothing)), told


def _there(table: pa.Table, *names: str) -> str | None:
    return next((name for name in names if name in table.column_names), None)


def _as_long(table: pa.Table, name: str, other: str) -> bool:
    """Whether two columns hold lists of the same lengths."""
    if not is_list(table[name].type) or not is_list(table[other].type):
        return False
    mine, others = (pc.fill_null(pc.list_value_length(table[each]), 0) for each in (name, other))
    return bool(pc.all(pc.equal(mine, others.cast(mine.type))).as_py())


def _flag_of(name: str) -> str:
    return FLAGS[1] if "variability" in name else FLAGS[0]


def _converted(points: Points, name: str | None, unit: str | None) -> FloatArray:
    if name is None:
        return np.full(len(points.ids), np.nan)
    numbers = points.numbers(name)
    if unit is None:
        return numbers
    return converted(numbers, points.declared(name), unit, column=name, where=points.origin.name)


def _rejected(table: pa.Table, names: list[str]) -> pa.Array:
    """Whether one of these flags is set; null where one is not known and none is set; false where there is no flag."""
    rejected, unknown = np.zeros(table.num_rows, bool), np.zeros(table.num_rows, bool)
    for name in names:
        missing = np.asarray(table[name].is_null().to_numpy(), bool)
        rejected |= ~known_false(table[name]) & ~missing
        unknown |= missing
    return pa.array(rejected, pa.bool_(), mask=unknown & ~rejected)


def _whole(table: pa.Table, name: str | None) -> pa.Array:
    """A column of whole numbers, null where it is not."""
    if name is None:
        return pa.nulls(table.num_rows, pa.int64())
    column = table[name].combine_chunks()
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64(), safe=True) if column.type != pa.uint64() else column.cast(pa.int64(), safe=False)
    numbers: FloatArray = np.asarray(pd.to_numeric(column.to_pandas(), errors="coerce"), np.float64)
    good = np.isfinite(numbers) & (np.abs(numbers) < 2.0**53)
    whole: IntArray = np.where(good, numbers, 0).astype(np.int64)
    return pa.array(whole, pa.int64(), mask=~good)


def _repeated(rows: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Rows that stand there once more, shape (M,)."""
    frame = rows.select(["source_id", "band", "transit_id", "time", "mag", "flux"]).to_pandas(integer_object_nulls=True)
    return np.asarray(frame.duplicated().to_numpy(), bool)


# ---------------------------------------------------------------------- members of the zip file
def tables_of_zip(path: Path) -> Iterator[tuple[Content, pa.Table]]:
    """Every table in the zip file of DataLink, with the member that holds it.

    Raises
    ------
    Broken
        if a member cannot be read or is cut off.
    """
    for content in _members(path):
        for table in _tables(content):
            yield content, table


def _members(path: Path) -> list[Content]:
    try:
        with zipfile.ZipFile(path) as archive:
            if not archive.namelist():  # nobody had data
                return []
        return contents(path)
    except (zipfile.BadZipFile, zlib.error, EOFError, BadFile) as error:
        raise Broken(f"the zip file of the archive cannot be read ({error})") from error


def _tables(content: Content) -> list[pa.Table]:
    """The tables of a member; a text that does not end with a line is one that was cut off."""
    if content.name.suffix.lower() in (".csv", ".ecsv") and not content.read().endswith(b"\n"):
        raise Broken(f"{content.name} is cut off in the middle of a line")
    try:
        return read_content(content)
    except BadFile as error:
        raise Broken(f"{content.name} cannot be read ({error})") from error
