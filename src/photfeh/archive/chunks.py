"""Sources in chunks: asked, read, kept on the disk, halved where they fail, until every source is accounted for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import requests

from photfeh.archive.bulk import bulk_files, read_bulk
from photfeh.archive.datalink import DataLink
from photfeh.archive.epochs import Answer, read_answer
from photfeh.archive.flags import joined as joined_flags
from photfeh.archive.gaia import Release
from photfeh.archive.remote import RemoteFile, remote_files
from photfeh.archive.tables import Sources
from photfeh.archive.web import ArchiveError, Broken, Patience, Refused, ServerError, TooSlow
from photfeh.core.cache import Key, Parts
from photfeh.core.errors import MissingColumn
from photfeh.core.files import read_json, write_json
from photfeh.core.fingerprint import fingerprint
from photfeh.readers.tally import Tally

__all__ = ["Books", "ask_all", "read_folder"]

_log = logging.getLogger("photfeh")
_SINGLES_IN_A_ROW = 8
"""So many single sources that fail one after the other, and no call in between that succeeds, mean: it is not them."""


@dataclass(eq=False)
class Books:
    """What has become of every source: the parts on the disk, and the reasons of those that failed."""

    release: Release
    parts: Parts
    sources: Sources
    progress: Callable[[str, int, int], None]
    tally: Tally = field(default_factory=Tally)
    keys: list[Key] = field(default_factory=list)
    received: dict[int, Key] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    foreign: int = 0
    repeated: int = 0
    made: int = 0
    no_flags: list[frozenset[str]] = field(default_factory=list)
    joined: set[str] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)

    def missing(self) -> list[int]:
        """The sources of which nothing came, and of which the archive does not say that there is nothing."""
        has_curves = self.sources.has_curves
        return [
            number
            for number in self.sources.ids
            if number not in self.received and number not in self.failed and has_curves.get(number, True)
        ]

    def load(self, key_of: Callable[[tuple[int, ...]], Key]) -> None:
        """Enter all parts on the disk that hold sources of this request and bear the name that their content gives."""
        wanted = self.sources.wanted
        for part in self.parts.all():
            about = read_json(part / "answer.json")
            asked = tuple(about["asked"]) if isinstance(about, dict) else ()
            if not wanted.isdisjoint(asked) and part.name == key_of(asked).name:
                self.take(key_of(asked), about)

    def take(self, key: Key, about: Mapping[str, Any]) -> None:
        """Enter a part; of a source that an earlier one holds too nothing is taken a second time."""
        wanted = self.sources.wanted
        self.keys.append(key)
        for number in about["received"]:
            if number in wanted:
                self.received.setdefault(number, key)
        for number in about["asked"]:
            self.failed.pop(number, None)
        self.asked.update(about["asked"])
        self.foreign += about["foreign"]
        self.repeated += about["repeated"]
        self.no_flags.append(frozenset(about["no_flags"]))
        self.joined.update(about["joined"])

    def keep(self, key: Key, asked: Sequence[int], answer: Answer, joined: Collection[str] = ()) -> None:
        """Write an answer to the disk, whole or not at all, and enter it."""
        about = {
            "asked": list(asked),
            "received": list(answer.received),
            "foreign": len(answer.foreign),
            "repeated": len(answer.repeated),
            "no_flags": sorted(answer.no_flags),
            "joined": sorted(joined),
        }
        with self.parts.writing(key) as beside, named(beside):
            pq.write_table(answer.rows, beside / "epochs.parquet", compression="zstd")
            write_json(beside / "answer.json", about)
        self.made += 1
        self.take(key, about)

    def say(self) -> None:
        """Report how many sources are settled."""
        ids = self.sources.ids
        self.progress("sources", sum(number in self.asked or number in self.failed for number in ids), len(ids))


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Errors of the disk name a path, also where the system does not."""
    try:
        yield
    except OSError as error:
        if isinstance(error, requests.RequestException) or error.filename is not None:
            raise
        raise OSError(error.errno or 0, error.strerror or str(error), str(path)) from error


def read_folder(books: Books, folder: Path | str) -> None:
    """Take the light curves from bulk files, a part a file; text is the address of a catalogue elsewhere."""
    ids = books.sources.ids
    files: list[Path | RemoteFile] = []
    files += remote_files(folder, ids) if isinstance(folder, str) else bulk_files(folder, ids)
    for number, path in enumerate(files, start=1):
        key = Key("bulk", fingerprint(books.release, ids, *_state_of(path)))
        about = read_json(books.parts.folder / key.name / "answer.json")
        if isinstance(about, dict):
            books.take(key, about)
        else:
            books.keep(key, ids, read_bulk(path, ids, books.release, books.tally))
        books.progress("files", number, len(files))


def _state_of(path: Path | RemoteFile) -> tuple[str | int, ...]:
    """What tells that a bulk file is the one that was read before."""
    if isinstance(path, RemoteFile):
        return path.address, path.version
    state = path.stat()
    return str(path.resolve()), state.st_size, state.st_mtime_ns


def ask_all(books: Books, link: DataLink, size: int, patience: Patience) -> None:
    """Ask DataLink for all sources, in chunks; and once more for those that are missing and should not be.

    Raises
    ------
    ArchiveError
        if the service is down, or refuses; what was received is on the disk.
    """
    asker = _Asker(books, link, patience)
    books.load(asker.key)
    asker.chunks([number for number in books.sources.ids if number not in books.asked], size)
    asker.chunks(books.missing(), size, again=True)


@dataclass(eq=False)
class _Asker:
    """One run through the service."""

    books: Books
    link: DataLink
    patience: Patience
    singles: int = 0
    no_product: bool = False

    def key(self, ids: Sequence[int]) -> Key:
        """Name of the part that holds the answer for these sources."""
        release = self.books.release
        return Key("chunk", fingerprint(release, tuple(ids), self.link.structure, self.link.format, release.bands))

    def chunks(self, ids: Sequence[int], size: int, *, again: bool = False) -> None:
        """Settle these sources; ``again``: they have been asked for, and an empty answer says nothing new."""
        for begin in range(0, len(ids), size):
            self._chunk(ids[begin : begin + size], self.patience.tries, again=again)
            self.books.say()

    def _chunk(self, ids: Sequence[int], tries: int, *, again: bool) -> None:
        """Settle one chunk; where it fails again and again, its halves, until the sources that fail stand alone."""
        try:
            what = f"{len(ids)} sources from {ids[0]} on"
            answer, joined = self.patience.repeat(lambda: self._answer(ids), what, tries)
        except (Broken, TooSlow) as error:
            self._failed(ids, error, again=again)
            return
        except ArchiveError as error:
            raise self._stopped(error) from error
        self.singles = 0
        if answer.received or not again:
            self.books.keep(self.key(ids), ids, answer, joined)

    def _failed(self, ids: Sequence[int], error: ArchiveError, *, again: bool) -> None:
        if len(ids) > 1:
            _log.info("%d sources from %s on fail again and again; asked for in halves", len(ids), ids[0])
            half = len(ids) // 2
            for part in (ids[:half], ids[half:]):
                self._chunk(part, min(2, self.patience.tries), again=again)
            return
        self.singles += 1
        if self.singles >= _SINGLES_IN_A_ROW:
            raise self._stopped(error) from error
        self.books.failed[ids[0]] = str(error)

    def _answer(self, ids: Sequence[int]) -> tuple[Answer, frozenset[str]]:
        """What came for these sources, and which of its flags came as a product of their own."""
        folder = self.books.parts.workspace(self.key(ids))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "answer.zip"
        with named(path):
            self.link.download(ids, path)
        answer = read_answer(path, ids, self.books.release, self.books.tally)
        if answer.foreign and not answer.received:
            raise Broken(f"the answer holds other sources than asked, such as {answer.foreign[0]}")
        with_flags = self._with_flags(answer, folder)
        return with_flags, answer.no_flags - with_flags.no_flags

    def _with_flags(self, answer: Answer, folder: Path) -> Answer:
        """The answer with the flags that it lacks, where the release has a product of them and the archive knows it."""
        product = self.books.release.flags_product
        if product is None or self.no_product or not answer.no_flags or not answer.received:
            return answer
        path = folder / "flags.zip"
        try:
            with named(path):
                self.link.download(answer.received, path, product=product.retrieval_type)
        except (ServerError, Refused) as error:
            said = error.said.upper()
            if "RETRIEVAL" not in said and product.retrieval_type not in said:
                raise
            self.no_product = True
            return answer
        try:
            return joined_flags(answer, path, self.books.release, self.books.tally)
        except MissingColumn as error:  # its names could not be verified before the release
            self.books.tally.note(f"{product.retrieval_type} is not understood: {error}", "")
            self.no_product = True
            return answer

    def _stopped(self, error: ArchiveError) -> ArchiveError:
        there, total = len(self.books.received), len(self.books.sources.ids)
        return ArchiveError(
            f"{str(error).rstrip('.')}. {there} of {total} sources are on the disk; run the same "
            "command again to go on."
        )
