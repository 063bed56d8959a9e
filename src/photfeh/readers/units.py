"""Units that files and tables declare: columns brought to the one unit of their role, or refused by name."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Any

from photfeh.core.errors import BadColumn
from photfeh.core.types import FloatArray

__all__ = ["converted", "split_time_unit"]

_WORDS = {
    **dict.fromkeys(("d", "day", "days", "jd", "mjd", "bjd", "hjd", "rjd", "tjd", "julian day", "julian date"), "d"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("minute", "minutes", "mins"), "min"),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("mag", "mags", "magnitude", "magnitudes"), "mag"),
    **dict.fromkeys(("millimag", "mmags", "millimags"), "mmag"),
    **dict.fromkeys(("e/s", "e-/s", "e s-1", "e-.s-1", "e-.s**-1", "e- s-1", "electrons/s", "e.s**-1"), "electron/s"),
    **dict.fromkeys(("c/d", "cycle/d", "cycles/d", "cycle/day", "cycles/day", "1/day"), "1/d"),
    **dict.fromkeys(("", "-", "--", "---", "none", "null", "unitless", "dimensionless"), ""),
}
"""What files write and astropy does not read, or reads as something else (``e``, ``c``, ``D``); lower case."""

_FORMATS = (None, "vounit", "cds")
"""astropy's readers of unit texts, in the order in which they are tried."""

_COUNTED_FROM = re.compile(
    r"\s*([BHR]?JD|MJD)\s*-\s*(\d+(?:\.\d*)?)\s*(?:[,;(\[]?\s*(d|days?)\s*[)\]]?)?\s*", re.IGNORECASE
)


def converted(values: FloatArray, unit: str | None, target: str, *, column: str, where: str) -> FloatArray:
    """Numbers in ``unit`` as numbers in ``target``.

    Parameters
    ----------
    values : float64 array of any shape
    unit : str or None
        As the file or table declares it; None or empty: no unit is declared, the numbers stay.
    target : str
        What the role of the column asks for: ``"d"``, ``"mag"``, ``"electron/s"``, ``"nJy"``, ...
    column, where : str
        Names for the message.

    Raises
    ------
    BadColumn
        if the text is no unit, or a unit of something else; frequencies given as periods are named as such.
    """
    if not (unit or "").strip() or unit == target:
        return values  # without a look at astropy, which takes half a second to load
    known = _parsed(str(unit))
    if known is None:
        raise BadColumn(
            f"{where}: column {column!r} declares the unit {unit!r}, which is not understood. "
            f"Correct it; {target!r} is expected, or a unit that can be converted."
        )
    if known == "" or known == (goal := _parsed(target)):
        return values
    factor = _factor(known, goal)
    if factor is None:
        frequency = not hasattr(known, "function_unit") and _factor(known**-1, goal) is not None
        what = f"a frequency ({unit})" if frequency else f"in {unit}"
        raise BadColumn(
            f"{where}: column {column!r} is {what}, which cannot be converted to {target}. "
            "Convert it yourself, or correct the unit."
        )
    if hasattr(known, "function_unit"):  # logarithms, such as dex(d)
        return values * factor if target == "mag" else known.to(goal, values)
    inverse = _factor(goal, known)
    return values * factor if factor > 1 or inverse is None else values / inverse  # mmag / 1000: the nearest number


@lru_cache(maxsize=4096)
def split_time_unit(unit: str | None) -> tuple[str | None, float | None]:
    """``"BJD - 2457000, days"`` (TESS, Kepler) -> ("d", 2457000.0): the unit, and the Julian date counted from.

    The second is None where the text names none.
    """
    match = _COUNTED_FROM.fullmatch(unit or "")
    if match is None:
        return unit, None
    return "d", float(match[2]) + (2_400_000.5 if match[1].upper() == "MJD" else 0.0)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """The astropy unit; "" where the text says that there is none; None where it is no unit."""
    from astropy import units

    text = text.replace("'", "").strip()  # VOTables quote units of their own: 'electron'.s**-1
    text = _WORDS.get(text.lower(), text)
    if not text:
        return ""
    for style in _FORMATS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", units.UnitsWarning)  # deprecated spellings are understood all the same
            try:
                return units.Unit(text, format=style)
            except ValueError:
                continue
    return None


def _factor(unit: Any, target: Any) -> float | None:
    """Number of ``target`` in one ``unit``; None where one is not the other, or counts the other way (dex, mag)."""
    from astropy import units

    logarithm = getattr(unit, "function_unit", None)
    if logarithm is not None and target == units.mag:
        unit = logarithm  # mag(AB) is a magnitude, whatever of
    try:
        factor = float(unit.to(target, 1.0))
    except units.UnitConversionError:
        return None
    return factor if factor > 0 else None
