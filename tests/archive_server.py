"""A Gaia archive on this machine: TAP (sync, async with UWS phases, uploads, overflow) and DataLink, with faults.

``with ArchiveServer(stars) as archive`` answers at ``archive.address`` until the block ends. What test_archive says of
it is that astroquery, made for the real one, downloads from it.
"""

from __future__ import annotations

import io
import json
import re
import socket
import sqlite3
import struct
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd

from photfeh.core.bands import get_band
from photfeh.simulation.survey import simulate

MOST_IDS = 5_000
CLOCK = {"G": ("g_transit_time", "g_transit_"), "BP": ("bp_obs_time", "bp_"), "RP": ("rp_obs_time", "rp_")}
CLOCK_DR4 = {**CLOCK, "G": ("g_obs_time", "g_")}
MEASURED = ("flux", "flux_error", "flux_over_error", "mag")
WORDS = {
    "Gaia DR3": {"INDIVIDUAL": "individual", "RAW": "raw"},
    "Gaia DR4": {"DATAMODEL_STANDARD": "individual", "DATAMODEL_GAIA": "raw"},
}


# ---------------------------------------------------------------------- simulated stars in every layout
def make_stars(number: int, seed: int = 3, n_epochs: int | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the long layout in three bands, and a row for each star with period and type."""
    survey = simulate(number, seed=seed, n_epochs=n_epochs)
    curves, rng = survey.curves, np.random.default_rng(seed)
    ids = np.repeat(curves.source_id, curves.n_epochs)
    photometry, variability = rng.random(len(ids)) < 0.05, rng.random((3, len(ids))) < 0.05
    blocks = []
    for band, offset, shift, bad in zip(CLOCK, (0.0, 0.4, -0.5), (0.0, 1e-4, 2e-4), variability, strict=True):
        mag = curves.mag + offset
        flux = 10 ** (0.4 * (get_band(band).zero_point - mag))
        relative = np.nan_to_num(curves.mag_error, nan=0.01) / 1.0857 * (1 if band == "G" else 8)
        blocks.append(
            pd.DataFrame(
                {
                    "source_id": ids, "transit_id": 10**16 + np.arange(len(ids)), "band": band,
                    "time": curves.time + shift, "mag": mag, "flux": flux, "flux_error": flux * relative,
                    "flux_over_error": 1 / relative, "rejected_by_photometry": photometry,
                    "rejected_by_variability": bad, "other_flags": 1, "solution_id": 375316653866487564,
                }
            )
        )  # fmt: skip
    stars = survey.stars[["source_id", "period", "type"]].copy()
    return pd.concat(blocks, ignore_index=True), stars


def wide(rows: pd.DataFrame, clock: dict[str, tuple[str, str]]) -> dict[str, list[Any]]:
    """The rows of one star, one a transit, with the 25 columns of INDIVIDUAL (or those of DR4)."""
    by_band = {band: own for band, own in rows.groupby("band", sort=False)}
    first = by_band["G"]
    columns: dict[str, list[Any]] = {name: first[name].tolist() for name in ("solution_id", "source_id", "transit_id")}
    for band, (time_name, prefix) in clock.items():
        columns[time_name] = by_band[band]["time"].tolist()
        for name in MEASURED:
            columns[prefix + name] = by_band[band][name].tolist()
    if clock is CLOCK_DR4:
        columns["g_n_obs"] = [9] * len(first)
    for band in clock:
        columns[f"variability_flag_{band.lower()}_reject"] = by_band[band]["rejected_by_variability"].tolist()
    for band in clock:
        columns[f"{band.lower()}_other_flags"] = by_band[band]["other_flags"].tolist()
    columns["rejected_by_photometry"] = first["rejected_by_photometry"].tolist()
    return columns


def raw(rows: pd.DataFrame, clock: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """One row with arrays; photometry flags are of BP and RP, what they reject in G is marked as variability."""
    columns: dict[str, Any] = wide(rows, clock)
    photometry = columns.pop("rejected_by_photometry")
    for band in clock:
        columns.pop(f"{band.lower()}_other_flags")
        name = f"variability_flag_{band.lower()}_reject"
        if band == "G":
            columns[name] = [a or b for a, b in zip(columns[name], photometry, strict=True)]
        else:
            columns[f"photometry_flag_{band.lower()}_reject"] = photometry
    return {**columns, "solution_id": columns["solution_id"][0], "source_id": columns["source_id"][0]}


def long(rows: pd.DataFrame) -> dict[str, list[Any]]:
    """The layout of before archive 3.6."""
    return {name: rows[name].tolist() for name in rows.columns}


def _kind(name: str, value: Any) -> tuple[str, str]:
    if isinstance(value, (list, tuple)):
        return _kind(name, value[0])[0], "*"
    if isinstance(value, bool):
        return "boolean", ""
    if isinstance(value, int):
        return "long", ""
    return ("double", "") if isinstance(value, float) else ("char", "*")


def _cell(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(_cell, value))
    if isinstance(value, bool):
        return "T" if value else "F"
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def votable(
    columns: dict[str, list[Any]], *, status: str = "OK", truths: tuple[str, ...] = (), binary: bool = False
) -> bytes:
    """A VOTable; times refer to a TIMESYS, as in the archive's."""
    fields, units = [], {}
    for name, values in columns.items():
        kind, size = _kind(name, next((value for value in values if value is not None), 0.0))
        kind = "boolean" if name in truths else kind
        clock = name == "time" or name.endswith("_time")
        unit = "d" if clock else "mag" if name.endswith("mag") else ""
        unit = units[name] = "'electron'.s**-1" if name.endswith(("flux", "flux_error")) else unit
        said = f' arraysize="{size}"' if size else ""
        said += f' unit="{unit}"' if unit else ""
        said += ' ref="time_frame"' if clock else ""
        fields.append(f'<FIELD name="{name}" datatype="{kind}"{said}/>')
    lines = [
        "".join(
            f"<TD>{_cell(bool(value) if name in truths and value is not None else value)}</TD>"
            for name, value in zip(columns, row, strict=True)
        )
        for row in zip(*columns.values(), strict=True)
    ]  # fmt: skip
    after = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>' if status == "OVERFLOW" else ""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        '<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/>'
        '<TIMESYS ID="time_frame" refposition="BARYCENTER" timeorigin="2455197.5" timescale="TCB"/>'
        f"<TABLE>{''.join(fields)}<DATA><TABLEDATA>{''.join(f'<TR>{line}</TR>' for line in lines)}</TABLEDATA></DATA>"
        f"</TABLE>{after}</RESOURCE></VOTABLE>"
    ).encode()
    if not binary:
        return text
    from astropy.io.votable import parse
    from astropy.units import UnrecognizedUnit

    table, out = parse(io.BytesIO(text)), io.BytesIO()
    for field in table.iter_fields_and_params():  # astropy 7.0.0 writes no electron, later ones in words of their own
        field.unit = UnrecognizedUnit(units[field.name]) if units.get(field.name) else None
    table.set_all_tables_format("binary2")
    table.to_xml(out)
    return out.getvalue()


def error_table(text: str) -> bytes:
    return (
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">'
        f'<INFO name="QUERY_STATUS" value="ERROR">{text}</INFO></RESOURCE></VOTABLE>'
    ).encode()


def written_as(columns: dict[str, list[Any]], format: str) -> tuple[str, bytes]:
    """Suffix and content of one product."""
    if format == "votable":
        return "xml", votable(columns, binary=len(next(iter(columns.values()))) % 2 == 0)
    frame = pd.DataFrame(columns)
    if format == "csv":
        lines = [",".join(columns)]
        cells = [
            ["true" if v is True else "false" if v is False else _cell(v) for v in column]
            for column in columns.values()
        ]
        lines += [",".join(row) for row in zip(*cells, strict=True)]
        return "csv", ("\n".join(lines) + "\n").encode()
    from astropy.table import Table

    table = Table.from_pandas(frame)
    if format == "fits":
        out = io.BytesIO()
        table.write(out, format="fits")
        return "fits", out.getvalue()
    text = io.StringIO()
    table.write(text, format="ascii.ecsv", delimiter=",")
    return "ecsv", text.getvalue().encode()


# ---------------------------------------------------------------------- the server
Fault = Callable[[list[int], int], str | None]


class ArchiveServer:
    """The archive. ``rows`` and ``stars`` as :func:`make_stars`; stars without rows have no light curves.

    ``fault(ids, n)`` names what goes wrong with the n-th call of DataLink (500, 502, 503, 429, hang, reset, short zip,
    short csv, html, foreign, twice, missing), or nothing; ``tap_fault(n)`` the same for TAP. ``calls`` are the
    identifiers of each call. ``layout``: "wide" or "long"; ``renamed``: column -> its new name. ``flags``: whether the
    curves have their quality flags; ``flags_key``: the column by which the product of flags alone names its rows
    ("transit_id" or "time"), None where there is no such product.
    """

    def __init__(self, rows: pd.DataFrame, stars: pd.DataFrame) -> None:
        self.rows = {int(number): own for number, own in rows.groupby("source_id", sort=False)}
        self.stars = stars
        self.fault: Fault = lambda ids, n: None
        self.tap_fault: Callable[[int], str | None] = lambda n: None
        self.layout, self.renamed, self.flags, self.maxrec = "wide", {}, True, 3_000_000
        self.flags_key: str | None = None
        self.schemas = ["gaiadr3", "gaiadr4"]
        self.words, self.seconds_per_source = {name: dict(words) for name, words in WORDS.items()}, 0.0
        self.calls: list[list[int]] = []
        self.busy = 0.0
        self.forms: list[dict[str, str]] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.tap_calls = 0
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.products: dict[tuple[Any, ...], tuple[str, bytes]] = {}

    def __enter__(self) -> ArchiveServer:
        handler = type("Handler", (_Handler,), {"archive": self})
        self.http = _Quiet(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    # ------------------------------------------------------------------ DataLink
    def product(self, number: int, release: str, shape: str, format: str) -> tuple[str, bytes]:
        key = (number, release, format, self.layout, tuple(self.renamed.items()), self.flags)
        if key not in self.products:
            self.products[key] = written_as(self._columns(number, release, shape), format)
        return self.products[key]

    def flags_product(self, ids: list[int], shape: str, format: str) -> bytes:
        """The zip file of EPOCH_FLAGS_VARI; rows in another order than those of the light curves."""
        rows = []
        for number in ids:
            columns = wide(self.rows[number].iloc[::-1], CLOCK_DR4)
            keys = ["transit_id"] if self.flags_key == "transit_id" else ["g_obs_time", "bp_obs_time", "rp_obs_time"]
            own = {name: columns[name] for name in ("source_id", *keys)}
            own |= {name: values for name, values in columns.items() if "reject" in name}
            rows.append({self.renamed.get(name, name): values for name, values in own.items()})
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            if shape == "raw" and rows:
                table = {name: [row[name] for row in rows] for name in rows[0]}
                table["source_id"] = [values[0] for values in table["source_id"]]
                archive.writestr("EPOCH_FLAGS_VARI_RAW.xml", votable(table, binary=True))
            for number, row in zip(ids, rows if shape != "raw" else [], strict=False):
                suffix, content = written_as(row, format)
                archive.writestr(f"EPOCH_FLAGS_VARI-Gaia DR4 {number}.{suffix}", content)
        return out.getvalue()

    def _columns(self, number: int, release: str, shape: str) -> dict[str, Any]:
        own = self.rows[number]
        clock = CLOCK if release == "Gaia DR3" else CLOCK_DR4
        columns = raw(own, clock) if shape == "raw" else long(own) if self.layout == "long" else wide(own, clock)
        if not self.flags:
            columns = {name: values for name, values in columns.items() if "reject" not in name}
        return {self.renamed.get(name, name): values for name, values in columns.items()}

    def answer(self, form: dict[str, str], fault: str | None) -> tuple[int, bytes]:
        """Status and body for a call of DataLink."""
        release, word = form.get("RELEASE", "Gaia DR3"), form["DATA_STRUCTURE"]
        ids = [int(text.rsplit(" ", 1)[-1]) for text in form["ID"].split(",")]
        product = form.get("RETRIEVAL_TYPE")
        known = ["EPOCH_PHOTOMETRY", *(["EPOCH_FLAGS_VARI"] if self.flags_key and release == "Gaia DR4" else [])]
        if product not in known or form.get("USE_ZIP_ALWAYS") != "true":
            return 500, f"Invalid RETRIEVAL_TYPE value: '{product}'. Valid values: {known}".encode()
        if form.get("VALID_DATA") != "false" or release not in self.words:
            return 500, b"Error: RELEASE"
        if word not in self.words[release]:
            known = ", ".join(self.words[release])
            return 500, f"Invalid DATA_STRUCTURE value: '{word}'. Valid values: [{known}]".encode()
        if len(ids) > MOST_IDS:
            return 500, b"<html><body><h1>Error 500</h1>Too many identifiers: the limit is 5000</body></html>"
        shape, format = self.words[release][word], form["FORMAT"]
        there = [number for number in ids if number in self.rows]
        if product == "EPOCH_FLAGS_VARI":
            return 200, self.flags_product(there, shape, format)
        if fault == "missing":
            there = there[1:]
        if fault == "foreign":
            there.append(next(number for number in self.rows if number not in ids))
        return 200, self._zip(there, release, shape, format, fault)

    def _zip(self, ids: list[int], release: str, shape: str, format: str, fault: str | None) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            if shape == "raw":
                if ids:
                    rows = [self._columns(number, release, shape) for number in dict.fromkeys(ids)]
                    rows += rows[:1] if fault == "twice" else []
                    table = {name: [row[name] for row in rows] for name in rows[0]}
                    archive.writestr("EPOCH_PHOTOMETRY_RAW.xml", votable(table, binary=True))
            else:
                for place, number in enumerate(ids):
                    suffix, content = self.product(number, release, shape, format)
                    if fault == "short csv" and place == 0:
                        content = content[: len(content) * 2 // 3]
                    name = f"EPOCH_PHOTOMETRY-{release} {number}.{suffix}"
                    archive.writestr(name, content)
                    if fault == "twice" and place == 0:
                        archive.writestr(f"copy/{name}", content)
        whole = out.getvalue()
        return whole[: len(whole) // 2] if fault == "short zip" else whole

    # ------------------------------------------------------------------ TAP
    def run(self, adql: str, uploads: dict[str, bytes], limit: int) -> tuple[dict[str, list[Any]], bool]:
        """Columns of the answer, and whether it is cut."""
        base = sqlite3.connect(":memory:")
        base.create_function("POINT", 2, lambda ra, dec: json.dumps([ra, dec]))
        base.create_function("CIRCLE", 3, lambda ra, dec, radius: json.dumps([ra, dec, radius]))
        base.create_function("CONTAINS", 2, _contains)
        for schema in ("gaiadr3", "gaiadr4", "tap_upload"):
            base.execute(f"ATTACH ':memory:' AS {schema}")
        for schema in self.schemas:
            self._fill(base, schema)
        for name, content in uploads.items():
            from astropy.table import Table

            Table.read(io.BytesIO(content), format="votable").to_pandas().to_sql("upload", base, index=False)
            base.execute(f"CREATE TABLE tap_upload.{name} AS SELECT * FROM main.upload")
        top = re.search(r"\bTOP\s+(\d+)", adql, re.IGNORECASE)
        sql = re.sub(r"\bTOP\s+\d+", "", adql, flags=re.IGNORECASE)
        cursor = base.execute(f"{sql} LIMIT {top[1]}" if top else sql)
        names, found = [entry[0] for entry in cursor.description], cursor.fetchmany(limit + 1)
        cut = len(found) > limit
        base.close()
        return {name: [row[place] for row in found[:limit]] for place, name in enumerate(names)}, cut

    def _fill(self, base: sqlite3.Connection, schema: str) -> None:
        ids = self.stars["source_id"].astype("int64")
        rrab = (self.stars["type"] == "RRab").to_numpy()
        number = np.arange(len(ids), dtype=float)
        tables = {
            "vari_rrlyrae": pd.DataFrame(
                {
                    "solution_id": 1, "source_id": ids, "pf": self.stars["period"].where(rrab),
                    "p1_o": self.stars["period"].where(~rrab), "best_classification": self.stars["type"],
                    "phi31_g": 2.0 + number, "metallicity": -1.0 - number / 1e5,
                }
            ),
            "gaia_source": pd.DataFrame(
                {
                    "source_id": ids, "ra": 10 + number / 100, "dec": -5 + number * 0,
                    "has_epoch_photometry": [int(star in self.rows) for star in ids],
                }
            ),
        }  # fmt: skip
        if schema == "gaiadr4":
            twin = pd.DataFrame({"dr3_source_id": ids + 7, "dr4_source_id": ids, "angular_distance": 0.1})
            rival = twin.assign(dr4_source_id=np.roll(ids, 1), angular_distance=90.0).iloc[:2]
            tables["dr3_neighbourhood"] = pd.concat([twin, rival])
        for name, table in tables.items():
            table.to_sql("filling", base, index=False, if_exists="replace")
            base.execute(f"CREATE TABLE {schema}.{name} AS SELECT * FROM main.filling")


def _contains(point: str, circle: str) -> int:
    ra, dec = np.radians(json.loads(point))
    ra0, dec0, radius = np.radians(json.loads(circle))
    cosine = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0)
    return int(np.arccos(np.clip(cosine, -1, 1)) <= radius)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, address: Any) -> None:
        """A client that went away is no error; all others are shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, address)


class _Handler(BaseHTTPRequestHandler):
    archive: ArchiveServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def _send(self, status: int, body: bytes, kind: str = "text/plain", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _form(self) -> tuple[dict[str, str], dict[str, bytes]]:
        """Fields of the form, names in upper case, and its files."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type", "")
        if not kind.startswith("multipart/"):
            return {name.upper(): values[0] for name, values in parse_qs(body.decode()).items()}, {}
        message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        form, files = {}, {}
        for part in message.get_payload():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if part.get_filename():
                files[name] = content
            else:
                form[name.upper()] = content.decode()
        return form, files

    def do_POST(self) -> None:
        form, files = self._form()
        path = urlsplit(self.path).path.rstrip("/")
        if path == "/data-server/data":
            self._datalink(form)
        elif path == "/tap-server/tap/async":
            self._new_job(form, files)
        elif path == "/tap-server/tap/sync":
            self._sync(form, files)
        elif path.endswith("/phase"):
            job = self.archive.jobs[path.split("/")[-2]]
            job["phase"] = "QUEUED" if form["PHASE"] == "RUN" else "ABORTED"
            self._send(303, b"", Location=f"{self.archive.address}{path.removesuffix('/phase')}")
        else:
            self._send(404, b"no such page")

    def _fail(self, fault: str | None, ids: list[int]) -> bool:
        """Whether the call went wrong here and now."""
        match fault:
            case "500" | "502" | "503":
                self._send(int(fault), f"<html><h1>Error {fault}</h1></html>".encode(), "text/html")
            case "429":
                self._send(429, b"slow down", Retry_After="7")
            case "html":
                self._send(200, b"<html><body><h1>The archive is under maintenance</h1></body></html>", "text/html")
            case "hang":
                self.archive.closing.wait(30)
                self.close_connection = True
            case "reset":
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                self.wfile.write(b"PK\x03\x04" + bytes(5_000))
                self.wfile.flush()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
            case _:
                return False
        return True

    def _datalink(self, form: dict[str, str]) -> None:
        archive = self.archive
        ids = [int(text.rsplit(" ", 1)[-1]) for text in form["ID"].split(",")]
        if form.get("RETRIEVAL_TYPE") == "EPOCH_FLAGS_VARI":
            status, body = archive.answer(form, None)
            self._send(status, body, "application/zip" if status == 200 else "text/plain")
            return
        with archive.lock:
            archive.calls.append(ids)
            archive.forms.append(form)
            number = len(archive.calls) - 1
        fault = archive.fault(ids, number)
        if self._fail(fault, ids):
            return
        began = time.monotonic()
        time.sleep(archive.seconds_per_source * len(ids))
        status, body = archive.answer(form, fault)
        with archive.lock:
            archive.busy += time.monotonic() - began
        self._send(status, body, "application/zip" if status == 200 else "text/plain")

    # ------------------------------------------------------------------ TAP
    def _tap_fault(self) -> bool:
        with self.archive.lock:
            number = self.archive.tap_calls
            self.archive.tap_calls += 1
        return self._fail(self.archive.tap_fault(number), [])

    def _sync(self, form: dict[str, str], files: dict[str, bytes]) -> None:
        if not self._tap_fault():
            status, body = self._result(form, files, 2_000)
            self._send(status, body, "application/x-votable+xml")

    def _result(self, form: dict[str, str], files: dict[str, bytes], most: int) -> tuple[int, bytes]:
        limit = min(most, int(form.get("MAXREC") or most), self.archive.maxrec)
        names = dict(entry.split(",param:") for entry in form.get("UPLOAD", "").split(";") if entry)
        try:
            columns, cut = self.archive.run(form["QUERY"], {name: files[key] for name, key in names.items()}, limit)
        except sqlite3.Error as error:
            return 400, error_table(f"Cannot parse query: {error}")
        return 200, votable(columns, status="OVERFLOW" if cut else "OK", truths=("has_epoch_photometry",))

    def _new_job(self, form: dict[str, str], files: dict[str, bytes]) -> None:
        if self._tap_fault():
            return
        with self.archive.lock:
            name = str(len(self.archive.jobs) + 1)
            self.archive.jobs[name] = {"phase": "PENDING", "form": form, "files": files}
        if form.get("PHASE") == "RUN":
            self.archive.jobs[name]["phase"] = "QUEUED"
        self._send(303, b"", Location=f"{self.archive.address}/tap-server/tap/async/{name}")

    def _advance(self, job: dict[str, Any]) -> None:
        """One phase further; the work is done where EXECUTING ends."""
        after = {"QUEUED": "EXECUTING", "EXECUTING": "COMPLETED"}
        if job["phase"] == "EXECUTING":
            job["status"], job["result"] = self._result(job["form"], job["files"], 3_000_000)
            if job["status"] != 200:
                job["phase"] = "ERROR"
        job["phase"] = after.get(job["phase"], job["phase"])

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = parts.path.rstrip("/").removeprefix("/tap-server/tap/async/").split("/")
        job = self.archive.jobs.get(path[0])
        if job is None:
            self._send(404, b"no such page")
        elif path[1:] == ["results", "result"]:
            if not self._tap_fault():
                self._send(200, job["result"], "application/x-votable+xml")
        elif path[1:] == ["phase"]:
            self._advance(job)
            self._send(200, job["phase"].encode())
        elif path[1:] == ["error"]:
            self._send(200, job.get("result", b""))
        else:
            self._advance(job)
            while "WAIT" in parts.query and job["phase"] in ("QUEUED", "EXECUTING"):
                self._advance(job)
            self._send(200, self._uws(path[0], job), "text/xml")

    def do_DELETE(self) -> None:
        self.archive.jobs[urlsplit(self.path).path.rstrip("/").split("/")[-1]]["deleted"] = True
        self._send(200, b"")

    def _uws(self, name: str, job: dict[str, Any]) -> bytes:
        result = f"{self.archive.address}/tap-server/tap/async/{name}/results/result"
        summary = re.search(rb"ERROR\">(.*?)</INFO>", job.get("result", b""))
        error = (
            f'<uws:errorSummary type="fatal" hasDetail="true"><uws:message>{summary[1].decode()}</uws:message>'
            "</uws:errorSummary>" if job["phase"] == "ERROR" and summary else ""
        )  # fmt: skip
        results = (
            f'<uws:results><uws:result id="result" xlink:type="simple" xlink:href="{result}"/></uws:results>'
            if job["phase"] == "COMPLETED" else "<uws:results/>"
        )  # fmt: skip
        return (
            '<?xml version="1.0" encoding="UTF-8"?><uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" '
            'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            f"<uws:jobId>{name}</uws:jobId><uws:ownerId>anonymous</uws:ownerId><uws:phase>{job['phase']}</uws:phase>"
            '<uws:quote xsi:nil="true"/><uws:startTime xsi:nil="true"/><uws:endTime xsi:nil="true"/>'
            '<uws:executionDuration>0</uws:executionDuration><uws:destruction xsi:nil="true"/>'
            f"<uws:parameters/>{results}{error}</uws:job>"
        ).encode()
