"""The tables of a comparison: founding metrics, pairs of models, groups of stars."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd

from photfeh.report.page import tables
from photfeh.report.page.blocks import label
from photfeh.report.page.tables import Cell, Heading, Table

__all__ = [
    "INTERVAL", "external_note", "external_table", "founding_table", "group_table", "interval", "pairs_table",
    "plain_table",
]  # fmt: skip

INTERVAL = "95 % interval"


def founding_table(caption: str, table: pd.DataFrame) -> Table:
    """The founding table, the best validation value of each row in bold."""
    columns: list[tuple[str, str]] = [(str(key[0]), str(key[1])) for key in table.columns.to_list()]
    heads = (Heading("metric"), *(Heading(f"{model}\n{kind}", True) for model, kind in columns))
    ranked = np.isfinite(table.loc["rank"].to_numpy(np.float64))  # validation columns of models that have a rank
    rows = []
    for metric in table.index:
        values = table.loc[metric].to_numpy(np.float64)
        candidates = np.where(ranked, values, np.nan)
        best = np.nan
        if metric != "rank" and np.isfinite(candidates).sum() > 1:
            best = np.nanmax(candidates) if metric == "r2" else np.nanmin(candidates)
        digits = 0 if metric == "rank" else 4
        cells = (tables.number(v, digits, best=bool(c == best)) for v, c in zip(values, candidates, strict=True))
        rows.append((tables.text({"r2": "r²"}.get(str(metric), metric)), *cells))
    return Table(caption, heads, tuple(rows))


def pairs_table(caption: str, pairs: pd.DataFrame, *, across: bool) -> Table:
    """Pairs of models on one representation, or (``across``) of representations of one model."""
    first, other = ("representation", "other_representation") if across else ("model", "other")
    heads = (
        *((Heading("model"),) if across else ()),
        Heading("with" if across else "model"),
        Heading("without" if across else "other"),
        *(Heading(name, True) for name in ("stars", "rmse", "other rmse", "ratio", INTERVAL, "t", "p", "p (Holm)")),
    )
    rows = []
    for row in pairs.to_dict("records"):
        errors = (tables.number(row["rmse"]), tables.number(row["other_rmse"]), tables.number(row["ratio"], 3))
        tests = (tables.number(row["t"], 2), tables.number(row["p"], 4), tables.number(row["p_holm"], 4))
        names = (*((tables.text(row["model"]),) if across else ()), tables.text(row[first]), tables.text(row[other]))
        rows.append(
            (*names, tables.number(row["n"], 0), *errors, interval(row["ratio_low"], row["ratio_high"], 3), *tests)
        )
    return Table(caption, heads, tuple(rows))


_SHOWN = ("r2", "wrmse", "wmae", "rmse", "mae", "bias")


def external_note(name: str) -> str:
    """What is compared with predictions of others, in words."""
    return (
        f"The models and {name}, on the stars that both predict. A ratio of rmse below 1 is in favour of the model; "
        "its interval is that of other stars of the same kind. If the others were fitted on these stars, their scores "
        "are not out of sample."
    )


def external_table(external: pd.DataFrame, name: str) -> Table:
    """Models beside somebody else's predictions, as :func:`photfeh.validation.pairs.beside_external` has them."""
    rows = [
        (
            tables.text(label((row["model"], row["representation"]))),
            *(tables.number(row[f"{whose}{metric}"]) for metric in _SHOWN for whose in ("", "external_")),
            tables.number(row["ratio"], 3),
            interval(row["ratio_low"], row["ratio_high"], 3),
            tables.number(row["n"], 0),
        )
        for row in external.to_dict("records")
    ]
    names = [f"{whose}{metric}" for metric in ("r²", *_SHOWN[1:]) for whose in ("", "their ")]
    heads = (Heading("model"), *(Heading(text, True) for text in (*names, "ratio of rmse", INTERVAL, "stars")))
    return Table(f"Beside {name}", heads, tuple(rows))


def interval(low: float, high: float, digits: int) -> Cell:
    """An interval, sorted by its middle."""
    if not np.isfinite([low, high]).all():
        return Cell("–")
    return Cell(f"{low:.{digits}f} to {high:.{digits}f}".replace("-", "−"), repr((low + high) / 2))


def group_table(
    caption: str, wide: pd.DataFrame, best: Mapping[Hashable, float], counts: Mapping[Hashable, int]
) -> Table:
    """Models in rows, groups in columns with their numbers of rows; the best of a group marked."""
    heads = [Heading(f"{group}\nn = {counts[group]:,}".replace("-", "−"), True) for group in wide.columns]
    rows = [
        (tables.text(label(key)), *(tables.number(v, best=abs(v) == best[group]) for group, v in row.items()))
        for key, row in zip(wide.index, wide.to_dict("records"), strict=True)
    ]
    return Table(caption, (Heading("model"), *heads), tuple(rows))


def plain_table(caption: str, table: pd.DataFrame) -> Table:
    """Any table as text."""
    rows = tuple(tuple(tables.text(value) for value in row) for row in table.itertuples(index=False))
    return Table(caption, tuple(Heading(str(name)) for name in table.columns), rows)
