"""What stands in a table of predictions: unit, UCD, meaning and type of every column, for writers and docs alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from photfeh.core.errors import BadInput, MissingColumn
from photfeh.core.stars import COLUMNS, restore_names

__all__ = ["FULL_COLUMNS", "PREDICTION_COLUMNS", "OutputColumn", "column_lines", "full_columns", "kept", "kept_name"]


@dataclass(frozen=True)
class OutputColumn:
    """Unit, unified content descriptor (IVOA UCD1+), meaning and type of one column of an output."""

    unit: str
    ucd: str
    meaning: str
    dtype: Literal["int64", "float64", "text", "as given"]


PREDICTION_COLUMNS: dict[str, OutputColumn] = {
    "source_id": OutputColumn("", "meta.id;meta.main", "identifier as given: int64, or text for names", "int64"),
    "feh": OutputColumn(
        "dex", "phys.abund.Fe", "[Fe/H] on the scale named by scale; NaN where flag says why", "float64"
    ),
    "feh_error": OutputColumn(
        "dex", "stat.error;phys.abund.Fe", "total standard error of feh on that scale", "float64"
    ),
    "feh_lower": OutputColumn("dex", "phys.abund.Fe;stat.min", "lower end of the 90 % interval", "float64"),
    "feh_upper": OutputColumn("dex", "phys.abund.Fe;stat.max", "upper end of the 90 % interval", "float64"),
    "flag": OutputColumn("", "meta.code.qual", "bit mask: what is special, or why there is no [Fe/H]", "int64"),
    "period": OutputColumn("d", "time.period", "period used: given, or found where flag says so", "float64"),
    "n_epochs": OutputColumn("", "meta.number;obs", "epochs used", "int64"),
    "model": OutputColumn("", "meta.id;meta.modelled", "name of the model that made the prediction", "text"),
    "scale": OutputColumn("", "meta.id;phys.abund.Fe", "scale of feh, and of its errors; docs/predictions.md", "text"),
    "feh_curve_error": OutputColumn(
        "dex", "stat.error;phys.abund.Fe", "standard error by the light curve and its model alone", "float64"
    ),
    "feh_curve_error_90": OutputColumn(
        "dex", "stat.error;phys.abund.Fe", "half the 90 % interval by the light curve and its model alone", "float64"
    ),
}
"""Every table of predictions has these, in this order."""


def _measured(name: str, ucd: str, dtype: Literal["int64", "float64", "text"] = "float64") -> OutputColumn:
    return OutputColumn(COLUMNS[name].unit, ucd, COLUMNS[name].meaning, dtype)


_AMPLITUDE, _SHAPE = "stat.fourier;src.var.amplitude", "stat.fourier"
FULL_COLUMNS: dict[str, OutputColumn] = {
    "period_error": _measured("period_error", "stat.error;time.period"),
    "period_source": _measured("period_source", "meta.note", "text"),
    "type": _measured("type", "src.class", "text"),
    "type_source": _measured("type_source", "meta.note", "text"),
    "epoch_of_maximum": _measured("epoch_of_maximum", "time.epoch"),
    "peak_to_peak": _measured("peak_to_peak", "src.var.amplitude"),
    "zero_point": _measured("zero_point", "phot.mag;stat.mean"),
    **{f"a{k}": _measured(f"a{k}", _AMPLITUDE) for k in (1, 2, 3)},
    **{f"a{k}_error": _measured(f"a{k}_error", "stat.error;" + _AMPLITUDE) for k in (1, 2, 3)},
    **{name: _measured(name, _SHAPE) for name in ("r21", "r31", "phi21", "phi31")},
    **{f"{name}_error": _measured(f"{name}_error", "stat.error") for name in ("r21", "r31", "phi21", "phi31")},
    "scatter": _measured("scatter", "stat.stdev;phot.mag"),
    "snr": _measured("snr", "stat.snr"),
    "n_rejected": _measured("n_rejected", "meta.number", "int64"),
    "n_harmonics": _measured("n_harmonics", "meta.number", "int64"),
    "max_gap": _measured("max_gap", "time.interval"),
    "phase_coverage": _measured("phase_coverage", "stat.value"),
}
"""What else was measured, behind :data:`PREDICTION_COLUMNS` on request (``full=True``, ``--full``)."""


def full_columns(measured: pd.DataFrame) -> pd.DataFrame:
    """:data:`FULL_COLUMNS` of a measured star table, row by row; what was not measured is NaN or empty."""
    columns: dict[str, Any] = {}
    for name, column in FULL_COLUMNS.items():
        if column.dtype == "text":
            columns[name] = measured[name].astype(object).where(measured[name].notna(), "").astype(str)
        elif name in measured.columns:
            columns[name] = measured[name].to_numpy(np.dtype(column.dtype))
        else:
            columns[name] = np.full(len(measured), np.nan)
    return pd.DataFrame(columns, index=measured.index)


def kept_name(name: str) -> str:
    """The name that a column of the star table gets in the output: ``feh_given`` beside the ``feh`` predicted."""
    return f"{name}_given" if name in PREDICTION_COLUMNS or name in FULL_COLUMNS else name


def kept(stars: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Columns of a star table that are to be carried along, as they are, under their names in the output.

    Parameters
    ----------
    stars : DataFrame
        As :func:`photfeh.core.stars.validate_stars` returns it (names in lower case).
    names : iterable of str
        Upper or lower case.

    Raises
    ------
    MissingColumn
        if the table has no such column.
    BadInput
        if two would get one name.
    """
    columns: dict[str, pd.Series] = {}
    for name in dict.fromkeys(str(name).strip().lower() for name in names):
        if name not in stars.columns:
            raise MissingColumn(name, "the star table, of which it was to be kept,", found=stars.columns)
        if kept_name(name) in columns:
            raise BadInput(f"two columns to keep would both be called {kept_name(name)!r}. Keep one of them.")
        values = restore_names(stars, stars)[name] if name == "source_id" else stars[name]
        columns[kept_name(name)] = values
    return pd.DataFrame(columns, index=stars.index)


def column_lines() -> list[str]:
    """The table of the documentation, Markdown, line by line."""
    lines = ["| column | unit | type | UCD | meaning |", "|---|---|---|---|---|"]
    for title, columns in (("", PREDICTION_COLUMNS), ("with `--full`", FULL_COLUMNS)):
        if title:
            lines.append(f"| *{title}* | | | | |")
        for name, column in columns.items():
            lines.append(f"| `{name}` | {column.unit} | {column.dtype} | `{column.ucd}` | {column.meaning} |")
    return lines
