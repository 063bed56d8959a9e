from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from photfeh.core.errors import BadColumn, MissingColumn, PhotfehWarning
from photfeh.core.stars import COLUMNS, column_table, validate_stars


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
        ({"source_id": [4, 4]}, BadColumn, "source_id 4 occurs more than once"),
        ({"source_id": ["a"]}, BadColumn, "'a' is not an integer"),
        ({"source_id": [1, None]}, BadColumn, "missing in row 1"),
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
