"""Units as files write them, brought to one unit a role; what is no such unit is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from photfeh.core.errors import BadColumn
from photfeh.readers.units import converted, split_time_unit


@pytest.mark.parametrize(
    ("unit", "target", "factor"),
    [
        (None, "d", 1),
        ("", "mag", 1),
        ("---", "mag", 1),
        ("d", "d", 1),
        ("Days", "d", 1),
        ("D", "d", 1),
        ("BJD", "d", 1),
        ("h", "d", 1 / 24),
        ("hours", "d", 1 / 24),
        ("min", "d", 1 / 1440),
        ("s", "d", 1 / 86400),
        ("ms", "d", 1 / 86400e3),
        ("yr", "d", 365.25),
        ("mag", "mag", 1),
        ("mag(AB)", "mag", 1),
        ("mmag", "mag", 1e-3),
        ("0.001mag", "mag", 1e-3),
        ("mJy", "Jy", 1e-3),
        ("mJy", "nJy", 1e6),
        ("uJy", "nJy", 1e3),
        ("1e-9 Jy", "nJy", 1),
        ("erg/s/cm2/Hz", "Jy", 1e23),
        ("'electron'.s**-1", "electron/s", 1),
        ("e-/s", "electron/s", 1),
        ("e/s", "electron/s", 1),
        ("electron / min", "electron/s", 1 / 60),
    ],
)
def test_units_are_converted(unit: str | None, target: str, factor: float) -> None:
    values = np.array([0.0, 15.25, np.nan, -3.0])
    found = converted(values, unit, target, column="x", where="a.csv")
    np.testing.assert_allclose(found, values * factor, rtol=1e-14)
    if factor == 1:
        np.testing.assert_array_equal(found, values)


def test_thousandths_are_the_nearest_numbers() -> None:
    assert converted(np.array([15123.0]), "mmag", "mag", column="x", where="a").tolist() == [15.123]


def test_a_logarithm_of_a_period_is_a_period() -> None:
    np.testing.assert_allclose(converted(np.array([-0.25]), "[d]", "d", column="logP", where="a"), [10**-0.25])


@pytest.mark.parametrize(
    ("unit", "target", "text"),
    [
        ("parrots", "d", "a.csv: column 'x' declares the unit 'parrots', which is not understood"),
        ("mag", "d", r"a.csv: column 'x' is in mag, which cannot be converted to d"),
        ("1/d", "d", r"column 'x' is a frequency \(1/d\)"),
        ("c/d", "d", r"column 'x' is a frequency \(c/d\)"),
        ("Hz", "d", r"column 'x' is a frequency \(Hz\)"),
        ("Jy", "electron/s", "in Jy, which cannot be converted to electron/s"),
        ("mag(AB)", "d", r"in mag\(AB\), which cannot"),
        ("maggy", "Jy", "in maggy, which cannot"),
        ("adu", "nJy", "in adu, which cannot"),
        ("dex", "mag", "in dex, which cannot"),
        ("mag", "dex", "in mag, which cannot"),
        ("d", "mag", "in d, which cannot"),
    ],
)
def test_other_units_are_refused(unit: str, target: str, text: str) -> None:
    with pytest.raises(BadColumn, match=text):
        converted(np.array([1.0]), unit, target, column="x", where="a.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BJD - 2457000, days", ("d", 2457000.0)),
        ("BJD - 2454833, days", ("d", 2454833.0)),
        ("HJD-2450000", ("d", 2450000.0)),
        ("JD-2400000.5 [d]", ("d", 2400000.5)),
        ("MJD - 50000", ("d", 2450000.5)),
        ("d", ("d", None)),
        ("h", ("h", None)),
        (None, (None, None)),
    ],
)
def test_a_unit_may_say_where_days_are_counted_from(text: str | None, expected: tuple[str, float | None]) -> None:
    assert split_time_unit(text) == expected
