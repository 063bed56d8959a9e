"""Every layout to the same light curves; Gaia's conventions; what is wrong with a table, named."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from photfeh import LightCurves
from photfeh.core.bands import BANDS as KNOWN_BANDS
from photfeh.core.bands import get_band
from photfeh.core.errors import BadColumn, BadInput, MissingColumn, PhotfehWarning
from photfeh.readers import COLUMN_ALIASES, LAYOUTS, READERS, layouts, read_lightcurves
from photfeh.readers.layouts import Columns, find_columns
from photfeh.readers.quality import QUALITY, known_false

BANDS = {"G": ("g_transit_time", "g_transit_"), "BP": ("bp_obs_time", "bp_"), "RP": ("rp_obs_time", "rp_")}


def long_table(stars: int = 3, transits: int = 6, seed: int = 0) -> pd.DataFrame:
    """Gaia's long layout, with exact relations between flux, error and magnitude."""
    rng = np.random.default_rng(seed)
    blocks = []
    for star in range(stars):
        start = np.sort(rng.uniform(1700, 2700, transits))
        for offset, band in enumerate(BANDS):
            flux, noise = rng.uniform(500, 5000, transits), rng.uniform(20, 400, transits)
            blocks.append(
                pd.DataFrame(
                    {
                        "source_id": 4_000_000_000_000_000_001 + star,
                        "transit_id": np.arange(transits),
                        "band": band,
                        "time": start + offset * 1e-4,
                        "mag": get_band(band).zero_point - 2.5 * np.log10(flux),
                        "flux": flux,
                        "flux_error": flux / noise,
                        "flux_over_error": noise,
                        "rejected_by_photometry": rng.random(transits) < 0.2,
                        "rejected_by_variability": rng.random(transits) < 0.2,
                    }
                )
            )
    return pd.concat(blocks, ignore_index=True)


def wide_table(table: pd.DataFrame) -> pd.DataFrame:
    """The same as one row a transit; a point rejected for photometry alone is marked in its own band's flag."""
    keys = ["source_id", "transit_id"]
    wide = table[keys].drop_duplicates().reset_index(drop=True)
    for band, (time, prefix) in BANDS.items():
        own = table[table.band == band].reset_index(drop=True)
        wide[time] = own["time"]
        for name in ("flux", "flux_error", "flux_over_error", "mag"):
            wide[prefix + name] = own[name]
        wide[f"variability_flag_{band.lower()}_reject"] = own.rejected_by_variability | own.rejected_by_photometry
        wide[f"{band.lower()}_other_flags"] = 1
    return wide


def same(found: LightCurves, expected: LightCurves, **tolerance: float) -> None:
    assert found.band == expected.band
    assert found.folded == expected.folded
    for name in ("source_id", "offsets", "time", "mag", "mag_error"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), **(tolerance or {"rtol": 0}))


def one_star(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"source_id": 1, **columns})


# ---------------------------------------------------------------------- the Gaia layouts agree
@pytest.mark.parametrize("band", BANDS)
def test_long_layout_keeps_the_good_points_of_one_band(band: str) -> None:
    table = long_table()
    good = table[(table.band == band) & ~table.rejected_by_photometry & ~table.rejected_by_variability]
    lcs = read_lightcurves(table, band=band)
    assert lcs.source_id.tolist() == table.source_id.unique().tolist()
    np.testing.assert_array_equal(lcs.time, good.time)
    np.testing.assert_array_equal(lcs.mag, good.mag)
    np.testing.assert_allclose(lcs.mag_error, 1.0857 / good.flux_over_error, rtol=4e-5)


@pytest.mark.parametrize("band", BANDS)
def test_wide_layout_gives_the_same_as_long(band: str) -> None:
    table = long_table()
    same(read_lightcurves(wide_table(table), band=band), read_lightcurves(table, band=band))


@pytest.mark.parametrize("band", BANDS)
def test_arrays_one_row_a_star_give_the_same_as_rows(band: str) -> None:
    table = long_table()
    wide = wide_table(table)
    arrays = wide.groupby("source_id", sort=False).agg(list).reset_index()
    expected = read_lightcurves(table, band=band)
    same(read_lightcurves(arrays, band=band), expected)
    # the nested column of a HATS catalogue: a struct of lists, or a list of structs
    inner = [name for name in arrays.columns if name != "source_id"]
    struct = pa.table({"source_id": arrays.source_id, "epoch_photometry": arrays[inner].to_dict("records")})
    same(read_lightcurves(struct, band=band), expected)
    records = [group[inner].to_dict("records") for _, group in wide.groupby("source_id", sort=False)]
    same(read_lightcurves(pa.table({"source_id": arrays.source_id, "lc": records}), band=band), expected)


def test_upper_case_names_and_text_flags_of_other_times() -> None:
    table = long_table()
    upper = table.rename(columns=str.upper)
    for flag in ("REJECTED_BY_PHOTOMETRY", "REJECTED_BY_VARIABILITY"):
        upper[flag] = np.where(upper[flag], "True ", " FALSE")
    same(read_lightcurves(upper), read_lightcurves(table))


@pytest.mark.parametrize("band", BANDS)
def test_magnitude_and_error_from_flux(band: str) -> None:
    table = long_table()
    expected = read_lightcurves(table, band=band)
    some = table.assign(mag=table.mag.where(table.index % 2 == 0))
    for partial in (some, table.drop(columns="mag"), table.drop(columns=["mag", "flux_over_error"])):
        same(read_lightcurves(partial, band=band), expected, rtol=1e-13)
    wide = wide_table(table).drop(columns=[f"{BANDS[band][1]}mag", f"{BANDS[band][1]}flux_error"])
    same(read_lightcurves(wide, band=band), expected, rtol=1e-13)


def test_flux_that_is_not_positive_gives_no_magnitude() -> None:
    table = long_table(stars=1).query("band == 'G'").assign(mag=np.nan, rejected_by_photometry=False)
    table["rejected_by_variability"] = False
    table.loc[table.index[:2], "flux"] = [-5.0, 0.0]
    with pytest.warns(PhotfehWarning, match="2 of 6 points have no magnitude"):
        assert len(read_lightcurves(table).mag) == 4


def test_own_errors_go_before_those_from_flux() -> None:
    table = long_table().assign(mag_error=0.125)
    table.loc[table.index[0], ["mag_error", "rejected_by_photometry", "rejected_by_variability"]] = [
        np.nan,
        False,
        False,
    ]
    error = read_lightcurves(table).mag_error
    assert error[1:].tolist() == [0.125] * (len(error) - 1)
    assert error[0] == pytest.approx(1.0857362 / table.flux_over_error[0])


def test_band_specific_photometry_flags_and_the_noisy_flag() -> None:
    """bp/rp_reject are obeyed; noisy_data is not: it marks variability, and every RR Lyrae star has it."""
    wide = wide_table(long_table(stars=1)).filter(regex="^(?!variability)")
    wide["photometry_flag_noisy_data"] = True
    wide["photometry_flag_bp_reject"] = [True, False, False, False, False, False]
    assert [len(read_lightcurves(wide, band=band).time) for band in BANDS] == [6, 5, 6]
    wide["rejected_by_photometry"] = [False, False, True, None, False, False]
    assert [len(read_lightcurves(wide, band=band).time) for band in BANDS] == [4, 3, 4]


# ---------------------------------------------------------------------- flags
@pytest.mark.parametrize(
    ("values", "good"),
    [
        ([True, False, None], [0, 1, 0]),
        ([1, 0, None], [0, 1, 0]),
        ([1.0, 0.0, np.nan], [0, 1, 0]),
        (["true", "false", None, "T", "f", "1", "0", "?", "", "No", " False "], [0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 1]),
        ([None, None], [0, 0]),
    ],
)
def test_only_flags_known_to_be_false_are_accepted(values: list[object], good: list[int]) -> None:
    for array in (pa.array(values), pa.array(values).dictionary_encode()):
        assert known_false(pa.chunked_array([array])).tolist() == [bool(value) for value in good]
    assert known_false(pa.chunked_array([pa.array([[1]])])).tolist() == [False]


def test_masked_flags_are_not_accepted_and_absent_ones_are_fine() -> None:
    flag = MaskedColumn([False, False, True, True], mask=[False, True, False, True])
    table = Table(
        {"source_id": [1] * 4, "time": np.arange(4.0), "mag": np.full(4, 15.0), "rejected_by_variability": flag}
    )
    assert read_lightcurves(table).time.tolist() == [0.0]
    table.remove_column("rejected_by_variability")
    assert len(read_lightcurves(table).time) == 4


def test_an_empty_flag_column_rejects_all_and_says_so() -> None:
    with pytest.warns(PhotfehWarning, match="the quality flag 'rejected_by_photometry' is empty"):
        lcs = read_lightcurves(one_star(time=[1.0], mag=[15.0], rejected_by_photometry=[None]))
    assert lcs.n_epochs.tolist() == [0]


def test_a_star_with_all_epochs_rejected_stays_without_points() -> None:
    table = long_table()
    star = table.source_id.unique()[1]
    table.loc[table.source_id == star, "rejected_by_variability"] = True
    lcs = read_lightcurves(table)
    assert lcs.source_id.tolist() == table.source_id.unique().tolist()
    assert (lcs.n_epochs == 0).tolist() == [False, True, False]


def test_three_epochs_are_a_light_curve() -> None:
    assert read_lightcurves(one_star(time=[1.0, 2.0, 3.0], mag=[15.0, 15.1, 15.2])).n_epochs.tolist() == [3]


# ---------------------------------------------------------------------- bands
def test_unknown_bands_list_those_that_are_there() -> None:
    table = long_table()
    for source in (table, wide_table(table)):
        with pytest.raises(BadInput, match=r"the table has no band 'V'; it holds G, BP, RP. Choose one: band='G'"):
            read_lightcurves(source, band="V")
    with pytest.raises(BadInput, match="no band 'RP'; it holds G, BP"):
        read_lightcurves(wide_table(table).drop(columns="rp_obs_time"), band="RP")
    with pytest.raises(BadInput, match="its band column is empty"):
        read_lightcurves(one_star(time=[1.0], mag=[15.0], band=pa.nulls(1).to_pylist()))


def test_a_star_without_points_in_the_band_stays() -> None:
    table = long_table()
    star = table.source_id.unique()[0]
    lcs = read_lightcurves(table[(table.source_id != star) | (table.band == "BP")])
    assert lcs.source_id[0] == star
    assert lcs.n_epochs[0] == 0


def test_generic_band_columns_categories_and_padding() -> None:
    table = one_star(mjd=[56000.0, 56001.0, 56002.0], mag=[15.0, 16.0, 17.0], filter=["V ", "I", "V"])
    with pytest.warns(PhotfehWarning, match="modified Julian"):
        lcs = read_lightcurves(table.assign(filter=table["filter"].astype("category")), band="V")
    assert (lcs.mag.tolist(), lcs.band) == ([15.0, 17.0], "V")


# ---------------------------------------------------------------------- generic tables
@pytest.mark.parametrize(
    ("role", "name"),
    [(role, name) for role in ("time", "mag", "mag_error", "source_id", "phase") for name in COLUMN_ALIASES[role]],
)
def test_every_alias_is_understood_in_any_case(role: str, name: str) -> None:
    names = {"source_id": "source_id", "time": "time", "mag": "mag", "mag_error": "mag_error"}
    if role == "phase":
        names["phase"] = names.pop("time")
    names[role] = name
    values = {
        "source_id": [9, 9],
        "time": [0.25, 0.5],
        "phase": [0.25, 0.5],
        "mag": [15.0, 15.5],
        "mag_error": [0.1, 0.2],
    }
    lcs = read_lightcurves(pd.DataFrame({f" {name.upper()}": values[key] for key, name in names.items()}))
    assert lcs.source_id.tolist() == [9]
    assert lcs.folded == (role == "phase")
    assert lcs.time.tolist() == [0.25, 0.5]
    assert lcs.mag.tolist() == [15.0, 15.5]
    assert lcs.mag_error.tolist() == [0.1, 0.2]


def test_the_documentation_names_every_format_alias_band_and_quality_column() -> None:
    text = (Path(__file__).parents[1] / "docs" / "data.md").read_text()
    words = set(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))
    names = {name for aliases in COLUMN_ALIASES.values() for name in aliases}
    assert not (names | set(READERS) | set(KNOWN_BANDS)) - words
    for rule in QUALITY:
        assert any(re.fullmatch(rule.pattern, word) for word in words), rule


def test_missing_columns_list_what_is_accepted_and_found() -> None:
    with pytest.raises(
        MissingColumn, match=r"no column 'time' \(also accepted: t, .*mjd.*phase.*\); found source_id, when, mag"
    ):
        read_lightcurves(one_star(when=[1.0], mag=[15.0]))
    with pytest.raises(
        MissingColumn, match=r"no column 'mag' \(also accepted: m, magnitude.*found source_id, time, flux"
    ):
        read_lightcurves(one_star(time=[1.0], flux=[15.0]))
    with pytest.warns(PhotfehWarning, match="no identifiers; the star is called 'star'"):
        read_lightcurves(pd.DataFrame({"time": [1.0], "mag": [15.0]}))
    with pytest.raises(MissingColumn, match="band 'V', has no column 'mag'"):
        read_lightcurves(one_star(time=[1.0], band=["V"], flux=[15.0]), band="V")


def test_flux_of_a_table_that_is_not_gaias_is_not_read_as_gaias() -> None:
    table = one_star(time=[1.0, 2.0], mag=[15.0, np.nan], flux=[1.0, 1.0], flux_error=[0.1, 0.1])
    with pytest.warns(PhotfehWarning, match="1 of 2 points have no magnitude"):
        lcs = read_lightcurves(table)
    assert lcs.mag.tolist() == [15.0]
    assert np.isnan(lcs.mag_error).all()


def test_other_things_are_refused() -> None:
    with pytest.raises(BadInput, match="cannot read a table from int"):
        read_lightcurves(3)


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_new_layout_is_one_function_and_one_line(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stands, also for a table that the general layout would read in another way."""

    def survey(names: Any, band: str) -> Columns | None:
        return Columns(time="when", mag="how_bright", source_id="who") if "how_bright" in names else None

    new = {"my survey": survey}
    monkeypatch.setattr(layouts, "LAYOUTS", {**new, **LAYOUTS} if place == "first" else {**LAYOUTS, **new})
    table = pd.DataFrame({"who": [1], "when": [2.0], "how_bright": [3.0]})
    assert read_lightcurves(table).mag.tolist() == [3.0]
    assert read_lightcurves(table.assign(time=5.0, mag=15.0, source_id=9)).mag.tolist() == [3.0]
    for names in (["source_id", "phase", "mag"], list(wide_table(long_table(1, 1))), list(long_table(1, 1))):
        assert find_columns(names, "G", "x") == one_of(LAYOUTS, names)


def one_of(known: Any, names: list[str]) -> Columns:
    """What the most certain of these layouts says."""
    found = [columns for layout in known.values() if (columns := layout(names, "G")) is not None]
    return max(found, key=lambda columns: columns.certainty)


def test_layouts_that_know_a_table_equally_well_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Columns(time="when", mag="bright", source_id="who")
    other = Columns(time="when", mag="faint", source_id="who")
    names = ["who", "when", "bright", "faint"]
    monkeypatch.setattr(layouts, "LAYOUTS", {"one": lambda names, band: one, "other": lambda names, band: other})
    with pytest.raises(BadInput, match=r"x fits the layouts 'one' and 'other' equally well.*Rename"):
        find_columns(names, "G", "x")
    monkeypatch.setattr(layouts, "LAYOUTS", {"one": lambda names, band: one, "same": lambda names, band: one})
    assert find_columns(names, "G", "x") == one


# ---------------------------------------------------------------------- values
@pytest.mark.parametrize(("zero", "name"), [(2455197.5, "Julian dates"), (55197, "modified Julian dates")])
def test_julian_dates_become_gaia_days_with_one_warning(zero: float, name: str) -> None:
    table = long_table()
    with pytest.warns(PhotfehWarning, match=f"the table: 'time' holds {name}; {zero} was subtracted") as said:
        lcs = read_lightcurves(table.assign(time=table.time + zero))
    assert len(said) == 1
    expected = read_lightcurves(table)
    np.testing.assert_allclose(lcs.time, expected.time, atol=1e-9)
    np.testing.assert_array_equal(lcs.mag, expected.mag)


def test_a_julian_date_is_converted_alone_as_in_company() -> None:
    table = pd.DataFrame({"source_id": [1, 2], "time": [2457197.5, 2000.0], "mag": [15.0, 15.0]})
    with pytest.warns(PhotfehWarning, match="Julian"):
        assert read_lightcurves(table).time.tolist() == [2000.0, 2000.0]


def test_julian_dates_in_single_precision_are_refused() -> None:
    with pytest.raises(BadColumn, match=r"'time' holds Julian dates as 32-bit .*star 1.*64-bit"):
        read_lightcurves(one_star(time=np.array([2457197.5], np.float32), mag=[15.0]))
    assert len(read_lightcurves(one_star(time=np.array([2000.5], np.float32), mag=[15.0]))) == 1


def test_phases_are_taken_modulo_one() -> None:
    lcs = read_lightcurves(one_star(phase=[0.25, 1.5, -0.25, -1e-18, 1.0], mag=[1.0, 2.0, 3.0, 4.0, 5.0]))
    assert lcs.folded
    assert lcs.time.tolist() == [0.0, 0.0, 0.25, 0.5, 0.75]
    assert lcs.mag.tolist() == [4.0, 5.0, 1.0, 2.0, 3.0]
    assert not read_lightcurves(one_star(phase=[0.5], time=[3.0], mag=[1.0])).folded


def test_folded_lists_one_row_a_star_beside_a_period() -> None:
    table = pd.DataFrame(
        {
            "source_id": [4, 5, 6],
            "period": [0.5, 0.6, 0.7],
            "phase": [[0.5, 0.25], [], None],
            "mag": [[1.0, 2.0], [], None],
        }
    )
    lcs = read_lightcurves(table)
    assert (lcs.source_id.tolist(), lcs.n_epochs.tolist()) == ([4, 5, 6], [2, 0, 0])
    assert (lcs.time.tolist(), lcs.mag.tolist()) == ([0.25, 0.5], [2.0, 1.0])


def test_points_without_time_or_magnitude_are_dropped() -> None:
    table = one_star(time=[1.0, np.nan, 3.0, np.inf], mag=[15.0, 15.1, None, 15.2], mag_error=[0.0, 1.0, 1.0, 1.0])
    with pytest.warns(PhotfehWarning) as said:
        lcs = read_lightcurves(table)
    assert lcs.time.tolist() == [1.0]
    assert np.isnan(lcs.mag_error).all()
    assert [str(warning.message).split(", first")[0] for warning in said] == [
        "the table: 1 of 4 points have a place-holder, or what is not positive, in column 'mag_error'; their errors "
        "count as unknown",
        "the table: 2 of 4 points have no time",
        "the table: 1 of 4 points have no magnitude",
    ]
    lists = pa.table({"source_id": [1], "time": [[1.0, None]], "mag": [[15.0, 16.0]]})
    with pytest.warns(PhotfehWarning, match="1 of 2 points have no time, first of star 1"):
        assert read_lightcurves(lists).time.tolist() == [1.0]


def test_place_holders_are_not_magnitudes() -> None:
    table = pd.DataFrame({"source_id": [1, 2, 2], "time": [1.0, 2.0, 3.0], "mag": [15.0, 99.99, -99.0]})
    with pytest.warns(
        PhotfehWarning, match=r"2 of 3 points have a place-holder in column 'mag', .*first of star 2 \(99.99\)"
    ):
        assert read_lightcurves(table).n_epochs.tolist() == [1, 0]


@pytest.mark.parametrize("column", ["time", "mag", "mag_error"])
def test_text_among_numbers_is_dropped_with_the_star_named(column: str) -> None:
    table = pd.DataFrame({"source_id": [11, 22], "time": [1.0, 2.0], "mag": [15.0, 16.0], "mag_error": [0.1, 0.2]})
    table[column] = table[column].astype(object)
    table.loc[1, column] = "saturated"
    with pytest.warns(
        PhotfehWarning, match=f"the table: 1 of 2 points have text in column '{column}'.*, first of star 22 .saturated"
    ):
        lcs = read_lightcurves(table)
    assert lcs.n_epochs.tolist() == [1, int(column == "mag_error")]
    table[column] = ["many", "few"]
    with pytest.raises(BadColumn, match=f"the table: column '{column}' holds text"):
        read_lightcurves(table)


def test_calendar_dates_are_refused() -> None:
    with pytest.raises(BadColumn, match=r"'time' holds calendar dates. Give days"):
        read_lightcurves(one_star(time=pd.to_datetime(["2016-01-01"]), mag=[15.0]))


def test_lists_that_do_not_match_are_left_out_with_the_star_named() -> None:
    table = pa.table({"source_id": [1, 2, 3], "time": [[1.0], [1.0, 2.0], [3.0]], "mag": [[15.0], [16.0], [17.0]]})
    with pytest.warns(PhotfehWarning, match=r"1 stars have lists of different length \(time, mag\).*, first 2"):
        lcs = read_lightcurves(table)
    assert (lcs.source_id.tolist(), lcs.mag.tolist()) == ([1, 2, 3], [15.0, 17.0])
    with pytest.raises(BadColumn, match="'time' holds lists, 'mag' does not"):
        read_lightcurves(pa.table({"source_id": [1], "time": [[1.0]], "mag": [15.0]}))


def test_identifiers_as_text_index_and_float() -> None:
    table = long_table()
    expected = read_lightcurves(table)
    same(read_lightcurves(table.assign(source_id="Gaia DR3 " + table.source_id.astype(str))), expected)
    same(read_lightcurves(table.assign(source_id=table.source_id.astype(str).astype("category"))), expected)
    same(read_lightcurves(table.set_index("source_id")), expected)
    same(read_lightcurves(table.astype({"source_id": "uint64"})), expected)
    with pytest.raises(BadColumn, match="cannot keep a Gaia source_id exact"):
        read_lightcurves(table.astype({"source_id": float}))
    assert read_lightcurves(one_star(time=[1.0], mag=[1.0]).assign(source_id="HD 1")).source_id < 0


def test_all_kinds_of_tables_in_memory_agree() -> None:
    table = long_table()
    expected = read_lightcurves(table)
    arrow = pa.Table.from_pandas(table)
    for source in (
        arrow,
        arrow.combine_chunks().to_batches()[0],
        Table.from_pandas(table),
        table.convert_dtypes(),
        expected,
    ):
        same(read_lightcurves(source), expected)
    assert read_lightcurves(expected) is expected
    same(read_lightcurves(expected.to_arrow()), expected)
    other = LightCurves(expected.source_id, expected.offsets, expected.time, expected.mag, band="I")
    with pytest.raises(BadInput, match="no band 'G'; it holds I"):
        read_lightcurves(other.to_arrow())
    assert np.isnan(read_lightcurves(other.to_arrow(), band="I").mag_error).all()


def test_an_empty_table_is_no_star() -> None:
    assert len(read_lightcurves(long_table().iloc[:0])) == 0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    stars=st.integers(1, 5),
    transits=st.integers(1, 8),
    band=st.sampled_from(list(BANDS)),
)
def test_the_order_of_rows_does_not_matter(seed: int, stars: int, transits: int, band: str) -> None:
    table = long_table(stars, transits, seed)
    shuffled = table.sample(frac=1, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, expected = read_lightcurves(shuffled, band=band), read_lightcurves(table, band=band)
    same(found.reindex(expected.source_id), expected)


# ---------------------------------------------------------------------- the surveys
DAYS = np.array([1725.0625, 1726.5, 2190.25, 2600.0])
MAG = np.array([15.25, 15.5, 15.75, 16.0])
JD = DAYS + 2455197.5
OWN = {"source_id": np.full(4, 7)}
FLUX = {band: 10 ** (-0.4 * (MAG - get_band(band).zero_point)) for band in ("G", "BP", "RP", "lsst_g")}

GAIA_INDIVIDUAL = {
    "solution_id": 375316653866487565, "source_id": 7, "transit_id": np.arange(4),
    "g_transit_time": DAYS, "g_transit_flux": FLUX["G"], "g_transit_flux_error": FLUX["G"] / 50,
    "g_transit_flux_over_error": 50.0, "g_transit_mag": MAG, "g_transit_n_obs": 9,
    "bp_obs_time": DAYS, "bp_mag": MAG, "bp_flux": FLUX["BP"], "bp_flux_error": FLUX["BP"] / 50,
    "bp_flux_over_error": 50.0,
    "rp_obs_time": DAYS, "rp_mag": MAG, "rp_flux": FLUX["RP"], "rp_flux_error": FLUX["RP"] / 50,
    "rp_flux_over_error": 50.0,
    "photometry_flag_noisy_data": True, "photometry_flag_bp_reject": False, "photometry_flag_rp_reject": False,
    "variability_flag_g_reject": False, "variability_flag_bp_reject": False, "variability_flag_rp_reject": False,
    "g_other_flags": 4097, "bp_other_flags": 0, "rp_other_flags": 0,
}  # fmt: skip
GAIA_DR4 = {
    "source_id": 7, "transit_id": np.arange(4), "g_obs_time": DAYS, "g_flux": FLUX["G"], "g_flux_error": FLUX["G"] / 50,
    "g_flux_over_error": 50.0, "g_mag": MAG, "g_n_obs": 9, "bp_obs_time": DAYS, "bp_flux": FLUX["BP"],
    "bp_flux_error": FLUX["BP"] / 50, "bp_flux_over_error": 50.0, "bp_mag": MAG, "rp_obs_time": DAYS,
    "rp_flux": FLUX["RP"],
    "rp_flux_error": FLUX["RP"] / 50, "rp_flux_over_error": 50.0, "rp_mag": MAG,
}  # fmt: skip
ERROR_OF_50 = 2.5 / np.log(10) / 50
SURVEYS: dict[str, tuple[str, dict[str, Any], float]] = {
    "Gaia G": ("G", GAIA_INDIVIDUAL, ERROR_OF_50),
    "Gaia BP": ("BP", GAIA_INDIVIDUAL, ERROR_OF_50),
    "Gaia RP": ("RP", GAIA_INDIVIDUAL, ERROR_OF_50),
    "Gaia DR4 G": ("G", GAIA_DR4, ERROR_OF_50),
    "Gaia DR4 BP": ("BP", GAIA_DR4, ERROR_OF_50),
    "Gaia DR4 G by flux": ("G", {name: values for name, values in GAIA_DR4.items() if name != "g_mag"}, ERROR_OF_50),
    "ZTF": (
        "zg",
        {"oid": 7, "expid": np.arange(4), "hjd": JD, "mjd": JD - 2400000.5, "mag": MAG, "magerr": 0.25, "catflags": 0,
         "filtercode": "zg", "ra": 1.0, "dec": 2.0, "chi": 1.0, "sharp": 0.1, "field": 700, "ccdid": 3, "qid": 2,
         "limitmag": 20.5, "magzp": 26.1, "clrcoeff": 0.1, "exptime": 30, "airmass": 1.1, "programid": 1},
        0.25,
    ),
    "ZTF of a HATS catalogue": (
        "zr",
        {"objectid": 7, "fid": 2, "hmjd": JD - 2400000.5, "mag": MAG, "magerr": 0.25, "catflags": 0, "clrcoeff": 0.1},
        0.25,
    ),
    "Rubin": (
        "lsst_g",
        {"objectId": 7, "band": "g", "expMidptMJD": JD - 2400000.5, "psfFlux": FLUX["lsst_g"],
         "psfFluxErr": FLUX["lsst_g"] / 50, "psfFlux_flag": False, "pixelFlags_bad": False, "detector": 3, "visit": 12},
        ERROR_OF_50,
    ),
    "Rubin, band by its letter": (
        "g",
        {"diaObjectId": 7, "band": "g", "midpointMjdTai": JD - 2400000.5, "psfFlux": FLUX["lsst_g"],
         "psfFluxErr": FLUX["lsst_g"] / 50, "psfDiffFlux": 3.0, "psfDiffFluxErr": 1.0, "psfDiffFlux_flag": True},
        ERROR_OF_50,
    ),
    "Rubin, difference images": (
        "lsst_g",
        {"diaObjectId": 7, "diaSourceId": np.arange(4), "band": "g", "midpointMjdTai": JD - 2400000.5, "psfFlux": -5.0,
         "psfFluxErr": 1.0, "scienceFlux": FLUX["lsst_g"], "scienceFluxErr": FLUX["lsst_g"] / 50},
        ERROR_OF_50,
    ),
    "ASAS-SN": (
        "V",
        {"asas_sn_id": 7, "hjd": JD, "UT Date": "2014-01-01", "camera": "ba", "FWHM": 1.5, "limit": 17.1, "mag": MAG,
         "mag_err": 0.25, "flux(mJy)": 3.1, "flux_err": 0.1, "Filter": "V"},
        0.25,
    ),
    "ASAS-SN Sky Patrol 2": (
        "V",
        {"asas_sn_id": 7, "jd": JD, "flux": 3.1, "flux_err": 0.1, "mag": MAG, "mag_err": 0.25, "limit": 17.1,
         "fwhm": 1.5, "image_id": "x1", "camera": "ba", "quality": "G", "phot_filter": "V"},
        0.25,
    ),
    "ASAS": ("V", {"star": 7, "HJD": JD - 2450000, "MAG_0": MAG, "MER_0": 0.25, "MAG_1": MAG + 1, "GRADE": "A"}, 0.25),
    "OGLE": ("I", {"id": 7, "HJD-2450000": JD - 2450000, "mag": MAG, "mag_error": 0.25}, 0.25),
    "Catalina": ("V", {"MasterID": 7, "Mag": MAG, "Magerr": 0.25, "RA": 1.0, "Decl": 2.0, "MJD": JD - 2400000.5}, 0.25),
    "a catalogue service": ("V", {"Name": "7", "HJD": JD, "Vmag": MAG, "e_Vmag": 0.25, "q_Vmag": 1.0}, 0.25),
}  # fmt: skip


def read_quietly(source: Any, band: str) -> LightCurves:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PhotfehWarning)
        return read_lightcurves(source, band=band)


@pytest.mark.parametrize("survey", SURVEYS)
@pytest.mark.parametrize("form", ["rows", "arrays"])
def test_every_survey_gives_the_same_light_curve(survey: str, form: str) -> None:
    band, columns, error = SURVEYS[survey]
    table = pd.DataFrame(columns, index=range(4))
    if form == "arrays":  # one row a star, its identifiers as they are
        key = next(name for name in table if name.lower() in COLUMN_ALIASES["source_id"])
        table = table.groupby(key, sort=False).agg(list).reset_index()
    lcs = read_quietly(table, band)
    assert (lcs.source_id.tolist(), lcs.band, lcs.folded) == ([7], band, False)
    np.testing.assert_allclose(lcs.time, DAYS, rtol=0, atol=1e-8)
    np.testing.assert_allclose(lcs.mag, MAG, rtol=0, atol=1e-12)
    np.testing.assert_allclose(lcs.mag_error, error, rtol=1e-12)


@pytest.mark.parametrize("survey", SURVEYS)
def test_the_columns_that_are_read_are_recognised_again(survey: str) -> None:
    """A reader takes only the columns that are needed, and the layout has to be the same without the others."""
    band, columns, _ = SURVEYS[survey]
    found = find_columns([name.lower() for name in columns], band, "x")
    again = find_columns(found.names, band, "x")
    assert replace(again, bands=found.bands) == found


def test_limits_of_asas_sn_are_no_measurements() -> None:
    _, columns, _ = SURVEYS["ASAS-SN"]
    table = pd.DataFrame(columns, index=range(4)).assign(mag_err=[0.25, 99.99, 0.25, 99.99])
    with pytest.warns(PhotfehWarning) as said:
        assert read_lightcurves(table, band="V").mag.tolist() == [15.25, 15.75]
    assert any(
        "2 of 4 points are limits, no measurements (column 'mag_err')" in str(warning.message) for warning in said
    )
    text = table.assign(mag=["15.25", ">17.1", "15.75", ">17.2"])
    assert read_quietly(text, "V").mag.tolist() == [15.25, 15.75]


def test_ztf_bad_flags_and_rubin_flags_are_obeyed() -> None:
    ztf = pd.DataFrame(SURVEYS["ZTF"][1], index=range(4)).assign(catflags=[0, 32768, 4, 65535])
    assert read_quietly(ztf, "zg").mag.tolist() == [15.25, 15.75]
    rubin = pd.DataFrame(SURVEYS["Rubin"][1], index=range(4)).assign(psfFlux_flag=[False, True, False, False])
    rubin["pixelFlags_bad"] = [False, False, False, True]
    np.testing.assert_allclose(read_quietly(rubin, "lsst_g").mag, [15.25, 15.75])


def test_bands_that_a_survey_does_not_have_are_refused() -> None:
    rubin = pd.DataFrame(SURVEYS["Rubin"][1], index=range(4))
    with pytest.raises(BadInput, match="the table has no band 'zg'; it holds u, g, r, i, z, y"):
        read_lightcurves(rubin, band="zg")
    with pytest.raises(BadInput, match="the table has no band 'V'; it holds G, BP, RP"):
        read_lightcurves(pd.DataFrame(GAIA_DR4), band="V")


def test_a_foreign_table_is_not_taken_for_gaias() -> None:
    """Band, time and flux alone are anybody's: without a unit there is no magnitude, and e-/s are not assumed."""
    foreign = pd.DataFrame(OWN | {"band": "G", "time": DAYS, "flux": FLUX["G"], "flux_error": FLUX["G"] / 50})
    with pytest.raises(MissingColumn, match="band 'G', has no column 'mag'"):
        read_lightcurves(foreign)
    np.testing.assert_allclose(read_lightcurves(foreign.assign(flux_over_error=50.0)).mag, MAG)
    late = foreign.assign(mag=MAG, time=JD - 2450000)
    np.testing.assert_allclose(read_quietly(late, "G").time, DAYS, atol=1e-8)
