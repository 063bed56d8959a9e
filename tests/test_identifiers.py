"""Identifiers: which column, exact as integers, and names that become the same number everywhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photfeh.core import identifiers
from photfeh.core.errors import BadColumn
from photfeh.core.identifiers import IDENTIFIERS, identifier_columns, names_of, source_id_of, to_source_id

BIG = 5_325_123_456_789_012_345


def ids(values: object, dtype: object = None) -> list[int]:
    found = to_source_id(pd.Series(values, dtype=dtype), "a.csv")
    assert found.dtype == np.int64
    return found.tolist()


@pytest.mark.parametrize(
    "dtype", ["int8", "int32", "int64", "uint64", "Int64", "UInt64", "float32", "float64", "Float64"]
)
def test_small_numbers_of_any_type(dtype: str) -> None:
    assert ids([5, 100], dtype) == [5, 100]


@pytest.mark.parametrize("dtype", ["int64", "uint64", "Int64", "UInt64", object, "str", "string", "category"])
def test_big_numbers_are_exact(dtype: object) -> None:
    values = [BIG, BIG + 1]
    as_text = dtype in ("str", "string", "category")
    assert ids([str(value) for value in values] if as_text else values, dtype) == values


@pytest.mark.parametrize(
    "text", ["Gaia DR3 {}", "gaia dr3 {}", "Gaia EDR3 {}", " GAIA  DR3  {} ", "Gaia_DR3_{}", "DR3 {}", "{}", " +{} "]
)
def test_dr3_names_are_their_number(text: str) -> None:
    assert ids([text.format(BIG)]) == [BIG]
    assert source_id_of(text.format(BIG)) == BIG


@pytest.mark.parametrize(
    "name",
    ["OGLE-BLG-RRLYR-00951", "V1", "ZTF18abcdefg", "Gaia DR2 123", "Gaia DR1 123", "HD 1", "X" * 300, "α Lyr"],
)
def test_names_are_negative_numbers(name: str) -> None:
    (found,) = ids([name])
    assert -(2**62) <= found < 0
    assert found == source_id_of(f"  {name} ") == ids([name, "other"], "category")[0]
    assert names_of(pd.Series([f" {name} "])).tolist() == [name]


def test_the_number_of_a_name_never_changes() -> None:
    assert source_id_of("OGLE-BLG-RRLYR-00951") == -573468339864932442
    assert source_id_of("RR  Lyr") == source_id_of("RR Lyr") != source_id_of("rr lyr")


def test_a_second_release_is_another_star() -> None:
    two, three = ids([f"Gaia DR2 {BIG}", f"Gaia DR3 {BIG}"])
    assert three == BIG
    assert two < 0


def test_numbers_beyond_63_bits_are_names() -> None:
    values = np.array([2**63 + 5, 2**64 - 1, 7], np.uint64)
    found = ids(values)
    assert found == [source_id_of(str(value)) for value in values.tolist()]
    assert [number < 0 for number in found] == [True, True, False]
    assert ids(["99999999999999999999"])[0] < 0


@pytest.mark.parametrize(
    ("values", "dtype", "text"),
    [
        ([2**24 + 2], "float32", "cannot keep a Gaia source_id exact"),
        ([2**24], "float32", "cannot keep"),
        ([2**11], "float16", "cannot keep"),
        ([2.0**53], "float64", "cannot keep"),
        ([2.0**53], "Float64", "cannot keep"),
        ([1.5], "float64", "cannot keep"),
        ([np.inf], "float64", "cannot keep"),
        (["4.1e18"], None, "was written as a floating-point number"),
        (["4100000000000000000.0"], None, "was written as a floating-point number"),
        ([4.1e18, "V1"], object, "was written as a floating-point number"),
        (["12.5"], None, "was written as a floating-point number"),
        ([1, None], None, "missing in row 1"),
        (["V1", None], None, "missing in row 1"),
        (["V1", "  "], None, "blank"),
        ([True, False], None, "true and false"),
    ],
)
def test_what_is_no_identifier_is_refused(values: list[object], dtype: object, text: str) -> None:
    with pytest.raises(BadColumn, match=f"a.csv: source_id .*{text}"):
        ids(values, dtype)


def test_whole_floats_as_text_and_leading_zeros() -> None:
    assert ids(["5.0", "00951", "-3", 7.0], object) == [5, 951, -3, 7]
    assert ids(["951", "00951"]) == [951, 951]
    assert ids([], object) == []


def test_two_names_with_one_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identifiers, "source_id_of", lambda text: -5)
    with pytest.raises(BadColumn, match=r"a\.csv: the names 'V1' and 'V2' get the same number. Rename"):
        ids(["V1", "V2"])
    assert ids(["V1", "V1"]) == [-5, -5]


def test_names_are_kept_where_they_are_names() -> None:
    assert names_of(pd.Series(["V1", "12", None, "Gaia DR3 4"], dtype=object)).tolist() == [
        "V1",
        None,
        None,
        "Gaia DR3 4",
    ]
    assert names_of(pd.Series([1, 2])).tolist() == [None, None]
    assert names_of(pd.Series(["V1", "V1"], dtype="category")).tolist() == ["V1", "V1"]


@given(st.lists(st.text(min_size=1).filter(lambda text: text.strip()), min_size=1, max_size=20, unique_by=str.strip))
def test_any_text_is_an_identifier_or_refused(texts: list[str]) -> None:
    try:
        found = ids(texts, object)
    except BadColumn:
        return
    assert found == [ids([text], object)[0] for text in texts]


# ---------------------------------------------------------------------- which column
@pytest.mark.parametrize(
    "name", [*IDENTIFIERS, "id", "crts_id", "linear_id", "catalina_name", "mystarid", "vvv designation"]
)
def test_columns_that_look_like_identifiers(name: str) -> None:
    assert identifier_columns(["time", name, "mag"]) == [name]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "transit_id",
            "solution_id",
            "filter_id",
            "fid",
            "obs_id",
            "exposure_name",
            "band_name",
            "ccd_id",
            "visit_id",
        ),
        *("survey_name", "camera", "grid", "valid", "diasourceid", "file_name", "g_transit_id", "ra", "time", "mag"),
    ],
)
def test_columns_that_do_not(name: str) -> None:
    assert identifier_columns([name]) == []


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (["id", "star_id"], "star_id"),
        (["id", "source_id", "star_id"], "source_id"),
        (["name", "oid"], "oid"),
        (["id", "name"], "name"),
        (["id", "crts_id"], "crts_id"),
        (["crts_id", "object_id"], "object_id"),
        (["designation", "source_id"], "source_id"),
        (["dr2name", "dr3name"], "dr3name"),
        (["transit_id", "id"], "id"),
    ],
)
def test_the_most_specific_identifier_goes_first(names: list[str], best: str) -> None:
    assert identifier_columns(names)[0] == best
    assert identifier_columns(names[::-1])[0] == best
