"""`photfeh evaluate`: numbers by hand, a simulation whose coverage is known, and what is matched and what not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import photfeh as pf
from photfeh.cli.app import app
from photfeh.core.errors import BadColumn, BadInput, MissingColumn, PhotfehWarning
from photfeh.core.flags import Flag
from photfeh.inference.evaluation import STATISTICS
from photfeh.inference.output import provenance, write_predictions
from photfeh.report.evaluation import write_evaluation
from photfeh.report.figures.evaluation import evaluation_figure
from photfeh.validation.metrics import score


def made(feh, error=0.1, half=0.2, **more) -> pd.DataFrame:
    feh = np.asarray(feh, float)
    table = pd.DataFrame({"source_id": np.arange(1, len(feh) + 1), "feh": feh, "feh_error": error})
    table = table.assign(feh_lower=feh - half, feh_upper=feh + half, flag=0, period=0.6, n_epochs=40, model="m")
    return table.assign(**more)


def test_numbers_by_hand():
    # residuals 0.1, -0.1, 0.3, 0.0; star 5 has no truth, star 6 no prediction row, star 4's prediction is NaN
    predictions = made([-1.0, -1.5, -2.0, np.nan, -0.7])
    truth = pd.DataFrame({"source_id": [1, 2, 3, 4, 6], "feh": [-1.1, -1.4, -2.3, -1.0, -1.0]})
    truth["feh_error"] = [0.0, np.nan, 0.1, 0.1, 0.1]
    with pytest.warns(PhotfehWarning, match="feh_error"):
        found = pf.evaluate(predictions, truth)
    assert found.counts == {
        "predictions": 5, "truths": 5, "matched": 4, "scored": 3,
        "without_truth": 1, "without_prediction": 1, "no_feh": 1,
    }  # fmt: skip
    overall = found.overall
    assert overall["n"] == 3
    assert overall["bias"] == pytest.approx(0.1)
    assert overall["rmse"] == pytest.approx(np.sqrt(0.11 / 3))
    assert overall["sd"] == pytest.approx(np.sqrt(0.11 / 3 - 0.01))
    assert overall["mae"] == pytest.approx(0.5 / 3)
    assert overall["robust_sd"] == pytest.approx(1.4826 * 0.2)
    assert overall["coverage_90"] == pytest.approx(2 / 3)
    assert overall["coverage_1s"] in (pytest.approx(0.0), pytest.approx(1 / 3), pytest.approx(2 / 3))  # at the edge
    # only star 3 has a truth error: 0.3 / sqrt(0.01 + 0.01)
    assert overall["chi_mean"] == pytest.approx(0.3 / np.sqrt(0.02))
    assert overall["chi_within_1"] == 0.0
    assert np.isnan(overall["bias_low"])  # too few for a bootstrap
    text = str(found)
    assert "3 stars compared: 5 predictions, 5 stars with a known [Fe/H], 4 in both" in text
    assert "1 predictions without truth, 1 true values without prediction, 1 matched stars" in text


@pytest.fixture(scope="module")
def known():
    """4,000 stars with Gaussian errors of known size in prediction and truth."""
    rng = np.random.default_rng(7)
    n = 4000
    true = rng.uniform(-2.4, -0.4, n)
    error = rng.uniform(0.1, 0.3, n)
    feh = true + error * rng.normal(size=n) + 0.02
    flag = np.where(rng.random(n) < 0.1, int(Flag.SPARSE), 0)
    predictions = made(feh, error, 1.645 * error, flag=flag, n_epochs=rng.integers(10, 120, n), type="RRab")
    predictions["model"] = np.where(np.arange(n) % 2, "one", "two")
    truth = pd.DataFrame({"source_id": np.arange(1, n + 1), "feh": true})
    measured = truth.assign(feh=true + rng.normal(0, 0.15, n), feh_error=0.15)
    return predictions, truth, measured


def test_known_coverage_and_scatter_are_found(known):
    predictions, truth, measured = known
    overall = pf.evaluate(predictions, truth).overall
    assert overall["coverage_90"] == pytest.approx(0.9, abs=0.015)
    assert overall["coverage_1s"] == pytest.approx(0.683, abs=0.025)
    assert overall["bias_low"] < 0.02 < overall["bias_high"]
    expected = score(truth["feh"], predictions["feh"])  # the metrics of validation
    for name in ("bias", "sd", "robust_sd", "rmse", "mae"):
        assert overall[name] == pytest.approx(expected[name])
        assert overall[f"{name}_low"] <= overall[name] <= overall[f"{name}_high"]
    assert np.isnan(overall["chi_sd"])
    noisy = pf.evaluate(predictions, measured).overall
    assert noisy["coverage_90"] < 0.85  # the truth has an error of its own ...
    assert noisy["chi_sd"] == pytest.approx(1.0, abs=0.03)  # ... that chi accounts for
    assert noisy["chi_within_1"] == pytest.approx(0.683, abs=0.025)


def test_bootstrap_intervals_are_as_wide_as_theory_says(known):
    overall = pf.evaluate(*known[:2]).overall
    width = overall["bias_high"] - overall["bias_low"]
    assert width == pytest.approx(2 * 1.96 * overall["sd"] / np.sqrt(4000), rel=0.12)


def test_every_bin_holds_its_stars(known):
    predictions, truth, _ = known
    found = pf.evaluate(predictions.assign(zero_point=np.linspace(14, 18, 4000)), truth)
    metrics = found.metrics
    groups = metrics.groupby("by", sort=False)["n"].sum()
    assert metrics.iloc[0]["by"] == "all"
    for by in ("true [Fe/H]", "predicted [Fe/H]", "number of epochs", "magnitude (zero_point)", "type", "model"):
        assert groups[by] == 4000, by
    flag = metrics[metrics["by"] == "flag"].set_index("bin")["n"]
    assert flag["none"] + flag["any"] == 4000
    assert flag["SPARSE"] == (predictions["flag"] == int(Flag.SPARSE)).sum()
    row = metrics[(metrics["by"] == "number of epochs") & (metrics["bin"] == "20 to 30")].iloc[0]
    mine = predictions["n_epochs"].between(20, 29)
    residual = (predictions["feh"] - truth["feh"])[mine]
    assert row["n"] == mine.sum()
    assert row["bias"] == pytest.approx(residual.mean())
    quarters = metrics[metrics["by"] == "magnitude (zero_point)"]["n"]
    assert set(quarters) == {1000}


def test_predictions_of_others_need_only_a_name_and_a_number():
    predictions = pd.DataFrame({"source_id": ["V1", "V2", "V3"], "feh": [-1.0, -1.5, -2.0]})
    found = pf.evaluate(predictions, pd.DataFrame({"name": ["V3", "V1"], "[Fe/H]": [-2.1, -1.0]}))
    assert found.pairs["source_id"].tolist() == ["V1", "V3"]
    assert found.overall["bias"] == pytest.approx(0.05)
    assert np.isnan(found.overall["coverage_90"])
    assert evaluation_figure(found).axes  # without errors and epochs fewer panels


def test_what_cannot_be_compared_is_refused():
    predictions = made([-1.0, -1.5])
    with pytest.raises(BadInput, match="not one identifier of 2 predictions"):
        pf.evaluate(predictions, pd.DataFrame({"source_id": [8, 9], "feh": [-1.0, -1.0]}))
    with pytest.raises(MissingColumn, match="feh"):
        pf.evaluate(predictions, pd.DataFrame({"source_id": [1, 2], "period": [0.5, 0.6]}))
    with pytest.raises(MissingColumn, match="feh"):
        pf.evaluate(pd.DataFrame({"source_id": [1]}), pd.DataFrame({"source_id": [1], "feh": [-1.0]}))
    with pytest.raises(BadColumn, match="no value"):
        pf.evaluate(predictions, pd.DataFrame({"source_id": [1, 2], "feh": [np.nan, np.nan]}))
    twice = pd.concat([predictions, predictions])
    with pytest.raises(BadInput, match="several rows of star 1"):
        pf.evaluate(twice, pd.DataFrame({"source_id": [1], "feh": [-1.0]}))


def test_stars_that_all_lack_a_prediction_give_no_numbers():
    found = pf.evaluate(made([np.nan, np.nan]), pd.DataFrame({"source_id": [1, 2], "feh": [-1.0, -1.0]}))
    assert found.counts["no_feh"] == 2
    assert np.isnan(found.overall["bias"])
    assert "0 stars compared" in str(found)


def test_the_figure_shows_the_stars_and_says_the_numbers(known):
    figure = evaluation_figure(pf.evaluate(known[0].iloc[:500], known[1]))
    scatter, against_truth, against_epochs, histogram = figure.axes
    assert len(scatter.lines[0].get_xdata()) == 500
    assert scatter.get_xlabel() == "true [Fe/H] (dex)"
    assert against_truth.get_ylabel() == "predicted − true (dex)"
    assert against_epochs.get_xlabel() == "number of epochs"
    assert len(histogram.patches) >= 10
    assert "% of truths in the 90 % interval" in histogram.get_title(loc="left")
    assert figure.get_suptitle().startswith("500 stars: bias ")


@pytest.mark.parametrize("suffix", [".parquet", ".fits", ".vot", ".ecsv", ".csv"])
def test_the_command_prints_and_writes(known, suffix, tmp_path):
    predictions, truth, _ = known
    path = tmp_path / f"p{suffix}"
    write_predictions(predictions.iloc[:300], path, provenance(model="m"))
    truth.to_csv(tmp_path / "truth.csv", index=False)
    how = ["evaluate", str(path), "--truth", str(tmp_path / "truth.csv"), "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(app, how)
    assert done.exit_code == 0, done.output
    expected = pf.evaluate(predictions.iloc[:300], truth)
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv")
    for name in STATISTICS:
        assert metrics[name][0] == pytest.approx(expected.overall[name], nan_ok=True)
    assert len(pd.read_csv(tmp_path / "out" / "stars.csv")) == 300
    assert (tmp_path / "out" / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "evaluation.txt").read_text().startswith("300 stars compared")
    write_evaluation(expected, tmp_path / "out")  # and again, whole


def test_columns_of_the_truth_can_be_named(known):
    truth = known[1].rename(columns={"feh": "metal"})
    found = pf.evaluate(known[0], truth, columns={"feh": "metal"})
    assert found.counts["scored"] == 4000
