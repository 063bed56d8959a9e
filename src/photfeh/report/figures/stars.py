"""Figures of a set of stars: period-amplitude diagram, distributions, weights against [Fe/H]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from photfeh.core.errors import BadInput, MissingColumn
from photfeh.core.stars import COLUMNS
from photfeh.core.types import FloatArray
from photfeh.report.figures.predictions import light_curve
from photfeh.report.figures.style import ABOVE, INK, PALETTE, new_axes, styled
from photfeh.report.page.explorer import Curves

__all__ = ["bailey", "distributions", "gallery", "metallicity_weights"]

MANY = 3000
"""Above so many points they are drawn as one image, to keep files small."""

_TYPES = {"RRab": (PALETTE[0], "o"), "RRc": (PALETTE[1], "^"), "RRd": (PALETTE[2], "s")}


@styled
def bailey(
    period: npt.ArrayLike,
    amplitude: npt.ArrayLike,
    type: Sequence[object] | pd.Series | None = None,  # the column's name in every star table
    *,
    ax: Axes | None = None,
) -> Axes:
    """Period-amplitude diagram (Bailey 1902), one colour and mark a type.

    Parameters
    ----------
    period : (n,) array_like
        Pulsation periods [d].
    amplitude : (n,) array_like
        Peak-to-peak amplitudes [mag].
    type : (n,) sequence, optional
        RRab, RRc, RRd; anything else is drawn as untyped.
    """
    period, amplitude = np.asarray(period, np.float64), np.asarray(amplitude, np.float64)
    kinds = np.full(len(period), "", object) if type is None else np.asarray(type, object)
    if not len(period) == len(amplitude) == len(kinds):
        raise BadInput(
            f"bailey: {len(period)} periods, {len(amplitude)} amplitudes, {len(kinds)} types. Give one a star."
        )
    ax = new_axes(ax)
    good = np.isfinite(period) & np.isfinite(amplitude)
    untyped = ~np.isin(kinds.astype(str), list(_TYPES))
    groups = [(name, kinds == name, *marks) for name, marks in _TYPES.items()]
    groups.append(("untyped", untyped, INK, "o"))
    for name, chosen, color, marker in groups:
        part = good & np.asarray(chosen, bool)
        if part.any():
            look: dict[str, Any] = {"ms": 2.5, "mew": 0, "alpha": 0.5, "rasterized": bool(part.sum() > MANY)}
            label = f"{name} ({int(part.sum()):,})"
            ax.plot(period[part], amplitude[part], marker, color=color, label=label, **look)
    ax.set(xlabel="period (d)", ylabel="peak-to-peak amplitude (mag)")
    if good.any():
        ax.legend(**ABOVE, handletextpad=0.1, markerscale=2.0)
    return ax


@styled
def distributions(
    simulated: pd.DataFrame,
    real: pd.DataFrame | None = None,
    columns: Sequence[str] = ("period", "peak_to_peak", "phi31", "r21", "n_epochs", "scatter"),
    *,
    labels: tuple[str, str] = ("simulated", "real"),
    ax: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Histograms of several columns, one panel each; a second table is laid over the first.

    Bins are common to both tables and span 99 % of their values at least; heights are densities.

    Parameters
    ----------
    simulated, real : DataFrame
        Star tables.
    columns : sequence of str
        Columns that each table has.
    labels : (str, str)
        What the two tables are called in the legend.
    ax : sequence of Axes, optional
        One a column; without, a new figure with three panels a row.

    Returns
    -------
    list of Axes
        One a column.
    """
    tables = [(simulated, labels[0])] + ([] if real is None else [(real, labels[1])])
    for table, name in tables:
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise MissingColumn(missing[0], f"the {name} star table", found=table.columns)
    panels = _grid(len(columns)) if ax is None else list(ax)
    if len(panels) != len(columns):
        raise BadInput(f"distributions: {len(columns)} columns but {len(panels)} axes. Give one axes a column.")
    for panel, column in zip(panels, columns, strict=True):
        values = [table[column].to_numpy(dtype=np.float64) for table, _ in tables]
        _histograms(panel, [array[np.isfinite(array)] for array in values], [name for _, name in tables])
        unit = COLUMNS[column].unit if column in COLUMNS else ""
        panel.set(xlabel=f"{column} ({unit})" if unit else column, yticks=[])
        panel.spines["left"].set_visible(False)
    if len(tables) > 1 and panels:
        panels[0].legend()
    return panels


@styled
def gallery(
    curves: Curves, predictions: pd.DataFrame, *, number: int = 9, ax: Sequence[Axes] | None = None
) -> list[Axes]:
    """Light curves of the stars whose predictions are farthest off, worst first, two cycles of each.

    Parameters
    ----------
    curves : mapping of source_id
        As :meth:`photfeh.samples.dataset.Dataset.curves` gives them; stars without one are passed over.
    predictions : DataFrame
        Columns source_id, feh_true, feh_pred, such as ``Run.score`` of one model; several rows of a star are averaged.
    number : int
        How many stars, at most.
    ax : sequence of Axes, optional
        One a star; without, a new figure with three panels a row.

    Returns
    -------
    list of Axes
        One for every star drawn.

    Raises
    ------
    MissingColumn, BadInput
        if a column is missing, no star with a prediction has a light curve, or there are fewer axes than stars.
    """
    for column in ("source_id", "feh_true", "feh_pred"):
        if column not in predictions.columns:
            raise MissingColumn(column, "the table of predictions", found=predictions.columns)
    stars = predictions.groupby("source_id")[["feh_true", "feh_pred"]].mean()
    worst = worst_first(stars, curves)[:number]
    if not worst:
        raise BadInput("gallery: none of the predicted stars has a light curve.")
    panels = _grid(len(worst)) if ax is None else list(ax)
    if len(panels) < len(worst):
        raise BadInput(
            f"gallery: {len(worst)} stars but {len(panels)} axes. Give one axes a star, or a smaller number."
        )
    for panel, star in zip(panels, worst, strict=False):
        folded(curves, star, ax=panel)
        panel.set_title(f"{star}\n{told(stars, star)}", fontsize=7.0)
    return panels[: len(worst)]


def folded(curves: Curves, star: int, *, ax: Axes | None = None) -> Axes:
    """The light curve of one of the stars, with its smooth curve where that is known."""
    curve = curves[star]
    smooth = (curve["curve_phase"], curve["curve_mag"]) if curve.get("curve_mag") is not None else None
    return light_curve(curve["phase"], curve["mag"], mag_error=curve.get("mag_error"), curve=smooth, ax=ax)


def worst_first(stars: pd.DataFrame, curves: Curves) -> list[int]:
    """Stars with a light curve, largest residual first; ``stars``: feh_true and feh_pred, indexed by source_id."""
    size = (stars["feh_pred"] - stars["feh_true"]).abs().dropna().sort_values(ascending=False, kind="stable")
    return [int(star) for star in size.index if int(star) in curves]


def told(stars: pd.DataFrame | None, star: int) -> str:
    """Label and prediction of a star in words; nothing where it is not in the table."""
    if stars is None or star not in stars.index:
        return ""
    true, pred = (float(stars.at[star, name]) for name in ("feh_true", "feh_pred"))  # type: ignore[arg-type]
    return f"[Fe/H] {true:.2f}, predicted {pred:.2f}".replace("-", "−")


def _grid(number: int) -> list[Axes]:
    across = min(number, 3)
    down = -(-number // 3)
    figure = Figure(figsize=(2.5 * across, 2.0 * down) if number > 1 else None)
    return [figure.add_subplot(down, across, place + 1) for place in range(number)]


def _histograms(ax: Axes, arrays: list[FloatArray], names: list[str]) -> None:
    """The first filled, the second as a line, in common bins."""
    together = np.concatenate(arrays)
    if len(together) == 0:
        return
    low, high = np.quantile(together, [0.005, 0.995])
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, int(np.clip(np.sqrt(len(together)), 8, 40)) + 1)
    for number, (array, name) in enumerate(zip(arrays, names, strict=True)):
        look = {"histtype": "stepfilled", "alpha": 0.45} if number == 0 else {"histtype": "step", "linewidth": 1.4}
        ax.hist(array, bins=edges, density=True, color=PALETTE[number], label=name, **look)  # type: ignore[arg-type]


@styled
def metallicity_weights(
    feh: npt.ArrayLike, weight: npt.ArrayLike, *, density: npt.ArrayLike | None = None, ax: Axes | None = None
) -> Axes:
    """Distribution of [Fe/H] (left axis) and the weight of each star (right axis).

    Parameters
    ----------
    feh : (n,) array_like
        Labels [dex].
    weight : (n,) array_like
        Sample weights of the same stars.
    density : (n,) array_like, optional
        Density of [Fe/H] at each star from which weights were made [1/dex].
    """
    feh, weight = np.asarray(feh, np.float64), np.asarray(weight, np.float64)
    if feh.shape != weight.shape:
        raise BadInput(f"metallicity_weights: {feh.size} [Fe/H] but {weight.size} weights. Give one a star.")
    good = np.isfinite(feh) & np.isfinite(weight)
    order = np.argsort(feh[good], kind="stable")
    ax = new_axes(ax)
    bins = int(np.clip(np.sqrt(good.sum()), 8, 50))
    ax.hist(feh[good], bins=bins, density=True, color=PALETTE[0], alpha=0.4, label="stars")
    if density is not None:
        ax.plot(feh[good][order], np.asarray(density, np.float64)[good][order], color=PALETTE[0], label="density")
    ax.set(xlabel="[Fe/H] (dex)", ylabel="density of stars (per dex)")
    right = ax.twinx()
    right.plot(
        feh[good][order],
        weight[good][order],
        ".",
        color=PALETTE[1],
        ms=2.5,
        rasterized=bool(good.sum() > MANY),
    )
    right.set_ylabel("weight", color=PALETTE[1])
    right.tick_params(axis="y", colors=PALETTE[1])
    right.spines["right"].set(visible=True, color=PALETTE[1])
    right.set_ylim(bottom=0.0)
    ax.legend(**ABOVE)
    return ax
