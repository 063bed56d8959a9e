"""Predictions chunk by chunk, finished ones from the disk."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator

import pandas as pd

from photfeh.core.cache import Key, Parts
from photfeh.core.errors import PhotfehWarning
from photfeh.core.fingerprint import fingerprint
from photfeh.inference.predictor import Predictor
from photfeh.inference.streaming import Piece
from photfeh.readers.stream import Chunk
from photfeh.samples.periods import Periods, check_period_setting

__all__ = ["predicted_pieces"]


def predicted_pieces(
    predictor: Predictor,
    chunks: Iterable[Chunk],
    total: int,
    parts: Parts | None,
    progress: Callable[[int, int], None] | None,
    *,
    adapt: bool,
    periods: Periods,
    any_band: bool,
    full: bool,
    scale: str | None,
) -> Iterator[Piece]:
    """Chunk by chunk the rows in the star table, the predictions, and the part that holds them on the disk.

    Finished chunks are taken from ``parts``.
    """
    keys, done, made = [], 0, 0
    digest = ""
    for number, chunk in enumerate(chunks):
        check_period_setting(chunk.curves, chunk.stars, periods)
        if number == 0 and not chunk.observed:
            warnings.warn(
                "not one identifier of the star table occurs in the light curves. Check that both name the same stars, "
                "or say which column holds the identifiers (id_column, --id-column).",
                PhotfehWarning,
                stacklevel=3,
            )
        measured = None
        if adapt and number == 0:
            measured = predictor.measured(chunk.curves, chunk.stars, periods=periods)
            predictor = predictor.adapted_to(measured, any_band=any_band)
        digest = digest or predictor.fingerprint()
        key = Key("chunk", fingerprint(digest, periods, any_band, full, scale, chunk.stars, chunk.curves))
        found = None if parts is None else parts.find(key)
        if found is not None:
            table = pd.read_parquet(found / "predictions.parquet")
        else:
            measured = measured or predictor.measured(chunk.curves, chunk.stars, periods=periods)
            table = predictor.predict_measured(measured, full=full, scale=scale)
            made += 1
            if parts is not None:
                with parts.writing(key) as here:
                    table.to_parquet(here / "predictions.parquet")
        keys.append(key)
        yield chunk.rows, table, None if parts is None else parts.folder / key.name / "predictions.parquet"
        done += len(chunk)
        if progress is not None:
            progress(done, total)
    if parts is not None:
        parts.finish(keys, made)
