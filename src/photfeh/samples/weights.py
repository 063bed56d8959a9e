"""Sample weights that counter the uneven distribution of [Fe/H]; fitted on training labels only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.stats import gaussian_kde

from photfeh.core.errors import BadInput, UnknownName
from photfeh.core.types import FloatArray

__all__ = ["WEIGHTINGS", "DensityWeights", "check_weighting", "evaluation_weights"]


def _founding(density: FloatArray, feh_error: FloatArray) -> FloatArray:
    """1 / (density x sigma^2), min-max scaled to [0.01, 1] by :class:`DensityWeights` (Monti & Muraveva 2024)."""
    return 1.0 / (density * feh_error**2)


def _density(density: FloatArray, feh_error: FloatArray) -> FloatArray:
    return 1.0 / density


def _root_density(density: FloatArray, feh_error: FloatArray) -> FloatArray:
    return 1.0 / np.sqrt(density)


def _inverse_variance(density: FloatArray, feh_error: FloatArray) -> FloatArray:
    return 1.0 / feh_error**2


def _uniform(density: FloatArray, feh_error: FloatArray) -> FloatArray:
    return np.ones_like(density)


WEIGHTINGS: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "founding": _founding,
    "density": _density,
    "root-density": _root_density,
    "inverse-variance": _inverse_variance,
    "uniform": _uniform,
}
"""Weight as a function of the clipped density and the label error, by name."""


def check_weighting(kind: str) -> None:
    """Raise UnknownName unless ``kind`` is a name of :data:`WEIGHTINGS`."""
    if kind not in WEIGHTINGS:
        raise UnknownName("weighting", kind, WEIGHTINGS)


@dataclass
class DensityWeights:
    """Weights from a Gaussian kernel density estimate (Scott's rule) of the training [Fe/H].

    ``kind`` is a name of :data:`WEIGHTINGS`. Where the density is below ``threshold`` [1/dex] the weight is held
    constant, so that single stars at the ends of the distribution do not rule. Unknown label errors count as the median
    of the known ones.
    """

    kind: str = "density"
    threshold: float = 0.5
    labels_: FloatArray = field(default_factory=lambda: np.empty(0), repr=False)

    def fit(self, feh: npt.ArrayLike, feh_error: npt.ArrayLike | None = None) -> DensityWeights:
        """Learn density, error scale and scaling from training labels.

        Raises
        ------
        UnknownName
            if ``kind`` does not exist.
        BadInput
            if there are fewer than three distinct labels.
        """
        check_weighting(self.kind)
        self.labels_ = np.asarray(feh, np.float64)
        if len(np.unique(self.labels_)) < 3:
            raise BadInput(f"density weights need at least 3 distinct labels, found {len(np.unique(self.labels_))}.")
        self._kde = gaussian_kde(self.labels_)
        error = np.asarray(feh_error, np.float64) if feh_error is not None else np.full(len(self.labels_), np.nan)
        known = error[np.isfinite(error) & (error > 0)]
        self._typical_error = float(np.median(known)) if len(known) else 1.0
        weight = self._unscaled(self.labels_, error)
        self._low, self._high = float(weight.min()), float(weight.max())
        self._mean = float(weight.mean())
        return self

    def density(self, feh: npt.ArrayLike) -> FloatArray:
        """Estimated density [1/dex] at ``feh``."""
        return np.asarray(self._kde(np.asarray(feh, np.float64)))

    def __call__(self, feh: npt.ArrayLike, feh_error: npt.ArrayLike | None = None) -> FloatArray:
        """Weights of any stars, shape of ``feh``.

        ``founding`` is scaled to [0.01, 1] on the training stars; the others have mean 1 there.
        """
        feh = np.asarray(feh, np.float64)
        error = np.full(feh.shape, np.nan) if feh_error is None else np.asarray(feh_error, np.float64)
        weight = self._unscaled(feh, error)
        if self.kind == "founding":
            span = max(self._high - self._low, 1e-300)
            return np.clip(0.01 + 0.99 * (weight - self._low) / span, 0.01, 1.0)
        return weight / self._mean

    def _unscaled(self, feh: FloatArray, feh_error: FloatArray) -> FloatArray:
        known = np.isfinite(feh_error) & (feh_error > 0)
        error = np.where(known, feh_error, self._typical_error)
        return WEIGHTINGS[self.kind](np.maximum(self.density(feh), self.threshold), error)


def evaluation_weights(feh_error: npt.ArrayLike) -> FloatArray:
    """1 / sigma^2 of the labels with mean 1, for weighted metrics; ones where no error is known."""
    error = np.asarray(feh_error, np.float64)
    known = np.isfinite(error) & (error > 0)
    if not known.any():
        return np.ones(error.shape)
    weight = 1.0 / np.where(known, error, np.median(error[known])) ** 2
    return np.asarray(weight / weight.mean())
