"""The founding metrics and a few more, all computed from the out-of-fold table."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["METRICS", "metrics_table", "score"]

METRICS = ("r2", "wrmse", "wmae", "rmse", "mae", "bias", "sd", "robust_sd")
"""r2, wrmse, wmae are weighted (evaluation weights), the others are not."""


def score(true: npt.ArrayLike, pred: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> dict[str, float]:
    """Metrics of predictions [dex].

    ``r2``: 1 - sum w (t - p)^2 / sum w (t - <t>_w)^2. ``wrmse``, ``wmae``: weighted, ``rmse``, ``mae``: unweighted root
    mean square and mean absolute error. ``bias``: mean of p - t; ``sd`` and ``robust_sd`` (1.4826 MAD) of p - t. Stars
    without a prediction are left out; ``n`` counts the others. NaN throughout where none is left.
    """
    t, p = np.asarray(true, np.float64), np.asarray(pred, np.float64)
    w = np.ones(t.shape) if weight is None else np.asarray(weight, np.float64)
    good = np.isfinite(t) & np.isfinite(p)
    t, p, w = t[good], p[good], w[good]
    if not len(t):
        return {"n": 0, **dict.fromkeys(METRICS, np.nan)}
    residual = p - t
    spread = np.average((t - np.average(t, weights=w)) ** 2, weights=w)
    square = np.average(residual**2, weights=w)
    return {
        "n": len(t),
        "r2": float(1 - square / spread) if spread > 0 else np.nan,
        "wrmse": float(np.sqrt(square)),
        "wmae": float(np.average(np.abs(residual), weights=w)),
        "rmse": float(np.sqrt(np.mean(residual**2))),
        "mae": float(np.mean(np.abs(residual))),
        "bias": float(residual.mean()),
        "sd": float(residual.std()),
        "robust_sd": float(1.4826 * np.median(np.abs(residual - np.median(residual)))),
    }


def metrics_table(out_of_fold: pd.DataFrame) -> pd.DataFrame:
    """One row per model, representation and part (train, tune, score), pooled over folds and repeats.

    For ``score`` every star counts once a repeat; for ``train`` once per fold in which it was trained on.
    ``fold_sd_rmse`` is the standard deviation of the rmse over folds.
    """
    keys = ["model", "representation", "part"]
    rows: list[dict[str, Any]] = []
    for values, group in out_of_fold.groupby(keys, sort=False):
        per_fold = [score(g["feh_true"], g["feh_pred"])["rmse"] for _, g in group.groupby(["repeat", "fold"])]
        row = dict(zip(keys, values, strict=True)) | score(group["feh_true"], group["feh_pred"], group["weight"])
        rows.append(row | {"fold_sd_rmse": float(np.std(per_fold, ddof=1)) if len(per_fold) > 1 else np.nan})
    table = pd.DataFrame(rows)
    order = {"score": 0, "tune": 1, "train": 2}
    return table.sort_values("part", key=lambda c: c.map(order), kind="stable").reset_index(drop=True)
