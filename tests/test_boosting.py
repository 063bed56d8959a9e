import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from test_models import N_TRAIN, quick, sample


@pytest.mark.parametrize("weighted", [False, True])
def test_prediction_from_stored_nodes_equals_scikit_learn(weighted):
    X, y = sample()
    weight = np.random.default_rng(2).uniform(0.5, 2.0, N_TRAIN) if weighted else np.ones(N_TRAIN)
    model = quick("gradient-boosting").fit(X[:N_TRAIN], y[:N_TRAIN], weight)
    own = model.get_params()
    boosting = HistGradientBoostingRegressor(
        max_iter=own["n_trees"],
        learning_rate=own["learning_rate"],
        max_leaf_nodes=own["max_leaves"],
        min_samples_leaf=own["min_samples_leaf"],
        l2_regularization=own["l2"],
        max_features=own["max_features"],
        early_stopping=False,
        random_state=0,
    ).fit(X.shape_features()[:N_TRAIN], y[:N_TRAIN], sample_weight=weight / weight.mean())
    assert np.allclose(model.predict(X), boosting.predict(X.shape_features()), rtol=0, atol=1e-10)


def test_sigma_is_the_error_on_stars_that_were_not_trained_on():
    """Labels with noise of 0.3 dex: a sigma from training residuals would be far too small."""
    X, y = sample()
    y = y + 0.3 * np.random.default_rng(3).normal(size=len(y))
    model = quick("gradient-boosting", n_folds=5).fit(X[:N_TRAIN], y[:N_TRAIN])
    mean, sigma = model.predict_dist(X)
    assert len(set(sigma)) == 1
    trained = np.std(mean[:N_TRAIN] - y[:N_TRAIN])
    assert trained < 0.8 * sigma[0]
    assert np.std(mean[N_TRAIN:] - y[N_TRAIN:]) == pytest.approx(sigma[0], rel=0.2)
