"""What one worker does with one partition of a HATS catalogue: its file read in slices, a row a star given back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from photfeh.core.errors import BadInput
from photfeh.core.identifiers import to_source_id
from photfeh.inference.batches import predict_batch
from photfeh.inference.columns import FULL_COLUMNS, PREDICTION_COLUMNS, kept_name
from photfeh.inference.prediction import Predictor, load
from photfeh.readers.layouts import find_columns
from photfeh.readers.roles import roles_of
from photfeh.readers.startables import FROM_EPOCHS
from photfeh.readers.tables import leaf_names, tidy
from photfeh.samples.periods import Periods

__all__ = ["Job", "columns_to_read", "empty_result", "predict_partition"]


@dataclass(frozen=True)
class Job:
    """All that a partition is predicted by; small, so that it travels to the workers as it is.

    ``model`` is a name or the folder of a model, of which each worker loads its own, and ``digest`` the fingerprint
    that it must have. ``base`` and ``suffix`` say where the files of the catalogue are, ``identifier``, ``ra`` and
    ``dec`` how its columns are called. ``stars``: Parquet file of star rows, or None. ``leaves``: columns of the files
    that are read; ``slice``: rows at a time.
    """

    model: str
    digest: str
    base: str
    suffix: str
    identifier: str
    ra: str
    dec: str
    leaves: tuple[str, ...]
    stars: str | None
    band: str
    any_band: bool
    periods: Periods
    full: bool
    scale: str | None
    keep: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    slice: int

    @property
    def roles(self) -> dict[str, str]:
        """Role -> column, as ``columns=`` of :func:`photfeh.predict`."""
        return dict(self.columns)


def columns_to_read(schema: pa.Schema, band: str, identifier: str, columns: Mapping[str, str] | None) -> list[str]:
    """The leaves of a catalogue's files that a prediction needs: identifier, light curve in one band, period, type.

    Raises
    ------
    BadInput
        if its columns are of no known layout, or have no such band.
    """
    roles = roles_of(columns, identifier)
    layout = roles.apply(tidy(schema.empty_table()), "the catalogue")
    wanted = roles.needed([*find_columns(layout.column_names, band, "the catalogue").names, "source_id"])
    leaves = leaf_names(schema)
    return sorted({leaves[name] for name in (*wanted, *FROM_EPOCHS) if name in leaves})


def predict_partition(frame: Any, pixel: Any, job: Job) -> Any:
    """The rows of a partition whose stars are predicted, with position, prediction and what is kept.

    ``frame`` holds position, identifier and kept columns only; the light curves are read here, ``job.slice`` rows at
    a time, so that memory does not depend on the size of the partition.
    """
    import nested_pandas

    predictor = _predictor(job.model, job.digest)
    # an engine may load several columns under pyarrow types; identifiers become plain integers here
    ids = to_source_id(frame[job.identifier], "the catalogue").to_numpy(np.int64) if len(frame) else np.zeros(0, int)
    stars = _stars(job.stars)
    if stars is not None:
        stars = stars[stars["source_id"].isin(ids)]
    empty = empty_result(frame.iloc[:0], job)
    if not len(frame) or (stars is not None and not len(stars)):
        return empty
    found = [_predicted(part, predictor, stars, job) for part in _slices(job, pixel)]
    table = pa.Table.from_batches(found) if found else None
    if table is None or not table.num_rows:
        return empty
    numbers = to_source_id(table["source_id"].to_pandas(), "the predictions").to_numpy(np.int64)
    place = pd.Index(numbers).get_indexer(pd.Index(ids))
    own, table = frame[place >= 0], table.take(pa.array(place[place >= 0]))
    result = own[[job.ra, job.dec]].copy()
    for name in table.column_names:
        column = table[name].combine_chunks()
        result[name] = pd.Series(pd.array(column, dtype=pd.ArrowDtype(column.type)), index=result.index)
    for name in job.keep:
        result[kept_name(name)] = own[name]
    return nested_pandas.NestedFrame(result)


def empty_result(frame: Any, job: Job) -> Any:
    """A frame without rows as :func:`predict_partition` gives it; ``frame`` is one of the catalogue without rows."""
    import nested_pandas

    kinds = {"int64": pa.int64(), "float64": pa.float64(), "text": pa.string()}
    text = not pd.api.types.is_integer_dtype(frame[job.identifier].dtype)
    result = frame[[job.ra, job.dec]].copy()
    for name, column in {**PREDICTION_COLUMNS, **(FULL_COLUMNS if job.full else {})}.items():
        kind = pa.string() if name == "source_id" and text else kinds[column.dtype]
        result[name] = pd.Series([], dtype=pd.ArrowDtype(kind), index=result.index)
    for name in job.keep:
        result[kept_name(name)] = frame[name]
    return nested_pandas.NestedFrame(result)


def _predicted(part: pa.RecordBatch, predictor: Predictor, stars: pd.DataFrame | None, job: Job) -> pa.RecordBatch:
    return predict_batch(
        part, model=predictor, stars=stars, band=job.band, any_band=job.any_band, periods=job.periods,
        full=job.full, scale=job.scale, columns=job.roles, id_column=job.identifier,
    )  # fmt: skip


def _slices(job: Job, pixel: Any) -> Iterator[pa.RecordBatch]:
    """The rows of the partition's file or files, some at a time."""
    from hats.io import file_io
    from hats.io.paths import pixel_catalog_file

    place = file_io.get_upath(pixel_catalog_file(job.base, pixel, npix_suffix=job.suffix))
    files = sorted(place.glob("*.parquet")) if job.suffix == "/" else [place]
    for path in files:
        # buffered: else all pages of a row group are held, and a file may be one single row group
        with file_io.read_parquet_file(path, buffer_size=1 << 20, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=job.slice, columns=list(job.leaves))


@lru_cache(maxsize=2)
def _predictor(model: str, digest: str) -> Predictor:
    predictor = load(model)
    if predictor.fingerprint() != digest:
        raise BadInput(
            f"model {model} is another one here than where the work was given out; install the same photfeh, and the "
            "same model folder, on every worker."
        )
    return predictor


@lru_cache(maxsize=2)
def _stars(path: str | None) -> pd.DataFrame | None:
    return None if path is None else pd.read_parquet(path)
