"""Nouns own their arrays: what the caller writes later changes nothing, and nobody writes into them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from photfeh.core.arrays import frozen, owned
from photfeh.core.lightcurves import LightCurves
from photfeh.inference.calibration import Calibration
from photfeh.samples.measure import Measurement, measure
from photfeh.samples.sequences import FEATURES, Sequences, build_sequences
from photfeh.simulation.survey import simulate
from photfeh.validation.splits import Split

SKY = simulate(30, seed=2)


def light_curves(given):
    return LightCurves(*(given[name] for name in ("source_id", "offsets", "time", "mag", "mag_error")))


def numbers(n, t=None):
    return {"scores": np.ones(n, np.float32), "covariates": np.ones((n, 6), np.float32)}


NOUNS = {
    LightCurves: (
        {
            "source_id": np.array([5, 6]),
            "offsets": np.array([0, 3, 5]),
            "time": np.array([1.0, 2.0, 3.0, 1.0, 2.0]),
            "mag": np.arange(5.0),
            "mag_error": np.full(5, 0.1),
        },
        light_curves,
    ),
    Sequences: (
        {
            "values": np.zeros((2, 9, 2), np.float32),
            "mask": np.ones((2, 9), bool),
            "features": np.zeros((2, len(FEATURES))),
            "source_id": np.array([5, 6]),
        },
        lambda given: Sequences(**given),
    ),
    Measurement: (
        {"point_weight": np.ones(4), "harmonics": np.zeros((1, 13))},
        lambda given: Measurement(curves=SKY.curves[:1], table=SKY.stars[:1], **given),
    ),
    Split: (
        {"train": np.arange(3), "tune": np.arange(3, 5), "score": np.arange(5, 7)},
        lambda given: Split(0, 0, **given),
    ),
    Calibration: (
        {"scores": np.ones(3, np.float32), "covariates": np.zeros((3, 6), np.float32)},
        lambda given: Calibration(
            **dict.fromkeys(("mean", "scale", "least", "most", "coefficients", "quantiles"), (0.0,)),
            low=0.0, high=0.0, shrink=1.0, n_stars=3, **given,
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize("way", ["itself", "a view", "a read-only view"])
def test_what_the_caller_writes_later_changes_nothing(noun, way):
    arrays, make = NOUNS[noun]
    mine = {name: array.copy() for name, array in arrays.items()}
    given = dict(mine)
    if way != "itself":
        given = {name: array[:] for name, array in mine.items()}
    if way == "a read-only view":
        given = {name: frozen(array) for name, array in given.items()}
    made = make(given)
    for name, array in mine.items():
        assert array.flags.writeable, f"{name} of the caller was closed"
        array[...] = 1 if array.dtype == bool else 77
        array[...] = 0
        np.testing.assert_array_equal(getattr(made, name), arrays[name], err_msg=name)


@pytest.mark.parametrize("noun", NOUNS)
def test_writing_into_a_noun_is_refused(noun):
    arrays, make = NOUNS[noun]
    made = make(arrays)
    for name in arrays:
        with pytest.raises(ValueError, match="read-only"):
            getattr(made, name)[0] = 1
        with pytest.raises(AttributeError):
            setattr(made, name, arrays[name])


def test_parts_of_a_noun_are_read_only_and_copy_no_more_than_they_must():
    curves = SKY.curves
    parts = [curves[3], curves[3:6], curves[[1, 2]], curves.reindex([9, 10**9]), LightCurves.concatenate([curves[:2]])]
    parts += [curves.select_points(curves.mag > 0)]
    for part in parts:
        for name in ("time", "mag", "mag_error"):
            assert not getattr(part, name).flags.writeable
    sequences = build_sequences(measure(curves, SKY.stars), _representation())
    for part in (sequences, sequences[2:5], sequences[[1, 1]]):
        for name in ("values", "mask", "features", "source_id"):
            assert not getattr(part, name).flags.writeable
    twice = LightCurves(curves.source_id, curves.offsets, curves.time, curves.mag, curves.mag_error)
    assert np.shares_memory(twice.mag, curves.mag)


def _representation():
    from photfeh.samples.sequences import Representation

    return Representation(kind="raw")


def test_arrow_tables_are_not_copied():
    table = SKY.curves.to_arrow().combine_chunks()
    back = LightCurves.from_arrow(table)
    assert np.shares_memory(back.mag, table["mag"].chunk(0).flatten().to_numpy())
    assert np.shares_memory(back.mag, SKY.curves.mag)


def test_owned_copies_what_can_be_written_and_nothing_else(tmp_path):
    mine = np.arange(6.0)
    for given in (mine, mine[1:], frozen(mine[2:]), mine.reshape(2, 3)):
        assert not np.shares_memory(owned(given, np.float64), mine)
    closed = frozen(np.arange(6.0))
    for given in (closed, closed[1:], closed.reshape(2, 3)):
        assert np.shares_memory(owned(given, np.float64), closed)
    np.save(tmp_path / "mapped.npy", mine)
    mapped = np.load(tmp_path / "mapped.npy", mmap_mode="r")
    assert np.shares_memory(owned(mapped, np.float64), mapped)
    arrow = pa.array([1.0, 2.0]).to_numpy()
    assert np.shares_memory(owned(arrow, np.float64), arrow)
    assert owned([1, 2], np.float64).dtype == np.float64
    assert owned(np.arange(3), np.float64).tolist() == [0.0, 1.0, 2.0]
    assert not owned(mine[::2], np.float64).flags.writeable


def test_measure_edits_nothing_of_what_it_is_given():
    curves, stars = SKY.curves, SKY.stars.copy()
    stars.loc[3, "period"] = np.nan
    before = stars.copy(deep=True)
    arrays = {name: getattr(curves, name).copy() for name in ("source_id", "offsets", "time", "mag", "mag_error")}
    for periods in ("given", "check"):
        measured = measure(curves, stars, periods=periods)
        measured.table.loc[:, "period"] = 0.0
        measured.table.loc[:, "mag"] = 0.0
    assert stars.equals(before)
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(curves, name), array)
