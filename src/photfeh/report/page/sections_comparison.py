"""Sections of a comparison of models; a section is None where its input is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
from markupsafe import Markup

from photfeh.report.figures import models as figures_comparison
from photfeh.report.figures import predictions as figures
from photfeh.report.figures import stars as figures_stars
from photfeh.report.page import explorer, tables
from photfeh.report.page.blocks import Drawing, Section, draw, label
from photfeh.report.page.data import TRUTH_NOTES
from photfeh.report.page.explorer import score_predictions
from photfeh.report.page.sections_scores import OUTLIERS
from photfeh.report.page.tables import Heading, Table
from photfeh.report.page.tables_comparison import (
    INTERVAL,
    external_note,
    external_table,
    founding_table,
    group_table,
    interval,
    pairs_table,
    plain_table,
)
from photfeh.validation.comparison import Comparison
from photfeh.validation.metrics import score
from photfeh.validation.pairs import Key, keys_of_rows

__all__ = ["comparison_sections"]

_ALONG = {"n_epochs": "epochs", "period": "period (d)", "zero_point": "mean magnitude (mag)"}


def comparison_sections(one: Comparison, *, key: str, named: bool) -> list[Section]:
    """The sections of one data set; ``key`` begins their identifiers, ``named`` puts its name into their titles."""
    found = [
        _results(one, key),
        _predicted(one, key),
        _significance(one, key),
        _spline(one),
        _optimism(one),
        _external(one, key),
        _groups(one),
        _residuals(one, key),
        _calibration(one, key),
        _cost(one, key),
        _making(one),
    ]
    return [
        replace(
            _cautious(section, one.caution),
            key=f"{key}-{section.key}",
            title=f"{one.name}: {section.title}" if named else section.title,
        )
        for section in found
        if section is not None
    ]


def _cautious(section: Section, caution: str) -> Section:
    """The section with a word of caution in the caption of each table."""
    if not caution:
        return section
    marked = [
        tuple(replace(table, caption=f"{table.caption}; networks {caution}") for table in group)
        for group in (section.tables, section.folded)
    ]
    return replace(section, tables=marked[0], folded=marked[1])


def _results(one: Comparison, key: str) -> Section:
    """The founding tables, and what they say at one look."""
    runs = ", ".join(folder.name for folder in one.folders)
    text = [
        f"{one.n_stars:,} stars in {one.n_folds} folds{_repeats(one)}, {one.protocol} protocol; runs {runs}. "
        f"Truth: {one.truth}. {TRUTH_NOTES.get(one.truth, '')}".strip(),
        "Training: stars that were fitted. Validation: stars that took no part in fitting. The rank goes by validation "
        "rmse on the stars that all models predict. Errors in dex; r², wrmse and wmae are weighted.",
    ]
    for why in sorted(set(one.unranked.values())):
        named = ", ".join(label(key) for key in sorted(one.unranked) if one.unranked[key] == why)
        text.append(f"Without a rank and in no test, because it {why}: {named}.")
    folded = [
        founding_table(f"Paper protocol, {kind} (optimistic)", table) for kind, table in one.founding_paper.items()
    ]
    if len(one.failures):
        folded.append(plain_table("Parts that could not be fitted", one.failures))
    return Section(
        key="results",
        title="Results",
        text=tuple(text),
        drawings=_scores(one, key),
        tables=tuple(founding_table(f"Models on {kind}", table) for kind, table in one.founding.items()),
        folded=tuple(folded),
    )


def _scores(one: Comparison, key: str) -> tuple[Drawing, ...]:
    """All that have a rank, beside the external predictions where these are of one set of stars."""
    names = zip(one.metrics["model"], one.metrics["representation"], strict=True)
    shown = one.metrics[[name not in one.unranked for name in names]]
    theirs = set(one.external["external_rmse"]) if len(one.external) else set()
    reference = (one.external_name, float(theirs.pop())) if len(theirs) == 1 else None
    if shown.empty:
        return ()
    ax = figures_comparison.model_scores(shown, reference=reference)
    return (draw(f"{key}-scores", ax, "", "Validation rmse of every model on every representation."),)


def _predicted(one: Comparison, key: str) -> Section:
    """The interactive plot of the best models; of the very best, training beside validation."""
    keys = list(one.order)
    scored = one.out_of_fold[one.out_of_fold["part"] == "score"]
    best = score_predictions(one.out_of_fold, keys[0])
    first = (best["feh_pred"] - best["feh_true"]).abs().sort_values(ascending=False).index[:OUTLIERS]
    curves = None if one.dataset is None else explorer.shown_curves(one.dataset, scored)
    content = explorer.explorer_data(one.out_of_fold, keys, stars=one.stars, curves=curves, first=first)
    return Section(
        key="predicted",
        title="Predicted against true",
        explorer=Markup(explorer.embedded_json(content)),
        explorer_note=explorer.sample_note(content, len(keys)),
        drawings=tuple(_panels(one, keys[0], key)),
    )


def _panels(one: Comparison, best: Key, key: str) -> Iterator[Drawing]:
    """Training and validation of one model."""
    for part, title in (("train", "Training."), ("score", "Validation.")):
        stars = score_predictions(one.out_of_fold, best, part)
        if len(stars):
            ax = figures.predicted_against_true(stars["feh_true"], stars["feh_pred"])
            yield draw(
                f"{key}-true-{part}", ax, title, f"{label(best)}, {_in_words(stars['feh_true'], stars['feh_pred'])}"
            )


def _in_words(true: pd.Series, pred: pd.Series) -> str:
    found = score(true, pred)
    return f"{found['n']:,} stars: r² {found['r2']:.3f}, rmse {found['rmse']:.3f}, mae {found['mae']:.3f} dex."


def _significance(one: Comparison, key: str) -> Section | None:
    if not len(one.pairs):
        return None
    drawings = []
    for number, (kind, ranks) in enumerate(one.ranks.items()):
        caption = (
            f"Average rank over {ranks.n_blocks} folds{_repeats(one)}. Bars join models that Nemenyi's test cannot "
            f"tell apart; Friedman p = {ranks.p:.2g}."
        )
        drawings.append(draw(f"{key}-ranks-{number}", figures_comparison.critical_difference(ranks), kind, caption))
    text = (
        "Pairs of models on the stars that all of them predict: ratio of rmse, the better over the other. Interval and "
        "p are those of the corrected resampled t-test (Nadeau & Bengio 2003): they know that other stars, another "
        "training set and another seed would give other numbers. Holm’s p is adjusted for the number of pairs. Ranks "
        "(Demšar 2006) are averaged over repeats, and judged with as many blocks as there are folds."
    )
    captions = {kind: f"Pairs on {kind}" for kind in one.founding}
    parts = [
        pairs_table(caption, one.pairs[one.pairs["representation"] == kind], across=False)
        for kind, caption in captions.items()
    ]
    return Section(
        key="significance",
        title="Is the difference real?",
        text=(text,),
        drawings=tuple(drawings),
        tables=_best_of_many(one),
        folded=tuple(table for table in parts if table.rows),
    )


def _best_of_many(one: Comparison) -> tuple[Table, ...]:
    """What the best model of each representation would score, had it not been chosen by that score."""
    if not len(one.chosen):
        return ()
    rows = [
        (
            tables.text(label((row["model"], row["representation"]))), tables.number(row["candidates"], 0),
            tables.number(row["rmse"]), tables.number(row["corrected_rmse"]),
            interval(row["corrected_low"], row["corrected_high"], 4), tables.number(row["n"], 0),
        )
        for row in one.chosen.to_dict("records")
    ]  # fmt: skip
    names = ("chosen among", "rmse", "rmse corrected", INTERVAL, "stars")
    caption = "The best of many, corrected for having been chosen (Tsamardinos+ 2018)"
    return (Table(caption, (Heading("best model"), *(Heading(name, True) for name in names)), tuple(rows)),)


def _spline(one: Comparison) -> Section | None:
    if not len(one.spline):
        return None
    text = (
        "Each model on two representations of the same light curves. A ratio below 1 says that the representation "
        "under “with” gives the smaller rmse; it is decided where the interval does not hold 1. raw: the observed "
        "points; raw-spline: the smoothed curve, magnitudes as observed; spline: the smoothed curve minus its mean. "
        "Models of the Fourier parameters see no sequence: their ratio is exactly 1."
    )
    return Section(
        key="spline",
        title="Does the spline help?",
        text=(text,),
        tables=(pairs_table("One model, two representations", one.spline, across=True),),
    )


def _optimism(one: Comparison) -> Section | None:
    if not len(one.optimism):
        return None
    rows = [
        (
            tables.text(row["model"]), tables.text(row["representation"]),
            tables.number(row["nested_rmse"]), tables.number(row["paper_rmse"]), tables.number(row["optimism"]),
            interval(row["optimism_low"], row["optimism_high"], 4), tables.number(row["n"], 0),
        )
        for row in one.optimism.to_dict("records")
    ]  # fmt: skip
    heads = (
        Heading("model"),
        Heading("data"),
        *(Heading(name, True) for name in ("nested rmse", "paper rmse", "optimism", INTERVAL, "stars")),
    )
    text = (
        "Nested minus paper rmse: how much too good the scores become when training is stopped on the scored stars. "
        "The interval knows how the scores of one and the same model scatter from one training to the next. "
        "Models that do not stop early fit the same stars under both protocols, and have none."
    )
    return Section(
        key="optimism",
        title="Optimism of the paper protocol",
        text=(text,),
        tables=(Table("Nested against paper", heads, tuple(rows)),),
    )


def _external(one: Comparison, key: str) -> Section | None:
    if not len(one.external):
        return None
    best = next(key for key in one.order if key in set(keys_of_rows(one.external)))
    stars = score_predictions(one.out_of_fold, best)
    stars = stars.join(one.external_feh.rename("theirs"), how="inner").dropna(subset=["feh_pred", "theirs"])
    drawings: list[Drawing] = []
    for name, pred in ((label(best), stars["feh_pred"]), (one.external_name, stars["theirs"])):
        ax = figures.predicted_against_true(stars["feh_true"], pred)
        drawings.append(draw(f"{key}-beside-{len(drawings)}", ax, f"{name}.", _in_words(stars["feh_true"], pred)))
    return Section(
        key="external",
        title="Comparison with other predictions",
        text=(external_note(one.external_name),),
        drawings=tuple(drawings),
        tables=(external_table(one.external, one.external_name),),
    )


def _groups(one: Comparison) -> Section:
    """Rmse by group of stars, bias folded away."""
    keys = list(one.order)
    found: dict[str, list[Table]] = {"rmse": [], "bias": []}
    for metric, made in found.items():
        for name, part in one.groups.groupby("property", sort=False):
            wide = part.pivot(index=["model", "representation"], columns="group", values=metric)
            wide = wide.reindex(index=keys, columns=part["group"].unique())
            best = wide.loc[[key not in one.unranked for key in keys]].abs().min().to_dict()
            counts = part.groupby("group")["n"].max().to_dict()
            made.append(group_table(f"{metric} by {name}", wide, best, counts))
    text = "Scored stars in groups: half a dex of the label, quarters of equal numbers, types. Errors in dex."
    return Section(
        key="groups",
        title="For which stars?",
        text=(text,),
        tables=tuple(found["rmse"]),
        folded=tuple(found["bias"]),
    )


def _repeats(one: Comparison) -> str:
    return "" if one.n_repeats == 1 else f", {one.n_repeats} repeats"


def _residuals(one: Comparison, key: str) -> Section:
    """Residuals of the best model along what may rule them, and the stars in the Bailey diagram."""
    best = one.order[0]
    stars = score_predictions(one.out_of_fold, best)
    residual = stars["feh_pred"] - stars["feh_true"]
    drawings: list[Drawing] = [
        draw(f"{key}-residual-feh", figures.residuals(stars["feh_true"], residual, label="true [Fe/H] (dex)"), "", "")
    ]
    about = pd.DataFrame(index=stars.index)
    if one.stars is not None:
        about = one.stars.drop_duplicates("source_id").set_index("source_id").reindex(stars.index)
    for name, title in _ALONG.items():
        if name in about and about[name].notna().any():
            ax = figures.residuals(about[name], residual, label=title)
            drawings.append(draw(f"{key}-residual-{name}", ax, "", ""))
    if {"period", "peak_to_peak"} <= set(about.columns):
        ax = figures_stars.bailey(about["period"], about["peak_to_peak"], about.get("type"))
        drawings.append(draw(f"{key}-bailey", ax, "Period-amplitude diagram.", "The scored stars."))
    text = f"Predicted minus true [Fe/H] of {label(best)}, the best model; repeats averaged."
    return Section(key="residuals", title="Residuals of the best model", text=(text,), drawings=tuple(drawings))


def _calibration(one: Comparison, key: str) -> Section | None:
    """The best model that gives errors."""
    for best in one.order:
        stars = score_predictions(one.out_of_fold, best)
        if "feh_pred_error" in stars and len(stars) and (stars["feh_pred_error"] > 0).any():
            ax = figures_comparison.pit_histogram(stars["feh_true"], stars["feh_pred"], stars["feh_pred_error"])
            text = (
                f"Where the labels fall in the distributions that {label(best)} predicts (Gaussian, before the "
                "calibration that a trained ensemble gets): flat if the errors are right, a hill if they are too "
                "large, a bowl if too small."
            )
            drawings = (draw(f"{key}-pit", ax, "", "Band: 95 % of the bars, were the errors right."),)
            return Section(key="calibration", title="Are the errors right?", text=(text,), drawings=drawings)
    return None


def _cost(one: Comparison, key: str) -> Section:
    names = ("rmse", "mae", "fits", "mean fit (s)", "all fits (s)", "1,000 stars (s)")
    columns = ("rmse", "mae", "fits", "fit_seconds", "total_fit_seconds", "predict_seconds_per_1000")
    digits = (4, 4, 0, 2, 1, 4)
    rows = [
        (
            tables.text(row["model"]),
            tables.text(row["representation"]),
            *(tables.number(row[column], places) for column, places in zip(columns, digits, strict=True)),
        )
        for row in one.cost.to_dict("records")
    ]
    heads = (Heading("model"), Heading("data"), *(Heading(name, True) for name in names))
    best = one.cost.drop_duplicates("model")  # sorted by rmse
    ax = figures_comparison.accuracy_against_cost(best["model"].tolist(), best["fit_seconds"], best["rmse"])
    machines = ", ".join(one.processors)
    text = f"Seconds on {machines}, as they were measured during the runs."
    if len(one.processors) > 1:
        text += " The runs were made on different machines: their times do not compare."
    return Section(
        key="cost",
        title="Accuracy and cost",
        text=(text,),
        drawings=(draw(f"{key}-cost", ax, "", "Each model on its best data; lower left is better."),),
        tables=(Table("Cost beside accuracy", heads, tuple(rows)),),
    )


def _making(one: Comparison) -> Section:
    """Every run in a line; its whole configuration and environment folded away."""
    heads = ("run", "protocol", "folds", "repeats", "seed", "weights", "photfeh", "processor", "finished")
    rows, folded = [], []
    for folder, made in zip(one.folders, one.made, strict=True):
        how, where = made.get("validation", {}), made["environment"]
        values = [how.get(name) for name in ("protocol", "folds", "repeats", "seed", "weighting")]
        values += [where.get("versions", {}).get("photfeh"), where.get("processor"), str(where.get("date", ""))[:16]]
        rows.append((tables.text(folder.name), *(tables.text(value) for value in values)))
        folded.append(tables.settings_table(f"Configuration and environment of {folder.name}", made))
    sha = one.made[0]["dataset"]["stars_sha256"]
    return Section(
        key="making",
        title="How it was made",
        text=(f"SHA-256 of the data set’s star table: {sha}.",),
        tables=(Table("Runs", tuple(Heading(name) for name in heads), tuple(rows)),),
        folded=tuple(folded),
    )
