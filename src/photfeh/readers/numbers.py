"""Columns as 64-bit numbers: text, limits such as ``>17.5``, place-holders, and what was counted as missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from photfeh.core.errors import BadColumn
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.readers.tally import Origin

__all__ = ["PLACE_HOLDERS", "Points", "Stars", "is_text", "plain"]

PLACE_HOLDERS = (
    *(0.0, -1.0, -9.0, -9.9, -9.99, -9.999, -99.0, -99.9, -99.99, -99.999, -999.0, -999.9, -999.99, -9999.0, -99999.0),
    *(9.99, 9.999, 9.9999, 99.0, 99.9, 99.99, 99.999, 99.9999, 999.0, 999.9, 999.99, 999.999, 9999.0, 9999.9, 9999.99),
    *(9999.999, 99999.0, 99999.9, 99999.99, 999999.0),
)
"""Numbers that stand for "missing" in many catalogues; they do where they lie far from everything else."""

_EMPTY = ("", "nan", "null", "none", "--", "-", "n/a", "na", "masked", "---")
"""What stands for nothing in tables of text, lower case."""


class Stars:
    """Which points belong to which star, to find numbers star by star in any order of rows.

    ``ids`` (N,) are the identifiers, ``star`` (M,) the number of the star of every point.
    """

    def __init__(self, ids: IntArray) -> None:
        starts = np.flatnonzero(np.concatenate([[True], np.diff(ids) != 0])[: len(ids)])
        self.ids, which = np.unique(ids[starts], return_inverse=True)
        self.star = np.repeat(which, np.diff(np.append(starts, len(ids))))

    def range(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest finite number of every star, each of shape (N,); inf and -inf where there is none."""
        lowest, highest = np.full(len(self.ids), np.inf), np.full(len(self.ids), -np.inf)
        good = np.isfinite(values)
        np.minimum.at(lowest, self.star[good], values[good])
        np.maximum.at(highest, self.star[good], values[good])
        return lowest, highest

    def count(self, chosen: BoolArray) -> IntArray:
        """Number of points of every star, shape (N,), where ``chosen`` (M,) is true."""
        return np.bincount(self.star[chosen], minlength=len(self.ids))


class Points:
    """Rows of a table, one a point, with the star of each; and which of them have been counted as incomplete.

    Parameters
    ----------
    table : pyarrow.Table
        M rows.
    ids : (M,) int64
        Identifier of the star of every row.
    origin : Origin
        Name for messages, and the tally.
    """

    def __init__(self, table: pa.Table, ids: IntArray, origin: Origin) -> None:
        self.table, self.ids, self.origin = table, ids, origin
        self.counted: BoolArray = np.zeros(len(ids), bool)

    @cached_property
    def stars(self) -> Stars:
        """The points star by star."""
        return Stars(self.ids)

    def declared(self, name: str, what: str = "unit") -> str | None:
        """What a column says of itself: its ``unit``, ``time_scale``, ``time_format``, ``time_origin``; else None."""
        entry = (self.table.schema.field(name).metadata or {}).get(what.encode())
        return None if entry is None else str(entry.decode())

    def count(self, what: str, where: BoolArray, *, remedy: str, sample: object = None, complete: bool = False) -> None:
        """Count points in the tally; ``sample`` (M,) shows the entry of the first.

        They are not counted again as incomplete, unless they are ``complete`` nevertheless.
        """
        if not where.any():
            return
        row = int(np.argmax(where))
        entry = "" if sample is None else f" ({np.asarray(sample)[row]!s})"
        self.origin.count(what, int(np.sum(where)), first=f"of star {self.ids[row]}{entry}", remedy=remedy)
        if not complete:
            self.counted |= where

    def numbers(self, name: str) -> FloatArray:
        """A column as float64, shape (M,), NaN where missing.

        Text that is no number is missing and counted, limits (``>17.5``) by themselves.

        Raises
        ------
        BadColumn
            if the column holds dates, or entries of which not one is a number; names the first and its star.
        """
        column = plain(self.table[name])
        if is_text(column.type):
            return self._from_text(pd.Series(column.to_pandas(), dtype=object), name)
        if pa.types.is_null(column.type):
            return np.full(len(column), np.nan)
        if pa.types.is_temporal(column.type):
            raise BadColumn(f"{self.origin.name}: {name!r} holds calendar dates. Give days, such as BJD - 2455197.5.")
        if not any(kind(column.type) for kind in (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal)):
            raise BadColumn(f"{self.origin.name}: {name!r} holds {column.type}, not numbers. Correct that column.")
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)

    def _from_text(self, column: pd.Series, name: str) -> FloatArray:
        text = column.astype("string").str.strip()
        empty = (text.isna() | text.str.lower().isin(_EMPTY).fillna(True)).to_numpy(dtype=bool)
        limit = text.str.match(r"[<>]").fillna(False).to_numpy(dtype=bool)
        values = pd.to_numeric(text.where(~empty), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        bad = np.isnan(values) & ~empty & ~limit
        if bad.any() and not np.isfinite(values).any() and not limit.any():
            row = int(np.argmax(bad))
            raise BadColumn(
                f"{self.origin.name}: column {name!r} holds text ({column.iloc[row]!r}, star {self.ids[row]}), not "
                "numbers. Correct that column."
            )
        what = f"have text in column {name!r} that is no number and counts as missing"
        self.count(what, bad, sample=column, remedy="Correct or empty those entries.")
        what = f"have only a limit in column {name!r}, which counts as missing"
        self.count(what, limit, sample=column, remedy="Remove those rows to avoid this message.")
        return values

    def without_place_holders(self, raw: FloatArray, values: FloatArray, name: str, margin: float) -> FloatArray:
        """NaN where the number as it stands is a place-holder and its value ``margin`` from all others of the star."""
        suspect = np.isin(raw, PLACE_HOLDERS)
        if not suspect.any():
            return values
        lowest, highest = self.stars.range(np.where(suspect, np.nan, values))
        lowest, highest = lowest[self.stars.star], highest[self.stars.star]
        with np.errstate(invalid="ignore"):
            missing = suspect & ((values < lowest - margin) | (values > highest + margin)) & (lowest <= highest)
        self.count(PLACE_HELD.format(name), missing, sample=raw, remedy="Empty those entries.")
        return np.where(missing, np.nan, values)

    def fullest(self, name: str, others: Iterable[str], read: Callable[[str], FloatArray]) -> FloatArray:
        """For every star the column that holds most, the first of those that hold as many; said where not the first."""
        best = read(name)
        have = np.isfinite(best)
        for other in () if have.all() else others:
            try:
                values = read(other)
            except BadColumn:
                continue  # what cannot be read is no better
            more = self.stars.count(np.isfinite(values)) > self.stars.count(have)
            if more.any():
                best = np.where(more[self.stars.star], values, best)
                have = np.isfinite(best)
                self.origin.warn(
                    f"column {other!r} is used for stars of which it holds more points than {name!r}. "
                    f"Fill in {name!r}, or remove one of the two.",
                    key=f"{other} for {name}",
                )
        return best


PLACE_HELD = "have a place-holder in column {!r}, which counts as missing"
"""How place-holders are counted."""


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without dictionary."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def is_text(kind: pa.DataType) -> bool:
    """Whether the Arrow type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
