"""Period search: stars a second against nifty-ls and astropy, and the fraction of simulated periods recovered.

    python benchmarks/bench_period.py [--stars 2000]

Every figure comes from the same run on the same simulated curves. The libraries get the same range and a grid of four
frequencies per 1 / baseline; they return explained variance alone, without choice of order or refinement.
nifty-ls is left out where it is not installed. Prints Markdown.
"""

from __future__ import annotations

import argparse
import importlib.util
import time

import numpy as np
from astropy.timeseries import LombScargle

from photfeh.core.threads import number_of_threads
from photfeh.signal.period import find_periods, refine_periods
from photfeh.simulation.survey import simulate


def timed(function, *arguments):
    """Wall and processor seconds of one call, and its result."""
    wall, processor = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return time.perf_counter() - wall, time.process_time() - processor, result


def with_astropy(curve, n_harmonics):
    step = 0.25 / np.ptp(curve.time)
    grid = np.arange(1.0, 5.0, step)
    model = LombScargle(curve.time, curve.mag, curve.mag_error, nterms=n_harmonics)
    return 1 / grid[np.argmax(model.power(grid, method="fastchi2", assume_regular_frequency=True))]


def with_nifty(curve, n_harmonics):
    import nifty_ls

    n = int(16 * np.ptp(curve.time))
    result = nifty_ls.lombscargle(
        curve.time, curve.mag, curve.mag_error, fmin=1.0, fmax=5.0, Nf=n, nterms=n_harmonics, nthreads=1
    )
    return 1 / result.freq()[np.argmax(result.power)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stars", type=int, default=2000, help="stars for our functions")
    parser.add_argument("--library-stars", type=int, default=20, help="of these, stars for the libraries")
    options = parser.parse_args()
    sky = simulate(options.stars, seed=17)
    curves, true = sky.curves, sky.stars["period"].to_numpy()
    columns = (curves.offsets, curves.time, curves.mag, curves.mag_error)
    one = curves[:1]
    find_periods(one.offsets, one.time, one.mag, one.mag_error)
    refine_periods(one.offsets, one.time, one.mag, one.mag_error, true[:1])
    print(f"{len(curves):,} stars, median {np.median(curves.n_epochs):.0f} epochs, {number_of_threads()} threads:\n")
    print("| | stars | stars/s | CPU ms/star | times find_periods | RRab found | RRc found |")
    print("|---|---|---|---|---|---|---|")
    rrab = (sky.stars["type"] == "RRab").to_numpy()
    reference = []

    def line(name, wall, processor, period):
        n, cost = len(period), 1e3 * processor / len(period)
        reference.append(cost)
        good = np.abs(period / true[:n] - 1) < 1e-3
        ab, c = (good[here].mean() if here.any() else np.nan for here in (rrab[:n], ~rrab[:n]))
        print(
            f"| {name} | {n} | {n / wall:,.1f} | {cost:.2f} | {cost / reference[0]:.2f} | {ab:.3f} | {c:.3f} |",
            flush=True,
        )

    wall, processor, found = timed(find_periods, *columns)
    line("find_periods", wall, processor, found.period)
    wall, processor, refined = timed(refine_periods, *columns, found.period)
    line("refine_periods", wall, processor, refined[0])
    libraries = {"astropy, nterms=3": with_astropy}
    if importlib.util.find_spec("nifty_ls"):
        libraries["nifty-ls, nterms=3"] = with_nifty
    few = [curves[i] for i in range(min(options.library_stars, len(curves)))]
    for name, function in libraries.items():
        function(few[0], 3)
        wall, processor, period = timed(lambda f: np.array([f(curve, 3) for curve in few]), function)
        line(name, wall, processor, period)


if __name__ == "__main__":
    main()
