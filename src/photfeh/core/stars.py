"""The second noun: the star table, a DataFrame with one row per source_id, and the meaning of its columns."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.errors import BadColumn, MissingColumn, PhotfehWarning
from photfeh.core.startypes import canonical_types

__all__ = ["ALIASES", "COLUMNS", "Column", "column_table", "to_numbers", "validate_stars"]


@dataclass(frozen=True)
class Column:
    """Name, unit, meaning and origin of one column."""

    unit: str
    meaning: str
    source: str


_GAIA = "Gaia DR3 vari_rrlyrae (Clementini+ 2023, A&A 674, A18)"
_HERE = "photfeh, weighted Fourier fit"
COLUMNS: dict[str, Column] = {
    "source_id": Column("", "unique identifier (int64)", "Gaia"),
    "period": Column("d", "pulsation period: fundamental mode for RRab, first overtone for RRc", "given or found"),
    "period_error": Column("d", "standard error of a period that was found", "given, or photfeh.signal.period"),
    "period_source": Column(
        "",
        "'given', 'refined', 'replaced', 'found', 'unchecked', 'search failed' or 'missing'",
        "photfeh.samples.periods",
    ),
    "type": Column("", "RRab, RRc or RRd; of other variables what is given", "given, or typed by period and shape"),
    "type_source": Column("", "'given' or 'light curve'", "photfeh"),
    "feh": Column("dex", "label: metallicity [Fe/H]", "given or published relation"),
    "feh_error": Column("dex", "standard error of feh", "given or propagated"),
    "feh_curve_error": Column("dex", "part of feh_error that comes from the curve", "propagated; relation labels only"),
    "fold": Column("", "cross-validation fold that the star belongs to (optional)", "given"),
    "pf": Column("d", "fundamental-mode period", _GAIA),
    "p1_o": Column("d", "first-overtone period", _GAIA),
    "best_classification": Column("", "RRab, RRc, RRd", _GAIA),
    "n_epochs": Column("", "epochs used in the fit", "photfeh"),
    "n_rejected": Column("", "clean epochs that the robust fit gave next to no weight", "photfeh"),
    "n_harmonics": Column("", "order of the Fourier series", _HERE),
    "zero_point": Column("mag", "constant term of the Fourier series", _HERE),
    "peak_to_peak": Column("mag", "maximum minus minimum of the fitted curve, in the band observed", _HERE),
    "max_phase": Column("cycle", "phase of maximum light where phi1 = 0 is phase 0", _HERE),
    "epoch_of_maximum": Column("d", "time (or phase) of maximum light on the fitted curve", _HERE),
    "scatter": Column("mag", "robust standard deviation of the residuals", _HERE),
    "snr": Column("", "signal to noise: peak_to_peak / scatter * sqrt(n_epochs)", _HERE),
    "max_gap": Column("cycle", "largest phase interval without an epoch", "photfeh"),
    "phase_coverage": Column("", "fraction of the cycle within 0.05 of an epoch", "photfeh"),
    **{f"a{k}": Column("mag", f"amplitude of harmonic {k}", _HERE) for k in (1, 2, 3)},
    **{f"a{k}_error": Column("mag", f"standard error of a{k}", _HERE) for k in (1, 2, 3)},
    **{f"r{k}1": Column("", f"a{k} / a1", _HERE) for k in (2, 3)},
    **{f"r{k}1_error": Column("", f"standard error of r{k}1", _HERE) for k in (2, 3)},
    **{f"phi{k}1": Column("rad", f"phi{k} - {k} phi1 in [0, 2 pi), cosine series", _HERE) for k in (2, 3)},
    **{f"phi{k}1_error": Column("rad", f"standard error of phi{k}1", _HERE) for k in (2, 3)},
    "flag": Column("", "bit mask, photfeh.core.flags.Flag", "photfeh"),
}
"""Every column that photfeh reads or writes in a star table. Others are carried along untouched."""

ALIASES: dict[str, tuple[str, ...]] = {
    "source_id": ("sourceid", "gaia_source_id", "dr3_source_id", "id", "star_id"),
    "period": ("p", "per", "period_d"),
    "type": ("best_classification", "rr_type", "subtype", "class"),
    "feh": ("[fe/h]", "fe_h", "feh_spec", "metallicity_label"),
    "feh_error": ("e_feh", "feh_err", "e_[fe/h]", "sigma_feh", "fe_h_error"),
}
"""Accepted other names, lower case. The canonical name wins where both are there."""


def validate_stars(table: pd.DataFrame, *, where: str = "the star table") -> pd.DataFrame:
    """Check a star table and bring it to canonical form; the input is not changed.

    Names are lower-cased and stripped, aliases renamed (:data:`ALIASES`), ``source_id`` made int64 and unique,
    numbers made float64. Without ``period``, Gaia's ``pf`` (RRab) and ``p1_o`` (RRc, RRd) are used. Periods that are
    missing or absurd stay as they are: such stars are flagged later, they do not stop the others.

    Raises
    ------
    MissingColumn
        if there is no ``source_id``.
    BadColumn
        if identifiers repeat or are not integers, or a numeric column holds no number at all.
    """
    stars = table.copy()
    stars.columns = [str(name).strip().lower() for name in stars.columns]
    for name, others in ALIASES.items():
        if name not in stars.columns:
            found = next((other for other in others if other in stars.columns), None)
            if found is not None:
                stars[name] = stars[found]
    if "source_id" not in stars.columns:
        raise MissingColumn("source_id", where, accepted=ALIASES["source_id"], found=stars.columns)
    stars["source_id"] = to_source_id(stars["source_id"], where)
    repeated = stars["source_id"].duplicated()
    if repeated.any():
        raise BadColumn(
            f"{where}: source_id {stars['source_id'][repeated].iloc[0]} occurs more than once "
            f"({int(repeated.sum())} repeated rows). Keep one row a star."
        )
    for name in ("period", "pf", "p1_o", "feh", "feh_error"):
        if name in stars.columns:
            stars[name] = to_numbers(stars[name], name, where, stars["source_id"])
    if "type" in stars.columns:
        stars["type"] = canonical_types(stars["type"], where)
    if "period" not in stars.columns and ("pf" in stars.columns or "p1_o" in stars.columns):
        stars["period"] = _gaia_period(stars)
    return stars.reset_index(drop=True)


def to_source_id(column: pd.Series, where: str) -> pd.Series:
    """Identifiers as int64 without loss.

    Raises
    ------
    BadColumn
        for missing values, text that is no integer, and floating-point numbers beyond 2**53.
    """
    if column.isna().any():
        raise BadColumn(f"{where}: source_id is missing in row {int(np.argmax(column.isna()))}. Fill or drop that row.")
    if pd.api.types.is_integer_dtype(column):
        return column.astype(np.int64)
    if pd.api.types.is_float_dtype(column):
        whole = (column == np.floor(column)) & (column.abs() < 2.0**53)
        if whole.all():
            return column.astype(np.int64)
        raise BadColumn(
            f"{where}: source_id holds floating-point numbers ({column[~whole].iloc[0]!r}), which cannot keep a Gaia "
            "source_id exact. Read or write that column as a 64-bit integer or as text."
        )
    text = column.astype(str).str.strip().str.replace(r"^gaia\s+dr\d\s+", "", case=False, regex=True)
    good = text.str.fullmatch(r"[+-]?\d{1,19}")
    if not good.all():
        raise BadColumn(f"{where}: source_id {column[~good].iloc[0]!r} is not an integer. Correct or drop that row.")
    return text.astype(np.int64)


def to_numbers(column: pd.Series, name: str, where: str, source_id: pd.Series | None = None) -> pd.Series:
    """A column as float64; text that is no number becomes NaN with a warning that names the star.

    Raises
    ------
    BadColumn
        if the column has entries but not one of them is a number.
    """
    if pd.api.types.is_numeric_dtype(column) and not isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan), index=column.index)
    text = column.astype("string").str.strip()
    empty = text.isna() | text.str.lower().isin(["", "nan", "null", "none", "--", "n/a", "na", "masked"]).fillna(True)
    numbers = pd.to_numeric(text.where(~empty), errors="coerce").astype(np.float64)
    bad = (numbers.isna() & ~empty).to_numpy(dtype=bool)
    if bad.any():
        row = int(np.argmax(bad))
        star = f", star {source_id.iloc[row]}" if source_id is not None else ""
        if bad.sum() == (~empty).sum():
            raise BadColumn(
                f"{where}: column {name!r} holds text ({column.iloc[row]!r}{star}), not numbers. Correct that column."
            )
        warnings.warn(
            f"{where}: column {name!r} holds text in {int(bad.sum())} rows, first {column.iloc[row]!r}{star}; "
            "taken as missing. Correct or empty those entries.",
            PhotfehWarning,
            stacklevel=3,
        )
    return pd.Series(np.asarray(numbers, dtype=np.float64), index=column.index)


def _gaia_period(stars: pd.DataFrame) -> pd.Series:
    """Fundamental period for RRab, first overtone for RRc; for RRd the first overtone, the stronger mode."""
    nothing = pd.Series(np.nan, index=stars.index)
    fundamental, overtone = stars.get("pf", nothing), stars.get("p1_o", nothing)
    kind: Any = stars["type"] if "type" in stars.columns else pd.Series(None, index=stars.index, dtype=object)
    first = kind.isin(["RRc", "RRd"])
    return overtone.where(first, fundamental).fillna(fundamental).fillna(overtone)


def column_table() -> pd.DataFrame:
    """The documented columns as a table (name, unit, meaning, source)."""
    return pd.DataFrame([{"name": name, **vars(column)} for name, column in COLUMNS.items()])
