"""The verb ``predict``: light curves and star table in, [Fe/H] with errors and flags out, a row for every star."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.errors import BadInput, UnknownName
from photfeh.core.flags import Flag, predictable
from photfeh.core.lightcurves import LightCurves
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.inference.cards import model_card
from photfeh.inference.ensemble import Ensemble
from photfeh.readers import iter_lightcurves, read_stars
from photfeh.samples.measure import Measurement, measure
from photfeh.samples.periods import Periods, check_period_setting
from photfeh.samples.sequences import build_sequences

__all__ = ["PREDICTION_COLUMNS", "Predictor", "list_trained", "load", "load_card", "predict"]

_PRETRAINED = Path(__file__).parents[1] / "pretrained"
DEFAULT_MODEL = "default"
_COMPOSED = {"default": ("dekany-i-band", "gaia-dr3-relation")}
"""Models made of others: each star goes to the first one that was trained on its type."""

PREDICTION_COLUMNS = {
    "source_id": "int64 identifier",
    "feh": "[Fe/H] [dex]; NaN where flag says why",
    "feh_error": "calibrated standard error [dex]",
    "feh_lower": "lower end of the 90 % interval [dex]",
    "feh_upper": "upper end of the 90 % interval [dex]",
    "flag": "bit mask, see photfeh.core.flags.Flag",
    "period": "period used [d]: given, or found where flag says so",
    "n_epochs": "epochs used",
    "model": "name of the model that made the prediction",
}


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
    """
    if isinstance(model, Ensemble):
        return Predictor(model.name, {model.name: model})
    name = str(model) if model is not None else DEFAULT_MODEL
    if name == "relation":
        return Predictor("relation", {"relation": Ensemble.formula()})
    if name in list_trained():
        return Predictor(name, {part: Ensemble.load(_PRETRAINED / part) for part in _COMPOSED.get(name, (name,))})
    if Path(name).is_dir():
        name = Path(name).resolve().name
        return Predictor(name, {name: Ensemble.load(model or ".")})
    raise UnknownName("trained model or model folder", name, list_trained())


def load_card(model: str | Path) -> str:
    """The model card, Markdown, of a trained model or model folder; of each part where a model has several.

    Raises
    ------
    UnknownName
        as :func:`load`.
    """
    cards = []
    for name, ensemble in load(model).ensembles.items():
        folder = _PRETRAINED / name if (_PRETRAINED / name).is_dir() else Path(model)
        written = folder / "MODEL_CARD.md"
        cards.append(written.read_text() if written.is_file() else model_card(ensemble, name))
    return "\n".join(cards)


@dataclass(frozen=True, eq=False)
class Predictor:
    """Trained models ready for light curves; a star's result depends on that star alone.

    ``ensembles``: by name; a star is predicted by the first that was made for its type.
    """

    name: str
    ensembles: Mapping[str, Ensemble]

    @property
    def truth(self) -> str:
        """What the labels of the training were."""
        return "; ".join(str(ensemble.notes["truth"]) for ensemble in self.ensembles.values())

    def predict(self, curves: LightCurves, stars: pd.DataFrame, *, periods: Periods = "given") -> pd.DataFrame:
        """Predictions for every row of a star table (:func:`photfeh.core.stars.validate_stars`), in its order.

        Columns as in :data:`PREDICTION_COLUMNS`; ``periods`` as in :func:`photfeh.samples.measure.measure`.
        """
        measured = measure(curves, stars, periods=periods)
        table = measured.table
        flag = table["flag"].to_numpy(np.int64).copy()
        columns = {name: np.full(len(table), np.nan) for name in ("feh", "feh_error", "feh_lower", "feh_upper")}
        chosen = np.full(len(table), self.name, dtype=object)
        free = predictable(flag)
        for name, ensemble in self.ensembles.items():
            mine = free & table["type"].isin(list(ensemble.types)).to_numpy(bool)
            free &= ~mine
            chosen[mine] = name
            self._fill(ensemble, measured, mine, columns, flag)
        flag[free] |= int(Flag.WRONG_TYPE)
        return pd.DataFrame(
            {
                "source_id": table["source_id"].to_numpy(np.int64),
                **columns,
                "flag": flag,
                "period": table["period"].to_numpy(np.float64),
                "n_epochs": table["n_epochs"].to_numpy(np.int64),
                "model": chosen.astype(str),
            }
        )

    def adapted(self, curves: LightCurves, stars: pd.DataFrame, *, periods: Periods = "given") -> Predictor:
        """The same with intervals for the population that these stars are a sample of (weighted conformal prediction).

        Raises
        ------
        BadInput
            if there are too few stars, or they are too unlike those of the calibration.
        """
        measured = measure(curves, stars, periods=periods)
        good = predictable(measured.table["flag"])
        made = {}
        for name, ensemble in self.ensembles.items():
            mine = good & measured.table["type"].isin(list(ensemble.types)).to_numpy(bool)
            good &= ~mine
            X = build_sequences(measured, ensemble.representation)
            mine &= X.mask.any(axis=1)
            made[name] = ensemble.adapted(X[mine]) if mine.any() else ensemble
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
        sequences = build_sequences(measured, ensemble.representation)
        flag[mine & ~sequences.mask.any(axis=1)] |= int(Flag.NO_FIT)
        good = np.flatnonzero(mine & predictable(flag))
        if not len(good):
            return
        X = sequences[good]
        mean, error, half = ensemble.predict_interval(X)
        columns["feh"][good], columns["feh_error"][good] = mean, error
        columns["feh_lower"][good], columns["feh_upper"][good] = mean - half, mean + half
        flag[good[ensemble.extrapolated(X, mean)]] |= int(Flag.EXTRAPOLATED)
        flag[good[~np.isfinite(mean)]] |= int(Flag.NO_FIT)


def predict(
    epochs: Any,
    stars: Any,
    *,
    model: str | Path | Ensemble | Predictor | None = None,
    output: str | Path | None = None,
    band: str = "G",
    periods: Periods = "given",
    adapt: bool = False,
    stars_per_chunk: int = 10_000,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """[Fe/H] of every star of a table.

    Parameters
    ----------
    epochs, stars
        As for :func:`photfeh.prepare`.
    model
        Name (:func:`list_trained`), model folder, or a loaded model. Default: RRab by ``dekany-i-band``, RRc by
        ``gaia-dr3-relation``.
    output : path, optional
        Write the result there too (.parquet or .csv). Chunks are kept beside it as they are finished, so that an
        interrupted call goes on where it stopped.
    periods : {"given", "check", "search"}
        As for :func:`photfeh.prepare`.
    adapt : bool
        Fit the intervals to the population of these stars, as seen in the first chunk (:meth:`Predictor.adapted`);
        intervals then depend on the sample.

    Returns
    -------
    DataFrame
        Columns :data:`PREDICTION_COLUMNS`, one row for every star of the table, in its order.
    """
    predictor = model if isinstance(model, Predictor) else load(model)
    kept = None if output is None else _Parts(Path(output), predictor, periods, adapt)
    table = read_stars(stars)
    if not len(table):
        raise BadInput("the star table has no rows.")
    table = table[[name for name in ("source_id", "period", "type") if name in table.columns]]
    index = pd.Index(table["source_id"])
    seen = np.zeros(len(table), bool)
    parts: list[pd.DataFrame] = []
    for curves in iter_lightcurves(epochs, band=band, stars_per_chunk=stars_per_chunk):
        rows = index.get_indexer(curves.source_id)
        rows = rows[rows >= 0]
        seen[rows] = True
        check_period_setting(curves, table, periods)
        if adapt and len(rows):
            predictor, adapt = predictor.adapted(curves, table.iloc[rows], periods=periods), False
        if len(rows):
            parts.append(_one_chunk(predictor, curves, table.iloc[rows], periods, kept).set_index(rows))
        if progress is not None:
            progress(int(seen.sum()), len(table))
    rest = np.flatnonzero(~seen)
    if len(rest):
        nothing = np.zeros(0)
        empty = LightCurves(np.zeros(0, np.int64), np.zeros(1, np.int64), nothing, nothing, band=band)
        parts.append(predictor.predict(empty, table.iloc[rest]).set_index(rest))
    result = pd.concat(parts).sort_index().rename_axis(None)
    if kept is not None:
        kept.finish(result)
    if progress is not None:
        progress(len(table), len(table))
    return result


def _one_chunk(
    predictor: Predictor, curves: LightCurves, stars: pd.DataFrame, periods: Periods, kept: _Parts | None
) -> pd.DataFrame:
    done = None if kept is None else kept.read(stars)
    if done is not None:
        return done
    made = predictor.predict(curves, stars, periods=periods)
    if kept is not None:
        kept.write(stars, made)
    return made


class _Parts:
    """Finished chunks in a folder beside the output, named by what they were made from."""

    def __init__(self, output: Path, predictor: Predictor, periods: Periods, adapt: bool) -> None:
        if output.suffix not in (".parquet", ".csv"):
            raise BadInput(f"cannot write {output}: name a file that ends in .parquet or .csv.")
        self.output = output
        self.folder = output.with_name(output.name + ".parts")
        self.made_by = json.dumps(
            [predictor.name, periods, adapt, {name: part.notes for name, part in predictor.ensembles.items()}],
            sort_keys=True,
            default=str,
        )

    def read(self, stars: pd.DataFrame) -> pd.DataFrame | None:
        path = self._path(stars)
        return pd.read_parquet(path) if path.exists() else None

    def write(self, stars: pd.DataFrame, table: pd.DataFrame) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(stars)
        table.to_parquet(path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def finish(self, result: pd.DataFrame) -> None:
        self.output.parent.mkdir(parents=True, exist_ok=True)
        if self.output.suffix == ".csv":
            result.to_csv(self.output, index=False)
        else:
            result.to_parquet(self.output, index=False, compression="zstd")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, stars: pd.DataFrame) -> Path:
        digest = hashlib.sha256(self.made_by.encode())
        digest.update(pd.util.hash_pandas_object(stars, index=False).to_numpy().tobytes())
        return self.folder / f"{digest.hexdigest()[:20]}.parquet"
