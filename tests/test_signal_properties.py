"""What must not matter: the order of points, whole periods, the zero point of magnitudes, points split in two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photfeh.core.lightcurves import LightCurves
from photfeh.core.stars import COLUMNS
from photfeh.samples.measure import measure
from photfeh.signal.fold import fold_times, max_phase_gap, phase_coverage
from photfeh.signal.fourier import fit_fourier, regularised_harmonics
from photfeh.signal.period import check_periods, find_periods, refine_periods
from photfeh.signal.spline import smooth_founding
from photfeh.simulation.survey import simulate

SKY = simulate(40, seed=53)
CLEAN = simulate(40, seed=53, noise=0.02, n_epochs=60)
STAR = st.integers(0, 39)
SEED = st.integers(0, 2**32 - 1)
SHAPE = ["a1", "a2", "a3", "r21", "r31", "phi21", "phi31", "phi31_error", "peak_to_peak", "scatter", "max_phase"]


def circular(difference):
    return np.abs((difference + 0.5) % 1.0 - 0.5)


def period_of(i):
    return SKY.stars["period"].to_numpy()[i : i + 1]


@settings(max_examples=25, deadline=None)
@given(STAR, SEED, st.integers(-3000, 3000), st.floats(-3, 3))
def test_measured_shape_depends_on_the_curve_alone(i, seed, cycles, shift):
    """Permuted points, whole periods later, another zero point: the same row of the star table."""
    one, stars = SKY.curves[i : i + 1], SKY.stars.iloc[i : i + 1]
    period = float(stars["period"].iloc[0])
    order = np.random.default_rng(seed).permutation(len(one.time))
    two = LightCurves.from_points(
        np.repeat(one.source_id, len(order)), one.time[order] + cycles * period, one.mag[order] + shift,
        one.mag_error[order],
    )  # fmt: skip
    first, second = (measure(curves, stars).table.iloc[0] for curves in (one, two))
    assert first["flag"] == second["flag"]
    assert first["n_harmonics"] == second["n_harmonics"]
    np.testing.assert_allclose(second[SHAPE].astype(float), first[SHAPE].astype(float), rtol=1e-4, atol=1e-5)
    quality = ["n_epochs", "n_rejected", "snr", "max_gap", "phase_coverage"]
    np.testing.assert_allclose(second[quality].astype(float), first[quality].astype(float), rtol=1e-4, atol=1e-6)
    assert second["zero_point"] - first["zero_point"] == pytest.approx(shift, abs=1e-5)
    moved = (second["epoch_of_maximum"] - first["epoch_of_maximum"]) / period
    assert circular(moved) < 1e-4


@settings(max_examples=25, deadline=None)
@given(STAR, SEED, st.integers(-3000, 3000))
def test_folding_keeps_differences_of_phase(i, seed, cycles):
    curve, period = SKY.curves[i], period_of(i)
    offsets = np.array([0, len(curve)])
    order = np.random.default_rng(seed).permutation(len(curve))
    one = fold_times(offsets, curve.time, period)
    two = fold_times(offsets, curve.time[order] + cycles * period[0], period)
    assert circular((two - two[0]) - (one[order] - one[order][0])).max() < 1e-6
    for function in (max_phase_gap, phase_coverage):
        assert function(offsets, two)[0] == pytest.approx(function(offsets, one)[0], abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(STAR)
def test_doubled_points_of_half_the_weight_leave_the_series(i):
    curve = CLEAN.curves[i]
    phase, mag = fold_times(np.array([0, len(curve)]), curve.time, period_of(i)), np.array(curve.mag)
    twice = np.repeat(np.arange(len(curve)), 2)
    places = [np.array([0, len(curve)]), np.array([0, len(twice)])]
    weight = np.random.default_rng(i).uniform(0.1, 1, len(curve))
    one = regularised_harmonics(places[0], phase, mag, weight, np.array([0.03]))
    two = regularised_harmonics(places[1], phase[twice], mag[twice], weight[twice] / 2, np.array([0.03]))
    np.testing.assert_allclose(two, one, atol=1e-9)
    # weights of the robust fit are relative, and its order is fixed here: only the scale of the outliers' cut may move
    none = np.full(len(twice), np.nan)
    one, two = (
        fit_fourier(place, p, m, none[: len(p)], max_order=3)
        for place, p, m in ((places[0], phase, mag), (places[1], phase[twice], mag[twice]))
    )
    assert one.order[0] == two.order[0]
    assert np.abs(one.coefficients - two.coefficients).max() < 0.2 * one.scatter[0]


@settings(max_examples=15, deadline=None)
@given(STAR, SEED)
def test_doubled_points_of_half_the_weight_leave_the_periodogram(i, seed):
    curve, period = SKY.curves[i], period_of(i)
    twice = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(curve)), 2))
    # weights are 1 / (error^2 + floor^2)
    wider = np.sqrt(2 * (curve.mag_error**2 + 0.03**2) - 0.03**2)
    one = check_periods([0, len(curve)], curve.time, curve.mag, curve.mag_error, period)
    two = check_periods([0, len(twice)], curve.time[twice], curve.mag[twice], wider[twice], period)
    assert two.power[0] == pytest.approx(one.power[0], abs=1e-9)


@settings(max_examples=8, deadline=None)
@given(STAR, SEED, st.integers(-3000, 3000), st.floats(-3, 3))
def test_periods_found_depend_on_the_curve_alone(i, seed, cycles, shift):
    curve, period = SKY.curves[i], float(SKY.stars["period"].iloc[i])
    order = np.random.default_rng(seed).permutation(len(curve))
    one = (curve.time, curve.mag, curve.mag_error)
    two = ((curve.time + cycles * period)[order], (curve.mag + shift)[order], curve.mag_error[order])
    places = [0, len(curve)]
    found = [find_periods(places, *columns) for columns in (one, two)]
    assert found[1].period[0] == pytest.approx(found[0].period[0], rel=1e-7)
    refined = [refine_periods(places, *columns, [period])[0][0] for columns in (one, two)]
    assert refined[1] == pytest.approx(refined[0], rel=1e-7)


@settings(max_examples=25, deadline=None)
@given(STAR, st.floats(-3, 3))
def test_founding_spline_follows_a_constant(i, shift):
    """Away from phases that nearly coincide, where SciPy's own criterion is lost to rounding."""
    curve = SKY.curves[i]
    phase = np.sort(np.random.default_rng(i).permutation(len(curve)) / len(curve))
    one, two = (smooth_founding([0, len(curve)], phase, curve.mag + s).y[0] for s in (0.0, shift))
    np.testing.assert_allclose(two - one, shift, atol=1e-3)


def test_the_new_columns_are_what_their_description_says():
    table = measure(SKY.curves, SKY.stars).table
    assert set(table.columns) >= {"snr", "phase_coverage", "period_source", "period_error"}
    undocumented = [name for name in table.columns if name not in COLUMNS and not name.startswith("true_")]
    assert undocumented == []
    expected = table["peak_to_peak"] / table["scatter"] * np.sqrt(table["n_epochs"])
    np.testing.assert_allclose(table["snr"], expected)
    # by counting on a fine grid
    phase, offsets = np.array([0.0, 0.08, 0.5, 0.97]), np.array([0, 4, 4])
    grid = np.arange(10_000) / 10_000
    near = circular(grid[:, None] - phase).min(axis=1) < 0.05
    np.testing.assert_allclose(phase_coverage(offsets, phase), [near.mean(), 0.0], atol=1e-3)


def test_the_columns_of_the_given_table_are_not_overwritten():
    """What we measure, in whatever band, has names of its own: Gaia's peak_to_peak_g stays Gaia's."""
    given_columns = {"peak_to_peak_g": 99.0, "int_average_g": 98.0, "phi31_g": 97.0, "num_clean_epochs_g": 96}
    table = measure(SKY.curves, SKY.stars.assign(**given_columns)).table
    for name, value in given_columns.items():
        assert (table[name] == value).all(), name
    assert (table["peak_to_peak"] < 2.0).all()
