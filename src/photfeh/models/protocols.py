"""What a module may have beside ``forward``, and what the common loop then does with it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Penalised", "Prepares"]


@runtime_checkable
class Penalised(Protocol):
    """A module that adds a term to its loss."""

    def penalty(self) -> Tensor:
        """The term, a scalar."""


@runtime_checkable
class Prepares(Protocol):
    """A module whose first part has nothing to train: its output is ``read(prepare(values, lengths), extra)``."""

    def prepare(self, values: Tensor, lengths: Tensor) -> Tensor:
        """What stars give whatever the weights are."""

    def read(self, x: Tensor, extra: Tensor) -> Tensor:
        """The rest, from what :meth:`prepare` gave."""
