"""Forward and backward kernels of whole GRU and LSTM layers; the cells and their derivation are in ``cells``.

A block of ``LANES`` stars goes through all steps before the next block begins, so that weights and states stay in the
first cache. Steps come in chunks, which are brought from the layout of torch, star by star, to lanes and back.
"""

# numba's decorators are untyped
# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from photfeh.core.kernels import kernel
from photfeh.models.kernels.cells import (
    COLUMNS,
    ROWS,
    add_outer,
    add_product,
    add_rows,
    add_totals,
    gru_products,
    gru_step,
    gru_step_back,
    lstm_step,
    lstm_step_back,
    set_products,
)
from photfeh.models.kernels.lanes import LANES, TILE, load, spread, store, transpose, where_less

__all__ = ["CHUNK", "LANES", "backward", "forward"]

CHUNK = 16
"""Steps that are transposed, and whose weight gradients are summed in registers, at a time."""


# --- from star by star to lanes and back --------------------------------------------------------------------


@numba.njit
def read_stars(x: Any, star: int, first: int, count: int, rows: Any, begin: int) -> None:
    """rows[begin + i] = x[star ..., first + i] for i < count, of the stars of a block that exist."""
    stars, done = min(LANES, len(x) - star), 0
    if stars == LANES:
        done = count // TILE * TILE
        for i in range(0, done, TILE):
            for lane in range(0, LANES, TILE):
                transpose(x, (star + lane, first + i), rows, (begin + i, lane))
    for lane in range(stars):
        for i in range(done, count):
            rows[begin + i, lane] = x[star + lane, first + i]


@numba.njit
def write_stars(rows: Any, x: Any, star: int, first: int, count: int) -> None:
    """x[star ..., first + i] = rows[i] for i < count, of the stars of a block that exist."""
    stars, done = min(LANES, len(x) - star), 0
    if stars == LANES:
        done = count // TILE * TILE
        for i in range(0, done, TILE):
            for lane in range(0, LANES, TILE):
                transpose(rows, (i, lane), x, (star + lane, first + i))
    for lane in range(stars):
        for i in range(done, count):
            x[star + lane, first + i] = rows[i, lane]


@numba.njit
def clear_after(rows: Any, first: int, count: int, t: int, length: Any) -> None:
    """Set rows of step t to 0 for stars that have ended, so that padding may hold anything."""
    zero = spread(rows.dtype.type(0))
    for row in range(first, first + count):
        store(rows, (row,), where_less(t, length, load(rows, (row,)), zero))


@numba.njit
def block_lengths(lengths: Any, star: int) -> Any:
    """Lengths of the stars of a block, the shortest and the longest."""
    block = lengths[star : star + LANES]
    return load(lengths, (star,)), int(block.min()), int(block.max())


@numba.njit
def rows_of_lanes(count: int, like: Any) -> Any:
    """Rows of zeros, of the type of an array, that begin at a multiple of 64 bytes: loads then cross no cache line."""
    room = np.zeros(count * LANES + 64, like.dtype)
    first = (-room.ctypes.data % 64) // like.itemsize
    return room[first : first + count * LANES].reshape(count, LANES)


# --- whole layers -------------------------------------------------------------------------------------------
# Arrays of a layer: x and grad_x (N, T C), out and grad_out (N, T D H), last and grad_last (D, N, H), with N stars,
# T steps, C inputs, D directions, H units; lengths (blocks LANES,), as floats, 0 for stars that do not exist.
# A direction is run in chunks of steps that are brought from the layout of torch, star by star, to lanes.


@numba.njit
def run_direction(
    x: Any, lengths: Any, w_x: Any, w_h: Any, bias: Any, out: Any, last: Any, saved: Any, lstm: bool, star: int, d: int
) -> None:
    """One block in one direction; saved is (T, rows, LANES), or (1, rows, LANES) if nothing is to be kept."""
    inputs, units = w_x.shape[1], w_h.shape[1]
    width = len(last) * units
    length, shortest, end = block_lengths(lengths, star)
    xs, hs = rows_of_lanes(CHUNK * inputs, x), rows_of_lanes(CHUNK * width, x)
    h, cell, zero = rows_of_lanes(units, x), rows_of_lanes(units, x), spread(x.dtype.type(0))
    chunks, keep = -(-end // CHUNK), len(saved) > 1
    for chunk in range(chunks) if d == 0 else range(chunks - 1, -1, -1):
        start = chunk * CHUNK
        size = min(CHUNK, end - start)
        read_stars(x, star, start * inputs, size * inputs, xs, 0)
        if d > 0:  # the first direction has already written its half of the outputs
            read_stars(out, star, start * width, size * width, hs, 0)
        for s in range(size) if d == 0 else range(size - 1, -1, -1):
            t = start + s
            a = saved[t if keep else 0]
            if t >= shortest:
                clear_after(xs, s * inputs, inputs, t, length)
            if lstm:
                set_products(a, bias, w_x, xs[s * inputs :], w_h, h)
                lstm_step(a, h, cell, units, t, length)
            else:
                gru_products(a, bias, w_x, xs[s * inputs :], w_h, h)
                gru_step(a, h, units, t, length)
            for j in range(units):
                store(hs, (s * width + d * units + j,), where_less(t, length, load(h, (j,)), zero))
        write_stars(hs, out, star, start * width, size * width)
    for lane in range(min(LANES, len(x) - star)):
        out[star + lane, end * width :] = 0
        last[d, star + lane] = h[:, lane]


@kernel()
def forward(
    x: Any, lengths: Any, w_x: Any, w_h: Any, bias: Any, out: Any, last: Any, saved: Any, lstm: bool, blocks: Any
) -> None:
    """Run a layer over ``blocks`` (first, stop) of stars and fill out, last and saved.

    w_x and w_h are the weights of each direction in tiles, bias is (D, 4 H + ROWS). saved (blocks, D, T, rows, LANES)
    is for :func:`backward`; with no blocks in it, nothing is kept.
    """
    scratch = rows_of_lanes(saved.shape[3], x).reshape(1, saved.shape[3], LANES)
    for block in range(*blocks):
        for d in range(len(bias)):
            kept = saved[block, d] if len(saved) else scratch
            run_direction(x, lengths, w_x[d], w_h[d], bias[d], out, last, kept, lstm, block * LANES, d)


@numba.njit
def read_before(out: Any, star: int, start: int, size: int, end: int, width: int, d: int, hs: Any) -> None:
    """Set hs = h_{t-1} for the steps of a chunk: outputs of the neighbouring steps, 0 where the direction begins."""
    if d == 0:
        skip = width if start == 0 else 0
        hs[:skip] = 0
        read_stars(out, star, (start - 1) * width + skip, size * width - skip, hs, skip)
    else:
        count = min(size, end - start - 1) * width
        read_stars(out, star, (start + 1) * width, count, hs, 0)
        hs[count:] = 0


@numba.njit
def read_chunk(
    x: Any, out: Any, grad_out: Any, grad_x: Any, star: int, start: int, size: int, end: int, steps: int, d: int,
    xs: Any, hs: Any, grad_hs: Any, grad_xs: Any,
) -> None:  # fmt: skip
    """Bring x_t, h_{t-1}, what reaches ∂h_t from outside and ∂x_t of the first direction to lanes."""
    inputs, width = x.shape[1] // steps, out.shape[1] // steps
    read_stars(x, star, start * inputs, size * inputs, xs, 0)
    read_before(out, star, start, size, end, width, d, hs)
    if len(grad_out):
        read_stars(grad_out, star, start * width, size * width, grad_hs, 0)
    if len(grad_x) and d > 0:
        read_stars(grad_x, star, start * inputs, size * inputs, grad_xs, 0)
    else:
        grad_xs[:] = 0


@numba.njit
def run_direction_back(
    x: Any, lengths: Any, w_x: Any, w_h: Any, out: Any, saved: Any, grad_out: Any, grad_last: Any,
    grad_x: Any, grad_wx: Any, grad_wh: Any, grad_b: Any, lstm: bool, star: int, d: int,
) -> None:  # fmt: skip
    """One block in one direction, from the last step that was processed to the first."""
    units, steps = grad_last.shape[2], len(saved)
    inputs, width, rows = x.shape[1] // steps, out.shape[1] // steps, 4 * units
    length, shortest, end = block_lengths(lengths, star)
    grad_h, grad_c = rows_of_lanes(units + ROWS, x), rows_of_lanes(units, x)
    xs, grad_xs = rows_of_lanes(CHUNK * inputs + COLUMNS, x), rows_of_lanes(CHUNK * inputs + ROWS, x)
    hs, grad_hs = rows_of_lanes(CHUNK * width + COLUMNS, x), rows_of_lanes(CHUNK * width, x)
    g, sum_b = rows_of_lanes(CHUNK * rows + ROWS, x), rows_of_lanes(rows, x)
    sum_x = rows_of_lanes(grad_wx.size, x).reshape((*grad_wx.shape, LANES))
    sum_h = rows_of_lanes(grad_wh.size, x).reshape((*grad_wh.shape, LANES))
    nothing, first_row = rows_of_lanes(units, x), 0 if lstm else units
    for lane in range(min(LANES, len(x) - star)):
        grad_h[:units, lane] = grad_last[d, star + lane]
    chunks = -(-end // CHUNK)
    for chunk in range(chunks - 1, -1, -1) if d == 0 else range(chunks):
        start = chunk * CHUNK
        size = min(CHUNK, end - start)
        read_chunk(x, out, grad_out, grad_x, star, start, size, end, steps, d, xs, hs, grad_hs, grad_xs)
        for s in range(size - 1, -1, -1) if d == 0 else range(size):
            t = start + s
            first_h, first_g = s * width + d * units, s * rows
            if t >= shortest:
                clear_after(xs, s * inputs, inputs, t, length)
                clear_after(hs, first_h, units, t, length)
                clear_after(grad_hs, first_h, units, t, length)
            if len(grad_out):
                for j in range(units):
                    store(grad_h, (j,), load(grad_h, (j,)) + load(grad_hs, (first_h + j,)))
            if lstm:
                before = t - 1 if d == 0 else t + 1
                cell = saved[before, rows:] if 0 <= before < end else nothing
                lstm_step_back(saved[t], cell, grad_h, grad_c, g[first_g:], units, t, length)
            else:
                gru_step_back(saved[t], hs[first_h:], grad_h, g[first_g:], units, t, length)
            add_product(grad_h, w_h, g[first_g + first_row :])
            if len(grad_x):
                add_product(grad_xs[s * inputs :], w_x, g[first_g:])
        add_outer(sum_x, g, rows, 0, xs, inputs, 0, size)
        add_outer(sum_h, g, rows, first_row, hs, width, d * units, size)
        add_rows(sum_b, g, size)
        if len(grad_x):
            write_stars(grad_xs, grad_x, star, start * inputs, size * inputs)
    for lane in range(min(LANES, len(grad_x) - star)):
        grad_x[star + lane, end * inputs :] = 0
    add_totals(grad_wx, sum_x)
    add_totals(grad_wh, sum_h)
    add_totals(grad_b, sum_b.reshape(1, rows, LANES))


@kernel()
def backward(
    x: Any, lengths: Any, w_x: Any, w_h: Any, out: Any, saved: Any, grad_out: Any, grad_last: Any,
    grad_x: Any, grad_wx: Any, grad_wh: Any, grad_b: Any, lstm: bool, blocks: Any,
) -> None:  # fmt: skip
    """Gradients of a layer over ``blocks`` (first, stop) of stars, from what :func:`forward` left.

    w_x and w_h are the transposed weights of each direction in tiles. grad_out and grad_x may be of length 0: no
    gradient comes in or is wanted there. grad_x is filled, and so are the gradients (zeros) of the
    weights, grad_wx (blocks, D, C, rows) and grad_wh (blocks, D, H, rows), and of the bias, grad_b (blocks, D, 1, 4 H):
    each block has its own, so that their sum does not depend on the number of threads.
    """
    for block in range(*blocks):
        for d in range(len(w_x)):
            run_direction_back(
                x, lengths, w_x[d], w_h[d], out, saved[block, d], grad_out, grad_last,
                grad_x, grad_wx[block, d], grad_wh[block, d], grad_b[block, d], lstm, block * LANES, d,
            )  # fmt: skip
