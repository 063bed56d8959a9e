"""The verb ``validate``: every model, representation, repeat and fold; resumable, one out-of-fold table at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from photfeh.dataset import Dataset
from photfeh.errors import BadInput
from photfeh.models.registry import create_model
from photfeh.validation.fitting import Task, run_tasks
from photfeh.validation.run import Part, Run, RunWriter
from photfeh.validation.splits import Protocol, Split, make_splits

__all__ = ["validate"]

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[str, int, int], None]


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
    jobs: int = 1,
    progress: Progress | None = None,
) -> Run:
    """Cross-validate models on the sample of a data set.

    Parameters
    ----------
    dataset, output
        Data-set folder; run folder to make, or to go on with if an earlier call with the same settings was cut off.
    models, representations
        Names; every model is run on every representation that it can read.
    folds
        Number of stratified folds, or the name of a column of the star table that holds given folds.
    protocol
        ``nested`` or ``paper`` (early stopping on the scored fold, optimistic, for comparison only).
    weighting
        Name in :data:`photfeh.weights.WEIGHTINGS`, fitted on the training rows of each fold.
    params
        Model name -> parameters that override the defaults.
    jobs
        Processes that fit at the same time, each with its share of the processors. Small networks gain most: one fit
        keeps no more than one core busy.
    progress
        Called with (what, done, all) after each part.

    Raises
    ------
    UnknownName, BadInput
        before any work, for names that do not exist, an empty sample, or models that can read none of the
        representations. A model that fails during the work does not stop the others; it is listed in
        ``Run.failures``.
    """
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    params = params or {}
    pairs = _readable_pairs(models, representations, params)
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
    tasks = [
        Task(writer, Part(name, representation, split.repeat, split.fold), params.get(name, {}), split, weighting, seed)
        for name, representation in pairs
        for split in splits
    ]
    waiting = [task for task in tasks if not writer.done(task.part)]
    for done, part in enumerate(run_tasks(dataset, waiting, jobs), len(tasks) - len(waiting) + 1):
        if progress is not None:
            progress(str(part), done, len(tasks))
    return writer.finish()


def _readable_pairs(
    models: Sequence[str], representations: Sequence[str], params: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, str]]:
    """(model, representation) in the order of the representations, where the model can read it."""
    reads = {name: create_model(name, **params.get(name, {})).representations for name in models}
    for name, known in reads.items():
        if not set(representations) & set(known):
            raise BadInput(f"{name} can read {', '.join(known)} only, none of {', '.join(representations)}.")
    return [(name, kind) for kind in representations for name in models if kind in reads[name]]


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
