"""What an interrupted call has made is taken by the next one only if nothing that made it has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from photfeh.core.errors import BadFile, BadInput, InUse
from photfeh.core.lightcurves import LightCurves
from photfeh.inference import predictor as predicting
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.prediction import predict
from photfeh.inference.training import train
from photfeh.readers import to_long, write_lightcurves
from photfeh.samples import preparation
from photfeh.samples.dataset import Dataset
from photfeh.samples.preparation import prepare
from photfeh.simulation.survey import Simulation, simulate
from photfeh.validation import fitting
from photfeh.validation.cross_validate import learning_curve, validate
from photfeh.validation.run import Run

CHUNK = 20
OPTIONS = {"labels": "column", "cuts": "none", "types": ("RRab", "RRc"), "representations": ("raw", "spline")}


class Interrupted(BaseException):
    """Nobody catches it, as nobody catches kill."""


def after(number: int):
    """A progress callback that interrupts when ``number`` chunks are done."""
    calls = []

    def report(*what):
        calls.append(what)
        if len(calls) == number:
            raise Interrupted

    return report


def cut(function, *arguments, chunks: int = 2, **options) -> None:
    with pytest.raises(Interrupted):
        function(*arguments, progress=after(chunks), **options)


@pytest.fixture(scope="module")
def small() -> Simulation:
    return simulate(80, seed=31)


@pytest.fixture(scope="module")
def other_epochs(small: Simulation) -> LightCurves:
    """The same stars, epochs and periods; magnitudes a little different."""
    curves = small.curves
    noise = np.random.default_rng(1).normal(0, 0.02, len(curves.mag))
    return LightCurves(curves.source_id, curves.offsets, curves.time, curves.mag + noise, curves.mag_error)


@pytest.fixture(scope="module")
def models(dataset: Dataset, tmp_path_factory) -> tuple[Path, Path]:
    """Two model folders of one name with different weights."""
    folder = tmp_path_factory.mktemp("models")
    made = []
    for where, seed in (("one", 0), ("two", 1)):
        train(dataset, folder / where / "model", model="ridge-fourier", folds=3, seed=seed)
        made.append(folder / where / "model")
    return made[0], made[1]


def test_a_validation_cut_off_in_its_first_fit_is_begun_again(dataset: Dataset, tmp_path, monkeypatch):
    def stop(*arguments, **options):
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "fit_split", stop)
        with pytest.raises(Interrupted):
            validate(dataset, tmp_path / "run", folds=2)
    assert (tmp_path / "run").exists()
    with pytest.raises(BadInput, match="other settings"):
        validate(dataset, tmp_path / "run", folds=3)
    assert len(validate(dataset, tmp_path / "run", folds=2).timings) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.toml").write_text("[validation]\nfolds = 2\n")
    with pytest.raises(BadInput, match="not a run"):
        validate(dataset, tmp_path / "mine", folds=2)


def same_data(one: Dataset, two: Dataset) -> None:
    pd.testing.assert_frame_equal(one.stars, two.stars)
    for kind in one.representations:
        a, b = one.sequences(kind), two.sequences(kind)
        for name in ("values", "mask", "features"):
            assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True), (kind, name)
    assert not (one.folder / "parts").exists()


# ---------------------------------------------------------------------- predict
@pytest.mark.parametrize("change", ["epochs", "chunk size", "weights", "periods", "stars", "interval population"])
def test_predict_goes_on_with_nothing_that_is_stale(small, other_epochs, models, tmp_path, change):
    options = {"model": models[0], "stars_per_chunk": CHUNK}
    cut(predict, small.curves, small.stars, output=tmp_path / "p.parquet", **options)
    assert len(list((tmp_path / "p.parquet.parts").glob("chunk.*"))) == 2
    curves, stars = small.curves, small.stars
    if change == "epochs":
        curves = other_epochs
    if change == "chunk size":
        options["stars_per_chunk"] = 2 * CHUNK - 3
    if change == "weights":
        options["model"] = models[1]
    if change == "periods":
        options["periods"] = "search"
    if change == "stars":
        stars = stars.assign(period=stars["period"] * 1.001)
    if change == "interval population":
        options |= {"adapt": True, "stars_per_chunk": 80}
    if change == "interval population":
        with pytest.raises(BadInput, match="at least 100"):
            predict(curves, stars, output=tmp_path / "p.parquet", **options)
        return
    resumed = predict(curves, stars, output=tmp_path / "p.parquet", **options)
    pd.testing.assert_frame_equal(resumed, predict(curves, stars, **options), check_exact=True)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "p.parquet"), resumed, check_exact=True)
    assert [path.name for path in tmp_path.iterdir()] == ["p.parquet"]


def test_predict_in_another_band_takes_nothing_of_the_first(small, models, tmp_path):
    """One file with two bands; the second call names the other one."""
    bp = replace_mag(small.curves, small.curves.mag + 0.4, "BP")
    table = pd.concat([to_long(curves).to_pandas() for curves in (small.curves, bp)])
    table.sort_values("source_id", kind="stable").to_parquet(tmp_path / "epochs.parquet")
    options = {"model": models[0], "stars_per_chunk": CHUNK, "any_band": True}
    cut(predict, tmp_path / "epochs.parquet", small.stars, output=tmp_path / "p.csv", band="G", **options)
    resumed = predict(tmp_path / "epochs.parquet", small.stars, output=tmp_path / "p.csv", band="BP", **options)
    pd.testing.assert_frame_equal(resumed, predict(bp, small.stars, **options), check_exact=True)


def test_predict_takes_what_is_not_stale(small, models, tmp_path, monkeypatch, caplog):
    options = {"model": models[0], "stars_per_chunk": CHUNK}
    cut(predict, small.curves, small.stars, output=tmp_path / "p.parquet", **options)
    measured, measure = [], predicting.measure
    monkeypatch.setattr(predicting, "measure", lambda curves, *a, **k: measured.append(1) or measure(curves, *a, **k))
    with caplog.at_level("INFO", "photfeh"):
        resumed = predict(small.curves, small.stars, output=tmp_path / "p.parquet", **options)
    assert len(measured) == 2  # of four chunks
    assert "2 of 4 parts taken from an earlier call" in caplog.text
    pd.testing.assert_frame_equal(resumed, predict(small.curves, small.stars, **options), check_exact=True)


def test_two_calls_do_not_write_one_output(small, models, tmp_path):
    def second(*what):
        with pytest.raises(InUse, match="in use by process"):
            predict(small.curves, small.stars, model=models[0], output=tmp_path / "p.parquet")

    predict(
        small.curves, small.stars, model=models[0], output=tmp_path / "p.parquet", stars_per_chunk=40, progress=second
    )


# ---------------------------------------------------------------------- prepare
@pytest.mark.parametrize("change", ["epochs", "chunk size", "periods", "stars", "points", "smoother", "order"])
def test_prepare_goes_on_with_nothing_that_is_stale(small, other_epochs, tmp_path, change):
    options = OPTIONS | {"stars_per_chunk": CHUNK}
    cut(prepare, small.curves, small.stars, tmp_path / "d", **options)
    curves, stars = small.curves, small.stars
    if change == "epochs":
        curves = other_epochs
    if change == "chunk size":
        options["stars_per_chunk"] = CHUNK + 7
    if change == "periods":
        options["periods"] = "search"
    if change == "stars":
        stars = stars.assign(period=stars["period"] * 1.001)
    if change == "points":
        options["n_points"] = 32
    if change == "smoother":
        options["smoother"] = "founding"
    if change == "order":
        stars = stars.iloc[::-1].reset_index(drop=True)
    same_data(prepare(curves, stars, tmp_path / "d", **options), prepare(curves, stars, tmp_path / "w", **options))


def test_prepare_there_and_back_again(small, other_epochs, tmp_path):
    """Other epochs overwrite arrays in place: the parts of the first ones must not be believed any more."""
    options = OPTIONS | {"stars_per_chunk": CHUNK}
    cut(prepare, small.curves, small.stars, tmp_path / "d", **options)
    cut(prepare, other_epochs, small.stars, tmp_path / "d", chunks=1, **options)
    resumed = prepare(small.curves, small.stars, tmp_path / "d", **options)
    same_data(resumed, prepare(small.curves, small.stars, tmp_path / "w", **options))


def test_prepare_with_a_file_added(small, tmp_path):
    folder = tmp_path / "epochs"
    for number, rows in enumerate((slice(0, 40), slice(40, 70), slice(70, 80))):
        write_lightcurves(small.curves[rows], folder / f"{number}.parquet")
    last = (folder / "2.parquet").rename(tmp_path / "2.parquet")
    options = OPTIONS | {"stars_per_chunk": CHUNK}
    cut(prepare, folder, small.stars, tmp_path / "d", **options)
    last.rename(folder / "2.parquet")
    resumed = prepare(folder, small.stars, tmp_path / "d", **options)
    assert (resumed.stars["n_epochs"] > 0).sum() == 80
    same_data(resumed, prepare(folder, small.stars, tmp_path / "w", **options))


def test_a_corrected_call_goes_on_from_what_was_measured(small, tmp_path, monkeypatch):
    """Labels, cuts and types are not part of a measurement; and what cannot be done is said before the first star."""
    options = OPTIONS | {"stars_per_chunk": CHUNK}
    for wrong in ({"cuts": "no_column>3"}, {"labels": "relation:nothing"}, {"representations": ("rawspline",)}):
        with pytest.raises(BadInput):
            prepare(small.curves, small.stars, tmp_path / "d", **(options | wrong))
        assert not (tmp_path / "d").exists()
    cut(prepare, small.curves, small.stars, tmp_path / "d", chunks=3, **options)
    measured, measure = [], preparation.measure
    monkeypatch.setattr(preparation, "measure", lambda *a, **k: measured.append(1) or measure(*a, **k))
    corrected = options | {"cuts": "n_epochs>20", "labels": "relation"}
    resumed = prepare(small.curves, small.stars, tmp_path / "d", **corrected)
    assert len(measured) == 1
    same_data(resumed, prepare(small.curves, small.stars, tmp_path / "w", **corrected))


# ---------------------------------------------------------------------- train, validate, learning-curve
@pytest.fixture(scope="module")
def datasets(survey: Simulation, tmp_path_factory) -> dict[str, Dataset]:
    """One sample prepared in several ways; the star tables of the first two are equal byte for byte."""
    folder = tmp_path_factory.mktemp("sets")
    options = {"labels": "column", "cuts": "none", "types": ("RRab", "RRc"), "representations": ("spline",)}
    changes = {"first": {}, "smoother": {"smoother": "founding"}, "points": {"n_points": 32}}
    return {
        name: prepare(survey.curves, survey.stars, folder / name, **(options | change))
        for name, change in changes.items()
    }


@pytest.mark.parametrize("change", ["smoother", "points"])
def test_train_goes_on_with_nothing_of_another_data_set(datasets, tmp_path, change):
    options = {"model": "gru", "params": {"epochs": 2}, "folds": 3}
    cut(train, datasets["first"], tmp_path / "m", **options)
    resumed = train(datasets[change], tmp_path / "m", **options)
    assert resumed.fingerprint() == train(datasets[change], tmp_path / "w", **options).fingerprint()
    assert Ensemble.load(tmp_path / "m").fingerprint() == resumed.fingerprint()
    with pytest.raises(BadInput, match="other settings or data"):
        train(datasets["first"], tmp_path / "m", **options)


def test_validate_with_a_parameter_changed_then_with_all_fits_failing(datasets, tmp_path, monkeypatch):
    from photfeh.models.classical import RidgeFourier

    options = {"models": ("ridge-fourier",), "folds": 3}
    validate(datasets["first"], tmp_path / "run", **options)
    changed = options | {"params": {"ridge-fourier": {"degree": 1}}}
    rerun = validate(datasets["first"], tmp_path / "run", **changed)
    fresh = validate(datasets["first"], tmp_path / "fresh", **changed)
    pd.testing.assert_frame_equal(rerun.out_of_fold, fresh.out_of_fold, check_exact=True)

    def broken(*arguments):
        raise ValueError("deliberate")

    monkeypatch.setattr(RidgeFourier, "_fit", broken)
    with pytest.raises(BadInput, match="no model could be fitted; first reason: ValueError: deliberate"):
        validate(
            datasets["first"],
            tmp_path / "run",
            models=("ridge-fourier",),
            folds=3,
            params={"ridge-fourier": {"degree": 3}},
        )
    with pytest.raises(BadFile, match="holds no finished run"):  # not the tables of the call before
        Run.open(tmp_path / "run")


def test_a_data_set_prepared_again_under_running_fits_is_noticed(survey, datasets, tmp_path):
    options = {"labels": "column", "cuts": "none", "types": ("RRab", "RRc"), "representations": ("raw", "spline")}
    folder = tmp_path / "d"
    dataset = prepare(survey.curves, survey.stars, folder, **options)

    def prepare_again(what, done, total):
        if done == 1:
            folder.rename(tmp_path / "old")
            prepare(survey.curves, survey.stars, folder, **options, smoother="founding")

    with pytest.raises(BadInput, match="was prepared again"):
        validate(
            dataset, tmp_path / "run", models=("ridge-fourier",), representations=("raw", "spline"), folds=2,
            progress=prepare_again,
        )  # fmt: skip
    with pytest.raises(BadInput, match="was prepared again since it was opened"):
        dataset.sequences("spline")


def test_folders_of_another_format_are_refused_with_what_to_do(datasets, models, tmp_path):
    import json
    import shutil

    run = validate(datasets["first"], tmp_path / "run", models=("ridge-fourier",), folds=3)
    copies = {"dataset.json": datasets["first"].folder, "model.json": models[0], "run.json": run.folder}
    openers = {"dataset.json": Dataset.open, "model.json": Ensemble.load, "run.json": Run.open}
    for name, folder in copies.items():
        copy = tmp_path / "copies" / name.removesuffix(".json")
        shutil.copytree(folder, copy)
        content = json.loads((copy / name).read_text())
        (copy / name).write_text(json.dumps(content | {"format": 1}))
        with pytest.raises(BadFile, match=r"of format 1, this version of photfeh reads \d+: .*(again)"):
            openers[name](copy)


def test_a_learning_curve_goes_on(datasets, tmp_path):
    options = {"models": ("ridge-fourier",), "folds": 2, "fractions": (0.5, 1.0)}
    cut(learning_curve, datasets["first"], tmp_path / "c", chunks=3, **options)
    resumed = learning_curve(datasets["first"], tmp_path / "c", **options)
    pd.testing.assert_frame_equal(resumed, learning_curve(datasets["first"], tmp_path / "w", **options))


def replace_mag(curves: LightCurves, mag: np.ndarray, band: str) -> LightCurves:
    return replace(curves, mag=mag, band=band)
