"""The fused recurrent layers against torch.nn, in value and gradient, and their promises about stars and padding."""

from __future__ import annotations

import copy
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from photfeh.core.errors import BadInput
from photfeh.models.kernels import fused
from photfeh.models.kernels.fused import GRU, LSTM, use_fused

KINDS = pytest.mark.parametrize("kind", [GRU, LSTM])
SIDES = pytest.mark.parametrize("bidirectional", [False, True])


def layer(kind, n_in=2, n_out=5, *, bidirectional=False, dtype=torch.float32, seed=0):
    torch.manual_seed(seed)
    return kind(n_in, n_out, bidirectional=bidirectional).to(dtype)


def native(module: nn.Module) -> nn.Module:
    """torch's own layer with the same weights."""
    base = nn.LSTM if isinstance(module, LSTM) else nn.GRU
    twin = base(module.input_size, module.hidden_size, batch_first=True, bidirectional=module.bidirectional)
    twin.to(next(module.parameters()).dtype).load_state_dict(module.state_dict())
    return twin


def run_native(twin: nn.Module, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    if lengths is not None:
        x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    output, state = twin(x)
    if lengths is not None:
        output, _ = pad_packed_sequence(output, batch_first=True, total_length=int(lengths.new_tensor(TOTAL[0])))
    return output, state[0] if isinstance(twin, nn.LSTM) else state


TOTAL = [0]  # steps of the padded sequence that run_native restores


def with_gradients(run, module, x, lengths, seed=7):
    """Outputs, gradient of x and of all parameters for a random linear loss of everything that comes out."""
    TOTAL[0] = x.shape[1]
    x = x.clone().requires_grad_(True)
    generator = torch.Generator().manual_seed(seed)
    outputs = run(module, x, lengths)
    loss = sum(
        (out * torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.dtype)).sum() for out in outputs
    )
    gradients = torch.autograd.grad(loss, [x, *module.parameters()])
    return [*(out.detach() for out in outputs), *gradients]


def assert_close(found, expected, tolerance):
    """Equal relative to the largest element of each tensor, or to 3 % of the size of a sum of as many random terms."""
    terms = max(tensor[..., 0].numel() for tensor in expected)  # of order one, one for each star and step
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=0.0, atol=tolerance * max(float(b.abs().max()), 0.03 * terms**0.5))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@given(
    kind=st.sampled_from([GRU, LSTM]),
    bidirectional=st.booleans(),
    stars=st.integers(1, 70),
    steps=st.integers(1, 40),
    n_in=st.integers(1, 6),
    n_out=st.integers(1, 13),
    with_lengths=st.booleans(),
    scale=st.sampled_from([0.1, 1.0]),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=60, deadline=None)
def test_values_and_gradients_are_those_of_torch(
    dtype, tolerance, kind, bidirectional, stars, steps, n_in, n_out, with_lengths, scale, seed
):
    module = layer(kind, n_in, n_out, bidirectional=bidirectional, dtype=dtype, seed=seed)
    x = scale * torch.randn(stars, steps, n_in, dtype=dtype)
    lengths = torch.randint(1, steps + 1, (stars,)) if with_lengths else None
    expected = with_gradients(run_native, native(module), x, lengths)
    assert_close(with_gradients(lambda m, x, n: m(x, n), module, x, lengths), expected, tolerance)


def worst(found, exact):
    """Largest error of any output or gradient, each in units of its own largest element."""
    return max(float((a.double() - b).abs().max() / b.abs().max()) for a, b in zip(found, exact, strict=True))


@KINDS
@SIDES
def test_long_sequences_are_as_exact_as_in_torch(kind, bidirectional):
    module = layer(kind, bidirectional=bidirectional)
    with torch.no_grad():  # update and forget gates nearly open: gradients, and roundings, live over all steps
        for name, parameter in module.named_parameters():
            if "bias" in name:
                parameter[5:10] += 2.0
    x = torch.randn(40, 264, 2)
    found = with_gradients(lambda m, x, n: m(x, n), module, x, None)
    expected = with_gradients(run_native, native(module), x, None)
    exact = with_gradients(run_native, native(module.double()), x.double(), None)
    assert worst(found, exact) < 4.0 * worst(expected, exact)
    assert_close(with_gradients(lambda m, x, n: m(x, n), module, x.double(), None), exact, 1e-10)


@KINDS
@SIDES
@pytest.mark.parametrize("lengths", [None, (3, 1, 4)])
def test_gradcheck(kind, bidirectional, lengths):
    module = layer(kind, 2, 3, bidirectional=bidirectional, dtype=torch.float64)
    names, parameters = zip(*module.named_parameters(), strict=True)
    lengths = None if lengths is None else torch.tensor(lengths)

    def run(x, *parameters):
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x, lengths))

    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *parameters))


@KINDS
def test_only_what_is_asked_for_gets_a_gradient(kind):
    module, x = layer(kind), torch.randn(3, 6, 2)
    output, _ = module(x)
    output[:, 2].sum().backward()
    assert x.grad is None
    some = [parameter.grad.clone() for parameter in module.parameters()]
    module.zero_grad()
    _, last = module(x[:, :3])  # the third output is the final state of the first three steps
    last.sum().backward()
    assert_close(some, [parameter.grad for parameter in module.parameters()], 1e-6)


@KINDS
def test_a_graph_can_be_walked_twice(kind):
    module, x = layer(kind), torch.randn(3, 6, 2)
    loss = module(x)[0].sum()
    loss.backward(retain_graph=True)
    once = [parameter.grad.clone() for parameter in module.parameters()]
    loss.backward()
    assert all(torch.equal(2 * a, b.grad) for a, b in zip(once, module.parameters(), strict=True))


@KINDS
@SIDES
def test_state_dicts_interchange(kind, bidirectional):
    module = layer(kind, bidirectional=bidirectional, seed=1)
    twin = native(module)
    assert list(twin.state_dict()) == list(module.state_dict())
    other = layer(kind, bidirectional=bidirectional, seed=2)
    other.load_state_dict(twin.state_dict())
    x = torch.randn(4, 9, 2)
    assert torch.equal(other(x)[0], module(x)[0])
    assert torch.equal(copy.deepcopy(module)(x)[0], module(x)[0])


@KINDS
@SIDES
def test_without_gradients_nothing_changes(kind, bidirectional):
    module, x = layer(kind, bidirectional=bidirectional), torch.randn(50, 30, 2)
    lengths = torch.randint(1, 31, (50,))
    expected = module(x, lengths)
    assert expected[0].requires_grad
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            assert all(torch.equal(a, b) for a, b in zip(module(x, lengths), expected, strict=True))
    frozen = copy.deepcopy(module).requires_grad_(False)
    assert not frozen(x)[0].requires_grad


@KINDS
@SIDES
def test_a_star_is_the_same_alone_in_a_batch_and_in_another_order(kind, bidirectional):
    module = layer(kind, 2, 7, bidirectional=bidirectional)
    x, lengths = torch.randn(75, 30, 2), torch.randint(1, 31, (75,))
    with torch.no_grad():
        output, last = module(x, lengths)
        order = torch.randperm(75)
        shuffled, shuffled_last = module(x[order], lengths[order])
        assert torch.equal(shuffled, output[order])
        assert torch.equal(shuffled_last, last[:, order])
        for star in (0, 31, 74):
            alone, alone_last = module(x[star : star + 1, : lengths[star]])
            assert torch.equal(alone[0], output[star, : lengths[star]])
            assert torch.equal(alone_last[:, 0], last[:, star])


@KINDS
@SIDES
def test_padding_does_not_matter(kind, bidirectional):
    module = layer(kind, bidirectional=bidirectional)
    lengths = torch.randint(1, 12, (40,))
    padding = torch.arange(12) >= lengths[:, None]
    x = torch.randn(40, 12, 2)
    results = []
    for content in (0.0, float("nan"), float("inf"), 1e30):
        filled = x.clone()
        filled[padding] = content
        filled.requires_grad_(True)
        output, last = module(filled, lengths)
        weight = torch.where(padding, content, 1.0)[..., None]  # what comes back for padding does not matter either
        gradients = torch.autograd.grad(
            [output, last], [filled, *module.parameters()], [weight.expand_as(output), last]
        )
        results.append([output, last, *gradients])
    for result in results:
        assert all(torch.isfinite(part).all() for part in result)
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))
        assert not result[0][padding].any()
        assert not result[2][padding].any()


@KINDS
@pytest.mark.parametrize("enabled", [True, False])
def test_stars_without_a_step(kind, enabled):
    module, x = layer(kind), torch.randn(3, 5, 2)
    x[1] = float("nan")
    lengths = torch.tensor([5, 0, 2])
    with use_fused(enabled):
        output, last = module(x, lengths)
        output.sum().backward()
    assert not output[1].any()
    assert not last[:, 1].any()
    assert output[0].any()
    assert all(torch.isfinite(parameter.grad).all() for parameter in module.parameters())


@KINDS
@SIDES
def test_empty_batches(kind, bidirectional):
    module = layer(kind, bidirectional=bidirectional)
    output, last = module(torch.zeros(0, 5, 2), torch.zeros(0, dtype=torch.long))
    sides = 2 if bidirectional else 1
    assert output.shape == (0, 5, 5 * sides)
    assert last.shape == (sides, 0, 5)
    output.sum().backward()
    assert not module.weight_ih_l0.grad.any()


@KINDS
def test_layouts_of_the_input_do_not_matter(kind):
    module, x = layer(kind), torch.randn(64, 9, 2)
    views = [x.permute(2, 0, 1).contiguous().permute(1, 2, 0), x.permute(1, 2, 0).contiguous().permute(2, 0, 1)]
    views += [torch.stack([x, x], dim=3)[..., 1]]
    assert all(torch.equal(module(view)[0], module(x)[0]) for view in views)


@KINDS
@SIDES
def test_the_number_of_threads_changes_nothing(kind, bidirectional):
    module, x = layer(kind, bidirectional=bidirectional), torch.randn(200, 20, 2)
    threads = torch.get_num_threads()
    results = []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            results.append(with_gradients(lambda m, x, n: m(x, n), module, x, None))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for result in results[1:] for a, b in zip(result, results[0], strict=True))


def test_layers_can_be_called_from_several_threads():
    module, x = layer(GRU), torch.randn(8, 70, 20, 2)
    with torch.no_grad():
        expected = [module(part)[0] for part in x]

    def run(part):
        with torch.no_grad():
            return module(part)[0]

    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(a, b) for a, b in zip(pool.map(run, x), expected, strict=True))


def _in_child(module, x, queue):
    torch.set_num_threads(2)
    with torch.no_grad():
        queue.put(module(x)[0].numpy().copy())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_gets_threads_of_its_own():
    module, x = layer(GRU), torch.randn(130, 10, 2)
    with torch.no_grad():
        expected = module(x)[0].numpy()  # starts the threads of this process
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_in_child, args=(module, x, queue), daemon=True)
    process.start()
    assert (queue.get(timeout=60) == expected).all()
    process.join(60)
    assert process.exitcode == 0


@KINDS
def test_vanishing_gradients_end_in_zero_not_in_denormal_numbers(kind):
    module, x = layer(kind, 2, 8), torch.randn(32, 264, 2, requires_grad=True)
    module(x)[1].sum().backward()
    size = x.grad.abs()
    assert not ((size > 0) & (size < torch.finfo(torch.float32).tiny)).any()
    assert not size[:, 0].any()
    assert size[:, -1].all()


@KINDS
def test_derivatives_of_gradients_need_torch(kind):
    module, x = layer(kind, dtype=torch.float64), torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    with pytest.raises(BadInput, match=r"use_fused\(False\)"):
        torch.autograd.grad(module(x)[0].sum(), x, create_graph=True)
    with use_fused(False):
        (gradient,) = torch.autograd.grad(module(x)[0].sum(), x, create_graph=True)
        gradient.sum().backward()
    assert x.grad.abs().sum() > 0


class _Called(Exception):
    pass


@pytest.fixture
def no_kernels(monkeypatch):
    def refuse(*_arguments, **_names):
        raise _Called

    monkeypatch.setattr(fused, "_forward", refuse)


@KINDS
@pytest.mark.usefixtures("no_kernels")
def test_torch_runs_where_the_kernels_do_not_apply(kind):
    module, x = layer(kind), torch.randn(3, 5, 2)
    with pytest.raises(_Called):
        module(x)
    with use_fused(False):
        assert module(x)[0].shape == (3, 5, 5)
        with use_fused(True), pytest.raises(_Called):
            module(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert module(x)[0].shape == (3, 5, 5)
    assert module.to(torch.bfloat16)(x.to(torch.bfloat16))[0].dtype == torch.bfloat16


@KINDS
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.usefixtures("no_kernels")
def test_gpu(kind):
    module, x, lengths = layer(kind), torch.randn(6, 9, 2), torch.randint(0, 10, (6,))
    with use_fused(False):
        expected = module(x, lengths)
    found = module.cuda()(x.cuda(), lengths.cuda())
    assert_close([part.cpu() for part in found], expected, 1e-4)


@pytest.mark.parametrize(("value", "expected"), [("0", "False"), ("1", "True")])
def test_environment_variable(value, expected):
    code = "from photfeh.models.kernels import fused; print(fused._enabled.get())"
    environment = {**os.environ, "PHOTFEH_FUSED": value}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


@KINDS
@pytest.mark.parametrize(
    ("shape", "lengths", "text"),
    [
        ((3, 5), None, r"expects \(stars, steps, 2\), at least one step, found \(3, 5\)"),
        ((3, 5, 4), None, r"expects \(stars, steps, 2\), at least one step, found \(3, 5, 4\)"),
        ((3, 5, 2), (5, 5), r"shape \(3,\), one per star, found \(2,\)"),
        ((3, 5, 2), (5, 6, 1), "within 0 and 5, the number of steps; found 1 to 6"),
        ((3, 5, 2), (5, -1, 1), "found -1 to 5"),
    ],
)
def test_bad_input(kind, shape, lengths, text):
    with pytest.raises(BadInput, match=text):
        layer(kind)(torch.zeros(shape), None if lengths is None else torch.tensor(lengths))
