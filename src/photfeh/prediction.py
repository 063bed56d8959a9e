"""The verb ``predict``: light curves and star table in, [Fe/H] with errors and flags out, a row for every star."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photfeh.archive import iter_lightcurves, read_stars
from photfeh.ensemble import Ensemble
from photfeh.errors import BadInput, UnknownName
from photfeh.flags import Flag, predictable
from photfeh.lightcurves import LightCurves
from photfeh.measurement import measure, require_period
from photfeh.sequences import build_sequences

__all__ = ["PREDICTION_COLUMNS", "Predictor", "list_trained", "load", "predict"]

_PRETRAINED = Path(__file__).parent / "pretrained"
DEFAULT_MODEL = "relation"

PREDICTION_COLUMNS = {
    "source_id": "int64 identifier",
    "feh": "[Fe/H] [dex]; NaN where flag says why",
    "feh_error": "calibrated standard error [dex]",
    "feh_lower": "lower end of the 90 % interval [dex]",
    "feh_upper": "upper end of the 90 % interval [dex]",
    "flag": "bit mask, see photfeh.flags.Flag",
    "n_epochs": "epochs used",
    "model": "name of the model",
}


def list_trained() -> list[str]:
    """Names that :func:`load` knows without a folder: the formula and the trained models in the package."""
    shipped = sorted(path.parent.name for path in _PRETRAINED.glob("*/model.json"))
    return ["relation", *shipped]


def load(model: str | Path | Ensemble | None = None) -> Predictor:
    """A predictor from the name of a model in the package or from a model folder.

    Raises
    ------
    UnknownName
        if it is neither; lists the names.
    """
    if isinstance(model, Ensemble):
        return Predictor(model.name, model)
    name = str(model) if model is not None else DEFAULT_MODEL
    if name == "relation":
        return Predictor("relation", Ensemble.formula())
    if (_PRETRAINED / name / "model.json").is_file() and "/" not in name:
        return Predictor(name, Ensemble.load(_PRETRAINED / name))
    if Path(name).is_dir():
        return Predictor(Path(name).resolve().name, Ensemble.load(name))
    raise UnknownName("trained model or model folder", name, list_trained())


@dataclass(frozen=True, eq=False)
class Predictor:
    """A trained model ready for light curves; a star's result depends on that star alone."""

    name: str
    ensemble: Ensemble

    def predict(self, curves: LightCurves, stars: pd.DataFrame) -> pd.DataFrame:
        """Predictions for every row of a star table (:func:`photfeh.stars.validate_stars`), in its order.

        Columns as in :data:`PREDICTION_COLUMNS`.
        """
        measured = measure(curves, stars)
        table = measured.table
        flag = table["flag"].to_numpy(np.int64).copy()
        wrong_type = ~table["type"].isin(list(self.ensemble.types)).to_numpy(bool) & predictable(flag)
        flag[wrong_type] |= int(Flag.WRONG_TYPE)
        sequences = build_sequences(measured, self.ensemble.representation)
        flag[predictable(flag) & ~sequences.mask.any(axis=1)] |= int(Flag.NO_FIT)
        good = np.flatnonzero(predictable(flag))
        columns = {name: np.full(len(table), np.nan) for name in ("feh", "feh_error", "feh_lower", "feh_upper")}
        if len(good):
            X = sequences[good]
            mean, error = self.ensemble.predict_dist(X)
            half = self.ensemble.half_width(X)
            for name, values in (
                ("feh", mean),
                ("feh_error", error),
                ("feh_lower", mean - half),
                ("feh_upper", mean + half),
            ):
                columns[name][good] = values
            flag[good[self.ensemble.extrapolated(X)]] |= int(Flag.EXTRAPOLATED)
            flag[good[~np.isfinite(mean)]] |= int(Flag.NO_FIT)
        return pd.DataFrame(
            {
                "source_id": table["source_id"].to_numpy(np.int64),
                **columns,
                "flag": flag,
                "n_epochs": table["n_epochs"].to_numpy(np.int64),
                "model": self.name,
            }
        )


def predict(
    epochs: Any,
    stars: Any,
    *,
    model: str | Path | Ensemble | Predictor | None = None,
    output: str | Path | None = None,
    band: str = "G",
    stars_per_chunk: int = 10_000,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """[Fe/H] of every star of a table.

    Parameters
    ----------
    epochs, stars
        As for :func:`photfeh.prepare`.
    model
        Name (:func:`list_trained`), model folder, or a loaded model. Default: ``relation``.
    output : path, optional
        Write the result there too (.parquet or .csv). Chunks are kept beside it as they are finished, so that an
        interrupted call goes on where it stopped.

    Returns
    -------
    DataFrame
        Columns :data:`PREDICTION_COLUMNS`, one row for every star of the table, in its order.
    """
    predictor = model if isinstance(model, Predictor) else load(model)
    kept = None if output is None else _Parts(Path(output), predictor)
    table = read_stars(stars)
    if not len(table):
        raise BadInput("the star table has no rows.")
    require_period(table)
    table = table[[name for name in ("source_id", "period", "type") if name in table.columns]]
    index = pd.Index(table["source_id"])
    seen = np.zeros(len(table), bool)
    parts: list[pd.DataFrame] = []
    for curves in iter_lightcurves(epochs, band=band, stars_per_chunk=stars_per_chunk):
        rows = index.get_indexer(curves.source_id)
        rows = rows[rows >= 0]
        seen[rows] = True
        if len(rows):
            parts.append(_one_chunk(predictor, curves, table.iloc[rows], kept).set_index(rows))
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


def _one_chunk(predictor: Predictor, curves: LightCurves, stars: pd.DataFrame, kept: _Parts | None) -> pd.DataFrame:
    done = None if kept is None else kept.read(stars)
    if done is not None:
        return done
    made = predictor.predict(curves, stars)
    if kept is not None:
        kept.write(stars, made)
    return made


class _Parts:
    """Finished chunks in a folder beside the output, named by what they were made from."""

    def __init__(self, output: Path, predictor: Predictor) -> None:
        if output.suffix not in (".parquet", ".csv"):
            raise BadInput(f"cannot write {output}: name a file that ends in .parquet or .csv.")
        self.output = output
        self.folder = output.with_name(output.name + ".parts")
        self.made_by = json.dumps([predictor.name, predictor.ensemble.notes], sort_keys=True, default=str)

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
