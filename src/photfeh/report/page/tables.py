"""Tables of a report: data frames turned into rows of text, each cell with the value that it sorts by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from photfeh.core import flags
from photfeh.validation.metrics import METRICS

__all__ = [
    "Cell",
    "Heading",
    "Table",
    "cut_flow_table",
    "flag_table",
    "metrics_table",
    "settings_table",
    "timings_table",
]

_FIRST = ("rmse", "wrmse", "mae", "wmae")
_NAMES = {"r2": "r²"}
_DIGITS = {"n": 0, "fit (s)": 2}


@dataclass(frozen=True)
class Heading:
    """Head of a column: its text, and whether the column holds numbers."""

    text: str
    number: bool = False


@dataclass(frozen=True)
class Cell:
    """What a cell shows, what it sorts by ('' = unknown, always last), whether it is the best, or a star."""

    text: str
    sort: str = ""
    best: bool = False
    star: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a caption; ``rows`` hold one cell a heading."""

    caption: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[Cell, ...], ...]


def number(value: object, digits: int = 4, *, best: bool = False) -> Cell:
    """A cell with a number; NaN and None become a dash."""
    value = math.nan if value is None or value is pd.NA else float(value)  # type: ignore[arg-type]
    if not math.isfinite(value):
        return Cell("–")
    text = f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")  # no -0.000
    return Cell(text, repr(value), best)


def text(value: object) -> Cell:
    """A cell with text."""
    return Cell("–") if value is None or value is pd.NA or value != value else Cell(str(value), str(value))


def metrics_table(metrics: pd.DataFrame, part: str, fit_seconds: Mapping[tuple[str, str], float]) -> Table:
    """Models in rows, best score first; the best value of each metric is marked.

    Parameters
    ----------
    metrics : DataFrame
        Columns model, representation, part, any of n, r2, wrmse, wmae, rmse, mae, bias, sd; other numeric
        columns follow behind, unmarked.
    part : {'score', 'tune', 'train'}
    fit_seconds : mapping of (model, representation)
        Mean time of one fit; a column of it stands at the end if there is any.
    """
    rows = metrics[metrics["part"] == part].sort_values("rmse", kind="stable", na_position="last")
    if fit_seconds:
        rows, keys = rows.copy(), zip(rows["model"].astype(str), rows["representation"].astype(str), strict=True)
        rows["fit (s)"] = np.array([fit_seconds.get(key, math.nan) for key in keys])
    others = [name for name in rows.columns if pd.api.types.is_numeric_dtype(rows[name]) and name not in METRICS]
    names = [name for name in dict.fromkeys((*_FIRST, *METRICS)) if name in rows.columns] + others
    best = {name: _best(rows[name], name) for name in names if name in METRICS and len(rows) > 1}
    cells = []
    for place, row in enumerate(rows.to_dict("records")):
        numbers = (number(row[name], _DIGITS.get(name, 4), best=best.get(name) == place) for name in names)
        cells.append((text(row["model"]), text(row["representation"]), *numbers))
    heads = (Heading(_NAMES.get(name, name.replace("_", " ")), number=True) for name in names)
    return Table(f"Scores on the {part} part", (Heading("model"), Heading("data"), *heads), tuple(cells))


def _best(column: pd.Series, name: str) -> int | None:
    """Position of the best value of a metric."""
    values = np.asarray(column, dtype=np.float64)
    if not np.isfinite(values).any():
        return None
    return int(np.nanargmax(values) if METRICS[name].best == "largest" else np.nanargmin(np.abs(values)))


def timings_table(timings: pd.DataFrame) -> Table:
    """Mean and total seconds of fitting and predicting, per model and representation."""
    heads = ("model", "data", "fits", "mean fit (s)", "all fits (s)", "mean prediction (s)")
    rows = []
    for (model, representation), runs in timings.groupby(["model", "representation"], sort=True):
        fit, predict = runs["fit_seconds"], runs["predict_seconds"]
        seconds = [number(fit.mean(), 2), number(fit.sum(), 1), number(predict.mean(), 3)]
        rows.append((text(model), text(representation), number(len(runs), 0), *seconds))
    return Table("Time spent", tuple(Heading(head, place > 1) for place, head in enumerate(heads)), tuple(rows))


def cut_flow_table(cut_flow: pd.DataFrame) -> Table:
    """How many stars each cut left."""
    rows = []
    for row in cut_flow.to_dict("records"):
        removed = row["n_before"] - row["n_after"]
        rows.append((text(row["cut"]), number(row["n_before"], 0), number(row["n_after"], 0), number(removed, 0)))
    heads = ("cut", "before", "after", "removed")
    return Table(
        "Cuts, in their order",
        tuple(Heading(head, place > 0) for place, head in enumerate(heads)),
        tuple(rows),
    )


def flag_table(flag: Sequence[int] | pd.Series) -> Table:
    """How many predictions carry each flag, and what it means."""
    values = np.asarray(flag, dtype=np.int64)
    counts = [(bit, int(np.count_nonzero(values & int(bit)))) for bit in flags.DESCRIPTIONS]
    rows = [
        (text(str(bit.name).lower()), number(int(bit), 0), number(count, 0), text(flags.DESCRIPTIONS[bit]))
        for bit, count in counts
        if count
    ]
    heads = (Heading("flag"), Heading("bit", True), Heading("stars", True), Heading("meaning"))
    return Table("Flags that were set", heads, tuple(rows))


def settings_table(caption: str, settings: Mapping[str, object]) -> Table:
    """A nested mapping as names and values; names of inner mappings are joined with dots."""
    rows = tuple((text(name), text(value)) for name, value in _flat(settings))
    return Table(caption, (Heading("name"), Heading("value")), rows)


def _flat(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            lines.append((f"{prefix}{name}", ", ".join(map(str, value))))
        else:
            lines.append((f"{prefix}{name}", str(value)))
    return lines
