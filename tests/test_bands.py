"""A band is never mixed with another in silence: not in light curves, data sets, labels, models or predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from photfeh.core.bands import BANDS, get_band
from photfeh.core.errors import BadInput, BandMismatch
from photfeh.core.flags import Flag
from photfeh.core.lightcurves import LightCurves
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.prediction import Predictor, load, load_card, predict
from photfeh.inference.training import train
from photfeh.readers import to_long
from photfeh.readers.stream import iter_chunks
from photfeh.samples.dataset import Dataset
from photfeh.samples.measure import measure
from photfeh.samples.preparation import prepare
from photfeh.samples.sequences import Representation, build_sequences
from photfeh.simulation.survey import Simulation, simulate


@pytest.fixture(scope="module")
def fresh() -> Simulation:
    return simulate(40, seed=8)


@pytest.fixture(scope="module")
def in_v(fresh: Simulation) -> LightCurves:
    return replace(fresh.curves, band="V")


def test_every_listed_band_turns_a_flux_into_its_magnitude():
    """One unit of flux is the zero point; AB bands agree with each other through their units."""
    for band in BANDS.values():
        assert band.zero_point is not None
        assert band.flux_unit
        assert band.source
    # 3631 Jy is AB magnitude zero: Oke & Gunn 1983
    assert BANDS["lsst_g"].zero_point - 2.5 * np.log10(3631e9) == pytest.approx(0.0, abs=1e-3)
    assert BANDS["zg"].zero_point - 2.5 * np.log10(3631) == pytest.approx(0.0, abs=1e-3)
    assert BANDS["V"].zero_point - 2.5 * np.log10(3636) == pytest.approx(0.0, abs=1e-3)
    assert str(BANDS["G"]) == "G (Gaia)"
    own = get_band("Ks")
    assert (own.name, own.zero_point, str(own)) == ("Ks", None, "Ks")
    with pytest.raises(BadInput, match="needs a name"):
        get_band(" ")


def test_v_curves_to_a_g_model_are_refused_and_flagged_if_wanted(fresh, in_v):
    with pytest.raises(BandMismatch, match=r"in band V \(Johnson\).*trained on curves in band G \(Gaia\).*--any-band"):
        predict(in_v, fresh.stars, model="gru")
    with pytest.raises(BandMismatch):
        load("gru").predict(in_v, fresh.stars)
    table = predict(in_v, fresh.stars, model="gru", any_band=True)
    assert ((table["flag"] & Flag.OTHER_BAND) > 0).all()
    own = predict(fresh.curves, fresh.stars, model="gru", any_band=True)
    assert not ((own["flag"] & Flag.OTHER_BAND) > 0).any()
    assert table["feh"].equals(own["feh"])  # the same numbers, with a warning on them
    with pytest.raises(BandMismatch):
        predict(fresh.curves, fresh.stars, model="gru", band="V")


def test_curves_in_memory_are_not_taken_for_another_band(fresh, in_v, tmp_path):
    with pytest.raises(BandMismatch, match="asked was band G"):
        list(iter_chunks(in_v, fresh.stars, band="G"))
    with pytest.raises(BandMismatch):
        prepare(in_v, fresh.stars, tmp_path / "d", band="G", labels="column")
    with pytest.raises(BandMismatch, match="representation is for band G"):
        build_sequences(measure(in_v, fresh.stars), Representation())


def test_a_relation_for_g_labels_no_other_band(fresh, tmp_path):
    epochs = to_long(replace(fresh.curves, band="RP")).to_pandas()
    bare = fresh.stars[["source_id", "period", "type"]]
    for labels in ("relation", "relation:muraveva-2025-rrab", None):
        with pytest.raises(BandMismatch, match=r"RP.*G|G.*RP"):
            prepare(epochs, bare, tmp_path / "d", band="RP", labels=labels)
    assert not (tmp_path / "d").exists()
    made = prepare(epochs, bare, tmp_path / "d", band="RP", labels="none", representations=("raw",))
    assert made.band == "RP"
    assert made.representation("raw").band == "RP"


def test_a_relation_is_a_label_by_its_name(fresh, tmp_path):
    bare = fresh.stars[["source_id", "period", "type"]]
    made = prepare(
        fresh.curves, bare, tmp_path / "d", labels="relation:high-resolution-2026-rrab", cuts="none",
        representations=("raw",),
    )  # fmt: skip
    sample = made.stars.iloc[made.sample]
    assert len(sample) > 10
    expected = -6.93 - 6.04 * sample["period"] + 1.65 * (sample["phi31"] + np.pi)
    turns = (sample["feh"] - expected) / (1.65 * 2 * np.pi)
    assert np.allclose(turns, np.round(turns), atol=1e-9)
    with pytest.raises(BandMismatch, match="Cousins"):
        prepare(fresh.curves, bare, tmp_path / "i", labels="relation:dekany-2021-rrab-i")


@pytest.fixture(scope="module")
def v_model(survey: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("v")
    dataset = prepare(
        replace(survey.curves, band="V"), survey.stars, folder / "dataset", labels="column", cuts="none",
        types=("RRab", "RRc"), representations=("raw",),
    )  # fmt: skip
    train(dataset, folder / "model", model="ridge-fourier", representation="raw", folds=3)
    return folder / "model"


def test_the_band_travels_with_data_set_model_and_card(v_model, fresh, in_v):
    assert Dataset.open(v_model.parent / "dataset").band == "V"
    assert Ensemble.load(v_model).band == "V"
    assert "V (Johnson)" in load_card(v_model)
    assert "G (Gaia)" in load_card("dekany-i-band")
    # the model's band is the default: nobody has to say V twice
    table = predict(to_long(in_v).to_pandas(), fresh.stars, model=v_model)
    assert table["feh"].notna().mean() > 0.9
    assert not ((table["flag"] & Flag.OTHER_BAND) > 0).any()
    with pytest.raises(BandMismatch):
        predict(fresh.curves, fresh.stars, model=v_model)
    with pytest.raises(BandMismatch, match="unlike bands"):
        Predictor("both", {"v": Ensemble.load(v_model), "g": next(iter(load("gru").ensembles.values()))})


def test_the_command_says_it_in_one_line(call, in_v, fresh, tmp_path):
    to_long(in_v).to_pandas().to_csv(tmp_path / "v.csv", index=False)
    fresh.stars[["source_id", "period", "type"]].to_csv(tmp_path / "s.csv", index=False)
    arguments = ("predict", tmp_path / "v.csv", "--stars", tmp_path / "s.csv", "--model", "gru")
    code, _, err = call(*arguments, "--band", "V", "--output", tmp_path / "p.csv")
    assert code == 2
    assert "V (Johnson)" in err
    assert "G (Gaia)" in err
    assert not (tmp_path / "p.csv").exists()
    code, _, err = call(*arguments, "--band", "V", "--any-band", "--output", tmp_path / "p.csv")
    assert code == 0
    assert "another passband" in err
    assert (pd.read_csv(tmp_path / "p.csv")["flag"] & int(Flag.OTHER_BAND) > 0).all()


def test_every_star_of_a_table_passes_once(fresh):
    """First those of the light curves, in their order; then the others, without points."""
    others = pd.DataFrame({"source_id": [1, 2, 3], "period": [0.5, 0.6, np.nan]})
    stars = pd.concat([others.iloc[:2], fresh.stars, others.iloc[2:]], ignore_index=True)
    known = fresh.curves[np.arange(len(fresh.curves))[::-1]][:30]
    chunks = list(iter_chunks(known, stars, band="G", stars_per_chunk=7))
    rows = np.concatenate([chunk.rows for chunk in chunks])
    assert sorted(rows) == list(range(len(stars)))
    for chunk in chunks:
        assert np.array_equal(chunk.curves.source_id, chunk.stars["source_id"])
        assert np.array_equal(chunk.stars["source_id"], stars["source_id"].iloc[chunk.rows])
        assert len(chunk) <= 7
        assert (chunk.curves.n_epochs > 0).all() == chunk.observed
    seen = np.concatenate([chunk.curves.source_id for chunk in chunks if chunk.observed])
    assert np.array_equal(seen, known.source_id)
