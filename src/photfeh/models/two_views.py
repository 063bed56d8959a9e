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
from photfeh.models.base import Regressor, Tune, averaged
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

_REACH = 4.685
"""Where the InceptionTimes' answer no longer counts, in sigmas of the circular networks (Tukey's biweight): a curve
unlike all that it was taught can lead an InceptionTime anywhere."""


class TypedInception(InceptionTime):
    """InceptionTime that is told the star type, too: the relations of RRab and RRc are not one."""

    extra_names: ClassVar[tuple[str, ...]] = ("period", "is_rrc")


@dataclass(kw_only=True, eq=False, repr=False)
class CircularInception(Regressor):
    """Mean of ``n_networks`` circular networks on the epochs and ``n_inception`` InceptionTimes on the smoothed curve.

    InceptionTime reads a good curve better, circular networks a sparse one. So the share of the InceptionTimes depends
    on a star's type and number of epochs: it is interpolated in a table, which is fitted by least squares on those that
    the first network of each kind sets aside, as they are and thinned; so is the InceptionTimes' sigma. Their answer
    is drawn to that of the circular networks the farther it is from it (Tukey's biweight of the difference in their
    sigmas). Each of them is taught ``copies`` thinned copies of every star besides, of ``copy_weight``. Mean and
    variance are those of the mixture of all parts (Lakshminarayanan+ 2017, NeurIPS 30).
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
        """Share and sigma of the InceptionTimes for RRab and RRc at :data:`KNOTS`, each (2, K).

        From stars that neither network was fitted to, as they are and thinned.
        """
        X, y, weight = cast(PairedSequences, held[0]), held[1], held[2]
        columns = []
        for level in (None, *_LEVELS):
            fewer = X if level is None else thinned(X, np.full(len(X), level), seed=self.seed + level)
            made, rows = _usable(fewer)
            first, spread = epochs.predict_dist(made.own)
            second = _heeded(curve.predict(made.beside), first, spread)
            rrc, errors = made.feature("is_rrc"), (first - y[rows], second - y[rows])
            columns.append(np.stack([rrc, _log_epochs(made), *errors, weight[rows]]))
        table = np.concatenate(columns, axis=1)
        kinds = [_share_and_sigma(*table[1:, (table[0] > 0) == rrc]) for rrc in (False, True)]
        return {"share": np.stack([one for one, _ in kinds]), "sigma": np.stack([one for _, one in kinds])}

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
        share, sigma = (_interpolated(X, self.arrays_[name]) for name in ("share", "sigma"))
        means, sigmas = zip(*(part.predict_dist(X.own) for part in self.circular_), strict=True)
        (first, apart), (own, _) = averaged(means), averaged([one**2 for one in sigmas])
        curves = [part.predict(X.beside) for part in self.inception_]
        second, unlike = averaged([_heeded(one, first, np.sqrt(apart + own)) for one in curves])
        mean = (1.0 - share) * first + share * second
        within = (1.0 - share) * (apart + own) + share * (unlike + sigma**2)
        return mean, np.sqrt(within + share * (1.0 - share) * (first - second) ** 2)

    def adopt(self, arrays: dict[str, npt.NDArray[Any]], notes: dict[str, Any]) -> CircularInception:
        """Take arrays and notes of another fit as the fitted state."""
        circular, inception = self._parts()
        for kind, parts in (("epochs", circular), ("curve", inception)):
            for i, part in enumerate(cast("list[Network]", parts)):
                begin = f"{kind}-{i}."
                own = {name.removeprefix(begin): array for name, array in arrays.items() if name.startswith(begin)}
                part.adopt(own, notes["parts"][begin[:-1]])
        table = {name: arrays[name] for name in ("share", "sigma")}
        if any(values.shape != (2, len(KNOTS)) for values in table.values()):
            raise BadInput(f"share and sigma must have shape {(2, len(KNOTS))}.")
        self._adopt(circular, inception, table)
        return self


def _log_epochs(X: Sequences) -> FloatArray:
    """Log of the number of epochs, (N,)."""
    return np.asarray(np.log(np.maximum(X.feature("n_epochs"), 1.0)))


def _interpolated(X: Sequences, table: FloatArray) -> FloatArray:
    """Values for stars, (N,), of a table for RRab and RRc at :data:`KNOTS`, (2, K)."""
    rrab, rrc = (np.interp(_log_epochs(X), np.log(KNOTS), row) for row in table)
    return np.asarray(np.where(X.feature("is_rrc") > 0, rrc, rrab))


def _share_and_sigma(
    log_epochs: FloatArray, one: FloatArray, two: FloatArray, mass: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The share of the second at :data:`KNOTS` that makes the error of the mean smallest, and its own rms error there.

    Parameters
    ----------
    log_epochs : (N,)
    one, two : (N,) errors of the two [dex]
    mass : (N,) weights

    Squares are those of errors relative to a star's own, so that no wild star rules; where none speaks, the share is
    drawn towards a half.
    """
    if not len(one):
        return np.full(len(KNOTS), 0.5), np.ones(len(KNOTS))
    hats = np.stack([np.interp(log_epochs, np.log(KNOTS), row) for row in np.eye(len(KNOTS))], axis=1)
    mass = mass / mass.mean()
    typical = np.median(one**2 + two**2) + 1e-9
    relative = mass / (one**2 + two**2 + typical)
    difference = hats * (two - one)[:, None]
    gram = difference.T @ (relative[:, None] * difference) + np.eye(len(KNOTS))
    share = np.linalg.solve(gram, 0.5 - difference.T @ (relative * one))
    near = hats * mass[:, None]
    variance = (near.T @ two**2 + np.average(two**2, weights=mass)) / (near.sum(axis=0) + 1.0)
    return np.clip(share, 0.0, 1.0), np.sqrt(variance)


def _heeded(answer: FloatArray, mean: FloatArray, sigma: FloatArray) -> FloatArray:
    """The answer (N,), drawn to the mean the more the farther it is, and the mean itself beyond :data:`_REACH`."""
    trust = np.square(np.maximum(1.0 - np.square((answer - mean) / (_REACH * sigma)), 0.0))
    return np.asarray(mean + trust * (answer - mean))


def _usable(X: Sequences) -> tuple[PairedSequences, IntArray]:
    """The stars that were measured, and which ones these are."""
    rows = np.flatnonzero(X.mask.any(axis=1) & np.isfinite(X.shape_features()).all(axis=1))
    return cast(PairedSequences, X[rows]), rows


def _joined(parts: Sequence[Sequences]) -> Sequences:
    """The stars of several sequences in one representation, one after the other."""
    names = ("values", "mask", "features", "source_id")
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Sequences(**arrays, representation=parts[0].representation)
