"""Where light curves at hand came from: what ``fetch`` wrote into the metadata of its tables."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["origin_of"]


def origin_of(epochs: object) -> dict[str, str] | None:
    """Release and date of light curves that were fetched: from the metadata of ``epochs.parquet``, else None.

    Parameters
    ----------
    epochs : object
        What a command reads; only a path to a Parquet file can tell.
    """
    if not isinstance(epochs, (str, os.PathLike)) or not str(epochs).lower().endswith(".parquet"):
        return None
    try:
        said = pq.read_schema(epochs).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    found = {name: said.get(f"photfeh.{name}".encode()) for name in ("release", "date")}
    return None if None in found.values() else {name: text.decode() for name, text in found.items() if text}
