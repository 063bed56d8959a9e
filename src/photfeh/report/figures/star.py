"""Figures of one star: its curve, its place among the training stars, its [Fe/H] and its flags in words."""

from __future__ import annotations

import textwrap

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from photfeh.core.types import FloatArray
from photfeh.report.figures.predictions import light_curve
from photfeh.report.figures.style import ABOVE, GRID, INK, PALETTE, new_axes, styled

__all__ = ["star_curve", "star_feh", "star_place", "star_times", "star_words"]


@styled
def star_curve(
    phase: npt.ArrayLike,
    mag: npt.ArrayLike,
    mag_error: npt.ArrayLike,
    rejected: npt.ArrayLike,
    *,
    curve: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    band: str = "G",
    ax: Axes | None = None,
) -> Axes:
    """Two cycles of a star with error bars, its smooth curve, and crosses where points were rejected.

    Parameters
    ----------
    phase, mag, mag_error : (n,) array_like
        Phase [cycle], magnitude and its standard error [mag; NaN: unknown].
    rejected : (n,) array_like of bool
        Points that the fit gave no weight. They are drawn where the others leave room, at the edge where not.
    curve : (phase, mag), optional
        As for :func:`photfeh.report.figures.predictions.light_curve`.
    band : str
        Name for the axis.
    """
    phase, mag, error = (np.asarray(values, np.float64) for values in (phase, mag, mag_error))
    out = np.asarray(rejected, bool)
    ax = light_curve(phase[~out], mag[~out], mag_error=error[~out], curve=curve, ax=new_axes(ax))
    used = mag[~out] if (~out).any() else mag
    low, high = (float(used.min()), float(used.max())) if len(used) else (0.0, 1.0)
    margin = 0.35 * (high - low) or 0.1
    if out.any():
        inside = np.clip(mag[out], low - margin, high + margin)
        cycles = np.concatenate([phase[out] % 1.0, phase[out] % 1.0 + 1.0])
        label = f"{int(out.sum())} rejected"
        ax.plot(cycles, np.tile(inside, 2), "x", color=PALETTE[1], ms=5, mew=1.0, label=label, clip_on=False)
        ax.legend(**ABOVE)
    ax.set_ylabel(f"{band} (mag)")
    ax.set_xlabel("phase (0 at maximum light)")
    return ax


@styled
def star_times(time: npt.ArrayLike, mag: npt.ArrayLike, *, band: str = "G", ax: Axes | None = None) -> Axes:
    """Magnitude against time, for a star that cannot be folded or fitted."""
    ax = new_axes(ax)
    time, mag = np.asarray(time, np.float64), np.asarray(mag, np.float64)
    ax.plot(time, mag, ".", color=PALETTE[0], ms=5)
    ax.yaxis.set_inverted(True)
    ax.set(xlabel="time (d)", ylabel=f"{band} (mag)")
    if not len(mag):
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, "no usable epoch", transform=ax.transAxes, ha="center", va="center", color=INK)
    return ax


@styled
def star_place(
    period: float,
    amplitude: float,
    ranges: dict[str, FloatArray],
    *,
    ax: Axes | None = None,
) -> Axes:
    """The star in the period-amplitude plane, with the ranges that the training stars of each model span.

    Parameters
    ----------
    period : float
        [d]
    amplitude : float
        Of the first harmonic [mag], as models see it; NaN where it was not measured.
    ranges : dict
        Name of a model -> (2, 2): lowest and highest period [d], lowest and highest amplitude [mag].
    """
    ax = new_axes(ax)
    for number, (name, ((short, long), (small, large))) in enumerate(ranges.items(), start=1):
        color = PALETTE[(2 * number) % len(PALETTE)]
        box = Rectangle((short, small), long - short, large - small, fc=color, ec=color, alpha=0.25, label=name)
        ax.add_patch(box)
        ax.text(long, large, f"{name} ", ha="right", va="bottom", fontsize=7, color=INK)
    known = np.isfinite(period) and np.isfinite(amplitude)
    if known:
        ax.plot([period], [amplitude], "*", color=PALETTE[1], ms=11, mec="white", mew=0.6, zorder=5)
    else:
        ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", va="center", fontsize=8)
    points = [*(np.asarray(list(ranges.values())).reshape(-1, 2, 2)[:, 0].ravel()), *([period] if known else [])]
    heights = [*(np.asarray(list(ranges.values())).reshape(-1, 2, 2)[:, 1].ravel()), *([amplitude] if known else [])]
    if points:
        span, rise = max(points) - min(points) or 0.1, max(heights) or 0.1
        ax.set(xlim=(min(points) - 0.08 * span, max(points) + 0.08 * span), ylim=(0.0, 1.18 * rise))
    ax.set(xlabel="period (d)", ylabel="amplitude A₁ (mag)")
    title = "range of the training stars" if ranges else "a published formula: no training stars"
    ax.set_title(title, loc="left", fontsize=8.5)
    return ax


@styled
def star_feh(
    feh: float,
    error: float,
    lower: float,
    upper: float,
    *,
    trained: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """[Fe/H] on a line: the value, one standard error (thick) and the 90 % interval (thin).

    Parameters
    ----------
    feh, error, lower, upper : float
        [dex]; NaN where there is none.
    trained : (low, high), optional
        Range of the labels of the training stars [dex], shaded.
    """
    ax = new_axes(ax)
    left, right = -3.0, 0.3
    if trained is not None and np.isfinite(trained).all():
        ax.axvspan(*trained, color=GRID, alpha=0.45, lw=0, label="training labels")
        left, right = min(left, trained[0] - 0.1), max(right, trained[1] + 0.1)
    if np.isfinite(feh):
        ax.plot([lower, upper], [0, 0], color=PALETTE[1], lw=1.4, solid_capstyle="butt")
        ax.plot([feh - error, feh + error], [0, 0], color=PALETTE[1], lw=5.0, solid_capstyle="butt", alpha=0.6)
        ax.plot([feh], [0], "o", color=PALETTE[1], ms=6, mec="white", mew=0.8, zorder=5)
        ax.text(feh, 0.35, f"{feh:.2f} ± {error:.2f}".replace("-", "−"), ha="center", va="bottom", fontsize=9)
        left, right = min(left, lower - 0.1), max(right, upper + 0.1)
    else:
        ax.text(0.5, 0.62, "no prediction", transform=ax.transAxes, ha="center", va="center", fontsize=9)
    ax.set(xlim=(left, right), ylim=(-1, 1), yticks=[], xlabel="[Fe/H] (dex)")
    ax.spines["left"].set_visible(False)
    if np.isfinite(feh):
        ax.set_title("bar: ± 1 σ, line: 90 %, grey: training labels", loc="left", fontsize=7.5)
    return ax


@styled
def star_words(lines: list[str], *, width: int = 118, ax: Axes | None = None) -> Axes:
    """Sentences under a figure, each with a dot before it, broken to ``width`` letters."""
    ax = new_axes(ax)
    ax.axis("off")
    wrapped = [textwrap.fill(line, width, initial_indent="•  ", subsequent_indent="    ") for line in lines]
    ax.text(0.0, 1.0, "\n".join(wrapped), transform=ax.transAxes, va="top", fontsize=8.5, linespacing=1.45)
    return ax


def lines_of(lines: list[str], width: int = 118) -> int:
    """How many lines :func:`star_words` needs."""
    return sum(len(textwrap.wrap(line, width - 4)) or 1 for line in lines)
