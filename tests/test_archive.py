"""The archive: against a server on this machine that speaks as the real one does, and fails in every way it may."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

import photfeh as pf
from archive_server import CLOCK, MOST_IDS, ArchiveServer, make_stars, raw, votable, wide
from photfeh import LightCurves
from photfeh.archive.datalink import DataLink
from photfeh.archive.epochs import long_table
from photfeh.archive.fetch import plan
from photfeh.archive.gaia import ADDRESS_VARIABLE, RELEASES
from photfeh.archive.web import ArchiveError, Broken, Patience, session, translated
from photfeh.core.errors import BadInput, MissingColumn, PhotfehWarning, UnknownName
from photfeh.readers import read_lightcurves, read_stars, read_tables
from photfeh.readers.tally import Tally

ROOT = Path(__file__).parents[1]
ROWS, STARS = make_stars(24)
IDS = [int(number) for number in STARS["source_id"]]
BANDS = tuple(CLOCK)


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    with ArchiveServer(ROWS, STARS) as server:
        monkeypatch.setenv(ADDRESS_VARIABLE, server.address)
        yield server


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def patience(pauses: list[float]) -> Patience:
    return Patience(tries=4, first=1.0, read=20.0, per_id=0.0, sleep=pauses.append, chance=lambda: 0.0)


def expected(band: str, ids: list[int] = IDS, rows: pd.DataFrame = ROWS) -> LightCurves:
    """What the long layout, as it was before, gives."""
    return read_lightcurves(rows[rows["source_id"].isin(ids)], band=band).reindex(np.array(ids))


def same(found: LightCurves, wanted: LightCurves) -> None:
    for name in ("source_id", "offsets", "time", "mag", "mag_error"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def check_all(result: Any, ids: list[int] = IDS, rows: pd.DataFrame = ROWS) -> None:
    """Every row once and none else, in all bands."""
    table = pq.read_table(result.epochs).to_pandas()
    keys = ["source_id", "band", "transit_id"]
    wanted = rows[rows["source_id"].isin(ids)]
    assert len(table) == len(wanted)
    both = table.merge(wanted, on=keys, suffixes=("", "_wanted"))
    assert len(both) == len(wanted)
    assert not table.duplicated(keys).any()
    for name in ("time", "mag", "flux", "flux_error", "flux_over_error"):
        np.testing.assert_array_equal(both[name], both[f"{name}_wanted"])
    for band in BANDS:
        same(read_lightcurves(result.epochs, band=band).reindex(np.array(ids)), expected(band, ids, rows))


# ---------------------------------------------------------------------- the server is what it says
ASTROQUERY = """
import json, sys
from astroquery.gaia import GaiaClass
from astropy.table import Table
address, ids = sys.argv[1], json.loads(sys.argv[2])
gaia = GaiaClass(gaia_tap_server=address + "/", gaia_data_server=address + "/", show_server_messages=False)
found = {}
for structure, format in (("INDIVIDUAL", "votable"), ("INDIVIDUAL", "csv"), ("INDIVIDUAL", "fits"), ("RAW", "votable")):
    answer = gaia.load_data(ids, data_release="Gaia DR3", data_structure=structure, retrieval_type="EPOCH_PHOTOMETRY",
                            format=format)
    numbers = {}
    for name, tables in answer.items():
        table = tables[0] if isinstance(tables[0], Table) else tables[0].to_table()
        for row in table:
            numbers.setdefault(str(row["source_id"]), []).extend(map(float, row["g_transit_mag"].ravel()))
    found[structure + format] = {"names": sorted(answer), "numbers": numbers, "columns": list(table.colnames)}
query = "SELECT TOP 3 source_id, pf FROM gaiadr3.vari_rrlyrae"
found["sync"] = [int(n) for n in gaia.launch_job(query).get_results()["source_id"]]
upload = Table({"source_id": ids})
query = "SELECT v.source_id, v.pf FROM gaiadr3.vari_rrlyrae AS v JOIN tap_upload.mine AS t ON v.source_id = t.source_id"
job = gaia.launch_job_async(query, upload_resource=upload, upload_table_name="mine")
found["async"] = [int(n) for n in job.get_results()["source_id"]]
print("FOUND" + json.dumps(found))
"""


def test_astroquery_downloads_from_the_server(archive: ArchiveServer, tmp_path: Path) -> None:
    pytest.importorskip("pyvo")
    if subprocess.run([sys.executable, "-c", "import astroquery"], capture_output=True).returncode:
        pytest.skip("astroquery is not installed")
    ids = IDS[:3]
    done = subprocess.run(
        [sys.executable, "-c", ASTROQUERY, archive.address, json.dumps(ids)],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert "FOUND" in done.stdout, done.stderr[-3000:]
    found = json.loads(done.stdout.partition("FOUND")[2])
    names = {format: [f"EPOCH_PHOTOMETRY-Gaia DR3 {number}.{suffix}" for number in ids] for format, suffix in
             (("votable", "xml"), ("csv", "csv"), ("fits", "fits"))}  # fmt: skip
    for format, wanted in names.items():
        assert found[f"INDIVIDUAL{format}"]["names"] == wanted
        assert len(found[f"INDIVIDUAL{format}"]["columns"]) == 25
    assert found["RAWvotable"]["names"] == ["EPOCH_PHOTOMETRY_RAW.xml"]
    for kind in ("INDIVIDUALvotable", "INDIVIDUALcsv", "INDIVIDUALfits", "RAWvotable"):
        for number in ids:
            own = ROWS[(ROWS["source_id"] == number) & (ROWS["band"] == "G")]
            np.testing.assert_array_equal(found[kind]["numbers"][str(number)], own["mag"])
    assert len(found["sync"]) == 3
    assert sorted(found["async"]) == ids


# ---------------------------------------------------------------------- layouts
@pytest.mark.parametrize("release", ["dr3", "dr4"])
@pytest.mark.parametrize(
    ("structure", "format", "layout"),
    [
        ("individual", "votable", "wide"),
        ("individual", "csv", "wide"),
        ("individual", "ecsv", "wide"),
        ("individual", "fits", "wide"),
        ("individual", "votable", "long"),
        ("individual", "csv", "long"),
        ("raw", "votable", "wide"),
    ],
)
def test_all_layouts_give_the_same_curves_bit_for_bit(
    archive: ArchiveServer, tmp_path: Path, patience: Patience, release: str, structure: Any, format: str, layout: str
) -> None:
    archive.layout = layout
    result = pf.fetch(
        IDS, output=tmp_path / "out", release=release, structure=structure, format=format, chunk=10, patience=patience
    )
    assert result.count("received") == len(IDS)
    check_all(result)
    stars = read_stars(result.stars)
    np.testing.assert_array_equal(stars["source_id"], IDS)
    np.testing.assert_array_equal(stars["period"], STARS["period"])
    assert stars["type"].tolist() == STARS["type"].tolist()
    assert {"phi31_g", "metallicity", "pf", "p1_o", "best_classification"} <= set(stars.columns)


def test_the_zip_of_the_archive_read_directly_gives_the_same(
    archive: ArchiveServer, tmp_path: Path, patience: Patience
) -> None:
    with session(patience) as web:
        path = DataLink(RELEASES["dr3"], web, patience).download(IDS[:3], tmp_path / "answer.zip")
    for band in BANDS:
        same(read_lightcurves(path, band=band), expected(band, IDS[:3]))


def test_times_by_their_declaration(tmp_path: Path) -> None:
    """The same measurements counted from another day, in another unit, as the VOTable says."""
    columns = wide(ROWS[ROWS["source_id"] == IDS[0]], CLOCK)
    plain, shifted = tmp_path / "plain.xml", tmp_path / "shifted.xml"
    plain.write_bytes(votable(columns))
    later = {name: [(t + 100.0) * 24 for t in v] if name.endswith("_time") else v for name, v in columns.items()}
    text = (
        votable(later).replace(b'timeorigin="2455197.5"', b'timeorigin="2455097.5"').replace(b'unit="d"', b'unit="h"')
    )
    shifted.write_bytes(text)
    found = []
    for path in (plain, shifted):
        (table,) = read_tables(path)
        rows, absent = long_table(table, RELEASES["dr3"], str(path), Tally())
        assert not absent
        found.append(rows.to_pandas())
    np.testing.assert_allclose(found[0].pop("time"), found[1].pop("time"), rtol=0, atol=1e-9)
    pd.testing.assert_frame_equal(*found)


def test_prepare_and_predict_read_what_was_fetched(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    result = pf.fetch(IDS, output=tmp_path / "out", patience=patience)
    direct = pf.predict(expected("G"), STARS, model="relation")
    pd.testing.assert_frame_equal(pf.predict(result.epochs, result.stars, model="relation"), direct)
    dataset = pf.prepare(result.epochs, result.stars, tmp_path / "data", band="RP", labels="none", cuts="none")
    assert dataset.stars["n_epochs"].sum() > 0


def test_flags_that_come_apart(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    archive.flags = False
    with pytest.warns(PhotfehWarning, match="came without rejected_by_photometry and rejected_by_variability"):
        result = pf.fetch(IDS[:3], output=tmp_path / "dr4", release="dr4", patience=patience)
    assert not {"rejected_by_photometry", "rejected_by_variability"} & set(pq.read_schema(result.epochs).names)
    n_rows = (ROWS["source_id"].isin(IDS[:3]) & (ROWS["band"] == "G")).sum()
    assert len(read_lightcurves(result.epochs).time) == n_rows
    with pytest.raises(MissingColumn, match="variability_flag_g_reject"):
        pf.fetch(IDS[:3], output=tmp_path / "dr3", patience=patience)


@pytest.mark.parametrize(
    ("structure", "format", "key"),
    [("individual", "votable", "transit_id"), ("individual", "csv", "time"), ("raw", "votable", "transit_id"),
     ("raw", "votable", "time")],
)  # fmt: skip
def test_flags_of_a_product_of_their_own_are_joined(
    archive: ArchiveServer, tmp_path: Path, patience: Patience, caplog: pytest.LogCaptureFixture,
    structure: Any, format: str, key: str,
) -> None:  # fmt: skip
    archive.flags, archive.flags_key = False, key
    with caplog.at_level("INFO", logger="photfeh"):
        result = pf.fetch(
            IDS, output=tmp_path / "out", release="dr4", structure=structure, format=format, chunk=10, patience=patience
        )
    check_all(result)
    assert "rejected_by_photometry and rejected_by_variability joined from EPOCH_FLAGS_VARI" in caplog.text
    told = pq.read_table(result.epochs).to_pandas().merge(ROWS, on=["source_id", "band", "transit_id"])
    for name in ("rejected_by_photometry", "rejected_by_variability"):
        np.testing.assert_array_equal(told[f"{name}_x"], told[f"{name}_y"])
    about = json.loads((tmp_path / "out" / "fetch.json").read_text())
    assert about["flags_joined"] == ["rejected_by_photometry", "rejected_by_variability"]
    assert about["flags_absent"] == []


def test_a_product_of_flags_with_gaps_and_one_of_other_names(
    archive: ArchiveServer, tmp_path: Path, patience: Patience
) -> None:
    archive.flags, archive.flags_key = False, "transit_id"
    whole = archive.flags_product

    def gappy(ids: list[int], shape: str, format: str) -> bytes:
        before = dict(archive.rows)
        archive.rows[ids[0]] = before[ids[0]].groupby("band", sort=False).head(10)
        try:
            return whole(ids[:2], shape, format)
        finally:
            archive.rows.update(before)

    archive.flags_product = gappy  # type: ignore[method-assign]
    with pytest.warns(PhotfehWarning, match=rf"EPOCH_FLAGS_VARI holds nothing for 1 sources, first {IDS[2]}"):
        result = pf.fetch(IDS[:3], output=tmp_path / "gaps", release="dr4", patience=patience)
    rows = pq.read_table(result.epochs).to_pandas()
    first, last = rows[rows["source_id"] == IDS[0]], rows[rows["source_id"] == IDS[2]]
    assert first["rejected_by_variability"].notna().sum() == 30  # ten transits of each band; the others are unknown
    assert not last["rejected_by_variability"].astype(bool).any()
    archive.flags_product = whole  # type: ignore[method-assign]
    archive.renamed = {f"variability_flag_{band}_reject": f"vari_flag_{band}" for band in ("g", "bp", "rp")}
    archive.renamed["rejected_by_photometry"] = "phot_flag"
    with pytest.warns(PhotfehWarning) as said:
        pf.fetch(IDS[:3], output=tmp_path / "renamed", release="dr4", patience=patience)
    texts = " ".join(str(warning.message) for warning in said)
    assert "EPOCH_FLAGS_VARI is not understood" in texts
    assert "vari_flag_g" in texts
    assert "came without rejected_by_photometry and rejected_by_variability" in texts


@pytest.mark.parametrize("name", ["rp_obs_time", "g_transit_time", "bp_flux", "g_transit_mag"])
def test_a_renamed_column_is_named(archive: ArchiveServer, tmp_path: Path, patience: Patience, name: str) -> None:
    archive.renamed = {name: f"{name}_new"}
    with pytest.raises(MissingColumn, match=rf"{name}.*found .*{name}_new|'{name}'"):
        pf.fetch(IDS, output=tmp_path / "out", patience=patience)
    assert len(archive.calls) == 1  # asking again would not help
    archive.renamed = {}
    archive.products.clear()
    check_all(pf.fetch(IDS, output=tmp_path / "out", patience=patience))


# ---------------------------------------------------------------------- faults: no row lost, no row twice
@pytest.mark.parametrize(
    "fault", ["500", "502", "503", "429", "short zip", "short csv", "html", "reset", "foreign", "twice", "missing"]
)
@pytest.mark.parametrize("structure", ["individual", "raw"])
@pytest.mark.filterwarnings("ignore::photfeh.core.errors.PhotfehWarning")
def test_one_fault(
    archive: ArchiveServer, tmp_path: Path, patience: Patience, pauses: list[float], fault: str, structure: Any
) -> None:
    archive.fault = lambda ids, n: fault if n == 1 else None
    format = "csv" if structure == "individual" else "votable"
    result = pf.fetch(IDS, output=tmp_path / "out", structure=structure, format=format, chunk=8, patience=patience)
    assert result.complete
    check_all(result)
    assert (result.table["status"] == "received").all()
    silent = {"foreign": structure == "individual" or True, "twice": True, "missing": True}
    if fault == "short csv" and structure == "raw":
        return
    assert len(archive.calls) == {"missing": 4, "foreign": 3, "twice": 3}.get(fault, 4)
    assert bool(pauses) is (fault not in silent)
    if fault == "429":
        assert pauses == [7.0]  # what Retry-After says
    assert result.foreign == (fault == "foreign")
    assert result.repeated == (fault == "twice")


def test_what_came_unasked_or_twice_is_said(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    archive.fault = lambda ids, n: "foreign" if n == 0 else "twice"
    with pytest.warns(PhotfehWarning) as said:
        pf.fetch(IDS, output=tmp_path / "out", chunk=12, patience=patience)
    texts = " ".join(str(warning.message) for warning in said)
    assert "1 sources came that were not asked for" in texts
    assert "1 sources came more than once" in texts


def test_a_hanging_server_is_left_and_asked_again(archive: ArchiveServer, tmp_path: Path, pauses: list[float]) -> None:
    archive.fault = lambda ids, n: "hang" if n == 0 else None
    hasty = Patience(tries=3, first=1.0, read=3.0, per_id=0.0, sleep=pauses.append)
    began = time.monotonic()
    check_all(pf.fetch(IDS[:4], output=tmp_path / "out", patience=hasty), IDS[:4])
    assert len(archive.calls) == 2
    assert time.monotonic() - began < 20


def test_pauses_grow_with_jitter_and_end() -> None:
    grown = [Patience(first=2.0, most=60.0, chance=lambda: 0.0).pause(n) for n in range(7)]
    assert grown == [2, 4, 8, 16, 32, 60, 60]
    assert Patience(first=2.0, chance=lambda: 1.0).pause(0) == 1.0
    assert Patience(first=2.0).pause(0, 30.0) == 30.0
    assert Patience(first=2.0).pause(0, 1e9) == 600.0


@pytest.mark.parametrize("place", [0, 7, 23])
def test_a_poisoned_source_stands_alone(archive: ArchiveServer, tmp_path: Path, patience: Patience, place: int) -> None:
    poison = IDS[place]
    archive.fault = lambda ids, n: "500" if poison in ids else None
    result = pf.fetch(IDS, output=tmp_path / "out", patience=patience)
    failed = result.table[result.table["status"] == "failed"]
    assert failed["source_id"].tolist() == [poison]
    assert "status 500" in failed["reason"].iloc[0]
    check_all(result, [number for number in IDS if number != poison])
    assert pd.read_csv(result.reconciliation)["status"].tolist() == result.table["status"].tolist()
    archive.calls.clear()
    archive.fault = lambda ids, n: None
    healed = pf.fetch(IDS, output=tmp_path / "out", patience=patience)
    assert archive.calls == [[poison]]
    assert healed.complete
    check_all(healed)


@pytest.mark.parametrize(("fault", "most"), [("503", 4), ("500", 60)])
def test_a_server_that_is_down_stops_the_work_and_keeps_what_came(
    archive: ArchiveServer, tmp_path: Path, patience: Patience, fault: str, most: int
) -> None:
    archive.fault = lambda ids, n: fault if n >= 1 else None
    with pytest.raises(ArchiveError, match="8 of 24 sources are on the disk; run the same command again"):
        pf.fetch(IDS, output=tmp_path / "out", chunk=8, patience=patience)
    assert len(archive.calls) <= 1 + most
    table = pd.read_csv(tmp_path / "out" / "reconciliation.csv")
    assert table["source_id"].tolist() == IDS
    assert table["status"].tolist()[:8] == ["received"] * 8
    assert table["status"].tolist()[-1] == "not yet"
    assert fault in table["reason"].iloc[-1]
    archive.calls.clear()
    archive.fault = lambda ids, n: None
    check_all(pf.fetch(IDS, output=tmp_path / "out", chunk=8, patience=patience))
    assert sorted(number for call in archive.calls for number in call) == sorted(IDS[8:])


def test_no_server_at_all(tmp_path: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(ArchiveError, match=r"127\.0\.0\.1"):
        pf.fetch(IDS, output=tmp_path / "out", patience=patience)
    table = pd.read_csv(tmp_path / "out" / "reconciliation.csv")
    assert table["id_asked"].tolist() == IDS
    assert set(table["status"]) == {"not yet"}


@pytest.mark.parametrize("structure", ["individual", "raw"])
def test_the_word_for_the_structure_is_negotiated(
    archive: ArchiveServer, tmp_path: Path, patience: Patience, structure: Any
) -> None:
    archive.words["Gaia DR3"], archive.words["Gaia DR4"] = archive.words["Gaia DR4"], archive.words["Gaia DR3"]
    for release in ("dr3", "dr4"):
        archive.forms.clear()
        result = pf.fetch(
            IDS, output=tmp_path / release, release=release, structure=structure, chunk=12, patience=patience
        )
        check_all(result)
        words = [form["DATA_STRUCTURE"] for form in archive.forms]
        assert len(words) == 3  # the refused one once, not for every chunk
        assert len(set(words)) == 2


def test_words_that_nobody_knows(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    archive.words["Gaia DR3"] = {"SHAPE_ONE": "individual", "SHAPE_TWO": "raw"}
    with pytest.raises(ArchiveError, match=r"SHAPE_ONE, SHAPE_TWO.*INDIVIDUAL"):
        pf.fetch(IDS, output=tmp_path / "out", patience=patience)
    assert len(archive.calls) == 1


def test_sources_without_data(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    absent, unknown = IDS[5], 77
    del archive.rows[absent]
    result = pf.fetch([*IDS, unknown], output=tmp_path / "out", patience=patience)
    status = result.table.set_index("source_id")["status"]
    assert status[absent] == status[unknown] == "without data"
    assert archive.calls[1:] == [[unknown]]  # of the other the archive itself says that it has none
    assert result.complete
    check_all(result, [number for number in IDS if number != absent])
    archive.calls.clear()
    again = pf.fetch([*IDS, unknown], output=tmp_path / "out", patience=patience)
    assert archive.calls == []
    pd.testing.assert_frame_equal(again.table, result.table)


def test_sources_that_should_have_data_and_do_not_come(
    archive: ArchiveServer, tmp_path: Path, patience: Patience
) -> None:
    archive.fault = lambda ids, n: "missing" if IDS[0] in ids else None
    result = pf.fetch(IDS, output=tmp_path / "out", patience=patience)
    failed = result.table[result.table["status"] == "failed"]
    assert failed["source_id"].tolist() == [IDS[0]]
    assert "says has_epoch_photometry and sends nothing" in failed["reason"].iloc[0]


def test_too_many_identifiers(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    with session(patience) as web:
        link = DataLink(RELEASES["dr3"], web, patience)
        with pytest.raises(BadInput, match="at most 5000"):
            link.download(range(1, MOST_IDS + 2), tmp_path / "answer.zip")
        form = {"ID": ",".join(map(str, range(1, MOST_IDS + 2))), "VALID_DATA": "false", "RELEASE": "Gaia DR3",
                "DATA_STRUCTURE": "INDIVIDUAL", "FORMAT": "csv", "RETRIEVAL_TYPE": "EPOCH_PHOTOMETRY",
                "USE_ZIP_ALWAYS": "true"}  # fmt: skip
        assert web.post(RELEASES["dr3"].datalink, data=form).status_code == 500
    with pytest.raises(BadInput, match="found 5001"):
        pf.fetch(IDS, output=tmp_path / "out", chunk=5_001)


def test_parts_of_any_size_are_used_again(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    archive.fault = lambda ids, n: "503" if n >= 2 else None
    with pytest.raises(ArchiveError):
        pf.fetch(IDS, output=tmp_path / "out", chunk=6, patience=patience)
    archive.calls.clear()
    archive.fault = lambda ids, n: None
    check_all(pf.fetch(IDS, output=tmp_path / "out", chunk=5, patience=patience))
    assert sorted(number for call in archive.calls for number in call) == sorted(IDS[12:])


def test_a_repeated_identifier_is_asked_once(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    with pytest.warns(PhotfehWarning, match="1 rows repeat others"):
        result = pf.fetch([IDS[0], IDS[1], IDS[0]], output=tmp_path / "out", patience=patience)
    assert archive.calls == [IDS[:2]]
    check_all(result, IDS[:2])


def fetching(address: str, output: Path, *more: str, before: str = "pass") -> list[str]:
    """A command line that fetches in a process of its own."""
    code = f"import os; os.environ[{ADDRESS_VARIABLE!r}] = {address!r}; {before}; from photfeh.cli import main; main()"
    ids = [str(number) for number in IDS]
    return [sys.executable, "-c", code, "fetch", *ids, "--output", str(output), "--chunk", "2", *more]


def test_killed_and_resumed(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    archive.seconds_per_source = 0.05
    output = tmp_path / "out"
    for parts in (2, 5, 9):
        with subprocess.Popen(fetching(archive.address, output), stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and len(list((output / "parts").glob("chunk.*[0-9a-f]"))) < parts:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
    kept = len([path for path in (output / "parts").glob("chunk.*") if path.suffix != ".work"])
    assert kept >= 9
    assert not (output / "epochs.parquet").exists()
    archive.calls.clear()
    result = pf.fetch(IDS, output=output, chunk=2, patience=patience)
    assert len(archive.calls) == 12 - kept
    check_all(result)
    assert not list(output.glob("parts/*"))


def test_full_disk(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); " \
            "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))"  # fmt: skip
    output = tmp_path / "out"
    done = subprocess.run(fetching(archive.address, output, before=limit), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert str(output) in done.stderr
    assert "What was finished is kept" in done.stderr
    check_all(pf.fetch(IDS, output=output, chunk=2, patience=patience))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::photfeh.core.errors.PhotfehWarning")
def test_ten_thousand_sources_with_one_call_in_twenty_failing(
    tmp_path: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, stars = make_stars(10_000, n_epochs=12)
    ids = [int(number) for number in stars["source_id"]]
    rng = np.random.default_rng(1)
    kinds = ["500", "502", "503", "429", "short zip", "short csv", "html", "reset", "foreign", "twice", "missing"]
    poison = ids[4_321]
    with ArchiveServer(rows, stars) as server:
        monkeypatch.setenv(ADDRESS_VARIABLE, server.address)

        def fault(asked: list[int], n: int) -> str | None:
            return "500" if poison in asked else str(rng.choice(kinds)) if rng.random() < 0.05 else None

        server.fault, server.seconds_per_source = fault, 0.02
        began = time.monotonic()
        result = pf.fetch(ids, output=tmp_path / "out", format="csv", chunk=50, patience=patience)
        seconds = time.monotonic() - began
        served = server.busy
    assert result.count("failed") == 1
    assert result.count("received") == len(ids) - 1
    assert served > 0.02 * len(ids)
    assert seconds < 1.5 * served  # limited by the pace of the server, not by ours
    check_all(result, [number for number in ids if number != poison], rows)


# ---------------------------------------------------------------------- TAP
def test_answers_are_never_cut_in_silence(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    archive.maxrec = 7
    check_all(pf.fetch(IDS, output=tmp_path / "out", patience=patience))  # asked in halves
    with pytest.raises(BadInput, match="cut its answer at 7 rows"):
        pf.fetch(query="SELECT source_id FROM gaiadr3.vari_rrlyrae", output=tmp_path / "other", patience=patience)
    archive.maxrec = 3_000_000
    archive.stars = pd.DataFrame({"source_id": np.arange(1, 2_601), "period": 0.5, "type": "RRab"})
    assert plan(query="SELECT source_id FROM gaiadr3.vari_rrlyrae", patience=patience).sources == 2_600


@pytest.mark.parametrize("fault", ["500", "502", "503", "html", "reset", "hang"])
def test_faults_of_tap(archive: ArchiveServer, tmp_path: Path, pauses: list[float], fault: str) -> None:
    archive.tap_fault = lambda n: fault if n in (0, 3) else None
    hasty = Patience(tries=4, first=1.0, read=4.0, sleep=pauses.append)
    result = pf.fetch(query="SELECT source_id FROM gaiadr3.vari_rrlyrae", output=tmp_path / "out", patience=hasty)
    check_all(result)
    assert pauses


def test_queries_that_are_refused(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    with pytest.raises(BadInput, match=r"refuses the query.*no such table"):
        pf.fetch(query="SELECT source_id FROM gaiadr3.absent", output=tmp_path / "out", patience=patience)
    with pytest.raises(MissingColumn, match="source_id"):
        pf.fetch(query="SELECT pf FROM gaiadr3.vari_rrlyrae", output=tmp_path / "out", patience=patience)
    with pytest.raises(BadInput, match="no source"):
        pf.fetch(
            query="SELECT source_id FROM gaiadr3.vari_rrlyrae WHERE pf > 9", output=tmp_path / "out", patience=patience
        )


def test_a_cone(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    result = pf.fetch(cone=(10.0, -5.0, 0.0349), output=tmp_path / "out", patience=patience)
    assert result.table["source_id"].tolist() == IDS[:4]
    with pytest.raises(BadInput, match="no cone"):
        pf.fetch(cone=(10.0, -95.0, 1.0), patience=patience)


def test_identifiers_of_the_other_release(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    old = [number + 7 for number in IDS]
    with pytest.warns(PhotfehWarning, match="2 more counterparts"):
        result = pf.fetch([*old, 5], output=tmp_path / "dr4", release="dr4", ids_of="dr3", patience=patience)
    assert result.table["id_asked"].tolist() == [*old, 5]
    assert result.table["source_id"].tolist()[:-1] == IDS
    assert result.table["status"].tolist() == ["received"] * len(IDS) + ["no counterpart"]
    assert pd.read_parquet(result.stars)["id_asked"].tolist() == old
    check_all(result)
    back = pf.fetch(IDS[3:-1], output=tmp_path / "dr3", release="dr3", ids_of="dr4", patience=patience)
    assert back.table["source_id"].tolist() == old[3:-1]  # the archive of the tests has curves of DR4's numbers only
    assert set(back.table["status"]) == {"without data"}


@pytest.mark.filterwarnings("ignore::photfeh.core.errors.PhotfehWarning")
def test_names_of_dr4_that_turn_out_otherwise(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    archive.schemas = ["gaiadr3"]
    with pytest.warns(PhotfehWarning, match=r"no such table: gaiadr4.*periods and types may be missing"):
        result = pf.fetch(IDS[:3], output=tmp_path / "out", release="dr4", patience=patience)
    check_all(result, IDS[:3])
    with pytest.raises(BadInput, match=r"no such table: gaiadr4\.dr3_neighbourhood"):
        pf.fetch(IDS[:3], output=tmp_path / "other", release="dr4", ids_of="dr3", patience=patience)


@pytest.mark.parametrize("star", [0, 1])
def test_one_star_alone(archive: ArchiveServer, tmp_path: Path, patience: Patience, star: int) -> None:
    result = pf.fetch(IDS[star], output=tmp_path / "out", patience=patience)
    check_all(result, IDS[star : star + 1])
    stars = read_stars(result.stars)
    assert stars["period"].tolist() == [STARS["period"].iloc[star]]
    assert stars["type"].tolist() == [STARS["type"].iloc[star]]


# ---------------------------------------------------------------------- bulk files
def bulk_csv(folder: Path) -> None:
    """Files as EpochPhotometry_*.csv.gz: RAW columns, arrays as text, a comment above."""
    folder.mkdir()
    for pixel in sorted({number >> 43 for number in IDS}):
        rows = [raw(own, CLOCK) for number, own in ROWS.groupby("source_id", sort=False) if number >> 43 == pixel]
        text = "\n".join(
            ",".join(
                '"[' + ",".join(map(_written, v)) + ']"' if isinstance(v, list) else _written(v) for v in row.values()
            )
            for row in rows
        )
        name = folder / f"EpochPhotometry_{pixel:06d}-{pixel:06d}.csv.gz"
        with gzip.open(name, "wt") as file:
            file.write("# a comment\n" + ",".join(rows[0]) + "\n" + text + "\n")
    with gzip.open(folder / "EpochPhotometry_000005-000009.csv.gz", "wt") as file:
        file.write("not,to,be,read\n1,2,3,4\n")


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def bulk_hats(folder: Path, table: pd.DataFrame = ROWS) -> None:
    """A HATS catalogue: one row a source, a nested column."""
    rows = [raw(own, CLOCK) for _, own in table.groupby("source_id", sort=False)]
    arrays = [name for name in rows[0] if name not in ("source_id", "solution_id")]
    nested = [{name: row[name] for name in arrays} for row in rows]
    table = pa.table({"source_id": [row["source_id"] for row in rows], "epoch_photometry": nested})
    place = folder / "dataset" / "Norder=0" / "Dir=0"
    place.mkdir(parents=True)
    pq.write_table(table, place / "Npix=7.parquet", row_group_size=5)
    pq.write_table(pa.table({"Norder": [0]}), folder / "partition_info.parquet")


@pytest.mark.parametrize("door", [bulk_csv, bulk_hats])
def test_bulk_files_give_the_same(
    archive: ArchiveServer, tmp_path: Path, patience: Patience, door: Callable[[Path], None]
) -> None:
    door(tmp_path / "bulk")
    ids = IDS[3:9]
    result = pf.fetch([*ids, 99], local=tmp_path / "bulk", output=tmp_path / "out", patience=patience)
    assert archive.calls == []
    check_all(result, ids)
    assert result.table["status"].tolist() == ["received"] * len(ids) + ["without data"]


def test_bulk_files_without_network(tmp_path: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS_VARIABLE, "http://127.0.0.1:9")
    bulk_hats(tmp_path / "bulk")
    with pytest.warns(PhotfehWarning, match="periods and types may be missing"):
        result = pf.fetch(IDS, local=tmp_path / "bulk", output=tmp_path / "out", patience=patience)
    check_all(result)


class _Ranges(SimpleHTTPRequestHandler):
    """Files of a folder, also parts of them."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path, wanted = Path(self.translate_path(self.path)), self.headers.get("Range")
        if wanted is None or not path.is_file():
            super().do_GET()
            return
        begin, _, end = wanted.removeprefix("bytes=").partition("-")
        content = path.read_bytes()
        part = content[int(begin) : int(end) + 1 if end else None]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {begin}-{int(begin) + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


@pytest.mark.filterwarnings("ignore")  # the libraries below
def test_a_catalogue_elsewhere_gives_the_same(archive: ArchiveServer, tmp_path: Path, patience: Patience) -> None:
    lsdb = pytest.importorskip("lsdb", reason="the extra `survey` is not installed")
    pixels = {number: place * 5_000_011 for place, number in enumerate(IDS)}  # HEALPix, level 12, all over the sky
    rows = ROWS.assign(source_id=[(pixels[number] << 35) + 9 for number in ROWS["source_id"]])
    ids = [(pixel << 35) + 9 for pixel in pixels.values()]
    bulk_hats(tmp_path / "plain", rows)
    (path,) = (tmp_path / "plain" / "dataset").rglob("Npix=7.parquet")
    frame = pq.read_table(path).to_pandas(types_mapper=pd.ArrowDtype)
    level_12 = np.array([int(number) >> 35 for number in frame["source_id"]], np.uint64)
    from cdshealpix.nested import healpix_to_lonlat

    longitude, latitude = healpix_to_lonlat(level_12, 12)
    frame = frame.assign(ra=longitude.deg, dec=latitude.deg)
    schema = pq.read_schema(path).append(pa.field("ra", pa.float64())).append(pa.field("dec", pa.float64()))
    catalog = lsdb.from_dataframe(frame, margin_threshold=None, partition_rows=8, schema=schema.remove_metadata())
    catalog.write_catalog(tmp_path / "hats", catalog_name="epochs", progress_bar=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Ranges, directory=str(tmp_path))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/hats"
        result = pf.fetch([*ids[3:9], 99], local=address, output=tmp_path / "out", patience=patience)
        with pytest.raises(ArchiveError, match="nothing-there cannot be read"):
            pf.fetch(IDS[:2], local=f"{address}/nothing-there", output=tmp_path / "none", patience=patience)
        server.shutdown()
    assert archive.calls == []
    check_all(result, ids[3:9], rows)
    assert result.table["status"].tolist() == ["received"] * 6 + ["without data"]


def test_a_catalogue_elsewhere_without_the_library(
    archive: ArchiveServer, tmp_path: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hats", None)
    with pytest.raises(BadInput, match=r"photfeh\[survey\]"):
        pf.fetch(IDS[:2], local="https://example.org/hats", output=tmp_path / "out", patience=patience)


# ---------------------------------------------------------------------- what is asked
def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="one of ids, cone and query"):
        pf.fetch()
    with pytest.raises(BadInput, match="'Gaia DR2 12' is no source_id"):
        pf.fetch(["Gaia DR2 12"])
    with pytest.raises(UnknownName, match="dr9"):
        pf.fetch([1], release="dr9")
    with pytest.raises(BadInput, match="unknown format"):
        pf.fetch([1], format="hdf5")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "epochs.parquet").write_text("mine")
    with pytest.raises(BadInput, match="not made by `photfeh fetch`"):
        pf.fetch([1], output=folder)


def test_plan_and_its_advice(call: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    pd.DataFrame({"source_id": np.arange(1, 20_001)}).to_csv(path, index=False)
    code, out, _ = call("fetch", path, "--dry-run", "--output", tmp_path / "none")
    assert code == 0
    assert "20,000 sources of Gaia DR3: 100 calls, about 600 MB and 6 hours" in out
    assert "HATS" in out
    assert "EpochPhotometry_*.csv.gz" in out
    assert not (tmp_path / "none").exists()
    assert plan(range(1, 100)).advice == ""


def test_the_command(archive: ArchiveServer, call: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    STARS.iloc[:3].to_csv(path, index=False)
    code, out, err = call("fetch", path, IDS[5], "--output", tmp_path / "out")
    assert code == 0, err
    assert "4 sources asked for: 4 received" in out
    assert read_lightcurves(tmp_path / "out" / "epochs.parquet").source_id.tolist() == [*IDS[:3], IDS[5]]
    code, _, err = call("fetch", "--cone", "1,2")
    assert code == 2
    assert "RA,DEC,RADIUS" in err


def test_predict_from_identifiers_in_a_fresh_environment(archive: ArchiveServer, tmp_path: Path) -> None:
    keep = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ}
    keep["PYTHONPATH"] = str(Path(pf.__file__).parents[1])
    environment = {**keep, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"),
                   ADDRESS_VARIABLE: archive.address}  # fmt: skip
    output = tmp_path / "p.parquet"
    command = [sys.executable, "-c", "from photfeh.cli import main; main()", "predict", "--source-id", str(IDS[0])]
    command += [str(IDS[1]), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(IDS[0]) in done.stdout
    assert "2 of 2 stars predicted" in done.stdout
    direct = pf.predict(expected("G", IDS[:2]), STARS.iloc[:2])
    predictions = pd.read_parquet(output)
    np.testing.assert_allclose(predictions["feh"], direct["feh"], rtol=1e-12)
    about = json.loads(pq.read_schema(output).metadata[b"photfeh"])
    assert about["archive"]["release"] == "Gaia DR3"
    assert datetime.fromisoformat(about["archive"]["date"]) <= datetime.fromisoformat(about["date"])
    assert list((tmp_path / "cache" / "photfeh" / "fetch").glob("dr3-*/epochs.parquet"))
    archive.calls.clear()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path)
    assert done.returncode == 0
    assert archive.calls == []


def test_predict_from_a_query(
    archive: ArchiveServer, call: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    del archive.rows[IDS[2]]
    query = f"SELECT source_id FROM gaiadr3.vari_rrlyrae WHERE source_id <= {IDS[3]}"
    code, out, err = call("predict", "--query", query, "--model", "relation")
    assert code == 0, err
    assert all(str(number) in out for number in IDS[:4])
    assert f"1 of 4 sources without data, first {IDS[2]}" in err
    assert not list(tmp_path.glob("*.parquet"))
    code, _, err = call("predict", "--query", query, "epochs.csv")
    assert code == 2
    code, _, err = call("predict")
    assert code == 2
    assert "--source-id" in err


def test_importing_photfeh_loads_no_client() -> None:
    code = "import sys, photfeh; print(sorted({'requests', 'pyvo', 'astropy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_errors_of_the_network_in_words() -> None:
    assert isinstance(translated(requests.exceptions.ChunkedEncodingError("cut"), "there"), Broken)
    assert "did not answer in time" in str(translated(requests.Timeout("slow"), "there"))
