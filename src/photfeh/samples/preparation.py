"""The verb ``prepare``: light curves and star table in, a data-set folder out, in chunks of bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.errors import BadInput
from photfeh.core.lightcurves import LightCurves
from photfeh.core.types import IntArray
from photfeh.readers import iter_lightcurves, read_stars
from photfeh.samples.dataset import Dataset, DatasetWriter
from photfeh.samples.measure import measure
from photfeh.samples.periods import Periods, check_period_setting
from photfeh.samples.selection import Cut, add_labels, apply_cuts, get_cuts
from photfeh.samples.sequences import REPRESENTATIONS, Representation, build_sequences

__all__ = ["TRUTHS", "prepare"]

TRUTHS: dict[str, str] = {
    "relation": "same-curve formula",
    "column": "labels given in the star table",
    "none": "no labels",
}
"""What the labels are, unless the caller says it better. A label of the first kind is computed from the period and
phi31 of the very curve that the models see: scores tell how well phi31 is recovered, not how accurate [Fe/H] is."""

Progress = Callable[[int, int], None]


def prepare(
    epochs: Any,
    stars: Any,
    output: str | Path,
    *,
    labels: str | None = None,
    cuts: str | Sequence[Cut] | None = None,
    types: Sequence[str] = ("RRab",),
    assume_type: str | None = None,
    representations: Sequence[str] = REPRESENTATIONS,
    band: str = "G",
    smoother: str = "periodic",
    alignment: str = "phi1",
    n_points: int | Mapping[str, int] = 264,
    truth: str | None = None,
    exclude: Any = None,
    periods: Periods = "given",
    stars_per_chunk: int = 10_000,
    progress: Progress | None = None,
) -> Dataset:
    """Measure light curves, label and select stars, and store them as sequences.

    Parameters
    ----------
    epochs
        Whatever :func:`photfeh.readers.read_lightcurves` takes: file, folder, glob, table, LightCurves.
    stars
        Star table or its file: source_id, optional period, type, feh, feh_error, fold and any other column.
    output : path
        Folder to make. An interrupted run with the same arguments is continued.
    labels : {"column", "relation", "none"}, optional
        Default: the feh column where there is one, else the Muraveva+ 2025 relation on the measured curve.
    cuts : str or sequence of Cut, optional
        Name of a set, or ``"n_epochs>20,phi31_error<0.1"``. Default: ``founding`` for relation labels, else ``none``.
    types : sequence of str
        Types that enter the sample.
    assume_type : str, optional
        Type of the stars for which the table gives none. Default: typed by period and light-curve shape.
    n_points : int or mapping
        Length of the sequences; a mapping gives one for each representation. A smoothed curve has all its detail in 64
        steps; ``raw`` needs as many as a star has epochs.
    truth : str, optional
        What the labels are, for reports: ``independent passband``, ``spectroscopy`` or a sentence of your own.
    periods : {"given", "check", "search"}
        ``given``: stars without a period are searched for one. ``check``: given periods that clearly do not fit the
        light curve, wrong ones and aliases, are replaced as well. ``search``: all are searched, given ones ignored.
        ``period_source`` and ``flag`` of the star table say which were.
    exclude : optional
        Star table, its file, or source_ids that never enter the sample, such as stars kept for a test.
    progress : callable, optional
        Called with (stars done, stars in all).

    Raises
    ------
    BadInput
        (and its subclasses) for input that cannot be used; single bad stars are flagged instead.
    """
    table = _scalars(read_stars(stars))
    if assume_type is not None:
        table["type"] = table["type"].fillna(assume_type) if "type" in table.columns else assume_type
    labels = labels or ("column" if "feh" in table.columns and table["feh"].notna().any() else "relation")
    cut_list = get_cuts(cuts if cuts is not None else ("founding" if labels.startswith("relation") else "none"))
    kinds: Any = representations
    points = dict.fromkeys(kinds, n_points) if isinstance(n_points, int) else n_points
    if set(points) != set(kinds):
        raise BadInput(f"n_points is for {', '.join(points)}, but the representations are {', '.join(kinds)}.")
    settings = {
        name: Representation(kind=name, n_points=points[name], alignment=alignment, smoother=smoother)  # type: ignore[arg-type]
        for name in kinds
    }
    if not len(table):
        raise BadInput("the star table has no rows.")
    chunks = iter_lightcurves(epochs, band=band, stars_per_chunk=stars_per_chunk)
    # the first chunk tells whether this can be done at all, before anything is written
    first = list(islice(chunks, 1))
    for curves in first:
        check_period_setting(curves, table, periods)
    source_id = table["source_id"].to_numpy(np.int64)
    recipe = {
        "band": band,
        "labels": labels,
        "cuts": [str(cut) for cut in cut_list],
        "types": list(types),
        "periods": periods,
        "representations": {name: r.to_dict() for name, r in settings.items()},
        "stars": hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest(),
    }
    excluded = None
    if exclude is not None:
        ids = exclude if isinstance(exclude, (list, tuple, np.ndarray)) else read_stars(exclude)["source_id"]
        excluded = np.sort(np.asarray(ids, np.int64))
        recipe["excluded"] = hashlib.sha256(excluded.tobytes()).hexdigest()
    writer = DatasetWriter(output, source_id, settings, recipe)
    _measure_all(writer, chain(first, chunks), table, band, periods, stars_per_chunk, progress)
    measured = add_labels(writer.measured(), labels, band=band)
    keep, cut_flow = apply_cuts(measured, cut_list, types)
    if excluded is not None:
        left = keep & ~np.isin(source_id, excluded)
        row = ("not excluded", "not among the stars to leave out", int(keep.sum()), int(left.sum()), len(source_id))
        cut_flow.loc[len(cut_flow)] = row
        keep = left
    measured["in_sample"] = keep
    return writer.finish(measured, cut_flow, {"recipe": recipe, "truth": truth or TRUTHS[labels.partition(":")[0]]})


def _measure_all(
    writer: DatasetWriter,
    chunks: Iterable[LightCurves],
    table: pd.DataFrame,
    band: str,
    periods: Periods,
    chunk: int,
    progress: Progress | None,
) -> None:
    """Chunks of the stars that occur in the light curves, then the rest of the table, which has no light curve."""
    index = pd.Index(table["source_id"])
    seen = np.zeros(len(table), bool)
    for curves in chunks:
        rows = index.get_indexer(curves.source_id)
        rows = rows[rows >= 0]
        seen[rows] = True
        _measure_chunk(writer, curves, table.iloc[rows], periods)
        if progress is not None:
            progress(int(seen.sum()), len(table))
    rest = np.flatnonzero(~seen)
    if len(rest) == len(table):
        raise BadInput(
            "not one source_id of the star table occurs in the light curves; check that both name the same stars "
            f"(table: {table['source_id'].iloc[0]} ...)."
        )
    nothing = np.zeros(0)
    empty = LightCurves(np.zeros(0, np.int64), np.zeros(1, np.int64), nothing, nothing, band=band)
    for begin in range(0, len(rest), chunk):
        _measure_chunk(writer, empty, table.iloc[rest[begin : begin + chunk]], "given")
    if progress is not None:
        progress(len(table), len(table))


def _measure_chunk(writer: DatasetWriter, curves: LightCurves, stars: pd.DataFrame, periods: Periods) -> None:
    ids: IntArray = stars["source_id"].to_numpy(np.int64)
    if not len(ids) or writer.done(ids):
        return
    measured = measure(curves, stars, periods=periods)
    writer.write(measured.table, {name: build_sequences(measured, r) for name, r in writer.representations.items()})


def _scalars(table: pd.DataFrame) -> pd.DataFrame:
    """The table without list columns: folded curves may lie in the same file."""
    return table[
        [name for name in table.columns if not (len(table) and isinstance(table[name].iloc[0], (list, np.ndarray)))]
    ]
