"""DataLink: the light curves of some sources in one zip file on the disk."""

from __future__ import annotations

import re
import time
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import requests

from photfeh.archive.gaia import MOST_IDS, Release, Structure
from photfeh.archive.web import (
    Broken,
    Patience,
    Refused,
    ServerError,
    Session,
    TooSlow,
    check_status,
    translated,
)
from photfeh.core.errors import BadInput

__all__ = ["FORMATS", "DataLink"]

FORMATS = ("votable", "csv", "ecsv", "fits")
"""Formats of the answer. VOTable says in which unit and time system it is, and one that is cut off cannot be taken
for a whole one."""

_BLOCK = 1 << 18


class DataLink:
    """The service of one release.

    Parameters
    ----------
    release : Release
    session : Session
    patience : Patience
        Its time-outs; nothing is repeated here.
    structure : {"individual", "raw"}
        A file for each source, or one file with a row for each source.
    format : str
        One of :data:`FORMATS`.
    """

    def __init__(
        self,
        release: Release,
        session: Session,
        patience: Patience,
        *,
        structure: Structure = "individual",
        format: str = "votable",
    ) -> None:
        self.release, self.structure, self.format = release, structure, format
        self._session, self._patience = session, patience
        self._words = list(release.structures[structure])

    def download(self, ids: Sequence[int], path: Path, *, product: str | None = None) -> Path:
        """Write the answer for these sources to ``path``: a sound zip file.

        ``product`` is another RETRIEVAL_TYPE than that of the light curves.

        Raises
        ------
        BadInput
            for more than 5,000 identifiers.
        ArchiveError
            whatever went wrong on the way; :class:`photfeh.archive.web.Refused` where repeating will not help.
        OSError
            if the disk does not take it.
        """
        if len(ids) > MOST_IDS:
            raise BadInput(f"DataLink takes at most {MOST_IDS} identifiers a call, found {len(ids)}. Ask in chunks.")
        while True:
            try:
                self._once(ids, path, product or self.release.retrieval_type)
                return path
            except (ServerError, Refused) as error:
                self._take_other_word(error)

    def _take_other_word(self, error: ServerError | Refused) -> None:
        """Go on with the other word for the structure if the server says that it knows that one; else raise."""
        said, word = error.said.upper(), self._words[0]
        if "STRUCTURE" not in said and word not in said:
            raise error
        # the word that was sent may be quoted; a word that is offered stands in the list behind it
        offered = re.split(r"VALID VALUES|ALLOWED|EXPECTED|POSSIBLE VALUES", said)[-1]
        others = [other for other in self._words[1:] if re.search(rf"\b{other}\b", offered)]
        if not others and not re.search(r"INVALID|UNKNOWN|UNEXPECTED|VALID VALUES|ALLOWED|SUPPORTED", said):
            raise error
        if not others:
            raise Refused(
                f"{error} The word {word} for its structure is not known there, nor is any other that photfeh knows "
                f"({', '.join(self.release.structures[self.structure])}); see docs/archive.md.",
                error.said,
            ) from error
        self._words = others

    def _once(self, ids: Sequence[int], path: Path, product: str) -> None:
        where, timeout = self.release.datalink, self._patience.timeout(len(ids))
        form = {
            "VALID_DATA": "false",
            "ID": ",".join(map(str, ids)),
            "RELEASE": self.release.datalink_name,
            "DATA_STRUCTURE": self._words[0],
            "FORMAT": self.format,
            "RETRIEVAL_TYPE": product,
            "USE_ZIP_ALWAYS": "true",
        }
        # a server that sends a byte now and then must not hold us for ever
        deadline = time.monotonic() + 4 * timeout[1]
        try:
            with self._session.post(where, data=form, stream=True, timeout=timeout) as response:
                check_status(response, where)
                with path.open("wb") as file:
                    for block in response.iter_content(_BLOCK):
                        file.write(block)
                        if time.monotonic() > deadline:
                            raise TooSlow(f"{where} did not finish its answer in {4 * timeout[1]:.0f} s")
        except requests.RequestException as error:
            raise translated(error, where) from error
        finally:
            self._session.finish()
        _check_zip(path, where)


def _check_zip(path: Path, where: str) -> None:
    """Raise unless every member of the zip file is whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        with path.open("rb") as file:
            start = file.read(200)
        if start.lstrip()[:1] == b"<":
            raise Broken(f"{where} sent a web page instead of data: {_words_of(path)}") from error
        raise Broken(f"the zip file of {where} is cut off or damaged ({error})") from error
    if damaged is not None:
        raise Broken(f"{damaged!r} in the zip file of {where} is damaged")


def _words_of(path: Path) -> str:
    from photfeh.archive.web import spoken

    return spoken(path.read_bytes()[:20_000].decode(errors="replace"))[:200]
