"""Any torch module as a model: scaling of inputs and targets, the fit by the common loop, saving.

torch is loaded where it is used: a network that predicts by a kernel of its own does without.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt

from photfeh.core.errors import BadInput
from photfeh.core.fingerprint import fingerprint
from photfeh.core.packages import needing
from photfeh.core.types import Float32Array, FloatArray
from photfeh.models.base import Regressor, Tune
from photfeh.samples.sequences import Sequences

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from photfeh.models.loop import Batch, FitConfig

__all__ = ["CentredNetwork", "Network", "set_aside"]


@dataclass(kw_only=True, eq=False, repr=False)
class Network(Regressor):
    """Base of the networks: a subclass is a dataclass of its sizes, and says how its module is built.

    The module maps (values (N, T, C), lengths (N,), extra (N, E)) to (N, 1), the mean, or (N, 2), mean and log sigma.
    Channels are magnitude and phase x period and, for networks ``with_phase``, the phase itself in cycles, not scaled.
    ``extra`` are the columns ``extra_names`` of the features. Channels, extra inputs and target are standardised with
    statistics of the training rows. Every setting of the fit (:class:`photfeh.models.loop.FitConfig`) is a parameter of
    the model, so that ``get_params`` tells the whole recipe.
    """

    kind: ClassVar[str] = "network"
    extra_names: ClassVar[tuple[str, ...]] = ("period",)
    with_phase: ClassVar[bool] = False

    epochs: int = 80
    batch_size: int = 32
    learning_rate: float = 0.015
    schedule: str = "one-cycle"
    weight_decay: float = 0.0
    patience: int = 40
    clip: float = 1.0
    seed: int = 0
    device: str = "cpu"
    precision: str = "float32"

    def check(self) -> None:
        """Whether the settings of the fit exist and the module can be built; nothing is allocated.

        Raises
        ------
        BadInput
            if not; names what is wrong.
        MissingPackage
            if torch is not installed, without which nothing can be trained.
        """
        with needing(f"training {type(self).__name__}"):
            self.fit_config()
        self._without_weights()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array of the module."""
        return {name: tuple(value.shape) for name, value in self._without_weights().state_dict().items()}

    def _without_weights(self) -> nn.Module:
        """The module with shapes but without memory."""
        import torch

        try:
            with torch.device("meta"):
                return self.build()
        except (ValueError, RuntimeError, AssertionError, LookupError, ArithmeticError) as error:
            raise BadInput(f"no {type(self).__name__} can be built with these parameters: {error}.") from error

    @abstractmethod
    def build(self) -> nn.Module:
        """A fresh module with random weights."""

    def augmentation(self) -> Callable[[Batch, torch.Generator], Batch] | None:
        """What is done to every batch before a training step; None: nothing."""
        return None

    def fit_config(self) -> FitConfig:
        """The settings of the loop, gathered from this model's parameters."""
        from photfeh.models.loop import FitConfig

        own = self.get_params(deep=False)
        return FitConfig(**{item.name: own[item.name] for item in fields(FitConfig) if item.name in own})

    def track(
        self, *, checkpoint: Path | None = None, on_epoch: Callable[[dict[str, float]], None] | None = None
    ) -> None:
        """Write checkpoints into this file and report every epoch during the next ``fit``."""
        self._checkpoint, self._on_epoch = checkpoint, on_epoch

    _begin = cast("dict[str, npt.NDArray[Any]] | None", None)

    def begin_with(self, other: Network) -> Self:
        """Let the next ``fit`` begin with the weights of a fitted network of this architecture, not at random."""
        self._begin = {name: value for name, value in other.arrays_.items() if name.startswith("module.")}
        return self

    def _fit(self, X: Sequences, y: FloatArray, weight: FloatArray, tune: Tune | None) -> None:
        with needing(f"training {type(self).__name__}"):
            from photfeh.models.loop import fit_network, seeded
        if tune is None:
            X, y, weight, tune = set_aside(X, y, weight, self.seed)
        self._learn_scales(X, y, weight)
        with seeded(self.seed):
            module = self.build()
        begin, self._begin = self._begin, None
        if begin is not None:
            module.load_state_dict(_weights(begin))
        result = fit_network(
            module,
            self._batch(X, y, weight),
            self._batch(*tune),
            self.fit_config(),
            augment=self.augmentation(),
            checkpoint=getattr(self, "_checkpoint", None),
            made_of=fingerprint(type(self), self.get_params(deep=False), begin),
            on_epoch=getattr(self, "_on_epoch", None),
        )
        self.history_ = result.history
        self._take(module)
        mean, sigma = self._raw(tune[0])
        residual = (tune[1] - mean) * (1.0 if sigma is None else 1.0 / sigma)
        spread = float(np.sqrt(np.average(residual**2, weights=tune[2])))
        self.notes_ |= {
            "sigma": spread,
            "best_epoch": result.best_epoch,
            "epochs_run": len(result.history),
            "n_parameters": sum(p.numel() for p in module.parameters()),
        }

    def _learn_scales(self, X: Sequences, y: FloatArray, weight: FloatArray) -> None:
        """Weighted means and standard deviations over stars (and valid steps)."""
        mass = (weight[:, None] * X.mask).astype(np.float64)
        mean = np.einsum("nt,ntc->c", mass, X.values) / mass.sum()
        spread = np.sqrt(np.einsum("nt,ntc->c", mass, (X.values - mean) ** 2) / mass.sum())
        columns = [_mean_and_spread(X.feature(name), weight) for name in self.extra_names]
        self._scales: dict[str, FloatArray] = {
            "input": np.stack([mean, np.maximum(spread, 1e-6)]),
            "extra": np.stack(columns, axis=1),
            "target": _mean_and_spread(y, weight),
        }
        self.notes_ = {}

    def _batch(self, X: Sequences, y: FloatArray | None = None, weight: FloatArray | None = None) -> Batch:
        import torch

        from photfeh.models.loop import Batch

        scales = self._scales
        values = (X.values - scales["input"][0].astype(np.float32)) / scales["input"][1].astype(np.float32)
        if self.with_phase:
            values = np.concatenate([values, X.values[..., 1:] / X.feature("period")[:, None, None]], axis=2)
        values[~X.mask] = 0.0
        target = np.zeros(len(X)) if y is None else (y - scales["target"][0]) / scales["target"][1]
        mass = np.ones(len(X)) if weight is None else weight / weight.mean()
        floats = [torch.as_tensor(np.asarray(a, np.float32)) for a in (values, target, mass)]
        return Batch(floats[0], torch.as_tensor(X.lengths), torch.as_tensor(self._extra(X)), *floats[1:])

    def _extra(self, X: Sequences) -> Float32Array:
        """Standardised extra inputs, (N, E)."""
        extra = np.stack([X.feature(name) for name in self.extra_names], axis=1)
        scaled = (extra - self._scales["extra"][0]) / self._scales["extra"][1]
        return np.asarray(scaled, np.float32)

    def _raw(self, X: Sequences) -> tuple[FloatArray, FloatArray | None]:
        """Mean and, for networks that give one, sigma in dex."""
        output = self._output(X).astype(np.float64)
        centre, scale = self._scales["target"]
        sigma = scale * np.exp(np.clip(output[:, 1], -5.0, 3.0)) if output.shape[1] == 2 else None
        return centre + scale * output[:, 0], sigma

    def _output(self, X: Sequences) -> Float32Array:
        """What the module says, (N, 1) or (N, 2), in standard units.

        By the CPU, whatever ``device`` the network was trained on: a model goes to other machines, and a star's
        prediction is the same everywhere.
        """
        from photfeh.models.loop import predict_network

        said = predict_network(self.module_, self._batch(X), precision=self.precision)
        return np.asarray(said.numpy())

    def _predict_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        mean, sigma = self._raw(X)
        return mean, np.full(len(X), self.notes_["sigma"]) if sigma is None else sigma * self.notes_["sigma"]

    _module = cast("nn.Module | None", None)

    @property
    def module_(self) -> nn.Module:
        """The trained module, made of the saved arrays when it is first asked for."""
        if self._module is None:
            module = self.build()
            module.load_state_dict(_weights(self.arrays_))
            self._module = module.eval()
        return self._module

    def _take(self, module: nn.Module) -> None:
        """Adopt a trained module: its weights and the scales are the saved state."""
        self._module = module.cpu().eval()
        self.arrays_ = {f"module.{name}": value.numpy().copy() for name, value in module.state_dict().items()}
        self.arrays_ |= {f"scale.{name}": value for name, value in self._scales.items()}

    def adopt(self, arrays: dict[str, npt.NDArray[Any]], notes: dict[str, Any]) -> Network:
        """Take arrays and notes of another fit as the fitted state."""
        super().adopt(arrays, notes)
        self._scales = {name[6:]: value for name, value in arrays.items() if name.startswith("scale.")}
        # compared before memory is taken: a damaged file may ask for any size
        needed = {f"module.{name}": shape for name, shape in self.shapes().items()}
        found = {name: value.shape for name, value in arrays.items() if name.startswith("module.")}
        if needed != found:
            wrong = sorted({name for name in needed | found if needed.get(name) != found.get(name)})[0]
            raise BadInput(f"{wrong} has shape {found.get(wrong)}, a {type(self).__name__} has {needed.get(wrong)}.")
        self._module = None
        return self


class CentredNetwork(Network):
    """Base of networks that see magnitudes minus the star's mean, in every representation, and the phase.

    Their predictions do not change when a constant is added to all magnitudes of a star.
    """

    with_phase: ClassVar[bool] = True

    def _learn_scales(self, X: Sequences, y: FloatArray, weight: FloatArray) -> None:
        super()._learn_scales(_centred(X), y, weight)

    def _batch(self, X: Sequences, y: FloatArray | None = None, weight: FloatArray | None = None) -> Batch:
        return super()._batch(_centred(X), y, weight)


def _weights(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
    """The state of a module among the arrays of a fit."""
    import torch

    return {name[7:]: torch.tensor(value) for name, value in arrays.items() if name.startswith("module.")}


def _centred(X: Sequences) -> Sequences:
    mag = np.where(X.mask, X.values[..., 0], 0.0).astype(np.float64)
    values = X.values.copy()
    values[..., 0] = mag - mag.sum(axis=1, keepdims=True) / np.maximum(X.lengths, 1)[:, None]
    return Sequences(values, X.mask, X.features, X.source_id, X.representation)


def _mean_and_spread(values: FloatArray, weight: FloatArray) -> FloatArray:
    mean = float(np.average(values, weights=weight))
    return np.array([mean, max(math.sqrt(float(np.average((values - mean) ** 2, weights=weight))), 1e-6)])


def set_aside(X: Sequences, y: FloatArray, weight: FloatArray, seed: int) -> tuple[Any, Any, Any, Tune]:
    """Split off a seventh of the stars for early stopping, evenly over the labels."""
    order = np.argsort(y, kind="stable")
    rng = np.random.default_rng(seed)
    held = np.zeros(len(y), bool)
    for begin in range(0, len(y), 7):
        held[order[begin + rng.integers(min(7, len(y) - begin))]] = True
    return X[~held], y[~held], weight[~held], (X[held], y[held], weight[held])
