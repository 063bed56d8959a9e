"""Tables of predictions in every format, read back by others: values bit for bit, units, meanings, provenance."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table

import photfeh as pf
from exact import EXACT
from photfeh.core.errors import BadInput, MissingColumn
from photfeh.core.flags import DESCRIPTIONS, Flag
from photfeh.inference.columns import FULL_COLUMNS, PREDICTION_COLUMNS, column_lines
from photfeh.inference.formats import WRITERS
from photfeh.inference.output import check_output, provenance, read_predictions, write_predictions
from photfeh.simulation.survey import simulate

SUFFIXES = sorted(WRITERS)
ABOUT = {"model": "some-model", "model_digest": "0123", "truth": "spectra", "settings": {"band": "G", "adapt": False}}


@pytest.fixture(scope="module")
def survey():
    return simulate(25, seed=31)


def made(names=(4295806720, 2**62 + 1, 17), rows=3) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"source_id": list(names)})
    for name in ("feh", "feh_error", "feh_lower", "feh_upper"):
        table[name] = rng.normal(size=3) / 3
    table["flag"] = np.array([0, int(Flag.SPARSE | Flag.NOISY), int(Flag.NO_FIT)])
    table["period"] = rng.random(3) * 2 / 3
    table["n_epochs"] = np.array([2**40 + 1, 30, 0])
    table["model"] = np.array(["a", "longer-name", "a"]).astype(str)
    table["scale"] = np.array(["crestani-2021", "labels, of a kind", ""]).astype(str)
    table["feh_curve_error"], table["feh_curve_error_90"] = rng.random(3), rng.random(3)
    table.loc[2, ["feh", "feh_error", "feh_lower", "feh_upper"]] = np.nan
    table["ra"] = rng.random(3).astype(np.float32)
    table["count"] = pd.array([2**60 + 1, None, 3], dtype="Int64")
    table["good"] = [True, False, True]
    table["field"] = ["LMC", None, "SMC, outer"]
    return table.iloc[:rows]


def written(tmp_path: Path, suffix: str, table: pd.DataFrame) -> Path:
    path = tmp_path / f"p{suffix}"
    write_predictions(table, path, provenance(**ABOUT), kept_units={"ra": "deg"})
    return path


def read_by_others(path: Path) -> Table | pd.DataFrame:
    """By pandas or astropy, which know nothing of photfeh."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype={"count": "Int64"}, **EXACT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dex is no unit of FITS and VOTable to astropy
        return Table.read(path, format={".fits": "fits", ".ecsv": "ascii.ecsv"}.get(path.suffix, "votable"))


def column(table, name, fill):
    """Values as numpy, missing ones filled."""
    if isinstance(table, pd.DataFrame):
        return table[name].astype(object).where(table[name].notna(), fill).to_numpy()
    mask = np.broadcast_to(getattr(table[name], "mask", False), len(table))
    values = [fill if hidden else value for value, hidden in zip(np.asarray(table[name]), mask, strict=True)]
    return np.array([value.decode() if isinstance(value, bytes) else value for value in values], dtype=object)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("names", [(4295806720, 2**62 + 1, 17), ("V1", "OGLE-LMC-RRLYR-00951", "12")])
def test_every_value_comes_back_bit_for_bit(suffix, names, tmp_path):
    table = made(names)
    found = read_by_others(written(tmp_path, suffix, table))
    assert list(found.columns if isinstance(found, pd.DataFrame) else found.colnames) == list(table.columns)
    for name in ("feh", "feh_error", "feh_lower", "feh_upper", "period"):
        values = column(found, name, np.nan).astype(np.float64)
        assert np.array_equal(values, table[name].to_numpy(), equal_nan=True)
    assert np.array_equal(column(found, "ra", np.nan).astype(np.float32), table["ra"])
    for name in ("flag", "n_epochs"):
        assert [int(value) for value in column(found, name, -1)] == table[name].tolist()
    assert [int(value) for value in column(found, "count", -1)] == [2**60 + 1, -1, 3]
    assert [str(value) for value in column(found, "source_id", "")] == [str(name) for name in names]
    assert [bool(value) for value in column(found, "good", False)] == [True, False, True]
    assert [str(value) for value in column(found, "field", "")] == ["LMC", "", "SMC, outer"]
    assert [str(value) for value in column(found, "model", "")] == table["model"].tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("names", [(4295806720, 2**62 + 1, 17), ("V1", "OGLE-LMC-RRLYR-00951", "12")])
def test_our_own_reader_gives_the_same_table(suffix, names, tmp_path):
    table = made(names)
    found = read_predictions(written(tmp_path, suffix, table))
    for name, known in PREDICTION_COLUMNS.items():
        if known.dtype == "float64":
            assert np.array_equal(found[name], table[name], equal_nan=True), name
        else:
            assert found[name].tolist() == table[name].tolist(), name
    assert pd.api.types.is_integer_dtype(found["source_id"]) == isinstance(names[0], int)
    assert found["count"].dropna().tolist() == [2**60 + 1, 3]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_table_keeps_its_columns(suffix, tmp_path):
    found = read_by_others(written(tmp_path, suffix, made(rows=0)))
    assert len(found) == 0
    assert list(found.columns if isinstance(found, pd.DataFrame) else found.colnames) == list(made().columns)


def test_fits_says_units_meanings_and_who_made_it(tmp_path):
    with fits.open(written(tmp_path, ".fits", made())) as hdus:
        header = hdus[1].header
    place = {header[f"TTYPE{i}"]: i for i in range(1, header["TFIELDS"] + 1)}
    for name, known in PREDICTION_COLUMNS.items():
        assert header.get(f"TUNIT{place[name]}", "") == known.unit
        assert header[f"TCOMM{place[name]}"] == known.meaning
        assert header[f"TUCD{place[name]}"] == known.ucd
    assert header[f"TUNIT{place['ra']}"] == "deg"
    assert header[f"TNULL{place['count']}"] not in (2**60 + 1, 3)
    assert header["CREATOR"] == f"photfeh {pf.__version__}"
    assert header["MODEL"] == "some-model"
    check_provenance(json.loads(header["PHOTFEH"]))
    said = " ".join("".join(header["HISTORY"]).split())
    for bit, text in DESCRIPTIONS.items():
        assert f"flag {int(bit)}: {text}".replace(" ", "") in said.replace(" ", "")


@pytest.mark.parametrize("suffix", [".vot", ".votable", ".xml"])
def test_votable_says_units_meanings_and_who_made_it(suffix, tmp_path):
    check_votable(written(tmp_path, suffix, made()).read_bytes())


def check_votable(text: bytes):
    """As plain XML, since astropy reads the unit dex as it likes."""
    root = ElementTree.fromstring(text)
    space = "{http://www.ivoa.net/xml/VOTable/v1.3}"
    fields = {field.get("name"): field for field in root.iter(f"{space}FIELD")}
    assert list(fields) == list(made().columns)
    for name, known in PREDICTION_COLUMNS.items():
        assert fields[name].get("unit", "") == known.unit
        assert fields[name].get("ucd") == known.ucd
        assert " ".join(fields[name].find(f"{space}DESCRIPTION").text.split()) == known.meaning
    found = [fields[name].get("datatype") for name in ("source_id", "feh", "model", "ra", "good")]
    assert found == ["long", "double", "char", "float", "boolean"]
    assert fields["ra"].get("unit") == "deg"
    infos = {info.get("name"): info.get("value") for info in root.iter(f"{space}INFO")}
    check_provenance(json.loads(infos["photfeh"]))
    for bit, meaning in DESCRIPTIONS.items():
        assert infos[f"flag_{int(bit)}"] == meaning
    ids = [element.get("ID") for element in root.iter() if element.get("ID")]
    assert len(set(ids)) == len(ids)


def test_parquet_holds_a_votable_of_its_columns(tmp_path):
    path = written(tmp_path, ".parquet", made())
    schema = pq.read_schema(path)
    for name, known in PREDICTION_COLUMNS.items():
        said = {key.decode(): text.decode() for key, text in schema.field(name).metadata.items()}
        assert said["description"] == known.meaning
        assert said["ucd"] == known.ucd
        assert said.get("unit", "") == known.unit
    check_provenance(json.loads(schema.metadata[b"photfeh"]))
    assert schema.metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    text = schema.metadata[b"IVOA.VOTable-Parquet.content"]
    assert b"<DATA" not in text
    assert text.startswith(b"<?xml")
    check_votable(text)
    whole = made().drop(columns=["field", "count"])  # astropy 8 stumbles over missing text and integers
    path = written(tmp_path, ".parquet", whole)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Table.read(path, format="parquet.votable")  # astropy's own reader of the convention
    assert found["feh"].description == PREDICTION_COLUMNS["feh"].meaning
    assert found["source_id"].tolist() == made()["source_id"].tolist()


def test_ecsv_says_units_meanings_and_who_made_it(tmp_path):
    found = Table.read(written(tmp_path, ".ecsv", made()))
    for name, known in PREDICTION_COLUMNS.items():
        assert str(found[name].unit or "") == known.unit
        assert found[name].description == known.meaning
        assert found[name].meta["ucd"] == known.ucd
    check_provenance(found.meta["photfeh"])


def check_provenance(said):
    for key, value in ABOUT.items():
        assert said[key] == value
    assert said["version"] == pf.__version__
    assert said["date"].startswith("20")
    assert said["versions"]["numpy"] == np.__version__
    assert {int(bit): text for bit, text in said["flags"].items()} == {int(b): t for b, t in DESCRIPTIONS.items()}


def test_whole_numbers_of_every_width_keep_their_values(tmp_path):
    table = made()[list(PREDICTION_COLUMNS)].copy()
    for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"):
        limits = np.iinfo(name)
        table[name] = np.array([limits.min, 7, limits.max], dtype=name)
    for suffix in (".parquet", ".fits", ".vot", ".ecsv"):
        found = read_by_others(written(tmp_path, suffix, table))
        for name in table.columns[len(PREDICTION_COLUMNS) :]:
            assert [int(value) for value in column(found, name, -1)] == table[name].tolist(), (suffix, name)


def test_every_column_has_a_meaning_and_a_valid_ucd():
    for name, known in {**PREDICTION_COLUMNS, **FULL_COLUMNS}.items():
        assert check_ucd(known.ucd, check_controlled_vocabulary=True), name
        assert known.meaning
        assert known.meaning.isascii()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_only_tables_of_photfeh_are_written_over(suffix, tmp_path):
    ours = written(tmp_path, suffix, made())
    check_output(ours)
    foreign = tmp_path / f"foreign{suffix}"
    table = Table({"source_id": [1, 2], "feh": [-1.0, -2.0]})
    table.write(foreign, format={".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits"}.get(suffix, "votable")
                if suffix != ".parquet" else "parquet")  # fmt: skip
    with pytest.raises(BadInput, match="no table of predictions"):
        check_output(foreign)
    check_output(foreign, overwrite=True)
    (tmp_path / f"broken{suffix}").write_bytes(b"\x00\x01 nothing")
    with pytest.raises(BadInput, match="no table of predictions"):
        check_output(tmp_path / f"broken{suffix}")


def test_a_suffix_may_be_in_capitals_and_must_be_known(survey, tmp_path):
    path = tmp_path / "P.CSV"
    table = pf.predict(survey.curves, survey.stars, model="relation", output=path)
    assert path.read_text().startswith("source_id,feh,")
    assert pd.read_csv(path)["source_id"].tolist() == table["source_id"].tolist()
    with pytest.raises(BadInput, match=r"\.fits"):
        check_output(tmp_path / "p.xlsx")


# ---------------------------------------------------------------------- predict writes them
def test_columns_of_the_star_table_are_carried_along(survey, tmp_path):
    stars = survey.stars[["source_id", "period", "type", "feh"]].assign(
        RA=np.linspace(10, 20, 25).astype(np.float32),
        field=[None if i == 3 else f"f{i}" for i in range(25)],
        visits=pd.array([None if i == 4 else 2**55 + i for i in range(25)], dtype="Int64"),
    )
    keep = ["ra", "Field", "visits", "feh"]
    table = pf.predict(survey.curves, stars, model="relation", keep=keep, output=tmp_path / "p.parquet")
    assert list(table.columns) == [*PREDICTION_COLUMNS, "ra", "field", "visits", "feh_given"]
    assert table["ra"].dtype == np.float32
    assert table["ra"].tolist() == stars["RA"].tolist()
    assert table["field"].isna().tolist() == [i == 3 for i in range(25)]
    assert table["visits"].dropna().tolist() == stars["visits"].dropna().tolist()
    assert np.array_equal(table["feh_given"], stars["feh"])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "p.parquet"), table)
    plain = pf.predict(survey.curves, stars, model="relation")
    pd.testing.assert_frame_equal(table[list(PREDICTION_COLUMNS)], plain)


def test_units_of_kept_columns_stay(survey, tmp_path):
    stars = Table.from_pandas(survey.stars[["source_id", "period", "type"]].assign(parallax=0.25))
    stars["parallax"].unit = "mas"
    path = tmp_path / "p.fits"
    pf.predict(survey.curves, stars, model="relation", keep=["parallax", "period"], output=path)
    with fits.open(path) as hdus:
        units = {col.name: col.unit for col in hdus[1].columns}
    assert units["parallax"] == "mas"
    assert units["period_given"] == "d"


def test_what_cannot_be_kept_or_written_is_said_before_anything_is_measured(survey, tmp_path, monkeypatch):
    monkeypatch.setattr("photfeh.inference.predictor.measure", None)
    with pytest.raises(MissingColumn, match="no_such"):
        pf.predict(survey.curves, survey.stars, model="relation", keep=["no_such"])
    stars = survey.stars.assign(field="Å")
    with pytest.raises(BadInput, match=r"ASCII.*'field'"):
        pf.predict(survey.curves, stars, model="relation", keep=["field"], output=tmp_path / "p.fits")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".parquet", ".fits", ".vot", ".ecsv", ".csv"])
def test_what_was_measured_comes_on_request(survey, suffix, tmp_path):
    path = tmp_path / f"full{suffix}"
    table = pf.predict(survey.curves, survey.stars, model="relation", full=True, output=path)
    assert list(table.columns) == [*PREDICTION_COLUMNS, *FULL_COLUMNS]
    measured = pf.predict(survey.curves, survey.stars, model="relation")
    pd.testing.assert_frame_equal(table[list(PREDICTION_COLUMNS)], measured)
    good = table["feh"].notna()
    for name in ("a1", "phi31", "phi31_error", "peak_to_peak", "snr", "epoch_of_maximum"):
        assert np.isfinite(table.loc[good, name]).all(), name
    assert set(table.loc[good, "type"]) <= {"RRab", "RRc"}
    assert set(table.loc[good, "period_source"]) <= {"given", "unchecked"}
    found = read_predictions(path)
    for name, known in FULL_COLUMNS.items():
        if known.dtype == "float64":
            assert np.array_equal(found[name].to_numpy(float), table[name].to_numpy(float), equal_nan=True), name


def test_parts_of_a_plain_table_are_not_taken_for_a_full_one(survey, tmp_path):
    class Stop(Exception):
        pass

    def stop(done, total):
        raise Stop

    def run(**how):
        path = tmp_path / "p.parquet"
        return pf.predict(survey.curves, survey.stars, model="relation", output=path, stars_per_chunk=10, **how)

    with pytest.raises(Stop):
        run(progress=stop)
    table = run(full=True)
    assert table["a1"].notna().any()
    whole = pf.predict(survey.curves, survey.stars, model="relation", full=True)
    pd.testing.assert_frame_equal(table, whole)
    with pytest.raises(Stop):
        run(full=True, progress=stop)
    pd.testing.assert_frame_equal(run(full=True), whole)  # text of a finished part comes back as it was


def test_the_file_tells_the_settings_of_the_call(survey, tmp_path):
    path = tmp_path / "p.parquet"
    pf.predict(survey.curves, survey.stars, model="relation", periods="check", output=path)
    said = json.loads(pq.read_schema(path).metadata[b"photfeh"])
    assert said["settings"] == {"band": "G", "periods": "check", "any_band": False, "adapt": False, "full": False} | {
        "scale": "spectroscopic"
    }
    assert said["model"] == "relation"
    assert said["model_digest"] == pf.load("relation").fingerprint()
    assert said["truth"] == "published relation"


def test_the_command_takes_keep_and_full(survey, tmp_path):
    from typer.testing import CliRunner

    from photfeh.cli.app import app
    from photfeh.readers import write_lightcurves

    write_lightcurves(survey.curves, tmp_path / "epochs.parquet")
    survey.stars.assign(ra=1.5).to_csv(tmp_path / "stars.csv", index=False)
    how = ["predict", str(tmp_path / "epochs.parquet"), "--stars", str(tmp_path / "stars.csv"), "--model", "relation"]
    done = CliRunner().invoke(app, [*how, "--keep", "ra, feh", "--full", "--output", str(tmp_path / "p.FITS")])
    assert done.exit_code == 0, done.output
    with fits.open(tmp_path / "p.FITS") as hdus:
        assert hdus[1].columns.names == [*PREDICTION_COLUMNS, *FULL_COLUMNS, "ra", "feh_given"]


def test_the_documentation_lists_every_column():
    text = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    inside = text.split("<!-- columns -->\n")[1].split("<!-- end of columns -->")[0].strip().splitlines()
    assert inside == column_lines(), "put the lines of photfeh.inference.columns.column_lines() there"


def test_the_documentation_lists_every_flag():
    text = (Path(__file__).parents[1] / "docs" / "predictions.md").read_text(encoding="utf-8")
    rows = text.split("<!-- flags -->\n")[1].split("<!-- end of flags -->")[0].strip().splitlines()[2:]
    assert rows == [f"| {int(bit)} | {bit.name} | {meaning} |" for bit, meaning in DESCRIPTIONS.items()]
    assert len(text.splitlines()) <= 125


@pytest.mark.parametrize("suffix", [".parquet", ".vot", ".ecsv", ".csv"])
def test_letters_beyond_ascii_come_back(suffix, tmp_path):
    names = ("V1 Å", "β Lyr", "12")
    found = read_by_others(written(tmp_path, suffix, made(names)))
    assert [str(value) for value in column(found, "source_id", "")] == list(names)
    assert read_predictions(tmp_path / f"p{suffix}")["source_id"].tolist() == list(names)
