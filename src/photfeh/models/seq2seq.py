"""Sequence to sequence: one encoder learns the metallicity and, beside it, to draw the noise-free folded curve."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from photfeh.core.errors import BadInput
from photfeh.core.threads import after_fork
from photfeh.core.types import FloatArray
from photfeh.models.attention import AttentionPooling, attend, phase_waves, step_mask
from photfeh.models.kernels import fused
from photfeh.models.loop import Batch, fit_network, predict_network, seeded
from photfeh.models.network import CentredNetwork
from photfeh.samples.sequences import SHAPE_FEATURES, Sequences

__all__ = ["Seq2Seq", "Seq2SeqModule", "folded_curves"]


def folded_curves(X: Sequences, n_phases: int) -> FloatArray:
    """Regularised Fourier curves of N stars on phases j / n_phases, mean zero [mag], shape (N, n_phases).

    m(phase) = A_1 sum_k Re(c_k exp(2 pi i k phase)), c_k = R_k1 exp(i phi_k1), c_1 = 1, from the shape features; phase
    0 is where phi_1 = 0 or at maximum light, as the representation says.
    """
    order = np.arange(1, len(SHAPE_FEATURES) // 2 + 1)
    relative = [np.ones(len(X)), *(X.feature(f"cos{k}") + 1j * X.feature(f"sin{k}") for k in order[1:])]
    coefficients = X.feature("amplitude1")[:, None] * np.stack(relative, axis=1)
    if X.representation.alignment == "maximum":
        brightest = _draw(coefficients, 512).argmin(axis=1) / 512
        coefficients = coefficients * np.exp(2j * np.pi * np.outer(brightest, order))
    return _draw(coefficients, n_phases)


def _draw(coefficients: npt.NDArray[np.complex128], n_phases: int) -> FloatArray:
    turns = np.outer(np.arange(1, coefficients.shape[1] + 1), np.arange(n_phases) / n_phases)
    return np.asarray((coefficients @ np.exp(2j * np.pi * turns)).real)


class Decoder(nn.Module):
    """Curve at given phases: each phase looks at all encoder states."""

    def __init__(self, size: int, n_waves: int, n_heads: int) -> None:
        super().__init__()
        self.n_waves, self.n_heads = n_waves, n_heads
        self.query = nn.Linear(2 * n_waves, size)
        self.memory = nn.Linear(size, 2 * size)
        self.hidden = nn.Linear(2 * size, 2 * size)
        self.dense = nn.Linear(2 * size, 1)

    def forward(self, phase: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """Phases (P,), states (N, T, D), mask (N, T) -> (N, P)."""
        query = self.query(phase_waves(phase, self.n_waves)).expand(len(states), -1, -1)
        key, value = self.memory(states).chunk(2, dim=2)
        seen = torch.cat([attend(query, key, value, mask, self.n_heads), query], dim=2)
        return torch.as_tensor(self.dense(functional.gelu(self.hidden(seen)))[..., 0])


class Seq2SeqModule(nn.Module):
    """Bidirectional GRU over the epochs; a head for the label on its pooled states, a decoder for the curve.

    ``extra`` holds the period and, in training, the weight of each star and the curve to draw. The term that
    :meth:`penalty` adds to the loss is ``reconstruction`` times the weighted mean squared error of the curve.
    """

    def __init__(
        self,
        units: tuple[int, ...],
        n_heads: int,
        n_waves: int,
        n_phases: int,
        hidden: int,
        dropout: float,
        reconstruction: float,
    ) -> None:
        super().__init__()
        self.n_waves, self.n_phases, self.reconstruction = n_waves, n_phases, reconstruction
        sizes = [1 + 2 * n_waves, *(2 * n for n in units)]
        self.encoder = nn.ModuleList(
            fused.GRU(n_in, n_out, bidirectional=True) for n_in, n_out in zip(sizes[:-1], units, strict=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.pooling = AttentionPooling(sizes[-1], n_heads)
        self.hidden = nn.Linear(sizes[-1] + 1, hidden)
        self.dense = nn.Linear(hidden, 1)
        self.decoder = Decoder(sizes[-1], n_waves, n_heads)
        self._drawn = torch.zeros(())

    def encode(self, values: Tensor, lengths: Tensor) -> Tensor:
        """(N, T, 3), (N,) -> states (N, T', D), T' the largest number of valid steps."""
        values = values[:, : max(int(lengths.max()), 1)]
        states = torch.cat([values[..., :1], phase_waves(values[..., 2], self.n_waves)], dim=2)
        for layer in self.encoder:
            states = self.dropout(layer(states, lengths)[0])
        return states

    def draw(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Curve on phases j / n_phases, (N, n_phases), in the units of the input."""
        phase = torch.arange(self.n_phases, device=states.device) / self.n_phases
        return torch.as_tensor(self.decoder(phase, states, step_mask(lengths, states.shape[1])))

    def forward(self, values: Tensor, lengths: Tensor, extra: Tensor) -> Tensor:
        """(N, T, 3), (N,), (N, 1 or more) -> (N, 1)."""
        states = self.encode(values, lengths)
        if self.training:
            weight, curve = extra[:, 1], extra[:, 2:]
            error = (self.draw(states, lengths) - curve).square().mean(dim=1)
            self._drawn = (weight * error).sum() / weight.sum()
        pooled = torch.cat([self.pooling(states, step_mask(lengths, states.shape[1])), extra[:, :1]], dim=1)
        return torch.as_tensor(self.dense(self.dropout(functional.gelu(self.hidden(pooled)))))

    def penalty(self) -> Tensor:
        """Error of the curves of the last training batch."""
        drawn, self._drawn = self._drawn, self._drawn.detach()
        return self.reconstruction * drawn


class DrawnCurve(nn.Module):
    """Encoder and decoder alone."""

    def __init__(self, module: Seq2SeqModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, values: Tensor, lengths: Tensor, extra: Tensor) -> Tensor:
        """(N, T, 3), (N,), (N, ...) -> curves (N, n_phases)."""
        return self.module.draw(self.module.encode(values, lengths), lengths)


class CurveError(DrawnCurve):
    """Rms error (N, 1) of the curves: the common loop, which squares outputs minus targets, trains it to zero."""

    def forward(self, values: Tensor, lengths: Tensor, extra: Tensor) -> Tensor:
        """(N, T, 3), (N,), (N, 2 + n_phases) -> (N, 1)."""
        error = super().forward(values, lengths, extra) - extra[:, 2:]
        return (error.square().mean(dim=1, keepdim=True) + 1e-12).sqrt()


@dataclass(kw_only=True, eq=False, repr=False)
class Seq2Seq(CentredNetwork):
    """Encoder-decoder with attention (Sutskever+ 2014; Bahdanau+ 2015) that draws the curve and reads the label.

    The encoder is a bidirectional GRU over the steps, however irregular; the decoder looks from ``n_phases`` regular
    phases at its states. What it learns to draw is the regularised Fourier curve (:func:`folded_curves`) of the star's
    own epochs, an estimate; on simulated stars the true curve could stand in its place. Predictions read magnitudes,
    phases and the period, never those coefficients. ``reconstruction``: weight of the curve's error (in variances of
    the magnitude) beside the label's. Method and use on light curves without labels: Naul+ 2018.
    """

    units: tuple[int, ...] = (16, 16)
    n_heads: int = 4
    n_waves: int = 6
    n_phases: int = 32
    hidden: int = 32
    dropout: float = 0.1
    reconstruction: float = 1.0
    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 0.01
    weight_decay: float = 0.1
    patience: int = 40
    _pretrained: tuple[dict[str, Tensor], dict[str, FloatArray]] | None = field(default=None, init=False)

    def build(self) -> Seq2SeqModule:
        """The module with fresh weights, or those of :meth:`pretrain`."""
        module = Seq2SeqModule(
            self.units, self.n_heads, self.n_waves, self.n_phases, self.hidden, self.dropout, self.reconstruction
        )
        if self._pretrained is not None:
            module.load_state_dict(self._pretrained[0])
        return module

    def pretrain(self, X: Sequences, *, epochs: int = 40) -> Seq2Seq:
        """Learn to draw curves from stars without labels; every later ``fit`` of this object goes on from there.

        A seventh of the stars serves to choose the best epoch. Standardisation of magnitudes and period is kept from
        these stars. A clone, and a model loaded from disk, know nothing of it. In a validation leave out the curves of
        the scored stars too, or say that you did not.

        Raises
        ------
        BadInput
            if a star has no valid step or no finite features; names it.
        """
        from sklearn.base import clone

        after_fork()
        zero, weight = self._checked(X, np.zeros(len(X)), None)
        learner = clone(self)  # what this object was fitted to stays as it is
        learner._learn_scales(X, zero, weight)
        with seeded(self.seed):
            module = learner.build()
        tune = np.arange(len(X)) % 7 == 3
        learn, check = (learner._batch(X[rows], zero[rows], weight[rows]) for rows in (~tune, tune))
        fit_network(CurveError(module), learn, check, replace(self.fit_config(), epochs=epochs))
        self._pretrained = {name: value.cpu() for name, value in module.state_dict().items()}, learner._scales
        return self

    def reconstruct(self, X: Sequences) -> FloatArray:
        """Curves that the decoder draws, on phases j / n_phases, mean about zero [mag], shape (N, n_phases).

        NaN for stars without a valid step.
        """
        if not hasattr(self, "arrays_"):
            raise BadInput("this Seq2Seq is not fitted; call fit first.")
        self._readable(X)
        after_fork()
        batch = self._batch(X)
        module = DrawnCurve(cast(Seq2SeqModule, self.module_))
        drawn = predict_network(module, batch, precision=self.precision)
        (centre, *_), (scale, *_) = self._scales["input"]
        curves = centre + scale * drawn.numpy().astype(np.float64)
        curves[X.lengths == 0] = np.nan
        return np.asarray(curves)

    def _learn_scales(self, X: Sequences, y: FloatArray, weight: FloatArray) -> None:
        super()._learn_scales(X, y, weight)
        if self._pretrained is not None:
            self._scales |= {name: self._pretrained[1][name] for name in ("input", "extra")}

    def _batch(self, X: Sequences, y: FloatArray | None = None, weight: FloatArray | None = None) -> Batch:
        """In training ``extra`` carries, beside the period, each star's weight and the curve to draw."""
        batch = super()._batch(X, y, weight)
        if y is None:
            return batch
        (centre, *_), (scale, *_) = self._scales["input"]
        curve = torch.as_tensor((folded_curves(X, self.n_phases) - centre) / scale, dtype=torch.float32)
        return replace(batch, extra=torch.cat([batch.extra, batch.weight[:, None], curve], dim=1))
