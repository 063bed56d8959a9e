"""Names of types as catalogues write them: RR Lyrae, other variables, nothing, and words that nobody knows."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from photfeh.core.errors import PhotfehWarning
from photfeh.core.flags import Flag
from photfeh.core.stars import validate_stars
from photfeh.core.startypes import MISSING, NOT_RR_LYRAE, RR_LYRAE, canonical_types, classify_type
from photfeh.inference.prediction import predict
from photfeh.readers import read_lightcurves, read_stars
from photfeh.samples.measure import measure
from photfeh.simulation.survey import simulate


@pytest.mark.parametrize(
    ("names", "canonical"),
    [
        (["RRab", "rrab", " RRAB ", "RRAB:", "RRab?", "RRAB/BL", "RRab-BL", "RRab (Blazhko)", "RR0", "ab"], "RRab"),
        (["RRA", "RR Lyr-ab", "RRLyr_ab", "RR Lyrae ab", "a", "b", 0, 0.0, "0", np.float32(0), b"RRab"], "RRab"),
        (["RRc", "RRC:", "RRC/BL", "RR1", "c", 1, 1.0, np.int8(1), "1", "1.0"], "RRc"),
        (["RRd", "RRD:", "aRRd", "ARRD", "RR(B)", "RR01", "01", "d"], "RRd"),
        (["RRe", "RRE:"], "RRe"),
        (["RR", "RR:", "RR*", "RR?", "RRLyr", "RRLYR", "RR Lyrae", "RRLyr_Candidate", "Candidate_RRLyr"], "RR"),
        (["RRAB|RRC", "RRc/RRab", "Blazhko"], "RR"),
    ],
)  # fmt: skip
def test_spellings_of_rr_lyrae(names, canonical):
    assert {name: classify_type(name) for name in names} == {name: ("RR Lyrae", canonical) for name in names}


@pytest.mark.parametrize(
    "name",
    [
        *("EA", "EB", "EW", "ECL", "EA/SD", "EA/D", "EB|EW", "EC/ESD", "E:", "CEP", "DCEP", "DCEP-FU", "DCEPS", "ACEP"),
        *("CW", "CWA", "CWB", "CW-FO", "BLHER", "BL Her", "T2CEP", "DSCT", "SXPHE", "SX Phe", "HADS", "HADS(B)"),
        *("LPV", "M", "Mira", "SR", "ROT", "DSCT|GDOR|SXPHE", "ACV|CP|MCP|ROAM|ROAP|SXARI", "BE|GCAS|SDOR|WR"),
        *("EB*", "Ce*", "cC*", "Mi*", "LP*", "dS*", "RS CVn", "BYDra", "C*", "SOLAR_LIKE", "W Vir", "QSO", "YSO"),
    ],
)
def test_other_variables_are_known_as_such_and_keep_their_name(name):
    assert classify_type(name) == ("not RR Lyrae", name)


@pytest.mark.parametrize(
    "name", ["", "  ", None, np.nan, pd.NA, "--", "-", "UNKNOWN", "unknown", "VAR", "VAR:", "?", "N/A", "nan", "V*"]
)
def test_what_says_nothing_is_missing(name):
    assert classify_type(name) == ("missing", None)


@pytest.mark.parametrize("name", ["good", "EW|RRC", "RRab/EA", "class 3", 2, 17, "RRab!!", "variable star of note"])
def test_words_nobody_knows(name):
    assert classify_type(name) == ("unknown", str(name))


def test_the_tables_do_not_contradict_each_other():
    assert not RR_LYRAE.keys() & NOT_RR_LYRAE
    assert not (RR_LYRAE.keys() | NOT_RR_LYRAE) & MISSING
    for name in (*RR_LYRAE, *NOT_RR_LYRAE, *MISSING):
        kind, canonical = classify_type(name)
        expected = "RR Lyrae" if name in RR_LYRAE else "not RR Lyrae" if name in NOT_RR_LYRAE else "missing"
        assert (name, kind) == (name, expected)
        assert classify_type(canonical)[1] == canonical


def test_unknown_words_are_listed_once_with_their_numbers():
    words = [f"word{i}" for i in range(12)] + ["word3"] * 4 + ["RRab", None, "EA"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        types = canonical_types(pd.Series(words), "table.csv")
    assert len(caught) == 1
    text = str(caught[0].message)
    assert text.startswith("table.csv: unknown types 'word3' (5), 'word0' (1)")
    assert "and 2 more; these 16 stars" in text
    assert types.tolist() == [*words[:-2], None, "EA"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        canonical_types(pd.Series(["RRAB:", "", "DCEP", np.nan, 0], dtype=object), "table.csv")
        canonical_types(pd.Series(pd.Categorical(["RRAB:", "EA", None])), "table.csv")


@pytest.mark.filterwarnings("ignore:.*unknown types:photfeh.core.errors.PhotfehWarning")
def test_only_stars_that_may_be_rr_lyrae_are_predicted():
    sky = simulate(12, seed=8, rrc_fraction=0.0, n_epochs=60, noise=0.01)
    given = ["RRAB/BL", "RR:", None, "--", "strange", "EA", "DCEPS", "aRRd", "RRe", 1, "EW|RRC", "01"]
    table = sky.stars[["source_id", "period"]].assign(type=given)
    done = predict(sky.curves, table, model="relation")
    wrong, unknown = ((done["flag"] & int(bit)) > 0 for bit in (Flag.WRONG_TYPE, Flag.UNKNOWN_TYPE))
    assert np.flatnonzero(wrong).tolist() == [5, 6, 7, 8, 11]
    assert np.flatnonzero(unknown).tolist() == [4, 10]
    assert np.array_equal(done["feh"].isna(), wrong)
    # typed by the curve, an unknown word changes nothing but the flag
    plain = predict(sky.curves, table.assign(type=None), model="relation")
    assert np.array_equal(done["feh"][[0, 1, 2, 3, 4, 10]], plain["feh"][[0, 1, 2, 3, 4, 10]])
    assert not (plain["flag"] & int(Flag.UNKNOWN_TYPE | Flag.WRONG_TYPE)).any()
    measured = measure(sky.curves, validate_stars(table)).table
    assert measured["type"].tolist() == [
        *["RRab"] * 5, "EA", "DCEPS", "RRd", "RRe", "RRc", "RRab", "RRd",
    ]  # fmt: skip
    assert measured["type_source"].tolist() == ["given", *["light curve"] * 4, *["given"] * 5, "light curve", "given"]


def test_double_mode_stars_are_marked_whatever_they_were_called(rng):
    sky = simulate(300, seed=3, rrc_fraction=1.0)
    period, star = sky.stars["period"].to_numpy(), sky.curves.star_index
    plain = measure(sky.curves, sky.stars).table["flag"].to_numpy() & int(Flag.DOUBLE_MODE)
    assert (plain > 0).mean() < 0.01
    ratio, phase = rng.uniform(0.743, 0.7475, len(period)), rng.random(len(period))
    size = 0.4 * sky.stars["true_a1"].to_numpy()
    wave = size[star] * np.cos(2 * np.pi * (sky.curves.time * (ratio / period)[star] + phase[star]))
    curves = replace(sky.curves, mag=sky.curves.mag + wave)
    likely = period > 0.33  # where double-mode stars are
    for given in ("RRc", "RRab", None):
        flag = measure(curves, sky.stars.assign(type=given)).table["flag"].to_numpy() & int(Flag.DOUBLE_MODE)
        assert (flag > 0)[likely].mean() > 0.5


@pytest.mark.real
def test_ogle_stars_of_one_mode_are_not_taken_for_two(real_data):
    stars = read_stars(real_data / "gaia-dr3" / "stars.parquet")
    stars = stars[stars["period_source"] == "ogle"].reset_index(drop=True)
    curves = read_lightcurves(real_data / "gaia-dr3" / "epoch_photometry.parquet")
    flag = measure(curves, stars.assign(type=stars["ogle_type"])).table["flag"]
    assert len(flag) > 800
    assert (flag & int(Flag.DOUBLE_MODE) > 0).sum() <= 2


def test_a_read_table_warns_of_unknown_words():
    with pytest.warns(PhotfehWarning, match=r"the star table: unknown types 'Good' \(2\); these 2 stars"):
        validate_stars(pd.DataFrame({"source_id": [1, 2], "class": ["Good", "Good"]}))
