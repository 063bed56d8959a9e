"""BP and RP beside G, phase drifts, other mixtures, and where the floor of RRc lies; tables of docs/experiments.md.

    python benchmarks/overtone_bands.py      (needs the sets of docs/data.md under $PHOTFEH_DATA; 10 to 20 minutes)

Six mixtures, cross-validated on independent I-band labels, 5 folds, the same stars and folds in every line of a table;
the ratio of rmse to the first line has its 95 % interval over stars. What other random numbers make of the first line
tells how much of a difference is chance of the mixtures. The scores of all folds were seen while the variations were
written; nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import os
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from label_tables import overtone_i_band, spectroscopic_ids
from photfeh.core.lightcurves import LightCurves
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.models.deconvolution import ExtremeDeconvolution, harmonic_information
from photfeh.readers import read_lightcurves, read_stars
from photfeh.samples.measure import measure
from photfeh.samples.sequences import Representation, Sequences, build_sequences
from photfeh.signal.clean import plausible_points
from photfeh.signal.fourier import fit_fourier
from photfeh.signal.period import refine_periods
from photfeh.validation.significance import compare_blocks
from photfeh.validation.splits import stratified_folds
from real_data import markdown

N_HARMONICS, N_FOLDS = 5, 5
UNKNOWN = np.inf
"""Error of a label that is not there."""


class Said(NamedTuple):
    """What points say about harmonics in the frame phi1 = 0 of G: information, vector, coefficients."""

    information: FloatArray
    vector: FloatArray
    coefficients: FloatArray

    def lowest(self, n: int) -> Said:
        return Said(self.information[:, : 2 * n, : 2 * n], self.vector[:, : 2 * n], self.coefficients[:, : 2 * n])


class Mixtures(ExtremeDeconvolution):
    """Extreme deconvolution of likelihoods that were made beforehand."""

    known: tuple[IntArray, Said]

    def _likelihood(self, X: Sequences) -> tuple[FloatArray, FloatArray, FloatArray]:
        ids, said = self.known
        rows = pd.Index(ids).get_indexer(X.source_id)
        k = said.vector.shape[1]
        information, vector, period = np.zeros((len(X), k + 2, k + 2)), np.zeros((len(X), k + 2)), X.feature("period")
        information[:, :k, :k], vector[:, :k] = said.information[rows], said.vector[rows]
        information[:, k, k], vector[:, k] = 0.004**-2, period * 0.004**-2
        return information, vector, said.coefficients[rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--members", type=int, default=6)
    options = parser.parse_args()
    data = Path(options.data)
    for title, stars in (("RRc", overtones(data)), ("RRab", fundamental(data))):
        print(f"\n### {title}, {int(stars['feh'].notna().sum())} labels\n", flush=True)
        trial(Stars(data, stars), data, rrc=title == "RRc", n_members=options.members)


def overtones(data: Path) -> pd.DataFrame:
    """RRc with an I-band label, and all other stars of the set that look like RRc, without one."""
    labelled = overtone_i_band(data)
    others = pd.read_parquet(data / "gaia-dr3" / "stars.parquet", columns=["source_id", "period"])
    gone = np.concatenate([labelled["source_id"], spectroscopic_ids(data)])
    others = others[~others["source_id"].isin(gone) & others["period"].between(0.2, 0.42)]
    both = pd.concat([labelled[["source_id", "period", "feh"]], others], ignore_index=True)
    return read_stars(both.assign(known=both["source_id"].isin(labelled["source_id"])))


def fundamental(data: Path) -> pd.DataFrame:
    """RRab with an I-band label of the disk or, where the match is sure, of the bulge."""
    disk = pd.read_parquet(data / "ogle-i-band" / "gaia_dr3_rrab.parquet")
    bulge = pd.read_parquet(data / "ogle-i-band" / "gaia_dr3_bulge_rrab.parquet")
    sure = (bulge["n_in_pixel"] == 1) | bulge["period_agrees"].fillna(False).astype(bool)
    both = pd.concat([disk, bulge[sure]])[["source_id", "period", "feh_i"]].drop_duplicates("source_id")
    both = both[both["feh_i"].between(-3.5, 0.8) & ~both["source_id"].isin(spectroscopic_ids(data))]
    return read_stars(both.rename(columns={"feh_i": "feh"}).assign(type="RRab"))


class Stars:
    """Measured stars of one type with their curves in three bands, labelled ones first as they come."""

    def __init__(self, data: Path, stars: pd.DataFrame) -> None:
        epochs = data / "gaia-dr3" / "epoch_photometry.parquet"
        curves = read_lightcurves(epochs)
        measured = measure(curves, stars)
        X = build_sequences(measured, Representation(kind="raw"))
        good = X.mask.any(axis=1) & np.isfinite(X.shape_features()).all(axis=1)
        if "known" in stars:  # unlabelled ones count only where the curve says RRc as well
            table = measured.table
            good &= stars["known"].to_numpy() | ((table["type"] == "RRc") & (table["r21"] < 0.3)).to_numpy()
        self.X, self.table = X[good], measured.table[good].reset_index(drop=True)
        self.feh, self.period = self.table["feh"].to_numpy(float), self.table["period"].to_numpy(float)
        ids = self.X.source_id
        self.curves = {band: _cleaned(read_lightcurves(epochs, band=band).reindex(ids)) for band in ("G", "BP", "RP")}
        starts, time = self.curves["G"].offsets, self.curves["G"].time
        first, last = time[starts[:-1]], time[starts[1:] - 1]
        self.middle, self.half = (first + last) / 2, np.maximum((last - first) / 2, 1e-6)
        self.fold = np.full(len(ids), -1)
        own = np.isfinite(self.feh)
        self.fold[own] = stratified_folds(self.feh[own], N_FOLDS, 0)

    def phases(self, band: str, drift: FloatArray, shift: FloatArray | float = 0.0) -> FloatArray:
        """Phases of the points; ``drift`` (N, 2) [cycle at the ends]: linear and quadratic in time."""
        curves = self.curves[band]
        star = curves.star_index
        since = curves.time - self.middle[star]
        x = since / self.half[star]
        cycles = since / self.period[star] + drift[star, 0] * x + drift[star, 1] * x**2
        cycles += np.broadcast_to(shift, len(self.period))[star]
        return np.asarray(cycles - np.floor(cycles))

    def said(self, drift: FloatArray) -> tuple[dict[str, Said], FloatArray]:
        """Harmonics of every band, and the scatter of the points in G [mag]."""
        g = self.curves["G"]
        fit = fit_fourier(g.offsets, self.phases("G", drift), g.mag, g.mag_error)
        shift = np.nan_to_num(fit.phase(1)) / (2 * np.pi)
        made = {}
        for band, n in (("G", N_HARMONICS), ("BP", 3), ("RP", 3)):
            curves = self.curves[band]
            counts = np.diff(curves.offsets)
            mask = np.arange(max(counts.max(), 1)) < counts[:, None]
            phase, mag = np.zeros(mask.shape), np.zeros(mask.shape)
            phase[mask], mag[mask] = self.phases(band, drift, shift), curves.mag
            made[band] = Said(*harmonic_information(phase, mag, counts, n))
        return made, np.asarray(fit.scatter)

    def refined(self) -> FloatArray:
        """Linear drift that the best period within 1.5 / baseline amounts to, where the curve knows it well."""
        g = self.curves["G"]
        period, error = refine_periods(g.offsets, g.time, g.mag, g.mag_error, self.period)
        ends = self.half * (1 / period - 1 / self.period)
        sure = np.isfinite(ends) & (self.half * error / self.period**2 < 0.05)
        return np.column_stack([np.where(sure, ends, 0.0), np.zeros(len(ends))])

    def drifted(self) -> FloatArray:
        """Linear and quadratic drift with the least robust residuals, a prior of width 0.05 cycle drawing to none.

        Stars without label stay as they are.
        """
        first, second = np.meshgrid(np.arange(-1, 1.001, 0.04), np.arange(-0.6, 0.601, 0.04), indexing="ij")
        trials = np.column_stack([first.ravel(), second.ravel()])
        g, out = self.curves["G"], np.zeros((len(self.period), 2))
        for star in np.flatnonzero(self.fold >= 0):
            here = slice(*g.offsets[star : star + 2])
            x = (g.time[here] - self.middle[star]) / self.half[star]
            cycles = (g.time[here] - self.middle[star]) / self.period[star]
            if len(x) >= 15:
                out[star] = _least(cycles, x, g.mag[here], trials)
        return out


def _cleaned(curves: LightCurves) -> LightCurves:
    return curves.select_points(plausible_points(curves.offsets, curves.mag, curves.mag_error))


def _least(cycles: FloatArray, x: FloatArray, mag: FloatArray, trials: FloatArray) -> FloatArray:
    """The trial drift with the least sum of Cauchy's function over residuals of three harmonics."""
    phase = cycles + trials[:, :1] * x + trials[:, 1:] * x**2
    waves = 2 * np.pi * phase[..., None] * np.arange(1, 4)
    basis = np.concatenate([np.ones((*phase.shape, 1)), np.cos(waves), np.sin(waves)], axis=-1)
    prior = np.diag([1e-10, *np.tile(np.arange(1, 4) ** 3 / 0.2**2 * 1e-4, 2)])
    y, weight = mag - np.median(mag), np.ones(phase.shape)
    for _ in range(3):
        weighted = basis * weight[..., None]
        normal = np.swapaxes(weighted, 1, 2) @ basis + prior
        solved = np.linalg.solve(normal, np.einsum("gnd,n->gd", weighted, y)[..., None])
        residual = y - (basis @ solved)[..., 0]
        noise = 1.4826 * np.median(np.abs(residual), axis=1) + 0.002
        weight = 1 / (1 + (residual / (2.5 * noise[:, None])) ** 2)
    cost = 2 * np.log1p((residual / (2.4 * noise.min() + 0.004)) ** 2).sum(axis=1)
    return np.asarray(trials[np.argmin(cost + 2 * np.log1p((trials / 0.05) ** 2).sum(axis=1))])


# ---------------------------------------------------------------------- bands
def side_by_side(*parts: Said) -> Said:
    """Coefficients of several bands as further coordinates."""
    ends = np.cumsum([0, *(part.vector.shape[1] for part in parts)])
    information = np.zeros((len(parts[0].vector), ends[-1], ends[-1]))
    for part, a, b in zip(parts, ends[:-1], ends[1:], strict=True):
        information[:, a:b, a:b] = part.information
    return Said(information, *(np.concatenate([part[i] for part in parts], axis=1) for i in (1, 2)))


def one_shape(bands: dict[str, Said], learn: BoolArray) -> Said:
    """One curve of all bands: harmonic k of BP and RP is that of G times a complex factor, which scatters.

    Factors and scatters are learnt from the stars ``learn``, without labels.
    """
    information, vector = bands["G"].information.copy(), bands["G"].vector.copy()
    for band in ("BP", "RP"):
        other = bands[band]
        n = other.vector.shape[1]
        g = bands["G"].coefficients[:, :n]
        turned = np.zeros((len(g), n, n))  # other = turned . factors
        for k in range(0, n, 2):
            turned[:, k, k], turned[:, k, k + 1], turned[:, k + 1, k], turned[:, k + 1, k + 1] = (
                g[:, k], -g[:, k + 1], g[:, k + 1], g[:, k],
            )  # fmt: skip
        normal = np.einsum("nij,nik,nkl->jl", turned[learn], other.information[learn], turned[learn])
        factor = np.linalg.solve(normal, np.einsum("nij,ni->j", turned[learn], other.vector[learn]))
        seen = learn & (np.linalg.eigvalsh(other.information)[:, 0] > 0.03**-2)
        own = np.linalg.inv(other.information[seen])
        residual = np.einsum("nij,nj->ni", own, other.vector[seen]) - turned[seen] @ factor
        excess = np.median(residual**2, axis=0) / 0.455 - np.median(np.einsum("nii->ni", own), axis=0)
        scatter = np.diag(np.maximum(excess.reshape(-1, 2).mean(axis=1), 0.002**2).repeat(2))
        amplitude = np.hypot(factor[::2], factor[1::2])
        spread = np.sqrt(np.diag(scatter)[::2])
        print(f"- {band}: amplitudes over those of G {amplitude.round(2)}, scatter about that [mag] {spread.round(3)}")
        to_other = np.zeros((n, n))
        for k in range(0, n, 2):
            a, b = factor[k : k + 2]
            to_other[k : k + 2, k : k + 2] = [[a, -b], [b, a]]
        less = np.linalg.inv(np.eye(n) + other.information @ scatter)
        information[:, :n, :n] += to_other.T @ less @ other.information @ to_other
        vector[:, :n] += np.einsum("ji,njk,nk->ni", to_other, less, other.vector)
    return Said(information, vector, bands["G"].coefficients)


# ---------------------------------------------------------------------- scores
def predicted(
    stars: Stars, said: Said, *, extra: BoolArray | None = None, feh: FloatArray | None = None, **params: Any
) -> FloatArray:
    """Out-of-fold predictions (N,); ``extra``: stars without label that teach the density of curves and periods."""
    feh = stars.feh if feh is None else feh
    error = params.pop("label_error", 0.05)
    out, own = np.full(len(feh), np.nan), stars.fold >= 0
    for fold in range(N_FOLDS):
        score, train = np.flatnonzero(stars.fold == fold), np.flatnonzero(own & (stars.fold != fold))
        model = Mixtures(**params)
        model.known = (stars.X.source_id, said)
        y, errors, rows = feh[train], np.full(len(train), error), train
        if extra is not None:
            rows = np.concatenate([train, np.flatnonzero(extra)])
            basis = np.column_stack([np.ones(len(feh)), stars.period, said.coefficients])
            slope = np.linalg.lstsq(basis[train], y, rcond=None)[0]
            y = np.concatenate([y, basis[rows[len(train) :]] @ slope])  # where clusters start; it does not teach
            errors = np.concatenate([errors, np.full(len(rows) - len(train), UNKNOWN)])
        model.label_error = errors
        model.fit(stars.X[rows], y)
        out[score] = model.predict(stars.X[score])
    return out


def row(name: str, stars: Stars, values: FloatArray, plain: FloatArray) -> dict[str, Any]:
    """Scores of one line, beside the first line of its table."""
    off, before = values - stars.feh, plain - stars.feh
    early, late = np.isin(stars.fold, (0, 1)), stars.fold >= 2

    def rmse(where: BoolArray) -> float:
        return float(np.sqrt(np.mean(off[where] ** 2)))

    own = early | late
    ones = np.ones(int(own.sum()))
    ratio = compare_blocks(off[own] ** 2, before[own] ** 2, ones, 0.0).ratio
    absolute = np.abs(off[own]).mean() / np.abs(before[own]).mean()
    return {
        "variation": name, "n": int(own.sum()), "rmse": rmse(own), "folds 0, 1": rmse(early), "folds 2-4": rmse(late),
        "mae": float(np.abs(off[own]).mean()),
        "robust_sd": float(1.4826 * np.median(np.abs(off[own] - np.median(off[own])))),
        "ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high, "mae ratio": float(absolute),
    }  # fmt: skip


def trial(stars: Stars, data: Path, *, rrc: bool, n_members: int) -> None:
    """The table of variations; for RRc also errors in bins, and the floor."""
    usual = {"n_members": n_members}
    still, scatter = stars.said(np.zeros((len(stars.period), 2)))
    plain = predicted(stars, still["G"], **usual)
    made = {"G alone": plain, "the same, other random numbers": predicted(stars, still["G"], seed=1, **usual)}
    learn = stars.fold >= 0
    made["G, RP and BP as one shape"] = predicted(stars, one_shape(still, learn), **usual)
    lowest = side_by_side(still["G"], still["RP"].lowest(1), still["BP"].lowest(1))
    made["G, first harmonics of RP and BP beside"] = predicted(stars, lowest, **usual)
    if rrc:
        half = side_by_side(still["G"], still["RP"].lowest(2), still["BP"].lowest(2))
        made["G, two harmonics of RP and BP beside"] = predicted(stars, half, **usual)
    refined, _ = stars.said(stars.refined())
    made["G, periods refined"] = predicted(stars, refined["G"], **usual)
    if rrc:
        bent, straight = stars.said(stars.drifted())
        before, after = (float(np.nanmedian(one[learn])) for one in (scatter, straight))
        print(f"- median scatter of the points in G {before:.4f} mag, about a drifting phase {after:.4f} mag")
        made["G, periods refined and drifting"] = predicted(stars, bent["G"], **usual)
        made["the same, RP and BP as one shape"] = predicted(stars, one_shape(bent, learn), **usual)
        made["G, 3 components"] = predicted(stars, still["G"], n_components=3, **usual)
        made["G, 5 components"] = predicted(stars, still["G"], n_components=5, **usual)
        made["G, 14 components"] = predicted(stars, still["G"], n_components=14, **usual)
        made["G, 3 harmonics"] = predicted(stars, still["G"].lowest(3), **usual)
        made["G, label error 0.15 dex"] = predicted(stars, still["G"], label_error=0.15, **usual)
        extra = stars.fold < 0
        made[f"G, {int(extra.sum())} unlabelled stars besides"] = predicted(stars, still["G"], extra=extra, **usual)
    print()
    print(markdown(pd.DataFrame([row(name, stars, values, plain) for name, values in made.items()])), flush=True)
    if rrc:
        in_bins(stars, made, plain)
        floor(stars, still["G"], bent["G"], plain, data, usual)


def in_bins(stars: Stars, made: dict[str, FloatArray], plain: FloatArray) -> None:
    print("\nrmse in bins, and the ratio to G alone:\n")
    quality = {
        "G [mag]": (stars.table["zero_point"], (0, 16, 17, 18, 99)),
        "epochs": (stars.table["n_epochs"], (0, 30, 40, 50, 999)),
        "error of phi31 [rad]": (stars.table["phi31_error"], (0, 0.25, 0.45, 0.8, 99)),
    }
    names, rows = ("G, RP and BP as one shape", "G, periods refined and drifting"), []
    for what, (column, limits) in quality.items():
        for low, high in pairwise(limits):
            here = (stars.fold >= 0) & ((column >= low) & (column < high)).to_numpy()
            squares = {name: (made[name] - stars.feh)[here] ** 2 for name in ("G alone", *names)}
            line: dict[str, Any] = {"bin": f"{what} {low} to {high}", "n": int(here.sum())}
            for name, values in squares.items():
                line[name] = float(np.sqrt(values.mean()))
            for name in names:
                found = compare_blocks(squares[name], squares["G alone"], np.ones(len(values)), 0.0).ratio
                line[f"ratio, {name}"] = f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
            rows.append(line)
    print(markdown(pd.DataFrame(rows)))
    squares = np.sort((plain - stars.feh)[stars.fold >= 0] ** 2)[::-1]
    total = squares.sum()
    shares = ", ".join(f"{n}: {squares[:n].sum() / total:.2f}" for n in (5, 10, 20, 40))
    print(f"\nShare of the squared error in the worst stars: {shares}")


# ---------------------------------------------------------------------- floor
def floor(stars: Stars, g: Said, bent: Said, plain: FloatArray, data: Path, usual: dict[str, Any]) -> None:
    """Curves that have the I-band shape itself, with and without the noise of each star's G curve."""
    labels = pd.read_parquet(data / "ogle-i-band" / "gaia_dr3_rrc.parquet").set_index("source_id")
    labels = labels.reindex(stars.X.source_id)
    own = stars.fold >= 0
    well = own & (stars.table["phi31_error"] < 0.25).to_numpy()
    larger = np.median((np.hypot(g.coefficients[:, 0], g.coefficients[:, 1]) / labels["a1_i"].to_numpy())[well])
    third = np.median((np.hypot(g.coefficients[:, 4], g.coefficients[:, 5]))[well])
    phi21 = np.angle(np.sum((g.coefficients[:, 2] - 1j * g.coefficients[:, 3])[well]))
    a1, a2, phi31 = (labels[name].to_numpy(float) for name in ("a1_i", "a2_i", "phi31_i"))
    waves = np.stack([larger * a1, larger * a2 * np.exp(1j * phi21), third * np.exp(1j * phi31)], axis=1)
    true = np.zeros(g.vector.shape)
    true[:, 0:6:2], true[:, 1:6:2] = np.nan_to_num(waves.real), np.nan_to_num(-waves.imag)
    draw = np.random.default_rng(0).normal(size=true.shape)
    prior = np.diag(np.repeat(np.arange(1, N_HARMONICS + 1) ** 3 / 0.2**2, 2))
    rows = [{"curve": "the real one", "noise": "its own"} | _brief(stars, plain, well)]
    for name, said, sharper in (
        ("that of G", g, 1.0), ("what drifts leave of it", bent, 1.0), ("half of it", g, 4.0), ("1 % of it", g, 1e4)
    ):  # fmt: skip
        information = sharper * said.information
        root = np.linalg.cholesky(information + 1e-6 * np.eye(true.shape[1]))
        vector = np.einsum("nij,nj->ni", information, true) + np.einsum("nij,nj->ni", root, draw)
        ridge = np.linalg.solve(information + prior, vector[..., None])[..., 0]
        made = predicted(stars, Said(information, vector, ridge), **usual)
        rows.append({"curve": "the I-band shape", "noise": name} | _brief(stars, made, well))
    print("\nCurves made of the A1, A2 and phi31 behind each star's own label, with the noise of its G curve:\n")
    print(markdown(pd.DataFrame(rows)))
    basis = np.column_stack([np.ones(len(a1)), stars.period, a1, a2, phi31, np.cos(phi31), np.sin(phi31)])
    linear = basis @ np.linalg.lstsq(basis[own], stars.feh[own], rcond=None)[0]
    print("\nOf the label itself (standard deviations over the stars, in dex):\n")
    parts = {"10.014 P": 10.014 * stars.period, "13.835 A1": 13.835 * a1, "34.704 A2": 34.704 * a2}
    parts["0.325 phi31"] = stars.feh + parts["10.014 P"] - parts["13.835 A1"] + parts["34.704 A2"]
    parts |= {"label": stars.feh, "label minus a fit linear in P, A1, A2, phi31": stars.feh - linear}
    print(markdown(pd.DataFrame([{k: float(np.std(v[own])) for k, v in parts.items()}])))


def _brief(stars: Stars, values: FloatArray, well: BoolArray) -> dict[str, float]:
    off, own = values - stars.feh, stars.fold >= 0
    size = {"rmse": own, "rmse, phi31 to 0.25 rad": well, "rmse, others": own & ~well}
    return {name: float(np.sqrt(np.mean(off[where] ** 2))) for name, where in size.items()}


if __name__ == "__main__":
    main()
