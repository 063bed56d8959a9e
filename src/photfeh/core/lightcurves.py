"""The first noun: the light curves of many stars in one band, ragged, in three flat arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from photfeh.core.arrays import frozen, owned
from photfeh.core.bands import require_same_band
from photfeh.core.errors import BadInput, BadLightCurve, MissingColumn
from photfeh.core.identifiers import to_source_id
from photfeh.core.types import Bool, BoolArray, Float64, FloatArray, Int64, IntArray

__all__ = ["LightCurve", "LightCurves"]


@dataclass(frozen=True)
class LightCurve:
    """One star of a :class:`LightCurves`: views of its arrays, no copies."""

    source_id: int
    time: Float64[FloatArray, " points"]
    mag: Float64[FloatArray, " points"]
    mag_error: Float64[FloatArray, " points"]

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, eq=False)
class LightCurves:
    """Light curves of N stars in one band, M points in all.

    The arrays are read-only and belong to this object: what the caller could write into is copied.

    Parameters
    ----------
    source_id : (N,) int64
        Unique identifiers.
    offsets : (N + 1,) int64
        Star ``i`` owns the points ``offsets[i]:offsets[i + 1]``. A star may have no points.
    time : (M,) float64
        Epochs [d], for Gaia BJD(TCB) - 2455197.5; or phases in [0, 1) where ``folded``. Finite. Points of a star
        that are not in order of time are sorted here.
    mag, mag_error : (M,) float64
        Magnitudes [mag], finite; their standard errors [mag], positive, NaN where unknown.
    band : str
        Name of the passband.
    folded : bool
        Whether ``time`` holds phases (a curve that was folded elsewhere).

    Raises
    ------
    BadLightCurve
        if shapes do not match, an identifier repeats, or a value is not finite; names the star.
    """

    source_id: Int64[IntArray, " stars"]
    offsets: Int64[IntArray, " stars+1"]
    time: Float64[FloatArray, " points"]
    mag: Float64[FloatArray, " points"]
    mag_error: Float64[FloatArray, " points"] = field(default_factory=lambda: np.empty(0))
    band: str = "G"
    folded: bool = False

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "source_id", _integers(self.source_id, "source_id"))
        put(self, "offsets", _integers(self.offsets, "offsets"))
        for name in ("time", "mag", "mag_error"):
            put(self, name, owned(getattr(self, name), np.float64))
        if len(self.mag_error) == 0 and len(self.mag) > 0:
            put(self, "mag_error", frozen(np.full(len(self.mag), np.nan)))
        self._check_shapes()
        self._check_values()
        self._sort()

    # ------------------------------------------------------------------ checks
    def _check_shapes(self) -> None:
        n, m = len(self.source_id), len(self.time)
        if self.offsets.shape != (n + 1,):
            raise BadLightCurve(f"offsets must have shape ({n + 1},) for {n} stars, found {self.offsets.shape}.")
        if self.offsets[0] != 0 or self.offsets[-1] != m or np.any(np.diff(self.offsets) < 0):
            raise BadLightCurve(f"offsets must rise from 0 to the number of points, {m}.")
        for name in ("mag", "mag_error"):
            shape = getattr(self, name).shape
            if shape != (m,):
                raise BadLightCurve(f"{name} must have shape ({m},) like time, found {shape}.")
        unique, counts = np.unique(self.source_id, return_counts=True)
        if len(unique) != n:
            raise BadLightCurve(
                f"source_id {unique[counts > 1][0]} stands {counts.max()} times: give each star one entry, "
                "or join its points first."
            )

    def _check_values(self) -> None:
        checks = (
            ("time", ~np.isfinite(self.time), "is not finite"),
            ("mag", ~np.isfinite(self.mag), "is not finite"),
            ("mag_error", ~(np.isnan(self.mag_error) | (self.mag_error > 0)), "is neither positive nor NaN (unknown)"),
        )
        for name, bad, what in checks:
            if bad.any():
                point = int(np.argmax(bad))
                raise BadLightCurve(
                    f"star {self.source_id[self.star_of(point)]}: {name} {what} at point {point}; "
                    "drop such points before."
                )
        if self.folded and len(self.time) and not (self.time.min() >= 0 and self.time.max() < 1):
            point = int(np.argmax((self.time < 0) | (self.time >= 1)))
            star = self.source_id[self.star_of(point)]
            raise BadLightCurve(f"star {star}: phase {self.time[point]} is outside [0, 1); take it modulo 1.")

    def _sort(self) -> None:
        if len(self.time) < 2:
            return
        step_back = self.time[1:] < self.time[:-1]
        starts = self.offsets[1:-1]
        step_back[starts[(starts > 0) & (starts < len(self.time))] - 1] = False
        if step_back.any():
            order = np.lexsort((self.time, self.star_index))
            for name in ("time", "mag", "mag_error"):
                object.__setattr__(self, name, frozen(getattr(self, name)[order]))

    # ------------------------------------------------------------------ container
    def __len__(self) -> int:
        return len(self.source_id)

    def __iter__(self) -> Iterator[LightCurve]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        what = "phase" if self.folded else "time"
        return f"LightCurves({len(self)} stars, {len(self.time)} points, band={self.band!r}, {what})"

    def __getitem__(self, key: Any) -> Any:
        """``lcs[i]``: one star as views; ``lcs[mask]``, ``lcs[indices]``, ``lcs[slice]``: a subset in that order."""
        if isinstance(key, (int, np.integer)):
            i = range(len(self))[int(key)]
            here = slice(int(self.offsets[i]), int(self.offsets[i + 1]))
            return LightCurve(int(self.source_id[i]), self.time[here], self.mag[here], self.mag_error[here])
        rows = np.arange(len(self))[key]
        counts = self.n_epochs[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        points = np.repeat(self.offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        time, mag, mag_error = (frozen(column[points]) for column in (self.time, self.mag, self.mag_error))
        return LightCurves(self.source_id[rows], offsets, time, mag, mag_error, self.band, self.folded)

    @property
    def n_epochs(self) -> Int64[IntArray, " stars"]:
        """Number of points of every star, shape (N,)."""
        return np.diff(self.offsets)

    @property
    def star_index(self) -> Int64[IntArray, " points"]:
        """Row of the star that owns each point, shape (M,)."""
        return np.repeat(np.arange(len(self)), self.n_epochs)

    def star_of(self, point: int) -> int:
        """Row of the star that owns one point."""
        return int(np.searchsorted(self.offsets, point, side="right")) - 1

    def select_points(self, keep: Bool[BoolArray, " points"]) -> LightCurves:
        """The same stars with only the points where ``keep`` (M,) is true; stars may end up with no points."""
        counts = np.bincount(self.star_index[keep], minlength=len(self))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        time, mag, mag_error = (frozen(column[keep]) for column in (self.time, self.mag, self.mag_error))
        return LightCurves(self.source_id, offsets, time, mag, mag_error, self.band, self.folded)

    def reindex(self, source_id: npt.ArrayLike) -> LightCurves:
        """The stars named, in that order; a star that is not here gets no points."""
        wanted = _integers(source_id, "source_id")
        order = np.argsort(self.source_id, kind="stable")
        place = np.searchsorted(self.source_id, wanted, sorter=order)
        place = order[np.minimum(place, len(order) - 1)] if len(order) else np.zeros(len(wanted), np.int64)
        known = self.source_id[place] == wanted if len(order) else np.zeros(len(wanted), bool)
        found = self[place[known]]
        counts = np.zeros(len(wanted), np.int64)
        counts[known] = found.n_epochs
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return LightCurves(wanted, offsets, found.time, found.mag, found.mag_error, self.band, self.folded)

    # ------------------------------------------------------------------ other forms
    @classmethod
    def from_points(
        cls,
        source_id: npt.ArrayLike,
        time: npt.ArrayLike,
        mag: npt.ArrayLike,
        mag_error: npt.ArrayLike | None = None,
        *,
        keep: npt.ArrayLike | None = None,
        band: str = "G",
        folded: bool = False,
    ) -> LightCurves:
        """Group rows (one a point, any order) by star.

        Points with a time or magnitude that is not finite, or where ``keep`` (M,) is false, are dropped; errors that
        are not positive and finite become unknown (NaN). Every identifier that occurs stays, in order of first
        appearance, even if no point of it is left.
        """
        ids = _integers(source_id, "source_id")
        time, mag = np.asarray(time, np.float64), np.asarray(mag, np.float64)
        error = np.full(len(time), np.nan) if mag_error is None else np.array(mag_error, np.float64)
        with np.errstate(invalid="ignore"):
            error[~((error > 0) & np.isfinite(error))] = np.nan
        good = np.isfinite(time) & np.isfinite(mag)
        if keep is not None:
            good &= np.asarray(keep, bool)
        unique, first, star = np.unique(ids, return_index=True, return_inverse=True)
        rank = np.empty(len(unique), np.int64)
        rank[np.argsort(first)] = np.arange(len(unique))
        star = rank[star][good]
        order = np.lexsort((time[good], star))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(star, minlength=len(unique)))])
        return cls(ids[np.sort(first)], offsets, time[good][order], mag[good][order], error[good][order], band, folded)

    @classmethod
    def concatenate(cls, parts: list[LightCurves]) -> LightCurves:
        """Join light curves of different stars in the same band, all with times or all with phases.

        Raises
        ------
        BandMismatch
            if the bands differ; names both.
        BadInput
            for nothing at all, or times beside phases.
        BadLightCurve
            if a star is in more than one part.
        """
        if not parts:
            raise BadInput("there are no light curves to join. Give at least one LightCurves.")
        first = parts[0]
        for number, part in enumerate(parts):
            require_same_band(
                part.band, first.band, what=f"light curves no. {number + 1} of those to join are",
                needs="the first are in", remedy="Join only curves of one band.",
            )  # fmt: skip
            if part.folded != first.folded:
                one, other = ("phases", "times") if first.folded else ("times", "phases")
                raise BadInput(
                    f"light curves no. {number + 1} of those to join have {other}, the first have {one}. "
                    "Join them apart: a folded curve has no epochs."
                )
        counts = np.concatenate([part.n_epochs for part in parts])
        return cls(
            np.concatenate([part.source_id for part in parts]),
            np.concatenate([[0], np.cumsum(counts)]),
            np.concatenate([part.time for part in parts]),
            np.concatenate([part.mag for part in parts]),
            np.concatenate([part.mag_error for part in parts]),
            first.band,
            first.folded,
        )

    def to_arrow(self) -> pa.Table:
        """One row per star with list columns that share this object's memory."""
        offsets = pa.array(self.offsets)
        columns = {"source_id": pa.array(self.source_id)}
        for name, values in ((self._time_name, self.time), ("mag", self.mag), ("mag_error", self.mag_error)):
            columns[name] = pa.LargeListArray.from_arrays(offsets, pa.array(values))
        return pa.table(columns).replace_schema_metadata({"band": self.band})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> LightCurves:
        """The inverse of :meth:`to_arrow`; no copy where the table is in one chunk.

        Raises
        ------
        MissingColumn
            if ``source_id``, ``mag`` or both of ``time`` and ``phase`` are absent.
        BadColumn
            if identifiers are missing, or floating-point numbers that cannot be exact; names become negative numbers
            (:func:`photfeh.core.identifiers.to_source_id`).
        """
        names = table.column_names
        folded = "time" not in names and "phase" in names
        time_name = "phase" if folded else "time"
        for name in ("source_id", time_name, "mag"):
            if name not in names:
                raise MissingColumn(name, "the Arrow table", found=names)
        lists = {name: _one_chunk(table[name]) for name in (time_name, "mag", "mag_error") if name in names}
        flat = {name: _flat(array) for name, array in lists.items()}
        offsets = np.asarray(lists["mag"].offsets, dtype=np.int64)
        band = (table.schema.metadata or {}).get(b"band", b"G").decode()
        return cls(
            _identifiers(table["source_id"]),
            offsets - offsets[0],
            flat[time_name],
            flat["mag"],
            flat.get("mag_error", np.empty(0)),
            band,
            folded,
        )

    @property
    def _time_name(self) -> str:
        return "phase" if self.folded else "time"


def _integers(values: npt.ArrayLike, name: str) -> IntArray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise BadLightCurve(f"{name} must have one dimension, found shape {array.shape}.")
    if array.dtype.kind not in "iu":
        if array.size == 0:
            return np.zeros(0, np.int64)
        raise BadLightCurve(
            f"{name} must hold integers, found {array.dtype}: floating-point numbers cannot hold a Gaia source_id."
        )
    if array.dtype.kind == "u" and array.size and int(array.max()) >= 2**63:
        raise BadLightCurve(f"{name} {array.max()} is beyond 63 bits. Number the stars in another way.")
    return owned(values, np.int64)


def _identifiers(column: pa.ChunkedArray) -> IntArray:
    """Identifiers as int64, without a copy where they are."""
    if column.type == pa.int64() and not column.null_count:
        return np.asarray(column, dtype=np.int64)
    floats = pa.types.is_floating(column.type)
    entries = pd.Series(column.to_numpy()) if floats else pd.Series(column.to_pylist(), dtype=object)
    return to_source_id(entries, "the Arrow table").to_numpy(np.int64)


def _one_chunk(column: pa.ChunkedArray) -> Any:
    if column.num_chunks == 1:
        return column.chunk(0)
    joined = column.combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined


def _flat(array: Any) -> FloatArray:
    values = array.flatten()
    if values.null_count or values.type != pa.float64():
        return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.asarray(values.to_numpy(zero_copy_only=True))
