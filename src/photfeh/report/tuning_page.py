"""A search for parameters written down as one page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from photfeh.core.files import write_text
from photfeh.report.figures import tuning as figures
from photfeh.report.page import tables
from photfeh.report.page.blocks import Section, draw
from photfeh.report.page.data import TRUTH_NOTES
from photfeh.report.page.document import fill_page
from photfeh.report.page.tables import Heading, Table
from photfeh.report.page.tables_comparison import INTERVAL, interval, plain_table
from photfeh.validation.tuning.verb import Tuning

__all__ = ["tuning_text", "write_tuning"]


def write_tuning(found: Tuning) -> Path:
    """Write report.html into the folder of the study; return its path."""
    path = found.folder / "report.html"
    page = fill_page(
        title=f"{found.search.name} tuned: {found.folder.resolve().name}",
        truth=found.truth,
        truth_note=TRUTH_NOTES.get(found.truth),
        caution=None,
        headline=None,
        sections=[_beside(found), _history(found), _parameters(found)],
    )
    write_text(path, page)
    return path


def tuning_text(found: Tuning) -> str:
    """What a terminal is told."""
    ratio, how = found.beside.ratio, found.search
    lines = [
        f"{how.name}: best of {found.found.n_trials} trials, rmse {found.found.value:.4f} dex over {how.n_folds} "
        f"folds, {found.found.cpu_minutes:.1f} CPU minutes",
        f"tuned over default on other folds of the same stars: ratio of rmse {ratio.value:.3f} ({ratio.low:.3f} to "
        f"{ratio.high:.3f}), p = {found.beside.p:.2g}",
        "this is optimistic, since the best was chosen on these stars; validate --tune is not",
    ]
    lines += [f"  {name} = {found.found.params[name]}  (default {found.default[name]})" for name in how.space]
    return "\n".join(lines)


def _beside(found: Tuning) -> Section:
    ratio, difference = found.beside.ratio, found.beside.difference
    row = (
        tables.number(ratio.value, 3), interval(ratio.low, ratio.high, 3), tables.number(difference.value),
        interval(difference.low, difference.high, 4), tables.number(found.beside.p, 4),
        tables.number(found.found.cpu_minutes, 1), tables.number(found.found.n_trials, 0),
    )  # fmt: skip
    names = ("ratio of rmse", INTERVAL, "difference (dex)", INTERVAL, "p", "CPU minutes", "trials")
    chosen = pd.DataFrame(
        [
            {"parameter": name, "tuned": found.found.params[name], "default": found.default[name]}
            for name in found.default
        ]
    )
    text = (
        "Tuned over default parameters, on folds that the search has not used; corrected resampled t-test. The stars "
        "are those of the search, so this is optimistic: validate --tune searches within each fold and is not.",
    )
    return Section(
        key="beside", title="Tuned against default", text=text,
        tables=(
            Table("Tuned over default", tuple(Heading(name, True) for name in names), (row,)),
            plain_table("Parameters", chosen),
        ),
        folded=(plain_table("Each fold", found.errors.round(4)),),
    )  # fmt: skip


def _history(found: Tuning) -> Section:
    states = ", ".join(f"{count} {state}" for state, count in found.trials["state"].value_counts().items())
    drawing = draw(
        "history", figures.tuning_history(found.trials), "", "Rmse is the mean over the folds of the search."
    )
    shown = found.trials.round({"rmse": 4, "cpu_seconds": 1})
    return Section(
        key="history", title="The search", text=(f"Trials: {states}.",), drawings=(drawing,),
        folded=(plain_table("Every trial", shown),),
    )  # fmt: skip


def _parameters(found: Tuning) -> Section:
    order = [str(name) for name in found.importance["parameter"]] or list(found.search.space)
    drawings = []
    if len(found.importance):
        note = "Share of each parameter in what the error of the trials varies by."
        drawings.append(draw("importance", figures.parameter_importance(found.importance), "What matters.", note))
    known = [name for name in order if name in found.trials.columns]
    ax = figures.parallel_coordinates(found.trials, known)
    drawings.append(
        draw("parallel", ax, "Where the good values lie.", "A line a trial, by rank; the best third strong.")
    )
    return Section(key="parameters", title="Parameters", drawings=tuple(drawings))
