"""The epochs and the smoothed curve of the same star: circular networks on one, InceptionTime on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from photfeh.core.errors import BadInput
from photfeh.core.types import FloatArray, IntArray
from photfeh.models.base import Regressor, Tune
from photfeh.models.circular import Circular
from photfeh.models.convolutional import InceptionTime
from photfeh.models.network import Network, set_aside
from photfeh.samples.sequences import PairedSequences, Sequences
from photfeh.samples.thinning import thinned

__all__ = ["CircularInception"]

KNOTS = np.array([12.0, 16.0, 22.0, 32.0, 50.0, 80.0])
"""Numbers of epochs between which share and sigma of the InceptionTimes are interpolated, in log of the number."""

_LEVELS = (12, 14, 17, 20, 25, 30, 40)
"""Numbers of epochs to which the stars that set shares and sigmas are thinned, beside all that they have."""


class TypedInception(InceptionTime):
    """InceptionTime that is told the star type, too: the relations of RRab and RRc are not one."""

    extra_names: ClassVar[tuple[str, ...]] = ("period", "is_rrc")


@dataclass(kw_only=True, eq=False, repr=False)
class CircularInception(Regressor):
    """Mean of ``n_networks`` circular networks on the epochs and ``n_inception`` InceptionTimes on the smoothed curve.

    InceptionTime reads a good curve better, circular networks a sparse one. So the share of the InceptionTimes depends
    on a star's number of epochs: it is interpolated in a table, which is fitted by least squares on the stars that
    the first network of each kind sets aside, as they are and thinned; so is the InceptionTimes' sigma. Each of them is
    taught ``copies`` thinned copies of every star besides, of ``copy_weight``. Mean and variance are those of the
    mixture of all parts (Lakshminarayanan+ 2017, NeurIPS 30).
    """

    representations: ClassVar[tuple[str, ...]] = ("raw+spline",)

    n_networks: int = 3
    epochs: int = 80
    n_inception: int = 1
    inception_epochs: int = 20
    depth: int = 3
    filters: int = 32
    copies: int = 1
    copy_weight: float = 0.2
    seed: int = 0

    def _parts(self) -> tuple[list[Circular], list[TypedInception]]:
        circular = [
            Circular(epochs=self.epochs, patience=self.epochs, seed=self.seed + k) for k in range(self.n_networks)
        ]
        settings: dict[str, Any] = {"epochs": self.inception_epochs, "patience": self.inception_epochs}
        settings |= {"depth": self.depth, "filters": self.filters}
        return circular, [TypedInception(**settings, seed=self.seed + k) for k in range(self.n_inception)]

    def check(self) -> None:
        """Whether the networks can be built, and there is one of each kind."""
        for part in chain(*self._parts()):
            part.check()

    def _fit(self, X: Sequences, y: FloatArray, weight: FloatArray, tune: Tune | None) -> None:
        X = cast(PairedSequences, X)
        circular, inception = self._parts()
        for network in circular:
            network.fit(X.own, y, weight)
        for curve in inception:
            taught, labels, mass, held = set_aside(X, y, weight, curve.seed)
            known = self._with_copies((taught, labels, mass), curve.seed)
            curve.fit(*known, tune=self._with_copies(held, curve.seed + 500))
        self._adopt(circular, inception, self._table(circular[0], inception[0], set_aside(X, y, weight, self.seed)[3]))

    def _with_copies(self, stars: Tune, seed: int) -> Tune:
        """The smoothed curves of stars and of their thinned copies, with labels and weights."""
        X, y, weight = cast(PairedSequences, stars[0]), *stars[1:]
        rng = np.random.default_rng(seed)
        sets = [(X.beside, y, weight)]
        for _ in range(self.copies):
            most = np.maximum(X.lengths, _LEVELS[0])
            n_epochs = np.exp(rng.uniform(np.log(_LEVELS[0]), np.log(most))).round().astype(np.int64)
            made, rows = _usable(thinned(X, n_epochs, seed=int(rng.integers(2**31))))
            sets.append((made.beside, y[rows], self.copy_weight * weight[rows]))
        curves, labels, weights = zip(*sets, strict=True)
        return _joined(curves), np.concatenate(labels), np.concatenate(weights)

    def _table(self, epochs: Circular, curve: TypedInception, held: Tune) -> dict[str, FloatArray]:
        """Share and sigma of the InceptionTimes at :data:`KNOTS`, from stars that neither network was fitted to.

        The share minimises the squared error of the mean, drawn towards a half where no star speaks; the sigma is the
        rms error near each knot.
        """
        X, y, weight = cast(PairedSequences, held[0]), held[1], held[2]
        columns = []
        for level in (None, *_LEVELS):
            fewer = X if level is None else thinned(X, np.full(len(X), level), seed=self.seed + level)
            made, rows = _usable(fewer)
            one, two = epochs.predict(made.own) - y[rows], curve.predict(made.beside) - y[rows]
            columns.append(np.stack([_log_epochs(made), one, two, weight[rows]]))
        n_epochs, one, two, mass = np.concatenate(columns, axis=1)
        # a few wild stars must not rule the table
        one, two = np.clip(one, -1.0, 1.0), np.clip(two, -1.0, 1.0)
        hats = np.stack([np.interp(n_epochs, np.log(KNOTS), row) for row in np.eye(len(KNOTS))], axis=1)
        mass = mass / mass.mean()
        difference = hats * (two - one)[:, None]
        unit = np.average((two - one) ** 2, weights=mass) + 1e-9
        gram = difference.T @ (mass[:, None] * difference) + unit * np.eye(len(KNOTS))
        share = np.linalg.solve(gram, unit * 0.5 - difference.T @ (mass * one))
        near = hats * mass[:, None]
        overall = np.average(two**2, weights=mass)
        variance = (near.T @ two**2 + overall) / (near.sum(axis=0) + 1.0)
        return {"share": np.clip(share, 0.0, 1.0), "sigma": np.sqrt(variance)}

    def _adopt(
        self, circular: list[Circular], inception: list[TypedInception], table: dict[str, npt.NDArray[Any]]
    ) -> None:
        self.circular_, self.inception_ = circular, inception
        named: dict[str, Network] = {f"epochs-{i}": part for i, part in enumerate(circular)}
        named |= {f"curve-{i}": part for i, part in enumerate(inception)}
        self.arrays_ = {f"{name}.{key}": value for name, part in named.items() for key, value in part.arrays_.items()}
        self.arrays_ |= table
        self.notes_ = {"parts": {name: part.notes_ for name, part in named.items()}}

    def _predict_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        X = cast(PairedSequences, X)
        at = _log_epochs(X)
        share, sigma = (np.interp(at, np.log(KNOTS), self.arrays_[name]) for name in ("share", "sigma"))
        parts = [(*part.predict_dist(X.own), (1.0 - share) / len(self.circular_)) for part in self.circular_]
        parts += [(part.predict(X.beside), sigma, share / len(self.inception_)) for part in self.inception_]
        mean = sum(mass * centre for centre, _, mass in parts)
        variance = sum(mass * (own**2 + (centre - mean) ** 2) for centre, own, mass in parts)
        return np.asarray(mean), np.sqrt(np.asarray(variance))

    def adopt(self, arrays: dict[str, npt.NDArray[Any]], notes: dict[str, Any]) -> CircularInception:
        """Take arrays and notes of another fit as the fitted state."""
        circular, inception = self._parts()
        for kind, parts in (("epochs", circular), ("curve", inception)):
            for i, part in enumerate(cast("list[Network]", parts)):
                begin = f"{kind}-{i}."
                own = {name.removeprefix(begin): array for name, array in arrays.items() if name.startswith(begin)}
                part.adopt(own, notes["parts"][begin[:-1]])
        table = {name: arrays[name] for name in ("share", "sigma")}
        if any(values.shape != KNOTS.shape for values in table.values()):
            raise BadInput(f"share and sigma must have shape {KNOTS.shape}.")
        self._adopt(circular, inception, table)
        return self


def _log_epochs(X: Sequences) -> FloatArray:
    """Log of the number of epochs, (N,)."""
    return np.asarray(np.log(np.maximum(X.feature("n_epochs"), 1.0)))


def _usable(X: Sequences) -> tuple[PairedSequences, IntArray]:
    """The stars that were measured, and which ones these are."""
    rows = np.flatnonzero(X.mask.any(axis=1) & np.isfinite(X.shape_features()).all(axis=1))
    return cast(PairedSequences, X[rows]), rows


def _joined(parts: Sequence[Sequences]) -> Sequences:
    """The stars of several sequences in one representation, one after the other."""
    names = ("values", "mask", "features", "source_id")
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Sequences(**arrays, representation=parts[0].representation)
