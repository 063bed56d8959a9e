"""A comparison written down: tables as text, CSV, LaTeX and HTML, and one page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from photfeh.core.files import naming, write_text
from photfeh.report.page.blocks import Section
from photfeh.report.page.data import TRUTH_NOTES
from photfeh.report.page.document import PAPER_NOTE, fill_page
from photfeh.report.page.sections_comparison import comparison_sections
from photfeh.validation.comparison import Comparison

__all__ = ["comparison_text", "founding_text", "write_comparison"]

_TABLES = ("metrics", "pairs", "chosen", "spline", "optimism", "external", "groups", "cost", "failures")


def write_comparison(comparisons: Sequence[Comparison], folder: str | Path) -> Path:
    """Write report.html and, in a folder a data set, every table; return the path of the page.

    ``founding-<representation>`` comes as .txt, .csv, .tex and .html, and with ``-paper`` in its name for the paper
    protocol beside a nested one; the others (metrics, pairs, ranks, chosen, spline, optimism, external, groups, cost)
    as .csv.
    """
    folder = Path(folder)
    for one in comparisons:
        here = folder / re.sub(r"[^\w.-]+", "-", one.name)
        here.mkdir(parents=True, exist_ok=True)
        with naming(here):
            for suffix, founding in (("", one.founding), ("-paper", one.founding_paper)):
                for kind, table in founding.items():
                    _write_founding(table, here / f"founding-{kind}{suffix}", one.caution)
            for name in _TABLES:
                table = getattr(one, name)
                if len(table):
                    table = table.assign(note=one.caution) if one.caution else table
                    table.to_csv(here / f"{name}.csv", index=False)
            if one.ranks:
                rank_table(one).to_csv(here / "ranks.csv", index=False)
    path = folder / "report.html"
    write_text(path, _page(comparisons))
    return path


def rank_table(one: Comparison) -> pd.DataFrame:
    """Average ranks with the numbers of their test, one row a model."""
    rows = [
        {
            "representation": kind, "model": name, "average_rank": average, "blocks": ranks.n_blocks,
            "friedman": ranks.statistic, "p": ranks.p, "critical_difference": ranks.critical_difference,
        }
        for kind, ranks in one.ranks.items()
        for name, average in zip(ranks.names, ranks.average, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows).sort_values(["representation", "average_rank", "model"], ignore_index=True)


def founding_text(table: pd.DataFrame) -> pd.DataFrame:
    """The founding table with its numbers as text: four digits, ranks whole, unknown empty."""
    text = table.astype(object)
    for row in table.index:
        digits = 0 if row == "rank" else 4
        text.loc[row] = [f"{value:.{digits}f}" if pd.notna(value) else "" for value in table.loc[row]]
    return text


def _write_founding(table: pd.DataFrame, path: Path, note: str) -> None:
    text = founding_text(table)
    if note:
        for shown in (text, table := table.astype(object)):
            shown.loc["note"] = note
    # not with_suffix: the name of a representation may hold a dot
    table.to_csv(f"{path}.csv")
    Path(f"{path}.txt").write_text(text.to_string() + "\n", encoding="utf-8")
    latex = text.to_latex(escape=True, column_format="l" + "r" * text.shape[1], multicolumn_format="c")
    Path(f"{path}.tex").write_text(latex, encoding="utf-8")
    Path(f"{path}.html").write_text(text.to_html(escape=True, border=0) + "\n", encoding="utf-8")


def comparison_text(one: Comparison, *, width: int = 160) -> str:
    """What a terminal is told of one data set: founding tables, ranking, optimism, who beats whom."""
    lines = [f"{one.name}: {one.n_stars} stars, {one.protocol} protocol, labels: {one.truth}"]
    caution = f"; networks {one.caution}" if one.caution else ""
    for kind, table in one.founding.items():
        lines += ["", f"Models on {kind}{caution}", founding_text(table).to_string(line_width=width)]
        lines.append("ranking by validation rmse: " + ", ".join(one.ranking(kind)))
        if kind in one.ranks:
            ranks = one.ranks[kind]
            lines.append(
                f"average ranks over {ranks.n_blocks} folds: critical difference {ranks.critical_difference:.2f}, "
                f"Friedman p = {ranks.p:.2g}"
            )
    for row in one.chosen.itertuples():
        lines.append(
            f"best of {row.candidates} on {row.representation}, {row.model}: rmse {row.rmse:.4f}, corrected for having "
            f"been chosen {row.corrected_rmse:.4f} ({row.corrected_low:.4f} to {row.corrected_high:.4f})"
        )
    lines += [f"no rank, {model} on {kind}: it {why}" for (model, kind), why in sorted(one.unranked.items())]
    for row in one.optimism.itertuples():
        lines.append(
            f"optimism of the paper protocol, {row.model} on {row.representation}: {row.optimism:+.4f} dex "
            f"({row.optimism_low:+.4f} to {row.optimism_high:+.4f})"
        )
    for row in one.external.itertuples():
        lines.append(
            f"{row.model} on {row.representation} over {row.external}: rmse {row.rmse:.4f} over "
            f"{row.external_rmse:.4f}, ratio {row.ratio:.3f} ({row.ratio_low:.3f} to {row.ratio_high:.3f}), "
            f"{row.n} stars"
        )
    return "\n".join(lines)


def _page(comparisons: Sequence[Comparison]) -> str:
    sections: list[Section] = []
    for number, one in enumerate(comparisons, start=1):
        sections += comparison_sections(one, key=f"d{number}", named=len(comparisons) > 1)
    kinds = list(dict.fromkeys(one.truth for one in comparisons))
    paper = any(one.protocol == "paper" for one in comparisons)
    return fill_page(
        title="Models compared: " + ", ".join(one.name for one in comparisons),
        truth="; ".join(kinds),
        truth_note=TRUTH_NOTES.get(kinds[0]) if len(kinds) == 1 else "Scores against different truths do not compare.",
        caution=PAPER_NOTE if paper else None,
        headline=None,
        sections=sections,
    )
