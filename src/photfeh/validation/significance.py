"""Is one model better than another, or is it chance? Tests on paired errors, arrays in and numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from photfeh.core.errors import BadInput
from photfeh.core.types import FloatArray

__all__ = [
    "Chosen",
    "Paired",
    "Ranks",
    "Resampled",
    "average_ranks",
    "best_of_many",
    "compare_blocks",
    "corrected_resampled_t",
    "holm",
]


RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Resampled:
    """A number with its interval."""

    value: float
    low: float
    high: float


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """Quotient; two equal numbers, also two zeros, have the ratio 1."""
    return np.where(a == b, 1.0, a / np.where(b > 0, b, np.nan))


@dataclass(frozen=True)
class Paired:
    """Two models on the same blocks of stars: ratio and difference of their rmse with intervals, statistic and p."""

    ratio: Resampled
    difference: Resampled
    t: float
    p: float


def compare_blocks(
    first: npt.ArrayLike, second: npt.ArrayLike, stars: npt.ArrayLike, test_over_train: float, *, level: float = LEVEL
) -> Paired:
    """Rmse of two models over all blocks, with intervals that know the scatter of stars and of training.

    A block is the scored fold of one repeat; or, where two given sets of predictions are judged and not the models that
    made them, a single star, with ``test_over_train`` 0: then the interval knows the scatter of stars only. ln(ratio)
    and the difference are linear in the mean squares of the blocks to first order, and the variance of the terms of
    these sums is that of the corrected resampled t-test (:func:`corrected_resampled_t`): it holds what changes from one
    group of stars, training set and seed to the next.
    The test is that of ln(ratio), so that p < 1 - level exactly where the interval of the ratio leaves out 1.

    Parameters
    ----------
    first, second : (J,) array_like
        Mean squared error of each block [dex^2].
    stars : (J,) array_like
        Number of stars of each block.
    test_over_train : float
        Scored stars over fitted stars, 1 / (k - 1) for k folds.

    Returns
    -------
    Paired
        Ends of intervals, t and p are NaN for a single block.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    n = np.asarray(stars, np.float64)
    share = len(n) * n / n.sum()
    rmse_a, rmse_b = np.sqrt(np.mean(share * a)), np.sqrt(np.mean(share * b))
    ratio, difference = float(_ratio(rmse_a, rmse_b)), float(rmse_a - rmse_b)
    if len(n) < 2 or not np.isfinite(ratio):
        unknown = (np.nan, np.nan)
        return Paired(Resampled(ratio, *unknown), Resampled(difference, *unknown), *unknown)
    scale = max(rmse_a + rmse_b, 1e-300)
    terms = share * 0.5 * (a / max(rmse_a**2, 1e-300) - b / max(rmse_b**2, 1e-300))
    width = float(stats.t.ppf((1 + level) / 2, len(n) - 1))
    reach = width * _corrected_error(terms, test_over_train)
    around = width * _corrected_error(share * (a - b) / scale, test_over_train)
    log_ratio = float(np.log(ratio)) if ratio > 0 else -np.inf
    t, p = _t_test(log_ratio, reach / width, len(n))
    return Paired(
        Resampled(ratio, ratio * float(np.exp(-reach)), ratio * float(np.exp(reach))),
        Resampled(difference, difference - around, difference + around),
        t,
        p,
    )


def _corrected_error(terms: FloatArray, test_over_train: float) -> float:
    """Standard error of the mean of J terms that share training stars: sqrt((1/J + n_test/n_train) var)."""
    spread = float(terms.std(ddof=1))
    # what rounding leaves of terms that are all equal is no scatter
    return spread * np.sqrt(1 / len(terms) + test_over_train) if spread > 1e-12 * (1 + np.abs(terms).max()) else 0.0


def _t_test(value: float, error: float, n: int) -> tuple[float, float]:
    """Statistic and two-sided probability with n - 1 degrees of freedom."""
    if error == 0:
        return (0.0, 1.0) if abs(value) < 1e-12 else (float(np.copysign(np.inf, value)), 0.0)
    return value / error, float(2 * stats.t.sf(abs(value / error), n - 1))


def corrected_resampled_t(differences: npt.ArrayLike, test_over_train: float) -> tuple[float, float]:
    """Corrected resampled t-test of the hypothesis that two models are equally good.

    t = mean(d) / sqrt((1/J + n_test/n_train) var(d)) with J - 1 degrees of freedom. Folds share most of their training
    stars, so their scores are not independent and the usual 1/J is too small (Nadeau & Bengio 2003, Machine Learning
    52, 239, section 5).

    Parameters
    ----------
    differences : (J,) array_like
        Difference of a score between the models, one a fold and repeat.
    test_over_train : float
        Scored stars over fitted stars, 1 / (k - 1) for k folds.

    Returns
    -------
    t, p : float
        Statistic and two-sided probability. NaN with fewer than two folds.
    """
    d = np.asarray(differences, np.float64)
    if len(d) < 2:
        return np.nan, np.nan
    return _t_test(float(d.mean()), _corrected_error(d, test_over_train), len(d))


def holm(p: npt.ArrayLike) -> FloatArray:
    """Probabilities of many tests, adjusted so that one false alarm among all is as rare as stated (Holm 1979)."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")  # NaN last
    known = int(np.isfinite(values).sum())
    adjusted = np.full(len(values), np.nan)
    steps = values[order[:known]] * np.arange(known, 0, -1)
    adjusted[order[:known]] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


@dataclass(frozen=True)
class Chosen:
    """The best of several models: its column, its rmse as it stands, and what it would be had it not been chosen."""

    best: int
    apparent: float
    corrected: Resampled


def best_of_many(
    squares: npt.ArrayLike, *, n_resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Chosen:
    """Rmse of the best of M models, corrected for its having been chosen by that very rmse.

    The best of many is partly the luckiest. Stars are drawn with replacement, the model with the smallest rmse on the
    drawn stars is scored on those that were not drawn, again and again (bootstrap bias corrected cross-validation:
    Tsamardinos, Greasidou & Borboudakis 2018, Machine Learning 107, 1895).

    Parameters
    ----------
    squares : (N, M) array_like
        Squared error of each star [dex^2], averaged over repeats.

    Raises
    ------
    BadInput
        for fewer than two stars, or a value that is not finite.
    """
    values = np.asarray(squares, np.float64)
    if values.ndim != 2 or len(values) < 2 or not np.isfinite(values).all():
        raise BadInput("choosing the best model needs two stars and a finite error of each model for each star.")
    rng, n = np.random.default_rng(seed), len(values)
    means = []
    for _ in range(n_resamples):
        drawn = np.bincount(rng.integers(n, size=n), minlength=n)
        out = drawn == 0
        if out.any():
            means.append(values[out, int(np.argmin(drawn @ values))].mean())
    apparent = values.mean(axis=0)
    best = int(np.argmin(apparent))
    low, high = np.sqrt(np.quantile(means, [(1 - level) / 2, (1 + level) / 2]))
    return Chosen(
        best, float(np.sqrt(apparent[best])), Resampled(float(np.sqrt(np.mean(means))), float(low), float(high))
    )


@dataclass(frozen=True)
class Ranks:
    """Average ranks of k models over N blocks (1 = best), and whether they differ at all.

    ``p`` belongs to the hypothesis that all models are equal (Friedman 1937). Two models whose average ranks differ by
    no more than ``critical_difference`` cannot be told apart (Nemenyi 1963).
    """

    names: tuple[str, ...]
    average: tuple[float, ...]
    n_blocks: int
    statistic: float
    p: float
    critical_difference: float


def average_ranks(
    names: tuple[str, ...], scores: npt.ArrayLike, *, alpha: float = 0.05, n_permutations: int = 9999, seed: int = 0
) -> Ranks:
    """Friedman's test and Nemenyi's critical difference (Demsar 2006, JMLR 7, 1, section 3.2.2), by permutation.

    Blocks are few, one a fold, and there the published approximations raise too many false alarms. So both come from
    the ranks themselves, permuted within blocks: ``p`` is the share of permutations with a statistic at least as large,
    the critical difference is exceeded by any pair of equal models with a probability of ``alpha`` at most.

    Repeats score the same stars again, with models that share most of their training stars. They make the average ranks
    steadier, but they are no further blocks: ranks are averaged over repeats, and judged as one repeat would be.

    Parameters
    ----------
    names : k names
    scores : (N, k) or (R, N, k) array_like
        Error of each model on each block, in R repeats; less is better. Ties share their rank.
    alpha : float
        Significance of the critical difference.

    Raises
    ------
    BadInput
        for fewer than two models or blocks, or scores that are not finite.
    """
    values = np.asarray(scores, np.float64)
    values = values[None] if values.ndim == 2 else values
    known = values.ndim == 3 and values.shape[2] == len(names) and min(values.shape[1:]) >= 2
    if not known or not np.isfinite(values).all():
        raise BadInput(f"ranks need finite scores of 2 blocks and 2 models at least; found shape {values.shape}.")
    _, n, k = values.shape
    ranks = stats.rankdata(values, axis=2)
    # the form with ties (Conover 1999, section 5.8); without ties it is Demsar's chi^2_F
    spread = float((ranks[0] ** 2).sum() - n * k * (k + 1) ** 2 / 4)
    rng = np.random.default_rng(seed)
    sums = np.zeros((n_permutations, k))
    for row in ranks[0]:
        sums += rng.permuted(np.tile(row, (n_permutations, 1)), axis=1)
    average = ranks.mean(axis=(0, 1))
    between, observed = (((s - n * (k + 1) / 2) ** 2).sum(axis=-1) for s in (sums, n * average))
    ranges = np.ptp(sums, axis=1) / n
    return Ranks(
        tuple(names),
        tuple(map(float, average)),
        n,
        float((k - 1) * observed / spread) if spread > 0 else 0.0,
        float((1 + np.sum(between >= observed - 1e-9)) / (1 + n_permutations)),
        float(np.quantile(ranges, 1 - alpha, method="inverted_cdf")),
    )
