"""Tables in the formats of astronomy, with units, UCDs, descriptions and provenance wherever the format has room.

A format is one function and one line in :data:`WRITERS`. Numbers are written bit for bit; NaN stays NaN, missing
integers are null. Columns of dates become ISO 8601 text in all but Parquet.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photfeh.core.errors import BadInput
from photfeh.inference.columns import OutputColumn

__all__ = ["MARK", "WRITERS", "check_text", "is_ours", "text_widths", "write_parquet_parts"]

Columns = Mapping[str, OutputColumn]
About = Mapping[str, Any]
Writer = Callable[[pd.DataFrame, Columns, About, Path], None]

MARK = "photfeh"
"""Name of the entry that holds the provenance, as JSON, in the metadata of every format but CSV."""

_HEAD = 262_144  # bytes at the start of a text or XML file in which the mark stands
_FIRST = ["source_id", "feh", "feh_error", "feh_lower", "feh_upper", "flag"]
"""The columns by which a CSV file is known as predictions of photfeh."""


# ---------------------------------------------------------------------- one function a format
def _write_csv(table: pd.DataFrame, columns: Columns, about: About, path: Path) -> None:
    """Shortest digits that give the same number again; no room for units or provenance."""
    table.to_csv(path, index=False, encoding="utf-8")


def _write_parquet(table: pd.DataFrame, columns: Columns, about: About, path: Path) -> None:
    """Metadata of the fields (unit, ucd, description), and a VOTable without data as the VOParquet convention has it.

    IVOA Note "Parquet in the VO" 1.0 (2025): keys ``IVOA.VOTable-Parquet.version`` and ``.content``.
    """
    write_parquet_parts([table], text_widths(table), columns, about, path)


def write_parquet_parts(
    parts: Iterable[pd.DataFrame], widths: TextWidths, columns: Columns, about: About, path: Path
) -> None:
    """The same from parts of a table, at least one, of which one at a time is in memory.

    ``widths`` as :func:`text_widths` of the whole table.
    """
    writer: pq.ParquetWriter | None = None
    try:
        for part in parts:
            arrow = pa.Table.from_pandas(part, preserve_index=False)
            if writer is None:
                schema = _described(arrow.schema, columns)
                schema = schema.with_metadata(_parquet_metadata(part, widths, columns, about))
                writer = pq.ParquetWriter(path, schema, compression="zstd")
            writer.write_table(arrow.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()


TextWidths = Mapping[str, tuple[int, bool]]


def text_widths(table: pd.DataFrame, before: TextWidths | None = None) -> dict[str, tuple[int, bool]]:
    """For each column of text the length of its longest entry, and whether all are ASCII; with those of ``before``."""
    found = dict(before or {})
    for name in table.columns:
        if _is_text(table[name]):
            texts = pd.unique(table[name].dropna()).tolist()
            width, plain = found.get(name, (1, True))
            lengths = [len(str(text)) for text in texts]
            found[name] = (max([width, *lengths]), plain and all(str(text).isascii() for text in texts))
    return found


def _described(schema: pa.Schema, columns: Columns) -> pa.Schema:
    for place, column in enumerate(columns.values()):
        said = {"unit": column.unit, "ucd": column.ucd, "description": column.meaning}
        field = schema.field(place)
        if column.dtype == "text" and pa.types.is_null(field.type):
            field = field.with_type(pa.string())
        schema = schema.set(place, field.with_metadata({key: text for key, text in said.items() if text}))
    return schema


def _parquet_metadata(
    table: pd.DataFrame, widths: TextWidths, columns: Columns, about: About
) -> dict[str | bytes, str | bytes]:
    text = io.BytesIO()
    with _foreign_units():
        empty = _votable(table.iloc[:0], columns, about)
        for field in empty.get_first_table().fields:
            if field.datatype == "char":  # astropy reads the convention only where lengths are fixed
                width, plain = widths.get(field.name, (1, True))
                field.datatype = "char" if plain else "unicodeChar"
                field.arraysize = str(width)
        empty.to_xml(text)
    return {
        b"pandas": pa.Schema.from_pandas(table, preserve_index=False).metadata[b"pandas"],
        MARK: json.dumps(about, default=str),
        "IVOA.VOTable-Parquet.version": "1.0",
        "IVOA.VOTable-Parquet.content": text.getvalue(),
    }


def _write_ecsv(table: pd.DataFrame, columns: Columns, about: About, path: Path) -> None:
    from astropy.units import Unit

    made = _astropy(table)
    made.meta[MARK] = json.loads(json.dumps(about, default=str))
    for name, column in columns.items():
        made[name].unit = Unit(column.unit, parse_strict="silent") if column.unit else None
        made[name].description = column.meaning
        if column.ucd:
            made[name].meta["ucd"] = column.ucd
    made.write(path, format="ascii.ecsv")


def _write_votable(table: pd.DataFrame, columns: Columns, about: About, path: Path) -> None:
    with _foreign_units():
        _votable(table, columns, about).to_xml(str(path), tabledata_format="binary2")


def _write_fits(table: pd.DataFrame, columns: Columns, about: About, path: Path) -> None:
    """Units and descriptions are written here, since astropy knows no ``dex`` in FITS and drops descriptions.

    TUNITn, TCOMMn (description), TUCDn; provenance as JSON in PHOTFEH, the main facts as keywords of their own.
    """
    from astropy.io import fits

    made = _astropy(_for_fits(table))
    for name in made.colnames:
        if made[name].dtype.kind in "US":
            made[name] = np.ma.filled(made[name], "")
    with _foreign_units():
        hdu = fits.BinTableHDU(made, name="PREDICTIONS")
        for place, (name, column) in enumerate(columns.items(), start=1):
            if column.unit.isascii() and column.unit:
                hdu.columns[name].unit = column.unit
            hdu.header[f"TCOMM{place}"] = _ascii(column.meaning)
            if column.ucd:
                hdu.header[f"TUCD{place}"] = column.ucd
        primary = fits.PrimaryHDU()
        for header in (primary.header, hdu.header):
            header["CREATOR"] = f"photfeh {about.get('version', '')}".strip()
            header["DATE"] = (_ascii(str(about.get("date", ""))), "UTC")
        for key in ("model", "truth"):
            if key in about:
                hdu.header[key.upper()] = _ascii(str(about[key]))
        hdu.header[MARK.upper()] = json.dumps(about, default=str)
        for line in _flag_lines(about):
            hdu.header.add_history(line)
        fits.HDUList([primary, hdu]).writeto(path, output_verify="fix")


WRITERS: dict[str, Writer] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".ecsv": _write_ecsv,
    ".vot": _write_votable,
    ".votable": _write_votable,
    ".xml": _write_votable,
    ".fits": _write_fits,
}
"""By suffix, lower case."""


# ---------------------------------------------------------------------- known again
def is_ours(path: Path) -> bool:
    """Whether an earlier call of photfeh wrote this file."""
    try:
        suffix = path.suffix.lower()
        if suffix == ".parquet":
            return MARK.encode() in (pq.read_schema(path).metadata or {})
        if suffix == ".fits":
            from astropy.io import fits

            with fits.open(path) as hdus:
                return any(MARK.upper() in hdu.header for hdu in hdus)
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if suffix == ".csv":
            return head.split(b"\n", 1)[0].decode().strip().split(",")[: len(_FIRST)] == _FIRST
        if suffix == ".ecsv":
            return head.startswith(b"# %ECSV") and f"{MARK}:".encode() in head
        return f'name="{MARK}"'.encode() in head
    except (OSError, ValueError, pa.ArrowException):
        return False


def check_text(table: pd.DataFrame, path: Path) -> None:
    """Raise BadInput if the file is to be FITS and a column of text is not ASCII, which is all that FITS holds."""
    if path.suffix.lower() != ".fits":
        return
    for name in table.columns:
        if _is_text(table[name]):
            foreign = [text for text in table[name].dropna().astype(str) if not text.isascii()]
            if foreign:
                raise BadInput(
                    f"{path}: FITS holds ASCII text only, and column {name!r} holds {foreign[0]!r}. "
                    "Write .parquet, .vot, .ecsv or .csv."
                )


# ---------------------------------------------------------------------- astropy
def _votable(table: pd.DataFrame, columns: Columns, about: About) -> Any:
    from astropy.io.votable import from_table
    from astropy.io.votable.tree import Info
    from astropy.units import UnrecognizedUnit

    made = _astropy(_for_votable(table))
    for name in made.colnames:
        column = made[name]
        if column.dtype.kind == "U" and all(text.isascii() for text in np.ma.filled(column, "").tolist()):
            made[name] = np.char.encode(np.ma.filled(column, ""), "ascii") if len(column) else np.zeros(0, "S1")
    votable = from_table(made)
    votable.version = "1.4"
    votable.resources[0].infos.extend(
        [
            Info(name="creator", value=f"photfeh {about.get('version', '')}".strip()),
            Info(name=MARK, value=json.dumps(about, default=str)),
            *(Info(name=f"flag_{bit}", value=text) for bit, text in about.get("flags", {}).items()),
        ]
    )
    for field in votable.resources[0].tables[0].fields:
        column = columns[field.name]
        # as it is: of the text "dex" astropy would make a tenth of an "ex", and 7.0.0 writes only units that CDS lists
        field.unit = UnrecognizedUnit(column.unit) if column.unit else None
        field.ucd, field.description = column.ucd or None, column.meaning
        if field.datatype in ("char", "unicodeChar"):
            field.arraysize = "*"
        if field.datatype == "bit":
            field.datatype = "boolean"
    return votable


def _astropy(table: pd.DataFrame) -> Any:
    """An astropy table of plain and masked columns."""
    from astropy.table import MaskedColumn, Table

    made = Table()
    for name in table.columns:
        values, missing = _plain(table[name])
        made[name] = MaskedColumn(values, mask=missing) if missing.any() else values
    return made


def _plain(series: pd.Series) -> tuple[Any, Any]:
    """A numpy array and where it is missing; NaN in floats is a value and not missing."""
    missing = series.isna().to_numpy(bool)
    if pd.api.types.is_datetime64_any_dtype(series):
        texts = ["" if gone else entry.isoformat() for entry, gone in zip(series, missing, strict=True)]
        return np.array(texts, dtype=str), missing
    if _is_text(series):
        texts = ["" if gone else str(entry) for entry, gone in zip(series, missing, strict=True)]
        return np.array(texts, dtype=str), missing
    kind: Any = getattr(series.dtype, "numpy_dtype", series.dtype)
    if pd.api.types.is_float_dtype(series):
        values = series.to_numpy(kind, na_value=np.nan)
        return values.astype(np.float32) if values.dtype == np.float16 else values, np.zeros(len(series), bool)
    return series.fillna(kind.type(0)).to_numpy(kind) if missing.any() else series.to_numpy(kind), missing


def _is_text(series: pd.Series) -> bool:
    """Whether a column is written as text: all that is neither number, truth value nor date."""
    kind = pd.api.types
    return not (kind.is_numeric_dtype(series) or kind.is_bool_dtype(series) or kind.is_datetime64_any_dtype(series))


def _for_fits(table: pd.DataFrame) -> pd.DataFrame:
    """Missing truth values, which astropy would not keep, as 0, 1 and null; 8-bit integers with a sign in 16 bits."""
    wider = {
        name: "Int16"
        for name in table.columns
        if (pd.api.types.is_bool_dtype(table[name]) and table[name].isna().any())
        or str(table[name].dtype).lower() == "int8"
    }
    return table.astype(wider) if wider else table


_WIDER = {"int8": "Int16", "uint16": "Int32", "uint32": "Int64"}


def _for_votable(table: pd.DataFrame) -> pd.DataFrame:
    """VOTable has signed integers of 16, 32 and 64 bits: others in the next wider one, beyond as text."""
    wider: dict[str, Any] = {}
    for name in table.columns:
        kind = str(table[name].dtype).lower()
        if kind in _WIDER:
            wider[name] = _WIDER[kind]
        elif kind == "uint64":
            wider[name] = "Int64" if not len(table) or table[name].max() < 2**63 else "string"
    return table.astype(wider) if wider else table


@contextmanager
def _foreign_units() -> Iterator[None]:
    """Units that FITS and VOUnits do not list (dex, cycle, those of kept columns) are written as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _flag_lines(about: About) -> list[str]:
    return [f"flag {bit}: {_ascii(text)}" for bit, text in about.get("flags", {}).items()]


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
