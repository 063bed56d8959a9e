"""The models that ship: complete, documented, small, free of training stars, and as good as their cards say."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import photfeh as pf
from photfeh.core.errors import PhotfehWarning, UnknownName
from photfeh.core.flags import Flag
from photfeh.inference.cards import weights_sha256
from photfeh.inference.prediction import list_trained, load, load_card, predict
from photfeh.inference.trained import _PRETRAINED
from photfeh.readers import read_stars
from photfeh.validation.metrics import score

SHIPPED = ("dekany-i-band", "dekany-i-band-distilled", "gaia-dr3-relation", "gru", "liu-2020", "ogle-i-band-rrc")


@pytest.fixture(scope="module")
def survey():
    return pf.simulate(400, seed=77)


def test_all_are_there_and_small():
    assert set(SHIPPED) <= set(list_trained())
    assert list_trained()[0] == "default"
    size = sum(path.stat().st_size for path in _PRETRAINED.rglob("*") if path.is_file())
    assert size < 12e6


@pytest.mark.parametrize("name", SHIPPED)
def test_card_tells_what_matters_and_the_hash_of_these_weights(name):
    card = load_card(name)
    for heading in ("Accuracy out of fold", "Coverage", "Scale", "Intended use", "Limits", "Citation", "Remake"):
        assert f"## {heading}" in card
    assert weights_sha256(_PRETRAINED / name) in card


@pytest.mark.parametrize("name", SHIPPED)
def test_no_identifier_of_a_star_is_shipped(name):
    text = "".join(path.read_text() for path in (_PRETRAINED / name).rglob("*.json"))
    assert "source_id" not in text
    numbers = json.loads((_PRETRAINED / name / "model.json").read_text())["notes"]
    assert not [value for value in _leaves(numbers) if isinstance(value, int) and value > 10**9]


def _leaves(value):
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, list) else [value]


def test_the_card_of_a_formula_and_of_an_unknown_name():
    assert "Published relations" in load_card("relation")
    with pytest.raises(UnknownName, match="dekany-i-band"):
        load_card("dekany-iband")


def test_default_sends_each_type_to_its_model(survey):
    table = predict(survey.curves, survey.stars)
    kind = survey.stars["type"].to_numpy()
    assert set(table.loc[kind == "RRab", "model"]) == {"dekany-i-band-distilled"}
    assert set(table.loc[kind == "RRc", "model"]) == {"ogle-i-band-rrc"}
    assert table["feh"].notna().mean() > 0.95
    for name in ("dekany-i-band-distilled", "ogle-i-band-rrc"):
        mine = (table["model"] == name).to_numpy()
        alone = load(name).predict(survey.curves, survey.stars)
        assert np.allclose(alone["feh"][mine], table["feh"][mine], atol=1e-5, equal_nan=True)


def test_one_network_says_what_fifteen_say(survey):
    rrab = (survey.stars["type"] == "RRab").to_numpy()
    one, many = (
        load(name).predict(survey.curves[rrab], survey.stars[rrab].reset_index(drop=True), scale="labels")
        for name in ("dekany-i-band-distilled", "dekany-i-band")
    )
    good = many["flag"].to_numpy() == 0
    difference = (one["feh"] - many["feh"])[good]
    assert np.sqrt(np.mean(difference**2)) < 0.03
    assert abs(np.median(difference)) < 0.01
    assert np.median(one["feh_error"] / many["feh_error"]) == pytest.approx(1.0, abs=0.1)


def test_a_type_nobody_was_trained_on_is_flagged(survey):
    stars = survey.stars.assign(type="RRd")[:5]
    table = predict(survey.curves, stars)
    assert table["feh"].isna().all()
    assert (table["flag"] & Flag.WRONG_TYPE).all()


def test_the_relation_is_read_from_simulated_curves(survey):
    """The truth of the simulation is the relation that taught this model; the curves are new to it."""
    table = predict(survey.curves, survey.stars, model="gaia-dr3-relation", scale="labels")
    sharp = survey.stars["feh_error"].to_numpy() < survey.stars["feh_error"].quantile(0.5)
    values = score(survey.stars["feh"][sharp], table["feh"][sharp])
    assert values["r2"] > 0.8, values


@pytest.mark.real
def test_high_resolution_spectroscopy(real_data):
    """No star of this set was in any training."""
    folder = real_data / "crestani-spectroscopic"
    with pytest.warns(PhotfehWarning, match="'feh_error' are no possible values"):  # 0: unknown
        stars = read_stars(folder / "stars.parquet").assign(type="RRab")
    table = predict(folder / "epoch_photometry.parquet", stars, model="dekany-i-band")
    values = score(stars["feh"], table["feh"])
    assert values["n"] == 93
    assert values["sd"] <= 0.21, values
    assert values["robust_sd"] <= 0.17, values


@pytest.mark.real
def test_unlabelled_real_stars_get_plausible_values(real_data):
    stars = pd.read_parquet(real_data / "dekany-grebel-2022" / "stars.parquet")
    some = stars[stars["feh"].isna()].head(300)
    table = predict(some, read_stars(some[["source_id", "period"]]).assign(type="RRab"))
    assert table["feh"].between(-3.2, 0.5).mean() > 0.99


def test_opening_a_model_does_not_load_the_compiler_of_torch():
    """It takes three seconds, which every first prediction would wait for."""
    code = "import sys; import photfeh as pf; pf.load(); sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=240).returncode == 0
