"""The verb ``predict``: light curves and star table in, [Fe/H] with errors and flags out, a row for every star."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from photfeh.core.cache import Key, Parts
from photfeh.core.errors import BadInput, PhotfehWarning
from photfeh.core.fingerprint import fingerprint
from photfeh.core.lightcurves import LightCurves
from photfeh.core.stars import restore_names
from photfeh.core.threads import limited
from photfeh.inference.columns import PREDICTION_COLUMNS, kept
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.formats import check_text
from photfeh.inference.output import check_output, parts_folder, provenance, write_predictions
from photfeh.inference.predictor import Predictor
from photfeh.inference.scale import SPECTROSCOPIC
from photfeh.inference.trained import list_trained, load, load_card
from photfeh.readers.startables import stars_of
from photfeh.readers.stream import Chunk, iter_chunks
from photfeh.samples.periods import Periods, check_period_setting, check_period_word

__all__ = ["PREDICTION_COLUMNS", "Predictor", "list_trained", "load", "load_card", "predict"]


def predict(
    epochs: Any,
    stars: Any = None,
    *,
    model: str | Path | Ensemble | Predictor | None = None,
    output: str | Path | None = None,
    band: str | None = None,
    any_band: bool = False,
    periods: Periods = "given",
    adapt: bool = False,
    scale: str | None = None,
    columns: Mapping[str, str] | None = None,
    id_column: str | None = None,
    keep: Sequence[str] = (),
    full: bool = False,
    overwrite: bool = False,
    threads: int | None = None,
    stars_per_chunk: int = 10_000,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """[Fe/H] of every star of a table.

    Parameters
    ----------
    epochs, stars
        As for :func:`photfeh.prepare`; names that are no numbers are identifiers, too, and come back as given.
    model
        Name (:func:`list_trained`), model folder, or a loaded model. Default: RRab by ``dekany-i-band``, RRc by
        ``ogle-i-band-rrc``.
    output : path, optional
        Write the result there too (.parquet, .fits, .vot, .votable, .xml, .ecsv or .csv), with units, descriptions and
        provenance. Chunks are kept beside it as they are finished, so that an
        interrupted call goes on where it stopped.
    band : str, optional
        Passband to read. Default: that of light curves in memory, else the model's.
    any_band : bool
        Predict light curves in another band than the model's, too; such stars are flagged.
    periods : {"given", "check", "search"}
        As for :func:`photfeh.prepare`.
    adapt : bool
        Fit the intervals to the population of these stars, as seen in the first chunk (:meth:`Predictor.adapted`);
        intervals then depend on the sample.
    scale : str, optional
        Scale of [Fe/H], on which errors and intervals are total ones: ``"spectroscopic"`` (high resolution, Crestani+
        2021), ``"labels"`` for whatever the model was taught, or the name of one that the model has a way to. Default:
        spectroscopic where the model has a way there, else that of the labels; the column ``scale`` says which.
    columns, id_column : optional
        As for :func:`photfeh.prepare`.
    keep : sequence of str
        Columns of the star table to carry along, as they are; one that is called like a column of the result gets the
        suffix ``_given``.
    full : bool
        Also what was measured: type, Fourier parameters, ... (:data:`photfeh.inference.columns.FULL_COLUMNS`).
    overwrite : bool
        Replace an ``output`` that photfeh did not make.
    threads : int, optional
        Most threads that work at the same time; no result depends on it. Default: one a core.

    Returns
    -------
    DataFrame
        Columns :data:`PREDICTION_COLUMNS`, those of ``full``, then those kept; one row for every star of the table, in
        its order.
    """
    check_period_word(periods)
    predictor = model if isinstance(model, Predictor) else load(model)
    if output is not None:
        check_output(output, inputs=(epochs, stars), overwrite=overwrite)
    band = band or (epochs.band if isinstance(epochs, LightCurves) else predictor.band)
    predictor.check_band(band, any_band=any_band)
    predictor.check_scale(scale)
    named: dict[str, Any] = {"columns": columns, "id_column": id_column}
    given = stars_of(epochs, stars, band=band, **named)
    if not len(given):
        raise BadInput("the star table has no rows.")
    table = given[[name for name in ("source_id", "period", "type") if name in given.columns]]
    carried = kept(given, [keep] if isinstance(keep, str) else keep)
    if output is not None:
        check_text(given[["name"]] if "name" in given.columns else given[[]], Path(output))
        check_text(carried, Path(output))
    chunks = iter_chunks(epochs, table, band=band, stars_per_chunk=stars_per_chunk, **named)
    with ExitStack() as stack:
        stack.enter_context(limited(threads))
        parts = None
        if output is not None:
            parts = stack.enter_context(Parts(parts_folder(output)).claim())
        result = _predict_chunks(
            predictor,
            chunks,
            len(table),
            parts,
            progress,
            adapt=adapt,
            periods=periods,
            any_band=any_band,
            full=full,
            scale=scale,
        )
        result = pd.concat([restore_names(result, given), carried], axis=1)
        if output is not None:
            settings = {"band": band, "periods": periods, "any_band": any_band, "adapt": adapt, "full": full}
            settings |= {"scale": scale or SPECTROSCOPIC}
            about = provenance(
                model=predictor.name, model_digest=predictor.fingerprint(), truth=predictor.truth, settings=settings
            )
            write_predictions(result, output, about, kept_units=given.attrs.get("units"))
        if parts is not None:
            parts.clear()
    return result


def _predict_chunks(
    predictor: Predictor,
    chunks: Iterable[Chunk],
    total: int,
    parts: Parts | None,
    progress: Callable[[int, int], None] | None,
    *,
    adapt: bool,
    periods: Periods,
    any_band: bool,
    full: bool,
    scale: str | None,
) -> pd.DataFrame:
    """All chunks, in the order of the star table; finished ones are taken from ``parts``."""
    tables, keys, done, made = [], [], 0, 0
    digest = ""
    for number, chunk in enumerate(chunks):
        check_period_setting(chunk.curves, chunk.stars, periods)
        if number == 0 and not chunk.observed:
            warnings.warn(
                "not one identifier of the star table occurs in the light curves. Check that both name the same stars, "
                "or say which column holds the identifiers (id_column, --id-column).",
                PhotfehWarning,
                stacklevel=3,
            )
        if adapt and number == 0:
            predictor = predictor.adapted(chunk.curves, chunk.stars, periods=periods, any_band=any_band)
        digest = digest or predictor.fingerprint()
        key = Key("chunk", fingerprint(digest, periods, any_band, full, scale, chunk.stars, chunk.curves))
        found = None if parts is None else parts.find(key)
        if found is not None:
            table = pd.read_parquet(found / "predictions.parquet")
        else:
            table = predictor.predict(
                chunk.curves, chunk.stars, periods=periods, any_band=any_band, full=full, scale=scale
            )
            made += 1
            if parts is not None:
                with parts.writing(key) as here:
                    table.to_parquet(here / "predictions.parquet")
        keys.append(key)
        tables.append(table.set_index(chunk.rows))
        done += len(chunk)
        if progress is not None:
            progress(done, total)
    if parts is not None:
        parts.finish(keys, made)
    return pd.concat(tables).sort_index().rename_axis(None)
