"""Gradient boosting of regression trees on Fourier features; predictions come from plain saved arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold

from photfeh.core.types import FloatArray
from photfeh.models.base import Regressor, Tune
from photfeh.models.trees import check_trees, flat_trees, walk_trees
from photfeh.samples.sequences import SHAPE_FEATURES, Sequences

__all__ = ["GradientBoosting"]


@dataclass(kw_only=True, eq=False, repr=False)
class GradientBoosting(Regressor):
    """Histogram gradient boosting (Friedman 2001; Ke+ 2017; scikit-learn's) on the shape features.

    ``l2``: penalty on the values of the leaves. The number of trees is fixed: no star is set aside to stop early.
    Sigma is the weighted rms error of an inner ``n_folds``-fold cross-validation on the training rows, the same for
    every star.
    """

    n_trees: int = 300
    learning_rate: float = 0.05
    max_leaves: int = 8
    min_samples_leaf: int = 10
    l2: float = 1.0
    max_features: float = 0.5
    n_folds: int = 5
    seed: int = 0

    def _fit(self, X: Sequences, y: FloatArray, weight: FloatArray, tune: Tune | None) -> None:
        design, weight = X.shape_features(), weight / weight.mean()
        trees, squares = self._trees(design, y, weight), 0.0
        for train, test in KFold(self.n_folds, shuffle=True, random_state=self.seed).split(design):
            inner = self._trees(design[train], y[train], weight[train])
            squares += float(weight[test] @ (inner.predict(design[test]) - y[test]) ** 2)
        self.arrays_ = _flat_nodes(trees)
        self.notes_ = {"sigma": float(np.sqrt(squares / weight.sum()))}

    def _trees(self, design: FloatArray, y: FloatArray, weight: FloatArray) -> HistGradientBoostingRegressor:
        return HistGradientBoostingRegressor(
            max_iter=self.n_trees,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.max_leaves,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2,
            max_features=self.max_features,
            early_stopping=False,
            random_state=self.seed,
        ).fit(design, y, sample_weight=weight)

    def _predict_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        mean, _ = walk_trees(X.shape_features(), self.arrays_)
        # the walk gives the mean over trees; boosting adds them up
        total = self.arrays_["baseline"][0] + len(self.arrays_["root"]) * mean
        return total, np.full(len(X), self.notes_["sigma"])

    def adopt(self, arrays: dict[str, npt.NDArray[Any]], notes: dict[str, Any]) -> Regressor:
        """Take arrays and notes of another fit as the fitted state."""
        check_trees(arrays, len(SHAPE_FEATURES))
        return super().adopt(arrays, notes)


def _flat_nodes(boosting: HistGradientBoostingRegressor) -> dict[str, npt.NDArray[np.generic]]:
    """All trees one after the other; a leaf has no child, -1."""
    trees = [predictor.nodes for (predictor,) in boosting._predictors]
    leaf = [tree["is_leaf"].astype(bool) for tree in trees]
    flat = flat_trees(
        left=[np.where(end, -1, tree["left"].astype(np.int64)) for end, tree in zip(leaf, trees, strict=True)],
        right=[np.where(end, -1, tree["right"].astype(np.int64)) for end, tree in zip(leaf, trees, strict=True)],
        feature=[tree["feature_idx"] for tree in trees],
        threshold=[tree["num_threshold"] for tree in trees],
        value=[tree["value"] for tree in trees],
    )
    return flat | {"baseline": np.asarray(boosting._baseline_prediction, np.float64).ravel()}
