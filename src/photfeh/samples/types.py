"""Which subtype of RR Lyrae a star is: given, or told by period and light-curve shape."""

from __future__ import annotations

import numpy as np
import pandas as pd

from photfeh.core.flags import Flag, predictable
from photfeh.core.startypes import type_masks
from photfeh.core.types import BoolArray, FloatArray

__all__ = ["assign_types", "looks_fundamental"]


def assign_types(stars: pd.DataFrame) -> pd.DataFrame:
    """Fill in ``type`` where it is missing, not a subtype (RR), or not understood; ``type_source`` says where.

    Only stars that can be predicted are typed. Those that are said to be no RR Lyrae keep their type and get the flag
    WRONG_TYPE, those whose type is not understood UNKNOWN_TYPE.
    """
    stars = stars.copy()
    known = stars["type"].astype(object) if "type" in stars.columns else pd.Series(None, stars.index, dtype=object)
    subtype, other, strange = type_masks(known)
    stars["flag"] = stars["flag"].to_numpy(np.int64) | int(Flag.WRONG_TYPE) * other | int(Flag.UNKNOWN_TYPE) * strange
    fundamental = looks_fundamental(stars["period"].to_numpy(np.float64), stars["r21"].to_numpy(np.float64))
    guess = np.where(fundamental, "RRab", "RRc").astype(object)
    guess[~predictable(stars["flag"])] = None
    kept = subtype | other
    stars["type"] = known.where(kept, pd.Series(guess, index=stars.index))
    stars["type_source"] = np.where(kept, "given", "light curve")
    return stars


def looks_fundamental(period: FloatArray, r21: FloatArray) -> BoolArray:
    """Whether stars of these periods [d] and R21 are RRab rather than RRc, shape (N,).

    RRc below 0.35 d, RRab above 0.42 d, between them by R21 = A2 / A1, RRab above 0.3 (the ranges of Gaia's
    Specific Objects Study, Clementini+ 2023).
    """
    with np.errstate(invalid="ignore"):
        return np.asarray((period > 0.42) | ((period >= 0.35) & (r21 > 0.3)))
