"""What a user gets: one row for every star, whatever is wrong with some; invariants of the whole way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from photfeh.core.errors import BadFile, BadInput, UnknownName
from photfeh.core.flags import Flag, describe
from photfeh.core.lightcurves import LightCurves
from photfeh.core.threads import number_of_threads
from photfeh.inference import predictor as predicting
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.prediction import PREDICTION_COLUMNS, Predictor, load, predict
from photfeh.inference.training import train
from photfeh.models.classical import SupportVector
from photfeh.readers import write_lightcurves
from photfeh.samples.dataset import Dataset
from photfeh.samples.preparation import prepare
from photfeh.simulation.survey import Simulation, simulate

PARAMS = {"svr": {"C": 4.0, "gamma": 0.2}, "gru": {"epochs": 4}, "ridge-fourier": {}}


@pytest.fixture(scope="module")
def predictors(dataset: Dataset, tmp_path_factory) -> dict[str, Predictor]:
    made = {}
    for name, params in PARAMS.items():
        folder = tmp_path_factory.mktemp("models") / name
        train(dataset, folder, model=name, params=params, folds=3)
        made[name] = load(folder)
    return made | {"relation": load("relation")}


@pytest.fixture(scope="module")
def fresh() -> Simulation:
    return simulate(60, seed=77)


@pytest.mark.parametrize("name", [*PARAMS, "relation"])
def test_alone_in_a_batch_in_another_order_and_in_another_file(predictors, fresh, name, tmp_path):
    predictor = predictors[name]
    whole = predict(fresh.curves, fresh.stars, model=predictor).set_index("source_id")
    shuffled = fresh.stars.sample(frac=1, random_state=1)
    mixed = predict(fresh.curves, shuffled, model=predictor, stars_per_chunk=7).set_index("source_id")
    pd.testing.assert_frame_equal(mixed.loc[whole.index], whole, check_exact=True)
    star = fresh.stars.iloc[[5]]
    alone = predict(fresh.curves[5:6], star, model=predictor).set_index("source_id")
    pd.testing.assert_frame_equal(alone, whole.loc[alone.index], check_exact=True)
    write_lightcurves(fresh.curves, tmp_path / "curves.parquet")
    stored = predict(tmp_path / "curves.parquet", fresh.stars, model=predictor).set_index("source_id")
    pd.testing.assert_frame_equal(stored.loc[whole.index], whole, check_exact=True)


@pytest.mark.parametrize("name", [*PARAMS, "relation"])
def test_a_constant_or_whole_periods_change_no_prediction(predictors, fresh, name):
    curves = fresh.curves
    period = np.repeat(fresh.stars["period"].to_numpy(), curves.n_epochs)
    moved = LightCurves(curves.source_id, curves.offsets, curves.time + 40 * period, curves.mag - 0.7, curves.mag_error)
    one = predict(curves, fresh.stars, model=predictors[name])
    two = predict(moved, fresh.stars, model=predictors[name])
    assert np.nanmax(np.abs(one["feh"] - two["feh"])) < 2e-3
    assert one["feh"].isna().equals(two["feh"].isna())


def test_every_star_gets_a_row_and_bad_ones_a_reason(predictors, fresh):
    stars = fresh.stars[["source_id", "period", "type"]].copy()
    stars.loc[0, "period"] = np.nan  # and too few epochs to search one
    stars.loc[1, "period"] = 0.02
    stars.loc[2, "period"] = 400.0
    stars.loc[3, "type"] = "RRd"
    stars.loc[len(stars)] = [12345, 0.5, "RRab"]
    keep = np.ones(len(fresh.curves.time), bool)
    begin = fresh.curves.offsets[4]
    keep[9 : fresh.curves.offsets[1]] = False
    keep[begin + 3 : fresh.curves.offsets[5]] = False  # three epochs left
    keep[fresh.curves.offsets[5] : fresh.curves.offsets[6]] = False  # all rejected
    table = predict(fresh.curves.select_points(keep), stars, model=predictors["svr"])
    assert table["source_id"].tolist() == stars["source_id"].tolist()
    assert list(table.columns) == list(PREDICTION_COLUMNS)
    expected = [
        Flag.NO_PERIOD,
        Flag.BAD_PERIOD,
        Flag.BAD_PERIOD,
        Flag.WRONG_TYPE,
        Flag.TOO_FEW_EPOCHS,
        Flag.NO_LIGHT_CURVE,
    ]
    for row, bit in enumerate(expected):
        assert table["flag"][row] & bit, (row, describe(table["flag"][row]))
        assert np.isnan(table["feh"][row])
    assert table["flag"].iloc[-1] & Flag.NO_LIGHT_CURVE
    good = table.iloc[6:-1]
    assert good["feh"].notna().all()
    assert (good["feh_lower"] < good["feh"]).all()
    assert (good["feh"] < good["feh_upper"]).all()
    # the rest is as if the bad stars were not there
    clean = predict(fresh.curves, fresh.stars, model=predictors["svr"])
    assert np.allclose(good["feh"], clean["feh"][6:], atol=1e-9)


def test_strange_stars_are_flagged_as_extrapolated(predictors, fresh):
    stars = fresh.stars.copy()
    stars["period"] = 1.3000001234  # with so many digits that nothing is refined or checked
    table = predict(fresh.curves, stars, model=predictors["svr"])
    assert ((table["flag"] & Flag.EXTRAPOLATED) > 0).mean() > 0.9


def test_intervals_cover_new_simulated_stars(tmp_path):
    """Nominal 90 % intervals hold the truth for 90 % +/- 2 % of stars that nothing was trained on."""
    survey, fresh = simulate(2500, seed=11), simulate(4000, seed=12)
    dataset = prepare(
        survey.curves, survey.stars, tmp_path / "d", labels="column", types=("RRab", "RRc"),
        representations=("raw",), truth="simulation",
    )  # fmt: skip
    for name in ("ridge-fourier", "svr"):
        ensemble = train(dataset, tmp_path / name, model=name, representation="raw", params=PARAMS[name])
        table = predict(fresh.curves, fresh.stars, model=ensemble)
        truth = fresh.stars["feh"]
        good = table["feh"].notna()
        inside = ((table["feh_lower"] <= truth) & (truth <= table["feh_upper"]))[good]
        assert good.mean() > 0.95
        assert abs(inside.mean() - 0.9) <= 0.02, (name, inside.mean())
        one_sigma = (np.abs(table["feh"] - truth) <= table["feh_error"])[good].mean()
        assert abs(one_sigma - 0.68) <= 0.04, (name, one_sigma)


def test_a_trained_model_needs_no_training_data(predictors, fresh, dataset, tmp_path):
    ensemble = next(iter(predictors["gru"].ensembles.values()))
    ensemble.save(tmp_path / "copy")
    loaded = Ensemble.load(tmp_path / "copy")
    X = dataset.sequences("spline", np.arange(20))
    for a, b in zip(loaded.predict_dist(X), ensemble.predict_dist(X), strict=True):
        assert np.array_equal(a, b, equal_nan=True)
    assert loaded.types == ("RRab", "RRc")
    assert loaded.representation == ensemble.representation


def test_training_goes_on_where_it_stopped(dataset, tmp_path, monkeypatch):
    members, fit = [], SupportVector._fit

    def stop(what, done, total):
        members.append(done)
        if done == 2:
            raise KeyboardInterrupt

    options = {"model": "svr", "params": PARAMS["svr"], "folds": 3}
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "m", progress=stop, **options)
    with pytest.raises(BadFile, match="its training was interrupted"):
        load(tmp_path / "m")
    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(SupportVector, "_fit", lambda *a, **k: seen.append(1) or fit(*a, **k))
        resumed = train(dataset, tmp_path / "m", **options)
    assert len(seen) == 1
    assert len(resumed.members) == 3
    whole = train(dataset, tmp_path / "w", **options)
    X = dataset.sequences("spline", np.arange(20))
    assert np.array_equal(whole.predict_dist(X)[0], resumed.predict_dist(X)[0], equal_nan=True)
    assert not (tmp_path / "m" / "parts").exists()
    with monkeypatch.context() as patch:
        patch.setattr(SupportVector, "_fit", None)  # nothing is fitted twice
        assert train(dataset, tmp_path / "m", **options).fingerprint() == whole.fingerprint()
    with pytest.raises(BadInput, match="other settings"):
        train(dataset, tmp_path / "m", model="ridge-fourier")


def test_what_cannot_be_predicted_at_all_is_said(fresh, tmp_path):
    with pytest.raises(UnknownName, match="relation"):
        load("no-such-model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadFile, match="not a trained model"):
        load(tmp_path / "empty")
    with pytest.raises(BadInput, match="no rows"):
        predict(fresh.curves, fresh.stars.iloc[:0])


def test_output_is_readable_parquet(predictors, fresh, tmp_path):
    table = predict(fresh.curves, fresh.stars, model=predictors["relation"], output=tmp_path / "p.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "p.parquet"), table)
    assert table["source_id"].dtype == np.int64


def test_the_number_of_threads_reaches_the_kernels_and_changes_nothing(predictors, fresh, monkeypatch):
    seen, measure = [], predicting.measure
    monkeypatch.setattr(predicting, "measure", lambda *a, **k: seen.append(number_of_threads()) or measure(*a, **k))
    tables = [predict(fresh.curves, fresh.stars, model=predictors["gru"], threads=n) for n in (1, 3, None)]
    assert seen == [1, 3, number_of_threads()]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], check_exact=True)
    with pytest.raises(BadInput, match="threads must be a whole number"):
        predict(fresh.curves, fresh.stars, model=predictors["gru"], threads=0)


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("key", ["id", "name"])
def test_of_two_identifiers_of_a_star_table_the_one_of_the_light_curves_is_taken(tmp_path, key, written):
    survey = simulate(4, seed=8)
    numbers, names = np.arange(11, 15), np.array(["V1", "V2", "V3", "V4"])
    curves = survey.curves
    point = np.repeat(np.arange(4), curves.n_epochs)
    epochs = pd.DataFrame({key: (numbers if key == "id" else names)[point], "time": curves.time, "mag": curves.mag})
    stars = pd.DataFrame({"id": numbers, "name": names, "period": survey.stars["period"], "type": survey.stars["type"]})
    if written:
        epochs.to_csv(tmp_path / "epochs.csv", index=False)
        stars.to_csv(tmp_path / "stars.csv", index=False)
        epochs, stars = tmp_path / "epochs.csv", tmp_path / "stars.csv"
    found = predict(epochs, stars, model="relation")
    assert found["source_id"].tolist() == (numbers if key == "id" else names).tolist()
    assert found["n_epochs"].min() > 0
    assert found["feh"].notna().all()
