"""A prepared sample on disk: star table, sequences in every representation, and how it was made.

dataset.json                      format, versions, settings, hash of the star table
stars.parquet                     one row a star, measured columns, label, flag, ``in_sample``
cut_flow.csv                      how many stars each cut left
features.npy                      (N, F) float64, shared by all representations
sequences/<representation>/values.npy, mask.npy    (N, T, 2) float32, (N, T) bool; read as memory maps
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from photfeh.core.cache import Key, Parts
from photfeh.core.errors import BadFile, BadInput, UnknownName
from photfeh.core.files import (
    digest_of,
    flush,
    naming,
    read_json,
    read_sealed,
    write_json,
    write_sealed,
    write_text,
    written,
)
from photfeh.core.fingerprint import fingerprint
from photfeh.core.types import FloatArray, IntArray
from photfeh.samples.arrays import allocate, read_array
from photfeh.samples.sequences import FEATURES, PairedRepresentation, Representation, Sequences, paired

__all__ = ["Dataset", "DatasetWriter"]

_FORMAT = 4


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
        notes = read_sealed(
            folder / "dataset.json", what="a data set", number=_FORMAT, remedy="prepare it again from its light curves"
        )
        return cls(folder, *_tables_of(folder, notes), notes)

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
        """Settings of one stored representation, or of two of them joined by ``+``, such as ``raw+spline``.

        Raises
        ------
        UnknownName
            if it was not prepared.
        """
        own, joined, beside = name.partition("+")
        if joined:
            settings = self.representation(own).to_dict()
            return PairedRepresentation(**settings, beside=self.representation(beside))
        if name not in self.representations:
            raise UnknownName("representation", name, self.representations)
        return self.representations[name]

    @property
    def sample(self) -> IntArray:
        """Rows of the stars that passed the cuts and have a label."""
        return np.flatnonzero(self.stars["in_sample"].to_numpy(bool))

    @property
    def band(self) -> str:
        """Passband of the light curves."""
        return str(self.notes["recipe"]["band"])

    @property
    def truth(self) -> str:
        """Which kind of truth the labels are, in words."""
        return str(self.notes["truth"])

    def sequences(self, name: str = "spline", rows: IntArray | None = None) -> Sequences:
        """One representation, or two joined by ``+``, of all stars or of the given rows.

        Raises
        ------
        UnknownName
            if it was not prepared.
        BadInput
            if the folder was prepared again since it was opened.
        BadFile
            if an array is absent or is not of this data set; names the file.
        """
        representation = self.representation(name)
        if isinstance(representation, PairedRepresentation):
            return paired(*(self.sequences(one, rows) for one in name.split("+")))
        if {**(read_json(self.folder / "dataset.json") or {}), "sha256": None} != {**self.notes, "sha256": None}:
            raise BadInput(f"{self.folder} was prepared again since it was opened; open it again.")
        here, steps = self.folder / "sequences" / name, (len(self), representation.n_points)
        values = read_array(here / "values.npy", (*steps, 2), np.float32)
        mask = read_array(here / "mask.npy", steps, np.bool_)
        features = read_array(self.folder / "features.npy", (len(self), len(FEATURES)), np.float64)
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


def _tables_of(folder: Path, notes: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The star table and the cut flow of a data-set folder.

    Raises
    ------
    BadFile
        if one is absent or was changed since; names it.
    """
    path = folder / "stars.parquet"
    try:
        if digest_of(path) != notes["stars_sha256"]:
            raise BadFile(f"{path} was changed since photfeh wrote it; prepare the data set again.")
        stars = pd.read_parquet(path)
        path = folder / "cut_flow.csv"
        return stars, pd.read_csv(path)
    except (OSError, ValueError) as error:
        said = str(error).splitlines() or [type(error).__name__]
        raise BadFile(f"{path} cannot be read ({said[0].rstrip('.')}); prepare the data set again.") from error


class DatasetWriter:
    """Fills a data-set folder chunk by chunk; what an interrupted call has measured is taken if nothing changed.

    The arrays are written in place, so a part is the measured rows and the promise that the arrays hold its stars.
    Before a chunk is written, every part that speaks of one of its stars is removed. Used as a context: the folder
    belongs to this process until the end of the block.

    Parameters
    ----------
    folder : path
    source_id : (N,) int64
        All stars, in the order of the rows.
    representations : dict
        Name -> settings.
    overwrite : bool
        Take a folder that holds a data set or something else; files that are not of a data set stay.
    """

    def __init__(
        self,
        folder: str | Path,
        source_id: IntArray,
        representations: dict[str, Representation],
        *,
        overwrite: bool = False,
    ) -> None:
        self.folder, self._overwrite = Path(folder), overwrite
        self.source_id = source_id
        self.representations = representations
        self.parts = Parts(self.folder / "parts")
        self._asked: list[Key] = []
        self._made = 0
        self._files: list[Path] = []
        self._pending: Future[None] | None = None

    def __enter__(self) -> DatasetWriter:
        self._refuse_what_is_not_ours()
        with ExitStack() as stack:
            stack.enter_context(self.parts.claim())
            (self.folder / "dataset.json").unlink(missing_ok=True)  # from here on it is unfinished
            self._flusher = stack.enter_context(ThreadPoolExecutor(1))
            try:
                self._open_arrays()
            except BaseException:
                self._drop_arrays()
                raise
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)

    def done(self, key: Key) -> bool:
        """Whether this very chunk was written before; either way it is asked for now."""
        self._asked.append(key)
        self._settle()
        return self.parts.find(key) is not None

    def write(self, key: Key, rows: IntArray, table: pd.DataFrame, sequences: dict[str, Sequences]) -> None:
        """Store one chunk: the measured table and the sequences of the stars in these rows of the data set."""
        self._settle()
        for number in np.unique(self._owner[rows]):
            if number >= 0:
                self.parts.remove(self._known[int(number)])
                self._owner[self._owner == number] = -1
        for name, chunk in sequences.items():
            self._values[name][rows], self._mask[name][rows] = chunk.values, chunk.mask
            self._features[rows] = chunk.features
        self._made += 1
        # flushing waits for the disk: meanwhile the next chunk is measured
        self._pending = self._flusher.submit(self._keep, key, rows, table)

    def finish(self, stars: pd.DataFrame, cut_flow: pd.DataFrame, notes: dict[str, Any]) -> Dataset:
        """Write the tables, then dataset.json, the sign of a finished folder; remove the parts."""
        self._settle()
        with written(self.folder / "stars.parquet") as path:
            stars.to_parquet(path, compression="zstd")
        write_text(self.folder / "cut_flow.csv", cut_flow.to_csv(index=False))
        content = {
            "format": _FORMAT,
            "representations": {name: r.to_dict() for name, r in self.representations.items()},
            "features": list(FEATURES),
            "n_stars": len(stars),
            "stars_sha256": digest_of(self.folder / "stars.parquet"),
            **notes,
        }
        self.parts.finish(self._asked, self._made)
        write_sealed(self.folder / "dataset.json", content)
        self.parts.clear()
        (self.parts.folder / "layout.json").unlink(missing_ok=True)
        return Dataset.open(self.folder)

    def measured(self) -> pd.DataFrame:
        """The rows of the chunks that were asked for, in the order of the star table.

        Raises
        ------
        BadInput
            if a part was taken away, by another process, since it was asked for.
        """
        self._settle()
        tables = []
        for key in self._asked:
            part = self.parts.find(key)
            if part is None:
                raise BadInput(f"{self.folder} was changed while it was prepared; run the same command again.")
            tables.append(pd.read_parquet(part / "stars.parquet").assign(_row=np.load(part / "rows.npy")))
        table = pd.concat(tables, ignore_index=True).sort_values("_row", kind="stable")
        return table.drop(columns="_row").reset_index(drop=True)

    # ------------------------------------------------------------------ inside
    def _refuse_what_is_not_ours(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise BadInput(f"{self.folder} is a file; name a folder for --output.")
        if self._overwrite:
            return
        if (self.folder / "dataset.json").exists():
            raise BadInput(f"{self.folder} already holds a data set; name another --output, or say --overwrite.")
        if self.folder.exists() and any(self.folder.iterdir()) and not self.parts.exists():
            raise BadInput(f"{self.folder} is not empty and not a data set; name another --output, or say --overwrite.")

    def _open_arrays(self) -> None:
        """The arrays of an earlier call if they are for the same stars and shapes; else fresh ones and no parts."""
        n = len(self.source_id)
        shapes = {name: r.n_points for name, r in self.representations.items()}
        layout, note = fingerprint(self.source_id, shapes, FEATURES), self.parts.folder / "layout.json"
        resumed = read_json(note) == layout
        if not resumed:
            note.unlink(missing_ok=True)
            self.parts.clear()
        self._features = self._map("features.npy", (n, len(FEATURES)), np.float64, np.nan, resumed)
        self._values, self._mask = {}, {}
        for name, points in shapes.items():
            self._values[name] = self._map(f"sequences/{name}/values.npy", (n, points, 2), np.float32, 0.0, resumed)
            self._mask[name] = self._map(f"sequences/{name}/mask.npy", (n, points), np.bool_, False, resumed)
        write_json(note, layout)
        self._owner = np.full(n, -1, np.int64)
        self._known: dict[int, Path] = {}
        for number, part in enumerate(self.parts.all()):
            self._owner[np.load(part / "rows.npy")] = number
            self._known[number] = part

    def _drop_arrays(self) -> None:
        """Take away arrays of which not all could be made, as on a full disk, unless finished chunks lie in them."""
        if self.parts.all():
            return
        for path in self._files:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty, or never made
                path.parent.rmdir()
                path.parent.parent.rmdir()

    def _map(
        self, name: str, shape: tuple[int, ...], dtype: Any, fill: float | bool, resumed: bool
    ) -> np.memmap[Any, Any]:
        path = self.folder / name
        self._files.append(path)
        if resumed and path.exists():
            return np.load(path, mmap_mode="r+")  # type: ignore[no-any-return]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # not cut short under a process that reads it
        with naming(path):
            array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
            allocate(path)
        if fill != 0:
            array[:] = fill
        return array

    def _keep(self, key: Key, rows: IntArray, table: pd.DataFrame) -> None:
        for path in self._files:
            with naming(path):
                flush(path)
        with self.parts.writing(key) as part:
            table.to_parquet(part / "stars.parquet")
            np.save(part / "rows.npy", rows)

    def _settle(self) -> None:
        """Wait until the last chunk is on the disk; its error, if it had one, is raised here."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()
