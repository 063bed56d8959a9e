"""A transformer for folded curves: every step knows its phase, however irregular, and the period enters at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from photfeh.core.types import FloatArray
from photfeh.models.network import CentredNetwork
from photfeh.samples.sequences import Sequences

__all__ = ["Transformer", "TransformerModule", "attend", "phase_waves", "step_mask"]


def phase_waves(phase: Tensor, n_waves: int) -> Tensor:
    """Cosine and sine of 2 pi k phase, k = 1..K, of phases in cycles: (...) -> (..., 2K).

    The positional encoding of a periodic position: equal at phases 0 and 1, and right for irregular steps.
    """
    angle = 2.0 * math.pi * phase[..., None] * torch.arange(1, n_waves + 1, device=phase.device)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def step_mask(lengths: Tensor, n_steps: int) -> Tensor:
    """Mask (N, T), true for the first ``lengths`` steps of each star, and for one where there is none.

    So attention has somewhere to look; what it finds for such a star, zeros, is no prediction and not returned as one.
    """
    return torch.arange(n_steps, device=lengths.device) < lengths.clamp(min=1)[:, None]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, n_heads: int) -> Tensor:
    """Attention in several heads (Vaswani+ 2017): (N, Q, D), (N, T, D), (N, T, D), (N, T) -> (N, Q, D).

    Steps where the mask is false are not looked at.
    """
    q, k, v = (x.reshape(*x.shape[:2], n_heads, -1).transpose(1, 2) for x in (query, key, value))
    context = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
    return context.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Every step looks at every valid step of its star."""

    show_as = "SelfAttention"

    def __init__(self, size: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.inward = nn.Linear(size, 3 * size)
        self.outward = nn.Linear(size, size)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, T, D), (N, T) -> (N, T, D)."""
        query, key, value = self.inward(x).chunk(3, dim=2)
        return torch.as_tensor(self.outward(attend(query, key, value, mask, self.n_heads)))


class EncoderLayer(nn.Module):
    """Attention, then two dense layers at each step; normalised before, added after (Xiong+ 2020)."""

    def __init__(self, size: int, n_heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.attention = SelfAttention(size, n_heads)
        self.dense = nn.Sequential(
            nn.LayerNorm(size), nn.Linear(size, feed_forward), nn.GELU(), nn.Linear(feed_forward, size)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, T, D), (N, T) -> (N, T, D)."""
        x = x + self.dropout(self.attention(self.norm(x), mask))
        return x + torch.as_tensor(self.dropout(self.dense(x)))


class AttentionPooling(nn.Module):
    """Mean over the valid steps, weighted by how well each answers a learned query, one query per head."""

    show_as = "AttentionPooling"

    def __init__(self, size: int, n_heads: int) -> None:
        super().__init__()
        self.query = nn.Linear(size, n_heads, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, T, D), (N, T) -> (N, D)."""
        score = self.query(x).masked_fill(~mask[..., None], -math.inf)
        parts = x.reshape(*score.shape, -1)
        return torch.einsum("nth,nthd->nhd", score.softmax(dim=1), parts).flatten(1)


class TransformerModule(nn.Module):
    """Steps -> tokens with phase, patches of successive tokens, encoder layers, pooling, dense layers with the period.

    Magnitude and waves of the phase are projected together before any normalisation: a norm over the two channels
    alone would leave nothing but signs.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_layers: int,
        feed_forward: int,
        dropout: float,
        n_waves: int,
        patch: int,
        hide: float,
    ) -> None:
        super().__init__()
        self.n_waves, self.patch, self.hide = n_waves, patch, hide
        self.embed = nn.Sequential(nn.Linear(1 + 2 * n_waves, d_model), nn.GELU(), nn.Linear(d_model, d_model))
        self.layers = nn.ModuleList(EncoderLayer(d_model, n_heads, feed_forward, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model)
        self.pooling = AttentionPooling(d_model, n_heads)
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(d_model + 1, feed_forward)
        self.dense = nn.Linear(feed_forward, 1)

    def forward(self, values: Tensor, lengths: Tensor, extra: Tensor) -> Tensor:
        """(N, T, 3), (N,), (N, 1) -> (N, 1)."""
        longest = max(int(lengths.max()), 1)
        values, mask = values[:, :longest], step_mask(lengths, longest)
        if self.training:  # the first step stays, so that no star is empty
            mask[:, 1:] &= torch.rand(mask[:, 1:].shape, device=mask.device) >= self.hide
        tokens = self.embed(torch.cat([values[..., :1], phase_waves(values[..., 2], self.n_waves)], dim=2))
        x, mask = mean_of_patches(tokens, mask, self.patch)
        for layer in self.layers:
            x = layer(x, mask)
        pooled = torch.cat([self.pooling(self.norm(x), mask), extra], dim=1)
        return torch.as_tensor(self.dense(self.dropout(functional.gelu(self.hidden(pooled)))))


def mean_of_patches(x: Tensor, mask: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Means over patches of ``size`` successive valid steps: (N, T, D), (N, T) -> (N, T', D), (N, T')."""
    rest = -x.shape[1] % size
    x = functional.pad(x * mask[..., None], (0, 0, 0, rest)).reshape(len(x), -1, size, x.shape[2]).sum(dim=2)
    count = functional.pad(mask, (0, rest)).reshape(len(x), -1, size).sum(dim=2)
    return x / count.clamp(min=1)[..., None], count > 0


@dataclass(kw_only=True, eq=False, repr=False)
class Transformer(CentredNetwork):
    """Transformer encoder (Vaswani+ 2017) on patches of steps (Nie+ 2023), with waves of the phase as positions.

    ``n_waves``: harmonics of the phase that each step is given. ``patch``: successive steps averaged, after their
    embedding, to one token; attention costs the square of the number of tokens. None: 1 for raw epochs, 4 for the
    smooth and closely spaced steps of a spline. ``hide``: fraction of the steps that each training step leaves out,
    drawn anew for every star.
    """

    d_model: int = 32
    n_heads: int = 4
    n_layers: int = 2
    feed_forward: int = 64
    dropout: float = 0.1
    n_waves: int = 8
    patch: int | None = None
    hide: float = 0.3
    epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 0.004
    weight_decay: float = 0.1
    patience: int = 40

    def build(self) -> nn.Module:
        """The module with fresh weights."""
        patch = getattr(self, "notes_", {}).get("patch", self.patch or 4)
        return TransformerModule(
            self.d_model,
            self.n_heads,
            self.n_layers,
            self.feed_forward,
            self.dropout,
            self.n_waves,
            patch,
            self.hide,
        )

    def _learn_scales(self, X: Sequences, y: FloatArray, weight: FloatArray) -> None:
        super()._learn_scales(X, y, weight)
        self.notes_["patch"] = self.patch or (1 if X.representation.kind == "raw" else 4)
