"""The Keras 2.12 side of bench_recurrent.py; runs in an environment of its own, without this package.

    python keras_recurrent.py FOLDER THREADS CALLS CLOCK

For every .npz file of the folder (x, y, expected and the weights of torch's layers): build the network, check its
predictions, time training steps and inference. The last line of output is JSON.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf


def keras_weights(arrays, layer, suffix):
    """Weights of one direction in the order of Keras: GRU (z, r, n) with two rows of bias, LSTM as torch with one."""
    w_x, w_h, b_x, b_h = (
        arrays[f"layers.{layer}.{name}_l0{suffix}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    units = w_h.shape[1]
    if len(w_h) == 4 * units:
        return [w_x.T, w_h.T, b_x + b_h]
    order = np.r_[units : 2 * units, 0:units, 2 * units : 3 * units]
    return [w_x[order].T, w_h[order].T, np.stack([b_x[order], b_h[order]])]


def build(arrays):
    n_layers = 1 + max(int(re.match(r"layers\.(\d+)", name)[1]) for name in arrays if name.startswith("layers."))
    inputs = value = tf.keras.Input(arrays["x"].shape[1:])
    weights = []
    for i in range(n_layers):
        w_h = arrays[f"layers.{i}.weight_hh_l0"]
        units = w_h.shape[1]
        kind = tf.keras.layers.LSTM if len(w_h) == 4 * units else tf.keras.layers.GRU
        layer = kind(units, return_sequences=i < n_layers - 1)
        suffixes = [""]
        if f"layers.{i}.weight_hh_l0_reverse" in arrays:
            layer, suffixes = tf.keras.layers.Bidirectional(layer), ["", "_reverse"]
        value = layer(value)
        weights += [part for suffix in suffixes for part in keras_weights(arrays, i, suffix)]
    output = tf.keras.layers.Dense(1)(value)
    model = tf.keras.Model(inputs, output)
    model.set_weights([*weights, arrays["dense.weight"].T, arrays["dense.bias"]])
    return model


def timed(step, calls, clock):
    for _ in range(2):
        step()
    times = []
    for _ in range(calls):
        begin = clock()
        step()
        times.append(1e3 * (clock() - begin))
    return times


def bench(path, calls, clock):
    with np.load(path) as file:
        arrays = dict(file)
    model = build(arrays)
    x, y = tf.constant(arrays["x"]), tf.constant(arrays["y"])

    @tf.function
    def train():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        return tape.gradient(loss, model.trainable_weights)

    @tf.function
    def infer():
        return model(x, training=False)

    difference = float(np.abs(infer().numpy() - arrays["expected"]).max())
    if difference > 1e-4:
        raise SystemExit(
            f"Keras: predictions differ by {difference:.2g} from those of torch.nn; timing is meaningless."
        )
    return {
        "train": timed(lambda: [gradient.numpy() for gradient in train()], calls, clock),
        "infer": timed(lambda: infer().numpy(), calls, clock),
    }


def main():
    folder, threads, calls = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    clock = {"wall": time.perf_counter, "processor": time.process_time}[sys.argv[4]]
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    times = [bench(path, calls, clock) for path in sorted(folder.glob("*.npz"))]
    print(json.dumps({"version": f"tensorflow {tf.__version__}", "times": times}))


if __name__ == "__main__":
    main()
