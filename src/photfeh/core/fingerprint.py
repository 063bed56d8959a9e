"""Names for results: a digest of everything that made them, by content."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

__all__ = ["NUMERICS", "Fingerprinted", "fingerprint"]

NUMERICS = 3
"""Part of every fingerprint. Raise it when measurement, representations or models give other numbers than before:
everything that an older version left unfinished or cached is then made again."""


@runtime_checkable
class Fingerprinted(Protocol):
    """An object that says what it is made of."""

    def fingerprint(self) -> str:
        """Digest of its content."""


def fingerprint(*things: object) -> str:
    """Hexadecimal SHA-256 over :data:`NUMERICS` and the content of these things, equal only if all of it is equal.

    Taken are None, numbers, text, bytes, paths (as text), NumPy arrays and scalars, DataFrames and Series (names,
    types, values; not the index), mappings (in any order), sequences, sets, dataclasses (class and fields) and whatever
    has a ``fingerprint`` method. ``1``, ``1.0``, ``"1"`` and ``True`` are four different things; NaN equals NaN.

    Raises
    ------
    TypeError
        for anything else: an object whose content is not known must not name a result.
    """
    digest = hashlib.sha256()
    _feed(digest, ("photfeh", NUMERICS, *things))
    return digest.hexdigest()


def _feed(digest: Any, thing: object) -> None:
    """Add a thing with its kind and length, so that no two structures give one stream of bytes."""
    match thing:
        case None:
            digest.update(b"none;")
        case bool() | np.bool_():
            digest.update(b"bool:1;" if thing else b"bool:0;")
        case int() | np.integer():
            _bytes(digest, b"int", str(int(thing)).encode())
        case float() | np.floating():
            value = float(thing)
            _bytes(digest, b"float", struct.pack("<d", value if value == value else np.nan))
        case str():
            _bytes(digest, b"text", thing.encode("utf-8", "surrogatepass"))
        case Path():
            _bytes(digest, b"path", str(thing).encode("utf-8", "surrogatepass"))
        case bytes() | bytearray() | memoryview():
            _bytes(digest, b"bytes", bytes(thing))
        case np.ndarray():
            _array(digest, thing)
        case pd.DataFrame():
            _bytes(digest, b"table", str(thing.shape).encode())
            for position, name in enumerate(thing.columns):
                _feed(digest, str(name))
                _feed(digest, thing.iloc[:, position])
        case pd.Series():
            _series(digest, thing)
        case type():
            _bytes(digest, b"class", f"{thing.__module__}.{thing.__qualname__}".encode())
        case Fingerprinted():
            _bytes(digest, b"made", thing.fingerprint().encode())
        case Mapping():
            # a mapping with keys of several kinds cannot be sorted as it is
            rows = sorted((fingerprint(key), value) for key, value in thing.items()) if thing else []
            _sequence(digest, b"map", [item for row in rows for item in row])
        case list() | tuple():
            _sequence(digest, b"list", thing)
        case set() | frozenset():
            _sequence(digest, b"set", sorted(fingerprint(item) for item in thing))
        case _ if dataclasses.is_dataclass(thing):
            _feed(digest, type(thing))
            _feed(digest, {item.name: getattr(thing, item.name) for item in dataclasses.fields(thing)})
        case _:
            raise TypeError(f"no fingerprint of a {type(thing).__name__}: give it a fingerprint method.")


def _bytes(digest: Any, kind: bytes, content: bytes | memoryview) -> None:
    digest.update(kind + b":%d:" % len(content))
    digest.update(content)


def _sequence(digest: Any, kind: bytes, items: list[Any] | tuple[Any, ...]) -> None:
    digest.update(kind + b":%d:" % len(items))
    for item in items:
        _feed(digest, item)


def _array(digest: Any, array: np.ndarray[Any, Any]) -> None:
    if array.dtype.kind in "OUSV":
        _bytes(digest, b"objects", str(array.shape).encode())
        _sequence(digest, b"list", array.ravel().tolist())
        return
    _bytes(digest, b"array", f"{array.dtype.str}{array.shape}".encode())
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.size:
        _bytes(digest, b"raw", flat.view(np.uint8).data)


def _series(digest: Any, column: pd.Series) -> None:
    """Values with what is missing among them; text columns by their text."""
    kind = column.dtype
    if isinstance(kind, np.dtype) and kind.kind in "biufmM":
        _array(digest, column.to_numpy())
        return
    missing = column.isna().to_numpy(bool)
    _bytes(digest, b"column", str(kind).encode())
    _array(digest, missing)
    known = column[~missing]
    if pd.api.types.is_numeric_dtype(known.dtype):
        _array(digest, known.to_numpy())
        return
    values = known.tolist()
    if all(isinstance(value, str) for value in values):
        _bytes(
            digest, b"texts", "\0".join(f"{len(value)} {value}" for value in values).encode("utf-8", "surrogatepass")
        )
    else:
        _sequence(digest, b"list", values)
