"""For which stars is a model good? Scores by [Fe/H], number of epochs, magnitude and type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from photfeh.validation.metrics import score

__all__ = ["group_scores", "scores_of"]

Members = dict[str, pd.Series]

STEP = 0.5
_QUARTERS = {"n_epochs": ("epochs", 0), "zero_point": ("mean magnitude", 2)}


def group_scores(scored: pd.DataFrame, stars: pd.DataFrame | None = None) -> pd.DataFrame:
    """Metrics of each model in each group of stars.

    Groups are half a dex wide in the label, quarters of equal numbers in epochs and mean magnitude, and types. The mean
    magnitude is ``zero_point``, the constant of the Fourier series.

    Parameters
    ----------
    scored : DataFrame
        Rows of the scored part of an out-of-fold table.
    stars : DataFrame, optional
        Star table with ``source_id`` and any of ``n_epochs``, ``zero_point``, ``type``.

    Returns
    -------
    DataFrame
        ``property``, ``group``, ``model``, ``representation``, ``n`` (rows: stars times repeats) and the metrics.
    """
    labels = scored.groupby("source_id")["feh_true"].first().astype(np.float64)
    groups = {"[Fe/H]": _steps(labels)}
    if stars is not None:
        about = stars.drop_duplicates("source_id").set_index("source_id").reindex(labels.index)
        for column, (name, digits) in _QUARTERS.items():
            if column in about.columns:
                groups[name] = _quarters(about[column].astype(np.float64), digits)
        if "type" in about.columns:
            groups["type"] = {str(kind): about["type"] == kind for kind in sorted(set(about["type"].dropna()))}
    rows: list[dict[str, Any]] = []
    for name, members in groups.items():
        for group, inside in members.items():
            chosen = scored[scored["source_id"].isin(inside.index[inside])]
            for (model, representation), part in chosen.groupby(["model", "representation"]):
                row = {"property": name, "group": group, "model": model, "representation": representation}
                rows.append(row | scores_of(part))
    return pd.DataFrame(rows)


def scores_of(rows: pd.DataFrame) -> dict[str, float]:
    """Metrics of one group of stars: columns ``source_id``, ``feh_true``, ``feh_pred``, optional ``weight``."""
    found = score(rows["feh_true"], rows["feh_pred"], rows.get("weight"))
    if rows["source_id"].nunique() < 2:
        found["r2"] = np.nan  # one star has no spread to explain
    return found


def _steps(feh: pd.Series) -> Members:
    """Half-dex intervals of the label, metal-poor first."""
    low = STEP * np.floor(feh / STEP)
    return {f"{edge:.1f} to {edge + STEP:.1f}": low == edge for edge in sorted(set(low.dropna()))}


def _quarters(values: pd.Series, digits: int) -> Members:
    """Four groups of nearly equal numbers, named by the values they span; stars of equal value stay together."""
    known = values.dropna()
    edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75])) if len(known) else np.zeros(0)
    place = pd.Series(np.searchsorted(edges, known), known.index).reindex(values.index)
    members = {}
    for number in range(len(edges) + 1):
        inside = place == number
        if inside.any():
            members[f"{values[inside].min():.{digits}f} to {values[inside].max():.{digits}f}"] = inside
    return members
