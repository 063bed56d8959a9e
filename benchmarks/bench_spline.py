"""Smoothing splines: throughput against SciPy, agreement with SciPy, error against the truth, compile time.

    python benchmarks/bench_spline.py [--stars 60000] [--data ../shared/data]

Every figure comes from the same run on the same simulated curves (about 40 points a star). Where $PHOTFEH_DATA (or
--data) holds the set gaia-dr3, the founding mode is also compared with SciPy on real curves. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.interpolate import make_smoothing_spline

from photfeh.core.threads import number_of_threads
from photfeh.readers import read_lightcurves, read_stars
from photfeh.signal.fold import fold_times
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
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("PHOTFEH_DATA", "../shared/data")))
    options = parser.parse_args()
    stars, reference = options.stars, min(options.stars, options.scipy_stars)
    cold, warm = compile_seconds()
    data = simulate(stars)
    for name in ("founding", "gcv", "reml"):
        ours(name, simulate(10), 10)
    seconds, curves = scipy_curves(data, reference)
    rate = reference / seconds
    print(f"{stars:,} stars, {data[0][-1] / stars:.1f} points each, 264 grid points, {number_of_threads()} threads:\n")
    print("| | stars/s | times SciPy | 270,905 stars [s] | median error [mag] |\n|---|---|---|---|---|")
    scipy_error = np.median(
        [np.sqrt(np.mean((c - truth(x)) ** 2)) for c, x in zip(curves, grids(data, reference), strict=True)]
    )
    print(f"| SciPy's, {reference} of these stars | {rate:,.0f} | 1 | {270_905 / rate:,.0f} | {scipy_error:.4f} |")
    for name, label in (
        ("founding", "smooth_founding"),
        ("gcv", "smooth_periodic, weighted, GCV"),
        ("reml", "smooth_periodic, weighted, REML"),
    ):
        seconds, error = ours(name, data, stars)
        speed = stars / seconds
        print(f"| {label} | {speed:,.0f} | {speed / rate:,.0f} | {270_905 / speed:.1f} | {error:.4f} |")
    points = data[0][reference]
    difference = np.abs(smooth_founding(data[0][: reference + 1], data[1][:points], data[2][:points]).y - curves)
    print()
    agreement(f"{reference} simulated curves", difference.max(axis=1))
    real(options.data / "gaia-dr3", options.scipy_stars)
    print(
        f"First call, empty cache: founding {cold[0]:.1f} s, periodic {cold[1]:.1f} s; filled cache: {sum(warm):.2f} s."
    )


def grids(data, stars):
    """Phases at which the founding curves are evaluated, (stars, 264)."""
    first, last = data[1][data[0][:stars]], data[1][data[0][1 : stars + 1] - 1]
    return np.linspace(first, last, 264, axis=1)


def agreement(what, worst):
    print(
        f"smooth_founding against SciPy on {what}: {np.mean(worst <= 1e-6):.1%} within 1e-6 mag, median difference "
        f"{np.median(worst):.1g} mag, {int((worst > 1e-6).sum())} beyond.\n"
    )


def real(folder, stars):
    """Agreement on real Gaia curves that have no tied phases, which SciPy refuses."""
    if not (folder / "stars.parquet").is_file():
        print(f"No real curves at {folder}.\n")
        return
    table = read_stars(folder / "stars.parquet")
    curves = read_lightcurves(folder / "epoch_photometry.parquet").reindex(table["source_id"].to_numpy())
    phase = fold_times(curves.offsets, curves.time, table["period"].to_numpy())
    worst = []
    for i in np.flatnonzero((curves.n_epochs >= 8) & table["period"].notna().to_numpy()):
        here = slice(*curves.offsets[i : i + 2])
        order = np.argsort(phase[here])
        x, y = phase[here][order], curves.mag[here][order]
        if (np.diff(x) > 0).all():
            result = smooth_founding([0, len(x)], x, y)
            worst.append(np.abs(make_smoothing_spline(x, y)(result.x[0]) - result.y[0]).max())
        if len(worst) == max(stars, 500):
            break
    agreement(f"{len(worst)} real Gaia DR3 curves", np.array(worst))


if __name__ == "__main__":
    main()
