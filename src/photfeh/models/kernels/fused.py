"""GRU and LSTM layers that train fast on a CPU: the modules of torch, with the kernels of this package inside.

Networks of 8 to 32 units on a few hundred steps are far too small for the matrix libraries behind ``torch.nn.GRU``:
most of their time goes into starting operations. Here a whole layer is one call, which works on a block of stars from
the first step to the last without leaving the processor's cache. The kernels and the derivation of the backward pass
stand in :mod:`photfeh.models.kernels.cells`.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from photfeh.core.errors import BadInput
from photfeh.core.threads import in_parts
from photfeh.models.kernels.cells import COLUMNS, ROWS
from photfeh.models.kernels.recurrent import LANES, backward, forward

__all__ = ["GRU", "LSTM", "use_fused"]

Array = npt.NDArray[Any]

_enabled: ContextVar[bool] = ContextVar("photfeh_fused", default=os.environ.get("PHOTFEH_FUSED", "1") != "0")


@contextmanager
def use_fused(enabled: bool) -> Iterator[None]:
    """Within this context, layers use the kernels of this package (True) or those of torch (False).

    Needed for derivatives of gradients, which the kernels do not have. The environment variable ``PHOTFEH_FUSED=0``
    sets the default to False.
    """
    token = _enabled.set(enabled)
    try:
        yield
    finally:
        _enabled.reset(token)


class GRU(nn.GRU):
    """One GRU layer, batch first; parameters, their names and their order are those of ``torch.nn.GRU``.

    float32 and float64 on a CPU run in the kernels of this package, all else (a GPU, autocast, tracing) in torch.
    On a CPU a star's output is the same to the last bit alone, in a batch or in another order.
    """

    def __init__(self, input_size: int, hidden_size: int, *, bidirectional: bool = False) -> None:
        super().__init__(input_size, hidden_size, batch_first=True, bidirectional=bidirectional)

    def forward(  # type: ignore[override]
        self, x: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Outputs (N, T, D H) and final state (D, N, H) of x (N, T, C); D is 2 if bidirectional, else 1.

        ``lengths`` (N,), integers from 0 to T, are the valid steps of each star, the first ones; what stands behind
        them does not matter. Outputs there are 0, the final state is that of the last valid step, and the backward
        direction begins there. Without ``lengths`` all steps are valid.

        Raises
        ------
        BadInput
            if x or lengths have the wrong shape, or a length is not within 0 and T.
        """
        return _run(self, x, lengths)


class LSTM(nn.LSTM):
    """One LSTM layer, batch first, otherwise as :class:`GRU`; parameters are those of ``torch.nn.LSTM``."""

    def __init__(self, input_size: int, hidden_size: int, *, bidirectional: bool = False) -> None:
        super().__init__(input_size, hidden_size, batch_first=True, bidirectional=bidirectional)

    def forward(  # type: ignore[override]
        self, x: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`GRU.forward`; the final state is h, the cell state is not returned."""
        return _run(self, x, lengths)


# --- which way ------------------------------------------------------------------------------------------------


def _run(module: GRU | LSTM, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    lengths = _check(module, x, lengths)
    if not _can_fuse(module, x):
        return _run_torch(module, x, lengths)
    weights = [weight for direction in module.all_weights for weight in direction]
    lstm = isinstance(module, LSTM)
    if torch.is_grad_enabled() and (x.requires_grad or any(weight.requires_grad for weight in weights)):
        output, last = _Layer.apply(lstm, lengths, x, *weights)  # type: ignore[no-untyped-call]
        return output, last
    return _forward(lstm, lengths, x, _gather(weights, lstm), keep=False)[:2]


def _check(module: GRU | LSTM, x: Tensor, lengths: Tensor | None) -> Tensor | None:
    if x.ndim != 3 or x.shape[1] == 0 or x.shape[2] != module.input_size:
        raise BadInput(
            f"a recurrent layer with {module.input_size} inputs expects (stars, steps, {module.input_size}), "
            f"at least one step, found {tuple(x.shape)}."
        )
    if lengths is None:
        return None
    lengths = torch.as_tensor(lengths)
    if lengths.shape != x.shape[:1]:
        raise BadInput(f"lengths must have shape ({x.shape[0]},), one per star, found {tuple(lengths.shape)}.")
    if len(lengths) and not 0 <= int(lengths.min()) <= int(lengths.max()) <= x.shape[1]:
        raise BadInput(
            f"lengths must lie within 0 and {x.shape[1]}, the number of steps; "
            f"found {int(lengths.min())} to {int(lengths.max())}."
        )
    return lengths


def _can_fuse(module: GRU | LSTM, x: Tensor) -> bool:
    same_kind = all(w.device.type == "cpu" and w.dtype == x.dtype for w in module.parameters())
    return (
        _enabled.get()
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and same_kind
        and not (torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"))
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    )


def _anywhere(run: Callable[..., Any], module: nn.Module, x: Any) -> Any:
    """What torch says, also on processors for which oneDNN has no bfloat16 LSTM and gives up."""
    try:
        return run(module, x)
    except RuntimeError as error:
        if "primitive" not in str(error):
            raise
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that some of these flags are for other devices
            with torch.backends.mkldnn.flags(enabled=False):
                return run(module, x)


def _run_torch(module: GRU | LSTM, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same by torch alone. Packed sequences must not be empty, so stars without a step get one, then zeros."""
    run: Callable[..., Any] = nn.LSTM.forward if isinstance(module, LSTM) else nn.GRU.forward
    if lengths is None:
        output, state = _anywhere(run, module, x)
        return output, state[0] if isinstance(module, LSTM) else state
    some = (lengths > 0).to(x.device)
    x = torch.where(some[:, None, None], x, 0.0)
    packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    output, state = _anywhere(run, module, packed)
    output, _ = pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])
    last = state[0] if isinstance(module, LSTM) else state
    return torch.where(some[:, None, None], output, 0.0), torch.where(some[None, :, None], last, 0.0)


# --- to the kernels and back ------------------------------------------------------------------------------------


class _Layer(torch.autograd.Function):
    """One layer in both directions, for autograd."""

    @staticmethod
    def forward(ctx: Any, lstm: bool, lengths: Tensor | None, x: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        gathered = _gather(weights, lstm)
        output, last, saved = _forward(lstm, lengths, x, gathered, keep=True)
        ctx.lstm, ctx.gathered = lstm, gathered
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(lengths, x, output, torch.from_numpy(saved), *weights)
        return output, last

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None, grad_last: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise BadInput("the fused layers have no derivatives of gradients: run the model within use_fused(False).")
        lengths, x, output, saved, *_ = ctx.saved_tensors  # which says it if a weight was changed meanwhile
        wants_x = ctx.needs_input_grad[2]
        grads = _backward(ctx.lstm, lengths, x, ctx.gathered, output, saved.numpy(), grad_output, grad_last, wants_x)
        return (None, None, *grads)


def _forward(
    lstm: bool, lengths: Tensor | None, x: Tensor, gathered: tuple[Array, Array, Array], *, keep: bool
) -> tuple[Tensor, Tensor, Array]:
    """Output (N, T, D H), final state (D, N, H) and what the backward pass needs."""
    (n, steps, _), (w_x, w_h, bias) = x.shape, gathered
    inputs = _flat(x)
    directions, units = len(bias), w_h.shape[2]
    out = _empty((n, steps * directions * units), inputs.dtype)
    last = np.empty((directions, n, units), inputs.dtype)
    ends = _ends(lengths, n, steps, inputs.dtype)
    blocks, rows = len(ends) // LANES, (5 if lstm else 4) * units + ROWS
    saved = _empty((blocks if keep else 0, directions, steps, rows, LANES), inputs.dtype)
    if lstm:
        tiles = [_tiles(w_x), _tiles(w_h)]
    else:  # tiles must not reach over a border between rows of the input, of both and of the state
        tiles = [
            np.concatenate([_tiles(w[:, :border]), _tiles(w[:, border:])], axis=1)
            for w, border in ((w_x, units), (w_h, 2 * units))
        ]
    _in_threads(forward, blocks, inputs, ends, *tiles, bias, out, last, saved, lstm)
    output = torch.from_numpy(out.reshape(n, steps, directions * units))
    return output, torch.from_numpy(last), saved


def _backward(
    lstm: bool,
    lengths: Tensor | None,
    x: Tensor,
    gathered: tuple[Array, Array, Array],
    output: Tensor,
    saved: Array,
    grad_output: Tensor | None,
    grad_last: Tensor | None,
    wants_x: bool,
) -> list[Tensor | None]:
    """Gradients of x (None unless wanted) and of the weights."""
    (n, steps, _), (w_x, w_h, _) = x.shape, gathered
    inputs, out = _flat(x), _flat(output)
    (directions, _, units), blocks, dtype = w_h.shape, len(saved), inputs.dtype
    grad_out = out[:0] if grad_output is None else _flat(grad_output)
    last = np.zeros((directions, n, units), dtype)
    if grad_last is not None:
        last[:] = grad_last.numpy()
    grad_x = _empty(inputs.shape, dtype) if wants_x else inputs[:0]
    grad_wx, grad_wh = (
        np.zeros((blocks, directions, _up(w.shape[2], COLUMNS), _up(w.shape[1], ROWS)), dtype) for w in (w_x, w_h)
    )
    grad_b = np.zeros((blocks, directions, 1, 4 * units), dtype)
    tiles = [_tiles(w.transpose(0, 2, 1)) for w in (w_x, w_h)]
    ends = _ends(lengths, n, steps, dtype)
    _in_threads(
        backward, blocks, inputs, ends, *tiles, out, saved, grad_out, last, grad_x, grad_wx, grad_wh, grad_b, lstm
    )
    sum_x, sum_h = (
        g[:, :, : w.shape[2], : w.shape[1]].sum(axis=0).transpose(0, 2, 1) for g, w in ((grad_wx, w_x), (grad_wh, w_h))
    )
    result = _scatter(sum_x, sum_h, grad_b.sum(axis=(0, 2)), lstm)
    return [torch.from_numpy(grad_x.reshape(x.shape)) if wants_x else None, *result]


def _gather(weights: Any, lstm: bool) -> tuple[Array, Array, Array]:
    """Weights (D, rows, C), (D, rows, H), bias (D, 4 H + ROWS) in the order of the kernels, from torch's list of them.

    torch orders the gates of a GRU (r, z, n); the kernels order input rows (n, r, z), rows of the state (r, z, q).
    """
    arrays = [weight.detach().numpy() for weight in weights]
    w_x, w_h, b_x, b_h = (np.array(arrays[i::4]) for i in range(4))
    units = w_h.shape[2]
    bias = np.zeros((len(b_h), 4 * units + ROWS), b_h.dtype)
    if lstm:
        bias[:, : 4 * units] = b_x + b_h
        return w_x, w_h, bias
    bias[:, : 3 * units] = _turned(b_x, units)
    bias[:, units : 4 * units] += b_h
    return _turned(w_x, units), w_h, bias


def _scatter(grad_x: Array, grad_h: Array, grad_b: Array, lstm: bool) -> list[Tensor]:
    """The reverse of _gather, for gradients."""
    if lstm:
        parts = [grad_x, grad_h, grad_b, grad_b]
    else:
        units = grad_h.shape[2]
        back = -units
        parts = [_turned(grad_x, back), grad_h, _turned(grad_b[:, : 3 * units], back), grad_b[:, units:]]
    return [torch.from_numpy(np.array(part[d])) for d in range(len(grad_b)) for part in parts]


def _turned(array: Array, rows: int) -> Array:
    """The last ``rows`` rows of each direction first; np.roll, which takes longer than a step of a small layer."""
    return np.concatenate([array[:, -rows:], array[:, :-rows]], axis=1)


def _flat(tensor: Tensor) -> Array:
    """(N, T, F) -> (N, T F), contiguous, not copied if it is so already."""
    array = np.ascontiguousarray(tensor.detach().numpy())
    return array.reshape(len(array), array.shape[1] * array.shape[2])


def _empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """Memory that begins at a multiple of 64 bytes: a register's worth then lies in one line of the cache."""
    size = math.prod(shape)
    room = np.empty(size + 16, dtype)  # numpy asks for huge pages, torch does not
    first = -room.ctypes.data % 64 // room.itemsize
    return room[first : first + size].reshape(shape)


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _tiles(weights: Array) -> Array:
    """(D, rows, columns) -> (D, rows / ROWS, columns, ROWS), with rows of zeros to fill the last tile."""
    directions, rows, columns = weights.shape
    padded = np.zeros((directions, _up(rows, ROWS), columns), weights.dtype)
    padded[:, :rows] = weights
    return np.ascontiguousarray(padded.reshape(directions, -1, ROWS, columns).transpose(0, 1, 3, 2))


def _ends(lengths: Tensor | None, n: int, steps: int, dtype: Any) -> Array:
    """Lengths as the kernels want them: floats, for whole blocks of stars, 0 for those that do not exist."""
    result = np.zeros(_up(n, LANES), dtype)
    result[:n] = steps if lengths is None else lengths.cpu().numpy()
    return result


# --- threads ----------------------------------------------------------------------------------------------------


def _in_threads(kernel: Callable[..., None], blocks: int, *arguments: Any) -> None:
    """Share the blocks of stars among at most ``torch.get_num_threads()`` threads; the caller is one of them."""
    in_parts(blocks, lambda begin, end: kernel(*arguments, (begin, end)), threads=torch.get_num_threads())
