"""The verb ``predict``: light curves and star table in, [Fe/H] with errors and flags out, a row for every star."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from photfeh.archive.origin import origin_of
from photfeh.core.cache import Parts
from photfeh.core.errors import BadInput
from photfeh.core.lightcurves import LightCurves
from photfeh.core.stars import restore_names
from photfeh.core.threads import limited
from photfeh.inference.columns import PREDICTION_COLUMNS, kept
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.formats import check_text
from photfeh.inference.output import check_output, parts_folder, provenance, write_predictions
from photfeh.inference.pieces import predicted_pieces
from photfeh.inference.predictor import Predictor
from photfeh.inference.scale import SPECTROSCOPIC
from photfeh.inference.streaming import check_streamed, streamed
from photfeh.inference.trained import list_trained, load, load_card
from photfeh.readers.pairing import stars_of
from photfeh.readers.stream import iter_chunks
from photfeh.samples.periods import Periods, check_period_word

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
    stream: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """[Fe/H] of every star of a table.

    Parameters
    ----------
    epochs, stars
        As for :func:`photfeh.prepare`; names that are no numbers are identifiers, too, and come back as given.
    model
        Name (:func:`list_trained`), model folder, or a loaded model. Default: RRab by
        ``dekany-i-band-distilled``, RRc by ``ogle-i-band-rrc``.
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
    stream : bool
        Keep the results on the disk while working, so that memory does not grow with them; needs an ``output`` that is
        Parquet. The file is the same; returned are only ``source_id``, ``feh``, ``feh_error`` and ``flag``.

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
    if stream:
        check_streamed(output)
    band = band or (epochs.band if isinstance(epochs, LightCurves) else predictor.band)
    predictor.check_band(band, any_band=any_band)
    predictor.check_scale(scale)
    named: dict[str, Any] = {"columns": columns, "id_column": id_column}
    keep = [keep] if isinstance(keep, str) else list(keep)
    given = stars_of(epochs, stars, band=band, only=keep, **named)
    if not len(given):
        raise BadInput("the star table has no rows.")
    table = given[[name for name in ("source_id", "period", "type") if name in given.columns]]
    carried = kept(given, keep)
    if output is not None:
        check_text(given[["name"]] if "name" in given.columns else given[[]], Path(output))
        check_text(carried, Path(output))
    chunks = iter_chunks(epochs, table, band=band, stars_per_chunk=stars_per_chunk, **named)
    with ExitStack() as stack:
        stack.enter_context(limited(threads))
        parts = None
        if output is not None:
            parts = stack.enter_context(Parts(parts_folder(output)).claim())
        pieces = predicted_pieces(
            predictor, chunks, len(table), parts, progress,
            adapt=adapt, periods=periods, any_band=any_band, full=full, scale=scale,
        )  # fmt: skip
        settings = {"band": band, "periods": periods, "any_band": any_band, "adapt": adapt, "full": full}
        settings |= {"scale": scale or SPECTROSCOPIC}
        about = provenance(
            model=predictor.name, model_digest=predictor.fingerprint(), truth=predictor.truth, settings=settings,
            **({"archive": origin} if (origin := origin_of(epochs)) is not None else {}),
        )  # fmt: skip
        units = given.attrs.get("units")
        if output is not None and stream:
            result = streamed(pieces, given, carried, output, about, kept_units=units)
        else:
            result = pd.concat([table.set_index(rows) for rows, table, _ in pieces]).sort_index().rename_axis(None)
            result = pd.concat([restore_names(result, given), carried], axis=1)
            if output is not None:
                write_predictions(result, output, about, kept_units=units)
        if parts is not None:
            parts.clear()
    return result
