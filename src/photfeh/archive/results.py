"""The folder that ``fetch`` leaves: one table of epochs, one of stars, and what became of every source."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from photfeh.archive.chunks import Books, named
from photfeh.archive.epochs import SCHEMA
from photfeh.core.cache import Key
from photfeh.core.errors import PhotfehWarning
from photfeh.core.files import read_json, write_json, write_text, written

_log = logging.getLogger("photfeh")

__all__ = ["RECONCILIATION", "Fetched", "finished", "write_results", "write_unfinished"]

RECONCILIATION = {
    "id_asked": "identifier as it was asked for",
    "source_id": "identifier in the release; empty where there is no counterpart",
    "status": "'received', 'without data', 'failed', 'no counterpart'; 'not yet' where the archive was down",
    "n_rows": "rows in epochs.parquet, of all bands and with rejected ones; empty where it is not written yet",
    "reason": "why it failed",
}
"""Columns of ``reconciliation.csv``."""

_STATE = "fetch.json"
_NUMBERS = ("id_asked", "source_id", "n_rows")


@dataclass(frozen=True, eq=False)
class Fetched:
    """A folder that ``fetch`` made.

    ``table`` has the columns :data:`RECONCILIATION`, a row for each identifier asked for. ``foreign`` and ``repeated``
    count sources that came and were not asked for, and that came more than once; neither is in the result twice.
    """

    folder: Path
    table: pd.DataFrame
    foreign: int
    repeated: int

    @property
    def epochs(self) -> Path:
        """Light curves: a row for each source, band and transit (:data:`photfeh.archive.epochs.SCHEMA`)."""
        return self.folder / "epochs.parquet"

    @property
    def stars(self) -> Path:
        """A row for each source, with its row of vari_rrlyrae where it has one."""
        return self.folder / "stars.parquet"

    @property
    def reconciliation(self) -> Path:
        """What became of each identifier."""
        return self.folder / "reconciliation.csv"

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not bool((self.table["status"] == "failed").any())

    def count(self, status: str) -> int:
        """Number of identifiers of this status."""
        return int((self.table["status"] == status).sum())


def finished(folder: Path, request: str) -> Fetched | None:
    """The result of an earlier call that asked for the same and missed nothing; else None."""
    state = read_json(folder / _STATE)
    if not isinstance(state, dict) or state.get("request") != request or not state.get("complete"):
        return None
    paths = [folder / name for name in ("epochs.parquet", "stars.parquet", "reconciliation.csv")]
    if not all(path.is_file() for path in paths):
        return None
    texts = pd.read_csv(paths[2], dtype=str, keep_default_na=False)
    # not by the parser: it reads integers beside empty entries as floating-point numbers
    numbers = {name: pd.array([int(text) if text else None for text in texts[name]], "Int64") for name in _NUMBERS}
    return Fetched(folder, _typed(texts.assign(**numbers)), int(state["foreign"]), int(state["repeated"]))


def write_results(folder: Path, books: Books, stars: pd.DataFrame, request: str) -> Fetched:
    """Write the three tables, each whole or not at all.

    Raises
    ------
    OSError
        if the disk does not take them; the parts stay.
    """
    (folder / _STATE).unlink(missing_ok=True)  # from here on the folder is of this request
    about = _about(books, request)
    rows = _write_epochs(folder / "epochs.parquet", books, about)
    _write_stars(stars, folder / "stars.parquet", about)
    table = _reconciled(books, rows)
    write_text(folder / "reconciliation.csv", table.to_csv(index=False))
    result = Fetched(folder, table, books.foreign, books.repeated)
    books.parts.finish(books.keys, books.made)
    _say(books, result)
    write_json(folder / _STATE, {**about, "complete": result.complete})
    return result


def write_unfinished(folder: Path, asked: Sequence[int], books: Books | None, reason: str) -> None:
    """Write ``reconciliation.csv`` of a call that the archive cut short: what is on the disk, failed, or not yet asked.

    ``books`` is None where not even the tables came; ``reason`` why it stopped.
    """
    (folder / _STATE).unlink(missing_ok=True)  # from here on the folder is of this request
    if books is None:
        rows: list[tuple[Any, ...]] = [(number, number, "not yet", None, reason) for number in asked]
    else:
        rows = [
            (given, number, status, None, why if status != "not yet" else reason)
            for given, number, status, why in _statuses(books, finished=False)
        ]
    write_text(folder / "reconciliation.csv", _table_of(rows).to_csv(index=False))


def _about(books: Books, request: str) -> dict[str, Any]:
    return {
        "request": request,
        "release": books.release.datalink_name,
        "foreign": books.foreign,
        "repeated": books.repeated,
        "flags_absent": sorted(frozenset().union(*books.no_flags)),
        "flags_joined": sorted(books.joined),
        "photfeh": version("photfeh"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _write_epochs(path: Path, books: Books, about: dict[str, Any]) -> dict[int, int]:
    """All rows, the sources in the order of their parts; the number of rows of each source."""
    # flags that no answer told get no column; where some did, those of the others count as not rejected
    never = frozenset.intersection(*books.no_flags) if books.no_flags else frozenset()
    schema = pa.schema([entry for entry in SCHEMA if entry.name not in never])
    metadata = {f"photfeh.{name}": str(value) for name, value in about.items()}
    counts: dict[int, int] = {}
    own: dict[Key, list[int]] = {key: [] for key in books.keys}
    for number, key in books.received.items():
        own[key].append(number)
    with (
        written(path) as beside,
        named(path),
        pq.ParquetWriter(beside, schema.with_metadata(metadata), compression="zstd") as out,
    ):
        for key, numbers in own.items():
            table = pq.read_table(books.parts.folder / key.name / "epochs.parquet")
            table = table.filter(pc.is_in(table["source_id"], value_set=pa.array(numbers, pa.int64())))
            counts |= table["source_id"].to_pandas().value_counts().to_dict()
            if table.num_rows:
                out.write_table(table.select(schema.names).cast(schema))
    return counts


def _write_stars(stars: pd.DataFrame, path: Path, about: dict[str, Any]) -> None:
    table = pa.Table.from_pandas(stars, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), **{f"photfeh.{name}": str(value) for name, value in about.items()}}
    with written(path) as beside, named(path):
        pq.write_table(table.replace_schema_metadata(metadata), beside, compression="zstd")


def _reconciled(books: Books, counts: dict[int, int]) -> pd.DataFrame:
    return _table_of(
        [
            (asked, number, status, counts.get(number or 0, 0), reason)
            for asked, number, status, reason in _statuses(books, finished=True)
        ]
    )


def _statuses(books: Books, *, finished: bool) -> Iterator[tuple[int, int | None, str, str]]:
    """Identifier as asked, that in the release, what became of it and why."""
    for asked, number in zip(books.sources.asked, books.sources.target, strict=True):
        status, reason = "without data", ""
        if number is None:
            status = "no counterpart"
        elif number in books.received:
            status = "received"
        elif number in books.failed:
            status, reason = "failed", books.failed[number]
        elif not finished and number not in books.asked:
            status = "not yet"
        elif books.sources.has_curves.get(number):
            status, reason = "failed", f"the archive says {books.release.has_curves} and sends nothing"
        yield asked, number, status, reason


def _table_of(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    table = {
        name: pd.Series(values, dtype=object)
        for name, values in zip(RECONCILIATION, zip(*rows, strict=True), strict=True)
    }
    return _typed(pd.DataFrame(table))


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({**dict.fromkeys(_NUMBERS, "Int64"), "status": "string", "reason": "string"})


def _say(books: Books, result: Fetched) -> None:
    """What the user has to know, once."""
    books.tally.say()
    product = books.release.flags_product
    if books.joined and product is not None:
        _log.info("%s joined from %s", " and ".join(sorted(books.joined)), product.retrieval_type)
    notes = []
    if books.foreign:
        notes.append(f"{books.foreign} sources came that were not asked for; they are left out")
    if books.repeated:
        notes.append(f"{books.repeated} sources came more than once; each is taken once")
    absent = sorted(frozenset().union(*books.no_flags))
    if absent:
        names = " and ".join(absent)
        notes.append(f"the light curves came without {names}; points that the archive may reject elsewhere are kept")
    for note in notes:
        warnings.warn(f"{note}.", PhotfehWarning, stacklevel=4)
