"""From out-of-fold residuals to standard errors and intervals that hold what they promise.

Two steps. A scale model predicts the size of a star's error from how well it was observed (number of epochs, scatter
over amplitude, largest phase gap, error of phi31, magnitude, the ensemble's own sigma); then split-conformal
quantiles (Vovk+ 2005; Lei+ 2018, normalised residuals) of residual / scale give intervals of known coverage. The scale
in this quotient comes from other stars than the residual (cross-fitting, as in Barber+ 2021): a scale model that has
seen a residual makes it look smaller than that of a new star.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from photfeh.core.arrays import owned
from photfeh.core.errors import BadInput, UnknownName
from photfeh.core.kernels import row_products
from photfeh.core.types import BoolArray, Float32, Float32Array, Float64, FloatArray, IntArray
from photfeh.samples.sequences import Sequences

__all__ = [
    "CALIBRATIONS",
    "LEVELS",
    "MIN_STARS",
    "N_COVARIATES",
    "Calibration",
    "coverage_table",
    "cross_coverage",
    "quality_covariates",
    "read_calibration",
]


MIN_STARS = 30
"""Fewest stars that errors can be calibrated on."""

_CROSSED = 10  # parts of the calibration stars, each scaled by the model of the others
_MIN_TARGET = 100
_MIN_EFFECTIVE = 50.0
_BRIGHTEST = 5.0
N_COVARIATES = 6
"""Columns of :func:`quality_covariates`."""

LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95)
"""Nominal coverages whose quantiles are stored."""


def quality_covariates(X: Sequences, sigma: Float64[FloatArray, " stars"]) -> Float64[FloatArray, "stars 6"]:
    """What the scale model sees, shape (N, 6): logarithms, bounded where a star has no value, and the magnitude.

    A curve whose mean is brighter than 5 mag, where no RR Lyrae is (RR Lyr itself has 7.6), had its mean subtracted:
    its magnitude is not known, NaN.
    """
    magnitude = X.feature("zero_point")
    noise = X.feature("scatter") / np.sqrt(np.maximum(X.feature("n_epochs"), 1.0)) / X.feature("amplitude1")
    columns = [
        np.log(np.maximum(X.feature("n_epochs"), 1.0)),
        np.log(np.clip(np.nan_to_num(noise, nan=1.0), 1e-3, 1.0)),
        np.clip(X.feature("max_gap"), 0.0, 0.5),
        np.log(np.clip(np.nan_to_num(X.feature("phi31_error"), nan=2.0), 0.01, 2.0)),
        np.where(magnitude > _BRIGHTEST, magnitude, np.nan),
        np.log(np.clip(sigma, 1e-3, 3.0)),
    ]
    return np.column_stack(columns)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Fitted scale model and conformal quantiles.

    ``mean`` and ``scale`` standardise the covariates; beyond ``least`` and ``most``, the central 99 % of the
    calibration stars in standard units, the scale model is not extrapolated. ``shrink``: factor by which the error of
    the ensemble mean is smaller than that of its single members (ambiguity decomposition, Krogh & Vedelsby 1995).
    ``scores`` (n,) and ``covariates`` (n, 6): normalised residuals and standardised quality covariates of the
    calibration stars, kept for :meth:`adapted`.
    """

    kind: ClassVar[str] = "conformal"

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    least: tuple[float, ...]
    most: tuple[float, ...]
    coefficients: tuple[float, ...]
    low: float
    high: float
    quantiles: tuple[float, ...]
    shrink: float
    n_stars: int
    scores: Float32[Float32Array, " kept"] = field(repr=False, compare=False)
    covariates: Float32[Float32Array, "kept 6"] = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in _ARRAYS:
            object.__setattr__(self, name, owned(getattr(self, name), np.float32))

    @classmethod
    def fit(
        cls,
        X: Sequences,
        residual: Float64[FloatArray, " stars"],
        sigma: Float64[FloatArray, " stars"],
        *,
        shrink: float = 1.0,
        penalty: float = 10.0,
    ) -> Calibration:
        """Learn from stars that the predicting models were not trained on.

        Parameters
        ----------
        X : Sequences
        residual : (N,) prediction minus label [dex]
        sigma : (N,) the models' own standard deviations [dex]

        Raises
        ------
        BadInput
            if there are fewer than 30 stars.
        """
        if len(residual) < MIN_STARS:
            raise BadInput(f"calibration needs at least {MIN_STARS} stars, found {len(residual)}.")
        covariates = quality_covariates(X, sigma)
        known = np.isfinite(covariates)
        mean = np.where(known, covariates, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        deviation = np.where(known, covariates - mean, 0.0)
        scale = np.maximum(np.sqrt(np.square(deviation).sum(axis=0) / np.maximum(known.sum(axis=0), 1)), 1e-6)
        z = deviation / scale
        least, most = np.quantile(z, [0.005, 0.995], axis=0)
        z = np.clip(z, least, most)
        # E log|r| of a Gaussian is log(sigma) - 0.635; tiny residuals are bounded so that they cannot dominate
        size = np.log(np.maximum(np.abs(residual), 0.05 * np.median(np.abs(residual)) + 1e-9))
        coefficients, low, high = _scale_model(z, size, penalty)
        normalised = np.abs(residual) / np.exp(_crossed_scale(z, size, penalty))
        n = len(residual)
        quantiles = [float(np.sort(normalised)[min(int(np.ceil((n + 1) * level)), n) - 1]) for level in LEVELS]
        return cls(
            mean=tuple(mean), scale=tuple(scale), least=tuple(least), most=tuple(most),
            coefficients=tuple(map(float, coefficients)), low=low, high=high,
            quantiles=tuple(quantiles), shrink=float(shrink), n_stars=n,
            scores=normalised.astype(np.float32), covariates=z.astype(np.float32),
        )  # fmt: skip

    def adapted(self, X: Sequences, sigma: FloatArray) -> Calibration:
        """The same with quantiles for the population that X is a sample of (weighted conformal prediction).

        Calibration stars are weighted by the ratio of the densities of target and calibration stars in the quality
        covariates, which a logistic regression on them and their squares estimates; ratios are bounded to [0.1, 10].
        Source: Tibshirani, Barber, Candes & Ramdas 2019, NeurIPS 32.

        Raises
        ------
        BadInput
            if X has fewer than 100 stars, or fewer than 50 calibration stars would effectively remain.
        """
        from sklearn.linear_model import LogisticRegression

        if len(X) < _MIN_TARGET:
            raise BadInput(f"adapting intervals needs at least {_MIN_TARGET} stars, found {len(X)}.")
        own, target = self.covariates.astype(np.float64), self._standardised(X, sigma)
        both = np.vstack([own, target])
        side = np.repeat([0, 1], [len(own), len(target)])
        model = LogisticRegression(C=0.1, max_iter=1000).fit(np.hstack([both, both**2]), side)
        odds = model.decision_function(np.hstack([both, both**2])[: len(own)]) - np.log(len(target) / len(own))
        weight = np.clip(np.exp(odds), 0.1, 10.0)
        effective = float(weight.sum() ** 2 / np.square(weight).sum())
        if effective < _MIN_EFFECTIVE:
            raise BadInput(f"the stars are too unlike the calibration stars (of which {effective:.0f} would count).")
        order = np.argsort(self.scores)
        # the star to be predicted counts too, with a score that may be infinite
        mass = np.cumsum(weight[order]) / (weight.sum() + weight.mean())
        scores = self.scores[order]
        quantiles = tuple(float(scores[min(int(np.searchsorted(mass, level)), len(scores) - 1)]) for level in LEVELS)
        return replace(self, quantiles=quantiles)

    def _standardised(self, X: Sequences, sigma: FloatArray) -> FloatArray:
        """Covariates in standard units within the range of the calibration stars, (N, 6); unknown ones at the mean."""
        z = (quality_covariates(X, sigma) - np.array(self.mean)) / np.array(self.scale)
        return np.asarray(np.clip(np.nan_to_num(z, nan=0.0), np.array(self.least), np.array(self.most)))

    def local_scale(self, X: Sequences, sigma: Float64[FloatArray, " stars"]) -> Float64[FloatArray, " stars"]:
        """Relative error size of each star [dex], shape (N,)."""
        z = self._standardised(X, sigma)
        log_scale = self.coefficients[0] + row_products(z, np.array(self.coefficients[1:]))
        return np.asarray(self.shrink * np.exp(np.clip(log_scale, self.low, self.high)))

    def error(self, X: Sequences, sigma: Float64[FloatArray, " stars"]) -> Float64[FloatArray, " stars"]:
        """Half the width of the central 68 % interval, which single outliers do not rule [dex], shape (N,)."""
        return self.half_width(X, sigma, 0.68)

    def half_width(
        self, X: Sequences, sigma: Float64[FloatArray, " stars"], level: float
    ) -> Float64[FloatArray, " stars"]:
        """Half-width of the central interval of nominal coverage ``level`` (one of LEVELS) [dex], shape (N,)."""
        if level not in LEVELS:
            raise BadInput(f"no quantile stored for level {level}; known: {', '.join(map(str, LEVELS))}.")
        return self.local_scale(X, sigma) * self.quantiles[LEVELS.index(level)]

    def to_dict(self) -> dict[str, Any]:
        """The plain numbers and the ``kind``, for JSON."""
        return {"kind": self.kind, **{name: value for name, value in vars(self).items() if name not in _ARRAYS}}

    def arrays(self) -> dict[str, Float32Array]:
        """What :meth:`to_dict` leaves out: one row a calibration star."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_dict(cls, values: dict[str, Any], arrays: dict[str, Float32Array]) -> Calibration:
        """The inverse of :meth:`to_dict` and :meth:`arrays`."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if name != "kind"
        }
        return cls(**(plain | arrays))


def _scale_model(z: FloatArray, size: FloatArray, penalty: float) -> tuple[FloatArray, float, float]:
    """Ridge regression of log |residual| (N,) on z (N, 6): constant and slopes, and the range of what it predicts."""
    slopes = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (size - size.mean()))
    low, high = np.quantile(size.mean() + z @ slopes, [0.01, 0.99])
    return np.array([size.mean(), *slopes]), float(low), float(high)


def _crossed_scale(z: FloatArray, size: FloatArray, penalty: float) -> FloatArray:
    """Log scale of each star by the model of stars that do not include it, (N,)."""
    part = np.arange(len(z)) % _CROSSED
    found = np.empty(len(z))
    for held in range(_CROSSED):
        coefficients, low, high = _scale_model(z[part != held], size[part != held], penalty)
        found[part == held] = np.clip(coefficients[0] + z[part == held] @ coefficients[1:], low, high)
    return found


CALIBRATIONS: dict[str, type[Calibration]] = {Calibration.kind: Calibration}
"""Every kind of calibration by name: a class with the methods of :class:`Calibration`, and one line here.

The name stands in the model folder, as ``kind``, so that a model is read with what it was made with.
"""


def read_calibration(values: dict[str, Any], arrays: dict[str, Float32Array]) -> Calibration:
    """A calibration of any kind from what its ``to_dict`` and ``arrays`` gave.

    Raises
    ------
    UnknownName
        if there is no calibration of that kind.
    """
    kind = str(values.get("kind", Calibration.kind))
    if kind not in CALIBRATIONS:
        raise UnknownName("calibration", kind, CALIBRATIONS)
    return CALIBRATIONS[kind].from_dict(values, arrays)


_ARRAYS = ("scores", "covariates")


def cross_coverage(
    X: Sequences,
    residual: FloatArray,
    sigma: FloatArray,
    fold: IntArray,
    levels: tuple[float, ...] = LEVELS,
    *,
    feh: FloatArray | None = None,
) -> pd.DataFrame:
    """Observed coverage of intervals that were calibrated on the other folds: all stars, and quarters of them.

    Quarters by epochs and magnitude; with labels also by the prediction and by the label. What regresses to the mean
    covers less at the ends of the labels than at those of the predictions, however honest it is.

    Parameters
    ----------
    X : Sequences
    residual, sigma : (N,) out-of-fold prediction minus label, and the models' standard deviations [dex]
    fold : (N,) fold of each star
    feh : (N,) labels [dex]

    Returns
    -------
    DataFrame
        ``stars``, ``n``, ``median_error`` [dex], and ``coverage_50`` ... for every level.
    """
    half = np.full((len(levels), len(residual)), np.nan)
    for held in np.unique(fold):
        here = fold == held
        others = ~here & np.isfinite(residual)
        fitted = Calibration.fit(X[others], residual[others], sigma[others])
        for row, level in enumerate(levels):
            half[row, here] = fitted.half_width(X[here], sigma[here], level)
    return coverage_table(X, residual, half, levels, feh=feh)


def coverage_table(
    X: Sequences,
    residual: FloatArray,
    half: FloatArray,
    levels: tuple[float, ...] = LEVELS,
    *,
    feh: FloatArray | None = None,
) -> pd.DataFrame:
    """Share of stars with ``residual`` (N,) within ``half`` (levels, N) [dex]; as :func:`cross_coverage` returns it.

    A star without a prediction is neither a hit nor a miss: it is left out.
    """
    known = np.isfinite(residual) & np.isfinite(half).all(axis=0)
    X, residual, half = X[known], residual[known], half[:, known]
    inside = np.abs(residual) <= half
    groups = {"all": np.ones(len(residual), bool)}
    if known.any():
        groups |= _quarters(X.feature("n_epochs"), ".0f", "epochs") | _quarters(X.feature("zero_point"), ".1f", "mag")
        if feh is not None:
            groups |= _quarters(feh[known] + residual, ".2f", "dex predicted")
            groups |= _quarters(feh[known], ".2f", "dex by label")
    error = half[list(levels).index(0.68)] if 0.68 in levels else np.full(len(residual), np.nan)
    rows = [
        {"stars": name, "n": int(members.sum()), "median_error": float(np.median(error[members]))}
        | {f"coverage_{100 * level:.0f}": float(inside[row, members].mean()) for row, level in enumerate(levels)}
        for name, members in groups.items()
        if members.any()
    ]
    return pd.DataFrame(rows)


def _quarters(values: FloatArray, digits: str, unit: str) -> dict[str, BoolArray]:
    """Members of each quarter of the values, by what its limits are called."""
    edges = np.unique(np.quantile(values, [0.0, 0.25, 0.5, 0.75, 1.0]))
    return {
        f"{low:{digits}} to {high:{digits}} {unit}": (values >= low)
        & ((values < high) if high < edges[-1] else (values <= high))
        for low, high in pairwise(edges)
    }
