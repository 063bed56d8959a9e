"""The one stream: light curves in chunks of bounded memory, and with them the rows of the star table they belong to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photfeh.core.bands import require_same_band
from photfeh.core.errors import BadFile, BadInput
from photfeh.core.lightcurves import LightCurves
from photfeh.core.types import IntArray
from photfeh.readers.files import PARSER_ERRORS, read_schema, suffix_of, unreadable
from photfeh.readers.layouts import Columns, find_columns, unknown_band
from photfeh.readers.pairing import of_curves
from photfeh.readers.points import Origin, check_schema_band, drop_unidentified, holds_band, source_ids, to_lightcurves
from photfeh.readers.reading import check_one_kind, files_of, read_lightcurves, warn_of
from photfeh.readers.roles import Roles, roles_of
from photfeh.readers.tables import is_list, leaf_names, tidy
from photfeh.readers.tally import Tally

__all__ = ["Chunk", "iter_chunks", "iter_lightcurves"]

_WHOLE_BELOW = 20_000_000  # rows; a Parquet file that is not sorted by star is read whole up to this size
_POINTS_PER_BATCH = 262_144
_STARS_PER_BATCH = 2_048  # rows of a file with one row a star


def iter_lightcurves(
    source: object,
    *,
    band: str = "G",
    columns: Mapping[str, str] | None = None,
    id_column: str | None = None,
    stars_per_chunk: int = 20_000,
) -> Iterator[LightCurves]:
    """Read light curves in chunks; Parquet files of any size in bounded memory.

    The chunks together are what :func:`read_lightcurves` gives. A Parquet file (or a folder of them) is
    streamed if the points of each star stand together; else it is read whole if it is small, and refused if
    it is not. Other formats and tables in memory are read whole and then cut.

    Parameters
    ----------
    source, band, columns, id_column
        As for :func:`read_lightcurves`.
    stars_per_chunk : int
        Stars in each chunk; the last may have fewer.

    Yields
    ------
    LightCurves

    Raises
    ------
    BadInput
        before the first chunk, if the rows of a large file are not ordered by star; and as
        :func:`read_lightcurves`.
    """
    if stars_per_chunk < 1:
        raise BadInput(f"stars_per_chunk must be at least 1, found {stars_per_chunk}.")
    tally = Tally()
    roles = roles_of(columns, id_column)
    stream = _stream(source, band, roles, tally)
    try:
        yield from _rechunk(
            [read_lightcurves(source, band=band, columns=columns, id_column=id_column)] if stream is None else stream,
            stars_per_chunk,
        )
    finally:
        tally.say()


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some stars of a star table with their light curves.

    ``rows`` (n,): their rows in the table; ``stars``: these rows; ``curves``: n light curves in the same order, without
    points where the source has none. ``observed``: whether the source holds these stars.
    """

    rows: IntArray
    stars: pd.DataFrame
    curves: LightCurves
    observed: bool

    def __len__(self) -> int:
        return len(self.rows)


def iter_chunks(
    epochs: object,
    stars: pd.DataFrame,
    *,
    band: str,
    columns: Mapping[str, str] | None = None,
    id_column: str | None = None,
    stars_per_chunk: int = 10_000,
) -> Iterator[Chunk]:
    """Every star of a table once: first those that occur in the light curves, in their order, then all others.

    Stars of the light curves that are not in the table are left out.

    Parameters
    ----------
    epochs, columns, id_column
        As for :func:`photfeh.readers.read_lightcurves`.
    stars : DataFrame
        As :func:`photfeh.core.stars.validate_stars` returns it.
    band : str
        Passband to read. Light curves in memory must be in it.
    stars_per_chunk : int
        Stars of the source in each chunk.

    Raises
    ------
    BandMismatch
        if ``epochs`` are light curves in memory in another band.
    BadInput
        as :func:`iter_lightcurves`.
    """
    index = pd.Index(stars["source_id"])
    seen = np.zeros(len(stars), bool)
    folded = False
    how: dict[str, Any] = {"columns": of_curves(columns), "id_column": id_column, "stars_per_chunk": stars_per_chunk}
    for curves in iter_lightcurves(epochs, band=band, **how):
        require_same_band(
            curves.band,
            band,
            what="the light curves are",
            needs="asked was",
            remedy=f"Name theirs: band={curves.band!r}.",
        )
        folded = curves.folded
        rows = index.get_indexer(pd.Index(curves.source_id))
        here = rows >= 0
        rows = rows[here].astype(np.int64)
        seen[rows] = True
        if len(rows):
            yield Chunk(rows, stars.iloc[rows].reset_index(drop=True), curves if here.all() else curves[here], True)
    nothing = np.zeros(0)
    rest = np.flatnonzero(~seen)
    for begin in range(0, len(rest), stars_per_chunk):
        rows = rest[begin : begin + stars_per_chunk]
        part = stars.iloc[rows].reset_index(drop=True)
        ids = part["source_id"].to_numpy(np.int64)
        none = LightCurves(ids, np.zeros(len(ids) + 1, np.int64), nothing, nothing, nothing, band, folded)
        yield Chunk(rows, part, none, False)


@dataclass(frozen=True)
class _Plan:
    """A Parquet file that can be streamed, the columns to read, and the identifiers of its runs of rows."""

    path: Path
    columns: Columns
    roles: Roles
    rows: int
    runs: IntArray


def _stream(source: object, band: str, roles: Roles, tally: Tally) -> Iterator[LightCurves] | None:
    """Light curves of the source part by part, each star in one part; None if it has to be read whole."""
    if not isinstance(source, (str, os.PathLike, list, tuple)):
        return None
    files, several = files_of(source)
    if not all(suffix_of(file) in {".parquet", ".pq"} for file in files):
        return None
    plans: list[_Plan] = []
    failures: list[str] = []
    for file in files:
        try:
            plan = _plan(file, band, roles)
        except BadInput as error:
            if not several:
                raise
            failures.append(str(error))
            continue
        if plan is None:
            return None
        plans.append(plan)
    if not plans:
        raise BadFile(f"none of the {len(files)} files could be read; the first: {failures[0]}")
    check_one_kind(plan.columns.time is None for plan in plans)
    again = _first_repeated(np.concatenate([plan.runs for plan in plans]))
    if again is None:
        warn_of(failures)
        return _stream_files(plans, band, tally, several=several)
    rows = sum(plan.rows for plan in plans)
    if rows < _WHOLE_BELOW:
        return None
    raise BadInput(
        f"{plans[0].path}: the rows of star {again} do not stand together, and {rows} rows are too many to "
        "sort here. Sort by source_id and write again."
    )


def _plan(path: Path, band: str, roles: Roles) -> _Plan | None:
    """None where the rows have no identifier but the file's name."""
    schema = read_schema(path)
    if schema is None:
        return None
    columns = find_columns(roles.apply(schema.empty_table(), str(path)).column_names, band, str(path))
    if columns.source_id is None:
        return None
    check_schema_band(schema, band, str(path))
    rows = pq.read_metadata(path).num_rows
    if rows == 0:
        raise BadFile(f"{path} holds no rows. Fetch or write it again, or leave it out.")
    if columns.band is not None and not is_list(schema.field(roles.get("band", columns.band)).type):
        _check_band(path, columns.band, band, roles)
    runs = _runs(path, columns.source_id, roles)
    return (
        _Plan(path, columns, roles, rows, runs) if len(runs) else None
    )  # read whole: another column may hold identifiers


def _check_band(path: Path, name: str, band: str, roles: Roles) -> None:
    """Raise if no row is in the band; stops at the first that is."""
    found: dict[str, None] = {}
    for table in _batches(path, [name], _POINTS_PER_BATCH, roles):
        found |= dict.fromkeys(str(value).strip() for value in table[0].unique().to_pylist() if value is not None)
        if holds_band(found, band):
            return
    raise unknown_band(band, found, str(path))


def _runs(path: Path, name: str, roles: Roles) -> IntArray:
    """The identifier of every run of rows of one star: 8 bytes a star if its rows stand together."""
    runs: list[IntArray] = []
    for table in _batches(path, [name], _POINTS_PER_BATCH, roles):
        ids = source_ids(drop_unidentified(table, name, Origin(str(path)))[name], str(path))
        starts = np.concatenate([[True], np.diff(ids) != 0])[: len(ids)]
        if runs and len(ids):
            starts[0] = ids[0] != runs[-1][-1]
        if starts.any():
            runs.append(ids[starts])
    return np.concatenate(runs) if runs else np.zeros(0, np.int64)


def _first_repeated(ids: IntArray) -> int | None:
    if np.all(np.diff(ids) > 0):
        return None
    unique, counts = np.unique(ids, return_counts=True)
    return int(unique[counts > 1][0]) if len(unique) < len(ids) else None


def _batches(path: Path, names: list[str], size: int, roles: Roles) -> Iterator[pa.Table]:
    """Tidy tables of at most ``size`` rows with these columns."""
    try:
        # buffered: else all pages of a row group are held, and a file may be one single row group
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            leaves = leaf_names(file.schema_arrow)
            needed = sorted({leaves[name] for name in roles.needed(names)})
            for batch in file.iter_batches(batch_size=size, columns=needed):
                yield roles.apply(tidy(pa.Table.from_batches([batch])), str(path)).select(names)
    except PARSER_ERRORS as error:
        raise unreadable(path, error) from error


def _stream_files(plans: list[_Plan], band: str, tally: Tally, *, several: bool) -> Iterator[LightCurves]:
    for plan in plans:
        try:
            yield from _stream_file(plan, band, tally)
        except BadInput as error:
            if not several:
                raise
            warn_of([str(error)])


def _stream_file(plan: _Plan, band: str, tally: Tally) -> Iterator[LightCurves]:
    """One Parquet file in parts; the last star of a batch waits for the next, which may hold more of it."""
    origin, name = Origin(str(plan.path), tally=tally), str(plan.columns.source_id)
    size = _STARS_PER_BATCH if plan.rows == len(plan.runs) else _POINTS_PER_BATCH
    waiting: pa.Table | None = None
    for batch in _batches(plan.path, plan.columns.names, size, plan.roles):
        table = drop_unidentified(batch if waiting is None else pa.concat_tables([waiting, batch]), name, origin)
        ids = source_ids(table[name], origin.name)
        last = int(np.flatnonzero(ids != ids[-1])[-1]) + 1 if np.any(ids != ids[-1:]) else 0
        waiting = table.slice(last)
        if last:
            yield to_lightcurves(table.slice(0, last), band=band, origin=origin, check_band=False)
    if waiting is not None and waiting.num_rows:
        yield to_lightcurves(waiting, band=band, origin=origin, check_band=False)


def _rechunk(parts: Iterable[LightCurves], size: int) -> Iterator[LightCurves]:
    waiting: list[LightCurves] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) < size:
            continue
        whole = LightCurves.concatenate(waiting)
        full = len(whole) // size * size
        for start in range(0, full, size):
            yield whole[start : start + size]
        waiting = [whole[full:]] if full < len(whole) else []
    if waiting:
        yield LightCurves.concatenate(waiting)
