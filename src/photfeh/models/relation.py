"""The published relation as a model: nothing is trained."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd

from photfeh.core.types import FloatArray
from photfeh.models.base import Regressor, Tune
from photfeh.samples.relations import get_relation
from photfeh.samples.sequences import Sequences

__all__ = ["RelationModel"]


class RelationModel(Regressor):
    """[Fe/H] from period and Fourier parameters by one published relation per type.

    Parameters
    ----------
    rrab, rrc : str
        Names in :data:`photfeh.samples.relations.RELATIONS`.
    """

    kind: ClassVar[str] = "formula"
    star_types: ClassVar[tuple[str, ...] | None] = ("RRab", "RRc")

    def __init__(self, rrab: str = "muraveva-2025-rrab", rrc: str = "muraveva-2025-rrc") -> None:
        self.rrab = rrab
        self.rrc = rrc
        self.arrays_ = {"unused": np.zeros(1)}
        self.notes_ = {}

    def check(self) -> None:
        """Whether both relations exist."""
        for name in (self.rrab, self.rrc):
            get_relation(name)

    def _fit(self, X: Sequences, y: FloatArray, weight: FloatArray, tune: Tune | None) -> None:
        """Nothing to learn: the relation stays as published."""

    def _predict_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        table = pd.DataFrame({name: X.feature(name) for name in ("period", "phi31", "phi31_error", "a2", "a2_error")})
        rrc = X.feature("is_rrc") > 0.5
        ab, ab_error = get_relation(self.rrab).feh(table)
        c, c_error = get_relation(self.rrc).feh(table)
        return np.where(rrc, c, ab), np.where(rrc, c_error, ab_error)
