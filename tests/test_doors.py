"""One function or class and one line: a new metric, figure or calibration is seen everywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

import photfeh.report as report
from photfeh.core.errors import UnknownName
from photfeh.inference import calibration
from photfeh.inference.calibration import CALIBRATIONS, Calibration, read_calibration
from photfeh.report.figures.registry import FIGURES, Figure
from photfeh.report.figures.style import new_axes
from photfeh.report.page.tables import metrics_table as page_table
from photfeh.validation.metrics import METRICS, Metric, metrics_table, score


def table(**more):
    n = 40
    true = np.linspace(-2.0, -0.5, n)
    rows = {"model": "m", "representation": "spline", "part": "score", "repeat": 0, "fold": np.arange(n) % 4}
    rows |= {"source_id": np.arange(n), "feh_true": true, "feh_pred": true + 0.1, "weight": 1.0}
    return pd.DataFrame(rows | more)


def test_a_new_metric_is_in_scores_tables_and_page(monkeypatch):
    worst = Metric(lambda true, pred, weight: float(np.abs(pred - true).max()))
    within = Metric(lambda true, pred, weight: float(np.mean(np.abs(pred - true) < 0.05)), best="largest")
    monkeypatch.setitem(METRICS, "worst", worst)
    monkeypatch.setitem(METRICS, "within", within)
    assert score([0.0, 1.0], [0.0, 3.0])["worst"] == 2.0
    assert np.isnan(score([], [])["worst"])
    better = table(model="better", feh_pred=np.linspace(-2.0, -0.5, 40))
    metrics = metrics_table(pd.concat([table(), better]))
    assert metrics.set_index("model")["worst"].round(3).to_dict() == {"m": 0.1, "better": 0.0}
    shown = page_table(metrics, "score", {})
    place = {heading.text: i for i, heading in enumerate(shown.headings)}
    first, second = shown.rows
    assert first[0].text == "better"
    for name in ("worst", "within"):
        assert first[place[name]].best
        assert not second[place[name]].best


def test_every_metric_has_a_meaning():
    for name, metric in METRICS.items():
        assert metric.function.__doc__, name


def periods(period, *, ax=None):
    ax = new_axes(ax)
    ax.hist(period)
    return ax


def test_a_new_figure_is_in_the_report_and_on_its_page(monkeypatch, tmp_path):
    stars = pd.DataFrame({"source_id": np.arange(5), "period": np.linspace(0.4, 0.7, 5)})
    monkeypatch.setitem(FIGURES, "periods", Figure(function=periods))
    assert report.periods is periods
    assert "periods" in dir(report)
    data = report.ReportData(title="Stars", truth="simulation", stars=stars)
    assert "A histogram of periods" not in report.write_report(data, tmp_path / "a").read_text()
    declared = Figure(function=periods, table="stars", columns=("period",), title="A histogram of periods.")
    monkeypatch.setitem(FIGURES, "periods", declared)
    page = report.write_report(data, tmp_path / "b").read_text()
    assert "A histogram of periods." in page
    assert "5 stars." in page
    without = replace(data, stars=stars.drop(columns="period"))
    assert "A histogram of periods" not in report.write_report(without, tmp_path / "c").read_text()


def test_a_figure_of_a_table_without_a_section_gets_one(monkeypatch, tmp_path):
    cuts = pd.DataFrame({"cut": ["a", "b"], "n_before": [9, 5], "n_after": [5, 4]})
    data = report.ReportData(title="Cuts", truth="simulation", cut_flow=cuts)
    assert "Further figures" not in report.write_report(data, tmp_path / "a").read_text()
    declared = Figure(function=periods, table="cut_flow", columns=("n_after",), title="What is left.")
    monkeypatch.setitem(FIGURES, "left", declared)
    page = report.write_report(data, tmp_path / "b").read_text()
    assert "Further figures" in page
    assert "What is left." in page


def test_every_figure_is_a_function_of_the_report():
    for name, figure in FIGURES.items():
        assert name in report.__all__
        assert getattr(report, name) is figure.function, name


def test_what_is_no_figure_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'bayley'"):
        getattr(report, "bayley")  # noqa: B009


class Doubled(Calibration):
    """Errors twice as large."""

    kind: ClassVar[str] = "doubled"

    def half_width(self, X, sigma, level):
        return 2.0 * super().half_width(X, sigma, level)


def test_a_new_calibration_is_read_by_its_name(monkeypatch):
    numbers = dict.fromkeys(("mean", "scale", "least", "most", "coefficients"), (0.0,)) | {"quantiles": (0.1,) * 5}
    arrays = {"scores": np.ones(3, np.float32), "covariates": np.zeros((3, 6), np.float32)}
    doubled = Doubled(**numbers, low=0.0, high=0.0, shrink=1.0, n_stars=3, **arrays)
    assert doubled.to_dict()["kind"] == "doubled"
    with pytest.raises(UnknownName, match=r"calibration 'doubled'.*conformal"):
        read_calibration(doubled.to_dict(), doubled.arrays())
    monkeypatch.setitem(calibration.CALIBRATIONS, "doubled", Doubled)
    back = read_calibration(doubled.to_dict(), doubled.arrays())
    assert type(back) is Doubled
    assert back.to_dict() == doubled.to_dict()
    assert CALIBRATIONS["conformal"] is Calibration
    plain = {name: value for name, value in doubled.to_dict().items() if name != "kind"}
    assert type(read_calibration(plain, doubled.arrays())) is Calibration
