"""Packages that photfeh can do without, until somebody asks for what needs them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from photfeh.core.errors import MissingPackage

__all__ = ["EXTRAS", "has_package", "needing", "versions"]

EXTRAS = {"torch": "torch"}
"""Optional package -> the extra of photfeh that installs it."""


def has_package(name: str) -> bool:
    """Whether a package can be imported; it is not loaded."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # hidden by a finder, or marked as absent in sys.modules
        return False


@contextmanager
def needing(what: str) -> Iterator[None]:
    """Turn the failed import of an optional package, within the block, into one error that says how to get it.

    Raises
    ------
    MissingPackage
        names ``what`` was asked for, the package, and the extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise MissingPackage(what, package, EXTRAS[package]) from None


def versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
