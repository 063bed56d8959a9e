"""What a file holds, whatever its name says: compression and archives are told by the first bytes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from photfeh.core.errors import BadFile

__all__ = ["COMPRESSED_SUFFIXES", "Content", "check_file", "contents"]

COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".z")
"""Endings that say "compressed" and nothing about the table within; only used to find the ending before them."""

_UNPACKED_LIMIT = 256 * 2**20
_MOST_EXPANSION = 300  # light curves as text shrink by 3 to 20; a few kB that claim to hold GB are an attack
_HEAD = 262_144


@dataclass(frozen=True)
class Content:
    """One table file: on disk, or unpacked into memory from a compressed file or an archive."""

    path: Path
    member: str = ""
    """Name inside an archive; empty for a file of its own."""
    unpacked: bytes | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.member}" if self.member else str(self.path)

    @property
    def name(self) -> Path:
        """Name that may tell the format and the star."""
        return Path(self.member) if self.member else self.path

    @property
    def source(self) -> Any:
        """What pyarrow reads from: the path, or the bytes without a copy."""
        return str(self.path) if self.unpacked is None else pa.BufferReader(self.unpacked)

    def open(self) -> IO[bytes]:
        """A stream of the uncompressed bytes."""
        return self.path.open("rb") if self.unpacked is None else BytesIO(self.unpacked)

    def read(self) -> bytes:
        """All bytes, uncompressed."""
        return self.path.read_bytes() if self.unpacked is None else self.unpacked

    @cached_property
    def head(self) -> bytes:
        """The first quarter of a megabyte."""
        with self.open() as file:
            return file.read(_HEAD)

    def size(self) -> int:
        """Number of uncompressed bytes."""
        return self.path.stat().st_size if self.unpacked is None else len(self.unpacked)


def check_file(path: Path) -> None:
    """Raise BadFile unless this is a regular file with something in it.

    Raises
    ------
    BadFile
        names the path and the remedy.
    """
    try:
        if path.is_dir():
            raise BadFile(f"{path} is a folder, not a table. Name one file in it.")
        if not path.exists():
            raise BadFile(f"{path} does not exist. Check the name and the folder.")
        if not path.is_file():
            raise BadFile(f"{path} is not a regular file. Copy its content into one.")
        if path.stat().st_size == 0:
            raise BadFile(f"{path} is empty (0 bytes). Fetch or write it again.")
    except OSError as error:
        raise BadFile(f"{path} cannot be opened: {error.strerror or error}. Check its name and your rights.") from error


def contents(path: Path) -> list[Content]:
    """The table files that a file holds: itself, itself uncompressed, or the members of a zip archive.

    Parameters
    ----------
    path : path
        An existing file (:func:`check_file`).

    Raises
    ------
    BadFile
        for an archive of another kind, one that cannot be opened, or one that expands more than
        300-fold beyond 256 MiB (a bomb).
    OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile
        for damaged data; :func:`photfeh.readers.files.read_tables` names the file.
    """
    content = Content(path)
    if content.head.startswith(_ZIP):
        return [_unpacked(member) for member in _members(content)]
    return [_unpacked(content)]


# ---------------------------------------------------------------------- one compressed file
_ZIP = b"PK\x03\x04"


def _zstandard(file: IO[bytes]) -> IO[bytes]:
    stream: IO[bytes] = pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")
    return stream


_COMPRESSIONS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _zstandard,
}


def _unpacked(content: Content) -> Content:
    """Uncompressed, at most twice (servers compress what was compressed already)."""
    for _ in range(2):
        head = content.head[:8]
        found = next((opened for magic, opened in _COMPRESSIONS.items() if head.startswith(magic)), None)
        if found is None:
            break
        with content.open() as packed:
            # (GzipFile takes a name first)
            stream = gzip.GzipFile(fileobj=packed) if found is gzip.GzipFile else found(packed)
            content = Content(content.path, content.member, _read_bounded(stream, content))
    if content.unpacked is not None:
        _refuse_archive(content)
    return content


def _read_bounded(stream: Any, content: Content) -> bytes:
    limit = _UNPACKED_LIMIT + _MOST_EXPANSION * content.size()
    parts, size = [], 0
    while part := stream.read(1 << 20):
        size += len(part)
        if size > limit:
            raise BadFile(f"{content} expands to more than {limit >> 20} MiB. Uncompress it yourself, if you trust it.")
        parts.append(part)
    return b"".join(parts)


def _refuse_archive(content: Content) -> None:
    head = content.head
    if head[257:262] == b"ustar":
        raise BadFile(f"{content} is a tar archive. Unpack it, and name the folder.")
    if head.startswith(_ZIP):
        raise BadFile(f"{content} is an archive within another. Unpack it, and name the folder.")


# ---------------------------------------------------------------------- archives
def _members(archive: Content) -> list[Content]:
    with zipfile.ZipFile(archive.path) as file:
        names = set(file.namelist())
        if "[Content_Types].xml" in names:
            raise BadFile(f"{archive} is an office document. Save its table as text (.csv).")
        if names and all(name.endswith(".npy") for name in names):
            raise BadFile(f"{archive} holds numpy arrays. Read them yourself, and give a dict of arrays.")
        wanted = [info for info in file.infolist() if not info.is_dir() and not _is_hidden(info.filename)]
        if not wanted:
            raise BadFile(f"{archive} holds no files. Fetch or write it again.")
        if any(info.flag_bits & 1 for info in wanted):
            raise BadFile(f"{archive} is protected by a password. Unpack it, and name the folder.")
        found, total = [], 0
        for info in sorted(wanted, key=lambda info: info.filename):
            with file.open(info) as member:
                data = _read_bounded(member, archive)
            total += len(data)
            if total > _UNPACKED_LIMIT + _MOST_EXPANSION * archive.size():
                raise BadFile(f"{archive} expands to more than {total >> 20} MiB. Unpack it, and name the folder.")
            if data:
                found.append(Content(archive.path, info.filename, data))
    if not found:
        raise BadFile(f"{archive} holds empty files only. Fetch or write it again.")
    return found


def _is_hidden(name: str) -> bool:
    return any(part[:1] in {".", "_"} for part in name.replace(os.sep, "/").split("/"))
