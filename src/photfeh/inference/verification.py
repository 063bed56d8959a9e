"""Whether the intervals of an ensemble hold: scored for what is shipped, the mean of members with its shrunk errors.

Every star helped to train all members but one, so the members themselves cannot tell how their mean errs on a star that
nobody has seen. For that, members are fitted without two folds at a time: those without fold j and another one are an
ensemble that has never seen fold j. It is calibrated like the shipped one, on the other folds, and scored on fold j. It
has one member less, and each was fitted to fewer stars: the shipped ensemble is a little better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from photfeh.core.types import FloatArray, IntArray
from photfeh.inference.calibration import LEVELS, MIN_STARS, Calibration, coverage_table, cross_coverage
from photfeh.samples.sequences import Sequences
from photfeh.validation.splits import Split, stratified_folds

__all__ = ["Dist", "Pair", "combined", "member_coverage", "pair_splits", "shipped_coverage", "shrinking"]

Pair = tuple[int, int]
"""Two folds that a member was fitted without."""

Dist = tuple[FloatArray, FloatArray]
"""Mean and sigma of every star."""


def combined(means: FloatArray, sigmas: FloatArray, labels: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and sigma of an ensemble (law of total variance) from those of its members (M, N), each (N,) [dex].

    The mean is kept within the range of the training ``labels``.
    """
    mean = np.clip(means.mean(axis=0), labels.min(), labels.max())
    return mean, np.sqrt(means.var(axis=0) + np.square(sigmas).mean(axis=0))


def shrinking(means: FloatArray, residual: FloatArray) -> float:
    """Factor by which the error of the mean of the members is below that of one member.

    Their mean square errors differ by the members' variance (Krogh & Vedelsby 1995). Stars are seen by all members but
    one, so the variance is taken where it can be had, over the sample.

    Parameters
    ----------
    means : (M, N) predictions of every member [dex]
    residual : (N,) out-of-fold prediction minus label [dex]
    """
    agreement = float(np.mean(np.var(means, axis=0, ddof=1)) * (len(means) - 1) / len(means))
    return float(np.sqrt(max(1.0 - agreement / float(np.mean(residual**2)), 0.5)))


def pair_splits(feh: FloatArray, splits: Sequence[Split], seed: int) -> dict[Pair, Split]:
    """A split without each pair of the scored folds of ``splits``; none where too few stars would remain."""
    if len(splits) < 3 or min(len(feh) - len(split.score) for split in splits) < MIN_STARS:
        return {}
    scored = np.sort(np.concatenate([split.score for split in splits]))
    always = np.setdiff1d(np.arange(len(feh)), scored)  # stars that are never scored
    found: dict[Pair, Split] = {}
    for number, (one, two) in enumerate(combinations(splits, 2)):
        score = np.union1d(one.score, two.score)
        rest = np.setdiff1d(scored, score)
        if len(rest) < 16:
            return {}
        eighth = stratified_folds(feh[rest], 8, seed + number) == 0
        found[one.fold, two.fold] = Split(0, number, np.union1d(rest[~eighth], always), rest[eighth], score)
    return found


def member_coverage(
    X: Sequences, feh: FloatArray, fold: IntArray, residual: FloatArray, sigma: FloatArray
) -> pd.DataFrame:
    """Observed coverage of single members' intervals, calibrated on the other folds, which costs no further fit.

    Parameters are those of :func:`photfeh.inference.calibration.cross_coverage`, (N,) each [dex]; empty where too few
    stars would remain for a calibration.
    """
    if len(feh) - np.unique(fold, return_counts=True)[1].max() < MIN_STARS:
        return pd.DataFrame()
    return cross_coverage(X, residual, sigma, fold, feh=feh)


def shipped_coverage(
    X: Sequences, feh: FloatArray, fold: IntArray, said: Mapping[Pair, Dist], levels: tuple[float, ...] = LEVELS
) -> pd.DataFrame:
    """Observed coverage of the intervals of ensembles that have not seen the stars.

    Parameters
    ----------
    X : Sequences
    feh : (N,) labels [dex]
    fold : (N,) fold of each star
    said : mean and sigma (N,) of a model for each pair of folds, fitted without them [dex]

    Returns
    -------
    DataFrame
        As :func:`photfeh.inference.calibration.cross_coverage`; empty without such models.
    """
    if not said:
        return pd.DataFrame()
    half, residual = np.full((len(levels), len(feh)), np.nan), np.full(len(feh), np.nan)
    for held in np.unique(fold):
        others = [other for other in np.unique(fold) if other != held]
        mine = [said[min(held, other), max(held, other)] for other in others]
        means, sigmas = np.stack([mean for mean, _ in mine]), np.stack([sigma for _, sigma in mine])
        here = fold == held
        own = np.searchsorted(others, fold[~here])  # the member that has not seen the star
        single, sigma = (values[:, ~here][own, np.arange(len(own))] for values in (means, sigmas))
        error = single - feh[~here]
        calibration = Calibration.fit(X[~here], error, sigma, shrink=shrinking(means[:, ~here], error))
        mean, spread = combined(means[:, here], sigmas[:, here], feh[~here])
        residual[here] = mean - feh[here]
        for row, level in enumerate(levels):
            half[row, here] = calibration.half_width(X[here], spread, level)
    return coverage_table(X, residual, half, levels, feh=feh)
