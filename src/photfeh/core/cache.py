"""The one cache: finished parts of long work, each named by the fingerprint of everything that made it.

A part is a small folder. It is written beside, flushed, and renamed, so that it is there whole or not at all; its name
says what it is and, by :func:`photfeh.core.fingerprint.fingerprint`, of what it was made. A later call finds it only if
inputs, settings, seeds and numerics are all the same. ``claim`` keeps a second process from writing into one folder.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from photfeh.core.errors import BadInput, InUse
from photfeh.core.files import flush_folder, naming, read_json, remove_folder

__all__ = ["Key", "Parts"]

_log = logging.getLogger("photfeh")
_DIGITS = 20
_WORK = ".work"
_NAME = re.compile(rf"[A-Za-z0-9_-]*\.[0-9a-f]{{{_DIGITS}}}")


@dataclass(frozen=True)
class Key:
    """What a part is, in words, and the fingerprint of what made it. Parts of one label replace each other."""

    label: str
    fingerprint: str

    @property
    def name(self) -> str:
        """Name of the part's folder."""
        return f"{re.sub(r'[^A-Za-z0-9_-]', '_', self.label)}.{self.fingerprint[:_DIGITS]}"


class Parts:
    """The parts in one folder.

    Parameters
    ----------
    folder : path
        Made when the first part is written or the folder is claimed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @contextmanager
    def claim(self) -> Iterator[Parts]:
        """Be the only process that writes parts here.

        Raises
        ------
        InUse
            if another process does; names it and since when.
        BadInput
            if the folder holds something that is not of photfeh.
        """
        if self.folder.exists() and not (self.folder.is_dir() and (self.exists() or not any(self.folder.iterdir()))):
            raise BadInput(f"{self.folder} is not of photfeh, and would be written to; name another --output.")
        made = _made_folders(self.folder)
        owner = self.folder / ".owner.json"
        lock = FileLock(self.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise InUse(f"{self.folder.parent} {_said(owner)}; wait for its end, or name another --output.") from None
        try:
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            with naming(owner):
                owner.write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": now}))
            self._tidy()
            yield self
        finally:
            owner.unlink(missing_ok=True)
            lock.release()
            with suppress(OSError):  # an empty folder, as after a refused call, is not left behind
                if not any(path.name != ".lock" for path in self.folder.iterdir()):
                    (self.folder / ".lock").unlink(missing_ok=True)
                    self.folder.rmdir()
                    for folder in made[1:]:
                        folder.rmdir()

    def exists(self) -> bool:
        """Whether an earlier call has begun to work here."""
        return (self.folder / ".lock").exists()

    def find(self, key: Key) -> Path | None:
        """The folder of a finished part, or None."""
        path = self.folder / key.name
        return path if path.is_dir() else None

    def all(self) -> list[Path]:
        """Folders of all finished parts, in order of their names."""
        if not self.folder.is_dir():
            return []
        return sorted(p for p in self.folder.iterdir() if p.is_dir() and _NAME.fullmatch(p.name))

    @contextmanager
    def writing(self, key: Key) -> Iterator[Path]:
        """A folder to write one part into; it becomes the part when the block ends without an error."""
        beside = self.folder / f".{key.name}.{os.getpid()}.new"
        remove_folder(beside)
        beside.mkdir(parents=True)
        try:
            with naming(self.folder / key.name):
                yield beside
                flush_folder(beside)
            try:
                beside.rename(self.folder / key.name)
            except OSError:
                # a worker that outlived its killed parent may have finished the same part: then it is there
                if not (self.folder / key.name).is_dir():
                    raise
        finally:
            remove_folder(beside)
        remove_folder(self.workspace(key))

    def workspace(self, key: Key) -> Path:
        """Where the unfinished work on one part may keep its state, such as a checkpoint; gone when it is written."""
        return self.folder / f"{key.name}{_WORK}"

    def remove(self, part: Path) -> None:
        """Take away one part, at once."""
        remove_folder(part)

    def finish(self, asked: Iterable[Key], made: int) -> list[Path]:
        """Remove what is stale, and say what was taken from an earlier call.

        Stale are parts and workspaces that bear the label of one of the ``asked`` parts but were made of something
        else. ``made`` is the number of parts that this call made itself.

        Returns
        -------
        list of path
            Finished parts of other labels: nobody asked for them, and they stay.
        """
        keys = list(asked)
        wanted, labels = {key.name for key in keys}, {_label_of(key.name) for key in keys}
        stale: list[Path] = []
        left: list[Path] = []
        for part in self.all():
            if part.name not in wanted:
                (stale if _label_of(part.name) in labels else left).append(part)
        works = [path for path in self.folder.glob(f"*{_WORK}") if _label_of(path.name.removesuffix(_WORK)) in labels]
        for path in (*stale, *works):
            remove_folder(path)
        if len(keys) > made or stale:
            _log.info(
                "%s: %d of %d parts taken from an earlier call, %d stale removed, %d others left alone",
                self.folder.parent, len(keys) - made, len(keys), len(stale), len(left),
            )  # fmt: skip
        return left

    def clear(self) -> None:
        """Remove the folder with all parts."""
        for path in [*self.all(), *self.folder.glob(f"*{_WORK}")]:
            remove_folder(path)

    def _tidy(self) -> None:
        """Take away what killed writers left: half-written parts."""
        for path in self.folder.glob(".*.new"):
            remove_folder(path)
        for path in self.folder.glob(".*.removed"):
            remove_folder(path)


def _made_folders(folder: Path) -> list[Path]:
    """Make a folder; it and those above it that were not there, innermost first."""
    made = [folder, *(above for above in folder.parents if not above.exists())] if not folder.exists() else []
    folder.mkdir(parents=True, exist_ok=True)
    return made


def _label_of(name: str) -> str:
    return name.rpartition(".")[0]


def _said(owner: Path) -> str:
    """Who holds a folder, in words."""
    content = read_json(owner)
    if not isinstance(content, dict):
        return "is in use by another process"
    where = "" if content.get("host") == socket.gethostname() else f" on {content.get('host')}"
    return f"is in use by process {content.get('process')}{where} since {content.get('since')}"
