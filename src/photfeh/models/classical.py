"""Classical regressions on Fourier features or flattened sequences; predictions come from plain saved arrays."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.svm import SVR

from photfeh.core.errors import BadInput, UnknownName
from photfeh.core.kernels import kernel, over_stars, row_products
from photfeh.core.types import FloatArray
from photfeh.models.base import Regressor, Tune
from photfeh.models.trees import check_trees, flat_trees, walk_trees
from photfeh.samples.sequences import Sequences

__all__ = ["RandomForest", "RidgeFourier", "SupportVector"]

Inputs = Literal["fourier", "sequence"]


def _inputs(X: Sequences, inputs: str) -> FloatArray:
    """Design matrix: the shape features, or the flattened series (missing steps as zero) with the period."""
    if inputs == "fourier":
        return X.shape_features()
    if inputs == "sequence":
        flat = np.where(X.mask[..., None], X.values, 0.0).reshape(len(X), -1).astype(np.float64)
        return np.column_stack([flat, X.feature("period")])
    raise UnknownName("inputs", inputs, ("fourier", "sequence"))


class _Scaled(Regressor):
    """Standardised inputs and targets, the statistics from (weighted) training rows; constant residual sigma."""

    def _standardise(self, design: FloatArray, y: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        mean = np.average(design, axis=0, weights=weight)
        scale = np.sqrt(np.average((design - mean) ** 2, axis=0, weights=weight))
        scale[scale < 1e-9] = 1.0
        y_mean = np.average(y, weights=weight)
        y_scale = max(np.sqrt(np.average((y - y_mean) ** 2, weights=weight)), 1e-9)
        self.arrays_ = {"mean": mean, "scale": scale, "y": np.array([y_mean, y_scale])}
        return (design - mean) / scale, (y - y_mean) / y_scale

    def _scaled(self, design: FloatArray) -> FloatArray:
        return np.asarray((design - self.arrays_["mean"]) / self.arrays_["scale"])

    def _unscaled(self, z: FloatArray) -> FloatArray:
        return np.asarray(self.arrays_["y"][0] + self.arrays_["y"][1] * z)


class RidgeFourier(_Scaled):
    """Ridge regression on all products up to ``degree`` of the standardised Fourier features.

    The penalty minimises the leave-one-out error (generalised cross-validation) of the training rows.
    """

    def __init__(self, degree: int = 2) -> None:
        self.degree = degree

    def _fit(self, X: Sequences, y: FloatArray, weight: FloatArray, tune: Tune | None) -> None:
        weight = weight / weight.mean()  # neither penalty nor sigma may depend on the scale of the weights
        scaled, target = self._standardise(X.shape_features(), y, weight)
        products = _products(scaled, self.degree)
        ridge = RidgeCV(alphas=np.logspace(-2, 4, 25)).fit(products, target, sample_weight=weight)
        leave_one_out = np.sqrt(max(-float(ridge.best_score_), 1e-12))
        self.arrays_ |= {"coefficients": np.asarray(ridge.coef_), "intercept": np.atleast_1d(ridge.intercept_)}
        self.notes_ = {"alpha": float(ridge.alpha_), "sigma": float(leave_one_out * self.arrays_["y"][1])}

    def _predict_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        products = _products(np.clip(self._scaled(X.shape_features()), -6.0, 6.0), self.degree)
        mean = self._unscaled(row_products(products, self.arrays_["coefficients"]) + self.arrays_["intercept"][0])
        return mean, np.full(len(X), self.notes_["sigma"])


def _products(x: FloatArray, degree: int) -> FloatArray:
    """Columns of x and their products up to ``degree`` (without the constant)."""
    blocks, last, first = [x], x, np.arange(x.shape[1])
    for _ in range(degree - 1):
        columns = [(last[:, i] * x[:, j], j) for i in range(last.shape[1]) for j in range(first[i], x.shape[1])]
        last = np.column_stack([column for column, _ in columns])
        first = np.array([j for _, j in columns])
        blocks.append(last)
    return np.hstack(blocks)


class SupportVector(_Scaled):
    """Support vector regression with a radial kernel (scikit-learn's SVR).

    ``C`` and ``gamma`` (relative to 1 / number of inputs) given as ``None`` are chosen from a small grid by 3-fold
    cross-validation inside the training rows.
    """

    def __init__(
        self, inputs: Inputs = "fourier", C: float | None = None, gamma: float | None = None, epsilon: float = 0.1
    ) -> None:
        self.inputs = inputs
        self.C = C
        self.gamma = gamma
        self.epsilon = epsilon

    def _fit(self, X: Sequences, y: FloatArray, weight: FloatArray, tune: Tune | None) -> None:
        scaled, target = self._standardise(_inputs(X, self.inputs), y, weight)
        weight = weight / weight.mean()
        grid = [
            (c, g / scaled.shape[1])
            for c in ((2.0, 8.0) if self.C is None else (self.C,))
            for g in ((0.1, 0.3) if self.gamma is None else (self.gamma,))
        ]
        errors = [_inner_error(scaled, target, weight, c, g, self.epsilon) for c, g in grid]
        best = int(np.argmin(errors))
        machine = SVR(C=grid[best][0], gamma=grid[best][1], epsilon=self.epsilon, cache_size=500)
        machine.fit(scaled, target, sample_weight=weight)
        self.arrays_ |= {
            "support": np.asarray(machine.support_vectors_),
            "dual": np.asarray(machine.dual_coef_[0]),
            "intercept": np.asarray(machine.intercept_),
        }
        sigma = errors[best] * float(self.arrays_["y"][1])
        self.notes_ = {"C": grid[best][0], "gamma": grid[best][1], "sigma": sigma}

    def _predict_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        scaled = self._scaled(_inputs(X, self.inputs))
        if scaled.shape[1:] != self.arrays_["support"].shape[1:] or scaled.shape[1] != len(self.arrays_["mean"]):
            raise BadInput(f"this model was fitted to other inputs than these {scaled.shape[1]}.")
        if self.arrays_["dual"].shape != (len(self.arrays_["support"]),):
            raise BadInput("support vectors and their weights differ in number.")
        kernel_sum = _radial_sum(scaled, self.arrays_["support"], self.arrays_["dual"], self.notes_["gamma"])
        return self._unscaled(kernel_sum + self.arrays_["intercept"][0]), np.full(len(X), self.notes_["sigma"])


def _inner_error(x: FloatArray, y: FloatArray, weight: FloatArray, c: float, gamma: float, epsilon: float) -> float:
    """Weighted rms error of 3-fold cross-validation."""
    total = 0.0
    for train, test in KFold(3, shuffle=True, random_state=0).split(x):
        machine = SVR(C=c, gamma=gamma, epsilon=epsilon, cache_size=500)
        machine.fit(x[train], y[train], sample_weight=weight[train])
        total += float(weight[test] @ (machine.predict(x[test]) - y[test]) ** 2)
    return float(np.sqrt(total / weight.sum()))


def _radial_sum(x: FloatArray, support: FloatArray, dual: FloatArray, gamma: float) -> FloatArray:
    """sum_s dual_s exp(-gamma |x - support_s|^2) of every row of x, shape (N,)."""
    out = np.zeros(len(x))
    over_stars(_add_radial, len(x), (x, support, dual, gamma), (out,), least=8)
    return out


@kernel()
def _add_radial(
    first: int, last: int, x: FloatArray, support: FloatArray, dual: FloatArray, gamma: float, out: FloatArray
) -> None:
    for i in range(first, last):
        for s in range(len(support)):
            distance = 0.0
            for j in range(x.shape[1]):
                distance += (x[i, j] - support[s, j]) ** 2
            out[i] += dual[s] * np.exp(-gamma * distance)


class RandomForest(Regressor):
    """Random forest (Breiman 2001; scikit-learn's), stored as flat arrays of nodes."""

    def __init__(
        self,
        inputs: Inputs = "fourier",
        n_trees: int = 300,
        min_samples_leaf: int = 2,
        max_features: float = 0.4,
        seed: int = 0,
    ) -> None:
        self.inputs = inputs
        self.n_trees = n_trees
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.seed = seed

    def _fit(self, X: Sequences, y: FloatArray, weight: FloatArray, tune: Tune | None) -> None:
        # scikit-learn compares inputs as float32; rounding them first keeps our own walk through the trees exact
        design = _inputs(X, self.inputs).astype(np.float32)
        forest = RandomForestRegressor(
            self.n_trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            random_state=self.seed,
            n_jobs=1,
        ).fit(design, y, sample_weight=weight)
        trees = [tree.tree_ for tree in forest.estimators_]
        self.arrays_ = flat_trees(
            left=[tree.children_left for tree in trees],
            right=[tree.children_right for tree in trees],
            feature=[tree.feature for tree in trees],
            threshold=[tree.threshold for tree in trees],
            value=[tree.value[:, 0, 0] for tree in trees],
        )
        self.notes_ = {"n_inputs": int(design.shape[1])}

    def _predict_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        design = _inputs(X, self.inputs).astype(np.float32).astype(np.float64)
        if design.shape[1] != self.notes_["n_inputs"]:
            raise BadInput(f"this forest was fitted to {self.notes_['n_inputs']} inputs, found {design.shape[1]}.")
        return walk_trees(design, self.arrays_)

    def adopt(self, arrays: dict[str, npt.NDArray[Any]], notes: dict[str, Any]) -> Regressor:
        """Take arrays and notes of another fit as the fitted state."""
        check_trees(arrays, notes["n_inputs"])
        return super().adopt(arrays, notes)
