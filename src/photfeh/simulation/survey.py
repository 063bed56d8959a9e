"""A simulated Gaia survey of RR Lyrae stars whose light curves, and hence [Fe/H], are known in closed form.

The constants are fitted to real Gaia DR3 stars by ``benchmarks/fit_simulation.py``; docs/simulation.md says how each
was found and how well the result agrees. Stars come in blocks of 1,000, each from random streams of its own, so that
star ``i`` of a seed is the same whatever the number of stars or the size of the chunks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photfeh.core.errors import BadInput
from photfeh.core.files import naming
from photfeh.core.lightcurves import LightCurves
from photfeh.core.types import FloatArray, IntArray
from photfeh.samples.relations import RELATIONS
from photfeh.signal.fourier import evaluate_series
from photfeh.simulation.draws import (
    constants,
    draw_epochs,
    draw_noise_levels,
    draw_points,
    draw_shapes,
    from_quantiles,
    modulated_curve,
)

__all__ = ["Simulation", "iter_simulate", "simulate", "true_curve", "write_simulation"]


GAIA_G_ZERO_POINT = 25.6873668671
"""G = zero point - 2.5 log10(flux [e-/s]), Gaia DR3, Vega scale (Riello+ 2021, A&A 649, A3)."""

_BLOCK = 1_000
_FIRST_ID = 4_000_000_000_000_000_001  # beyond 2**53 like a real source_id, so that a detour through floats is caught
_ID_STEP = 1_000_003
_RELATION = {"RRab": RELATIONS["muraveva-2025-rrab"], "RRc": RELATIONS["muraveva-2025-rrc"]}


@dataclass(frozen=True, eq=False)
class Simulation:
    """N simulated stars.

    ``curves``: light curves as the archive would give them after its quality flags. ``stars``: one row a star, in the
    same order: source_id, period [d], type, feh and feh_error [dex], and the truth: true_epoch (time [d] of phase 0,
    where phi1 = 0), true_mean_mag, true_peak_to_peak, true_a1, true_a2, true_a3 [mag], true_r21, true_r31,
    true_phi21, true_phi31 [rad, cosine series], true_noise [mag] (scatter beyond the quoted errors),
    true_amplitude_modulation (fraction), true_phase_modulation [cycle], true_modulation_period [d].
    ``coefficients`` (N, 17): zp, a_1, b_1, ..., a_8, b_8 [mag] of the noise-free curve.

    ``feh`` is the relation of Muraveva+ 2025 at the true period, phi31 and A2, exactly; ``feh_error`` the error that
    relation gives for the errors of phi31 and A2 to be expected from the star's own epochs and noise.
    """

    curves: LightCurves
    stars: pd.DataFrame
    coefficients: FloatArray

    def __len__(self) -> int:
        return len(self.stars)

    def __repr__(self) -> str:
        return f"Simulation({len(self)} stars, {len(self.curves.time)} points)"

    def rows(self, rows: slice) -> Simulation:
        """A run of stars, in order."""
        return Simulation(self.curves[rows], self.stars.iloc[rows].reset_index(drop=True), self.coefficients[rows])


def simulate(
    n_stars: int, *, seed: int = 0, rrc_fraction: float = 0.35, n_epochs: int | None = None, noise: float | None = None
) -> Simulation:
    """Draw a survey of RRab and RRc stars as Gaia would see them.

    Parameters
    ----------
    n_stars : int
        Number of stars. Stars of a smaller survey are the first stars of a larger one with the same seed.
    seed : int
        Same seed and settings, same survey.
    rrc_fraction : float
        Fraction of first-overtone stars (0.35 in Gaia DR3: 93,952 of 268,899; Clementini+ 2023, A&A 674, A18).
    n_epochs : int, optional
        Give every star so many epochs instead of the real spread (13 to 130).
    noise : float, optional
        Gaussian noise of this size [mag] on every point in place of Gaia's noise, modulation and outliers. With 0 the
        points lie on the curve and their errors are unknown (NaN).

    Raises
    ------
    BadInput
        if an argument is out of range; names it.
    """
    return next(
        iter_simulate(
            n_stars, chunk=max(n_stars, 1), seed=seed, rrc_fraction=rrc_fraction, n_epochs=n_epochs, noise=noise
        )
    )


def iter_simulate(
    n_stars: int,
    *,
    chunk: int = 20_000,
    seed: int = 0,
    rrc_fraction: float = 0.35,
    n_epochs: int | None = None,
    noise: float | None = None,
) -> Iterator[Simulation]:
    """The stars of :func:`simulate` in order, ``chunk`` at a time (the last chunk may hold fewer).

    Memory grows with ``chunk``, not with ``n_stars``.

    Raises
    ------
    BadInput
        if an argument is out of range; names it.
    """
    _check(n_stars, chunk, seed, rrc_fraction, n_epochs, noise)
    return _chunks(n_stars, chunk, (seed, rrc_fraction, n_epochs, noise))


def true_curve(simulation: Simulation, phases: npt.ArrayLike) -> FloatArray:
    """Noise-free magnitudes of every star at common phases: (T,) -> (N, T) [mag].

    Phase is (time - true_epoch) / period, so that phi1 = 0 as in :func:`photfeh.samples.measure.measure`.
    """
    return evaluate_series(simulation.coefficients, np.asarray(phases, np.float64))


def write_simulation(
    n_stars: int,
    folder: str | Path,
    *,
    seed: int = 0,
    rrc_fraction: float = 0.35,
    n_epochs: int | None = None,
    noise: float | None = None,
) -> None:
    """Write ``epochs.parquet`` and ``stars.parquet`` as if downloaded, a few thousand stars at a time.

    ``epochs.parquet`` has the columns of the Gaia archive's long layout: source_id, transit_id, band, time, mag, flux,
    flux_error, flux_over_error, rejected_by_photometry, rejected_by_variability; one row group holds 2,000 whole
    stars. Besides the points of :func:`simulate` it holds points that the archive flags, which a reader must drop:
    some without time and magnitude, some far from the curve. ``stars.parquet`` is ``Simulation.stars``.

    Parameters
    ----------
    n_stars, seed, rrc_fraction, n_epochs, noise
        As in :func:`simulate`.
    folder : str or Path
        Made if absent; files of these names are replaced.

    Raises
    ------
    BadInput
        if an argument is out of range; names it.
    """
    parts = iter_simulate(
        n_stars, chunk=2 * _BLOCK, seed=seed, rrc_fraction=rrc_fraction, n_epochs=n_epochs, noise=noise
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = ("epochs.parquet", "stars.parquet")
    unfinished = [folder / f"{name}.part" for name in names]
    writers: list[pq.ParquetWriter] = []
    try:
        for index, part in enumerate(parts):
            # a stream of its own, so that flagged points do not depend on how the stars were drawn
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, 0, 0)))
            tables = (_epoch_table(part, rng), pa.Table.from_pandas(part.stars, preserve_index=False))
            if not writers:
                writers = [
                    pq.ParquetWriter(path, table.schema, compression="zstd")
                    for path, table in zip(unfinished, tables, strict=True)
                ]
            for writer, table in zip(writers, tables, strict=True):
                with naming(folder):
                    writer.write_table(table)
        for writer, path, name in zip(writers, unfinished, names, strict=True):
            with naming(folder):
                writer.close()
            path.replace(folder / name)
    finally:
        for writer, path in zip(writers, unfinished, strict=False):
            with suppress(OSError):  # on a full disk even closing fails
                writer.close()
            path.unlink(missing_ok=True)


# ---------------------------------------------------------------------- one block after another
def _check(n_stars: int, chunk: int, seed: int, rrc_fraction: float, n_epochs: int | None, noise: float | None) -> None:
    if n_stars < 1:
        raise BadInput(f"n_stars must be at least 1, found {n_stars}.")
    if chunk < 1:
        raise BadInput(f"chunk must be at least 1 star, found {chunk}.")
    if seed < 0:
        raise BadInput(f"seed must be 0 or more, found {seed}.")
    if not 0 <= rrc_fraction <= 1:
        raise BadInput(f"rrc_fraction must lie between 0 and 1, found {rrc_fraction}.")
    if n_epochs is not None and n_epochs < 1:
        raise BadInput(f"n_epochs must be at least 1, found {n_epochs}. Leave it out for Gaia's own spread.")
    if noise is not None and not (noise >= 0 and math.isfinite(noise)):
        raise BadInput(f"noise must be 0 mag or more, found {noise}. Leave it out for Gaia's own noise.")


def _chunks(n_stars: int, chunk: int, settings: tuple[int, float, int | None, float | None]) -> Iterator[Simulation]:
    waiting: list[Simulation] = []
    for start in range(0, n_stars, _BLOCK):
        waiting.append(_block(start // _BLOCK, *settings).rows(slice(0, n_stars - start)))
        ready = sum(map(len, waiting))
        if ready >= chunk:
            joined = _join(waiting)
            whole = ready - ready % chunk
            for first in range(0, whole, chunk):
                yield joined.rows(slice(first, first + chunk))
            waiting = [joined.rows(slice(whole, ready))] if whole < ready else []
    if waiting:
        yield _join(waiting)


def _join(parts: list[Simulation]) -> Simulation:
    return Simulation(
        LightCurves.concatenate([part.curves for part in parts]),
        pd.concat([part.stars for part in parts], ignore_index=True),
        np.concatenate([part.coefficients for part in parts]),
    )


def _block(index: int, seed: int, rrc_fraction: float, n_epochs: int | None, noise: float | None) -> Simulation:
    """Stars ``1000 * index`` to ``1000 * index + 999`` of a seed."""
    # a stream for each purpose: fixing the epochs or the noise leaves the stars themselves unchanged
    streams = np.random.SeedSequence(seed, spawn_key=(index,)).spawn(3)
    rng_star, rng_time, rng_noise = (np.random.default_rng(stream) for stream in streams)
    stars, coefficients = _draw_stars(rng_star, rrc_fraction)
    stars.insert(0, "source_id", _FIRST_ID + _ID_STEP * (index * _BLOCK + np.arange(_BLOCK)))
    offsets, time = draw_epochs(rng_time, _BLOCK, n_epochs)
    for name, values in draw_noise_levels(rng_noise, stars, noise).items():
        stars[name] = values
    star = np.repeat(np.arange(_BLOCK), np.diff(offsets))
    mag = modulated_curve(rng_noise, stars, coefficients, star, time)
    mag, error = draw_points(rng_noise, stars, star, mag, noise)
    feh, feh_error = _label(stars, offsets, np.zeros(len(mag)) if noise is not None else error)
    stars.insert(3, "feh", feh)
    stars.insert(4, "feh_error", feh_error)
    return Simulation(LightCurves(stars["source_id"].to_numpy(), offsets, time, mag, error), stars, coefficients)


def _draw_stars(rng: np.random.Generator, rrc_fraction: float) -> tuple[pd.DataFrame, FloatArray]:
    """Types, periods, phase zero points, mean magnitudes and Fourier coefficients of one block."""
    overtone = rng.random(_BLOCK) < rrc_fraction
    # both types for every star: the draw of one star must not hang on the type of another
    fundamental, first_overtone = (draw_shapes(rng, kind, _BLOCK) for kind in ("RRab", "RRc"))
    period = np.where(overtone, first_overtone[0], fundamental[0])
    coefficients = np.where(overtone[:, None], first_overtone[1], fundamental[1])
    coefficients[:, 0] = from_quantiles(rng.random(_BLOCK), constants()["magnitude"]["mean"])
    epoch = constants()["epochs"]["first"].min() + period * rng.random(_BLOCK)
    amplitude = np.hypot(coefficients[:, 1::2], coefficients[:, 2::2])
    phi = np.arctan2(-coefficients[:, 2::2], coefficients[:, 1::2])
    curve = evaluate_series(coefficients, np.arange(400) / 400)
    columns = {
        "period": period,
        "type": np.where(overtone, "RRc", "RRab").astype(object),
        "true_epoch": epoch,
        "true_mean_mag": coefficients[:, 0],
        "true_peak_to_peak": np.ptp(curve, axis=1),
        **{f"true_a{k}": amplitude[:, k - 1] for k in (1, 2, 3)},
        **{f"true_r{k}1": amplitude[:, k - 1] / amplitude[:, 0] for k in (2, 3)},
        **{f"true_phi{k}1": np.mod(phi[:, k - 1] - k * phi[:, 0], 2 * np.pi) for k in (2, 3)},
    }
    return pd.DataFrame(columns), coefficients


def _label(stars: pd.DataFrame, offsets: IntArray, error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[Fe/H] from the true parameters, and the error that this star's epochs would leave, each (N,) [dex].

    N evenly spread points of scatter s give var(A_k) = 2 s^2 / N and var(phi_k) = 2 s^2 / (N A_k^2).
    """
    count = np.diff(offsets)
    a1, a2, a3 = (stars[f"true_a{k}"].to_numpy(dtype=np.float64) for k in (1, 2, 3))
    # a modulation of amplitude h adds h^2 / 2 times the variance of the curve, A1^2 / 2; likewise in phase
    modulation = stars["true_amplitude_modulation"] ** 2 + (2 * np.pi * stars["true_phase_modulation"]) ** 2
    scatter2 = np.add.reduceat(error**2, offsets[:-1]) / count + stars["true_noise"] ** 2 + modulation * a1**2 / 4
    variance = 2 * scatter2.to_numpy(dtype=np.float64) / count
    given = pd.DataFrame(
        {
            "period": stars["period"],
            "phi31": stars["true_phi31"],
            "phi31_error": np.sqrt(variance * (a3**-2 + 9 * a1**-2)),
            "a2": a2,
            "a2_error": np.sqrt(variance),
        }
    )
    both = [_RELATION[kind].feh(given) for kind in ("RRab", "RRc")]
    overtone = (stars["type"] == "RRc").to_numpy()
    return np.where(overtone, both[1][0], both[0][0]), np.where(overtone, both[1][1], both[0][1])


# ---------------------------------------------------------------------- the archive's layout
def _epoch_table(part: Simulation, rng: np.random.Generator) -> pa.Table:
    """Points of some stars in the archive's long layout, flagged points among them, ordered by star and time."""
    law = constants()["noise"]
    curves = part.curves
    n = len(curves.time)
    lost, flagged = (np.flatnonzero(rng.random(n) < law[f"{name}_fraction"]) for name in ("lost", "flagged"))
    point = np.concatenate([np.arange(n), lost, flagged])
    is_lost = (np.arange(len(point)) >= n) & (np.arange(len(point)) < n + len(lost))
    is_flagged = np.arange(len(point)) >= n + len(lost)
    # flagged transits fall between good ones; each copies its neighbour's circumstances
    time = curves.time[point] + np.where(is_lost | is_flagged, rng.uniform(0.5, 10.0, len(point)), 0.0)
    size = np.exp(from_quantiles(rng.random(len(point)), law["flagged_log_size"]))
    shift = np.where(rng.random(len(point)) < law["outlier_faint"], size, -size)
    mag = curves.mag[point] + np.where(is_flagged, shift, 0.0)
    error = curves.mag_error[point] * np.where(is_flagged, 3.0, 1.0)
    flux = 10.0 ** (0.4 * (GAIA_G_ZERO_POINT - mag))
    ratio = 1.0857 / error
    order = np.lexsort((time, curves.star_index[point]))
    masked = {"time": time, "mag": mag, "flux": flux, "flux_error": flux / ratio, "flux_over_error": ratio}
    columns = {
        "source_id": curves.source_id[curves.star_index[point]],
        "transit_id": np.rint(law["transit_id"][0] + law["transit_id"][1] * time).astype(np.int64),
        "band": np.full(len(point), "G").astype(object),
        **{name: np.where(is_lost, np.nan, values) for name, values in masked.items()},
        "rejected_by_photometry": is_lost,
        "rejected_by_variability": is_lost | is_flagged,
    }
    return pa.table({name: pa.array(values[order]) for name, values in columns.items()})
