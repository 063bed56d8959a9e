"""What was left out or changed while reading: counted in one place, said once a command."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

from photfeh.core.errors import PhotfehWarning

__all__ = ["Origin", "Tally"]


@dataclass
class _Count:
    """How many were met of one kind of thing, where first, and in how many files."""

    remedy: str
    number: int = 0
    first: str = ""
    files: dict[str, None] = field(default_factory=dict)


class Tally:
    """Counts of what was not used, and notes on what was changed, over all files and parts of one command.

    A command makes one, gives it to the :class:`Origin` of every file it reads, and calls :meth:`say` at its end.
    """

    def __init__(self) -> None:
        self.points: int = 0
        self._counts: dict[str, _Count] = {}
        self._notes: dict[str, tuple[str, dict[str, None]]] = {}
        self._guesses: dict[str, dict[str, str]] = {}
        self._said: set[str] = set()

    def count(self, what: str, number: int, *, first: str, remedy: str, where: str, noun: str = "points") -> None:
        """Add to a count, such as ("have no time", 3, "of star 5", "Fill in that column.", "a.csv")."""
        if number <= 0:
            return
        entry = self._counts.setdefault(f"{noun} {what}", _Count(remedy, first=first))
        entry.number += int(number)
        entry.files[where] = None

    def note(self, text: str, where: str, *, key: str | None = None) -> None:
        """Something that holds for a whole file; said once for all files with the same ``key`` (the text)."""
        self._notes.setdefault(key or text, (text, {}))[1][where] = None

    def guess(self, subject: str, meaning: str, where: str) -> None:
        """What ``subject`` was taken to mean in a file; said only if it was not the same in all files."""
        self._guesses.setdefault(subject, {}).setdefault(meaning, where)

    def say(self) -> None:
        """Warn of everything, one warning a kind; what was said is not said again."""
        for what, entry in self._counts.items():
            of = f" of {_spaced(self.points)}" if what.startswith("points") and self.points else ""
            text = f"{_place(entry.files)}: {_spaced(entry.number)}{of} {what}, first {entry.first}. {entry.remedy}"
            self._once(what, text)
        for subject, meanings in self._guesses.items():
            if len(meanings) > 1:
                found = ", ".join(f"{meaning} in {where}" for meaning, where in meanings.items())
                self._once(subject, f"{subject} were taken as {found}. Say which by the column's name, such as 'hjd'.")
        for key, (text, files) in self._notes.items():
            self._once(key, f"{_place(files)}: {text}")

    def _once(self, key: str, text: str) -> None:
        if key not in self._said:
            self._said.add(key)
            warnings.warn(text, PhotfehWarning, stacklevel=4)


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _place(files: dict[str, None]) -> str:
    first, more = next(iter(files)), len(files) - 1
    return first if not more else f"{first} and {more} more file{'s' if more > 1 else ''}"


@dataclass(frozen=True)
class Origin:
    """Where a table comes from.

    ``name`` stands in messages; ``source_id`` is the identifier that the file's name gives, if any; ``tally`` is that
    of the whole command, which says it at its end. Without one, what is found is said table by table.
    """

    name: str = "the table"
    source_id: int | None = None
    tally: Tally | None = None
    own: Tally = field(default_factory=Tally, compare=False, repr=False)

    @property
    def counts(self) -> Tally:
        """The tally to add to."""
        return self.own if self.tally is None else self.tally

    def count(self, what: str, number: int, *, first: str, remedy: str, noun: str = "points") -> None:
        """:meth:`Tally.count` for this table."""
        self.counts.count(what, number, first=first, remedy=remedy, where=self.name, noun=noun)

    def warn(self, text: str, *, key: str | None = None) -> None:
        """:meth:`Tally.note` for this table."""
        self.counts.note(text, self.name, key=key)

    def say(self) -> None:
        """Say what was found, unless a command does so at its end."""
        if self.tally is None:
            self.own.say()
