"""The same stars with fewer epochs: what a model would have seen of them in a shorter survey."""

from __future__ import annotations

import numpy as np
import pandas as pd

from photfeh.core.errors import BadInput
from photfeh.core.lightcurves import LightCurves
from photfeh.core.types import Float32Array, Float64, FloatArray, Int64, IntArray
from photfeh.samples.measure import measure
from photfeh.samples.sequences import Sequences, build_sequences

__all__ = ["thinned"]


def thinned(X: Sequences, n_epochs: Int64[IntArray, " stars"], *, seed: int) -> Sequences:
    """Stars of a representation that holds their epochs, with fewer of them, measured and smoothed anew.

    Parameters
    ----------
    X : Sequences
        ``raw``, or ``raw`` with another representation beside, which is made again, too.
    n_epochs : (N,) int
        How many epochs each star keeps, drawn at random; a star that has no more keeps all of them.

    Returns
    -------
    Sequences
        The same stars in the same order; one that can no longer be represented has no valid step. Errors of the
        single magnitudes, which sequences do not hold, count as unknown.

    Raises
    ------
    BadInput
        if X does not hold epochs.
    """
    if X.representation.kind != "raw":
        raise BadInput(f"epochs can be taken from the representation raw only, not from {X.representation.name}.")
    draw = np.where(X.mask, np.random.default_rng(seed).random(X.mask.shape), 2.0)
    kept = X.mask & (draw.argsort(axis=1).argsort(axis=1) < n_epochs[:, None])
    period = X.feature("period")
    star = np.nonzero(kept)[0]
    curves = LightCurves(
        X.source_id,
        np.concatenate([[0], np.cumsum(kept.sum(axis=1))]),
        _phases(X.values[..., 1][kept], period[star]),
        X.values[..., 0][kept].astype(np.float64),
        np.full(len(star), np.nan),
        X.representation.band,
        True,
    )
    kind = np.where(X.feature("is_rrc") > 0, "RRc", "RRab")
    stars = pd.DataFrame({"source_id": X.source_id, "period": period, "type": kind})
    return build_sequences(measure(curves, stars), X.representation)


def _phases(time: Float32Array, period: FloatArray) -> Float64[FloatArray, " points"]:
    """Phases in [0, 1) [cycle] from phase x period [d], which was rounded to single precision."""
    return np.asarray(np.mod(time.astype(np.float64) / period, 1.0))
