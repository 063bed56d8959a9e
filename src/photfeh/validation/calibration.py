"""From out-of-fold residuals to standard errors and intervals that hold what they promise.

Two steps. A scale model predicts the size of a star's error from how well it was observed (number of epochs, scatter
over amplitude, largest phase gap, error of phi31, the ensemble's own sigma); then split-conformal quantiles (Vovk+
2005; Lei+ 2018, normalised residuals) of residual / scale give intervals of known coverage.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from photfeh.errors import BadInput
from photfeh.sequences import Sequences

__all__ = ["Calibration", "quality_covariates"]

FloatArray = npt.NDArray[np.float64]

_MIN_STARS = 30
LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95)
"""Nominal coverages whose quantiles are stored."""


def quality_covariates(X: Sequences, sigma: FloatArray) -> FloatArray:
    """What the scale model sees, shape (N, 5): logarithms, bounded where a star has no value."""
    noise = X.feature("scatter") / np.sqrt(np.maximum(X.feature("n_epochs"), 1.0)) / X.feature("amplitude1")
    columns = [
        np.log(np.maximum(X.feature("n_epochs"), 1.0)),
        np.log(np.clip(np.nan_to_num(noise, nan=1.0), 1e-3, 1.0)),
        np.clip(X.feature("max_gap"), 0.0, 0.5),
        np.log(np.clip(np.nan_to_num(X.feature("phi31_error"), nan=2.0), 0.01, 2.0)),
        np.log(np.clip(sigma, 1e-3, 3.0)),
    ]
    return np.column_stack(columns)


@dataclass(frozen=True)
class Calibration:
    """Fitted scale model and conformal quantiles; plain numbers, saved as JSON.

    ``shrink``: factor by which the error of the ensemble mean is smaller than that of its single members (ambiguity
    decomposition, Krogh & Vedelsby 1995).
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    low: float
    high: float
    quantiles: tuple[float, ...]
    shrink: float
    n_stars: int

    @classmethod
    def fit(
        cls, X: Sequences, residual: FloatArray, sigma: FloatArray, *, shrink: float = 1.0, penalty: float = 10.0
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
        if len(residual) < _MIN_STARS:
            raise BadInput(f"calibration needs at least {_MIN_STARS} stars, found {len(residual)}.")
        covariates = quality_covariates(X, sigma)
        mean, scale = covariates.mean(axis=0), np.maximum(covariates.std(axis=0), 1e-6)
        z = (covariates - mean) / scale
        # E log|r| of a Gaussian is log(sigma) - 0.635; tiny residuals are bounded so that they cannot dominate
        size = np.log(np.maximum(np.abs(residual), 0.05 * np.median(np.abs(residual)) + 1e-9))
        gram = z.T @ z + penalty * np.eye(z.shape[1])
        coefficients = np.linalg.solve(gram, z.T @ (size - size.mean()))
        log_scale = size.mean() + z @ coefficients
        low, high = np.quantile(log_scale, [0.01, 0.99])
        normalised = np.abs(residual) / np.exp(np.clip(log_scale, low, high))
        n = len(residual)
        quantiles = [float(np.sort(normalised)[min(int(np.ceil((n + 1) * level)), n) - 1]) for level in LEVELS]
        return cls(
            tuple(mean), tuple(scale), (float(size.mean()), *map(float, coefficients)), float(low), float(high),
            tuple(quantiles), float(shrink), n,
        )  # fmt: skip

    def local_scale(self, X: Sequences, sigma: FloatArray) -> FloatArray:
        """Relative error size of each star [dex], shape (N,)."""
        z = (quality_covariates(X, sigma) - np.array(self.mean)) / np.array(self.scale)
        # einsum, not BLAS: a star's value must not depend on its neighbours
        log_scale = self.coefficients[0] + np.einsum("nf,f->n", z, np.array(self.coefficients[1:]))
        return np.asarray(self.shrink * np.exp(np.clip(log_scale, self.low, self.high)))

    def error(self, X: Sequences, sigma: FloatArray) -> FloatArray:
        """Half the width of the central 68 % interval, which single outliers do not rule [dex], shape (N,)."""
        return self.half_width(X, sigma, 0.68)

    def half_width(self, X: Sequences, sigma: FloatArray, level: float) -> FloatArray:
        """Half-width of the central interval of nominal coverage ``level`` (one of LEVELS) [dex], shape (N,)."""
        if level not in LEVELS:
            raise BadInput(f"no quantile stored for level {level}; known: {', '.join(map(str, LEVELS))}.")
        return self.local_scale(X, sigma) * self.quantiles[LEVELS.index(level)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """The inverse of :meth:`to_dict`."""
        plain: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
        return cls(**plain)
