"""Light curves from files, folders and tables; and back to Parquet."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from photfeh.core.errors import BadFile, BadInput, PhotfehWarning
from photfeh.core.lightcurves import LightCurves
from photfeh.readers.files import READERS, is_supported, suffix_of, unreadable
from photfeh.readers.identify import refuse_one_number_for_two_names
from photfeh.readers.parts import Part, identified, parts_of_file, parts_of_object
from photfeh.readers.points import to_lightcurves
from photfeh.readers.roles import Roles, roles_of
from photfeh.readers.tally import Tally

__all__ = ["read_lightcurves", "to_long", "write_lightcurves"]

_STARS_PER_ROW_GROUP = 2_048
_NAMED_FAILURES = 20


def read_lightcurves(
    source: object,
    *,
    band: str = "G",
    columns: Mapping[str, str] | None = None,
    id_column: str | None = None,
    source_id: int | str | None = None,
) -> LightCurves:
    """Read the light curves of one or many stars.

    Parameters
    ----------
    source : path, pattern, list of paths, table or LightCurves
        A file of any supported kind (:data:`photfeh.readers.READERS`) with one star or many; a folder, of
        which all supported files are read in sorted order; a pattern such as ``"epochs/*.csv"``; several of
        these in a list; a table in memory, or a list or dict of them (:func:`photfeh.readers.objects.as_tables`);
        or LightCurves, which come back as they are.
    band : str
        Passband to take where there are several.
    columns : dict, optional
        Role -> name of the column that plays it, for tables whose names are not known: ``{"time": "T", "mag": "V"}``.
        Columns without names are called ``column1``, ``column2``, ...
    id_column : str, optional
        Name of the column of identifiers; short for ``columns={"source_id": ...}``.
    source_id : int or str, optional
        The star, where there is one table of one star and no column that names it.

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
        if a single file or a table is of no known layout, has no such band, or two files whose names give one
        number are two stars.

    Warns
    -----
    PhotfehWarning
        for each file of several that cannot be read (the others are), and once for each kind of thing that was
        repaired or left out.
    """
    if isinstance(source, LightCurves):
        return source
    tally = Tally()
    request = _Request(band, roles_of(columns, id_column), source_id, tally)
    if not is_path_or_paths(source):
        lcs = _join(_curves(parts_of_object(source, request.roles, tally), request, {}))
        tally.say()
        return lcs
    files, several = files_of(source)
    if several and source_id is not None:
        raise BadInput("source_id= names the star of one table; several files were given. Name each file by its star.")
    parts: list[LightCurves] = []
    failures: list[str] = []
    stars: dict[str, int | str] = {}
    for file in files:
        try:
            parts += _curves(parts_of_file(file, request.roles, band, tally), request, stars)
        except BadInput as error:
            if not several:
                raise
            failures.append(str(error))
    refuse_one_number_for_two_names(stars)
    if not parts:
        raise BadFile(f"none of the {len(files)} files could be read; the first: {failures[0]}")
    tally.say()
    warn_of(failures)
    return _join(parts)


def write_lightcurves(lcs: LightCurves, path: str | Path) -> None:
    """Write light curves to Parquet, one row a star with list columns, for :func:`read_lightcurves`.

    Raises
    ------
    BadFile
        if the suffix is not ``.parquet`` or ``.pq``, or the system does not let it be written.
    """
    path = Path(path)
    if suffix_of(path) not in {".parquet", ".pq"}:
        raise BadFile(f"{path}: light curves are written to Parquet. Give the name the suffix '.parquet'.")
    unfinished = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # small row groups, so that a reader can stream; renamed at the end, so that no half file bears the name
        pq.write_table(lcs.to_arrow(), unfinished, compression="zstd", row_group_size=_STARS_PER_ROW_GROUP)
        unfinished.replace(path)
    except OSError as error:
        raise BadFile(f"{path} cannot be written: {error.strerror or error}. Check the folder and the disk.") from error


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
def is_path_or_paths(source: object) -> TypeGuard[str | os.PathLike[str] | list[object] | tuple[object, ...]]:
    """Whether this names files; BadInput for a list of paths and other things."""
    if isinstance(source, (str, os.PathLike)):
        return True
    if not isinstance(source, (list, tuple)):
        return False
    paths = [isinstance(entry, (str, os.PathLike)) for entry in source]
    if any(paths) and not all(paths):
        other = next(type(entry).__name__ for entry, path in zip(source, paths, strict=True) if not path)
        raise BadInput(f"a list of files must hold paths, found {other}. Give tables in a list of their own.")
    return all(paths)


def files_of(source: str | os.PathLike[str] | Iterable[object]) -> tuple[list[Path], bool]:
    """The files meant, and whether they are several (so that one bad file is no reason to stop)."""
    if not isinstance(source, (str, os.PathLike)):
        found = [file for entry in source for file in files_of(_as_path(entry))[0]]
        if not found:
            raise BadFile("the list of files is empty. Name at least one file.")
        return list(dict.fromkeys(found)), True
    path = Path(source)
    try:
        return _found_files(path)
    except OSError as error:
        raise unreadable(path, error) from error


def _found_files(path: Path) -> tuple[list[Path], bool]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if is_supported(file) and file.is_file())
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
    raise BadInput(
        f"a list of files must hold paths, found {type(entry).__name__}. Give tables in a list of their own."
    )


def warn_of(failures: list[str]) -> None:
    for failure in failures[:_NAMED_FAILURES]:
        warnings.warn(f"{failure} (file left out)", PhotfehWarning, stacklevel=3)
    if len(failures) > _NAMED_FAILURES:
        more = len(failures) - _NAMED_FAILURES
        warnings.warn(f"{more} more files could not be read and were left out.", PhotfehWarning, stacklevel=3)


# ---------------------------------------------------------------------- whole files
@dataclass(frozen=True)
class _Request:
    """What the caller wants of every table."""

    band: str
    roles: Roles
    source_id: int | str | None
    tally: Tally


def _curves(parts: list[Part], request: _Request, stars: dict[str, int | str]) -> list[LightCurves]:
    """The light curves of all tables of one file; those that hold none are noted if others do.

    Stars that were told by a name are added to ``stars``.
    """
    found, failures = [], []
    by_name: dict[str, int | str] = {}
    for part in parts:
        try:
            part, _ = identified(part, request.band, request.source_id)
            found.append(to_lightcurves(part.table, band=request.band, origin=part.origin))
        except BadInput as error:
            failures.append(error)
            continue
        if part.named_star is not None:
            by_name[part.origin.name] = part.named_star
    if not found:
        raise failures[0]
    _refuse_tables_of_unknown_stars(parts, by_name)
    for failure in failures:
        request.tally.note(f"{failure} (table left out; others of that file are read)", str(parts[0].origin.name))
    stars |= by_name
    return found


def _refuse_tables_of_unknown_stars(parts: list[Part], by_name: Mapping[str, int | str]) -> None:
    """Several tables without identifiers in one file would all get the star of the file's name."""
    if len(by_name) > 1 and len(set(by_name.values())) < len(by_name):
        first = parts[0].origin.name
        raise BadInput(
            f"{first} and others of {len(parts)} tables have no column 'source_id', so that nobody knows whether they "
            "are one star. Add the column to each, or write them to files of their own."
        )


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
