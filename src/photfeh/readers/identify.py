"""Which star a file is, told by its name: only where no column says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from photfeh.core.errors import BadInput
from photfeh.core.identifiers import source_id_of
from photfeh.readers.compression import COMPRESSED_SUFFIXES

__all__ = ["refuse_one_number_for_two_names", "star_of_name"]

_GAIA = re.compile(r"(?:gaia[\s_-]*)?e?dr3[\s_-]+(\d{5,19})(?!\d)", re.IGNORECASE)
_OTHER_RELEASE = re.compile(r"(gaia[\s_-]*dr[12])[\s_-]+(\d{5,19})(?!\d)", re.IGNORECASE)
_LONG = re.compile(r"(?<!\d)\d{15,19}(?!\d)")
_COPY = re.compile(r"(\s*\(\d+\)|[\s_-]*[Cc]opy(?:[\s_-]*\d+)?|[\s_-]+(?:v|file|version)[\s_-]*\d+)+$")
"""What browsers and people append to the name of a second copy."""

_GENERIC = frozenset(
    (
        *("star", "stars", "source", "src", "object", "obj", "target", "field", "id", "sourceid", "starid", "number"),
        *("epoch", "epochs", "photometry", "epochphotometry", "phot", "lightcurve", "lightcurves", "light", "curve"),
        *("curves", "lc", "lcs", "timeseries", "series", "data", "table", "raw", "clean", "result", "results", "web"),
        *("download", "file", "part", "gaia", "dr", "edr", "rr", "rrl", "rrlyr", "rrlyrae", "rrab", "rrc", "rrd"),
        *("combined", "individual", "export", "output", "input", "sample", "sim", "mock", "band", "no", "nr", "num"),
        *("g", "bp", "rp", "and", "of", "the", "new", "old", "final", "test", "copy", "mag", "vari", "tess", "s"),
    )
)
"""Words that say nothing about which star it is; a number beside them is the identifier."""


def star_of_name(path: Path) -> int | str | None:
    """The star of a file without an identifier column.

    Returns
    -------
    int
        A Gaia source (``Gaia DR3 123``, any number of 15 to 19 digits); else the longest number beside words that
        could stand in any name (``star_12``, ``field_0123``).
    str
        A designation (``OGLE-BLG-RRLYR-00951``, ``V12``): the stem of the name, without the marks of a copy.
    None
        If the name holds no digit: it says nothing about a star.
    """
    stem = _stem(path)
    gaia, other, long = _GAIA.search(stem), _OTHER_RELEASE.search(stem), _LONG.findall(stem)
    if gaia:
        return _number_or(gaia[1], stem)
    if other:
        return f"{other[1]} {other[2]}"
    if len(set(long)) == 1:
        return _number_or(long[0], stem)
    bare = _COPY.sub("", stem) or stem
    numbers = re.findall(r"\d+", bare)
    if not numbers:
        numbers = re.findall(r"\d+", stem)  # "star (12)"
    if not numbers:
        return None
    words = [word for word in re.findall(r"[^\W\d_]+", bare) if len(word) > 1 or word.isupper() or len(numbers) == 1]
    if any(word.lower() not in _GENERIC for word in words):
        return bare.strip()
    return _number_or(max(reversed(numbers), key=len), bare)


def _number_or(digits: str, stem: str) -> int | str:
    """Beyond 63 bits the name itself is the identifier."""
    return int(digits) if int(digits) < 2**63 else stem


def _stem(path: Path) -> str:
    name = path.name
    if path.suffix.lower() in COMPRESSED_SUFFIXES:
        name = name[: -len(path.suffix)]
    # a suffix begins with a letter: "lc.00951" ends in a number, "lc_1.csv" in a suffix
    return re.sub(r"\.[A-Za-z][A-Za-z0-9]{0,8}$", "", name)


def refuse_one_number_for_two_names(stars: Mapping[str, int | str]) -> None:
    """Raise if files of different names would become one star.

    Parameters
    ----------
    stars : file name -> what :func:`star_of_name` made of it
        Only files whose star is told by the name.

    Raises
    ------
    BadInput
        names both files. A number of 15 digits or more is a Gaia source_id, and two files of it are welcome.
    """
    seen: dict[int, str] = {}
    for name, star in stars.items():
        number = source_id_of(star) if isinstance(star, str) else star
        other = seen.setdefault(number, name)
        if abs(number) >= 10**14 or _bare(other) == _bare(name):
            continue
        raise BadInput(
            f"{other} and {name} have no column of identifiers, and both names give star {star}. Add a column "
            "'source_id', or name each file by its star."
        )


def _bare(name: str) -> str:
    return _COPY.sub("", _stem(Path(name))).strip().lower()
