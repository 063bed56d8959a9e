from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from photfeh.core.errors import BadColumn, MissingColumn, PhotfehWarning
from photfeh.core.stars import COLUMNS, column_table, is_place_holder, restore_names, validate_stars


def test_names_are_lowered_and_aliases_taken():
    stars = validate_stars(pd.DataFrame({"SOURCE_ID": ["5", "6"], "P": [0.5, 0.6], "[Fe/H]": [-1.0, -2.0]}))
    assert stars["source_id"].tolist() == [5, 6]
    assert stars["period"].tolist() == [0.5, 0.6]
    assert stars["feh"].tolist() == [-1.0, -2.0]


def test_gaia_columns_give_period_and_type():
    stars = validate_stars(
        pd.DataFrame(
            {
                "source_id": [1, 2, 3],
                "pf": [0.5, np.nan, 0.55],
                "p1_o": [np.nan, 0.3, 0.41],
                "best_classification": ["RRab", "rrc", "RRd"],
            }
        )
    )
    assert stars["period"].tolist() == [0.5, 0.3, 0.41]
    assert stars["type"].tolist() == ["RRab", "RRc", "RRd"]


def test_big_identifiers_survive_text_and_are_refused_as_floats():
    big = 5_325_123_456_789_012_345
    assert validate_stars(pd.DataFrame({"source_id": [f"Gaia DR3 {big}"]}))["source_id"][0] == big
    with pytest.raises(BadColumn, match="floating-point"):
        validate_stars(pd.DataFrame({"source_id": [float(big)]}))


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"period": [1.0]}, MissingColumn, "no column 'source_id'"),
        ({"source_id": [4, 4], "period": [0.5, 0.6]}, BadColumn, "source_id 4 occurs more than once"),
        ({"id": ["V1", "V1"], "period": [0.5, 0.6]}, BadColumn, "source_id V1 occurs more than once"),
        ({"source_id": [None, None]}, BadColumn, "column 'source_id' is empty"),
        ({"source_id": [1], "freq": [2.0]}, MissingColumn, r"gives a frequency \('freq'; period = 1 / frequency\)"),
        ({"source_id": [1, 2], "period": ["x", "y"]}, BadColumn, "column 'period' holds text"),
    ],
)
def test_unusable_tables_are_refused_with_the_reason(table, error, message):
    with pytest.raises(error, match=message):
        validate_stars(pd.DataFrame(table))


def test_one_bad_number_is_named_and_the_rest_kept():
    with pytest.warns(PhotfehWarning, match=r"'period'.*'oops', star 8"):
        stars = validate_stars(pd.DataFrame({"source_id": [7, 8], "period": ["0.5", "oops"]}))
    assert stars["period"][0] == 0.5
    assert np.isnan(stars["period"][1])


def test_every_column_is_documented():
    table = column_table()
    assert len(table) == len(COLUMNS)
    assert (table["meaning"].str.len() > 5).all()


def test_names_are_identifiers_and_come_back_as_given():
    names = ["OGLE-BLG-RRLYR-00951", "V1", "Gaia DR3 5", "7"]
    stars = validate_stars(pd.DataFrame({"Name": names, "period": [0.5, 0.6, 0.7, 0.8]}))
    assert stars["source_id"].dtype == np.int64
    assert (stars["source_id"][:2] < 0).all()
    assert stars["source_id"][2:].tolist() == [5, 7]
    assert stars["name"].tolist() == names
    output = restore_names(stars[["source_id", "period"]].iloc[::-1], stars)
    assert output["source_id"].tolist() == names[::-1]
    again = validate_stars(output[["source_id"]])
    assert sorted(again["source_id"]) == sorted(stars["source_id"])
    numbers = validate_stars(pd.DataFrame({"source_id": [3, 4]}))
    assert "name" not in numbers.columns
    assert restore_names(numbers, numbers) is numbers


def test_id_never_wins():
    for better in ("star_id", "source_id", "MasterID", "DR3Name", "oid"):
        table = pd.DataFrame({"id": [1, 2], better: [11, 12]})
        assert validate_stars(table)["source_id"].tolist() == [11, 12]


@pytest.mark.parametrize("value", [-99.0, -99.99, -999.0, -9999.0, 99.99, 99.999, 999.0, 9999.0, 0.0, -1.0, np.inf])
@pytest.mark.parametrize("column", ["period", "pf", "p1_o", "feh_error", "period_error"])
def test_place_holders_are_missing_and_counted(column, value):
    table = pd.DataFrame({"source_id": [1, 2, 3], column: [0.5, value, value]})
    with pytest.warns(PhotfehWarning, match=f"2 of 3 entries of '{column}' are no possible values"):
        stars = validate_stars(table)
    np.testing.assert_array_equal(stars[column], [0.5, np.nan, np.nan])


@pytest.mark.parametrize("value", [-4.01, 1.01, 3.5, -10.0])
def test_labels_outside_the_range_are_dropped_and_counted(value):
    with pytest.warns(PhotfehWarning, match=r"1 of 4 labels 'feh' are outside \[-4, 1\]"):
        stars = validate_stars(pd.DataFrame({"source_id": [1, 2, 3, 4], "feh": [-4.0, 0.0, 1.0, value]}))
    np.testing.assert_array_equal(stars["feh"], [-4.0, 0.0, 1.0, np.nan])
    with pytest.warns(PhotfehWarning, match="1 of 2 entries of 'feh' are no possible values"):
        assert validate_stars(pd.DataFrame({"source_id": [1, 2], "feh": [-1.0, -99.9]}))["feh"].isna().sum() == 1


def test_real_numbers_are_no_place_holders():
    values = np.array([0.5, 98.0, 100.0, 99.5, 9.99, 9.0, -1.5, np.nan, 1e9])
    assert not is_place_holder(values).any()
    assert is_place_holder(np.array([99.0, 99.9, 99.99, 99.999, 99.9999, -999.99, 9999.0])).all()


def test_repeated_rows_are_taken_once_and_rows_without_identifier_left_out():
    table = pd.DataFrame({"name": ["V1", "V1", None, " "], "period": [0.5, 0.5, 0.6, 0.7]})
    with pytest.warns(PhotfehWarning) as said:
        stars = validate_stars(table)
    assert stars["name"].tolist() == ["V1"]
    texts = " ".join(str(warning.message) for warning in said)
    assert "2 of 4 rows have no identifier" in texts
    assert "1 rows repeat others, first of star V1" in texts


def test_unsigned_and_missing_identifiers_stay_exact():
    big = 2**62 + 1
    for column in (pd.array([big, None], "Int64"), np.array([big, 5], np.uint64), pd.array([big, 5], "UInt64")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PhotfehWarning)
            assert validate_stars(pd.DataFrame({"source_id": column}))["source_id"][0] == big
