"""Extreme deconvolution against closed-form posteriors, and its promise: errors that grow with the noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from photfeh.models import deconvolution
from photfeh.models.base import averaged
from photfeh.models.deconvolution import ExtremeDeconvolution, _prepared, harmonic_information
from photfeh.models.kernels.mixtures import expectation, invert, posterior
from photfeh.models.registry import create_model


@pytest.fixture(scope="module")
def mixture():
    rng = np.random.default_rng(3)
    covariance = np.stack([(m := rng.normal(size=(3, 3))) @ m.T + np.eye(3) for _ in range(2)])
    return np.array([0.3, 0.7]), rng.normal(size=(2, 3)) * 2, covariance


def observed(x, noise):
    information = np.linalg.inv(noise)
    return information, np.einsum("nij,nj->ni", information, x)


def alone(*mixture):
    """One mixture where several are expected."""
    return [part[None] for part in _prepared(*mixture)]


def test_a_star_gets_the_same_bits_whoever_stands_beside_it_and_whatever_the_number_of_mixtures(mixture):
    share, centre, covariance = mixture
    rng = np.random.default_rng(5)
    noise = np.stack([np.diag(rng.uniform(0.1, 3, 3)) for _ in range(101)])
    information, vector = observed(rng.normal(size=(101, 3)), noise)
    several = [_prepared(share, centre + shift, covariance * factor) for shift, factor in ((0, 1), (0.5, 2), (-1, 0.3))]
    mean, variance = posterior(information, vector, *[np.stack(part) for part in zip(*several, strict=True)])
    assert mean.shape == variance.shape == (3, 101)
    for m, one in enumerate(several):
        for star in (0, 1, 50, 99, 100):
            rows = slice(star, star + 1)
            (own,), (apart,) = posterior(information[rows], vector[rows], *[part[None] for part in one])
            assert own[0] == mean[m, star]
            assert apart[0] == variance[m, star]


@given(seed=st.integers(0, 10_000), d=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_inverse_and_determinant_are_those_of_numpy(seed, d):
    m = np.random.default_rng(seed).normal(size=(d, d))
    matrix, inverse = m @ m.T + 0.1 * np.eye(d), np.empty((d, d))
    log_determinant = invert(matrix.copy(), inverse)
    assert np.allclose(inverse, np.linalg.inv(matrix), rtol=1e-8, atol=1e-10)
    assert np.isclose(log_determinant, np.linalg.slogdet(matrix)[1], rtol=1e-10, atol=1e-10)


def test_posterior_is_bayes_rule_written_out_for_full_observations(mixture):
    share, centre, covariance = mixture
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3)) * 2
    noise = np.stack([np.diag(rng.uniform(0.1, 3, 3)) for _ in x])
    (mean,), (variance,) = posterior(*observed(x, noise), *alone(share, centre, covariance))
    for i in range(len(x)):
        weights, means, seconds = [], [], []
        for a, m, v in zip(share, centre, covariance, strict=True):
            gain = v @ np.linalg.inv(v + noise[i])
            weights.append(a * multivariate_normal(m, v + noise[i]).pdf(x[i]))
            means.append(m + gain @ (x[i] - m))
            seconds.append(np.diag(v - gain @ v) + means[-1] ** 2)
        weights = np.array(weights) / np.sum(weights)
        expected = weights @ np.array(means)
        assert np.isclose(mean[i], expected[-1], atol=1e-9)
        assert np.isclose(variance[i], (weights @ np.array(seconds) - expected**2)[-1], atol=1e-8)


def test_a_star_without_information_gets_mean_and_variance_of_the_mixture(mixture):
    share, centre, covariance = mixture
    (mean,), (variance,) = posterior(np.zeros((1, 3, 3)), np.zeros((1, 3)), *alone(share, centre, covariance))
    total = share @ centre
    assert np.isclose(mean[0], total[-1])
    spread = np.einsum("k,kii->ki", share, covariance).sum(axis=0) + share @ (centre - total) ** 2
    assert np.isclose(variance[0], spread[-1])


def test_expectation_sums_are_those_of_single_stars(mixture):
    share, centre, covariance = mixture
    rng = np.random.default_rng(1)
    x = rng.normal(size=(150, 3))
    information, vector = observed(x, np.broadcast_to(np.eye(3), (150, 3, 3)))
    weight = rng.uniform(0, 2, 150)
    whole = expectation(information, vector, weight, centre, *_prepared(share, centre, covariance))
    single = [
        expectation(information[i : i + 1], vector[i : i + 1], weight[i : i + 1], centre, *_prepared(*mixture))
        for i in range(150)
    ]
    for k in range(3):
        assert np.allclose(whole[k], np.sum([part[k] for part in single], axis=0), rtol=1e-10, atol=1e-10)
    assert np.isclose(whole[0].sum(), weight.sum())


def test_information_of_clean_points_recovers_the_coefficients():
    rng = np.random.default_rng(2)
    phase = np.sort(rng.uniform(size=(5, 60)), axis=1)
    truth = np.array([0.3, 0.0, -0.1, 0.05])
    waves = [f(2 * np.pi * k * phase) for k in (1, 2) for f in (np.cos, np.sin)]
    mag = 15.0 + np.tensordot(truth, np.array(waves), 1) + rng.normal(0, 0.003, phase.shape)
    lengths = np.full(5, 60)
    information, vector, rough = harmonic_information(phase, mag, lengths, 2)
    solved = np.linalg.solve(information, vector[..., None])[..., 0]
    assert np.allclose(solved, truth, atol=0.004)
    assert np.allclose(rough, truth, atol=0.006)
    shifted = harmonic_information(phase, mag + 3.0, lengths, 2)
    assert np.allclose(shifted[0], information, rtol=1e-6)
    assert np.allclose(shifted[1], vector, rtol=1e-6, atol=1e-3)
    spoiled = mag.copy()
    spoiled[:, 10] += 2.0  # one outlier a star
    robust = harmonic_information(phase, spoiled, lengths, 2)
    assert np.allclose(np.linalg.solve(robust[0], robust[1][..., None])[..., 0], truth, atol=0.01)


def test_errors_grow_with_noise_and_hold_their_coverage(dataset):
    rows = dataset.sample
    rows = rows[dataset.stars["type"].iloc[rows] == "RRab"]
    X, y = dataset.sequences("raw", rows), dataset.stars["feh"].to_numpy()[rows]
    half = len(y) // 2
    model = create_model("extreme-deconvolution", n_components=3, n_members=3).fit(X[:half], y[:half])
    mean, sigma = model.predict_dist(X[half:])
    pull = (mean - y[half:]) / sigma
    assert 0.55 < np.mean(np.abs(pull) < 1) < 0.85
    noise = X[half:].feature("scatter") / X[half:].feature("amplitude1") / np.sqrt(X[half:].feature("n_epochs"))
    assert np.corrcoef(np.argsort(np.argsort(noise)), np.argsort(np.argsort(sigma)))[0, 1] > 0.3


def test_few_stars_get_few_components(dataset):
    X = dataset.sequences("raw", dataset.sample[:40])
    model = ExtremeDeconvolution(n_members=1).fit(X, dataset.stars["feh"].to_numpy()[dataset.sample[:40]])
    assert model.arrays_["share"].shape == (1, 1)


def test_a_component_that_loses_all_its_stars_spoils_nothing(dataset):
    """A cluster of stars whose weights vanish: its component is left without any, and says nothing."""
    rows = dataset.sample[:120]
    X, feh = dataset.sequences("raw", rows), dataset.stars["feh"].to_numpy()[rows]
    rrc = (dataset.stars["type"].to_numpy() == "RRc")[rows]
    assert rrc.sum() > 15
    weight = np.where(rrc, 1e-300, 1.0)
    model = ExtremeDeconvolution(n_members=2, n_components=4).fit(X, feh - 3.0 * rrc, weight)
    for name, values in model.arrays_.items():
        assert np.isfinite(values).all(), name
    mean, sigma = model.predict_dist(X[~rrc])
    assert np.isfinite(mean).all()
    assert np.isfinite(sigma).all()
    assert np.sqrt(np.mean((mean - feh[~rrc]) ** 2)) < 0.5


def test_what_the_points_say_is_found_once_a_fit_and_nothing_of_the_labels_stays_in_it(dataset, monkeypatch):
    calls = []
    monkeypatch.setattr(
        deconvolution, "harmonic_information", lambda *some: calls.append(1) or harmonic_information(*some)
    )
    X = dataset.sequences("raw", dataset.sample[:60])
    feh = dataset.stars["feh"].to_numpy()[dataset.sample[:60]]
    models = [ExtremeDeconvolution(n_members=1, iterations=2, n_components=n) for n in (1, 2)]
    for n, model in enumerate(models):
        model.fit(X, feh)
        assert len(calls) == n + 1  # a fit sees its own copy of the stars
    fresh = X[np.arange(60)]
    for model in models:
        assert np.array_equal(model.predict(X), model.predict(fresh))
    assert len(calls) == 4


def test_the_average_of_many_is_that_of_a_star_alone():
    values = [np.random.default_rng(seed).normal(size=40) for seed in range(30)]
    mean, variance = averaged(values)
    assert np.allclose(mean, np.mean(values, axis=0), rtol=1e-12, atol=1e-14)
    assert np.allclose(variance, np.var(values, axis=0), rtol=1e-12)
    for star in range(40):
        alone = averaged([value[star : star + 1] for value in values])
        assert (alone[0][0], alone[1][0]) == (mean[star], variance[star])
