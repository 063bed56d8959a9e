"""The tables of a file or object, each with the star it is of where no column says so."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from photfeh.core.errors import BadFile, BadInput, PhotfehWarning
from photfeh.core.identifiers import identifier_columns, source_id_of
from photfeh.readers.compression import check_file, contents
from photfeh.readers.files import PARSER_ERRORS, read_content, read_schema, unreadable
from photfeh.readers.identify import star_of_name
from photfeh.readers.layouts import Columns, find_columns
from photfeh.readers.objects import as_tables
from photfeh.readers.roles import Roles, name_the_nameless
from photfeh.readers.tables import is_list, name_of
from photfeh.readers.tally import Origin, Tally

__all__ = ["Part", "identified", "parts_of_file", "parts_of_object"]

DEFAULT_STAR = "star"
"""Name of the one star of a table in memory that has no identifier."""


@dataclass(frozen=True)
class Part:
    """One table: what it says, what messages call it, and the name that may tell its star."""

    table: pa.Table
    origin: Origin
    name: Path | None
    """None for a table in memory that has no name."""
    alone: bool
    """Whether its file or object holds no other."""
    named_star: int | str | None = None
    """Set by :func:`identified` where the name told the star."""


def parts_of_file(path: Path, roles: Roles, band: str, tally: Tally) -> list[Part]:
    """All tables in a file, of Parquet files only the columns that light curves need.

    Raises
    ------
    BadInput
        if the file cannot be read, or a Parquet file is of no known layout.
    """
    schema = read_schema(path)
    needed = None
    if schema is not None:
        layout = roles.apply(schema.empty_table(), str(path))
        names = find_columns(layout.column_names, band, str(path)).names
        needed = roles.needed([*names, *identifier_columns(layout.column_names)])
    check_file(path)
    parts: list[tuple[str, Path, pa.Table]] = []
    try:
        files = contents(path)
    except PARSER_ERRORS as error:
        raise unreadable(path, error) from error
    failures: list[BadInput] = []
    for content in files:
        try:
            with _noted(tally, str(content)):
                tables = read_content(content, needed)
        except BadInput as error:
            failures.append(error)
            continue
        for number, table in enumerate(tables, start=1):
            where = f"{content}, table {name_of(table) or number}" if len(tables) > 1 else str(content)
            parts.append((where, content.name, table))
    if not parts:
        raise failures[0]
    for failure in failures:
        tally.note(f"{failure} (left out)", str(path))
    alone = len(parts) == 1
    return [
        Part(roles.apply(table, where), Origin(where, tally=tally), _better_name(table, name, alone), alone)
        for where, name, table in parts
    ]


def parts_of_object(source: object, roles: Roles, tally: Tally) -> list[Part]:
    """All tables in an object in memory (:func:`photfeh.readers.objects.as_tables`).

    Raises
    ------
    BadInput
        if there is none.
    """
    tables = as_tables(source)
    if not tables:
        raise BadInput(f"a {type(source).__name__} without any table was given. Give at least one.")
    parts = []
    for table in tables:
        where = name_of(table) or "the table"
        name = Path(name_of(table)) if name_of(table) else None
        parts.append(Part(roles.apply(table, where), Origin(where, tally=tally), name, len(tables) == 1))
    return parts


def _better_name(table: pa.Table, name: Path, alone: bool) -> Path:
    """The table's own name, where it names a star and a file holds several."""
    own = name_of(table)
    return Path(own) if own and not alone and isinstance(star_of_name(Path(own)), (int, str)) else name


@contextmanager
def _noted(tally: Tally, where: str) -> Iterator[None]:
    """Warnings of the readers go to the tally, so that a thousand files say one thing once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if issubclass(warning.category, PhotfehWarning):
            text = str(warning.message).removeprefix(f"{where}: ")
            tally.note(text, where, key=re.sub(r"\d+", "#", text))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


# ---------------------------------------------------------------------- whose points
def identified(part: Part, band: str, source_id: int | str | None = None) -> tuple[Part, Columns]:
    """The part with its star in the origin, where no column holds identifiers; and the roles of its columns.

    A column that looks like an identifier goes before any name. ``source_id`` is what the user says the one star is.

    Raises
    ------
    BadInput
        if there is neither column nor name, or a column that nobody knows looks like an identifier and differs from
        row to row.
    """
    origin = part.origin
    table = name_the_nameless(part.table, origin)
    columns = find_columns(table.column_names, band, origin.name)
    if source_id is not None:
        return _as_star(part, table, columns, source_id), columns
    if columns.source_id is not None:
        _refuse_row_numbers(table, columns, origin)
        return replace(part, table=table), columns
    likely = _likely_column(table, columns, origin)
    if likely is not None:
        table = table.rename_columns([{likely: "source_id"}.get(name, name) for name in table.column_names])
        return replace(part, table=table), find_columns(table.column_names, band, origin.name)
    star = None if part.name is None else star_of_name(part.name)
    if star is None and part.name is None and part.alone:
        origin.warn(f"no identifiers; the star is called {DEFAULT_STAR!r}. Give source_id= or a column 'source_id'.")
        star = DEFAULT_STAR
    if star is None:
        raise BadFile(
            f"{origin.name} has no column 'source_id' and no identifier in its name. Add the column, name it by "
            "id_column=, or name the file by its star, such as '1204518424202454272.csv'."
        )
    return replace(_as_star(part, table, columns, star), named_star=star), columns


def _as_star(part: Part, table: pa.Table, columns: Columns, star: int | str) -> Part:
    if columns.source_id is not None:
        raise BadInput(f"{part.origin.name} has a column of identifiers ({columns.source_id!r}). Leave out source_id=.")
    number = source_id_of(star) if isinstance(star, str) else int(star)
    return replace(part, table=table, origin=replace(part.origin, source_id=number))


def _likely_column(table: pa.Table, columns: Columns, origin: Origin) -> str | None:
    """The first column that looks like an identifier, if it holds one; an error if it holds several."""
    for name in identifier_columns(table.column_names):
        column = table[name]
        if name in columns.names or is_list(column.type) or column.null_count == len(column):
            continue
        several = pc.count_distinct(column).as_py() > 1
        if several and pa.types.is_floating(column.type):
            continue
        if several:
            raise BadInput(
                f"{origin.name} has no column 'source_id', but {name!r} looks like one and differs from row to row. "
                f"If it names the stars, give id_column={name!r}; else remove it."
            )
        return name
    return None


def _refuse_row_numbers(table: pa.Table, columns: Columns, origin: Origin) -> None:
    """A column ``id`` that counts the points is no identifier of stars."""
    name = str(columns.source_id)
    lists = any(is_list(table[column].type) for column in columns.names if column in table.column_names)
    if name not in ("id", "number", "no") or lists or table.num_rows < 3:
        return
    column = table[name]
    if not pa.types.is_integer(column.type) or column.null_count:
        return
    values = column.to_numpy()
    if len(np.unique(values)) == len(values):
        raise BadInput(
            f"{origin.name}: {name!r} is different in each of its {len(values)} rows: it numbers the points, not the "
            "stars. Remove it, or name the column of identifiers by id_column=."
        )
