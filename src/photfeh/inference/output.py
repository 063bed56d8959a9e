"""Predictions on disk: where they may go, and the tables that say who made them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photfeh.core.errors import BadInput
from photfeh.core.files import write_text, written
from photfeh.core.outputs import keep_inputs

__all__ = ["check_output", "parts_folder", "write_predictions"]

_MADE_BY = b"photfeh"
_FIRST = ["source_id", "feh", "feh_error", "feh_lower", "feh_upper", "flag"]
"""The columns by which a table of text is known as predictions of photfeh."""


def check_output(path: str | Path, *, inputs: Iterable[object] = (), overwrite: bool = False) -> None:
    """Refuse to write where something of the user's would be lost.

    Raises
    ------
    BadInput
        if the suffix is unknown, the path is a folder or one of the ``inputs`` or among them, or it is a file that
        photfeh did not write and ``overwrite`` is false.
    """
    path = Path(path)
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise BadInput(f"cannot write {path}: name a file that ends in .parquet or .csv.")
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name a file to write, such as {path / 'predictions.parquet'}.")
    keep_inputs(path, inputs)
    if path.exists() and not overwrite and not _ours(path):
        raise BadInput(f"{path} exists and is no table of predictions; name another --output, or say --overwrite.")


def parts_folder(output: str | Path) -> Path:
    """Where the finished chunks of an unfinished table are kept."""
    return Path(output).with_name(Path(output).name + ".parts")


def write_predictions(table: pd.DataFrame, path: str | Path, about: Mapping[str, object]) -> None:
    """Write predictions whole or not at all; a Parquet file says in its metadata who made it, when and with what."""
    path = Path(path)
    if path.suffix.lower() == ".csv":
        write_text(path, table.to_csv(index=False))
        return
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    made = {"version": version("photfeh"), "date": datetime.now(UTC).isoformat(timespec="seconds"), **about}
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), _MADE_BY: json.dumps(made, default=str)})
    with written(path) as beside:
        pq.write_table(arrow, beside, compression="zstd")


def _ours(path: Path) -> bool:
    """Whether an earlier call of photfeh wrote this table."""
    try:
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8") as file:
                return file.readline().strip().split(",")[: len(_FIRST)] == _FIRST
        return _MADE_BY in (pq.read_schema(path).metadata or {})
    except (OSError, ValueError, pa.ArrowException):
        return False
