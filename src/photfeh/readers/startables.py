"""Star tables: from files and objects of every kind, or from the light curves themselves where none is given."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photfeh.core.errors import BadFile, BadInput, PhotfehWarning
from photfeh.core.identifiers import identifier_columns, names_of, to_source_id
from photfeh.core.lightcurves import LightCurves
from photfeh.core.stars import ALIASES, COLUMNS, to_numbers, validate_stars
from photfeh.readers.files import PARSER_ERRORS, read_schema, read_tables, unreadable
from photfeh.readers.objects import as_tables
from photfeh.readers.parts import Part, identified, parts_of_file, parts_of_object
from photfeh.readers.reading import files_of, is_path_or_paths, warn_of
from photfeh.readers.roles import STAR_ROLES, Roles, roles_of
from photfeh.readers.tables import NO_NAMES, is_list, leaf_names, name_of, plain_name, tidy, to_frame, unit_of
from photfeh.readers.tally import Tally
from photfeh.readers.units import converted

__all__ = ["FROM_EPOCHS", "read_stars", "stars_from_epochs", "stars_of_tables", "tables_of_stars"]

FROM_EPOCHS = ("period", "pf", "p1_o", "type", "best_classification")
"""Columns that are taken from a table of light curves where it has them."""


def read_stars(
    source: object, *, columns: Mapping[str, str] | None = None, id_column: str | None = None
) -> pd.DataFrame:
    """Read a star table and bring it to canonical form.

    Parameters
    ----------
    source : path, table or list of identifiers
        One row a star: a file of any kind, a table in memory (:func:`photfeh.readers.objects.as_tables`), or the
        identifiers alone, as a list or as a text file with one a line. List columns (light curves stored beside the
        parameters) are left out. Several tables of one file are joined.
    columns : dict, optional
        Role -> name of the column that plays it (:data:`photfeh.core.stars.COLUMNS`): ``{"period": "Per"}``.
    id_column : str, optional
        Name of the column of identifiers.

    Returns
    -------
    pandas.DataFrame
        As :func:`photfeh.core.stars.validate_stars` makes it; units that the file declares are converted.

    Raises
    ------
    BadFile, MissingColumn, BadColumn
        see :func:`photfeh.readers.read_tables` and :func:`photfeh.core.stars.validate_stars`; the text names the file.
    """
    where, tables = tables_of_stars(source)
    return stars_of_tables(tables, where, columns, id_column)


def tables_of_stars(source: object, only: Collection[str] | None = None) -> tuple[str, list[pa.Table]]:
    """The tables of a source of stars, and what messages call it; of Parquet files ``only`` these columns."""
    if isinstance(source, (str, os.PathLike)):
        schema = read_schema(source)
        names = None if schema is None else _scalars(schema)
        if names is not None and only is not None:
            plain = {name: plain_name(name) for name in names}
            wanted = {*only, *identifier_columns(list(plain.values()))}
            names = [name for name in names if plain[name] in wanted] or names
        return str(source), read_tables(source, columns=names)
    if _is_plain_list(source):
        return "the star table", [pa.table({"source_id": _identifiers(source)})]
    return "the star table", as_tables(source)


def stars_of_tables(
    tables: list[pa.Table], where: str, columns: Mapping[str, str] | None, id_column: str | None
) -> pd.DataFrame:
    """The star table of these tables, as :func:`read_stars` returns it."""
    roles = roles_of(columns, id_column, STAR_ROLES)
    frames = [_frame(table, roles, where) for table in tables]
    return validate_stars(_joined(frames, tables, where), where=where)


def _scalars(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if not is_list(field.type)]


def _is_plain_list(source: object) -> bool:
    """Whether this is one column of identifiers: a list, an array or a Series of integers or text."""
    if isinstance(source, (pd.Series, pd.Index, pa.Array, pa.ChunkedArray)):
        return True
    if isinstance(source, np.ndarray):
        return source.ndim == 1 and source.dtype.names is None
    if not isinstance(source, (list, tuple)):
        return False
    return all(isinstance(entry, (int, np.integer, str, bytes, float)) for entry in source)


def _identifiers(source: object) -> pa.Array:
    if isinstance(source, (pa.Array, pa.ChunkedArray)):
        return source
    if isinstance(source, (list, tuple)) and any(isinstance(entry, (str, bytes)) for entry in source):
        return pa.array([entry.decode() if isinstance(entry, bytes) else str(entry) for entry in source], pa.string())
    return pa.array(source, from_pandas=True)


# ---------------------------------------------------------------------- one table
def _frame(table: pa.Table, roles: Roles, where: str) -> pd.DataFrame:
    """The scalar columns, in the units that they should have; those of all that declare one in ``attrs["units"]``."""
    table = table.select([field.name for field in table.schema if not is_list(field.type)])
    table = _name_the_nameless(roles.apply(table, where), where)
    frame = to_frame(table)
    for name in table.column_names:
        unit, target = unit_of(table, name), _target(name)
        # CDS writes the unit of a logarithm in brackets: [-], [Sun]
        if unit is None or target is None or unit == target or (target == "dex" and unit.startswith("[")):
            continue
        numbers = to_numbers(frame[name], name, where).to_numpy()
        frame[name] = converted(numbers, unit, target, column=name, where=where)
    units = {name: _target(name) or unit_of(table, name) for name in table.column_names if unit_of(table, name)}
    frame.attrs["units"] = units  # for columns that are carried along
    return frame


def _target(name: str) -> str | None:
    """The unit of the role that a column plays, None where units do not matter."""
    role = next((role for role, others in ALIASES.items() if name == role or name in others), name)
    base = role.removesuffix("_error")
    unit = COLUMNS[role].unit if role in COLUMNS else COLUMNS[base].unit if base in COLUMNS else ""
    return unit if unit in ("d", "mag", "dex", "rad") else None


def _name_the_nameless(table: pa.Table, where: str) -> pa.Table:
    """One column without a name: identifiers. Two: identifiers and periods, which is said aloud."""
    if NO_NAMES not in (table.schema.metadata or {}) or "source_id" in table.column_names:
        return table
    names = ["source_id", "period"][: table.num_columns]
    if table.num_columns > 2 or (table.num_columns == 2 and not _are_periods(table[1])):
        raise BadInput(
            f"{where} has no names of columns. Write them in a first line (source_id, period, ...), or name them: "
            f"columns={{'source_id': 'column1', ...}} ({', '.join(table.column_names)})."
        )
    if table.num_columns == 2:
        warnings.warn(
            f"{where}: no names of columns; taken as source_id and period. Write the names in a first line.",
            PhotfehWarning,
            stacklevel=4,
        )
    return table.rename_columns(names)


def _are_periods(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_floating(column.type):
        return False
    values = column.drop_null().to_numpy()
    return len(values) > 0 and bool(np.mean((values > 0.05) & (values < 5)) > 0.9)


def _joined(frames: list[pd.DataFrame], tables: list[pa.Table], where: str) -> pd.DataFrame:
    """One frame of all tables that hold stars; the others are said to be left out."""
    if len(frames) == 1:
        return frames[0]
    stars, left = [], []
    for frame, table in zip(frames, tables, strict=True):
        known = identifier_columns(list(frame.columns))
        if known and not frame[known[0]].duplicated().any():
            # as objects: integers beside text or missing entries must not become floats
            stars.append(frame.drop(columns=known[0]).assign(source_id=frame[known[0]].astype(object)))
        else:
            left.append(name_of(table) or f"of {len(frame)} rows")
    if not stars:
        raise BadFile(f"{where}: none of its {len(frames)} tables has one row a star and a column of identifiers.")
    if left:
        warnings.warn(
            f"{where}: {len(left)} of {len(frames)} tables are no star tables and are left out, first {left[0]}. "
            "Write the star table to a file of its own to avoid this message.",
            PhotfehWarning,
            stacklevel=3,
        )
    return pd.concat(stars, ignore_index=True)


# ---------------------------------------------------------------------- no star table at all
def stars_from_epochs(
    source: object,
    *,
    band: str = "G",
    columns: Mapping[str, str] | None = None,
    id_column: str | None = None,
    source_id: int | str | None = None,
) -> pd.DataFrame:
    """The star table of a source of light curves: its identifiers, with periods and types where they stand beside.

    Parameters
    ----------
    source, band, columns, id_column, source_id
        As for :func:`photfeh.readers.read_lightcurves`. Tables among the files that hold no light curves but
        identifiers with ``period``, ``pf`` or ``p1_o`` (Gaia's ``vari_rrlyrae`` as exported) add these to the stars.

    Returns
    -------
    pandas.DataFrame
        As :func:`photfeh.core.stars.validate_stars` makes it, in order of first appearance: ``source_id``, ``name``
        for text, and those of :data:`FROM_EPOCHS` that are there. A value that differs within a star is missing.

    Raises
    ------
    BadInput
        as :func:`photfeh.readers.read_lightcurves`.
    """
    if isinstance(source, LightCurves):
        return validate_stars(pd.DataFrame({"source_id": source.source_id}))
    roles, tally = roles_of(columns, id_column), Tally()
    curves: list[pd.DataFrame] = []
    tables: list[pd.DataFrame] = []
    failures: list[str] = []
    if is_path_or_paths(source):
        files, several = files_of(source)
        for file in files:
            try:
                _collect_file(file, roles, band, tally, source_id, curves, tables)
            except BadInput as error:
                if not several:
                    raise
                failures.append(str(error))
    else:
        _collect(parts_of_object(source, roles, tally), band, source_id, curves, tables)
    if not curves and not tables:
        raise BadFile(f"no star was found; the first reason: {failures[0]}")
    warn_of(failures)
    return validate_stars(_beside(curves, tables), where="the star table from the light curves")


def _collect_file(
    path: Path,
    roles: Roles,
    band: str,
    tally: Tally,
    source_id: int | str | None,
    curves: list[pd.DataFrame],
    tables: list[pd.DataFrame],
) -> None:
    schema = read_schema(path)
    known = [] if schema is None else identifier_columns(roles.apply(schema.empty_table(), str(path)).column_names)
    if schema is None or not known or source_id is not None:
        try:
            parts = parts_of_file(path, roles, band, tally)
        except BadInput:
            tables.append(_periods_of(read_stars(path)))  # raises its own reason
            return
        _collect(parts, band, source_id, curves, tables)
        return
    names = [roles.get(known[0], known[0]), *(name for name in FROM_EPOCHS if name in schema.names)]
    found = [_scalar_rows(tidy(batch), roles, known[0], str(path)) for batch in _parquet_batches(path, names)]
    (curves if _has_lists_or_times(schema) else tables).append(_first_of_each(found))


def _has_lists_or_times(schema: pa.Schema) -> bool:
    return any(is_list(field.type) for field in schema) or any("time" in name or "jd" in name for name in schema.names)


def _parquet_batches(path: Path, names: Iterable[str]) -> Iterable[pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            leaves = leaf_names(file.schema_arrow)
            for batch in file.iter_batches(columns=sorted({leaves[name] for name in names})):
                yield pa.Table.from_batches([batch])
    except PARSER_ERRORS as error:
        raise unreadable(path, error) from error


def _collect(
    parts: list[Part],
    band: str,
    source_id: int | str | None,
    curves: list[pd.DataFrame],
    tables: list[pd.DataFrame],
) -> None:
    failures: list[BadInput] = []
    for part in parts:
        where = part.origin.name
        try:
            part, roles = identified(part, band, source_id)
        except BadInput as error:
            failures.append(error)
            continue
        if roles.source_id is not None or "source_id" in part.table.column_names:
            name = roles.source_id or "source_id"
            curves.append(_first_of_each([_scalar_rows(part.table, Roles(), name, where)]))
        else:
            star = part.named_star if part.named_star is not None else source_id
            rows = part.table.append_column("source_id", pa.array([str(star)] * part.table.num_rows))
            curves.append(_first_of_each([_scalar_rows(rows, Roles(), "source_id", where)]))
    if len(failures) == len(parts):
        for part, failure in zip(parts, failures, strict=True):
            known = identifier_columns(part.table.column_names)
            if not known or not {"period", "pf", "p1_o"} & set(part.table.column_names):
                raise failure
            tables.append(_periods_of(read_stars(part.table)))


def _periods_of(stars: pd.DataFrame) -> pd.DataFrame:
    given = stars["name"] if "name" in stars.columns else stars["source_id"]
    kept = [name for name in FROM_EPOCHS if name in stars.columns]
    return stars[kept].assign(source_id=given.astype(object), number=stars["source_id"])


def _scalar_rows(table: pa.Table, roles: Roles, name: str, where: str) -> pd.DataFrame:
    """Identifier and parameters of each row, as far as they are scalars."""
    table = roles.apply(table, where)
    kept = [column for column in FROM_EPOCHS if column in table.column_names and not is_list(table[column].type)]
    frame = _frame(table.select(list(dict.fromkeys([name, *kept]))), Roles(), where).drop_duplicates()
    frame = frame[frame[name].notna()]
    given = frame[name].astype(object)
    number = to_source_id(given if given.map(lambda entry: isinstance(entry, str)).any() else frame[name], where)
    text = names_of(given)
    frame = frame.drop(columns=name)
    return frame.assign(source_id=text.where(text.notna(), number), number=number)


def _first_of_each(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """One row a star; what differs within a star is missing."""
    rows = pd.concat(frames, ignore_index=True)
    grouped = rows.groupby("number", sort=False)
    first = grouped.first().reset_index()
    for name in FROM_EPOCHS:
        if name in rows.columns:
            unique = grouped[name].nunique().to_numpy() <= 1
            first[name] = first[name].where(unique)
    return first


def _beside(curves: list[pd.DataFrame], tables: list[pd.DataFrame]) -> pd.DataFrame:
    """The stars that have curves, with what tables say of them; all stars of the tables where nothing has curves."""
    said = _first_of_each(tables) if tables else None
    if not curves:
        assert said is not None
        return said.drop(columns="number")
    stars = _first_of_each(curves)
    if said is not None:
        beside = said.set_index("number").reindex(stars["number"]).reset_index(drop=True)
        for name in (name for name in FROM_EPOCHS if name in beside.columns):
            stars[name] = stars[name].fillna(beside[name]) if name in stars.columns else beside[name]
    return stars.drop(columns="number")
