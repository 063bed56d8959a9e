from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gaussian_kde

from photfeh.core.errors import BadInput, UnknownName
from photfeh.samples.weights import WEIGHTINGS, DensityWeights, evaluation_weights


def test_density_weights_are_the_inverse_of_the_kernel_density(rng):
    feh = rng.normal(-1.5, 0.3, 500)
    weights = DensityWeights("density").fit(feh)
    expected = 1 / np.maximum(gaussian_kde(feh)(feh), 0.5)
    assert np.allclose(weights(feh), expected / expected.mean())


def test_founding_weights_follow_the_published_formula(rng):
    feh, error = rng.normal(-1.5, 0.3, 400), rng.uniform(0.2, 0.4, 400)
    raw = 1 / (np.maximum(gaussian_kde(feh)(feh), 0.5) * error**2)
    expected = 0.01 + 0.99 * (raw - raw.min()) / (raw.max() - raw.min())
    weight = DensityWeights("founding").fit(feh, error)(feh, error)
    assert np.allclose(weight, expected)
    assert weight.min() == pytest.approx(0.01)
    assert weight.max() == pytest.approx(1.0)


def test_weights_of_other_stars_use_what_was_learnt_in_training(rng):
    train = rng.normal(-1.5, 0.3, 300)
    fitted = DensityWeights("density").fit(train)
    one = fitted(np.array([-1.4]))
    many = fitted(np.array([-1.4, 0.0, -3.0]))
    assert one[0] == many[0]
    assert many[1] == many[2]  # both beyond the threshold: held constant


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_every_weighting_is_positive_and_finite(rng, kind):
    feh = rng.normal(-1.5, 0.3, 100)
    error = np.where(rng.random(100) < 0.2, np.nan, 0.2)
    weight = DensityWeights(kind).fit(feh, error)(feh, error)
    assert (weight > 0).all()
    assert np.isfinite(weight).all()


def test_bad_input_is_refused():
    with pytest.raises(UnknownName, match="root-density"):
        DensityWeights("nothing").fit([1.0, 2, 3])
    with pytest.raises(BadInput, match="3 distinct labels"):
        DensityWeights().fit([1.0, 1, 1])


def test_evaluation_weights_are_inverse_variances():
    assert evaluation_weights([0.1, 0.2]) == pytest.approx(np.array([4, 1]) / 2.5)
    assert (evaluation_weights([np.nan, 0.0]) == 1).all()
