"""How figures of photfeh look: one small matplotlib style, and the way a figure becomes part of a page."""

from __future__ import annotations

import functools
import io
import math
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import matplotlib
from cycler import cycler
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

__all__ = ["ABOVE", "GRID", "INK", "PALETTE", "STYLE", "inline_svg", "new_axes", "plain_logarithmic", "styled"]

INK = "#28303c"
"""Text, axes and 1:1 lines."""
GRID = "#c9ced6"
"""Lines that stay in the background."""
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe & Ito's blue, vermilion, green, purple, orange and sky: distinct for every common kind of colour vision."""

ABOVE: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": 4, "borderpad": 0.2}
"""Legends stand above the axes, where no point can be."""

STYLE: dict[str, object] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.7,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "figure.figsize": (3.6, 2.8),
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 9.0,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.0,
    "patch.linewidth": 0.6,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "photfeh",
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 8.0,
    "ytick.color": INK,
    "ytick.labelsize": 8.0,
}
"""rcParams that hold while photfeh draws, and only then."""

_VARIABLES = {
    INK: "ink",
    GRID: "rule",
    **{color: f"c{number}" for number, color in enumerate(PALETTE, start=1)},
}
_COLOR = re.compile("|".join(_VARIABLES))

P = ParamSpec("P")
R = TypeVar("R")


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Run a drawing function under :data:`STYLE`; the caller's rcParams are as before afterwards."""

    @functools.wraps(function)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
            return function(*args, **kwargs)

    return drawn


def new_axes(ax: Axes | None, *, square: bool = False) -> Axes:
    """The axes given, or those of a new figure that no global state knows of."""
    if ax is not None:
        return ax
    return Figure(figsize=(3.3, 3.3) if square else None).add_subplot()


def plain_logarithmic(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis: powers of ten are mathematics that a page cannot set in its own font.

    Of the ticks between decades those at 2 and 5 are labelled, or all where the axis spans less than a factor of 5.
    """

    def between(value: float, _: object = None) -> str:
        low, high = axis.get_view_interval()
        digit = round(value / 10.0 ** math.floor(math.log10(value) + 1e-9))
        return f"{value:g}" if digit in (2, 5) or high < 5 * low else ""

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(between))


def inline_svg(figure: Figure, *, key: str, label: str) -> Markup:
    """A figure as an ``<svg>`` element to stand inside an HTML page.

    Colours of the style become CSS variables (``--ink``, ``--rule``, ``--c1`` ... ``--c6``), so that one
    drawing reads on light and on dark ground; text stays text. Identifiers get the prefix ``key``, since those
    of matplotlib repeat from figure to figure. Nothing in it points outside.

    Parameters
    ----------
    figure : Figure
    key : str
        Letters, digits and hyphens; unique within the page.
    label : str
        What a reader who cannot see the figure is told.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=empty)
    text = buffer.getvalue()
    _, _, width, height = re.search(r'viewBox="([^"]*)"', text).group(1).split()  # type: ignore[union-attr]
    body = text[text.index(">", text.index("<svg")) + 1 :].strip()
    # Matplotlib's style rule would reach the whole page; comments repeat the text of labels.
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->|<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r'\b(id=")', rf"\g<1>{key}-", body)
    body = re.sub(r'xlink:href="#|(url\(#)', lambda found: (found.group(1) or 'href="#') + f"{key}-", body)
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r' (?:d|x|y)="[^"]*"', _shorter, body)
    body = re.sub(r"(<g[^>]*)>((?:\s*<use [^>]*/>)+)", _common_style, body)
    body = re.sub(r'style="[^"]*"', lambda style: _COLOR.sub(_variable, style.group()), body)
    body = re.sub(r"\n\s*", "\n", body)
    return Markup(
        f'<svg class="plot" role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}" '
        f'style="max-width:{float(width) * 1.6:.0f}px">{body}'
    )


def _variable(color: re.Match[str]) -> str:
    return f"var(--{_VARIABLES[color.group()]})"


def _common_style(group: re.Match[str]) -> str:
    """A group of marks that all look alike, with their style said once."""
    styles = set(re.findall(r' style="[^"]*"', group.group(2)))
    if len(styles) != 1 or "style=" in group.group(1):
        return group.group()
    style = styles.pop()
    return f"{group.group(1)}{style}>{group.group(2).replace(style, '')}"


def _shorter(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point."""
    text = re.sub(r"-?\d+\.\d+", _hundredth, attribute.group())
    return re.sub(r"\s*\n\s*", " ", text)


def _hundredth(number: re.Match[str]) -> str:
    return f"{float(number.group()):.2f}".rstrip("0").rstrip(".")
