"""Folders, patterns, lists of files; streams of bounded memory; writing and reading back."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photfeh import LightCurves
from photfeh.core.errors import BadColumn, BadFile, BadInput, PhotfehWarning
from photfeh.readers import iter_lightcurves, read_lightcurves, stream, to_long, write_lightcurves


def points(stars: int = 7, seed: int = 0, first: int = 100) -> pd.DataFrame:
    """One row a point and band, stars of different length together, identifiers not in order of size."""
    rng = np.random.default_rng(seed)
    ids = first + rng.permutation(stars)
    owner = np.repeat(ids, rng.integers(1, 9, stars))
    n = len(owner)
    table = pd.DataFrame({"source_id": owner, "time": rng.permutation(n) + 0.5, "mag": rng.normal(16, 1, n)})
    table["band"] = rng.choice(["G", "BP"], n)
    table["rejected_by_variability"] = rng.random(n) < 0.3
    table.loc[0, ["band", "rejected_by_variability"]] = ["G", False]
    return table


def same(found: LightCurves, expected: LightCurves) -> None:
    assert (found.band, found.folded) == (expected.band, expected.folded)
    for name in ("source_id", "offsets", "time", "mag", "mag_error"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def one_file_a_star(table: pd.DataFrame, folder: Path, pattern: str = "EPOCH_PHOTOMETRY-Gaia DR3 {}.csv") -> list[Path]:
    paths = []
    for star, rows in table.groupby("source_id", sort=False):
        paths.append(folder / pattern.format(star))
        rows.drop(columns="source_id").to_csv(paths[-1], index=False)
    return paths


# ---------------------------------------------------------------------- several files
def test_folder_pattern_and_list_give_the_same(tmp_path: Path) -> None:
    table = points().assign(band="G")
    paths = one_file_a_star(table, tmp_path)
    (tmp_path / "README.txt").write_text("not a table")
    (tmp_path / ".hidden.csv").write_text("not a table")
    (tmp_path / "_metadata.csv").write_text("not a table")
    expected = read_lightcurves(table.sort_values("source_id", kind="stable"))
    same(read_lightcurves(tmp_path), expected)
    same(read_lightcurves(str(tmp_path / "*.csv")), expected)
    same(read_lightcurves(str(tmp_path.parent / "**" / f"{tmp_path.name}" / "EPOCH*.csv")), expected)
    same(read_lightcurves(sorted(paths)), expected)
    same(read_lightcurves([str(path) for path in sorted(paths)] * 2), expected)


def test_a_path_with_brackets_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "star [7].csv"
    path.write_text("time,mag\n1,15\n")
    assert read_lightcurves(path).source_id.tolist() == [7]


@pytest.mark.parametrize(
    ("name", "star"),
    [("EPOCH_PHOTOMETRY-Gaia DR3 1204518424202454272.csv", 1204518424202454272), ("a1b22.CSV", 22), ("v2_5.csv.gz", 5)],
)
def test_identifier_from_the_file_name(name: str, star: int, tmp_path: Path) -> None:
    pd.DataFrame({"time": [1.0], "mag": [15.0]}).to_csv(tmp_path / name, index=False)
    assert read_lightcurves(tmp_path / name).source_id.tolist() == [star]
    pd.DataFrame({"source_id": [3], "time": [1.0], "mag": [15.0]}).to_csv(tmp_path / name, index=False)
    assert read_lightcurves(tmp_path / name).source_id.tolist() == [3]


@pytest.mark.parametrize("name", ["star.csv", "epochs.csv"])
def test_no_identifier_anywhere(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("time,mag\n1,15\n")
    with pytest.raises(
        BadFile, match=rf"{name} has no column 'source_id' and no identifier in its name. Add the column"
    ):
        read_lightcurves(tmp_path / name)


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    table = points().assign(band="G")
    one_file_a_star(table, tmp_path)
    (tmp_path / "1 empty.csv").touch()
    (tmp_path / "2 text.csv").write_text("time,mag\nlong,faint\n")
    (tmp_path / "3 other.csv").write_text("when,how\n1,2\n")
    whole = tmp_path / "4 whole.parquet"
    table.to_parquet(whole)
    (tmp_path / "4.parquet").write_bytes(whole.read_bytes()[:-20])
    whole.unlink()
    with pytest.warns(PhotfehWarning) as said:
        lcs = read_lightcurves(tmp_path)
    same(lcs, read_lightcurves(table.sort_values("source_id", kind="stable")))
    texts = [str(warning.message) for warning in said]
    expected = [
        "1 empty.csv is empty",
        "2 text.csv: column 'time' holds text",
        "3 other.csv has no column 'time'",
        "4.parquet cannot",
    ]
    assert len(texts) == 4
    assert all(part in text and "(file left out)" in text for part, text in zip(expected, texts, strict=True))


def test_many_bad_files_are_counted_not_listed(tmp_path: Path) -> None:
    (tmp_path / "9.csv").write_text("time,mag\n1,15\n")
    for number in range(25):
        (tmp_path / f"bad{number}.csv").touch()
    with pytest.warns(PhotfehWarning) as said:
        assert len(read_lightcurves(tmp_path)) == 1
    assert len(said) == 21
    assert "5 more files could not be read" in str(said[-1].message)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"holds no file of a known kind \(.*\.parquet.*\*\*/\*\.csv"):
        read_lightcurves(tmp_path)
    with pytest.raises(BadFile, match="no file of a known kind matches"):
        read_lightcurves(str(tmp_path / "*.csv"))
    with pytest.raises(BadFile, match="the list of files is empty"):
        read_lightcurves([])
    with pytest.raises(BadInput, match="a list of files must hold paths, found DataFrame"):
        read_lightcurves([points(), "a.csv"])
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.parquet").touch()
    for read in (read_lightcurves, lambda source: list(iter_lightcurves(source))):
        with pytest.raises(BadFile, match=r"none of the 2 files could be read; the first: .*a\.csv is empty"):
            read(tmp_path)
        with pytest.raises(BadFile, match=r"absent\.parquet does not exist"):
            read(tmp_path / "absent.parquet")
        with pytest.raises(BadFile, match=r"none of the 1 files could be read; the first: .*b\.parquet is empty"):
            read(str(tmp_path / "*.parquet"))


def test_a_single_file_is_refused_for_its_own_reason(tmp_path: Path) -> None:
    path = tmp_path / "1.csv"
    path.write_text("time,mag\nearly,15\n")
    with pytest.raises(BadColumn, match=r"1\.csv: column 'time' holds text"):
        read_lightcurves(path)
    points().to_csv(path, index=False)
    with pytest.raises(BadInput, match=r"1\.csv has no band 'RP'; it holds (G, BP|BP, G)"):
        read_lightcurves(path, band="RP")


def test_points_of_one_star_in_several_files_are_joined(tmp_path: Path) -> None:
    table = points(stars=3).assign(band="G", rejected_by_variability=False)
    table.iloc[::2].to_csv(tmp_path / "a.csv", index=False)
    table.iloc[1::2].to_parquet(tmp_path / "b.parquet")
    joined = read_lightcurves(tmp_path)
    same(joined.reindex(table.source_id.unique()), read_lightcurves(table))
    table.to_csv(tmp_path / "c.csv", index=False)
    with pytest.warns(PhotfehWarning, match=rf"{len(table)} points stand in more than one file"):
        same(read_lightcurves(tmp_path), joined)


def test_a_star_without_points_in_one_file_has_those_of_another(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("source_id,time,mag\n1,2,\n2,3,15\n")
    (tmp_path / "b.csv").write_text("source_id,time,mag\n1,2,16\n")
    with pytest.warns(PhotfehWarning, match="1 of 3 points have no magnitude, first of star 1"):
        lcs = read_lightcurves(tmp_path)
    assert (lcs.source_id.tolist(), lcs.mag.tolist()) == ([1, 2], [16.0, 15.0])


def test_times_and_phases_do_not_mix(tmp_path: Path) -> None:
    for name, column in (("1", "time"), ("2", "phase")):
        pd.DataFrame({"source_id": [int(name)], column: [0.5], "mag": [15.0]}).to_parquet(tmp_path / f"{name}.parquet")
    for read in (read_lightcurves, lambda source: list(iter_lightcurves(source))):
        with pytest.raises(BadInput, match="some files hold times and others phases"):
            read(tmp_path)


# ---------------------------------------------------------------------- streaming
def chunks_equal_whole(source: object, size: int, band: str = "G") -> None:
    whole = read_lightcurves(source, band=band)
    parts = list(iter_lightcurves(source, band=band, stars_per_chunk=size))
    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert 0 < len(parts[-1]) <= size
    same(LightCurves.concatenate(parts), whole)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    stars=st.integers(1, 30),
    batch=st.integers(1, 60),
    group=st.integers(1, 60),
    size=st.integers(1, 12),
    lists=st.booleans(),
)
def test_chunks_together_are_the_whole(seed: int, stars: int, batch: int, group: int, size: int, lists: bool) -> None:
    """Whatever the batches, row groups and chunks: no star is cut, lost or doubled."""
    table = points(stars, seed)
    if lists:
        table = table.groupby("source_id", sort=False).agg(list).reset_index()
        table["empty"] = [[]] * len(table)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "_POINTS_PER_BATCH", batch)
        patch.setattr(stream, "_STARS_PER_BATCH", batch)
        path = Path(folder) / "epochs.parquet"
        pq.write_table(pa.Table.from_pandas(table), path, row_group_size=group)
        chunks_equal_whole(path, size)


def test_chunks_of_folders_other_formats_and_memory(tmp_path: Path) -> None:
    table = points(40).assign(band="G")
    for number, start in enumerate(range(0, 40, 10)):
        part = table[table.source_id.isin(table.source_id.unique()[start : start + 10])]
        part.to_parquet(tmp_path / f"part{number}.parquet")
    chunks_equal_whole(tmp_path, 7)
    (tmp_path / "csv").mkdir()
    one_file_a_star(table, tmp_path / "csv")
    chunks_equal_whole(tmp_path / "csv", 7)
    chunks_equal_whole(table, 7)
    chunks_equal_whole(read_lightcurves(table), 40)
    table.drop(columns="source_id").to_parquet(tmp_path / "77.parquet")
    chunks_equal_whole(tmp_path / "77.parquet", 3)


@pytest.mark.parametrize("kind", ["struct of lists", "list of structs"])
def test_a_nested_catalogue_is_streamed(kind: str, tmp_path: Path) -> None:
    """The form of HATS catalogues: one row a star, the epochs in one nested column."""
    table = points(30)
    groups = [rows.drop(columns="source_id") for _, rows in table.groupby("source_id", sort=False)]
    epochs = [rows.to_dict("list" if kind == "struct of lists" else "records") for rows in groups]
    nested = pa.table({"source_id": table.source_id.unique(), "ra": np.zeros(30), "epoch_photometry": epochs})
    pq.write_table(nested, tmp_path / "nested.parquet", row_group_size=7)
    chunks_equal_whole(tmp_path / "nested.parquet", 4)
    same(read_lightcurves(tmp_path / "nested.parquet"), read_lightcurves(table))


def test_a_bad_file_does_not_stop_the_stream(tmp_path: Path) -> None:
    points(5).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing PAR1")
    pq.write_table(pa.table({"source_id": pa.array([], pa.int64()), "time": [], "mag": []}), tmp_path / "c.parquet")
    points(5, first=900).to_parquet(tmp_path / "d.parquet")
    with pytest.warns(PhotfehWarning, match=r"b\.parquet cannot be read|c\.parquet holds no rows") as said:
        parts = list(iter_lightcurves(tmp_path, stars_per_chunk=4))
    assert (len(said), sum(map(len, parts))) == (2, 10)


def test_damage_inside_a_stream_is_found_and_stops_only_that_file(tmp_path: Path) -> None:
    """The footer may be whole while a page is not; or one file of several may hold words for numbers."""
    path = tmp_path / "a.parquet"
    points(3000).to_parquet(path, compression="zstd")
    column = pq.read_metadata(path).row_group(0).column(2)
    assert column.path_in_schema == "mag"
    damaged = bytearray(path.read_bytes())
    middle = column.data_page_offset + column.total_compressed_size // 2
    damaged[middle : middle + 400] = bytes(400)
    path.write_bytes(damaged)
    with pytest.raises(BadFile, match=r"a\.parquet cannot be read as \.parquet"):
        list(iter_lightcurves(path))
    points(5, first=9000).to_parquet(tmp_path / "b.parquet")
    points(5, first=9900).assign(mag="faint").to_parquet(tmp_path / "c.parquet")
    with pytest.warns(PhotfehWarning) as said:
        parts = list(iter_lightcurves(tmp_path))
    texts = [str(warning.message) for warning in said]
    assert ["a.parquet cannot" in texts[0], "c.parquet: column 'mag' holds text" in texts[1]] == [True, True]
    assert sum(map(len, parts)) == 5


def test_rows_that_are_not_ordered_by_star(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mixed.parquet"
    table = points(10)
    table.sample(frac=1, random_state=1).to_parquet(path)
    chunks_equal_whole(path, 3)  # small: read whole
    monkeypatch.setattr(stream, "_WHOLE_BELOW", 10)
    with pytest.raises(
        BadInput, match=r"mixed\.parquet: the rows of star \d+ do not stand together.*Sort by source_id"
    ):
        next(iter_lightcurves(path))
    table.to_parquet(tmp_path / "again.parquet")
    table.to_parquet(path)
    with pytest.raises(BadInput, match="do not stand together"):  # each ordered, but the same stars twice
        next(iter_lightcurves(tmp_path))
    monkeypatch.setattr(stream, "_WHOLE_BELOW", 10**6)
    with pytest.warns(PhotfehWarning, match="points stand in more than one file"):
        assert sum(map(len, iter_lightcurves(tmp_path, stars_per_chunk=3))) == 10


def test_the_stream_knows_its_bands_and_warns_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_POINTS_PER_BATCH", 8)
    path = tmp_path / "epochs.parquet"
    table = points(20)
    table.loc[table.index < 20, "band"] = "BP"  # whole batches without a point in G
    table.assign(time=table.time + 2455197.5).to_parquet(path)
    with pytest.warns(PhotfehWarning, match="Julian dates") as said:
        parts = list(iter_lightcurves(path, stars_per_chunk=5))
    assert len(said) == 1
    assert sum(map(len, parts)) == 20
    with pytest.raises(BadInput, match=r"no band 'V'; it holds BP, G"):
        next(iter_lightcurves(path, band="V"))
    with pytest.raises(BadInput, match="stars_per_chunk must be at least 1, found 0"):
        next(iter_lightcurves(path, stars_per_chunk=0))


def test_rows_without_identifier_in_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_POINTS_PER_BATCH", 2)
    ids = pa.array([None, None, None, 1, 1, None, 1, 2, None], pa.int64())
    table = pa.table({"source_id": ids, "time": np.arange(9.0), "mag": np.full(9, 15.0)})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.warns(PhotfehWarning, match="rows without source_id are left out") as said:
        parts = list(iter_lightcurves(tmp_path / "a.parquet", stars_per_chunk=1))
    assert len(said) == 1
    assert [part.time.tolist() for part in parts] == [[3.0, 4.0, 6.0], [7.0]]


_PEAK = """
import sys, tracemalloc
import pyarrow as pa
from photfeh.readers import iter_lightcurves, stream
stream._POINTS_PER_BATCH = 65_536
tracemalloc.start()
stars = sum(len(part) for part in iter_lightcurves(sys.argv[1], stars_per_chunk=1000))
print(stars, pa.default_memory_pool().max_memory() + tracemalloc.get_traced_memory()[1])
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A file three times as long needs no more: neither in Arrow (the Parquet reader included) nor in numpy."""
    peaks = []
    for stars in (8_000, 24_000):
        n = stars * 60
        rng = np.random.default_rng(0)
        table = pa.table(
            {
                "source_id": np.repeat(np.arange(stars) + 10**18, 60),
                "band": pa.array(np.tile(["G", "BP", "RP"], n // 3)),
                "time": rng.uniform(1700, 2700, n),
                "mag": rng.normal(16, 1, n),
                "rejected_by_variability": rng.random(n) < 0.1,
            }
        )
        path = tmp_path / f"{stars}.parquet"
        pq.write_table(table, path, row_group_size=n)  # the worst case: one single row group
        done = subprocess.run([sys.executable, "-c", _PEAK, path], capture_output=True, text=True, check=True)
        found, peak = map(int, done.stdout.split())
        assert found == stars
        peaks.append(peak)
    assert peaks[1] < 1.25 * peaks[0]
    assert peaks[1] < n * 25  # less than the numbers of the longer file alone


# ---------------------------------------------------------------------- writing
@pytest.mark.parametrize("folded", [False, True])
def test_written_light_curves_come_back(folded: bool, tmp_path: Path) -> None:
    table = points(9)
    table.loc[table.source_id == table.source_id.unique()[4], "rejected_by_variability"] = True
    if folded:
        table["phase"] = table.pop("time") / 100
    lcs = read_lightcurves(table)
    assert lcs.n_epochs[4] == 0
    path = tmp_path / "new" / "lcs.parquet"
    write_lightcurves(lcs, path)
    same(read_lightcurves(path), lcs)
    same(LightCurves.concatenate(list(iter_lightcurves(path, stars_per_chunk=2))), lcs)
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"
    assert [file.name for file in path.parent.iterdir()] == ["lcs.parquet"]


def test_a_band_is_kept_and_asked_for(tmp_path: Path) -> None:
    lcs = read_lightcurves(points(), band="BP")
    path = tmp_path / "bp.parquet"
    write_lightcurves(lcs, path)
    same(read_lightcurves(path, band="BP"), lcs)
    for read in (read_lightcurves, lambda source: list(iter_lightcurves(source))):
        with pytest.raises(BadInput, match=r"bp\.parquet has no band 'G'; it holds BP"):
            read(path)
    with pytest.raises(BadFile, match=r"Give the name the suffix '\.parquet'"):
        write_lightcurves(lcs, tmp_path / "bp.csv")


@pytest.mark.parametrize("folded", [False, True])
def test_long_form_and_back(folded: bool) -> None:
    table = points(9)
    table["mag_error"] = np.where(np.arange(len(table)) % 3, 0.01, np.nan)
    if folded:
        table["phase"] = table.pop("time") / 100
    lcs = read_lightcurves(table, band="BP")
    long = to_long(lcs)
    assert long.column_names == ["source_id", "band", "phase" if folded else "time", "mag", "mag_error"]
    assert long["mag_error"].null_count == np.isnan(lcs.mag_error).sum()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(read_lightcurves(long, band="BP"), lcs[lcs.n_epochs > 0])
