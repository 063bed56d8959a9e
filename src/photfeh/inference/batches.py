"""``predict`` as one pure function, record batch in, record batch out: what any engine that cuts tables can call."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from photfeh.core.files import digest_of
from photfeh.core.identifiers import identifier_columns
from photfeh.core.lightcurves import LightCurves
from photfeh.core.stars import restore_names
from photfeh.inference.columns import FULL_COLUMNS, PREDICTION_COLUMNS
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.predictor import Predictor
from photfeh.inference.trained import load
from photfeh.readers.pairing import stars_of
from photfeh.readers.reading import read_lightcurves
from photfeh.readers.tables import tidy
from photfeh.samples.periods import Periods

__all__ = ["batch_schema", "predict_batch"]

_TYPES = {"int64": pa.int64(), "float64": pa.float64(), "text": pa.string()}


def predict_batch(
    batch: Any,
    *,
    model: str | Path | Ensemble | Predictor | None = None,
    stars: pd.DataFrame | None = None,
    band: str | None = None,
    any_band: bool = False,
    periods: Periods = "given",
    full: bool = False,
    scale: str | None = None,
    columns: Mapping[str, str] | None = None,
    id_column: str | None = None,
) -> pa.RecordBatch:
    """[Fe/H] of every star of a record batch; the same numbers, to the last bit, however a table is cut into batches.

    Nothing is read or written but the model, once a process; a star must lie in one batch with all its points.

    Parameters
    ----------
    batch : pyarrow.RecordBatch or table
        Light curves in any layout that is read, such as one row a star with list columns or a nested column, with
        ``period`` and ``type`` (or pf, p1_o, best_classification) beside. Any object that
        :func:`photfeh.readers.objects.as_tables` takes, such as a pandas frame.
    model : optional
        As for :func:`photfeh.predict`; a name or folder is loaded once a process.
    stars : DataFrame, optional
        Star rows with periods and types (:func:`photfeh.readers.read_stars`); stars that are not in it are left out.
    band, any_band, periods, full, scale, columns, id_column
        As for :func:`photfeh.predict`.

    Returns
    -------
    pyarrow.RecordBatch
        :func:`batch_schema`; one row a star, in the order of their first rows.

    Raises
    ------
    BadInput
        as :func:`photfeh.predict`.
    """
    predictor = model if isinstance(model, Predictor) else _loaded(model)
    named: dict[str, Any] = {"columns": columns, "id_column": id_column}
    table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    names = _identifiers_are_text(table, id_column)
    schema = batch_schema(full=full, names=names)
    if not table.num_rows:
        return pa.RecordBatch.from_pylist([], schema)
    band = band or predictor.band
    curves = read_lightcurves(table, band=band, **named)
    given = stars_of(table, None, band=band, **named) if stars is None else _rows_of(stars, curves)
    if not len(given):
        return pa.RecordBatch.from_pylist([], schema)
    made = predictor.predict(curves, given, periods=periods, any_band=any_band, full=full, scale=scale)
    found = restore_names(made, given)
    return _batch(found.astype({"source_id": str}) if names else found, schema)


def batch_schema(*, full: bool = False, names: bool = False) -> pa.Schema:
    """The schema of :func:`predict_batch`: :data:`PREDICTION_COLUMNS`, with ``full`` also :data:`FULL_COLUMNS`.

    ``names``: identifiers are text.
    """
    columns = {**PREDICTION_COLUMNS, **(FULL_COLUMNS if full else {})}
    fields = [pa.field(name, _TYPES[column.dtype]) for name, column in columns.items()]
    return pa.schema([pa.field("source_id", pa.string() if names else pa.int64()), *fields[1:]])


def _batch(table: pd.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    whole = pa.Table.from_pandas(table, schema=schema, preserve_index=False).replace_schema_metadata(None)
    return whole.combine_chunks().to_batches()[0]


def _rows_of(stars: pd.DataFrame, curves: LightCurves) -> pd.DataFrame:
    """The rows of these stars, in the order of the curves."""
    places = pd.Index(stars["source_id"]).get_indexer(pd.Index(curves.source_id))
    rows: pd.DataFrame = stars.iloc[places[places >= 0]]
    return rows.reset_index(drop=True)


def _identifiers_are_text(table: Any, id_column: str | None) -> bool:
    """Whether the column of identifiers holds text; it alone, and not what is in it, settles the schema."""
    if not isinstance(table, (pa.Table, pa.RecordBatch)):
        return False
    schema = tidy(table.schema.empty_table()).schema
    name = id_column.strip().lower() if id_column else next(iter(identifier_columns(schema.names)), None)
    if name is None or name not in schema.names:
        return False
    kind = schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _loaded(model: str | Path | Ensemble | None) -> Predictor:
    if isinstance(model, Ensemble):
        return load(model)
    sign = Path(str(model)) / "model.json"
    return _load_once(None if model is None else str(model), digest_of(sign) if sign.is_file() else "")


@lru_cache(maxsize=4)
def _load_once(model: str | None, content: str) -> Predictor:
    """``content``: digest of model.json, which seals all files of a folder: one trained again is loaded again."""
    return load(model)
