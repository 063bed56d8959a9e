"""The founding metrics and a few more, all computed from the out-of-fold table. A new one is a function and a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from photfeh.core.types import FloatArray

__all__ = ["METRICS", "Metric", "metrics_table", "score"]


@dataclass(frozen=True)
class Metric:
    """A function of truth, prediction and evaluation weight, each (N,), finite, N > 0; and which value is the best."""

    function: Callable[[FloatArray, FloatArray, FloatArray], float]
    best: Literal["largest", "nearest to zero"] = "nearest to zero"


def _r2(true: FloatArray, pred: FloatArray, weight: FloatArray) -> float:
    """1 - sum w (t - p)^2 / sum w (t - <t>_w)^2."""
    spread = np.average((true - np.average(true, weights=weight)) ** 2, weights=weight)
    return float(1 - np.average((pred - true) ** 2, weights=weight) / spread) if spread > 0 else np.nan


def _wrmse(true: FloatArray, pred: FloatArray, weight: FloatArray) -> float:
    """Weighted root mean square error [dex]."""
    return float(np.sqrt(np.average((pred - true) ** 2, weights=weight)))


def _wmae(true: FloatArray, pred: FloatArray, weight: FloatArray) -> float:
    """Weighted mean absolute error [dex]."""
    return float(np.average(np.abs(pred - true), weights=weight))


def _rmse(true: FloatArray, pred: FloatArray, weight: FloatArray) -> float:
    """Root mean square error [dex], unweighted."""
    return float(np.sqrt(np.mean((pred - true) ** 2)))


def _mae(true: FloatArray, pred: FloatArray, weight: FloatArray) -> float:
    """Mean absolute error [dex], unweighted."""
    return float(np.mean(np.abs(pred - true)))


def _bias(true: FloatArray, pred: FloatArray, weight: FloatArray) -> float:
    """Mean of prediction minus truth [dex]."""
    return float((pred - true).mean())


def _sd(true: FloatArray, pred: FloatArray, weight: FloatArray) -> float:
    """Standard deviation of prediction minus truth [dex]."""
    return float((pred - true).std())


def _robust_sd(true: FloatArray, pred: FloatArray, weight: FloatArray) -> float:
    """1.4826 times the median absolute deviation of prediction minus truth [dex]."""
    residual = pred - true
    return float(1.4826 * np.median(np.abs(residual - np.median(residual))))


METRICS: dict[str, Metric] = {
    "r2": Metric(_r2, best="largest"),
    "wrmse": Metric(_wrmse),
    "wmae": Metric(_wmae),
    "rmse": Metric(_rmse),
    "mae": Metric(_mae),
    "bias": Metric(_bias),
    "sd": Metric(_sd),
    "robust_sd": Metric(_robust_sd),
}
"""Every metric by name. What stands here is in :func:`score`, in the tables of every run and in the report."""


def score(true: npt.ArrayLike, pred: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> dict[str, float]:
    """Every metric of :data:`METRICS` of predictions [dex].

    Stars without a prediction are left out; ``n`` counts the others. NaN throughout where none is left.
    """
    t, p = np.asarray(true, np.float64), np.asarray(pred, np.float64)
    w = np.ones(t.shape) if weight is None else np.asarray(weight, np.float64)
    good = np.isfinite(t) & np.isfinite(p)
    t, p, w = t[good], p[good], w[good]
    return {"n": len(t), **{name: metric.function(t, p, w) if len(t) else np.nan for name, metric in METRICS.items()}}


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
