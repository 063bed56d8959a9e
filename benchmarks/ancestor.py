"""The founding way from files to [Fe/H], to be timed; runs in an environment of its own, without photfeh.

    python ancestor.py FOLDER THREADS

For every CSV file of the folder (columns time, mag, period): pandas reads it, NumPy folds it, SciPy's
``make_smoothing_spline`` is evaluated on 264 points, and the GRU of 20, 16 and 8 units (Keras 2.12, weights as they
begin: they do not matter for the time) predicts all stars together. The last line of output is JSON.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.interpolate import make_smoothing_spline

STEPS = 264


def main() -> None:
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    layers = [tf.keras.layers.GRU(20, return_sequences=True), tf.keras.layers.GRU(16, return_sequences=True)]
    model = tf.keras.Sequential([tf.keras.Input((STEPS, 2)), *layers, tf.keras.layers.GRU(8), tf.keras.layers.Dense(1)])
    model.predict(np.zeros((256, STEPS, 2), np.float32), verbose=0)
    begin = time.perf_counter()
    tables = [pd.read_csv(path) for path in sorted(folder.glob("*.csv"))]
    read = time.perf_counter()
    sequences = np.zeros((len(tables), STEPS, 2), np.float32)
    for number, table in enumerate(tables):
        period = table["period"].iloc[0]
        phase = (table["time"].to_numpy() / period) % 1.0
        phase, first = np.unique(phase, return_index=True)
        mag = table["mag"].to_numpy()[first]
        grid = np.linspace(0, 1, STEPS)
        sequences[number, :, 0] = make_smoothing_spline(phase, mag - mag.mean())(grid)
        sequences[number, :, 1] = grid * period
    splines = time.perf_counter()
    model.predict(sequences, batch_size=256, verbose=0)
    end = time.perf_counter()
    told = {"stars": len(tables), "read": read - begin, "splines": splines - read, "network": end - splines}
    print(json.dumps({**told, "version": tf.__version__}))


if __name__ == "__main__":
    main()
