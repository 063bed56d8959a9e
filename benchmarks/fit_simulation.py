"""Fit the constants of ``photfeh.simulation.survey`` to real Gaia DR3 stars, and show how well they do.

    PHOTFEH_DATA=DIR python benchmarks/fit_simulation.py               # rewrites src/photfeh/simulation_constants.json
    PHOTFEH_DATA=DIR python benchmarks/fit_simulation.py --check-only  # only compares and plots docs/img/simulation.png

DIR holds gaia-dr3/epoch_photometry.parquet and gaia-dr3/stars.parquet (docs/data.md). Only means, covariances,
regression coefficients and quantiles are written, never a row of a star. About five minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import least_squares, minimize
from scipy.stats import ks_2samp
from sklearn.mixture import GaussianMixture

from photfeh.core.lightcurves import LightCurves
from photfeh.samples.measure import measure
from photfeh.signal.clean import plausible_points
from photfeh.signal.fold import fold_times
from photfeh.signal.fourier import fit_fourier
from photfeh.simulation import draws
from photfeh.simulation.survey import simulate

ROOT = Path(__file__).resolve().parents[1]
CONSTANTS = ROOT / "src" / "photfeh" / "simulation_constants.json"
FIGURE = ROOT / "docs" / "img" / "simulation.png"
DATA = Path(os.environ.get("PHOTFEH_DATA", ROOT.parent / "shared" / "data"))

TYPES = ("RRab", "RRc")
COMPARED = ("period", "peak_to_peak", "phi31", "r21", "n_epochs", "scatter")
COMPONENTS = {"RRab": 5, "RRc": 3}
ORDERS = {"RRab": 8, "RRc": 5}
PERIODS = {"RRab": (0.35, 1.0), "RRc": (0.20, 0.42)}
BUMPS = {"RRab": 0.08, "RRc": 0.05}
VISIT_BREAK, LONG_GAP, LAST_TIME = 0.6, 70.0, 2704.35  # d
SKY = (17, 19, 22)  # least numbers of visits of the second and later classes of sky


# ---------------------------------------------------------------------- real stars
def load_real(data: Path = DATA) -> tuple[LightCurves, pd.DataFrame, pd.DataFrame]:
    """Clean G curves, star table, and all G rows of the archive's table."""
    epochs = pd.read_parquet(data / "gaia-dr3" / "epoch_photometry.parquet")
    epochs = epochs[epochs.band == "G"]
    stars = pd.read_parquet(data / "gaia-dr3" / "stars.parquet")
    clean = ~(epochs.rejected_by_photometry | epochs.rejected_by_variability)
    curves = LightCurves.from_points(
        epochs.source_id, epochs.time, epochs.mag, 1.0857 / epochs.flux_over_error, keep=clean
    )
    return curves.reindex(stars.source_id.to_numpy()), stars, epochs


def typed(table: pd.DataFrame) -> pd.Series:
    """OGLE's type where known, else by period and R21."""
    fundamental = (table.period > 0.45) | ((table.period > 0.35) & (table.r21 > 0.3))
    known = table.ogle_type if "ogle_type" in table else pd.Series(None, index=table.index, dtype=object)
    return known.where(known.notna(), np.where(fundamental, "RRab", "RRc"))


def comparable(table: pd.DataFrame) -> pd.Series:
    """Stars whose shape is measured and whose period is right: the cut applied to real and simulated stars alike."""
    swing, period = table.peak_to_peak, table.period
    good = (table.scatter < 0.12 * swing) & (table.max_gap < 0.2) & (table.phi31_error < 0.5) & (swing < 1.5)
    low, high = (np.where(table.type == "RRab", *pair) for pair in zip(PERIODS["RRab"], PERIODS["RRc"], strict=True))
    return good & (period > low) & (period < high) & ((table.type == "RRab") | (table.r21 < 0.35))


def measured(curves: LightCurves, stars: pd.DataFrame) -> pd.DataFrame:
    """Measured table with ``type``, restricted to comparable stars."""
    table = measure(curves, stars).table
    if "type" not in table:
        table["type"] = typed(table)
    return table[comparable(table)]


# ---------------------------------------------------------------------- curve shapes
def extreme_deconvolution(x, noise, n_components, n_steps=300):
    """Gaussian mixture of the noise-free values behind x (N, D) with noise covariances (N, D, D).

    Expectation maximisation of Bovy, Hogg & Roweis 2011, AnnAppStat 5, 1657.
    """
    start = GaussianMixture(n_components, random_state=0, n_init=5).fit(x)
    weights, means, covariances = start.weights_, start.means_, start.covariances_
    floor = 1e-4 * np.diag(x.var(axis=0))
    for _ in range(n_steps):
        log_like, expected, spread = [], [], []
        for w, m, v in zip(weights, means, covariances, strict=True):
            total = v + noise
            inverse = np.linalg.inv(total)
            residual = x - m
            gain = v @ inverse
            log_like.append(
                np.log(w)
                - 0.5 * np.einsum("ni,nij,nj->n", residual, inverse, residual)
                - 0.5 * np.linalg.slogdet(total)[1]
            )
            expected.append(m + np.einsum("nij,nj->ni", gain, residual))
            spread.append(v - gain @ v)
        log_like = np.array(log_like)
        share = np.exp(log_like - log_like.max(axis=0))
        share /= share.sum(axis=0)
        count = share.sum(axis=1)
        weights = count / len(x)
        means = np.einsum("gn,gnd->gd", share, np.array(expected)) / count[:, None]
        away = np.array(expected) - means[:, None]
        covariances = np.einsum("gn,gni,gnj->gij", share, away, away) + np.einsum("gn,gnij->gij", share, spread)
        covariances = covariances / count[:, None, None] + floor
    return weights, means, covariances


def shape_parameters(curves, stars):
    """(ln P, A1, R21, R31, phi21, phi31) (N, 6) and their noise covariances (N, 6, 6), from the Fourier fit."""
    fit = fit_fourier(
        curves.offsets, fold_times(curves.offsets, curves.time, stars.period.to_numpy()), curves.mag, curves.mag_error
    )
    a, b = fit.coefficients[:, 1:7:2], fit.coefficients[:, 2:8:2]
    size2 = a**2 + b**2
    size, n = np.sqrt(size2), len(stars)
    log_size, phase = np.zeros((3, n, 7)), np.zeros((3, n, 7))  # gradients of ln A_k and phi_k
    for k in range(3):
        log_size[k, :, 2 * k + 1], log_size[k, :, 2 * k + 2] = (a / size2)[:, k], (b / size2)[:, k]
        phase[k, :, 2 * k + 1], phase[k, :, 2 * k + 2] = (b / size2)[:, k], (-a / size2)[:, k]
    ratio = size / size[:, :1]
    rows = [np.zeros((n, 7)), size[:, :1] * log_size[0]]
    rows += [ratio[:, k, None] * (log_size[k] - log_size[0]) for k in (1, 2)]
    rows += [phase[k] - (k + 1) * phase[0] for k in (1, 2)]
    jacobian = np.stack(rows, axis=1)
    angle = np.arctan2(-b, a)
    phi21, phi31 = (np.mod(angle[:, k] - (k + 1) * angle[:, 0], 2 * np.pi) for k in (1, 2))
    x = np.column_stack([np.log(stars.period), size[:, 0], ratio[:, 1], ratio[:, 2], phi21, phi31])
    noise = np.einsum("nij,njk,nlk->nil", jacobian, fit.covariance, jacobian)
    return x, noise + 1e-8 * np.eye(6)


def high_harmonics(curves, stars, order):
    """R_k1 exp(i phi_k1), k = 1..order, by one weighted fit of fixed order; their noise; for well-covered stars."""
    phase = fold_times(curves.offsets, curves.time, stars.period.to_numpy())
    fit = fit_fourier(curves.offsets, phase, curves.mag, curves.mag_error)
    out, sigma = [], []
    for i in range(len(curves)):
        here = slice(curves.offsets[i], curves.offsets[i + 1])
        angle = 2 * np.pi * np.outer(phase[here], np.arange(1, order + 1))
        design = np.column_stack([np.ones(len(angle)), np.cos(angle), np.sin(angle)])
        weight = np.sqrt(fit.point_weight[here])
        solution = np.linalg.lstsq(design * weight[:, None], curves.mag[here] * weight, rcond=None)[0]
        residual = (curves.mag[here] - design @ solution) * weight
        noise = np.sqrt((residual**2).sum() / max((weight**2).sum() - design.shape[1], 1))
        c = solution[1 : order + 1] - 1j * solution[order + 1 :]
        out.append(c * np.exp(-1j * np.arange(1, order + 1) * np.angle(c[0])) / abs(c[0]))
        sigma.append(noise * np.sqrt(2 / len(angle)) / abs(c[0]))
    return np.array(out), np.array(sigma)


def fit_high_harmonics(base, c, sigma):
    """ln R_k1 and phi_k1 for k > 3 as linear functions of standardised base parameters, with intrinsic scatter."""
    centre, scale = base.mean(axis=0), base.std(axis=0)
    regressors = np.column_stack([np.ones(len(base)), (base - centre) / scale])
    result = {"log_ratio": [], "phase": [], "log_ratio_scatter": [], "phase_scatter": []}
    previous = np.array([centre[5], 0, 0, 0, 0, 0, scale[5]])
    step = np.array([centre[5] - centre[4], 0, 0, 0, 0, -scale[4], scale[5]])
    for k in range(4, c.shape[1] + 1):
        observed = c[:, k - 1]
        guess = previous + step
        guess[0] += np.angle(np.mean(observed * np.exp(-1j * (regressors @ guess))))
        start = np.concatenate([[np.log(np.mean(abs(observed)))], np.zeros(6), guess])
        width = np.hypot(sigma, 0.3 * np.median(abs(observed)))

        def misfit(p, observed=observed, width=width, start=start):
            away = (observed - np.exp(regressors @ p[:7] + 1j * (regressors @ p[7:]))) / width
            prior = 3.0 * (p - start)[np.r_[1:7, 8:14]]  # keeps weak harmonics from fitting noise
            return np.concatenate([away.real, away.imag, prior])

        p = least_squares(misfit, start, loss="soft_l1").x
        model = np.exp(regressors @ p[:7] + 1j * (regressors @ p[7:]))
        ratio, strong = observed / model, abs(model) > 3 * sigma
        noise = (sigma / abs(model))[strong]
        for name, value in (
            ("log_ratio_scatter", np.log(abs(ratio[strong]))),
            ("phase_scatter", np.angle(ratio[strong])),
        ):
            total = 0.8 * 1.4826 * np.median(abs(value - np.median(value)))  # part of it is crosstalk between harmonics
            result[name].append(float(np.sqrt(max(total**2 - np.median(noise) ** 2, 0.05**2))))
        result["log_ratio"].append(p[:7])
        result["phase"].append(p[7:])
        previous = p[7:]
    return {**result, "centre": centre, "scale": scale}


def fit_shapes(curves, stars, table):
    """The ``shapes`` section."""
    shapes = {}
    for kind in TYPES:
        chosen = table[(table.type == kind) & (table.n_epochs >= 20)]
        rows = chosen.index.to_numpy()
        x, noise = shape_parameters(curves[rows], stars.iloc[rows])
        # a few wrong periods and blends lie far off: keep what is within 5 robust standard deviations
        middle = np.median(x, axis=0)
        near = np.all(abs(x - middle) < 5 * 1.4826 * np.median(abs(x - middle), axis=0), axis=1)
        weights, means, covariances = extreme_deconvolution(x[near], noise[near], COMPONENTS[kind])
        best = chosen[(chosen.n_epochs >= 50) & (chosen.max_gap < 0.1) & (chosen.scatter < 0.03 * chosen.peak_to_peak)]
        c, sigma = high_harmonics(curves[best.index.to_numpy()], stars.loc[best.index], ORDERS[kind])
        base = shape_parameters(curves[best.index.to_numpy()], stars.loc[best.index])[0]
        print(f"{kind}: {near.sum()} stars for the mixture, {len(best)} for harmonics 4 to {ORDERS[kind]}")
        shapes[kind] = {
            "weights": weights, "means": means, "factors": np.linalg.cholesky(covariances),
            "lower": np.quantile(x[near], 0.002, axis=0), "upper": np.quantile(x[near], 0.998, axis=0),
            "period_limits": PERIODS[kind], "max_amplitude": 1.4, "bumps": BUMPS[kind],
            **fit_high_harmonics(base, c, sigma),
        }  # fmt: skip
    return shapes


# ---------------------------------------------------------------------- epochs
def quantiles(values, n=41):
    return np.quantile(np.asarray(values)[np.isfinite(values)], np.linspace(0, 1, n))


def visits_of(curves):
    """Gaps between visits [d], the star of each, whether it is its first, and visits per star."""
    step = np.diff(curves.time)
    same = np.diff(curves.star_index) == 0
    starts = np.concatenate([[True], ~same | (step > VISIT_BREAK)])
    owner = curves.star_index[starts]
    gap = np.diff(curves.time[starts])
    within = np.diff(owner) == 0
    first = np.concatenate([[True], ~within[:-1]])
    frame = pd.DataFrame({"star": owner[:-1], "gap": gap, "first": first})[within]
    pair = np.flatnonzero(np.diff(np.flatnonzero(np.append(starts, True))) == 2)
    pair_step = step[np.flatnonzero(starts)[pair]]
    return frame, np.bincount(owner, minlength=len(curves)), pair_step


def fit_epochs(curves):
    """The ``epochs`` section: everything by class of sky, that is by number of visits."""
    frame, visits, pair_step = visits_of(curves)
    sky = np.digitize(visits, SKY)
    first = curves.time[curves.offsets[:-1]]
    frame["long"] = frame.gap > LONG_GAP
    frame["before"] = frame.long.shift(fill_value=False) & ~frame["first"]
    frame["sky"] = sky[frame.star]
    law = {
        name: []
        for name in ("share", "first", "n_epochs", "short_gap", "long_gap", "long_after_short", "long_after_long")
    }
    for c in range(len(SKY) + 1):
        gaps = frame[frame.sky == c]
        law["share"].append(float((sky == c).mean()))
        law["first"].append(quantiles(first[sky == c]))
        law["n_epochs"].append(quantiles(curves.n_epochs[sky == c], 101))
        law["short_gap"].append(quantiles(gaps.gap[~gaps.long]))
        law["long_gap"].append(quantiles(gaps.gap[gaps.long]))
        law["long_after_short"].append(float(gaps.long[~gaps.before].mean()))
        law["long_after_long"].append(float(gaps.long[gaps.before].mean()))
    law |= {"last": LAST_TIME, "first_field_first": float((pair_step < 0.1).sum() / (pair_step < 0.2).sum())}
    return law | {"completeness": [0.82, 0.94], "pairs": 0.66, "concentration": 0.15}


# ---------------------------------------------------------------------- noise
def residuals(curves, stars):
    """Residuals, quoted errors, slopes [mag/cycle] and owners of the points of comparable stars; and rejected ones."""
    curves = curves.select_points(plausible_points(curves.offsets, curves.mag, curves.mag_error))
    phase = fold_times(curves.offsets, curves.time, stars.period.to_numpy())
    fit = fit_fourier(curves.offsets, phase, curves.mag, curves.mag_error)
    star = curves.star_index
    model, slope = series_at(fit.coefficients[star], phase)
    return pd.DataFrame({
        "star": star, "residual": curves.mag - model, "slope": slope, "weight": fit.point_weight,
        "error": curves.mag_error, "mag": curves.mag, "scatter": fit.scatter[star],
    }), fit  # fmt: skip


def series_at(coefficients, phase):
    """Value and derivative of a series at one phase a row."""
    k = np.arange(1, (coefficients.shape[1] - 1) // 2 + 1)
    wave = np.exp(2j * np.pi * phase[:, None] * k)
    c = coefficients[:, 1::2] - 1j * coefficients[:, 2::2]
    return coefficients[:, 0] + (c * wave).real.sum(axis=1), (2j * np.pi * k * c * wave).real.sum(axis=1)


def fit_noise(curves, stars, table, epochs):
    """The ``noise`` section but for the numbers that :func:`tune` finds."""
    points, fit = residuals(curves, stars)
    good = points[points.star.isin(table.index) & (points.star.map(table.n_epochs) >= 25)]
    edges = np.arange(12.5, 19.6, 0.5)
    log_error = np.log(points.error)
    middle = [log_error[abs(points.mag - edge) < 0.25].median() for edge in edges]
    ratio = log_error - np.interp(points.mag, edges, middle)
    by_star = ratio.groupby(points.star).transform("median")
    by_type = [good[good.star.map(table.type) == kind] for kind in TYPES]
    outliers = [some[some.weight < 0.1] for some in by_type]
    flagged = epochs[epochs.rejected_by_variability & ~epochs.rejected_by_photometry]
    row = pd.Series(np.arange(len(stars)), index=stars.source_id).reindex(flagged.source_id).to_numpy()
    start = curves.time[curves.offsets[:-1]][row]
    away = (
        flagged.mag.to_numpy()
        - series_at(fit.coefficients[row], ((flagged.time - start) / stars.period.to_numpy()[row]).to_numpy() % 1)[0]
    )
    n_clean = len(curves.time)
    known = epochs[epochs.time.notna()]
    rate, origin = np.polyfit(known.time - 2000, known.transit_id.astype(float), 1)
    return {
        "error_mag": edges, "error_log_median": middle,
        "error_star_spread": float(1.4826 * np.median(abs(by_star.groupby(points.star).first()))),
        "error_log_ratio": quantiles(ratio - by_star, 101),
        "outlier_fraction": [len(o) / len(some) for o, some in zip(outliers, by_type, strict=True)],
        "outlier_faint": float((pd.concat(outliers).residual > 0).mean()),
        "outlier_log_size": [np.quantile(np.log(abs(o.residual)), np.linspace(0.01, 0.99, 21)) for o in outliers],
        "lost_fraction": float(epochs.rejected_by_photometry.sum() / n_clean),
        "flagged_fraction": len(flagged) / n_clean,
        "flagged_log_size": np.quantile(np.log(abs(away[np.isfinite(away)]) + 1e-3), np.linspace(0.01, 0.99, 21)),
        "transit_id": [float(origin - 2000 * rate), float(rate)],
        "modulation_period": [20.0, 300.0],
        # starting values; tune() replaces them, but for the spread of the amplitude modulation, which these
        # statistics do not fix: a decade between quiet and strongly modulated (Blazhko) stars
        "excess": [-4.2, -4.55], "excess_slope": 0.15, "excess_spread": [1.2, 0.55],
        "amplitude_modulation": [-4.7, -4.7], "amplitude_modulation_spread": 1.0,
        "phase_modulation": [-5.7, -6.4], "phase_modulation_spread": 1.0,
    }  # fmt: skip


TUNED = (
    ("excess", 0),
    ("excess", 1),
    ("excess_slope", None),
    ("excess_spread", 0),
    ("excess_spread", 1),
    ("amplitude_modulation", 0),
    ("amplitude_modulation", 1),
    ("phase_modulation", 0),
    ("phase_modulation", 1),
    ("phase_modulation_spread", None),
)  # entries of the noise section; 0 and 1 are RRab and RRc
SLOPES = (-40, -6, -3, -1, 0, 1, 2, 4)


def noise_statistics(curves, stars):
    """What the tuned constants must reproduce: ln scatter, by type, brightness and amplitude; residuals by slope."""
    table = measured(curves, stars)
    points, _ = residuals(curves, stars)
    found = []
    for kind in TYPES:
        some = table[table.type == kind]
        log_scatter = np.log(some.scatter)
        found.append(np.quantile(log_scatter, np.linspace(0.05, 0.95, 10)))
        for column in ("zero_point", "peak_to_peak"):
            half = some[column] > some[column].median()
            found.append([log_scatter[half].median() - log_scatter[~half].median()])
        mine = points[points.star.isin(some.index)]
        size = abs(mine.residual).groupby(pd.cut(mine.slope, SLOPES), observed=False).median()
        found.append(0.5 * np.log(size.to_numpy()) if kind == "RRab" else 0.5 * np.log(size.to_numpy()[2:6]))
    return np.concatenate(found)


def tune(curves, stars, n_stars=3000):
    """Nelder-Mead on the ten numbers of TUNED so that simulated stars, measured alike, have the real statistics.

    Returns the ``noise`` section; only the package's constants in memory change on the way.
    """
    target = noise_statistics(curves, stars)
    law = draws.constants()["noise"]

    def put(vector):
        for (name, place), value in zip(TUNED, vector, strict=True):
            value = abs(value) if name.endswith("spread") else value
            if place is None:
                law[name] = value
            else:
                law[name][place] = value

    def distance(vector):
        put(vector)
        survey = simulate(n_stars, seed=99, rrc_fraction=0.35)
        return float(((noise_statistics(survey.curves, survey.stars) - target) ** 2).mean())

    start = np.array([law[name] if place is None else law[name][place] for name, place in TUNED])
    simplex = np.vstack([start, start + 0.3 * np.eye(len(start))])
    best = minimize(distance, start, method="Nelder-Mead", options={"initial_simplex": simplex, "maxfev": 180})
    put(best.x)
    print(f"noise: rms difference of the statistics {np.sqrt(best.fun):.3f} (natural logarithms)")
    return law


def without_modulation(real, law):
    """Lower the outlier fractions by the points that the fit rejects for the modulation's sake, not as outliers."""
    survey = simulate(20_000, seed=98)
    simulated = measured(survey.curves, survey.stars)
    rates = []
    for table in (real, simulated):
        by_type = table.groupby("type")[["n_rejected", "n_epochs"]].sum()
        rates.append((by_type.n_rejected / by_type.sum(axis=1)).loc[list(TYPES)].to_numpy())
    law["outlier_fraction"] = np.maximum(law["outlier_fraction"] - (rates[1] - rates[0]), 0.002)
    return law


# ---------------------------------------------------------------------- the file
def plain(value):
    """Arrays as rounded lists: six digits are more than the stars can tell."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) and abs(value) < 1e9 else value


def install(constants):
    """Write the file, one entry a line, and make the package read it."""
    sections = []
    for section, entries in plain(constants).items():
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in entries.items())
        sections.append(f" {json.dumps(section)}: {{\n{lines}\n }}")
    CONSTANTS.write_text("{\n" + ",\n".join(sections) + "\n}\n", encoding="utf-8")
    draws.constants.cache_clear()


def reference(table):
    """Deciles of the real distributions: what the tests compare with where the real data are absent."""
    return {
        kind: {name: np.quantile(some[name], np.linspace(0.1, 0.9, 9)) for name in COMPARED}
        for kind, some in table.groupby("type")
    }


def distances(real, simulated):
    """Two-sample Kolmogorov-Smirnov distances, one row a type."""
    rows = {
        kind: {
            name: ks_2samp(real[real.type == kind][name], simulated[simulated.type == kind][name]).statistic
            for name in COMPARED
        }
        for kind in TYPES
    }
    return pd.DataFrame(rows).T


def plot(real, simulated, path=FIGURE):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    labels = {"period": "period [d]", "peak_to_peak": "peak-to-peak G [mag]", "phi31": r"$\phi_{31}$ [rad, cosine]",
              "r21": r"$R_{21}$", "n_epochs": "clean epochs", "scatter": "scatter about the fit [mag]"}  # fmt: skip
    figure, axes = plt.subplots(2, 6, figsize=(17, 5.4), layout="constrained")
    ks = distances(real, simulated)
    for row, kind in enumerate(TYPES):
        for ax, name in zip(axes[row], COMPARED, strict=True):
            values = real[real.type == kind][name], simulated[simulated.type == kind][name]
            low, high = np.quantile(np.concatenate(values), [0.002, 0.995])
            bins = np.geomspace(low, high, 36) if name == "scatter" else np.linspace(low, high, 36)
            bins = np.arange(np.floor(low), high + 3, 3) - 0.5 if name == "n_epochs" else bins
            ax.hist(values[0], bins, density=True, color="0.75", label=f"real {kind} ({len(values[0])})")
            ax.hist(
                values[1],
                bins,
                density=True,
                histtype="step",
                color="C3",
                lw=1.5,
                label=f"simulated ({len(values[1])})",
            )
            ax.set(xlabel=labels[name], yticks=[], xscale="log" if name == "scatter" else "linear")
            if name == "scatter":
                ax.set_xticks([0.003, 0.01, 0.03], ["0.003", "0.01", "0.03"])
                ax.minorticks_off()
            ax.text(
                0.97, 0.95, f"KS {ks.loc[kind, name]:.3f}", transform=ax.transAxes, ha="right", va="top", fontsize=9
            )
        axes[row, 0].legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0, 1.2))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check-only", action="store_true", help="leave the constants as they are")
    arguments = parser.parse_args()
    curves, stars, epochs = load_real()
    real = measured(curves, stars)
    if not arguments.check_only:
        constants = {"shapes": fit_shapes(curves, stars, real), "epochs": fit_epochs(curves)}
        constants["magnitude"] = {"mean": quantiles(measure(curves, stars).table.zero_point)}
        constants["noise"] = fit_noise(curves, stars, real, epochs)
        constants["reference"] = reference(real)
        install(constants)
        constants["noise"] = without_modulation(real, tune(curves, stars))
        install(constants)
    survey = simulate(20_000, seed=1)
    simulated = measured(survey.curves, survey.stars)
    print(distances(real, simulated).round(3).to_string())
    plot(real, simulated)


if __name__ == "__main__":
    main()
