"""Light curves from files, folders and tables; and back to Parquet."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from photfeh.core.errors import BadFile, BadInput, PhotfehWarning
from photfeh.core.lightcurves import LightCurves
from photfeh.readers.files import READERS, is_supported, read_schema, read_table, suffix_of
from photfeh.readers.layouts import Columns, find_columns
from photfeh.readers.points import Origin, to_lightcurves
from photfeh.readers.tables import as_table

__all__ = ["read_lightcurves", "to_long", "write_lightcurves"]

_STARS_PER_ROW_GROUP = 2_048
_NAMED_FAILURES = 20


def read_lightcurves(source: object, *, band: str = "G") -> LightCurves:
    """Read the light curves of one or many stars.

    Parameters
    ----------
    source : path, pattern, list of paths, table or LightCurves
        A file of any supported kind (:data:`photfeh.readers.READERS`) with one star or many; a folder, of
        which all supported files are read in sorted order; a pattern such as ``"epochs/*.csv"``; several of
        these in a list; a pandas DataFrame, astropy Table or pyarrow Table; or LightCurves, which come back
        as they are.
    band : str
        Passband to take where there are several.

    Returns
    -------
    LightCurves
        Every star that occurs, in order of first appearance; one without any usable point has none. Points of
        a star that is in several files are joined.

    Raises
    ------
    BadFile
        if a single file cannot be read, or nothing of a folder, pattern or list can.
    BadInput, MissingColumn, BadColumn
        if a single file or a table is of no known layout, or has no such band.

    Warns
    -----
    PhotfehWarning
        for each file of several that cannot be read (the others are), and for what was repaired or left out.
    """
    if isinstance(source, LightCurves):
        return source
    if not isinstance(source, (str, os.PathLike, list, tuple)):
        return to_lightcurves(as_table(source), band=band)
    files, several = files_of(source)
    if not several:
        return _read_file(files[0], band)
    parts, failures = [], []
    for file in files:
        try:
            parts.append(_read_file(file, band))
        except BadInput as error:
            failures.append(str(error))
    if not parts:
        raise BadFile(f"none of the {len(files)} files could be read; the first: {failures[0]}")
    warn_of(failures)
    return _join(parts)


def write_lightcurves(lcs: LightCurves, path: str | Path) -> None:
    """Write light curves to Parquet, one row a star with list columns, for :func:`read_lightcurves`.

    Raises
    ------
    BadFile
        if the suffix is not ``.parquet`` or ``.pq``.
    """
    path = Path(path)
    if suffix_of(path) not in {".parquet", ".pq"}:
        raise BadFile(f"{path}: light curves are written to Parquet. Give the name the suffix '.parquet'.")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    # small row groups, so that a reader can stream; renamed at the end, so that no half file bears the name
    pq.write_table(lcs.to_arrow(), unfinished, compression="zstd", row_group_size=_STARS_PER_ROW_GROUP)
    unfinished.replace(path)


def to_long(lcs: LightCurves) -> pa.Table:
    """One row a point: source_id, band, time (or phase), mag, mag_error, as in Gaia's long layout.

    Stars without points have no row. An error that is not known is null.
    """
    return pa.table(
        {
            "source_id": pa.array(np.repeat(lcs.source_id, lcs.n_epochs)),
            "band": pa.array(np.full(len(lcs.time), lcs.band, dtype=object), pa.string()),
            "phase" if lcs.folded else "time": pa.array(lcs.time),
            "mag": pa.array(lcs.mag),
            "mag_error": pa.array(lcs.mag_error, mask=np.isnan(lcs.mag_error)),
        }
    )


# ---------------------------------------------------------------------- which files
def files_of(source: str | os.PathLike[str] | Iterable[object]) -> tuple[list[Path], bool]:
    """The files meant, and whether they are several (so that one bad file is no reason to stop)."""
    if not isinstance(source, (str, os.PathLike)):
        found = [file for entry in source for file in files_of(_as_path(entry))[0]]
        if not found:
            raise BadFile("the list of files is empty. Name at least one file.")
        return list(dict.fromkeys(found)), True
    path = Path(source)
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.is_file() and is_supported(file))
        if not found:
            raise BadFile(
                f"{path} holds no file of a known kind ({', '.join(READERS)}). Name another folder, or a "
                f"pattern such as '{path}/**/*.csv' to take files of folders below it."
            )
        return found, True
    if not path.exists() and glob.has_magic(str(path)):
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        found = [file for file in found if file.is_file() and is_supported(file)]
        if not found:
            raise BadFile(f"no file of a known kind matches {path}. Check the pattern and the folder.")
        return found, True
    return [path], False


def _as_path(entry: object) -> str | os.PathLike[str]:
    if isinstance(entry, (str, os.PathLike)):
        return entry
    raise BadInput(f"a list of files must hold paths, found {type(entry).__name__}. Give tables one at a time.")


def warn_of(failures: list[str]) -> None:
    for failure in failures[:_NAMED_FAILURES]:
        warnings.warn(f"{failure} (file left out)", PhotfehWarning, stacklevel=3)
    if len(failures) > _NAMED_FAILURES:
        more = len(failures) - _NAMED_FAILURES
        warnings.warn(f"{more} more files could not be read and were left out.", PhotfehWarning, stacklevel=3)


# ---------------------------------------------------------------------- whole files
def _read_file(path: Path, band: str) -> LightCurves:
    schema = read_schema(path)
    names = None if schema is None else find_columns(schema.names, band, str(path)).names
    table = read_table(path, columns=names)
    columns = find_columns(table.column_names, band, str(path))
    return to_lightcurves(table, band=band, origin=_origin(path, columns))


def _origin(path: Path, columns: Columns) -> Origin:
    """The identifier is the last number of the file name, where no column holds it."""
    if columns.source_id is not None:
        return Origin(str(path))
    numbers = re.findall(r"\d+", path.name[: len(path.name) - len(suffix_of(path))])
    if not numbers or int(numbers[-1]) >= 2**63:
        raise BadFile(
            f"{path} has no column 'source_id' and no identifier in its name. Add the column, or name the "
            "file by its star, such as '1204518424202454272.csv'."
        )
    return Origin(str(path), int(numbers[-1]))


def check_one_kind(folded: Iterable[bool]) -> None:
    if len(set(folded)) > 1:
        raise BadInput("some files hold times and others phases. Read them apart: a folded curve has no epochs.")


def _join(parts: list[LightCurves]) -> LightCurves:
    """All stars; the points of one that occurs in several parts together, each point once."""
    check_one_kind(part.folded for part in parts)
    stars = np.concatenate([part.source_id for part in parts])
    unique, first = np.unique(stars, return_index=True)
    if len(unique) == len(stars):
        return LightCurves.concatenate(parts)
    ids = np.concatenate([np.repeat(part.source_id, part.n_epochs) for part in parts])
    time, mag, error = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("time", "mag", "mag_error")
    )
    file = np.repeat(np.arange(len(parts)), [len(part.time) for part in parts])
    order = np.lexsort((file, mag, time, ids))
    same_point = np.logical_and.reduce([np.diff(values[order]) == 0 for values in (ids, time, mag)])
    again = np.zeros(len(ids), bool)
    again[order[1:]] = same_point & (np.diff(file[order]) != 0)
    if again.any():
        warnings.warn(
            f"{int(again.sum())} points stand in more than one file, first of star {ids[again][0]}; each is "
            "taken once. Leave out the files that repeat others.",
            PhotfehWarning,
            stacklevel=3,
        )
    first_part, new = parts[0], ~again
    joined = LightCurves.from_points(
        ids[new], time[new], mag[new], error[new], band=first_part.band, folded=first_part.folded
    )
    return joined.reindex(stars[np.sort(first)])
