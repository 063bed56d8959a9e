"""What every method of significance does with models that are equal: the share of false alarms, by simulation.

Errors of a model on a star have a part of the star, one of star and model, and one of the fit that predicted the star:
the scatter of training. All models draw them from the same distributions.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from photfeh.validation.pairs import fold_rmse, optimism, pair_table
from photfeh.validation.significance import average_ranks, best_of_many, compare_blocks, corrected_resampled_t, holm

STARS, FOLDS, DRAWS = 100, 5, 300
MODELS = [("a", "spline"), ("b", "spline"), ("c", "spline")]
STAR_RULES, TRAINING_RULES = (1.0, 0.0), (0.3, 1.0)
MOST = 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / DRAWS)
"""Share of alarms that a test at 5 % exceeds in one of 200 simulations."""


def equal_models(rng, repeats: int, of_model: float, of_fit: float) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors (models, repeats, stars) and the fold of each star in each repeat."""
    folds = np.stack([rng.permutation(np.arange(STARS) % FOLDS) for _ in range(repeats)])
    fits = of_fit * rng.normal(size=(3, repeats, FOLDS))
    error = rng.normal(size=STARS) + of_model * rng.normal(size=(3, 1, STARS))
    error = error + np.take_along_axis(fits, np.broadcast_to(folds, (3, repeats, STARS)), axis=2)
    return (error + 0.3 * rng.normal(size=error.shape)) ** 2, folds


def table_of(squares: np.ndarray, folds: np.ndarray) -> pd.DataFrame:
    """As :func:`photfeh.validation.pairs.squared_errors` makes it."""
    repeats = np.repeat(np.arange(len(folds)), STARS)
    index = pd.MultiIndex.from_arrays(
        [repeats, folds.ravel(), np.tile(np.arange(STARS), len(folds))], names=["repeat", "fold", "source_id"]
    )
    return pd.DataFrame(squares.reshape(3, -1).T, index, pd.MultiIndex.from_tuples(MODELS)).sort_index()


@pytest.mark.parametrize("scatter", [STAR_RULES, TRAINING_RULES], ids=["stars rule", "training rules"])
@pytest.mark.parametrize("repeats", [1, 20])
def test_equal_models_raise_no_more_alarms_than_stated(repeats, scatter):
    rng = np.random.default_rng(repeats)
    alarms = []
    for _ in range(DRAWS):
        squares, folds = equal_models(rng, repeats, *scatter)
        blocks = np.array([[squares[:, r, folds[r] == k].mean(axis=1) for k in range(FOLDS)] for r in range(repeats)])
        flat = blocks.reshape(-1, 3)
        sizes = np.full(len(flat), STARS / FOLDS)
        pairs = [compare_blocks(flat[:, i], flat[:, j], sizes, 0.25) for i, j in ((0, 1), (0, 2), (1, 2))]
        ranks = average_ranks(("a", "b", "c"), np.sqrt(blocks), n_permutations=299)
        difference = np.sqrt(flat[:, 0]) - np.sqrt(flat[:, 1])
        alarms.append(
            {
                "corrected t": corrected_resampled_t(difference, 0.25)[1] < 0.05,
                "interval of the ratio": not pairs[0].ratio.low <= 1 <= pairs[0].ratio.high,
                "interval of the difference": not pairs[0].difference.low <= 0 <= pairs[0].difference.high,
                "Holm": bool((holm([pair.p for pair in pairs]) < 0.05).any()),
                "Friedman": ranks.p < 0.05,
                "Nemenyi": np.ptp(ranks.average) > ranks.critical_difference + 1e-9,
            }
        )
    rates = pd.DataFrame(alarms).mean()
    assert (rates <= MOST).all(), rates


def test_the_tables_of_compare_are_those_tests():
    """The same through the tables: one draw, by hand."""
    squares, folds = equal_models(np.random.default_rng(0), 2, *STAR_RULES)
    table = table_of(squares, folds)
    blocks = np.array([[squares[:, r, folds[r] == k].mean(axis=1) for k in range(FOLDS)] for r in range(2)])
    np.testing.assert_allclose(fold_rmse(table), np.sqrt(blocks))
    row = pair_table(table, [(MODELS[0], MODELS[1])]).iloc[0]
    found = compare_blocks(blocks[..., 0].ravel(), blocks[..., 1].ravel(), np.full(10, 20), 0.25)
    assert (row["t"], row["p"]) == pytest.approx((found.t, found.p))


def test_no_optimism_is_found_where_there_is_none():
    """Two protocols that train equally well, each with its own luck: neither sign is claimed too often."""
    rng = np.random.default_rng(7)
    alarms = []
    for _ in range(200):
        squares, folds = equal_models(rng, 3, *TRAINING_RULES)
        table = table_of(squares, folds)
        nested, paper = table[[MODELS[0]]], table[[MODELS[1]]].rename(columns={"b": "a"}, level=0)
        row = optimism(nested, paper).iloc[0]
        alarms.append(row["optimism_low"] > 0 or row["optimism_high"] < 0)
    assert np.mean(alarms) <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 200)


def test_two_sets_of_predictions_are_told_apart_at_the_stated_rate():
    """Stars as blocks: what is said of given predictions on further stars."""
    rng = np.random.default_rng(3)
    alarms = []
    for _ in range(1000):
        squares, _ = equal_models(rng, 1, *STAR_RULES)
        found = compare_blocks(squares[0, 0], squares[1, 0], np.ones(STARS), 0.0)
        alarms.append(not found.ratio.low <= 1 <= found.ratio.high)
    assert 0.03 < np.mean(alarms) < 0.075


def test_a_real_difference_is_found():
    """Methods that never raise an alarm would pass everything above."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(100):
        squares, folds = equal_models(rng, 4, 0.5, 0.2)
        squares[1] *= 3.0
        row = pair_table(table_of(squares, folds), [(MODELS[0], MODELS[1])]).iloc[0]
        found.append(row["p"] < 0.05)
    assert np.mean(found) > 0.8


def test_the_best_of_many_equal_models_is_corrected():
    """Ten models with a true rmse of 1: the best looks better than that, the corrected one does not; intervals hold."""
    rng = np.random.default_rng(1)
    apparent, corrected, held = [], [], []
    for _ in range(150):
        error = 0.7 * rng.normal(size=(60, 1)) + np.sqrt(1 - 0.49) * rng.normal(size=(60, 10))
        found = best_of_many(error**2, n_resamples=150)
        apparent.append(found.apparent**2)
        corrected.append(found.corrected.value**2)
        held.append(found.corrected.low <= 1 <= found.corrected.high)
    assert np.mean(apparent) < 0.90
    assert abs(np.mean(corrected) - 1.0) < 0.06
    assert np.mean(held) > 0.9
