"""The second noun: the star table, a DataFrame with one row per source_id, and the meaning of its columns."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.errors import BadColumn, MissingColumn, PhotfehWarning
from photfeh.core.identifiers import IDENTIFIERS, identifier_columns, names_of, to_source_id
from photfeh.core.startypes import canonical_types
from photfeh.core.types import BoolArray, FloatArray

__all__ = [
    "ALIASES",
    "COLUMNS",
    "FREQUENCIES",
    "LABEL_RANGE",
    "Column",
    "column_table",
    "is_place_holder",
    "restore_names",
    "to_numbers",
    "to_source_id",
    "validate_stars",
]


@dataclass(frozen=True)
class Column:
    """Name, unit, meaning and origin of one column."""

    unit: str
    meaning: str
    source: str


_GAIA = "Gaia DR3 vari_rrlyrae (Clementini+ 2023, A&A 674, A18)"
_HERE = "photfeh, weighted Fourier fit"
COLUMNS: dict[str, Column] = {
    "source_id": Column("", "unique identifier (int64); negative where the star was given by a name", "Gaia or given"),
    "name": Column("", "identifier as given, where identifiers are text", "given"),
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
    "only_train": Column("", "true: teaches in every fold and is never scored (optional)", "given"),
    "pf": Column("d", "fundamental-mode period", _GAIA),
    "p1_o": Column("d", "first-overtone period", _GAIA),
    "peak_to_peak_g": Column("mag", "peak-to-peak amplitude in G", _GAIA),
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
    "source_id": (*IDENTIFIERS[1:], "id"),
    "period": ("p", "per", "period_d", "period_days", "pulsation_period", "puls_per", "per_d"),
    "period_error": ("e_period", "period_err", "e_per", "sigma_period"),
    "pf": ("per_f", "p_f"),
    "pf_error": ("e_pf",),
    "p1_o": ("p1o",),
    "p1_o_error": ("e_p1o", "p1o_error"),
    "type": ("best_classification", "rr_type", "subtype", "class"),
    "feh": ("[fe/h]", "fe_h", "fe/h", "feh_spec", "metallicity_label"),
    "feh_error": ("e_feh", "feh_err", "e_[fe/h]", "e_fe/h", "sigma_feh", "fe_h_error", "feh_spec_error"),
}
"""Accepted other names, lower case. The canonical name wins where both are there."""

FREQUENCIES = ("frequency", "freq", "freq1", "frequency1", "f0", "f1", "nu", "nu1")
"""Names under which a table may give a frequency instead of a period: refused by name where there is no period."""

LABEL_RANGE = (-4.0, 1.0)
"""[Fe/H] beyond these bounds [dex] is no measurement of an RR Lyrae star."""

_PERIODS = ("period", "pf", "p1_o")
_ERRORS = ("period_error", "pf_error", "p1_o_error", "feh_error")


def validate_stars(table: pd.DataFrame, *, where: str = "the star table") -> pd.DataFrame:
    """Check a star table and bring it to canonical form; the input is not changed.

    Names are lower-cased and stripped, aliases renamed (:data:`ALIASES`), ``source_id`` made int64 and unique (names
    of stars become negative numbers and stay as given in the column ``name``), numbers made float64. Place-holders
    (-99.99, 999, 0, ...) in periods, labels and errors are missing values. Without ``period``, Gaia's ``pf`` (RRab)
    and ``p1_o`` (RRc, RRd) are used. Periods that are missing or absurd stay as they are: such stars are flagged
    later, they do not stop the others.

    Raises
    ------
    MissingColumn
        if there is no identifier, or a frequency instead of a period.
    BadColumn
        if identifiers repeat in rows that differ, or a numeric column holds no number at all.

    Warns
    -----
    PhotfehWarning
        with the number of rows without identifier, of repeated rows, of place-holders and of labels outside
        [-4, 1].
    """
    stars = table.copy()
    stars.columns = [str(name).strip().lower() for name in stars.columns]
    stars = _identified(stars, where)
    for name, others in ALIASES.items():
        if name not in stars.columns:
            found = next((other for other in others if other in stars.columns), None)
            if found is not None:
                stars[name] = stars[found]
    stars = _one_row_a_star(stars, where)
    _refuse_frequencies(list(stars.columns), where)
    for name in (*_PERIODS, "feh", *_ERRORS):
        if name in stars.columns:
            numbers = to_numbers(stars[name], name, where, stars["source_id"])
            stars[name] = _without_place_holders(numbers, name, where)
    if "type" in stars.columns:
        stars["type"] = canonical_types(stars["type"], where)
    if "period" not in stars.columns and ("pf" in stars.columns or "p1_o" in stars.columns):
        stars["period"] = _gaia_period(stars)
    return stars.reset_index(drop=True)


def restore_names(table: pd.DataFrame, stars: pd.DataFrame) -> pd.DataFrame:
    """Identifiers as they were given, in the column ``source_id`` of an output.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows with the int64 ``source_id`` of the star table; others than the stars' are allowed.
    stars : pandas.DataFrame
        As :func:`validate_stars` made it.

    Returns
    -------
    pandas.DataFrame
        ``table`` itself where all stars were given by numbers; else a copy in which ``source_id`` is text: the name
        as given, or the number in digits. Read again, these names give the same numbers.
    """
    if "name" not in stars.columns or not (stars["source_id"] < 0).any():
        return table
    given = stars["name"].where(stars["name"].notna(), stars["source_id"].astype(str))
    names = dict(zip(stars["source_id"], given, strict=True))
    restored = table.copy()
    restored["source_id"] = [names.get(number, str(number)) for number in table["source_id"]]
    return restored


# ---------------------------------------------------------------------- rows and identifiers
def _identified(stars: pd.DataFrame, where: str) -> pd.DataFrame:
    """The rows that have an identifier, with ``source_id`` and, where identifiers are text, ``name``."""
    known = identifier_columns(list(stars.columns))
    if not known:
        raise MissingColumn("source_id", where, accepted=ALIASES["source_id"], found=stars.columns)
    given = stars[known[0]]
    text = given if pd.api.types.is_numeric_dtype(given) else given.astype("string").str.strip()
    missing = (text.isna() | (text == "")).to_numpy(dtype=bool, na_value=True) if len(given) else np.zeros(0, bool)
    if missing.any():
        if missing.all():
            raise BadColumn(f"{where}: column {known[0]!r} is empty. Fill in the identifiers.")
        _warn(where, f"{int(missing.sum())} of {len(stars)} rows have no identifier ({known[0]!r}) and are left out")
        stars, given = stars[~missing].copy(), given[~missing]
        if pd.api.types.is_extension_array_dtype(given.dtype) and pd.api.types.is_integer_dtype(given.dtype):
            given = given.astype(object)
    ids = to_source_id(given, where)
    if (ids < 0).any():
        names = names_of(given)
        stars["name"] = names.where(names.notna(), ids.astype(str))
    stars["source_id"] = ids
    return stars


def _one_row_a_star(stars: pd.DataFrame, where: str) -> pd.DataFrame:
    repeated = stars["source_id"].duplicated()
    if not repeated.any():
        return stars
    again = stars["source_id"].duplicated(keep=False)
    same = stars[again].astype("string").fillna("").drop_duplicates()
    star = stars["source_id"][repeated].iloc[0]
    name = stars["name"][repeated].iloc[0] if "name" in stars.columns else star
    if len(same) > stars["source_id"][again].nunique():
        raise BadColumn(
            f"{where}: source_id {name} occurs more than once "
            f"({int(repeated.sum())} repeated rows). Keep one row a star."
        )
    _warn(where, f"{int(repeated.sum())} rows repeat others, first of star {name}, and are taken once")
    return stars[~repeated]


def _warn(where: str, text: str) -> None:
    warnings.warn(f"{where}: {text}. Correct those rows to avoid this message.", PhotfehWarning, stacklevel=4)


# ---------------------------------------------------------------------- numbers
def is_place_holder(values: FloatArray) -> BoolArray:
    """Where numbers are written for "nothing": 99.99, -99, 999.999, -9999 and their like, of either sign."""
    size = np.abs(values)
    with np.errstate(invalid="ignore"):
        digits = np.where(np.isfinite(size) & (size >= 99) & (size < 1e6), size, 0.0)
        found = np.zeros(values.shape, bool)
        for whole in (99, 999, 9999, 99999, 999999):
            for decimals in range(5):
                found |= np.abs(digits - (whole + 1 - 10.0**-decimals if decimals else whole)) < 1e-9
    return found


def _without_place_holders(column: pd.Series, name: str, where: str) -> pd.Series:
    values = column.to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore"):
        missing = is_place_holder(values) | np.isinf(values)
        if name != "feh":
            missing |= values <= 0
    if missing.any():
        first = values[int(np.argmax(missing))]
        _warn(
            where,
            f"{int(missing.sum())} of {len(values)} entries of {name!r} are no possible values (first {first:g}) "
            "and count as missing",
        )
    outside = np.zeros(len(values), bool)
    if name == "feh":
        with np.errstate(invalid="ignore"):
            outside = ~missing & ((values < LABEL_RANGE[0]) | (values > LABEL_RANGE[1]))
    if outside.any():
        first = values[int(np.argmax(outside))]
        low, high = LABEL_RANGE
        _warn(
            where,
            f"{int(outside.sum())} of {len(values)} labels 'feh' are outside [{low:g}, {high:g}] (first {first:g}) "
            "and are dropped",
        )
    return column.where(~(missing | outside))


def _refuse_frequencies(names: list[str], where: str) -> None:
    if any(name in names for name in _PERIODS):
        return
    frequency = next((name for name in FREQUENCIES if name in names), None)
    if frequency is not None:
        raise MissingColumn(
            "period", f"{where} gives a frequency ({frequency!r}; period = 1 / frequency) and", found=names
        )


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
