"""Clocks: whatever a column counts by, the same Gaia days come out, or one clear refusal."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from photfeh import LightCurves
from photfeh.core.errors import BadColumn, PhotfehWarning
from photfeh.readers import read_lightcurves
from photfeh.readers.points import to_lightcurves
from photfeh.readers.tally import Origin, Tally

DAYS = np.array([1725.0625, 1726.5, 2190.25, 2600.0])
JD = DAYS + 2455197.5
MAG = np.array([15.1, 15.2, 15.3, 15.4])


def table(name: str, time: Any, metadata: dict[str, str] | None = None) -> pa.Table:
    """Star 7 with these times; ``metadata`` is what the file says of the column."""
    time = pa.array(time)
    fields = [
        pa.field("source_id", pa.int64()),
        pa.field(name.lower(), time.type, metadata=metadata),
        pa.field("mag", pa.float64()),
    ]
    return pa.table([pa.array(np.full(len(time), 7)), time, pa.array(MAG[: len(time)])], schema=pa.schema(fields))


def read(source: Any) -> tuple[LightCurves, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", PhotfehWarning)
        lcs = to_lightcurves(source) if isinstance(source, pa.Table) else read_lightcurves(source)
        return lcs, [str(warning.message) for warning in said]


# ---------------------------------------------------------------------- by range and name
@pytest.mark.parametrize(
    ("name", "time", "clock"),
    [
        ("time", JD, "Julian dates"),
        ("hjd", JD, "Julian dates"),
        ("mjd", JD, "Julian dates"),
        ("time", JD - 2400000.5, "modified Julian dates"),
        ("mjd", JD - 2400000.5, "modified Julian dates"),
        ("hmjd", JD - 2400000.5, "modified Julian dates"),
        ("obs_time", JD - 2400000.5, "modified Julian dates"),
        ("hjd", JD - 2400000, "Julian dates - 2400000"),
        ("jd", JD - 2400000, "Julian dates - 2400000"),
        ("rjd", JD - 2400000, "Julian dates - 2400000"),
        ("hjd", JD - 2450000, "Julian dates - 2450000"),
        ("jd", JD - 2450000, "Julian dates - 2450000"),
        ("bjd", JD - 2450000, "Julian dates - 2450000"),
        ("time", JD - 2450000, "Julian dates - 2450000"),
        ("t", JD - 2450000, "Julian dates - 2450000"),
        ("mjd", JD - 2450000.5, "modified Julian dates - 50000"),
        ("time", (JD - 2440587.5) * 86400, "Unix seconds"),
        ("unix_time", (JD - 2440587.5) * 86400, "Unix seconds"),
        ("time", DAYS, None),
        ("t", DAYS, None),
    ],
)
def test_clocks_are_told_by_range_and_name(name: str, time: Any, clock: str | None) -> None:
    lcs, said = read(table(name, time))
    np.testing.assert_allclose(lcs.time, DAYS, rtol=0, atol=2e-6)
    assert [f"the table: '{name}' holds {clock}; " in text for text in said] == ([True] if clock else [])


@pytest.mark.parametrize("name", ["time", "hjd", "jd", "mjd", "epoch"])
@pytest.mark.parametrize("time", [[0.25, 0.5, 0.75], [-3000.5, -2000.25, 10.0], [0.0, 300.0, 800.0], [-1.0, 0.0, 1.0]])
def test_days_from_any_zero_stay(name: str, time: list[float]) -> None:
    lcs, said = read(table(name, time))
    assert (lcs.time.tolist(), said) == (time, [])


@pytest.mark.parametrize("name", ["hjd-2450000", "HJD - 2450000", "bjd-2457000", "mjd-50000"])
def test_a_name_may_say_where_days_are_counted_from(name: str) -> None:
    zero = float(name.split("-")[1]) + (2400000.5 if name.startswith("mjd") else 0)
    lcs, said = read(table(name, JD - zero))
    np.testing.assert_allclose(lcs.time, DAYS, rtol=0, atol=1e-8)
    assert said == []


@pytest.mark.parametrize(
    "time",
    [
        [2457197.5, 2000.0],
        [2457197.5, 57197.0],
        [57197.0, 7197.5],
        [1.4e9, 2457197.5],
        [0.5, 1e6],
        [1e12, 1.1e12],
        [-5e5, 3.0],
    ],
)
def test_one_star_on_two_clocks_is_refused(time: list[float]) -> None:
    with pytest.raises(BadColumn, match=r"the times of star 7 in column 'time' run from .* no one clock"):
        read(table("time", time))


def test_what_only_the_range_could_tell_is_refused_in_one_table() -> None:
    times = pd.DataFrame({"source_id": [1, 1, 2, 2], "time": [2100.0, 4900.0, 5300.0, 9000.0], "mag": 15.0})
    with pytest.raises(
        BadColumn, match=r"'time' seems to hold Julian dates - 2450000 for star 2 .*and Gaia days, .*star 1"
    ):
        read(times)
    lcs, _ = read(times.rename(columns={"time": "hjd"}))
    np.testing.assert_allclose(lcs.time, times.time - 5197.5)


def test_what_only_the_range_could_tell_is_named_over_files() -> None:
    tally = Tally()
    to_lightcurves(table("time", [2100.0, 4900.0]), origin=Origin("old.csv", tally=tally))
    to_lightcurves(table("time", [5300.0, 9000.0]), origin=Origin("new.csv", tally=tally))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tally.say()
    assert any(
        "Gaia days (BJD - 2455197.5) in old.csv, Julian dates - 2450000 in new.csv" in str(w.message) for w in said
    )


def test_stars_of_one_table_may_have_clocks_of_their_own_that_are_certain() -> None:
    times = pd.DataFrame({"source_id": [1, 2, 1], "time": [2457197.5, 2000.0, 2457198.5], "mag": [15.0, 15.0, 15.1]})
    lcs, said = read(times)
    assert (lcs.time.tolist(), len(said)) == ([2000.0, 2001.0, 2000.0], 1)


def test_times_of_the_gaia_archive_are_gaia_days_however_late() -> None:
    late = pd.DataFrame({"source_id": 1, "g_transit_time": [5000.0, 6500.0], "g_transit_mag": 15.0})
    assert read(late)[0].time.tolist() == [5000.0, 6500.0]


@pytest.mark.parametrize(("name", "time"), [("time", JD), ("mjd", JD - 2400000.5), ("hjd", JD - 2400000)])
def test_coarse_numbers_are_refused(name: str, time: Any) -> None:
    with pytest.raises(BadColumn, match=r"32-bit numbers, too coarse .*star 7.*64-bit"):
        read(table(name, time.astype(np.float32)))
    with pytest.raises(BadColumn, match="32-bit"):
        read(table(name, time.astype(np.float32), {"time_format": "jd"}))


# ---------------------------------------------------------------------- what the table says
@pytest.mark.parametrize(
    ("metadata", "time"),
    [
        ({"unit": "d"}, DAYS),
        ({"unit": "h"}, DAYS * 24),
        ({"unit": "s"}, DAYS * 86400),
        ({"unit": "min"}, DAYS * 1440),
        ({"unit": "d"}, JD),
        ({"unit": "JD"}, JD - 2450000),
        ({"unit": "MJD"}, JD - 2450000.5),
        ({"unit": "s"}, (JD - 2440587.5) * 86400),
        ({"unit": "BJD - 2457000, days"}, JD - 2457000),
        ({"unit": "BJD - 2454833, days"}, JD - 2454833),
        ({"unit": "d", "time_origin": "2455197.5"}, DAYS),
        ({"unit": "d", "time_origin": "2400000.5"}, JD - 2400000.5),
        ({"unit": "s", "time_origin": "2455197.5"}, DAYS * 86400),
        ({"unit": "d", "time_format": "jd"}, JD),
        ({"unit": "d", "time_format": "mjd"}, JD - 2400000.5),
        ({"unit": "d", "time_format": "jd", "time_scale": "tcb"}, JD),
        ({"unit": "d", "time_format": "jd", "time_scale": "local"}, JD),
    ],
)
def test_units_and_zeros_that_the_table_declares(metadata: dict[str, str], time: Any) -> None:
    lcs, _ = read(table("time", time, metadata))
    np.testing.assert_allclose(lcs.time, DAYS, rtol=0, atol=2e-6)


def test_what_is_declared_is_not_warned_of() -> None:
    for metadata in ({"time_format": "jd"}, {"time_origin": "0"}, {"unit": "JD - 0"}):
        lcs, said = read(table("time", JD, metadata))
        np.testing.assert_allclose(lcs.time, DAYS, rtol=0, atol=1e-9)
        assert said == []


@pytest.mark.parametrize("scale", ["utc", "tai", "tt", "tdb", "tcg"])
def test_time_scales_are_obeyed(scale: str) -> None:
    """Against astropy with two numbers a date."""
    expected = Time(np.full(4, 2455197.5), DAYS, format="jd", scale=scale).tcb
    lcs, said = read(table("time", JD, {"time_format": "jd", "time_scale": scale}))
    np.testing.assert_allclose(lcs.time, (expected.jd1 - 2455197.5) + expected.jd2, rtol=0, atol=1e-9)
    assert (said, abs(lcs.time[0] - DAYS[0]) > 1e-6) == ([], True)


@pytest.mark.parametrize("unit", ["mag", "parrots", "1/d"])
def test_other_units_are_refused(unit: str) -> None:
    with pytest.raises(BadColumn, match=f"the table: column 'time' .*{unit}"):
        read(table("time", DAYS, {"unit": unit}))


# ---------------------------------------------------------------------- place-holders and the fullest column
@pytest.mark.parametrize("filler", [0.0, -99.0, -99.99, -999.0, -9999.0, 99.999, 99999.0, -1.0])
@pytest.mark.parametrize(("name", "time"), [("hjd", JD), ("mjd", JD - 2400000.5), ("time", DAYS), ("jd", JD - 2450000)])
def test_place_holders_are_no_times(name: str, time: Any, filler: float) -> None:
    lcs, said = read(table(name, np.where(np.arange(4) == 1, filler, time)))
    np.testing.assert_allclose(lcs.time, DAYS[[0, 2, 3]], rtol=0, atol=1e-8)
    assert lcs.mag.tolist() == MAG[[0, 2, 3]].tolist()
    assert f"the table: 1 of 4 points have a place-holder in column '{name}'" in said[0]
    assert f"first of star 7 ({filler})" in said[0]


def test_a_time_of_zero_among_small_ones_is_a_time() -> None:
    lcs, said = read(table("time", [0.0, 0.5, 99.0, 300.0]))
    assert (lcs.time.tolist(), said) == ([0.0, 0.5, 99.0, 300.0], [])


@pytest.mark.parametrize("empty", [np.nan, None, -99.99])
@pytest.mark.parametrize("order", [["hjd", "jd"], ["jd", "hjd"]])
def test_the_fullest_column_is_taken_star_by_star(order: list[str], empty: Any) -> None:
    full = {"hjd": [JD[0], empty, empty, JD[3], JD[0]], "jd": [*(JD[:3] + 0.001), JD[3], JD[0] + 0.001]}
    columns = {name: pd.Series(full[name], dtype=float) for name in order}
    lcs, said = read(pd.DataFrame({"source_id": [1, 1, 1, 1, 2], **columns, "mag": [*MAG, 15.0]}))
    np.testing.assert_allclose(lcs[0].time, [*(DAYS[:3] + 0.001), DAYS[3]], atol=1e-8)
    np.testing.assert_allclose(lcs[1].time, DAYS[:1], atol=1e-8)
    assert any("column 'jd' is used for stars of which it holds more points than 'hjd'" in text for text in said)


def test_a_full_column_needs_no_other() -> None:
    both = pd.DataFrame({"source_id": 1, "hjd": JD, "jd": ["long", "ago", "", ""], "mag": MAG})
    assert read(both)[0].n_epochs.tolist() == [4]
    both.loc[0, "hjd"] = np.nan
    lcs, said = read(both)
    assert lcs.n_epochs.tolist() == [3]
    assert "1 of 4 points have no time, first of star 1" in said[0]


# ---------------------------------------------------------------------- alone as in company
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_star_has_the_same_times_alone_and_in_company(data: st.DataObject) -> None:
    zeros = [0.0, -2400000.0, -2450000.0, -2455197.5]
    name = data.draw(st.sampled_from(["hjd", "mjd"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    blocks = []
    for star in range(data.draw(st.integers(1, 5))):
        time = rng.uniform(2456000.0, 2459000.0, data.draw(st.integers(1, 6))) + data.draw(st.sampled_from(zeros))
        fillers = rng.choice([0.0, -99.99, np.nan], len(time))
        time = np.where(rng.random(len(time)) < 0.2, fillers, time)
        blocks.append(pd.DataFrame({"source_id": star, name: time, "mag": rng.normal(15, 0.1, len(time))}))
    together = pd.concat(blocks).sample(frac=1, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PhotfehWarning)
        try:
            whole = read_lightcurves(together)
        except BadColumn:
            return
        for star, block in together.groupby("source_id"):
            alone = read_lightcurves(block)
            np.testing.assert_array_equal(whole.reindex([star]).time, alone.time)
            np.testing.assert_array_equal(whole.reindex([star]).mag, alone.mag)
