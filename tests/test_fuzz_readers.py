"""Damaged bytes in every format: one of our errors or a table; no other exception, no hang, memory bounded."""

from __future__ import annotations

import gzip
import random
import resource
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from photfeh.core.errors import PhotfehError
from photfeh.readers import read_lightcurves, read_stars, read_tables, stars_from_epochs
from test_inputs import as_bytes, zipped
from test_text_tables import CURVE_NAMES, CURVES, DIALECTS, STAR_NAMES, STARS

_MOST_SECONDS = 10.0
_MOST_MEMORY = 1_500_000  # kB that one damaged file of some kB may add


def curves(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "source_id": np.repeat(np.arange(n // 20) + 2**62, 20),
            "band": ["G"] * n,
            "time": rng.uniform(1700, 2700, n),
            "mag": rng.normal(16, 0.3, n),
            "mag_error": rng.uniform(0.001, 0.01, n),
        }
    )


def lists() -> pd.DataFrame:
    return curves().drop(columns="band").groupby("source_id").agg(list).reset_index()


def seeds() -> dict[str, bytes]:
    """Small sound files of every kind, under the name by which they are read."""
    found = {
        f"{kind}.{kind}": as_bytes(curves(), kind) for kind in ("csv", "ecsv", "vot", "fits", "parquet", "feather")
    }
    found |= {f"lists.{kind}": as_bytes(lists(), kind) for kind in ("parquet", "feather", "csv")}
    found |= {"a.csv.gz": gzip.compress(found["csv.csv"]), "a.zip": zipped(found["vot.vot"])}
    for name, dialect in DIALECTS.items():
        for what, text in (("curves", dialect(CURVE_NAMES, CURVES)), ("stars", dialect(STAR_NAMES, STARS))):
            found[f"{what} {name}.txt"] = text if isinstance(text, bytes) else text.encode()
    return found


SEEDS = seeds()


def damage(data: bytes, draw: random.Random) -> bytes:
    """Some bytes flipped, a piece cut out, doubled or set to one value, or the end cut off."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 3, 20))):
        kind, place = draw.randrange(6), draw.randrange(max(len(changed), 1))
        piece = slice(place, place + draw.choice((1, 4, 30, 300)))
        if kind <= 1:
            changed[place : place + 1] = bytes([draw.randrange(256)])
        elif kind == 2:
            changed[place : place + 1] = draw.choice((b"\0", b"\xff", b"\n", b'"', b",", b"<", b"9", b"#", b"-"))
        elif kind == 3:
            del changed[piece]
        elif kind == 4:
            changed[place:place] = changed[piece]
        elif draw.random() < 0.2:
            del changed[place:]
    return bytes(changed)


def try_all(path: Path) -> int:
    """How many of the readers gave something; anything but our own errors is a failure."""
    given = 0
    started = time.perf_counter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for read in (read_tables, read_lightcurves, read_stars, stars_from_epochs):
            try:
                read(path)
                given += 1
            except PhotfehError as error:
                if "\n" in str(error):
                    raise
    assert time.perf_counter() - started < _MOST_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < _MOST_MEMORY
    return given


def fuzz(name: str, folder: Path, first: int, times: int) -> None:
    path = folder / name
    for seed in range(first, first + times):
        path.write_bytes(damage(SEEDS[name], random.Random(f"{name} {seed}")))
        try:
            try_all(path)
        except BaseException as error:
            error.add_note(f"seed {seed} of {name}: {path.read_bytes()[:300]!r}")
            raise


@pytest.mark.parametrize("name", SEEDS)
def test_damaged_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(SEEDS[name])
    assert try_all(path) >= 2
    fuzz(name, tmp_path, 0, 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_damaged_files_at_length(name: str, tmp_path: Path) -> None:
    fuzz(name, tmp_path, 1000, 300)
