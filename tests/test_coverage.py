"""Intervals: cross-fitted conformal quantiles, and whether what is shipped covers what it promises."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor

from photfeh.core.errors import BadInput
from photfeh.core.types import FloatArray
from photfeh.inference.calibration import LEVELS, Calibration, cross_coverage
from photfeh.inference.cards import model_card
from photfeh.inference.training import train
from photfeh.inference.verification import pair_splits, shipped_coverage
from photfeh.samples.dataset import Dataset
from photfeh.samples.sequences import FEATURES, Representation, Sequences
from photfeh.validation.splits import make_splits


def stars_with_errors(rng: np.random.Generator, n: int) -> tuple[Sequences, FloatArray, FloatArray]:
    """Stars, heavy-tailed residuals whose size depends on what is known of each star, and a sigma that knows a part."""
    features = np.full((n, len(FEATURES)), 0.1)
    features[:, FEATURES.index("n_epochs")] = rng.integers(12, 90, n)
    features[:, FEATURES.index("amplitude1")] = rng.uniform(0.1, 0.4, n)
    features[:, FEATURES.index("zero_point")] = rng.normal(17.0, 1.0, n)
    features[:, FEATURES.index("max_gap")] = rng.uniform(0.05, 0.3, n)
    X = Sequences(
        np.zeros((n, 8, 2), np.float32), np.ones((n, 8), bool), features, np.arange(n), Representation(n_points=8)
    )
    sigma = np.exp(rng.normal(-2.0, 0.4, n))
    return X, rng.standard_t(5, n) * sigma * np.sqrt(30.0 / X.feature("n_epochs")), sigma


@pytest.mark.parametrize("n", [50, 100, 300])
def test_intervals_from_few_stars_cover_what_they_promise(n):
    """The scale model must not have seen the residuals that it scales: 90 % then means 90 % from 50 stars on."""
    rng = np.random.default_rng(n)
    X, residual, sigma = stars_with_errors(rng, 20_000)
    held = []
    for _ in range(400):
        rows = rng.permutation(len(X))[: n + 300]
        one, two = rows[:n], rows[n:]
        calibration = Calibration.fit(X[one], residual[one], sigma[one])
        held.append(np.mean(np.abs(residual[two]) <= calibration.half_width(X[two], sigma[two], 0.9)))
    assert abs(np.mean(held) - 0.9) < 0.01, np.mean(held)


def test_conformal_quantiles_are_those_of_mapie(rng):
    """One scale for all stars: plain split-conformal regression, which an independent package knows, too."""
    regression = pytest.importorskip("mapie.regression")
    n = 97
    X, residual, _ = stars_with_errors(rng, n)
    X = X[np.zeros(n, int)]
    sigma = np.full(n, 0.1)
    calibration = Calibration.fit(X, residual, sigma)
    parts = np.arange(n) % 10  # where all stars are alike, the scale of a part is that of the mean of the others
    size = np.log(np.maximum(np.abs(residual), 0.05 * np.median(np.abs(residual))))
    scores = np.abs(residual) / np.exp([size[parts != part].mean() for part in parts])
    zero = DummyRegressor(strategy="constant", constant=0.0).fit(np.zeros((n, 1)), scores)
    theirs = regression.SplitConformalRegressor(zero, confidence_level=list(LEVELS), prefit=True)
    theirs.conformalize(np.zeros((n, 1)), scores)
    np.testing.assert_allclose(calibration.quantiles, theirs.predict_interval(np.zeros((1, 1)))[1][0, 1], rtol=1e-6)


def test_stars_without_a_prediction_are_no_misses(rng):
    X, residual, sigma = stars_with_errors(rng, 400)
    fold = np.arange(400) % 5
    some = np.where(np.arange(400) % 3 == 0, np.nan, residual)
    table = cross_coverage(X, some, sigma, fold)
    known = np.isfinite(some)
    pd.testing.assert_frame_equal(table, cross_coverage(X[known], residual[known], sigma[known], fold[known]))
    assert table["n"].iloc[0] == known.sum()


def test_coverage_is_that_of_the_ensemble_with_its_shrunk_errors():
    """Members with errors of their own: their mean errs by sqrt(.1^2 + .1^2 / 4), and the intervals know it."""
    rng = np.random.default_rng(2)
    n = 4000
    X, _, _ = stars_with_errors(rng, n)
    feh, fold, shared = rng.normal(-1.5, 0.4, n), np.arange(n) % 5, 0.1 * rng.normal(size=n)
    sigma = np.full(n, 0.1)
    pairs = {pair: (feh + shared + 0.1 * rng.normal(size=n), sigma) for pair in combinations(range(5), 2)}
    table = shipped_coverage(X, feh, fold, pairs)
    for level in LEVELS:
        assert abs(table[f"coverage_{100 * level:.0f}"].iloc[0] - level) < 0.015
    assert table["median_error"].iloc[0] == pytest.approx(np.sqrt(0.01 + 0.0025), rel=0.06)
    single = cross_coverage(X, shared + 0.1 * rng.normal(size=n), np.full(n, 0.1), fold)
    assert single["median_error"].iloc[0] == pytest.approx(np.sqrt(0.02), rel=0.06)
    assert shipped_coverage(X, feh, fold, {}).empty


def test_members_for_the_coverage_have_not_seen_two_folds(rng):
    feh = rng.normal(size=200)
    splits = list(make_splits(feh, n_folds=4, seed=3))
    pairs = pair_splits(feh, splits, 3)
    assert len(pairs) == 6
    for (one, two), split in pairs.items():
        held = np.union1d(splits[one].score, splits[two].score)
        assert np.array_equal(split.score, held)
        assert not set(held) & set(np.union1d(split.train, split.tune))
    assert pair_splits(feh[:30], list(make_splits(feh[:30], n_folds=5)), 0) == {}
    assert pair_splits(feh, splits[:2], 0) == {}


def test_a_trained_model_tells_the_coverage_of_what_it_ships(dataset: Dataset, tmp_path):
    options = {"model": "ridge-fourier", "representation": "raw"}
    model = train(dataset, tmp_path / "m", verify=True, **options)
    rows = model.notes["coverage"]
    assert rows[0]["stars"] == "all"
    assert rows[0]["n"] == model.notes["n_stars"]
    assert abs(rows[0]["coverage_90"] - 0.9) < 0.04
    assert "no calibration has seen" in model_card(model, "m")
    without = train(dataset, tmp_path / "w", **options)
    assert without.notes["coverage"][0]["n"] == model.notes["n_stars"]
    assert abs(without.notes["coverage"][0]["coverage_90"] - 0.9) < 0.04
    assert without.notes["coverage"] != rows
    assert without.calibration == model.calibration
    assert "Of single members" in model_card(without, "w")
    with pytest.raises(BadInput, match="other settings"):
        train(dataset, tmp_path / "w", verify=True, **options)
