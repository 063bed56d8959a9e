"""What the interactive plot of a report knows: predictions, labels and light curves of a sample of stars."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.types import FloatArray
from photfeh.report.figures.predictions import closes
from photfeh.samples.dataset import Dataset

__all__ = [
    "MAX_CURVES", "MAX_MODELS", "MAX_STARS",
    "embedded_json", "explorer_data", "sample_note", "score_predictions", "shown_curves",
]  # fmt: skip


MAX_STARS = 4000
MAX_CURVES = 1000
MAX_MODELS = 12
CURVE_POINTS = 132

Curves = Mapping[int, Mapping[str, Sequence[float] | FloatArray]]
Key = tuple[str, str]


def score_predictions(out_of_fold: pd.DataFrame, key: Key, part: str = "score") -> pd.DataFrame:
    """One row a star for one model and representation, indexed by source_id; repeats are averaged.

    Stars without a label or a prediction are left out. The error is the root mean square over the repeats.
    """
    chosen = (
        (out_of_fold["model"] == key[0]) & (out_of_fold["representation"] == key[1]) & (out_of_fold["part"] == part)
    )
    rows = out_of_fold[chosen].dropna(subset=["feh_true", "feh_pred"])
    columns = [name for name in ("feh_true", "feh_pred", "feh_pred_error", "weight") if name in rows.columns]
    rows = rows[["source_id", *columns]].copy()
    if "feh_pred_error" in rows.columns:
        rows["feh_pred_error"] = rows["feh_pred_error"].astype(np.float64) ** 2
    stars = rows.groupby("source_id", sort=True).mean()
    if "feh_pred_error" in stars.columns:
        stars["feh_pred_error"] = np.sqrt(stars["feh_pred_error"])
    return stars


def shown_curves(dataset: Dataset, scored: pd.DataFrame) -> Curves | None:
    """Light curves of the worst-predicted quarter and a random rest, at most :data:`MAX_CURVES`.

    None where the data set lacks the epochs as observed or their smooth curve.
    """
    if not {"raw", "raw-spline"} <= set(dataset.representations):
        return None
    worst = (scored["feh_pred"] - scored["feh_true"]).abs().groupby(scored["source_id"]).max()
    order = worst.sort_values(ascending=False).index.to_numpy().copy()
    rest = np.random.default_rng(0).permutation(order[MAX_CURVES // 4 :])
    return dataset.curves(np.concatenate([order[: MAX_CURVES // 4], rest])[:MAX_CURVES])


def sample_note(content: Mapping[str, Any], models: int) -> str:
    """Which stars, light curves and models the interactive plot holds."""
    shown, total, curves = len(content["source_id"]), content["total"], len(content["curves"])
    stars = f"All {total:,} scored stars are shown"
    if shown < total:
        stars = f"{shown:,} of {total:,} scored stars are shown: those with the largest residuals, "
        stars += "those with a light curve, and others drawn at random" if curves else "and others drawn at random"
    light = (
        f"{curves:,} have their light curve in this file (filled points)" if curves else "No light curves in this file"
    )
    note = f"{stars}. {light}."
    if models > MAX_MODELS:
        note += f" The menu has the best {MAX_MODELS} of {models} models."
    return note


def explorer_data(
    out_of_fold: pd.DataFrame,
    keys: Sequence[Key],
    *,
    stars: pd.DataFrame | None = None,
    curves: Curves | None = None,
    first: Iterable[int] = (),
) -> dict[str, Any]:
    """The data of the interactive plot, ready for JSON: numbers rounded, unknown None, identifiers as text.

    At most :data:`MAX_STARS` stars: those of ``first``, those with a light curve, then others drawn at random
    (always the same ones). At most :data:`MAX_CURVES` light curves and :data:`MAX_MODELS` models.

    Parameters
    ----------
    out_of_fold : DataFrame
        Columns model, representation, part, source_id, feh_true, feh_pred, feh_pred_error.
    keys : sequence of (model, representation)
        Best first.
    stars : DataFrame, optional
        Columns source_id and any of period, type, n_epochs.
    curves : mapping of source_id, optional
        ``phase``, ``mag``, optional ``mag_error``; ``curve_phase``, ``curve_mag`` of the smooth curve.
    first : iterable of int
        Stars that must be shown.
    """
    scores = [score_predictions(out_of_fold, key) for key in keys[:MAX_MODELS]]
    truth = pd.concat([score["feh_true"] for score in scores])
    truth = truth[~truth.index.duplicated()].sort_index()
    curves = curves or {}
    shown, drawn = _sample(truth.index.to_numpy(), list(first), curves)
    about = pd.DataFrame(index=shown) if stars is None else stars.set_index("source_id").reindex(shown)
    models = [
        {
            "name": name,
            "representation": representation,
            "pred": _rounded(score["feh_pred"].reindex(shown)),
            "error": _rounded(score["feh_pred_error"].reindex(shown)) if "feh_pred_error" in score else None,
        }
        for (name, representation), score in zip(keys, scores, strict=False)
    ]
    return {
        "total": len(truth),
        "models": models,
        "source_id": [str(star) for star in shown],
        "true": _rounded(truth.reindex(shown)),
        "period": _rounded(about["period"], 6) if "period" in about else None,
        "type": [kind if isinstance(kind, str) else None for kind in about["type"]] if "type" in about else None,
        "n_epochs": _rounded(about["n_epochs"], 0) if "n_epochs" in about else None,
        "curves": {str(star): _curve(curves[star]) for star in drawn},
    }


def _sample(everyone: np.ndarray[Any, Any], first: list[int], curves: Curves) -> tuple[list[int], list[int]]:
    """Which stars are shown, in order of source_id, and which of them with their light curve."""
    known = {int(star) for star in everyone}
    generator = np.random.default_rng(0)
    shuffled = [int(star) for star in generator.permutation(everyone)]
    with_curve = [star for star in shuffled if star in curves]
    first = [int(star) for star in first if int(star) in known]
    drawn = list(dict.fromkeys([star for star in first if star in curves] + with_curve))[:MAX_CURVES]
    shown = sorted(list(dict.fromkeys(first + drawn + shuffled))[:MAX_STARS])
    kept = set(shown)
    return shown, [star for star in drawn if star in kept]


def _curve(curve: Mapping[str, Sequence[float] | FloatArray]) -> dict[str, Any]:
    """One light curve in [0, 1), its smooth curve in order of phase and thinned."""
    error, smooth = curve.get("mag_error"), curve.get("curve_phase")
    found: dict[str, Any] = {
        "phase": _rounded(np.asarray(curve["phase"], np.float64) % 1.0),
        "mag": _rounded(curve["mag"]),
        "mag_error": None if error is None else _rounded(error),
        "curve_phase": None,
    }
    if smooth is not None:
        phase, mag = np.asarray(smooth, np.float64) % 1.0, np.asarray(curve["curve_mag"], np.float64)
        order = np.argsort(phase, kind="stable")
        thin = order[:: max(1, math.ceil(len(phase) / CURVE_POINTS))]
        found |= {
            "curve_phase": _rounded(phase[thin]),
            "curve_mag": _rounded(mag[thin]),
            "closed": closes(phase[order]),
        }
    return found


def _rounded(values: Sequence[float] | FloatArray | pd.Series, digits: int = 4) -> list[float | None]:
    array = np.asarray(values, dtype=np.float64)
    return [round(value, digits) if math.isfinite(value) else None for value in array.tolist()]


def embedded_json(data: object) -> str:
    """JSON that may stand inside a ``<script>`` element: no character in it can end the element.

    Raises
    ------
    ValueError
        for NaN or infinity, which JSON cannot hold.
    """
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
