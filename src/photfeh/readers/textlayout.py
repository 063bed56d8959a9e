"""How a text table is written: delimiter, names, units, first row; from a look at its first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any

from photfeh.core.errors import BadFile
from photfeh.core.identifiers import identifier_columns
from photfeh.core.stars import ALIASES, COLUMNS

__all__ = ["COMMENT", "Layout", "find_layout", "is_dashes", "is_row", "split_fields"]

COMMENT = ("#", "%", "!")
"""First characters of lines that are no rows."""

_BODY = 16  # rows that are looked at to find the delimiter and the names


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What stands before the first row of a text table, and how its rows are split."""

    names: list[str]
    units: dict[str, str]
    delimiter: str
    """A blank stands for any white space, a line end for none: one field a line."""
    first_row: int
    """Number of lines before it."""
    named: bool = True
    spans: tuple[slice, ...] = ()
    """Columns of fixed width, as a row of dashes shows them; a blank field is then a missing one."""
    decimal: str = "."
    regular: bool = False
    """Whether Arrow understands the rows as they are."""


def is_row(line: str) -> bool:
    """Whether a line is neither blank nor a comment."""
    return bool(line.strip()) and not line.startswith(COMMENT)


# ---------------------------------------------------------------------- from lines to a layout
def find_layout(lines: Sequence[str], content: object, *, whole: bool = True) -> Layout:
    """How a text table is written, from its first lines; ``whole`` where these are all.

    Raises
    ------
    BadFile
        if there is no row.
    """
    comments = list(_before_rows(lines))
    places = [place for place in range(len(lines)) if is_row(lines[place])][:_BODY]
    while places and is_dashes(lines[places[0]]):
        places = places[1:]  # the upper border of a drawn table
    if not places:
        raise BadFile(f"{content} holds no table, only blank or comment lines. Fetch or write it again.")
    body = [lines[place] for place in places]
    delimiter, decimal = _delimiter(body)
    dashes = next((k for k in range(1, min(4, len(body))) if is_dashes(body[k])), None)
    spans = _spans(body[dashes]) if dashes is not None and delimiter == " " else ()
    rows = [split_fields(line, delimiter, spans) for line in body]
    if delimiter == " " and dashes is None and _are_names_of_stars(rows):
        delimiter, rows = "\n", [[line.strip()] for line in body]
    comment = _names_in_comments(comments, rows[0], delimiter)
    units: list[str] = []
    named, count = True, 1
    if dashes is not None:
        names, count = rows[max(0, dashes - 2)], dashes + 1
        units = rows[dashes - 1] if dashes > 1 else []
    elif not _is_data(rows):
        names = rows[0]
        if _is_units(rows):
            units, count = rows[1], 2
    elif comment:
        names, count = comment, 0
    else:
        names, named = [""] * len(rows[0]), False
        count = int(rows[0] == [str(k) for k in range(len(rows[0]))] and len(rows) > 1 and len(rows[0]) > 1)
    if count >= len(places) and whole:
        raise BadFile(f"{content} holds no rows, only the names of columns. Fetch or write it again.")
    trailing = len(rows) > count and len(rows[count]) == len(names) + 1 and not rows[count][-1]
    first_row = places[count] if count < len(places) else places[-1] + 1
    layout = Layout(
        **_named(names, units or _units_of_ecsv(comments, names)),
        delimiter=delimiter,
        first_row=first_row,
        named=named,
        spans=spans,
        decimal=decimal,
    )
    padded = re.compile(rf"(^|[{re.escape(delimiter)}])[ ]|[ ]([{re.escape(delimiter)}]|$)")
    regular = not (dashes or trailing or units or decimal == ",") and delimiter not in " \n"
    regular &= not any(padded.search(line) or line.count('"') % 2 or "\n" in line for line in body[count:])
    regular &= not any(line.startswith(COMMENT) for line in lines[first_row:])
    return replace(layout, regular=regular and not _is_drawn(body))


def _before_rows(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if is_row(line):
            return
        if line.strip():
            yield line


def _delimiter(body: Sequence[str]) -> tuple[str, str]:
    """The delimiter (a blank for white space) and the decimal point."""
    bare = [re.sub(r'"[^"]*"', '""', line.strip(" ")) for line in body if not is_dashes(line)]
    counts = {mark: [line.count(mark) for line in bare] for mark in ",\t;|"}
    words = [len(line.split()) for line in bare]
    steady = [mark for mark, found in counts.items() if min(found) > 0 and max(found) - min(found) <= 1]
    if "," in steady and _has_decimal_commas(bare):
        others = [mark for mark in steady if mark != ","] or ([" "] if min(words) > 1 else [])
        if others:
            return others[0], ","
    if ";" in steady or "\t" in steady:
        other = max((mark for mark in steady if mark in ";\t|"), key=lambda mark: counts[mark][0])
        if counts[other][0] >= counts[","][0] or "," not in steady:
            return other, "," if _has_decimal_commas(bare) else "."
    if steady:
        return max(steady, key=lambda mark: counts[mark][0]), "."
    if min(words) > 1 and max(words) == min(words):
        return " ", "."
    best = max(counts, key=lambda mark: counts[mark][0])
    return (best if counts[best][0] else " "), "."


def _has_decimal_commas(lines: Sequence[str]) -> bool:
    """Whether every comma stands between digits, some do, and no point does."""
    text = "\n".join(lines)
    return bool(re.search(r"\d,\d", text)) and not re.search(r"(?<!\d),|,(?!\d)|\d\.\d", text)


def is_dashes(line: str) -> bool:
    """Whether a line is drawn: dashes or equality signs, perhaps with delimiters between."""
    bare = re.sub(r"[\s,;|+]", "", line)
    return len(bare) > 2 and set(bare) <= set("-=") and "--" in bare.replace("=", "-")


def _is_drawn(body: Sequence[str]) -> bool:
    """Whether bars stand also before the first and after the last field."""
    return all(line.strip().startswith("|") and line.strip().endswith("|") for line in body if not is_dashes(line))


def _spans(dashes: str) -> tuple[slice, ...]:
    found = [match.start() for match in re.finditer(r"[-=]+", dashes)]
    return tuple(slice(start, end) for start, end in zip(found, [*found[1:], None], strict=True))


_GAIA_NAME = re.compile(r'(?<!")\b(Gaia[ \t]+E?DR\d[ \t]+\d+)', re.IGNORECASE)


def split_fields(line: str, delimiter: str, spans: tuple[slice, ...] = ()) -> list[str]:
    """The fields of one line without blanks around them."""
    if delimiter == "\n":
        return [line.strip()]
    if spans:
        return [line[span].strip() for span in spans]
    if delimiter == " ":
        line = _GAIA_NAME.sub(r'"\1"', line.strip().replace("\t", " "))
        if '"' not in line:
            return line.split()
    if delimiter == "|" and _is_drawn([line]):
        line = line.strip()[1:-1]
    rows = csv.reader(StringIO(line, newline=""), delimiter=delimiter, skipinitialspace=delimiter != "\t")
    try:
        return [field.strip() for field in next(rows, [])]
    except csv.Error:
        return line.split(delimiter)


# ---------------------------------------------------------------------- names and units
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eEdD][+-]?\d+)?")


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _is_data(rows: list[list[str]]) -> bool:
    """Whether the first row holds values, not names: names are never numbers."""
    first = rows[0]
    if any(map(_is_number, first)):
        return True
    if len(first) != 1:
        return False
    # one column of text: a list of identifiers, or a name and its values
    if _is_known(first[0]):
        return False
    return not (len(rows) > 1 and all(_is_number(row[0]) for row in rows[1:] if row))


def _are_names_of_stars(rows: list[list[str]]) -> bool:
    """Whether lines of several words are one name each ("RR Lyr"), below a name of the column or not."""
    header = [_is_known(name) for name in rows[0]]
    if any(header):
        return header == [True] and max(map(len, rows)) > 1
    return not any(_is_number(field) for row in rows for field in row)


def _is_known(name: str) -> bool:
    name = name.lower()
    known = name in COLUMNS or any(name in others for others in ALIASES.values()) or bool(identifier_columns([name]))
    return known and not re.search(r"\d$", name)


def _is_units(rows: list[list[str]]) -> bool:
    """Whether the second row holds units (some have no row of dashes below)."""
    if len(rows) < 3 or len(rows[1]) != len(rows[0]) or not any(map(_is_number, rows[2])):
        return False
    return any(rows[1]) and all(not field or _UNIT.fullmatch(field) for field in rows[1])


_UNIT = re.compile(
    r"[\[(]?(-+|d|days?|JD|MJD|BJD|HJD|h|hr|hours?|min|s|sec|seconds?|yr|m?mag|dex|deg|arcsec|m?as|[mnu]?Jy|1/d|d-1|"
    r"d\*\*-1|Hz|uHz|e-?/s|electron/s|pix|K|rad|kpc|pc|km/s|mas/yr|)[\])]?"
)
_NAME_AND_UNIT = re.compile(r"(.*\S)\s*[\[(]([^\[\]()]+)[\])]")


def _named(names: list[str], units: list[str]) -> dict[str, Any]:
    """Names that differ, and the unit of each that has one: of the row of units, or in brackets after the name."""
    unique: list[str] = []
    declared: dict[str, str] = {}
    for place, name in enumerate(names):
        match = _NAME_AND_UNIT.fullmatch(name)
        unit = units[place] if place < len(units) else ""
        if match and _UNIT.fullmatch(match[2]):
            name, unit = match[1], unit or match[2]
        name = name or f"column{place + 1}"
        if name in unique:
            name = f"{name}_{place + 1}"
        unique.append(name)
        if unit.strip("-"):
            declared[name] = unit
    return {"names": unique, "units": declared}


def _units_of_ecsv(comments: Sequence[str], names: Sequence[str]) -> list[str]:
    """The units that an ECSV header declares (Gaia's bulk downloads have one)."""
    if not comments or "%ECSV" not in comments[0]:
        return []
    declared = {}
    for entry in "\n".join(comments).split("name:")[1:]:
        unit = re.search(r"\bunit:\s*([^,}\n]+)", entry)
        if unit:
            declared[re.split(r"[,}\n]", entry)[0].strip(" '\"")] = unit[1].strip(" '\"")
    return [declared.get(name, "") for name in names]


def _names_in_comments(comments: Sequence[str], first: list[str], delimiter: str) -> list[str] | None:
    """The last comment line that has as many fields as the first row, none of them a number."""
    for comment in reversed(comments):
        text = comment.lstrip("#%!").strip()
        for mark in dict.fromkeys((delimiter, " ", ",", ";", "|")):
            names = split_fields(text, mark)
            fits = len(names) == len(first) and (len(names) > 1 or identifier_columns([text.lower()]))
            if fits and not any(_is_number(name) or is_dashes(name) for name in names):
                return names
    return None
