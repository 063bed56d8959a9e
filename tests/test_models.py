"""One battery that every entry of the registry must pass; entries are found, not listed.

The stars are drawn here: curves of known harmonics, labels a formula of period and phi31.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.svm import SVR

import photfeh as pf
from photfeh.core.errors import BadFile, BadInput, UnknownName
from photfeh.core.threads import limited
from photfeh.inference.prediction import list_trained
from photfeh.models.base import Regressor
from photfeh.models.describe import describe
from photfeh.models.network import Network
from photfeh.models.protocols import Penalised
from photfeh.models.registry import MODELS, create_model, list_models
from photfeh.samples.measure import measure
from photfeh.samples.sequences import (
    FEATURES,
    REPRESENTATIONS,
    PairedSequences,
    Representation,
    Sequences,
    build_sequences,
    paired,
    shape_features,
)
from photfeh.simulation.survey import simulate

NETWORK = {"epochs": 16, "patience": 16, "batch_size": 32}
QUICK = {
    "random-forest": {"n_trees": 40},
    "svr": {"C": 4.0, "gamma": 0.2},
    "gradient-boosting": {"n_trees": 60, "learning_rate": 0.1, "n_folds": 2},
    "minirocket": {"n_features": 1000},
    "fcn": {"filters": (16, 24, 16)},
    "resnet": {"filters": (8, 12)},
    "inceptiontime": {"filters": 4, "bottleneck": 6, "depth": 3},
    "convgru": {"filters": (16, 24, 16)},
    "convlstm": {"filters": (16, 24, 16), "learning_rate": 0.01},
    "extreme-deconvolution": {"n_components": 4, "n_members": 2},
    "blend": {"n_networks": 1, "epochs": 16, "n_components": 4, "n_mixtures": 2},
    "circular-ensemble": {"n_networks": 2, "epochs": 12},
    "circular-inception": {"n_networks": 1, "epochs": 12, "inception_epochs": 8, "depth": 3, "filters": 4},
}
"""Small budgets, the one place for them: ``NETWORK`` for every network, then per entry."""

KINDS = (*REPRESENTATIONS, "raw+spline")
N_POINTS, N_TRAIN = 48, 240
TRAINED = [name for name in MODELS if MODELS[name].model_class().kind != "formula"]
NETWORKS = [name for name in MODELS if issubclass(MODELS[name].model_class(), Network)]


@lru_cache
def sample(kind: str = "spline", n: int = 360) -> tuple[Sequences, np.ndarray]:
    """Curves of six harmonics and [Fe/H] = -0.37 - 5.55 P + 0.94 phi31 (the formula of Muraveva+ 2025)."""
    if "+" in kind:
        (own, y), (beside, _) = (sample(one, n) for one in kind.split("+"))
        return paired(own, beside), y
    rng = np.random.default_rng(3)
    period, phi31 = rng.uniform(0.45, 0.75, n), rng.uniform(1.2, 2.8, n)
    k = np.arange(1, 7)
    amplitude = rng.uniform(0.2, 0.45, (n, 1)) * rng.uniform(0.42, 0.5, (n, 1)) ** (k - 1)
    angle = np.stack([0 * phi31, phi31 + np.pi, phi31, phi31 + 2.0, phi31 + 0.5, phi31 - 1.0], axis=1)
    coefficient = amplitude * np.exp(1j * angle)

    def mag(phase: np.ndarray) -> np.ndarray:
        return np.einsum("nk,ntk->nt", coefficient, np.exp(2j * np.pi * phase[..., None] * k)).real

    grid = np.tile(np.arange(N_POINTS) / N_POINTS, (n, 1))
    mask, phase, height = np.ones((n, N_POINTS), bool), grid, mag(grid)
    if kind == "raw":
        mask = np.arange(N_POINTS) < rng.integers(25, N_POINTS - 2, n)[:, None]
        phase = np.sort(np.where(mask, rng.random((n, N_POINTS)), 2.0), axis=1)
        height = mag(phase) + 0.01 * rng.normal(size=phase.shape)
    if kind != "spline":
        height = height + rng.uniform(15.0, 18.0, (n, 1))
    harmonics = np.zeros((n, 13))
    harmonics[:, 1::2], harmonics[:, 2::2] = coefficient.real, -coefficient.imag
    others = {
        "phi31": phi31,
        "phi31_error": 0.05,
        "a2": amplitude[:, 1],
        "a2_error": 0.005,
        "n_epochs": mask.sum(axis=1),
        "max_gap": 0.05,
        "scatter": 0.01,
        "peak_to_peak": np.ptp(mag(grid), axis=1),
        "zero_point": 16.5,
        "is_rrc": 0.0,
    }
    features = np.column_stack([shape_features(harmonics, period), *(np.full(n, 1.0) * v for v in others.values())])
    assert [*FEATURES[12:]] == list(others)
    values = np.stack([height, phase * period[:, None]], axis=2).astype(np.float32)
    values[~mask] = 0.0
    settings = Representation(kind=kind, n_points=N_POINTS)
    return Sequences(values, mask, features, np.arange(n) + 10**15, settings), -0.37 - 5.55 * period + 0.94 * phi31


def quick(name: str, **params) -> Regressor:
    return create_model(name, **{**(NETWORK if name in NETWORKS else {}), **QUICK.get(name, {}), **params})


def brief(name: str, epochs: int = 2) -> Regressor:
    """For what does not depend on how well it learns."""
    return quick(name, **({"epochs": epochs} if "epochs" in create_model(name).get_params() else {}))


def stars_for(name: str) -> tuple[Sequences, np.ndarray]:
    """The splines, or for a model that cannot read them the first representation that it can."""
    kinds = MODELS[name].model_class().representations
    return sample("spline" if "spline" in kinds else kinds[0])


@lru_cache
def fitted(name: str) -> Regressor:
    X, y = stars_for(name)
    return quick(name).fit(X[:N_TRAIN], y[:N_TRAIN])


def changed(X: Sequences, *, values=None, mask=None, features=None) -> Sequences:
    """Of a pair the first alone is changed."""
    return replace(
        X,
        values=X.values if values is None else np.asarray(values, np.float32),
        mask=X.mask if mask is None else mask,
        features=X.features if features is None else features,
    )


@pytest.mark.parametrize("name", MODELS)
def test_learns_clearly_better_than_the_mean(name):
    X, y = stars_for(name)
    mean, sigma = fitted(name).predict_dist(X[N_TRAIN:])
    error = np.sqrt(np.mean((mean - y[N_TRAIN:]) ** 2))
    assert error < 0.6 * y[N_TRAIN:].std(), error / y[N_TRAIN:].std()
    assert np.isfinite(sigma).all()
    assert (sigma > 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_star_is_predicted_the_same_to_the_last_bit_in_any_company(name):
    """Alone, in batches of any size, in any order, beside longer curves, and with any number of threads."""
    kinds = MODELS[name].model_class().representations
    model = fitted(name)
    X = next(sample(kind)[0] for kind in ("raw", "spline", "raw+spline") if kind in kinds)[:150]
    if X.representation.name != stars_for(name)[0].representation.name:
        model = brief(name).fit(X[:60], sample("raw")[1][:60])
    assert_same_in_any_company(model.predict_dist, X)


def assert_same_in_any_company(predict_dist, X: Sequences) -> None:
    whole = np.stack(predict_dist(X))
    order = np.random.default_rng(1).permutation(len(X))
    np.testing.assert_array_equal(np.stack(predict_dist(X[order])), whole[:, order])
    for size in (1, 2, 3, 7, 130):
        rows = order[size : 2 * size] if size < 20 else order[:size]
        np.testing.assert_array_equal(np.stack(predict_dist(X[rows])), whole[:, rows], err_msg=f"{size} stars")
    threads = torch.get_num_threads()
    for number in (2, 1):
        torch.set_num_threads(number)
        with limited(number):
            np.testing.assert_array_equal(np.stack(predict_dist(X[:20])), whole[:, :20], err_msg=f"{number} threads")
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", sorted(set(list_trained()) - {"default"}))
def test_shipped_ensembles_predict_a_star_the_same_in_any_company(name):
    """With their calibrated errors, on what they are made for."""
    (ensemble,) = pf.load(name).ensembles.values()
    survey = simulate(150, seed=8)
    X = build_sequences(measure(survey.curves, survey.stars), ensemble.representation)
    assert_same_in_any_company(lambda some: ensemble.predict_interval(some, 0.9), X[X.mask.any(axis=1)])


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_models_predict_the_same(name, tmp_path):
    X, _ = stars_for(name)
    fitted(name).save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}
    loaded = MODELS[name].model_class()().restore(tmp_path)
    for a, b in zip(loaded.predict_dist(X[:40]), fitted(name).predict_dist(X[:40]), strict=True):
        assert np.array_equal(a, b)
    assert loaded.get_params() == fitted(name).get_params()


ELSEWHERE = """
import sys, numpy as np, torch
from photfeh.models.registry import MODELS
from photfeh.samples.sequences import Representation, Sequences, paired
torch.set_num_threads(1)
found = {}
for name in sys.argv[1:]:
    stars, views = np.load(f"{name}/stars.npz"), []
    for kind in str(stars["name"]).split("+"):
        arrays = (stars[f"{kind} {key}"] for key in ("values", "mask", "features", "source_id"))
        views.append(Sequences(*arrays, Representation(kind=kind, n_points=48)))
    X = paired(*views) if len(views) == 2 else views[0]
    found[name] = MODELS[name].model_class()().restore(name).predict(X)
np.savez("found.npz", **found)
"""


def test_every_saved_model_predicts_in_another_process_without_the_training_data(tmp_path):
    expected = {}
    for name in MODELS:
        X = stars_for(name)[0][N_TRAIN : N_TRAIN + 20]
        fitted(name).save(tmp_path / name)
        expected[name] = fitted(name).predict(X)
        views = (X.own, X.beside) if isinstance(X, PairedSequences) else (X,)
        keys = ("values", "mask", "features", "source_id")
        stars = {f"{view.representation.kind} {key}": getattr(view, key) for view in views for key in keys}
        np.savez(tmp_path / name / "stars.npz", name=X.representation.name, **stars)
    subprocess.run([sys.executable, "-c", ELSEWHERE, *MODELS], cwd=tmp_path, check=True)
    with np.load(tmp_path / "found.npz") as found:
        for name in MODELS:
            assert np.allclose(found[name], expected[name], rtol=0, atol=0), name


@pytest.mark.parametrize("name", TRAINED)
def test_fitting_twice_gives_the_same_and_a_clone_is_unfitted(name):
    X, y = stars_for(name)
    first = brief(name).fit(X[:60], y[:60])
    again = clone(first)
    with pytest.raises(BadInput, match="not fitted"):
        again.predict(X)
    again.fit(X[:60], y[:60])
    assert first.arrays_.keys() == again.arrays_.keys()
    for key, value in first.arrays_.items():
        assert np.array_equal(value, again.arrays_[key]), key


@pytest.mark.parametrize("name", TRAINED)
def test_zero_weight_equals_the_row_removed(name):
    X, y = stars_for(name)
    X, y = X[:80], y[:80]
    weight = np.random.default_rng(0).uniform(0.5, 1.5, 80)
    weight[::4] = 0.0
    one = brief(name).fit(X, np.where(weight > 0, y, 99.0), weight)
    two = brief(name).fit(X[weight > 0], y[weight > 0], weight[weight > 0])
    assert np.array_equal(one.predict(X), two.predict(X))


@pytest.mark.parametrize("name", TRAINED)
def test_weights_matter(name):
    X, y = stars_for(name)
    X, high = X[:80], np.random.default_rng(0).random(80) < 0.5
    y = y[:80] + np.where(high, 0.5, -0.5)
    even = brief(name, epochs=8).fit(X, y)
    rich = brief(name, epochs=8).fit(X, y, np.where(high, 20.0, 1.0))
    assert rich.predict(X).mean() > even.predict(X).mean() + 0.01


@pytest.mark.parametrize("name", MODELS)
def test_a_star_without_steps_gets_nan_and_does_not_disturb_others(name):
    X = stars_for(name)[0][:10]
    mask = X.mask.copy()
    mask[4] = False
    mean, sigma = fitted(name).predict_dist(changed(X, values=np.where(mask[..., None], X.values, 0), mask=mask))
    assert np.isnan(mean[4])
    assert np.isnan(sigma[4])
    others = np.delete(np.arange(10), 4)
    assert np.array_equal(mean[others], fitted(name).predict(X)[others])


@pytest.mark.parametrize("name", MODELS)
def test_the_period_matters(name):
    X = stars_for(name)[0][N_TRAIN:]
    features = X.features.copy()
    features[:, 0] *= 1.1
    slower = changed(X, values=X.values * np.array([1.0, 1.1], np.float32), features=features)
    difference = fitted(name).predict(slower) - fitted(name).predict(X)
    assert np.median(np.abs(difference)) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_every_representation_is_read_or_refused(name, kind):
    X, y = sample(kind)
    X, y, model = X[:70], y[:70], brief(name)
    if kind not in model.representations:
        with pytest.raises(BadInput, match=re.escape(f"cannot read the representation '{kind}'; prepare one of")):
            model.fit(X, y)
        other, labels = stars_for(name)
        with pytest.raises(BadInput, match="cannot read the representation"):
            model.fit(other[:70], labels[:70]).predict(X)
        return
    mean, sigma = model.fit(X, y).predict_dist(X)
    assert np.isfinite(mean).all()
    assert (sigma > 0).all()
    if kind != "raw":
        return
    dirty = changed(X, values=np.where(X.mask[..., None], X.values, 7.7))
    assert np.array_equal(model.predict(dirty), mean), "what stands behind the mask was read"
    longest = X.lengths.max()
    assert longest < N_POINTS
    cut = Sequences(X.values[:, :longest], X.mask[:, :longest], X.features, X.source_id, X.representation)
    assert np.allclose(model.predict(cut), mean, rtol=0, atol=2e-6), "the amount of padding mattered"


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_read_the_amplitude(name):
    X = stars_for(name)[0][N_TRAIN:]
    larger = changed(X, values=X.values * np.array([1.2, 1.0], np.float32))
    assert np.abs(fitted(name).predict(larger) - fitted(name).predict(X)).max() > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_every_parameter(name):
    """From the label, or through a penalty that depends on the stars, not on the weights alone."""
    X, y = stars_for(name)
    model = fitted(name)

    def gradients(rows: slice, *, penalised: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        module, batch = model.build(), model._batch(X[rows], y[rows])
        output = module(batch.values, batch.lengths, batch.extra)
        loss = module.penalty() if penalised else (output[:, 0] - batch.target).square().mean() + output[:, -1].mean()
        loss.backward()
        return {key: p.grad for key, p in module.named_parameters() if p.grad is not None}

    reached = {key for key, grad in gradients(slice(16), penalised=False).items() if grad.abs().sum() > 0}
    module = model.build()
    if isinstance(module, Penalised):
        one, two = (gradients(slice(begin, begin + 16), penalised=True) for begin in (0, 16))
        reached |= {key for key, grad in one.items() if not torch.equal(grad, two[key])}
    assert reached == {key for key, _ in module.named_parameters()}


@pytest.mark.parametrize("name", TRAINED)
def test_bad_training_input_is_refused(name):
    X, y = stars_for(name)
    with pytest.raises(BadInput, match="has no finite label"):
        quick(name).fit(X, np.where(np.arange(len(y)) == 3, np.nan, y))
    with pytest.raises(BadInput, match="sample_weight"):
        quick(name).fit(X, y, -np.ones(len(y)))
    with pytest.raises(BadInput, match="y shape"):
        quick(name).fit(X, y[:-1])


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_be_described_and_its_parameters_are_plain(name):
    layers, params, text = describe(name, N_POINTS)
    assert json.loads(json.dumps(params)).keys() == params.keys()
    assert MODELS[name].source in text
    assert (layers is not None) == (name in NETWORKS)
    if layers is not None:
        run = layers[layers["output"] != "in training only"]
        assert run["output"].iloc[-1] in ("(None, 1)", "(None, 2)")
        assert layers["parameters"].sum() == sum(p.numel() for p in create_model(name).build().parameters())


def test_a_folder_of_another_model_is_refused(tmp_path):
    fitted("svr").save(tmp_path / "svr")
    with pytest.raises(BadFile, match="holds a SupportVector"):
        create_model("gru").restore(tmp_path / "svr")
    (tmp_path / "svr" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(BadFile, match="train the model again"):
        create_model("svr").restore(tmp_path / "svr")


def test_own_prediction_equals_scikit_learn():
    """Support vectors and trees are walked by our own code; scikit-learn's is the oracle."""
    X, y = sample()
    model = fitted("svr")
    scaled = model._scaled(X.shape_features())
    target = (y[:N_TRAIN] - model.arrays_["y"][0]) / model.arrays_["y"][1]
    machine = SVR(C=4.0, gamma=model.notes_["gamma"], epsilon=0.1).fit(scaled[:N_TRAIN], target)
    assert np.allclose(model._unscaled(machine.predict(scaled)), model.predict(X), atol=1e-6)
    params = fitted("random-forest").get_params()
    forest = RandomForestRegressor(
        params["n_trees"],
        min_samples_leaf=params["min_samples_leaf"],
        max_features=params["max_features"],
        random_state=0,
    ).fit(X.shape_features()[:N_TRAIN].astype(np.float32), y[:N_TRAIN], sample_weight=np.ones(N_TRAIN))
    assert np.allclose(
        forest.predict(X.shape_features().astype(np.float32)), fitted("random-forest").predict(X), atol=1e-9
    )


def test_gru_layer_table_has_the_published_counts():
    layers, params, _ = describe("gru")
    counts = [c for c in layers["parameters"] if c]
    assert counts == [1440, 1824, 624, 9]
    assert layers["parameters"].sum() == 3897
    assert layers["output"].tolist()[:2] == ["(None, 264, 2)", "(None, 264, 20)"]
    assert layers["output"].tolist()[-1] == "(None, 1)"
    assert params["units"] == (20, 16, 8)


def test_registry_names_and_parameters():
    assert list_models("*-fo*") == ["ridge-fourier", "random-forest"]
    with pytest.raises(UnknownName, match="Did you mean 'gru'"):
        create_model("grru")
    with pytest.raises(BadInput, match="no parameter 'epoch'"):
        create_model("gru", epoch=3)


@pytest.mark.parametrize("name", ["ridge-fourier", "svr", "random-forest", "gradient-boosting"])
def test_the_scale_of_the_weights_changes_nothing(name, rng):
    """Neither the penalty of a ridge nor its sigma may depend on it."""
    X, y = sample()
    weight = rng.uniform(0.2, 3.0, len(y))
    params = {"svr": {"C": 4.0, "gamma": 0.2}, "random-forest": {"n_trees": 20}, "gradient-boosting": {"n_trees": 10}}
    params = params.get(name, {})
    one, two = (create_model(name, **params).fit(X, y, scale * weight).predict_dist(X) for scale in (1.0, 1024.0))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7)


@pytest.mark.parametrize("name", ["svr", "random-forest"])
def test_on_flattened_sequences_the_three_data_sets_differ(name, tmp_path):
    """As in the founding work; on Fourier features the three are one. A saved model reads the same inputs again."""
    params = {"svr": {"C": 4.0, "gamma": 0.2}, "random-forest": {"n_trees": 20}}[name]
    said = {}
    for kind in ("raw", "raw-spline", "spline"):
        X, y = sample(kind)
        model = create_model(name, inputs="sequence", **params).fit(X[:300], y[:300])
        said[kind] = model.predict(X[300:])
        model.save(tmp_path / kind)
        again = create_model(name).restore(tmp_path / kind)
        assert again.inputs == "sequence"
        assert np.array_equal(again.predict(X[300:]), said[kind])
    assert np.std(said["spline"] - y[300:]) < 0.7 * np.std(y[300:])
    assert not np.allclose(said["raw"], said["spline"])
    assert not np.allclose(said["raw-spline"], said["spline"])
