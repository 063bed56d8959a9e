"""The sections on scores: results, predicted against true, residuals, uncertainties, comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from markupsafe import Markup
from scipy.special import ndtri

from photfeh.report.figures import predictions as figures
from photfeh.report.page import explorer, tables
from photfeh.report.page.blocks import Section, draw, label
from photfeh.report.page.data import ReportData
from photfeh.report.page.explorer import Key, score_predictions
from photfeh.report.page.tables import Cell, Heading, Table
from photfeh.report.page.tables_comparison import external_note, external_table
from photfeh.validation.budget import not_converged
from photfeh.validation.pairs import beside_external

__all__ = ["comparison", "predicted", "residuals", "results", "uncertainties"]

Scored = Mapping[Key, pd.DataFrame]

OUTLIERS = 20
LEVELS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
_PARTS = {
    "train": "predicted by the models that it helped to fit",
    "score": "predicted by models that never saw it",
}


def results(data: ReportData) -> Section | None:
    """The table of metrics."""
    if data.metrics is None:
        return None
    seconds: dict[Key, float] = {}
    if data.timings is not None:
        means = data.timings.groupby(["model", "representation"], as_index=False)["fit_seconds"].mean()
        for model, representation, value in means.itertuples(index=False):
            seconds[str(model), str(representation)] = float(value)
    parts = [part for part in ("tune", "train") if (data.metrics["part"] == part).any()]
    text = (
        "Score: stars that took no part in fitting. Tune: stars that decided when training stopped. Train: "
        "stars that were fitted. Errors in dex; the best value of each column in bold."
    )
    caution = not_converged(data.config, data.history)
    shown = [tables.metrics_table(data.metrics, part, seconds if part == "score" else {}) for part in ("score", *parts)]
    if caution:
        shown = [replace(table, caption=f"{table.caption}; networks {caution}") for table in shown]
    return Section(key="results", title="Results", text=(text,), tables=(shown[0],), folded=tuple(shown[1:]))


def predicted(data: ReportData, scored: Scored) -> Section | None:
    """The interactive plot, the same for train and score as figures, and the largest residuals."""
    if not scored or data.out_of_fold is None:
        return None
    best, stars = next(iter(scored.items()))
    difference = (stars["feh_pred"] - stars["feh_true"]).abs().sort_values(ascending=False, kind="stable")
    worst = [int(star) for star in difference.index[:OUTLIERS]]
    content = explorer.explorer_data(data.out_of_fold, list(scored), stars=data.stars, curves=data.curves, first=worst)
    drawings = []
    for part, meaning in _PARTS.items():
        rows = score_predictions(data.out_of_fold, best, part)
        if len(rows):
            ax = figures.predicted_against_true(rows["feh_true"], rows["feh_pred"])
            caption = f"{label(best)}: each star {meaning}, averaged over repeats."
            drawings.append(draw(f"true-{part}", ax, f"{part.capitalize()} part.", caption))
    return Section(
        key="predicted",
        title="Predicted against true",
        explorer=Markup(explorer.embedded_json(content)),
        explorer_note=explorer.sample_note(content, len(scored)),
        drawings=tuple(drawings),
        folded=(_outlier_table(stars, worst, data.stars),),
    )


def _outlier_table(scored: pd.DataFrame, worst: list[int], stars: pd.DataFrame | None) -> Table:
    rows = scored.loc[worst]
    about = pd.DataFrame(index=rows.index)
    if stars is not None:
        about = stars.set_index("source_id").reindex(rows.index)
    extra = {name: digits for name, digits in (("period", 5), ("n_epochs", 0)) if name in about.columns}
    names = ("source_id", "true", "predicted", "difference", *extra)
    cells = []
    for place, star in enumerate(worst):
        true, pred = (float(rows[name].iloc[place]) for name in ("feh_true", "feh_pred"))
        line = [Cell(str(star), str(star), star=True)]
        line += [tables.number(value, 3) for value in (true, pred, pred - true)]
        line += [tables.number(about[name].iloc[place], digits) for name, digits in extra.items()]
        cells.append(tuple(line))
    headings = tuple(Heading(name, number=True) for name in names)
    return Table(f"The {len(worst)} largest residuals", headings, tuple(cells))


def residuals(data: ReportData, scored: Scored) -> Section | None:
    """Residuals of the best model against label, number of epochs and period."""
    if not scored:
        return None
    best, stars = next(iter(scored.items()))
    residual = stars["feh_pred"] - stars["feh_true"]
    about = stars[["feh_true"]]
    if data.stars is not None:
        about = about.join(data.stars.set_index("source_id"), how="left")
    panels = {
        "feh_true": ("true [Fe/H] (dex)", "Against the label. A slope: the extremes are drawn to the mean."),
        "n_epochs": ("number of epochs", "Against the number of epochs."),
        "period": ("period (d)", "Against the period."),
    }
    drawings = []
    for name, (text, caption) in panels.items():
        if name in about.columns and about[name].notna().any():
            ax = figures.residuals(about[name], residual, label=text)
            drawings.append(draw(f"residual-{name}", ax, "", caption))
    text = f"Predicted minus true [Fe/H] of {label(best)} on the score part."
    return Section(key="residuals", title="Residuals", text=(text,), drawings=tuple(drawings))


def uncertainties(data: ReportData, scored: Scored) -> Section | None:
    """Coverage of the intervals of the best model that gives errors."""
    usable = ((key, stars[stars["feh_pred_error"] > 0]) for key, stars in scored.items() if "feh_pred_error" in stars)
    found = next(((key, stars) for key, stars in usable if len(stars)), None)
    if found is None:
        return None
    key, stars = found
    pull = ((stars["feh_pred"] - stars["feh_true"]).abs() / stars["feh_pred_error"]).to_numpy(dtype=np.float64)
    observed = np.array([np.mean(pull <= ndtri(0.5 + level / 2.0)) for level in LEVELS])
    share = 100.0 * float(observed[np.argmin(np.abs(LEVELS - 0.9))])
    text = f"Intervals of {label(key)} meant to hold 90 % of the labels hold {share:.1f} % ({len(stars):,} stars)."
    caption = "Labels inside the central interval of a Gaussian with the predicted error; grey: ± 2 %."
    pairs = zip(LEVELS, observed, strict=True)
    rows = tuple((tables.number(level, 2), tables.number(share, 3)) for level, share in pairs)
    return Section(
        key="uncertainties",
        title="Uncertainties",
        text=(text,),
        drawings=(draw("coverage", figures.coverage(LEVELS, observed), "", caption),),
        tables=(Table("Coverage", (Heading("nominal", True), Heading("observed", True)), rows),),
    )


def comparison(data: ReportData, scored: Scored) -> Section | None:
    """The models of the run beside external predictions, on the stars that both have."""
    if data.external is None or not scored:
        return None
    other = data.external.dropna(subset=["feh"]).drop_duplicates("source_id")
    external = other.set_index("source_id")["feh"].rename("external")
    assert data.out_of_fold is not None  # where there are scores
    rows = data.out_of_fold[data.out_of_fold["part"] == "score"]
    table = beside_external(rows, external, data.external_name)
    if table.empty:
        return None
    best, stars = next(iter(scored.items()))
    common = stars.join(external, how="inner")
    ax = figures.comparison(common["feh_pred"], common["external"], common["feh_true"])
    caption = (
        f"Residuals of {label(best)} against those of {data.external_name}. Where both err alike, along the line, "
        "the label or the light curve is to blame."
    )
    return Section(
        key="comparison",
        title="Comparison with other predictions",
        text=(external_note(data.external_name),),
        drawings=(draw("external", ax, "", caption),),
        tables=(external_table(table, data.external_name),),
    )
