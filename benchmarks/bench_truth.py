"""Accuracy against truth: phi31 and its quoted error, smoothed curves, and what a Gaussian process would add.

    python benchmarks/bench_truth.py [--stars 6000] [--data ../shared/data]

Every figure comes from the same run on the same simulated survey (seed 29), whose noise-free curves are known, with the
true periods; stars are binned by their number of epochs. Where $PHOTFEH_DATA (or --data) holds the set
dekany-grebel-2022, the metallicities are also scored on real stars. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads only stand in each other's way in matrices this small

import numpy as np
from astropy.timeseries import LombScargle
from scipy.interpolate import make_smoothing_spline

from photfeh.models.registry import create_model
from photfeh.readers import read_lightcurves, read_stars
from photfeh.samples.measure import N_HARMONICS, measure
from photfeh.samples.sequences import Representation, build_sequences, shape_features
from photfeh.signal.fourier import evaluate_series, fit_fourier
from photfeh.signal.spline import smooth_founding, smooth_periodic
from photfeh.simulation.survey import simulate

BINS = ((0, 20), (20, 30), (30, 50), (50, 10_000), (0, 10_000))
POINTS = 264
LENGTHS = np.array([0.25, 0.35, 0.5, 0.7, 1.0, 1.5])
"""Length scales of the kernel exp(-2 sin^2(pi x) / length^2)."""
NOISES = np.array([0.02, 0.035, 0.06, 0.1, 0.17, 0.3, 0.5])
"""Noise of a point of weight 1, relative to the amplitude of the process."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stars", type=int, default=6_000)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    options = parser.parse_args()
    for n, n_epochs in ((options.stars // 6, 16), (options.stars, None)):
        sky = simulate(n, seed=29, n_epochs=n_epochs)
        measured = measure(sky.curves, sky.stars)
        print(f"\n### {n} stars, " + (f"{n_epochs} epochs each\n" if n_epochs else "Gaia's own numbers of epochs\n"))
        phi31_table(sky, measured)
        curves = curve_table(sky, measured)
    truth = sky.stars["feh"].to_numpy()
    train = np.arange(len(sky)) % 2 == 0
    print(
        "\n### [Fe/H] from features of the smoothed curves, simulation, half of the stars trains, the other is scored\n"
    )
    metallicity_table(measured, curves, truth, [(np.flatnonzero(train), np.flatnonzero(~train))])
    real(Path(options.data) / "dekany-grebel-2022" / "stars.parquet")


# ---------------------------------------------------------------------- phi31
def phi31_table(sky, measured):
    table, stars = measured.table, sky.stars
    off, error = turn(table["phi31"] - stars["true_phi31"]), table["phi31_error"].to_numpy()
    oracle = turn(astropy_phi31(sky, measured) - stars["true_phi31"])
    print("#### phi31 minus truth [rad]\n")
    print(
        "| type | epochs | stars | robust sd | astropy, same order | median abs. error | 50 % | 68.3 % | 95 % | pull |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for kind, label, here in bins(sky, np.isfinite(error)):
        pull = off[here] / error[here]
        inside = [f"{np.mean(np.abs(pull) < limit):.3f}" for limit in (0.6745, 1.0, 1.96)]
        cells = (robust_sd(off[here]), robust_sd(oracle[here]), np.median(np.abs(off[here])))
        values = " | ".join(f"{cell:.4f}" for cell in cells)
        print(f"| {kind} | {label} | {here.sum()} | {values} | {' | '.join(inside)} | {robust_sd(pull):.3f} |")
    print(
        "\n50, 68.3 and 95 %: fraction of stars within so much of their quoted error; pull: robust sd of error units."
    )


def astropy_phi31(sky, measured):
    """phi31 of an independent least-squares fit of the same order, unweighted and not robust."""
    curves, phi31 = measured.curves, np.full(len(measured), np.nan)
    for i in np.flatnonzero(measured.table["n_harmonics"].to_numpy() >= 3):
        curve, order = curves[i], int(measured.table["n_harmonics"].iloc[i])
        fit = LombScargle(curve.time, curve.mag, nterms=order, center_data=True)
        sin1, cos1, _, _, sin3, cos3 = fit.model_parameters(1.0)[1:7]
        phi31[i] = np.arctan2(-sin3, cos3) - 3 * np.arctan2(-sin1, cos1)
    return phi31


# ---------------------------------------------------------------------- curves
def curve_table(sky, measured):
    """Print the error of the smoothed curves; returns those on the whole cycle, aligned, by name."""
    offsets, phase, mag = measured.curves.offsets, measured.curves.time, measured.curves.mag
    weight = np.maximum(measured.point_weight, 1e-3)
    ok = np.isfinite(measured.table["scatter"].to_numpy())
    # phase 0 of a star's aligned frame in the frame of the truth
    shift = true_shift(sky, measured)
    grid = np.arange(POINTS) / POINTS
    truth = np.stack(
        [evaluate_series(c[None], (grid + s) % 1)[0] for c, s in zip(sky.coefficients, shift, strict=True)]
    )
    founding = smooth_founding(offsets, phase, mag, POINTS)
    founding_error = np.full(len(sky), np.nan)
    for i in np.flatnonzero(founding.ok):
        true = evaluate_series(sky.coefficients[i : i + 1], (founding.x[i] + shift[i]) % 1)[0]
        founding_error[i] = np.sqrt(np.mean((founding.y[i] - true) ** 2))
    seconds, curves = {}, {}
    for name, function in (
        (
            "periodic spline, REML",
            lambda: smooth_periodic(offsets, phase, mag, POINTS, weights=weight, criterion="reml").y,
        ),
        ("periodic spline, GCV", lambda: smooth_periodic(offsets, phase, mag, POINTS, weights=weight).y),
        ("robust Fourier, BIC", lambda: robust_fourier(measured, grid)),
        ("ridge Fourier", lambda: evaluate_series(measured.harmonics, grid)),
        ("Gaussian process", lambda: gaussian_process(offsets, phase, mag, weight)),
    ):
        begin = time.perf_counter()
        curves[name] = function()
        seconds[name] = time.perf_counter() - begin
    errors = {"founding spline (SciPy's)": founding_error}
    errors |= {name: np.sqrt(np.mean((curve - truth) ** 2, axis=1)) for name, curve in curves.items()}
    reference = errors["periodic spline, REML"]
    print("\n#### rms error of the smoothed curve [mag], median over stars; in brackets over that of the REML spline\n")
    print("| type | epochs | stars | " + " | ".join(errors) + " |\n" + "|---" * (3 + len(errors)) + "|")
    for kind, label, here in bins(sky, ok & np.isfinite(founding_error)):
        cells = [
            f"{np.median(error[here]):.4f} ({np.median(error[here]) / np.median(reference[here]):.2f})"
            for error in errors.values()
        ]
        print(f"| {kind} | {label} | {here.sum()} | " + " | ".join(cells) + " |")
    print(
        "\nThe founding spline is scored between its first and last point only. Seconds for all stars: ",
        end="",
    )
    print(", ".join(f"{name} {value:.2f}" for name, value in seconds.items()) + ".")
    scipy_oracle(offsets, phase, mag, founding)
    return curves


def robust_fourier(measured, grid):
    curves = measured.curves
    phase = np.array(curves.time)  # writeable, as in measure(): nothing is compiled anew
    return evaluate_series(fit_fourier(curves.offsets, phase, curves.mag, curves.mag_error).coefficients, grid)


def true_shift(sky, measured):
    """Phase of the truth at aligned phase 0, from the phases of the first points of each star."""
    curves, period = sky.curves, sky.stars["period"].to_numpy()
    true = (curves.time - np.repeat(sky.stars["true_epoch"].to_numpy(), curves.n_epochs)) / np.repeat(
        period, curves.n_epochs
    )
    # the measured points were sorted by phase; magnitudes tell which is which
    shift = np.full(len(sky), np.nan)
    for i in range(len(sky)):
        here = slice(*curves.offsets[i : i + 2])
        first = measured.curves[i]
        shift[i] = (true[here][np.argmax(curves.mag[here] == first.mag[0])] - first.time[0]) % 1
    return shift


def scipy_oracle(offsets, phase, mag, founding, stars=300):
    worst = []
    for i in range(stars):
        here = slice(*offsets[i : i + 2])
        if founding.ok[i] and (np.diff(phase[here]) > 1e-3).all():
            spline = make_smoothing_spline(phase[here], mag[here])
            worst.append(np.abs(spline(founding.x[i]) - founding.y[i]).max())
    print(f"Founding spline against make_smoothing_spline on {len(worst)} of these stars: within {max(worst):.1g} mag.")


def gaussian_process(offsets, phase, mag, weight, batch=256):
    """Posterior mean of a periodic Gaussian process on the grid, (N, 264), averaged over a grid of its settings.

    Kernel exp(-2 sin^2(pi x) / length^2) (MacKay 1998) plus a constant, noise of variance 1 / weight; the scale of both
    together is profiled, and (length, noise) enter with their marginal likelihood. Points that only fill a batch up
    have next to no weight.
    """
    counts, out = np.diff(offsets), np.full((len(offsets) - 1, POINTS), np.nan)
    order = np.argsort(counts, kind="stable")
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        rows = rows[counts[rows] >= 8]
        if len(rows) == 0:
            continue
        place = np.arange(counts[rows].max())
        mask = place < counts[rows, None]
        point = np.where(mask, offsets[rows, None] + place, offsets[rows, None])
        x, w = phase[point], np.where(mask, weight[point], 1e-6)
        centre = np.array([np.median(mag[offsets[i] : offsets[i + 1]]) for i in rows])
        out[rows] = centre[:, None] + _posterior(x, mag[point] - centre[:, None], w, mask)
    return out


def _posterior(x, y, w, mask):
    """One eigendecomposition a length serves every noise level."""
    grid, n, root = np.arange(POINTS) / POINTS, mask.sum(axis=1), np.sqrt(w)
    wave = np.sin(np.pi * (x[:, :, None] - x[:, None, :])) ** 2
    bases, evidence = [], []
    for length in LENGTHS:
        value, vector = np.linalg.eigh(_kernel(wave, length) * root[:, :, None] * root[:, None, :])
        turned = np.einsum("spq,sp->sq", vector, root * y)
        inverse = 1 / (np.maximum(value, 0)[None] + NOISES[:, None, None] ** 2)
        scale = (inverse * turned**2).sum(axis=2) / n
        log_det = -np.log(inverse).sum(axis=2) - np.log(NOISES[:, None] ** 2) * (~mask).sum(axis=1)
        evidence.append(-0.5 * (n * np.log(scale) + log_det))
        bases.append((vector, turned, inverse))
    share = np.stack(evidence)
    share = np.exp(share - share.max(axis=(0, 1)))
    share /= share.sum(axis=(0, 1))
    grid_wave = np.sin(np.pi * (grid[None, :, None] - x[:, None, :])) ** 2
    curve = np.zeros((len(x), POINTS))
    for length, part, (vector, turned, inverse) in zip(LENGTHS, share, bases, strict=True):
        solved = root * np.einsum("spq,sq->sp", vector, turned * (part[..., None] * inverse).sum(axis=0))
        curve += (_kernel(grid_wave, length) @ solved[..., None])[..., 0]
    return curve


def _kernel(wave, length):
    return np.exp(-2 * wave / length**2) + 9.0


# ---------------------------------------------------------------------- metallicities
def metallicity_table(measured, curves, feh, splits):
    """rmse of [Fe/H] of models fed with the present features and with those of the smoothed curves."""
    X = build_sequences(measured, Representation(kind="raw", n_points=8))
    period, n_epochs = (measured.table[name].to_numpy() for name in ("period", "n_epochs"))
    features = {"ridge Fourier (present)": X.features}
    for name in ("periodic spline, REML", "Gaussian process"):
        shape = shape_features(harmonics_of(curves[name]), period)
        features[name] = np.column_stack([shape, X.features[:, shape.shape[1] :]])
    good = np.isfinite(feh)
    for values in features.values():
        good &= np.isfinite(values[:, :12]).all(axis=1)
    print(
        "| model | features | "
        + " | ".join(f"rmse, {label(b)}" for b in BINS)
        + " |\n"
        + "|---" * (2 + len(BINS))
        + "|"
    )
    for model in ("ridge-fourier", "svr"):
        for name, values in features.items():
            predicted = np.full(len(feh), np.nan)
            for train, test in splits:
                train, test = train[good[train]], test[good[test]]
                machine = create_model(model).fit(replace(X, features=values)[train], feh[train])
                predicted[test] = machine.predict(replace(X, features=values)[test])
            cells = []
            for low, high in BINS:
                here = np.isfinite(predicted) & (low <= n_epochs) & (n_epochs < high)
                cells.append(f"{np.sqrt(np.mean((predicted - feh)[here] ** 2)):.4f}" if here.any() else "")
            print(f"| {model} | {name} | " + " | ".join(cells) + " |")


def harmonics_of(curves):
    """zp, a_1, b_1, ... of sampled curves (N, M), as many harmonics as the present features hold."""
    wave = np.fft.rfft(curves, axis=1) / curves.shape[1]
    out = np.empty((len(curves), 2 * N_HARMONICS + 1))
    out[:, 0] = wave[:, 0].real
    out[:, 1::2], out[:, 2::2] = 2 * wave[:, 1 : N_HARMONICS + 1].real, -2 * wave[:, 1 : N_HARMONICS + 1].imag
    return out


def real(path):
    if not path.is_file():
        print(f"\nNo real stars at {path}.")
        return
    stars = read_stars(path)
    stars = stars[[name for name in stars.columns if not isinstance(stars[name].iloc[0], np.ndarray)]]
    stars = stars[stars["feh"].notna()].assign(type="RRab").reset_index(drop=True)
    measured = measure(read_lightcurves(path), stars)
    phase, weight = measured.curves.time, np.maximum(measured.point_weight, 1e-3)
    columns = (measured.curves.offsets, phase, measured.curves.mag)
    curves = {
        "periodic spline, REML": smooth_periodic(*columns, POINTS, weights=weight, criterion="reml").y,
        "Gaussian process": gaussian_process(*columns, weight),
    }
    fold = stars["fold"].to_numpy()
    splits = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in np.unique(fold)]
    print(f"\n### The same on {len(stars)} real stars: Gaia G curves, OGLE I-band labels, the published folds\n")
    metallicity_table(measured, curves, stars["feh"].to_numpy(), splits)


# ---------------------------------------------------------------------- small things
def bins(sky, good):
    rrab, n = (sky.stars["type"] == "RRab").to_numpy(), sky.curves.n_epochs
    for kind, of_kind in (("RRab", rrab), ("RRc", ~rrab)):
        for low, high in BINS if np.ptp(n) > 0 else BINS[-1:]:
            yield kind, label((low, high)), good & of_kind & (low <= n) & (n < high)


def label(limits):
    low, high = limits
    if low == 0:
        return "all" if high == 10_000 else f"< {high}"
    return f"{low}-{high - 1}" if high < 10_000 else f">= {low}"


def turn(angle):
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def robust_sd(x):
    return 1.4826 * np.nanmedian(np.abs(x - np.nanmedian(x)))


if __name__ == "__main__":
    main()
