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
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from photfeh.core.types import FloatArray
from photfeh.models.base import once
from photfeh.models.kernels.ridge_curve import ridge_curves
from photfeh.models.loop import Batch, equal_chunks, fit_network, seeded, usable_device
from photfeh.models.network import Network
from photfeh.samples.sequences import Sequences

__all__ = ["Circular", "CircularModule", "RidgeCurve"]


class RidgeCurve(nn.Module):
    """Points of a star -> its curve on a phase grid with standard errors; robust, no parameters to train.

    Coefficients of harmonic k have the prior standard deviation ``prior`` * k**-1.5; the noise is estimated from the
    residuals, and points beyond three times the noise lose weight (three rounds of reweighting, Tukey's biweight).
    """

    def __init__(self, n_harmonics: int, n_grid: int, prior: float = 0.7, rounds: int = 3) -> None:
        super().__init__()
        self.rounds = rounds
        with torch.device("cpu"):  # constants; on "meta", arange would load the compiler of torch, three seconds
            k = torch.arange(1, n_harmonics + 1, dtype=torch.float64)
            self.register_buffer("k", k, persistent=False)
            spread = torch.cat([torch.tensor([30.0], dtype=torch.float64), (prior * k**-1.5).repeat_interleave(2)])
            self.register_buffer("precision", spread**-2.0, persistent=False)
            grid = torch.arange(n_grid, dtype=torch.float64) / n_grid
            self.register_buffer("grid", self.basis(grid), persistent=False)

    k: Tensor
    precision: Tensor
    grid: Tensor

    def basis(self, phase: Tensor) -> Tensor:
        """(...) -> (..., 2K + 1): one, cosines and sines."""
        angle = 2 * math.pi * phase[..., None] * self.k
        waves = torch.stack([angle.cos(), angle.sin()], dim=-1).flatten(-2)
        return torch.cat([torch.ones_like(phase)[..., None], waves], dim=-1)

    def forward(self, phase: Tensor, mag: Tensor, mask: Tensor) -> Tensor:
        """Phases [cycle], magnitudes and mask, each (N, T) -> (N, 5, n_grid).

        Channels: curve minus its mean and its standard error, both in units of sqrt(2) x rms of the points, and,
        constant over phase, the logarithms of noise, that unit and number of points.
        """
        # in float64, so that rounding, which differs with padding and batch size, stays out of sight
        phase, mag = phase.double(), mag.double()
        basis = self.basis(phase)
        weight = mask.double()
        count = weight.sum(dim=1).clamp(min=1.0)
        centre = (weight * mag).sum(dim=1, keepdim=True) / count[:, None]
        mag = torch.where(mask, mag - centre, torch.zeros_like(mag))
        size = (2.0 * mag.square().sum(dim=1) / count).sqrt() + 1e-6
        mag = mag / size[:, None]
        noise = torch.full_like(size, 0.2)
        for _ in range(self.rounds):
            weighted = basis * weight[..., None]
            gram = torch.einsum("nti,ntj->nij", weighted, basis)
            gram = gram + torch.diag_embed(self.precision * noise.square()[:, None])
            factor = torch.linalg.cholesky(gram)
            coefficients = torch.cholesky_solve(torch.einsum("nti,nt->ni", weighted, mag)[..., None], factor)[..., 0]
            residual = mag - torch.einsum("nti,ni->nt", basis, coefficients)
            inverse = torch.cholesky_inverse(factor)
            # degrees of freedom that the fit has used up, from the trace of the smoother
            used = torch.einsum("nij,nij->n", inverse, torch.einsum("nti,ntj->nij", weighted, basis))
            spent = (count / (count - used).clamp(min=0.25 * count)).sqrt()
            noise = 1.4826 * _masked_median(residual.abs(), mask) * spent + 1e-3
            weight = mask * (1.0 - (residual / (4.685 * noise[:, None])).square()).clamp(min=0.0).square()
        curve = torch.einsum("gi,ni->ng", self.grid[:, 1:], coefficients[:, 1:])
        error = noise[:, None] * torch.einsum("gi,nij,gj->ng", self.grid, inverse, self.grid).clamp(min=0.0).sqrt()
        constant = torch.stack([noise.log() + 2.0, size.log() + 1.0, 0.5 * (count.log() - 4.0)], dim=1)
        channels = [torch.stack([curve, error], dim=1), constant[..., None].expand(-1, -1, curve.shape[1])]
        return torch.cat(channels, dim=1).float()


def _masked_median(values: Tensor, mask: Tensor) -> Tensor:
    """Median of the valid steps of each row (the lower one of two), shape (N,)."""
    ordered = torch.where(mask, values, torch.full_like(values, math.inf)).sort(dim=1).values
    middle = ((mask.sum(dim=1) - 1).clamp(min=0) // 2)[:, None]
    return ordered.gather(1, middle)[:, 0]


class CircularModule(nn.Module):
    """Ridge curve, circular convolutions with batch-free normalisation, pooling over phase, dense layers."""

    def __init__(
        self, channels: tuple[int, ...], kernel: int, hidden: int, dropout: float, n_harmonics: int, n_grid: int
    ) -> None:
        super().__init__()
        self.curve = RidgeCurve(n_harmonics, n_grid)
        self.convolutions = nn.ModuleList()
        n_in = 5 + 2
        for i, n_out in enumerate(channels):
            self.convolutions.append(
                nn.Conv1d(n_in, n_out, kernel, stride=1 if i == 0 else 2, padding=kernel // 2, padding_mode="circular")
            )
            n_in = n_out
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(2 * n_in + 2, hidden)
        self.dense = nn.Linear(hidden, 2)

    def forward(self, values: Tensor, lengths: Tensor, extra: Tensor) -> Tensor:
        """(N, T, 3), (N,), (N, 2) -> (N, 2): mean and log sigma."""
        return self.read(self.prepare(values, lengths), extra)

    def prepare(self, values: Tensor, lengths: Tensor) -> Tensor:
        """(N, T, 3), (N,) -> curves of :class:`RidgeCurve` (N, 5, G)."""
        values = values[:, : max(int(lengths.max()), 1)]
        mask = torch.arange(values.shape[1], device=values.device) < lengths[:, None]
        with torch.no_grad():
            return torch.as_tensor(self.curve(values[..., 2], values[..., 0], mask))

    def read(self, x: Tensor, extra: Tensor) -> Tensor:
        """Curves of :class:`RidgeCurve` (N, 5, G) and extra inputs (N, 2) -> (N, 2)."""
        extra = extra.clamp(-5.0, 5.0)
        x = torch.cat([x, extra[:, :, None].expand(-1, -1, x.shape[2])], dim=1)
        for convolution in self.convolutions:
            x = nn.functional.gelu(convolution(x))
        pooled = torch.cat([x.mean(dim=2), x.amax(dim=2), extra], dim=1)
        return torch.as_tensor(self.dense(self.dropout(nn.functional.gelu(self.hidden(self.dropout(pooled))))))


class _Student(nn.Module):
    """The module without its first step: values are curves (N, G, 5), the last extra column a teacher's sigma.

    The loss of a target adds to it, as a penalty, what the teacher's uncertainty costs: sigma^2 in the square error.
    """

    def __init__(self, module: CircularModule) -> None:
        super().__init__()
        self.module, self._cost = module, torch.zeros(())

    def forward(self, values: Tensor, lengths: Tensor, extra: Tensor) -> Tensor:
        """(N, G, 5), (N,), (N, 3) -> (N, 2): mean and log sigma."""
        output = self.module.read(values.mT, extra[:, :-1])
        self._cost = (0.5 * extra[:, -1].square() * torch.exp(-2.0 * output[:, 1].clamp(-5.0, 3.0))).mean()
        return output

    def penalty(self) -> Tensor:
        """That of the last batch."""
        return self._cost


def _rolled(batch: Batch, generator: torch.Generator) -> Batch:
    """Every curve (N, G, 5) begins somewhere else on its grid."""
    n, steps = batch.values.shape[:2]
    begin = torch.randint(steps, (n, 1), generator=generator).to(batch.values.device)
    index = (torch.arange(steps, device=batch.values.device) + begin) % steps
    return replace(batch, values=batch.values.gather(1, index[..., None].expand(-1, -1, batch.values.shape[2])))


_SIZE, _CHUNK = 3, 128
"""The channel of :class:`RidgeCurve` that has a unit, and how many stars are predicted at a time."""


def _ridge_curves(X: Sequences, n_harmonics: int, n_grid: int) -> Tensor:
    """Curves (N, 5, G) of stars, magnitudes as they are."""
    module = RidgeCurve(n_harmonics, n_grid)
    phase = (X.values[..., 1] / X.feature("period")[:, None]).astype(np.float32)
    mag, precision = X.values[..., 0], module.precision.numpy()
    made = ridge_curves(phase, mag, X.lengths, precision=precision, n_grid=n_grid, rounds=module.rounds)
    return torch.from_numpy(made)


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
        return CircularModule(self.channels, self.kernel, self.hidden, self.dropout, self.n_harmonics, self.n_grid)

    def _output(self, X: Sequences) -> Tensor:
        """The curves are made once for all networks that predict the same stars; only the unit of magnitude differs."""
        shape = self.n_harmonics, self.n_grid
        curves, extra = once(X, ("ridge curves", *shape), lambda: _ridge_curves(X, *shape)), self._batch_extra(X)
        unit = math.log(float(self._scales["input"][1, 0]))
        device = usable_device(self.device)
        module = cast(CircularModule, self.module_.to(device).eval())
        parts = []
        with torch.inference_mode():
            for rows in equal_chunks(len(X), _CHUNK):
                x = curves[rows].to(device)
                x[:, _SIZE] -= unit
                parts.append(module.read(x, extra[rows].to(device)).cpu())
        return torch.cat(parts)[: len(X)]

    def learn_from(self, X: Sequences, mean: FloatArray, sigma: FloatArray) -> Circular:
        """Fit to the answers of another model instead of labels: knowledge distillation (Hinton+ 2015).

        Parameters
        ----------
        X : Sequences
            Any curves, labelled or not; they are rotated in training, but neither thinned nor made noisier: an answer
            belongs to the points that it was given for.
        mean, sigma : (N,) what the other model says [dex]

        The loss is the cross-entropy of the two Gaussians. For early stopping a twentieth of the curves is kept, with
        the two targets mean - sigma and mean + sigma each, whose likelihood has the same value.
        """
        every = np.ones(len(X))
        self._learn_scales(X, mean, every)
        curves = _ridge_curves(X, self.n_harmonics, self.n_grid)
        curves[:, _SIZE] -= math.log(float(self._scales["input"][1, 0]))
        centre, scale = self._scales["target"]
        target, spread = (torch.as_tensor(a, dtype=torch.float32) for a in ((mean - centre) / scale, sigma / scale))
        extra = torch.cat([self._batch_extra(X), spread[:, None]], dim=1)
        whole = Batch(curves.mT, torch.full((len(X),), self.n_grid), extra, target, torch.ones(len(X)))
        held = torch.arange(len(X)) % 20 == 0
        part = whole.rows(held)
        certain = torch.cat([part.extra[:, :-1], torch.zeros(len(part), 1)], dim=1)
        tune = [replace(part, extra=certain, target=part.target + sign * part.extra[:, -1]) for sign in (-1, 1)]
        both = Batch(*(torch.cat([getattr(one, name) for one in tune]) for name in Batch.__dataclass_fields__))
        with seeded(self.seed):
            module = cast(CircularModule, self.build())
        result = fit_network(_Student(module), whole.rows(~held), both, self.fit_config(), augment=_rolled)
        self.history_ = result.history
        self._take(module)
        self.notes_ |= {"sigma": 1.0, "best_epoch": result.best_epoch, "epochs_run": len(result.history)}
        self.notes_ |= {"n_parameters": sum(p.numel() for p in module.parameters())}
        return self

    def augmentation(self) -> Callable[[Batch, torch.Generator], Batch]:
        """Thinning and rotation of every batch."""
        return self._thin_and_turn

    def _thin_and_turn(self, batch: Batch, generator: torch.Generator) -> Batch:
        n, steps = batch.values.shape[:2]
        draw = torch.rand((n, steps + 3), generator=generator).to(batch.values.device)
        values = batch.values.clone()
        if self.shift:
            values[..., 2] = torch.remainder(values[..., 2] + draw[:, :1], 1.0)
        valid = torch.arange(steps, device=values.device) < batch.lengths[:, None]
        count = batch.lengths[:, None].clamp(min=1)
        centred = torch.where(valid, values[..., 0], 0.0) - (valid * values[..., 0]).sum(dim=1, keepdim=True) / count
        rms = ((valid * centred).square().sum(dim=1, keepdim=True) / count).sqrt()
        level = self.noise * draw[:, 2:3].square() * rms
        values[..., 0] += level * torch.randn((n, steps), generator=generator).to(values.device)
        kept = (batch.lengths * (self.keep + (1.0 - self.keep) * draw[:, 1])).round().long()
        kept = torch.minimum(torch.clamp(kept, min=10), batch.lengths)
        order = torch.where(valid, draw[:, 3:], torch.full_like(draw[:, 3:], 2.0)).argsort(dim=1)
        values = values.gather(1, order[..., None].expand(-1, -1, values.shape[2]))
        return replace(batch, values=values[:, : int(kept.max())], lengths=kept)
