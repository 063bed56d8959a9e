"""Calls over the network that end: time-outs on each, and repetition with growing pauses where that may help."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests

from photfeh.core.errors import PhotfehError

__all__ = [
    "ArchiveError",
    "Broken",
    "Overloaded",
    "Patience",
    "Refused",
    "Session",
    "TooSlow",
    "Unreachable",
    "session",
]

_log = logging.getLogger("photfeh")
CONNECT_TIMEOUT = 20.0
"""Seconds until a connection must stand."""

_SHOWN = 400
"""Letters of a server's text that stand in a message."""

Result = TypeVar("Result")


class ArchiveError(PhotfehError):
    """The archive cannot be reached, refuses, or answers with something that is no answer."""


class Unreachable(ArchiveError):
    """No connection, or the server says that it is down for all."""


class Overloaded(Unreachable):
    """The server says that it wants a pause (429, 503); ``pause`` in seconds, None where it does not say."""

    def __init__(self, text: str, pause: float | None = None) -> None:
        super().__init__(text)
        self.pause = pause


class TooSlow(ArchiveError):
    """No answer in time."""


class Broken(ArchiveError):
    """An answer that is cut off, damaged, or a web page; or an internal error of the server."""


class Refused(ArchiveError):
    """The server understood and says no; ``said`` is its text."""

    def __init__(self, text: str, said: str) -> None:
        super().__init__(text)
        self.said = said


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often a call is repeated, and how long to wait before: ``first`` seconds, twice as long each time.

    Up to half of each pause is taken off at random, so that many clients do not come back at one moment. ``read``
    seconds may pass without a byte, and a second for each of ``per_id`` identifiers more.
    """

    tries: int = 5
    first: float = 2.0
    most: float = 120.0
    read: float = 60.0
    per_id: float = 5.0
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def pause(self, attempt: int, asked: float | None = None) -> float:
        """Seconds to wait after this attempt (0, 1, ...); at least what the server ``asked`` for, up to 600."""
        own = min(self.most, self.first * 2.0**attempt) * (1 - 0.5 * self.chance())
        return max(own, min(asked or 0.0, 600.0))

    def repeat(self, call: Callable[[], Result], what: str, tries: int | None = None) -> Result:
        """The result of a call, repeated while it ends in :class:`ArchiveError`; not where it was refused.

        Raises
        ------
        ArchiveError
            the last one.
        """
        tries = tries or self.tries
        for attempt in range(tries):
            try:
                return call()
            except Refused:
                raise
            except ArchiveError as error:
                if attempt == tries - 1:
                    raise
                wait = self.pause(attempt, getattr(error, "pause", None))
                _log.info("%s: %s; again in %.0f s", what, str(error).rstrip("."), wait)
                self.sleep(wait)
        raise AssertionError("unreachable")

    def timeout(self, ids: int = 0) -> tuple[float, float]:
        """Seconds for the connection and between two bytes, for a call about so many identifiers."""
        return min(CONNECT_TIMEOUT, self.read), self.read + self.per_id * ids


class Session(requests.Session):
    """A session whose calls all have a time-out, also those that another library makes with it."""

    def __init__(self, timeout: tuple[float, float]) -> None:
        super().__init__()
        self._timeout = timeout
        self._answers: list[requests.Response] = []

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """As of requests; ``timeout`` is the session's where the caller gives none."""
        options["timeout"] = options.get("timeout") or self._timeout
        answer = super().request(*arguments, **options)
        self._answers.append(answer)
        return answer

    def finish(self) -> None:
        """Close what another library has not read to its end."""
        for answer in self._answers:
            answer.close()
        self._answers.clear()

    def close(self) -> None:
        """Close everything."""
        self.finish()
        super().close()


def session(patience: Patience) -> Session:
    """A session that names photfeh to the server and never waits for ever."""
    made = Session(patience.timeout())
    made.headers["User-Agent"] = "photfeh (photometric metallicities of RR Lyrae stars)"
    return made


def translated(error: requests.RequestException, where: str) -> ArchiveError:
    """What went wrong on the way, as one of the errors above."""
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    if isinstance(error, requests.Timeout):
        return TooSlow(f"{where} did not answer in time ({reason})")
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)):
        return Broken(f"the answer of {where} was cut off ({reason})")
    if isinstance(error, requests.ConnectionError):
        # a connection that was reset while an answer was awaited is the server's failure on this call
        if "reset" in reason.lower() or "aborted" in reason.lower() or "timed out" in reason.lower():
            return Broken(f"the connection to {where} broke ({reason})")
        return Unreachable(f"{where} cannot be reached ({reason})")
    return ArchiveError(f"{where}: {reason}")


def check_status(response: requests.Response, where: str) -> None:
    """Raise unless the status is 200.

    Raises
    ------
    Overloaded, Broken, Refused
        for 429 and 503; other 5xx, 400, 408 and 413, whose text may say what is wrong; and other 4xx.
    """
    if response.status_code == 200:
        return
    said = spoken(response.text)
    text = f"{where} answers with status {response.status_code}: {said[:_SHOWN] or response.reason}"
    if response.status_code in (429, 503):
        raise Overloaded(text, _seconds(response.headers.get("Retry-After")))
    # a single source may be the reason of these, so that fewer at a time may be answered
    if response.status_code >= 500 or response.status_code in (400, 408, 413):
        raise ServerError(text, said)
    raise Refused(text, said)


class ServerError(Broken):
    """Status 5xx, 400, 408 or 413; ``said`` is the server's text."""

    def __init__(self, text: str, said: str) -> None:
        super().__init__(text)
        self.said = said


def spoken(text: str) -> str:
    """The words of an error page without its tags, at most 10,000 letters."""
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    return " ".join(text.split())[:10_000]


def _seconds(text: str | None) -> float | None:
    """Retry-After: seconds, or a date."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
