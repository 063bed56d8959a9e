"""Numbers of points: units, place-holders, limits, bands, quality columns, repetitions, and what is counted."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from photfeh import LightCurves
from photfeh.core.bands import BANDS, get_band
from photfeh.core.errors import BadColumn, BadInput, MissingColumn, PhotfehWarning
from photfeh.core.identifiers import source_id_of
from photfeh.readers import iter_lightcurves, read_lightcurves, stream
from photfeh.readers.points import Origin, Tally, to_lightcurves
from photfeh.readers.quality import QUALITY, good_points, quality_columns

MAG = np.array([15.25, 15.5, 15.75, 16.0])


def star(**columns: Any) -> pd.DataFrame:
    """Star 7 with four points."""
    return pd.DataFrame({"source_id": 7, "time": [1.0, 2.0, 3.0, 4.0], "mag": MAG} | columns)


def declaring(units: dict[str, str], **columns: Any) -> pa.Table:
    """A table whose columns declare units."""
    plain = pa.Table.from_pandas(star(**columns), preserve_index=False)
    fields = [field.with_metadata({"unit": units[field.name]} if field.name in units else {}) for field in plain.schema]
    return pa.table(plain.columns, schema=pa.schema(fields))


def read(source: Any, band: str = "G") -> tuple[LightCurves, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", PhotfehWarning)
        direct = isinstance(source, pa.Table)
        lcs = to_lightcurves(source, band=band) if direct else read_lightcurves(source, band=band)
        return lcs, [str(warning.message) for warning in said]


# ---------------------------------------------------------------------- units
@pytest.mark.parametrize(
    ("unit", "per_mag"), [("mag", 1), ("mmag", 1000), ("0.001mag", 1000), ("mag(AB)", 1), ("---", 1), ("", 1)]
)
def test_units_of_magnitudes_and_errors(unit: str, per_mag: float) -> None:
    lcs, said = read(
        declaring({"mag": unit, "mag_error": unit}, mag=MAG * per_mag, mag_error=np.full(4, 0.125) * per_mag)
    )
    assert (lcs.mag.tolist(), lcs.mag_error.tolist(), said) == (MAG.tolist(), [0.125] * 4, [])


@pytest.mark.parametrize("column", ["mag", "mag_error"])
@pytest.mark.parametrize("unit", ["d", "Jy", "parrots", "dex"])
def test_other_units_are_refused(column: str, unit: str) -> None:
    with pytest.raises(BadColumn, match=f"the table: column '{column}' .*{unit}"):
        read(declaring({column: unit}, mag_error=0.1))


@pytest.mark.parametrize("band", ["G", "BP", "V", "I", "zg", "zr", "lsst_g", "lsst_y"])
@pytest.mark.parametrize(
    "unit", ["Jy", "mJy", "uJy", "nJy", "1e-9 Jy", "erg/s/cm2/Hz", "electron/s", "'electron'.s**-1", "e-/s"]
)
def test_fluxes_that_declare_their_unit(band: str, unit: str) -> None:
    known = get_band(band)
    janskys = {"Jy": 1, "mJy": 1e3, "uJy": 1e6, "nJy": 1e9, "1e-9 Jy": 1e9, "erg/s/cm2/Hz": 1e-23}
    scale = {**janskys, "electron/s": 1, "'electron'.s**-1": 1, "e-/s": 1}[unit]
    flux = 10 ** (-0.4 * (MAG - known.zero_point)) * scale / {"nJy": 1e9}.get(str(known.flux_unit), 1)
    given = declaring({"flux": unit, "flux_error": unit}, flux=flux, flux_error=flux / 50).drop_columns("mag")
    if (known.flux_unit == "electron/s") != (unit not in janskys):
        with pytest.raises(BadColumn, match=r"column 'flux' is in .*cannot be converted"):
            read(given, band)
        return
    lcs, said = read(given, band)
    np.testing.assert_allclose(lcs.mag, MAG, atol=1e-12)
    np.testing.assert_allclose(lcs.mag_error, 2.5 / np.log(10) / 50, rtol=1e-12)
    assert said == []


def test_a_flux_fills_in_where_the_magnitude_is_missing() -> None:
    flux = 10 ** (-0.4 * (MAG - BANDS["V"].zero_point))
    some = declaring({"flux": "Jy"}, flux=flux, mag=[15.25, np.nan, 15.75, np.nan])
    np.testing.assert_allclose(read(some, "V")[0].mag, MAG, atol=1e-12)


def test_fluxes_of_no_known_unit_are_no_magnitudes() -> None:
    with pytest.raises(MissingColumn, match=r"the table, band 'V', has no column 'mag'.*found source_id, time, flux"):
        read(star(flux=1.0).drop(columns="mag"), "V")
    with pytest.raises(MissingColumn, match="band 'TESS', has no column 'mag'"):
        read(declaring({"flux": "electron/s"}, flux=np.full(4, 1.0)).drop_columns("mag"), "TESS")


@pytest.mark.parametrize("names", [["time"], ["hjd", "band"], ["g_transit_time"], ["time", "mag_error"], ["phase"]])
def test_times_without_magnitude_and_flux_are_refused(names: list[str]) -> None:
    with pytest.raises(MissingColumn, match=r"has no column '(mag|g_transit_mag)'"):
        read(pd.DataFrame({"source_id": [1], **{name: [0.5] for name in names}}))


# ---------------------------------------------------------------------- place-holders
@pytest.mark.parametrize(
    "filler", [-99.0, -99.99, -999.0, -9999.0, 99.0, 99.999, 999.0, 9999.0, 0.0, -1.0, -9.99, 9.999]
)
@pytest.mark.parametrize("unit", ["mag", "mmag"])
def test_place_holders_are_no_magnitudes(filler: float, unit: str) -> None:
    values = MAG * (1000 if unit == "mmag" else 1)
    lcs, said = read(declaring({"mag": unit}, mag=np.where(np.arange(4) == 2, filler, values)))
    assert lcs.time.tolist() == [1.0, 2.0, 4.0]
    assert len(said) == 1
    assert (
        f"1 of 4 points have a place-holder in column 'mag', which counts as missing, first of star 7 ({filler})"
        in said[0]
    )


@pytest.mark.parametrize("mag", [[0.0, 0.1, -0.2, 0.3], [9.99, 9.5, 9.999, 10.2], [-1.0, -0.5, -1.5, -0.7]])
def test_numbers_among_their_like_are_no_place_holders(mag: list[float]) -> None:
    lcs, said = read(star(mag=mag))
    assert (lcs.mag.tolist(), said) == (mag, [])


@pytest.mark.parametrize("filler", [0.0, -1.0, -99.0, -9.999, 99.99, 9.999, 999.0])
def test_place_holders_are_no_errors(filler: float) -> None:
    lcs, said = read(star(mag_error=[0.125, filler, 0.25, np.nan]))
    assert lcs.mag.tolist() == MAG.tolist()
    np.testing.assert_array_equal(lcs.mag_error, [0.125, np.nan, 0.25, np.nan])
    assert "1 of 4 points have a place-holder, or what is not positive, in column 'mag_error'" in said[0]
    assert f"first of star 7 ({filler})" in said[0]


@pytest.mark.parametrize(("flux", "left"), [([1.0, 0.0, 2.0, 3.0], 3), ([1.0, -5.0, np.nan, 3.0], 2)])
def test_a_flux_of_nothing_is_no_magnitude(flux: list[float], left: int) -> None:
    lcs, said = read(declaring({"flux": "Jy"}, flux=flux).drop_columns("mag"), "V")
    assert lcs.n_epochs.tolist() == [left]
    assert f"{4 - left} of 4 points have no magnitude, first of star 7" in said[0]


@pytest.mark.parametrize("text", [">17.5", "< 17.5", ">17"])
def test_limits_are_no_magnitudes(text: str) -> None:
    lcs, said = read(star(mag=["15.25", text, "15.75", "16.0"]))
    assert lcs.mag.tolist() == [15.25, 15.75, 16.0]
    assert said == [
        "the table: 1 of 4 points have only a limit in column 'mag', which counts as missing, first of star 7 "
        f"({text}). Remove those rows to avoid this message."
    ]


@pytest.mark.parametrize("blank", ["", "--", "---", "nan", "NULL", "n/a", "None", "-"])
def test_blanks_in_text_are_missing(blank: str) -> None:
    lcs, said = read(star(mag=["15.25", blank, " 15.75 ", "16.0"]))
    assert lcs.mag.tolist() == [15.25, 15.75, 16.0]
    assert "1 of 4 points have no magnitude" in said[0]


# ---------------------------------------------------------------------- the same measurement once
def test_a_repeated_measurement_counts_once() -> None:
    twice = pd.concat([star(mag_error=0.1), star(mag_error=[0.1, 0.05, np.nan, 0.2])])
    lcs, said = read(twice)
    assert (lcs.time.tolist(), lcs.mag.tolist()) == ([1.0, 2.0, 3.0, 4.0], MAG.tolist())
    assert lcs.mag_error.tolist() == [0.1, 0.05, 0.1, 0.1]
    assert (
        "4 of 8 points repeat a measurement (same star, time and magnitude), and are taken once, first of star 7"
        in said[0]
    )


def test_other_measurements_at_the_same_time_stay() -> None:
    other_mag, other_star = star(mag=MAG + 0.1), star(source_id=8)
    lcs, said = read(pd.concat([star(), other_mag, other_star]))
    assert (lcs.n_epochs.tolist(), said) == ([8, 4], [])
    folded, said = read(star(phase=[0.5, 0.5, 0.25, 0.25], mag=15.0).drop(columns="time"))
    assert (folded.n_epochs.tolist(), said) == ([4], [])


def test_repetitions_between_others_of_the_same_time_are_found() -> None:
    lcs, _ = read(star(time=2.0, mag=[15.0, 16.0, 15.0, 16.0]))
    assert sorted(lcs.mag.tolist()) == [15.0, 16.0]


# ---------------------------------------------------------------------- bands
@pytest.mark.parametrize(
    ("band", "column", "values"),
    [
        ("zg", "filtercode", ["zg", "zr", "zg", "zi"]),
        ("zg", "filter", ["g", "r", "g", "i"]),
        ("zg", "fid", [1, 2, 1, 3]),
        ("zg", "fid", ["1", "2", "1", "3"]),
        ("zg", "fid", [1.0, 2.0, 1.0, 3.0]),
        ("zr", "fid", [2, 1, 2, 3]),
        ("zi", "filter", ["ZTF_i", "ZTF_g", "ZTF_i", "ZTF_r"]),
        ("V", "filter", ["V", "I", "V ", "I"]),
        ("V", "band", ["Johnson_V", "Ic", "Johnson_V", "Ic"]),
        ("I", "passband", ["OGLE_I", "OGLE_V", "OGLE_I", "OGLE_V"]),
        ("BP", "band", ["G_BP", "G", "G_BP", "G"]),
        ("lsst_r", "band", ["r", "g", "r", "g"]),
        ("Kp", "filter", ["Kp", "V", "Kp", "V"]),
        ("4", "filter", [4, 5, 4, 5]),
    ],
)
def test_bands_by_the_names_that_files_give_them(band: str, column: str, values: list[Any]) -> None:
    lcs, said = read(star(**{column: values}), band)
    assert (lcs.band, lcs.mag.tolist(), said) == (band, [15.25, 15.75], [])
    as_category = star(**{column: pd.Series(values).astype("category")})
    assert read(as_category, band)[0].mag.tolist() == [15.25, 15.75]


def test_two_names_that_may_be_the_band_are_refused() -> None:
    with pytest.raises(BadInput, match="holds the bands 'g' and 'zg', and each may be what is meant by 'zg'"):
        read(star(filter=["zg", "g", "zg", "g"]), "zg")


def test_a_band_by_number_that_is_not_there() -> None:
    with pytest.raises(BadInput, match=r"has no band 'V'; it holds 1, 2. Choose one: band='1'"):
        read(star(fid=[1, 2, 1, 2]), "V")


@pytest.mark.parametrize("name", ["vmag", "v_mag", "mag_v", "v"])
def test_a_magnitude_may_bear_the_name_of_its_band(name: str) -> None:
    both = star(**{name: MAG - 1, f"e_{name}": 0.25, "imag": MAG - 2}).drop(columns="mag")
    lcs, _ = read(both, "V")
    assert (lcs.mag.tolist(), lcs.mag_error.tolist()) == ((MAG - 1).tolist(), [0.25] * 4)
    assert read(both, "I")[0].mag.tolist() == (MAG - 2).tolist()
    with pytest.raises(BadInput, match=r"the table has no band 'G'; it holds (V, )?I"):
        read(both, "G")


@pytest.mark.parametrize(
    ("mag", "error"),
    [("mag", "mag err"), ("mag", "Mag_Error"), ("psfmag", "psfmagerr"), ("magnitude", "e_magnitude"),
     ("mag", "sigma_mag"), ("magpsf", "sigmapsf"), ("gmag", "gmag_err"), ("mag", "uncertainty"),
     ("g_mag", "g_mag_error"), ("gmag", "e_gmag")],
)  # fmt: skip
def test_an_error_bears_the_name_of_its_magnitude(mag: str, error: str) -> None:
    given = star(**{mag: MAG, error: 0.25, "e_other": 0.5})
    assert read(given if mag == "mag" else given.drop(columns="mag"))[0].mag_error.tolist() == [0.25] * 4


def test_the_fullest_magnitude_is_taken_star_by_star() -> None:
    lcs, said = read(star(mag=[15.25, np.nan, -99.0, np.nan], magnitude=MAG + 0.5))
    assert lcs.mag.tolist() == (MAG + 0.5).tolist()
    assert "column 'magnitude' is used for stars of which it holds more points than 'mag'" in said[-1]


# ---------------------------------------------------------------------- identifiers
@pytest.mark.parametrize(
    "name",
    ["oid", "objectid", "MasterID", "star_id", "Source", "DR3Name", "diaObjectId", "asas_sn_id", "id", "crts_id"],
)
def test_whose_point_it_is(name: str) -> None:
    lcs, _ = read(star(**{name: [1001, 1002, 1001, 1002], "transit_id": [1, 2, 3, 4]}).drop(columns="source_id"))
    assert (lcs.source_id.tolist(), lcs.n_epochs.tolist()) == ([1001, 1002], [2, 2])


@pytest.mark.parametrize(
    ("less", "more"), [("id", "star_id"), ("id", "source_id"), ("name", "oid"), ("star", "source_id")]
)
def test_the_more_specific_identifier_wins(less: str, more: str) -> None:
    both = star(**{less: [1, 2, 3, 4], more: [5, 5, 6, 6]})
    assert read(both if more == "source_id" else both.drop(columns="source_id"))[0].source_id.tolist() == [5, 6]


def test_names_are_identifiers_and_an_empty_column_is_none() -> None:
    names = ["OGLE-BLG-RRLYR-00951", "V1", "OGLE-BLG-RRLYR-00951", "Gaia DR3 12"]
    lcs, _ = read(star(name=names, source_id=pd.array([pd.NA] * 4, "Int64")))
    assert lcs.source_id.tolist() == [source_id_of(names[0]), source_id_of("V1"), 12]
    with pytest.raises(BadColumn, match="identifiers in column 'source_id' are all empty"):
        read(star(source_id=pd.array([pd.NA] * 4, "Int64")))


def test_rows_without_identifier_are_counted() -> None:
    lcs, said = read(star(source_id=["V1", "  ", None, "V1"]))
    assert lcs.n_epochs.tolist() == [2]
    assert "2 rows without source_id are left out, first row 1. Fill in that column." in said[0]


# ---------------------------------------------------------------------- quality columns
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("catflags", [0, 32768, 2, 32769]),
        ("catflags", [0, 32768, 2, np.nan]),
        ("catflags", ["0", "32768", "16", ""]),
        ("QUALITY", [0, 1, 0, 128]),
        ("sap_quality", [0, 1, 0, 128]),
        ("Quality", ["G", "B", "G", "B"]),
        ("quality", ["g", "b", "G", None]),
        ("GRADE", ["A", "C", "B", "D"]),
        ("grade", ["A ", "D", "b", None]),
        ("flags", [0, 4, 0, 1]),
        ("psfFlux_flag", [False, True, False, None]),
        ("pixelFlags_bad", [False, True, False, True]),
        ("pixelFlags_saturatedCenter", ["false", "true", "F", "T"]),
        ("rejected_by_pipeline", [0, 1, 0, 1]),
    ],
)
def test_quality_columns_of_surveys_are_obeyed(name: str, values: list[Any]) -> None:
    lcs, said = read(star(**{name: values}))
    assert lcs.mag.tolist() == [15.25, 15.75]
    counted = f"2 of 4 points are bad by the quality column '{name.lower()}' and left out, first of star 7"
    assert [counted in text for text in said] == ([] if name.startswith("rejected") else [True])


@pytest.mark.parametrize(
    "name", ["my_flag", "photo_quality", "qual", "saturated", "mask", "infobitssci", "use", "grade_2_bad"]
)
@pytest.mark.parametrize("values", [[0, 1, 0, 3], ["good", "bad", "good", "bad"], [True, False, True, True]])
def test_quality_columns_that_are_not_known_are_named(name: str, values: list[Any]) -> None:
    lcs, said = read(star(**{name: values}))
    assert (lcs.mag.tolist(), len(said)) == (MAG.tolist(), 1)
    assert f"'{name}': quality columns by their names, of unknown meaning, and not obeyed" in said[0]


@pytest.mark.parametrize("values", [[0, 0, 0, 0], [False] * 4, [None] * 4, [0.0, np.nan, 0.0, 0.0]])
def test_a_column_that_says_nothing_is_not_named(values: list[Any]) -> None:
    lcs, said = read(star(my_flag=values))
    assert (lcs.mag.tolist(), said) == (MAG.tolist(), [])


@pytest.mark.parametrize("name", ["mag", "mag_error", "ra", "period", "airmass", "field", "quarter", "user", "grader"])
def test_other_columns_are_no_quality_columns(name: str) -> None:
    assert quality_columns([name]) == ((), ())


def test_every_quality_column_is_documented_and_any_other_is_a_flag() -> None:
    assert all(rule.survey and rule.meaning for rule in QUALITY)
    assert good_points(pa.chunked_array([[True, False, None]]), "of_a_new_layout").tolist() == [False, True, False]


def test_a_flag_of_the_star_is_none_of_its_points() -> None:
    lists = pa.table({"source_id": [7], "time": [[1.0, 2.0]], "mag": [[15.0, 16.0]], "flag": [3], "suspect_mask": [1]})
    assert read(lists)[0].n_epochs.tolist() == [2]
    assert read(lists)[1] == []
    per_point = lists.append_column("catflags", pa.array([[0, 32768]]))
    assert read(per_point)[0].mag.tolist() == [15.0]


# ---------------------------------------------------------------------- counted once a command
def test_what_is_left_out_of_many_files_is_said_once() -> None:
    tally = Tally()
    for number in range(30):
        table = pa.Table.from_pandas(star(source_id=number, mag=[15.0, np.nan, -99.0, 15.0]), preserve_index=False)
        to_lightcurves(table, origin=Origin(f"{number}.csv", tally=tally))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tally.say()
        tally.say()
    assert sorted(str(warning.message) for warning in said) == [
        "0.csv and 29 more files: 30 of 120 points have a place-holder in column 'mag', which counts as missing, first "
        "of star 0 (-99.0). Empty those entries.",
        "0.csv and 29 more files: 30 of 120 points have no magnitude, first of star 0. Fill in that column, or remove "
        "those rows.",
    ]


def test_a_table_read_alone_says_what_it_found_itself() -> None:
    _, said = read(star(time=[1.0, np.nan, 3.0, 4.0]))
    assert said == [
        "the table: 1 of 4 points have no time, first of star 7. Fill in that column, or remove those rows."
    ]


# ---------------------------------------------------------------------- streams
def streamed(path: Path, band: str = "G") -> tuple[LightCurves, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", PhotfehWarning)
        parts = list(iter_lightcurves(path, band=band, stars_per_chunk=3))
    return LightCurves.concatenate(parts), [str(warning.message) for warning in said]


@pytest.mark.parametrize(
    ("band", "column", "values"), [("zg", "fid", [1, 2, 1, 2]), ("zg", "filtercode", ["zg", "zr"] * 2)]
)
def test_streams_know_bands_by_the_names_that_files_give_them(
    tmp_path: Path, band: str, column: str, values: list[Any]
) -> None:
    table = pd.concat([star(source_id=number, **{column: values}) for number in range(10)])
    table.to_parquet(tmp_path / "a.parquet")
    lcs, said = streamed(tmp_path / "a.parquet", band)
    assert (lcs.n_epochs.tolist(), said) == ([2] * 10, [])


def test_a_stream_counts_over_all_its_batches_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_POINTS_PER_BATCH", 8)
    for number in range(3):
        table = pd.concat([star(source_id=10 * number + i, mag=[15.0, np.nan, 15.2, 15.3]) for i in range(10)])
        table.to_parquet(tmp_path / f"{number}.parquet")
    lcs, said = streamed(tmp_path)
    assert (len(lcs), len(said)) == (30, 1)
    assert "0.parquet and 2 more files: 30 of 120 points have no magnitude, first of star 0." in said[0]


def test_a_stream_of_names_and_of_blanks(tmp_path: Path) -> None:
    table = pd.DataFrame({"name": ["V1", "V1", " ", None, "V2"], "time": np.arange(5.0), "mag": 15.0})
    table.to_parquet(tmp_path / "a.parquet")
    lcs, said = streamed(tmp_path / "a.parquet")
    assert (lcs.source_id.tolist(), lcs.n_epochs.tolist()) == ([source_id_of("V1"), source_id_of("V2")], [2, 1])
    assert "2 rows without name are left out" in said[0]
    table.assign(source_id=pd.array([pd.NA] * 5, "Int64"), name="V3").to_parquet(tmp_path / "b.parquet")
    assert streamed(tmp_path / "b.parquet")[0].source_id.tolist() == [source_id_of("V3")]
