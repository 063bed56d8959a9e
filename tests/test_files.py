"""Files of every kind to tables: the same numbers from each, and one clear error for whatever is wrong."""

from __future__ import annotations

import gzip
import random
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from astropy.time import Time

from photfeh.core.errors import BadColumn, BadFile, BadInput, MissingColumn, PhotfehWarning
from photfeh.readers import READERS, read_lightcurves, read_stars, read_table
from photfeh.readers.files import suffix_of
from photfeh.readers.objects import as_table
from photfeh.readers.tables import leaf_names, tidy, to_frame

BIG = 4_611_686_018_427_387_905  # 2**62 + 1: a float would lose the 1


def frame(n: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "source_id": np.repeat([BIG, BIG + 2], n // 2),
            "band": ["G", "BP"] * (n // 2),
            "time": rng.uniform(1700, 2700, n),
            "mag": rng.normal(16, 0.3, n),
            "mag_error": rng.uniform(0.001, 0.01, n),
            "rejected_by_variability": np.arange(n) % 5 == 0,
        }
    )


def write(table: pd.DataFrame, path: Path) -> Path:
    """The table in the format of the suffix, by other code than the package's."""
    suffix = suffix_of(path)
    plain = suffix.removesuffix(".gz")
    if plain in {".csv", ".tsv"}:
        table.to_csv(path, index=False, sep="\t" if plain == ".tsv" else ",")
    elif plain in {".parquet", ".pq"}:
        table.to_parquet(path, index=False)
    elif plain in {".arrow", ".feather"}:
        pyarrow.feather.write_feather(table, path)
    else:
        kind = {".ecsv": "ascii.ecsv", ".fits": "fits", ".fit": "fits"}.get(plain, "votable")
        whole = path.with_name(f"scratch{plain}")
        Table.from_pandas(table).write(whole, format=kind, overwrite=True)
        path.write_bytes(gzip.compress(whole.read_bytes()) if suffix.endswith(".gz") else whole.read_bytes())
        whole.unlink()
    return path


@pytest.mark.parametrize("suffix", READERS)
def test_every_format_gives_the_same_table_and_light_curves(suffix: str, tmp_path: Path) -> None:
    table = frame()
    path = write(table, tmp_path / f"epochs{suffix}")
    read = to_frame(read_table(path))
    assert read["source_id"].dtype == np.int64
    assert list(read.columns) == list(table.columns)
    pd.testing.assert_frame_equal(read, table, check_exact=True, check_dtype=False)
    found, expected = read_lightcurves(path), read_lightcurves(table)
    assert found.source_id.tolist() == [BIG, BIG + 2]
    for name in ("offsets", "time", "mag", "mag_error"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".vot", ".fits", ".parquet", ".feather"])
def test_lists_of_different_length_survive(suffix: str, tmp_path: Path) -> None:
    """One row a star: as the archive writes arrays in each format (JSON text in csv)."""
    times, mags = [[1.5, 2.25, 3.0], [4.0, 5.125]], [[15.0, 15.1, 15.2], [16.0, 16.1]]
    flags = [[False, True, False], [False, False]]
    path = tmp_path / f"lists{suffix}"
    columns = {
        "source_id": [BIG, 7],
        "g_transit_time": times,
        "g_transit_mag": mags,
        "variability_flag_g_reject": flags,
    }
    if suffix == ".csv":
        rows = [",".join([str(BIG), *(f'"{str(columns[c][0]).lower()}"' for c in list(columns)[1:])])]
        rows += [",".join(["7", *(f'"{str(columns[c][1]).lower()}"' for c in list(columns)[1:])])]
        path.write_text("\n".join([",".join(columns), *rows]) + "\n")
    elif suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    elif suffix == ".feather":
        pyarrow.feather.write_feather(pa.table(columns), path)
    else:
        arrays = {
            name: values if name == "source_id" else _ragged([np.array(value) for value in values])
            for name, values in columns.items()
        }
        Table(arrays).write(path, format={".ecsv": "ascii.ecsv", ".vot": "votable", ".fits": "fits"}[suffix])
    lcs = read_lightcurves(path)
    assert lcs.source_id.tolist() == [BIG, 7]
    assert lcs.time.tolist() == [1.5, 3.0, 4.0, 5.125]
    np.testing.assert_allclose(lcs.mag, [15.0, 15.2, 16.0, 16.1], rtol=1e-15)


def _ragged(arrays: list[np.ndarray]) -> np.ndarray:
    column = np.empty(len(arrays), dtype=object)
    column[:] = arrays
    return column


def test_fixed_size_arrays_padded_with_nan(tmp_path: Path) -> None:
    time = np.array([[1.0, 2.0, np.nan], [3.0, 4.0, 5.0]])
    path = tmp_path / "fixed.fits"
    Table({"source_id": [1, 2], "time": time, "mag": time + 14}).write(path)
    assert read_lightcurves(path).n_epochs.tolist() == [2, 3]
    table = pa.table(
        {"source_id": [1], "time": pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0]), 2), "mag": [[9, 8]]}
    )
    assert read_lightcurves(table).mag.tolist() == [9, 8]


def test_masked_text_bytes_and_time_columns_of_astropy() -> None:
    table = Table(
        {
            "Source_ID ": MaskedColumn([5, 6, 7], mask=[False, False, True]),
            "name": np.array([b"a", b"b", b"c"]),
            "time": Time([2457000.5, 2457001.5, 2457002.5], format="jd"),
            "image": np.zeros((3, 2, 2)),
            "count": np.array([1, None, 3], dtype=object),
            "big_endian": np.array([1.5, 2.5, 3.5], dtype=">f8"),
            "lists": _ragged([[1.0, None], None, (2.0,)]),
            "words": np.array([b"x", "y", None], dtype=object),
            "complex": np.array([1j, 2j, 3j]),
            "complex_lists": _ragged([np.array([1j]), np.array([2j]), np.array([3j])]),
        }
    )
    columns = as_table(table).to_pydict()
    assert columns == {
        "source_id": [5, 6, None],
        "name": ["a", "b", "c"],
        "time": [2457000.5, 2457001.5, 2457002.5],
        "count": [1, None, 3],
        "big_endian": [1.5, 2.5, 3.5],
        "lists": [[1.0, None], [], [2.0]],
        "words": ["x", "y", None],
    }


def test_nested_columns_are_spread_and_projected(tmp_path: Path) -> None:
    inner = [{"Mag": [1.0, 2.0], "time": [3.0, 4.0]}, {"Mag": [], "time": []}, None]
    listed = [[{"x": 1, "y": 2}, {"x": 3, "y": 4}], [], None]
    table = pa.table({"source_id": [1, 2, 3], "lightcurve": inner, "other": listed})
    path = tmp_path / "nested.parquet"
    pq.write_table(table, path)
    spread = read_table(path)
    assert spread.column_names == ["source_id", "mag", "time", "x", "y"]
    assert spread["mag"].to_pylist() == [[1.0, 2.0], [], None]
    assert spread["y"].to_pylist() == [[2, 4], [], []]
    assert leaf_names(table.schema)["mag"] == "lightcurve.Mag"
    assert read_table(path, columns=["mag", "source_id", "absent"]).column_names == ["source_id", "mag"]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.int32(), pa.int16(), pa.int8()])
def test_integers_with_missing_entries_stay_integers(kind: pa.DataType) -> None:
    value = BIG if kind in (pa.int64(), pa.uint64()) else 100
    column = to_frame(pa.table({"transit_id": pa.array([value, None], kind)}))["transit_id"]
    assert int(column[0]) == value
    assert column.isna().tolist() == [False, True]


def test_names_are_lower_cased_and_collisions_have_one_winner() -> None:
    table = tidy(pa.table({" TIME ": [1], "Mag": [2], "mag": [3], "MAG": [4]}))
    assert table.to_pydict() == {"time": [1], "mag": [3]}
    nested = tidy(pa.table({"mag": [1.5], "lightcurve": [{"mag": [9.0], "time": [8.0]}]}))
    assert nested.to_pydict() == {"mag": [1.5], "time": [[8.0]]}
    assert leaf_names(pa.schema([("Mag", pa.int8()), ("mag", pa.int8()), ("T", pa.int8())])) == {"mag": "mag", "t": "T"}


# ---------------------------------------------------------------------- csv in the wild
def test_csv_identifiers_stay_exact_beside_missing_ones(tmp_path: Path) -> None:
    path = tmp_path / "missing.csv"
    path.write_text(f"source_id,time,mag\n{BIG},1,15\n,2,15\n{BIG + 2},3,15\n")
    assert read_table(path)["source_id"].to_pylist() == [BIG, None, BIG + 2]
    with pytest.warns(PhotfehWarning, match="rows without source_id are left out"):
        lcs = read_lightcurves(path)
    assert lcs.source_id.tolist() == [BIG, BIG + 2]
    with pytest.warns(PhotfehWarning, match=r"missing\.csv: 1 of 3 rows have no identifier \('source_id'\)"):
        assert read_stars(path)["source_id"].tolist() == [BIG, BIG + 2]


def test_csv_with_comments_before_the_names(tmp_path: Path) -> None:
    path = tmp_path / "bulk.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("# %ECSV 1.0\n# ---\n# delimiter: ','\n\nsource_id,time,mag\n1,2.5,15\n1,null,16\n")
    assert read_table(path).to_pydict() == {"source_id": [1, 1], "time": [2.5, None], "mag": [15, 16]}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_with_names_in_a_comment(delimiter: str, tmp_path: Path) -> None:
    path = tmp_path / "star12.csv"
    path.write_text("# " + delimiter.join(["HJD", "Mag", "err"]) + "\n" + delimiter.join(["1.5", "15", ".1"]) + "\n")
    lcs = read_lightcurves(path)
    assert (lcs.source_id.tolist(), lcs.time.tolist(), lcs.mag_error.tolist()) == ([12], [1.5], [0.1])


def test_csv_whose_later_rows_contradict_the_first(tmp_path: Path) -> None:
    """A word megabytes below must neither stop the file nor change a number by a bit."""
    n = 120_000
    rows = [f"{BIG},{i / 100},{15 + i / 7e6!r}" for i in range(n)]
    rows[n - 10] = f"{BIG},bad,15"
    path = tmp_path / "late.csv"
    path.write_text("source_id,time,mag\n" + "\n".join(rows) + "\n")
    with pytest.warns(
        PhotfehWarning, match=rf"1 of 120 000 points have text in column 'time'.*first of star {BIG} \(bad\)"
    ):
        lcs = read_lightcurves(path)
    assert lcs.source_id.tolist() == [BIG]
    kept = np.delete(np.arange(n), n - 10)
    np.testing.assert_array_equal(lcs.time, kept / 100)
    np.testing.assert_array_equal(lcs.mag, 15 + kept / 7e6)


def test_csv_rows_with_missing_fields_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("source_id,time,mag\n1,2,15\n1,3\n1,4,15\n")
    with pytest.warns(PhotfehWarning, match=r"ragged\.csv: 1 rows left out, the first has 2 fields instead of 3"):
        assert read_table(path).num_rows == 2


def test_csv_text_that_looks_like_a_list_but_is_none_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "text.csv"
    path.write_text('source_id,note\n1,"[sic"\n2,"(a, b)"\n')
    assert read_table(path)["note"].to_pylist() == ["[sic", "(a, b)"]
    path.write_text('source_id,time\n1,"(1.5, NaN, nan, null)"\n2,\n')
    assert read_table(path)["time"].to_pylist()[1] is None
    assert np.isnan(np.array(read_table(path)["time"].to_pylist()[0][1:], float)).all()


# ---------------------------------------------------------------------- what can be wrong with a file
def test_absent_empty_unknown_and_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.parquet").touch()
    (tmp_path / "notes.docx").write_text("x")
    (tmp_path / "blank.csv").write_text("\n# nothing\n\n")
    (tmp_path / "names.csv").write_text("source_id,time,mag\n")
    pq.write_table(pa.table({"source_id": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    fits.PrimaryHDU(np.zeros((2, 2))).writeto(tmp_path / "image.fits")
    cases = {
        "absent.csv": "does not exist. Check the name",
        "empty.parquet": r"is empty \(0 bytes\). Fetch or write it again",
        "notes.docx": r"unknown suffix '\.docx' and does not look like a table. Known: \.csv, .*Convert or rename",
        "blank.csv": "only blank or comment lines",
        "names.csv": "holds no rows",
        "none.parquet": "holds no rows",
        "image.fits": "holds no table that can be read",
        "": "is a folder",
    }
    for name, text in cases.items():
        with pytest.raises(BadFile, match=text) as error:
            read_table(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [suffix for suffix in READERS if suffix not in {".csv", ".tsv"}])
def test_truncated_and_damaged_files_are_refused_by_name(suffix: str, tmp_path: Path) -> None:
    """Cut or overwritten anywhere, a file is refused as BadFile or read; nothing else ever comes out."""
    whole = write(frame(200), tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"part{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadFile, match=f"part{suffix} (cannot be read as {suffix}: |holds no table).*fetch or write it"):
        read_table(path)
    refused = 0
    for seed in range(12):
        draw = random.Random(seed)
        damaged = bytearray(whole[: draw.randrange(1, len(whole))] if seed % 2 else whole)
        for _ in range(10):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            read_table(path)
        except BadFile:
            refused += 1
    assert refused >= 6


def test_a_mistake_in_a_reader_is_not_called_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path, columns: object) -> pa.Table:
        raise AttributeError("mistake")

    monkeypatch.setitem(READERS, ".csv", broken)
    path = write(frame(), tmp_path / "a.csv")
    with pytest.raises(AttributeError, match="mistake"):
        read_table(path)


def test_a_new_format_is_one_function_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, ".json", lambda content, columns: [pa.table(pd.read_json(BytesIO(content.read())))])
    path = tmp_path / "star 5.json"
    pd.DataFrame({"time": [1.0, 2.0], "mag": [3.0, 4.0]}).to_json(path)
    assert read_lightcurves(path).source_id.tolist() == [5]


def test_only_the_needed_columns_of_parquet_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(frame().assign(unused=1.0, transit_id=1), tmp_path / "a.parquet")
    asked: list[list[str]] = []
    original = pq.ParquetFile.read

    def spy(self: pq.ParquetFile, columns: list[str] | None = None, **options: object) -> pa.Table:
        asked.append(list(columns or ["all"]))
        return original(self, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read", spy)
    read_lightcurves(path)
    assert sorted(asked[0]) == sorted(frame().columns)


def test_astropy_is_not_loaded_for_csv_and_parquet(tmp_path: Path) -> None:
    write(frame(), tmp_path / "a.csv")
    write(frame(), tmp_path / "a.parquet")
    code = (
        "import sys; from photfeh.readers import read_lightcurves\n"
        f"read_lightcurves({str(tmp_path / 'a.csv')!r}); read_lightcurves({str(tmp_path / 'a.parquet')!r})\n"
        "assert not {'astropy', 'torch', 'sklearn'} & set(sys.modules), 'heavy import'"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------- star tables
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".ecsv", ".vot", ".fits", ".parquet", ".feather"])
def test_star_tables_of_every_kind(suffix: str, tmp_path: Path) -> None:
    stars = pd.DataFrame({"SOURCE_ID": [BIG, 2], "Period": [0.5, np.nan], "type": ["ab", "RRc"], "note": ["x", "y"]})
    read = read_stars(write(stars, tmp_path / f"stars{suffix}"))
    assert read["source_id"].tolist() == [BIG, 2]
    assert read["source_id"].dtype == np.int64
    np.testing.assert_array_equal(read["period"], [0.5, np.nan])
    assert read["type"].tolist() == ["RRab", "RRc"]
    assert read["note"].tolist() == ["x", "y"]


def test_star_tables_in_memory_and_with_list_columns(tmp_path: Path) -> None:
    table = pa.table({"source_id": [BIG], "period": [0.5], "phase": [[0.1, 0.2]], "mag": [[1.0, 2.0]]})
    pq.write_table(table, tmp_path / "stars.parquet")
    for source in (table, table.to_pandas(), Table({"source_id": [BIG], "period": [0.5]}), tmp_path / "stars.parquet"):
        stars = read_stars(source)
        assert stars.to_dict("list") == {"source_id": [BIG], "period": [0.5]}


def test_bad_star_tables_name_the_file(tmp_path: Path) -> None:
    path = write(pd.DataFrame({"source_id": [1, 2, 1], "period": [0.5, 0.6, 0.7]}), tmp_path / "stars.csv")
    with pytest.raises(BadColumn, match=r"stars\.csv: source_id 1 occurs more than once"):
        read_stars(path)
    write(pd.DataFrame({"period": [0.5]}), path)
    with pytest.raises(MissingColumn, match=r"stars\.csv has no column 'source_id' .*found period"):
        read_stars(path)
    write(pd.DataFrame({"source_id": [1, 2], "period": ["short", "long"]}), path)
    with pytest.raises(BadColumn, match=r"stars\.csv: column 'period' holds text"):
        read_stars(path)
    with pytest.raises(BadFile, match="does not exist"):
        read_stars(tmp_path / "absent.fits")
    with pytest.raises(BadInput, match=r"cannot read a table from set\. Give a file"):
        read_stars({1})
