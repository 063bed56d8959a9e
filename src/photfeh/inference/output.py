"""Predictions on disk: where they may go, the tables that say who made them, and how they are read again."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from photfeh.core.errors import BadInput, MissingColumn
from photfeh.core.files import written
from photfeh.core.flags import DESCRIPTIONS
from photfeh.core.outputs import keep_inputs
from photfeh.core.packages import versions
from photfeh.core.stars import COLUMNS
from photfeh.inference.columns import FULL_COLUMNS, PREDICTION_COLUMNS, OutputColumn
from photfeh.inference.formats import WRITERS, is_ours
from photfeh.readers.files import read_table
from photfeh.readers.tables import tidy, to_frame

__all__ = ["check_output", "described", "parts_folder", "provenance", "read_predictions", "write_predictions"]


def check_output(path: str | Path, *, inputs: Iterable[object] = (), overwrite: bool = False) -> None:
    """Refuse to write where something of the user's would be lost.

    Raises
    ------
    BadInput
        if the suffix is unknown, the path is a folder or one of the ``inputs`` or among them, or it is a file that
        photfeh did not write and ``overwrite`` is false.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise BadInput(f"cannot write {path}: name a file that ends in {', '.join(WRITERS)}.")
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name a file to write, such as {path / 'predictions.parquet'}.")
    keep_inputs(path, inputs)
    if path.exists() and not overwrite and not is_ours(path):
        raise BadInput(f"{path} exists and is no table of predictions; name another --output, or say --overwrite.")


def parts_folder(output: str | Path) -> Path:
    """Where the finished chunks of an unfinished table are kept."""
    return Path(output).with_name(Path(output).name + ".parts")


def provenance(**about: object) -> dict[str, object]:
    """Who made a table, when, with which versions, and what the bits of ``flag`` mean, beside what the caller says."""
    packages = ("numpy", "pandas", "torch", "scikit-learn", "numba", "astropy", "pyarrow")
    return {
        "version": version("photfeh"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **about,
        "flags": {str(int(bit)): text for bit, text in DESCRIPTIONS.items()},
        "versions": {"python": platform.python_version(), **versions(packages)},
    }


def write_predictions(
    table: pd.DataFrame, path: str | Path, about: Mapping[str, object], *, kept_units: Mapping[str, str] | None = None
) -> None:
    """Write predictions whole or not at all, in the format that the suffix names.

    Parameters
    ----------
    table : DataFrame
        Columns :data:`PREDICTION_COLUMNS`, perhaps :data:`FULL_COLUMNS`, and others that are carried along.
    path : path
        Ends in one of :data:`photfeh.inference.formats.WRITERS`, in any case.
    about : mapping
        Provenance (:func:`provenance`), written into the metadata of every format but CSV.
    kept_units : mapping, optional
        Units of columns of the star table, by their names there.
    """
    path = Path(path)
    columns = described(table.columns, kept_units or {})
    with written(path) as beside:
        WRITERS[path.suffix.lower()](table, columns, about, beside)


def described(names: Iterable[str], units: Mapping[str, str]) -> dict[str, OutputColumn]:
    """Unit, UCD and meaning of the columns of an output; ``units`` of columns of the star table, by their names."""
    return {name: _column(name, units) for name in names}


def _column(name: str, units: Mapping[str, str]) -> OutputColumn:
    known = PREDICTION_COLUMNS.get(name) or FULL_COLUMNS.get(name)
    if known is not None:
        return known
    given = name.removesuffix("_given")
    unit = COLUMNS[given].unit if given in COLUMNS else units.get(given, "")
    return OutputColumn(unit, "", f"{given} of the star table, as given", "as given")


def read_predictions(source: Any) -> pd.DataFrame:
    """Predictions from a file of any format that photfeh writes, or from a table in memory.

    Returns
    -------
    DataFrame
        As :func:`photfeh.predict` returned it: integers exact, NaN where there is no [Fe/H].

    Raises
    ------
    MissingColumn
        if there is no ``source_id`` or no ``feh``.
    BadFile
        if the file cannot be read, or holds several tables or no rows.
    """
    if isinstance(source, (str, os.PathLike)):
        where, table = str(source), to_frame(read_table(source))
    else:
        from photfeh.readers.objects import as_tables

        where, table = "the table of predictions", to_frame(tidy(as_tables(source)[0]))
    for name in ("source_id", "feh"):
        if name not in table.columns:
            raise MissingColumn(name, where, found=table.columns)
    for name in table.columns:
        known = PREDICTION_COLUMNS.get(name) or FULL_COLUMNS.get(name)
        if known is not None and known.dtype == "float64":
            table[name] = pd.to_numeric(table[name]).astype("float64")
        if known is not None and known.dtype == "text":  # formats of text know no empty one
            table[name] = table[name].astype(object).where(table[name].notna(), "").astype(str)
    return table
