"""The report: one HTML file that needs nothing else, neither network nor neighbours."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from photfeh.core.files import write_text
from photfeh.report.page.blocks import Section
from photfeh.report.page.data import TRUTH_NOTES, ReportData
from photfeh.report.page.explorer import score_predictions
from photfeh.report.page.sections import all_sections

__all__ = ["PAPER_NOTE", "Headline", "fill_page", "render", "write_report"]

PAPER_NOTE = (
    "Protocol “paper”: training was stopped on the very stars that are scored here, so the scores are too "
    "good. Quote those of the nested protocol."
)


def write_report(data: ReportData, path: str | Path) -> Path:
    """Write the report and return its path; folders on the way are made. Equal data give equal bytes."""
    path = Path(path)
    write_text(path, render(data))
    return path


def render(data: ReportData) -> str:
    """The report as text."""
    return fill_page(
        title=data.title,
        truth=data.truth,
        truth_note=TRUTH_NOTES.get(data.truth),
        caution=PAPER_NOTE if _protocol(data.config) == "paper" else None,
        headline=_headline(data),
        sections=all_sections(data),
    )


def fill_page(
    *,
    title: str,
    truth: str,
    truth_note: str | None,
    caution: str | None,
    headline: Headline | None,
    sections: Sequence[Section],
) -> str:
    """A page as text. A policy in its head forbids every connection, and every script but its own."""
    loader = jinja2.PackageLoader("photfeh.report.page")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script, style = (loader.get_source(environment, name)[0] for name in ("report.js", "report.css"))
    # The hash is of the very characters between the tags.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html").render(
        title=title,
        truth=truth,
        truth_note=truth_note,
        caution=caution,
        headline=headline,
        sections=sections,
        script=Markup(script),
        script_hash=digest,
        style=Markup(style),
        version=version("photfeh"),
    )


@dataclass(frozen=True)
class Headline:
    """The result in one sentence (every second piece is emphasised) and a few numbers."""

    sentence: tuple[str, ...]
    numbers: tuple[tuple[str, str], ...]


def _headline(data: ReportData) -> Headline | None:
    """The best model and its scores; None where nothing was scored."""
    ranking = data.ranking()
    if data.metrics is None or not ranking:
        return None
    model, representation = ranking[0]
    table = data.metrics[data.metrics["part"] == "score"]
    row = table[(table["model"] == model) & (table["representation"] == representation)].iloc[0].to_dict()
    values = {name: float(row[name]) for name in ("rmse", "mae", "r2", "bias") if pd.notna(row.get(name))}
    stars = ""
    if data.out_of_fold is not None:
        # Counted here: a table of metrics counts a star once a repeat.
        values["n"] = len(score_predictions(data.out_of_fold, ranking[0]))
        stars = f" of {values['n']:,.0f} stars that it had not seen"
    among = f", the best of {len(ranking)} models" if len(ranking) > 1 else ""
    what = f" data predicts [Fe/H]{stars} with an rmse of "
    sentence = ("", model, " on ", representation, what, f"{values['rmse']:.3f} dex", f"{among}.")
    numbers = []
    for name, value in values.items():
        shown = f"{value:,.0f}" if name == "n" else f"{value:.3f}".replace("-", "−")
        numbers.append(({"r2": "r²", "n": "stars"}.get(name, name), shown))
    return Headline(sentence, tuple(numbers))


def _protocol(config: Mapping[str, object]) -> object:
    """The setting ``protocol``, at the top or in a part of the configuration."""
    if "protocol" in config:
        return config["protocol"]
    inner = (_protocol(part) for part in config.values() if isinstance(part, Mapping))
    return next((value for value in inner if value is not None), None)
