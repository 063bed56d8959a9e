"""The figure of ``photfeh evaluate``: predicted against true, residuals, and whether the errors hold."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from photfeh.inference.evaluation import Evaluation
from photfeh.report.figures.models import pit_histogram
from photfeh.report.figures.predictions import predicted_against_true, residuals
from photfeh.report.figures.style import styled

__all__ = ["evaluation_figure"]


@styled
def evaluation_figure(found: Evaluation) -> Figure:
    """Four panels: predicted against true, residuals against true [Fe/H] and epochs, and the PIT histogram.

    A panel whose column the predictions do not have stays away.
    """
    scored, overall = found.scored, found.overall
    figure = Figure(figsize=(7.4, 6.0))
    grid = figure.add_gridspec(2, 2)
    ax = figure.add_subplot(grid[0, 0])
    predicted_against_true(scored["truth"], scored["feh"], error=scored["feh_error"], ax=ax)
    ax = figure.add_subplot(grid[0, 1])
    residuals(scored["truth"], scored["residual"], label="true [Fe/H] (dex)", ax=ax)
    if "n_epochs" in scored.columns:
        ax = figure.add_subplot(grid[1, 0])
        residuals(scored["n_epochs"], scored["residual"], label="number of epochs", ax=ax)
    error = np.hypot(scored["feh_error"].to_numpy(np.float64), scored["truth_error"].fillna(0.0).to_numpy(np.float64))
    good = error > 0
    if good.any():
        ax = figure.add_subplot(grid[1, 1])
        pit_histogram(scored["truth"][good], scored["feh"][good], error[good], ax=ax)
        held = overall["coverage_90"]
        if np.isfinite(held):
            ax.set_title(f"{100 * held:.1f} % of truths in the 90 % interval", loc="left")
    figure.suptitle(
        f"{len(scored):,} stars: bias {_signed(overall['bias'])}, sd {overall['sd']:.3f}, "
        f"robust sd {overall['robust_sd']:.3f} dex", x=0.01, ha="left", fontsize=10.5,
    )  # fmt: skip
    return figure


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
