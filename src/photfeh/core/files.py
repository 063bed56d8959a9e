"""Files that are there whole or not at all, that know whether they were changed, and whose errors name them."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from photfeh.core.errors import BadFile

__all__ = [
    "digest_of",
    "flush",
    "flush_folder",
    "naming",
    "read_json",
    "read_sealed",
    "remove_folder",
    "write_json",
    "write_sealed",
    "write_text",
    "written",
]

_MOST_JSON = 200_000_000
"""Bytes; the largest that photfeh writes are some hundred thousand."""
_SEAL = "sha256"


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Give every OSError of the block the name of the file or folder that it is about.

    What a full disk says on writing or closing, and what is said in C++, bears no name.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise OSError(error.errno or 0, reason, str(path)) from error
        raise


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """A name beside ``path`` to write under; flushed and renamed to it at the end, removed if the writing fails."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.new"):  # by a writer that was killed
        left.unlink(missing_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with naming(path):
            yield beside
            flush(beside)
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with written(path) as beside:
        # names of files may hold bytes that are no text
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(content, indent=1, default=str) + "\n")


def read_json(path: str | Path) -> Any:
    """The content of a JSON file; None where there is none, or none that can be read."""
    try:
        path = Path(path)
        if not path.is_file() or path.stat().st_size > _MOST_JSON:
            return None
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_sealed(path: str | Path, content: dict[str, Any]) -> None:
    """Write a JSON file that holds the digest of its own content."""
    plain = json.loads(json.dumps(content, default=str))
    write_json(path, plain | {_SEAL: _digest(plain)})


def read_sealed(path: str | Path, *, what: str, number: int, remedy: str) -> dict[str, Any]:
    """The content of a file of :func:`write_sealed`, which must be of format ``number`` and as it was written.

    ``what`` the folder is, such as ``a data set``, and the ``remedy`` are for the message.

    Raises
    ------
    BadFile
        if it cannot be read, is of another format, or was changed; names the file.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict):
        reason = "does not let itself be read" if not os.access(path, os.R_OK) else "is no JSON that can be read"
        raise BadFile(f"{path} {reason}; {remedy}.")
    if content.get("format") != number:
        raise BadFile(
            f"{path.parent} is {what} of format {content.get('format')}, this version of photfeh reads {number}: "
            f"{remedy}."
        )
    seal = content.pop(_SEAL, None)
    if seal != _digest(content):
        raise BadFile(f"{path} was changed since photfeh wrote it; {remedy}.")
    return content


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_folder(folder: Path) -> None:
    """Every file below a folder safely on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            flush(path)


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it; at once out of the way under another name, so that no half of it is seen."""
    if not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    dying = folder.with_name(f".{folder.name}.{os.getpid()}.removed")
    with suppress(OSError):
        folder = folder.replace(dying)
    shutil.rmtree(folder, ignore_errors=True)


def flush(path: Path) -> None:
    """One file safely on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
