"""One step of GRU and LSTM cells, forward and backward, and the matrix products of both, for a block of stars.

Kernels work on ``LANES`` stars at once. Arrays are (rows, LANES), stars innermost, and the inner loops are plain ones
over stars or over whole rows, which the compiler turns into vector instructions. Every star goes through the same
instructions in its own lane, whatever its neighbours are: its result does not depend on the batch around it, to the
last bit.

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
the state the last three, and one product per side does it. In the LSTM both sides reach all four (i, f, g, o). Units
and inputs are filled up with zeros to multiples of ``TILE``; such a unit stays 0 and so do its gradients.

For the sake of the vectoriser, a loop reads and writes slices (indices that cannot be negative), it does not choose
between a new value and the old one of the same place (a masked store, which is slow), and what takes long is split into
short loops. ``FUSE`` lets a product and a sum become one instruction; nothing else is reordered but the sums of
:func:`add_dots`.
"""

# numba's decorators are untyped
# mypy: allow-untyped-decorators

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import extending, types

__all__ = [
    "FUSE",
    "LANES",
    "TILE",
    "add_dots",
    "add_long_product",
    "add_product",
    "gru_step",
    "gru_step_back",
    "lstm_step",
    "lstm_step_back",
]

LANES = 32
"""Stars per block."""
TILE = 4
"""Rows and columns of weights come in multiples of this."""
FUSE = {"contract", "nsz"}
SIGMOID_SCALE, TANH_SCALE = -1.0 / math.log(2.0), 2.0 / math.log(2.0)

compiled: Any = numba.njit(fastmath=FUSE, error_model="numpy")


# --- functions ----------------------------------------------------------------------------------------------


def power(shifted: Any) -> Any:
    """2^n, of a number that holds n plus the bias of the exponent in its lowest bits."""
    raise NotImplementedError("compiled only")


def exp2m1(y: Any) -> Any:
    """2^y - 1 to rounding, also for small y, without a branch or a call.

    y = n + f with |f| <= 1/2: a polynomial gives 2^f - 1, and 2^n is made by writing n into the bits of the exponent;
    then 2^y - 1 = 2^n (2^f - 1) + (2^n - 1). Arguments are cut at ±60 (float64: ±500), so that the product of two
    results stays finite.
    """
    raise NotImplementedError("compiled only")


def tiny(x: Any) -> Any:
    """Below this number, gradients are 0: see :func:`flush`."""
    raise NotImplementedError("compiled only")


@extending.overload(power, strict=False)
def _power(shifted: Any) -> Callable[[Any], Any]:
    if shifted == types.float32:
        return lambda shifted: np.int32(np.float32(shifted).view(np.int32) << 23).view(np.float32)
    return lambda shifted: np.int64(np.float64(shifted).view(np.int64) << 52).view(np.float64)


@extending.overload(exp2m1, strict=False, jit_options={"fastmath": FUSE, "error_model": "numpy"})
def _exp2m1(y: Any) -> Callable[[Any], Any]:
    real, degree, cut, mantissa, bias = (
        (np.float32, 5, 60.0, 23, 127) if y == types.float32 else (np.float64, 13, 500.0, 52, 1023)
    )
    first, *rest = (real(coefficient) for coefficient in reversed(_series(degree)))
    series = tuple(rest)
    # adding this number rounds to an integer and leaves it, plus the bias, in the lowest bits
    magic, limit, one = real(1.5 * 2.0**mantissa + bias), real(cut), real(1.0)

    def run(y: Any) -> Any:
        y = limit if y > limit else y
        y = -limit if y < -limit else y
        shifted = y + magic
        fraction = y - (shifted - magic)
        value = first
        for coefficient in series:
            value = value * fraction + coefficient
        scale = power(shifted)
        return scale * fraction * value + (scale - one)

    return run


def _series(degree: int) -> list[float]:
    """Coefficients of (2^f - 1) / f for |f| <= 1/2: interpolation in Chebyshev nodes, nearly the best polynomial."""
    nodes = np.polynomial.Chebyshev.interpolate(lambda f: np.expm1(f * math.log(2.0)) / f, degree, domain=[-0.5, 0.5])
    return [float(value) for value in nodes.convert(kind=np.polynomial.Polynomial).coef]


@extending.overload(tiny, strict=False)
def _tiny(x: Any) -> Callable[[Any], Any]:
    value = np.float32(1e-25) if x == types.float32 else np.float64(1e-280)
    return lambda x: value


@compiled
def flush(x: Any) -> Any:
    """Round x to 0 where |x| < 1e-25 (float64: 1e-280).

    Gradients that vanish over many steps would otherwise end as denormal numbers, which processors handle a hundred
    times slower than others. Beside gradients of order one such a number is far below rounding.
    """
    return x if abs(x) >= tiny(x) else x - x


@compiled
def set_sigmoids(x: Any) -> None:
    """Logistic function 1 / (1 + e^-x), in place."""
    scale, one, two = x.dtype.type(SIGMOID_SCALE), x.dtype.type(1), x.dtype.type(2)
    for i in range(len(x)):
        x[i] = one / (exp2m1(x[i] * scale) + two)


@compiled
def tanh(x: Any, scale: Any, two: Any) -> Any:
    """Hyperbolic tangent, (e^2x - 1) / (e^2x + 1); the constants have the type of x."""
    m = exp2m1(x * scale)
    return m / (m + two)


# --- products -----------------------------------------------------------------------------------------------
# Tiles of 2 x 4 weights, each read once for all lanes.


@compiled
def add_product(out: Any, weights: Any, v: Any) -> None:
    """out[row] += Σ_k weights[row, k] v[k], where out and v hold rows of lanes, one after the other."""
    pairs, fours = out.reshape(-1, 2 * LANES), v.reshape(-1, 4 * LANES)
    for k in range(0, weights.shape[1], 4):
        p = fours[k // 4]
        for row in range(0, len(weights), 2):
            o = pairs[row // 2]
            a0, a1, a2, a3 = weights[row, k], weights[row, k + 1], weights[row, k + 2], weights[row, k + 3]
            b0, b1, b2, b3 = weights[row + 1, k], weights[row + 1, k + 1], weights[row + 1, k + 2], weights[row + 1, k + 3]
            for i in range(LANES):
                x0, x1, x2, x3 = p[i], p[LANES + i], p[2 * LANES + i], p[3 * LANES + i]
                o[i] = o[i] + a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                o[LANES + i] = o[LANES + i] + b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3


@compiled
def add_long_product(out: Any, weights: Any, v: Any, size: int) -> None:
    """The same for the first ``size`` columns of out (rows, CHUNK LANES) and v (k, CHUNK LANES)."""
    rows, columns = weights.shape
    for row in range(0, rows, 2):
        o, p = out[row, :size], out[row + 1, :size]
        for k in range(0, columns, 4):
            v0, v1, v2, v3 = v[k, :size], v[k + 1, :size], v[k + 2, :size], v[k + 3, :size]
            a0, a1, a2, a3 = weights[row, k], weights[row, k + 1], weights[row, k + 2], weights[row, k + 3]
            b0, b1, b2, b3 = weights[row + 1, k], weights[row + 1, k + 1], weights[row + 1, k + 2], weights[row + 1, k + 3]
            for i in range(size):
                x0, x1, x2, x3 = v0[i], v1[i], v2[i], v3[i]
                o[i] = o[i] + a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                p[i] = p[i] + b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3


@numba.njit(fastmath=FUSE | {"reassoc"}, error_model="numpy")
def add_dots(out: Any, g: Any, v: Any, size: int) -> None:
    """out[row, k] += Σ_i g[row, i] v[k, i] for i < size, in an order that the compiler chose."""
    rows, columns = out.shape
    for row in range(0, rows, 2):
        g0, g1 = g[row, :size], g[row + 1, :size]
        for k in range(0, columns, 4):
            v0, v1, v2, v3 = v[k, :size], v[k + 1, :size], v[k + 2, :size], v[k + 3, :size]
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = out.dtype.type(0)
            for i in range(size):
                x, y = g0[i], g1[i]
                a0, a1, a2, a3 = a0 + x * v0[i], a1 + x * v1[i], a2 + x * v2[i], a3 + x * v3[i]
                b0, b1, b2, b3 = b0 + y * v0[i], b1 + y * v1[i], b2 + y * v2[i], b3 + y * v3[i]
            for j, (a, b) in enumerate(((a0, b0), (a1, b1), (a2, b2), (a3, b3))):
                out[row, k + j] += a
                out[row + 1, k + j] += b


# --- one step of a cell -------------------------------------------------------------------------------------
# All arrays are flat, rows of lanes one after the other; ends holds the lengths of the stars, as often as there are
# units; t is of the same type.


@compiled
def gru_step(a: Any, h: Any, new_h: Any, ends: Any, t: Any) -> None:
    """From a = (a_n without r∘q, a_r, a_z, q) to (n, r, z, q) in place, and from h_{t-1} to h_t in new_h."""
    size = len(h)
    n, r, z, q = a[:size], a[size : 2 * size], a[2 * size : 3 * size], a[3 * size : 4 * size]
    scale, two = h.dtype.type(TANH_SCALE), h.dtype.type(2)
    set_sigmoids(a[size : 3 * size])
    for i in range(size):
        before, value = h[i], tanh(n[i] + r[i] * q[i], scale, two)
        n[i] = value
        after = value + z[i] * (before - value)
        new_h[i] = after if t < ends[i] else before


@compiled
def lstm_step(a: Any, h: Any, new_h: Any, cell: Any, ends: Any, t: Any) -> None:
    """From a = (a_i, a_f, a_g, a_o, anything) to (i, f, g, o, c_t) in place, and both states to step t."""
    size = len(h)
    i, f, g, o = a[:size], a[size : 2 * size], a[2 * size : 3 * size], a[3 * size : 4 * size]
    c, scale, two = a[4 * size : 5 * size], h.dtype.type(TANH_SCALE), h.dtype.type(2)
    set_sigmoids(a[: 2 * size])
    set_sigmoids(o)
    for k in range(size):
        value = tanh(g[k], scale, two)
        g[k] = value
        after = f[k] * cell[k] + i[k] * value
        c[k] = after if t < ends[k] else cell[k]
    for k in range(size):
        cell[k] = c[k]
        after = o[k] * tanh(c[k], scale, two)
        new_h[k] = after if t < ends[k] else h[k]


@compiled
def gru_step_back(a: Any, h: Any, grad_h: Any, grad_a: Any, ends: Any, t: Any) -> None:
    """Write (∂a_n, ∂a_r, ∂a_z, ∂q) to grad_a, and ∂h_t∘z over ∂h_t; h is h_{t-1}.

    Past the end of a star grad_a is 0 and ∂h_t stays.
    """
    size = len(h)
    n, r, z, q = a[:size], a[size : 2 * size], a[2 * size : 3 * size], a[3 * size : 4 * size]
    g_n, g_r, g_z = grad_a[:size], grad_a[size : 2 * size], grad_a[2 * size : 3 * size]
    g_q, one, zero = grad_a[3 * size : 4 * size], h.dtype.type(1), h.dtype.type(0)
    for i in range(size):
        carried = flush(grad_h[i])
        grad = carried if t < ends[i] else zero
        grad_n = grad * (one - z[i]) * (one - n[i] * n[i])
        g_n[i] = grad_n
        g_q[i] = grad_n * r[i]
        g_r[i] = grad_n * q[i] * r[i] * (one - r[i])
        g_z[i] = grad * (h[i] - n[i]) * z[i] * (one - z[i])
        grad_h[i] = grad * z[i] if t < ends[i] else carried


@compiled
def lstm_step_back(a: Any, before: Any, grad_h: Any, grad_c: Any, grad_a: Any, ends: Any, t: Any) -> None:
    """Write (∂a_i, ∂a_f, ∂a_g, ∂a_o) to grad_a, 0 over ∂h_t and ∂c_{t-1} over ∂c_t; before is c_{t-1}.

    Past the end of a star grad_a is 0, ∂h_t and ∂c_t stay.
    """
    size = len(before)
    i, f, g, o = a[:size], a[size : 2 * size], a[2 * size : 3 * size], a[3 * size : 4 * size]
    g_i, g_f, g_g = grad_a[:size], grad_a[size : 2 * size], grad_a[2 * size : 3 * size]
    g_o, c = grad_a[3 * size : 4 * size], a[4 * size : 5 * size]
    one, zero = before.dtype.type(1), before.dtype.type(0)
    scale, two = before.dtype.type(TANH_SCALE), before.dtype.type(2)
    for k in range(size):
        level, carried, carried_c = tanh(c[k], scale, two), flush(grad_h[k]), flush(grad_c[k])
        live = t < ends[k]
        grad = carried if live else zero
        grad_cell = grad * o[k] * (one - level * level) + (carried_c if live else zero)
        g_i[k] = grad_cell * g[k] * i[k] * (one - i[k])
        g_f[k] = grad_cell * before[k] * f[k] * (one - f[k])
        g_g[k] = grad_cell * i[k] * (one - g[k] * g[k])
        g_o[k] = grad * level * o[k] * (one - o[k])
        grad_h[k] = zero if live else carried
        grad_c[k] = grad_cell * f[k] if live else carried_c
