"""From a table to :class:`photfeh.LightCurves`: identifiers, lists, quality flags, times, magnitudes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photfeh.core.errors import BadColumn, MissingColumn, PhotfehWarning
from photfeh.core.lightcurves import LightCurves
from photfeh.core.stars import to_numbers, to_source_id
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.readers.layouts import COLUMN_ALIASES, ZERO_POINTS, Columns, find_columns, unknown_band
from photfeh.readers.tables import is_list, one_chunk

__all__ = ["Origin", "check_schema_band", "drop_unidentified", "source_ids", "to_lightcurves"]


MAG_PER_RELATIVE_FLUX = 2.5 / np.log(10)
"""1.0857 mag: error of a magnitude whose flux has a relative error of one."""

GAIA_EPOCH = 2455197.5
"""Julian date of 2010-01-01, from which Gaia counts its days."""

CALENDARS = (
    ("Julian dates", 2_400_000.0, np.inf, GAIA_EPOCH),
    ("modified Julian dates", 40_000.0, 100_000.0, GAIA_EPOCH - 2_400_000.5),
)
"""Name, range of the numbers, and what to subtract from them to count in Gaia days."""

NO_MAGNITUDE = 90.0
"""Beyond +-90 mag stands a place-holder (99.99, -99), not a measurement."""


@dataclass(frozen=True)
class Origin:
    """Where tables come from: the name in messages, and the identifier that the file name gives, if any."""

    name: str = "the table"
    source_id: int | None = None
    said: set[str] = field(default_factory=set, compare=False)

    def warn(self, text: str) -> None:
        """Warn once, however many parts of one file give the same warning."""
        if text not in self.said:
            self.said.add(text)
            warnings.warn(f"{self.name}: {text}", PhotfehWarning, stacklevel=2)


def to_lightcurves(
    table: pa.Table, *, band: str = "G", origin: Origin | None = None, check_band: bool = True
) -> LightCurves:
    """Light curves in one band from a tidy Arrow table of any known layout.

    Kept are points with a finite time and magnitude whose quality flags are known to be false; a star stays
    even if no point of it is left. Magnitudes missing beside a Gaia flux are computed from it. Julian dates
    become Gaia days.

    Parameters
    ----------
    table : pyarrow.Table
        As :func:`photfeh.readers.tables.tidy` makes it: points in rows, or one row a star with list columns.
    band : str
        Passband; a table that names no band is taken to be in this one.
    origin : Origin, optional
        Name for messages, and the identifier to use where the table has none.
    check_band : bool
        Whether a band that is nowhere in the table is an error (else its stars get no points).

    Raises
    ------
    MissingColumn, BadColumn, BadInput
        if columns are missing, hold no numbers, or the band is not there.
    """
    origin = origin or Origin()
    columns = find_columns(table.column_names, band, origin.name)
    check_schema_band(table.schema, band, origin.name)
    star_ids, table = _identifiers(table, columns, origin)
    stars = _unique_in_order(star_ids)
    ids, table = _points(star_ids, table.select(columns.names), columns, origin)
    keep = _accepted(table, columns, origin)
    if columns.band is not None:
        keep &= _in_band(table[columns.band], band, origin.name, check=check_band)
    ids, table = ids[keep], table.filter(pa.array(keep))
    times = _times(table, columns, ids, origin)
    mag, error = _magnitudes(table, columns, ids, band, origin)
    lcs = LightCurves.from_points(ids, times, mag, error, band=band, folded=columns.time is None)
    return lcs if np.array_equal(lcs.source_id, stars) else lcs.reindex(stars)


def check_schema_band(schema: pa.Schema, band: str, where: str) -> None:
    """Raise BadInput if a file written by photfeh, which names its band in the schema, is in another."""
    own = (schema.metadata or {}).get(b"band", band.encode()).decode()
    if own != band:
        raise unknown_band(band, [own], where)


# ---------------------------------------------------------------------- identifiers
def _identifiers(table: pa.Table, columns: Columns, origin: Origin) -> tuple[IntArray, pa.Table]:
    """One int64 identifier a row, and the rows that have one."""
    if columns.source_id is None:
        if origin.source_id is None:
            accepted = COLUMN_ALIASES["source_id"]
            raise MissingColumn("source_id", origin.name, accepted=accepted, found=table.column_names)
        return np.full(table.num_rows, origin.source_id, np.int64), table
    table = drop_unidentified(table, columns.source_id, origin)
    return source_ids(table[columns.source_id], origin.name), table


def drop_unidentified(table: pa.Table, name: str, origin: Origin) -> pa.Table:
    """The rows that have an identifier; warns of the others."""
    if not table[name].null_count:
        return table
    origin.warn(f"rows without {name} are left out. Fill in that column.")
    return table.filter(pc.is_valid(table[name]))


def source_ids(column: pa.ChunkedArray, where: str) -> IntArray:
    """Identifiers as int64, exact; "Gaia DR3 123" too (:func:`photfeh.core.stars.to_source_id`)."""
    if pa.types.is_integer(column.type):
        return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)
    if pa.types.is_floating(column.type):
        return to_source_id(column.to_pandas(), where).to_numpy()
    # text repeats for every point: translate each different entry once
    coded = one_chunk(column if pa.types.is_dictionary(column.type) else column.dictionary_encode())
    ids = to_source_id(pd.Series(coded.dictionary.to_pylist(), dtype=object), where).to_numpy(np.int64)
    return np.asarray(ids[coded.indices.to_numpy(zero_copy_only=False)], np.int64)


def _unique_in_order(ids: IntArray) -> IntArray:
    runs = ids[np.concatenate([[True], np.diff(ids) != 0])] if len(ids) else ids
    _, first = np.unique(runs, return_index=True)
    return runs[np.sort(first)]


# ---------------------------------------------------------------------- lists, flags, bands
def _points(ids: IntArray, table: pa.Table, columns: Columns, origin: Origin) -> tuple[IntArray, pa.Table]:
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
        origin.warn(
            f"lists of different length ({', '.join(lists)}) for {int(np.sum(~same))} stars, first "
            f"{ids[int(np.argmin(same))]}; their points are left out. Correct those rows."
        )
        kept = pa.array(same)
        arrays = {name: array.filter(kept) for name, array in arrays.items()}
        ids, table, count = ids[same], table.filter(kept), count[same]
    rows = np.repeat(np.arange(len(ids)), count)
    flat = {name: array.flatten() for name, array in arrays.items()}
    flat |= {name: table[name].take(pa.array(rows)) for name in table.column_names if name not in lists}
    return ids[rows], pa.table(flat)


def _accepted(table: pa.Table, columns: Columns, origin: Origin) -> BoolArray:
    keep = np.ones(table.num_rows, bool)
    for name in columns.rejected:
        column = table[name]
        if column.null_count == len(column) > 0:
            origin.warn(
                f"the quality flag {name!r} is empty. What is not known to be good is not used, so these "
                "stars have no points left. Fill in that column or remove it."
            )
        keep &= known_false(column)
    return keep


def known_false(column: pa.ChunkedArray) -> BoolArray:
    """Where a flag is known to be false: bool, 0 or 1, or text (false, f, 0, no); missing is not known."""
    column = _plain(column)
    if pa.types.is_boolean(column.type):
        false = pc.invert(column)
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        false = pc.equal(column, 0)
    elif _is_text(column.type):
        text = pc.utf8_lower(pc.utf8_trim_whitespace(column))
        false = pc.is_in(text, value_set=pa.array(["false", "f", "0", "0.0", "no", "n"], column.type))
    else:
        return np.zeros(len(column), bool)
    return np.asarray(pc.fill_null(false, False).to_numpy(), bool)


def _in_band(column: pa.ChunkedArray, band: str, where: str, *, check: bool) -> BoolArray:
    coded = one_chunk(column if pa.types.is_dictionary(column.type) else column.dictionary_encode())
    names = ["" if name is None else str(name).strip() for name in coded.dictionary.to_pylist()]
    used = np.asarray(pc.fill_null(coded.indices, -1).to_numpy())
    if check and len(used) and band not in names:
        raise unknown_band(band, dict.fromkeys(filter(None, names)), where)
    return np.isin(used, [code for code, name in enumerate(names) if name == band])


# ---------------------------------------------------------------------- numbers
def _times(table: pa.Table, columns: Columns, ids: IntArray, origin: Origin) -> FloatArray:
    """Phases modulo 1, or times in Gaia days."""
    if columns.time is None:
        phase = np.mod(_numbers(table, str(columns.phase), ids, origin), 1.0)
        return np.where(phase == 1.0, 0.0, phase)  # the rounded remainder of a tiny negative phase
    time = _numbers(table, columns.time, ids, origin)
    days = time.copy()
    for calendar, lowest, highest, zero in CALENDARS:
        with np.errstate(invalid="ignore"):
            here = (time > lowest) & (time < highest)
        if not here.any():
            continue
        if table[columns.time].type in (pa.float32(), pa.float16()):
            raise BadColumn(
                f"{origin.name}: {columns.time!r} holds {calendar} as 32-bit numbers, too coarse for a light "
                f"curve (star {ids[int(np.argmax(here))]}). Write that column as 64-bit numbers."
            )
        origin.warn(
            f"{columns.time!r} holds {calendar}; {zero} was subtracted to count in Gaia days (BJD - "
            "2455197.5). Give Gaia days to avoid this message."
        )
        days[here] -= zero
    return days


def _magnitudes(
    table: pa.Table, columns: Columns, ids: IntArray, band: str, origin: Origin
) -> tuple[FloatArray, FloatArray]:
    """Magnitudes and their errors; from the fluxes where they are missing."""

    def numbers(name: str | None) -> FloatArray:
        return np.full(len(ids), np.nan) if name is None else _numbers(table, name, ids, origin)

    mag = _without_fillers(numbers(columns.mag), ids, origin)
    error, flux = numbers(columns.mag_error), numbers(columns.flux)
    with np.errstate(invalid="ignore", divide="ignore"):
        if columns.flux is not None and band in ZERO_POINTS:
            from_flux = ZERO_POINTS[band] - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
            mag = np.where(np.isfinite(mag), mag, from_flux)
        for signal_to_noise in (numbers(columns.flux_over_error), flux / numbers(columns.flux_error)):
            error = np.where(np.isfinite(error), error, MAG_PER_RELATIVE_FLUX / signal_to_noise)
    return mag, error


def _without_fillers(mag: FloatArray, ids: IntArray, origin: Origin) -> FloatArray:
    with np.errstate(invalid="ignore"):
        filler = np.abs(mag) >= NO_MAGNITUDE
    if not filler.any():
        return mag
    origin.warn(
        f"{int(filler.sum())} magnitudes beyond +-{NO_MAGNITUDE:.0f}, first of star "
        f"{ids[int(np.argmax(filler))]}, are taken as missing. Empty those entries."
    )
    return np.where(filler, np.nan, mag)


def _numbers(table: pa.Table, name: str, ids: IntArray, origin: Origin) -> FloatArray:
    """A column as float64, NaN where missing; see :func:`photfeh.core.stars.to_numbers` for text."""
    column = _plain(table[name])
    if pa.types.is_temporal(column.type):
        raise BadColumn(f"{origin.name}: {name!r} holds calendar dates. Give days, such as BJD - 2455197.5.")
    if _is_text(column.type):
        return to_numbers(pd.Series(column.to_pandas()), name, origin.name, pd.Series(ids)).to_numpy()
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
