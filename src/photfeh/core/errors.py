"""Every way in which photfeh refuses input: one clear line that names the file, column or star and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BadColumn",
    "BadFile",
    "BadInput",
    "BadLightCurve",
    "BandMismatch",
    "FitFailed",
    "InUse",
    "MissingColumn",
    "MissingPackage",
    "PhotfehError",
    "PhotfehWarning",
    "UnknownName",
]


class PhotfehError(Exception):
    """Base of all errors that photfeh raises on purpose."""


class PhotfehWarning(UserWarning):
    """Something was repaired or left out; the text names it and says how to avoid it."""


class BadInput(PhotfehError):
    """Input that cannot be used as it is; the text says what to change."""


class BadFile(BadInput):
    """A file that cannot be read: absent, empty, truncated or of an unknown kind."""


class BadColumn(BadInput):
    """A column that is there but holds values it must not hold."""


class BadLightCurve(BadInput):
    """A light curve that breaks the rules of :class:`photfeh.LightCurves`; the text names the star."""


class BandMismatch(BadInput):
    """Light curves, relations or models of different passbands that were about to be mixed; the text names both."""


class FitFailed(BadInput):
    """Models that were asked for with good settings and data, of which none could be fitted; the text says why."""


class InUse(BadInput):
    """A folder that another process is writing to; the text says which, since when, and what to do."""


class MissingColumn(BadInput):
    """A column that is needed and not there."""

    def __init__(self, column: str, where: str, *, accepted: Iterable[str] = (), found: Iterable[str] = ()) -> None:
        text = f"{where} has no column {column!r}"
        accepted = [name for name in accepted if name != column]
        if accepted:
            text += f" (also accepted: {', '.join(accepted)})"
        found = list(found)
        if found:
            text += f"; found {', '.join(map(str, found[:20]))}{' ...' if len(found) > 20 else ''}"
        super().__init__(text + f". Rename or add the column {column!r}.")
        self.column = column


class MissingPackage(BadInput):
    """A package that only some users need, and that is not installed; the text says how to get it."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs {package}, which is not installed: pip install 'photfeh[{extra}]'.")
        self.package = package


class UnknownName(BadInput):
    """A model, relation, cut or other entry that does not exist; the text lists what does, nearest first."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")
        self.name = name
