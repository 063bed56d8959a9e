"""Predictions that stay on the disk while they are made, and become one Parquet file in the order of the star table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from photfeh.core.errors import BadInput
from photfeh.core.files import written
from photfeh.core.types import IntArray
from photfeh.inference.formats import TextWidths, text_widths, write_parquet_parts
from photfeh.inference.output import described

__all__ = ["Piece", "check_streamed", "streamed"]

Piece = tuple[IntArray, pd.DataFrame, Path | None]
"""Rows in the star table, their predictions, and the file that holds them."""

_ROWS_AT_A_TIME = 50_000


def check_streamed(output: str | Path | None) -> None:
    """Raise BadInput unless the output can be written piece by piece."""
    if output is None or Path(output).suffix.lower() != ".parquet":
        raise BadInput(f"only Parquet is written piece by piece; name an output that ends in .parquet, not {output}.")


def streamed(
    pieces: Iterable[Piece],
    given: pd.DataFrame,
    carried: pd.DataFrame,
    output: str | Path,
    about: Mapping[str, object],
    *,
    kept_units: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Write what the pieces hold; memory holds one piece and four numbers a star.

    Parameters
    ----------
    pieces : iterable
        Each star of the table in one of them; with the files that hold them.
    given, carried : DataFrame
        The star table as :func:`photfeh.core.stars.validate_stars` made it, and what is carried along, row by row.
    output, about, kept_units
        As for :func:`photfeh.inference.output.write_predictions`.

    Returns
    -------
    DataFrame
        ``source_id``, ``feh``, ``feh_error`` and ``flag`` of every star, in the order of the table.
    """
    brief = pd.DataFrame(
        {
            "source_id": given["source_id"].to_numpy(np.int64),
            "feh": np.full(len(given), np.nan),
            "feh_error": np.full(len(given), np.nan),
            "flag": np.zeros(len(given), np.int64),
        }
    )
    columns = {name: brief[name].to_numpy().copy() for name in ("feh", "feh_error", "flag")}
    held: list[tuple[IntArray, Path]] = []
    widths: TextWidths = text_widths(carried)
    for rows, table, path in pieces:
        assert path is not None
        for name, values in columns.items():
            values[rows] = table[name].to_numpy()
        widths = text_widths(table, widths)
        held.append((rows.astype(np.int32 if len(given) < 2**31 else np.int64), path))
    names = _names(given)
    if names is not None:
        widths = text_widths(pd.DataFrame({"source_id": names}), widths)
    with written(Path(output)) as beside:
        parts = _in_order(held, names, carried)
        first = next(parts)
        told = described(first.columns, kept_units or {})
        write_parquet_parts(_with_first(first, parts), widths, told, about, beside)
    return brief.assign(**columns)


def _in_order(
    held: list[tuple[IntArray, Path]], names: pd.Series | None, carried: pd.DataFrame
) -> Iterator[pd.DataFrame]:
    """The table in the order of the stars, some rows at a time, for each the files that hold them."""
    ranges = [(int(rows.min()), int(rows.max())) for rows, _ in held]
    total = len(carried)
    for begin in range(0, total, _ROWS_AT_A_TIME):
        end = min(begin + _ROWS_AT_A_TIME, total)
        tables = []
        for (rows, path), (low, high) in zip(held, ranges, strict=True):
            if low >= end or high < begin:
                continue
            here = (rows >= begin) & (rows < end)
            tables.append(pd.read_parquet(path)[here].set_index(rows[here]))
        table = pd.concat(tables).sort_index().rename_axis(None)
        if names is not None:
            table["source_id"] = names.iloc[begin:end]
        yield pd.concat([table, carried.iloc[begin:end]], axis=1)


def _names(given: pd.DataFrame) -> pd.Series | None:
    """Identifiers as they were given, if some were no numbers."""
    if "name" not in given.columns or not (given["source_id"] < 0).any():
        return None
    return given["name"].where(given["name"].notna(), given["source_id"].astype(str)).astype(object)


def _with_first(first: pd.DataFrame, others: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    yield first
    yield from others
