"""Tables from files: one reader a format, chosen by the suffix in one explicit table, all ending in Arrow."""

from __future__ import annotations

import csv as python_csv
import gzip
import json
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO
from xml.parsers.expat import ExpatError

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from photfeh.core.errors import BadFile, PhotfehWarning
from photfeh.core.stars import validate_stars
from photfeh.readers.tables import as_table, from_astropy, is_list, leaf_names, tidy, to_frame

__all__ = ["READERS", "is_supported", "read_schema", "read_stars", "read_table", "suffix_of", "unreadable"]

Reader = Callable[[Path, Collection[str] | None], pa.Table]

PARSER_ERRORS = (
    *(pa.ArrowException, OSError, EOFError, ValueError, TypeError, LookupError),
    *(struct.error, zlib.error, ExpatError),
)
"""What the parsers raise for a damaged file. Narrow enough that a mistake in this code still shows as what it is."""


def read_table(path: str | os.PathLike[str], *, columns: Collection[str] | None = None) -> pa.Table:
    """Read one table from a file of any supported kind (:data:`READERS`).

    Parameters
    ----------
    path : path
        The suffix says what kind of file it is, upper or lower case.
    columns : collection of str, optional
        Lower-case names of the columns that are needed. Parquet files read no other, the rest read all. Names
        that the file lacks are ignored.

    Returns
    -------
    pyarrow.Table
        Names lower-cased and stripped, integers exact, missing entries null, arrays as list columns, nested
        columns spread into list columns (:func:`photfeh.readers.tables.tidy`).

    Raises
    ------
    BadFile
        if the file is absent, empty, truncated or damaged, has no rows, or its suffix is unknown.
    """
    path = Path(path)
    reader = READERS[_checked_suffix(path)]
    try:
        table = tidy(reader(path, columns))
    except PARSER_ERRORS as error:
        raise unreadable(path, error) from error
    if table.num_columns == 0 or table.num_rows == 0:
        raise BadFile(f"{path} holds no rows. Fetch or write it again, or leave it out.")
    return table


def read_schema(path: str | os.PathLike[str]) -> pa.Schema | None:
    """Names and types of the columns as :func:`read_table` gives them, without reading the data.

    None for formats that would have to be read whole to know. Raises :class:`photfeh.core.errors.BadFile` like
    :func:`read_table`.
    """
    path = Path(path)
    if _checked_suffix(path) not in {".parquet", ".pq"}:
        return None
    try:
        with pq.ParquetFile(path) as file:
            return tidy(file.schema_arrow.empty_table()).schema
    except PARSER_ERRORS as error:
        raise unreadable(path, error) from error


def read_stars(source: object) -> pd.DataFrame:
    """Read a star table and bring it to canonical form.

    Parameters
    ----------
    source : path, pandas.DataFrame, astropy Table or pyarrow Table
        One row a star. List columns (light curves stored beside the parameters) are left out.

    Returns
    -------
    pandas.DataFrame
        As :func:`photfeh.core.stars.validate_stars` makes it.

    Raises
    ------
    BadFile, MissingColumn, BadColumn
        see :func:`read_table` and :func:`photfeh.core.stars.validate_stars`; the text names the file.
    """
    if isinstance(source, (str, os.PathLike)):
        where, schema = str(source), read_schema(source)
        scalar = None if schema is None else [field.name for field in schema if not is_list(field.type)]
        table = read_table(source, columns=scalar)
    else:
        where, table = "the star table", as_table(source)
    table = table.select([field.name for field in table.schema if not is_list(field.type)])
    return validate_stars(to_frame(table), where=where)


def is_supported(path: Path) -> bool:
    """Whether a reader is known for the file's suffix; hidden and underscored files are never taken."""
    return suffix_of(path) in READERS and path.name[:1] not in {".", "_"}


def suffix_of(path: Path) -> str:
    """The suffix that chooses the reader: lower case, with ``.gz`` where the file is compressed."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


# ---------------------------------------------------------------------- what can be wrong with a file
def _checked_suffix(path: Path) -> str:
    if not path.exists():
        raise BadFile(f"{path} does not exist. Check the name and the folder.")
    if path.is_dir():
        raise BadFile(f"{path} is a folder, not a table. Name one file in it.")
    if path.stat().st_size == 0:
        raise BadFile(f"{path} is empty (0 bytes). Fetch or write it again.")
    suffix = suffix_of(path)
    if suffix not in READERS:
        raise BadFile(f"{path} has the unknown suffix {suffix!r}. Known: {', '.join(READERS)}. Convert or rename it.")
    return suffix


def unreadable(path: Path, error: Exception) -> BadFile:
    """The error for a file that a parser gave up on."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return BadFile(
        f"{path} cannot be read as {suffix_of(path)}: {reason}. It may be truncated, damaged or of another "
        "kind; fetch or write it again."
    )


# ---------------------------------------------------------------------- csv
@dataclass(frozen=True)
class _Head:
    """What stands before the first row of a text table."""

    names: list[str]
    delimiter: str
    skip: int


def _csv(path: Path, columns: Collection[str] | None) -> pa.Table:
    """Comma, tab, semicolon or bar between fields; leading ``#`` lines are comments (Gaia's bulk files)."""
    head = _csv_head(path)
    ragged: list[str] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        ragged.append(f"{row.actual_columns} fields instead of {row.expected_columns}")
        return "skip"

    table = pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(skip_rows=head.skip, column_names=head.names),
        parse_options=pa.csv.ParseOptions(delimiter=head.delimiter, invalid_row_handler=skip),
        convert_options=pa.csv.ConvertOptions(strings_can_be_null=True, null_values=_MISSING),
    )
    if ragged:
        warnings.warn(
            f"{path}: {len(ragged)} rows left out, the first has {ragged[0]}. Correct or fetch it again.",
            PhotfehWarning,
            stacklevel=2,
        )
    return pa.table({name: _lists_from_text(table[name]) for name in table.column_names})


def _csv_head(path: Path) -> _Head:
    comment, first_line, skip = "", "", 0
    with _text(path) as file:
        for line in file:
            if line.startswith("#"):
                comment = line.lstrip("#").strip()
            elif line.strip():
                first_line = line.strip()
                break
            skip += 1
        more = any(line.strip() for line in file)
    if not first_line:
        raise BadFile(f"{path} holds no table, only blank or comment lines. Fetch or write it again.")
    delimiter = max(",\t;|", key=first_line.count)
    names, first = _fields(comment, delimiter), _fields(first_line, delimiter)
    if len(names) == len(first) > 1 and _is_number(first[0]):
        return _Head(names, delimiter, skip)  # the names stand in the last comment line
    if not more:
        raise BadFile(f"{path} holds no rows, only the names of columns. Fetch or write it again.")
    return _Head(first, delimiter, skip + 1)


def _text(path: Path) -> IO[str]:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _fields(line: str, delimiter: str) -> list[str]:
    return [name.strip() for name in next(python_csv.reader([line], delimiter=delimiter), [])]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) is not None


def _lists_from_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """``[1.5, null]`` or ``(1.5, null)`` in every row of a text column -> a list column."""
    if not pa.types.is_string(column.type):
        return column
    known = pc.drop_null(column)
    if len(known) == 0 or known[0].as_py().lstrip()[:1] not in ("[", "("):
        return column
    rows = [re.sub(r"\bnan\b", "NaN", row.translate(_BRACKETS)) if row else "null" for row in column.to_pylist()]
    try:
        return pa.chunked_array([pa.array(json.loads(f"[{','.join(rows)}]"), from_pandas=True)])
    except (json.JSONDecodeError, pa.ArrowInvalid, pa.ArrowTypeError):
        return column


_BRACKETS = str.maketrans("()", "[]")
_MISSING = ["", "null", "NULL", "NaN", "nan", "NA", "N/A", "None", "--"]


# ---------------------------------------------------------------------- astronomy's own formats
def _bytes(path: Path) -> BytesIO:
    """The whole file, uncompressed: astropy forgets to close files that it fails to read."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        return BytesIO(file.read())


def _ecsv(path: Path, columns: Collection[str] | None) -> pa.Table:
    from astropy.table import Table

    with _text(path) as file:
        lines = file.read().splitlines()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units and metadata that astropy does not know do not matter here
        return from_astropy(Table.read(lines, format="ascii.ecsv", fill_values=[("", "0"), ("null", "0")]))


def _votable(path: Path, columns: Collection[str] | None) -> pa.Table:
    from astropy.io.votable import parse_single_table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        return from_astropy(parse_single_table(_bytes(path), verify="ignore").to_table(use_names_over_ids=True))


def _fits(path: Path, columns: Collection[str] | None) -> pa.Table:
    from astropy.io import fits
    from astropy.table import Table

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as above
            with fits.open(_bytes(path)) as units:
                tables = [unit for unit in units if isinstance(unit, (fits.BinTableHDU, fits.TableHDU))]
                if not tables:
                    raise BadFile(f"{path} holds no table that can be read; fetch or write it again as a binary table.")
                return from_astropy(Table.read(tables[0]))
    except fits.VerifyError as error:
        raise OSError(str(error)) from error


# ---------------------------------------------------------------------- columnar formats
def _parquet(path: Path, columns: Collection[str] | None) -> pa.Table:
    with pq.ParquetFile(path) as file:
        leaves = leaf_names(file.schema_arrow)
        if columns is None:
            return file.read()
        # two names may share a leaf (a list of structs is read whole), and each is read once
        return file.read(columns=list(dict.fromkeys(leaves[name] for name in leaves if name in columns)))


def _arrow(path: Path, columns: Collection[str] | None) -> pa.Table:
    with pa.OSFile(str(path)) as file:
        try:
            table = pa.ipc.open_file(file).read_all()
        except pa.ArrowInvalid:
            file.seek(0)
            table = pa.ipc.open_stream(file).read_all()
    return table


READERS: dict[str, Reader] = {
    ".csv": _csv,
    ".csv.gz": _csv,
    ".tsv": _csv,
    ".tsv.gz": _csv,
    ".ecsv": _ecsv,
    ".ecsv.gz": _ecsv,
    ".vot": _votable,
    ".vot.gz": _votable,
    ".votable": _votable,
    ".votable.gz": _votable,
    ".xml": _votable,
    ".xml.gz": _votable,
    ".fits": _fits,
    ".fits.gz": _fits,
    ".fit": _fits,
    ".parquet": _parquet,
    ".pq": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
}
"""Suffix -> reader. A new format is one function above and one line here."""
