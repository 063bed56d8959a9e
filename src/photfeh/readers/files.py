"""Tables from files: one reader a format, chosen by the first bytes and else by the suffix, all ending in Arrow."""

from __future__ import annotations

import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Collection
from io import BytesIO
from lzma import LZMAError
from pathlib import Path
from xml.parsers.expat import ExpatError

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from photfeh.core.errors import BadFile, BadInput
from photfeh.readers.astronomy import read_ecsv, read_fits, read_votable
from photfeh.readers.compression import COMPRESSED_SUFFIXES, Content, check_file, contents
from photfeh.readers.tables import from_astropy, leaf_names, tidy
from photfeh.readers.text import read_text

__all__ = [
    "PARSER_ERRORS",
    "READERS",
    "is_supported",
    "read_content",
    "read_schema",
    "read_table",
    "read_tables",
    "suffix_of",
    "unreadable",
]

Reader = Callable[[Content, Collection[str] | None], list[pa.Table]]

PARSER_ERRORS = (
    *(pa.ArrowException, OSError, EOFError, ValueError, TypeError, LookupError, RecursionError, NotImplementedError),
    *(struct.error, zlib.error, ExpatError, LZMAError, zipfile.BadZipFile, OverflowError, MemoryError),
)
"""What the parsers raise for a damaged file. Narrow enough that a mistake in this code still shows as what it is."""


def read_tables(path: str | os.PathLike[str], *, columns: Collection[str] | None = None) -> list[pa.Table]:
    """Read all tables of a file of any supported kind.

    Parameters
    ----------
    path : path
        What kind of file it is, and whether it is compressed (gzip, bzip2, xz, zstandard) or a zip archive, is told
        by its content; the suffix only helps where the content does not say. VOTable, FITS and VizieR's text files
        may hold several tables.
    columns : collection of str, optional
        Lower-case names of the columns that are needed. Parquet files read no other, the rest read all. Names
        that the file lacks are ignored.

    Returns
    -------
    list of pyarrow.Table
        Names lower-cased and stripped, integers exact, missing entries null, arrays as list columns, nested
        columns spread into list columns (:func:`photfeh.readers.tables.tidy`), units in the metadata of the fields.

    Raises
    ------
    BadFile
        if the file is absent, empty, truncated, damaged or of an unknown kind, or has no rows.
    """
    path = Path(path)
    check_file(path)
    try:
        files = contents(path)
    except PARSER_ERRORS as error:
        raise unreadable(path, error) from error
    return [table for content in files for table in read_content(content, columns)]


def read_table(path: str | os.PathLike[str], *, columns: Collection[str] | None = None) -> pa.Table:
    """Read the one table of a file; as :func:`read_tables`, and BadFile if there are several."""
    tables = read_tables(path, columns=columns)
    if len(tables) > 1:
        raise BadFile(f"{path} holds {len(tables)} tables. Read it with read_tables, or write them apart.")
    return tables[0]


def read_content(content: Content, columns: Collection[str] | None = None) -> list[pa.Table]:
    """The tables of one file or member of an archive; see :func:`read_tables`."""
    try:
        reader = _reader(content)
        tables = [tidy(table) for table in reader(content, columns)]
    except PARSER_ERRORS as error:
        raise unreadable(content, error) from error
    tables = [table for table in tables if table.num_columns and table.num_rows]
    if not tables:
        raise BadFile(f"{content} holds no rows. Fetch or write it again, or leave it out.")
    return tables


def read_schema(path: str | os.PathLike[str]) -> pa.Schema | None:
    """Names and types of the columns as :func:`read_table` gives them, without reading the data.

    None for what would have to be read whole to know: all but plain Parquet files. Raises
    :class:`photfeh.core.errors.BadFile` like :func:`read_table`.
    """
    path = Path(path)
    check_file(path)
    try:
        with path.open("rb") as start:
            if start.read(4) != b"PAR1":
                return None
        with pq.ParquetFile(path) as file:
            if _is_of_astropy(file.schema_arrow):
                return None
            return tidy(file.schema_arrow.empty_table()).schema
    except PARSER_ERRORS as error:
        raise unreadable(path, error) from error


def is_supported(path: Path) -> bool:
    """Whether a file in a folder is taken for a table: a known suffix, not hidden, underscored or a README."""
    suffix = suffix_of(path)
    known = suffix in READERS or suffix.removesuffix(path.suffix.lower()) in READERS or suffix == ".zip"
    return known and path.name[:1] not in {".", "_"} and path.stem.lower() not in _NO_TABLES


_NO_TABLES = frozenset(("readme", "license", "licence", "copying", "changelog", "citation"))


def suffix_of(path: Path) -> str:
    """The suffix in lower case, together with that of the compression (``.csv.gz``)."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] and suffixes[-1] in COMPRESSED_SUFFIXES else suffixes[-1:])


def unreadable(path: object, error: Exception) -> BadFile:
    """The error for a file that the system or a parser gave up on."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    if isinstance(error, OSError) and error.strerror:
        return BadFile(f"{path} cannot be read: {error.strerror}. Check its name, your rights and the disk.")
    name = path.name if isinstance(path, Content) else Path(str(path))
    return BadFile(
        f"{path} cannot be read as {suffix_of(name) or 'a table'}: {reason}. It may be truncated, damaged or of "
        "another kind; fetch or write it again."
    )


# ---------------------------------------------------------------------- which kind of file
_REFUSED = {
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an office document",
    b"\x93NUMPY": "a numpy array",
    b"\x80\x04\x95": "a Python pickle",
    b"\x80\x05\x95": "a Python pickle",
    b"SQLite format": "an SQLite data base",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"Rar!": "a rar archive",
    b"7z\xbc\xaf": "a 7z archive",
}


def _reader(content: Content) -> Reader:
    """By content; the suffix counts where the content is text, and for formats that were added to the table."""
    head = content.head
    suffix = _plain_suffix(content.name)
    by_suffix = READERS.get(suffix)
    if by_suffix is not None and by_suffix not in _OWN:
        return by_suffix
    for magic, reader in _MAGIC.items():
        if head.startswith(magic):
            return reader
    for magic, what in _REFUSED.items():
        if head.startswith(magic):
            raise BadFile(f"{content} is {what}. Save its table as text (.csv), FITS, VOTable or Parquet.")
    if head[257:262] == b"ustar":
        raise BadFile(f"{content} is a tar archive. Unpack it, and name the folder.")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return read_votable
    if by_suffix in (None, read_text):
        return _guessed if by_suffix is None else read_text
    # a name that promises another format: text if it is text, else whatever its own reader says of it
    return read_text if _is_text(head) and b"</" not in head else by_suffix


def _plain_suffix(name: Path) -> str:
    suffix = suffix_of(name)
    return suffix.removesuffix(name.suffix.lower()) if name.suffix.lower() in COMPRESSED_SUFFIXES else suffix


def _is_text(head: bytes) -> bool:
    """Whether no byte is a control character that text does not have."""
    return not head.translate(None, _TEXT_BYTES) or head.startswith((b"\xff\xfe", b"\xfe\xff"))


_TEXT_BYTES = bytes([9, 10, 12, 13, 26, *range(32, 256)])


def _guessed(content: Content, columns: Collection[str] | None) -> list[pa.Table]:
    """A file of unknown suffix is text if it looks like a table: several columns, or one of numbers."""
    unknown = BadFile(
        f"{content} has the unknown suffix {suffix_of(content.name)!r} and does not look like a table. Known: "
        f"{', '.join(READERS)}. Convert or rename it."
    )
    if not _is_text(content.head):
        raise unknown
    try:
        tables = read_text(content, columns)
    except BadInput as error:
        raise unknown from error
    if any(table.num_columns < 2 and pa.types.is_string(table.schema[0].type) for table in tables):
        raise unknown
    return tables


# ---------------------------------------------------------------------- columnar formats
def read_parquet(content: Content, columns: Collection[str] | None) -> list[pa.Table]:
    """The table of a Parquet file; only these columns are read."""
    with pq.ParquetFile(content.source) as file:
        if _is_of_astropy(file.schema_arrow):
            return _written_by_astropy(content)
        leaves = leaf_names(file.schema_arrow)
        if columns is None:
            return [file.read()]
        # two names may share a leaf (a list of structs is read whole), and each is read once
        return [file.read(columns=list(dict.fromkeys(leaves[name] for name in leaves if name in columns)))]


def _is_of_astropy(schema: pa.Schema) -> bool:
    return b"table_meta_yaml" in (schema.metadata or {})


def _written_by_astropy(content: Content) -> list[pa.Table]:
    """Astropy keeps units and times in a text of its own beside the columns."""
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units and metadata that astropy does not know do not matter here
        return [from_astropy(Table.read(BytesIO(content.read()), format="parquet"))]


def read_arrow(content: Content, columns: Collection[str] | None) -> list[pa.Table]:
    """The table of an Arrow (IPC) or Feather file, checked through and through."""
    with pa.input_stream(content.source) if content.unpacked is None else content.open() as file:
        data = pa.BufferReader(file.read())
    if content.head.startswith(b"FEA1"):
        table = pyarrow.feather.read_table(data)
    else:
        try:
            table = pa.ipc.open_file(data).read_all()
        except pa.ArrowInvalid:
            data.seek(0)
            table = pa.ipc.open_stream(data).read_all()
    table.validate(full=True)  # offsets of a damaged file would lead anywhere in memory
    return [table]


_PARQUET = (".parquet", ".pq")

READERS: dict[str, Reader] = {
    **dict.fromkeys((".csv", ".tsv", ".txt", ".dat", ".asc", ".ascii", ".tbl", ".mrt"), read_text),
    ".ecsv": read_ecsv,
    **dict.fromkeys((".vot", ".votable", ".xml"), read_votable),
    **dict.fromkeys((".fits", ".fit", ".fts"), read_fits),
    **dict.fromkeys(_PARQUET, read_parquet),
    **dict.fromkeys((".arrow", ".feather"), read_arrow),
}
"""Suffix -> reader. A new format is one function above and one line here. Each may be compressed."""


def read_ecsv_or_text(content: Content, columns: Collection[str] | None) -> list[pa.Table]:
    """ECSV by astropy; large ones, and those that only begin like one (bulk downloads of Gaia), as text."""
    if content.size() < _LARGE_ECSV or _plain_suffix(content.name) == ".ecsv":
        try:
            return read_ecsv(content)
        except ValueError:
            if _plain_suffix(content.name) == ".ecsv":
                raise
    return read_text(content)


_LARGE_ECSV = 64 * 2**20  # bytes; astropy needs a minute for more

_OWN = frozenset(READERS.values())

_MAGIC: dict[bytes, Reader] = {
    b"PAR1": read_parquet,
    b"ARROW1": read_arrow,
    b"FEA1": read_arrow,
    b"\xff\xff\xff\xff": read_arrow,
    b"SIMPLE  =": read_fits,
    b"# %ECSV": read_ecsv_or_text,
}
"""First bytes -> reader."""
