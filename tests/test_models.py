"""One battery that every entry of the registry must pass; entries are found, not listed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.svm import SVR

from photfeh.dataset import Dataset
from photfeh.errors import BadFile, BadInput, UnknownName
from photfeh.models.base import Regressor
from photfeh.models.describe import describe
from photfeh.models.network import Network
from photfeh.models.registry import MODELS, create_model, list_models
from photfeh.sequences import Sequences

QUICK = {
    "gru": {"epochs": 12, "patience": 12},
    "random-forest": {"n_trees": 40},
    "svr": {"C": 4.0, "gamma": 0.2},
}
TRAINED = [name for name in MODELS if name != "relation"]


@pytest.fixture(scope="module")
def sample(dataset: Dataset) -> tuple[Sequences, np.ndarray]:
    rows = dataset.sample
    rows = rows[dataset.stars["type"].iloc[rows] == "RRab"]
    return dataset.sequences("spline", rows), dataset.stars["feh"].to_numpy()[rows]


@pytest.fixture(scope="module")
def fitted(sample) -> dict[str, Regressor]:
    X, y = sample
    half = len(y) * 2 // 3
    return {name: create_model(name, **QUICK.get(name, {})).fit(X[:half], y[:half]) for name in MODELS}


@pytest.mark.parametrize("name", MODELS)
def test_learns_clearly_better_than_the_mean(name, fitted, sample):
    X, y = sample
    half = len(y) * 2 // 3
    mean, sigma = fitted[name].predict_dist(X[half:])
    sharp = X[half:].feature("phi31_error") < 0.15
    error = np.sqrt(np.nanmean((mean - y[half:])[sharp] ** 2))
    assert error < 0.7 * y[half:][sharp].std(), error
    assert (sigma[np.isfinite(mean)] > 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_star_is_predicted_the_same_alone_in_a_batch_and_in_another_order(name, fitted, sample):
    X, _ = sample
    X = X[:30]
    whole = fitted[name].predict(X)
    order = np.random.default_rng(1).permutation(30)
    # the last dense layer of a network is a library call that may round by batch size
    assert np.allclose(fitted[name].predict(X[order]), whole[order], rtol=0, atol=2e-6, equal_nan=True)
    alone = [fitted[name].predict(X[i : i + 1])[0] for i in range(5)]
    assert np.allclose(alone, whole[:5], rtol=0, atol=2e-6, equal_nan=True)


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_models_predict_the_same(name, fitted, sample, tmp_path):
    X, _ = sample
    fitted[name].save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}
    loaded = MODELS[name].model_class()().restore(tmp_path)
    for a, b in zip(loaded.predict_dist(X[:40]), fitted[name].predict_dist(X[:40]), strict=True):
        assert np.array_equal(a, b, equal_nan=True)
    assert loaded.get_params() == fitted[name].get_params()


@pytest.mark.parametrize("name", TRAINED)
def test_fitting_twice_gives_the_same_and_a_clone_is_unfitted(name, fitted, sample):
    X, y = sample
    half = len(y) * 2 // 3
    again = clone(fitted[name])
    with pytest.raises(BadInput, match="not fitted"):
        again.predict(X)
    again.fit(X[:half], y[:half])
    for key, value in fitted[name].arrays_.items():
        assert np.array_equal(value, again.arrays_[key]), key


@pytest.mark.parametrize("name", TRAINED)
def test_zero_weight_equals_the_row_removed(name, sample):
    X, y = sample
    X, y = X[:120], y[:120]
    weight = np.ones(120)
    weight[::4] = 0.0
    params = {**QUICK.get(name, {}), **({"epochs": 2} if name == "gru" else {})}
    one = create_model(name, **params).fit(X, np.where(weight > 0, y, 99.0), weight)
    two = create_model(name, **params).fit(X[weight > 0], y[weight > 0], weight[weight > 0])
    assert np.array_equal(one.predict(X), two.predict(X))


@pytest.mark.parametrize("name", TRAINED)
def test_weights_matter(name, sample):
    X, y = sample
    X, y = X[:120], y[:120]
    params = {**QUICK.get(name, {}), **({"epochs": 2} if name == "gru" else {})}
    even = create_model(name, **params).fit(X, y)
    rich = create_model(name, **params).fit(X, y, np.where(y > np.median(y), 20.0, 1.0))
    assert np.abs(rich.predict(X) - even.predict(X)).max() > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_a_star_without_steps_gets_nan_and_does_not_disturb_others(name, fitted, sample):
    X, _ = sample
    mask = X.mask[:10].copy()
    mask[4] = False
    values = np.where(mask[..., None], X.values[:10], 0)
    holed = Sequences(values, mask, X.features[:10], X.source_id[:10], X.representation)
    mean = fitted[name].predict(holed)
    assert np.isnan(mean[4])
    others = np.delete(np.arange(10), 4)
    assert np.allclose(mean[others], fitted[name].predict(X[:10])[others], atol=2e-6, equal_nan=True)


@pytest.mark.parametrize("name", [n for n in MODELS if isinstance(create_model(n), Network)])
def test_networks_read_the_amplitude_and_nothing_behind_the_mask(name, fitted, sample, dataset):
    X, _ = sample
    model = fitted[name]
    scaled = Sequences(X.values * np.array([1.2, 1.0], np.float32), X.mask, X.features, X.source_id, X.representation)
    assert np.abs(model.predict(scaled) - model.predict(X)).max() > 1e-3
    raw = dataset.sequences("raw", dataset.sample[:20])
    dirty = np.where(raw.mask[..., None], raw.values, 7.7).astype(np.float32)
    spoiled = Sequences(dirty, raw.mask, raw.features, raw.source_id, raw.representation)
    assert np.array_equal(model.predict(spoiled), model.predict(raw))


@pytest.mark.parametrize("name", [n for n in MODELS if isinstance(create_model(n), Network)])
def test_gradients_reach_every_parameter(name, fitted, sample):
    X, y = sample
    model = fitted[name]
    batch = model._batch(X[:16], y[:16])
    module = model.build()
    output = module(batch.values, batch.lengths, batch.extra)
    (output[:, 0] - batch.target).square().mean().backward()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", TRAINED)
def test_bad_training_input_is_refused(name, sample):
    X, y = sample
    model = create_model(name, **QUICK.get(name, {}))
    with pytest.raises(BadInput, match="has no finite label"):
        model.fit(X, np.where(np.arange(len(y)) == 3, np.nan, y))
    with pytest.raises(BadInput, match="sample_weight"):
        model.fit(X, y, -np.ones(len(y)))
    with pytest.raises(BadInput, match="y shape"):
        model.fit(X, y[:-1])


def test_a_folder_of_another_model_is_refused(fitted, tmp_path):
    fitted["svr"].save(tmp_path / "svr")
    with pytest.raises(BadFile, match="holds a SupportVector"):
        create_model("gru").restore(tmp_path / "svr")
    (tmp_path / "svr" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(BadFile, match="train it again"):
        create_model("svr").restore(tmp_path / "svr")


def test_own_prediction_equals_scikit_learn(sample, fitted):
    """Support vectors and trees are walked by our own code; scikit-learn's is the oracle."""
    X, y = sample
    half = len(y) * 2 // 3
    model = fitted["svr"]
    scaled = model._scaled(X.shape())
    target = (y[:half] - model.arrays_["y"][0]) / model.arrays_["y"][1]
    machine = SVR(C=4.0, gamma=0.2 / 12 if model.notes_["gamma"] == 0.2 / 12 else model.notes_["gamma"], epsilon=0.1)
    machine.fit(scaled[:half], target)
    assert np.allclose(model._unscaled(machine.predict(scaled)), model.predict(X), atol=1e-6)
    params = fitted["random-forest"].get_params()
    forest = RandomForestRegressor(
        params["n_trees"],
        min_samples_leaf=params["min_samples_leaf"],
        max_features=params["max_features"],
        random_state=0,
    ).fit(X.shape()[:half].astype(np.float32), y[:half], sample_weight=np.ones(half))
    assert np.allclose(forest.predict(X.shape().astype(np.float32)), fitted["random-forest"].predict(X), atol=1e-9)


def test_gru_layer_table_has_the_published_counts():
    layers, params, _ = describe("gru")
    counts = [c for c in layers["parameters"] if c]
    assert counts == [1440, 1824, 624, 9]
    assert layers["parameters"].sum() == 3897
    assert layers["output"].tolist()[:2] == ["(None, 264, 2)", "(None, 264, 20)"]
    assert layers["output"].tolist()[-1] == "(None, 1)"
    assert params["units"] == (20, 16, 8)


def test_registry_names_and_parameters():
    assert list_models("*fo*") == ["ridge-fourier", "random-forest"]
    with pytest.raises(UnknownName, match="Did you mean 'gru'"):
        create_model("grru")
    with pytest.raises(BadInput, match="no parameter 'epoch'"):
        create_model("gru", epoch=3)
    for name in MODELS:
        json.dumps(create_model(name).get_params())
