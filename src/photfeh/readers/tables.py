"""Tables of any kind (pandas, astropy, Arrow) as one kind: an Arrow table with plain lower-case names."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photfeh.core.errors import BadInput

__all__ = ["as_table", "from_astropy", "from_pandas", "is_list", "leaf_names", "tidy", "to_frame"]


def as_table(table: object) -> pa.Table:
    """A table in memory as a tidy Arrow table (see :func:`tidy`).

    Parameters
    ----------
    table : pandas.DataFrame, astropy.table.Table, pyarrow.Table or pyarrow.RecordBatch

    Raises
    ------
    BadInput
        for anything else.
    """
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    if isinstance(table, pa.Table):
        return tidy(table)
    if isinstance(table, pd.DataFrame):
        return tidy(from_pandas(table))
    if is_astropy(table):
        return tidy(from_astropy(table))
    raise BadInput(
        f"cannot read a table from {type(table).__name__}. Give a file, a pandas DataFrame, an astropy Table "
        "or a pyarrow Table."
    )


def is_astropy(table: object) -> bool:
    """Whether this is an astropy Table; astropy is not imported to find out."""
    module = sys.modules.get("astropy.table")
    return module is not None and bool(isinstance(table, module.Table))


def is_list(kind: pa.DataType) -> bool:
    """Whether the Arrow type holds a list in every row."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


# ---------------------------------------------------------------------- names and nesting
def tidy(table: pa.Table) -> pa.Table:
    """Lower-case, stripped names; nested columns spread into list columns.

    A struct of lists or a list of structs (the nested column of a HATS catalogue) becomes one list column for
    each of its fields. Where two columns end up with one name, the first stays, and one that had that name
    from the start goes before one that was renamed. Schema metadata stay.
    """
    columns: dict[str, Any] = {}
    exact = set(table.column_names)
    for original, column in zip(table.column_names, table.columns, strict=True):
        name = original.strip().lower()
        if name != original and name in exact:
            continue
        for key, values in _spread(name, column):
            columns.setdefault(key, values)
    return pa.table(columns).replace_schema_metadata(table.schema.metadata)


def leaf_names(schema: pa.Schema) -> dict[str, str]:
    """Tidy name of every column -> the path by which a Parquet file can read it alone."""
    names: dict[str, str] = {}
    exact = set(schema.names)
    for field in schema:
        name = field.name.strip().lower()
        if name != field.name and name in exact:
            continue
        if pa.types.is_struct(field.type):
            for child in field.type:
                names.setdefault(child.name.strip().lower(), f"{field.name}.{child.name}")
        elif is_list(field.type) and pa.types.is_struct(field.type.value_type):
            for child in field.type.value_type:
                names.setdefault(child.name.strip().lower(), field.name)
        else:
            names.setdefault(name, field.name)
    return names


def _spread(name: str, column: pa.ChunkedArray) -> list[tuple[str, Any]]:
    if pa.types.is_struct(column.type):
        whole = one_chunk(column)
        return [(field.name.strip().lower(), pc.struct_field(whole, field.name)) for field in column.type]
    if is_list(column.type) and pa.types.is_struct(column.type.value_type):
        whole = one_chunk(column)
        lengths = pc.fill_null(pc.list_value_length(whole), 0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))
        inner = whole.flatten()
        fields = [(field.name, pc.struct_field(inner, field.name)) for field in column.type.value_type]
        return [(key.strip().lower(), pa.LargeListArray.from_arrays(offsets, values)) for key, values in fields]
    if pa.types.is_fixed_size_list(column.type):
        return [(name, column.cast(pa.list_(column.type.value_type)))]
    return [(name, column)]


def one_chunk(column: pa.ChunkedArray) -> Any:
    """The column as one contiguous Arrow array."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], type=column.type)
    return array


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
    """An Arrow table; masked entries are missing, array entries lists, Time columns Julian dates.

    Columns that are none of numbers, text, or lists of them (coordinates, images) are left out.
    """
    columns = {name: _astropy_column(table[name]) for name in table.colnames}
    return pa.table({name: array for name, array in columns.items() if array is not None})


def _astropy_column(column: Any) -> Any:
    if hasattr(column, "jd"):
        return pa.array(np.asarray(column.jd, np.float64))
    values = np.ma.asarray(column)
    if values.dtype.kind == "O":
        return _objects([None if np.ma.is_masked(value) and np.ndim(value) == 0 else value for value in values])
    if values.ndim == 1:
        return _plain(values)
    if values.ndim == 2:
        offsets = np.arange(len(values) + 1, dtype=np.int64) * values.shape[1]
        return pa.LargeListArray.from_arrays(pa.array(offsets), _plain(values.reshape(-1)))
    return None


def _plain(values: Any) -> Any:
    data, mask = np.ma.getdata(values), np.ma.getmaskarray(values)
    if data.dtype.kind == "S":
        data = np.char.decode(data, "utf-8")
    if data.dtype.kind == "U":
        return pa.array([None if hidden else str(value) for value, hidden in zip(data, mask, strict=True)], pa.string())
    if data.dtype.kind not in "biuf":
        return None
    return pa.array(np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("=")), mask=np.ascontiguousarray(mask))


def _objects(values: Sequence[Any]) -> Any:
    """Text, numbers with None, or arrays of varying length: object columns of VOTable, FITS and ECSV files."""
    if all(value is None or isinstance(value, (str, bytes)) for value in values):
        text = [value.decode() if isinstance(value, bytes) else value for value in values]
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
