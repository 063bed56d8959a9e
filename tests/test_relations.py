from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from photfeh.core.bands import BANDS
from photfeh.core.errors import MissingColumn, UnknownName
from photfeh.samples.relations import RELATIONS, get_relation


def stars(**columns: float) -> pd.DataFrame:
    return pd.DataFrame({name: [value] for name, value in columns.items()})


@pytest.mark.parametrize(
    ("name", "star", "feh"),
    [
        # worked out by hand from the published coefficients
        ("muraveva-2025-rrab", {"period": 0.6, "phi31": 2.0}, -1.82),
        ("muraveva-2025-rrc", {"period": 0.3, "phi31": 3.0, "a2": 0.02}, -1.2588),
        ("gaia-sos-dr3-rrab", {"period": 0.5, "phi31": 2.0}, -0.9032252),
        # these four belong to sine series, whose phi31 is larger by pi
        ("dekany-2021-rrab-i", {"period": 0.5, "phi31": 6.0 - np.pi, "a2": 0.1}, -0.9275),
        ("dekany-2021-rrc-i", {"period": 0.3, "phi31": 7.0 - np.pi, "a1": 0.14, "a2": 0.01}, -0.96034),
        ("high-resolution-2026-rrab", {"period": 0.55, "phi31": 5.2 - np.pi}, -1.672),
        ("jurcsik-kovacs-1996-rrab-v", {"period": 0.55, "phi31": 5.1 - np.pi}, -1.1452),
    ],
)
def test_closed_form_values(name, star, feh):
    errors = {f"{column}_error": 0.0 for column in ("phi31", "a1", "a2")}
    for turn in (0, -1, 1, 2):
        moved = star | {"phi31": star["phi31"] + 2 * np.pi * turn}
        assert get_relation(name).feh(stars(**moved, **errors))[0][0] == pytest.approx(feh, abs=1e-9)


def test_every_relation_is_for_a_known_band_and_says_its_scatter():
    assert {relation.band for relation in RELATIONS.values()} <= set(BANDS)
    scatter = {name: np.sqrt(relation.variance) for name, relation in RELATIONS.items()}
    assert scatter["jurcsik-kovacs-1996-rrab-v"] == pytest.approx(0.14)
    assert np.isnan(scatter.pop("gaia-sos-dr3-rrab"))  # none was published: no error is better than a wrong one
    assert all(0.1 < value < 0.5 for value in scatter.values())


def test_errors_propagate_as_a_numerical_derivative_says():
    for relation in RELATIONS.values():
        table = stars(period=0.5, phi31=2.3, a1=0.3, a2=0.1)
        errors = {"period": 1e-3, "phi31": 0.05, "a1": 0.01, "a2": 0.004}
        variance = relation.variance
        for name in relation.columns:
            step = table.assign(**{name: table[name] + 1e-6})
            zero = {f"{column}_error": 0.0 for column in errors}
            slope = (relation.feh(step.assign(**zero))[0] - relation.feh(table.assign(**zero))[0])[0] / 1e-6
            variance += (slope * errors[name]) ** 2
        for term, value in relation.coefficient_variance.items():
            variance += value * np.prod([table[part][0] for part in term.split("*")]) ** 2
        _, error = relation.feh(table.assign(**{f"{name}_error": value for name, value in errors.items()}))
        assert error[0] == pytest.approx(np.sqrt(variance), rel=1e-4, nan_ok=True), relation.name


def test_missing_parameters_are_named_and_nan_stays_nan():
    relation = get_relation("muraveva-2025-rrc")
    with pytest.raises(MissingColumn, match="'a2'"):
        relation.feh(stars(period=0.3, phi31=3.0, phi31_error=0.1))
    with pytest.raises(MissingColumn, match="'phi31_error'"):
        get_relation("muraveva-2025-rrab").feh(stars(period=0.3, phi31=3.0))
    with pytest.raises(UnknownName, match="Did you mean 'muraveva-2025-rrc'"):
        get_relation("muraveva-2025-rc")
    feh, error = get_relation("muraveva-2025-rrab").feh(stars(period=0.5, phi31=np.nan, phi31_error=np.nan))
    assert np.isnan(feh[0])
    assert np.isnan(error[0])


@pytest.mark.real
@pytest.mark.parametrize("kind", ["RRab", "RRc"])
def test_published_lmc_metallicities_are_reproduced(real_data, kind):
    table = pd.read_parquet(real_data / "muraveva-lmc" / "stars.parquet").query("type == @kind")
    feh, error = get_relation(f"muraveva-2025-{kind.lower()}").feh(table)
    assert len(table) > 800
    assert np.abs(feh - table["feh"]).max() < 1e-9
    assert np.median(np.abs(error - table["feh_error"])) < 0.01


@pytest.mark.real
def test_gaias_own_metallicities_are_reproduced(real_data):
    table = pd.read_parquet(real_data / "gaia-dr3" / "stars.parquet")
    table = table[table["gaia_metallicity"].notna() & table["gaia_pf"].notna()]
    columns = {"period": table["gaia_pf"], "phi31": table["gaia_phi31_g"], "phi31_error": 0.0}
    feh, _ = get_relation("gaia-sos-dr3-rrab").feh(pd.DataFrame(columns))
    assert len(table) > 30
    assert np.abs(feh - table["gaia_metallicity"]).max() < 1e-5


@pytest.mark.real
@pytest.mark.parametrize(("kind", "tolerance"), [("rrab", 0.1), ("rrc", 1e-5)])
def test_i_band_metallicities_are_those_of_others(real_data, kind, tolerance):
    """Values made elsewhere from OGLE's Fourier parameters; for RRab with coefficients that were fitted anew."""
    table = pd.read_parquet(real_data / "ogle-i-band" / f"gaia_dr3_{kind}.parquet").dropna()
    table = table.rename(columns={"a1_i": "a1", "a2_i": "a2", "phi31_i": "phi31"})
    feh, _ = get_relation(f"dekany-2021-{kind}-i").feh(table.assign(phi31_error=0.0, a1_error=0.0, a2_error=0.0))
    assert len(table) > 250
    assert np.abs(feh - table["feh_i"]).max() < tolerance


@pytest.mark.real
def test_relations_against_high_resolution_spectroscopy(real_data):
    """Bias and scatter as published for these 95 stars, which no relation here was fitted to."""
    table = pd.read_parquet(real_data / "crestani-spectroscopic" / "stars.parquet")
    columns = {"period": table["pf"], "phi31": table["phi31_g"], "phi31_error": table["phi31_g_error"]}
    for name, bias, scatter in (
        ("high-resolution-2026-rrab", -0.15, 0.53),
        ("muraveva-2025-rrab", -0.01, 0.36),
        ("gaia-sos-dr3-rrab", 0.32, 0.63),
    ):
        difference = get_relation(name).feh(pd.DataFrame(columns))[0] - table["feh"]
        assert difference.mean() == pytest.approx(bias, abs=0.02), name
        assert difference.std() == pytest.approx(scatter, abs=0.02), name


@pytest.mark.real
def test_the_v_band_relation_lies_on_its_known_scale(real_data):
    """Some 0.3 to 0.4 dex above the scale of Crestani+ 2021, as known; a phase that is off by pi would cost 4 dex."""
    table = pd.read_parquet(real_data / "ogle-i-band" / "gaia_dr3_bulge_rrab.parquet")
    table = table[table["feh_i"].notna() & table["phi31_v"].notna()]
    assert 4.5 < table["phi31_v"].median() < 5.5  # these are of sine series; in cosine series RRab have some 2
    columns = {"period": table["period_v"], "phi31": table["phi31_v"] - np.pi, "phi31_error": 0.0}
    difference = get_relation("jurcsik-kovacs-1996-rrab-v").feh(pd.DataFrame(columns))[0] - table["feh_i"]
    assert len(table) > 100
    assert 0.1 < difference.median() < 0.6
