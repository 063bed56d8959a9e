"""From a table to :class:`photfeh.LightCurves`: identifiers, lists, bands, quality, times, magnitudes, repetitions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photfeh.core.bands import get_band
from photfeh.core.errors import BadColumn, BadInput, MissingColumn
from photfeh.core.identifiers import identifier_columns, to_source_id
from photfeh.core.lightcurves import LightCurves
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.readers.layouts import Columns, find_columns, unknown_band
from photfeh.readers.magnitudes import to_magnitudes
from photfeh.readers.numbers import Points, is_text
from photfeh.readers.quality import good_points, is_expected, says_nothing
from photfeh.readers.tables import encoded, is_list, one_chunk
from photfeh.readers.tally import Origin, Tally
from photfeh.readers.times import to_gaia_days

__all__ = [
    "Origin",
    "Tally",
    "check_schema_band",
    "drop_unidentified",
    "holds_band",
    "rows_of_points",
    "source_ids",
    "to_lightcurves",
]


def to_lightcurves(
    table: pa.Table, *, band: str = "G", origin: Origin | None = None, check_band: bool = True
) -> LightCurves:
    """Light curves in one band from a tidy Arrow table of any known layout.

    Kept are points with a finite time and magnitude that no quality column calls bad, each measurement (star, time,
    magnitude) once; a star stays even if no point of it is left. Magnitudes that are missing beside a flux of known
    unit are computed from it. Times become Gaia days (:func:`photfeh.readers.times.to_gaia_days`).

    Parameters
    ----------
    table : pyarrow.Table
        As :func:`photfeh.readers.tables.tidy` makes it: points in rows, or one row a star with list columns.
    band : str
        Passband; a table that names no band is taken to be in this one.
    origin : Origin, optional
        Name for messages, the identifier to use where the table has none, and the tally of what is left out.
    check_band : bool
        Whether a band that is nowhere in the table is an error (else its stars get no points).

    Raises
    ------
    MissingColumn, BadColumn, BadInput
        if columns are missing, hold no numbers or those of an unknown unit or clock, or the band is not there.
    """
    origin = origin or Origin()
    columns = find_columns(table.column_names, band, origin.name)
    check_schema_band(table.schema, band, origin.name)
    star_ids, table = _identifiers(table, columns, origin, whole=check_band)
    stars = _unique_in_order(star_ids)
    lists = any(is_list(field.type) for field in table.schema)
    ids, table = rows_of_points(star_ids, table.select(_at_hand(columns, table)), columns, origin)
    if columns.band is not None:
        ids, table = _chosen(ids, table, _in_band(table[columns.band], band, origin.name, check=check_band))
    origin.counts.points += table.num_rows
    points = Points(table, ids, origin)
    ids, table = _chosen(ids, table, _accepted(points, columns))
    points = Points(table, ids, origin)
    time = _times(points, columns)
    mag, error = to_magnitudes(points, columns, band)
    _count_incomplete(points, time, mag, pairs=columns.side_by_side or lists)
    lcs = LightCurves.from_points(ids, time, mag, error, band=band, folded=columns.time is None)
    lcs = _each_once(lcs, origin)
    origin.say()
    return lcs if np.array_equal(lcs.source_id, stars) else lcs.reindex(stars)


def check_schema_band(schema: pa.Schema, band: str, where: str) -> None:
    """Raise BadInput if a file written by photfeh, which names its band in the schema, is in another."""
    own = (schema.metadata or {}).get(b"band", band.encode()).decode()
    if own != band:
        raise unknown_band(band, [own], where)


# ---------------------------------------------------------------------- identifiers
def _identifiers(table: pa.Table, columns: Columns, origin: Origin, *, whole: bool) -> tuple[IntArray, pa.Table]:
    """One int64 identifier a row, and the rows that have one."""
    name = columns.source_id
    if name is None:
        if origin.source_id is None:
            accepted = ("star_id", "object_id", "oid", "designation", "name", "id", "others that end in id or name")
            raise MissingColumn("source_id", origin.name, accepted=accepted, found=table.column_names)
        return np.full(table.num_rows, origin.source_id, np.int64), table
    if whole and table.num_rows and table[name].null_count == table.num_rows:
        filled = [other for other in identifier_columns(table.column_names) if table[other].null_count == 0]
        if not filled:
            raise BadColumn(f"{origin.name}: the identifiers in column {name!r} are all empty. Fill in that column.")
        name = filled[0]
    table = drop_unidentified(table, name, origin)
    return source_ids(table[name], origin.name), table


def drop_unidentified(table: pa.Table, name: str, origin: Origin) -> pa.Table:
    """The rows that have an identifier; the others are counted."""
    column = table[name]
    missing = column.is_null()
    if is_text(column.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), False))
    number = pc.sum(missing).as_py() or 0
    if not number:
        return table
    row = pc.index(missing, True).as_py()
    origin.count("are left out", number, first=f"row {row}", remedy="Fill in that column.", noun=f"rows without {name}")
    return table.filter(pc.invert(missing))


def source_ids(column: pa.ChunkedArray, where: str) -> IntArray:
    """Identifiers as int64, exact, names as negative numbers (:func:`photfeh.core.identifiers.to_source_id`)."""
    if pa.types.is_integer(column.type) and column.type != pa.uint64():
        return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)
    if pa.types.is_floating(column.type):
        return to_source_id(pd.Series(column.to_numpy()), where).to_numpy()
    # text repeats for every point: translate each different entry once
    coded = encoded(column)
    ids = to_source_id(pd.Series(coded.dictionary.to_pylist(), dtype=object), where).to_numpy(np.int64)
    return np.asarray(ids[coded.indices.to_numpy(zero_copy_only=False)], np.int64)


def _unique_in_order(ids: IntArray) -> IntArray:
    runs = ids[np.concatenate([[True], np.diff(ids) != 0])] if len(ids) else ids
    _, first = np.unique(runs, return_index=True)
    return runs[np.sort(first)]


# ---------------------------------------------------------------------- rows
def _at_hand(columns: Columns, table: pa.Table) -> list[str]:
    """The columns to use; of a table with lists, not the scalar ones that would only seem to be of the points."""
    names = columns.names
    if not any(is_list(table.schema.field(name).type) for name in names):
        return names
    spare = {*columns.other_times, *columns.other_mags, *columns.unknown_quality}
    return [name for name in names if name not in spare or is_list(table.schema.field(name).type)]


def _chosen(ids: IntArray, table: pa.Table, keep: BoolArray) -> tuple[IntArray, pa.Table]:
    return (ids, table) if keep.all() else (ids[keep], table.filter(pa.array(keep)))


def rows_of_points(ids: IntArray, table: pa.Table, columns: Columns, origin: Origin) -> tuple[IntArray, pa.Table]:
    """One row a point, from one row a star where columns hold lists."""
    lists = [name for name in table.column_names if is_list(table[name].type)]
    if not lists:
        return ids, table
    for name in filter(None, (columns.time, columns.phase, columns.mag or columns.flux)):
        if name not in lists:
            raise BadColumn(f"{origin.name}: {lists[0]!r} holds lists, {name!r} does not. Give both as lists.")
    arrays = {name: one_chunk(table[name]) for name in lists}
    lengths = {name: pc.fill_null(pc.list_value_length(array), 0).to_numpy() for name, array in arrays.items()}
    count = lengths[lists[0]].astype(np.int64)
    same = np.all([other == count for other in lengths.values()], axis=0)
    if not same.all():
        origin.count(
            f"have lists of different length ({', '.join(lists)}); their points are left out",
            int(np.sum(~same)),
            first=f"{ids[int(np.argmin(same))]}",
            remedy="Correct those rows.",
            noun="stars",
        )
        kept = pa.array(same)
        arrays = {name: array.filter(kept) for name, array in arrays.items()}
        ids, table, count = ids[same], table.filter(kept), count[same]
    rows = np.repeat(np.arange(len(ids)), count)
    flat = {name: array.flatten() for name, array in arrays.items()}
    flat |= {name: table[name].take(pa.array(rows)) for name in table.column_names if name not in lists}
    schema = [pa.field(name, values.type, metadata=table.schema.field(name).metadata) for name, values in flat.items()]
    return ids[rows], pa.table(list(flat.values()), schema=pa.schema(schema))


def _accepted(points: Points, columns: Columns) -> BoolArray:
    """The points that no quality column calls bad; the columns that are not known are named."""
    keep = np.ones(len(points.ids), bool)
    for name in columns.rejected:
        column = points.table[name]
        if column.null_count == len(column) > 0:
            points.origin.warn(
                f"the quality flag {name!r} is empty. What is not known to be good is not used, so these "
                "stars have no points left. Fill in that column or remove it."
            )
        good = good_points(column, name)
        if not is_expected(name):
            what = f"are bad by the quality column {name!r} and left out"
            points.count(what, keep & ~good, sample=column, remedy="Remove those rows to avoid this message.")
        keep &= good
    at_hand = [name for name in columns.unknown_quality if name in points.table.column_names]
    unknown = [repr(name) for name in at_hand if not says_nothing(points.table[name])]
    if unknown:
        points.origin.warn(
            f"{', '.join(unknown)}: quality columns by their names, of unknown meaning, and not obeyed. Remove bad "
            "points beforehand, and those columns."
        )
    return keep


def holds_band(names: Iterable[object], band: str) -> bool:
    """Whether one of the entries of a band column means this band (:meth:`photfeh.core.bands.Band.is_called`)."""
    return any(get_band(band).is_called(_band_text(name)) for name in names if name is not None)


def _in_band(column: pa.ChunkedArray, band: str, where: str, *, check: bool) -> BoolArray:
    coded = encoded(column)
    names = [_band_text(name) for name in coded.dictionary.to_pylist()]
    used = np.asarray(pc.fill_null(coded.indices, -1).to_numpy())
    mine = {name for name in names if holds_band([name], band)}
    if check and len(used) and not mine:
        raise unknown_band(band, dict.fromkeys(filter(None, names)), where)
    if len(mine) > 1:
        raise BadInput(
            f"{where} holds the bands {' and '.join(map(repr, sorted(mine)))}, and each may be what is meant by "
            f"{band!r}. Leave one of them out, or give both the same name."
        )
    return np.isin(used, [code for code, name in enumerate(names) if name in mine])


def _band_text(name: object) -> str:
    """What a band column holds, as text: 1 and 1.0 are "1"."""
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    return "" if name is None else (name.decode(errors="replace") if isinstance(name, bytes) else str(name)).strip()


# ---------------------------------------------------------------------- numbers
def _times(points: Points, columns: Columns) -> FloatArray:
    """Phases modulo 1, or times in Gaia days."""
    if columns.time is None:
        phase = np.mod(points.numbers(str(columns.phase)), 1.0)
        return np.where(phase == 1.0, 0.0, phase)  # the rounded remainder of a tiny negative phase
    others = [name for name in columns.other_times if name in points.table.column_names]
    return points.fullest(columns.time, others, lambda name: to_gaia_days(points, name, gaia=columns.gaia_days))


def _count_incomplete(points: Points, time: FloatArray, mag: FloatArray, *, pairs: bool) -> None:
    """Count the points without time or magnitude; where these come in ``pairs``, one without both is no point."""
    no_time, no_mag = ~np.isfinite(time) & ~points.counted, ~np.isfinite(mag) & ~points.counted
    if pairs:
        no_time, no_mag = no_time & ~no_mag, no_mag & ~no_time
    points.count("have no time", no_time, remedy="Fill in that column, or remove those rows.")
    points.count("have no magnitude", no_mag & ~no_time, remedy="Fill in that column, or remove those rows.")


def _each_once(lcs: LightCurves, origin: Origin) -> LightCurves:
    """The same measurement (star, time, magnitude) once: the one with the smallest error."""
    if lcs.folded or not np.any(np.diff(lcs.time) == 0):
        return lcs
    order = np.lexsort((lcs.mag_error, lcs.mag, lcs.time, lcs.star_index))
    same = [np.diff(values[order]) == 0 for values in (lcs.mag, lcs.time, lcs.star_index)]
    again = np.zeros(len(lcs.time), bool)
    again[order[1:]] = np.logical_and.reduce(same)
    if not again.any():
        return lcs
    star = lcs.source_id[lcs.star_of(int(np.argmax(again)))]
    origin.count(
        "repeat a measurement (same star, time and magnitude), and are taken once",
        int(again.sum()),
        first=f"of star {star}",
        remedy="Remove the repetitions.",
    )
    return lcs.select_points(~again)
