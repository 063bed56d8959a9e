"""The circular network: its smoothing against closed form, its symmetries, its augmentation."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
import torch

from photfeh.core.errors import BadInput
from photfeh.core.threads import limited
from photfeh.models import circular, circular_module, loop
from photfeh.models.circular import Circular, _ridge_curves
from photfeh.models.circular_module import RidgeCurve
from photfeh.models.kernels.lanes import LANES, gelu, load, store
from photfeh.models.loop import Batch, FitConfig, predict_network
from photfeh.models.registry import create_model
from test_models import sample


def points(n=6, m=50, noise=0.0, seed=0):
    g = torch.Generator().manual_seed(seed)
    phase = torch.rand((n, m), generator=g)
    clean = 0.3 * torch.cos(2 * np.pi * phase) - 0.1 * torch.sin(4 * np.pi * phase)
    return phase, 15.0 + clean + noise * torch.randn((n, m), generator=g), torch.ones((n, m), dtype=torch.bool)


def truth(n_grid):
    grid = np.arange(n_grid) / n_grid
    return 0.3 * np.cos(2 * np.pi * grid) - 0.1 * np.sin(4 * np.pi * grid)


def test_ridge_curve_recovers_a_clean_curve_in_its_own_unit():
    phase, mag, mask = points()
    channels = RidgeCurve(4, 64)(phase, mag, mask)
    unit = np.exp(channels[:, 3, 0].numpy() - 1.0)
    expected = np.sqrt(2 * ((mag - mag.mean(1, keepdim=True)) ** 2).mean(1).numpy())
    assert np.allclose(unit, expected, rtol=1e-3)
    assert np.allclose(channels[:, 0].numpy() * unit[:, None], truth(64), atol=0.004)


def test_ridge_curve_errors_are_honest_and_outliers_do_no_harm():
    phase, mag, mask = points(n=400, m=40, noise=0.02)
    channels = RidgeCurve(4, 64)(phase, mag, mask)
    unit = np.exp(channels[:, 3].numpy() - 1.0)
    pull = (channels[:, 0].numpy() * unit - truth(64)) / (channels[:, 1].numpy() * unit)
    assert 0.6 < np.mean(np.abs(pull) < 1) < 0.76
    spoiled = mag.clone()
    spoiled[:, 3] += 1.0
    other = RidgeCurve(4, 64)(phase, spoiled, mask)
    error = (other[:, 0] * torch.exp(other[:, 3] - 1.0)).numpy() - truth(64)
    assert np.sqrt(np.mean(error**2)) < 1.5 * np.sqrt(np.mean((channels[:, 0].numpy() * unit - truth(64)) ** 2))


def test_padding_and_order_of_points_change_nothing():
    phase, mag, mask = points(noise=0.02)
    padded = [
        torch.cat([a, torch.full((6, 9), fill).to(a.dtype)], dim=1)
        for a, fill in ((phase, 0.3), (mag, 99.0), (mask, 0))
    ]
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    curve = RidgeCurve(6, 32)
    plain = curve(phase, mag, mask)
    assert torch.allclose(curve(*padded), plain, atol=1e-5)
    assert torch.allclose(curve(phase[:, order], mag[:, order], mask), plain, atol=1e-5)


def test_a_rotation_by_a_grid_step_of_the_last_layer_changes_no_output():
    torch.manual_seed(0)
    model = Circular(channels=(8, 8), n_grid=32)
    module = model.build().eval()
    phase, mag, _ = points(noise=0.02)
    lengths, extra = torch.full((6,), 50), torch.zeros(6, 2)
    values = torch.stack([mag, phase * 0.5, phase], dim=2)
    turned = torch.stack([mag, phase * 0.5, torch.remainder(phase + 4 / 32, 1.0)], dim=2)
    with torch.no_grad():
        assert torch.allclose(module(values, lengths, extra), module(turned, lengths, extra), atol=1e-4)


def test_augmentation_thins_within_bounds_and_keeps_each_star_its_own_points():
    model = Circular(keep=0.5, noise=0.0, shift=False)
    values = torch.arange(4 * 30 * 3, dtype=torch.float32).reshape(4, 30, 3)
    lengths = torch.tensor([30, 20, 11, 4])
    batch = Batch(values, lengths, torch.zeros(4, 2), torch.zeros(4), torch.ones(4))
    new = model.augmentation()(batch, torch.Generator().manual_seed(0))
    for i in range(4):
        kept = new.values[i, : new.lengths[i], 0].tolist()
        assert set(kept) <= set(values[i, : lengths[i], 0].tolist())
        assert len(set(kept)) == len(kept)
        assert min(10, lengths[i]) <= new.lengths[i] <= lengths[i]
    assert torch.equal(batch.values, values)


def test_sigma_follows_the_noise_of_the_labels(dataset):
    X = dataset.sequences("spline", dataset.sample[:200])
    rng = np.random.default_rng(0)
    short = X.feature("period") < np.median(X.feature("period"))
    y = -1.5 + rng.normal(0, np.where(short, 0.05, 0.5))
    model = create_model("circular", epochs=25, channels=(8, 8), seed=1).fit(X, y)
    _, sigma = model.predict_dist(X)
    assert np.median(sigma[~short]) > 2 * np.median(sigma[short])


def test_unusable_device_and_unknown_precision_are_refused():
    with pytest.raises(BadInput, match="device 'abacus'"):
        FitConfig(device="abacus")
    with pytest.raises(BadInput, match="float32, mixed"):
        FitConfig(precision="double")


def test_curves_are_made_once_for_many_networks_and_give_what_the_module_gives(monkeypatch):
    X, y = sample("raw")
    networks = [Circular(epochs=1, seed=seed).fit(X[: 60 + 40 * seed], y[: 60 + 40 * seed]) for seed in range(3)]
    calls = []
    made = circular.ridge_curves
    monkeypatch.setattr(circular, "ridge_curves", lambda *some, **more: calls.append(1) or made(*some, **more))
    few = X[:50]
    outputs = [network._output(few) for network in networks]
    assert len(calls) == 1
    for network, output in zip(networks, outputs, strict=True):
        direct = predict_network(network.module_, network._batch(few))
        assert np.allclose(output, direct, atol=2e-4)  # magnitudes are rounded to float32 in other units
        assert np.array_equal(output, network._output(few))
    alone = X[:50]
    assert np.array_equal(networks[0]._output(alone), outputs[0])
    assert len(calls) == 2


@pytest.mark.parametrize(
    "params",
    [{}, {"channels": (8,), "kernel": 5, "hidden": 3, "n_grid": 17}, {"channels": (5, 33, 2, 11), "kernel": 3},
     {"channels": (9, 40), "kernel": 4, "n_grid": 31, "n_harmonics": 3}, {"channels": (8, 8), "kernel": 1, "n_grid": 5},
     {"channels": (20, 20), "kernel": 9, "hidden": 70, "n_grid": 8}],
)  # fmt: skip
def test_the_kernel_says_what_the_module_says(params):
    network, (X, y) = Circular(**params), sample("raw", n=60)
    network._learn_scales(X, y, np.ones(len(y)))
    torch.manual_seed(4)
    network._take(network.build())
    assert network.shapes() == {name: tuple(value.shape) for name, value in network.module_.state_dict().items()}
    curves = torch.tensor(_ridge_curves(X, network.n_harmonics, network.n_grid))
    curves[:, 3] -= np.log(network._scales["input"][1, 0])
    with torch.no_grad():
        expected = network.module_.read(curves, torch.tensor(network._extra(X))).numpy()
    np.testing.assert_allclose(network._output(X), expected, rtol=0, atol=1e-6)
    half = {name: value.astype(np.float16) if "module" in name else value for name, value in network.arrays_.items()}
    other = Circular(**params).adopt(half, {"sigma": 1.0})
    with torch.no_grad():
        rounded = other.module_.read(curves, torch.tensor(network._extra(X))).numpy()
    np.testing.assert_allclose(other._output(X), rounded, rtol=0, atol=1e-6)


def test_a_star_is_the_same_alone_in_any_order_and_with_any_number_of_threads():
    X, y = sample("raw", n=100)
    network = Circular(channels=(48, 20))
    network._learn_scales(X, y, np.ones(len(y)))
    network._take(network.build())
    expected, order = network._output(X), np.random.default_rng(0).permutation(len(X))
    assert np.array_equal(network._output(X[order]), expected[order])
    for star in (0, 57, 99):
        assert np.array_equal(network._output(X[[star]])[0], expected[star])
    for threads in (1, 2, 3):
        with limited(threads):
            assert np.array_equal(network._output(X), expected)


def test_gelu_is_that_of_the_error_function():
    @numba.njit
    def fill(x, out):
        for i in range(0, len(x), LANES):
            store(out, (i,), gelu(load(x, (i,))))

    x = np.concatenate([np.linspace(-12.0, 12.0, 1 << 15), [0.0, -0.0, 1e30, -1e30] * 64]).astype(np.float32)
    found = np.empty_like(x)
    fill(x, found)
    expected = np.array([v * 0.5 * (1.0 + math.erf(v / math.sqrt(2.0))) for v in x.tolist()])
    assert np.all(np.abs(found - expected) < 4e-7 * np.maximum(np.abs(x), 1.0))


def test_the_kernel_draws_the_curves_of_the_module():
    """One star at a time for predictions, batches in training: the same to rounding."""
    X, _ = sample("raw")
    found = _ridge_curves(X, 6, 64)
    phase = torch.tensor((X.values[..., 1] / X.feature("period")[:, None]).astype(np.float32))
    expected = RidgeCurve(6, 64)(phase, torch.tensor(X.values[..., 0]), torch.tensor(X.mask))
    torch.testing.assert_close(torch.tensor(found), expected, rtol=0.0, atol=2e-6)


def test_a_student_says_what_its_teacher_says_of_new_stars_sigma_too():
    X, y = sample("raw")
    sigma = np.where(X.feature("period") < 0.6, 0.05, 0.2)
    student = Circular(epochs=40, channels=(24, 32), dropout=0.0, patience=40).learn_from(X[:300], y[:300], sigma[:300])
    mean, spread = student.predict_dist(X[300:])
    assert np.sqrt(np.mean((mean - y[300:]) ** 2)) < 0.2 * y.std()
    short, long = (np.median(spread[where]) for where in (sigma[300:] == 0.05, sigma[300:] == 0.2))
    assert long == pytest.approx(0.2, rel=0.25)  # where the mean is as good as it can be, the spread is the teacher's
    assert 0.05 * 0.8 < short < 0.13  # the student's own error counts where it is as large
    one, two = (Circular(epochs=1, channels=(8, 8)).learn_from(X[:90], y[:90], sigma[:90]).predict(X) for _ in range(2))
    assert np.array_equal(one, two)


def test_a_curve_may_begin_anywhere_in_the_training_of_a_student():
    curves = torch.arange(2 * 8 * 5, dtype=torch.float32).reshape(2, 8, 5)
    batch = Batch(curves, torch.full((2,), 8), torch.zeros(2, 2), torch.zeros(2), torch.ones(2))
    begins = set()
    for seed in range(20):
        rolled = circular_module.rolled(batch, torch.Generator().manual_seed(seed)).values
        shift = int(rolled[0, 0, 0] / 5)
        begins.add(shift)
        assert torch.equal(rolled[0], curves[0].roll(-shift, dims=0))
    assert len(begins) > 4


def test_curves_of_the_tune_part_are_made_once_a_fit_and_change_nothing(monkeypatch):
    X, y = sample("raw")
    calls = []
    made = RidgeCurve.forward
    monkeypatch.setattr(RidgeCurve, "forward", lambda self, *some: calls.append(self.training) or made(self, *some))
    kept = Circular(epochs=3).fit(X[:60], y[:60])
    assert calls.count(False) <= len(set(X.lengths[:60] // 16 + 1))  # a chunk for each rounded number of steps
    once = calls.count(False)
    monkeypatch.setattr(loop, "_of_chunk", lambda module, number, prepared, *inputs: module(*inputs))
    anew = Circular(epochs=3).fit(X[:60], y[:60])
    assert calls.count(False) - once == 3 * once
    assert all(np.array_equal(kept.arrays_[name], anew.arrays_[name]) for name in anew.arrays_)
    timeless = [[row | {"seconds": 0.0} for row in model.history_] for model in (kept, anew)]
    assert timeless[0] == timeless[1]
