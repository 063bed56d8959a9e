"""The report: figures, and one self-contained HTML page.

What a page shows is decided in ``sections``; ``figures`` and ``figures_stars`` draw, ``tables`` fill tables,
``explorer`` prepares the data of the interactive plot, ``style`` is the one look, ``page`` puts it together.
``comparison_page``, with ``sections_comparison`` and ``figures_comparison``, does the same for models side by side.
"""

from __future__ import annotations

from photfeh.report.comparison import comparison_text, write_comparison
from photfeh.report.figures.models import (
    accuracy_against_cost,
    critical_difference,
    learning_curve,
    model_scores,
    pit_histogram,
)
from photfeh.report.figures.predictions import (
    comparison,
    coverage,
    light_curve,
    predicted_against_true,
    residuals,
    running_quantiles,
    training_curves,
)
from photfeh.report.figures.stars import bailey, distributions, gallery, metallicity_weights
from photfeh.report.page.data import TRUTH_NOTES, ReportData
from photfeh.report.page.document import write_report
from photfeh.report.page.explorer import Curves

__all__ = [
    "TRUTH_NOTES",
    "Curves",
    "ReportData",
    "accuracy_against_cost",
    "bailey",
    "comparison",
    "comparison_text",
    "coverage",
    "critical_difference",
    "distributions",
    "gallery",
    "learning_curve",
    "light_curve",
    "metallicity_weights",
    "model_scores",
    "pit_histogram",
    "predicted_against_true",
    "residuals",
    "running_quantiles",
    "training_curves",
    "write_comparison",
    "write_report",
]
