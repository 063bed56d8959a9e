"""Mixed networks of the founding document: convolutions find shapes, two small recurrent layers read them in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photfeh.models.convolutional import fully_convolutional, within
from photfeh.models.network import Network
from photfeh.models.recurrent import Cell, RecurrentModule

__all__ = ["ConvGRU", "ConvLSTM"]


class MaxPool(nn.Module):
    """The larger of two steps, (N, T, C) -> (N, ceil(T / 2), C); values must not be negative, zero behind the mask."""

    def forward(self, values: Tensor) -> Tensor:
        """A last step without a partner stays as it is, so that every valid step is seen."""
        return F.max_pool1d(values.transpose(1, 2), 2, ceil_mode=True).transpose(1, 2)


class ConvolutionalRecurrent(nn.Module):
    """Convolutions of the FCN, max-pooling of 2, recurrent layers and a linear output."""

    def __init__(self, filters: tuple[int, ...], widths: tuple[int, ...], recurrent: RecurrentModule) -> None:
        super().__init__()
        self.trunk = fully_convolutional(2, filters, widths)
        self.pool = MaxPool()
        self.head = recurrent

    def forward(self, values: Tensor, lengths: Tensor, extra: Tensor) -> Tensor:
        """(N, T, 2), (N,), (N, 1) -> (N, 1). The period enters through the second channel, phase x period."""
        features = self.pool(self.trunk(*within(values, lengths)))
        return torch.as_tensor(self.head(features, (lengths + 1) // 2, extra))

    def penalty(self) -> Tensor:
        """That of the recurrent layers."""
        return self.head.penalty()


@dataclass(kw_only=True, eq=False, repr=False)
class MixedNetwork(Network):
    """What both mixed networks share: sizes, dropout 0.2, 0.1 and penalties of the founding document."""

    cell: ClassVar[Cell]

    epochs: int = 80
    batch_size: int = 32
    learning_rate: float = 0.003

    filters: tuple[int, ...] = (128, 256, 128)
    widths: tuple[int, ...] = (8, 5, 3)
    units: tuple[int, ...] = (8, 4)
    dropout: tuple[float, ...] = (0.2, 0.1)
    kernel_l2: float = 2e-6
    recurrent_l1: float = 2e-6

    def build(self) -> nn.Module:
        """The module with fresh weights."""
        head = RecurrentModule(
            self.cell,
            self.units,
            self.dropout,
            n_in=self.filters[-1],
            kernel_l2=self.kernel_l2,
            recurrent_l1=self.recurrent_l1,
        )
        return ConvolutionalRecurrent(self.filters, self.widths, head)


@dataclass(kw_only=True, eq=False, repr=False)
class ConvGRU(MixedNetwork):
    """The convolutions of the FCN, max-pooling, GRU 8 and 4; 268,701 parameters (Monti & Muraveva 2024)."""

    cell = "GRU"


@dataclass(kw_only=True, eq=False, repr=False)
class ConvLSTM(MixedNetwork):
    """The convolutions of the FCN, max-pooling, LSTM 8 and 4; 269,861 parameters (Monti & Muraveva 2024)."""

    cell = "LSTM"
