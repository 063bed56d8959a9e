"""The one table of figures: a new one is a function, in any file of this folder, and one line here.

Every entry is a function of :mod:`photfeh.report`. One that says which table and columns it is drawn from stands on the
page as well, wherever that table is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from photfeh.report.figures import models, predictions, stars, tuning

__all__ = ["FIGURES", "Figure"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A function that draws, and what the page needs to call it.

    ``table``: name of a table of :class:`photfeh.report.ReportData`; None: not drawn by the page from one table alone.
    ``columns`` of it are the function's first arguments; ``optional`` ones are passed by name, None where absent.
    ``title`` and ``note``, or the number of rows, stand below the figure.
    """

    function: Callable[..., Any]
    table: str | None = None
    columns: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    title: str = ""
    note: str = ""

    def draw(self, tables: object) -> Axes | None:
        """The figure from the tables of a report; None where the table or one of its columns is missing or empty."""
        table: pd.DataFrame | None = getattr(tables, self.table) if self.table else None
        if table is None or table.empty or not set(self.columns) <= set(table.columns):
            return None
        others = {name: table.get(name) for name in self.optional}
        axes: Axes = self.function(*(table[name] for name in self.columns), **others)
        return axes


FIGURES: dict[str, Figure] = {
    "light_curve": Figure(function=predictions.light_curve),
    "predicted_against_true": Figure(function=predictions.predicted_against_true),
    "residuals": Figure(function=predictions.residuals),
    "running_quantiles": Figure(function=predictions.running_quantiles),
    "training_curves": Figure(function=predictions.training_curves),
    "coverage": Figure(function=predictions.coverage),
    "comparison": Figure(function=predictions.comparison),
    "critical_difference": Figure(function=models.critical_difference),
    "model_scores": Figure(function=models.model_scores),
    "accuracy_against_cost": Figure(function=models.accuracy_against_cost),
    "budgets": Figure(function=models.budgets),
    "pit_histogram": Figure(function=models.pit_histogram),
    "learning_curve": Figure(function=models.learning_curve),
    "tuning_history": Figure(function=tuning.tuning_history),
    "parameter_importance": Figure(function=tuning.parameter_importance),
    "parallel_coordinates": Figure(function=tuning.parallel_coordinates),
    "gallery": Figure(function=stars.gallery),
    "distributions": Figure(function=stars.distributions),
    "bailey": Figure(
        function=stars.bailey, table="stars", columns=("period", "peak_to_peak"), optional=("type",),
        title="Period-amplitude diagram.", note="Amplitude of the fitted curve.",
    ),
    "metallicity_weights": Figure(
        function=stars.metallicity_weights, table="weights", columns=("feh", "weight"), optional=("density",),
        title="Sample weights.",
    ),
}  # fmt: skip
"""Every figure by name."""
