"""MiniRocket: thousands of fixed convolutions of the folded curve, a ridge regression on what they find."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeCV

from photfeh.core.errors import BadInput
from photfeh.core.kernels import kernel, over_stars, row_products
from photfeh.core.types import Float32Array, FloatArray, IntArray
from photfeh.models.base import Regressor, Tune
from photfeh.samples.sequences import Sequences

__all__ = ["MiniRocket", "convolve", "fit_biases", "fit_dilations", "positive_proportions"]


KERNELS = np.array(list(combinations(range(9), 3)), np.int64)
"""The 84 kernels: of nine weights the three named here are 2, the others -1, so that each sums to zero."""

_FREE = 30.0


@dataclass(kw_only=True, eq=False, repr=False)
class MiniRocket(Regressor):
    """Weighted ridge regression on the period and the MiniRocket features of the curve (Dempster+ 2021, KDD).

    84 kernels of length 9 and weights -1 and 2, widened by dilations up to the length of the series. A feature is the
    proportion of steps where the convolution exceeds a bias, which is a quantile of the convolution of a random
    training star. Our own writing of the algorithm. ``circular``: convolutions wrap around at phase 1, as the curve
    does, so that the features do not depend on where phase 0 is; false is the published way, zeros beyond the ends.
    """

    representations: ClassVar[tuple[str, ...]] = ("raw-spline", "spline")

    n_features: int = 9996
    circular: bool = True
    seed: int = 0

    def _fit(self, X: Sequences, y: FloatArray, weight: FloatArray, tune: Tune | None) -> None:
        curves = _curves(X)
        dilations, counts = fit_dilations(curves.shape[1], self.n_features)
        rng = np.random.default_rng(self.seed)
        biases = fit_biases(curves, dilations, counts, rng, circular=self.circular)
        self.arrays_ = {"dilations": dilations, "counts": counts, "biases": biases}
        design, weight = self._design(X), weight / weight.mean()
        mean = np.average(design, axis=0, weights=weight)
        scale = np.sqrt(np.average((design - mean) ** 2, axis=0, weights=weight))
        scale[scale < 1e-6] = 1.0
        scale[-1] /= _FREE  # a large column hardly feels the penalty: the period is no feature among ten thousand
        ridge = RidgeCV(alphas=np.logspace(0, 6, 25)).fit((design - mean) / scale, y, sample_weight=weight)
        coefficients = np.asarray(ridge.coef_) / scale
        self.arrays_ |= {"coefficients": coefficients, "intercept": np.array([ridge.intercept_ - mean @ coefficients])}
        self.notes_ = {
            "alpha": float(ridge.alpha_),
            "sigma": float(np.sqrt(max(-float(ridge.best_score_), 1e-12))),  # weighted, leave-one-out
            "n_steps": int(curves.shape[1]),
        }

    def _design(self, X: Sequences) -> FloatArray:
        own = self.arrays_
        features = positive_proportions(_curves(X), own["dilations"], own["counts"], own["biases"], self.circular)
        return np.column_stack([features.astype(np.float64), X.feature("period")])

    def _predict_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        if X.mask.shape[1] != self.notes_["n_steps"]:
            raise BadInput(f"this MiniRocket was fitted to {self.notes_['n_steps']} steps, found {X.mask.shape[1]}.")
        mean = row_products(self._design(X), self.arrays_["coefficients"]) + self.arrays_["intercept"][0]
        return mean, np.full(len(X), self.notes_["sigma"])

    def adopt(self, arrays: dict[str, npt.NDArray[Any]], notes: dict[str, Any]) -> Regressor:
        """Take arrays and notes of another fit as the fitted state."""
        dilations, counts, biases = (arrays[name] for name in ("dilations", "counts", "biases"))
        good = dilations.dtype == counts.dtype == np.int64 and dilations.shape == counts.shape and len(counts) > 0
        good = good and bool((counts >= 0).all()) and len(KERNELS) * int(counts.sum()) == len(biases)
        if not good or (dilations < 1).any() or (8 * dilations >= notes["n_steps"]).any():
            raise ValueError("dilations, counts and biases do not fit together")
        return super().adopt(arrays, notes)


def _curves(X: Sequences) -> Float32Array:
    """Centred magnitudes (N, T) of stars whose every step is valid."""
    if not X.mask.all():
        star = X.source_id[np.argmin(X.mask.all(axis=1))]
        raise BadInput(f"MiniRocket needs curves of equal length; star {star} has missing steps: prepare a spline.")
    mag = X.values[..., 0].astype(np.float64)
    return np.ascontiguousarray(mag - mag.mean(axis=1, keepdims=True), np.float32)


def fit_dilations(n_steps: int, n_features: int, most: int = 32) -> tuple[IntArray, IntArray]:
    """Dilations, spaced evenly in logarithm, and how many features of each kernel every dilation gets.

    Raises
    ------
    BadInput
        for fewer than 9 steps or fewer than 84 features.
    """
    if n_steps < 9 or n_features < len(KERNELS):
        raise BadInput(f"MiniRocket needs 9 steps and 84 features at least, found {n_steps} and {n_features}.")
    per_kernel = n_features // len(KERNELS)
    distinct = min(per_kernel, most)
    exponents = np.linspace(0.0, np.log2((n_steps - 1) / 8), distinct)
    dilations, counts = np.unique((2.0**exponents).astype(np.int64), return_counts=True)
    counts = counts * per_kernel // distinct
    counts[: per_kernel - counts.sum()] += 1
    return dilations, counts.astype(np.int64)


def fit_biases(
    curves: Float32Array, dilations: IntArray, counts: IntArray, rng: np.random.Generator, *, circular: bool
) -> Float32Array:
    """Quantiles of the convolutions of random curves, in the order dilation, kernel, feature.

    The levels are multiples of the golden ratio modulo 1, a sequence that fills the unit interval evenly.
    """
    level = np.arange(1, len(KERNELS) * counts.sum() + 1) * (np.sqrt(5.0) + 1.0) / 2.0 % 1.0
    parts, begin = [], 0
    for dilation, count in zip(dilations, counts, strict=True):
        for which in range(len(KERNELS)):
            response = convolve(curves[rng.integers(len(curves))], dilation, which, circular)
            parts.append(np.quantile(response, level[begin : begin + count]))
            begin += count
    return np.concatenate(parts).astype(np.float32)


@kernel()
def _shifted(x: Float32Array, dilation: int, circular: bool) -> Float32Array:
    """The nine dilated shifts of a curve (9, T), wrapped around or filled with zeros."""
    n = len(x)
    out = np.zeros((9, n), np.float32)
    for j in range(9):
        for t in range(n):
            step = t + (j - 4) * dilation
            if circular:
                out[j, t] = x[step % n]
            elif 0 <= step < n:
                out[j, t] = x[step]
    return out


@kernel()
def convolve(x: Float32Array, dilation: int, kernel: int, circular: bool) -> Float32Array:
    """Convolution (T,) of a curve (T,) with one dilated kernel."""
    shifted = _shifted(x, dilation, circular)
    i, j, k = KERNELS[kernel]
    response: Float32Array = np.float32(3.0) * (shifted[i] + shifted[j] + shifted[k]) - shifted.sum(axis=0)
    return response


def positive_proportions(
    curves: Float32Array, dilations: IntArray, counts: IntArray, biases: Float32Array, circular: bool
) -> Float32Array:
    """Proportion of steps above each bias: (N, T) -> (N, F).

    Without wrapping, every second kernel looks only at steps where it does not reach beyond the ends.
    """
    out = np.empty((len(curves), len(biases)), np.float32)
    over_stars(_fill_proportions, len(curves), (curves, dilations, counts, biases, circular), (out,), least=1)
    return out


@kernel()
def _fill_proportions(
    first: int,
    last: int,
    curves: Float32Array,
    dilations: IntArray,
    counts: IntArray,
    biases: Float32Array,
    circular: bool,
    out: Float32Array,
) -> None:
    steps = curves.shape[1]
    for star in range(first, last):
        feature = 0
        for d in range(len(dilations)):
            shifted = _shifted(curves[star], dilations[d], circular)
            total = shifted.sum(axis=0)
            for which in range(len(KERNELS)):
                i, j, k = KERNELS[which]
                response = np.float32(3.0) * (shifted[i] + shifted[j] + shifted[k]) - total
                edge = 0 if circular or (d + which) % 2 == 0 else 4 * dilations[d]
                for _ in range(counts[d]):
                    above = 0
                    for t in range(edge, steps - edge):
                        above += response[t] > biases[feature]
                    out[star, feature] = above / (steps - 2 * edge)
                    feature += 1
