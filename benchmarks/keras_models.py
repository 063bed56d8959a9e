"""The Keras 2.12 side of bench_models.py; runs in an environment of its own, without this package.

    python keras_models.py TASKS.npz THREADS EPOCHS ROUNDS NAME:BATCH...

The file holds x (N, T, 2), y (N,) and the number of predictions wanted. The networks are written with the layers of
Keras, sizes as in the founding document. The last line of output is JSON.
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
from tensorflow.keras import layers


def gru(x):
    for units, dropout, sequence in ((20, 0.2, True), (16, 0.2, True), (8, 0.1, False)):
        x = layers.Dropout(dropout)(layers.GRU(units, return_sequences=sequence)(x))
    return x


def bilstm(x):
    for units, dropout, sequence in ((20, 0.2, True), (16, 0.2, True), (16, 0.1, False)):
        x = layers.Dropout(dropout)(layers.Bidirectional(layers.LSTM(units, return_sequences=sequence))(x))
    return x


def fcn(x):
    for filters, width in ((128, 8), (256, 5), (128, 3)):
        x = layers.Conv1D(filters, width, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return layers.GlobalAveragePooling1D()(x)


def inceptiontime(x):
    def convolution(x, filters, width):
        return layers.Conv1D(filters, width, padding="same", use_bias=False)(x)

    shortcut = x
    for depth in range(6):
        narrow = convolution(x, 32, 1)
        branches = [convolution(narrow, 32, width) for width in (40, 20, 10)]
        branches.append(convolution(layers.MaxPooling1D(3, strides=1, padding="same")(x), 32, 1))
        x = layers.ReLU()(layers.BatchNormalization()(layers.Concatenate()(branches)))
        if depth % 3 == 2:
            beside = layers.BatchNormalization()(convolution(shortcut, 128, 1))
            x = shortcut = layers.ReLU()(layers.Add()([x, beside]))
    return layers.GlobalAveragePooling1D()(x)


NETWORKS = {"gru": gru, "bilstm": bilstm, "fcn": fcn, "inceptiontime": inceptiontime}


def timed(step, calls):
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return times


def bench(name, batch, x, y, many, epochs, rounds):
    inputs = tf.keras.Input(x.shape[1:])
    model = tf.keras.Model(inputs, layers.Dense(1)(NETWORKS[name](inputs)))
    model.compile(loss="mse", optimizer=tf.keras.optimizers.Adam(0.01))
    weight = np.ones(len(x), np.float32)

    def fit():
        model.fit(x, y, sample_weight=weight, batch_size=batch, verbose=0)

    fit()
    epoch = timed(fit, epochs)
    model.predict(many[:1024], batch_size=1024, verbose=0)
    predict = timed(lambda: model.predict(many, batch_size=1024, verbose=0), rounds)
    parameters = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return {"parameters": parameters, "epoch": epoch, "predict": predict}


def main():
    path, threads, epochs, rounds = sys.argv[1], *map(int, sys.argv[2:5])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    with np.load(path) as file:
        x, y, predictions = file["x"], file["y"], int(file["predictions"])
    many = x[np.arange(predictions) % len(x)]
    found = {}
    for task in sys.argv[5:]:
        name, batch = task.split(":")
        found[name] = bench(name, int(batch), x, y, many, epochs, rounds)
        print(f"Keras, {name}: done", flush=True)
    print(json.dumps({"version": f"tensorflow {tf.__version__}", "networks": found}))


if __name__ == "__main__":
    main()
