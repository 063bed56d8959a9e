"""A search inside each fold of a cross-validation: what ``validate --tune`` does before a fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photfeh.core.types import IntArray
from photfeh.validation.budget import with_budget

if TYPE_CHECKING:
    from photfeh.validation.fitting import Labelled, Task

__all__ = ["NestedSearch", "needs_optuna"]


@dataclass(frozen=True)
class NestedSearch:
    """Finds the parameters of a task among its training and tune stars; the scored ones are not in ``rows``.

    Under the budget ``auto`` the trials train for the epochs of the registry, and the best of them to its end.
    """

    n_trials: int
    weighting: str

    def __call__(
        self, task: Task, data: Labelled, rows: IntArray, folder: Path
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters of the task, and what is noted of the search."""
        from photfeh.validation.tuning.search import Search, checked_space, search

        budget = None if task.budget == "auto" else task.budget
        held = with_budget(task.name, task.params, budget)
        space = {name: values for name, values in checked_space(task.name, None).items() if name not in task.params}
        how = Search(
            name=task.name, n_trials=self.n_trials, space=space, params=held, weighting=self.weighting, seed=task.seed
        )
        found = search(data, rows, folder, how)
        chosen = {name: value for name, value in found.params.items() if name in space}
        noted = {"tuned": chosen, "tuning_rmse": found.value, "tuning_cpu_minutes": found.cpu_minutes}
        return dict(task.params) | chosen, noted


def needs_optuna() -> None:
    """Raise BadInput unless Optuna is installed."""
    from photfeh.validation.tuning.study import needs_optuna as check

    check()
