import numpy as np
import pytest
import torch

from photfeh.models.attention import (
    AttentionPooling,
    TransformerModule,
    attend,
    mean_of_patches,
    phase_waves,
    step_mask,
)
from photfeh.models.registry import create_model
from test_models import changed, quick, sample


def small(patch: int = 1) -> TransformerModule:
    torch.manual_seed(0)
    return TransformerModule(16, 4, 2, 24, 0.0, 5, patch, 0.5).eval()


def points(n: int = 3, steps: int = 20) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.cat([torch.randn(n, steps, 2), torch.rand(n, steps, 1)], dim=2)


def test_waves_are_the_harmonics_of_the_phase_and_periodic():
    phase = torch.tensor([0.0, 0.1, 0.25, 0.9], dtype=torch.float64)
    waves = phase_waves(phase, 3)
    for k in (1, 2, 3):
        assert torch.allclose(waves[:, k - 1], torch.cos(2 * np.pi * k * phase))
        assert torch.allclose(waves[:, 2 + k], torch.sin(2 * np.pi * k * phase))
    assert torch.allclose(phase_waves(phase + 1.0, 3), waves, atol=1e-12)


def test_attention_is_the_softmax_of_scaled_products_per_head_over_valid_steps():
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 3, 8), torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    lengths = torch.tensor([5, 2])
    found = attend(query, key, value, step_mask(lengths, 5), 2)
    for star in range(2):
        for head in (slice(0, 4), slice(4, 8)):
            t = lengths[star]
            weights = torch.softmax(query[star, :, head] @ key[star, :t, head].T / 2.0, dim=1)
            assert torch.allclose(found[star, :, head], weights @ value[star, :t, head], atol=1e-6)


def test_pooling_with_equal_scores_is_the_mean_of_valid_steps():
    pooling = AttentionPooling(6, 2)
    torch.nn.init.zeros_(pooling.query.weight)
    x, lengths = torch.randn(2, 7, 6), torch.tensor([7, 3])
    expected = torch.stack([x[0].mean(dim=0), x[1, :3].mean(dim=0)])
    assert torch.allclose(pooling(x, step_mask(lengths, 7)), expected, atol=1e-6)


def test_patches_are_means_of_their_valid_steps():
    x = torch.arange(14.0).reshape(2, 7, 1)
    means, mask = mean_of_patches(x, step_mask(torch.tensor([7, 2]), 7), 3)
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    assert means[0, :, 0].tolist() == [1.0, 4.0, 6.0]
    assert means[1, 0, 0] == 7.5


def test_without_patches_the_order_of_the_points_does_not_matter():
    """The phase of a point is told by its waves, not by its place in the row."""
    x, order = points(), torch.randperm(20)
    lengths, period = torch.full((3,), 20), torch.zeros(3, 1)
    with torch.no_grad():
        assert torch.allclose(small()(x[:, order], lengths, period), small()(x, lengths, period), atol=1e-5)


@pytest.mark.parametrize("patch", [1, 4])
def test_padding_is_not_seen_and_phases_are_periodic(patch):
    x, lengths, period = points(), torch.tensor([20, 11, 5]), torch.zeros(3, 1)
    padded = torch.cat([x, torch.full((3, 9, 3), 4.4)], dim=1)
    turned = x + torch.tensor([0.0, 0.0, 3.0])
    with torch.no_grad():
        found = small(patch)(x, lengths, period)
        assert torch.allclose(small(patch)(padded, lengths, period), found, atol=1e-6)
        assert torch.allclose(small(patch)(turned, lengths, period), found, atol=1e-4)
        alone = small(patch)(x[2:, :5], lengths[2:], period[2:])
    assert torch.allclose(alone, found[2:], atol=1e-6)


def test_a_constant_added_to_all_magnitudes_of_a_star_changes_nothing():
    X, y = sample("raw")
    X, y = X[:80], y[:80]
    model = quick("transformer", epochs=2).fit(X, y)
    shift = np.random.default_rng(0).uniform(-3, 3, (80, 1))
    values = X.values.copy()
    values[..., 0] = np.where(X.mask, values[..., 0] + shift, 0.0)
    assert np.allclose(model.predict(changed(X, values=values)), model.predict(X), atol=1e-4)


def test_the_default_network_is_small():
    assert sum(p.numel() for p in create_model("transformer").build().parameters()) < 25_000


def test_hidden_steps_are_drawn_in_training_only():
    x, lengths, period = points(), torch.full((3,), 20), torch.zeros(3, 1)
    with torch.no_grad():
        assert torch.equal(small()(x, lengths, period), small()(x, lengths, period))
        module = small().train()
        assert not torch.equal(module(x, lengths, period), module(x, lengths, period))
        one = torch.ones(3, dtype=torch.long)
        assert torch.equal(module(x, one, period), small()(x, one, period)), "the first step is never hidden"


def test_raw_epochs_are_tokens_and_spline_steps_come_in_patches(tmp_path):
    for kind, patch in (("raw", 1), ("spline", 4)):
        X, y = sample(kind)
        model = quick("transformer", epochs=1).fit(X[:60], y[:60])
        assert model.module_.patch == patch
        model.save(tmp_path / kind)
        loaded = create_model("transformer").restore(tmp_path / kind)
        assert loaded.module_.patch == patch
        assert np.array_equal(loaded.predict(X), model.predict(X))
