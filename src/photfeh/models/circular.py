"""A network made for periodic curves: regularised Fourier smoothing inside, circular convolutions, mean and sigma.

The points of a star, however many and wherever in phase, become one smooth periodic curve and its standard error by
ridge regression on harmonics (the posterior mean and variance of a Gaussian prior on the coefficients). Because this
happens inside the network, points can be left out and noise added at every training step, and the same network reads
raw epochs and splines. Convolutions wrap around at phase 1 and the pooled result does not know where phase 0 is; the
period enters as an input of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from photfeh.core.packages import needing
from photfeh.core.types import Float32Array, FloatArray
from photfeh.models.base import once
from photfeh.models.kernels.circular import N_CURVE, UNIT, packed, read_curves
from photfeh.models.kernels.ridge_curve import ROUNDS, prior_precision, ridge_curves
from photfeh.models.network import Network
from photfeh.samples.sequences import Sequences

if TYPE_CHECKING:
    import torch
    from torch import nn

    from photfeh.models.circular_module import CircularModule
    from photfeh.models.loop import Batch

__all__ = ["Circular"]


def _ridge_curves(X: Sequences, n_harmonics: int, n_grid: int) -> Float32Array:
    """Curves (N, 5, G) of stars, magnitudes as they are."""
    phase = (X.values[..., 1] / X.feature("period")[:, None]).astype(np.float32)
    mag, precision = X.values[..., 0], prior_precision(n_harmonics)
    return ridge_curves(phase, mag, X.lengths, precision=precision, n_grid=n_grid, rounds=ROUNDS)


@dataclass(kw_only=True, eq=False, repr=False)
class Circular(Network):
    """Circular convolutions on a ridge-Fourier curve, period as an input, heteroscedastic (mean and sigma).

    ``keep``: smallest fraction of a star's points that a training step leaves in (the fraction is drawn anew for every
    star and step). ``noise``: largest added noise, relative to the rms of the star's points (its level is drawn, too).
    ``shift``: rotate each curve by a random phase. Our own; circular convolutions for variable stars
    go back to Zhang & Bloom (2021, MNRAS 505, 515).
    """

    with_phase: ClassVar[bool] = True
    extra_names: ClassVar[tuple[str, ...]] = ("period", "is_rrc")

    channels: tuple[int, ...] = (48, 64, 96)
    kernel: int = 7
    hidden: int = 64
    dropout: float = 0.1
    n_harmonics: int = 6
    n_grid: int = 64
    keep: float = 0.7
    noise: float = 0.12
    shift: bool = True
    epochs: int = 80
    batch_size: int = 64
    learning_rate: float = 0.004
    weight_decay: float = 0.02
    patience: int = 80

    def build(self) -> nn.Module:
        """The module with fresh weights."""
        from photfeh.models.circular_module import CircularModule

        return CircularModule(self.channels, self.kernel, self.hidden, self.dropout, self.n_harmonics, self.n_grid)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array of the module, without torch."""
        sizes = (N_CURVE + len(self.extra_names), *self.channels)
        last = 2 * sizes[-1] + len(self.extra_names)
        made: dict[str, tuple[int, ...]] = {}
        for i in range(len(self.channels)):
            made |= {f"convolutions.{i}.weight": (sizes[i + 1], sizes[i], self.kernel)}
            made |= {f"convolutions.{i}.bias": (sizes[i + 1],)}
        made |= {"hidden.weight": (self.hidden, last), "hidden.bias": (self.hidden,)}
        return made | {"dense.weight": (2, self.hidden), "dense.bias": (2,)}

    def _take(self, module: nn.Module) -> None:
        super()._take(module)
        self._pack()

    def adopt(self, arrays: dict[str, npt.NDArray[Any]], notes: dict[str, Any]) -> Network:
        """Take arrays and notes of another fit as the fitted state; torch is not needed."""
        super().adopt(arrays, notes)
        self._pack()
        return self

    def _pack(self) -> None:
        """The weights as the kernel reads them."""
        names = [*(f"convolutions.{i}" for i in range(len(self.channels))), "hidden", "dense"]
        weights = [self.arrays_[f"module.{name}.weight"] for name in names]
        weights[-2:] = (weight[..., None] for weight in weights[-2:])
        strides = [1, *[2] * (len(self.channels) - 1), 1, 1]
        self._packed = packed(weights, [self.arrays_[f"module.{name}.bias"] for name in names], strides)

    def _output(self, X: Sequences) -> Float32Array:
        """The curves are made once for all networks that predict the same stars; only the unit of magnitude differs.

        Whatever ``device`` the network was trained on: there is little to do for a star, and a model may go to another
        machine.
        """
        shape = self.n_harmonics, self.n_grid
        curves = once(X, ("ridge curves", *shape), lambda: _ridge_curves(X, *shape))
        return read_curves(curves, self._extra(X), self._log_unit(), *self._packed)

    def _log_unit(self) -> float:
        return math.log(float(self._scales["input"][1, 0]))

    def learn_from(self, X: Sequences, mean: FloatArray, sigma: FloatArray) -> Circular:
        """Fit to the answers of another model instead of labels: knowledge distillation (Hinton+ 2015).

        Parameters
        ----------
        X : Sequences
            Any curves, labelled or not; they are rotated in training, but neither thinned nor made noisier: an answer
            belongs to the points that it was given for.
        mean, sigma : (N,) what the other model says [dex]

        Raises
        ------
        MissingPackage
            if torch is not installed.
        """
        with needing(f"training {type(self).__name__}"):
            import torch

            from photfeh.models.circular_module import fit_student
            from photfeh.models.loop import seeded
        self._learn_scales(X, mean, np.ones(len(X)))
        curves = _ridge_curves(X, self.n_harmonics, self.n_grid)
        curves[:, UNIT] -= self._log_unit()
        centre, scale = self._scales["target"]
        arrays = (curves, self._extra(X), (mean - centre) / scale, sigma / scale)
        curve, extra, target, spread = (torch.as_tensor(np.asarray(array, np.float32)) for array in arrays)
        with seeded(self.seed):
            module = cast("CircularModule", self.build())
        result = fit_student(module, curve, extra, target, spread, self.fit_config())
        self.history_ = result.history
        self._take(module)
        self.notes_ |= {"sigma": 1.0, "best_epoch": result.best_epoch, "epochs_run": len(result.history)}
        self.notes_ |= {"n_parameters": sum(p.numel() for p in module.parameters())}
        return self

    def augmentation(self) -> Callable[[Batch, torch.Generator], Batch]:
        """Thinning and rotation of every batch."""
        from photfeh.models.circular_module import thin_and_turn

        return partial(thin_and_turn, keep=self.keep, noise=self.noise, shift=self.shift)
