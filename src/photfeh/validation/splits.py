"""Stratified folds whose train, tune and score parts never share a star."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from photfeh.core.arrays import owned
from photfeh.core.errors import BadInput
from photfeh.core.types import IntArray

__all__ = ["Protocol", "Split", "check_fraction", "check_seed", "make_splits", "stratified_folds", "thinned"]

Protocol = Literal["nested", "paper"]

_STRATUM = 20


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one fold.

    ``train``: everything fitted is fitted here; ``tune``: early stopping and choices inside the fit; ``score``:
    predicted, never looked at. Under the protocol ``paper`` tune and score are the same stars.
    """

    repeat: int
    fold: int
    train: IntArray
    tune: IntArray
    score: IntArray

    def __post_init__(self) -> None:
        for name in ("train", "tune", "score"):
            object.__setattr__(self, name, owned(getattr(self, name), np.int64))


def check_seed(seed: int) -> None:
    """Raise BadInput unless every generator takes this seed, and those that are counted up from it."""
    if not 0 <= seed < 2**31:
        raise BadInput(f"a seed must be a whole number from 0 to {2**31 - 1}, found {seed}.")


def check_fraction(fraction: float) -> None:
    """Raise BadInput unless a part of the training stars is within (0, 1]."""
    if not 0.0 < fraction <= 1.0:
        raise BadInput(f"the fraction of training stars must be above 0 and at most 1, found {fraction}.")


def stratified_folds(feh: npt.ArrayLike, n_folds: int, seed: int) -> IntArray:
    """Fold 0..n_folds-1 of each star, stratified by label.

    Stars are ranked by label and each run of consecutive stars is dealt out at random (strata of about 20 ranked stars
    as in Dekany & Grebel 2022 and Monti+ 2024, rounded to whole deals).

    Raises
    ------
    BadInput
        if there are fewer stars than folds or fewer than two folds.
    """
    values = np.asarray(feh, np.float64)
    if not 2 <= n_folds <= len(values):
        raise BadInput(f"cannot make {n_folds} folds of {len(values)} stars.")
    rng = np.random.default_rng(seed)
    order = np.argsort(values, kind="stable")
    stratum = max(1, _STRATUM // n_folds) * n_folds
    folds = np.empty(len(values), np.int64)
    for begin in range(0, len(values), stratum):
        members = order[begin : begin + stratum]
        deal = np.concatenate([rng.permutation(n_folds) for _ in range(-(-len(members) // n_folds))])
        folds[members] = rng.permutation(deal[: len(members)])
    return folds


def make_splits(
    feh: npt.ArrayLike,
    *,
    n_folds: int = 5,
    repeats: int = 1,
    protocol: Protocol = "nested",
    seed: int = 0,
    folds: npt.ArrayLike | None = None,
    only_train: npt.ArrayLike | None = None,
) -> Iterator[Split]:
    """All splits, repeat by repeat.

    ``nested``: of the stars outside the scored fold an eighth, stratified, is the tune part. ``paper``: the founding
    protocol, early stopping on the scored fold itself; for comparison only. ``folds`` (N,) imposes given folds. Stars
    ``only_train`` (N,) are in the train part of every split and in no other.

    Raises
    ------
    BadInput
        if given folds and ``repeats`` > 1 are asked for together, or the protocol is unknown.
    """
    values = np.asarray(feh, np.float64)
    check_seed(seed)
    if repeats < 1:
        raise BadInput(f"repeats must be at least 1, found {repeats}.")
    if protocol not in ("nested", "paper"):
        raise BadInput(f"unknown protocol {protocol!r}; known: nested, paper.")
    if folds is not None and repeats != 1:
        raise BadInput("given folds can be run once only: repeats must be 1.")
    extra = np.zeros(len(values), bool) if only_train is None else np.asarray(only_train, bool)
    own, always = np.flatnonzero(~extra), np.flatnonzero(extra)
    values = values[own]
    for repeat in range(repeats):
        here = np.asarray(folds)[own] if folds is not None else stratified_folds(values, n_folds, seed + 1000 * repeat)
        for number, fold in enumerate(np.unique(here)):
            score, rest = np.flatnonzero(here == fold), np.flatnonzero(here != fold)
            if protocol == "paper":
                yield Split(repeat, int(fold), np.union1d(own[rest], always), own[score], own[score])
                continue
            eighth = stratified_folds(values[rest], 8, seed + 1000 * repeat + number + 1) == 0
            train = np.union1d(own[rest[~eighth]], always)
            yield Split(repeat, int(fold), train, own[rest[eighth]], own[score])


def thinned(split: Split, fraction: float, seed: int) -> Split:
    """The same split with a random ``fraction`` of its train and tune stars; a smaller fraction is part of a larger.

    Scored stars are never taken away: under the paper protocol, which tunes on them, only the training stars thin.

    Raises
    ------
    BadInput
        if the fraction is not within (0, 1], or leaves a part without a star.
    """
    check_fraction(fraction)
    if fraction == 1.0:
        return split
    rng = np.random.default_rng([seed, split.repeat, split.fold])
    parts = [np.sort(rng.permutation(rows)[: round(fraction * len(rows))]) for rows in (split.train, split.tune)]
    if np.array_equal(split.tune, split.score):
        parts[1] = split.tune
    if not all(len(rows) for rows in parts):
        raise BadInput(f"a fraction of {fraction} leaves no star of {len(split.train)} to train and {len(split.tune)}.")
    return replace(split, train=parts[0], tune=parts[1])
