"""When a trial is not worth going on with: Hyperband on the epochs of its first fold, Wilcoxon's test across folds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, WilcoxonPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

__all__ = ["FOLDS_FROM", "EpochsThenFolds", "settled"]

FOLDS_FROM = 1_000_000
"""Steps from here on are folds, those below are epochs of the first fold."""


@contextmanager
def settled() -> Iterator[None]:
    """Optuna warns that this and that may change in a later version; the tests would find it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


class EpochsThenFolds(BasePruner):
    """The two pruners, each with the steps that are its own.

    Hyperband (Li+ 2018) compares tune errors after as many epochs, from a ninth of them on, and lets a third go on.
    Wilcoxon's signed-rank test compares the errors of finished folds with those of the best trial on the same folds.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._hyperband = None
        if epochs >= 9:
            self._hyperband = HyperbandPruner(min_resource=epochs // 9, max_resource=epochs, reduction_factor=3)
        with settled():
            self._wilcoxon = WilcoxonPruner(p_threshold=0.1)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to end the trial."""
        step = trial.last_step
        if step is None:
            return False
        if step < FOLDS_FROM:
            return self._hyperband is not None and self._hyperband.prune(study, trial)
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not done:
            return False
        best = _folds_of(min(done, key=lambda one: (one.value, one.number)))
        view: Any = SimpleNamespace(best_trial=best, direction=study.direction)
        return self._wilcoxon.prune(view, _folds_of(trial))


def _folds_of(trial: FrozenTrial) -> Any:
    steps = {step: value for step, value in trial.intermediate_values.items() if step >= FOLDS_FROM}
    return SimpleNamespace(intermediate_values=steps, number=trial.number)
