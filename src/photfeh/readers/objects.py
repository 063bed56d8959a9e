"""Tables in memory, as other packages hand them out: pandas, astropy, lightkurve, astroquery, plain arrays."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from photfeh.core.errors import BadInput
from photfeh.core.identifiers import identifier_columns
from photfeh.readers.astronomy import votable_element
from photfeh.readers.tables import from_astropy, from_pandas, tidy, with_name

__all__ = ["as_table", "as_tables"]

_ACCEPTED = (
    "a file, a pandas DataFrame, an astropy Table or TimeSeries, a pyarrow Table, a VOTable element, a dict of arrays, "
    "or a list or dict of tables"
)


def as_table(source: object) -> pa.Table:
    """The one table of an object in memory; BadInput if it holds several (:func:`as_tables`)."""
    tables = as_tables(source)
    if len(tables) != 1:
        raise BadInput(f"a {type(source).__name__} of {len(tables)} tables was given. Give one table.")
    return tables[0]


def as_tables(source: object) -> list[pa.Table]:
    """Tidy Arrow tables of an object in memory.

    Parameters
    ----------
    source : pandas.DataFrame, astropy Table or TimeSeries, pyarrow Table or RecordBatch, numpy record array,
        FITS table or list of them, VOTable or one of its elements, dict of arrays, or list or dict of such tables
        What ``astroquery`` returns: a dict of lists. Its keys become the names of the tables, as they hold the
        identifier. Also anything with ``to_arrow`` or the Arrow C stream interface (polars, duckdb).

    Raises
    ------
    BadInput
        for anything else; says what is accepted.
    """
    return [tidy(table) for table in _found(source, "")]


def _found(source: Any, name: str) -> list[pa.Table]:
    one = _one(source)
    if one is not None:
        return [with_name(one, name) if name else one]
    if isinstance(source, Mapping):
        return [table for key, value in source.items() for table in _found(value, str(key))]
    if _is_fits_image(source):
        return []
    if hasattr(source, "iter_tables"):  # a whole VOTable
        return [table for element in source.iter_tables() for table in _found(element, name)]
    if isinstance(source, (list, tuple)):
        if source and all(np.ndim(entry) == 1 and not hasattr(entry, "columns") for entry in source):
            raise BadInput("a list of arrays does not say which is which. Give dict(time=..., mag=..., mag_error=...).")
        return [table for entry in source for table in _found(entry, name)]
    raise BadInput(f"cannot read a table from {type(source).__name__}. Give {_ACCEPTED}.")


def _one(source: Any) -> pa.Table | None:
    """The Arrow table of an object that is one table; None for what holds several, or none."""
    if isinstance(source, pa.RecordBatch):
        return pa.Table.from_batches([source])
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, pd.DataFrame):
        return from_pandas(source)
    if is_astropy(source):
        return _with_label(from_astropy(source), source.meta)
    if _is_fits(source):
        from astropy.table import Table

        return from_astropy(Table.read(source))
    if hasattr(source, "to_table") and hasattr(source, "fields"):  # an element of a VOTable
        return votable_element(source)
    if isinstance(source, np.ndarray) and source.dtype.names:
        return _from_arrays({field: source[field] for field in source.dtype.names})
    if isinstance(source, Mapping) and source and all(_is_column(values) for values in source.values()):
        return _from_arrays(source)
    if hasattr(source, "to_arrow"):
        return _one(source.to_arrow())
    if hasattr(source, "__arrow_c_stream__"):
        return pa.table(source)
    return None


def is_astropy(table: object) -> bool:
    """Whether this is an astropy Table, TimeSeries or lightkurve object; astropy is not imported to find out."""
    module = sys.modules.get("astropy.table")
    return module is not None and bool(isinstance(table, module.Table))


def _is_fits(source: object) -> bool:
    module = sys.modules.get("astropy.io.fits")
    return module is not None and bool(isinstance(source, (module.BinTableHDU, module.TableHDU)))


def _is_fits_image(source: object) -> bool:
    """The units beside the tables of a FITS file, the first of which every file has."""
    module = sys.modules.get("astropy.io.fits")
    return module is not None and bool(isinstance(source, (module.PrimaryHDU, module.ImageHDU)))


def _is_column(values: object) -> bool:
    """Numbers or text in one dimension; a list of tables is none."""
    if isinstance(values, (str, bytes, Mapping)) or hasattr(values, "colnames") or hasattr(values, "to_table"):
        return False
    if isinstance(values, (np.ndarray, pd.Series, pd.Index, pa.Array, pa.ChunkedArray)):
        return getattr(values, "ndim", 1) == 1
    if hasattr(values, "unit") or hasattr(values, "jd"):
        return True
    if not isinstance(values, (list, tuple, range)):
        return False
    return all(entry is None or isinstance(entry, (str, bytes, bool, int, float, np.generic)) for entry in values)


def _from_arrays(columns: Mapping[Any, Any]) -> pa.Table:
    lengths = {str(name): len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise BadInput(f"a dict of arrays of different length ({found}) is no table. Give each the same length.")
    if any(hasattr(values, "unit") or hasattr(values, "jd") for values in columns.values()):
        from astropy.table import QTable

        return from_astropy(QTable({str(name): values for name, values in columns.items()}))
    arrays = {str(name): _array(values) for name, values in columns.items()}
    return from_pandas(pd.DataFrame(arrays))


def _array(values: Any) -> Any:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values.to_pandas()
    if isinstance(values, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(values)
        return pd.Series(
            [None if mask else entry for entry, mask in zip(values.data, hidden, strict=True)], dtype=object
        )
    if isinstance(values, np.ndarray):
        return values.astype(values.dtype.newbyteorder("="))
    if isinstance(values, pd.Series):
        return values.reset_index(drop=True)
    return pd.Series(list(values), dtype=object)  # (a float would lose digits of integers beside a None)


def _with_label(table: pa.Table, meta: Mapping[str, Any]) -> pa.Table:
    """Lightkurve keeps the star in its metadata: the object's name, else its number in the input catalogue."""
    if identifier_columns([name.lower() for name in table.column_names]):
        return table
    for key in ("LABEL", "OBJECT", "TARGETID", "name"):
        label = meta.get(key)
        if isinstance(label, (str, int)) and not isinstance(label, bool) and str(label).strip():
            return with_name(table, str(label))
    return table
