"""Smoothing splines: throughput against SciPy, agreement with SciPy, error against the truth, compile time.

    python benchmarks/bench_spline.py [--stars 270905]

Every figure comes from the same run on the same simulated curves (about 40 points a star).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numba
import numpy as np
from scipy.interpolate import make_smoothing_spline

from photfeh.signal.spline import smooth_founding, smooth_periodic

COMPILE = """
import time, numpy as np
from photfeh.signal import spline
x = np.arange(6) / 6
for name in ("smooth_founding", "smooth_periodic"):
    start = time.perf_counter()
    getattr(spline, name)([0, 6], x, x)
    print(name, time.perf_counter() - start)
"""
BATCH = 20_000


def truth(phase):
    """A saw-tooth of 0.7 mag: eight harmonics, as of an RRab."""
    k = np.arange(1, 9)
    return 15 + (0.35 * 0.55 ** (k - 1) * np.cos(2 * np.pi * k * np.asarray(phase)[..., None] + 2.0 * k)).sum(-1)


def simulate(stars, seed=0):
    """Offsets, phases, magnitudes and weights of curves with 20 to 60 points and noise of 0.01 to 0.05 mag."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(20, 61, stars))])
    owner = np.repeat(np.arange(stars), np.diff(offsets))
    x = rng.random(offsets[-1])
    x = x[np.lexsort((x, owner))]
    error = rng.uniform(0.01, 0.05, stars)[owner] * rng.uniform(0.7, 1.4, len(x))
    return offsets, x, truth(x) + error * rng.normal(size=len(x)), error**-2


def ours(name, data, stars):
    """Seconds and median error of one mode over all stars, in batches that bound memory."""
    offsets, x, y, w = data
    seconds, errors = 0.0, []
    for first in range(0, stars, BATCH):
        here = offsets[first : first + BATCH + 1]
        points = slice(here[0], here[-1])
        start = time.perf_counter()
        if name == "founding":
            result = smooth_founding(here - here[0], x[points], y[points])
        else:
            result = smooth_periodic(here - here[0], x[points], y[points], weights=w[points], criterion=name)
        seconds += time.perf_counter() - start
        assert result.ok.all()
        errors.append(np.sqrt(np.mean((result.y - truth(result.x)) ** 2, axis=1)))
    return seconds, float(np.median(np.concatenate(errors)))


def scipy_curves(data, stars):
    """Seconds that SciPy needs for some stars, and their curves."""
    offsets, x, y, _ = data
    curves, start = np.empty((stars, 264)), time.perf_counter()
    for i in range(stars):
        here = slice(offsets[i], offsets[i + 1])
        curves[i] = make_smoothing_spline(x[here], y[here])(np.linspace(x[here][0], x[here][-1], 264))
    return time.perf_counter() - start, curves


def compile_seconds():
    """First call of each mode in a new process, with an empty numba cache and again with the filled one."""
    with tempfile.TemporaryDirectory() as cache:
        runs = []
        for _ in range(2):
            run = subprocess.run(
                [sys.executable, "-c", COMPILE],
                env=os.environ | {"NUMBA_CACHE_DIR": cache},
                check=True,
                capture_output=True,
                text=True,
            )
            runs.append([float(line.split()[1]) for line in run.stdout.splitlines()])
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stars", type=int, default=60_000, help="stars for our functions")
    parser.add_argument("--scipy-stars", type=int, default=500, help="of these, stars for SciPy")
    options = parser.parse_args()
    stars, reference = options.stars, min(options.stars, options.scipy_stars)
    cold, warm = compile_seconds()
    data = simulate(stars)
    for name in ("founding", "gcv", "reml"):
        ours(name, simulate(10), 10)
    seconds, curves = scipy_curves(data, reference)
    rate = reference / seconds
    print(f"{stars} stars, {data[0][-1] / stars:.1f} points a star, 264 grid points, {numba.get_num_threads()} threads")
    print(f"{'':34}{'stars/s':>10}{'x SciPy':>10}{'270,905 stars [s]':>19}{'median error [mag]':>20}")
    print(f"{'SciPy make_smoothing_spline':34}{rate:10.1f}{1:10.0f}{270_905 / rate:19.0f}")
    for name, label in (
        ("founding", "smooth_founding"),
        ("gcv", "smooth_periodic, weighted, GCV"),
        ("reml", "smooth_periodic, weighted, REML"),
    ):
        seconds, error = ours(name, data, stars)
        speed = stars / seconds
        print(f"{label:34}{speed:10.0f}{speed / rate:10.0f}{270_905 / speed:19.1f}{error:20.4f}")
    points = data[0][reference]
    difference = np.abs(smooth_founding(data[0][: reference + 1], data[1][:points], data[2][:points]).y - curves)
    worst = difference.max(axis=1)
    print(
        f"smooth_founding against SciPy on {reference} stars: worst difference {worst.max():.2g} mag, "
        f"{int((worst > 1e-6).sum())} stars above 1e-6 mag"
    )
    print(
        f"first call, empty cache: founding {cold[0]:.1f} s, periodic {cold[1]:.1f} s; filled cache: {sum(warm):.2f} s"
    )


if __name__ == "__main__":
    main()
