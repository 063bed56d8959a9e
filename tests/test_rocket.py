import numpy as np
import pytest

from photfeh.core.errors import BadInput
from photfeh.models.rocket import KERNELS, convolve, fit_biases, fit_dilations, positive_proportions
from photfeh.samples.sequences import Sequences
from test_models import N_TRAIN, changed, quick, sample


def curves(n: int = 4, steps: int = 41) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, steps)).astype(np.float32)


def weights(kernel: int) -> np.ndarray:
    out = np.full(9, -1.0)
    out[KERNELS[kernel]] = 2.0
    return out


def test_the_kernels_are_84_different_ones_that_sum_to_zero():
    found = {tuple(weights(kernel)) for kernel in range(84)}
    assert len(found) == 84
    assert all(sum(kernel) == 0 for kernel in found)


def test_dilations_of_the_published_setting():
    """264 steps and 9,996 features: 119 of each kernel, exponents up to log2(263 / 8), the small ones often."""
    dilations, counts = fit_dilations(264, 10_000)
    assert dilations[0] == 1
    assert dilations[-1] == 32
    assert counts.sum() == 119
    assert counts[0] == 27
    assert (np.diff(dilations) > 0).all()


@pytest.mark.parametrize("dilation", [1, 3, 5])
@pytest.mark.parametrize("circular", [True, False])
def test_convolution_equals_numpy(dilation, circular):
    x = curves()[0]
    for kernel in (0, 17, 83):
        wide = np.zeros(8 * dilation + 1)
        wide[::dilation] = weights(kernel)
        mode = "wrap" if circular else "constant"
        expected = np.correlate(np.pad(x.astype(np.float64), 4 * dilation, mode=mode), wide, mode="valid")
        assert np.allclose(convolve(x, dilation, kernel, circular), expected, atol=1e-5)


@pytest.mark.parametrize("circular", [True, False])
def test_features_are_proportions_above_the_bias(circular):
    x, dilations, counts = curves(), np.array([1, 4]), np.array([2, 1])
    biases = np.random.default_rng(1).normal(size=3 * 84).astype(np.float32)
    found = positive_proportions(x, dilations, counts, biases, circular)
    feature = 0
    for d, (dilation, count) in enumerate(zip(dilations, counts, strict=True)):
        for kernel in range(84):
            edge = 0 if circular or (d + kernel) % 2 == 0 else 4 * dilation
            inside = slice(edge, x.shape[1] - edge)
            for _ in range(count):
                expected = [(convolve(row, dilation, kernel, circular)[inside] > biases[feature]).mean() for row in x]
                assert np.allclose(found[:, feature], expected)
                feature += 1


def test_features_are_those_of_aeon():
    """Mean over stars, and spread within one star, of the features of each dilation, as aeon 1.6.0 gives them.

    Its _minirocket._static_transform_uni(curves, ([1], [0], dilations, counts, biases), _indices) was called with the
    arrays made here; 5 in a million features differ by one step, where a convolution equals a bias but for rounding.
    """
    of_aeon = (
        (0.502565, 0.275674), (0.502147, 0.288475), (0.510506, 0.287082), (0.502964, 0.299815), (0.499623, 0.311976),
        (0.503713, 0.347819), (0.513358, 0.376766),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    walks = rng.normal(size=(40, 64)).cumsum(axis=1).astype(np.float32)
    dilations, counts = fit_dilations(64, 9996)
    assert dilations.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert counts.tolist() == [41, 23, 15, 15, 7, 11, 7]
    biases = fit_biases(walks, dilations, counts, rng, circular=False)
    features = positive_proportions(walks, dilations, counts, biases, False)
    begin = 0
    for count, (mean, spread) in zip(counts, of_aeon, strict=True):
        part = features[:, begin : begin + 84 * count]
        assert part.mean() == pytest.approx(mean, abs=3e-6)
        assert part[3].std() == pytest.approx(spread, abs=3e-5)
        begin += 84 * count


def test_wrapped_features_do_not_change_when_the_curve_is_turned_or_shifted():
    x = curves()
    dilations, counts = fit_dilations(x.shape[1], 500)
    biases = fit_biases(x, dilations, counts, np.random.default_rng(0), circular=True)
    plain = positive_proportions(x, dilations, counts, biases, True)
    assert np.abs(positive_proportions(np.roll(x, 7, axis=1), dilations, counts, biases, True) - plain).max() < 0.03
    moved = positive_proportions(x + np.float32(2.0), dilations, counts, biases, True)
    assert np.mean(moved != plain) < 0.01  # up to rounding: kernels sum to zero
    assert ((plain >= 0) & (plain <= 1)).all()


def test_biases_are_quantiles_that_fill_the_range():
    """On one curve the share of steps above the bias of level q is 1 - q; the levels are evenly spread."""
    x = curves(1, 401)
    dilations, counts = fit_dilations(401, 84 * 20)
    biases = fit_biases(x, dilations, counts, np.random.default_rng(0), circular=True)
    share = positive_proportions(x, dilations, counts, biases, True)[0]
    level = np.arange(1, len(biases) + 1) * (np.sqrt(5) + 1) / 2 % 1
    assert np.abs(share - (1 - level)).max() < 2 / 401
    assert np.abs(np.sort(share) - np.linspace(0, 1, len(share))).max() < 0.01


def test_phase_zero_does_not_matter_to_the_model():
    X, y = sample()
    model = quick("minirocket").fit(X[:N_TRAIN], y[:N_TRAIN])
    turned = X.values.copy()
    turned[..., 0] = np.roll(turned[..., 0], 9, axis=1)
    assert np.abs(model.predict(changed(X, values=turned)) - model.predict(X)).max() < 0.05


def test_sigma_is_the_leave_one_out_error():
    X, y = sample()
    y = y + 0.2 * np.random.default_rng(4).normal(size=len(y))
    model = quick("minirocket").fit(X[:N_TRAIN], y[:N_TRAIN])
    mean, sigma = model.predict_dist(X[N_TRAIN:])
    assert np.std(mean - y[N_TRAIN:]) == pytest.approx(sigma[0], rel=0.25)


def test_series_of_other_or_unequal_length_are_refused():
    X, y = sample()
    model = quick("minirocket").fit(X[:80], y[:80])
    short = Sequences(X.values[:, :40], X.mask[:, :40], X.features, X.source_id, X.representation)
    with pytest.raises(BadInput, match="fitted to 48 steps, found 40"):
        model.predict(short)
    mask = X.mask.copy()
    mask[5, 30:] = False
    with pytest.raises(BadInput, match=f"star {X.source_id[5]} has missing steps"):
        model.fit(changed(X, mask=mask), y)
    with pytest.raises(BadInput, match="whole number from 84 to"):
        quick("minirocket", n_features=50).fit(X, y)
