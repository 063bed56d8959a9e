"""The bulk doors: the HATS catalogue, at hand or far away, and the archive's bulk files in a folder."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from photfeh.archive.epochs import Answer, collected, long_table
from photfeh.archive.gaia import Release
from photfeh.archive.remote import RemoteFile
from photfeh.core.errors import BadFile, MissingColumn
from photfeh.readers.files import PARSER_ERRORS, is_supported, read_tables, unreadable
from photfeh.readers.points import source_ids
from photfeh.readers.tables import tidy
from photfeh.readers.tally import Tally

__all__ = ["bulk_files", "read_bulk"]

_RANGE = re.compile(r"EpochPhotometry_(\d+)-(\d+)\.", re.IGNORECASE)
_LEVEL_8 = 43
"""source_id >> 43 is the HEALPix pixel of level 8, by which the archive cuts its bulk files."""


def bulk_files(folder: Path, ids: Collection[int]) -> list[Path]:
    """The files below a folder (or the one file) that may hold these sources, in order of their names.

    Raises
    ------
    BadFile
        if there is no table at all.
    """
    if folder.is_file():
        return [folder]
    found = (
        [path for path in sorted(folder.rglob("*")) if path.is_file() and is_supported(path)] if folder.is_dir() else []
    )
    # a HATS catalogue has small tables about itself beside its data
    data = [path for path in found if "dataset" in path.relative_to(folder).parts[:-1]]
    found = data or found
    if not found:
        raise BadFile(f"{folder} holds no table. Name the folder of a HATS catalogue or of EpochPhotometry_*.csv.gz.")
    pixels = np.unique(np.array(sorted(ids), np.int64) >> _LEVEL_8)
    return [path for path in found if _may_hold(path, pixels)]


def read_bulk(path: Path | RemoteFile, ids: Collection[int], release: Release, tally: Tally) -> Answer:
    """The light curves of these sources in one bulk file.

    Raises
    ------
    BadFile, MissingColumn, ArchiveError
        if it cannot be read, or has no light curves of the archive's layouts; or cannot be reached.
    """
    tables, seen = [], []
    no_flags: frozenset[str] = frozenset()
    where = path.address if isinstance(path, RemoteFile) else str(path)
    for table in _remote_rows(path, ids) if isinstance(path, RemoteFile) else _rows(path, ids):
        if not table.num_rows:
            continue
        rows, absent = long_table(table, release, where, tally)
        tables.append(rows)
        seen += rows["source_id"].unique().to_pylist()
        no_flags |= absent
    return collected(tables, list(dict.fromkeys(seen)), ids, no_flags)


def _may_hold(path: Path, pixels: np.ndarray[tuple[int], np.dtype[np.int64]]) -> bool:
    match = _RANGE.match(path.name)
    return match is None or bool(np.any((pixels >= int(match[1])) & (pixels <= int(match[2]))))


def _rows(path: Path, ids: Collection[int]) -> Iterator[pa.Table]:
    wanted = pa.array(sorted(ids), pa.int64())
    if path.suffix.lower() in (".parquet", ".pq"):
        try:
            yield _chosen(pyarrow.dataset.dataset(path, format="parquet"), wanted, str(path))
        except PARSER_ERRORS as error:
            raise unreadable(path, error) from error
        return
    for table in read_tables(path):
        if "source_id" not in table.column_names:
            raise MissingColumn("source_id", str(path), found=table.column_names)
        mine = np.isin(source_ids(table["source_id"], str(path)), wanted.to_numpy())
        yield table.filter(pa.array(mine))


def _remote_rows(file: RemoteFile, ids: Collection[int]) -> Iterator[pa.Table]:
    wanted = pa.array(sorted(ids), pa.int64())
    whole = file.dataset()
    yield file.rows(lambda: _chosen(whole, wanted, file.address))


def _chosen(whole: pyarrow.dataset.Dataset, wanted: pa.Array, where: str) -> pa.Table:
    """The rows of these sources; of row groups whose statistics rule them out nothing is read."""
    name = next((name for name in whole.schema.names if name.lower() == "source_id"), None)
    if name is None:
        raise MissingColumn("source_id", where, found=whole.schema.names)
    return tidy(whole.to_table(filter=pc.field(name).isin(wanted)))
