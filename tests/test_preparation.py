from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import photfeh as pf
from photfeh.core.errors import BadFile, BadInput, UnknownName
from photfeh.samples.dataset import Dataset
from photfeh.samples.measure import measure
from photfeh.samples.preparation import prepare
from photfeh.samples.sequences import Representation, build_sequences
from photfeh.simulation.survey import Simulation, write_simulation


def test_a_data_set_is_read_back_identically(survey: Simulation, dataset: Dataset):
    measured = measure(survey.curves, survey.stars)
    opened = Dataset.open(dataset.folder)
    assert opened.stars["source_id"].tolist() == survey.stars["source_id"].tolist()
    for kind in ("raw", "raw-spline", "spline"):
        direct, stored = build_sequences(measured, Representation(kind=kind)), opened.sequences(kind)
        for name in ("values", "mask", "features", "source_id"):
            assert np.array_equal(getattr(stored, name), getattr(direct, name), equal_nan=True), (kind, name)
        assert stored.representation == Representation(kind=kind)
    for name in measured.table.columns:
        if name in ("feh", "feh_error"):
            continue
        pd.testing.assert_series_equal(opened.stars[name], measured.table[name], check_dtype=False)
    assert json.loads((dataset.folder / "dataset.json").read_text())["truth"] == "simulation"


def test_curves_are_the_epochs_and_a_line_through_them(survey: Simulation, dataset: Dataset):
    chosen = dataset.stars["source_id"].to_numpy()[[7, 3]]
    found = dataset.curves([*chosen, 12])
    assert list(found) == [chosen[1], chosen[0]]
    for star, curve in found.items():
        observed = survey.curves[int(np.flatnonzero(survey.stars["source_id"] == star)[0])]
        assert set(np.round(curve["mag"], 4)) <= set(np.round(np.asarray(observed.mag), 4))
        assert len(curve["mag"]) > 0.8 * len(observed.mag)
        grid, line = curve["curve_phase"], curve["curve_mag"]
        on_line = np.interp(curve["phase"], [*(grid - 1.0), *grid, *(grid + 1.0)], np.tile(line, 3))
        assert np.std(curve["mag"] - on_line) < 0.3 * np.std(curve["mag"])


def test_chunks_do_not_matter_and_an_interrupted_run_goes_on(survey: Simulation, tmp_path, caplog):
    write_simulation(500, tmp_path / "survey", seed=5)
    epochs, stars = tmp_path / "survey" / "epochs.parquet", tmp_path / "survey" / "stars.parquet"
    options = {"labels": "column", "cuts": "none", "types": ("RRab", "RRc"), "stars_per_chunk": 60}
    done = []

    def stop(count, total):
        done.append(count)
        if len(done) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(epochs, stars, tmp_path / "d", progress=stop, **options)
    with pytest.raises(BadFile, match="was interrupted"):
        Dataset.open(tmp_path / "d")
    assert len(list((tmp_path / "d" / "parts").glob("chunk.*"))) == 4
    with caplog.at_level("INFO", "photfeh"):
        chunked = prepare(epochs, stars, tmp_path / "d", **options)
    assert "4 of 9 parts taken from an earlier call" in caplog.text
    whole = prepare(epochs, stars, tmp_path / "w", **{**options, "stars_per_chunk": 10_000})
    pd.testing.assert_frame_equal(chunked.stars, whole.stars)
    for kind in ("raw", "spline"):
        assert np.array_equal(chunked.sequences(kind).values, whole.sequences(kind).values)
    assert not (tmp_path / "d" / "parts").exists()
    with pytest.raises(BadInput, match="already holds a data set"):
        prepare(epochs, stars, tmp_path / "d", **options)


def test_labels_default_to_the_column_or_else_the_relation(survey: Simulation, tmp_path):
    given = prepare(survey.curves, survey.stars, tmp_path / "a", representations=("raw",))
    assert np.allclose(given.stars["feh"], survey.stars["feh"])
    bare = survey.stars[["source_id", "period"]]
    made = prepare(survey.curves, bare, tmp_path / "b", representations=("raw",), cuts="relaxed")
    assert made.truth == "same-curve formula"
    sample = made.stars.iloc[made.sample]
    assert (sample["phi31_error"] < 0.1).all()
    assert (sample["n_epochs"] > 20).all()
    truth = survey.stars["feh"].to_numpy()[made.sample]
    assert np.median(np.abs(sample["feh"] - truth)) < 0.08
    none = prepare(survey.curves, bare, tmp_path / "c", representations=("raw",), labels="none")
    assert len(none.sample) == 0


def test_assumed_type_and_wrong_input(survey: Simulation, tmp_path):
    bare = survey.stars[["source_id", "period"]]
    made = prepare(survey.curves, bare, tmp_path / "a", representations=("raw",), labels="none", assume_type="RRab")
    assert (made.stars["type"] == "RRab").all()
    with pytest.raises(UnknownName, match="set of cuts"):
        prepare(survey.curves, bare, tmp_path / "b", cuts="strict")
    with pytest.raises(BadInput, match="not one source_id"):
        prepare(survey.curves, bare.assign(source_id=bare["source_id"] + 1), tmp_path / "c")
    with pytest.raises(BadInput, match="no rows"):
        prepare(survey.curves, bare.iloc[:0], tmp_path / "d")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "thesis.tex").write_text("precious")
    with pytest.raises(BadInput, match="not empty"):
        prepare(survey.curves, bare, tmp_path / "e")


def test_each_representation_may_have_a_length_of_its_own(survey: Simulation, tmp_path):
    stars = survey.stars[:20]
    kinds, points = ("raw", "spline"), {"raw": 128, "spline": 64}
    short = prepare(survey.curves, stars, tmp_path / "a", cuts="none", representations=kinds, n_points=points)
    long = prepare(survey.curves, stars, tmp_path / "b", cuts="none", representations=("spline",), n_points=256)
    assert {kind: short.sequences(kind).values.shape for kind in kinds} == {"raw": (20, 128, 2), "spline": (20, 64, 2)}
    # phases are k / n_points: every fourth step of the finer curve is a step of the coarser one, but for its mean
    assert np.allclose(short.sequences("spline").values, long.sequences("spline").values[:, ::4], atol=1e-4)
    with pytest.raises(BadInput, match="n_points is for raw, spline, but the representations are spline"):
        prepare(survey.curves, stars, tmp_path / "c", representations=("spline",), n_points=points)


def test_importing_the_package_is_cheap():
    """No torch, no scikit-learn, no files read: a fresh interpreter says so."""
    import subprocess
    import sys

    code = "import sys, photfeh; print([m for m in ('torch', 'sklearn', 'pandas', 'numba') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert set(pf.__all__) <= set(dir(pf))
    for name in pf.__all__:
        assert getattr(pf, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pf.nothing


@pytest.mark.real
def test_real_gaia_and_folded_curves_are_prepared(real_data, tmp_path):
    folder = real_data / "gaia-dr3"
    gaia = prepare(
        folder / "epoch_photometry.parquet", folder / "stars.parquet", tmp_path / "g", representations=("raw",)
    )
    assert len(gaia) == 4064
    assert gaia.cut_flow["cut"].tolist()[3:] == [
        "feh_error<0.4",
        "peak_to_peak<1.4",
        "n_epochs>50",
        "phi31_error<0.1",
    ]
    table = real_data / "dekany-grebel-2022" / "stars.parquet"
    folded = prepare(table, table, tmp_path / "d", representations=("raw",), assume_type="RRab")
    assert len(folded.sample) == 2319
