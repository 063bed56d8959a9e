"""The mean of unlike models: circular networks and extreme deconvolution, which err in different places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from photfeh.core.types import FloatArray
from photfeh.models.base import Regressor, Tune
from photfeh.models.circular import Circular
from photfeh.models.deconvolution import ExtremeDeconvolution
from photfeh.samples.sequences import Sequences

__all__ = ["Blend"]


@dataclass(kw_only=True, eq=False, repr=False)
class Blend(Regressor):
    """Half extreme deconvolution, half the mean of ``n_networks`` circular networks of different seeds.

    Without mixtures (``n_mixtures=0``) it is the mean of the networks alone.

    Every network sets other stars aside for its early stopping, so that all stars teach. The halves are not weighted
    by their scores: nothing is selected. Mean and variance are those of the mixture of all parts (Lakshminarayanan+
    2017, NeurIPS 30).
    """

    representations: ClassVar[tuple[str, ...]] = ("raw",)

    n_networks: int = 3
    epochs: int = 80
    n_components: int = 10
    n_mixtures: int = 6
    seed: int = 0

    def _parts(self) -> list[Regressor]:
        networks = [
            Circular(epochs=self.epochs, patience=self.epochs, seed=self.seed + k) for k in range(self.n_networks)
        ]
        if not self.n_mixtures:
            return [*networks]
        mixtures = ExtremeDeconvolution(n_components=self.n_components, n_members=self.n_mixtures, seed=self.seed)
        return [mixtures, *networks]

    def check(self) -> None:
        """Whether the networks can be built, and what trains them is installed."""
        for part in self._parts():
            part.check()

    def _fit(self, X: Sequences, y: FloatArray, weight: FloatArray, tune: Tune | None) -> None:
        self._adopt([part.fit(X, y, weight) for part in self._parts()])

    def _adopt(self, parts: list[Regressor]) -> None:
        self.parts_ = parts
        self.arrays_ = {f"{i}.{name}": array for i, part in enumerate(parts) for name, array in part.arrays_.items()}
        self.notes_ = {"parts": [part.notes_ for part in parts]}

    def _predict_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        each = [part.predict_dist(X) for part in self.parts_]
        share = np.full(len(each), 1.0 / len(each))
        if self.n_mixtures:
            share = np.array([0.5, *[0.5 / self.n_networks] * self.n_networks])
        mean = sum(s * m for s, (m, _) in zip(share, each, strict=True))
        variance = sum(s * (sigma**2 + (m - mean) ** 2) for s, (m, sigma) in zip(share, each, strict=True))
        return np.asarray(mean), np.sqrt(np.asarray(variance))

    def adopt(self, arrays: dict[str, npt.NDArray[Any]], notes: dict[str, Any]) -> Blend:
        """Take arrays and notes of another fit as the fitted state."""
        parts = self._parts()
        for i, part in enumerate(parts):
            own = {name.split(".", 1)[1]: array for name, array in arrays.items() if name.startswith(f"{i}.")}
            part.adopt(own, notes["parts"][i])
        self._adopt(parts)
        return self
