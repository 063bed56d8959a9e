"""The loop behind the circular networks' predictions: from the curves of stars to what the network says of them.

The same as :class:`photfeh.models.circular_module.CircularModule`, which is torch's and is used in training; here no
torch is needed. Output channels lie side by side in vector registers, one star at a time: what a star gets does not
depend on others. A dense layer is a convolution over a curve of one step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from photfeh.core.kernels import kernel, over_stars
from photfeh.core.types import Float32Array, IntArray
from photfeh.models.kernels.lanes import LANES, gelu, load, multiply_add, pick, store

__all__ = ["MOST_EXTRA", "N_CURVE", "UNIT", "packed", "read_curves"]

N_CURVE = 5
"""Channels of a curve."""
UNIT = 3
"""The channel of a curve that has a unit."""
MOST_EXTRA = 5.0
"""Where extra inputs are cut."""


def packed(
    weights: Sequence[Float32Array], biases: Sequence[Float32Array], strides: Sequence[int]
) -> tuple[IntArray, Float32Array]:
    """Layers of weights (n_out, n_in, kernel) and biases (n_out,) as the kernel reads them.

    Returns a table with a row (n_in, n_out, kernel, stride, place) a layer, and all weights behind one another: for
    every ``LANES`` output channels, filled up with zeros, their biases, then the weights by step and input channel.
    """
    table, rows, place = [], [], 0
    for weight, bias, stride in zip(weights, biases, strides, strict=True):
        n_out, n_in, steps = weight.shape
        blocks = -(-n_out // LANES)
        whole = np.zeros((blocks * LANES, 1 + steps * n_in), np.float32)
        whole[:n_out, 0] = bias
        whole[:n_out, 1:] = weight.transpose(0, 2, 1).reshape(n_out, -1)
        rows.append(whole.reshape(blocks, LANES, -1).transpose(0, 2, 1).ravel())
        table.append((n_in, n_out, steps, stride, place))
        place += rows[-1].size
    return np.array(table, np.int64), np.concatenate(rows)


def read_curves(
    curves: Float32Array, extra: Float32Array, unit: float, layers: IntArray, weights: Float32Array
) -> Float32Array:
    """Curves (N, 5, G) and extra inputs (N, E) of stars -> (N, n_out), by the layers of :func:`packed`.

    The last two layers are dense. ``unit``: what is subtracted from the channel of the curve that has a unit.
    """
    out = np.empty((len(curves), layers[-1, 1]), np.float32)
    over_stars(_read, len(curves), (curves, extra, np.float32(unit), layers, weights), (out,), least=8)
    return out


@kernel()
def _read(
    first: int,
    last: int,
    curves: Float32Array,
    extra: Float32Array,
    unit: np.float32,
    layers: IntArray,
    weights: Float32Array,
    out: Float32Array,
) -> None:
    n_extra, n_grid, n_layers = extra.shape[1], curves.shape[2], len(layers)
    n_channels = layers[n_layers - 3, 1]
    width, rows = 0, 0
    for layer in range(n_layers):
        width = max(width, layers[layer, 0], -(-layers[layer, 1] // LANES) * LANES)
        rows = max(rows, n_grid + 1 + 2 * (layers[layer, 2] // 2))  # one more: a kernel of even width adds a step
    x, y = np.empty((rows, width), np.float32), np.empty((rows, width), np.float32)
    further = np.empty(n_extra, np.float32)
    for star in range(first, last):
        for c in range(n_extra):
            further[c] = min(max(extra[star, c], np.float32(-MOST_EXTRA)), np.float32(MOST_EXTRA))
        pad, n = layers[0, 2] // 2, n_grid
        for step in range(n_grid):
            for c in range(N_CURVE):
                x[pad + step, c] = curves[star, c, step]
            x[pad + step, UNIT] -= unit
            for c in range(n_extra):
                x[pad + step, N_CURVE + c] = further[c]
        for layer in range(n_layers):
            if layer == n_layers - 2:
                _pool(x, n, n_channels, y)
                for c in range(n_extra):
                    y[0, 2 * n_channels + c] = further[c]
                x, y, n = y, x, 1
            margin = layers[layer + 1, 2] // 2 if layer < n_layers - 1 else 0
            n = _convolve(x, n, layers, layer, weights, margin, y)
            x, y = y, x
        for c in range(out.shape[1]):
            out[star, c] = x[0, c]


@kernel(inline="always")
def _convolve(
    x: Float32Array, n: int, layers: IntArray, layer: int, weights: Float32Array, margin: int, y: Float32Array
) -> int:
    """One layer on a curve of n steps, which begins after the kernel's half width in ``x`` (steps, channels).

    Fills ``y`` from row ``margin`` on and returns the number of steps there. The ends of ``x`` are filled by what is on
    the other side. GELU follows every layer but the last.
    """
    n_in, n_out, steps, stride, place = (
        layers[layer, 0], layers[layer, 1], layers[layer, 2], layers[layer, 3], layers[layer, 4],
    )  # fmt: skip
    pad = steps // 2
    for row in range(pad):
        for c in range(n_in):
            x[row, c] = x[pad + (row - pad) % n, c]
            x[pad + n + row, c] = x[pad + row % n, c]
    n_made = (n + 2 * pad - steps) // stride + 1
    for block in range(0, n_out, LANES):
        for made in range(0, n_made, 4):  # four steps at a time: sums in registers hide how long a product takes
            i, j, k = min(made + 1, n_made - 1), min(made + 2, n_made - 1), min(made + 3, n_made - 1)
            at = place
            a = load(weights, (at,))
            b, c, d = a, a, a
            for step in range(steps):
                for channel in range(n_in):
                    at += LANES
                    w = load(weights, (at,))
                    a = multiply_add(pick(x, (made * stride + step, channel)), w, a)
                    b = multiply_add(pick(x, (i * stride + step, channel)), w, b)
                    c = multiply_add(pick(x, (j * stride + step, channel)), w, c)
                    d = multiply_add(pick(x, (k * stride + step, channel)), w, d)
            store(y, (margin + made, block), a)
            store(y, (margin + i, block), b)
            store(y, (margin + j, block), c)
            store(y, (margin + k, block), d)
        for made in range(n_made if layer < len(layers) - 1 else 0):
            store(y, (margin + made, block), gelu(load(y, (margin + made, block))))
        place += (1 + steps * n_in) * LANES
    return int(n_made)


@kernel(inline="always")
def _pool(x: Float32Array, n: int, n_channels: int, out: Float32Array) -> None:
    """Mean and maximum over n steps, one behind the other in the first row of ``out``."""
    for c in range(n_channels):
        out[0, c], out[0, n_channels + c] = 0.0, x[0, c]
    for step in range(n):
        for c in range(n_channels):
            out[0, c] += x[step, c]
            out[0, n_channels + c] = max(out[0, n_channels + c], x[step, c])
    for c in range(n_channels):
        out[0, c] /= n
