from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import clone

from photfeh.core.errors import BadInput
from photfeh.models import seq2seq
from photfeh.models.seq2seq import folded_curves
from photfeh.samples.sequences import Sequences
from test_models import N_TRAIN, changed, fitted, quick, sample


def test_the_curve_to_draw_is_the_noise_free_curve():
    """The stars of the battery are exact Fourier series: their splines are the truth."""
    X, _ = sample("spline")
    curve = folded_curves(X, X.mask.shape[1])
    assert np.allclose(curve, X.values[..., 0], atol=1e-4)


def test_the_curve_to_draw_follows_the_alignment():
    X, _ = sample("spline")
    turned = Sequences(
        X.values, X.mask, X.features, X.source_id, replace(X.representation, alignment="maximum", n_points=48)
    )
    curve = folded_curves(turned, 64)
    assert (curve.argmin(axis=1) % 63 <= 1).all()  # magnitudes: the brightest phase comes first
    assert np.allclose(np.sort(folded_curves(X, 64)).mean(axis=1), curve.mean(axis=1), atol=1e-6)


def test_predictions_read_nothing_of_the_coefficients():
    X, _ = sample()
    features = X.features.copy()
    features[:, 1:] = np.random.default_rng(0).normal(size=features[:, 1:].shape)
    model = fitted("seq2seq")
    for a, b in zip(model.predict_dist(changed(X, features=features)), model.predict_dist(X), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(model.reconstruct(changed(X, features=features)), model.reconstruct(X))


def test_predictions_draw_nothing(monkeypatch):
    X, _ = sample()
    model = fitted("seq2seq")
    expected = model.predict(X)

    def drawn(*_):
        raise AssertionError("a curve was drawn")

    monkeypatch.setattr(seq2seq, "folded_curves", drawn)
    monkeypatch.setattr(seq2seq.Decoder, "forward", drawn)
    assert np.array_equal(model.predict(X), expected)
    with pytest.raises(AssertionError, match="drawn"):
        model.reconstruct(X)


def test_weights_count_in_the_error_of_the_curves():
    X, y = sample()
    model = fitted("seq2seq")
    batch = model._batch(X[:2], y[:2], np.array([1.0, 3.0]))
    module = model.build()
    module.dropout.p = 0.0

    def penalty(b) -> float:
        module(b.values, b.lengths, b.extra)
        return float(module.penalty().detach())

    one, two = (penalty(batch.rows(torch.tensor([i]))) for i in (0, 1))
    assert one != pytest.approx(two, rel=1e-3)
    assert penalty(batch) == pytest.approx((one + 3 * two) / 4, rel=1e-5)


def test_pretraining_on_unlabelled_raw_stars_teaches_to_draw_and_fit_goes_on_from_there():
    X, y = sample("raw")
    truth = folded_curves(X, 32)
    model = quick("seq2seq", epochs=1)
    assert model.pretrain(X[:N_TRAIN], epochs=40) is model
    model.set_params(learning_rate=1e-6)
    with pytest.raises(BadInput, match="not fitted"):
        model.predict(X)
    drawn = model.fit(X[:30], y[:30]).reconstruct(X[N_TRAIN:])
    error = np.sqrt(np.mean((drawn - truth[N_TRAIN:]) ** 2))
    assert error < 0.3 * truth.std(), error / truth.std()
    untaught = clone(model).fit(X[:30], y[:30]).reconstruct(X[N_TRAIN:])
    assert np.sqrt(np.mean((untaught - truth[N_TRAIN:]) ** 2)) > 0.8 * truth.std()


def test_pretraining_leaves_a_fitted_model_as_it_is_and_repeats_exactly():
    X, y = sample()
    model = quick("seq2seq", epochs=1).fit(X[:40], y[:40])
    before = model.predict(X)
    model.pretrain(X[:60], epochs=1)
    assert np.array_equal(model.predict(X), before)
    again = quick("seq2seq", epochs=1).pretrain(X[:60], epochs=1).fit(X[:40], y[:40])
    assert np.array_equal(again.predict(X), model.fit(X[:40], y[:40]).predict(X))
    assert not np.array_equal(again.predict(X), before)


def test_a_star_without_steps_cannot_be_drawn():
    X, _ = sample()
    mask = X.mask.copy()
    mask[3] = False
    holed = changed(X, values=np.where(mask[..., None], X.values, 0.0), mask=mask)
    curves = fitted("seq2seq").reconstruct(holed)
    assert np.isnan(curves[3]).all()
    assert np.isfinite(np.delete(curves, 3, axis=0)).all()
    with pytest.raises(BadInput, match=f"star {X.source_id[3]} has no valid step"):
        quick("seq2seq").pretrain(holed)
    with pytest.raises(BadInput, match="not fitted"):
        quick("seq2seq").reconstruct(X)
