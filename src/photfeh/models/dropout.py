"""Dropout whose random numbers do not cost more than the layers around it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Dropout"]


class Dropout(nn.Dropout):
    """``torch.nn.Dropout``, faster in training on a CPU: every draw of 64 bits decides on four numbers.

    There the probability is rounded to a multiple of 2^-16. In evaluation, and on other devices, it is torch's own.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Zero each number with probability ``p`` and divide the others by 1 - ``p``; same shape."""
        if not self.training or not 0.0 < self.p < 1.0 or input.device.type != "cpu":
            return super().forward(input)
        draws = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        numbers = draws.view(torch.int16)[: input.numel()].view(input.shape)
        kept = (numbers >= round(self.p * 2**16) - 2**15).to(input.dtype)
        return input * kept.div_(1.0 - self.p)
