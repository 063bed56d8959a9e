"""The verb ``validate``: every model, representation, repeat and fold; resumable, one out-of-fold table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.errors import BadInput
from photfeh.core.fingerprint import fingerprint
from photfeh.core.outputs import keep_inputs, own_folder
from photfeh.models.registry import MODELS, create_model
from photfeh.samples.dataset import Dataset
from photfeh.samples.weights import check_weighting
from photfeh.validation.budget import Budget, check_budget, with_budget
from photfeh.validation.fitting import Labelled, Task, fit_key, only_train, run_tasks
from photfeh.validation.pairs import TUNED
from photfeh.validation.run import Part, Run, RunWriter
from photfeh.validation.splits import Protocol, Split, check_fraction, make_splits, thinned
from photfeh.validation.tuning.nested import NestedSearch, needs_optuna

__all__ = ["learning_curve", "validate"]

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
    train_fraction: float = 1.0,
    budget: Budget = None,
    tune: int = 0,
    jobs: int = 1,
    overwrite: bool = False,
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
        Name in :data:`photfeh.samples.weights.WEIGHTINGS`, fitted on the training rows of each fold.
    params
        Model name -> parameters that override the defaults.
    train_fraction
        Use a random part of the stars outside the scored fold; see :func:`learning_curve`.
    budget
        Epochs of networks whose parameters do not name any: a number; ``auto``, until the tune error stops falling (see
        :mod:`photfeh.validation.budget`); ``quick``, a look that every table calls not converged; None, the default of
        each model.
    tune
        Trials of a search for the parameters within the training stars of each fold (nested: the scored stars stay
        unseen). Every model that has a search space is run twice, as it is and as ``NAME-tuned``.
    jobs
        Processes that fit at the same time, each with its share of the processors. Small networks gain most: one fit
        keeps no more than one core busy.
    overwrite
        Take an ``output`` that holds another run or something else; files that are not of a run stay.
    progress
        Called with (what, done, all) after each part.

    Raises
    ------
    UnknownName, BadInput
        before any work, for names and values that do not exist, an empty sample, or models that can read none of the
        representations. A model that fails during the work does not stop the others; it is listed in
        ``Run.failures``.
    FitFailed
        if not a single fit succeeded.
    """
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    params = params or {}
    keep_inputs(output, (dataset.folder,), beside=False)
    _check_settings(models, representations, params, weighting, jobs)
    check_budget(budget)
    kinds = {name: dataset.representation(name).to_dict() for name in representations}
    pairs = _readable_pairs(models, representations, params)
    searched = _searched(models, tune)
    runs = [(name, name, kind) for name, kind in pairs]
    runs += [(f"{name}{TUNED}", name, kind) for name, kind in pairs if name in searched]
    sample = dataset.stars.iloc[dataset.sample]
    splits = [thinned(split, train_fraction, seed) for split in _splits(sample, folds, repeats, protocol, seed)]
    recipe = {
        "dataset": {"stars_sha256": dataset.notes["stars_sha256"], "n_sample": len(sample), "truth": dataset.truth},
        "models": {
            name: create_model(name, **with_budget(name, params.get(name, {}), budget)).get_params() for name in models
        },
        "representations": kinds,
        "validation": {
            "folds": folds, "repeats": repeats, "protocol": protocol, "weighting": weighting, "seed": seed,
            "train_fraction": train_fraction if train_fraction < 1.0 else None, "budget": budget,
            "splits_sha256": fingerprint(splits),
        },
    }  # fmt: skip
    chosen = {name: params.get(name, {}) for name in models}
    recipe["models"] |= {f"{name}{TUNED}": recipe["models"][name] | {"trials": tune} for name in searched}
    contents = {kind: Labelled.of(dataset, kind).content for kind in {kind for _, kind in pairs}}
    with RunWriter(output, recipe, overwrite=overwrite) as writer:
        tasks, count = [], len(runs) * len(splits)
        for label, name, kind in runs:
            choose = NestedSearch(tune, weighting) if label != name else None
            for split in splits:
                part, own = Part(label, kind, split.repeat, split.fold), seed + 1000 * split.repeat + split.fold
                key = fit_key(
                    part.name, name, chosen[name], contents[kind], split, weighting=weighting, seed=own, budget=budget,
                    made_by=None if choose is None else (choose, MODELS[name].space),
                )  # fmt: skip
                if not writer.done(key, part):
                    content = contents[kind]
                    task = Task(
                        writer.parts, key, part, name, chosen[name], content, split, weighting, own, budget, choose
                    )
                    tasks.append(task)
        for done, part in enumerate(run_tasks(dataset, tasks, jobs), count - len(tasks) + 1):
            if progress is not None:
                progress(str(part), done, count)
        return writer.finish()


def learning_curve(
    dataset: Dataset | str | Path,
    output: str | Path,
    *,
    fractions: Sequence[float] = (0.125, 0.25, 0.5, 1.0),
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> pd.DataFrame:
    """What more training stars would bring: :func:`validate` with growing parts of them.

    Parameters
    ----------
    dataset, output
        As for :func:`validate`; ``output`` gets one run folder a fraction, each resumable.
    fractions
        Of the stars outside the scored fold; smaller parts lie within larger ones. The scored stars stay the same.
    overwrite
        Take an ``output`` that holds something else; files that are not of a learning curve stay.
    options
        Further arguments of :func:`validate`.

    Returns
    -------
    DataFrame
        ``fraction``, ``n_train`` (mean number of stars outside the scored fold that were used), ``model``,
        ``representation``, ``repeat``, ``fold``, ``rmse`` [dex] of the scored fold.
    """
    tables: list[pd.DataFrame] = []
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    for fraction in fractions:
        check_fraction(fraction)
    if not fractions:
        raise BadInput("a learning curve needs at least one fraction of the training stars.")
    folder = own_folder(output, "learning-curve", inputs=(dataset.folder,), overwrite=overwrite)
    for fraction in sorted(set(fractions)):

        def report(what: str, done: int, total: int, fraction: float = fraction) -> None:
            if progress is not None:
                before, every = len(tables) * total, len(fractions) * total
                progress(f"{fraction:g} of the stars, {what}", before + done, every)

        here = folder / f"fraction-{fraction:g}"
        run = validate(dataset, here, train_fraction=fraction, overwrite=overwrite, progress=report, **options)
        keys = ["model", "representation", "repeat", "fold"]
        used = run.out_of_fold[run.out_of_fold["part"] != "score"].groupby(keys).size()
        squares = run.score.assign(square=(run.score["feh_pred"] - run.score["feh_true"]) ** 2)
        rmse = squares.groupby(keys)["square"].mean() ** 0.5
        table = rmse.rename("rmse").reset_index().assign(fraction=fraction, n_train=float(used.mean()))
        tables.append(table[["fraction", "n_train", *keys, "rmse"]])
    return pd.concat(tables, ignore_index=True)


def _check_settings(
    models: Sequence[str],
    representations: Sequence[str],
    params: Mapping[str, Mapping[str, Any]],
    weighting: str,
    jobs: int,
) -> None:
    """What can be known as wrong before any fit."""
    if not models or not representations:
        raise BadInput("name at least one model and one representation.")
    for name in params:  # of a model that is not asked for they may be given, but not of one that there is not
        create_model(name, **params[name])
    check_weighting(weighting)
    if jobs < 1:
        raise BadInput(f"jobs must be at least 1, found {jobs}.")


def _searched(models: Sequence[str], trials: int) -> list[str]:
    """The models whose parameters are to be searched."""
    if trials < 0:
        raise BadInput(f"the number of trials of a search must not be negative, found {trials}.")
    found = [name for name in models if MODELS[name].space] if trials else []
    if trials and not found:
        raise BadInput(f"none of {', '.join(models)} has a search space; leave --tune out.")
    if trials:
        needs_optuna()
    return found


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
    extra = only_train(sample)
    if isinstance(folds, int):
        return make_splits(feh, n_folds=folds, repeats=repeats, protocol=protocol, seed=seed, only_train=extra)
    if folds not in sample.columns or sample.loc[~extra, folds].isna().any():
        raise BadInput(f"the star table has no column {folds!r} filled for every sample star; give --folds a number.")
    given = sample[folds].fillna(-1).to_numpy(np.int64)
    return make_splits(feh, repeats=repeats, protocol=protocol, seed=seed, folds=given, only_train=extra)
