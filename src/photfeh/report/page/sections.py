"""What a report shows, section by section; a section is None where its input is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from photfeh.report.figures import models as figures_models
from photfeh.report.figures import predictions as figures
from photfeh.report.figures import stars as figures_stars
from photfeh.report.figures.registry import FIGURES
from photfeh.report.page import sections_scores, tables
from photfeh.report.page.blocks import Drawing, Section, draw, label
from photfeh.report.page.data import ReportData, keys_of
from photfeh.report.page.explorer import Curves, Key
from photfeh.validation.budget import budget_table

__all__ = ["all_sections"]

GALLERY = 6
WORST = 9
TRAINED = 6
_DISTRIBUTIONS = {
    "feh": "Labels.",
    "n_epochs": "Epochs.",
    "phi31": "φ31.",
    "scatter": "Scatter about the fit.",
}


def all_sections(data: ReportData) -> list[Section]:
    """The sections for which there is input, in the order of the page."""
    ranking, scored = data.ranking(), data.scored()
    found = [
        sections_scores.results(data),
        sections_scores.predicted(data, scored),
        sections_scores.residuals(data, scored),
        _worst(data, next(iter(scored.values()), None)),
        sections_scores.uncertainties(data, scored),
        sections_scores.comparison(data, scored),
        _predictions(data),
        _light_curves(data, next(iter(scored.values()), None)),
        _training(data, ranking),
        _stars(data),
        _further(data),
        _making(data),
    ]
    return [section for section in found if section is not None]


def _worst(data: ReportData, best: pd.DataFrame | None) -> Section | None:
    """The light curves of the largest residuals."""
    if not data.curves or best is None:
        return None
    chosen = figures_stars.worst_first(best, data.curves)[:WORST]
    text = "The scored stars whose predictions are farthest off, worst first: is it the curve, the period or the label?"
    drawings = _drawings("worst", data.curves, chosen, best)
    return Section(key="worst", title="The worst stars", text=(text,), drawings=drawings, small=True)


def _light_curves(data: ReportData, best: pd.DataFrame | None) -> Section | None:
    """A few curves, spread evenly over [Fe/H] where that is known."""
    if not data.curves:
        return None
    chosen = sorted(int(star) for star in data.curves)
    if best is not None:
        ordered = [int(star) for star in best.sort_values("feh_true", kind="stable").index]
        chosen = [star for star in ordered if star in data.curves] or chosen
    places = np.unique(np.linspace(0, len(chosen) - 1, GALLERY).round().astype(int))
    text = "Folded observations and their smooth curve, two cycles."
    text += " From metal-poor to metal-rich." if best is not None else ""
    drawings = _drawings("curve", data.curves, [chosen[place] for place in places], best)
    return Section(key="curves", title="Light curves", text=(text,), drawings=drawings, small=True)


def _drawings(key: str, curves: Curves, chosen: list[int], best: pd.DataFrame | None) -> tuple[Drawing, ...]:
    """One light curve a star, with label and prediction where they are known."""
    drawings = []
    for star in chosen:
        ax = figures_stars.folded(curves, star)
        drawings.append(draw(f"{key}-{star}", ax, str(star), figures_stars.told(best, star)))
    return tuple(drawings)


def _training(data: ReportData, ranking: list[Key]) -> Section | None:
    """Loss against epoch for the best models that have a history."""
    if data.history is None or data.history.empty:
        return None
    present = keys_of(data.history)
    ordered = [key for key in ranking if key in present] + [key for key in present if key not in ranking]
    drawings = []
    for number, (model, representation) in enumerate(ordered[:TRAINED]):
        table = data.history
        if "kept" in table.columns:  # of a network trained to its end, only the cycle that was kept
            table = table[table["kept"].ne(False)]
        rows = table[(table["model"] == model) & (table["representation"] == representation)]
        title = f"{label((model, representation))}."
        drawings.append(draw(f"training-{number}", figures.training_curves(rows), title, "Dots: least tune loss."))
    budgets = budget_table(data.history)
    if len(budgets):
        ax = figures_models.budgets(budgets)
        note = (
            "Least tune error up to the end of each cycle of the learning rate, mean over folds; a fold that has ended "
            "keeps its own. The rule: until a cycle of twice the length gains less than 1 %."
        )
        drawings.append(draw("budgets", ax, "Tune error against epochs.", note))
    text = "Loss against epoch, one line a fold."
    if len(ordered) > TRAINED:
        text += f" The best {TRAINED} of {len(ordered)} models are shown."
    return Section(key="training", title="Training", text=(text,), drawings=tuple(drawings))


def _stars(data: ReportData) -> Section | None:
    """Which stars these are: cuts, period-amplitude diagram, weights, distributions."""
    drawings = _declared(data, "stars", "weights")
    stars = data.stars if data.stars is not None else pd.DataFrame()
    for name, title in _DISTRIBUTIONS.items():
        if name in stars.columns and stars[name].notna().any():
            ax = figures_stars.distributions(stars, None, [name])[0]
            drawings.append(draw(f"stars-{name}", ax, title, f"{int(stars[name].notna().sum()):,} stars."))
    flow = () if data.cut_flow is None else (tables.cut_flow_table(data.cut_flow),)
    if not drawings and not flow:
        return None
    return Section(key="stars", title="The stars", drawings=tuple(drawings), tables=flow)


def _predictions(data: ReportData) -> Section | None:
    """How many stars got a prediction, what was flagged, and the distributions."""
    if data.predictions is None:
        return None
    drawings = []
    for name, title in (("feh", "Predicted [Fe/H]."), ("feh_error", "Predicted error.")):
        if name in data.predictions.columns and data.predictions[name].notna().any():
            ax = figures_stars.distributions(data.predictions, None, [name])[0]
            drawings.append(draw(f"prediction-{name}", ax, title, "All stars with a prediction."))
    drawings += _declared(data, "predictions")
    known = int(data.predictions["feh"].notna().sum())
    text = f"{known:,} of {len(data.predictions):,} stars have a prediction"
    text += "." if known == len(data.predictions) else "; for the others the flag says why not."
    flags = tables.flag_table(data.predictions["flag"])
    return Section(
        key="predictions",
        title="Predictions",
        text=(text,),
        drawings=tuple(drawings),
        tables=(flags,) if flags.rows else (),
    )


def _further(data: ReportData) -> Section | None:
    """Figures that declare a table which has no section of its own for them."""
    placed = ("stars", "weights", "predictions")
    others = dict.fromkeys(figure.table for figure in FIGURES.values() if figure.table not in (None, *placed))
    drawings = _declared(data, *map(str, others))
    return Section(key="further", title="Further figures", drawings=tuple(drawings)) if drawings else None


def _declared(data: ReportData, *tables: str) -> list[Drawing]:
    """The figures of :data:`FIGURES` that declare one of these tables, where it is there."""
    drawings = []
    for name, figure in FIGURES.items():
        ax = figure.draw(data) if figure.table in tables else None
        if ax is not None:
            rows = f"{len(getattr(data, str(figure.table))):,} stars."
            drawings.append(draw(name.replace("_", "-"), ax, figure.title, figure.note or rows))
    return drawings


def _making(data: ReportData) -> Section | None:
    """Configuration, versions, data hash, time spent."""
    found = []
    for caption, settings in (("Configuration", data.config), ("Environment", data.environment)):
        if settings:
            found.append(tables.settings_table(caption, settings))
    if data.timings is not None and not data.timings.empty:
        found.append(tables.timings_table(data.timings))
    return Section(key="making", title="How it was made", tables=tuple(found)) if found else None
