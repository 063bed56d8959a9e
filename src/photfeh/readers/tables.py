"""Arrow tables: from pandas and astropy and back, plain lower-case names, units kept with the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "NO_NAMES",
    "from_astropy",
    "from_pandas",
    "is_list",
    "leaf_names",
    "name_of",
    "tidy",
    "to_frame",
    "unit_of",
    "with_metadata",
    "with_name",
    "with_units",
]


def is_list(kind: pa.DataType) -> bool:
    """Whether the Arrow type holds a list in every row."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


# ---------------------------------------------------------------------- names and nesting
def plain_name(name: str) -> str:
    """Lower case, no blanks around it, and any white space inside as one blank."""
    return " ".join(name.split()).lower()


def tidy(table: pa.Table) -> pa.Table:
    """Lower-case, stripped names; nested columns spread into list columns.

    A struct of lists or a list of structs (the nested column of a HATS catalogue) becomes one list column for
    each of its fields. Where two columns end up with one name, the first stays, and one that had that name
    from the start goes before one that was renamed. Metadata of the schema and of the fields stay.
    """
    columns: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    exact = set(table.column_names)
    for field, column in zip(table.schema, table.columns, strict=True):
        name = plain_name(field.name)
        if name != field.name and name in exact:
            continue
        for key, values in _spread(name, column):
            if key not in columns:
                columns[key], metadata[key] = values, field.metadata
    fields = [pa.field(name, values.type, metadata=metadata[name]) for name, values in columns.items()]
    return pa.table(list(columns.values()), schema=pa.schema(fields, metadata=table.schema.metadata))


def leaf_names(schema: pa.Schema) -> dict[str, str]:
    """Tidy name of every column -> the path by which a Parquet file can read it alone."""
    names: dict[str, str] = {}
    exact = set(schema.names)
    for field in schema:
        name = plain_name(field.name)
        if name != field.name and name in exact:
            continue
        if pa.types.is_struct(field.type):
            for child in field.type:
                names.setdefault(plain_name(child.name), f"{field.name}.{child.name}")
        elif is_list(field.type) and pa.types.is_struct(field.type.value_type):
            for child in field.type.value_type:
                names.setdefault(plain_name(child.name), field.name)
        else:
            names.setdefault(name, field.name)
    return names


def _spread(name: str, column: pa.ChunkedArray) -> list[tuple[str, Any]]:
    if pa.types.is_struct(column.type):
        whole = one_chunk(column)
        return [(plain_name(field.name), pc.struct_field(whole, field.name)) for field in column.type]
    if is_list(column.type) and pa.types.is_struct(column.type.value_type):
        whole = one_chunk(column)
        lengths = pc.fill_null(pc.list_value_length(whole), 0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))
        inner = whole.flatten()
        fields = [(field.name, pc.struct_field(inner, field.name)) for field in column.type.value_type]
        return [(plain_name(key), pa.LargeListArray.from_arrays(offsets, values)) for key, values in fields]
    if pa.types.is_fixed_size_list(column.type):
        return [(name, column.cast(pa.list_(column.type.value_type)))]
    return [(name, column)]


def one_chunk(column: pa.ChunkedArray) -> Any:
    """The column as one contiguous Arrow array."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], type=column.type)
    return array


def encoded(column: pa.ChunkedArray) -> Any:
    """The column as one contiguous dictionary array; one of type null as text, which pyarrow 18 needs."""
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    return one_chunk(column if pa.types.is_dictionary(column.type) else column.dictionary_encode())


# ---------------------------------------------------------------------- what a column declares
NO_NAMES = b"no_names"
"""Key of the schema metadata of a table whose columns had no names (they are called column1, column2, ...)."""

_NAME = b"table_name"


def with_metadata(table: pa.Table, name: str, metadata: Mapping[str, str]) -> pa.Table:
    """The table with entries added to the metadata of one field."""
    place = table.column_names.index(name)
    field = table.schema.field(place)
    new = {**(field.metadata or {}), **{key.encode(): text.encode() for key, text in metadata.items()}}
    return table.set_column(place, field.with_metadata(new), table.column(place))


def with_units(table: pa.Table, units: Mapping[str, str]) -> pa.Table:
    """The table with ``unit`` in the metadata of these fields."""
    for name, unit in units.items():
        if name in table.column_names:
            table = with_metadata(table, name, {"unit": unit})
    return table


def unit_of(table: pa.Table, name: str) -> str | None:
    """The unit that a column declares, None where it declares none."""
    text = (table.schema.field(name).metadata or {}).get(b"unit")
    return None if text is None else str(text.decode(errors="replace"))


def with_name(table: pa.Table, name: str | None) -> pa.Table:
    """The table with a name of its own in the schema metadata (a file may hold several)."""
    if not name:
        return table
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _NAME: name.encode()})


def name_of(table: pa.Table) -> str:
    """The name that :func:`with_name` gave, else nothing."""
    return str((table.schema.metadata or {}).get(_NAME, b"").decode(errors="replace"))


# ---------------------------------------------------------------------- pandas
def from_pandas(frame: pd.DataFrame) -> pa.Table:
    """An Arrow table; NaN and None are missing, a named index is a column, mixed columns are text."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    columns = {}
    for position, name in enumerate(frame.columns):
        series = frame.iloc[:, position]
        try:
            columns[str(name)] = pa.array(series, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            # numbers and text in one column: text keeps both exactly
            columns[str(name)] = pa.array([None if _missing(value) else str(value) for value in series], pa.string())
    return pa.table(columns)


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A pandas DataFrame in which integers with missing values stay integers (nullable), never floats."""
    nullable = {pa.int8(): pd.Int8Dtype(), pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype()}
    nullable |= {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
    data = {}
    for name in table.column_names:
        column = table[name]
        data[name] = column.to_pandas(types_mapper=nullable.get if column.null_count else None)
    return pd.DataFrame(data)


# ---------------------------------------------------------------------- astropy
def from_astropy(table: Any) -> pa.Table:
    """An Arrow table; masked entries are missing, array entries lists, Time columns Julian dates, TimeDelta days.

    Units stand in the metadata of the field (``unit``), as astropy writes them; a Time column has ``unit`` d,
    ``time_format`` jd and its ``time_scale``. Columns that are none of numbers, text, or lists of them (coordinates,
    images) are left out.
    """
    arrays, fields = [], []
    for name in table.colnames:
        array = _astropy_column(table[name])
        if array is not None:
            arrays.append(array)
            fields.append(pa.field(name, array.type, metadata=_astropy_metadata(table[name])))
    return pa.table(arrays, schema=pa.schema(fields))


def _astropy_metadata(column: Any) -> dict[str, str] | None:
    if hasattr(column, "jd"):
        if hasattr(column, "mjd"):
            return {"unit": "d", "time_format": "jd", "time_scale": str(column.scale)}
        return {"unit": "d"}  # a TimeDelta
    unit = getattr(column, "unit", None)
    text = "" if unit is None else str(unit.to_string() if hasattr(unit, "to_string") else unit).strip()
    return {"unit": text} if text else None


def _astropy_column(column: Any) -> Any:
    if hasattr(column, "jd"):
        days = column.jd
        hidden = np.broadcast_to(np.asarray(getattr(column, "mask", False)), np.shape(days))
        return _numbers(np.ma.array(np.asarray(getattr(days, "unmasked", days), np.float64), mask=hidden))
    if not hasattr(column, "dtype"):
        return None
    if hasattr(column, "unmasked"):  # a masked Quantity
        values = np.ma.array(np.asarray(column.unmasked), mask=np.asarray(column.mask))
    elif hasattr(column, "to_value"):  # a Quantity
        values = np.ma.asarray(np.asarray(column))
    else:
        values = np.ma.asarray(column)
    if values.dtype.kind == "O":
        return _objects([None if np.ma.is_masked(value) and np.ndim(value) == 0 else value for value in values])
    return _numbers(values)


def _numbers(values: Any) -> Any:
    if values.ndim == 1:
        return _plain(values)
    if values.ndim == 2:
        flat = _plain(values.reshape(-1))
        offsets = np.arange(len(values) + 1, dtype=np.int64) * values.shape[1]
        return None if flat is None else pa.LargeListArray.from_arrays(pa.array(offsets), flat)
    return None


def _plain(values: Any) -> Any:
    data, mask = np.ma.getdata(values), np.ma.getmaskarray(values)
    if data.dtype.kind == "S":
        data = np.char.decode(data, "utf-8", "replace")
    if data.dtype.kind == "U":
        return pa.array([None if hidden else str(value) for value, hidden in zip(data, mask, strict=True)], pa.string())
    if data.dtype.kind not in "biuf":
        return None
    return pa.array(np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("=")), mask=np.ascontiguousarray(mask))


def _objects(values: Sequence[Any]) -> Any:
    """Text, numbers with None, or arrays of varying length: object columns of VOTable, FITS and ECSV files."""
    if all(value is None or isinstance(value, (str, bytes)) for value in values):
        text = [value.decode(errors="replace") if isinstance(value, bytes) else value for value in values]
        return pa.array(text, pa.string())
    if all(np.ndim(value) == 0 for value in values):
        return from_pandas(pd.DataFrame({"entries": values}, dtype=object))["entries"]
    arrays: list[npt.NDArray[Any]] = [np.ma.atleast_1d(_array(value)) for value in values]
    if any(array.ndim != 1 or array.dtype.kind not in "biufSU" for array in arrays):
        return None
    offsets = np.concatenate([[0], np.cumsum([len(array) for array in arrays], dtype=np.int64)])
    full = [array for array in arrays if len(array)]
    joined: Any = np.ma.concatenate  # (numpy does not type its masked arrays)
    flat = _plain(joined(full)) if full else pa.array([], pa.float64())
    return None if flat is None else pa.LargeListArray.from_arrays(pa.array(offsets), flat)


def _array(value: Any) -> Any:
    """One entry as a masked array; JSON lists with null become masked."""
    if value is None:
        return np.ma.array([], dtype=np.float64)
    if isinstance(value, (list, tuple)) and any(item is None for item in value):
        hidden = [item is None for item in value]
        known = [item for item in value if item is not None]
        filler = known[0] if known else np.nan
        return np.ma.array([filler if item is None else item for item in value], mask=hidden)
    return np.ma.asarray(value)
