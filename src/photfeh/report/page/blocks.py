"""What sections of a report are made of."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes

from photfeh.report.figures.style import inline_svg
from photfeh.report.page.explorer import Key
from photfeh.report.page.tables import Table

__all__ = ["Drawing", "Section", "draw", "label"]


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG, with its title and caption."""

    svg: Markup
    title: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page: paragraphs, the interactive plot, drawings, tables, tables folded away."""

    key: str
    title: str
    text: tuple[str, ...] = ()
    explorer: Markup | None = None
    explorer_note: str = ""
    drawings: tuple[Drawing, ...] = ()
    small: bool = False
    tables: tuple[Table, ...] = ()
    folded: tuple[Table, ...] = ()


def draw(key: str, ax: Axes, title: str, caption: str) -> Drawing:
    """The figure of ``ax`` as a drawing; ``key`` is unique within the page."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return Drawing(inline_svg(figure, key=key, label=f"{title} {caption}".strip()), title, caption)


def label(key: Key) -> str:
    """How a model on a representation is called in running text."""
    return f"{key[0]} on {key[1]}"
