"""One step of GRU and LSTM cells, forward and backward, and the matrix products of both, for a block of stars.

Kernels work on ``LANES`` stars at once with values of type ``Lanes``: one number per star, held in vector registers. So
the code below reads like the mathematics of one star. Every star goes through the same instructions in its own lane,
whatever its neighbours are: its result does not depend on the batch around it, to the last bit.

Notation: x_t input, h_t state, W, b weights, σ logistic function, ∘ product by element; t counts processed steps, so
in the backward direction of a bidirectional layer t - 1 is the later time. ∂a means dLoss/da.

GRU (Cho+ 2014, in the variant of torch.nn.GRU and of Keras with reset_after=True)::

    r = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)       q = W_hn h_{t-1} + b_hn
    z = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)       n = tanh(W_in x_t + b_in + r∘q)
    h_t = (1 - z)∘n + z∘h_{t-1}

Backward, with a_n, a_r, a_z the arguments of tanh and σ, and tanh' = 1 - tanh², σ' = σ(1 - σ)::

    ∂a_n = ∂h_t∘(1 - z)∘(1 - n²)              ∂q   = ∂a_n∘r
    ∂a_r = ∂a_n∘q∘r∘(1 - r)                   ∂a_z = ∂h_t∘(h_{t-1} - n)∘z∘(1 - z)
    ∂h_{t-1} = ∂h_t∘z + W_hrᵀ ∂a_r + W_hzᵀ ∂a_z + W_hnᵀ ∂q
    ∂x_t     = W_inᵀ ∂a_n + W_irᵀ ∂a_r + W_izᵀ ∂a_z

LSTM (Hochreiter & Schmidhuber 1997, with forget gate), a_i, a_f, a_g, a_o all of the form W x_t + b + W' h_{t-1} + b'::

    i = σ(a_i)   f = σ(a_f)   g = tanh(a_g)   o = σ(a_o)      c_t = f∘c_{t-1} + i∘g      h_t = o∘tanh(c_t)

    ∂c_t += ∂h_t∘o∘(1 - tanh²c_t)             ∂a_o = ∂h_t∘tanh(c_t)∘o∘(1 - o)
    ∂a_i = ∂c_t∘g∘i∘(1 - i)                   ∂a_f = ∂c_t∘c_{t-1}∘f∘(1 - f)
    ∂a_g = ∂c_t∘i∘(1 - g²)                    ∂c_{t-1} = ∂c_t∘f
    ∂h_{t-1} = W_hᵀ ∂a                        ∂x_t = W_xᵀ ∂a

In both, ∂W_x = Σ_t ∂a x_tᵀ, ∂W_h = Σ_t ∂a h_{t-1}ᵀ and ∂b = Σ_t ∂a, summed over stars.

Both cells have four rows per unit. GRU rows are ordered (n, r, z, q): then the input reaches the first three groups and
the state the last three, and one product per side does it. In the LSTM both sides reach all four (i, f, g, o).
"""

# numba's decorators are untyped
# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numba

from photfeh.models.kernels.lanes import (
    flush,
    load,
    multiply_add,
    sigmoid_and_tanh,
    spread,
    store,
    tanh,
    total,
    two_sigmoids,
    where_less,
)

__all__ = [
    "COLUMNS",
    "ROWS",
    "add_outer",
    "add_product",
    "add_rows",
    "add_totals",
    "gru_products",
    "gru_step",
    "gru_step_back",
    "lstm_step",
    "lstm_step_back",
    "set_products",
]

ROWS, COLUMNS = 4, 2
"""Rows and columns of a tile that stays in registers."""


# --- matrices times lanes -----------------------------------------------------------------------------------


# Weights come in tiles (rows / ROWS, columns, ROWS), padded with rows of zeros.


@numba.njit
def add_product(out: Any, weights: Any, v: Any) -> None:
    """out[row] += Σ_k weights[row, k] v[k], where out and v hold rows of lanes."""
    tiles, columns, _ = weights.shape
    for tile in range(tiles):
        row = tile * ROWS
        a, b, c, d = load(out, (row,)), load(out, (row + 1,)), load(out, (row + 2,)), load(out, (row + 3,))
        for k in range(columns):
            u = load(v, (k,))
            a, b = multiply_add(weights[tile, k, 0], u, a), multiply_add(weights[tile, k, 1], u, b)
            c, d = multiply_add(weights[tile, k, 2], u, c), multiply_add(weights[tile, k, 3], u, d)
        store(out, (row,), a)
        store(out, (row + 1,), b)
        store(out, (row + 2,), c)
        store(out, (row + 3,), d)


@numba.njit
def set_products(out: Any, bias: Any, w_x: Any, x: Any, w_h: Any, h: Any) -> None:
    """out[row] = bias[row] + Σ_k w_x[row, k] x[k] + Σ_k w_h[row, k] h[k]; one of the weights may have no rows."""
    for tile in range(max(len(w_x), len(w_h))):
        row = tile * ROWS
        a, b, c, d = spread(bias[row]), spread(bias[row + 1]), spread(bias[row + 2]), spread(bias[row + 3])
        for k in range(w_x.shape[1] if len(w_x) else 0):
            u = load(x, (k,))
            a, b = multiply_add(w_x[tile, k, 0], u, a), multiply_add(w_x[tile, k, 1], u, b)
            c, d = multiply_add(w_x[tile, k, 2], u, c), multiply_add(w_x[tile, k, 3], u, d)
        for k in range(w_h.shape[1] if len(w_h) else 0):
            u = load(h, (k,))
            a, b = multiply_add(w_h[tile, k, 0], u, a), multiply_add(w_h[tile, k, 1], u, b)
            c, d = multiply_add(w_h[tile, k, 2], u, c), multiply_add(w_h[tile, k, 3], u, d)
        store(out, (row,), a)
        store(out, (row + 1,), b)
        store(out, (row + 2,), c)
        store(out, (row + 3,), d)


@numba.njit
def add_outer(out: Any, g: Any, g_rows: int, first_g: int, v: Any, v_rows: int, first_v: int, steps: int) -> None:
    """out[column, row] += Σ_step g[step g_rows + first_g + row] v[step v_rows + first_v + column], for each star.

    Rows and columns of out beyond the matrix, up to whole tiles, take whatever stands there and are never read.
    """
    columns, rows = out.shape[:2]
    for column in range(0, columns, COLUMNS):
        for row in range(0, rows, ROWS):
            a, b = load(out, (column, row)), load(out, (column, row + 1))
            c, d = load(out, (column, row + 2)), load(out, (column, row + 3))
            e, f = load(out, (column + 1, row)), load(out, (column + 1, row + 1))
            p, q = load(out, (column + 1, row + 2)), load(out, (column + 1, row + 3))
            i, k = first_g + row, first_v + column
            for _ in range(steps):
                u, w = load(v, (k,)), load(v, (k + 1,))
                x, y, z, t = load(g, (i,)), load(g, (i + 1,)), load(g, (i + 2,)), load(g, (i + 3,))
                a, b, c, d = multiply_add(x, u, a), multiply_add(y, u, b), multiply_add(z, u, c), multiply_add(t, u, d)
                e, f, p, q = multiply_add(x, w, e), multiply_add(y, w, f), multiply_add(z, w, p), multiply_add(t, w, q)
                i += g_rows
                k += v_rows
            store(out, (column, row), a)
            store(out, (column, row + 1), b)
            store(out, (column, row + 2), c)
            store(out, (column, row + 3), d)
            store(out, (column + 1, row), e)
            store(out, (column + 1, row + 1), f)
            store(out, (column + 1, row + 2), p)
            store(out, (column + 1, row + 3), q)


@numba.njit
def add_rows(out: Any, g: Any, steps: int) -> None:
    """out[row] += Σ_step g[step len(out) + row], for each star."""
    for row in range(len(out)):
        a = load(out, (row,))
        for step in range(steps):
            a = a + load(g, (step * len(out) + row,))
        store(out, (row,), a)


@numba.njit
def add_totals(out: Any, sums: Any) -> None:
    """Sums over the stars of a block."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] += total(load(sums, (i, j)))


# --- one step of a cell -------------------------------------------------------------------------------------


@numba.njit
def gru_products(a: Any, bias: Any, w_x: Any, x: Any, w_h: Any, h: Any) -> None:
    """Set a = (a_n without r∘q, a_r, a_z, q); tiles of w_x are those of n, then of r and z, of w_h r and z, then q.

    Each product may write up to a tile beyond its rows, so they come in this order.
    """
    units = len(h)
    tiles = -(-units // ROWS)
    both = len(w_x) - tiles
    set_products(a, bias, w_x[:tiles], x, w_h[:0], h)
    set_products(a[units:], bias[units:], w_x[tiles:], x, w_h[:both], h)
    set_products(a[3 * units :], bias[3 * units :], w_x[:0], x, w_h[both:], h)


@numba.njit
def gru_step(a: Any, h: Any, units: int, t: int, length: Any) -> None:
    """From a = (a_n without r∘q, a_r, a_z, q) to (n, r, z, q) in place, and the state from h_{t-1} to h_t."""
    for j in range(units):
        before, q = load(h, (j,)), load(a, (3 * units + j,))
        r, z = two_sigmoids(load(a, (units + j,)), load(a, (2 * units + j,)))
        n = tanh(multiply_add(r, q, load(a, (j,))))
        store(a, (j,), n)
        store(a, (units + j,), r)
        store(a, (2 * units + j,), z)
        store(h, (j,), where_less(t, length, multiply_add(z, before - n, n), before))


@numba.njit
def lstm_step(a: Any, h: Any, cell: Any, units: int, t: int, length: Any) -> None:
    """From a = (a_i, a_f, a_g, a_o, anything) to (i, f, g, o, c_t) in place, and both states to step t."""
    for j in range(units):
        i, f = two_sigmoids(load(a, (j,)), load(a, (units + j,)))
        o, g = sigmoid_and_tanh(load(a, (3 * units + j,)), load(a, (2 * units + j,)))
        before = load(cell, (j,))
        c = where_less(t, length, multiply_add(f, before, i * g), before)
        store(a, (j,), i)
        store(a, (units + j,), f)
        store(a, (2 * units + j,), g)
        store(a, (3 * units + j,), o)
        store(a, (4 * units + j,), c)
        store(cell, (j,), c)
        store(h, (j,), where_less(t, length, o * tanh(c), load(h, (j,))))


@numba.njit
def gru_step_back(a: Any, h: Any, grad_h: Any, grad_a: Any, units: int, t: int, length: Any) -> None:
    """Write (∂a_n, ∂a_r, ∂a_z, ∂q) to grad_a, and ∂h_t∘z over ∂h_t; h is h_{t-1}.

    Past the end of a star grad_a is 0 and ∂h_t stays.
    """
    for j in range(units):
        n, r = load(a, (j,)), load(a, (units + j,))
        z, q = load(a, (2 * units + j,)), load(a, (3 * units + j,))
        carried = flush(load(grad_h, (j,)))
        grad = where_less(t, length, carried, 0.0 * z)
        grad_n = grad * (1.0 - z) * (1.0 - n * n)
        store(grad_a, (j,), grad_n)
        store(grad_a, (units + j,), grad_n * q * r * (1.0 - r))
        store(grad_a, (2 * units + j,), grad * (load(h, (j,)) - n) * z * (1.0 - z))
        store(grad_a, (3 * units + j,), grad_n * r)
        store(grad_h, (j,), where_less(t, length, grad * z, carried))


@numba.njit
def lstm_step_back(a: Any, before: Any, grad_h: Any, grad_c: Any, grad_a: Any, units: int, t: int, length: Any) -> None:
    """Write (∂a_i, ∂a_f, ∂a_g, ∂a_o) to grad_a, 0 over ∂h_t and ∂c_{t-1} over ∂c_t; before is c_{t-1}.

    Past the end of a star grad_a is 0, ∂h_t and ∂c_t stay.
    """
    for j in range(units):
        i, f = load(a, (j,)), load(a, (units + j,))
        g, o = load(a, (2 * units + j,)), load(a, (3 * units + j,))
        level = tanh(load(a, (4 * units + j,)))
        carried, carried_c, zero = flush(load(grad_h, (j,))), flush(load(grad_c, (j,))), 0.0 * i
        grad = where_less(t, length, carried, zero)
        grad_cell = multiply_add(grad * o, 1.0 - level * level, where_less(t, length, carried_c, zero))
        store(grad_a, (j,), grad_cell * g * i * (1.0 - i))
        store(grad_a, (units + j,), grad_cell * load(before, (j,)) * f * (1.0 - f))
        store(grad_a, (2 * units + j,), grad_cell * i * (1.0 - g * g))
        store(grad_a, (3 * units + j,), grad * level * o * (1.0 - o))
        store(grad_h, (j,), where_less(t, length, zero, carried))
        store(grad_c, (j,), where_less(t, length, grad_cell * f, carried_c))
