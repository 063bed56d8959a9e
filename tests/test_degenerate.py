"""One bad star never stops the others, nor changes a bit of them: every kernel with degenerate stars in the batch."""

from __future__ import annotations

import time as clock
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photfeh.core.flags import Flag
from photfeh.core.lightcurves import LightCurves
from photfeh.inference.prediction import list_trained, load
from photfeh.samples.measure import Measurement, measure
from photfeh.samples.sequences import REPRESENTATIONS, Representation, build_sequences
from photfeh.simulation.survey import simulate

SKY = simulate(6, seed=3)
SETTINGS = ("given", "check", "search")
KINDS = [
    Representation(kind=kind, n_points=48, smoother=smoother, alignment=alignment)
    for kind, smoother, alignment in product(REPRESENTATIONS, ("periodic", "founding"), ("phi1", "maximum"))
]
_HUGE = (1e300, -1e300, 1e308, 1e155, 1e16, 1e-300, 5e-324)


class Star(NamedTuple):
    time: np.ndarray
    mag: np.ndarray
    error: np.ndarray
    period: float = 0.55


def usual(n: int = 30, seed: int = 0) -> Star:
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(1700, 2700, n))
    mag = 15 + 0.3 * np.sin(2 * np.pi * time / 0.55) + 0.02 * rng.normal(size=n)
    return Star(time, mag, np.full(n, 0.01))


def _one(values: np.ndarray, value: float) -> np.ndarray:
    changed = values.copy()
    changed[len(values) // 3] = value
    return changed


def bad_stars() -> dict[str, Star]:
    good = usual()
    step, n = np.arange(30), 30
    stars = {
        "constant": good._replace(mag=np.full(n, 15.0)),
        "zero": good._replace(mag=np.zeros(n)),
        "the last bit varies": good._replace(mag=15 + (step % 2) * 2e-15),
        "one point differs": good._replace(mag=_one(np.full(n, 15.0), 15.5)),
        "two values": good._replace(mag=15.0 + step % 2),
        "step": good._replace(mag=15.0 + (step > 14)),
        "two clumps": good._replace(mag=np.where(step < 15, 10.0, 20.0)),
        "without noise": good._replace(mag=15 + 0.3 * np.cos(2 * np.pi * good.time / 0.55)),
        "equal times": good._replace(time=np.full(n, 2000.0)),
        "equal phases": good._replace(time=1700 + 0.5 * 7 * step, period=0.5),
        "two phases": good._replace(time=1700 + 0.25 * step, period=0.5),
        "three phases": good._replace(time=1700 + step * 0.5 / 3, period=0.5),
        "each point twice": Star(*(np.repeat(column[:15], 2) for column in good[:3])),
        "a microsecond": good._replace(time=1700 + step * 1e-11),
        "denormal times": good._replace(time=step * 5e-324),
        "both ends of time": good._replace(time=np.where(step < 15, -1e308, 1e308)),
        "half a day": good._replace(time=np.linspace(1700, 1700.5, n)),
        "all rejected": good._replace(error=np.full(n, 0.9)),
        "unknown errors": good._replace(error=np.full(n, np.nan)),
        "infinite errors": good._replace(error=np.full(n, np.inf)),
        "one infinite error": good._replace(error=_one(good.error, np.inf)),
        "2000 points": usual(2000, 1),
    }
    stars |= {f"{k} points": Star(*(column[:k] for column in good[:3])) for k in (0, 1, 2, 5, 7, 8, 9, 10, 12)}
    stars |= {
        f"period {p}": good._replace(period=p)
        for p in (0.0, -0.0, -0.5, np.inf, -np.inf, np.nan, 1e9, 0.1, 1.5, 0.1000001, 1.4999, 1.0, *_HUGE)
    }
    for value in _HUGE:
        stars |= {
            f"magnitudes {value}": good._replace(mag=np.full(n, value)),
            f"magnitudes +-{value}": good._replace(mag=np.where(step % 2, value, -value)),
            f"one magnitude {value}": good._replace(mag=_one(good.mag, value)),
            f"times {value}": good._replace(time=np.full(n, value)),
            f"one time {value}": good._replace(time=_one(good.time, value)),
            f"errors {abs(value)}": good._replace(error=np.full(n, abs(value))),
            f"one error {abs(value)}": good._replace(error=_one(good.error, abs(value))),
        }
    return stars


BAD = bad_stars()


def together(bad: list[Star]) -> tuple[LightCurves, pd.DataFrame, np.ndarray]:
    """The usual survey with bad stars between; also the rows of the usual ones."""
    every, rows = [], []
    for i, curve in enumerate(SKY.curves):
        rows.append(len(every))
        every.append(
            (int(SKY.curves.source_id[i]), Star(curve.time, curve.mag, curve.mag_error, SKY.stars["period"][i]))
        )
        every += [(1000 * (i + 1) + k, star) for k, star in enumerate(bad[i::6])]
    ids = np.array([name for name, _ in every])
    offsets = np.concatenate([[0], np.cumsum([len(star.time) for _, star in every])])
    columns = (np.concatenate([star[k] for _, star in every]) for k in range(3))
    stars = pd.DataFrame({"source_id": ids, "period": [star.period for _, star in every]})
    return LightCurves(ids, offsets, *columns), stars, np.array(rows)


@pytest.fixture(scope="module")
def alone() -> dict[str, Measurement]:
    curves, stars, _ = together([])
    return {periods: measure(curves, stars, periods=periods) for periods in SETTINGS}


def assert_the_others_are_untouched(bad: list[Star], periods: str, alone: Measurement) -> Measurement:
    curves, stars, rows = together(bad)
    found = measure(curves, stars, periods=periods)
    pd.testing.assert_frame_equal(found.table.iloc[rows].reset_index(drop=True), alone.table, check_exact=True)
    for kind in KINDS:
        one, two = build_sequences(found, kind)[rows], build_sequences(alone, kind)
        for name in ("values", "mask", "features"):
            assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True), (kind, name)
    return found


@pytest.mark.parametrize("periods", SETTINGS)
def test_all_bad_stars_at_once(periods, alone):
    found = assert_the_others_are_untouched(list(BAD.values()), periods, alone[periods])
    measured = found.table["scatter"].notna()
    assert np.isfinite(found.table.loc[measured, ["a1", "a1_error", "zero_point", "peak_to_peak", "snr"]]).all(
        axis=None
    )
    assert (found.table.loc[~measured, "flag"] > 0).all()


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(BAD)), min_size=1, max_size=4),
    periods=st.sampled_from(SETTINGS),
    scale=st.sampled_from([1.0, 1e-3, 1e-12, 1e3]),
    shift=st.floats(-50, 50),
)
def test_any_mixture_of_bad_stars(names, periods, scale, shift, alone):
    with np.errstate(over="ignore"):
        bad = [BAD[name]._replace(mag=np.clip(scale * BAD[name].mag + shift, -1e308, 1e308)) for name in names]
    assert_the_others_are_untouched(bad, periods, alone[periods])


@settings(max_examples=25, deadline=None)
@given(data=st.data(), periods=st.sampled_from(SETTINGS))
def test_any_numbers(data, periods, alone):
    n = data.draw(st.integers(0, 40))
    number = st.floats(allow_nan=False, allow_infinity=False)
    few = st.sampled_from([0.0, 1.0, 15.0, 15.3, 1700.0, 2000.5])
    column = st.lists(st.one_of(number, few), min_size=n, max_size=n)
    error = st.lists(st.one_of(st.floats(min_value=0, exclude_min=True), st.just(np.nan)), min_size=n, max_size=n)
    star = Star(*(np.array(data.draw(kind), float) for kind in (column, column, error)), data.draw(st.floats()))
    assert_the_others_are_untouched([star], periods, alone[periods])


@pytest.mark.parametrize("periods", SETTINGS)
@pytest.mark.parametrize("name", list_trained())
def test_every_shipped_model_predicts_the_others_all_the_same(name, periods):
    curves, stars, _ = together([])
    predictor = load(name)
    without = predictor.predict(curves, stars, periods=periods)
    # networks are as exact as the size of their batch allows
    curves, stars, rows = together(list(BAD.values()))
    found = predictor.predict(curves, stars, periods=periods)
    kept = found.iloc[rows].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, without, check_exact=False, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found["feh"].notna(), (found["flag"] & 63) == 0)
    assert np.isfinite(found.loc[found["feh"].notna(), ["feh_error", "feh_lower", "feh_upper"]]).all(axis=None)


def test_what_was_wrong_is_said():
    curves, stars, _ = together(list(BAD.values()))
    table = measure(curves, stars).table.set_index("source_id")
    flags = {name: int(table["flag"][1000 * (k % 6 + 1) + k // 6]) for k, name in enumerate(BAD)}
    for name, bit in {
        "constant": Flag.NO_FIT,
        "the last bit varies": Flag.NO_FIT,
        "equal times": Flag.NO_FIT,
        "equal phases": Flag.NO_FIT,
        "two clumps": Flag.NO_LIGHT_CURVE,
        "all rejected": Flag.NO_LIGHT_CURVE,
        "infinite errors": Flag.NO_LIGHT_CURVE,
        "magnitudes 1e+300": Flag.NO_LIGHT_CURVE,
        "0 points": Flag.NO_LIGHT_CURVE,
        "2 points": Flag.TOO_FEW_EPOCHS,
        "both ends of time": Flag.PHASE_GAP,
        "period 0.0": Flag.BAD_PERIOD,
        "period -0.5": Flag.BAD_PERIOD,
        "period inf": Flag.BAD_PERIOD,
        "period 1000000000.0": Flag.BAD_PERIOD,
        "period nan": Flag.PERIOD_SEARCHED,
        "two values": Flag.NOISY,
    }.items():
        assert flags[name] & int(bit), (name, flags[name])
    # one absurd point does not cost the star
    for name in ("one magnitude 1e+300", "one time 1e+300", "one infinite error", "unknown errors"):
        assert not flags[name] & ~int(Flag.PERIOD_REFINED | Flag.PERIOD_DOUBTFUL), (name, flags[name])


def test_it_ends_in_time():
    """A search costs no more for absurd times: the grid is bounded."""
    worst = [star for name, star in BAD.items() if "time" in name or name == "2000 points"]
    curves, stars, _ = together(worst)
    measure(curves, stars, periods="search")
    begin = clock.process_time()
    measure(curves, stars, periods="search")
    assert clock.process_time() - begin < 20
