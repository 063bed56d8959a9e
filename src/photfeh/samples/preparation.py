"""The verb ``prepare``: light curves and star table in, a data-set folder out, in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.cache import Key
from photfeh.core.errors import BadInput, UnknownName
from photfeh.core.fingerprint import fingerprint
from photfeh.core.lightcurves import LightCurves
from photfeh.core.outputs import keep_inputs
from photfeh.core.stars import COLUMNS
from photfeh.core.startypes import RR_LYRAE, classify_type
from photfeh.core.threads import limited
from photfeh.core.types import IntArray
from photfeh.readers import read_stars
from photfeh.readers.pairing import stars_of
from photfeh.readers.stream import Chunk, iter_chunks
from photfeh.samples.dataset import Dataset, DatasetWriter
from photfeh.samples.measure import measure
from photfeh.samples.periods import Periods, check_period_setting, check_period_word
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

_SUBTYPES = sorted({*RR_LYRAE.values()} - {"RR"})
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
    band: str | None = None,
    smoother: str = "periodic",
    alignment: str = "phi1",
    n_points: int | Mapping[str, int] = 264,
    truth: str | None = None,
    exclude: Any = None,
    periods: Periods = "given",
    columns: Mapping[str, str] | None = None,
    id_column: str | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    stars_per_chunk: int = 10_000,
    progress: Progress | None = None,
) -> Dataset:
    """Measure light curves, label and select stars, and store them as sequences.

    Parameters
    ----------
    epochs
        Whatever :func:`photfeh.readers.read_lightcurves` takes: file, folder, glob, table, LightCurves.
    stars
        Star table or its file: source_id, optional period, type, feh, feh_error, fold and any other column. None: the
        stars of ``epochs``, with periods and types where they stand beside.
    output : path
        Folder to make. An interrupted run with the same arguments is continued.
    labels : {"column", "relation", "relation:NAME", "none"}, optional
        Default: the feh column where there is one, else the Muraveva+ 2025 relation on the measured curve. Other
        relations by name (:data:`photfeh.samples.relations.RELATIONS`), several joined by ``+``.
    band : str, optional
        Passband (:mod:`photfeh.core.bands`). Default: that of light curves in memory, else Gaia's G.
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
    columns, id_column : optional
        Which column plays which role, where names are not known: ``{"time": "T", "mag": "V", "period": "Per"}``.
    exclude : optional
        Star table, its file, or source_ids that never enter the sample, such as stars kept for a test.
    threads : int, optional
        Most threads that work at the same time; no result depends on it. Default: one a core.
    overwrite : bool
        Take an ``output`` that holds a data set or something else; files that are not of a data set stay.
    progress : callable, optional
        Called with (stars done, stars in all).

    Raises
    ------
    BadInput
        (and its subclasses) for input that cannot be used; single bad stars are flagged instead.
    """
    keep_inputs(output, (epochs, stars, exclude))
    check_period_word(periods)
    types = [_subtype(kind) for kind in types]
    assume_type = None if assume_type is None else _subtype(assume_type)
    if not types:
        raise BadInput(f"no type enters the sample; name some of {', '.join(_SUBTYPES)}.")
    chosen_band = band or (epochs.band if isinstance(epochs, LightCurves) else "G")
    named: dict[str, Any] = {"columns": columns, "id_column": id_column}
    table = stars_of(epochs, stars, band=chosen_band, **named)
    if not len(table):
        raise BadInput("the star table has no rows.")
    if assume_type is not None:
        table["type"] = table["type"].fillna(assume_type) if "type" in table.columns else assume_type
    band = chosen_band
    labels = labels or ("column" if "feh" in table.columns and table["feh"].notna().any() else "relation")
    cut_list = get_cuts(cuts if cuts is not None else ("founding" if labels.startswith("relation") else "none"))
    _rehearse(table, labels, cut_list, types, band)
    settings = _representations(representations, band, n_points, alignment, smoother)
    excluded = None if exclude is None else _excluded(exclude)
    source_id = table["source_id"].to_numpy(np.int64)
    recipe: dict[str, Any] = {
        "band": band,
        "labels": labels,
        "cuts": [str(cut) for cut in cut_list],
        "types": list(types),
        "periods": periods,
        "representations": {name: r.to_dict() for name, r in settings.items()},
        "stars": fingerprint(table),
    }
    if excluded is not None:
        recipe["excluded"] = fingerprint(excluded)
    chunks = iter_chunks(epochs, table, band=band, stars_per_chunk=stars_per_chunk, **named)
    # the first chunk tells whether this can be done at all, before anything is written
    first = next(chunks)
    check_period_setting(first.curves, table, periods)
    if not first.observed:
        raise BadInput(
            "not one source_id of the star table occurs in the light curves; check that both name the same stars "
            f"(table: {table['source_id'].iloc[0]} ...)."
        )
    with limited(threads), DatasetWriter(output, source_id, settings, overwrite=overwrite) as writer:
        done = 0
        for chunk in chain([first], chunks):
            _measure_chunk(writer, chunk, periods)
            done += len(chunk)
            if progress is not None:
                progress(done, len(table))
        measured = add_labels(writer.measured(), labels, band=band)
        keep, cut_flow = apply_cuts(measured, cut_list, types)
        if excluded is not None:
            left = keep & ~np.isin(source_id, excluded)
            row = ("not excluded", "not among the stars to leave out", int(keep.sum()), int(left.sum()), len(source_id))
            cut_flow.loc[len(cut_flow)] = row
            keep = left
        measured["in_sample"] = keep
        kind = truth or TRUTHS[labels.partition(":")[0]]
        return writer.finish(measured, cut_flow, {"recipe": recipe, "truth": kind})


def _subtype(name: str) -> str:
    """The canonical name of a subtype of RR Lyrae, however it is written."""
    canonical = classify_type(name)[1]
    if canonical not in _SUBTYPES:
        raise UnknownName("type of RR Lyrae", name, _SUBTYPES)
    return canonical


def _rehearse(table: pd.DataFrame, labels: str, cuts: Sequence[Cut], types: Sequence[str], band: str) -> None:
    """Label and cut no stars at all, so that what cannot be done is known before the first star is measured."""
    nobody = table.iloc[:0]
    nobody = nobody.assign(**{name: np.zeros(0) for name in COLUMNS if name not in table.columns and name != "feh"})
    apply_cuts(add_labels(nobody, labels, band=band), cuts, types)


def _representations(
    kinds: Sequence[str], band: str, n_points: int | Mapping[str, int], alignment: str, smoother: str
) -> dict[str, Representation]:
    """Settings by name."""
    if not kinds:
        raise BadInput(f"no representation is asked for; name some of {', '.join(REPRESENTATIONS)}.")
    points = dict.fromkeys(kinds, n_points) if isinstance(n_points, int) else n_points
    if set(points) != set(kinds):
        raise BadInput(f"n_points is for {', '.join(points)}, but the representations are {', '.join(kinds)}.")
    chosen: Any = {"band": band, "alignment": alignment, "smoother": smoother}
    return {str(kind): Representation(kind=kind, n_points=points[kind], **chosen) for kind in kinds}  # type: ignore[arg-type]


def _excluded(stars: Any) -> IntArray:
    """Identifiers of the stars that must not enter the sample, sorted."""
    return np.sort(read_stars(stars)["source_id"].to_numpy(np.int64))


def _measure_chunk(writer: DatasetWriter, chunk: Chunk, periods: Periods) -> None:
    key = Key(
        "chunk", fingerprint(writer.source_id, writer.representations, chunk.rows, chunk.stars, chunk.curves, periods)
    )
    if writer.done(key):
        return
    measured = measure(chunk.curves, chunk.stars, periods=periods)
    sequences = {name: build_sequences(measured, r) for name, r in writer.representations.items()}
    writer.write(key, chunk.rows, measured.table, sequences)
