"""The circular network as torch trains it: ridge curves of batches, the module, and what is done to training stars.

Predictions need none of this: see :mod:`photfeh.models.kernels.circular`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from photfeh.models.kernels.circular import MOST_EXTRA, N_CURVE
from photfeh.models.kernels.ridge_curve import ROUNDS, prior_precision
from photfeh.models.loop import Batch, FitConfig, FitResult, fit_network

__all__ = ["CircularModule", "RidgeCurve", "Student", "fit_student", "rolled", "thin_and_turn"]


class RidgeCurve(nn.Module):
    """Points of a star -> its curve on a phase grid with standard errors; robust, no parameters to train.

    Coefficients have the prior of :func:`~photfeh.models.kernels.ridge_curve.prior_precision`; the noise is estimated
    from the residuals, and points beyond three times the noise lose weight (rounds of reweighting, Tukey's biweight).
    """

    def __init__(self, n_harmonics: int, n_grid: int) -> None:
        super().__init__()
        with torch.device("cpu"):  # constants; on "meta", arange would load the compiler of torch, three seconds
            self.register_buffer("k", torch.arange(1, n_harmonics + 1, dtype=torch.float64), persistent=False)
            self.register_buffer("precision", torch.from_numpy(prior_precision(n_harmonics)), persistent=False)
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
        for _ in range(ROUNDS):
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
        n_in = N_CURVE + 2
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
        extra = extra.clamp(-MOST_EXTRA, MOST_EXTRA)
        x = torch.cat([x, extra[:, :, None].expand(-1, -1, x.shape[2])], dim=1)
        for convolution in self.convolutions:
            x = nn.functional.gelu(convolution(x))
        pooled = torch.cat([x.mean(dim=2), x.amax(dim=2), extra], dim=1)
        return torch.as_tensor(self.dense(self.dropout(nn.functional.gelu(self.hidden(self.dropout(pooled))))))


class Student(nn.Module):
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


def rolled(batch: Batch, generator: torch.Generator) -> Batch:
    """Every curve (N, G, 5) begins somewhere else on its grid."""
    n, steps = batch.values.shape[:2]
    begin = torch.randint(steps, (n, 1), generator=generator).to(batch.values.device)
    index = (torch.arange(steps, device=batch.values.device) + begin) % steps
    return replace(batch, values=batch.values.gather(1, index[..., None].expand(-1, -1, batch.values.shape[2])))


def thin_and_turn(batch: Batch, generator: torch.Generator, *, keep: float, noise: float, shift: bool) -> Batch:
    """Leave out points, add noise and rotate, each star by draws of its own; as :class:`Circular` says."""
    n, steps = batch.values.shape[:2]
    draw = torch.rand((n, steps + 3), generator=generator).to(batch.values.device)
    values = batch.values.clone()
    if shift:
        values[..., 2] = torch.remainder(values[..., 2] + draw[:, :1], 1.0)
    valid = torch.arange(steps, device=values.device) < batch.lengths[:, None]
    count = batch.lengths[:, None].clamp(min=1)
    centred = torch.where(valid, values[..., 0], 0.0) - (valid * values[..., 0]).sum(dim=1, keepdim=True) / count
    rms = ((valid * centred).square().sum(dim=1, keepdim=True) / count).sqrt()
    level = noise * draw[:, 2:3].square() * rms
    values[..., 0] += level * torch.randn((n, steps), generator=generator).to(values.device)
    kept = (batch.lengths * (keep + (1.0 - keep) * draw[:, 1])).round().long()
    kept = torch.minimum(torch.clamp(kept, min=10), batch.lengths)
    order = torch.where(valid, draw[:, 3:], torch.full_like(draw[:, 3:], 2.0)).argsort(dim=1)
    values = values.gather(1, order[..., None].expand(-1, -1, values.shape[2]))
    return replace(batch, values=values[:, : int(kept.max())], lengths=kept)


def fit_student(
    module: CircularModule,
    curves: Tensor,
    extra: Tensor,
    target: Tensor,
    spread: Tensor,
    config: FitConfig,
) -> FitResult:
    """Teach a module the mean ``target`` (N,) and its sigma ``spread`` (N,) of curves (N, 5, G), in standard units.

    The loss is the cross-entropy of the two Gaussians. For early stopping a twentieth of the curves is kept, with the
    two targets mean - sigma and mean + sigma each, whose likelihood has the same value.
    """
    n, _, steps = curves.shape
    whole = Batch(curves.mT, torch.full((n,), steps), torch.cat([extra, spread[:, None]], dim=1), target, torch.ones(n))
    held = torch.arange(n) % 20 == 0
    part = whole.rows(held)
    certain = torch.cat([part.extra[:, :-1], torch.zeros(len(part), 1)], dim=1)
    tune = [replace(part, extra=certain, target=part.target + sign * part.extra[:, -1]) for sign in (-1, 1)]
    both = Batch(*(torch.cat([getattr(one, name) for one in tune]) for name in Batch.__dataclass_fields__))
    return fit_network(Student(module), whole.rows(~held), both, config, augment=rolled)
