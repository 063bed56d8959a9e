from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from photfeh.core.errors import BadInput, UnknownName
from photfeh.core.flags import Flag
from photfeh.core.lightcurves import LightCurves
from photfeh.samples.measure import measure
from photfeh.samples.sequences import FEATURES, Representation, Sequences, build_sequences, shape_features
from photfeh.simulation.survey import Simulation, simulate, true_curve


def test_smoothed_sequences_follow_the_true_curve():
    """Dense, nearly noise-free curves: the spline representation is the true curve, phase aligned on phi1 = 0."""
    survey = simulate(60, seed=3, n_epochs=120, noise=0.002)
    measured = measure(survey.curves, survey.stars)
    X = build_sequences(measured, Representation(kind="spline"))
    phase = X.values[..., 1] / survey.stars["period"].to_numpy()[:, None]
    assert np.allclose(phase, np.arange(264) / 264, atol=1e-6)
    truth = true_curve(survey, np.arange(264) / 264)
    truth -= truth.mean(axis=1, keepdims=True)
    assert np.median(np.abs(X.values[..., 0] - truth)) < 0.004


def test_the_three_representations_differ_as_they_should(survey: Simulation):
    measured = measure(survey.curves, survey.stars)
    raw, smooth, centred = (build_sequences(measured, Representation(kind=k)) for k in ("raw", "raw-spline", "spline"))
    assert raw.mask.sum(axis=1).tolist() == np.minimum(measured.curves.n_epochs, 264).tolist()
    i = 7
    star = measured.curves[i]
    assert np.allclose(raw.values[i][raw.mask[i]][:, 0], star.mag, atol=1e-4)
    assert (raw.values[i][~raw.mask[i]] == 0).all()
    assert np.allclose(
        smooth.values[..., 0] - smooth.values[..., 0].mean(axis=1, keepdims=True), centred.values[..., 0], atol=1e-4
    )
    assert np.abs(centred.values[..., 0].mean(axis=1)).max() < 1e-4


@pytest.mark.parametrize("kind", ["raw", "spline"])
@pytest.mark.parametrize("smoother", ["periodic", "founding"])
@pytest.mark.parametrize("alignment", ["phi1", "maximum"])
def test_a_star_is_the_same_alone_in_a_batch_and_in_another_order(survey: Simulation, kind, smoother, alignment):
    representation = Representation(kind=kind, smoother=smoother, alignment=alignment)
    order = np.random.default_rng(0).permutation(40)
    whole = build_sequences(measure(survey.curves[:40], survey.stars[:40]), representation)
    mixed = build_sequences(measure(survey.curves[:40], survey.stars.iloc[order]), representation)
    assert np.array_equal(mixed.values, whole.values[order])
    assert np.array_equal(mixed.features, whole.features[order], equal_nan=True)
    alone = build_sequences(measure(survey.curves[3:4], survey.stars[3:4]), representation)
    assert np.array_equal(alone.values[0], whole.values[3])


def test_maximum_alignment_puts_maximum_light_at_phase_zero(survey: Simulation):
    measured = measure(survey.curves[:50], survey.stars[:50])
    X = build_sequences(measured, Representation(alignment="maximum"))
    brightest = np.argmin(X.values[..., 0], axis=1) / 264
    away = np.minimum(brightest, 1 - brightest)
    assert np.median(away) < 0.03


def test_constant_and_whole_periods_do_not_matter(survey: Simulation):
    curves, stars = survey.curves[:30], survey.stars[:30]
    period = np.repeat(stars["period"].to_numpy(), curves.n_epochs)
    moved = LightCurves(
        curves.source_id, curves.offsets, curves.time + 100 * period, curves.mag + 1.25, curves.mag_error
    )
    one = build_sequences(measure(curves, stars), Representation())
    two = build_sequences(measure(moved, stars), Representation())
    assert np.allclose(one.values, two.values, atol=2e-4)
    columns = [FEATURES.index(name) for name in ("amplitude1", "cos2", "sin2", "cos3", "sin3")]
    assert np.allclose(one.features[:, columns], two.features[:, columns], atol=1e-4)


def test_shape_features_are_free_of_phase_zero():
    amplitude, phi = np.array([0.3, 0.15, 0.09]), np.array([0.7, 2.0, -0.5])
    for shift in (0.0, 0.31):
        angle = phi + np.arange(1, 4) * 2 * np.pi * shift
        harmonics = np.zeros((1, 7))
        harmonics[0, 1::2], harmonics[0, 2::2] = amplitude * np.cos(angle), -amplitude * np.sin(angle)
        shape = shape_features(harmonics, np.array([0.5]))[0]
        phi21, phi31 = 2.0 - 2 * 0.7, -0.5 - 3 * 0.7
        expected = [0.5, 0.3, 0.5 * np.cos(phi21), 0.5 * np.sin(phi21), 0.3 * np.cos(phi31), 0.3 * np.sin(phi31)]
        assert shape == pytest.approx(expected)


def test_bad_stars_get_flags_and_no_steps():
    ids = np.arange(1, 7)
    n = np.array([0, 3, 40, 40, 40, 40])
    offsets = np.concatenate([[0], np.cumsum(n)])
    rng = np.random.default_rng(1)
    time = rng.random(offsets[-1]) * 900
    curves = LightCurves(
        ids, offsets, time, 15 + 0.3 * np.cos(2 * np.pi * time / 0.5) + 0.01 * rng.normal(size=len(time))
    )
    stars = pd.DataFrame({"source_id": ids, "period": [0.5, 0.5, np.nan, -0.5, 30.0, 0.5]})
    measured = measure(curves, stars)
    flag = measured.table["flag"].to_numpy()
    for row, bit in (
        (0, Flag.NO_LIGHT_CURVE),
        (1, Flag.TOO_FEW_EPOCHS),
        (2, Flag.PERIOD_SEARCHED),
        (3, Flag.BAD_PERIOD),
        (4, Flag.BAD_PERIOD),
    ):
        assert flag[row] & bit, (row, bit)
    assert flag[5] & ~int(Flag.PERIOD_REFINED) == 0
    for kind in ("raw", "spline"):
        X = build_sequences(measured, Representation(kind=kind))
        assert X.mask.any(axis=1).tolist() == [False, False, True, False, False, True]
        assert np.isfinite(X.values).all()


def test_long_curves_are_thinned_evenly():
    rng = np.random.default_rng(0)
    n = 700
    time = np.sort(rng.random(n) * 900)
    curves = LightCurves(np.array([1]), np.array([0, n]), time, 15 + 0.3 * np.cos(2 * np.pi * time / 0.5))
    X = build_sequences(measure(curves, pd.DataFrame({"source_id": [1], "period": [0.5]})), Representation(kind="raw"))
    assert X.mask.sum() == 264
    assert np.diff(X.values[0, :, 1] / 0.5).max() < 0.03


def test_unknown_settings_and_shapes_are_refused():
    with pytest.raises(UnknownName, match="raw-spline"):
        Representation(kind="rawspline")
    with pytest.raises(BadInput, match="n_points"):
        Representation(n_points=3)
    with pytest.raises(BadInput, match="values must have shape"):
        Sequences(np.zeros((2, 5, 2), np.float32), np.ones((2, 6), bool), np.zeros((2, len(FEATURES))), np.arange(2))
