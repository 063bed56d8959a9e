"""The random draws behind :mod:`photfeh.simulation.survey`: curve shapes, epochs and noise of many stars at once.

Every law is a function of the committed constants (``simulation_constants.json``, written by
``benchmarks/fit_simulation.py``) and of a random generator; no star is ever looped over.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.signal.fourier import evaluate_series

__all__ = [
    "N_HARMONICS",
    "constants",
    "draw_epochs",
    "draw_noise_levels",
    "draw_points",
    "draw_shapes",
    "from_quantiles",
    "modulated_curve",
]


N_HARMONICS = 8
"""Order of the noise-free curves: above it Gaia's epochs of a typical star show nothing."""

_FARTHEST = 18.0  # squared distance from the centre of a component, 6 dimensions: 99.4 % lie within

_SPIN = 0.250_256  # d: Gaia turns once in 6 hours ...
_FIELD_STEP = 0.074_012  # d: ... and its second field of view follows the first by 106.5 degrees (1 h 46 min)


@cache
def constants() -> dict[str, Any]:
    """The committed constants; lists of numbers as arrays."""

    def arrays(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: arrays(item) for key, item in value.items()}
        return np.array(value, np.float64) if isinstance(value, list) else value

    text = (files("photfeh.simulation") / "constants.json").read_text(encoding="utf-8")
    found: dict[str, Any] = arrays(json.loads(text))
    return found


def from_quantiles(uniform: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Inverse distribution function, linear between equally spaced quantiles."""
    return np.interp(uniform, np.linspace(0.0, 1.0, len(quantiles)), quantiles)


# ---------------------------------------------------------------------- curve shapes
def draw_shapes(rng: np.random.Generator, kind: str, n: int) -> tuple[FloatArray, FloatArray]:
    """Periods (n,) [d] and coefficients (n, 17) [mag] with zero point 0 and phi1 = 0 for ``kind`` RRab or RRc.

    Proposals are redrawn where no RR Lyrae star looks so.
    """
    shape = constants()["shapes"][kind]
    period, coefficients = np.empty(n), np.empty((n, 2 * N_HARMONICS + 1))
    pending = np.arange(n)
    while len(pending):
        periods, curves = _propose_shapes(rng, shape, len(pending))
        good = _plausible(shape, periods, curves)
        period[pending[good]], coefficients[pending[good]] = periods[good], curves[good]
        pending = pending[~good]
    return period, coefficients


def _propose_shapes(rng: np.random.Generator, shape: dict[str, Any], n: int) -> tuple[FloatArray, FloatArray]:
    """(ln P, A1, R21, R31, phi21, phi31) from a Gaussian mixture, higher harmonics by regression on them.

    A proposal outside the range of the stars fitted, or in the far tail of its component, gets a NaN period.
    """
    component = rng.choice(len(shape["weights"]), n, p=shape["weights"] / shape["weights"].sum())
    normal = rng.standard_normal((n, 6))
    base = shape["means"][component] + np.einsum("nij,nj->ni", shape["factors"][component], normal)
    inside = np.all((base > shape["lower"]) & (base < shape["upper"]), axis=1)
    inside &= (normal**2).sum(axis=1) < _FARTHEST
    log_period, a1, r21, r31, phi21, phi31 = base.T
    regressors = np.column_stack([np.ones(n), (base - shape["centre"]) / shape["scale"]])
    noise = rng.standard_normal((2, n, len(shape["log_ratio"])))
    ratio = np.exp(np.minimum(regressors @ shape["log_ratio"].T + shape["log_ratio_scatter"] * noise[0], 0.0))
    phase = regressors @ shape["phase"].T + shape["phase_scatter"] * noise[1]
    amplitude = a1[:, None] * np.column_stack([np.ones(n), r21, r31, ratio])
    angle = np.column_stack([np.zeros(n), phi21, phi31, phase])
    coefficients = np.zeros((n, 2 * N_HARMONICS + 1))
    order = amplitude.shape[1]
    coefficients[:, 1 : 2 * order : 2] = amplitude * np.cos(angle)
    coefficients[:, 2 : 2 * order + 1 : 2] = -amplitude * np.sin(angle)
    return np.where(inside, np.exp(log_period), np.nan), coefficients


def _plausible(shape: dict[str, Any], period: FloatArray, coefficients: FloatArray) -> BoolArray:
    """Published ranges of period and amplitude, and one rise and one fall a cycle.

    A curve with a single maximum travels twice its peak-to-peak amplitude; ``bumps`` is the excess allowed for the
    small hump that real stars show before the rise (RRab) or at maximum (RRc).
    """
    curve = evaluate_series(coefficients, np.arange(100) / 100)
    swing = np.ptp(curve, axis=1)
    path = np.abs(np.diff(curve, axis=1, append=curve[:, :1])).sum(axis=1)
    low, high = shape["period_limits"]
    good = (period > low) & (period < high) & (swing < shape["max_amplitude"])
    return np.asarray(good & (path < 2.0 * swing * (1.0 + shape["bumps"])))


# ---------------------------------------------------------------------- epochs
def draw_epochs(rng: np.random.Generator, n: int, n_epochs: int | None) -> tuple[IntArray, FloatArray]:
    """Offsets (n + 1,) and sorted times [d]: visits, transits within visits, and some of them lost.

    The classes are parts of the sky that the scan visits rarely (the bulge) to often; gaps and counts go with them.
    """
    law = constants()["epochs"]
    sky = rng.choice(len(law["share"]), n, p=law["share"] / law["share"].sum())
    visit_time, visits = _draw_visits(rng, law, sky)
    wanted = np.rint(_of_class(rng.random(n), law["n_epochs"], sky)).astype(np.int64)
    if n_epochs is not None:
        wanted = np.full(n, n_epochs)
    size = _draw_visit_sizes(rng, law, visits, wanted)
    return _draw_transits(rng, law, visits, visit_time, size, wanted)


def _of_class(uniform: FloatArray, quantiles: FloatArray, row: IntArray) -> FloatArray:
    """:func:`from_quantiles` with the row of ``quantiles`` (R, Q) that each entry belongs to."""
    place = uniform * (quantiles.shape[1] - 1)
    left = np.minimum(place.astype(np.int64), quantiles.shape[1] - 2)
    low, high = quantiles[row, left], quantiles[row, left + 1]
    return np.asarray(low + (place - left) * (high - low))


def _draw_visits(rng: np.random.Generator, law: dict[str, Any], sky: IntArray) -> tuple[FloatArray, IntArray]:
    """Start of every visit, flat, and visits per star (n,): short and long gaps in a Markov chain."""
    n = len(sky)
    time = _of_class(rng.random(n), law["first"], sky)
    after_long = np.zeros(n, bool)
    columns = []
    while np.any(time < law["last"]):
        columns.append(time)
        uniform = rng.random((2, n))
        after_long = uniform[0] < np.where(after_long, law["long_after_long"][sky], law["long_after_short"][sky])
        short, long = (_of_class(uniform[1], law[name], sky) for name in ("short_gap", "long_gap"))
        time = time + np.where(after_long, long, short)
    table = np.column_stack(columns)
    within = table < law["last"]
    return table[within], within.sum(axis=1)


def _draw_visit_sizes(rng: np.random.Generator, law: dict[str, Any], visits: IntArray, wanted: IntArray) -> IntArray:
    """Transits that the scan offers in each visit: one or two, and a few long runs where a star needs more."""
    low, high = law["completeness"]
    offered = np.ceil(wanted / rng.uniform(low, high, len(visits)))
    star = np.repeat(np.arange(len(visits)), visits)
    size = 1 + (rng.random(len(star)) < np.minimum(offered / visits - 1, law["pairs"])[star])
    ends = np.cumsum(visits)
    excess = np.maximum(offered - np.add.reduceat(size, ends - visits), 0.0)
    # shares of a Dirichlet distribution, rounded so that they add up to the whole excess
    total = np.cumsum(rng.gamma(law["concentration"], size=len(star)) + 1e-9)
    before = np.concatenate([[0.0], total])[ends - visits]
    fraction = (total - before[star]) / (total[ends - 1] - before)[star]
    reached = np.floor(excess[star] * fraction + 0.5)
    extra = np.diff(reached, prepend=0.0)
    extra[ends - visits] = reached[ends - visits]
    return np.asarray(size + extra, np.int64)


def _draw_transits(
    rng: np.random.Generator,
    law: dict[str, Any],
    visits: IntArray,
    visit_time: FloatArray,
    size: IntArray,
    wanted: IntArray,
) -> tuple[IntArray, FloatArray]:
    """Transits alternate between the two fields of view; ``wanted`` of each star's, at random, reach the catalogue."""
    second_first = (rng.random(len(size)) > law["first_field_first"]).astype(np.int64)
    visit = np.repeat(np.arange(len(size)), size)
    place = np.arange(len(visit)) - np.repeat(np.cumsum(size) - size, size) + second_first[visit]
    time = visit_time[visit] + (place // 2) * _SPIN + (place % 2) * _FIELD_STEP
    time += 1e-4 * rng.standard_normal(len(time))  # the spin is not perfectly even
    owner = np.repeat(np.arange(len(visits)), visits)[visit]
    shuffled = np.argsort(owner + rng.random(len(time)))  # at random within each star
    rank = np.arange(len(time)) - np.searchsorted(owner, owner)
    kept = shuffled[rank < wanted[owner]]
    time, owner = time[kept], owner[kept]
    in_order = np.argsort(1e5 * owner + time, kind="stable")  # by star, then time
    return np.concatenate([[0], np.cumsum(wanted)]), time[in_order]


# ---------------------------------------------------------------------- magnitudes
def draw_noise_levels(rng: np.random.Generator, stars: pd.DataFrame, noise: float | None) -> dict[str, FloatArray]:
    """Per star: scatter beyond the quoted errors, and slow modulation of amplitude and phase (Blazhko effect).

    Columns true_noise [mag], true_amplitude_modulation, true_phase_modulation [cycle], true_modulation_period [d].
    """
    law = constants()["noise"]
    # lognormal with the far tail bent in: no star is noisier than a few times its kind's own noisiest
    normal = 2.0 * np.tanh(rng.standard_normal((3, len(stars))) / 2.0)
    faint = stars["true_mean_mag"].to_numpy(dtype=np.float64) - 17.0
    overtone = (stars["type"] == "RRc").to_numpy().astype(np.int64)
    levels = {
        "true_noise": np.exp(
            law["excess"][overtone] + law["excess_slope"] * faint + law["excess_spread"][overtone] * normal[0]
        )
    }
    for row, name in ((1, "amplitude_modulation"), (2, "phase_modulation")):
        levels[f"true_{name}"] = np.exp(law[name][overtone] + law[f"{name}_spread"] * normal[row])
    if noise is not None:
        levels = {name: np.full(len(stars), noise if name == "true_noise" else 0.0) for name in levels}
    low, high = np.log(law["modulation_period"])
    levels["true_modulation_period"] = np.exp(rng.uniform(low, high, len(stars)))
    return levels


def modulated_curve(
    rng: np.random.Generator, stars: pd.DataFrame, coefficients: FloatArray, star: IntArray, time: FloatArray
) -> FloatArray:
    """Modulated, otherwise noise-free magnitude of every point; ``star`` (M,) is the row that owns it."""

    def point(name: str) -> FloatArray:
        return stars[name].to_numpy(dtype=np.float64)[star]

    turn = 2 * np.pi * (time / point("true_modulation_period") + rng.random(len(stars))[star])
    lag = 2 * np.pi * rng.random(len(stars))[star]
    phase = (time - point("true_epoch")) / point("period") + point("true_phase_modulation") * np.sin(turn + lag)
    wave = np.exp(2j * np.pi * (phase - np.floor(phase)))
    harmonics = coefficients[:, 1::2] - 1j * coefficients[:, 2::2]
    total = np.zeros(len(time), np.complex128)
    for k in range(N_HARMONICS - 1, -1, -1):  # Horner's rule in exp(2 pi i phase)
        total = (total + harmonics[star, k]) * wave
    swing = 1.0 + point("true_amplitude_modulation") * np.sin(turn)
    return np.asarray(coefficients[star, 0] + swing * total.real)


def draw_points(
    rng: np.random.Generator, stars: pd.DataFrame, star: IntArray, mag: FloatArray, noise: float | None
) -> tuple[FloatArray, FloatArray]:
    """Observed magnitudes and their quoted errors, each (M,) [mag]."""
    normal = rng.standard_normal(len(mag))
    if noise is not None:
        return mag + noise * normal, np.full(len(mag), noise if noise > 0 else np.nan)
    law = constants()["noise"]
    error = _quoted_error(rng, mag, star, len(stars))
    excess = stars["true_noise"].to_numpy(dtype=np.float64)[star]
    observed = mag + np.hypot(error, excess) * normal
    overtone = (stars["type"] == "RRc").to_numpy().astype(np.int64)[star]
    strange = np.flatnonzero(rng.random(len(mag)) < law["outlier_fraction"][overtone])
    uniform = rng.random((2, len(strange)))
    size = np.exp(_of_class(uniform[0], law["outlier_log_size"], overtone[strange]))
    observed[strange] += np.where(uniform[1] < law["outlier_faint"], size, -size)
    return observed, error


def _quoted_error(rng: np.random.Generator, mag: FloatArray, star: IntArray, n: int) -> FloatArray:
    """Errors [mag] as Gaia quotes them: the median at that magnitude times a star's and a transit's own factor."""
    law = constants()["noise"]
    log_error = np.interp(mag, law["error_mag"], law["error_log_median"])
    log_error += law["error_star_spread"] * rng.standard_normal(n)[star]
    return np.asarray(np.exp(log_error + from_quantiles(rng.random(len(mag)), law["error_log_ratio"])))
