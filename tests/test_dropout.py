"""The faster dropout is torch's: share, scale, gradient, evaluation, seeds."""

import pytest

torch = pytest.importorskip("torch")

from photfeh.models.dropout import Dropout  # noqa: E402


@pytest.mark.parametrize("probability", [0.1, 0.2, 0.5, 0.9])
def test_share_and_mean(probability: float) -> None:
    torch.manual_seed(1)
    x = torch.ones(101, 97, 41)
    y = Dropout(probability)(x)
    n = x.numel()
    share = float((y == 0).float().mean())
    assert abs(share - probability) < 5 * (probability * (1 - probability) / n) ** 0.5 + 2**-16
    assert set(y.unique().tolist()) == {0.0, float(torch.tensor(1.0).div(1 - probability))}
    assert abs(float(y.mean()) - 1) < 0.02 / (1 - probability)


def test_neighbours_are_independent() -> None:
    """Four numbers come from each draw."""
    torch.manual_seed(2)
    kept = (Dropout(0.5)(torch.ones(400_000)) > 0).double() - 0.5
    for lag in (1, 2, 3, 4, 8):
        assert abs(float((kept[lag:] * kept[:-lag]).mean())) < 5 * 0.25 / 400_000**0.5


def test_the_gradient_is_the_mask() -> None:
    torch.manual_seed(3)
    x = torch.randn(7, 5, 3, requires_grad=True)
    y = Dropout(0.3)(x)
    y.sum().backward()
    assert torch.equal(x.grad * x.detach(), y.detach())


def test_seeded_and_off_in_evaluation() -> None:
    layer, x = Dropout(0.4), torch.randn(33, 3)[:, 1:]
    torch.manual_seed(4)
    first = layer(x)
    torch.manual_seed(4)
    assert torch.equal(first, layer(x))
    assert not torch.equal(first, layer(x))
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_the_ends(probability: float) -> None:
    x = torch.ones(5)
    assert torch.equal(Dropout(probability)(x), x * (1 - probability))
    assert Dropout(0.5)(torch.ones(0, 3)).shape == (0, 3)


def test_double_precision() -> None:
    assert Dropout(0.5)(torch.ones(8, dtype=torch.float64)).dtype == torch.float64
