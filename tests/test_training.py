from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from photfeh.core.errors import BadInput
from photfeh.models import loop
from photfeh.models.loop import Batch, FitConfig, fit_network, loss_of, predict_network


class Small(nn.Module):
    def __init__(self, n_out: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.02), nn.Linear(8, n_out))

    def forward(self, values, lengths, extra):
        return self.layers(values.mean(dim=1))


def data(n: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, 5, 2, generator=generator)
    target = values.mean(dim=1) @ torch.tensor([1.0, -2.0])
    return Batch(values, torch.full((n,), 5), torch.zeros(n, 1), target, torch.ones(n))


def fresh(n_out: int = 1) -> Small:
    torch.manual_seed(7)
    return Small(n_out)


CONFIG = FitConfig(epochs=30, batch_size=32, learning_rate=0.02, seed=3)


def test_a_linear_task_is_learnt():
    module = fresh()
    result = fit_network(module, data(300), data(80, 1), CONFIG)
    test = data(200, 2)
    error = (predict_network(module, test)[:, 0] - test.target).square().mean()
    assert error < 0.1 * test.target.var()
    assert result.best_loss == min(row["tune_loss"] for row in result.history)


def test_the_best_weights_are_kept():
    module = fresh()
    tune = data(80, 1)
    result = fit_network(module, data(300), tune, dataclasses.replace(CONFIG, learning_rate=0.5, schedule="constant"))
    kept = float(loss_of(predict_network(module, tune), tune.target, tune.weight))
    assert kept == pytest.approx(result.best_loss, rel=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    one, two, three = fresh(), fresh(), fresh()
    fit_network(one, data(100), data(40, 1), CONFIG)
    torch.rand(5)  # what others draw must not matter
    fit_network(two, data(100), data(40, 1), CONFIG)
    fit_network(three, data(100), data(40, 1), dataclasses.replace(CONFIG, seed=4))
    for a, b, c in zip(one.parameters(), two.parameters(), three.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@pytest.fixture
def every_epoch(monkeypatch):
    """Checkpoints after every epoch, as if each took half a minute."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)


def test_an_interrupted_fit_goes_on_to_the_same_result(tmp_path, every_epoch):
    whole = fresh()
    fit_network(whole, data(100), data(40, 1), CONFIG)

    class Stop(Exception):
        pass

    def stop(row):
        if row["epoch"] == 11:
            raise Stop

    cut = fresh()
    with pytest.raises(Stop):
        fit_network(cut, data(100), data(40, 1), CONFIG, checkpoint=tmp_path / "state", on_epoch=stop)
    resumed = fresh()
    seen = []
    result = fit_network(
        resumed,
        data(100),
        data(40, 1),
        CONFIG,
        checkpoint=tmp_path / "state",
        on_epoch=lambda row: seen.append(int(row["epoch"])),
    )
    assert seen[0] == 12
    assert len(result.history) == 30
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


class Other(Small):
    """The same weights with another dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers[2] = nn.Dropout(0.5)


@pytest.mark.parametrize("change", ["nothing", "recipe", "dropout", "data", "labels", "tune", "augmentation"])
def test_a_checkpoint_of_another_fit_is_not_used(tmp_path, every_epoch, change):
    fit_network(fresh(), data(100), data(40, 1), CONFIG, checkpoint=tmp_path / "state")
    seen, train, tune = [], data(100, 5 if change == "data" else 0), data(40, 2 if change == "tune" else 1)
    if change == "labels":
        train = dataclasses.replace(train, target=train.target + 0.1)
    config = dataclasses.replace(CONFIG, learning_rate=0.01) if change == "recipe" else CONFIG
    torch.manual_seed(7)
    module = Other() if change == "dropout" else Small()
    made_of = "other noise" if change == "augmentation" else ""
    fit_network(module, train, tune, config, checkpoint=tmp_path / "state", made_of=made_of, on_epoch=seen.append)
    assert len(seen) == (0 if change == "nothing" else 30)


def test_checkpoints_come_every_half_minute_and_a_damaged_one_is_no_obstacle(tmp_path, monkeypatch):
    fit_network(fresh(), data(100), data(40, 1), CONFIG, checkpoint=tmp_path / "none")
    assert not (tmp_path / "none").exists()  # it took no half minute
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    (tmp_path / "state").write_bytes(b"half a file")
    seen = []
    fit_network(fresh(), data(100), data(40, 1), CONFIG, checkpoint=tmp_path / "state", on_epoch=seen.append)
    assert len(seen) == 30


def test_early_stopping_stops():
    config = dataclasses.replace(CONFIG, epochs=200, patience=3, learning_rate=1e-5, schedule="constant", min_delta=10)
    result = fit_network(fresh(), data(100), data(40, 1), config)
    assert result.stopped_early
    assert len(result.history) == 4


def test_two_outputs_learn_the_noise():
    """Gaussian likelihood: the predicted sigma approaches the noise that was put in."""
    train, tune = data(800), data(200, 1)
    generator = torch.Generator().manual_seed(9)
    noisy = [
        dataclasses.replace(b, target=b.target + 0.5 * torch.randn(len(b), generator=generator)) for b in (train, tune)
    ]
    module = fresh(2)
    fit_network(module, *noisy, dataclasses.replace(CONFIG, epochs=40))
    sigma = predict_network(module, data(200, 2))[:, 1].exp().median()
    assert sigma == pytest.approx(0.5, rel=0.2)


def test_learning_rate_schedule_rises_and_falls():
    rates = [CONFIG.rate(p) for p in (0.0, 0.05, 0.1, 0.5, 1.0)]
    assert rates[0] < rates[1] < rates[2] == CONFIG.learning_rate
    assert rates[2] > rates[3] > rates[4]
    assert rates[4] == pytest.approx(0, abs=1e-12)
    assert dataclasses.replace(CONFIG, schedule="constant").rate(0.9) == CONFIG.learning_rate


def test_nothing_to_train_on_and_divergence_are_refused():
    with pytest.raises(BadInput, match="found 100 and 0"):
        fit_network(fresh(), data(100), data(0), CONFIG)
    bad = data(100)
    bad.target[3] = float("nan")
    with pytest.raises(BadInput, match="not finite in epoch 0"):
        fit_network(fresh(), bad, bad, CONFIG)
