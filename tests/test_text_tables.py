"""Text as it comes: every dialect gives the numbers that were written, for light curves and for star tables."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from photfeh.core.errors import BadFile, BadInput, MissingColumn, PhotfehWarning, UnknownName
from photfeh.core.identifiers import source_id_of
from photfeh.readers import read_lightcurves, read_stars, read_table, read_tables
from photfeh.readers.tables import unit_of

BIG = 4_611_686_018_427_387_905  # 2**62 + 1: a float would lose the 1

CURVE_NAMES = ["source_id", "time", "mag", "mag_error"]
CURVES = [
    [str(BIG), "1700.123456789", "15.25", "0.011"],
    [str(BIG), "1701.5", "15.5", "0.012"],
    [str(BIG + 2), "1702.25", "16.125", "0.013"],
    [str(BIG + 2), "1703.0", "16.25", "0.014"],
]
STAR_NAMES = ["source_id", "period", "feh"]
STARS = [[str(BIG), "0.4290670332693679", "-1.5"], [str(BIG + 2), "0.5473", ""], [str(BIG + 4), "0.61", "-0.25"]]
UNITS = {"source_id": "", "time": "d", "mag": "mag", "mag_error": "mag", "period": "d", "feh": "dex"}

Rows = list[list[str]]
Dialect = Callable[[list[str], Rows], str | bytes]


def delimited(mark: str) -> Dialect:
    return lambda names, rows: "".join(mark.join(row) + "\n" for row in [names, *rows])


def padded(mark: str) -> Dialect:
    return lambda names, rows: "".join(mark.join(f"  {field:>22} " for field in row) + "\n" for row in [names, *rows])


def trailing(mark: str, *, header: bool) -> Dialect:
    def write(names: list[str], rows: Rows) -> str:
        return mark.join(names) + mark * header + "\n" + "".join(mark.join([*row, ""]) + "\n" for row in rows)

    return write


def white(names: list[str], rows: Rows) -> str:
    return "".join("  ".join(f"{field or 'nan':<24}" for field in row) + "\n" for row in [names, *rows])


def fixed_width(names: list[str], rows: Rows) -> str:
    lines = [" ".join(f"{field:<22}" for field in row) for row in [names, *rows]]
    return "\n".join([lines[0], " ".join("-" * 22 for _ in names), *lines[1:]]) + "\n"


def vizier(mark: str, *, units: bool = True) -> Dialect:
    def write(names: list[str], rows: Rows) -> str:
        head = [
            "#",
            "#   a catalogue service",
            *(f"#Column{mark}{name}{mark}(F14.9)" for name in names),
            mark.join(names),
        ]
        if units:
            head.append(mark.join(UNITS[name] or " " for name in names))
        body = [mark.join(f"{field:>24}" for field in row) for row in rows]
        return "\n".join([*head, mark.join("-" * 24 for _ in names), *body, "", "#END#", ""])

    return write


def comment_names(mark: str, before: str = "# ") -> Dialect:
    return lambda names, rows: (
        before + mark.join(names) + "\n" + "".join(mark.join(field or "nan" for field in row) + "\n" for row in rows)
    )


def drawn(names: list[str], rows: Rows) -> str:
    lines = ["| " + " | ".join(f"{field:<22}" for field in row) + " |" for row in [names, *rows]]
    rule = "+" + "+".join("-" * 24 for _ in names) + "+"
    return "\n".join([rule, lines[0], rule, *lines[1:], rule]) + "\n"


def markdown(names: list[str], rows: Rows) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in [names, *rows]]
    return "\n".join([lines[0], "|" + "---|" * len(names), *lines[1:]]) + "\n"


def ipac(names: list[str], rows: Rows) -> str:
    kinds = ["long" if name == "source_id" else "double" for name in names]
    head = ["|" + "|".join(f"{field:^24}" for field in line) + "|" for line in (names, kinds)]
    body = [" " + " ".join(f"{field or 'null':>24}" for field in row) + " " for row in rows]
    nulls = "|" + "|".join(f"{'null':^24}" for _ in names) + "|"
    units = "|" + "|".join(f"{UNITS[name]:^24}" for name in names) + "|"
    return "\n".join(["\\fixlen = T", *head, units, nulls, *body]) + "\n"


def quoted(names: list[str], rows: Rows) -> str:
    return "".join(", ".join(f'"{field}"' for field in row) + "\n" for row in [names, *rows])


def decimal_commas(names: list[str], rows: Rows) -> str:
    return "".join(";".join(field.replace(".", ",") for field in row) + "\n" for row in [names, *rows])


def changed(change: Callable[[str], str | bytes]) -> Dialect:
    return lambda names, rows: change("".join(",".join(row) + "\n" for row in [names, *rows]))


def comments_between(text: str) -> str:
    lines = text.splitlines()
    return "\n".join([*lines[:2], "# a remark, of someone", "", *lines[2:], "# the end"]) + "\n"


def note_column(text: str, encoding: str) -> bytes:
    lines = text.splitlines()
    return "\n".join([lines[0] + ",note", *(f"{line},Sopronyi Á. megfigyelése é" for line in lines[1:])]).encode(
        encoding
    )


DIALECTS: dict[str, Dialect] = {
    "comma": delimited(","),
    "tab": delimited("\t"),
    "semicolon": delimited(";"),
    "bar": delimited("|"),
    "padded comma": padded(","),
    "padded tab": padded("\t"),
    "padded semicolon": padded(";"),
    "padded bar": padded("|"),
    "trailing comma": trailing(",", header=False),
    "trailing comma in the header too": trailing(",", header=True),
    "trailing semicolon": trailing(";", header=False),
    "trailing tab": trailing("\t", header=False),
    "white space": white,
    "fixed width": fixed_width,
    "vizier tab": vizier("\t"),
    "vizier semicolon": vizier(";"),
    "vizier bar": vizier("|"),
    "vizier without units": vizier(";", units=False),
    "names in a comment, comma": comment_names(","),
    "names in a comment, blanks": comment_names(" "),
    "names in a comment, tight": comment_names(",", "#"),
    "names in a comment, percent": comment_names(" ", "% "),
    "drawn": drawn,
    "markdown": markdown,
    "ipac": ipac,
    "quoted": quoted,
    "decimal commas": decimal_commas,
    "byte order mark": changed(lambda text: b"\xef\xbb\xbf" + text.encode()),
    "utf-16": changed(lambda text: text.encode("utf-16")),
    "windows": changed(lambda text: text.replace("\n", "\r\n")),
    "old mac": changed(lambda text: text.replace("\n", "\r")),
    "latin-1": changed(lambda text: note_column(text, "latin-1")),
    "utf-8": changed(lambda text: note_column(text, "utf-8")),
    "comments between": changed(comments_between),
    "names repeated": changed(lambda text: text + text.splitlines()[0] + "\n"),
    "no last line end": changed(lambda text: text.rstrip("\n")),
    "blank lines first": changed(lambda text: "\n\n" + text),
    "upper case names": lambda names, rows: delimited(",")([name.upper() for name in names], rows),
    "units in brackets": lambda names, rows: delimited(",")(
        [f"{name} ({UNITS[name]})" if UNITS[name] else name for name in names], rows
    ),
    "row of units": lambda names, rows: delimited(",")(names, [[UNITS[name] for name in names], *rows]),
}


def put(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("suffix", [".csv", ".dat", ".txt", ".CSV"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_light_curves_in_every_dialect(dialect: str, suffix: str, tmp_path: Path) -> None:
    lcs = read_lightcurves(put(tmp_path / f"epochs{suffix}", DIALECTS[dialect](CURVE_NAMES, CURVES)))
    assert lcs.source_id.tolist() == [BIG, BIG + 2]
    assert lcs.offsets.tolist() == [0, 2, 4]
    for place, name in enumerate(("time", "mag", "mag_error"), start=1):
        assert getattr(lcs, name).tolist() == [float(row[place]) for row in CURVES]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_star_tables_in_every_dialect(dialect: str, tmp_path: Path) -> None:
    stars = read_stars(put(tmp_path / "stars.csv", DIALECTS[dialect](STAR_NAMES, STARS)))
    assert stars["source_id"].tolist() == [BIG, BIG + 2, BIG + 4]
    assert stars["period"].tolist() == [float(row[1]) for row in STARS]
    np.testing.assert_array_equal(stars["feh"], [-1.5, np.nan, -0.25])


@pytest.mark.parametrize("dialect", ["vizier tab", "vizier semicolon", "vizier bar", "ipac", "units in brackets"])
def test_units_of_text_are_kept(dialect: str, tmp_path: Path) -> None:
    table = read_table(put(tmp_path / "stars.csv", DIALECTS[dialect](STAR_NAMES, STARS)))
    assert (unit_of(table, "period"), unit_of(table, "feh")) == ("d", "dex")


# ---------------------------------------------------------------------- no names
@pytest.mark.parametrize("mark", [" ", "   ", "\t", ",", ";", "|"])
@pytest.mark.parametrize("columns", [2, 3])
def test_columns_without_names_are_time_magnitude_and_error(mark: str, columns: int, tmp_path: Path) -> None:
    rows = [row[1 : 1 + columns] for row in CURVES]
    path = put(tmp_path / "OGLE-BLG-RRLYR-00951.dat", "".join(mark.join(row) + "\n" for row in rows))
    with pytest.warns(PhotfehWarning, match=r"00951\.dat: no names of columns; taken as time, mag") as said:
        lcs = read_lightcurves(path)
    assert len(said) == 1
    assert lcs.source_id.tolist() == [source_id_of("OGLE-BLG-RRLYR-00951")]
    assert lcs.time.tolist() == [float(row[0]) for row in rows]
    assert lcs.mag.tolist() == [float(row[1]) for row in rows]
    assert np.isnan(lcs.mag_error).all() == (columns == 2)


def test_no_names_in_many_files_is_said_once(tmp_path: Path) -> None:
    for number in range(5):
        put(tmp_path / f"star_{number}.dat", "1700.5 15.2 0.01\n1701.5 15.3 0.01\n")
    with pytest.warns(PhotfehWarning, match=r"star_0\.dat and 4 more files: no names of columns") as said:
        assert read_lightcurves(tmp_path).source_id.tolist() == list(range(5))
    assert len(said) == 1


@pytest.mark.parametrize(
    "text",
    [
        "1 1700.5 15.2 0.01\n1 1701.5 15.3 0.01\n",  # four columns
        "15.2 1700.5 0.01\n15.3 1701.5 0.01\n",  # magnitudes first
        "1700.5 15.2 90.1\n1701.5 15.3 88.5\n",  # no errors
        "1700.5 15.2 good\n1701.5 15.3 good\n",
        "1700.5\n1701.5\n",
        f"{BIG} 0.5\n{BIG + 2} 0.6\n",
        "",
    ],
)
def test_columns_without_names_that_are_something_else_are_refused(text: str, tmp_path: Path) -> None:
    path = put(tmp_path / "star_5.dat", text or "\n\n")
    with pytest.raises(BadInput, match=r"has no names of columns.*columns=\{'time': 'column1'|holds no table"):
        read_lightcurves(path)


def test_columns_without_names_may_be_named(tmp_path: Path) -> None:
    path = put(tmp_path / "all.dat", "".join(f"x {row[2]} {row[1]} {row[0]}\n" for row in CURVES))
    roles = {"time": "column3", "mag": "Column2", "source_id": "column4"}
    lcs = read_lightcurves(path, columns=roles)
    assert lcs.source_id.tolist() == [BIG, BIG + 2]
    assert lcs.time.tolist() == [float(row[1]) for row in CURVES]
    assert lcs.mag.tolist() == [float(row[2]) for row in CURVES]


def test_pandas_numbers_of_columns_are_no_point(tmp_path: Path) -> None:
    path = put(tmp_path / "star_5.csv", "0,1,2\n1700.5,15.2,0.01\n1701.5,15.3,0.01\n")
    with pytest.warns(PhotfehWarning, match="no names of columns"):
        assert read_lightcurves(path).time.tolist() == [1700.5, 1701.5]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"{BIG}\n{BIG + 2}\n", None),
        (f"source_id\n{BIG}\n{BIG + 2}\n", None),
        (f"# source_id\n{BIG}\n{BIG + 2}\n", None),
        (f"Gaia DR3 {BIG}\nGaia DR3 {BIG + 2}\n", None),
        (f"\n# my stars\n {BIG} \n\n{BIG + 2}", None),
        ("OGLE-BLG-RRLYR-00951\nV12\n", ["OGLE-BLG-RRLYR-00951", "V12"]),
        ("name\nRR Lyr\nV12\n", ["RR Lyr", "V12"]),
        ("V1\nV2\n", ["V1", "V2"]),
        ("RR Lyr\nSU Dra\n", ["RR Lyr", "SU Dra"]),
        ("RR Lyr\nV12\nOGLE BLG RRLYR 5a\n", ["RR Lyr", "V12", "OGLE BLG RRLYR 5a"]),
    ],
)
def test_lists_of_identifiers(text: str, names: list[str] | None, tmp_path: Path) -> None:
    stars = read_stars(put(tmp_path / "ids.txt", text))
    if names is None:
        assert stars["source_id"].tolist() == [BIG, BIG + 2]
    else:
        assert stars["name"].tolist() == names
        assert stars["source_id"].tolist() == [source_id_of(name) for name in names]


def test_two_columns_without_names_are_identifiers_and_periods(tmp_path: Path) -> None:
    with pytest.warns(PhotfehWarning, match="taken as source_id and period"):
        stars = read_stars(put(tmp_path / "stars.txt", f"{BIG} 0.5\n{BIG + 2} 0.61\n"))
    assert stars[["source_id", "period"]].to_dict("list") == {"source_id": [BIG, BIG + 2], "period": [0.5, 0.61]}
    with pytest.raises(BadInput, match="has no names of columns"):
        read_stars(put(tmp_path / "stars.txt", f"{BIG} 0.5 -1.5\n{BIG + 2} 0.61 -1.2\n"))


# ---------------------------------------------------------------------- columns that the user names
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_named_columns_go_before_those_that_are_known(suffix: str, tmp_path: Path) -> None:
    import pandas as pd

    table = pd.DataFrame(
        {
            "time": [9.0, 9.0],
            "hjd": [8.0, 8.0],
            "T obs": [1.5, 2.5],
            "mag": [1.0, 1.0],
            "V Mag": [15.0, 15.5],
            "err": [0.3, 0.3],
            "id": [1, 2],
            "Star No": [7, 7],
        }
    )
    path = tmp_path / f"a{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    lcs = read_lightcurves(path, columns={"time": "T Obs", "mag": "V mag"}, id_column="star no")
    assert (lcs.source_id.tolist(), lcs.time.tolist(), lcs.mag.tolist()) == ([7], [1.5, 2.5], [15.0, 15.5])
    assert lcs.mag_error.tolist() == [0.3, 0.3]
    with pytest.raises(MissingColumn, match=r"no column 't obz' \(also accepted: t obs\)"):
        read_lightcurves(path, columns={"time": "T obz"})
    with pytest.raises(UnknownName, match=r"unknown role of a column 'tmie'\. Did you mean 'time'"):
        read_lightcurves(path, columns={"tmie": "T obs"})
    with pytest.raises(BadInput, match="one column cannot play two roles"):
        read_lightcurves(path, columns={"time": "mag", "mag": "mag"})


def test_a_wide_gaia_table_may_be_read_as_another_band(tmp_path: Path) -> None:
    text = "source_id,g_transit_time,g_transit_mag,bp_obs_time,bp_mag\n5,1,15,2,16\n"
    path = put(tmp_path / "a.csv", text)
    lcs = read_lightcurves(path, columns={"time": "bp_obs_time", "mag": "bp_mag"}, band="BP")
    assert (lcs.time.tolist(), lcs.mag.tolist()) == ([2.0], [16.0])


def test_named_columns_of_a_star_table(tmp_path: Path) -> None:
    path = put(tmp_path / "stars.csv", "number,id,P0,period,Z\n5,1,0.5,9,-1\n6,2,0.6,9,-2\n")
    stars = read_stars(path, columns={"period": "P0", "feh": "Z"}, id_column="Number")
    assert stars["source_id"].tolist() == [5, 6]
    assert stars["period"].tolist() == [0.5, 0.6]
    assert stars["feh"].tolist() == [-1.0, -2.0]


# ---------------------------------------------------------------------- several, damaged, odd
def test_several_tables_of_one_vizier_file(tmp_path: Path) -> None:
    one = vizier(";")(["source_id", "period"], [["5", "0.5"], ["6", "0.6"]])
    other = vizier(";")(["source_id", "feh"], [["7", "-1.5"]])
    path = put(tmp_path / "asu.tsv", one + other)
    assert [table.num_rows for table in read_tables(path)] == [2, 1]
    assert read_stars(path)["source_id"].tolist() == [5, 6, 7]
    with pytest.raises(BadFile, match="holds 2 tables"):
        read_table(path)


@pytest.mark.parametrize("number", [2**63 + 5, 2**64 + 1, 99999999999999999999])
def test_integers_beyond_63_bits_do_not_become_floats(number: int, tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", f"source_id,time,mag\n{number},1,15\n{number + 1},2,15\n")
    assert len(read_lightcurves(path)) == 2
    assert read_table(path)["source_id"].to_pylist() == [str(number), str(number + 1)]


def test_a_field_with_line_ends_and_a_delimiter(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", 'source_id,note,time,mag\n5,"two\nlines, and more",1,15\n5,"",2,16\n')
    assert read_lightcurves(path).time.tolist() == [1.0, 2.0]


def test_a_name_with_a_line_end(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", '"source_id","obs\n time",mag\n5,1,15\n')
    assert read_table(path).column_names == ["source_id", "obs time", "mag"]
    with pytest.raises(MissingColumn, match="found source_id, obs time, mag"):
        read_lightcurves(path)


def test_rows_of_other_length_are_counted_over_all_files(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / f"{number}.dat", f"source_id time mag\n{number} 1 15\n{number} 2\n{number} 3 15 x\n")
    with pytest.warns(
        PhotfehWarning, match=r"0\.dat and 2 more files: 2 rows left out, the first has 2 fields"
    ) as said:
        assert read_lightcurves(tmp_path).n_epochs.tolist() == [1, 1, 1]
    assert len(said) == 1


def test_a_byte_by_byte_table(tmp_path: Path) -> None:
    """Machine-readable tables of the journals: the description stands above the rows."""
    text = (
        "Title: Stars\nAuthors: Someone\nTable: All\n" + "=" * 80 + "\n"
        "Byte-by-byte Description of file: table1.txt\n" + "-" * 80 + "\n"
        "   Bytes Format Units   Label     Explanations\n" + "-" * 80 + "\n"
        "   1- 19 I19    ---     Source    Identifier\n"
        "  21- 26 F6.4   h       Per       Period\n" + "-" * 80 + "\n"
        f"{BIG} 9.6000\n{BIG + 2} 7.2000\n"
    )
    stars = read_stars(put(tmp_path / "table1.txt", text))
    assert stars["source_id"].tolist() == [BIG, BIG + 2]
    np.testing.assert_allclose(stars["period"], [0.4, 0.3], rtol=1e-14)


def test_an_ecsv_header_on_a_bulk_file_declares_units(tmp_path: Path) -> None:
    text = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {name: source_id, datatype: int64}\n"
    text += "# -\n#   name: period\n#   unit: h\n#   datatype: float64\n# nonsense: [\nsource_id,period\n5,12\n6,null\n"
    stars = read_stars(put(tmp_path / "bulk.csv", text))
    np.testing.assert_array_equal(stars["period"], [0.5, np.nan])


def test_a_head_that_is_cut_within_a_row(tmp_path: Path) -> None:
    """The layout is told from the first quarter of a megabyte, wherever that ends."""
    values = ", ".join(str(k / 8) for k in range(60_000))
    path = put(tmp_path / "lists.csv", f'source_id,time,mag\n5,"[{values}]","[{values}]"\n')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PhotfehWarning)
        lcs = read_lightcurves(path, columns={"mag": "time", "time": "mag"})
    assert len(lcs) == 1
    many = "".join(f"{BIG} {k / 64} 15.5\n" for k in range(60_000))
    assert read_lightcurves(put(tmp_path / "long.dat", "source_id time mag\n" + many)).n_epochs.tolist() == [60_000]
