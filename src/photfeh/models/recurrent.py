"""Recurrent networks of the founding document: three stacked layers that read the folded curve step by step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from photfeh.models import fused
from photfeh.models.network import Network

__all__ = ["GRU", "RecurrentModule"]


class Recurrent(nn.Module):
    """One GRU layer; returns the whole sequence or only the state after the last valid step."""

    show_as = "GRU"

    def __init__(self, n_in: int, n_out: int, *, sequence: bool) -> None:
        super().__init__()
        self.layer = fused.GRU(n_in, n_out)
        self.sequence = sequence

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """(N, T, C), (N,) -> (N, T, H) or (N, H)."""
        output, last = self.layer(values, lengths)
        return torch.as_tensor(output if self.sequence else last[-1])


class RecurrentModule(nn.Module):
    """Recurrent layers with dropout in between and one linear output; kernel L2 and recurrent L1 penalties."""

    def __init__(
        self, units: tuple[int, ...], dropout: tuple[float, ...], kernel_l2: float, recurrent_l1: float
    ) -> None:
        super().__init__()
        self.kernel_l2, self.recurrent_l1 = kernel_l2, recurrent_l1
        n_in = 2
        self.recurrent, self.dropout = nn.ModuleList(), nn.ModuleList()
        for i, n_out in enumerate(units):
            self.recurrent.append(Recurrent(n_in, n_out, sequence=i < len(units) - 1))
            self.dropout.append(nn.Dropout(dropout[i]))
            n_in = n_out
        self.dense = nn.Linear(n_in, 1)

    def forward(self, values: Tensor, lengths: Tensor, extra: Tensor) -> Tensor:
        """(N, T, 2), (N,), (N, 1) -> (N, 1). The period enters through the second channel, phase x period."""
        for recurrent, dropout in zip(self.recurrent, self.dropout, strict=True):
            values = dropout(recurrent(values, lengths))
        return torch.as_tensor(self.dense(values))

    def penalty(self) -> Tensor:
        """Kernel L2 plus recurrent L1, as in the founding recipe."""
        total = torch.zeros((), device=self.dense.weight.device)
        for name, weight in self.recurrent.named_parameters():
            if "weight_ih" in name:
                total = total + self.kernel_l2 * (weight**2).sum()
            elif "weight_hh" in name:
                total = total + self.recurrent_l1 * weight.abs().sum()
        return total


class GRU(Network):
    """The founding network: GRU 20, 16, 8 with dropout 0.2, 0.2, 0.1 and a dense output; 3,897 parameters.

    Architecture and penalties: Monti & Muraveva 2024. Inputs and target are standardised and the learning rate follows
    one cycle, so that tens of epochs do what took thousands with a constant rate.
    """

    def __init__(
        self,
        units: tuple[int, ...] = (20, 16, 8),
        dropout: tuple[float, ...] = (0.2, 0.2, 0.1),
        kernel_l2: float = 2e-6,
        recurrent_l1: float = 2e-6,
        epochs: int = 80,
        batch_size: int = 32,
        learning_rate: float = 0.015,
        schedule: str = "one-cycle",
        weight_decay: float = 0.0,
        patience: int = 40,
        clip: float = 1.0,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.units = units
        self.dropout = dropout
        self.kernel_l2 = kernel_l2
        self.recurrent_l1 = recurrent_l1
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.patience = patience
        self.clip = clip
        self.seed = seed
        self.device = device

    def build(self) -> nn.Module:
        """The module with fresh weights."""
        return RecurrentModule(self.units, self.dropout, self.kernel_l2, self.recurrent_l1)
