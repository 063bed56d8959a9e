"""The simulated survey: reproducible, true in closed form, and like the real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import ks_2samp

from photfeh.core.errors import BadInput
from photfeh.core.lightcurves import LightCurves
from photfeh.samples.measure import measure
from photfeh.simulation.draws import constants
from photfeh.simulation.survey import iter_simulate, simulate, true_curve, write_simulation

DATA = Path(os.environ.get("PHOTFEH_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
COMPARED = ("period", "peak_to_peak", "phi31", "r21", "n_epochs", "scatter")
TYPES = ("RRab", "RRc")
LARGEST_DISTANCE = 0.08  # of two distribution functions


@pytest.fixture(scope="module")
def survey():
    return simulate(8_000, seed=11)


@pytest.fixture(scope="module")
def measured(survey):
    table = measure(survey.curves, survey.stars).table
    return table[comparable(table)]


def comparable(table: pd.DataFrame) -> pd.Series:
    """The cut of benchmarks/fit_simulation.py, for real and simulated stars alike: shape measured, period right."""
    swing, period, ab = table.peak_to_peak, table.period, table.type == "RRab"
    good = (table.scatter < 0.12 * swing) & (table.max_gap < 0.2) & (table.phi31_error < 0.5) & (swing < 1.5)
    return good & np.where(ab, (period > 0.35) & (period < 1.0), (period > 0.2) & (period < 0.42) & (table.r21 < 0.35))


def assert_same(one, other) -> None:
    pd.testing.assert_frame_equal(one.stars, other.stars, check_exact=True)
    np.testing.assert_array_equal(one.coefficients, other.coefficients)
    for name in ("source_id", "offsets", "time", "mag", "mag_error"):
        np.testing.assert_array_equal(getattr(one.curves, name), getattr(other.curves, name))


def series(simulation, star, time):
    """The truth written out: zp + sum_k a_k cos(2 pi k phase) + b_k sin(2 pi k phase) at each point."""
    row = simulation.stars.iloc[star]
    phase = (time - row.true_epoch.to_numpy()) / row.period.to_numpy()
    c = simulation.coefficients[star]
    total = c[:, 0].copy()
    for k in range(1, (c.shape[1] - 1) // 2 + 1):
        total += c[:, 2 * k - 1] * np.cos(2 * np.pi * k * phase) + c[:, 2 * k] * np.sin(2 * np.pi * k * phase)
    return total


# ---------------------------------------------------------------------- reproducible
def test_same_seed_gives_the_same_survey_and_another_seed_another():
    assert_same(simulate(300, seed=4), simulate(300, seed=4))
    assert np.all(simulate(300, seed=4).stars.period != simulate(300, seed=5).stars.period)


def test_a_smaller_survey_is_the_beginning_of_a_larger_one():
    assert_same(simulate(2_100, seed=4).rows(slice(0, 700)), simulate(700, seed=4))


@pytest.mark.parametrize("chunk", [300, 1_000, 1_700, 5_000])
def test_chunks_are_pieces_of_one_survey(chunk):
    parts = list(iter_simulate(2_300, chunk=chunk, seed=8))
    assert [len(part) for part in parts[:-1]] == [chunk] * (len(parts) - 1)
    whole = simulate(2_300, seed=8)
    begin = 0
    for part in parts:
        assert_same(whole.rows(slice(begin, begin + len(part))), part)
        begin += len(part)
    assert begin == 2_300


def test_epochs_and_noise_settings_leave_the_stars_alone():
    names = [
        name for name in simulate(1).stars if name.startswith("true_") and "noise" not in name and "modul" not in name
    ]
    names += ["source_id", "period", "type", "feh"]
    usual = simulate(500, seed=2)
    for other in (simulate(500, seed=2, n_epochs=70), simulate(500, seed=2, noise=0.01)):
        pd.testing.assert_frame_equal(usual.stars[names], other.stars[names], check_exact=True)
        np.testing.assert_array_equal(usual.coefficients, other.coefficients)
    np.testing.assert_array_equal(usual.curves.time, simulate(500, seed=2, noise=0.01).curves.time)


# ---------------------------------------------------------------------- true
def test_feh_is_the_published_relation_at_the_true_parameters(survey):
    c, stars = survey.coefficients, survey.stars
    phi = [np.arctan2(-c[:, 2 * k], c[:, 2 * k - 1]) for k in (1, 2, 3)]
    phi31 = np.mod(phi[2] - 3 * phi[0], 2 * np.pi)
    a2 = np.hypot(c[:, 3], c[:, 4])
    ab = -0.37 - 5.55 * stars.period + 0.94 * phi31
    rrc = 0.80 - 8.54 * stars.period + 0.23 * phi31 - 9.34 * a2
    np.testing.assert_allclose(stars.feh, np.where(stars.type == "RRab", ab, rrc), atol=1e-9)
    np.testing.assert_allclose(stars.true_phi31, phi31, atol=1e-9)
    np.testing.assert_allclose(stars.true_r21, a2 / np.hypot(c[:, 1], c[:, 2]), atol=1e-9)
    assert (stars.feh_error > 0.2).all()
    assert stars.feh.between(-3.6, 1.0).all()


def test_without_noise_the_points_lie_on_the_curve():
    exact = simulate(1_200, seed=3, noise=0.0)
    np.testing.assert_allclose(exact.curves.mag, series(exact, exact.curves.star_index, exact.curves.time), atol=1e-9)
    assert np.isnan(exact.curves.mag_error).all()


def test_true_curve_is_the_series_on_a_grid():
    stars = simulate(20, seed=3)
    phases = np.linspace(0, 1, 33)
    curve = true_curve(stars, phases)
    assert curve.shape == (20, 33)
    time = stars.stars.true_epoch.to_numpy()[:, None] + phases * stars.stars.period.to_numpy()[:, None]
    star = np.repeat(np.arange(20), 33)
    np.testing.assert_allclose(curve.ravel(), series(stars, star, time.ravel()), atol=1e-9)
    fine = np.ptp(true_curve(stars, np.arange(5_000) / 5_000), axis=1)
    np.testing.assert_allclose(stars.stars.true_peak_to_peak, fine, atol=2e-3)


def test_noise_of_a_given_size():
    noisy = simulate(2_000, seed=3, noise=0.02)
    residual = noisy.curves.mag - series(noisy, noisy.curves.star_index, noisy.curves.time)
    assert np.std(residual) == pytest.approx(0.02, rel=0.01)
    assert abs(np.mean(residual)) < 5 * 0.02 / np.sqrt(len(residual))
    assert set(noisy.curves.mag_error) == {0.02}


def test_gaia_noise_is_as_large_as_the_star_table_says(survey):
    star, curves = survey.curves.star_index, survey.curves
    row = survey.stars.iloc[star].reset_index(drop=True)
    residual = curves.mag - series(survey, star, curves.time)
    # modulation moves the curve by less than (h + 2 pi g K) times its swing; look where that is negligible
    moved = (row.true_amplitude_modulation + 50 * row.true_phase_modulation) * row.true_peak_to_peak
    quiet = (moved < 0.3 * row.true_noise).to_numpy()
    assert quiet.sum() > 1_000
    pull = residual[quiet] / np.hypot(curves.mag_error[quiet], row.true_noise[quiet])
    assert 1.4826 * np.median(abs(pull)) == pytest.approx(1.0, abs=0.05)
    calm = ((moved < 0.03) & (row.true_noise < 0.015)).to_numpy() & (curves.mag_error < 0.01)
    assert calm.sum() > 30_000
    law = constants()["noise"]
    beyond = law["outlier_fraction"] * (law["outlier_log_size"] > np.log(0.1)).mean(axis=1)
    expected = np.where(row.type == "RRc", beyond[1], beyond[0])[calm].sum()
    assert (abs(residual[calm]) > 0.1).sum() == pytest.approx(expected, rel=0.3)


def test_noise_free_curves_are_measured_exactly():
    dense = simulate(600, seed=6, n_epochs=300, noise=0.0)
    table = measure(dense.curves, dense.stars).table
    difference = np.mod(table.phi31 - table.true_phi31 + np.pi, 2 * np.pi) - np.pi
    assert abs(difference).max() < 1e-3
    assert abs(table.a1 - table.true_a1).max() < 1e-4
    assert abs(table.zero_point - table.true_mean_mag).max() < 1e-4


def test_measured_phi31_scatters_as_much_as_its_error_says(measured):
    for kind in TYPES:
        some = measured[measured.type == kind]
        pull = (np.mod(some.phi31 - some.true_phi31 + np.pi, 2 * np.pi) - np.pi) / some.phi31_error
        assert abs(pull.median()) < 0.1
        assert 0.8 < 1.4826 * abs(pull - pull.median()).median() < 1.4
        assert (abs(pull) > 5).mean() < 0.03


# ---------------------------------------------------------------------- like RR Lyrae stars
def test_curves_have_one_maximum_and_published_ranges(survey):
    stars, curve = survey.stars, true_curve(survey, np.arange(500) / 500)
    swing = np.ptp(curve, axis=1)
    path = abs(np.diff(curve, axis=1, append=curve[:, :1])).sum(axis=1)
    assert (path < 2 * swing * 1.1).all()  # one rise and one fall, small humps allowed
    assert np.median(path / (2 * swing)) < 1.01
    assert (swing < 1.41).all()
    ab = stars.type == "RRab"
    assert stars.period[ab].between(0.35, 1.0).all()
    assert stars.period[~ab].between(0.20, 0.42).all()
    assert stars.true_r21[ab].median() > 0.4 > 0.2 > stars.true_r21[~ab].median()


def test_identifiers_are_distinct_integers_that_floats_cannot_hold(survey):
    ids = survey.stars.source_id
    assert ids.dtype == np.int64
    assert ids.is_unique
    assert ids.min() > 2**53
    np.testing.assert_array_equal(ids, survey.curves.source_id)


@pytest.mark.parametrize(("fraction", "low", "high"), [(0.0, 0, 0), (1.0, 1, 1), (0.35, 0.31, 0.39)])
def test_fraction_of_first_overtone_stars(fraction, low, high):
    assert low <= (simulate(2_000, rrc_fraction=fraction).stars.type == "RRc").mean() <= high


def test_number_of_epochs_can_be_fixed():
    for count in (1, 12, 250):
        assert (simulate(400, n_epochs=count).curves.n_epochs == count).all()


def test_epochs_cluster_on_the_spin_of_gaia(survey):
    time, star = survey.curves.time, survey.curves.star_index
    assert time.min() > 1666
    assert time.max() < 2740
    step = np.diff(time)[np.diff(star) == 0]
    # real stars: 0.332 of the steps are 1 h 46 m, 0.174 are 4 h 14 m, 0.043 a full turn; half of the rest 30 d or more
    assert np.mean(abs(step - 0.0740) < 0.001) == pytest.approx(0.332, abs=0.03)
    assert np.mean(abs(step - 0.1762) < 0.001) == pytest.approx(0.174, abs=0.03)
    assert np.mean(abs(step - 0.2503) < 0.001) == pytest.approx(0.043, abs=0.02)
    assert np.median(step[step > 0.6]) == pytest.approx(34, abs=4)
    first = time[survey.curves.offsets[:-1]]
    last = time[survey.curves.offsets[1:] - 1]
    assert np.median(last - first) == pytest.approx(959, abs=30)


def test_distributions_agree_with_the_committed_deciles_of_real_stars(measured):
    for kind in TYPES:
        some = measured[measured.type == kind]
        for name in COMPARED:
            below = [(some[name] <= decile).mean() for decile in constants()["reference"][kind][name]]
            assert abs(np.array(below) - np.linspace(0.1, 0.9, 9)).max() < LARGEST_DISTANCE, (kind, name, below)


@pytest.mark.real
def test_distributions_agree_with_real_stars(measured):
    folder = DATA / "gaia-dr3"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set PHOTFEH_DATA to the folder of real data")
    epochs = pd.read_parquet(folder / "epoch_photometry.parquet")
    epochs = epochs[(epochs.band == "G") & ~epochs.rejected_by_photometry & ~epochs.rejected_by_variability]
    curves = LightCurves.from_points(epochs.source_id, epochs.time, epochs.mag, 1.0857 / epochs.flux_over_error)
    real = measure(curves, pd.read_parquet(folder / "stars.parquet")).table
    fundamental = (real.period > 0.45) | ((real.period > 0.35) & (real.r21 > 0.3))
    real["type"] = real.ogle_type.where(real.ogle_type.notna(), np.where(fundamental, "RRab", "RRc"))
    real = real[comparable(real)]
    for kind in TYPES:
        for name in COMPARED:
            distance = ks_2samp(real[real.type == kind][name], measured[measured.type == kind][name]).statistic
            assert distance < LARGEST_DISTANCE, (kind, name, distance)


# ---------------------------------------------------------------------- files
def test_files_read_back_as_the_survey(tmp_path):
    write_simulation(2_500, tmp_path, seed=7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epochs.parquet", "stars.parquet"]
    expected = simulate(2_500, seed=7)
    epochs = pd.read_parquet(tmp_path / "epochs.parquet")
    clean = ~(epochs.rejected_by_photometry | epochs.rejected_by_variability)
    found = LightCurves.from_points(
        epochs.source_id, epochs.time, epochs.mag, 1.0857 / epochs.flux_over_error, keep=clean
    )
    for name in ("source_id", "offsets", "time", "mag"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected.curves, name))
    np.testing.assert_allclose(found.mag_error, expected.curves.mag_error, rtol=1e-12)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "stars.parquet"), expected.stars, check_exact=True)


def test_epoch_file_has_the_archives_layout(tmp_path):
    write_simulation(2_500, tmp_path, seed=7)
    file = pq.ParquetFile(tmp_path / "epochs.parquet")
    assert file.schema_arrow.names == [
        "source_id", "transit_id", "band", "time", "mag", "flux", "flux_error", "flux_over_error",
        "rejected_by_photometry", "rejected_by_variability",
    ]  # fmt: skip
    assert file.metadata.row_group(0).column(3).compression == "ZSTD"
    per_group = [file.read_row_group(i, ["source_id"]).to_pandas().source_id for i in range(file.num_row_groups)]
    assert [group.nunique() for group in per_group] == [2_000, 500]
    epochs = file.read().to_pandas()
    assert (epochs.band == "G").all()
    assert epochs.source_id.is_monotonic_increasing
    lost, flagged = epochs.rejected_by_photometry, epochs.rejected_by_variability & ~epochs.rejected_by_photometry
    assert lost.mean() == pytest.approx(0.0133, abs=0.002)
    assert flagged.mean() == pytest.approx(0.0183, abs=0.002)
    assert epochs.loc[lost, ["time", "mag", "flux", "flux_over_error"]].isna().all(axis=None)
    kept = epochs[~lost]
    np.testing.assert_allclose(kept.mag, 25.6873668671 - 2.5 * np.log10(kept.flux), atol=1e-9)
    np.testing.assert_allclose(kept.flux_over_error, kept.flux / kept.flux_error)
    assert kept.groupby("source_id").transit_id.apply(lambda ids: ids.is_unique and ids.is_monotonic_increasing).all()


@pytest.mark.slow
def test_writing_needs_little_memory(tmp_path):
    code = (
        "import resource; from photfeh.simulation.survey import write_simulation; "
        f"write_simulation(60_000, {str(tmp_path)!r}); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    kilobytes = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert kilobytes < 1_000_000


# ---------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"n_stars": 0}, "n_stars"),
        ({"n_stars": 5, "seed": -1}, "seed"),
        ({"n_stars": 5, "rrc_fraction": 1.2}, "rrc_fraction"),
        ({"n_stars": 5, "n_epochs": 0}, "n_epochs"),
        ({"n_stars": 5, "noise": -0.1}, "noise"),
        ({"n_stars": 5, "noise": float("nan")}, "noise"),
    ],
)
def test_bad_settings_are_named(settings, word, tmp_path):
    with pytest.raises(BadInput, match=word):
        simulate(**settings)
    with pytest.raises(BadInput, match=word):
        write_simulation(**settings, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_bad_chunk_is_named():
    with pytest.raises(BadInput, match="chunk"):
        iter_simulate(5, chunk=0)
