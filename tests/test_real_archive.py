"""The real data sets that docs/data.md names: every file is read, and those that overlap agree."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from photfeh import LightCurves
from photfeh.readers import iter_lightcurves, read_lightcurves, read_stars

DATA = Path(os.environ.get("PHOTFEH_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason="no folder $PHOTFEH_DATA with the real data (docs/data.md)"),
]


def same(found: LightCurves, expected: LightCurves) -> None:
    for name in ("source_id", "offsets", "time", "mag", "mag_error"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("band", ["G", "BP", "RP"])
def test_gaia_archive_table(band: str) -> None:
    path = DATA / "gaia-dr3" / "epoch_photometry.parquet"
    began = time.perf_counter()
    lcs = read_lightcurves(path, band=band)
    assert time.perf_counter() - began < 10  # about a third of a second on an idle core
    table = pq.read_table(path).to_pandas()
    good = table[
        (table.band == band) & ~table.rejected_by_photometry & ~table.rejected_by_variability & table.mag.notna()
    ]
    assert lcs.source_id.tolist() == table.source_id.unique().tolist()
    assert len(lcs.time) == len(good)
    expected = good.sort_values(["source_id", "time"])
    np.testing.assert_array_equal(lcs.time, expected.time)
    np.testing.assert_array_equal(lcs.mag, expected.mag)
    np.testing.assert_allclose(lcs.mag_error, 1.0857 / expected.flux_over_error, rtol=4e-5)
    without = table.drop(columns=["mag", "flux_error"])
    np.testing.assert_allclose(read_lightcurves(without, band=band).mag, lcs.mag, atol=1e-10)


def test_stream_of_the_gaia_table() -> None:
    path = DATA / "gaia-dr3" / "epoch_photometry.parquet"
    parts = list(iter_lightcurves(path, stars_per_chunk=999))
    same(LightCurves.concatenate(parts), read_lightcurves(path))


def test_raw_archive_files_equal_the_table() -> None:
    folder = DATA / "gaia-dr3" / "raw-archive-csv"
    files = sorted(folder.iterdir())
    raw = read_lightcurves(folder)
    assert [f"EPOCH_PHOTOMETRY-Gaia DR3 {star}.csv" for star in raw.source_id] == [file.name for file in files]
    same(raw, read_lightcurves(DATA / "gaia-dr3" / "epoch_photometry.parquet").reindex(raw.source_id))
    same(read_lightcurves(files[-1]), raw.reindex(raw.source_id[-1:]))


def test_generic_table_with_unknown_errors() -> None:
    path = DATA / "crestani-spectroscopic" / "epoch_photometry.parquet"
    lcs, table = read_lightcurves(path), pq.read_table(path).to_pandas()
    assert lcs.n_epochs.tolist() == table.groupby("source_id", sort=False).size().tolist()
    np.testing.assert_array_equal(np.isnan(lcs.mag_error).sum(), table.mag_error.isna().sum())
    assert np.isnan(lcs.mag_error).any()


def test_folded_curves_beside_their_periods() -> None:
    path = DATA / "dekany-grebel-2022" / "stars.parquet"
    lcs, stars = read_lightcurves(path), read_stars(path)
    assert lcs.folded
    assert lcs.source_id.tolist() == stars.source_id.tolist()
    assert "phase" not in stars.columns
    assert stars.period.between(0.2, 1.2).all()
    table = pq.read_table(path, columns=["phase", "mag"]).to_pydict()
    assert lcs.n_epochs.tolist() == [len(phases) for phases in table["phase"]]
    np.testing.assert_allclose(np.sort(lcs[3].mag), np.sort(table["mag"][3]), rtol=1e-7)


@pytest.mark.filterwarnings("ignore:.*3 of 95 entries of 'feh_error' are no possible values")  # zeros of crestani
@pytest.mark.parametrize("folder", ["gaia-dr3", "dekany-grebel-2022", "crestani-spectroscopic", "muraveva-lmc"])
def test_star_tables(folder: str) -> None:
    path = DATA / folder / "stars.parquet"
    stars = read_stars(path)
    assert len(stars) == pq.read_metadata(path).num_rows
    assert stars.source_id.tolist() == pq.read_table(path)["source_id"].to_pylist()
    assert stars.period.notna().mean() > 0.99
    assert stars.period.dropna().between(0.1, 1.5).all()
