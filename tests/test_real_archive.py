"""The real data sets that docs/data.md names: every file is read, and those that overlap agree."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import photfeh as pf
from archive_server import ArchiveServer
from photfeh import LightCurves
from photfeh.archive.gaia import ADDRESS_VARIABLE
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


@pytest.mark.parametrize("release", ["dr3", "dr4"])
@pytest.mark.parametrize(
    ("structure", "format", "layout"),
    [
        ("individual", "votable", "wide"),
        ("individual", "csv", "wide"),
        ("individual", "votable", "long"),
        ("raw", "votable", "wide"),
    ],
)
def test_a_real_star_is_the_same_in_every_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, structure: Any, format: str, layout: str
) -> None:
    """Written by the server of the tests as the archive would, fetched, and compared with the table, bit for bit."""
    path = DATA / "gaia-dr3" / "epoch_photometry.parquet"
    table = pq.read_table(path).to_pandas()
    # in the wide layouts a transit has a row, and all three bands share the flag of photometry
    sizes = table.groupby(["source_id", "band"]).size().unstack()
    shared = table.groupby(["source_id", "transit_id"])["rejected_by_photometry"].nunique().groupby("source_id").max()
    star = int(sizes.index[(sizes.nunique(axis=1) == 1) & (sizes["G"] > 25) & (shared.reindex(sizes.index) == 1)][0])
    rows = table[table["source_id"] == star].astype({"source_id": "int64"})
    rows = rows.assign(solution_id=1, other_flags=rows.get("other_flags", 1))
    stars = pd.DataFrame({"source_id": [star], "period": [0.5], "type": ["RRab"]})
    with ArchiveServer(rows, stars) as server:
        monkeypatch.setenv(ADDRESS_VARIABLE, server.address)
        server.layout = layout
        result = pf.fetch([star], output=tmp_path, release=release, structure=structure, format=format)
    for band in ("G", "BP", "RP"):
        same(read_lightcurves(result.epochs, band=band), read_lightcurves(path, band=band).reindex(np.array([star])))


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
