from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from photfeh.core.errors import BadInput, UnknownName
from photfeh.inference.calibration import LEVELS, Calibration, cross_coverage
from photfeh.inference.training import train
from photfeh.samples.dataset import Dataset
from photfeh.samples.preparation import prepare
from photfeh.samples.sequences import FEATURES, Representation, Sequences
from photfeh.validation.cross_validate import learning_curve, validate
from photfeh.validation.fitting import Labelled, fit_split, only_train
from photfeh.validation.metrics import metrics_table, score
from photfeh.validation.splits import make_splits, stratified_folds, thinned

QUICK = {"gru": {"epochs": 2}, "svr": {"C": 4.0, "gamma": 0.2}}


@given(st.integers(30, 300), st.integers(2, 10), st.integers(0, 99))
def test_parts_are_disjoint_and_every_star_is_scored_once(n, n_folds, seed):
    feh = np.random.default_rng(seed).normal(-1.5, 0.4, n)
    scored = []
    for split in make_splits(feh, n_folds=n_folds, seed=seed):
        parts = [set(split.train), set(split.tune), set(split.score)]
        assert sum(map(len, parts)) == n
        assert set.union(*parts) == set(range(n))
        scored += list(split.score)
    assert sorted(scored) == list(range(n))


def test_folds_are_stratified(rng):
    feh = rng.normal(-1.5, 0.4, 1000)
    folds = stratified_folds(feh, 5, 0)
    assert np.bincount(folds).tolist() == [200] * 5
    assert np.ptp([feh[folds == k].mean() for k in range(5)]) < 0.02
    assert not np.array_equal(folds, stratified_folds(feh, 5, 1))


def test_the_paper_protocol_stops_on_the_scored_fold(rng):
    for split in make_splits(rng.normal(size=100), protocol="paper"):
        assert np.array_equal(split.tune, split.score)
        assert not set(split.train) & set(split.score)


def test_thinned_parts_lie_within_larger_ones_and_leave_the_score_part_alone(rng):
    feh = rng.normal(size=200)
    for split in make_splits(feh):
        half, quarter = thinned(split, 0.5, 3), thinned(split, 0.25, 3)
        assert thinned(split, 1.0, 3) is split
        assert np.array_equal(half.score, split.score)
        for one, two, three in ((split.train, half.train, quarter.train), (split.tune, half.tune, quarter.tune)):
            assert set(three) < set(two) < set(one)
            assert len(two) == round(0.5 * len(one))
            assert len(three) == round(0.25 * len(one))
    with pytest.raises(BadInput, match="above 0 and at most 1"):
        thinned(split, 0.0, 3)
    with pytest.raises(BadInput, match="leaves no star"):
        thinned(split, 0.01, 3)
    paper = next(iter(make_splits(feh, protocol="paper")))
    half = thinned(paper, 0.5, 3)
    assert set(half.train) < set(paper.train)
    assert len(half.train) == round(0.5 * len(paper.train))
    assert half.tune is paper.tune
    assert half.score is paper.score


def test_more_training_stars_make_a_smaller_error(dataset: Dataset, tmp_path):
    seen = []
    table = learning_curve(
        dataset, tmp_path / "curve", fractions=(1.0, 0.25), models=("ridge-fourier",), folds=3,
        progress=lambda what, done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(done, 6) for done in range(1, 7)]
    mean = table.groupby("fraction").mean(numeric_only=True)
    assert mean["n_train"].loc[0.25] == pytest.approx(0.25 * mean["n_train"].loc[1.0], rel=0.02)
    assert mean["rmse"].loc[1.0] < mean["rmse"].loc[0.25]
    whole = validate(dataset, tmp_path / "whole", models=("ridge-fourier",), folds=3)
    squares = (whole.score["feh_pred"] - whole.score["feh_true"]) ** 2
    assert table["rmse"][table["fraction"] == 1.0].to_numpy() == pytest.approx(
        np.sqrt(squares.groupby(whole.score["fold"]).mean()).to_numpy()
    )


def test_given_folds_are_kept(rng):
    given_folds = rng.integers(0, 10, 200)
    splits = list(make_splits(rng.normal(size=200), folds=given_folds))
    assert [s.fold for s in splits] == list(range(10))
    assert all((given_folds[s.score] == s.fold).all() for s in splits)
    with pytest.raises(BadInput, match="repeats must be 1"):
        list(make_splits(rng.normal(size=200), folds=given_folds, repeats=2))
    with pytest.raises(BadInput, match="unknown protocol"):
        list(make_splits(rng.normal(size=200), protocol="none"))
    with pytest.raises(BadInput, match="5 folds of 3"):
        list(make_splits([1.0, 2, 3]))


def test_stars_that_only_teach_are_in_every_train_part_and_in_no_other(rng):
    feh, extra = rng.normal(-1.5, 0.4, 90), np.arange(90) % 3 == 0
    for protocol in ("nested", "paper"):
        splits = list(make_splits(feh, only_train=extra, protocol=protocol))
        for split in splits:
            assert np.isin(np.flatnonzero(extra), split.train).all()
            assert not extra[np.union1d(split.tune, split.score)].any()
        scored = np.concatenate([split.score for split in splits])
        assert np.array_equal(np.sort(scored), np.flatnonzero(~extra))
    own, alone = next(make_splits(feh, only_train=extra)), next(make_splits(feh[~extra]))
    assert np.array_equal(own.score, np.flatnonzero(~extra)[alone.score])  # they move no other star
    assert np.array_equal(own.tune, np.flatnonzero(~extra)[alone.tune])


def test_only_train_is_read_from_the_star_table_and_kept_out_of_scores_and_calibration(survey, tmp_path):
    stars = survey.stars.assign(only_train=np.where(np.arange(len(survey.stars)) % 4 == 0, "True", ""))
    wrong = np.arange(len(stars)) % 4 == 0
    stars["feh"] = np.where(wrong, 0.9, stars["feh"])
    stars["feh_error"] = np.where(wrong, 1e4, 0.1)  # next to no weight
    made = prepare(survey.curves, stars, tmp_path / "set", labels="column", cuts="none", types=("RRab", "RRc"))
    run = validate(made, tmp_path / "run", models=("ridge-fourier",), folds=3, weighting="inverse-variance")
    taught = made.stars["source_id"].iloc[made.sample][only_train(made.stars.iloc[made.sample])]
    assert len(taught) > 0
    assert not run.score["source_id"].isin(taught).any()
    assert set(taught) <= set(run.out_of_fold.query("part == 'train'")["source_id"])
    ensemble = train(
        made, tmp_path / "model", model="ridge-fourier", folds=3, weighting="inverse-variance", verify=True
    )
    assert ensemble.calibration.n_stars == len(made.sample) - len(taught)
    assert ensemble.notes["out_of_fold"]["rmse"] < 0.5
    assert ensemble.notes["coverage"][0]["n"] == ensemble.calibration.n_stars
    with pytest.raises(BadInput, match=r"only_train is 'perhaps'"):
        only_train(stars.assign(only_train="perhaps"))
    with pytest.raises(BadInput, match="none is left"):
        only_train(stars.assign(only_train=True))


def test_metrics_equal_scikit_learn(rng):
    true, pred, weight = rng.normal(size=50), rng.normal(size=50), rng.random(50)
    values = score(true, pred, weight)
    assert values["r2"] == pytest.approx(r2_score(true, pred, sample_weight=weight))
    assert values["wrmse"] == pytest.approx(root_mean_squared_error(true, pred, sample_weight=weight))
    assert values["wmae"] == pytest.approx(mean_absolute_error(true, pred, sample_weight=weight))
    assert values["rmse"] == pytest.approx(root_mean_squared_error(true, pred))
    assert values["mae"] == pytest.approx(mean_absolute_error(true, pred))
    assert score([1.0, 2], [np.nan, 2])["n"] == 1
    assert np.isnan(score([np.nan], [1.0])["rmse"])


def test_a_run_holds_every_star_once_and_metrics_follow_from_its_table(dataset: Dataset, tmp_path):
    run = validate(dataset, tmp_path / "run", models=("relation", "ridge-fourier"), representations=("spline", "raw"))
    scored = run.score
    for _, group in scored.groupby(["model", "representation"]):
        assert sorted(group["source_id"]) == sorted(dataset.stars["source_id"].iloc[dataset.sample])
    pd.testing.assert_frame_equal(run.metrics, metrics_table(run.out_of_fold), check_dtype=False)
    for name in ("config.toml", "environment.json", "timings.csv", "history.parquet", "failures.csv"):
        assert (run.folder / name).exists()
    assert run.config["validation"]["protocol"] == "nested"
    assert run.config["models"]["ridge-fourier"] == {"degree": 2}


def test_fits_side_by_side_give_the_numbers_of_fits_in_turn(dataset: Dataset, tmp_path):
    arguments = {"models": ("ridge-fourier", "gru", "svr"), "params": {"gru": {"epochs": 2}}, "folds": 3}
    seen = []
    both = validate(dataset, tmp_path / "two", jobs=2, progress=lambda *what: seen.append(what), **arguments)
    one = validate(dataset, tmp_path / "one", **arguments)
    keys = ["model", "representation", "repeat", "fold", "part", "source_id"]
    tables = [run.out_of_fold.sort_values(keys, ignore_index=True) for run in (both, one)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-4, atol=1e-5)
    assert [done for _, done, _ in seen] == list(range(1, 10))
    with pytest.raises(BadInput, match="at least 1"):
        validate(dataset, tmp_path / "none", jobs=0, **arguments)


def test_a_model_is_run_on_the_representations_it_can_read(dataset: Dataset, tmp_path):
    names = ("extreme-deconvolution", "ridge-fourier")
    run = validate(dataset, tmp_path / "run", models=names, representations=("raw", "spline"), folds=3)
    found = set(run.score[["model", "representation"]].itertuples(index=False, name=None))
    assert found == {("extreme-deconvolution", "raw"), ("ridge-fourier", "raw"), ("ridge-fourier", "spline")}
    assert not len(run.failures)
    with pytest.raises(BadInput, match="extreme-deconvolution can read raw only"):
        validate(dataset, tmp_path / "none", models=names, representations=("spline",))


def test_labels_of_the_scored_fold_change_nothing_that_is_fitted(dataset: Dataset):
    data = Labelled.of(dataset, "spline")
    split = next(iter(make_splits(data.feh)))
    feh = data.feh.copy()
    feh[split.score] = np.random.default_rng(0).permutation(feh[split.score]) + 3.0
    error = data.feh_error.copy()
    error[split.score] = 0.9
    other = Labelled(data.sequences, feh, error, data.only_train)
    for name in ("ridge-fourier", "svr", "gru"):
        one = fit_split(name, QUICK.get(name, {}), data, split).model
        two = fit_split(name, QUICK.get(name, {}), other, split).model
        for key in one.arrays_:
            assert np.array_equal(one.arrays_[key], two.arrays_[key]), (name, key)
        assert one.notes_ == two.notes_


def test_a_failing_model_does_not_stop_the_others_and_is_tried_again(dataset: Dataset, tmp_path, monkeypatch):
    from photfeh.models.classical import SupportVector

    def broken(*args):
        raise ValueError("deliberate")

    with monkeypatch.context() as patch:
        patch.setattr(SupportVector, "_fit", broken)
        run = validate(dataset, tmp_path / "run", models=("svr", "ridge-fourier"), params=QUICK, folds=3)
    assert set(run.score["model"]) == {"ridge-fourier"}
    assert run.failures["reason"].tolist() == ["ValueError: deliberate"] * 3
    told = sorted((tmp_path / "run" / "failures").iterdir())
    assert len(told) == 3
    assert "in broken" in told[0].read_text()  # the traceback
    run = validate(dataset, tmp_path / "run", models=("svr", "ridge-fourier"), params=QUICK, folds=3)
    assert set(run.score["model"]) == {"svr", "ridge-fourier"}
    assert not len(run.failures)
    assert not (tmp_path / "run" / "failures").exists()


def test_a_finished_part_is_not_repeated_but_changed_parameters_are(dataset: Dataset, tmp_path, monkeypatch):
    from photfeh.models.classical import SupportVector

    folder, fit, seen = tmp_path / "run", SupportVector._fit, []
    monkeypatch.setattr(SupportVector, "_fit", lambda self, *a: seen.append(self.C) or fit(self, *a))
    validate(dataset, folder, models=("svr",), params=QUICK, folds=3)
    assert len(seen) == 3
    validate(dataset, folder, models=("svr", "ridge-fourier"), params=QUICK, folds=3)
    assert len(seen) == 3
    other = validate(dataset, folder, models=("svr",), params={"svr": {"C": 1.0, "gamma": 0.2}}, folds=3)
    assert seen[3:] == [1.0] * 3
    fresh = validate(dataset, tmp_path / "new", models=("svr",), params={"svr": {"C": 1.0, "gamma": 0.2}}, folds=3)
    pd.testing.assert_frame_equal(other.out_of_fold, fresh.out_of_fold)
    with pytest.raises(BadInput, match="other settings"):
        validate(dataset, folder, models=("svr",), folds=4)


def test_unknown_names_are_refused_before_any_work(dataset: Dataset, tmp_path):
    with pytest.raises(UnknownName, match="model 'gruu'"):
        validate(dataset, tmp_path / "a", models=("gruu",))
    with pytest.raises(UnknownName, match="representation"):
        validate(dataset, tmp_path / "b", representations=("splines",))
    with pytest.raises(BadInput, match="no column 'fold'"):
        validate(dataset, tmp_path / "c", folds="fold")
    assert not list(tmp_path.iterdir())


def test_conformal_intervals_cover_what_they_promise(dataset: Dataset, rng):
    """Residuals with a scale that depends on the number of epochs: coverage holds overall and in both halves."""
    X = dataset.sequences("spline", dataset.sample)
    X = X[np.isfinite(X.shape_features()).all(axis=1)]
    scale = 0.4 / np.sqrt(X.feature("n_epochs"))
    many = X[rng.integers(0, len(X), 6000)]
    scale = 0.4 / np.sqrt(many.feature("n_epochs"))
    residual, sigma = scale * rng.standard_t(6, 6000), np.full(6000, 0.1)
    calibration = Calibration.fit(many[:3000], residual[:3000], sigma[:3000])
    few = many[3000:].feature("n_epochs") < np.median(many.feature("n_epochs"))
    for level in LEVELS:
        inside = np.abs(residual[3000:]) <= calibration.half_width(many[3000:], sigma[3000:], level)
        assert abs(inside.mean() - level) < 0.025
        assert abs(inside[few].mean() - inside[~few].mean()) < 0.06
    again = Calibration.from_dict(calibration.to_dict(), calibration.arrays())
    assert np.array_equal(again.error(many[:50], sigma[:50]), calibration.error(many[:50], sigma[:50]))
    with pytest.raises(BadInput, match="no quantile"):
        calibration.half_width(many, sigma, 0.77)
    with pytest.raises(BadInput, match="at least 30"):
        Calibration.fit(many[:10], residual[:10], sigma[:10])


def test_adapted_intervals_hold_under_covariate_shift():
    """Residuals whose normalised size depends on epochs: the plain quantile fails on few epochs, the weighted holds."""
    rng = np.random.default_rng(4)

    def population(few: float, n: int):
        sparse = rng.random(n) < few
        epochs = np.where(sparse, 15.0, 60.0)
        features = np.full((n, len(FEATURES)), 0.1)
        features[:, FEATURES.index("n_epochs")] = epochs
        features[:, FEATURES.index("amplitude1")] = 0.3
        X = Sequences(
            np.zeros((n, 8, 2), np.float32), np.ones((n, 8), bool), features, np.arange(n), Representation(n_points=8)
        )
        # heavy tails where epochs are few: the same typical size, so that the scale model cannot see it
        tail = np.where(sparse & (rng.random(n) < 0.3), 8.0, 1.0)
        return X, rng.normal(0, 0.1, n) * tail, np.full(n, 0.1)

    calibration = Calibration.fit(*population(0.1, 6000))
    X, residual, sigma = population(0.9, 6000)
    plain = np.mean(np.abs(residual) <= calibration.half_width(X, sigma, 0.9))
    adapted = calibration.adapted(X[:3000], sigma[:3000])
    held = np.mean(np.abs(residual) <= adapted.half_width(X, sigma, 0.9))
    assert abs(held - 0.9) < 0.025, (plain, held)
    assert plain < held - 0.02, (plain, held)
    assert Calibration.from_dict(adapted.to_dict(), adapted.arrays()).quantiles == adapted.quantiles
    with pytest.raises(BadInput, match="at least 100"):
        calibration.adapted(X[:50], sigma[:50])


def test_cross_coverage_is_nominal_for_an_honest_sigma():
    rng = np.random.default_rng(5)
    n = 4000
    features = np.full((n, len(FEATURES)), 0.1)
    features[:, FEATURES.index("n_epochs")] = rng.integers(12, 90, n)
    features[:, FEATURES.index("amplitude1")] = 0.3
    X = Sequences(
        np.zeros((n, 8, 2), np.float32), np.ones((n, 8), bool), features, np.arange(n), Representation(n_points=8)
    )
    sigma = np.exp(rng.normal(-2.0, 0.5, n))
    table = cross_coverage(X, rng.normal(size=n) * sigma, sigma, np.arange(n) % 5)
    assert table["n"].iloc[0] == n
    assert table["n"].iloc[1:].sum() == n  # quarters by epochs; one magnitude makes none
    for level in LEVELS:
        assert abs(table[f"coverage_{100 * level:.0f}"].iloc[0] - level) < 0.02
        assert (abs(table[f"coverage_{100 * level:.0f}"] - level) < 0.045).all()


def test_coverage_by_prediction_and_by_label_are_told_apart(rng):
    """A posterior mean with its true error covers in every quarter of predictions, and less at the ends of labels."""
    n = 8000
    features = np.full((n, len(FEATURES)), 0.1)
    X = Sequences(
        np.zeros((n, 8, 2), np.float32), np.ones((n, 8), bool), features, np.arange(n), Representation(n_points=8)
    )
    feh = rng.normal(-1.5, 0.3, n)
    mean = -1.5 + 0.5 * (feh + rng.normal(0.0, 0.3, n) + 1.5)  # half of the way to the mean
    table = cross_coverage(X, mean - feh, np.full(n, 0.2), np.arange(n) % 5, feh=feh).set_index("stars")["coverage_90"]
    predicted, labels = (table[table.index.str.endswith(end)] for end in ("dex predicted", "dex by label"))
    assert len(predicted) == len(labels) == 4
    assert (abs(predicted - 0.9) < 0.03).all()
    assert labels.iloc[[0, 3]].max() < 0.86
    assert labels.iloc[1:3].min() > 0.94


def test_intervals_hold_at_every_magnitude(rng):
    """Errors that grow with magnitude alone: nominal coverage in each quarter; an unknown magnitude gets the mean."""
    n = 8000
    features = np.full((n, len(FEATURES)), 0.1)
    features[:, FEATURES.index("n_epochs")] = rng.integers(12, 90, n)
    features[:, FEATURES.index("amplitude1")] = 0.3
    magnitude = rng.uniform(13.0, 20.0, n)
    features[:, FEATURES.index("zero_point")] = magnitude
    X = Sequences(
        np.zeros((n, 8, 2), np.float32), np.ones((n, 8), bool), features, np.arange(n), Representation(n_points=8)
    )
    residual, sigma = rng.normal(size=n) * 0.05 * np.exp(0.3 * (magnitude - 16.5)), np.full(n, 0.1)
    table = cross_coverage(X, residual, sigma, np.arange(n) % 5)
    quarters = table[table["stars"].str.endswith("mag")]
    assert len(quarters) == 4
    for level in LEVELS:
        assert (abs(quarters[f"coverage_{100 * level:.0f}"] - level) < 0.03).all()
    calibration = Calibration.fit(X, residual, sigma)
    centred, middle = features[:3].copy(), features[:3].copy()
    centred[:, FEATURES.index("zero_point")] = [np.nan, 0.0, -0.01]
    middle[:, FEATURES.index("zero_point")] = magnitude.mean()
    centred, middle = (replace(X[:3], features=values) for values in (centred, middle))
    expected = calibration.error(middle, sigma[:3])
    assert np.allclose(calibration.error(centred, sigma[:3]), expected)
    bright = replace(
        X[:1], features=np.where(np.arange(len(FEATURES)) == FEATURES.index("zero_point"), 7.6, features[:1])
    )
    assert calibration.error(bright, sigma[:1]) < 0.5 * expected[0]
    assert calibration.error(bright, sigma[:1]) > 0.0
