"""Files that are there whole or not at all."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["flush", "flush_folder", "read_json", "remove_folder", "write_json", "write_text", "written"]


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """A name beside ``path`` to write under; flushed and renamed to it at the end, removed if the writing fails."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.new"):  # by a writer that was killed
        left.unlink(missing_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield beside
        flush(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with written(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(content, indent=1, default=str) + "\n")


def read_json(path: str | Path) -> Any:
    """The content of a JSON file; None where there is none, or none that can be read."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


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
