"""Recurrent networks of the founding document: three stacked layers that read the folded curve step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from photfeh.models.dropout import Dropout
from photfeh.models.kernels import fused
from photfeh.models.network import Network

__all__ = ["GRU", "LSTM", "BiGRU", "BiLSTM", "RecurrentModule"]

Cell = Literal["GRU", "LSTM"]


class Recurrent(nn.Module):
    """One recurrent layer; returns the whole sequence or only the state after the last valid step.

    Of a bidirectional layer, the outputs (or last states) of both directions stand side by side.
    """

    def __init__(self, cell: Cell, n_in: int, n_out: int, *, bidirectional: bool, sequence: bool) -> None:
        super().__init__()
        self.layer = {"GRU": fused.GRU, "LSTM": fused.LSTM}[cell](n_in, n_out, bidirectional=bidirectional)
        self.show_as = f"Bi{cell}" if bidirectional else cell
        self.sequence = sequence
        if cell == "LSTM":  # open forget gates, as Keras starts them: else memory halves at every step
            with torch.no_grad():
                for name, parameter in self.layer.named_parameters():
                    if "bias_ih" in name:
                        parameter[n_out : 2 * n_out] += 1.0

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """(N, T, C), (N,) -> (N, T, D H) or (N, D H); D is 2 if bidirectional, else 1."""
        output, last = self.layer(values, lengths)
        return torch.as_tensor(output if self.sequence else torch.cat(list(last), dim=1))


class RecurrentModule(nn.Module):
    """Recurrent layers with dropout behind each and one linear output; kernel L2 and recurrent L1 penalties."""

    def __init__(
        self,
        cell: Cell,
        units: tuple[int, ...],
        dropout: tuple[float, ...],
        *,
        n_in: int = 2,
        bidirectional: bool = False,
        kernel_l2: float = 0.0,
        recurrent_l1: float = 0.0,
    ) -> None:
        super().__init__()
        self.kernel_l2, self.recurrent_l1 = kernel_l2, recurrent_l1
        self.recurrent, self.dropout = nn.ModuleList(), nn.ModuleList()
        for i, n_out in enumerate(units):
            sequence = i < len(units) - 1
            self.recurrent.append(Recurrent(cell, n_in, n_out, bidirectional=bidirectional, sequence=sequence))
            self.dropout.append(Dropout(dropout[i]))
            n_in = n_out * (2 if bidirectional else 1)
        self.dense = nn.Linear(n_in, 1)

    def forward(self, values: Tensor, lengths: Tensor, extra: Tensor) -> Tensor:
        """(N, T, C), (N,), (N, 1) -> (N, 1). The period enters through the second channel, phase x period."""
        for recurrent, dropout in zip(self.recurrent, self.dropout, strict=True):
            values = dropout(recurrent(values, lengths))
        return torch.as_tensor(self.dense(values))

    def penalty(self) -> Tensor:
        """Kernel L2 plus recurrent L1, as in the founding recipe."""
        weights = [
            direction for recurrent in self.recurrent for direction in cast(Recurrent, recurrent).layer.all_weights
        ]
        kernel, state = (torch.cat([direction[i].flatten() for direction in weights]) for i in (0, 1))
        return self.kernel_l2 * kernel.square().sum() + self.recurrent_l1 * state.abs().sum()


@dataclass(kw_only=True, eq=False, repr=False)
class RecurrentNetwork(Network):
    """What the four recurrent networks share: sizes, dropout 0.2, 0.2, 0.1 and penalties of the founding document.

    Inputs and target are standardised and the learning rate follows one cycle, so that tens of epochs do what took
    thousands with a constant rate.
    """

    cell: ClassVar[Cell]
    bidirectional: ClassVar[bool] = False

    units: tuple[int, ...] = (20, 16, 8)
    dropout: tuple[float, ...] = (0.2, 0.2, 0.1)
    kernel_l2: float = 2e-6
    recurrent_l1: float = 2e-6

    def build(self) -> nn.Module:
        """The module with fresh weights."""
        return RecurrentModule(
            self.cell,
            self.units,
            self.dropout,
            bidirectional=self.bidirectional,
            kernel_l2=self.kernel_l2,
            recurrent_l1=self.recurrent_l1,
        )


@dataclass(kw_only=True, eq=False, repr=False)
class GRU(RecurrentNetwork):
    """The founding network: GRU 20, 16, 8 and a dense output; 3,897 parameters (Monti & Muraveva 2024)."""

    cell = "GRU"


@dataclass(kw_only=True, eq=False, repr=False)
class LSTM(RecurrentNetwork):
    """LSTM 20, 16, 8 and a dense output; 5,193 parameters (Monti & Muraveva 2024)."""

    cell = "LSTM"


@dataclass(kw_only=True, eq=False, repr=False)
class BiGRU(RecurrentNetwork):
    """GRU 20, 16, 16 in both directions and a dense output; 13,281 parameters (Monti & Muraveva 2024)."""

    cell = "GRU"
    bidirectional = True

    units: tuple[int, ...] = (20, 16, 16)


@dataclass(kw_only=True, eq=False, repr=False)
class BiLSTM(RecurrentNetwork):
    """LSTM 20, 16, 16 in both directions and a dense output; 17,697 parameters (Monti & Muraveva 2024)."""

    cell = "LSTM"
    bidirectional = True

    units: tuple[int, ...] = (20, 16, 16)
