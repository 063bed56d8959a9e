from __future__ import annotations

import numpy as np
import pytest
from astropy.timeseries import LombScargle
from hypothesis import given, settings
from hypothesis import strategies as st

from photfeh.signal.clean import plausible_points
from photfeh.signal.fold import align_phases, fold_times, max_phase_gap
from photfeh.signal.fourier import FourierFit, evaluate_series, fit_fourier, regularised_harmonics
from photfeh.simulation.survey import simulate

AMPLITUDES, PHASES = np.array([0.3, 0.15, 0.1]), np.array([0.4, 2.0, -1.0])


def series(phase: np.ndarray) -> np.ndarray:
    k = np.arange(1, 4)[:, None]
    return 15.0 + (AMPLITUDES[:, None] * np.cos(2 * np.pi * k * phase + PHASES[:, None])).sum(axis=0)


def fit(phase, mag, error=None, **options):
    error = np.full(len(phase), np.nan) if error is None else error
    return fit_fourier(np.array([0, len(phase)]), phase, mag, error, **options)


def test_a_noise_free_series_is_recovered(rng):
    phase = np.sort(rng.random(40))
    result = fit(phase, series(phase))
    assert result.amplitude(1)[0] == pytest.approx(0.3, abs=1e-6)
    assert result.ratio(2)[0][0] == pytest.approx(0.5, abs=1e-6)
    assert result.phase_difference(3)[0][0] == pytest.approx((-1.0 - 1.2) % (2 * np.pi), abs=1e-5)
    grid = np.arange(50) / 50
    assert np.allclose(evaluate_series(result.coefficients, grid)[0], series(grid), atol=1e-5)
    fine = np.arange(200_000) / 200_000
    assert result.peak_to_peak[0] == pytest.approx(np.ptp(series(fine)), abs=2e-3)
    assert result.max_phase[0] == pytest.approx(fine[np.argmin(series(fine))], abs=1e-3)


def test_fixed_order_equals_astropy_on_clean_data(rng):
    """The least-squares solution of an independent package, with weights."""
    phase, error = np.sort(rng.random(60)), 0.02 + 0.02 * rng.random(60)
    mag = series(phase) + 0.02 * rng.normal(size=60)
    result = fit(phase, mag, error)
    order = int(result.order[0])
    weight = 1 / (error**2 + np.maximum(0.005, 0.5 * np.median(error)) ** 2) * np.maximum(result.point_weight, 1e-12)
    reference = LombScargle(phase, mag, 1 / np.sqrt(weight), nterms=order, fit_mean=True, center_data=False)
    grid = np.arange(32) / 32
    # the last re-weighting changes the points' weights a little after the fit that used them
    assert np.abs(evaluate_series(result.coefficients, grid)[0] - reference.model(grid, 1.0)).max() < 2e-3


def test_outliers_do_not_steer_the_fit_and_are_counted(rng):
    phase = np.sort(rng.random(50))
    mag = series(phase) + 0.005 * rng.normal(size=50)
    spoiled = mag.copy()
    spoiled[[3, 20, 41]] += [0.8, -0.9, 0.7]
    result = fit(phase, spoiled)
    assert result.n_rejected[0] == 3
    assert result.phase_difference(3)[0][0] == pytest.approx((-1.0 - 1.2) % (2 * np.pi), abs=0.15)


def test_quoted_errors_cover_the_truth(rng):
    """phi31 and A1 of 2,000 saw-teeth in Gaussian noise lie within one quoted error for 68 % of them, give or take."""
    n_stars, n, k = 2000, 45, np.arange(1, 9)[:, None]
    phase = np.sort(rng.random((n_stars, n)), axis=1).ravel()
    mag = 15 + (0.35 * 0.6 ** (k - 1) * np.cos(2 * np.pi * k * phase + 1.5 * k)).sum(axis=0)
    sigma = np.full(phase.shape, 0.02)
    result = fit_fourier(np.arange(n_stars + 1) * n, phase, mag + sigma * rng.normal(size=len(phase)), sigma)
    phi31, error = result.phase_difference(3)
    pull = ((phi31 + np.pi) % (2 * np.pi) - np.pi) / error
    assert 0.65 < np.mean(np.abs(pull) < 1) < 0.74
    pull = (result.amplitude(1) - 0.35) / result.amplitude_error(1)
    assert 0.65 < np.mean(np.abs(pull) < 1) < 0.74


def test_errors_of_phi31_cover_the_truth_of_survey_stars():
    """68 % +/- 3 % overall, and nearly so by type, number of epochs and modulation."""
    sky = simulate(9000, seed=23)
    curves, stars = sky.curves, sky.stars
    phase = fold_times(curves.offsets, curves.time, stars["period"].to_numpy())
    result = fit_fourier(curves.offsets, phase, curves.mag, curves.mag_error)
    phi31, error = result.phase_difference(3)
    inside = np.abs((phi31 - stars["true_phi31"].to_numpy() + np.pi) % (2 * np.pi) - np.pi) < error
    known, rrab = np.isfinite(error), (stars["type"] == "RRab").to_numpy()
    assert known.mean() > 0.99
    assert abs(inside[known].mean() - 0.68) <= 0.03
    steady = np.hypot(stars["true_amplitude_modulation"], 2 * np.pi * stars["true_phase_modulation"]) < 0.04
    for kind in (rrab, ~rrab):
        assert abs(inside[known & kind].mean() - 0.68) <= 0.04
        assert abs(inside[known & kind & steady].mean() - 0.68) <= 0.04
        for low, high in ((0, 30), (30, 50), (50, 1000)):
            here = known & kind & (low <= curves.n_epochs) & (curves.n_epochs < high)
            assert abs(inside[here].mean() - 0.68) <= 0.06, (low, high, inside[here].mean())


def test_phase_error_of_a_faint_harmonic_is_that_of_a_direction(rng):
    """A vector of length 2 in unit noise: its phase is within arcsin(1 / length) for 68 %, within 1 / length less."""
    vector = 2 + rng.normal(size=100_000) + 1j * rng.normal(size=100_000)
    first = 1 / np.abs(vector)
    covariance = np.zeros((len(vector), 7, 7))
    covariance[:, 5, 5] = covariance[:, 6, 6] = 1.0
    coefficients = np.zeros((len(vector), 21))
    coefficients[:, 1], coefficients[:, 5], coefficients[:, 6] = 1.0, vector.real, -vector.imag
    none = np.zeros(len(vector))
    rejected = np.zeros(len(vector), np.int64)
    fit = FourierFit(np.full(len(vector), 3), coefficients, covariance, none, rejected, none, none, none)
    phi31, error = fit.phase_difference(3)
    off = np.abs((phi31 + np.pi) % (2 * np.pi) - np.pi)
    assert np.mean(off < error) == pytest.approx(0.683, abs=0.02)
    assert np.mean(off < first) < 0.655


def test_order_rises_with_what_the_data_can_carry(rng):
    phase = np.sort(rng.random(100))
    assert fit(phase, series(phase) + 0.003 * rng.normal(size=100)).order[0] == 3
    few = np.sort(rng.random(9))
    assert fit(few, series(few)).order[0] <= 3
    gap = np.sort(0.45 * rng.random(60))
    assert fit(gap, series(gap)).order[0] == 1


def test_too_few_points_give_nan():
    phase = np.array([0.1, 0.5, 0.9])
    result = fit(phase, series(phase))
    assert result.order[0] == 0
    assert np.isnan(result.amplitude(1)[0])
    assert np.isnan(result.phase_difference(3)[0][0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(-5, 5), st.floats(0, 1))
def test_a_constant_shifts_only_the_zero_point_and_a_phase_shift_no_difference(seed, constant, shift):
    rng = np.random.default_rng(seed)
    phase = rng.random(40)
    mag = series(phase) + 0.01 * rng.normal(size=40)
    one = fit(phase, mag)
    order = rng.permutation(40)
    moved = (phase[order] + shift) % 1.0
    two = fit(moved, mag[order] + constant)
    if one.order[0] != two.order[0]:
        return  # a tie of the information criterion may fall either way
    assert two.coefficients[0, 0] - one.coefficients[0, 0] == pytest.approx(constant, abs=1e-4)
    assert two.amplitude(1)[0] == pytest.approx(one.amplitude(1)[0], abs=1e-4)
    difference = two.phase_difference(3)[0][0] - one.phase_difference(3)[0][0]
    assert abs((difference + np.pi) % (2 * np.pi) - np.pi) < 5e-3


def test_the_prior_shrinks_sparse_curves_and_leaves_rich_ones(rng):
    rich, sparse = np.sort(rng.random(400)), np.sort(rng.random(10))
    phase, offsets = np.concatenate([rich, sparse]), np.array([0, 400, 410])
    mag = series(phase) + 0.02 * rng.normal(size=410)
    out = regularised_harmonics(offsets, phase, mag, np.ones(410), np.full(2, 0.02))
    truth = np.hypot(*out[0, [5, 6]])
    assert truth == pytest.approx(0.1, abs=0.01)
    free = regularised_harmonics(offsets, phase, mag, np.ones(410), np.full(2, 0.02), prior_amplitude=100.0)
    assert np.abs(out[1, 7:]).sum() < 0.8 * np.abs(free[1, 7:]).sum()
    # the posterior mean in closed form
    k = np.repeat(np.arange(1.0, 7), 2)
    angle = 2 * np.pi * sparse[:, None] * np.arange(1, 7)
    design = np.ones((10, 13))
    design[:, 1::2], design[:, 2::2] = np.cos(angle), np.sin(angle)
    precision = np.diag(np.concatenate([[0.0], (0.2 * k**-1.5) ** -2.0])) * 0.02**2
    assert np.allclose(out[1], np.linalg.solve(design.T @ design + precision, design.T @ mag[400:]), atol=1e-6)
    assert np.isnan(regularised_harmonics(offsets, phase, mag, np.ones(410), np.array([np.nan, 0.02]))[0]).all()


def test_folding_ignores_the_zero_point_and_whole_periods(rng):
    time = np.sort(rng.random(30) * 900) + 1700
    offsets, period = np.array([0, 30]), np.array([0.5432])
    phase = fold_times(offsets, time, period)
    assert ((phase >= 0) & (phase < 1)).all()
    later = fold_times(offsets, time + 17 * 0.5432, period)
    assert np.allclose(np.exp(2j * np.pi * later), np.exp(2j * np.pi * phase), atol=1e-8)
    assert (fold_times(offsets, time, np.array([np.nan])) == 0).all()


def test_alignment_and_gaps():
    offsets = np.array([0, 3, 4, 4])
    phase = np.array([0.1, 0.5, 0.95, 0.3])
    assert max_phase_gap(offsets, phase) == pytest.approx([0.45, 1.0, 1.0])
    assert align_phases(offsets, phase, np.array([0.1, np.nan, 0.0])) == pytest.approx([0.2, 0.6, 0.05, 0.3])


def test_implausible_points_are_dropped():
    mag = np.array([15.0, 15.2, 19.0, 15.1, 15.05])
    error = np.array([0.01, np.nan, 0.01, 0.9, 0.01])
    assert plausible_points(np.array([0, 5]), mag, error).tolist() == [True, True, False, False, True]


@pytest.mark.real
def test_phi31_agrees_with_gaia(real_data):
    import pandas as pd

    from photfeh.readers import read_lightcurves, read_stars
    from photfeh.samples.measure import measure

    stars = read_stars(real_data / "gaia-dr3" / "stars.parquet")
    stars = stars[stars["gaia_phi31_g"].notna()].reset_index(drop=True)
    curves = read_lightcurves(real_data / "gaia-dr3" / "epoch_photometry.parquet")
    table = measure(curves, stars).table
    difference = (table["phi31"] - pd.to_numeric(stars["gaia_phi31_g"]) + np.pi) % (2 * np.pi) - np.pi
    assert difference.notna().sum() >= 30
    assert np.nanmedian(np.abs(difference)) <= 0.06
