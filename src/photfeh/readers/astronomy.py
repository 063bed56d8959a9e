"""Tables in astronomy's own formats: VOTable, FITS, ECSV, IPAC and CDS, through astropy, units and masks included."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from xml.parsers import expat

import pyarrow as pa

from photfeh.core.errors import BadFile, PhotfehWarning
from photfeh.core.identifiers import identifier_columns
from photfeh.readers.compression import Content
from photfeh.readers.tables import from_astropy, with_metadata, with_name

__all__ = ["read_described", "read_ecsv", "read_fits", "read_votable", "votable_element"]

_ORIGINS = {"MJD-origin": 2_400_000.5, "JD-origin": 0.0}
"""Names that VOTables use for Julian dates (VOTable 1.4, section 3.4.1)."""


def _foreign(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a parser of astropy returns; its complaints of units and words are not passed on.

    Raises
    ------
    ValueError
        for whatever the parser raises: a damaged file makes it fail in ways that nobody has listed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*arguments, **options)
    except Exception as error:
        raise ValueError(str(error).strip() or type(error).__name__) from error


# ---------------------------------------------------------------------- text
def read_described(content: Content, raw: bytes) -> pa.Table | None:
    """A table of IPAC (bars and backslashes above fixed columns) or CDS form ("Byte-by-byte"); None if it is neither.

    ``raw`` are the first bytes of the file.
    """
    kind = None
    if b"Byte-by-byte Description of file" in raw:
        kind = "ascii.cds"
    else:
        lines = [line.strip() for line in raw[:20_000].splitlines() if line.strip()]
        rows = [line for line in lines if not line.startswith(b"\\")]
        bars = [line.startswith(b"|") and line.endswith(b"|") for line in rows]
        if bars[:1] == [True] and not all(bars) and (rows[0][:1] == b"|" and not bars[-1]):
            kind = "ascii.ipac"
    return None if kind is None else _ascii(content, kind)


def read_ecsv(content: Content, columns: Collection[str] | None = None) -> list[pa.Table]:
    """The one table of an ECSV file."""
    return [_ascii(content, "ascii.ecsv", fill_values=[("", "0"), ("null", "0")])]


def _ascii(content: Content, kind: str, **options: Any) -> pa.Table:
    from astropy.table import Table

    lines = content.read().decode("utf-8-sig", errors="replace").splitlines()
    return from_astropy(_foreign(Table.read, lines, format=kind, **options))


# ---------------------------------------------------------------------- VOTable
@dataclass
class _Survey:
    """What a first, cheap look at a VOTable finds."""

    root: str = ""
    tables: int = 0
    elements: int = 1
    """Most numbers in one row of any table."""
    rows: int = 1
    """Most rows that any table claims to have."""
    time_systems: dict[str, dict[str, str]] = field(default_factory=dict)
    said: str = ""
    """Text of the service, such as the reason why there is no table."""


def read_votable(content: Content, columns: Collection[str] | None = None) -> list[pa.Table]:
    """All tables of a VOTable that have rows.

    Nothing but the file itself is opened: one whose data stand elsewhere (``STREAM href``) is refused.

    Raises
    ------
    BadFile
        for such a file, one that is a web page, or one that claims more rows than it can hold.

    Warns
    -----
    PhotfehWarning
        if the service says that it left rows out (``OVERFLOW``).
    """
    from astropy.io.votable import parse

    if re.match(rb"\s*<(!doctype\s+)?html\b", content.head.lstrip(b"\xef\xbb\xbf"), re.IGNORECASE):
        raise BadFile(
            f"{content} is a web page, perhaps the error message of a server. Fetch it again, or leave it out."
        )
    data = content.read()
    survey = _survey(data, content)
    if survey.tables == 0:
        reason = f"; it says: {survey.said}" if survey.said else ""
        raise BadFile(f"{content} holds no table{reason}. Fetch or write it again.")
    if 8 * survey.elements * survey.rows > 64 * len(data) + 2**26:
        raise BadFile(f"{content} claims more rows than it can hold. It is damaged; fetch or write it again.")
    votable = _foreign(parse, BytesIO(data), verify="ignore")
    tables = [votable_element(element, survey.time_systems) for element in votable.iter_tables()]
    return [table for table in tables if table.num_columns and table.num_rows]


def _survey(data: bytes, content: Content) -> _Survey:
    """Look at every element once, with a parser that opens nothing."""
    found = _Survey()
    parser = expat.ParserCreate(namespace_separator=None)

    def start(tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        found.root = found.root or tag
        if found.root.lower() != "votable":
            raise BadFile(f"{content} is no VOTable (its root is {found.root!r}). Fetch it again, or leave it out.")
        if tag == "STREAM" and "href" in attributes:
            raise BadFile(
                f"{content} keeps its data elsewhere ({attributes['href']}), which is not opened. Fetch that file, "
                "or write the VOTable with its data inside."
            )
        if tag == "TABLE":
            found.tables += 1
            found.rows = max(found.rows, _count(attributes.get("nrows", "")))
            elements[0] = 0
        elif tag == "FIELD":
            sizes = [_count(size) for size in attributes.get("arraysize", "1").rstrip("*").split("x")]
            product = 1
            for size in sizes:
                product = min(product * max(size, 1), 2**62)
            elements[0] += product
            found.elements = max(found.elements, elements[0])
        elif tag == "TIMESYS":
            found.time_systems[attributes.get("ID", "")] = attributes
        elif tag == "INFO" and attributes.get("name") == "QUERY_STATUS":
            status = attributes.get("value", "")
            if status == "OVERFLOW":
                warnings.warn(
                    f"{content}: the service left rows out (QUERY_STATUS is OVERFLOW). Ask it for more rows.",
                    PhotfehWarning,
                    stacklevel=2,
                )
            reading[0] = status == "ERROR"

    def text(words: str) -> None:
        if reading[0] and len(found.said) < 200:
            found.said = f"{found.said}{words}".strip().replace("\n", " ")

    def end(tag: str) -> None:
        reading[0] = False

    def entity(*declaration: Any) -> None:
        raise BadFile(f"{content} declares entities of its own, which are not opened. Write it without a DOCTYPE.")

    elements, reading = [0], [False]
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = text, entity
    parser.Parse(data, True)
    return found


def _count(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,18}", text) else 0


def votable_element(element: Any, time_systems: dict[str, dict[str, str]] | None = None) -> pa.Table:
    """The Arrow table of astropy's ``TableElement``.

    A PARAM that looks like an identifier becomes a column where no FIELD is one. Columns that refer to a TIMESYS get
    its origin (Julian date) and scale as field metadata ``time_origin`` and ``time_scale``.
    """
    whole = _foreign(element.to_table, use_names_over_ids=True)
    table = from_astropy(whole)
    for name, column in zip(whole.colnames, element.fields, strict=True):
        system = (time_systems or {}).get(getattr(column, "ref", None) or "")
        if system and name in table.column_names:
            origin = system.get("timeorigin", "")
            metadata = {"time_scale": system.get("timescale", "")}
            number = _ORIGINS.get(origin, origin)
            if re.fullmatch(r"\d+\.?\d*", str(number)):
                metadata["time_origin"] = repr(float(number))
            table = with_metadata(table, name, metadata)
    if not identifier_columns([name.lower() for name in table.column_names]):
        for param in element.params:
            if identifier_columns([str(param.name).lower()]) and str(param.value).strip():
                value = [str(param.value).strip()] * table.num_rows
                table = table.append_column(str(param.name), pa.array(value, pa.string()))
                break
    return with_name(table, element.name or element.ID)


# ---------------------------------------------------------------------- FITS
def read_fits(content: Content, columns: Collection[str] | None = None) -> list[pa.Table]:
    """All tables of a FITS file that have rows; images are passed over.

    Raises
    ------
    BadFile
        if there is no table.
    OSError
        if a table claims to be larger than the file.
    """
    from astropy.io import fits
    from astropy.table import Table

    data = content.read()
    units = _foreign(fits.open, BytesIO(data), memmap=False)
    try:
        found: list[pa.Table] = []
        n_tables = 0
        for unit in _foreign(list, units):
            if not isinstance(unit, (fits.BinTableHDU, fits.TableHDU)):
                continue
            n_tables += 1
            if _foreign(lambda unit=unit: int(unit.fileinfo()["datLoc"]) + int(unit.size)) > len(data):
                raise OSError("a table is larger than the file")
            try:
                whole = _foreign(Table.read, unit, astropy_native=True)  # time coordinates become Time
            except ValueError:
                whole = _foreign(Table.read, unit)  # as plain numbers, where they break the standard
            found.append(_with_origin(with_name(from_astropy(whole), unit.name), whole.meta))
    finally:
        units.close()
    if not n_tables:
        raise BadFile(f"{content} holds no table that can be read; fetch or write it again as a binary table.")
    return [table for table in found if table.num_columns and table.num_rows]


def _with_origin(table: pa.Table, header: dict[str, Any]) -> pa.Table:
    """Kepler and TESS count TIME from BJDREFI + BJDREFF."""
    names = {name.lower(): name for name in table.column_names}
    whole, part = header.get("BJDREFI"), header.get("BJDREFF", 0.0)
    if "time" not in names or b"time_format" in (table.schema.field(names["time"]).metadata or {}):
        return table
    if isinstance(whole, (int, float)) and isinstance(part, (int, float)):
        origin = {"unit": "d", "time_origin": repr(float(whole) + float(part)), "time_scale": "tdb"}
        return with_metadata(table, names["time"], origin)
    return table
