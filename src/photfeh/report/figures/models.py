"""Figures of a comparison: ranks, cost, calibration, learning curve; each draws on ``ax`` or on a new figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import Bbox
from scipy import stats

from photfeh.core.errors import BadInput, MissingColumn
from photfeh.core.types import FloatArray
from photfeh.report.figures.style import ABOVE, GRID, INK, PALETTE, new_axes, plain_logarithmic, styled
from photfeh.validation.pairs import ladder
from photfeh.validation.significance import Ranks

__all__ = [
    "accuracy_against_cost", "budgets", "critical_difference", "learning_curve", "model_scores", "pit_histogram",
    "pit_values",
]  # fmt: skip


@styled
def critical_difference(ranks: Ranks, *, ax: Axes | None = None) -> Axes:
    """Average ranks on a line; a thick bar joins models that cannot be told apart (Demsar 2006, figure 1).

    The bar above the line is as long as the critical difference.

    Parameters
    ----------
    ranks : Ranks
        As :func:`photfeh.validation.significance.average_ranks` makes it.
    """
    k = len(ranks.names)
    order = sorted(range(k), key=lambda i: (ranks.average[i], ranks.names[i]))
    average = [ranks.average[i] for i in order]
    bars = _cliques(average, ranks.critical_difference)
    left = (k + 1) // 2  # the better half is named on the left
    below = 0.9 + 0.45 * len(bars)
    depth = below + 0.6 * left
    if ax is None:
        ax = Figure(figsize=(5.2, 0.9 + 0.32 * depth)).add_subplot()
    ax.set(xlim=(1 - 0.42 * k, k + 0.42 * k), ylim=(depth, -2.2), xlabel="average rank (1 = smallest rmse)")
    ax.axis("off")
    ax.plot([1, k], [0, 0], color=INK, lw=1.0)
    step = 1 + (k - 1) // 8  # numbers of many models would run together
    for place in range(1, k + 1):
        ax.plot([place, place], [-0.2, 0], color=INK, lw=0.8)
        if place in (1, k) or (place % step == 0 and k - place >= step):
            ax.text(place, -0.35, str(place), ha="center", va="bottom", fontsize=8)
    end = 1 + ranks.critical_difference
    ax.plot([1, min(end, k + 0.4 * k)], [-1.5, -1.5], color=PALETTE[1], lw=2.0)
    note = "" if end <= k else " (more than the whole line)"
    ax.text(1, -1.65, f"critical difference {ranks.critical_difference:.2f}{note}", va="bottom", fontsize=8)
    for place, (model, value) in enumerate(zip(order, average, strict=True)):
        on_left = place < left
        depth_here = below + 0.6 * (place if on_left else k - 1 - place)
        edge = 1 - 0.04 * k if on_left else k + 0.04 * k
        ax.plot([value, value, edge], [0, depth_here, depth_here], color=GRID, lw=0.9, zorder=1)
        ax.plot([value], [0], "o", color=PALETTE[0], ms=4, zorder=4)
        text = f"{ranks.names[model]}  {value:.2f} " if on_left else f" {value:.2f}  {ranks.names[model]}"
        ax.text(edge, depth_here, text, ha="right" if on_left else "left", va="center", fontsize=8)
    for number, (low, high) in enumerate(bars):
        y = 0.45 + 0.45 * number
        ax.plot([low - 0.02 * k, high + 0.02 * k], [y, y], color=INK, lw=3.0, solid_capstyle="round", zorder=3)
    return ax


def _cliques(average: Sequence[float], difference: float) -> list[tuple[float, float]]:
    """Longest runs of sorted ranks that span no more than the critical difference, two models at least."""
    found: list[tuple[int, int]] = []
    for first, low in enumerate(average):
        last = max(i for i, value in enumerate(average) if value - low <= difference)
        if last > first and not (found and found[-1][1] >= last):
            found.append((first, last))
    return [(average[first], average[last]) for first, last in found]


_TICKS = [step * 10.0**power for power in range(-4, 2) for step in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)]


@styled
def model_scores(metrics: pd.DataFrame, *, reference: tuple[str, float] | None = None, ax: Axes | None = None) -> Axes:
    """Rmse of every model, best at the top, one mark for each representation.

    Parameters
    ----------
    metrics : DataFrame
        Columns model, representation, rmse [dex] and, optionally, part: then its scored rows are shown.
    reference : (name, rmse), optional
        Somebody else's score on the same stars, a line across.

    Raises
    ------
    MissingColumn
        if a column is missing.
    """
    for column in ("model", "representation", "rmse"):
        if column not in metrics.columns:
            raise MissingColumn(column, "the table of metrics", found=metrics.columns)
    rows = metrics[metrics["part"] == "score"] if "part" in metrics.columns else metrics
    wide = rows.pivot(index="model", columns="representation", values="rmse").dropna(how="all")
    wide = wide.loc[wide.min(axis=1).sort_values(ascending=False, kind="stable").index]
    if ax is None:
        ax = Figure(figsize=(4.6, 1.0 + 0.2 * max(len(wide), 3))).add_subplot()
    place = np.arange(len(wide))
    ax.hlines(place, wide.min(axis=1), wide.max(axis=1), color=GRID, lw=1.2, zorder=1)
    for color, marker, kind in zip(PALETTE, "os^Dvp", sorted(wide.columns, key=ladder), strict=False):
        ax.plot(wide[kind], place, marker, color=color, ms=4.5, mew=0, alpha=0.85, label=kind)
    if reference is not None:
        ax.axvline(reference[1], color=INK, lw=0.9, ls=(0, (4, 3)), zorder=0, label=reference[0])
    if np.nanmin(wide.to_numpy(), initial=np.inf) > 0.0:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_major_locator(FixedLocator(_TICKS))
        ax.xaxis.set_minor_locator(NullLocator())
    ax.set(yticks=place, yticklabels=wide.index, xlabel="rmse (dex)", ylim=(-0.6, max(len(wide), 1) - 0.4))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.legend(**ABOVE, handletextpad=0.1)
    return ax


@styled
def accuracy_against_cost(
    names: Sequence[str], seconds: npt.ArrayLike, rmse: npt.ArrayLike, *, ax: Axes | None = None
) -> Axes:
    """Rmse against the time of one fit, a named point a model; lower left is better.

    Parameters
    ----------
    names : sequence of str
    seconds : (n,) array_like
        Mean time of one fit [s].
    rmse : (n,) array_like
        Of the scored part [dex].
    """
    cost, errors = np.asarray(seconds, np.float64), np.asarray(rmse, np.float64)
    if not len(names) == len(cost) == len(errors):
        raise BadInput(f"{len(names)} names, {len(cost)} times, {len(errors)} errors. Give one a model.")
    if ax is None and len(names) > 8:
        ax = Figure(figsize=(5.4, 3.6)).add_subplot()
    ax = new_axes(ax)
    ax.plot(cost, errors, "o", color=PALETTE[0], ms=4)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.margins(x=0.2, y=0.12)
    ax.set(xlabel="one fit (s)", ylabel="rmse (dex)")
    known = np.isfinite(cost) & np.isfinite(errors)
    _name_points(ax, np.asarray(names)[known].tolist(), cost[known], errors[known])
    return ax


@styled
def budgets(cycles: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Least tune error up to the end of each cycle of a training, one line a model and representation, mean over fits.

    A fit that has ended earlier than others keeps its error, so that every point is a mean over the same fits.

    Parameters
    ----------
    cycles : DataFrame
        As ``Run.budgets``: columns model, representation, repeat, fold, epochs (in all), tune_rmse (in units of the
        labels' scatter).
    """
    ax = new_axes(ax)
    several = cycles["representation"].nunique() > 1
    for number, (name, rows) in enumerate(cycles.groupby(["model", "representation"], sort=True)):
        fits = rows.pivot(index=["repeat", "fold"], columns="epochs", values="tune_rmse")
        mean = fits.ffill(axis=1).cummin(axis=1).mean()
        style = "-" if number < len(PALETTE) else "--"
        ax.plot(
            mean.index,
            mean,
            marker="o",
            ms=3,
            ls=style,
            color=PALETTE[number % len(PALETTE)],
            label=" on ".join(map(str, name)) if several else str(name[0]),
        )
    ax.set(xscale="log", yscale="log", xlabel="epochs", ylabel="tune rmse / scatter of the labels")
    for axis in (ax.xaxis, ax.yaxis):
        plain_logarithmic(axis)
    if len(cycles):
        ax.legend(**ABOVE | {"ncols": 2 if several else 3, "columnspacing": 1.0, "handlelength": 1.4})
    return ax


_AROUND = [
    (x * reach, y * reach, horizontal, vertical)
    for reach in (4, 10, 18, 28)
    for x, horizontal in ((1, "left"), (-1, "right"), (0, "center"))
    for y, vertical in ((0, "center"), (1, "bottom"), (-1, "top"))
    if (x, y) != (0, 0)
]
"""Offsets of a name from its point [pt] with its alignment, the best places first."""


def _name_points(ax: Axes, names: Sequence[str], x: FloatArray, y: FloatArray) -> None:
    """Write each name where it covers no point and no other name; if there is no such place, at the right."""
    ax.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr]
    points = ax.transData.transform(np.column_stack([x, y]))
    taken = [Bbox.from_bounds(left - 4, bottom - 4, 8, 8) for left, bottom in points]
    line = {"arrowstyle": "-", "lw": 0.4, "color": GRID}
    for name, left, bottom in zip(names, x, y, strict=True):
        found = None
        for right, up, horizontal, vertical in [*_AROUND, _AROUND[0]]:
            if found is not None:
                found.remove()
            look: dict[str, Any] = {"fontsize": 7, "ha": horizontal, "va": vertical, "textcoords": "offset points"}
            far = line if max(abs(right), abs(up)) > 9 else None
            found = ax.annotate(name, (left, bottom), xytext=(right, up), arrowprops=far, **look)
            box = found.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def pit_values(true: npt.ArrayLike, pred: npt.ArrayLike, error: npt.ArrayLike) -> FloatArray:
    """Probability integral transform Phi((true - pred) / error) of Gaussian predictions (Dawid 1984).

    Uniform between 0 and 1 where the predicted distributions are right. Stars without a positive error, a label or a
    prediction are left out.
    """
    t, p, sigma = (np.asarray(values, np.float64) for values in (true, pred, error))
    good = np.isfinite(t) & np.isfinite(p) & np.isfinite(sigma) & (sigma > 0)
    return np.asarray(stats.norm.cdf((t[good] - p[good]) / sigma[good]), np.float64)


@styled
def pit_histogram(
    true: npt.ArrayLike, pred: npt.ArrayLike, error: npt.ArrayLike, *, bins: int = 10, ax: Axes | None = None
) -> Axes:
    """Histogram of :func:`pit_values` over its expectation: flat at 1 where the errors are right.

    A hill says that errors are too large, a bowl that they are too small, a slope that predictions are biased. The band
    holds 95 % of the bars of right errors (binomial).

    Parameters
    ----------
    true, pred, error : (n,) array_like
        Labels, predictions and their standard errors [dex].
    """
    values = pit_values(true, pred, error)
    ax = new_axes(ax)
    n = len(values)
    if n:
        low, high = (stats.binom.ppf(q, n, 1 / bins) * bins / n for q in (0.025, 0.975))
        ax.axhspan(low, high, color=GRID, alpha=0.6, lw=0)
    counts, edges = np.histogram(values, bins=bins, range=(0.0, 1.0))
    ax.bar(edges[:-1], counts * bins / max(n, 1), width=1 / bins, align="edge", color=PALETTE[0], alpha=0.75, ec="none")
    ax.axhline(1.0, color=INK, lw=0.9, ls=(0, (4, 3)))
    ax.set(xlim=(0, 1), xlabel="probability integral transform", ylabel="share over expectation")
    return ax


@styled
def learning_curve(sizes: npt.ArrayLike, scores: Mapping[str, npt.ArrayLike], *, ax: Axes | None = None) -> Axes:
    """Error against the number of training stars, both on logarithmic axes: what more stars would bring.

    Parameters
    ----------
    sizes : (S,) array_like
        Numbers of training stars.
    scores : mapping of name to (S,) or (S, R) array_like
        Error [dex] at each size, in R repeats or folds; their mean is drawn, with the standard error as a band.

    Raises
    ------
    BadInput
        if a model does not have one row of scores a size.
    """
    x = np.asarray(sizes, np.float64)
    ax = new_axes(ax)
    order = np.argsort(x, kind="stable")
    for number, (name, given) in enumerate(scores.items()):
        values = np.asarray(given, np.float64).reshape(len(np.atleast_1d(np.asarray(given))), -1)
        if len(values) != len(x):
            raise BadInput(f"{name} has scores of {len(values)} sizes, there are {len(x)}. Give one row a size.")
        color = PALETTE[number % len(PALETTE)]
        mean = np.nanmean(values, axis=1)[order]
        ax.plot(x[order], mean, marker="o", color=color, label=name, ls="-" if number < len(PALETTE) else "--")
        if values.shape[1] > 1:
            known = np.isfinite(values).sum(axis=1)
            error = (np.nanstd(values, axis=1) / np.sqrt(np.maximum(known - 1, 1)))[order]
            ax.fill_between(x[order], mean - error, mean + error, color=color, alpha=0.2, lw=0)
    ax.set(xscale="log", yscale="log", xlabel="training stars", ylabel="rmse (dex)")
    for axis in (ax.xaxis, ax.yaxis):
        plain_logarithmic(axis)
    if scores:
        ax.legend(**ABOVE)
    return ax
