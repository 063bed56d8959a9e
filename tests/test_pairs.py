"""Two representations of the same stars as one: what a model sees, what is stored, what names it, what it predicts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import photfeh as pf
from photfeh.core.errors import BadInput, UnknownName
from photfeh.core.fingerprint import fingerprint
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.trained import load_card
from photfeh.models.registry import create_model
from photfeh.samples.dataset import Dataset
from photfeh.samples.measure import measure
from photfeh.samples.sequences import (
    PairedRepresentation,
    PairedSequences,
    Representation,
    build_sequences,
    paired,
    plain_star,
)
from photfeh.samples.thinning import thinned
from photfeh.simulation.survey import simulate
from photfeh.validation.fitting import Labelled

PAIR = PairedRepresentation(kind="raw", n_points=128, beside=Representation(kind="spline", n_points=64))
QUICK = {"n_networks": 2, "epochs": 4, "n_inception": 1, "inception_epochs": 2, "depth": 3, "filters": 4}


@pytest.fixture(scope="module")
def stars() -> PairedSequences:
    survey = simulate(80, seed=5)
    return build_sequences(measure(survey.curves, survey.stars), PAIR)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    survey = simulate(160, seed=11)
    points = {"raw": 128, "spline": 64}
    return pf.prepare(
        survey.curves, survey.stars, tmp_path_factory.mktemp("pairs") / "data", representations=("raw", "spline"),
        n_points=points, cuts="none", types=("RRab", "RRc"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted(stars):
    """A tiny model and the labels it was taught."""
    good = stars[stars.mask.any(axis=1)]
    y = np.linspace(-2.5, -0.5, len(good))
    return create_model("circular-inception", **QUICK).fit(good, y), good


def same(one, two) -> bool:
    names = ("values", "mask", "features", "source_id")
    return all(np.array_equal(getattr(one, name), getattr(two, name), equal_nan=name == "features") for name in names)


# ---------------------------------------------------------------------- the noun
def test_a_pair_is_what_its_two_representations_are(stars):
    survey = simulate(80, seed=5)
    measured = measure(survey.curves, survey.stars)
    assert same(stars.own, build_sequences(measured, PAIR.own))
    assert same(stars.beside, build_sequences(measured, PAIR.beside))
    assert stars.representation.name == "raw+spline"
    assert stars.own.representation == Representation(kind="raw", n_points=128)


@pytest.mark.parametrize("key", [slice(3, 40, 4), np.array([7, 7, 2]), np.arange(80) % 3 == 0])
def test_a_subset_is_one_of_both(stars, key):
    some = stars[key]
    assert isinstance(some, PairedSequences)
    assert same(some.own, stars.own[key])
    assert same(some.beside, stars.beside[key])
    assert some.representation == PAIR


def test_the_fingerprint_notices_every_array_of_both(stars):
    known = {fingerprint(stars)}
    for name in ("values", "mask", "features"):
        for view in ("own", "beside"):
            array = getattr(getattr(stars, view), name).copy()
            array[5, 0] = ~array[5, 0] if name == "mask" else array[5, 0] + 0.25
            changed = replace(getattr(stars, view), **{name: array})
            pair = paired(changed, stars.beside) if view == "own" else paired(stars.own, changed)
            known.add(fingerprint(pair))
    beside = replace(stars.beside, representation=replace(PAIR.beside, smoother="founding"))
    known.add(fingerprint(paired(stars.own, beside)))
    assert len(known) == 8


def test_a_star_without_steps_beside_has_none_at_all(stars):
    mask = stars.beside.mask.copy()
    mask[9] = False
    pair = paired(stars.own, replace(stars.beside, mask=mask))
    assert not pair.mask[9].any()
    assert not pair.own.mask[9].any()
    others = np.delete(np.arange(80), 9)
    assert np.array_equal(pair.mask[others], stars.mask[others])


def test_unlike_stars_settings_and_bands_do_not_pair(stars):
    with pytest.raises(BadInput, match="of other stars"):
        paired(stars.own, stars.beside[::-1])
    with pytest.raises(BadInput, match="not that of the two"):
        PairedSequences(
            stars.values, stars.mask, stars.features, stars.source_id, stars.own.representation, beside=stars.beside
        )
    with pytest.raises(BadInput, match="band"):
        PairedRepresentation(kind="raw", beside=Representation(band="I"))
    with pytest.raises(BadInput, match="not two"):
        PairedRepresentation(kind="raw", beside=PAIR)


def test_settings_come_back_from_json():
    for settings in (PAIR, PAIR.own, PAIR.beside):
        assert Representation.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    star = plain_star(PAIR)
    assert star.mask.shape == (1, 128)
    assert star.beside.mask.shape == (1, 64)


# ---------------------------------------------------------------------- fewer epochs
def test_thinned_stars_are_as_if_observed_less(stars):
    """Epochs are some of those there were, and both views are made of them, not of all."""
    fewer = thinned(stars, np.full(80, 20), seed=1)
    ok = fewer.mask.any(axis=1)
    assert ok.mean() > 0.9
    assert (fewer.lengths[ok] <= 20).all()
    assert (fewer.feature("n_epochs")[ok] <= 20).all()
    assert np.array_equal(fewer.source_id, stars.source_id)
    for star in np.flatnonzero(ok)[:10]:
        mag = fewer.values[star, fewer.mask[star], 0]
        assert np.isin(mag, stars.own.values[star, stars.own.mask[star], 0]).all()
    apart = np.abs(fewer.beside.values[ok] - stars.beside.values[ok]).max(axis=(1, 2))
    assert (apart > 1e-4).all()


def test_stars_that_keep_all_epochs_stay_nearly_as_they_are(stars):
    """Errors of single magnitudes are lost, and nothing else."""
    whole = thinned(stars, np.full(80, 1000), seed=1)
    good = stars.mask.any(axis=1) & (stars.feature("n_epochs") > 30)
    difference = whole.beside.values[good, :, 0] - stars.beside.values[good, :, 0]
    assert np.median(np.abs(difference)) < 0.01
    with pytest.raises(BadInput, match="raw only, not from spline"):
        thinned(stars.beside, np.full(80, 20), seed=1)


# ---------------------------------------------------------------------- the data set
def test_a_data_set_pairs_what_it_holds(dataset):
    rows = dataset.sample[::3]
    pair = dataset.sequences("raw+spline", rows)
    assert same(pair.own, dataset.sequences("raw", rows))
    assert same(pair.beside, dataset.sequences("spline", rows))
    assert dataset.representation("raw+spline") == PAIR
    with pytest.raises(UnknownName, match="splin"):
        dataset.sequences("raw+splin")


def test_parts_of_a_fit_are_named_by_both_views(dataset):
    """A cache that does not notice a change of the second view would give old results for new data."""
    data = Labelled.of(dataset, "raw+spline")
    values = data.sequences.beside.values.copy()
    values[0, 0, 0] += 0.001
    other = paired(data.sequences.own, replace(data.sequences.beside, values=values))
    assert replace(data, sequences=other).content != data.content


# ---------------------------------------------------------------------- the model
def test_mean_and_sigma_are_the_closed_form_of_the_parts(fitted):
    model, X = fitted
    n_epochs = X.feature("n_epochs")
    knots = np.log([12.0, 16.0, 22.0, 32.0, 50.0, 80.0])
    rrc = X.feature("is_rrc").astype(int)
    share, sigma = (
        np.array(
            [np.interp(n, knots, model.arrays_[name][kind]) for n, kind in zip(np.log(n_epochs), rrc, strict=True)]
        )
        for name in ("share", "sigma")
    )
    assert 0 < rrc.mean() < 1
    (m1, s1), (m2, s2) = (part.predict_dist(X.own) for part in model.circular_)
    first = (m1 + m2) / 2
    spread = np.sqrt((s1**2 + m1**2 + s2**2 + m2**2) / 2 - first**2)
    apart = model.inception_[0].predict(X.beside) - first
    m3 = first + apart * np.maximum(1 - (apart / (4.685 * spread)) ** 2, 0) ** 2
    mean = (1 - share) * (m1 + m2) / 2 + share * m3
    square = (1 - share) * (s1**2 + m1**2 + s2**2 + m2**2) / 2 + share * (sigma**2 + m3**2)
    found = model.predict_dist(X)
    np.testing.assert_allclose(found[0], mean, rtol=1e-12)
    np.testing.assert_allclose(found[1], np.sqrt(square - mean**2), rtol=1e-9)


@pytest.mark.parametrize("view", ["own", "beside"])
def test_both_views_are_read(fitted, view):
    model, X = fitted
    values = getattr(X, view).values * np.array([1.3, 1.0], np.float32)
    values[~getattr(X, view).mask] = 0.0
    changed = replace(getattr(X, view), values=values)
    pair = paired(changed, X.beside) if view == "own" else paired(X.own, changed)
    with_half = {**model.arrays_, "share": np.full((2, 6), 0.5)}
    half = create_model("circular-inception", **QUICK).adopt(with_half, model.notes_)
    assert np.abs(half.predict(pair) - half.predict(X)).max() > 1e-4


def test_the_share_goes_to_the_better_part(stars):
    """Where the curve tells the label and the epochs tell nothing, and the other way round."""

    class Said:
        def __init__(self, error):
            self.error = error

        def predict(self, X):
            return self.error * np.random.default_rng(len(X)).normal(size=len(X))

        def predict_dist(self, X):
            return self.predict(X), np.full(len(X), 10.0)

    good = stars[stars.mask.any(axis=1)]
    held = good, np.zeros(len(good)), np.ones(len(good))
    model = create_model("circular-inception", **QUICK)
    assert (model._table(Said(0.5), Said(0.0), held)["share"][:, :5] > 0.8).all()
    table = model._table(Said(0.0), Said(0.5), held)
    assert (table["share"][:, :5] < 0.2).all()
    assert table["sigma"] == pytest.approx(np.full((2, 6), 0.5), abs=0.2)


def test_an_inceptiontime_gone_astray_does_not_count(fitted):
    model, X = fitted
    circular = np.mean([part.predict(X.own) for part in model.circular_], axis=0)
    other = create_model("circular-inception", **QUICK).adopt(model.arrays_, model.notes_)
    other.inception_[0].predict = lambda X: np.full(len(X), 50.0)
    mean, sigma = other.predict_dist(X)
    np.testing.assert_allclose(mean, circular, rtol=1e-12)
    assert (sigma < 5.0).all()


def test_a_table_of_another_shape_is_refused(fitted):
    model, _ = fitted
    with pytest.raises(BadInput, match="share and sigma"):
        create_model("circular-inception", **QUICK).adopt({**model.arrays_, "share": np.ones(3)}, model.notes_)


# ---------------------------------------------------------------------- the verbs
def test_train_load_and_predict_with_two_views(dataset, tmp_path):
    made = pf.train(dataset, tmp_path / "model", model="circular-inception", representation="raw+spline", folds=2,
                    weighting="uniform", params=QUICK)  # fmt: skip
    loaded = Ensemble.load(tmp_path / "model")
    assert loaded.representation == PAIR
    assert loaded.fingerprint() == made.fingerprint()
    assert "`raw+spline`" in load_card(tmp_path / "model")
    survey = simulate(12, seed=3)
    table = pf.predict(survey.curves, survey.stars, model=tmp_path / "model", scale="labels")
    assert table["feh"].notna().mean() > 0.8
    for row in (0, 5, 11):
        one = pf.predict(survey.curves[[row]], survey.stars.iloc[[row]], model=tmp_path / "model", scale="labels")
        assert one["feh"].iloc[0] == table["feh"].iloc[row] or np.isnan(table["feh"].iloc[row])
        assert one["feh_error"].iloc[0] == table["feh_error"].iloc[row] or np.isnan(table["feh"].iloc[row])


def test_a_model_of_one_view_is_not_taken_for_a_pair(dataset, tmp_path):
    with pytest.raises(BadInput, match=r"can read raw\+spline only, not spline"):
        pf.train(dataset, tmp_path / "model", model="circular-inception", representation="spline")
    with pytest.raises(BadInput, match=r"not raw\+spline"):
        pf.train(dataset, tmp_path / "model", model="gru", representation="raw+spline")


def test_validate_with_two_views(dataset, tmp_path):
    run = pf.validate(
        dataset, tmp_path / "run", models=["circular-inception", "ridge-fourier"], folds=2, weighting="uniform",
        representations=["raw+spline", "spline"], params={"circular-inception": QUICK},
    )  # fmt: skip
    assert run.failures.empty
    pairs = set(zip(run.out_of_fold["model"], run.out_of_fold["representation"], strict=True))
    assert pairs == {("circular-inception", "raw+spline"), ("ridge-fourier", "spline")}
    assert run.score["feh_pred"].notna().all()
