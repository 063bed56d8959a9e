"""Files and objects of every make: compression, formats under any name, units, identifiers, other packages."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.io.votable import from_table, parse
from astropy.io.votable.tree import Param, TimeSys
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time, TimeDelta
from astropy.timeseries import TimeSeries

from photfeh.core.errors import BadColumn, BadFile, BadInput, MissingColumn, PhotfehError, PhotfehWarning
from photfeh.core.identifiers import source_id_of
from photfeh.readers import compression as compression_module
from photfeh.readers import read_lightcurves, read_stars, read_table, read_tables, stars_from_epochs
from photfeh.readers.identify import star_of_name
from photfeh.readers.tables import tidy, unit_of

BIG = 4_611_686_018_427_387_905


def epochs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source_id": [BIG, BIG, BIG + 2],
            "time": [1700.25, 1701.5, 1702.75],
            "mag": [15.25, 15.5, 16.125],
            "mag_error": [0.01, 0.02, 0.03],
        }
    )


def as_bytes(table: pd.DataFrame | Table, kind: str) -> bytes:
    """The table in a format, by other code than the package's."""
    buffer = io.BytesIO()
    if kind == "csv":
        frame = table if isinstance(table, pd.DataFrame) else table.to_pandas()
        return frame.to_csv(index=False).encode()
    if kind in ("parquet", "feather") and isinstance(table, pd.DataFrame):
        table.to_parquet(buffer, index=False) if kind == "parquet" else pyarrow.feather.write_feather(table, buffer)
        return buffer.getvalue()
    whole = Table.from_pandas(table) if isinstance(table, pd.DataFrame) else table
    if kind == "ecsv":
        text = io.StringIO()
        whole.write(text, format="ascii.ecsv")
        return text.getvalue().encode()
    whole.write(buffer, format={"vot": "votable"}.get(kind, kind))
    return buffer.getvalue()


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/epochs", data)
    return buffer.getvalue()


def zstandard(data: bytes) -> bytes:
    return pa.compress(data, "zstd", asbytes=True)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard,
    ".zip": zipped,
    ".gz.gz": lambda data: gzip.compress(gzip.compress(data)),
}
FORMATS = ["csv", "ecsv", "vot", "fits", "parquet", "feather"]


@pytest.mark.parametrize("name", ["right", "none", ".csv", ".fits", ".parquet", ".vot"])
@pytest.mark.parametrize("pressed", COMPRESSIONS)
@pytest.mark.parametrize("kind", FORMATS)
def test_content_tells_format_and_compression(kind: str, pressed: str, name: str, tmp_path: Path) -> None:
    """Whatever the name promises: right, nothing, or another format."""
    suffix = {"right": f".{kind}{pressed}", "none": ""}.get(name, name)
    path = tmp_path / f"epochs{suffix}"
    path.write_bytes(COMPRESSIONS[pressed](as_bytes(epochs(), kind)))
    lcs = read_lightcurves(path)
    assert lcs.source_id.tolist() == [BIG, BIG + 2]
    for column in ("time", "mag", "mag_error"):
        assert getattr(lcs, column).tolist() == epochs()[column].tolist()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file. Save its table as text"),
        (b"%PDF-1.4 ....", "is a PDF document"),
        (b"\n<!DOCTYPE html><html><body><br>503</body></html>", "is a web page, perhaps the error message of a server"),
        (b"<html><body>Service unavailable</body></html>", "is a web page, perhaps the error message of a server"),
        (b"<?xml version='1.0'?><kml/>", "is no VOTable"),
        (bytes(range(256)) * 40, "cannot be read|is no table|unknown suffix"),
        (zipped(bytes(10)), "is no table|does not look like a table|cannot be read"),
        (b"\x80\x04\x95" + bytes(10), "is a Python pickle"),
    ],
    ids=["hdf5", "pdf", "page", "message", "kml", "bytes", "zip", "pickle"],  # a zip holds the time of its making
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".vot", ""])
def test_what_is_no_table_is_named(data: bytes, text: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    with pytest.raises(BadFile, match=text) as error:
        read_lightcurves(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------- archives
def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def one_star(star: int | None = None, shift: float = 0.0) -> bytes:
    frame = epochs().head(2).drop(columns="source_id").assign(time=lambda table: table.time + shift)
    return as_bytes(frame if star is None else frame.assign(source_id=star), "csv")


def test_a_zip_of_many_stars(tmp_path: Path) -> None:
    members = {
        f"EPOCH_PHOTOMETRY-Gaia DR3 {BIG + k}.xml": as_bytes(epochs().head(2).iloc[:, 1:], "vot") for k in range(4)
    }
    members |= {"__MACOSX/._x.xml": b"junk", ".DS_Store": b"junk", "empty.csv": b""}
    lcs = read_lightcurves(archive(tmp_path / "datalink_output.zip", members))
    assert lcs.source_id.tolist() == [BIG + k for k in range(4)]
    assert lcs.n_epochs.tolist() == [2] * 4


def test_a_bad_member_is_said_and_the_others_read(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "a.zip", {"1.csv": one_star(), "2.csv": b"when,how\n1,2\n", "3.fits": b"SIMPLE  = nothing"}
    )
    with pytest.warns(PhotfehWarning) as said:
        assert read_lightcurves(path).source_id.tolist() == [1]
    texts = " ".join(str(warning.message) for warning in said)
    assert "2.csv has no column 'time'" in texts
    assert "3.fits cannot be read" in texts


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"[Content_Types].xml": b"x"}, "is an office document"),
        ({"time.npy": b"x", "mag.npy": b"y"}, "holds numpy arrays"),
        ({}, "."),
        ({".hidden": b"x"}, "holds no files"),
        ({"empty.csv": b""}, "holds empty files only"),
        ({"a.zip": zipped(b"x")}, "cannot be read|archive within"),
    ],
)
def test_other_archives_are_refused(members: dict[str, bytes], text: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=text):
        read_lightcurves(archive(tmp_path / "a.zip", members))


@pytest.mark.parametrize("press", [gzip.compress, bz2.compress, lzma.compress, zstandard])
def test_a_bomb_is_refused(press: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression_module, "_UNPACKED_LIMIT", 2**20)
    monkeypatch.setattr(compression_module, "_MOST_EXPANSION", 2)
    (tmp_path / "bomb.csv").write_bytes(press(bytes(8 * 2**20)))
    with pytest.raises(BadFile, match="expands to more than"):
        read_lightcurves(tmp_path / "bomb.csv")
    archive_path = tmp_path / "bomb.zip"
    archive_path.write_bytes(zipped(bytes(8 * 2**20)))
    with pytest.raises(BadFile, match="expands to more than"):
        read_lightcurves(archive_path)


def test_a_tar_archive_says_what_to_do(tmp_path: Path) -> None:
    import tarfile

    (tmp_path / "1.csv").write_bytes(one_star())
    for name, mode in (("a.tar", "w"), ("a.tar.gz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as file:
            file.add(tmp_path / "1.csv", "1.csv")
        with pytest.raises(BadFile, match=r"is a tar archive\. Unpack it, and name the folder"):
            read_lightcurves(tmp_path / name)


# ---------------------------------------------------------------------- several tables in one file
def several(kind: str, tables: list[Table], path: Path) -> Path:
    if kind == "fits":
        fits.HDUList([fits.PrimaryHDU(), *(fits.table_to_hdu(table) for table in tables)]).writeto(path)
        return path
    votable = from_table(tables[0])
    for table in tables[1:]:
        votable.resources.append(from_table(table).resources[0])
    votable.to_xml(str(path))
    return path


@pytest.mark.parametrize("kind", ["fits", "vot"])
def test_all_tables_of_a_file_are_read(kind: str, tmp_path: Path) -> None:
    tables = [Table.from_pandas(epochs().assign(source_id=[k, k, k + 100])) for k in (1, 2, 3)]
    lcs = read_lightcurves(several(kind, tables, tmp_path / f"a.{kind}"))
    assert lcs.source_id.tolist() == [1, 101, 2, 102, 3, 103]
    assert lcs.n_epochs.tolist() == [2, 1] * 3


@pytest.mark.parametrize("kind", ["fits", "vot"])
def test_tables_that_are_not_used_are_said(kind: str, tmp_path: Path) -> None:
    stars = Table({"source_id": [BIG, BIG + 2], "period": [0.5, 0.6]})
    path = several(kind, [Table.from_pandas(epochs()), stars], tmp_path / f"a.{kind}")
    with pytest.warns(PhotfehWarning, match=r"has no column 'time'.*\(table left out; others of that file are read\)"):
        assert read_lightcurves(path).source_id.tolist() == [BIG, BIG + 2]
    with pytest.warns(PhotfehWarning, match="1 of 2 tables are no star tables"):
        assert read_stars(path)["period"].tolist() == [0.5, 0.6]


@pytest.mark.parametrize("kind", ["fits", "vot"])
def test_star_tables_of_one_file_are_joined(kind: str, tmp_path: Path) -> None:
    tables = [Table({"source_id": [BIG], "period": [0.5]}), Table({"Source": [7, 8], "period": [12.0, 14.4] * u.h})]
    stars = read_stars(several(kind, tables, tmp_path / f"a.{kind}"))
    assert stars["source_id"].tolist() == [BIG, 7, 8]
    np.testing.assert_allclose(stars["period"], [0.5, 0.5, 0.6], rtol=1e-15)


@pytest.mark.parametrize("kind", ["fits", "vot"])
def test_tables_of_unknown_stars_are_not_mixed(kind: str, tmp_path: Path) -> None:
    table = Table.from_pandas(epochs().drop(columns="source_id"))
    with pytest.raises(BadInput, match="have no column 'source_id', so that nobody knows whether they are one star"):
        read_lightcurves(several(kind, [table, table.copy()], tmp_path / f"star_5.{kind}"))


# ---------------------------------------------------------------------- VOTables are not a way out
def test_a_votable_opens_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_: pytest.fail("opened a URL"))
    data = as_bytes(epochs(), "vot").decode()
    body = data[data.index("<TABLEDATA>") : data.index("</TABLEDATA>") + len("</TABLEDATA>")]
    for kind in ("BINARY", "BINARY2", "FITS"):
        for href in ("http://127.0.0.1:9/x", f"file://{tmp_path}/secret", "ftp://127.0.0.1/x"):
            path = tmp_path / "a.vot"
            path.write_text(data.replace(body, f'<{kind}><STREAM href="{href}"/></{kind}>'))
            with pytest.raises(BadFile, match=r"keeps its data elsewhere \(.*\), which is not opened"):
                read_lightcurves(path)
    path.write_text(data.replace("<VOTABLE", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><VOTABLE', 1))
    with pytest.raises(BadFile, match="declares entities of its own"):
        read_lightcurves(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [("<TABLE", '<TABLE nrows="99999999999"'), ('<FIELD ID="time"', '<FIELD ID="time" arraysize="9999999999"')],
)
def test_a_votable_cannot_claim_memory(old: str, new: str, tmp_path: Path) -> None:
    path = tmp_path / "a.vot"
    path.write_text(as_bytes(epochs(), "vot").decode().replace("<TABLE>", "<TABLE >").replace(f"{old} ", f"{new} ", 1))
    with pytest.raises(BadFile, match="claims more rows than it can hold"):
        read_lightcurves(path)


def test_what_the_service_said(tmp_path: Path) -> None:
    head = '<VOTABLE version="1.3"><RESOURCE type="results"><INFO name="QUERY_STATUS" value="{}">no such table</INFO>'
    path = tmp_path / "a.vot"
    path.write_text(head.format("ERROR") + "</RESOURCE></VOTABLE>")
    with pytest.raises(BadFile, match="holds no table; it says: no such table"):
        read_lightcurves(path)
    text = as_bytes(epochs(), "vot").decode()
    path.write_text(text.replace("<TABLE>", '<INFO name="QUERY_STATUS" value="OVERFLOW"/><TABLE>', 1))
    with pytest.warns(PhotfehWarning, match="the service left rows out"):
        assert len(read_lightcurves(path)) == 2


def test_the_identifier_may_be_a_parameter_of_the_table(tmp_path: Path) -> None:
    votable = from_table(Table.from_pandas(epochs().drop(columns="source_id")))
    table = votable.get_first_table()
    table.params.append(Param(votable, name="source_id", datatype="long", value=str(BIG)))
    votable.to_xml(str(tmp_path / "star_5.vot"))
    assert read_lightcurves(tmp_path / "star_5.vot").source_id.tolist() == [BIG]


# ---------------------------------------------------------------------- units and masks
PERIODS = np.array([0.5, 0.625])
UNITS = {"d": u.d, "h": u.h, "min": u.min, "s": u.s}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["ecsv", "vot", "fits", "parquet", "QTable", "Table", "dict", "element"])
def test_periods_of_any_unit(kind: str, unit: str, tmp_path: Path) -> None:
    quantity = (PERIODS * u.d).to(UNITS[unit])
    table = QTable(
        {"source_id": [BIG, BIG + 2], "period": quantity, "e_Per": (0.001 * u.d).to(UNITS[unit]) * np.ones(2)}
    )
    source: object = table
    if kind == "Table":
        source = Table(table)
    elif kind == "dict":
        source = {"source_id": np.array([BIG, BIG + 2]), "period": quantity}
    elif kind == "element":
        source = from_table(Table(table)).get_first_table()
    elif kind != "QTable":
        source = tmp_path / f"stars.{kind}"
        if kind == "parquet":
            table.write(source)
        else:
            source.write_bytes(as_bytes(table, kind))
    stars = read_stars(source)
    assert stars["source_id"].tolist() == [BIG, BIG + 2]
    np.testing.assert_allclose(stars["period"], PERIODS, rtol=1e-15)
    if "period_error" in stars:
        np.testing.assert_allclose(stars["period_error"], 0.001, rtol=1e-12)


def test_amplitudes_and_time_differences_are_converted() -> None:
    table = QTable({"source_id": [1], "period": TimeDelta([12.0] * u.h), "peak_to_peak_g": [450.0] * u.mmag})
    stars = read_stars(table)
    assert (stars["period"].tolist(), stars["peak_to_peak_g"].tolist()) == ([0.5], [0.45])


@pytest.mark.parametrize("form", ["tabledata", "binary", "binary2"])
def test_every_serialisation_of_votables(form: str, tmp_path: Path) -> None:
    votable = from_table(Table.from_pandas(epochs()))
    votable.to_xml(str(tmp_path / "a.xml"), tabledata_format=form)
    lcs = read_lightcurves(tmp_path / "a.xml")
    assert lcs.source_id.tolist() == [BIG, BIG + 2]
    assert lcs.mag.tolist() == epochs().mag.tolist()


@pytest.mark.parametrize("kind", ["parquet", "feather", "csv", "memory"])
def test_unsigned_identifiers_beyond_63_bits_are_two_stars(kind: str, tmp_path: Path) -> None:
    stars = pd.DataFrame({"source_id": np.array([2**63 + 1, 2**63 + 2], np.uint64), "period": [0.5, 0.6]})
    source: object = stars
    if kind != "memory":
        source = tmp_path / f"stars.{kind}"
        source.write_bytes(as_bytes(stars, kind))
    read = read_stars(source)
    assert read["source_id"].tolist() == [source_id_of(str(2**63 + k)) for k in (1, 2)]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_identifiers_that_went_through_a_float_are_refused(kind: type) -> None:
    with pytest.raises(BadColumn, match="cannot keep a Gaia source_id exact"):
        read_stars({"source_id": np.array([BIG], kind)})
    with pytest.raises(BadColumn, match="cannot keep a Gaia source_id exact"):
        read_stars({"source_id": np.array([2**24 + 2 if kind is np.float32 else 2**53 + 2], kind)})
    assert read_stars({"source_id": np.array([5.0, 7.0], kind)})["source_id"].tolist() == [5, 7]


@pytest.mark.parametrize(
    ("column", "values", "text"),
    [
        ("period", [2.0, 3.0] / u.d, r"stars\.ecsv: column 'period' is a frequency \(1 ?/ ?d\)"),
        ("period", [2.0, 3.0] * u.Hz, "is a frequency"),
        ("period", [2.0, 3.0] * u.mag, "is in mag, which cannot be converted to d"),
        ("feh", [-1.0, -2.0] * u.km, "cannot be converted to dex"),
    ],
)
def test_units_of_something_else_are_refused(column: str, values: u.Quantity, text: str, tmp_path: Path) -> None:
    QTable({"source_id": [1, 2], column: values}).write(tmp_path / "stars.ecsv")
    with pytest.raises(BadColumn, match=text):
        read_stars(tmp_path / "stars.ecsv")


@pytest.mark.parametrize("name", ["frequency", "freq", "F0", "nu"])
def test_a_frequency_is_refused_by_name(name: str) -> None:
    with pytest.raises(MissingColumn, match=f"gives a frequency \\('{name.lower()}'; period = 1 / frequency\\)"):
        read_stars(pd.DataFrame({"source_id": [1], name: [2.0]}))
    assert read_stars(pd.DataFrame({"source_id": [1], name: [2.0], "Per": [0.5]}))["period"].tolist() == [0.5]


@pytest.mark.parametrize("unit", ["[-]", "[Sun]", "dex", "---", ""])
def test_units_of_metallicities(unit: str) -> None:
    table = pa.table({"source_id": [1], "[fe/h]": [-1.5]})
    field = table.schema.field(1).with_metadata({"unit": unit})
    assert read_stars(table.set_column(1, field, table[1]))["feh"].tolist() == [-1.5]


@pytest.mark.parametrize("kind", ["ecsv", "vot", "fits", "QTable"])
def test_masked_periods_are_missing(kind: str, tmp_path: Path) -> None:
    table = Table({"source_id": [1, 2], "period": MaskedColumn([12.0, 1e20], mask=[False, True], unit="h")})
    source: object = QTable(table)
    if kind != "QTable":
        source = tmp_path / f"stars.{kind}"
        source.write_bytes(as_bytes(table, kind))
    np.testing.assert_array_equal(read_stars(source)["period"], [0.5, np.nan])


@pytest.mark.parametrize("kind", ["ecsv", "fits", "memory"])
def test_times_become_julian_dates_with_their_scale(kind: str, tmp_path: Path) -> None:
    time = Time([2457000.5, 2457001.25], format="jd", scale="tdb")
    table = QTable({"source_id": [1, 1], "time": time, "step": TimeDelta([12.0, 6.0] * u.h), "mag": [15.0, 16.0]})
    source: object = table
    if kind != "memory":
        source = tmp_path / f"a.{kind}"
        table.write(source)
    from photfeh.readers.objects import as_table

    read = as_table(table) if kind == "memory" else read_table(source)
    metadata = read.schema.field("time").metadata
    assert (metadata[b"unit"], metadata[b"time_format"], metadata[b"time_scale"]) == (b"d", b"jd", b"tdb")
    assert read["time"].to_pylist() == [2457000.5, 2457001.25]
    if kind != "fits":
        assert read["step"].to_pylist() == [0.5, 0.25]
        assert unit_of(read, "step") == "d"


def test_masked_times_are_missing() -> None:
    time = Time([2457000.5, 2457001.5], format="jd")
    time[1] = np.ma.masked
    from photfeh.readers.objects import as_table

    assert as_table(QTable({"time": time}))["time"].to_pylist() == [2457000.5, None]


def test_time_systems_of_votables_and_fits(tmp_path: Path) -> None:
    votable = from_table(Table.from_pandas(epochs()), table_id="t")
    votable.version = "1.4"
    votable.time_systems.append(
        TimeSys(
            ID="ts",
            timeorigin=2455197.5,
            timescale="TCB",
            refposition="BARYCENTER",
            config={"version_1_4_or_later": True},
        )
    )
    next(field for field in votable.get_first_table().fields if field.name == "time").ref = "ts"
    votable.to_xml(str(tmp_path / "a.vot"))
    metadata = read_table(tmp_path / "a.vot").schema.field("time").metadata
    assert (float(metadata[b"time_origin"]), metadata[b"time_scale"]) == (2455197.5, b"TCB")
    unit = fits.table_to_hdu(Table.from_pandas(epochs()))
    unit.header["BJDREFI"], unit.header["BJDREFF"] = 2457000, 0.25
    unit.writeto(tmp_path / "a.fits")
    metadata = read_table(tmp_path / "a.fits").schema.field("time").metadata
    assert (float(metadata[b"time_origin"]), metadata[b"unit"]) == (2457000.25, b"d")


def test_units_survive_tidying_selecting_filtering_and_spreading() -> None:
    inner = pa.struct([("Mag", pa.list_(pa.float64()))])
    schema = pa.schema(
        [
            pa.field(" Period", pa.float64(), metadata={"unit": "h"}),
            pa.field("lc", inner),
            pa.field("T", pa.list_(pa.float64(), 1), metadata={"unit": "s"}),
        ]
    )
    table = tidy(
        pa.table([[1.0, 2.0], [{"Mag": [1.0]}] * 2, pa.array([[1.0], [2.0]], schema.field("T").type)], schema=schema)
    )
    table = table.select(["t", "period"]).filter(pa.array([True, False]))
    assert (unit_of(table, "period"), unit_of(table, "t"), table["t"].to_pylist()) == ("h", "s", [[1.0]])


# ---------------------------------------------------------------------- which star a file is
@pytest.mark.parametrize(
    ("name", "star"),
    [
        (f"EPOCH_PHOTOMETRY-Gaia DR3 {BIG}.csv", BIG),
        (f"EPOCH_PHOTOMETRY-Gaia DR3 {BIG} (1).csv", BIG),
        (f"Gaia_DR3_{BIG}_v2.fits.gz", BIG),
        ("Gaia DR3 12345 (17).csv", 12345),
        (f"{BIG}_v2.csv", BIG),
        (f"lc_file7_{BIG}.csv", BIG),
        (f"{BIG}(3).csv", BIG),
        ("123456789012345.csv", 123456789012345),
        (f"Gaia DR2 {BIG}.csv", f"Gaia DR2 {BIG}"),
        ("star_12.csv", 12),
        ("star12.csv", 12),
        ("star 12 (1).csv", 12),
        ("star (12).csv", 12),
        ("lc_0042.dat", 42),
        ("00001.csv", 1),
        ("a1b22.CSV", 22),
        ("field_0123.csv", 123),
        ("light_curve_77_v2.csv", 77),
        ("1204_copy 2.csv", 1204),
        ("OGLE-BLG-RRLYR-00951.dat", "OGLE-BLG-RRLYR-00951"),
        ("OGLE-BLG-RRLYR-00951 (1).dat", "OGLE-BLG-RRLYR-00951"),
        ("V12.txt", "V12"),
        ("M3_V12.txt.gz", "M3_V12"),
        ("ZTF J012345.67+123456.7.csv", "ZTF J012345.67+123456.7"),
        ("lc.00951", 951),
        ("99999999999999999999.csv", "99999999999999999999"),
        ("epochs.csv", None),
        ("RR Lyr.csv", None),
    ],
)
def test_the_star_of_a_name(name: str, star: int | str | None) -> None:
    assert star_of_name(Path(name)) == star


@pytest.mark.parametrize(
    "column", ["oid", "MasterID", "objectid", "star_id", "Source", "designation", "DR3Name", "name", "sourceID", "ID"]
)
@pytest.mark.parametrize("text", [False, True])
def test_a_column_of_identifiers_goes_before_the_name(column: str, text: bool, tmp_path: Path) -> None:
    stars = ["OGLE-LMC-RRLYR-00001", "OGLE-LMC-RRLYR-00002"] if text else [BIG, BIG + 2]
    path = tmp_path / "field_0123.csv"
    epochs().assign(**{column: [stars[0], stars[0], stars[1]]}).drop(columns="source_id").to_csv(path, index=False)
    lcs = read_lightcurves(path)
    assert lcs.source_id.tolist() == [source_id_of(star) if isinstance(star, str) else star for star in stars]
    assert lcs.n_epochs.tolist() == [2, 1]


def test_a_column_that_numbers_the_points_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "star_5.csv"
    epochs().drop(columns="source_id").assign(id=[0, 1, 2]).to_csv(path, index=False)
    with pytest.raises(BadInput, match="'id' is different in each of its 3 rows: it numbers the points"):
        read_lightcurves(path)


def test_two_names_of_one_number_are_refused(tmp_path: Path) -> None:
    (tmp_path / "star_5.csv").write_bytes(one_star())
    (tmp_path / "lc_5.csv").write_bytes(one_star(shift=10))
    with pytest.raises(
        BadInput, match=r"lc_5\.csv and .*star_5\.csv have no column of identifiers, and both .* star 5"
    ):
        read_lightcurves(tmp_path)


def test_names_of_two_surveys_with_one_number_are_two_stars(tmp_path: Path) -> None:
    names = ["OGLE-BLG-RRLYR-00005", "OGLE-LMC-RRLYR-00005"]
    for name in names:
        (tmp_path / f"{name}.csv").write_bytes(one_star())
    assert read_lightcurves(tmp_path).source_id.tolist() == [source_id_of(name) for name in names]


@pytest.mark.parametrize("stem", [f"Gaia DR3 {BIG}", "V12", "star_5"])
def test_a_copy_is_the_same_star(stem: str, tmp_path: Path) -> None:
    (tmp_path / f"{stem}.csv").write_bytes(one_star())
    (tmp_path / f"{stem} (1).csv").write_bytes(one_star())
    with pytest.warns(PhotfehWarning, match="2 points stand in more than one file"):
        lcs = read_lightcurves(tmp_path)
    assert (len(lcs), lcs.n_epochs.tolist()) == (1, [2])


# ---------------------------------------------------------------------- what other packages hand out
def curve_table() -> Table:
    return Table.from_pandas(epochs())


def objects() -> dict[str, object]:
    table = curve_table()
    one = table[:2]
    key = f"EPOCH_PHOTOMETRY-Gaia DR3 {BIG}.xml"
    without = one[["time", "mag", "mag_error"]]
    element = from_table(without).get_first_table()
    return {
        "dict of lists of elements": {key: [element]},
        "dict of lists of tables": {key: [without]},
        "dict of tables": {key: without},
        "dict of frames": {key: without.to_pandas()},
        "list of tables": [one],
        "tuple of tables": (one,),
        "list of frames": [one.to_pandas()],
        "element": from_table(one).get_first_table(),
        "whole VOTable": from_table(one),
        "Table": one,
        "QTable": QTable(one),
        "DataFrame": one.to_pandas(),
        "indexed DataFrame": one.to_pandas().set_index(["source_id", "time"]),
        "Arrow": pa.Table.from_pandas(one.to_pandas()),
        "Arrow batch": pa.Table.from_pandas(one.to_pandas()).to_batches()[0],
        "dict of arrays": {name: np.asarray(one[name]) for name in one.colnames},
        "dict of lists of numbers": {name: one[name].tolist() for name in one.colnames},
        "dict of Series": {name: one.to_pandas()[name] for name in one.colnames},
        "record array": one.as_array(),
        "FITS table": fits.table_to_hdu(one),
        "FITS list": fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(one)]),
        "with to_arrow": SimpleNamespace(to_arrow=lambda: pa.Table.from_pandas(one.to_pandas())),
    }


@pytest.mark.parametrize("kind", objects())
def test_objects_of_other_packages(kind: str) -> None:
    lcs = read_lightcurves(objects()[kind])
    assert lcs.source_id.tolist() == [BIG]
    for name in ("time", "mag", "mag_error"):
        assert getattr(lcs, name).tolist() == epochs()[name].tolist()[:2]


def test_identifiers_beside_missing_entries_stay_exact() -> None:
    stars = {"source_id": [BIG, BIG + 2], "transit_id": [BIG, None], "period": [0.5, None]}
    read = read_stars(stars)
    assert read["source_id"].tolist() == [BIG, BIG + 2]
    assert int(read["transit_id"][0]) == BIG


def test_a_time_series_and_a_labelled_curve() -> None:
    series = TimeSeries(time=Time([2457000.5, 2457001.5], format="jd", scale="tcb"))
    series["mag"] = [15.0, 16.0] * u.mag
    series.meta["LABEL"] = "TIC 12345"
    lcs = read_lightcurves(series)
    assert lcs.source_id.tolist() == [source_id_of("TIC 12345")]
    assert lcs.time.tolist() == [2457000.5 - 2455197.5, 2457001.5 - 2455197.5]


def test_one_star_without_identifier() -> None:
    arrays = {"time": np.array([1.5, 2.5]), "mag": np.array([15.0, 16.0])}
    for source in (arrays, pd.DataFrame(arrays), Table(arrays)):
        with pytest.warns(PhotfehWarning, match="no identifiers; the star is called 'star'. Give source_id="):
            assert read_lightcurves(source).source_id.tolist() == [source_id_of("star")]
        assert read_lightcurves(source, source_id=BIG).source_id.tolist() == [BIG]
        assert read_lightcurves(source, source_id="V12").source_id.tolist() == [source_id_of("V12")]
    with pytest.raises(BadInput, match="has no column 'source_id' and no identifier in its name"):
        read_lightcurves([pd.DataFrame(arrays)] * 2)
    with pytest.raises(BadInput, match=r"has a column of identifiers \('source_id'\). Leave out source_id="):
        read_lightcurves(epochs(), source_id=5)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (5, "cannot read a table from int"),
        (None, "cannot read a table from NoneType"),
        ([np.arange(3.0), np.arange(3.0)], "a list of arrays does not say which is which"),
        ({"time": [1.0, 2.0], "mag": [1.0]}, "arrays of different length"),
        ({}, "without any table"),
        ([5], "cannot read a table from int"),
        (np.zeros((3, 3)), "cannot read a table from ndarray"),
        ({"a": {"b": 5}}, "cannot read a table from int"),
    ],
)
def test_objects_that_are_no_tables(source: object, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        read_lightcurves(source)


@pytest.mark.parametrize(
    "source",
    [
        [BIG, BIG + 2],
        np.array([BIG, BIG + 2]),
        pd.Series([BIG, BIG + 2]),
        (str(BIG), f"Gaia DR3 {BIG + 2}"),
        pa.array([BIG, BIG + 2]),
    ],
)
def test_identifiers_alone_are_a_star_table(source: object) -> None:
    assert read_stars(source)["source_id"].tolist() == [BIG, BIG + 2]


# ---------------------------------------------------------------------- no star table
VARI = pd.DataFrame(
    {
        "solution_id": [9, 9, 9],
        "source_id": [BIG + 2, BIG, 99],
        "pf": [0.5, np.nan, 0.7],
        "p1_o": [np.nan, 0.3, np.nan],
        "best_classification": ["RRab", "RRc", "RRab"],
    }
)


@pytest.mark.parametrize("kind", ["csv", "parquet", "fits", "vot"])
def test_stars_from_epochs(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"epochs.{kind}"
    path.write_bytes(as_bytes(epochs().assign(period=[0.5, 0.5, 0.6]), kind))
    stars = stars_from_epochs(path)
    assert stars["source_id"].tolist() == [BIG, BIG + 2]
    assert stars["period"].tolist() == [0.5, 0.6]
    path.write_bytes(as_bytes(epochs(), kind))
    assert list(stars_from_epochs(path).columns) == ["source_id"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "fits"])
def test_stars_from_epochs_and_the_catalogue_beside_them(kind: str, tmp_path: Path) -> None:
    (tmp_path / f"epochs.{kind}").write_bytes(as_bytes(epochs(), kind))
    (tmp_path / f"vari_rrlyrae.{kind}").write_bytes(as_bytes(VARI, kind))
    stars = stars_from_epochs(tmp_path)
    assert stars["source_id"].tolist() == [BIG, BIG + 2]
    assert stars["period"].tolist() == [0.3, 0.5]
    assert stars["type"].tolist() == ["RRc", "RRab"]
    alone = stars_from_epochs(tmp_path / f"vari_rrlyrae.{kind}")
    assert alone["source_id"].tolist() == [BIG + 2, BIG, 99]
    assert alone["period"].tolist() == [0.5, 0.3, 0.7]


def test_stars_from_epochs_keep_names_and_drop_what_differs(tmp_path: Path) -> None:
    frame = epochs().assign(source_id=["V1", "V1", "V2"], period=[0.5, 0.7, 0.6])
    stars = stars_from_epochs(frame)
    assert stars["name"].tolist() == ["V1", "V2"]
    np.testing.assert_array_equal(stars["period"], [np.nan, 0.6])
    (tmp_path / "V7.csv").write_bytes(one_star())
    assert stars_from_epochs(tmp_path)["name"].tolist() == ["V7"]
    with pytest.raises(BadFile, match="does not exist"):
        stars_from_epochs(tmp_path / "absent.csv")
    lists = epochs().groupby("source_id").agg(list).reset_index().assign(pf=[0.5, 0.6])
    lists.to_parquet(tmp_path / "lists.parquet")
    assert stars_from_epochs(tmp_path / "lists.parquet")["period"].tolist() == [0.5, 0.6]


# ---------------------------------------------------------------------- the system says no
def test_every_error_of_the_system_names_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long_name = tmp_path / ("x" * 300 + ".csv")
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    for path in (long_name, pipe, loop, Path("/dev/zero")):
        for read in (read_lightcurves, read_stars, read_tables, stars_from_epochs):
            with pytest.raises(BadFile) as error:
                read(path)
            assert str(path) in str(error.value)
            assert "\n" not in str(error.value)
    path = tmp_path / "5.csv"
    path.write_bytes(one_star())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    for source in (path, tmp_path):
        with pytest.raises(BadFile, match=r"5\.csv cannot be read: Permission denied"):
            read_lightcurves(source)
    monkeypatch.undo()
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(BadFile, match="cannot be read: Permission denied"):
        read_lightcurves(tmp_path)


def test_every_refusal_is_one_of_ours() -> None:
    assert issubclass(BadFile, PhotfehError)


def test_a_votable_written_by_astropy_can_be_read_back_there(tmp_path: Path) -> None:
    """The test's own files are sound."""
    path = tmp_path / "a.vot"
    path.write_bytes(as_bytes(epochs(), "vot"))
    assert len(parse(path).get_first_table().array) == 3
    assert pq.ParquetFile(io.BytesIO(as_bytes(epochs(), "parquet"))).metadata.num_rows == 3
