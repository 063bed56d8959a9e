"""Convolutional networks: FCN, ResNet and InceptionTime, for curves of any length behind a mask.

Tensors are (stars, steps, channels) throughout, zero behind the last valid step. Convolutions have no bias, since the
batch norm behind them would take it away again. All three average over the valid steps and put the standardised period
beside the averages, before the dense output: an average over phase x period keeps little of the period.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photfeh.models.network import Network

__all__ = ["FCN", "InceptionTime", "ResNet", "fully_convolutional"]


def within(values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
    """Values as far as the longest star goes, zero behind each one's last valid step, and the mask (N, T).

    No mask where all steps are valid, so that whole curves pay nothing for it.
    """
    values = values[:, : max(int(lengths.max()), 1)]
    if bool((lengths == values.shape[1]).all()):
        return values, None
    valid = torch.arange(values.shape[1], device=lengths.device) < lengths[:, None]
    return emptied(values, valid), valid


def emptied(values: Tensor, valid: Tensor | None, fill: float = 0.0) -> Tensor:
    """The values with ``fill`` behind the mask, whatever stood there."""
    return values if valid is None else values.masked_fill(~valid[:, :, None], fill)


class Convolution(nn.Conv1d):
    """Convolution along the steps, (N, T, C) -> (N, T, F), zeros beyond both ends, no bias."""

    show_as = "Conv1D"

    def __init__(self, n_in: int, n_out: int, width: int) -> None:
        super().__init__(n_in, n_out, width, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        """Through ``conv2d`` with the channels last in memory, which is twice as fast on a CPU for wide kernels."""
        before = (self.kernel_size[0] - 1) // 2
        padded = F.pad(values, (0, 0, before, self.kernel_size[0] - 1 - before))
        image = padded.transpose(1, 2).unsqueeze(2)
        return F.conv2d(image, self.weight.unsqueeze(2)).squeeze(2).transpose(1, 2)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of (N, T, C) with the statistics of valid steps only; zero behind the mask."""

    show_as = "BatchNorm"

    def forward(self, values: Tensor, valid: Tensor | None = None) -> Tensor:
        """(N, T, C), (N, T) or None -> (N, T, C)."""
        if valid is None:
            return super().forward(values.reshape(-1, values.shape[2])).reshape(values.shape)
        normal = super().forward(values[valid])
        return normal.new_zeros(values.shape).index_put((valid,), normal)


class AveragePool(nn.Module):
    """Mean over the valid steps, (N, T, C) -> (N, C)."""

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Values must be zero behind the mask."""
        return values.sum(dim=1) / lengths.clamp(min=1)[:, None]


class ConvolutionBlock(nn.Module):
    """Convolution, batch norm and, if ``relu``, ReLU."""

    def __init__(self, n_in: int, n_out: int, width: int, *, relu: bool = True) -> None:
        super().__init__()
        self.convolution = Convolution(n_in, n_out, width)
        self.norm = BatchNorm(n_out)
        self.relu = relu

    def forward(self, values: Tensor, valid: Tensor | None) -> Tensor:
        """(N, T, C), (N, T) or None -> (N, T, F)."""
        normal: Tensor = self.norm(self.convolution(values), valid)
        return torch.relu(normal) if self.relu else normal


class Chain(nn.Sequential):
    """Layers one behind the other, each of which gets the mask too."""

    def forward(self, values: Tensor, valid: Tensor | None) -> Tensor:  # type: ignore[override]
        """(N, T, C), (N, T) or None -> (N, T, F)."""
        for layer in self:
            values = layer(values, valid)
        return values


class Residual(nn.Module):
    """A trunk beside a shortcut, added, then ReLU."""

    def __init__(self, trunk: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.trunk, self.shortcut = trunk, shortcut

    def forward(self, values: Tensor, valid: Tensor | None) -> Tensor:
        """(N, T, C), (N, T) or None -> (N, T, F)."""
        return torch.relu(self.trunk(values, valid) + self.shortcut(values, valid))


def fully_convolutional(n_in: int, filters: tuple[int, ...], widths: tuple[int, ...]) -> Chain:
    """Convolution, batch norm and ReLU, several times (Wang, Yan & Oates 2017, figure 1b)."""
    sizes = pairwise((n_in, *filters))
    return Chain(*(ConvolutionBlock(a, b, width) for (a, b), width in zip(sizes, widths, strict=True)))


class Inception(nn.Module):
    """Bottleneck, parallel convolutions of several widths, and max-pooling of 3 beside them; batch norm, ReLU."""

    def __init__(self, n_in: int, filters: int, widths: tuple[int, ...], bottleneck: int) -> None:
        super().__init__()
        self.bottleneck = Convolution(n_in, bottleneck, 1)
        self.wide = nn.ModuleList(Convolution(bottleneck, filters, width) for width in widths)
        self.pooled = Convolution(n_in, filters, 1)
        self.norm = BatchNorm(filters * (len(widths) + 1))

    def forward(self, values: Tensor, valid: Tensor | None) -> Tensor:
        """(N, T, C), (N, T) or None -> (N, T, F)."""
        narrow = self.bottleneck(values)
        # the maximum of negative values must not see the zeros behind the mask
        image = emptied(values, valid, -torch.inf).transpose(1, 2).unsqueeze(2)
        largest = F.max_pool2d(image, (1, 3), stride=1, padding=(0, 1)).squeeze(2).transpose(1, 2)
        branches = [layer(narrow) for layer in self.wide] + [self.pooled(emptied(largest, valid))]
        return torch.relu(self.norm(torch.cat(branches, dim=2), valid))


class PooledModule(nn.Module):
    """A trunk of convolutions, the average over valid steps, and a dense output that also sees ``extra``."""

    def __init__(self, trunk: nn.Module, n_features: int, n_extra: int = 1) -> None:
        super().__init__()
        self.trunk = trunk
        self.average = AveragePool()
        self.dense = nn.Linear(n_features + n_extra, 1)

    def forward(self, values: Tensor, lengths: Tensor, extra: Tensor) -> Tensor:
        """(N, T, 2), (N,), (N, E) -> (N, 1)."""
        features = self.average(self.trunk(*within(values, lengths)), lengths)
        return torch.as_tensor(self.dense(torch.cat([features, extra], dim=1)))


@dataclass(kw_only=True, eq=False, repr=False)
class FCN(Network):
    """Fully convolutional network: 128 filters of width 8, 256 of 5, 128 of 3; 265,346 parameters.

    Architecture: Wang, Yan & Oates 2017; sizes as in Monti & Muraveva 2024.
    """

    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 0.003

    filters: tuple[int, ...] = (128, 256, 128)
    widths: tuple[int, ...] = (8, 5, 3)

    def build(self) -> nn.Module:
        """The module with fresh weights."""
        return PooledModule(fully_convolutional(2, self.filters, self.widths), self.filters[-1])


@dataclass(kw_only=True, eq=False, repr=False)
class ResNet(Network):
    """Three residual blocks of 64, 128, 128 filters, each of widths 8, 5, 3; 503,554 parameters.

    Architecture: Wang, Yan & Oates 2017, figure 1c, without ReLU at the end of a trunk as in their code; where a block
    does not change the number of channels its shortcut is a batch norm alone.
    """

    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 0.003

    filters: tuple[int, ...] = (64, 128, 128)
    widths: tuple[int, ...] = (8, 5, 3)

    def build(self) -> nn.Module:
        """The module with fresh weights."""
        return PooledModule(Chain(*(self._block(*pair) for pair in pairwise((2, *self.filters)))), self.filters[-1])

    def _block(self, n_in: int, n_out: int) -> Residual:
        *first, last = self.widths
        trunk = Chain(
            *fully_convolutional(n_in, (n_out,) * len(first), tuple(first)),
            ConvolutionBlock(n_out, n_out, last, relu=False),
        )
        return Residual(trunk, BatchNorm(n_in) if n_in == n_out else ConvolutionBlock(n_in, n_out, 1, relu=False))


@dataclass(kw_only=True, eq=False, repr=False)
class InceptionTime(Network):
    """Six inception modules, a shortcut around every three; one network, no ensemble; 489,986 parameters.

    Architecture: Ismail Fawaz et al. 2020. A module has a bottleneck of 32 channels, 32 filters of each of the widths
    40, 20 and 10, and 32 on a maximum over three steps.
    """

    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 0.003

    depth: int = 6
    filters: int = 32
    widths: tuple[int, ...] = (40, 20, 10)
    bottleneck: int = 32

    def build(self) -> nn.Module:
        """The module with fresh weights."""
        n_out = self.filters * (len(self.widths) + 1)
        modules = [Inception(n_out if i else 2, self.filters, self.widths, self.bottleneck) for i in range(self.depth)]
        groups: list[nn.Module] = []
        for begin in range(0, self.depth, 3):
            group = Chain(*modules[begin : begin + 3])
            shortcut = ConvolutionBlock(n_out if begin else 2, n_out, 1, relu=False)
            groups.append(Residual(group, shortcut) if len(group) == 3 else group)
        return PooledModule(Chain(*groups), n_out, len(self.extra_names))
