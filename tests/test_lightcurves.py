from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from photfeh.core.errors import BadColumn, BadInput, BadLightCurve, BandMismatch, MissingColumn
from photfeh.core.identifiers import source_id_of
from photfeh.core.lightcurves import LightCurves


def three() -> LightCurves:
    return LightCurves(
        np.array([30, 10, 20]), np.array([0, 2, 2, 5]), np.array([1.0, 2, 5, 6, 7]), np.arange(5.0), np.full(5, 0.1)
    )


def test_views_and_subsets_keep_their_points():
    lcs = three()
    assert len(lcs) == 3
    assert lcs.n_epochs.tolist() == [2, 0, 3]
    assert lcs[2].source_id == 20
    assert lcs[2].time.tolist() == [5, 6, 7]
    assert np.shares_memory(lcs[2].mag, lcs.mag)
    picked = lcs[np.array([2, 0])]
    assert picked.source_id.tolist() == [20, 30]
    assert picked.mag.tolist() == [2, 3, 4, 0, 1]
    assert lcs[np.array([True, False, True])].source_id.tolist() == [30, 20]
    assert lcs[-1].source_id == 20
    with pytest.raises(IndexError):
        lcs[3]


def test_arrays_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        three().mag[0] = 3.0


def test_unsorted_times_are_sorted_inside_each_star_only():
    lcs = LightCurves(np.array([1, 2]), np.array([0, 2, 4]), np.array([5.0, 4, 1, 2]), np.array([1.0, 2, 3, 4]))
    assert lcs.time.tolist() == [4, 5, 1, 2]
    assert lcs.mag.tolist() == [2, 1, 3, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source_id": np.array([30, 10, 10])}, "source_id 10 stands 2 times"),
        ({"offsets": np.array([0, 2, 5])}, r"offsets must have shape \(4,\)"),
        ({"offsets": np.array([0, 3, 2, 5])}, "offsets must rise"),
        ({"mag": np.arange(4.0)}, r"mag must have shape \(5,\)"),
        ({"mag": np.array([0, 1, 2, np.nan, 4])}, "star 20: mag is not finite at point 3"),
        ({"time": np.array([0, np.inf, 2, 3, 4])}, "star 30: time is not finite"),
        ({"mag_error": np.array([0.1, 0.1, -1, 0.1, 0.1])}, "star 20: mag_error"),
        ({"folded": True}, "star 30: phase 1.0 is outside"),
        ({"source_id": np.array([1.0, 2.0, 3.0])}, "must hold integers"),
    ],
)
def test_what_breaks_the_rules_is_named(change, message):
    lcs = three()
    fields = {name: getattr(lcs, name) for name in ("source_id", "offsets", "time", "mag", "mag_error")}
    with pytest.raises(BadLightCurve, match=message):
        LightCurves(**{**fields, **change})


def test_from_points_groups_drops_and_keeps_empty_stars():
    lcs = LightCurves.from_points([7, 5, 7, 9], [2.0, 1, 1, np.nan], [1.0, 2, 3, 4], [0.1, 0.0, np.inf, 1])
    assert lcs.source_id.tolist() == [7, 5, 9]
    assert lcs.n_epochs.tolist() == [2, 1, 0]
    assert lcs[0].mag.tolist() == [3, 1]
    assert np.isnan(lcs.mag_error).tolist() == [True, False, True]


def test_reindex_gives_unknown_stars_no_points():
    lcs = three().reindex(np.array([20, 99, 30]))
    assert lcs.n_epochs.tolist() == [3, 0, 2]
    assert lcs.time.tolist() == [5, 6, 7, 1, 2]


def test_arrow_round_trip_shares_memory():
    lcs = three()
    table = lcs.to_arrow()
    back = LightCurves.from_arrow(table)
    for name in ("source_id", "offsets", "time", "mag", "mag_error"):
        assert np.array_equal(getattr(back, name), getattr(lcs, name))
    assert np.shares_memory(back.mag, lcs.mag)
    assert LightCurves.from_arrow(table.slice(2)).time.tolist() == [5, 6, 7]
    with pytest.raises(MissingColumn, match="no column 'mag'"):
        LightCurves.from_arrow(pa.table({"source_id": [1], "time": [[1.0]]}))


@given(
    arrays(np.int64, st.integers(0, 30), elements=st.integers(1, 4)),
    st.randoms(use_true_random=False),
)
def test_order_of_points_does_not_matter(ids, random):
    time = np.arange(len(ids)) * 1.5
    order = list(range(len(ids)))
    random.shuffle(order)
    one = LightCurves.from_points(ids, time, time**2)
    two = LightCurves.from_points(ids[order], time[order], time[order] ** 2).reindex(one.source_id)
    assert np.array_equal(one.time, two.time)
    assert np.array_equal(one.mag, two.mag)


# ---------------------------------------------------------------------- what never mixes
def in_band(band: str, star: int, *, folded: bool = False) -> LightCurves:
    return LightCurves(np.array([star]), np.array([0, 1]), np.array([0.5]), np.array([15.0]), band=band, folded=folded)


def test_light_curves_of_one_band_are_joined():
    joined = LightCurves.concatenate([in_band("V", 1), in_band("V", 2)])
    assert (joined.band, joined.source_id.tolist()) == ("V", [1, 2])
    assert LightCurves.concatenate([in_band("V", 1, folded=True)]).folded


def test_unlike_bands_are_not_joined():
    with pytest.raises(BandMismatch, match=r"no\. 2 .*in band I \(Cousins\), the first are in band V \(Johnson\)"):
        LightCurves.concatenate([in_band("V", 1), in_band("I", 2)])


@pytest.mark.parametrize("first", [True, False])
def test_times_and_phases_are_not_joined(first):
    with pytest.raises(BadInput, match=r"no\. 2 .* have (times|phases), the first have (phases|times)"):
        LightCurves.concatenate([in_band("V", 1, folded=first), in_band("V", 2, folded=not first)])


def test_nothing_is_not_joined():
    with pytest.raises(BadInput, match="no light curves to join"):
        LightCurves.concatenate([])


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([2**62 + 1, 5], pa.int64()), [2**62 + 1, 5]),
        (pa.array([2**31, 5], pa.uint32()), [2**31, 5]),
        (pa.array([2**62 + 1, 5], pa.uint64()), [2**62 + 1, 5]),
        (pa.array([2**63 + 1, 5], pa.uint64()), [source_id_of(str(2**63 + 1)), 5]),
        (pa.array([7.0, 5.0], pa.float64()), [7, 5]),
        (pa.array([7.0, 5.0], pa.float32()), [7, 5]),
        (pa.array(["V1", "Gaia DR3 5"]), [source_id_of("V1"), 5]),
        (pa.array(["V1", "V2"]).dictionary_encode(), [source_id_of("V1"), source_id_of("V2")]),
    ],
)
def test_identifiers_from_arrow_are_exact(ids, expected):
    table = pa.table({"source_id": ids, "time": [[1.0], []], "mag": [[15.0], []]})
    assert LightCurves.from_arrow(table).source_id.tolist() == expected


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (pa.array([2.0**53, 5.0]), "cannot keep a Gaia source_id exact"),
        (pa.array([2.0**24, 5.0], pa.float32()), "cannot keep a Gaia source_id exact"),
        (pa.array([1.5, 5.0]), "cannot keep a Gaia source_id exact"),
        (pa.array([None, 5]), "source_id is missing in row 0"),
        (pa.array([None, "V1"]), "source_id is missing in row 0"),
    ],
)
def test_inexact_identifiers_from_arrow_are_refused(ids, message):
    with pytest.raises(BadColumn, match=f"the Arrow table: .*{message}"):
        LightCurves.from_arrow(pa.table({"source_id": ids, "time": [[1.0], []], "mag": [[15.0], []]}))


def test_unsigned_numbers_do_not_wrap_around():
    with pytest.raises(BadLightCurve, match="source_id 18446744073709551615 is beyond 63 bits"):
        LightCurves(np.array([2**64 - 1], np.uint64), np.array([0, 0]), np.array([]), np.array([]))
    with pytest.raises(BadLightCurve, match="beyond 63 bits"):
        LightCurves.from_points(np.array([2**63], np.uint64), [1.0], [15.0])
