from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from photfeh.core.errors import MissingColumn, UnknownName
from photfeh.samples.relations import RELATIONS, get_relation


def stars(**columns: float) -> pd.DataFrame:
    return pd.DataFrame({name: [value] for name, value in columns.items()})


def test_closed_form_values():
    feh, _ = get_relation("muraveva-2025-rrab").feh(stars(period=0.6, phi31=2.0, phi31_error=0.1))
    assert feh[0] == pytest.approx(-0.37 - 5.55 * 0.6 + 0.94 * 2.0, abs=1e-12)
    feh, _ = get_relation("gaia-sos-dr3-rrab").feh(stars(period=0.5, phi31=2.0, phi31_error=0.1))
    expected = 3.0336834 - 20.127524 * 0.5 + 1.3684267 * 2 + 6.27 * 0.5 * 2 - 0.72 * 4
    assert feh[0] == pytest.approx(expected, abs=1e-12)
    # the sine-series value is larger by pi
    feh, _ = get_relation("jurcsik-kovacs-1996-rrab-v").feh(stars(period=0.55, phi31=5.1 - np.pi, phi31_error=0.0))
    assert feh[0] == pytest.approx(-5.038 - 5.394 * 0.55 + 1.345 * 5.1, abs=1e-12)


def test_phi31_is_wrapped_where_the_relation_says_so():
    relation = get_relation("dekany-2021-rrab-i")
    one, _ = relation.feh(stars(period=0.5, phi31=5.9, phi31_error=0.1, a2=0.1, a2_error=0.01))
    two, _ = relation.feh(stars(period=0.5, phi31=5.9 - 2 * np.pi, phi31_error=0.1, a2=0.1, a2_error=0.01))
    assert one == pytest.approx(two)


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
        assert error[0] == pytest.approx(np.sqrt(variance), rel=1e-4), relation.name


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
