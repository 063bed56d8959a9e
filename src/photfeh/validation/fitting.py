"""One fit of cross-validation: a fresh model on one split, its predictions, and many such fits side by side."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import joblib
import numpy as np
import pandas as pd

from photfeh.core.cache import Key, Parts
from photfeh.core.errors import BadInput, PhotfehError
from photfeh.core.fingerprint import fingerprint
from photfeh.core.interrupts import deaf, ignore_interrupts
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.models.base import Regressor
from photfeh.models.registry import MODELS, create_model
from photfeh.samples.dataset import Dataset
from photfeh.samples.sequences import Sequences
from photfeh.samples.weights import DensityWeights, evaluation_weights
from photfeh.validation.budget import FIRST, GAIN, LAST, Budget, to_the_end, with_budget
from photfeh.validation.run import Part, write_failure, write_fit
from photfeh.validation.splits import Split, make_splits

if TYPE_CHECKING:
    from photfeh.models.network import Network

FIT_ERRORS = (PhotfehError, ArithmeticError, ValueError, RuntimeError)
"""What a fit may end with that is no mistake of the program: it is written down as failed."""

__all__ = ["FIT_ERRORS", "Fitted", "Labelled", "Task", "fit_key", "fit_split", "run_tasks"]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Sample stars ready for fitting: sequences, labels and their errors (NaN unknown), each of N stars.

    ``only_train``: stars that teach in every fold and are never scored, such as those with labels of another quality.
    """

    sequences: Sequences
    feh: FloatArray
    feh_error: FloatArray
    only_train: BoolArray

    @cached_property
    def content(self) -> str:
        """Fingerprint of all of it, the sequences included."""
        return fingerprint(self.sequences, self.feh, self.feh_error, self.only_train)

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
            only_train(stars),
        )

    def splits(self, n_folds: int, seed: int) -> Iterator[Split]:
        """Nested splits into stratified folds."""
        return make_splits(self.feh, n_folds=n_folds, seed=seed, only_train=self.only_train)

    def rows(self, rows: IntArray) -> Labelled:
        """Some of the stars."""
        return Labelled(self.sequences[rows], self.feh[rows], self.feh_error[rows], self.only_train[rows])


def only_train(stars: pd.DataFrame) -> BoolArray:
    """The column ``only_train`` of a star table, (N,): true, false, or empty for false; all false where there is none.

    Raises
    ------
    BadInput
        if it holds anything else, or all stars; names the star.
    """
    if "only_train" not in stars.columns:
        return np.zeros(len(stars), bool)
    words = stars["only_train"].astype("string").str.strip().str.lower().fillna("false")
    found = words.isin(["true", "1", "1.0"]).to_numpy(bool)
    unknown = ~found & ~words.isin(["false", "0", "0.0", ""]).to_numpy(bool)
    if unknown.any():
        where = int(np.argmax(unknown))
        raise BadInput(
            f"star {stars['source_id'].iloc[where]}: only_train is {stars['only_train'].iloc[where]!r}; "
            "it must be true or false."
        )
    if len(found) and found.all():
        raise BadInput("only_train is true for every star of the sample: none is left to be scored.")
    return found


@dataclass(frozen=True)
class Fitted:
    """One fitted model with the weights it used (train rows first fitted, tune rows evaluated), history and cost."""

    model: Regressor
    train: IntArray
    tune: IntArray
    weight: FloatArray
    seconds: float
    history: pd.DataFrame


def fit_key(
    label: str,
    name: str,
    params: Mapping[str, Any],
    content: str,
    split: Split,
    *,
    weighting: str,
    seed: int,
    budget: Budget = None,
    made_by: object = None,
) -> Key:
    """What :func:`fit_split` makes, named by everything that it depends on; ``content`` is that of the data.

    ``made_by``: what else was done before the fit, such as a search for its parameters.
    """
    model = _fresh(name, with_budget(name, params, budget), seed)
    parts = (split.train, split.tune, split.score)
    rule = ("halved restarts", FIRST, LAST, GAIN) if _is_open(model, params, budget) else None
    return Key(label, fingerprint(type(model), model.get_params(), content, parts, weighting, seed, rule, made_by))


def _is_open(model: Regressor, params: Mapping[str, Any], budget: Budget) -> bool:
    """Whether the length of the training is to be found."""
    return model.kind == "network" and budget == "auto" and "epochs" not in params


def _fresh(name: str, params: Mapping[str, Any], seed: int) -> Regressor:
    """A model that is not fitted; it takes the seed unless the parameters have one."""
    settings = dict(params)
    if "seed" in MODELS[name].model_class().parameter_names():
        settings.setdefault("seed", seed)
    return create_model(name, **settings)


def fit_split(
    name: str,
    params: Mapping[str, Any],
    data: Labelled,
    split: Split,
    *,
    weighting: str = "density",
    seed: int = 0,
    budget: Budget = None,
    workspace: Path | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Fitted:
    """One fresh model fitted on one split; nothing of the scored part is touched.

    Networks stop on the tune part; the other models, which need none, train on train and tune together. ``workspace``
    is a folder for checkpoints: a call that was cut off goes on from them.
    """
    model = _fresh(name, with_budget(name, params, budget), seed)
    network = model.kind == "network"
    train = split.train if network else np.union1d(split.train, np.setdiff1d(split.tune, split.score))
    tune = split.tune if network else np.zeros(0, np.int64)
    density = DensityWeights(weighting).fit(data.feh[train], data.feh_error[train])
    weight = density(data.feh, data.feh_error)
    started = time.perf_counter()
    known = (data.sequences[train], data.feh[train], weight[train])
    history = pd.DataFrame()
    if network:
        model = cast("Network", model)
        held = (data.sequences[tune], data.feh[tune], weight[tune])

        def fit(one: Network, checkpoint: str) -> Network:
            one.track(checkpoint=None if workspace is None else workspace / checkpoint, on_epoch=on_epoch)
            one.fit(*known, tune=held)
            return one

        if _is_open(model, params, budget):
            # tune_rmse is in units of the weighted scatter of the training labels
            middle = np.average(data.feh[train], weights=weight[train])
            unit = np.sqrt(np.average((data.feh[train] - middle) ** 2, weights=weight[train]))
            scatter = float(np.std(data.feh[tune]) / max(unit, 1e-9))
            model, history = to_the_end(model, fit, scatter, workspace)
        else:
            history = pd.DataFrame(fit(model, "checkpoint").history_)
    else:
        model.fit(*known)
    # epochs before an interruption count, too
    seconds = max(time.perf_counter() - started, float(history["seconds"].sum()) if len(history) else 0.0)
    return Fitted(model, train, tune, weight, seconds, history)


Chooser = Callable[["Task", Labelled, IntArray, Path], tuple[dict[str, Any], dict[str, Any]]]
"""Parameters for a task, and what is to be noted of them; from the data, the rows that it may look at, a folder."""


@dataclass(frozen=True)
class Task:
    """One fit that is still to be made, with all that a process of its own must know.

    ``name`` is that of the model in the registry. ``content`` is the fingerprint of the data that the fit was planned
    on. ``choose`` finds the parameters first, from the training stars alone: see :data:`Chooser`.
    """

    parts: Parts
    key: Key
    part: Part
    name: str
    params: Mapping[str, Any]
    content: str
    split: Split
    weighting: str
    seed: int
    budget: Budget = None
    choose: Chooser | None = None


def run_tasks(dataset: Dataset, tasks: Sequence[Task], jobs: int) -> Iterator[Part]:
    """Fit the tasks, ``jobs`` at a time, and name each one's part when it is written; without order if jobs > 1."""
    if jobs == 1 or len(tasks) < 2:
        for task in tasks:
            _run_part(str(dataset.folder), task)
            yield task.part
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=threads):
        calls = (joblib.delayed(_in_process)(str(dataset.folder), task, os.getpid()) for task in tasks)
        with deaf():
            done = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=2 * jobs)(calls)
        yield from done


def _in_process(folder: str, task: Task, parent: int) -> Part:
    _leave_with(parent)
    _run_part(folder, task)
    return task.part


@lru_cache(maxsize=1)
def _leave_with(parent: int) -> None:
    """End this process when its parent is gone: a run that was killed must not go on writing behind its successor.

    Until then it goes on: Ctrl-C is for the parent.
    """
    ignore_interrupts()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_LOADED: dict[str, Labelled] = {}
"""The last representation that this process has read, by the fingerprint of its content."""


def _labelled(folder: str, task: Task) -> Labelled:
    """The data that a fit was planned on.

    Raises
    ------
    BadInput
        if the folder holds other data by now.
    """
    if task.content not in _LOADED:
        data = Labelled.of(Dataset.open(folder), task.part.representation)
        if data.content != task.content:
            raise BadInput(f"{folder} was prepared again while models were fitted to it; run the same command again.")
        _LOADED.clear()
        _LOADED[task.content] = data
    return _LOADED[task.content]


def _run_part(folder: str, task: Task) -> None:
    part, split = task.part, task.split
    data = _labelled(folder, task)
    params, noted = dict(task.params), dict[str, Any]()
    started = time.perf_counter()
    try:
        if task.choose is not None:
            rows = np.setdiff1d(np.union1d(split.train, split.tune), split.score)
            params, noted = task.choose(task, data, rows, task.parts.workspace(task.key) / "study")
        choosing = time.perf_counter() - started
        fitted = fit_split(
            task.name, params, data, split, weighting=task.weighting, seed=task.seed,
            budget=task.budget, workspace=task.parts.workspace(task.key),
        )  # fmt: skip
        started = time.perf_counter()
        table = _predictions(part, fitted, data, split)
        seconds = (choosing + fitted.seconds, time.perf_counter() - started)
    except FIT_ERRORS as error:
        write_failure(task.parts, task.key, error)
        return
    write_fit(task.parts, task.key, part, table, fitted.history, seconds, fitted.model.notes_ | noted)


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
