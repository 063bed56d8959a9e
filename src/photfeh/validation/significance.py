"""Is one model better than another, or is it chance? Tests on paired errors, arrays in and numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from photfeh.core.errors import BadInput
from photfeh.core.types import FloatArray

__all__ = [
    "Ranks",
    "Resampled",
    "average_ranks",
    "bootstrap_rmse",
    "corrected_resampled_t",
    "critical_difference",
    "holm",
    "intervals",
    "paired_bootstrap",
]


RESAMPLES = 2000
LEVEL = 0.95


def bootstrap_rmse(squares: npt.ArrayLike, *, n_resamples: int = RESAMPLES, seed: int = 0) -> FloatArray:
    """Rmse of M models on the same resampled stars, shape (n_resamples, M).

    Stars are drawn with replacement, and every model is scored on the same draw, so that what is hard about a star
    cancels in a ratio (paired bootstrap; Efron & Tibshirani 1993).

    Parameters
    ----------
    squares : (N, M) array_like
        Squared error of each star [dex^2]; mean over its repeats. No NaN.
    n_resamples, seed
        Equal seeds draw equal stars.

    Raises
    ------
    BadInput
        if there is no star, or a value is not finite.
    """
    rows = np.ascontiguousarray(np.atleast_2d(np.asarray(squares, np.float64).T))
    n = rows.shape[1]
    if not n or not np.isfinite(rows).all():
        raise BadInput("a bootstrap over stars needs at least one star and a finite error of each model for each star.")
    rng = np.random.default_rng(seed)
    found = np.empty((n_resamples, len(rows)))
    for row in found:
        # a sum along each row, not BLAS: the value of a model must not depend on its neighbours
        row[:] = (rows * np.bincount(rng.integers(n, size=n), minlength=n)).sum(axis=1) / n
    return np.sqrt(found)


@dataclass(frozen=True)
class Resampled:
    """A number with the interval that a bootstrap gives it."""

    value: float
    low: float
    high: float


def paired_bootstrap(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[Resampled, Resampled]:
    """Ratio and difference of two rmse, ``first`` over and minus ``second``, with central percentile intervals.

    Parameters
    ----------
    first, second : (N,) array_like
        Squared errors of the same stars in the same order [dex^2].
    level : float
        Probability inside the interval.

    Returns
    -------
    ratio, difference : Resampled
        Without unit; [dex].
    """
    squares = np.column_stack([np.asarray(first, np.float64), np.asarray(second, np.float64)])
    return intervals(squares, bootstrap_rmse(squares, n_resamples=n_resamples, seed=seed), 0, 1, level=level)


def intervals(
    squares: FloatArray, resampled: FloatArray, first: int, second: int, *, level: float = LEVEL
) -> tuple[Resampled, Resampled]:
    """Ratio and difference of the rmse of two columns, given the result of :func:`bootstrap_rmse`."""
    a, b = np.sqrt(squares[:, first].mean()), np.sqrt(squares[:, second].mean())
    draws_a, draws_b = resampled[:, first], resampled[:, second]
    edges = [(1 - level) / 2, (1 + level) / 2]
    ratio = np.quantile(_ratio(draws_a, draws_b), edges)
    difference = np.quantile(draws_a - draws_b, edges)
    value = float(_ratio(np.array([a]), np.array([b]))[0])
    return Resampled(value, *map(float, ratio)), Resampled(float(a - b), *map(float, difference))


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """Quotient; two equal numbers, also two zeros, have the ratio 1."""
    return np.where(a == b, 1.0, a / np.where(b > 0, b, np.nan))


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
    mean, variance = float(d.mean()), float(d.var(ddof=1)) * (1 / len(d) + test_over_train)
    if variance == 0:
        return (0.0, 1.0) if mean == 0 else (float(np.copysign(np.inf, mean)), 0.0)
    t = mean / np.sqrt(variance)
    return float(t), float(2 * stats.t.sf(abs(t), len(d) - 1))


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
class Ranks:
    """Average ranks of k models over N blocks (1 = best), and whether they differ at all.

    ``p`` belongs to the hypothesis that all models are equal (Friedman 1937). Two models whose average ranks differ
    by less than ``critical_difference`` cannot be told apart (Nemenyi 1963).
    """

    names: tuple[str, ...]
    average: tuple[float, ...]
    n_blocks: int
    statistic: float
    p: float
    critical_difference: float


def average_ranks(names: tuple[str, ...], scores: npt.ArrayLike, *, alpha: float = 0.05) -> Ranks:
    """Friedman's test and Nemenyi's critical difference (Demsar 2006, JMLR 7, 1, section 3.2.2).

    Parameters
    ----------
    names : k names
    scores : (N, k) array_like
        Error of each model on each block (fold of a repeat, or data set); less is better. Ties share their rank.
    alpha : float
        Significance of the critical difference.

    Raises
    ------
    BadInput
        for fewer than two models or blocks, or scores that are not finite.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 2 or values.shape[1] != len(names) or min(values.shape) < 2 or not np.isfinite(values).all():
        raise BadInput(f"ranks need finite scores of 2 blocks and 2 models at least; found shape {values.shape}.")
    n, k = values.shape
    ranks = stats.rankdata(values, axis=1)
    # the form with ties (Conover 1999, section 5.8); without ties it is Demsar's chi^2_F
    spread = float((ranks**2).sum() - n * k * (k + 1) ** 2 / 4)
    between = float(((ranks.sum(axis=0) - n * (k + 1) / 2) ** 2).sum())
    statistic = (k - 1) * between / spread if spread > 0 else 0.0
    return Ranks(
        tuple(names),
        tuple(map(float, ranks.mean(axis=0))),
        n,
        statistic,
        float(stats.chi2.sf(statistic, k - 1)),
        critical_difference(k, n, alpha=alpha),
    )


def critical_difference(k: int, n: int, *, alpha: float = 0.05) -> float:
    """Difference of average ranks that k models over n blocks must exceed: q sqrt(k (k + 1) / (6 n)).

    q is the quantile of the studentised range with infinite degrees of freedom, over sqrt(2) (Demsar 2006, table 5).
    """
    q = float(stats.studentized_range.ppf(1 - alpha, k, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))
