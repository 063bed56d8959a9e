"""Tables in text, as it comes: any delimiter, VizieR's rows of units and dashes, white space, no names at all.

A regular file (names in one row, one delimiter, nothing around the fields) goes to Arrow as it is. Any other is
split into fields here first; both end in Arrow's conversion, so that a number is the same number either way.
"""

from __future__ import annotations

import csv
import json
import re
import warnings
from collections.abc import Collection, Sequence
from io import BytesIO, StringIO
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from photfeh.core.errors import BadFile, PhotfehWarning
from photfeh.core.identifiers import identifier_columns
from photfeh.readers.astronomy import read_described
from photfeh.readers.compression import Content
from photfeh.readers.tables import NO_NAMES, with_units
from photfeh.readers.textlayout import COMMENT, Layout, find_layout, is_dashes, is_row, split_fields

__all__ = ["read_text"]

_MISSING = ["", "null", "NULL", "NaN", "nan", "NA", "N/A", "<NA>", "None", "-", "--", "---", "\\N"]
_BLOCK = 1 << 23  # bytes that Arrow reads at once; a row with lists of some thousand points has to fit


def read_text(content: Content, columns: Collection[str] | None = None) -> list[pa.Table]:
    """All tables of a text file; several only where VizieR wrote several into one.

    Parameters
    ----------
    content : Content
    columns : ignored
        Text is read whole.

    Returns
    -------
    list of pyarrow.Table
        Units where the text declares them (field metadata ``unit``). Columns without names are called ``column1``,
        ``column2``, ... and the schema metadata say so (:data:`photfeh.readers.tables.NO_NAMES`).

    Warns
    -----
    PhotfehWarning
        with the number of rows that have too few or too many fields.
    """
    raw = content.head
    described = read_described(content, raw)
    if described is not None:
        return [described]
    text, whole = _decoded(raw, content), len(raw) == content.size()
    lines = _logical_lines(text if whole else text[: text.rfind("\n") + 1 or len(text)])
    layout = find_layout(lines, content, whole=whole)
    if layout.regular and _is_plain(raw):
        table = _regular(content, layout)
        if table is not None:
            return [table]
    lines = _logical_lines(_decoded(content.read(), content))
    return [_irregular(section, content) for section in _sections(lines)]


# ---------------------------------------------------------------------- from bytes to lines
def _decoded(raw: bytes, content: Content) -> str:
    """UTF-8 with or without mark, UTF-16 with mark, else Latin-1."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    if b"\0" in raw:
        raise BadFile(f"{content} is no table: it holds bytes that are no text. Fetch or write it again.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start > len(raw) - 4:  # a character that is cut by the end of the head
            return raw[: error.start].decode("utf-8-sig")
        return raw.decode("latin-1")


def _is_plain(raw: bytes) -> bool:
    return raw[:3] != b"\xef\xbb\xbf" and raw[:2] not in (b"\xff\xfe", b"\xfe\xff") and not re.search(rb"\r(?!\n)", raw)


def _logical_lines(text: str) -> list[str]:
    """Lines of any line end; one with an open quotation mark is continued by the next ones."""
    lines = re.split(r"\r\n|\r|\n", text)
    if '"' not in text:
        return lines
    joined: list[str] = []
    waiting = ""
    for line in lines:
        waiting = f"{waiting}\n{line}" if waiting else line
        if waiting.count('"') % 2 and len(waiting) < 1_000_000 and waiting[:1] not in COMMENT:
            continue
        joined.append(waiting)
        waiting = ""
    return [*joined, *waiting.split("\n")] if waiting else joined


# ---------------------------------------------------------------------- rows
def _convert(layout: Layout) -> Any:
    return pa.csv.ConvertOptions(strings_can_be_null=True, null_values=_MISSING, decimal_point=layout.decimal)


def _regular(content: Content, layout: Layout) -> pa.Table | None:
    """The table by Arrow alone; None where something further down is less regular than the head."""

    def read(**types: Any) -> pa.Table:
        options = _convert(layout)
        options.column_types = types
        return pa.csv.read_csv(
            content.source,
            read_options=pa.csv.ReadOptions(
                skip_rows=layout.first_row,
                column_names=layout.names,
                block_size=min(_BLOCK, max(content.size(), 1 << 16)),
                use_threads=content.size() > _BLOCK,
            ),
            parse_options=pa.csv.ParseOptions(delimiter=layout.delimiter),
            convert_options=options,
        )

    try:
        table = read()
    except pa.ArrowInvalid:
        return None  # rows of other length, which are counted there
    if any(pa.types.is_binary(field.type) for field in table.schema):
        return None  # not UTF-8
    first = table[0]
    if pa.types.is_string(first.type) and pc.any(pc.equal(first, layout.names[0])).as_py():
        return None  # the names are repeated further down
    inexact = _inexact(table)
    if inexact:
        table = _exact(table, read(**dict.fromkeys(inexact, pa.string())), inexact)
    return _finished(table, layout)


def _irregular(lines: Sequence[str], content: Content) -> pa.Table:
    layout = find_layout(lines, content)
    n = len(layout.names)
    ragged: list[str] = []
    text = StringIO(newline="")
    writer = csv.writer(text)
    for line in lines[layout.first_row :]:
        if not is_row(line) or is_dashes(line):
            continue
        row = split_fields(line, layout.delimiter, layout.spans)
        if len(row) == n + 1 and not row[-1]:
            row.pop()
        if len(row) != n:
            ragged.append(f"{len(row)} fields instead of {n}")
        elif row != layout.names:
            writer.writerow(row if n > 1 or row[0] else ["null"])
    _warn_of_ragged(ragged, content)
    data = text.getvalue().encode()
    if not data:
        return pa.table({})

    def read(**types: Any) -> pa.Table:
        options = _convert(layout)
        options.column_types = types
        return pa.csv.read_csv(
            BytesIO(data),
            read_options=pa.csv.ReadOptions(column_names=layout.names, block_size=_BLOCK),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=options,
        )

    table = read()
    inexact = _inexact(table)
    if inexact:
        table = _exact(table, read(**dict.fromkeys(inexact, pa.string())), inexact)
    return _finished(table, layout)


def _inexact(table: pa.Table) -> list[str]:
    """Identifier columns that Arrow took for floating-point numbers: whole numbers beyond 63 bits."""
    names = {name.strip().lower(): name for name in table.column_names}
    known = [names[name] for name in identifier_columns(list(names))]
    return [name for name in known if pa.types.is_floating(table[name].type) and table[name].null_count < len(table)]


def _exact(table: pa.Table, text: pa.Table, names: Sequence[str]) -> pa.Table:
    for name in names:
        digits = pc.all(pc.match_substring_regex(pc.utf8_trim_whitespace(text[name]), r"^[+-]?\d+$")).as_py()
        if digits:
            table = table.set_column(table.column_names.index(name), name, text[name])
    return table


def _finished(table: pa.Table, layout: Layout) -> pa.Table:
    table = pa.table({name: _lists_from_text(table[name]) for name in table.column_names})
    nameless = [
        name for name in table.column_names if re.fullmatch(r"column\d+", name) and len(table) == table[name].null_count
    ]
    if layout.named and len(nameless) < table.num_columns:
        table = table.drop_columns(nameless)  # what stands after a delimiter at the end of every row
    table = with_units(table, layout.units)
    return table if layout.named else table.replace_schema_metadata({NO_NAMES: b"1"})


def _warn_of_ragged(ragged: list[str], content: Content) -> None:
    if ragged:
        warnings.warn(
            f"{content}: {len(ragged)} rows left out, the first has {ragged[0]}. Correct or fetch it again.",
            PhotfehWarning,
            stacklevel=4,
        )


# ---------------------------------------------------------------------- several tables in one text
def _sections(lines: Sequence[str]) -> list[Sequence[str]]:
    """The lines of each table; a further one starts with names, units and dashes below comments (VizieR)."""
    rows = [place for place in range(len(lines)) if is_row(lines[place])]
    starts = []
    for k, place in enumerate(rows):
        names = rows[k - 2] if k >= 2 else -1
        # between the tables VizieR writes comments, so that a line of dashes within or below a table is no start
        if k >= 2 and is_dashes(lines[place]) and any(line.startswith("#") for line in lines[names - 1 : names]):
            starts.append(names)
    if len(starts) < 2:
        return [lines]
    ends = [*starts[1:], len(lines)]
    return [lines[start:end] for start, end in zip(starts, ends, strict=True)]


# ---------------------------------------------------------------------- lists
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
    except (json.JSONDecodeError, pa.ArrowInvalid, pa.ArrowTypeError, RecursionError, OverflowError):
        return column


_BRACKETS = str.maketrans("()", "[]")
