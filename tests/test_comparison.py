"""Comparison of models: statistics against closed forms and oracles, merging, tables, page and command."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
from matplotlib.figure import Figure
from scipy import stats

import photfeh as pf
from browser import needs_chromium
from exact import EXACT
from photfeh import report
from photfeh.core.errors import BadInput, MissingColumn
from photfeh.report.comparison_page import comparison_text, write_comparison
from photfeh.report.figures.models import _cliques, pit_values
from photfeh.report.page.sections_comparison import comparison_sections
from photfeh.validation.comparison import compare
from photfeh.validation.cross_validate import validate
from photfeh.validation.groups import group_scores
from photfeh.validation.metrics import metrics_table, score
from photfeh.validation.run import seal_run
from photfeh.validation.significance import (
    average_ranks,
    compare_blocks,
    corrected_resampled_t,
    holm,
)

N, FOLDS, REPEATS = 60, 3, 2
NOISE = {"svr": 0.1, "ridge_fourier": 0.2, "gru": 0.15}


def out_of_fold(models, representations=("spline",), *, folds=FOLDS, seed=0, flatter=1.0):
    """A run's table: residuals depend on model, representation and star alone, not on who else is in the table."""
    feh = np.random.default_rng(1).normal(-1.5, 0.4, N)
    rows = []
    for model in models:
        for kind in representations:
            key = sum(map(ord, model + kind))
            for repeat in range(REPEATS):
                residual = NOISE[model] * np.random.default_rng([key, repeat]).normal(size=N)
                fold = np.random.default_rng([seed, repeat]).permutation(np.arange(N) % folds)
                for k in range(folds):
                    for part, members in (("train", fold != k), ("score", fold == k)):
                        scale = flatter if part == "score" else 0.5
                        star = np.flatnonzero(members)
                        rows.append(
                            pd.DataFrame(
                                {
                                    "model": model, "representation": kind, "repeat": repeat, "fold": k, "part": part,
                                    "source_id": star + 1000, "feh_true": feh[star], "feh_error": 0.1,
                                    "feh_pred": feh[star] + scale * residual[star], "feh_pred_error": NOISE[model],
                                    "weight": 1.0 + star % 3,
                                }
                            )
                        )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def write_run(folder: Path, table: pd.DataFrame, *, sha="a" * 8, protocol="nested", truth="simulation", settings=None):
    folder.mkdir(parents=True)
    table.to_parquet(folder / "out_of_fold.parquet")
    pd.DataFrame(columns=["epoch"]).to_parquet(folder / "history.parquet")
    timings = table[["model", "representation", "repeat", "fold"]].drop_duplicates()
    timings.assign(fit_seconds=2.0, predict_seconds=0.5, n_rows=N).to_csv(folder / "timings.csv", index=False)
    metrics_table(table).to_csv(folder / "metrics.csv", index=False)
    pd.DataFrame(columns=["model", "representation", "repeat", "fold", "reason"]).to_csv(
        folder / "failures.csv", index=False
    )
    config = {
        "dataset": {"stars_sha256": sha, "n_sample": N, "truth": truth},
        "models": {name: {"C": 1.0} | (settings or {}) for name in set(table["model"])},
        "representations": {kind: {"name": kind} for kind in set(table["representation"])},
        "validation": {"protocol": protocol, "weighting": "density"},
    }
    (folder / "config.toml").write_text(tomli_w.dumps(config))
    (folder / "environment.json").write_text(json.dumps({"processor": "a computer"}))
    seal_run(folder, [])
    return folder


def same(one, two):
    """All tables of two comparisons are equal to the last digit."""
    for name in ("metrics", "pairs", "spline", "optimism", "external", "groups", "cost", "out_of_fold"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name), check_exact=True, obj=name)
    assert one.founding.keys() == two.founding.keys()
    for kind, table in one.founding.items():
        pd.testing.assert_frame_equal(table, two.founding[kind], check_exact=True)
    assert one.ranks == two.ranks


# --- statistics -----------------------------------------------------------------------------------------------------


def test_corrected_t_equals_the_example_by_hand():
    """d = 1, 2, 3 with n_test / n_train = 1/2: t = 2 / sqrt((1/3 + 1/2) * 1) = 2.19089, two degrees of freedom."""
    t, p = corrected_resampled_t([1.0, 2.0, 3.0], 0.5)
    assert t == pytest.approx(2 / np.sqrt(5 / 6))
    # Student's t with two degrees of freedom has a closed form: P(|T| > t) = 1 - t / sqrt(2 + t^2)
    assert p == pytest.approx(1 - t / np.sqrt(2 + t**2))
    assert corrected_resampled_t([1.0, 2.0, 3.0], 0.0)[1] == pytest.approx(stats.ttest_1samp([1, 2, 3], 0).pvalue)
    assert corrected_resampled_t([0.0, 0.0], 0.25) == (0.0, 1.0)
    assert corrected_resampled_t([-1.0, -1.0], 0.25) == (-np.inf, 0.0)
    assert np.isnan(corrected_resampled_t([1.0], 0.25)).all()


def test_critical_differences_are_those_of_the_published_formula_where_blocks_are_many():
    """Demsar 2006, section 3.2.2: q sqrt(k (k + 1) / (6 n)), q of table 5 a, alpha = 0.05."""
    for k, q in ((3, 2.343), (10, 3.164)):
        scores = np.random.default_rng(k).random((60, k))
        found = average_ranks(tuple(map(str, range(k))), scores).critical_difference
        assert found == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 60)), rel=0.04)


def test_five_blocks_cannot_tell_two_models_apart():
    """All five won: by chance with a probability of 2 / 32, more than 5 %."""
    found = average_ranks(("a", "b"), np.tile([1.0, 2.0], (5, 1)))
    assert found.p == pytest.approx(2 / 32, abs=0.01)
    assert found.critical_difference == 1.0
    assert average_ranks(("a", "b"), np.tile([1.0, 2.0], (6, 1))).critical_difference < 1.0


def test_friedman_equals_scipy_also_with_ties(rng):
    for scores in (rng.normal(size=(12, 4)), rng.integers(0, 4, (12, 4)).astype(float)):
        found = average_ranks(("a", "b", "c", "d"), scores)
        expected = stats.friedmanchisquare(*scores.T)
        assert found.statistic == pytest.approx(expected.statistic)
        assert found.p == pytest.approx(expected.pvalue, abs=0.03)  # theirs is an approximation
        np.testing.assert_allclose(found.average, stats.rankdata(scores, axis=1).mean(axis=0))
    assert average_ranks(("a", "b"), np.ones((3, 2))).p == 1.0
    with pytest.raises(BadInput, match="2 blocks"):
        average_ranks(("a", "b"), np.ones((1, 2)))
    with pytest.raises(BadInput, match="finite"):
        average_ranks(("a", "b"), [[1, np.nan], [1, 2]])


def test_holm_equals_the_example_by_hand_and_statsmodels(rng):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, np.nan]), [0.03, 0.06, 0.06, np.nan])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    p = rng.random(50) ** 3
    np.testing.assert_allclose(holm(p), multitest.multipletests(p, method="holm")[1])


def test_blocks_of_equal_predictions_have_the_ratio_one(rng):
    squares, ones = rng.random(101), np.ones(101)
    found = compare_blocks(squares, squares, ones, 0.25)
    assert (found.ratio.value, found.ratio.low, found.ratio.high) == (1.0, 1.0, 1.0)
    assert (found.difference.value, found.difference.low, found.difference.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert compare_blocks(np.zeros(5), np.zeros(5), np.ones(5), 0.25).ratio.value == 1.0
    found = compare_blocks(4 * squares, squares, ones, 0.25)
    np.testing.assert_allclose([found.ratio.value, found.ratio.low, found.ratio.high], 2.0)
    assert np.isnan(compare_blocks([1.0], [2.0], [30], 0.25).p)


def test_stars_as_blocks_give_the_standard_error_of_a_mean(rng):
    """With a second model that never changes, the ratio has half the relative error of the first's mean square."""
    squares = rng.random(400)
    found = compare_blocks(squares, np.full(400, squares.mean()), np.ones(400), 0.0)
    expected = stats.t.ppf(0.975, 399) * 0.5 * squares.std(ddof=1) / squares.mean() / 20
    np.testing.assert_allclose([np.log(found.ratio.high), -np.log(found.ratio.low)], expected)


def test_larger_blocks_count_for_more():
    """The same stars in other blocks: values stay, since they are those of all stars."""
    one = compare_blocks([1.0, 4.0], [2.0, 2.0], [10, 30], 0.5)
    assert one.ratio.value == pytest.approx(np.sqrt((10 * 1 + 30 * 4) / (40 * 2)))
    assert one.difference.value == pytest.approx(np.sqrt(3.25) - np.sqrt(2))


# --- comparisons ----------------------------------------------------------------------------------------------------


def test_the_founding_table_holds_training_and_validation_of_each_model(tmp_path):
    table = out_of_fold(NOISE)
    (one,) = compare([write_run(tmp_path / "run", table)])
    founding = one.founding["spline"]
    assert list(founding.index) == ["r2", "wrmse", "wmae", "rmse", "mae", "rank"]
    assert one.ranking("spline") == ["svr", "gru", "ridge_fourier"]
    for model in NOISE:
        for column, part in (("training", "train"), ("validation", "score")):
            rows = table[(table["model"] == model) & (table["part"] == part)]
            expected = score(rows["feh_true"], rows["feh_pred"], rows["weight"])
            for metric in founding.index[:-1]:
                assert founding.at[metric, (model, column)] == pytest.approx(expected[metric])
    assert founding.loc["rank"].dropna().tolist() == [1.0, 2.0, 3.0]


def test_pairs_follow_from_the_table(tmp_path):
    table = out_of_fold(NOISE)
    (one,) = compare([write_run(tmp_path / "run", table)])
    assert len(one.pairs) == 3
    scored = table[table["part"] == "score"].assign(square=lambda t: (t["feh_pred"] - t["feh_true"]) ** 2)
    row = one.pairs.iloc[0]
    assert (row["model"], row["other"], row["n"]) == ("svr", "gru", N)
    folds = np.sqrt(scored.groupby(["model", "repeat", "fold"])["square"].mean())
    rmse = np.sqrt(scored.groupby("model")["square"].mean())
    terms = 0.5 * ((folds["svr"] / rmse["svr"]) ** 2 - (folds["gru"] / rmse["gru"]) ** 2).to_numpy()
    error = np.sqrt((1 / 6 + 1 / 2) * terms.var(ddof=1))
    assert row["ratio"] == pytest.approx(rmse["svr"] / rmse["gru"])
    assert row["t"] == pytest.approx(np.log(row["ratio"]) / error)
    assert row["ratio_high"] == pytest.approx(row["ratio"] * np.exp(stats.t.ppf(0.975, 5) * error))
    assert row["ratio_low"] < row["ratio"] < row["ratio_high"]
    assert one.ranks["spline"].n_blocks == FOLDS  # repeats are no further blocks


def test_order_of_models_and_runs_changes_nothing(tmp_path):
    names = list(NOISE)
    parts = [write_run(tmp_path / name, out_of_fold([name], ("raw", "spline"))) for name in names]
    whole = write_run(tmp_path / "whole", out_of_fold(names, ("raw", "spline")))
    mixed = write_run(tmp_path / "mixed", out_of_fold(names[::-1], ("spline", "raw")).sample(frac=1.0, random_state=0))
    (expected,) = compare([whole], n_resamples=50)
    for runs in ([mixed], parts, parts[::-1], [whole, parts[0]]):
        (found,) = compare(runs, n_resamples=50)
        same(found, expected)


def test_only_scored_rows_enter_the_tests(tmp_path):
    """Leakage guard: nonsense in train and tune rows changes the training columns and nothing else."""
    table = out_of_fold(NOISE, ("raw", "spline"))
    broken = table.copy()
    train = broken["part"] == "train"
    broken.loc[train, ["feh_pred", "feh_true"]] = np.random.default_rng(0).normal(size=(train.sum(), 2))
    tune = broken[train].assign(part="tune", feh_pred=7.0)
    broken = pd.concat([tune, broken], ignore_index=True)
    (one,) = compare([write_run(tmp_path / "one", table)], n_resamples=50)
    (two,) = compare([write_run(tmp_path / "two", broken)], n_resamples=50)
    for name in ("pairs", "spline", "groups", "cost"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name), check_exact=True)
    assert one.ranks == two.ranks
    assert not one.founding["raw"].equals(two.founding["raw"])


def test_contradicting_runs_are_refused_by_name(tmp_path):
    table = out_of_fold(["svr", "gru"])
    good = write_run(tmp_path / "good", table)
    changed = table.copy()
    changed.loc[(changed["model"] == "gru") & (changed["fold"] == 2) & (changed["repeat"] == 1), "feh_pred"] += 0.01
    with pytest.raises(BadInput, match=r"good and .*changed hold different .* of gru on spline, repeat 1, fold 2;"):
        compare([good, write_run(tmp_path / "changed", changed)])
    with pytest.raises(BadInput, match="gru on spline has other settings"):
        compare([good, write_run(tmp_path / "other", out_of_fold(["gru"]), settings={"units": 3})])
    with pytest.raises(BadInput, match="different folds"):
        compare([good, write_run(tmp_path / "folds", out_of_fold(["ridge_fourier"], seed=5))])
    with pytest.raises(BadInput, match="is not a run"):
        compare([tmp_path])
    with pytest.raises(BadInput, match="no run was given"):
        compare([])


def test_data_sets_are_kept_apart_and_protocols_tell_the_optimism(tmp_path):
    nested = write_run(tmp_path / "run", out_of_fold(NOISE))
    paper = write_run(tmp_path / "run-paper", out_of_fold(NOISE, flatter=0.8), protocol="paper")
    other = write_run(tmp_path / "b" / "run", out_of_fold(["svr", "gru"]), sha="b" * 8)
    one, two = compare([paper, other, nested], n_resamples=50)
    assert (one.name, two.name) == ("run", "run-2")
    assert one.protocol == "nested"
    assert (one.optimism["optimism"] / one.optimism["nested_rmse"]).tolist() == pytest.approx([0.2] * 3)
    assert (one.optimism["optimism_low"] > 0).all()
    assert list(one.founding_paper) == ["spline"]
    assert set(two.metrics["model"]) == {"svr", "gru"}
    assert two.optimism.empty
    (alone,) = compare([paper], n_resamples=50)
    assert alone.protocol == "paper"


def test_a_formula_that_is_the_label_has_no_rank(tmp_path):
    table = out_of_fold(["svr", "gru", "ridge_fourier"]).replace({"model": {"ridge_fourier": "relation"}})
    run = write_run(tmp_path / "run", table, truth="same-curve formula")
    (one,) = compare([run], n_resamples=50)
    assert one.ranking("spline") == ["svr", "gru"]
    assert ("relation", "validation") in one.founding["spline"].columns
    assert one.ranks["spline"].names == ("gru", "svr")
    assert len(one.pairs) == 1


@pytest.mark.parametrize("name", ["gru", "relation"])
def test_a_run_of_one_model_is_shown_without_tests(tmp_path, name):
    table = out_of_fold(["gru"]).assign(model=name)
    if name == "relation":
        table["feh_pred"] = table["feh_true"]
    run = write_run(tmp_path / "run", table, truth="same-curve formula")
    (one,) = compare([run], n_resamples=50)
    assert one.pairs.empty
    assert one.ranks == {}
    assert one.ranking("spline") == (["gru"] if name == "gru" else [])
    assert "Is the difference real?" not in write_comparison([one], tmp_path / "out").read_text()
    assert name in comparison_text(one)


def test_models_are_judged_on_the_stars_that_all_predict(tmp_path):
    table = out_of_fold(NOISE)
    table.loc[(table["model"] == "gru") & (table["source_id"] == 1007), "feh_pred"] = np.nan
    (one,) = compare([write_run(tmp_path / "run", table)], n_resamples=50)
    assert set(one.pairs["n"]) == {N - 1}
    without = table[table["source_id"] != 1007]
    (two,) = compare([write_run(tmp_path / "without", without)], n_resamples=50)
    pd.testing.assert_frame_equal(one.pairs, two.pairs)


def test_a_model_that_failed_in_a_fold_has_no_rank_and_the_page_says_so(tmp_path):
    """The easiest fold alone would make the worst model the best one."""
    table = out_of_fold(NOISE)
    easy = (table["model"] == "ridge_fourier") & (table["part"] == "score") & (table["fold"] == 1)
    table.loc[easy, "feh_pred"] = table.loc[easy, "feh_true"]
    table = table[(table["model"] != "ridge_fourier") | (table["fold"] == 1)]
    (one,) = compare([write_run(tmp_path / "run", table)], n_resamples=50)
    assert one.ranking("spline") == ["svr", "gru"]
    assert one.unranked == {("ridge_fourier", "spline"): "failed in a whole fold"}
    assert one.order[-1] == ("ridge_fourier", "spline")
    assert set(one.pairs["model"]) | set(one.pairs["other"]) == {"svr", "gru"}
    assert set(one.pairs["n"]) == {N}
    assert one.founding["spline"]["ridge_fourier"].loc["rank"].isna().all()
    page = write_comparison([one], tmp_path / "out").read_text()
    assert "because it failed in a whole fold: ridge_fourier on spline." in page
    assert "it failed in a whole fold" in comparison_text(one)


def test_ranks_go_by_the_stars_that_all_predict(tmp_path):
    """A model that leaves out the stars that are hard for everybody gains nothing."""
    table = out_of_fold(["svr", "gru"])
    hard = (table["source_id"] < 1010) & (table["part"] == "score")
    table.loc[hard, "feh_pred"] += 3.0
    table.loc[hard & (table["model"] == "gru"), "feh_pred"] = np.nan
    (one,) = compare([write_run(tmp_path / "run", table)], n_resamples=50)
    assert one.ranking("spline") == ["svr", "gru"]
    assert one.metrics.query("part == 'score'").set_index("model")["rmse"].idxmin() == "gru"


def test_the_best_of_many_is_corrected_for_having_been_chosen(tmp_path):
    (one,) = compare([write_run(tmp_path / "run", out_of_fold(NOISE))], n_resamples=200)
    (row,) = one.chosen.to_dict("records")
    assert (row["model"], row["candidates"], row["n"]) == ("svr", 3, N)
    assert row["rmse"] == pytest.approx(one.metrics["rmse"].iloc[0])
    assert row["corrected_low"] < row["corrected_rmse"] < row["corrected_high"]
    assert "best of 3 on spline, svr" in comparison_text(one)


def test_the_spline_is_judged_model_by_model(tmp_path):
    table = out_of_fold(["svr", "gru"], ("spline", "raw", "raw-spline"))
    raw = (table["model"] == "svr") & (table["representation"] == "raw") & (table["part"] == "score")
    spline = (table["model"] == "svr") & (table["representation"] == "spline") & (table["part"] == "score")
    residual = table.loc[spline, "feh_pred"] - table.loc[spline, "feh_true"]
    table.loc[raw, "feh_pred"] = table.loc[raw, "feh_true"].to_numpy() + 2 * residual.to_numpy()
    (one,) = compare([write_run(tmp_path / "run", table)], n_resamples=50)
    rows = one.spline[one.spline["model"] == "svr"]
    pairs = list(zip(rows["representation"], rows["other_representation"], strict=True))
    assert pairs == [("raw-spline", "raw"), ("spline", "raw"), ("spline", "raw-spline")]
    halved = rows.iloc[1]
    np.testing.assert_allclose([halved["ratio"], halved["ratio_low"], halved["ratio_high"]], 0.5)


def test_groups_hold_every_star_once(tmp_path, rng):
    scored = out_of_fold(["svr"]).query("part == 'score'")
    stars = pd.DataFrame(
        {
            "source_id": np.arange(N) + 1000,
            "n_epochs": rng.integers(20, 25, N).astype(float),
            "zero_point": np.where(np.arange(N) < 8, np.nan, rng.normal(15, 1, N)),
            "type": np.where(np.arange(N) < 20, "RRc", "RRab"),
        }
    )
    found = group_scores(scored, stars)
    counts = found.groupby("property")["n"].sum() / REPEATS
    assert counts.to_dict() == {"[Fe/H]": N, "epochs": N, "mean magnitude": N - 8, "type": N}
    poor = scored[(scored["feh_true"] >= -2.0) & (scored["feh_true"] < -1.5)]
    row = found[found["group"] == "-2.0 to -1.5"].iloc[0]
    assert row["rmse"] == pytest.approx(score(poor["feh_true"], poor["feh_pred"])["rmse"])
    assert group_scores(scored)["property"].unique().tolist() == ["[Fe/H]"]


def test_external_predictions_are_scored_on_common_stars(tmp_path):
    table = out_of_fold(["svr", "gru"])
    run = write_run(tmp_path / "run", table)
    truth = table.groupby("source_id")["feh_true"].first()
    others = pd.DataFrame({"source_id": truth.index, "feh": truth.to_numpy() + 0.3, "theirs": truth.to_numpy()}).iloc[
        :40
    ]
    others.to_csv(tmp_path / "others.csv", index=False)
    (one,) = compare([run], external=tmp_path / "others.csv", n_resamples=50)
    assert set(one.external["n"]) == {40}
    np.testing.assert_allclose(one.external["external_rmse"], 0.3)
    np.testing.assert_allclose(one.external["external_bias"], 0.3)
    (column,) = compare([run], datasets=[tmp_path / "others.csv"], external="theirs", n_resamples=50)
    np.testing.assert_allclose(column.external["external_rmse"], 0.0, atol=1e-15)
    with pytest.raises(MissingColumn, match="nobody"):
        compare([run], datasets=[tmp_path / "others.csv"], external="nobody")
    with pytest.raises(BadInput, match="--dataset"):
        compare([run], external="theirs")
    others.assign(source_id=others["source_id"] + 5000).to_csv(tmp_path / "far.csv", index=False)
    with pytest.raises(BadInput, match="no star in common"):
        compare([run], external=tmp_path / "far.csv")


# --- tables, page, figures, command ---------------------------------------------------------------------------------


class Strict(HTMLParser):
    """Every element that is opened is closed, in order; text is collected."""

    VOID = frozenset({"meta", "br", "input", "link", "hr", "img", "path", "use", "stop"})

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.tables = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        self.tables += tag == "table"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("comparison")
    stars = pd.DataFrame({"source_id": np.arange(N) + 1000, "type": "RRab"})
    for name in ("n_epochs", "period", "zero_point", "peak_to_peak"):
        stars[name] = np.random.default_rng(3).uniform(0.4, 0.9, N)
    stars.to_csv(tmp_path / "stars.csv", index=False)
    runs = [
        write_run(tmp_path / "run_1", out_of_fold(NOISE, ("raw", "spline"))),
        write_run(tmp_path / "paper", out_of_fold(NOISE, flatter=0.8), protocol="paper"),
        write_run(tmp_path / "other", out_of_fold(["svr", "gru"]), sha="b" * 8, truth="spectroscopy"),
    ]
    stars.assign(feh=-1.4).to_csv(tmp_path / "theirs.csv", index=False)
    found = compare(runs, datasets=[tmp_path / "stars.csv"], external=tmp_path / "theirs.csv", n_resamples=50)
    return found, write_comparison(found, tmp_path / "out")


def test_founding_tables_are_written_in_four_forms(written):
    (one, _), path = written
    base = path.parent / "run_1" / "founding-spline"
    again = pd.read_csv(f"{base}.csv", header=[0, 1], index_col=0, **EXACT)
    np.testing.assert_array_equal(again.to_numpy(), one.founding["spline"].to_numpy())
    latex = Path(f"{base}.tex").read_text()
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1
    assert latex.count("{") == latex.count("}")
    assert r"ridge\_fourier" in latex
    assert not re.search(r"(?<!\\)_", latex)
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in body if "multicolumn" not in line} == {6}
    html = Path(f"{base}.html").read_text()
    checked = Strict()
    checked.feed(html)
    assert checked.open == []
    assert checked.tables == 1
    assert len(ElementTree.fromstring(html).findall(".//tbody/tr")) == 6
    text = Path(f"{base}.txt").read_text()
    assert f"{one.founding['spline'].at['rmse', ('svr', 'validation')]:.4f}" in text
    assert Path(f"{base}-paper.csv").exists()
    names = ("metrics", "pairs", "spline", "optimism", "external", "groups", "cost", "ranks")
    assert {f"{name}.csv" for name in names} <= {file.name for file in base.parent.iterdir()}


def test_the_page_is_whole_and_says_each_thing_once(written):
    (one, two), path = written
    text = path.read_text()
    page = Strict()
    page.feed(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for title in ("run_1: Does the spline help?", "run_1: Optimism of the paper", "other: Is the difference real?"):
        assert title in text
    assert "Scores against different truths do not compare." in text
    assert "other: Does the spline help?" not in text
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text.split("<main>")[1].split("</main>")[0])
    told = comparison_text(one)
    assert "ranking by validation rmse: svr, gru, ridge_fourier" in told
    assert "optimism of the paper protocol, svr on spline: +" in told
    assert two.truth in comparison_text(two)


def test_groups_of_stars_are_columns_and_models_are_rows(written):
    (one, _), _ = written
    tables = {table.caption: table for section in comparison_sections(one, key="a", named=False)
              for table in section.tables if section.key == "a-groups"}  # fmt: skip
    steps = one.groups[one.groups["property"] == "[Fe/H]"]
    table = tables["rmse by [Fe/H]"]
    assert [head.text for head in table.headings[1:]] == [
        f"{group}\nn = {rows['n'].max()}".replace("-", "−") for group, rows in steps.groupby("group", sort=False)
    ]
    assert len(table.rows) == one.metrics.query("part == 'score'").shape[0]
    first = steps[(steps["model"] == "svr") & (steps["representation"] == "spline")]
    (row,) = (row for row in table.rows if row[0].text == "svr on spline")
    assert [cell.text for cell in row[1:]] == [f"{value:.4f}" for value in first["rmse"]]
    for column in range(1, len(table.headings)):
        shown = [row[column] for row in table.rows]
        assert [cell.best for cell in shown].count(True) == 1
        assert min(shown, key=lambda cell: float(cell.sort)).best


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_lives_in_a_browser(written, browser, dark):
    _, path = written
    browser.open(path.as_uri())
    browser.screen(width=390, height=844, dark=dark)
    assert browser.requests() == [path.as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) / 3 < 60) == dark
    column = "Array.from(document.querySelectorAll('table')[0].tBodies[0].rows, (row) => row.cells[1].dataset.sort)"
    before = browser.evaluate(column)
    browser.evaluate("document.querySelectorAll('table')[0].querySelectorAll('thead button')[1].click()")
    after = browser.evaluate(column)
    assert sorted(before) == sorted(after)
    assert [value for value in after if value] == sorted((value for value in after if value), key=float)
    browser.screen(width=1280, height=900, dark=False)
    assert browser.complaints() == []


@needs_chromium
def test_each_data_set_has_its_own_interactive_plot(written, browser):
    (one, two), path = written
    browser.screen(width=1280, height=900, dark=False)
    browser.open(path.as_uri())
    assert browser.evaluate("Object.keys(photfeh)") == ["d1-predicted", "d2-predicted"]
    title = "document.getElementById('d{}-predicted-card-title').textContent"
    star = str(two.out_of_fold["source_id"].iloc[3])
    assert browser.evaluate(f"photfeh['d2-predicted'].select('{star}')") is True
    assert browser.evaluate(title.format(2)) == star
    assert browser.evaluate(title.format(1)) == "No star chosen"
    menu = "Array.from(document.getElementById('d1-predicted-model').options, (option) => option.text)"
    assert browser.evaluate(menu) == [f"{model} · {kind}" for model, kind in one.order]
    browser.evaluate(
        "document.getElementById('d1-predicted-plane').scrollIntoView({block: 'center', behavior: 'instant'})"
    )
    star = str(one.out_of_fold["source_id"].iloc[5])
    place = browser.evaluate(f"photfeh['d1-predicted'].locate('{star}')")
    browser.click(place["x"], place["y"])
    assert browser.evaluate(title.format(1)) == star
    assert browser.complaints() == []


def test_the_page_tells_how_it_was_made(written):
    (one, _), path = written
    making = path.read_text().split('<section id="d1-making"')[1].split("</section>")[0]
    assert "a" * 8 in making
    assert "a computer" in making
    for run, made in zip(("run_1", "paper"), one.made, strict=True):
        assert f"Configuration and environment of {run}" in making
        assert made["validation"]["weighting"] == "density"


def test_models_joined_by_a_bar_are_those_within_the_critical_difference():
    assert _cliques([1.0, 1.5, 2.4, 4.0], 1.0) == [(1.0, 1.5), (1.5, 2.4)]
    assert _cliques([1.0, 1.5, 1.9, 4.0], 1.0) == [(1.0, 1.9)]
    assert _cliques([1.0, 3.0], 1.0) == []


def test_pit_is_uniform_for_right_errors_and_bowl_shaped_for_small_ones(rng):
    true = rng.normal(-1.5, 0.3, 5000)
    sigma = rng.uniform(0.1, 0.3, 5000)
    pred = true + sigma * rng.normal(size=5000)
    assert stats.kstest(pit_values(true, pred, sigma), "uniform").pvalue > 0.01
    heights = [bar.get_height() for bar in report.pit_histogram(true, pred, sigma / 2).patches[1:]]
    assert heights[0] > 1.5 < heights[-1]
    assert len(pit_values([1, np.nan, 1], [1, 1, 1], [1, 1, 0])) == 1


X = np.array([100.0, 200.0, 400.0])
DRAWN = {
    "critical_difference": lambda **k: report.critical_difference(
        average_ranks(("a", "b", "c"), [[1, 2, 3], [1, 3, 2], [1, 2, 3]]), **k
    ),
    "pit_histogram": lambda **k: report.pit_histogram(X, X + 1, X, **k),
    "learning_curve": lambda **k: report.learning_curve(X, {"gru": 1 / X, "svr": np.ones((3, 4)) / 9}, **k),
    "model_scores": lambda **k: report.model_scores(
        pd.DataFrame({"model": ["a", "b"], "representation": "raw", "rmse": [0.1, 0.2]}), **k
    ),
    "accuracy_against_cost": lambda **k: report.accuracy_against_cost(["a", "b", "c"], X, 1 / X, **k),
}


@pytest.mark.parametrize("name", DRAWN)
def test_figures_draw_on_the_axes_given(name):
    ax = Figure().add_subplot()
    assert DRAWN[name](ax=ax) is ax
    assert ax.has_data()
    own = DRAWN[name]()
    own.figure.savefig("/dev/null", format="png")


def test_learning_curve_shows_means_in_order_of_size():
    ax = report.learning_curve([400, 100], {"gru": [[0.1, 0.3], [0.4, 0.6]]})
    np.testing.assert_allclose(ax.lines[0].get_data(), [[100, 400], [0.5, 0.2]])
    with pytest.raises(BadInput, match="scores of 3 sizes, there are 2"):
        report.learning_curve([1, 2], {"gru": [1, 2, 3]})
    with pytest.raises(BadInput, match="Give one a model"):
        report.accuracy_against_cost(["a"], [1, 2], [1, 2])


def test_model_scores_stand_best_first_with_a_mark_for_every_representation():
    rows = [("svr", "raw", "score", 0.2), ("svr", "spline", "score", 0.1), ("gru", "spline", "score", 0.3)]
    table = pd.DataFrame([*rows, ("gru", "raw", "train", 0.01)], columns=["model", "representation", "part", "rmse"])
    ax = report.model_scores(table, reference=("theirs", 0.15))
    assert [text.get_text() for text in ax.get_yticklabels()] == ["gru", "svr"]
    marks = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(marks["raw"].get_xydata(), [[np.nan, 0], [0.2, 1]])
    np.testing.assert_array_equal(marks["spline"].get_xydata(), [[0.3, 0], [0.1, 1]])
    assert set(marks["theirs"].get_xdata()) == {0.15}
    with pytest.raises(MissingColumn, match="rmse"):
        report.model_scores(table.drop(columns="rmse"))


def test_names_in_the_plot_of_cost_cover_neither_each_other_nor_a_point(rng):
    """Twelve models within a tenth of a decade and a few hundredths of a dex."""
    names = [f"model number {k}" for k in range(12)]
    seconds, rmse = 10 ** rng.uniform(0, 1, 12), rng.uniform(0.1, 0.12, 12)
    ax = report.accuracy_against_cost(names, seconds, rmse)
    ax.figure.draw_without_rendering()
    boxes = {text.get_text(): text.get_window_extent() for text in ax.texts}
    assert sorted(boxes) == sorted(names)
    for name, box in boxes.items():
        assert not any(box.overlaps(other) for key, other in boxes.items() if key != name)
        assert not any(box.contains(*point) for point in ax.transData.transform(np.column_stack([seconds, rmse])))


def test_command_on_a_run_of_its_own(dataset, tmp_path, capsys, monkeypatch):
    import sys

    from photfeh.cli import app as cli

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["photfeh", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 0
        return capsys.readouterr().out

    settings = {"models": ("relation", "ridge-fourier", "svr"), "folds": 3, "params": {"svr": {"C": 4, "gamma": 0.2}}}
    validate(dataset, tmp_path / "run", **settings)
    validate(dataset, tmp_path / "paper", protocol="paper", **settings)
    out = call(
        tmp_path / "run", tmp_path / "paper",
        "--dataset", dataset.folder, "--external", "true_phi31", "--output", tmp_path / "c",
    )  # fmt: skip
    for text in ("dataset: ", "nested protocol", "ranking by validation rmse", "true_phi31", "optimism of the paper"):
        assert text in out
    page = (tmp_path / "c" / "report.html").read_text()
    held = json.loads(re.search(r'id="d1-predicted-data">(.*?)</script>', page).group(1))
    assert len(held["curves"]) == len(held["source_id"]) == len(dataset.sample)
    assert all(len(curve["phase"]) > 5 and len(curve["curve_mag"]) > 60 for curve in held["curves"].values())
    (one,) = pf.compare([tmp_path / "run", tmp_path / "paper"], datasets=[dataset], n_resamples=50)
    scored = one.metrics[one.metrics["part"] == "score"].set_index("model")["rmse"]
    assert one.founding["spline"].at["rmse", ("svr", "validation")] == scored["svr"]
    # these models do not stop early: both protocols fit the same stars
    assert (one.optimism["optimism"] == 0).all()
    assert {"epochs", "mean magnitude", "type"} <= set(one.groups["property"])
    monkeypatch.setattr(sys, "argv", ["photfeh", "compare", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
