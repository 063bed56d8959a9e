"""The report: figures, and one self-contained HTML page.

What a page shows is decided in ``sections``; ``figures`` and ``figures_stars`` draw, ``tables`` fill tables,
``explorer`` prepares the data of the interactive plot, ``style`` is the one look, ``page`` puts it together.
"""

from __future__ import annotations

from photfeh.report.data import TRUTH_NOTES, ReportData
from photfeh.report.figures import (
    comparison,
    coverage,
    light_curve,
    predicted_against_true,
    residuals,
    running_quantiles,
    training_curves,
)
from photfeh.report.figures_stars import bailey, distributions, metallicity_weights
from photfeh.report.page import write_report

__all__ = [
    "TRUTH_NOTES",
    "ReportData",
    "bailey",
    "comparison",
    "coverage",
    "distributions",
    "light_curve",
    "metallicity_weights",
    "predicted_against_true",
    "residuals",
    "running_quantiles",
    "training_curves",
    "write_report",
]
