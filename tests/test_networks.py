"""The networks layer by layer: sizes counted by hand, masks, and torch's own layers as oracles."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from photfeh.models import convolutional, mixed
from photfeh.models.describe import describe
from photfeh.models.registry import create_model


def gru(n_in: int, n: int) -> int:
    return 3 * (n_in * n + n * n + 2 * n)


def lstm(n_in: int, n: int) -> int:
    return 4 * (n_in * n + n * n + 2 * n)


FCN = 8 * 2 * 128 + 5 * 128 * 256 + 3 * 256 * 128 + 2 * (128 + 256 + 128)
INCEPTION = (40 + 20 + 10) * 32 * 32 + 2 * 128
COUNTS = {
    "gru": gru(2, 20) + gru(20, 16) + gru(16, 8) + 9,
    "lstm": lstm(2, 20) + lstm(20, 16) + lstm(16, 8) + 9,
    "bigru": 2 * (gru(2, 20) + gru(40, 16) + gru(32, 16)) + 33,
    "bilstm": 2 * (lstm(2, 20) + lstm(40, 16) + lstm(32, 16)) + 33,
    "fcn": FCN + 128 + 1 + 1,  # averages, period, constant
    "resnet": (
        (8 * 2 + 5 * 64 + 3 * 64) * 64 + 3 * 2 * 64 + (2 + 2) * 64  # shortcut: convolution of width 1, batch norm
        + (8 * 64 + 5 * 128 + 3 * 128) * 128 + 3 * 2 * 128 + (64 + 2) * 128
        + (8 * 128 + 5 * 128 + 3 * 128) * 128 + 3 * 2 * 128 + 2 * 128
        + 128 + 1 + 1
    ),
    "inceptiontime": (
        6 * INCEPTION + (2 + 5 * 128) * 2 * 32  # bottleneck, and the convolution on the maximum
        + (2 + 2) * 128 + (128 + 2) * 128
        + 128 + 1 + 1
    ),
    "convgru": FCN + gru(128, 8) + gru(8, 4) + 5,
    "convlstm": FCN + lstm(128, 8) + lstm(8, 4) + 5,
}  # fmt: skip
NAMES = list(COUNTS)


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Curves of 61 steps, 1 to 61 of them valid, and a period."""
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(12, 61, 2, generator=generator) - 1.0  # mostly negative: zeros would stand out as maxima
    lengths = torch.tensor([61, 60, 1, 2, 3, 17, 18, 40, 41, 55, 61, 30])
    return values, lengths, torch.randn(12, 1, generator=generator)


@pytest.fixture(scope="module")
def modules(batch) -> dict[str, nn.Module]:
    """Every network in use: its batch norms have seen data."""
    built = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name in NAMES:
            module = create_model(name).build()
            with torch.no_grad():
                for _ in range(3):
                    module.train()(*batch)
            built[name] = module.eval()
    return built


def output(module: nn.Module, *tensors: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return module(*tensors)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_counted_by_hand(name):
    layers, _, _ = describe(name)
    assert layers["parameters"].sum() == COUNTS[name]
    assert layers["output"].iloc[0] == "(None, 264, 2)"
    assert layers["output"].iloc[-1] == "(None, 1)"


def test_the_founding_count():
    assert COUNTS["gru"] == 3897


@pytest.mark.parametrize("name", NAMES)
def test_values_behind_the_mask_change_nothing(name, modules, batch):
    values, lengths, extra = batch
    spoiled = values.clone()
    spoiled[torch.arange(61) >= lengths[:, None]] = torch.nan
    assert torch.equal(output(modules[name], values, lengths, extra), output(modules[name], spoiled, lengths, extra))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("longer", [1, 38])
def test_longer_padding_changes_nothing(name, longer, modules, batch):
    values, lengths, extra = batch
    padded = torch.cat([values, torch.full((12, longer, 2), 5.0)], dim=1)
    expected = output(modules[name], values, lengths, extra)
    assert torch.allclose(output(modules[name], padded, lengths, extra), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_star_alone_without_padding_is_the_same(name, modules, batch):
    values, lengths, extra = batch
    expected = output(modules[name], values, lengths, extra)
    for i, n in enumerate(lengths.tolist()):
        alone = output(modules[name], values[i : i + 1, :n], lengths[i : i + 1], extra[i : i + 1])
        assert torch.allclose(alone, expected[i : i + 1], rtol=0, atol=1e-5), n


@pytest.mark.parametrize("name", NAMES)
def test_the_last_valid_step_and_the_period_are_seen(name, modules, batch):
    values, lengths, extra = batch
    expected = output(modules[name], values, lengths, extra)
    moved = values.clone()
    moved[torch.arange(12), lengths - 1, 0] += 3.0
    assert ((output(modules[name], moved, lengths, extra) - expected).abs() > 1e-6).all()
    slower = values * torch.tensor([1.0, 1.3])
    assert ((output(modules[name], slower, lengths, extra) - expected).abs() > 1e-6).all()
    if name in ("fcn", "resnet", "inceptiontime"):
        assert ((output(modules[name], values, lengths, extra + 1.0) - expected).abs() > 1e-6).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("whole", [True, False])
def test_gradients_reach_every_parameter_and_are_finite(name, whole, batch):
    values, lengths, extra = batch
    lengths = torch.full_like(lengths, 61) if whole else lengths
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = create_model(name).build().train()
        predicted = module(values, lengths, extra)
    predicted.square().sum().backward()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key


# ---------------------------------------------------------------------- oracles
@pytest.mark.parametrize("name", ["gru", "lstm", "bigru", "bilstm"])
def test_recurrent_networks_equal_layers_of_torch(name, modules, batch):
    values, lengths, _ = batch
    module = modules[name]
    x = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
    for ours in module.recurrent:
        layer = ours.layer
        theirs = type(layer).__mro__[1](
            layer.input_size, layer.hidden_size, batch_first=True, bidirectional=layer.bidirectional
        )
        theirs.load_state_dict({key: value for key, value in layer.state_dict().items()})
        with torch.no_grad():
            x, state = theirs(x)
    last = state[0] if "lstm" in name else state
    expected = module.dense(torch.cat(list(last), dim=1))
    assert torch.allclose(output(module, *batch), expected, atol=2e-6)


def test_fcn_equals_layers_of_torch_on_whole_curves(modules, batch):
    values, _, extra = batch
    module, layers = modules["fcn"], []
    for block in module.trunk:
        n_out, n_in, width = block.convolution.weight.shape
        layers += [nn.ConstantPad1d(((width - 1) // 2, width // 2), 0.0), nn.Conv1d(n_in, n_out, width, bias=False)]
        layers[-1].load_state_dict(block.convolution.state_dict())
        layers += [nn.BatchNorm1d(n_out), nn.ReLU()]
        layers[-2].load_state_dict(block.norm.state_dict())
    with torch.no_grad():
        averages = nn.Sequential(*layers).eval()(values.transpose(1, 2)).mean(dim=2)
        expected = module.dense(torch.cat([averages, extra], dim=1))
    assert torch.allclose(output(module, values, torch.full((12,), 61), extra), expected, atol=1e-5)


def test_batch_norm_takes_its_statistics_from_valid_steps(batch):
    values, lengths, _ = batch
    valid = torch.arange(61) < lengths[:, None]
    norm = convolutional.BatchNorm(2)
    found = norm(values, valid).detach().numpy()
    seen = values.numpy()[valid.numpy()]
    expected = (values.numpy() - seen.mean(axis=0)) / np.sqrt(seen.var(axis=0) + norm.eps)
    assert np.allclose(found, np.where(valid.numpy()[..., None], expected, 0.0), atol=1e-5)
    assert np.allclose(norm.running_mean, 0.1 * seen.mean(axis=0), atol=1e-6)
    assert np.allclose(norm.running_var, 0.9 + 0.1 * seen.var(axis=0, ddof=1), atol=1e-6)


def test_masked_training_of_whole_curves_equals_the_way_without_masks(batch):
    values, _, _ = batch
    one, two = convolutional.BatchNorm(2), convolutional.BatchNorm(2)
    assert torch.allclose(one(values), two(values, torch.ones(12, 61, dtype=torch.bool)), atol=1e-6)
    assert torch.allclose(one.running_var, two.running_var)


def test_max_pooling_keeps_an_odd_last_step():
    values = torch.tensor([[1.0, 3.0, 2.0, 0.0, 5.0]])[..., None]
    assert mixed.MaxPool()(values)[0, :, 0].tolist() == [3.0, 2.0, 5.0]


def test_layer_table_of_a_mixed_network():
    layers, params, _ = describe("convgru")
    shown = layers[layers["kind"].isin(["Conv1D", "MaxPool", "GRU"])]
    assert shown["kind"].tolist() == ["Conv1D"] * 3 + ["MaxPool"] + ["GRU"] * 2
    assert shown["output"].tolist() == [
        "(None, 264, 128)", "(None, 264, 256)", "(None, 264, 128)", "(None, 132, 128)", "(None, 132, 8)", "(None, 4)",
    ]  # fmt: skip
    assert params["units"] == (8, 4)


def test_layer_tables_name_both_directions_and_parallel_branches():
    layers, _, _ = describe("bilstm")
    assert layers["kind"].tolist().count("BiLSTM") == 3
    assert "(None, 264, 40)" in layers["output"].tolist()
    layers, _, _ = describe("inceptiontime")
    # bottleneck, three widths and the one on the maximum in each of six modules, two shortcuts
    assert layers["kind"].tolist().count("Conv1D") == 6 * 5 + 2


@pytest.mark.parametrize("name", ["fcn", "convlstm"])
def test_networks_of_convolutions_learn_from_raw_curves(name, dataset):
    rows = dataset.sample[:60]
    raw, feh = dataset.sequences("raw", rows), dataset.stars["feh"].to_numpy()[rows]
    assert not raw.mask.all()
    model = create_model(name, epochs=3, batch_size=30, learning_rate=0.01).fit(raw, feh)
    losses = [row["train_loss"] for row in model.history_]
    assert losses[-1] < losses[0]
    assert np.isfinite(model.predict(raw)).all()


def test_what_was_trained_on_a_gpu_predicts_where_there_is_none(dataset, tmp_path):
    curves = dataset.sequences("spline")
    model = create_model("gru", units=(4, 4, 4), epochs=2).fit(curves, dataset.stars["feh"])
    model.save(tmp_path)
    told = json.loads((tmp_path / "model.json").read_text())
    told["params"]["device"] = "cuda"
    (tmp_path / "model.json").write_text(json.dumps(told))
    moved = create_model("gru").restore(tmp_path)
    assert moved.device == "cuda"
    np.testing.assert_array_equal(moved.predict(curves), model.predict(curves))
