"""The verb ``predict``: light curves and star table in, [Fe/H] with errors and flags out, a row for every star."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photfeh.archive.origin import origin_of
from photfeh.core.bands import require_same_band
from photfeh.core.cache import Parts
from photfeh.core.errors import BadInput, BandMismatch, UnknownName
from photfeh.core.fingerprint import fingerprint
from photfeh.core.flags import Flag, predictable
from photfeh.core.lightcurves import LightCurves
from photfeh.core.stars import restore_names
from photfeh.core.threads import limited
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.inference.cards import model_card, weights_sha256
from photfeh.inference.columns import PREDICTION_COLUMNS, full_columns, kept
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.formats import check_text
from photfeh.inference.output import check_output, parts_folder, provenance, write_predictions
from photfeh.inference.pieces import predicted_pieces
from photfeh.inference.streaming import check_streamed, streamed
from photfeh.readers.pairing import stars_of
from photfeh.readers.stream import iter_chunks
from photfeh.samples.measure import Measurement, measure
from photfeh.samples.periods import Periods, check_period_word
from photfeh.samples.sequences import build_sequences

__all__ = ["PREDICTION_COLUMNS", "Predictor", "list_trained", "load", "load_card", "model_place", "predict"]

_log = logging.getLogger("photfeh")
_PRETRAINED = Path(__file__).parents[1] / "pretrained"
DEFAULT_MODEL = "default"
_COMPOSED = {"default": ("dekany-i-band", "gaia-dr3-relation")}
"""Models made of others: each star goes to the first one that was trained on its type."""


def list_trained() -> list[str]:
    """Names that :func:`load` knows without a folder: the formula and the trained models in the package."""
    shipped = sorted(path.parent.name for path in _PRETRAINED.glob("*/model.json"))
    composed = [name for name, parts in _COMPOSED.items() if set(parts) <= set(shipped)]
    return [*composed, *shipped, "relation"]


def load(model: str | Path | Ensemble | None = None) -> Predictor:
    """A predictor from the name of a model in the package or from a model folder.

    Raises
    ------
    UnknownName
        if it is neither; lists the names.
    BadFile
        if the folder holds no whole model.
    """
    if isinstance(model, Ensemble):
        return Predictor(model.name, {model.name: model})
    name, folders = _folders(model)
    return Predictor(name, {part: _ensemble(folder) for part, folder in folders.items()})


def model_place(model: str | Path | None = None) -> str:
    """The name of a model of the package, or the absolute folder of another: what another process can load it by.

    Raises
    ------
    UnknownName
        as :func:`load`.
    """
    name, folders = _folders(model)
    own = [folder for folder in folders.values() if folder is not None and folder.parent != _PRETRAINED]
    return str(own[0]) if own else name


def _ensemble(folder: Path | None) -> Ensemble:
    """The model in a folder, or the formula; those of the package are tried out by the tests, not on every start."""
    if folder is None:
        return Ensemble.formula()
    return Ensemble.load(folder, try_out=folder.parent != _PRETRAINED)


def load_card(model: str | Path) -> str:
    """The model card, Markdown, of a trained model or model folder; of each part where a model has several.

    Raises
    ------
    UnknownName, BadFile
        as :func:`load`.
    """
    return "\n".join(_card_of(name, folder) for name, folder in _folders(model)[1].items())


def _card_of(name: str, folder: Path | None) -> str:
    """The card that lies in the folder if it is of these weights, else one written from what the training noted."""
    if folder is None:
        return model_card(_ensemble(None), name)
    ensemble, card = _ensemble(folder), folder / "MODEL_CARD.md"
    if card.is_file():
        text = card.read_text(encoding="utf-8", errors="replace")
        if weights_sha256(folder) in text:
            return text
    return model_card(ensemble, name, folder=folder)


def _folders(model: str | Path | None) -> tuple[str, dict[str, Path | None]]:
    """The name of a model and the folder of each of its parts; none for the formula.

    A model folder goes before a shipped model of its name: who trained one here means that.
    """
    name = str(model) if model is not None else DEFAULT_MODEL
    known = name in (*list_trained(), "relation")
    if model is not None and Path(name).is_dir() and (not known or (Path(name) / "model.json").is_file()):
        folder = Path(name).resolve()
        if known:
            _log.info("model %s: the folder %s, not the model of that name in the package", name, folder)
        return folder.name, {folder.name: folder}
    if name == "relation":
        return name, {name: None}
    if known:
        return name, {part: _PRETRAINED / part for part in _COMPOSED.get(name, (name,))}
    raise UnknownName("trained model or model folder", name, list_trained())


@dataclass(frozen=True, eq=False)
class Predictor:
    """Trained models ready for light curves; a star's result depends on that star alone.

    ``ensembles``: by name; a star is predicted by the first that was made for its type.
    """

    name: str
    ensembles: Mapping[str, Ensemble]

    def __post_init__(self) -> None:
        if len({ensemble.band for ensemble in self.ensembles.values()}) != 1:
            told = ", ".join(f"{name}: {ensemble.band}" for name, ensemble in self.ensembles.items())
            raise BandMismatch(f"the parts of model {self.name} are for light curves in unlike bands ({told}).")

    @property
    def band(self) -> str:
        """Passband of the light curves that the models were made for."""
        return next(iter(self.ensembles.values())).band

    def fingerprint(self) -> str:
        """Digest of all that a prediction depends on."""
        return fingerprint(self.name, {name: ensemble.fingerprint() for name, ensemble in self.ensembles.items()})

    @property
    def truth(self) -> str:
        """What the labels of the training were."""
        return "; ".join(str(ensemble.notes["truth"]) for ensemble in self.ensembles.values())

    def predict(
        self,
        curves: LightCurves,
        stars: pd.DataFrame,
        *,
        periods: Periods = "given",
        any_band: bool = False,
        full: bool = False,
    ) -> pd.DataFrame:
        """Predictions for every row of a star table (:func:`photfeh.core.stars.validate_stars`), in its order.

        Columns as in :data:`PREDICTION_COLUMNS`, with ``full`` also :data:`photfeh.inference.columns.FULL_COLUMNS`;
        ``periods`` as in :func:`photfeh.samples.measure.measure`.

        Raises
        ------
        BandMismatch
            if the curves are in another band than the model's; with ``any_band`` they are predicted nevertheless, and
            flagged.
        """
        self.check_band(curves.band, any_band=any_band)
        return self.predict_measured(self.measured(curves, stars, periods=periods), full=full)

    def measured(self, curves: LightCurves, stars: pd.DataFrame, *, periods: Periods = "given") -> Measurement:
        """What :meth:`predict_measured` takes, for every row of a star table (:func:`photfeh.samples.measure`)."""
        return measure(curves, stars, periods=periods)

    def predict_measured(self, measured: Measurement, *, full: bool = False) -> pd.DataFrame:
        """Predictions for stars that are measured already, in whatever band they are (flagged if another)."""
        curves, table = measured.curves, measured.table
        flag = table["flag"].to_numpy(np.int64).copy()
        if curves.band != self.band:
            flag |= int(Flag.OTHER_BAND)
        columns = {name: np.full(len(table), np.nan) for name in ("feh", "feh_error", "feh_lower", "feh_upper")}
        chosen = np.full(len(table), self.name, dtype=object)
        free = predictable(flag)
        for name, ensemble in self.ensembles.items():
            mine = free & table["type"].isin(list(ensemble.types)).to_numpy(bool)
            free &= ~mine
            chosen[mine] = name
            self._fill(ensemble, measured, mine, columns, flag)
        flag[free] |= int(Flag.WRONG_TYPE)
        predicted = pd.DataFrame(
            {
                "source_id": table["source_id"].to_numpy(np.int64),
                **columns,
                "flag": flag,
                "period": table["period"].to_numpy(np.float64),
                "n_epochs": table["n_epochs"].to_numpy(np.int64),
                "model": chosen.astype(str),
            }
        )
        return pd.concat([predicted, full_columns(table)], axis=1) if full else predicted

    def check_band(self, band: str, *, any_band: bool = False) -> None:
        """Raise BandMismatch unless the model was made for this band, or any will do."""
        if not any_band:
            require_same_band(
                band, self.band, what="the light curves are", needs=f"model {self.name} was trained on curves in",
                remedy="Take a model for that band, or --any-band to predict nevertheless, with a flag.",
            )  # fmt: skip

    def adapted(
        self, curves: LightCurves, stars: pd.DataFrame, *, periods: Periods = "given", any_band: bool = False
    ) -> Predictor:
        """The same with intervals for the population that these stars are a sample of (weighted conformal prediction).

        Raises
        ------
        BadInput
            if there are too few stars, or they are too unlike those of the calibration.
        """
        return self.adapted_to(self.measured(curves, stars, periods=periods), any_band=any_band)

    def adapted_to(self, measured: Measurement, *, any_band: bool = False) -> Predictor:
        """:meth:`adapted` for stars that are measured already."""
        good = predictable(measured.table["flag"])
        made = {}
        for name, ensemble in self.ensembles.items():
            mine = good & measured.table["type"].isin(list(ensemble.types)).to_numpy(bool)
            good &= ~mine
            made[name] = ensemble
            if mine.any():
                X = build_sequences(measured.select(mine), ensemble.representation, any_band=any_band)
                usable = X.mask.any(axis=1)
                made[name] = ensemble.adapted(X[usable]) if usable.any() else ensemble
        return Predictor(self.name, made)

    @staticmethod
    def _fill(
        ensemble: Ensemble,
        measured: Measurement,
        mine: BoolArray,
        columns: dict[str, FloatArray],
        flag: IntArray,
    ) -> None:
        """Predict the stars ``mine`` and write columns and flags in place."""
        if not mine.any():
            return
        rows = np.flatnonzero(mine)
        # bands were compared before the stars were measured
        sequences = build_sequences(measured.select(mine), ensemble.representation, any_band=True)
        usable = sequences.mask.any(axis=1)
        flag[rows[~usable]] |= int(Flag.NO_FIT)
        good = rows[usable]
        if not len(good):
            return
        X = sequences if usable.all() else sequences[usable]
        mean, error, half = ensemble.predict_interval(X)
        columns["feh"][good], columns["feh_error"][good] = mean, error
        columns["feh_lower"][good], columns["feh_upper"][good] = mean - half, mean + half
        flag[good[ensemble.extrapolated(X, mean)]] |= int(Flag.EXTRAPOLATED)
        flag[good[~np.isfinite(mean)]] |= int(Flag.NO_FIT)


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
        Name (:func:`list_trained`), model folder, or a loaded model. Default: RRab by ``dekany-i-band``, RRc by
        ``gaia-dr3-relation``.
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
        pieces = predicted_pieces(predictor, chunks, len(table), periods, any_band, adapt, full, parts, progress)
        settings = {"band": band, "periods": periods, "any_band": any_band, "adapt": adapt, "full": full}
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
