"""The verb ``validate``: every model, representation, repeat and fold; resumable, one out-of-fold table at the end."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from photfeh.dataset import Dataset
from photfeh.errors import BadInput, PhotfehError
from photfeh.models.base import Regressor
from photfeh.models.network import Network
from photfeh.models.registry import MODELS, create_model
from photfeh.sequences import Sequences
from photfeh.validation.run import Part, Run, RunWriter
from photfeh.validation.splits import Protocol, Split, make_splits
from photfeh.weights import DensityWeights, evaluation_weights

__all__ = ["Labelled", "fit_split", "validate"]

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Sample stars ready for fitting: sequences, labels and their errors (NaN unknown), each of N stars."""

    sequences: Sequences
    feh: FloatArray
    feh_error: FloatArray

    @classmethod
    def of(cls, dataset: Dataset, representation: str) -> Labelled:
        """The sample of a data set.

        Raises
        ------
        BadInput
            if the sample is empty; names the cut flow.
        """
        rows = dataset.sample
        if not len(rows):
            raise BadInput(f"no star of {dataset.folder} passed the cuts:\n{dataset.cut_flow.to_string(index=False)}")
        stars = dataset.stars.iloc[rows]
        return cls(
            dataset.sequences(representation, rows),
            stars["feh"].to_numpy(np.float64),
            stars["feh_error"].to_numpy(np.float64),
        )


@dataclass(frozen=True)
class Fitted:
    """One fitted model with the weights it used (train rows first fitted, tune rows evaluated) and its cost."""

    model: Regressor
    train: npt.NDArray[np.int64]
    tune: npt.NDArray[np.int64]
    weight: FloatArray
    seconds: float


def fit_split(
    name: str,
    params: Mapping[str, Any],
    data: Labelled,
    split: Split,
    *,
    weighting: str = "density",
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Fitted:
    """One fresh model fitted on one split; nothing of the scored part is touched.

    Networks stop on the tune part; the other models, which need none, train on train and tune together.
    """
    settings = dict(params)
    if "seed" in MODELS[name].model_class()._get_param_names():
        settings.setdefault("seed", seed)
    model = create_model(name, **settings)
    network = isinstance(model, Network)
    train = split.train if network else np.union1d(split.train, np.setdiff1d(split.tune, split.score))
    tune = split.tune if network else np.zeros(0, np.int64)
    density = DensityWeights(weighting).fit(data.feh[train], data.feh_error[train])
    weight = density(data.feh, data.feh_error)
    started = time.perf_counter()
    if isinstance(model, Network):
        model.track(checkpoint=checkpoint, on_epoch=on_epoch)
        model.fit(
            data.sequences[train],
            data.feh[train],
            weight[train],
            tune=(data.sequences[tune], data.feh[tune], weight[tune]),
        )
    else:
        model.fit(data.sequences[train], data.feh[train], weight[train])
    return Fitted(model, train, tune, weight, time.perf_counter() - started)


def validate(
    dataset: Dataset | str | Path,
    output: str | Path,
    *,
    models: Sequence[str] = ("ridge-fourier",),
    representations: Sequence[str] = ("spline",),
    folds: int | str = 5,
    repeats: int = 1,
    protocol: Protocol = "nested",
    weighting: str = "density",
    params: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Run:
    """Cross-validate models on the sample of a data set.

    Parameters
    ----------
    dataset, output
        Data-set folder; run folder to make, or to go on with if an earlier call with the same settings was cut off.
    models, representations
        Names; every model is run on every representation.
    folds
        Number of stratified folds, or the name of a column of the star table that holds given folds.
    protocol
        ``nested`` or ``paper`` (early stopping on the scored fold, optimistic, for comparison only).
    weighting
        Name in :data:`photfeh.weights.WEIGHTINGS`, fitted on the training rows of each fold.
    params
        Model name -> parameters that override the defaults.
    progress
        Called with (what, done, all) after each part.

    Raises
    ------
    UnknownName, BadInput
        before any work, for names that do not exist or an empty sample. A model that fails during the work does not
        stop the others; it is listed in ``Run.failures``.
    """
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    params = params or {}
    for name in models:
        create_model(name, **params.get(name, {}))
    sample = dataset.stars.iloc[dataset.sample]
    splits = list(_splits(sample, folds, repeats, protocol, seed))
    recipe = {
        "dataset": {"stars_sha256": dataset.notes["stars_sha256"], "n_sample": len(sample), "truth": dataset.truth},
        "models": {name: create_model(name, **params.get(name, {})).get_params() for name in models},
        "representations": {name: dataset.representation(name).to_dict() for name in representations},
        "validation": {
            "folds": folds, "repeats": repeats, "protocol": protocol, "weighting": weighting, "seed": seed,
            "splits_sha256": _splits_hash(splits),
        },
    }  # fmt: skip
    writer = RunWriter(output, recipe)
    total, done = len(models) * len(representations) * len(splits), 0
    for representation in representations:
        data = Labelled.of(dataset, representation)
        for name in models:
            for split in splits:
                part = Part(name, representation, split.repeat, split.fold)
                if not writer.done(part):
                    _run_part(writer, part, params.get(name, {}), data, split, weighting, seed)
                done += 1
                if progress is not None:
                    progress(str(part), done, total)
    return writer.finish()


def _splits(sample: pd.DataFrame, folds: int | str, repeats: int, protocol: Protocol, seed: int) -> Iterable[Split]:
    if not len(sample):
        raise BadInput("the sample is empty: no star passed the cuts (see cut_flow.csv of the data set).")
    feh = sample["feh"].to_numpy(np.float64)
    if isinstance(folds, int):
        return make_splits(feh, n_folds=folds, repeats=repeats, protocol=protocol, seed=seed)
    if folds not in sample.columns or sample[folds].isna().any():
        raise BadInput(f"the star table has no column {folds!r} filled for every sample star; give --folds a number.")
    return make_splits(feh, repeats=repeats, protocol=protocol, seed=seed, folds=sample[folds].to_numpy(np.int64))


def _splits_hash(splits: Sequence[Split]) -> str:
    digest = hashlib.sha256()
    for split in splits:
        for rows in (split.train, split.tune, split.score):
            digest.update(rows.tobytes() + b"|")
    return digest.hexdigest()


def _run_part(
    writer: RunWriter, part: Part, params: Mapping[str, Any], data: Labelled, split: Split, weighting: str, seed: int
) -> None:
    try:
        fitted = fit_split(
            part.model, params, data, split,
            weighting=weighting, seed=seed + 1000 * split.repeat + split.fold, checkpoint=writer.checkpoint(part),
        )  # fmt: skip
        started = time.perf_counter()
        table = _predictions(part, fitted, data, split)
        history = pd.DataFrame(getattr(fitted.model, "history_", []))
        writer.write(part, table, history, fitted.seconds, time.perf_counter() - started, fitted.model.notes_)
    except (PhotfehError, ArithmeticError, ValueError, RuntimeError) as error:
        writer.fail(part, f"{type(error).__name__}: {error}")


def _predictions(part: Part, fitted: Fitted, data: Labelled, split: Split) -> pd.DataFrame:
    """Rows of the out-of-fold table for one part. ``weight`` is the evaluation weight, 1 / sigma^2 of the label."""
    evaluation = evaluation_weights(data.feh_error)
    tables = []
    for kind, rows in (("train", fitted.train), ("tune", fitted.tune), ("score", split.score)):
        mean, sigma = fitted.model.predict_dist(data.sequences[rows])
        tables.append(
            pd.DataFrame(
                {
                    "model": part.model,
                    "representation": part.representation,
                    "repeat": part.repeat,
                    "fold": part.fold,
                    "part": kind,
                    "source_id": data.sequences.source_id[rows],
                    "feh_true": data.feh[rows],
                    "feh_error": data.feh_error[rows],
                    "feh_pred": mean,
                    "feh_pred_error": sigma,
                    "weight": evaluation[rows],
                }
            )
        )
    return pd.concat([table for table in tables if len(table)], ignore_index=True)
