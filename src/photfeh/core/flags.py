"""The bit mask that says what is special about a prediction, and why a star has none."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from photfeh.core.types import BoolArray

__all__ = ["DESCRIPTIONS", "NO_PREDICTION", "Flag", "describe"]


class Flag(IntEnum):
    """Bits of the ``flag`` column of predictions and data sets; test them with ``table["flag"] & Flag.SPARSE``."""

    NO_LIGHT_CURVE = 1
    NO_PERIOD = 2
    BAD_PERIOD = 4
    TOO_FEW_EPOCHS = 8
    WRONG_TYPE = 16
    NO_FIT = 32
    SPARSE = 64
    PHASE_GAP = 128
    NOISY = 256
    EXTRAPOLATED = 512
    PERIOD_SEARCHED = 1024
    PERIOD_REPLACED = 2048
    PERIOD_DOUBTFUL = 4096
    OTHER_BAND = 8192
    UNKNOWN_TYPE = 16384
    DOUBLE_MODE = 32768
    PERIOD_REFINED = 65536


DESCRIPTIONS = {
    Flag.NO_LIGHT_CURVE: "no usable epoch of this star was found",
    Flag.NO_PERIOD: "the star table gives no period and none could be found in the light curve",
    Flag.BAD_PERIOD: "the period is not between 0.1 and 1.5 days",
    Flag.TOO_FEW_EPOCHS: "fewer than 8 clean epochs: no light-curve shape can be measured",
    Flag.WRONG_TYPE: "the model was not made for stars of this type",
    Flag.NO_FIT: "the light curve could not be fitted",
    Flag.SPARSE: "fewer than 20 clean epochs: use with care",
    Flag.PHASE_GAP: "more than a quarter of the cycle has no epoch: use with care",
    Flag.NOISY: "scatter about the fit above a quarter of the amplitude: the period may be wrong",
    Flag.EXTRAPOLATED: "period, light-curve shape or [Fe/H] at or beyond the range of the training stars",
    Flag.PERIOD_SEARCHED: "the period was found in the light curve",
    Flag.PERIOD_REPLACED: "the given period does not fit and was replaced by the one found in the light curve",
    Flag.PERIOD_DOUBTFUL: "another period fits nearly as well as the one used, or better: use with care",
    Flag.OTHER_BAND: "the light curve is in another passband than the model was made for",
    Flag.UNKNOWN_TYPE: "the type given is not understood: typed by period and light curve, use with care",
    Flag.DOUBLE_MODE: "the residuals hold a second period at the ratio of double-mode stars (RRd): use with care",
    Flag.PERIOD_REFINED: "the given period was refined within its last digit",
}

NO_PREDICTION = (
    Flag.NO_LIGHT_CURVE | Flag.NO_PERIOD | Flag.BAD_PERIOD | Flag.TOO_FEW_EPOCHS | Flag.WRONG_TYPE | Flag.NO_FIT
)
"""Bits of which any one means that [Fe/H] is NaN."""


def describe(flag: int) -> list[str]:
    """Plain sentences for the bits that are set."""
    return [text for bit, text in DESCRIPTIONS.items() if flag & bit]


def predictable(flag: npt.ArrayLike) -> BoolArray:
    """Where no bit of :data:`NO_PREDICTION` is set."""
    return np.asarray((np.asarray(flag, np.int64) & int(NO_PREDICTION)) == 0)
