"""Figures of a search for parameters: its history, what matters, and where the good values lie."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from photfeh.core.errors import MissingColumn
from photfeh.core.types import FloatArray
from photfeh.report.figures.style import ABOVE, GRID, PALETTE, new_axes, styled

__all__ = ["parallel_coordinates", "parameter_importance", "tuning_history"]


@styled
def tuning_history(trials: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Rmse of every finished trial in the order of their numbers, and the best so far.

    Parameters
    ----------
    trials : DataFrame
        Columns number, rmse [dex] (NaN where a trial was not finished).
    """
    for column in ("number", "rmse"):
        if column not in trials.columns:
            raise MissingColumn(column, "the table of trials", found=trials.columns)
    done = trials.dropna(subset=["rmse"]).sort_values("number")
    ax = new_axes(ax)
    ax.plot(done["number"], done["rmse"], "o", color=PALETTE[0], ms=3.5, label="finished trials")
    ax.step(done["number"], done["rmse"].cummin(), where="post", color=PALETTE[1], label="best so far")
    ax.set(xlabel="trial", ylabel="rmse within (dex)")
    if len(done):
        ax.legend(**ABOVE)
    return ax


@styled
def parameter_importance(importance: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Share of each parameter in what the error varies by (PED-ANOVA; Watanabe+ 2023), largest at the top.

    Parameters
    ----------
    importance : DataFrame
        Columns parameter, importance.
    """
    for column in ("parameter", "importance"):
        if column not in importance.columns:
            raise MissingColumn(column, "the table of importance", found=importance.columns)
    rows = importance.sort_values("importance", kind="stable")
    if ax is None:
        ax = Figure(figsize=(4.6, 1.0 + 0.24 * max(len(rows), 3))).add_subplot()
    ax.barh(rows["parameter"].astype(str), rows["importance"].astype(float), color=PALETTE[0], height=0.6)
    ax.set(xlabel="importance", xlim=(0, 1))
    ax.tick_params(axis="y", length=0)
    return ax


@styled
def parallel_coordinates(trials: pd.DataFrame, parameters: list[str], *, ax: Axes | None = None) -> Axes:
    """A line a finished trial through the values of its parameters; the best third drawn strong.

    Numbers are placed by rank, so that no scale has to be chosen; lists and words in the order of their values.

    Parameters
    ----------
    trials : DataFrame
        Columns rmse [dex] and the parameters.
    parameters : list of str
        The axes, from left to right; rmse is the last one.
    """
    for column in ("rmse", *parameters):
        if column not in trials.columns:
            raise MissingColumn(column, "the table of trials", found=trials.columns)
    done = trials.dropna(subset=["rmse"]).reset_index(drop=True)
    names = [*parameters, "rmse"]
    if ax is None:
        ax = Figure(figsize=(max(4.6, 1.1 * len(names)), 3.0)).add_subplot()
    heights = np.column_stack([_places(done[name]) for name in names])
    good = done["rmse"].rank(pct=True).to_numpy(np.float64) <= 1 / 3
    for chosen, color, alpha in ((~good, GRID, 0.8), (good, PALETTE[1], 0.9)):
        lines = [np.column_stack([np.arange(len(names)), row]) for row in heights[chosen]]
        ax.add_collection(LineCollection(lines, colors=color, linewidths=1.0, alpha=alpha))
    for place, name in enumerate(names):
        ax.axvline(place, color=GRID, lw=0.8, zorder=0)
        values = done[name].dropna()
        for at, text in ((-0.07, _least(values, False)), (1.03, _least(values, True))):
            ax.text(place, at, text, ha="center", va="top" if at < 0 else "bottom", fontsize=7)
    ax.set(xlim=(-0.4, len(names) - 0.6), ylim=(-0.02, 1.02), yticks=[])
    ax.set_xticks(range(len(names)), [f"\n{name}" for name in names], fontsize=8)
    ax.tick_params(axis="x", length=0, pad=6)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    return ax


def _places(values: pd.Series) -> FloatArray:
    """Rank of each value between 0 and 1; equal ones share it."""
    ranks = values.astype(str).rank(method="dense") if values.dtype == object else values.rank(method="dense")
    most = ranks.max()
    places = (ranks - 1) / (most - 1) if most > 1 else ranks * 0 + 0.5
    return np.asarray(places.fillna(0.5), np.float64)


def _least(values: pd.Series, largest: bool) -> str:
    if not len(values):
        return ""
    ordered = sorted(values.astype(str)) if values.dtype == object else sorted(values)
    value = ordered[-1 if largest else 0]
    return value if isinstance(value, str) else f"{value:.3g}"
