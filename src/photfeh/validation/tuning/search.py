"""The search itself: what a trial is, and a worker that runs trials until there are enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from photfeh.core.errors import BadInput, FitFailed
from photfeh.core.types import IntArray
from photfeh.models.registry import MODELS, create_model
from photfeh.models.spaces import Space, check_space
from photfeh.validation.fitting import FIT_ERRORS, Labelled, fit_split
from photfeh.validation.metrics import score
from photfeh.validation.splits import Split
from photfeh.validation.tuning.study import Desk, decoded

if TYPE_CHECKING:
    import optuna

__all__ = ["Found", "Search", "checked_space", "search"]

FOLDS = 5
"""Folds of the search; with fewer, Wilcoxon's test never stops a trial."""

_REPORTS = 27
"""Epochs of a fit at which its tune error is shown to Hyperband, at most."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search for the parameters of one model.

    ``params``: those that are not searched; ``n_folds``, ``weighting``, ``seed``: of its cross-validation;
    ``timeout``: seconds after which no further trial is begun.
    """

    name: str
    n_trials: int
    space: Space
    params: Mapping[str, Any]
    n_folds: int = FOLDS
    weighting: str = "density"
    seed: int = 0
    timeout: float | None = None


@dataclass(frozen=True)
class Found:
    """The best parameters (those that were searched, and those that were given), their mean rmse [dex], the cost."""

    params: dict[str, Any]
    value: float
    n_trials: int
    cpu_minutes: float


def checked_space(name: str, space: Space | None) -> Space:
    """The space of a model, its own or the given one.

    Raises
    ------
    BadInput
        if there is none, or the model cannot have its values; names what is wrong.
    """
    chosen = MODELS[name].space if space is None else space
    if space is None and not chosen:
        raise BadInput(f"{name} has no search space of its own; give one with --space.")
    check_space(f"model {name!r}", MODELS[name].model_class(), chosen)
    return chosen


def search(
    data: Labelled,
    rows: IntArray,
    folder: Path,
    how: Search,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> Found:
    """Search within the stars ``rows``, and touch no others; goes on from what the ``folder`` holds.

    Raises
    ------
    FitFailed
        if not one trial could be fitted.
    """
    objective = _Objective(data, rows, how)
    desk = Desk(
        folder,
        how.space,
        seed=how.seed,
        first=create_model(how.name, **how.params).get_params(),
        epochs=objective.epochs,
    )
    _work(desk, objective, how, progress)
    return best_of(desk, how)


def best_of(desk: Desk, how: Search) -> Found:
    """What a study has found so far."""
    done = desk.finished()
    if not done:
        reasons = [trial.user_attrs["reason"] for trial in desk.study.trials if "reason" in trial.user_attrs]
        raise FitFailed(f"no trial of {how.name} could be fitted; first reason: {(reasons or ['none finished'])[0]}")
    every = desk.study.get_trials(deepcopy=False)
    seconds = sum(trial.user_attrs.get("cpu_seconds", 0.0) for trial in every)
    return Found(dict(how.params) | decoded(done[0].params), float(done[0].value or 0.0), len(every), seconds / 60)


class _Objective:
    """Mean rmse over the folds of a cross-validation within the stars of the search."""

    def __init__(self, data: Labelled, rows: IntArray, how: Search) -> None:
        self._data = data.rows(rows)
        self._splits = list(self._data.splits(how.n_folds, how.seed))
        self._how = how
        model = create_model(how.name, **how.params)
        self.epochs = int(model.get_params()["epochs"]) if model.kind == "network" else 0

    def __call__(self, trial: optuna.Trial, params: Mapping[str, Any]) -> float:
        from photfeh.validation.tuning.pruning import FOLDS_FROM

        errors: list[float] = []
        for number, split in enumerate(self._splits):
            error = self._fold(trial, params, split, number)
            if not np.isfinite(error):
                raise ArithmeticError(f"the error of fold {number} is not finite")
            errors.append(error)
            trial.report(error, FOLDS_FROM + number)
            if number + 1 < len(self._splits) and trial.should_prune():
                raise _pruned()
        return float(np.mean(errors))

    def _fold(self, trial: optuna.Trial, params: Mapping[str, Any], split: Split, number: int) -> float:
        every = max(1, self.epochs // _REPORTS)

        def on_epoch(row: dict[str, float]) -> None:
            epoch = int(row["epoch"]) + 1
            if number == 0 and epoch % every == 0 and epoch < self.epochs:
                trial.report(row["tune_rmse"], epoch)
                if trial.should_prune():
                    raise _pruned()

        fitted = fit_split(
            self._how.name, params, self._data, split, weighting=self._how.weighting, seed=self._how.seed + number,
            on_epoch=on_epoch,
        )  # fmt: skip
        return score(self._data.feh[split.score], fitted.model.predict(self._data.sequences[split.score]))["rmse"]


def _pruned() -> Exception:
    import optuna

    return optuna.TrialPruned()


def _work(
    desk: Desk, objective: _Objective, how: Search, progress: Callable[[str, int, int], None] | None = None
) -> None:
    """Run trials until ``n_trials`` are done or in other hands, or the time is over."""
    import optuna

    states = optuna.trial.TrialState
    end = None if how.timeout is None else time.monotonic() + how.timeout
    while end is None or time.monotonic() < end:
        trial = desk.ask(how.n_trials)
        if trial is None:
            return
        before = time.process_time()
        outcome: dict[str, Any] = {"state": states.FAIL}
        try:
            params = dict(how.params) | desk.suggest(trial)
            outcome = {"values": objective(trial, params)}
        except optuna.TrialPruned:
            outcome = {"state": states.PRUNED}
        except FIT_ERRORS as error:
            trial.set_user_attr("reason", f"{type(error).__name__}: {error}")
        except BaseException:
            desk.give_back(trial)
            raise
        trial.set_user_attr("cpu_seconds", time.process_time() - before)
        desk.study.tell(trial, skip_if_finished=True, **outcome)
        if progress is not None:
            progress(f"{how.name}, trial {trial.number}", min(trial.number + 1, how.n_trials), how.n_trials)


def trials_table(desk: Desk) -> pd.DataFrame:
    """One row a trial: ``number``, ``state``, ``rmse`` [dex] where it was finished, ``cpu_seconds``, and parameters."""
    rows = [
        {
            "number": trial.number,
            "state": "reaped" if "reaped" in trial.user_attrs else trial.state.name.lower(),
            "rmse": trial.value if trial.state.name == "COMPLETE" else np.nan,
            "cpu_seconds": trial.user_attrs.get("cpu_seconds", np.nan),
            "reason": trial.user_attrs.get("reason", ""),
        }
        | trial.params
        for trial in desk.study.get_trials(deepcopy=False)
    ]
    return pd.DataFrame(rows)
