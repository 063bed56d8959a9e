"""The verb ``calibrate``: a model meets stars with spectroscopy, and learns the way from its labels to that scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.errors import BadInput, MissingColumn
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.prediction import load, predict
from photfeh.inference.scale import LABELS, MIN_STARS, SCALES, ScaleMap, Spectroscopy, named
from photfeh.readers.pairing import stars_of

__all__ = ["calibrate", "compared"]


def compared(model: Any, epochs: Any, stars: Any, **options: Any) -> pd.DataFrame:
    """What a model says on the scale of its labels beside spectroscopy, one row a star that has both.

    Parameters
    ----------
    model, epochs, stars
        As for :func:`photfeh.predict`; the star table has ``feh`` and perhaps ``feh_error`` [dex].
    **options
        Further arguments of :func:`photfeh.predict`.

    Returns
    -------
    DataFrame
        Predictions with type, and ``truth``, ``truth_error`` [dex].

    Raises
    ------
    MissingColumn
        if the star table has no ``feh``.
    """
    predictor = load(model)
    given = stars_of(epochs, stars, band=predictor.band)
    if "feh" not in given.columns:
        raise MissingColumn("feh", "the table of stars with spectroscopy", found=given.columns)
    made = predict(epochs, stars, model=predictor, scale=LABELS, full=True, **options)
    missing = pd.Series(np.nan, index=given.index)
    errors = given["feh_error"] if "feh_error" in given.columns else missing
    made = made.assign(truth=given["feh"].to_numpy(float), truth_error=errors.to_numpy(float))
    return made[made["feh"].notna() & made["truth"].notna()]


def of_type(table: pd.DataFrame, kind: str) -> Spectroscopy:
    """The rows of :func:`compared` of one star type."""
    mine = table[table["type"] == kind]
    return Spectroscopy(*(mine[name].to_numpy(float) for name in ("feh", "feh_error", "truth", "truth_error")))


def calibrate(model: str | Path, epochs: Any, stars: Any, *, scale: str, **options: Any) -> Ensemble:
    """Fit :class:`~photfeh.inference.scale.ScaleMap` for each star type of a model folder, and save them in it.

    The stars must not have taught the model, or the scatter comes out too small; no point prediction changes but by
    the offset. Types with fewer than 20 stars are left as they were.

    Parameters
    ----------
    model : path
        A model folder, which gets the maps.
    epochs, stars
        As for :func:`photfeh.predict`; the star table has ``feh`` and perhaps ``feh_error`` [dex].
    scale : str
        Name of the scale of that spectroscopy (:data:`~photfeh.inference.scale.SCALES` or another).
    **options
        Further arguments of :func:`photfeh.predict`.

    Raises
    ------
    BadInput
        if no type has enough stars.
    """
    ensemble, name = Ensemble.load(model), named(scale)
    if name == LABELS:
        raise BadInput(f"name the scale of the spectroscopy, such as {next(iter(SCALES))}, not {scale}.")
    table = compared(ensemble, epochs, stars, **options)
    counts = table["type"].value_counts()
    maps = [way for way in ensemble.maps if way.scale != name]
    fitted = [kind for kind in ensemble.types if counts.get(kind, 0) >= MIN_STARS]
    if not fitted:
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none"
        raise BadInput(
            f"a scale needs at least {MIN_STARS} stars of one type with spectroscopy and a prediction, found {told}."
        )
    kept = [way for way in ensemble.maps if way.scale == name and not set(way.types) & set(fitted)]
    for kind in fitted:
        basis = f"fitted on {counts[kind]} stars with spectroscopy"
        maps.append(ScaleMap.fit(of_type(table, kind), scale=name, types=(kind,), basis=basis))
    made = replace(ensemble, maps=(*maps, *kept))
    made.save(model)
    return made
