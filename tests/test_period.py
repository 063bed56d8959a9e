"""Period search, check and refinement against simulated truth, astropy's periodogram and real Gaia curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy.timeseries import LombScargle
from hypothesis import given, settings
from hypothesis import strategies as st

from photfeh.core.errors import BadInput
from photfeh.core.lightcurves import LightCurves
from photfeh.signal.period import check_periods, find_periods, find_second_modes, refine_periods
from photfeh.simulation.survey import Simulation, simulate


def columns(curves: LightCurves):
    return curves.offsets, curves.time, curves.mag, curves.mag_error


def recovered(found, true, tolerance=1e-3):
    return np.abs(found / true - 1) < tolerance


@pytest.fixture(scope="module")
def sky() -> Simulation:
    return simulate(400, seed=31)


@pytest.fixture(scope="module")
def search(sky):
    return find_periods(*columns(sky.curves))


@pytest.fixture(scope="module")
def truth(sky):
    return sky.stars["period"].to_numpy()


def test_simulated_periods_are_recovered(sky, search, truth):
    good, rrab = recovered(search.period, truth), (sky.stars["type"] == "RRab").to_numpy()
    assert search.ok.all()
    assert good[rrab].mean() >= 0.97
    assert good[~rrab].mean() >= 0.97
    assert good[search.margin > 10].mean() > 0.99


def test_search_is_refined_well_below_the_resolution(sky, search, truth):
    good = recovered(search.period, truth)
    baseline = np.array([np.ptp(curve.time) for curve in sky.curves])
    assert np.median(np.abs(1 / search.period - 1 / truth)[good] * baseline[good]) < 0.05


def test_aliases_come_in_order_and_are_no_copies(search):
    assert search.aliases.shape == search.alias_power.shape == (400, 4)
    every = np.column_stack([search.period, search.aliases])
    assert (np.abs(np.diff(np.sort(1 / every, axis=1), axis=1)) > 1e-4).mean() > 0.99
    assert (search.margin >= 0).all()


@pytest.mark.parametrize("n_harmonics", [1, 2, 3, 5])
def test_power_is_that_of_astropy(sky, truth, n_harmonics):
    few = sky.curves[:8]
    # a common error leaves the weights equal whatever the noise floor
    error = np.full(len(few.time), 0.01)
    check = check_periods(few.offsets, few.time, few.mag, error, truth[:8], n_harmonics=n_harmonics)
    for i, curve in enumerate(few):
        oracle = LombScargle(curve.time, curve.mag, nterms=n_harmonics)
        assert check.power[i] == pytest.approx(oracle.power(1 / truth[i], method="auto"), abs=1e-6)


def test_best_power_is_the_maximum_of_astropys_periodogram():
    rrab = simulate(12, seed=4, rrc_fraction=0.0, noise=0.01).curves
    error = np.full(len(rrab.time), 0.01)
    found = find_periods(rrab.offsets, rrab.time, rrab.mag, error)
    for i in range(5):
        curve = rrab[i]
        grid = np.arange(1.0, 5.0, 0.1 / np.ptp(curve.time))
        power = LombScargle(curve.time, curve.mag, nterms=3).power(
            grid, method="fastchi2", assume_regular_frequency=True
        )
        assert found.period[i] == pytest.approx(1 / grid[np.argmax(power)], rel=2e-4)
        # fastchi2 interpolates and is off by up to 0.01; the slow method is exact
        exact = LombScargle(curve.time, curve.mag, nterms=3).power(1 / found.period[i], method="chi2")
        assert found.power[i] == pytest.approx(exact, abs=2e-3)


def test_a_sinusoid_is_not_taken_for_its_double_period(rng):
    time = np.sort(rng.uniform(0, 1000, (200, 40)), axis=1)
    period = rng.uniform(0.21, 0.45, 200)
    mag = 15 + 0.2 * np.cos(2 * np.pi * time / period[:, None]) + rng.normal(0, 0.02, time.shape)
    found = find_periods(np.arange(201) * 40, time.ravel(), mag.ravel(), np.full(mag.size, 0.02))
    assert recovered(found.period, period).mean() > 0.98


def test_refinement_recovers_a_perturbed_period(sky, truth, rng):
    baseline = np.array([np.ptp(curve.time) for curve in sky.curves])
    start = 1 / (1 / truth + rng.uniform(-1, 1, len(truth)) / baseline)
    period, error = refine_periods(*columns(sky.curves), start)
    assert np.isfinite(period).mean() > 0.99
    off = np.abs(1 / period - 1 / truth) * baseline
    assert np.nanmedian(off) < 0.02
    assert np.nanquantile(off, 0.95) < 0.15
    assert np.nanmedian(np.abs(period - truth)) < 0.05 * np.median(np.abs(start - truth))
    assert (error[np.isfinite(period)] > 0).all()


def test_quoted_errors_cover_where_the_model_holds(rng):
    n, stars = 40, 1000
    time = np.sort(rng.uniform(0, 900, (stars, n)), axis=1)
    period, phase = rng.uniform(0.25, 0.8, stars)[:, None], rng.random((stars, 1))
    cycle = 2 * np.pi * (time / period + phase)
    mag = 15 + 0.3 * np.cos(cycle) + 0.12 * np.cos(2 * cycle + 1) + rng.normal(0, 0.03, time.shape)
    found, error = refine_periods(
        np.arange(stars + 1) * n, time.ravel(), mag.ravel(), np.full(mag.size, 0.03), period[:, 0]
    )
    pull = np.abs(found - period[:, 0]) / error
    assert 0.62 < np.mean(pull < 1) < 0.76
    assert 0.90 < np.mean(pull < 1.96) < 0.98


def test_quoted_errors_of_survey_stars(sky, truth):
    period, error = refine_periods(*columns(sky.curves), truth)
    pull, rrc = np.abs(period - truth) / error, (sky.stars["type"] == "RRc").to_numpy()
    assert np.mean(pull[rrc] < 1) > 0.58
    assert np.mean(pull[~rrc] < 1) > 0.43  # modulated stars scatter more than independent residuals tell


def test_each_star_has_its_own_reach(sky, truth):
    start = 1 / (1 / truth + 4.0 / np.array([np.ptp(curve.time) for curve in sky.curves]))
    reach = np.where(np.arange(len(truth)) % 2, 5.0, 0.5)
    period, _ = refine_periods(*columns(sky.curves), start, reach=reach)
    good = recovered(period, truth, 1e-4)
    assert good[1::2].mean() > 0.95
    assert not good[::2].any()
    for wrong in (-1.0, np.inf, np.ones(3), np.zeros(len(truth))):
        with pytest.raises(BadInput, match="reach must be positive"):
            refine_periods(*columns(sky.curves), start, reach=wrong)


def test_second_modes_are_found_where_they_are(rng):
    stars, n = 300, 40
    time = np.sort(rng.uniform(0, 900, (stars, n)), axis=1)
    period = rng.uniform(0.3, 0.42, (stars, 1))
    ratio = rng.uniform(0.743, 0.748, (stars, 1))
    other = np.where(np.arange(stars)[:, None] % 2, period / ratio, period * ratio)
    noise = rng.normal(0, 0.02, time.shape)
    wave = 0.05 * np.cos(2 * np.pi * (time / other + rng.random((stars, 1))))
    offsets, few = np.arange(stars + 1) * n, np.full(stars, 5)
    found, power, alarm = find_second_modes(offsets, time.ravel(), (wave + noise).ravel(), period[:, 0], few)
    assert recovered(found, other[:, 0]).mean() > 0.97
    assert np.mean(alarm < -3) > 0.97
    assert np.median(power) > 0.7
    _, _, alarm = find_second_modes(offsets, time.ravel(), noise.ravel(), period[:, 0], few)
    assert np.mean(alarm < -2) < 0.04
    assert np.isnan(find_second_modes(offsets, time.ravel(), 0 * noise.ravel(), period[:, 0], few)[1]).all()


def test_the_power_of_a_second_mode_is_that_of_astropy(rng):
    time, period = np.sort(rng.uniform(0, 900, 40)), 0.36
    residual = 0.05 * np.cos(2 * np.pi * time / (period / 0.745)) + rng.normal(0, 0.03, 40)
    found, power, _ = find_second_modes(np.array([0, 40]), time, residual, np.array([period]), np.array([5]))
    oracle = LombScargle(time, residual, fit_mean=True, center_data=True).power(1 / found[0])
    assert power[0] == pytest.approx(oracle, abs=1e-9)


def test_one_outlier_hardly_moves_the_refined_period():
    clean = simulate(50, seed=12, noise=0.01)
    true = clean.stars["period"].to_numpy()
    mag = clean.curves.mag.copy()
    mag[clean.curves.offsets[:-1] + 5] += 1.0
    offsets, time, _, error = columns(clean.curves)
    baseline = np.array([np.ptp(curve.time) for curve in clean.curves])
    period, _ = refine_periods(offsets, time, mag, error, true)
    assert np.nanmedian(np.abs(1 / period - 1 / true) * baseline) < 0.03


def test_check_names_the_relation(sky, search, truth):
    good = recovered(search.period, truth)
    for factor, name in ((1, "same"), (2, "half"), (0.5, "twice"), (3, "third"), (1 / 3, "three times")):
        check = check_periods(*columns(sky.curves), factor * truth)
        assert (check.relation[good] == name).all()
        np.testing.assert_array_equal(check.agrees, check.relation == "same")
    for shift in (1.0, -1.0027379, 4.0):
        check = check_periods(*columns(sky.curves), 1 / (1 / truth + shift))
        assert np.isin(check.relation[good], ["sampling alias", "half", "twice", "third", "three times"]).all()
        assert (check.relation[good] == "sampling alias").mean() > 0.95
    wrong = check_periods(*columns(sky.curves), truth * 1.0313)
    assert (wrong.relation[good] == "unrelated").mean() > 0.9
    assert (wrong.power < wrong.best_power)[good].mean() > 0.95


def test_bad_stars_do_not_stop_the_others(sky, search):
    good = sky.curves[:3]
    offsets, time, mag, error = (np.array(column) for column in columns(good))
    flat = np.full(30, 15.0)
    span = np.linspace(0, 900, 30)
    bad = [
        (np.array([1.0, 50.0, 400.0]), np.array([15.0, 15.2, 15.1])),  # three epochs
        (span, flat),  # constant
        (np.empty(0), np.empty(0)),  # none
        (np.full(30, 7.0), flat + np.sin(span)),  # one moment
        (span, np.full(30, np.nan)),
        (np.concatenate([span[:-1], [1e12]]), flat + np.sin(span)),  # an absurd time
    ]
    times = [time, *(t for t, _ in bad)]
    mags = [mag, *(m for _, m in bad)]
    all_offsets = np.concatenate([offsets, offsets[-1] + np.cumsum([len(t) for t, _ in bad])])
    errors = np.concatenate([error, np.full(sum(len(t) for t, _ in bad), np.nan)])
    everything = (all_offsets, np.concatenate(times), np.concatenate(mags), errors)
    found = find_periods(*everything)
    assert found.ok[:3].all()
    np.testing.assert_allclose(found.period[:3], search.period[:3], rtol=1e-12)
    assert not found.ok[3:8].any()
    assert np.isnan(found.period[3:8]).all()
    assert np.isnan(found.power[3:8]).all()
    period, _ = refine_periods(*everything, np.where(np.arange(9) == 1, np.nan, found.period))
    assert np.isnan(period[[1, 3, 4, 5, 6, 7]]).all()
    assert np.isfinite(period[[0, 2]]).all()
    check = check_periods(*everything, np.array([0.5, np.nan, -1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]))
    assert (check.relation[1:8] == "unknown").all()
    assert not check.agrees[1:8].any()


def test_no_stars():
    empty = np.empty(0)
    assert find_periods([0], empty, empty, empty).period.shape == (0,)
    assert refine_periods([0], empty, empty, empty, empty)[0].shape == (0,)
    assert check_periods([0], empty, empty, empty, empty).relation.shape == (0,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"offsets": [0, 5]}, "offsets must rise"),
        ({"mag": [1.0]}, "mag must have shape"),
        ({"n_harmonics": 0}, "n_harmonics"),
        ({"shortest": 2.0}, "shortest"),
    ],
)
def test_bad_arguments_are_named(change, words):
    arguments = {"offsets": [0, 3], "time": [0.0, 1, 2], "mag": [1.0, 2, 1], "mag_error": [0.1, 0.1, 0.1]} | change
    with pytest.raises(BadInput, match=words):
        find_periods(**arguments)


def test_periods_need_one_a_star():
    with pytest.raises(BadInput, match="period must have shape"):
        refine_periods([0, 2], [0.0, 1], [1.0, 2], [0.1, 0.1], [0.5, 0.5])


@settings(max_examples=10, deadline=None)
@given(shift=st.floats(-2, 2), days=st.integers(-2000, 2000), seed=st.integers(0, 100))
def test_shifts_and_order_of_points_change_nothing(sky, search, shift, days, seed):
    one = sky.curves[7]
    order = np.random.default_rng(seed).permutation(len(one))
    found = find_periods([0, len(one)], (one.time + days)[order], (one.mag + shift)[order], one.mag_error[order])
    assert found.period[0] == pytest.approx(search.period[7], rel=1e-7)
    assert found.power[0] == pytest.approx(search.power[7], abs=1e-7)


@pytest.mark.real
def test_ogle_periods_of_real_stars(real_data):
    """A check of consistency, not a score: these stars were kept because some periodogram agrees with OGLE."""
    stars = pd.read_parquet(real_data / "gaia-dr3" / "stars.parquet")
    stars = stars[stars["period_source"] == "ogle"]
    points = pd.read_parquet(real_data / "gaia-dr3" / "epoch_photometry.parquet")
    points = points[(points["band"] == "G") & points["source_id"].isin(stars["source_id"])]
    keep = ~(points["rejected_by_photometry"].astype(bool) | points["rejected_by_variability"].astype(bool))
    curves = LightCurves.from_points(
        points["source_id"], points["time"], points["mag"], 1.0857 / points["flux_over_error"], keep=keep
    ).reindex(stars["source_id"])
    found = find_periods(*columns(curves))
    good, rrab = recovered(found.period, stars["period"].to_numpy()), (stars["ogle_type"] == "RRab").to_numpy()
    assert good[rrab].mean() > 0.98
    assert good[~rrab].mean() > 0.97
