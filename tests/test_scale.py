"""Scales of [Fe/H]: what a map learns, what it adds to the errors, and that no number is on an unsaid scale."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import photfeh as pf
from photfeh.cli.app import app
from photfeh.core.errors import BadFile, BadInput, MissingColumn, UnknownName
from photfeh.core.files import read_json, write_sealed
from photfeh.inference.calibration import LEVELS
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.prediction import list_trained, load, load_card, predict
from photfeh.inference.scale import NORMAL, SCALES, ScaleMap, Spectroscopy, leave_one_out
from photfeh.inference.spectroscopy import compared as compared_with
from photfeh.inference.spectroscopy import of_type
from photfeh.inference.training import train
from photfeh.readers import read_stars, write_lightcurves
from photfeh.simulation.survey import simulate

HIGH = "crestani-2021"


def stars_with(n: int, *, offset: float, scatter: float, seed: int, tails: float = 0.0) -> Spectroscopy:
    """Predictions that lie ``offset`` below a truth, beyond their errors by ``scatter``; some by four times that."""
    rng = np.random.default_rng(seed)
    error, truth_error = rng.uniform(0.05, 0.2, n), rng.uniform(0.02, 0.1, n)
    wide = np.where(rng.random(n) < tails, 4.0, 1.0) * scatter
    truth = rng.uniform(-2.3, -0.5, n)
    feh = truth - offset + rng.normal(size=n) * np.sqrt(error**2 + truth_error**2 + wide**2)
    return Spectroscopy(feh, error, truth, truth_error)


def test_offset_scatter_and_gaussian_quantiles_are_found_again():
    found = ScaleMap.fit(stars_with(20_000, offset=0.13, scatter=0.17, seed=1), scale=HIGH, types=("RRab",))
    assert found.offset == pytest.approx(0.13, abs=0.01)
    assert found.scatter == pytest.approx(0.17, abs=0.01)
    assert found.quantiles == pytest.approx([NORMAL[level] for level in LEVELS], rel=0.03)


def test_the_error_of_the_offset_is_that_of_many_fits():
    fits = [
        ScaleMap.fit(stars_with(93, offset=0.1, scatter=0.15, seed=seed), scale=HIGH, types=("RRab",))
        for seed in range(300)
    ]
    assert np.std([fit.offset for fit in fits]) == pytest.approx(
        np.median([fit.offset_error for fit in fits]), rel=0.12
    )


@pytest.mark.parametrize("tails", [0.0, 0.1])
def test_total_intervals_hold_what_they_promise_for_new_stars(tails):
    """Also where a tenth of the stars errs four times as much; fitted on 93 stars, averaged over many such sets."""
    held = {0.68: [], 0.9: []}
    for seed in range(120):
        fitted = ScaleMap.fit(
            stars_with(93, offset=0.1, scatter=0.15, seed=seed, tails=tails), scale="x", types=("RRab",)
        )
        new = stars_with(400, offset=0.1, scatter=0.15, seed=10_000 + seed, tails=tails)
        new = Spectroscopy(new.feh, new.error, new.truth, np.zeros(400))
        for level, values in held.items():
            off = np.abs(new.truth - fitted.feh(new.feh))
            values.append(np.mean(off <= fitted.half_width(new.error, level)))
    # the truth of the new stars is noisy, which the error of feh does not contain: a little less than nominal
    assert np.mean(held[0.68]) == pytest.approx(0.67, abs=0.02)
    assert np.mean(held[0.9]) == pytest.approx(0.895, abs=0.02)


def test_other_sets_teach_the_scatter_and_not_the_offset():
    high = stars_with(93, offset=0.1, scatter=0.1, seed=3)
    low = stars_with(400, offset=0.4, scatter=0.3, seed=4)
    alone, both = (ScaleMap.fit(high, *more, scale=HIGH, types=("RRab",)) for more in ((), (low,)))
    assert both.offset == alone.offset
    assert both.scatter > alone.scatter + 0.05
    assert both.n_stars == 493
    moved = Spectroscopy(low.feh + 5.0, low.error, low.truth, low.truth_error)
    assert ScaleMap.fit(high, moved, scale=HIGH, types=("RRab",)).scatter == pytest.approx(both.scatter, abs=1e-6)


def test_leave_one_out_does_not_know_the_star():
    high = stars_with(40, offset=0.1, scatter=0.15, seed=5)
    made = leave_one_out(high)
    truth = high.truth.copy()
    truth[7] += 3.0
    changed = leave_one_out(Spectroscopy(high.feh, high.error, truth, high.truth_error))
    for name, values in made.items():
        assert changed[name][7] == values[7], name
        assert (np.delete(changed[name] != values, 7)).any() or name == "feh"
    by_hand = ScaleMap.fit(high.without(7), scale=HIGH, types=("RRab",))
    assert made["feh"][7] == pytest.approx(high.feh[7] + by_hand.offset)
    assert made["half_90"][7] == pytest.approx(by_hand.half_width(high.error, 0.9)[7])


def test_too_few_or_unknown_stars_are_refused():
    with pytest.raises(BadInput, match="at least 20 stars with spectroscopy, found 19"):
        stars_with(19, offset=0.0, scatter=0.1, seed=1)
    good = stars_with(30, offset=0.0, scatter=0.1, seed=1)
    with pytest.raises(BadInput, match="NaN"):
        Spectroscopy(good.feh, good.error, np.where(np.arange(30) == 3, np.nan, good.truth), good.truth_error)


# ---------------------------------------------------------------------- in a model, in a prediction
@pytest.fixture(scope="module")
def fresh():
    return simulate(300, seed=78)


@pytest.fixture(scope="module")
def plain(dataset, tmp_path_factory):
    """A model folder that knows no other scale than that of its labels."""
    folder = tmp_path_factory.mktemp("models") / "plain"
    train(dataset, folder, model="ridge-fourier", folds=3)
    return folder


@pytest.fixture(scope="module")
def calibrated(plain, fresh, tmp_path_factory):
    """The same, calibrated on stars whose spectroscopy lies 0.3 dex above the labels."""
    folder = tmp_path_factory.mktemp("models") / "calibrated"
    Ensemble.load(plain).save(folder)
    stars = fresh.stars.assign(feh=fresh.stars["feh"] + 0.3)
    pf.calibrate(folder, fresh.curves, stars, scale=HIGH)
    return folder


def test_the_verb_learns_each_type_and_keeps_the_rest(calibrated, plain, fresh):
    ensemble = Ensemble.load(calibrated)
    assert {way.types for way in ensemble.maps} == {("RRab",), ("RRc",)}
    assert [way.offset for way in ensemble.maps] == pytest.approx([0.3, 0.3], abs=0.05)
    one, two = (predict(fresh.curves, fresh.stars, model=folder, scale="labels") for folder in (plain, calibrated))
    pd.testing.assert_frame_equal(one.drop(columns="model"), two.drop(columns="model"), check_exact=True)
    again = pf.calibrate(calibrated, fresh.curves, fresh.stars, scale="my-spectrograph")
    assert len(again.maps) == 4
    assert {way.scale for way in again.maps} == {HIGH, "my-spectrograph"}


def test_numbers_by_scale(calibrated, fresh):
    """Offset and total errors on the other scale; flags and what the light curve alone says stay."""
    labels = predict(fresh.curves, fresh.stars, model=calibrated, scale="labels")
    high = predict(fresh.curves, fresh.stars, model=calibrated)
    pd.testing.assert_frame_equal(high, predict(fresh.curves, fresh.stars, model=calibrated, scale="spectroscopic"))
    pd.testing.assert_frame_equal(high, predict(fresh.curves, fresh.stars, model=calibrated, scale=HIGH))
    same = ["source_id", "flag", "period", "n_epochs", "model", "feh_curve_error", "feh_curve_error_90"]
    pd.testing.assert_frame_equal(labels[same], high[same], check_exact=True)
    assert (labels["feh_error"].dropna() == labels["feh_curve_error"].dropna()).all()
    good = high["feh"].notna().to_numpy()
    assert set(high["scale"][good]) == {HIGH}
    assert set(labels["scale"][good]) == {"simulation"}
    assert (high["scale"][~good] == "").all()
    ways = {way.types[0]: way for way in Ensemble.load(calibrated).maps if way.scale == HIGH}
    for kind, way in ways.items():
        mine = good & (fresh.stars["type"] == kind).to_numpy()
        assert mine.sum() > 20
        assert np.allclose(high["feh"][mine], labels["feh"][mine] + way.offset)
        total = np.sqrt(labels["feh_curve_error"][mine] ** 2 + way.scatter**2 + way.offset_error**2)
        assert np.allclose(high["feh_error"][mine], total * way.quantiles[LEVELS.index(0.68)])
        half = (high["feh_upper"] - high["feh_lower"])[mine] / 2
        assert np.allclose(half, total * way.quantiles[LEVELS.index(0.9)])


def test_without_a_way_the_labels_scale_is_said_or_the_wish_refused(plain, fresh):
    table = predict(fresh.curves, fresh.stars, model=plain)
    assert set(table["scale"][table["feh"].notna()]) == {"simulation"}
    refused = r"no way from its labels \(simulation\) to the scale spectroscopic .*calibrate"
    with pytest.raises(BadInput, match=refused):
        predict(fresh.curves, fresh.stars, model=plain, scale="spectroscopic")
    with pytest.raises(UnknownName, match="Did you mean 'spectroscopic'"):
        predict(fresh.curves, fresh.stars, model=plain, scale="spectroscopc")


def test_another_scale_is_another_part(calibrated, fresh, tmp_path, monkeypatch):
    """An interrupted call on one scale gives nothing to a call on another one."""
    options = {"model": calibrated, "stars_per_chunk": 100, "output": tmp_path / "p.csv"}

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(fresh.curves, fresh.stars, scale="labels", progress=stop, **options)
    assert list((tmp_path / "p.csv.parts").glob("chunk.*"))
    made = predict(fresh.curves, fresh.stars, **options)
    pd.testing.assert_frame_equal(made, predict(fresh.curves, fresh.stars, model=calibrated), check_exact=True)


def test_a_calibration_with_nothing_to_learn_from_is_refused(plain, fresh):
    with pytest.raises(BadInput, match="at least 20 stars of one type"):
        pf.calibrate(plain, fresh.curves, fresh.stars[:15], scale=HIGH)
    with pytest.raises(MissingColumn, match="feh"):
        pf.calibrate(plain, fresh.curves, fresh.stars[["source_id", "period", "type"]], scale=HIGH)
    with pytest.raises(BadInput, match="name the scale of the spectroscopy"):
        pf.calibrate(plain, fresh.curves, fresh.stars, scale="labels")
    assert Ensemble.load(plain).maps == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offset", float("nan")), ("offset", "x"), ("scatter", -0.1), ("quantiles", [1, 2]), ("types", []),
        ("types", "RRab"), ("scale", ""), ("scale", 3), ("quantiles", [3, 2, 1, 1, 1]), ("basis", None), ("odd", 1),
    ],
)  # fmt: skip
def test_a_damaged_map_is_a_bad_file(calibrated, tmp_path, name, value):
    Ensemble.load(calibrated).save(tmp_path / "m")
    content = read_json(tmp_path / "m" / "model.json")
    content.pop("sha256")
    content["maps"][0][name] = value
    write_sealed(tmp_path / "m" / "model.json", content)
    with pytest.raises(BadFile, match=r"model\.json"):
        Ensemble.load(tmp_path / "m")


def test_on_the_command_line(plain, fresh, tmp_path):
    Ensemble.load(plain).save(tmp_path / "model")
    write_lightcurves(fresh.curves, tmp_path / "curves.parquet")
    fresh.stars.assign(feh=fresh.stars["feh"] - 0.2).to_csv(tmp_path / "stars.csv", index=False)
    run = CliRunner().invoke
    args = [str(tmp_path / "model"), str(tmp_path / "curves.parquet"), "--stars", str(tmp_path / "stars.csv")]
    done = run(app, ["calibrate", *args])
    assert done.exit_code == 0, done.output
    assert "RRab to crestani-2021" in " ".join(done.output.split())
    out = tmp_path / "p.ecsv"
    done = run(app, ["predict", *args[1:], "--model", args[0], "--output", str(out), "--scale", "labels"])
    assert done.exit_code == 0, done.output
    assert set(pf.read_predictions(out)["scale"]) <= {"simulation", ""}


# ---------------------------------------------------------------------- the models that ship
def test_every_shipped_model_leads_to_spectroscopy_and_its_card_says_how():
    for name in list_trained():
        predictor = load(name)
        predictor.check_scale("spectroscopic")
        for ensemble in predictor.ensembles.values():
            assert ensemble.label_scale in SCALES
            for way in ensemble.maps:
                assert way.scale in SCALES
                assert name == "relation" or str(way).split(":")[0] in load_card(name)
    overtones = next(way for way in load("ogle-i-band-rrc").ensembles["ogle-i-band-rrc"].maps)
    assert overtones.scatter == 0.21
    assert "published scatter" in overtones.basis


@pytest.mark.real
def test_intervals_hold_against_spectroscopy_that_taught_nothing(real_data):
    """Leave-one-out on the high-resolution stars; on the others, whose scale differs, with the offset removed."""
    ensemble = load("dekany-i-band").ensembles["dekany-i-band"]
    sets = []
    for name, period in (("crestani-spectroscopic", "pf"), ("liu-2020-spectroscopic", "period")):
        table = pd.read_parquet(real_data / name / "stars.parquet").rename(columns={period: "period"})
        table = table.assign(type="RRab", feh_error=table["feh_error"].where(table["feh_error"] > 0))
        table = read_stars(table[["source_id", "period", "type", "feh", "feh_error"]])
        known = table["source_id"].isin(sets[0][1]["source_id"]) if sets else np.zeros(len(table), bool)
        compared = compared_with(ensemble, real_data / name / "epoch_photometry.parquet", table[~known])
        sets.append((of_type(compared, "RRab"), table))
    high, low = sets[0][0], sets[1][0]
    made = leave_one_out(high, low)
    off = made["feh"] - high.truth
    assert abs(off.mean()) <= 0.03
    assert np.sqrt(np.mean(off**2)) <= 0.195
    assert 0.86 <= np.mean(np.abs(off) <= made["half_90"]) <= 0.94
    assert 0.62 <= np.mean(np.abs(off) <= made["error"]) <= 0.74
    way = ensemble.way_to("spectroscopic", "RRab")
    off = way.feh(low.feh) - low.truth
    assert 0.84 <= np.mean(np.abs(off - np.median(off)) <= way.half_width(low.error, 0.9)) <= 0.96
    assert json.loads(json.dumps(way.to_dict()))["scale"] == HIGH
