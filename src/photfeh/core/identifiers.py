"""Whose point, whose row is it? Identifiers of stars as exact 64-bit integers, whatever they look like in a table."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import pandas as pd

from photfeh.core.errors import BadColumn
from photfeh.core.types import IntArray

__all__ = ["IDENTIFIERS", "identifier_columns", "names_of", "source_id_of", "to_source_id"]

IDENTIFIERS: tuple[str, ...] = (
    *("source_id", "gaia_source_id", "dr3_source_id", "gaia_dr3_source_id", "edr3_source_id", "sourceid", "source"),
    *("gaia_dr3", "gaia_edr3", "gaiadr3", "gaiaedr3", "dr3name", "edr3name", "gaia_id", "gaiaid", "gaia"),
    *("star_id", "starid", "object_id", "objectid", "objid", "obj_id", "diaobjectid", "dia_object_id", "oid"),
    *("masterid", "master_id", "asas_sn_id", "asassn_id", "ogle_id", "ogleid", "ztf_id", "tic_id", "ticid", "tic"),
    *("kepid", "kic", "epic_id", "epic", "target_id", "targetid", "ssdrpid", "dr2_source_id", "dr2name", "gaia_dr2"),
    *("designation", "main_id", "asassn_name", "asas_sn_name", "name", "star_name", "starname", "star"),
    *("object_name", "objname", "object", "target_name", "targetname", "target", "variable", "ogle", "vsx", "gcvs"),
)
"""Names of identifier columns, lower case, the most specific first. Others that look like one come after them."""

_LOOKS_LIKE_ONE = re.compile(
    r"(?P<what>.*[_\s-])?(id|name|designation|identifier)|(?P<kind>.*(star|object|obj|source|src|target|master|catalog))id"
)
_OF_SOMETHING_ELSE = frozenset(
    (
        *(
            "transit",
            "solution",
            "obs",
            "observation",
            "exp",
            "exposure",
            "visit",
            "detection",
            "det",
            "epoch",
            "frame",
        ),
        *(
            "image",
            "img",
            "ccd",
            "chip",
            "detector",
            "quadrant",
            "field",
            "filter",
            "band",
            "passband",
            "survey",
            "fov",
        ),
        *("camera", "cam", "program", "process", "run", "night", "point", "measurement", "meas", "orbit", "sector"),
        *("telescope", "instrument", "site", "observer", "catalog", "catalogue", "file", "dia", "diasource", "cand"),
        *("candidate", "ref", "tract", "patch", "host", "author", "user", "table", "row", "record", "unit", "flag"),
        *("alert", "forcedsource", "parent", "product", "file_name", "release", "dataset", "class", "type", "column"),
    )
)
"""Things that have identifiers and names of their own and are not stars; each may differ from point to point."""

_GAIA = re.compile(r"(?:gaia[\s_]*)?e?dr3[\s_]+(\d{1,19})", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?\d+")
_WHOLE_FLOAT = re.compile(r"([+-]?\d{1,15})\.0*")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


# ---------------------------------------------------------------------- which column
def identifier_columns(names: Collection[str]) -> list[str]:
    """Those of the (lower-case) names that look like an identifier of stars, the most specific first.

    First the known ones (:data:`IDENTIFIERS`), then what ends in id, name or designation and is not of a thing that
    is no star (``transit_id``, ``filter_id``), and plain ``id`` last.
    """
    known = [name for name in IDENTIFIERS if name in names]
    others = [name for name in names if name not in IDENTIFIERS and name != "id" and _looks_like_one(name)]
    return [*known, *others, *(["id"] if "id" in names else [])]


@lru_cache(maxsize=4096)
def _looks_like_one(name: str) -> bool:
    match = _LOOKS_LIKE_ONE.fullmatch(name)
    if match is None:
        return False
    words = re.split(r"[_\s-]+", (match["what"] or match["kind"] or "").strip("_ -"))
    return not any(word in _OF_SOMETHING_ELSE for word in words)


# ---------------------------------------------------------------------- to integers
def to_source_id(column: pd.Series, where: str) -> pd.Series:
    """Identifiers as int64, exact.

    Integers stay, as numbers or as text; "Gaia DR3 123" and "Gaia EDR3 123" are 123. Any other text ("V1",
    "OGLE-BLG-RRLYR-00951", "Gaia DR2 123", an integer beyond 63 bits) becomes a negative number made from the text
    alone (:func:`source_id_of`), the same in every table and session.

    Raises
    ------
    BadColumn
        for missing values; floating-point numbers that cannot hold every integer of their size (float64 from 2**53,
        float32 from 2**24, also written as text: 4.1e18); and two texts with one number.
    """
    missing = column.isna()
    if missing.any():
        raise BadColumn(f"{where}: source_id is missing in row {int(np.argmax(missing))}. Fill or drop that row.")
    if pd.api.types.is_bool_dtype(column):
        raise BadColumn(f"{where}: source_id holds true and false, no identifiers. Name the column that does.")
    if pd.api.types.is_integer_dtype(column):
        if len(column) == 0 or int(column.max()) < 2**63:
            return column.astype(np.int64)
    elif pd.api.types.is_float_dtype(column):
        return _from_floats(column, where)
    given = column.astype(object)
    codes, texts = pd.factorize(pd.Series([_plain(entry) for entry in given], index=column.index, dtype=object))
    ids = np.fromiter((_exact(text, where) for text in texts), np.int64, len(texts))
    _refuse_collisions(ids, list(texts), where)
    return pd.Series(ids[codes], index=column.index, name=column.name)


def names_of(column: pd.Series) -> pd.Series:
    """The identifiers as they were given, as text without blanks around it; None where plain integers were given."""
    if not (column.dtype == object or isinstance(column.dtype, (pd.StringDtype, pd.CategoricalDtype))):
        return pd.Series([None] * len(column), index=column.index, dtype=object)
    texts = [None if pd.isna(entry) else _text(entry).strip() for entry in column.astype(object)]
    plain = [text is None or bool(_INTEGER.fullmatch(text)) for text in texts]
    return pd.Series(
        [None if number else text for text, number in zip(texts, plain, strict=True)], index=column.index, dtype=object
    )


def source_id_of(text: str) -> int:
    """The identifier of a star by its name: the number of a Gaia DR3 source or any integer as it is, else a hash.

    The hash is ``-1 - h`` with the first 62 bits ``h`` of BLAKE2b of the text (white space inside counts as one
    blank): negative, so that it never equals a Gaia source_id, and the same everywhere.
    """
    plain = _plain(text)
    match = _GAIA.fullmatch(plain)
    digits = match[1] if match else plain if _INTEGER.fullmatch(plain) else None
    if digits is not None and -(2**63) <= int(digits) < 2**63:
        return int(digits)
    return -1 - (int.from_bytes(blake2b(plain.encode(), digest_size=8).digest(), "big") >> 2)


def _exact(text: str, where: str) -> int:
    if not text:
        raise BadColumn(f"{where}: source_id is blank in some rows. Fill or drop those rows.")
    if _FLOAT.fullmatch(text) and not _INTEGER.fullmatch(text):
        whole = _WHOLE_FLOAT.fullmatch(text)
        if whole is None:
            raise BadColumn(
                f"{where}: source_id {text!r} was written as a floating-point number, which cannot keep a Gaia "
                "source_id exact. Write that column as a 64-bit integer or as text."
            )
        return int(whole[1])
    return source_id_of(text)


def _from_floats(column: pd.Series, where: str) -> pd.Series:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    bits = {"float16": 11, "float32": 24}.get(str(column.dtype).lower(), 53)
    bad = ~((values == np.floor(values)) & (np.abs(values) < 2.0**bits))
    if bad.any():
        raise BadColumn(
            f"{where}: source_id holds floating-point numbers ({values[bad][0]!r}), which cannot keep a Gaia "
            "source_id exact. Read or write that column as a 64-bit integer or as text."
        )
    return pd.Series(values.astype(np.int64), index=column.index, name=column.name)


def _refuse_collisions(ids: IntArray, texts: list[str], where: str) -> None:
    """Raise if two names share a negative number (00951 and 951 are one integer, and meant to be)."""
    order = np.argsort(ids, kind="stable")
    pairs = np.flatnonzero((np.diff(ids[order]) == 0) & (ids[order][1:] < 0))
    for place in pairs:
        one, other = texts[order[place]], texts[order[place + 1]]
        if not (_INTEGER.fullmatch(one) and _INTEGER.fullmatch(other)):
            raise BadColumn(f"{where}: the names {one!r} and {other!r} get the same number. Rename one of these stars.")


def _plain(entry: object) -> str:
    return " ".join(_text(entry).split())


def _text(entry: object) -> str:
    return entry.decode(errors="replace") if isinstance(entry, bytes) else str(entry)
