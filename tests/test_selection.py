from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from photfeh.core.errors import BadInput, BandMismatch, MissingColumn, UnknownName
from photfeh.core.flags import Flag
from photfeh.samples.relations import get_relation
from photfeh.samples.selection import CUT_SETS, Cut, add_labels, apply_cuts, get_cuts, label_relations
from photfeh.samples.types import assign_types


def table(**columns) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    base = {"flag": np.zeros(n, int), "type": ["RRab"] * n, "feh": np.linspace(-2, -1, n)}
    return pd.DataFrame({**base, **columns})


def test_cut_flow_counts_every_step():
    stars = table(
        flag=[0, 0, 0, 0, int(Flag.NO_PERIOD), 0],
        type=["RRab", "RRc", "RRab", "RRab", "RRab", "RRab"],
        feh=[-1.0, -1, np.nan, -1, -1, -1],
        n_epochs=[60, 60, 60, 40, 60, 51],
    )
    keep, flow = apply_cuts(stars, get_cuts("n_epochs>50"), ("RRab",))
    assert keep.tolist() == [True, False, False, False, False, True]
    assert flow["cut"].tolist() == ["light curve", "type", "label", "n_epochs>50"]
    assert flow["n_before"].tolist() == [6, 5, 4, 3]
    assert flow["n_after"].tolist() == [5, 4, 3, 2]
    assert flow["n_alone"].tolist() == [5, 5, 5, 5]


def test_a_missing_value_never_passes():
    for operator in ("<", ">", "<=", ">=", "=="):
        assert not Cut("x", operator, 0.0).keeps(pd.DataFrame({"x": [np.nan]}))[0]


def test_founding_cuts_are_the_published_four():
    assert [str(cut) for cut in CUT_SETS["founding"]] == [
        "feh_error<0.4",
        "peak_to_peak<1.4",
        "n_epochs>50",
        "phi31_error<0.1",
    ]


def test_unreadable_cuts_are_refused():
    with pytest.raises(UnknownName, match="founding"):
        get_cuts("foundin")
    with pytest.raises(BadInput, match="cannot read the cut"):
        get_cuts("n_epochs ~ 5")
    with pytest.raises(MissingColumn, match="cut n_epochs>5"):
        Cut.parse("n_epochs > 5").keeps(pd.DataFrame({"x": [1]}))


def test_types_follow_period_and_shape_and_given_ones_stay():
    stars = assign_types(
        pd.DataFrame(
            {
                "period": [0.6, 0.3, 0.38, 0.38, 0.3, np.nan],
                "r21": [0.1, 0.5, 0.45, 0.15, 0.1, np.nan],
                "flag": [0, 0, 0, 0, 0, int(Flag.NO_PERIOD)],
                "type": [None, None, None, None, "RRd", None],
            }
        )
    )
    assert stars["type"].tolist()[:5] == ["RRab", "RRc", "RRab", "RRc", "RRd"]
    assert pd.isna(stars["type"].iloc[5])
    assert stars["type_source"].iloc[4] == "given"


def test_labels_by_relation_follow_the_type():
    stars = table(
        type=["RRab", "RRc"],
        period=[0.6, 0.3],
        phi31=[2.0, 3.0],
        phi31_error=[0.1, 0.1],
        a2=[0.1, 0.03],
        a2_error=[0.01] * 2,
    )
    labelled = add_labels(stars, "relation")
    for row, name in ((0, "muraveva-2025-rrab"), (1, "muraveva-2025-rrc")):
        feh, error = get_relation(name).feh(stars)
        assert labelled["feh"][row] == feh[row]
        assert labelled["feh_error"][row] == error[row]
    assert add_labels(stars, "none")["feh"].isna().all()


def relation_table() -> pd.DataFrame:
    return table(
        type=["RRab", "RRc", "EA"],
        period=[0.6, 0.3, 0.4],
        phi31=[2.0, 3.0, 2.0],
        phi31_error=[0.1] * 3,
        a1=[0.3, 0.2, 0.1],
        a1_error=[0.01] * 3,
        a2=[0.1, 0.03, 0.1],
        a2_error=[0.01] * 3,
    )


@pytest.mark.parametrize(
    ("labels", "band", "names"),
    [
        ("relation", "G", ("muraveva-2025-rrab", "muraveva-2025-rrc")),
        ("relation:high-resolution-2026-rrab", "G", ("high-resolution-2026-rrab", None)),
        ("relation:dekany-2021-rrab-i+dekany-2021-rrc-i", "I", ("dekany-2021-rrab-i", "dekany-2021-rrc-i")),
        ("relation: dekany-2021-rrc-i", "I", (None, "dekany-2021-rrc-i")),
        ("relation:jurcsik-kovacs-1996-rrab-v", "V", ("jurcsik-kovacs-1996-rrab-v", None)),
    ],
)
def test_any_relation_is_a_label(labels, band, names):
    stars = relation_table()
    labelled = add_labels(stars, labels, band=band)
    for row, name in enumerate((*names, None)):
        if name is None:
            assert np.isnan(labelled["feh"][row])
            assert labelled["feh_source"][row] == "none"
        else:
            feh, error = get_relation(name).feh(stars)
            assert labelled["feh"][row] == feh[row]
            assert labelled["feh_error"][row] == error[row]
            assert labelled["feh_source"][row] == name
    assert label_relations(labels, band) == tuple(get_relation(name) for name in names if name)


@pytest.mark.parametrize(
    ("labels", "band", "error", "words"),
    [
        ("relation", "RP", BandMismatch, r"in band RP \(Gaia\).*muraveva-2025-rrab.*band G \(Gaia\).*relation:NAME"),
        ("relation:jurcsik-kovacs-1996-rrab-v", "G", BandMismatch, r"G \(Gaia\).*V \(Johnson\)"),
        ("relation:muraveva-2025-rrab+dekany-2021-rrc-i", "G", BandMismatch, r"I \(Cousins\)"),
        ("relation:muraveva-2025-rrab+gaia-sos-dr3-rrab", "G", BadInput, "several relations for RRab"),
        ("relation:muraveva", "G", UnknownName, "unknown relation 'muraveva'"),
        ("relation:", "G", UnknownName, "unknown relation ''"),
        ("relations", "G", UnknownName, "unknown kind of labels 'relations'"),
        ("column:feh", "G", UnknownName, "kind of labels"),
    ],
)
def test_labels_that_cannot_be_given_are_refused_by_name(labels, band, error, words):
    for call in (lambda: label_relations(labels, band), lambda: add_labels(relation_table(), labels, band=band)):
        with pytest.raises(error, match=words):
            call()


def test_zero_label_errors_count_as_unknown():
    labelled = add_labels(table(feh_error=[0.0, 0.1, 0.2]), "column")
    assert np.isnan(labelled["feh_error"][0])
    with pytest.raises(MissingColumn, match="'feh'"):
        add_labels(table(x=[1]).drop(columns="feh"), "column")


@pytest.mark.real
def test_typing_agrees_with_ogle(real_data):
    from photfeh.readers import read_lightcurves, read_stars
    from photfeh.samples.measure import measure

    stars = read_stars(real_data / "gaia-dr3" / "stars.parquet")
    stars = stars[stars["ogle_type"].notna()].reset_index(drop=True)
    curves = read_lightcurves(real_data / "gaia-dr3" / "epoch_photometry.parquet")
    typed = measure(curves, stars.drop(columns="type", errors="ignore")).table
    agree = (typed["type"] == stars["ogle_type"]).mean()
    assert len(stars) > 700
    assert agree > 0.95
