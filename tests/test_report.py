"""Figures: what is drawn, checked against closed forms and independent packages."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn import metrics as oracle

from photfeh import report
from photfeh.core.errors import BadInput, MissingColumn
from photfeh.report.figures.style import INK, PALETTE, inline_svg


def history(folds=3, epochs=12):
    rows = [
        {
            "model": "gru",
            "representation": "spline",
            "repeat": 0,
            "fold": fold,
            "epoch": epoch,
            "train_loss": 0.5 * 0.8**epoch,
            "tune_loss": 0.1 + 0.01 * (epoch - 4 - fold) ** 2,
        }
        for fold in range(folds)
        for epoch in range(epochs)
    ]
    return pd.DataFrame(rows).sample(frac=1.0, random_state=0)  # the order of rows must not matter


def table(n=50, seed=0):
    generator = np.random.default_rng(seed)
    return pd.DataFrame({"period": generator.uniform(0.4, 0.8, n), "phi31": generator.normal(2.0, 0.3, n)})


X = np.linspace(0.0, 1.0, 40)
DRAWN = {
    "light_curve": lambda **k: report.light_curve(X, X, mag_error=0.1 * X, curve=(X, X), **k),
    "predicted_against_true": lambda **k: report.predicted_against_true(X, X + 0.1, error=X, weight=X + 1, **k),
    "residuals": lambda **k: report.residuals(X, X - 0.5, label="period (d)", **k),
    "training_curves": lambda **k: report.training_curves(history(), **k),
    "coverage": lambda **k: report.coverage(X, X**2, **k),
    "comparison": lambda **k: report.comparison(X, X + 0.1, X - 0.1, **k),
    "bailey": lambda **k: report.bailey(X, X, ["RRab", "RRc", None, "RRd"] * 10, **k),
    "metallicity_weights": lambda **k: report.metallicity_weights(X, X + 1, density=X + 1, **k),
}


@pytest.mark.parametrize("name", DRAWN)
def test_draws_on_the_axes_given_and_changes_no_setting(name):
    before = dict(matplotlib.rcParams)
    figure = Figure()
    ax = figure.add_subplot()
    assert DRAWN[name](ax=ax) is ax
    assert ax.has_data()
    assert ax.get_xlabel()
    own = DRAWN[name]()
    assert isinstance(own, Axes)
    assert own.figure is not figure
    own.figure.savefig("/dev/null", format="png")
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_never_loaded():
    code = (
        "import sys, numpy as np, photfeh.report as r\n"
        "r.light_curve([0.1, 0.6], [15, 16]).figure.savefig('/dev/null', format='svg')\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_light_curve_shows_two_cycles_with_bright_at_the_top():
    phase, mag = np.array([0.25, -0.4, 3.9]), np.array([15.0, 15.5, 16.0])
    ax = report.light_curve(phase, mag)
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(x, [0.25, 0.6, 0.9, 1.25, 1.6, 1.9])
    np.testing.assert_array_equal(y, [15.0, 15.5, 16.0] * 2)
    assert ax.yaxis_inverted()
    assert ax.get_xlim() == (0.0, 2.0)
    report.light_curve(phase, mag, ax=ax)  # a second star on the same axes must not turn it back
    assert ax.yaxis_inverted()


def test_light_curve_bars_are_the_errors_and_none_where_unknown():
    ax = report.light_curve([0.1, 0.2], [15.0, 16.0], mag_error=[0.3, np.nan])
    bars = ax.collections[0].get_segments()
    lengths = [segment[1][1] - segment[0][1] for segment in bars]
    np.testing.assert_allclose(lengths, [0.6, 0.0, 0.6, 0.0], atol=1e-12)


def test_periodic_curve_runs_through_both_cycles_and_its_ends():
    grid = np.random.default_rng(1).permutation(np.arange(64) / 64)
    ax = report.light_curve([0.5], [15.0], curve=(grid, 15 + 0.3 * np.cos(2 * np.pi * grid)))
    x, y = ax.lines[-1].get_data()
    assert x[0] <= 0.0
    assert x[-1] >= 2.0
    assert (np.diff(x) > 0).all()
    np.testing.assert_allclose(y, 15 + 0.3 * np.cos(2 * np.pi * x), atol=1e-12)


def test_curve_with_a_seam_is_interrupted_there():
    grid = np.linspace(0.1, 0.8, 50)
    x, y = report.light_curve([0.5], [15.0], curve=(grid, grid)).lines[-1].get_data()
    gap = np.flatnonzero(np.isnan(x))
    assert len(gap) == 1
    np.testing.assert_allclose([x[gap[0] - 1], x[gap[0] + 1]], [0.8, 1.1])
    np.testing.assert_array_equal(np.isnan(x), np.isnan(y))


def test_corner_scores_agree_with_scikit_learn():
    generator = np.random.default_rng(3)
    true = generator.normal(-1.5, 0.4, 300)
    pred = true + generator.normal(0.02, 0.15, 300)
    weight = generator.uniform(0.1, 2.0, 300)
    ax = report.predicted_against_true(np.append(true, [np.nan, -1]), np.append(pred, [-1, np.nan]))
    assert ax.texts[0].get_text().splitlines() == [
        "n = 300",
        f"rmse {oracle.root_mean_squared_error(true, pred):.3f}",
        f"mae {oracle.mean_absolute_error(true, pred):.3f}",
        f"r² {oracle.r2_score(true, pred):.3f}",
    ]
    lines = report.predicted_against_true(true, pred, weight=weight).texts[0].get_text().splitlines()
    assert f"wrmse {oracle.root_mean_squared_error(true, pred, sample_weight=weight):.3f}" in lines
    assert f"r² {oracle.r2_score(true, pred, sample_weight=weight):.3f}" in lines


def test_predicted_against_true_has_equal_axes_and_turns_to_density_for_many_stars():
    generator = np.random.default_rng(4)
    true = generator.normal(-1.5, 0.4, 3001)
    few, many = (report.predicted_against_true(true[:n], true[:n] + 0.1) for n in (3000, 3001))
    assert few.get_xlim() == few.get_ylim()
    assert few.get_aspect() == 1.0
    assert not few.collections
    assert len(few.lines[0].get_xdata()) == 3000
    assert many.collections[0].get_array().sum() == 3001  # every star is in one hexagon
    identity = few.lines[-1]
    np.testing.assert_array_equal(identity.get_xdata(), identity.get_ydata())


@pytest.mark.parametrize("name", ["predicted_against_true", "comparison", "residuals"])
def test_no_star_at_all_still_draws(name):
    nothing = np.array([np.nan, np.nan])
    arguments = {"label": "x"} if name == "residuals" else {}
    getattr(report, name)(nothing, nothing, **arguments).figure.savefig("/dev/null", format="png")


def test_residuals_show_the_running_median_of_a_known_line():
    x = np.linspace(0.0, 1.0, 2001)
    ax = report.residuals(x, 0.2 * x - 0.1, label="x")
    median = next(line for line in ax.lines if line.get_label() == "median")
    np.testing.assert_allclose(median.get_ydata(), 0.2 * median.get_xdata() - 0.1, atol=1e-9)
    assert ax.get_ylim()[0] == -ax.get_ylim()[1]


def test_residuals_count_what_lies_beyond_the_axis():
    residual = np.where(np.arange(1000) < 4, 5.0, 0.1)
    ax = report.residuals(np.arange(1000.0), residual, label="x")
    assert ax.get_ylim()[1] < 5.0
    assert ax.texts[0].get_text() == "4 beyond the axis"


def test_running_quantiles_of_a_gaussian():
    generator = np.random.default_rng(5)
    x, y = generator.uniform(size=200_000), generator.normal(size=200_000)
    _, low, median, high = report.running_quantiles(x, y, bins=4)
    np.testing.assert_allclose(median, 0.0, atol=0.02)
    np.testing.assert_allclose(high, 0.9945, atol=0.02)
    np.testing.assert_allclose(low, -0.9945, atol=0.02)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 6), st.floats(-1e3, 1e3)), min_size=1, max_size=60))
def test_running_quantiles_are_ordered_and_inside_the_data(points):
    x, y = np.array(points, dtype=float).T
    middle, low, median, high = report.running_quantiles(x, y)
    assert (np.diff(middle) > 0).all()
    assert (low <= median).all()
    assert (median <= high).all()
    assert low.min() >= y.min()
    assert high.max() <= y.max()


def test_training_curves_have_two_lines_a_fold_and_a_dot_at_the_least_tune_loss():
    ax = report.training_curves(history(folds=3))
    assert ax.get_yscale() == "log"
    lines = [line for line in ax.lines if len(line.get_xdata()) == 12]
    dots = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert len(lines) == 6
    assert [dot.get_xdata()[0] for dot in dots] == [4, 5, 6]
    np.testing.assert_allclose([dot.get_ydata()[0] for dot in dots], 0.1)
    np.testing.assert_allclose(lines[0].get_ydata(), 0.5 * 0.8 ** np.arange(12))
    with pytest.raises(MissingColumn, match="training history has no column 'tune_loss'"):
        report.training_curves(history().drop(columns="tune_loss"))


def test_coverage_draws_what_it_is_given_and_refuses_per_cent():
    line = report.coverage([0.5, 0.9], [0.4, 0.85]).lines[-1]
    np.testing.assert_array_equal(line.get_xydata(), [[0.5, 0.4], [0.9, 0.85]])
    with pytest.raises(BadInput, match="Divide by 100"):
        report.coverage([50, 90], [0.4, 0.85])


def test_comparison_is_on_common_stars_only():
    true = np.array([-1.0, -1.5, -2.0, -0.5])
    pred = true + np.array([0.3, -0.4, 0.2, np.nan])
    external = true + np.array([0.6, 0.8, np.nan, 0.1])
    ax = report.comparison(pred, external, true)
    text = ax.texts[0].get_text().splitlines()
    rmse = [np.sqrt((0.3**2 + 0.4**2) / 2), np.sqrt((0.6**2 + 0.8**2) / 2)]
    assert text == ["n = 2", f"rmse {rmse[0]:.3f} predicted", f"rmse {rmse[1]:.3f} external"]
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.6, 0.3], [0.8, -0.4]])
    without = report.comparison(pred, external)
    np.testing.assert_allclose(without.lines[0].get_xydata()[:, 1], pred[:2])


def test_bailey_tells_types_apart_and_counts_them():
    ax = report.bailey([0.6, 0.3, 0.5, 0.4], [1.0, 0.4, np.nan, 0.3], pd.Series(["RRab", "RRc", "RRab", None]))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["RRab (1)", "RRc (1)", "untyped (1)"]
    assert len({line.get_color() for line in ax.lines}) == 3
    with pytest.raises(BadInput, match="2 periods, 1 amplitudes"):
        report.bailey([0.5, 0.6], [1.0])


def test_distributions_are_densities_in_common_bins():
    axes = report.distributions(table(500), table(80, seed=2), ["period", "phi31"])
    assert [ax.get_xlabel() for ax in axes] == ["period (d)", "phi31 (rad)"]
    for ax in axes:
        first, second = (patch.get_path().vertices for patch in ax.patches)
        assert set(second[:, 0]) == set(first[:, 0])
    filled = axes[0].patches[0].get_path().vertices[:-1]
    # The area of a closed polygon (shoelace); 99 % of the values are inside.
    area = 0.5 * abs(np.sum(filled[:-1, 0] * filled[1:, 1] - filled[1:, 0] * filled[:-1, 1]))
    assert area == pytest.approx(1.0, abs=1e-6)
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["simulated", "real"]


def test_distributions_take_axes_and_name_what_is_missing():
    figure = Figure()
    given_axes = [figure.add_subplot(1, 2, place) for place in (1, 2)]
    assert report.distributions(table(), None, ["period", "phi31"], ax=given_axes) == given_axes
    with pytest.raises(MissingColumn, match="the real star table has no column 'phi31'"):
        report.distributions(table(), table().drop(columns="phi31"), ["phi31"])
    with pytest.raises(BadInput, match="1 columns but 2 axes"):
        report.distributions(table(), None, ["period"], ax=given_axes)


def test_weights_stand_on_a_second_axis_in_order_of_metallicity():
    feh, weight = np.array([-0.5, -2.0, -1.0, np.nan]), np.array([3.0, 5.0, 1.0, 1.0])
    ax = report.metallicity_weights(feh, weight, density=[0.2, 0.1, 0.4, 1.0])
    right = next(other for other in ax.figure.axes if other is not ax)
    np.testing.assert_array_equal(right.lines[0].get_xydata(), [[-2.0, 5.0], [-1.0, 1.0], [-0.5, 3.0]])
    assert sum(bar.get_width() * bar.get_height() for bar in ax.patches) == pytest.approx(1.0)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.1, 0.4, 0.2])  # in its own unit, that of the histogram


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (report.light_curve, ([0.1, 0.2], [15.0])),
        (report.predicted_against_true, ([0.1, 0.2], [15.0])),
        (report.metallicity_weights, ([0.1, 0.2], [15.0])),
    ],
)
def test_arrays_of_different_length_are_refused(function, arguments):
    with pytest.raises(BadInput, match=r"2.*1"):
        function(*arguments)


def gallery_data():
    """Four stars, residuals .1, -.4, .2, 1.0; the last has no light curve."""
    predictions = pd.DataFrame({"source_id": [1, 2, 3, 4], "feh_true": -1.5, "feh_pred": [-1.4, -1.9, -1.3, -0.5]})
    twice = pd.concat([predictions, predictions.assign(feh_pred=predictions["feh_pred"] + 0.02)])
    curves = {star: {"phase": [0.1, 0.6], "mag": [15.0 + star, 15.3 + star]} for star in (1, 2, 3)}
    curves[2] |= {"curve_phase": X[:-1], "curve_mag": 17.0 + 0.3 * X[:-1], "mag_error": [0.1, 0.1]}
    return curves, twice


def test_gallery_shows_the_worst_stars_first():
    curves, predictions = gallery_data()
    panels = report.gallery(curves, predictions)
    assert [panel.get_title().split("\n")[0] for panel in panels] == ["2", "3", "1"]
    assert panels[0].get_title().endswith("[Fe/H] −1.50, predicted −1.89")
    assert all(panel.yaxis_inverted() and panel.get_xlim() == (0.0, 2.0) for panel in panels)
    np.testing.assert_allclose(sorted(panels[1].lines[0].get_ydata()), [18.0, 18.0, 18.3, 18.3])
    figure = Figure()
    own = [figure.add_subplot(1, 2, place) for place in (1, 2)]
    assert report.gallery(curves, predictions, number=2, ax=own) == own
    with pytest.raises(BadInput, match="3 stars but 2 axes"):
        report.gallery(curves, predictions, ax=own)
    with pytest.raises(BadInput, match="has a light curve"):
        report.gallery({}, predictions)
    with pytest.raises(MissingColumn, match="feh_true"):
        report.gallery(curves, predictions.drop(columns="feh_true"))


def test_inline_svg_is_one_element_of_the_page():
    ax = report.predicted_against_true(X, X + 0.01)
    svg = str(inline_svg(ax.figure, key="left", label='a "quoted" <label>'))
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    assert root.get("aria-label") == 'a "quoted" <label>'
    assert "http" not in svg
    assert "<style" not in svg
    assert len(root.findall(".//use[@href]")) >= len(X)  # every star is a mark of its own
    names = [element.get("id") for element in root.iter() if element.get("id")]
    assert names
    assert all(name.startswith("left-") for name in names)
    assert len(set(names)) == len(names)
    used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg)
    assert {first or second for first, second in used} <= set(names)


def test_inline_svg_takes_its_colours_from_the_page():
    svg = str(inline_svg(report.residuals(X, X - 0.5, label="x").figure, key="k", label=""))
    for color in (INK, PALETTE[0], PALETTE[1]):
        assert color not in svg
    assert {"var(--ink)", "var(--c1)", "var(--c2)"} <= set(re.findall(r"var\(--\w+\)", svg))
    again = str(inline_svg(report.residuals(X, X - 0.5, label="x").figure, key="k", label=""))
    assert svg == again


def test_the_formula_behind_the_labels_is_not_called_the_best():
    metrics = pd.DataFrame(
        {"model": ["relation", "svr"], "representation": "spline", "part": "score", "rmse": [0.0, 0.07]}
    )
    keys = [("svr", "spline"), ("relation", "spline")]
    assert report.ReportData(title="t", truth="same-curve formula", metrics=metrics).ranking() == keys
    assert report.ReportData(title="t", truth="spectroscopy", metrics=metrics).ranking() == keys[::-1]
