"""Forward and backward kernels of whole GRU and LSTM layers; the cells and their derivation are in ``cells``.

A block of ``LANES`` stars goes through all steps before the next block begins, so that weights and states stay in the
first caches. What does not depend on the state, the products with the input and the gradients of the weights, is done
for ``CHUNK`` steps at a time, in longer loops.
"""

# numba's decorators are untyped
# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np

from photfeh.core.kernels import kernel
from photfeh.models.kernels.cells import (
    FUSE,
    LANES,
    add_dots,
    add_long_product,
    add_product,
    compiled,
    gru_step,
    gru_step_back,
    lstm_step,
    lstm_step_back,
)

__all__ = ["backward", "forward"]

CHUNK = 9
"""Steps at a time; no power of two, or else the rows of one step would share a few lines of the cache."""

# Arrays of a layer, stars innermost: x and grad_x (T, C, N), out and grad_out (T, D H, N), last and grad_last
# (D, H, N), with N stars, T steps, C inputs, D directions, H units; lengths (blocks LANES,), as floats, 0 for stars that
# do not exist; saved (blocks, D, T, rows LANES). Within a block, arrays are (rows, CHUNK LANES), or flat, (rows LANES)
# of one step.


# --- between layers and blocks ------------------------------------------------------------------------------


@compiled
def read(source: Any, first: int, rows: int, star: int, lengths: Any, t: Any, target: Any, begin: int, add: bool) -> None:
    """target[j, begin ...] = source[first + j, star ...] for j < rows, or added to it; 0 for stars that have ended."""
    count, zero = min(LANES, source.shape[1] - star), target.dtype.type(0)
    for j in range(rows):
        row, into = source[first + j, star : star + count], target[j, begin : begin + LANES]
        for lane in range(count):
            value = row[lane] if t < lengths[lane] else zero
            into[lane] = into[lane] + value if add else value


@compiled
def write(source: Any, begin: int, target: Any, first: int, rows: int, star: int, lengths: Any, t: Any) -> None:
    """The reverse of read, for ``rows`` rows."""
    count, zero = min(LANES, target.shape[1] - star), source.dtype.type(0)
    for j in range(rows):
        row, into = source[j, begin : begin + LANES], target[first + j, star : star + count]
        for lane in range(count):
            into[lane] = row[lane] if t < lengths[lane] else zero


@compiled
def copy_step(chunk: Any, s: int, flat: Any) -> None:
    """Step s of a chunk, on its own."""
    steps, rows = chunk.reshape(len(chunk), CHUNK, LANES), flat.reshape(len(chunk), LANES)
    for j in range(len(chunk)):
        row, into = steps[j, s], rows[j]
        for lane in range(LANES):
            into[lane] = row[lane]


@compiled
def keep_step(flat: Any, chunk: Any, s: int) -> None:
    """The reverse of copy_step."""
    steps, rows = chunk.reshape(len(chunk), CHUNK, LANES), flat.reshape(len(chunk), LANES)
    for j in range(len(chunk)):
        row, into = rows[j], steps[j, s]
        for lane in range(LANES):
            into[lane] = row[lane]


@compiled
def block_lengths(lengths: Any, star: int, units: int) -> Any:
    """Lengths of the stars of a block, the same once for every unit, and the largest."""
    block = lengths[star : star + LANES]
    repeated = np.empty(units * LANES, lengths.dtype)
    for j in range(units):
        repeated[j * LANES : (j + 1) * LANES] = block
    return block, repeated, int(block.max())


# --- whole layers -------------------------------------------------------------------------------------------


@compiled
def run_direction(
    x: Any, lengths: Any, w_x: Any, w_h: Any, bias: Any, out: Any, last: Any, saved: Any, lstm: bool, star: int, d: int
) -> None:
    """One block in one direction; saved is (T, rows LANES), or (1, rows LANES) if nothing is to be kept."""
    real, units, padded = x.dtype.type, last.shape[1], w_h.shape[1]
    block, ends, end = block_lengths(lengths, star, padded)
    xs, biases = np.zeros((w_x.shape[1], LANES), x.dtype), np.repeat(bias, LANES)
    h, new_h, cell = np.zeros(len(ends), x.dtype), np.zeros(len(ends), x.dtype), np.zeros(len(ends), x.dtype)
    by_state = (len(bias) - len(w_h)) * LANES  # where the rows that the state reaches begin
    for k in range(end):
        t = k if d == 0 else end - 1 - k
        a = saved[t if len(saved) > 1 else 0]
        read(x[t], 0, x.shape[1], star, block, real(t), xs, 0, False)
        for i in range(len(biases)):
            a[i] = biases[i]
        add_product(a, w_x, xs.reshape(xs.size))
        add_product(a[by_state:], w_h, h)
        if lstm:
            lstm_step(a, h, new_h, cell, ends, real(t))
        else:
            gru_step(a, h, new_h, ends, real(t))
        h, new_h = new_h, h
        write(h.reshape(padded, LANES), 0, out[t], d * units, units, star, block, real(t))
    stop = min(star + LANES, out.shape[2])
    out[end:, d * units : (d + 1) * units, star:stop] = 0
    last[d, :, star:stop] = h.reshape(padded, LANES)[:units, : stop - star]


@kernel(fastmath=FUSE)
def forward(
    x: Any, lengths: Any, w_x: Any, w_h: Any, bias: Any, out: Any, last: Any, saved: Any, lstm: bool, blocks: Any
) -> None:
    """Run a layer over ``blocks`` (first, stop) of stars and fill out, last and saved.

    w_x and w_h are the weights of each direction, bias is (D, rows). saved is for :func:`backward`; with no blocks in
    it, nothing is kept.
    """
    scratch = np.empty((1, saved.shape[3]), x.dtype)
    for block in range(*blocks):
        for d in range(len(bias)):
            kept = saved[block, d] if len(saved) else scratch
            run_direction(x, lengths, w_x[d], w_h[d], bias[d], out, last, kept, lstm, block * LANES, d)


@compiled
def read_chunk(
    x: Any, out: Any, units: int, star: int, block: Any, start: int, size: int, end: int, d: int, xs: Any, hs: Any
) -> None:
    """Set xs = x_t and hs = h_{t-1} for the steps of a chunk; the state is 0 where the direction begins."""
    real, first = x.dtype.type, d * units
    for s in range(size):
        t, before = start + s, start + s + (1 if d else -1)
        read(x[t], 0, x.shape[1], star, block, real(t), xs, s * LANES, False)
        if 0 <= before < end:
            read(out[before], first, units, star, block, real(before), hs, s * LANES, False)
        else:
            hs[:, s * LANES : (s + 1) * LANES] = 0


@compiled
def run_direction_back(
    x: Any, lengths: Any, w_x: Any, w_h: Any, out: Any, saved: Any, grad_out: Any, grad_last: Any,
    grad_x: Any, grad_wx: Any, grad_wh: Any, grad_b: Any, lstm: bool, star: int, d: int,
) -> None:  # fmt: skip
    """One block in one direction, from the last step that was processed to the first."""
    real, units, padded, rows = x.dtype.type, grad_last.shape[1], len(w_h), grad_b.shape[0]
    block, ends, end = block_lengths(lengths, star, padded)
    size, wide, stop = padded * LANES, CHUNK * LANES, min(star + LANES, out.shape[2])
    xs, grad_xs = np.zeros((len(w_x), wide), x.dtype), np.zeros((len(w_x), wide), x.dtype)
    hs, gs = np.zeros((padded, wide), x.dtype), np.zeros((rows, wide), x.dtype)
    h, g, grad_h, grad_c = (np.zeros(size, x.dtype), np.zeros(rows * LANES, x.dtype), np.zeros(size, x.dtype), np.zeros(size, x.dtype))
    ones, nothing = np.zeros((4, wide), x.dtype), np.zeros(size, x.dtype)
    ones[0] = 1
    by_state = rows - w_h.shape[1]
    grad_hs = grad_h.reshape(padded, LANES)
    grad_hs[:units, : stop - star] = grad_last[d, :, star:stop]
    chunks = -(-end // CHUNK)
    for chunk in range(chunks):
        start = (chunks - 1 - chunk if d == 0 else chunk) * CHUNK
        count = min(CHUNK, end - start)
        read_chunk(x, out, units, star, block, start, count, end, d, xs, hs)
        for k in range(count):
            s = count - 1 - k if d == 0 else k
            t = start + s
            if len(grad_out):
                read(grad_out[t], d * units, units, star, block, real(t), grad_hs, 0, True)
            if lstm:
                before = t - 1 if d == 0 else t + 1
                cell = saved[before, 4 * size :] if 0 <= before < end else nothing
                lstm_step_back(saved[t], cell, grad_h, grad_c, g, ends, real(t))
            else:
                copy_step(hs, s, h)
                gru_step_back(saved[t], h, grad_h, g, ends, real(t))
            add_product(grad_h, w_h, g[by_state * LANES :])
            keep_step(g, gs, s)
        add_dots(grad_wx, gs, xs, count * LANES)
        add_dots(grad_wh, gs[by_state:], hs, count * LANES)
        add_dots(grad_b, gs, ones, count * LANES)
        if len(grad_x):
            grad_xs[:] = 0
            for s in range(count if d else 0):
                read(grad_x[start + s], 0, x.shape[1], star, block, real(start + s), grad_xs, s * LANES, False)
            add_long_product(grad_xs, w_x, gs, count * LANES)
            for s in range(count):
                write(grad_xs, s * LANES, grad_x[start + s], 0, grad_x.shape[1], star, block, real(start + s))
    grad_x[end:, :, star:stop] = 0


@kernel(fastmath=FUSE)
def backward(
    x: Any, lengths: Any, w_x: Any, w_h: Any, out: Any, saved: Any, grad_out: Any, grad_last: Any,
    grad_x: Any, grad_wx: Any, grad_wh: Any, grad_b: Any, lstm: bool, blocks: Any,
) -> None:  # fmt: skip
    """Gradients of a layer over ``blocks`` (first, stop) of stars, from what :func:`forward` left.

    w_x and w_h are the transposed weights of each direction. grad_out and grad_x may be of length 0: no gradient comes
    in or is wanted there. grad_x is filled, and so are the gradients (zeros) of the weights, grad_wx (blocks, D, rows,
    C) and grad_wh (blocks, D, rows, H), and of the bias, the first column of grad_b (blocks, D, rows, TILE): each block
    has its own, so that their sum does not depend on the number of threads.
    """
    for block in range(*blocks):
        for d in range(len(w_x)):
            run_direction_back(
                x, lengths, w_x[d], w_h[d], out, saved[block, d], grad_out, grad_last,
                grad_x, grad_wx[block, d], grad_wh[block, d], grad_b[block, d], lstm, block * LANES, d,
            )  # fmt: skip
