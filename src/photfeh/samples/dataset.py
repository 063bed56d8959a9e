"""A prepared sample on disk: star table, sequences in every representation, and how it was made.

dataset.json                      format, versions, settings, hash of the star table
stars.parquet                     one row a star, measured columns, label, flag, ``in_sample``
cut_flow.csv                      how many stars each cut left
features.npy                      (N, F) float64, shared by all representations
sequences/<representation>/values.npy, mask.npy    (N, T, 2) float32, (N, T) bool; read as memory maps
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from photfeh.core.errors import BadFile, BadInput, UnknownName
from photfeh.core.types import FloatArray, IntArray
from photfeh.samples.sequences import FEATURES, Representation, Sequences

__all__ = ["Dataset", "DatasetWriter"]

_FORMAT = 2


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data-set folder, opened; arrays are read when asked for."""

    folder: Path
    stars: pd.DataFrame
    cut_flow: pd.DataFrame
    notes: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> Dataset:
        """Open a folder written by :func:`photfeh.prepare`.

        Raises
        ------
        BadFile
            if it is none, is unfinished, or was written in another format.
        """
        folder = Path(folder)
        if not (folder / "dataset.json").is_file():
            hint = (
                "its preparation was interrupted; run the same prepare command again"
                if (folder / "parts").is_dir()
                else "make one with `photfeh prepare`"
            )
            raise BadFile(f"{folder} is not a finished data set (no dataset.json): {hint}.")
        notes = json.loads((folder / "dataset.json").read_text())
        if notes.get("format") != _FORMAT:
            raise BadFile(f"{folder} has format {notes.get('format')}, this version reads {_FORMAT}; prepare it again.")
        return cls(folder, pd.read_parquet(folder / "stars.parquet"), pd.read_csv(folder / "cut_flow.csv"), notes)

    def __len__(self) -> int:
        return len(self.stars)

    def __repr__(self) -> str:
        return (
            f"Dataset({self.folder}, {len(self)} stars, {len(self.sample)} in the sample, {list(self.representations)})"
        )

    @property
    def representations(self) -> dict[str, Representation]:
        """Settings of the stored representations by name."""
        return {name: Representation(**settings) for name, settings in self.notes["representations"].items()}

    def representation(self, name: str) -> Representation:
        """Settings of one stored representation.

        Raises
        ------
        UnknownName
            if it was not prepared.
        """
        if name not in self.representations:
            raise UnknownName("representation", name, self.representations)
        return self.representations[name]

    @property
    def sample(self) -> IntArray:
        """Rows of the stars that passed the cuts and have a label."""
        return np.flatnonzero(self.stars["in_sample"].to_numpy(bool))

    @property
    def truth(self) -> str:
        """Which kind of truth the labels are, in words."""
        return str(self.notes["truth"])

    def sequences(self, name: str = "spline", rows: IntArray | None = None) -> Sequences:
        """One representation, of all stars or of the given rows.

        Raises
        ------
        UnknownName
            if it was not prepared.
        """
        representation = self.representation(name)
        here = self.folder / "sequences" / name
        values, mask = np.load(here / "values.npy", mmap_mode="r"), np.load(here / "mask.npy", mmap_mode="r")
        features = np.load(self.folder / "features.npy", mmap_mode="r")
        take = np.arange(len(self)) if rows is None else rows
        source_id = self.stars["source_id"].to_numpy(np.int64)[take]
        return Sequences(values[take], mask[take], features[take], source_id, representation)

    def curves(self, source_id: npt.ArrayLike) -> dict[int, dict[str, FloatArray]]:
        """Folded light curves of some stars, to look at.

        Parameters
        ----------
        source_id : (n,) array_like of int
            Stars that the data set does not hold are left out.

        Returns
        -------
        dict
            By source_id, in the order of the data set: ``phase`` [cycle] and ``mag`` [mag] of the observed epochs, and
            of the smoothing spline, ``curve_phase`` and ``curve_mag``, where `raw-spline` was prepared.

        Raises
        ------
        UnknownName
            if `raw` was not prepared.
        """
        rows = np.flatnonzero(self.stars["source_id"].isin(np.asarray(source_id, np.int64)))
        kinds = {"": "raw"} | ({"curve_": "raw-spline"} if "raw-spline" in self.representations else {})
        found: dict[int, dict[str, FloatArray]] = {int(star): {} for star in self.stars["source_id"].iloc[rows]}
        for prefix, kind in kinds.items():
            sequences = self.sequences(kind, rows)
            for star, mask, points, period in zip(
                found, sequences.mask, sequences.values, sequences.feature("period"), strict=True
            ):
                mag, time = points[mask].astype(np.float64).T
                found[star] |= {f"{prefix}phase": time / period, f"{prefix}mag": mag}
        return found


class DatasetWriter:
    """Fills a data-set folder chunk by chunk; an interrupted run goes on where it stopped.

    Parameters
    ----------
    folder : path
    source_id : (N,) int64
        All stars, in the order of the rows.
    representations : dict
        Name -> settings.
    settings : dict
        Everything the result depends on; a folder begun with other settings is refused.
    """

    def __init__(
        self,
        folder: str | Path,
        source_id: IntArray,
        representations: dict[str, Representation],
        settings: dict[str, Any],
    ) -> None:
        self.folder = Path(folder)
        self.source_id = source_id
        self.representations = representations
        self.parts = self.folder / "parts"
        self._claim(settings)
        self._row = pd.Series(np.arange(len(source_id)), index=source_id)
        n = len(source_id)
        self._features = self._map("features.npy", (n, len(FEATURES)), np.float64, np.nan)
        self._values, self._mask = {}, {}
        for name, representation in representations.items():
            shape = (n, representation.n_points)
            self._values[name] = self._map(f"sequences/{name}/values.npy", (*shape, 2), np.float32, 0.0)
            self._mask[name] = self._map(f"sequences/{name}/mask.npy", shape, np.bool_, False)

    def done(self, source_id: IntArray) -> bool:
        """Whether the chunk of these stars was written before."""
        return self._part(source_id).exists()

    def write(self, table: pd.DataFrame, sequences: dict[str, Sequences]) -> None:
        """Store one chunk: its measured rows and its sequences."""
        rows = self._row.loc[table["source_id"]].to_numpy()
        for name, chunk in sequences.items():
            self._values[name][rows], self._mask[name][rows] = chunk.values, chunk.mask
            self._features[rows] = chunk.features
        part = self._part(table["source_id"].to_numpy(np.int64))
        table.assign(_row=rows).to_parquet(part.with_suffix(".new"))
        part.with_suffix(".new").replace(part)

    def measured(self) -> pd.DataFrame:
        """All rows written so far, in the order of the star table."""
        parts = [pd.read_parquet(path) for path in sorted(self.parts.glob("*.parquet"))]
        table = pd.concat(parts, ignore_index=True).sort_values("_row", kind="stable")
        return table.drop(columns="_row").reset_index(drop=True)

    def finish(self, stars: pd.DataFrame, cut_flow: pd.DataFrame, notes: dict[str, Any]) -> Dataset:
        """Write the tables, then dataset.json, the sign of a finished folder; remove the parts."""
        for array in (self._features, *self._values.values(), *self._mask.values()):
            array.flush()
        stars.to_parquet(self.folder / "stars.parquet", compression="zstd")
        cut_flow.to_csv(self.folder / "cut_flow.csv", index=False)
        content = {
            "format": _FORMAT,
            "representations": {name: r.to_dict() for name, r in self.representations.items()},
            "features": list(FEATURES),
            "n_stars": len(stars),
            "stars_sha256": hashlib.sha256((self.folder / "stars.parquet").read_bytes()).hexdigest(),
            **notes,
        }
        (self.folder / "dataset.json").write_text(json.dumps(content, indent=1, default=str) + "\n")
        for path in self.parts.iterdir():
            path.unlink()
        self.parts.rmdir()
        return Dataset.open(self.folder)

    def _claim(self, settings: dict[str, Any]) -> None:
        """Start, or go on with, a folder of the same settings."""
        note = self.parts / "settings.json"
        text = json.dumps(settings, indent=1, default=str, sort_keys=True)
        if (self.folder / "dataset.json").exists():
            raise BadInput(f"{self.folder} already holds a data set; name another --output or remove that folder.")
        if note.exists() and note.read_text() != text:
            raise BadInput(
                f"{self.folder} holds an interrupted preparation with other settings; remove it or finish it."
            )
        if not note.exists() and self.folder.exists() and any(self.folder.iterdir()):
            raise BadInput(f"{self.folder} is not empty and not a data set; name another --output.")
        self.resumed = note.exists()
        self.parts.mkdir(parents=True, exist_ok=True)
        note.write_text(text)

    def _map(self, name: str, shape: tuple[int, ...], dtype: Any, fill: float | bool) -> np.memmap[Any, Any]:
        path = self.folder / name
        if self.resumed and path.exists():
            return np.load(path, mmap_mode="r+")  # type: ignore[no-any-return]
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        if fill != 0:
            array[:] = fill
        return array

    def _part(self, source_id: IntArray) -> Path:
        return self.parts / f"{hashlib.sha256(np.ascontiguousarray(source_id).tobytes()).hexdigest()[:20]}.parquet"
