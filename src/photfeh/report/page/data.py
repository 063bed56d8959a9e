"""What a report is made from: plain tables, each of them optional."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from photfeh.core.errors import MissingColumn
from photfeh.report.page.explorer import Curves, Key, score_predictions
from photfeh.validation.pairs import ranked

__all__ = ["TRUTH_NOTES", "ReportData"]

TRUTH_NOTES = {
    "same-curve formula": (
        "The labels are a published formula of period and φ31, measured on the very light curves that the "
        "models see. The scores say how well a model re-derives that formula; they say nothing about the "
        "accuracy of [Fe/H]."
    ),
    "independent passband": (
        "The labels come from light curves in another passband: independent of the photometry that the "
        "models see, but photometric themselves. The scores contain the error of those labels too."
    ),
    "spectroscopy": (
        "The labels are spectroscopic. Spectroscopic [Fe/H] of one star repeats to 0.12 to 0.17 dex, so part "
        "of every residual is the label's."
    ),
    "simulation": (
        "The stars are simulated and the labels are the truth that was put in. The scores hold for the simulation."
    ),
}
"""Kinds of truth, and what scores against each of them mean."""

_NEEDED = {
    "metrics": ("model", "representation", "part", "rmse"),
    "out_of_fold": ("model", "representation", "part", "source_id", "feh_true", "feh_pred"),
    "history": ("model", "representation", "epoch", "train_loss", "tune_loss"),
    "timings": ("model", "representation", "fit_seconds", "predict_seconds"),
    "stars": ("source_id",),
    "cut_flow": ("cut", "n_before", "n_after"),
    "weights": ("feh", "weight"),
    "external": ("source_id", "feh"),
    "predictions": ("source_id", "feh", "flag"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportData:
    """What a report can show. Only the first two are needed: a section appears where its input is there.

    Parameters
    ----------
    title : str
    truth : str
        Which kind of truth the labels are: a key of :data:`TRUTH_NOTES`, or a sentence of one's own.
    metrics : DataFrame, optional
        One row a model, representation and part (train, tune, score): rmse, and any of n, r2, wrmse, wmae,
        mae, bias, sd; other numeric columns are shown too.
    out_of_fold : DataFrame, optional
        model, representation, part, source_id, feh_true, feh_pred, and feh_pred_error for uncertainties.
    history : DataFrame, optional
        model, representation, repeat, fold, epoch, train_loss, tune_loss.
    timings : DataFrame, optional
        model, representation, fit_seconds, predict_seconds; one row a fit.
    stars : DataFrame, optional
        The star table (:data:`photfeh.core.stars.COLUMNS`).
    curves : mapping of source_id, optional
        Light curves to look at: ``phase``, ``mag``, optional ``mag_error``, ``curve_phase``, ``curve_mag``.
    cut_flow : DataFrame, optional
        cut, n_before, n_after.
    weights : DataFrame, optional
        feh, weight and optional density of the stars that weights were fitted on.
    external : DataFrame, optional
        Somebody else's predictions: source_id, feh. ``external_name`` says whose.
    predictions : DataFrame, optional
        source_id, feh, flag, optional feh_error.
    config, environment : mapping, optional
        How it was made: settings; versions, data hash, hardware. May be nested.

    Raises
    ------
    MissingColumn
        if a table lacks a column that its section needs; names both.
    """

    title: str
    truth: str
    metrics: pd.DataFrame | None = None
    out_of_fold: pd.DataFrame | None = None
    history: pd.DataFrame | None = None
    timings: pd.DataFrame | None = None
    stars: pd.DataFrame | None = None
    curves: Curves | None = None
    cut_flow: pd.DataFrame | None = None
    weights: pd.DataFrame | None = None
    external: pd.DataFrame | None = None
    external_name: str = "external"
    predictions: pd.DataFrame | None = None
    config: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, columns in _NEEDED.items():
            table = getattr(self, name)
            for column in columns if table is not None else ():
                if column not in table.columns:
                    raise MissingColumn(column, f"the report's table {name!r}", found=table.columns)

    def ranking(self) -> list[Key]:
        """(model, representation) of everything scored, the best first (:func:`photfeh.validation.pairs.ranked`).

        What only the metrics have, such as a row of published predictions, is not ranked: the page is about the models
        of the run. Without an out-of-fold table: by the rmse of the metrics; the model ``relation`` comes last where
        the labels are that very formula: it repeats them.
        """
        if self.out_of_fold is not None:
            return ranked(self.out_of_fold, self.truth)[0]
        if self.metrics is None:
            return []
        score = self.metrics[(self.metrics["part"] == "score") & self.metrics["rmse"].notna()]
        repeats = (score["model"] == "relation") & (self.truth == "same-curve formula")
        return keys_of(score.assign(repeats=repeats).sort_values(["repeats", "rmse"], kind="stable"))

    def scored(self) -> dict[Key, pd.DataFrame]:
        """Predictions of the score part, one row a star, of every model that has any; best model first."""
        if self.out_of_fold is None:
            return {}
        every = {key: score_predictions(self.out_of_fold, key) for key in self.ranking()}
        return {key: stars for key, stars in every.items() if len(stars)}


def keys_of(table: pd.DataFrame) -> list[Key]:
    """The pairs of model and representation in a table, in the order of their first row."""
    pairs = zip(table["model"].astype(str), table["representation"].astype(str), strict=True)
    return list(dict.fromkeys(pairs))
