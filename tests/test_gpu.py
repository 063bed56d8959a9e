"""The training loop in mixed precision and its random numbers, on the CPU and, where there is one, on a GPU."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from photfeh.models import loop
from photfeh.models.loop import Batch, FitConfig, fit_network, predict_network, seeded

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_gpu)]


class Small(nn.Module):
    """Dropout takes random numbers where the module is; the rest is a mean over steps."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))

    def forward(self, values, lengths, extra):
        return self.inner(values.mean(dim=1)) + 0.0 * extra[:, :1]


def sample(n, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, 5, 2, generator=generator)
    target = values.mean(dim=1)[:, 0]
    return Batch(values, torch.full((n,), 5), torch.zeros(n, 1), target, torch.ones(n))


def fit(device, precision="mixed", epochs=20, checkpoint=None, on_epoch=None):
    with seeded(1):
        module = Small()
    config = FitConfig(epochs=epochs, batch_size=16, patience=epochs, device=device, precision=precision, seed=3)
    result = fit_network(module, sample(96, 0), sample(32, 1), config, checkpoint=checkpoint, on_epoch=on_epoch)
    return module, result


@pytest.mark.parametrize("device", DEVICES)
def test_mixed_precision_learns_as_single_precision_does(device):
    losses = {}
    for precision in ("float32", "mixed"):
        module, result = fit(device, precision)
        losses[precision] = result.best_loss
        assert result.best_loss < 0.5 * result.history[0]["tune_loss"]
        assert {value.dtype for value in module.state_dict().values()} == {torch.float32}
        output = predict_network(module, sample(32, 1), device=device, precision=precision)
        assert output.device.type == "cpu"
        assert output.dtype == torch.float32
    assert losses["mixed"] != losses["float32"], "the setting has no effect"
    assert math.isclose(losses["mixed"], losses["float32"], rel_tol=0.25)


@pytest.mark.parametrize("device", DEVICES)
def test_a_fit_that_was_interrupted_ends_as_one_that_was_not(device, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    whole, expected = fit(device)

    def interrupt(row):
        if row["epoch"] == 9:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(device, checkpoint=path, on_epoch=interrupt)
    torch.rand(3)  # somebody else takes random numbers meanwhile
    resumed, found = fit(device, checkpoint=path)
    assert [row["tune_loss"] for row in found.history] == [row["tune_loss"] for row in expected.history]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize("device", DEVICES)
def test_random_numbers_of_the_caller_go_on_as_if_nothing_had_been_fitted(device):
    torch.manual_seed(7)
    expected = torch.rand(4, device=device), torch.rand(4)
    torch.manual_seed(7)
    fit(device, epochs=2)
    assert torch.equal(torch.rand(4, device=device), expected[0])
    assert torch.equal(torch.rand(4), expected[1])


@needs_gpu
def test_a_fit_on_the_cpu_leaves_the_random_numbers_of_the_gpu_alone():
    torch.cuda.manual_seed(5)
    expected = torch.rand(4, device="cuda")
    torch.cuda.manual_seed(5)
    fit("cpu", epochs=2)
    assert torch.equal(torch.rand(4, device="cuda"), expected)
