"""Quality columns of the surveys: which points are known to be good, and which columns only look like it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photfeh.core.types import BoolArray
from photfeh.readers.numbers import is_text, plain

__all__ = ["QUALITY", "QualityColumn", "good_points", "known_false", "quality_columns", "says_nothing"]


# ---------------------------------------------------------------------- what good means
def known_false(column: pa.ChunkedArray) -> BoolArray:
    """Where a flag is known to be false: bool, 0 or 1, or text (false, f, 0, no); missing is not known."""
    column = plain(column)
    if pa.types.is_boolean(column.type):
        false = pc.invert(column)
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        false = pc.equal(column, 0)
    elif is_text(column.type):
        text = pc.utf8_lower(pc.utf8_trim_whitespace(column))
        false = pc.is_in(text, value_set=pa.array(["false", "f", "0", "0.0", "no", "n"], column.type))
    else:
        return np.zeros(len(column), bool)
    return np.asarray(pc.fill_null(false, False).to_numpy(), bool)


def bits_unset(column: pa.ChunkedArray, *, mask: int) -> BoolArray:
    """Where none of these bits is set; missing, negative or broken numbers are not known."""
    numbers = pd.to_numeric(plain(column).to_pandas(), errors="coerce")
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    whole = (values >= 0) & (values < 2.0**53) & (values == np.floor(values))
    return np.asarray(whole & ((np.where(whole, values, 0).astype(np.int64) & mask) == 0), bool)


def one_of(column: pa.ChunkedArray, *, letters: str) -> BoolArray:
    """Where the text, upper or lower case, is one of these letters; missing is not known."""
    column = plain(column)
    if not is_text(column.type):
        return known_false(column)
    text = pc.utf8_upper(pc.utf8_trim_whitespace(column))
    good = pc.is_in(text, value_set=pa.array(list(letters), column.type))
    return np.asarray(pc.fill_null(good, False).to_numpy(), bool)


# ---------------------------------------------------------------------- the table
@dataclass(frozen=True)
class QualityColumn:
    """A quality column that is understood: its (lower-case) name as a pattern, whose it is, and what good means."""

    pattern: str
    survey: str
    meaning: str
    good: Callable[[pa.ChunkedArray], BoolArray]


QUALITY: tuple[QualityColumn, ...] = (
    QualityColumn("rejected_by_.*", "Gaia", "false", known_false),
    QualityColumn(
        "catflags", "ZTF (Masci+ 2019, PASP 131, 018003)", "bit 32768 not set", partial(bits_unset, mask=32768)
    ),
    QualityColumn("(sap_|pdcsap_)?quality", "TESS, Kepler; ASAS-SN", "0, or G", partial(one_of, letters="G")),
    QualityColumn("grade", "ASAS (Pojmanski 2002, AcA 52, 397)", "A or B", partial(one_of, letters="AB")),
    QualityColumn("psf(mag|flux)?_flag", "Rubin", "false", known_false),
    QualityColumn("pixelflags_.*|invalidpsfflag", "Rubin", "false", known_false),
    QualityColumn("flags", "SExtractor and what is built on it", "0", known_false),
)
"""Every quality column that is obeyed. A new one is one line."""

_KNOWN_NOT_OBEYED = re.compile(
    # Gaia: set by the variability itself, or of the other bands; Rubin: of the difference image
    r"photometry_flag_.*|variability_flag_.*|(g_|bp_|rp_)?other_flags|psfdiffflux_flag.*|diff_pixelflags_.*|.*flux_flag_.*"
)
_LOOKS_LIKE_ONE = re.compile(
    r".*(flag|quality|reject|infobits|errbits|badpix|saturat|blend).*|(.*_)?(qual|q|grade|class_?flag|bad|good|mask|clean)|use"
)


def quality_columns(names: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Quality columns that are obeyed, and those that look like one and are not known."""
    return tuple(filter(_rule, names)), tuple(filter(_only_looks_like_one, names))


def good_points(column: pa.ChunkedArray, name: str) -> BoolArray:
    """Where a quality column (:data:`QUALITY`; any other is a flag) says that the point is good, shape (M,)."""
    rule = _rule(name)
    return known_false(column) if rule is None else rule.good(column)


def says_nothing(column: pa.ChunkedArray) -> bool:
    """Whether every entry is false, zero or missing: then it does not matter what the column means."""
    return bool(np.all(known_false(column) | np.asarray(column.is_null().to_numpy(), bool)))


@lru_cache(maxsize=4096)
def _only_looks_like_one(name: str) -> bool:
    known = _rule(name) is not None or _KNOWN_NOT_OBEYED.fullmatch(name)
    return not known and _LOOKS_LIKE_ONE.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _rule(name: str) -> QualityColumn | None:
    return next((rule for rule in QUALITY if re.fullmatch(rule.pattern, name)), None)


def is_expected(name: str) -> bool:
    """Whether points are left out by this column as a matter of course, so that they need not be counted (Gaia's)."""
    rule = _rule(name)
    return bool(_KNOWN_NOT_OBEYED.fullmatch(name)) or (rule is not None and rule.survey == "Gaia")
