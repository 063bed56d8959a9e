"""Figures of light curves and of predictions; each draws on ``ax``, or on a new figure, and returns it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba

from photfeh.core.errors import BadInput, MissingColumn
from photfeh.core.types import FloatArray
from photfeh.report.figures.style import ABOVE, GRID, INK, PALETTE, new_axes, plain_logarithmic, styled
from photfeh.validation.metrics import score

__all__ = [
    "comparison",
    "coverage",
    "light_curve",
    "predicted_against_true",
    "residuals",
    "running_quantiles",
    "training_curves",
]


DENSE = 3000
"""Above so many points a density is drawn instead of points."""
FEW = 600
"""Up to so many points have error bars."""
_DENSITY = LinearSegmentedColormap.from_list("density", [to_rgba(PALETTE[0], 0.15), to_rgba(PALETTE[0], 1.0)])


@styled
def light_curve(
    phase: npt.ArrayLike,
    mag: npt.ArrayLike,
    *,
    mag_error: npt.ArrayLike | None = None,
    curve: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Two cycles of a folded light curve, bright at the top.

    Parameters
    ----------
    phase, mag : (n,) array_like
        Phases [cycle], any origin; magnitudes [mag].
    mag_error : (n,) array_like, optional
        Standard errors [mag]; NaN draws no bar.
    curve : (phase, mag), optional
        A smooth curve through the points, any order of phase. It is interrupted where it says nothing: at a
        seam wider than three of its steps.
    """
    phase, mag = _same_length(phase=phase, mag=mag)
    ax = new_axes(ax)
    cycles = np.concatenate([phase % 1.0, phase % 1.0 + 1.0])
    errors = None
    if mag_error is not None:
        errors = np.tile(np.nan_to_num(_same_length(phase=phase, mag_error=mag_error)[1]), 2)
    ax.errorbar(cycles, np.tile(mag, 2), yerr=errors, fmt=".", color=PALETTE[0], elinewidth=0.6, alpha=0.75, ms=4)
    if curve is not None:
        ax.plot(*_two_cycles(*_same_length(curve_phase=curve[0], curve_mag=curve[1])), color=PALETTE[1], zorder=3)
    ax.yaxis.set_inverted(True)
    ax.set(xlim=(0.0, 2.0), xticks=np.arange(0.0, 2.1, 0.5), xlabel="phase", ylabel="G (mag)")
    return ax


def closes(phase: FloatArray) -> bool:
    """Whether a curve at these sorted phases in [0, 1) goes on from its end to its start without a gap."""
    return bool(len(phase) > 1 and phase[0] + 1.0 - phase[-1] <= 3.0 * np.median(np.diff(phase)))


def _two_cycles(phase: FloatArray, mag: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A smooth curve over phases 0 to 2, with NaN between the cycles where they do not meet."""
    order = np.argsort(phase % 1.0, kind="stable")
    phase, mag = (phase % 1.0)[order], mag[order]
    if not closes(phase):
        gap = np.array([np.nan])
        return np.concatenate([phase, gap, phase + 1.0]), np.concatenate([mag, gap, mag])
    # A periodic curve: what lies before its first and after its last point is known from the other end.
    around = np.concatenate([phase[-1:] - 1.0, phase, phase + 1.0, phase[:1] + 2.0])
    return around, np.concatenate([mag[-1:], mag, mag, mag[:1]])


@styled
def predicted_against_true(
    true: npt.ArrayLike,
    pred: npt.ArrayLike,
    *,
    error: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Predicted against true [Fe/H] with the 1:1 line and the scores in a corner.

    Stars without a label or prediction are left out. Above 3,000 stars their density is drawn, not points.

    Parameters
    ----------
    true, pred : (n,) array_like
        [Fe/H] [dex].
    error : (n,) array_like, optional
        Standard errors of ``pred`` [dex], drawn as bars where points are drawn.
    weight : (n,) array_like, optional
        Weights; with them the weighted rmse is given too, and r² is weighted.
    """
    true, pred = _same_length(true=true, pred=pred)
    good = np.isfinite(true) & np.isfinite(pred)
    ax = new_axes(ax, square=True)
    if error is not None and good.sum() <= FEW:
        sigma = _same_length(true=true, error=error)[1][good]
        ax.errorbar(
            true[good],
            pred[good],
            yerr=np.nan_to_num(sigma),
            fmt="none",
            ecolor=PALETTE[0],
            alpha=0.2,
            lw=0.6,
        )
    _cloud(ax, true[good], pred[good])
    low, high = _common_range(true[good], pred[good])
    ax.plot([low, high], [low, high], color=INK, lw=0.9, ls=(0, (4, 3)))
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.set(xlabel="true [Fe/H] (dex)", ylabel="predicted [Fe/H] (dex)")
    _corner(ax, _scores(true, pred, weight))
    return ax


@styled
def residuals(x: npt.ArrayLike, residual: npt.ArrayLike, *, label: str, ax: Axes | None = None) -> Axes:
    """Predicted minus true [Fe/H] against ``x``, with the running median and the band from 16 to 84 %.

    The axis spans 99 % of the residuals at least; a note counts those beyond it.

    Parameters
    ----------
    x : (n,) array_like
        Any property of the stars.
    residual : (n,) array_like
        Predicted minus true [Fe/H] [dex].
    label : str
        Label of the x axis, with its unit.
    """
    x, residual = _same_length(x=x, residual=residual)
    good = np.isfinite(x) & np.isfinite(residual)
    x, residual = x[good], residual[good]
    ax = new_axes(ax)
    half = 1.15 * float(np.quantile(np.abs(residual), 0.99)) if len(residual) else 1.0
    half = half or 1.0
    inside = np.abs(residual) <= half
    ax.axhline(0.0, color=INK, lw=0.8, ls=(0, (4, 3)))
    _cloud(ax, x[inside], residual[inside])
    if len(x) >= 30:
        middle, low, median, high = running_quantiles(x, residual)
        ax.fill_between(middle, low, high, color=PALETTE[1], alpha=0.25, lw=0, label="16 to 84 %")
        ax.plot(middle, median, color=PALETTE[1], label="median")
        ax.legend(**ABOVE)
    ax.set(ylim=(-half, half), xlabel=label, ylabel="predicted − true (dex)")
    if not inside.all():
        ax.text(0.02, 0.03, f"{int((~inside).sum())} beyond the axis", transform=ax.transAxes, fontsize=7.5)
    return ax


def running_quantiles(
    x: npt.ArrayLike, y: npt.ArrayLike, *, bins: int | None = None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Median of ``x`` and the 16, 50, 84 % quantiles of ``y``, in bins of nearly equal numbers along ``x``.

    Points of equal ``x`` stay in one bin. Without ``bins``, one a hundred points, at least 4 and at most 20.
    """
    x, y = _same_length(x=x, y=y)
    bins = bins or int(np.clip(len(x) // 100, 4, 20))
    edges = np.unique(np.quantile(x, np.linspace(0.0, 1.0, bins + 1)))
    index = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(len(edges) - 2, 0))
    groups = [index == number for number in np.unique(index)]
    low, median, high = np.array([np.quantile(y[group], (0.16, 0.5, 0.84)) for group in groups]).T
    return np.array([np.median(x[group]) for group in groups]), low, median, high


@styled
def training_curves(history: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Loss against epoch, one thin line a fold: train and tune; the least tune loss of each as a dot.

    Parameters
    ----------
    history : DataFrame
        Columns ``epoch``, ``train_loss``, ``tune_loss``; runs are told apart by ``model``,
        ``representation``, ``repeat`` and ``fold`` where those are there.
    """
    for name in ("epoch", "train_loss", "tune_loss"):
        if name not in history.columns:
            raise MissingColumn(name, "the training history", found=history.columns)
    ax = new_axes(ax)
    keys = [name for name in ("model", "representation", "repeat", "fold") if name in history.columns]
    runs = [run for _, run in history.groupby(keys, sort=True)] if keys else [history]
    for number, unsorted in enumerate(runs):
        run = unsorted.sort_values("epoch")
        for name, color in (("train", PALETTE[0]), ("tune", PALETTE[1])):
            label = name if number == 0 else None
            ax.plot(run["epoch"], run[f"{name}_loss"], color=color, lw=0.9, alpha=0.75, label=label)
        tune = run["tune_loss"].to_numpy(dtype=np.float64)
        if np.isfinite(tune).any():
            best = int(np.nanargmin(tune))
            ax.plot(run["epoch"].iloc[best], tune[best], "o", color=PALETTE[1], ms=3.5)
    ax.set_yscale("log")
    plain_logarithmic(ax.yaxis)
    ax.set(xlabel="epoch", ylabel="loss")
    if runs:
        ax.legend(**ABOVE)
    return ax


@styled
def coverage(nominal: npt.ArrayLike, observed: npt.ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Share of stars whose truth lies in the central interval, against the share that should.

    Below the line intervals are too narrow, above it too wide; the band is 2 % on either side.

    Parameters
    ----------
    nominal, observed : (n,) array_like
        Shares between 0 and 1.
    """
    nominal, observed = _same_length(nominal=nominal, observed=observed)
    if np.any((nominal < 0) | (nominal > 1)) or np.any((observed < 0) | (observed > 1)):
        raise BadInput("coverage takes shares between 0 and 1, not per cent. Divide by 100.")
    ax = new_axes(ax, square=True)
    line = np.array([0.0, 1.0])
    ax.fill_between(line, line - 0.02, line + 0.02, color=GRID, alpha=0.6, lw=0)
    ax.plot(line, line, color=INK, lw=0.9, ls=(0, (4, 3)))
    ax.plot(nominal, observed, "o-", color=PALETTE[0])
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="nominal coverage", ylabel="observed coverage")
    return ax


@styled
def comparison(
    pred: npt.ArrayLike, external: npt.ArrayLike, true: npt.ArrayLike | None = None, *, ax: Axes | None = None
) -> Axes:
    """Two sets of predictions for the same stars.

    With ``true``, the residuals of one against those of the other, and the rmse of both on the stars that
    they share; without, one prediction against the other.

    Parameters
    ----------
    pred, external, true : (n,) array_like
        [Fe/H] [dex], in the same order of stars; NaN where unknown.
    """
    pred, external = _same_length(pred=pred, external=external)
    ax = new_axes(ax, square=True)
    if true is None:
        x, y = external, pred
        ax.set(xlabel="external [Fe/H] (dex)", ylabel="predicted [Fe/H] (dex)")
    else:
        label = _same_length(pred=pred, true=true)[1]
        x, y = external - label, pred - label
        ax.set(xlabel="external − true (dex)", ylabel="predicted − true (dex)")
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    _cloud(ax, x, y)
    low, high = _common_range(x, y)
    ax.plot([low, high], [low, high], color=INK, lw=0.9, ls=(0, (4, 3)))
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    if true is None:
        _corner(ax, [f"n = {len(x):,}", f"sd of difference {np.std(y - x):.3f}" if len(x) else "no common star"])
        return ax
    ax.axhline(0.0, color=GRID, lw=0.8, zorder=0)
    ax.axvline(0.0, color=GRID, lw=0.8, zorder=0)
    rmse = [score(np.zeros(len(part)), part)["rmse"] for part in (y, x)]
    _corner(ax, [f"n = {len(x):,}", f"rmse {rmse[0]:.3f} predicted", f"rmse {rmse[1]:.3f} external"])
    return ax


def _cloud(ax: Axes, x: FloatArray, y: FloatArray) -> None:
    """Points; their density where there are too many to be told apart."""
    if len(x) > DENSE:
        ax.hexbin(x, y, gridsize=44, mincnt=1, cmap=_DENSITY, bins="log", linewidths=0)
        return
    # A line of marks, not a scatter: as SVG it is a third of the size.
    ax.plot(x, y, "o", ms=2.8, mew=0, color=PALETTE[0], alpha=0.65 if len(x) <= 200 else 0.4)


def _common_range(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Limits that hold both arrays with a margin of 4 %."""
    both = np.concatenate([x, y])
    if len(both) == 0:
        return -3.0, 0.5
    low, high = float(both.min()), float(both.max())
    margin = 0.04 * (high - low) or 0.1
    return low - margin, high + margin


def _scores(true: FloatArray, pred: FloatArray, weight: npt.ArrayLike | None) -> list[str]:
    """The lines that stand in the corner of predicted against true; r² is weighted where weights are given."""
    found = score(true, pred, weight)
    names = {"rmse": "rmse", "wrmse": "wrmse", "mae": "mae", "r2": "r²"}
    shown = [name for name in names if np.isfinite(found[name]) and (name != "wrmse" or weight is not None)]
    return [f"n = {found['n']:,}", *(f"{names[name]} {found[name]:.3f}" for name in shown)]


def _corner(ax: Axes, lines: list[str]) -> None:
    ax.text(0.03, 0.97, "\n".join(lines), transform=ax.transAxes, va="top", fontsize=8, linespacing=1.35)


def _same_length(**arrays: npt.ArrayLike) -> list[FloatArray]:
    """Flat float64 arrays of one length; the error names those that differ."""
    flat = [np.asarray(array, dtype=np.float64).ravel() for array in arrays.values()]
    if len({len(array) for array in flat}) > 1:
        sizes = ", ".join(f"{name} {len(array)}" for name, array in zip(arrays, flat, strict=True))
        raise BadInput(f"arrays of different length: {sizes}. Give one value a point in each.")
    return flat
