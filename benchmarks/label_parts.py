"""Learning the Fourier parameters that make up a label instead of their sum: a table of docs/experiments.md.

    make experiments         (needs the sets of docs/data.md under $PHOTFEH_DATA; some minutes)

Labels from the I band are linear in period, phi31 and amplitudes of the I-band curve. *Sum*: a model learns the label,
as those that ship do. *Parts*: one model for each of phi31 and the amplitudes, with the same curves, parameters and
folds; what they say is put together by the formula. Its coefficients are those of a fit to the training labels, and
each part is given to its model in dex, as what it contributes to [Fe/H].
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from joint_labels import DEKANY, GAIA, Source, source
from label_tables import overtone_i_band
from photfeh.core.types import FloatArray
from photfeh.models.circular import Circular
from photfeh.models.deconvolution import ExtremeDeconvolution
from photfeh.readers import read_stars
from photfeh.samples.sequences import Sequences
from photfeh.validation.pairs import beside_external
from photfeh.validation.splits import make_splits
from real_data import markdown

TURN = 2 * np.pi


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    rows = []
    for title, stars, parts in sets(Path(options.data), options.runs / "joint"):
        for model in ("extreme-deconvolution", "circular"):
            rows.append({"labels": title, "model": model} | compared(model, stars, parts))
    print(markdown(pd.DataFrame(rows)))


def sets(data: Path, runs: Path) -> Iterator[tuple[str, Source, FloatArray]]:
    """Title, curves with labels, and the parts of the labels, (N, 2 or 3): phi31 [rad] first, amplitudes [mag]."""
    folder = data / "ogle-i-band"
    known = pd.read_parquet(folder / "dekany_grebel_rrab.parquet")
    curves = pd.read_parquet(data / DEKANY, columns=["source_id", "period"]).merge(known, on="source_id")
    table = read_stars(curves.rename(columns={"feh_i": "feh"}).assign(type="RRab"))
    yield "RRab", *_with_parts(source(runs / "refitted", data / DEKANY, table, 0.05), known, ["phi31_i", "a2_i"])
    known = pd.read_parquet(folder / "gaia_dr3_rrc.parquet")
    stars = source(runs / "i-band-rrc", data / GAIA, overtone_i_band(data), 0.1, types=("RRc",))
    yield "RRc", *_with_parts(stars, known, ["phi31_i", "a1_i", "a2_i"])


def _with_parts(stars: Source, known: pd.DataFrame, names: list[str]) -> tuple[Source, FloatArray]:
    parts = known.set_index("source_id").loc[stars.X.source_id, names].to_numpy(float, copy=True)
    middle = np.angle(np.exp(1j * parts[:, 0]).mean())
    parts[:, 0] = middle + np.mod(parts[:, 0] - middle + TURN / 2, TURN) - TURN / 2
    return stars, parts


def compared(name: str, stars: Source, parts: FloatArray) -> dict[str, float]:
    """Both ways, out of fold, on the same five folds."""
    whole, summed = (np.empty(len(stars.feh)) for _ in range(2))
    for split in make_splits(stars.feh, n_folds=5, seed=0):
        score = split.score
        train = np.setdiff1d(np.arange(len(stars.feh)), score)
        whole[score] = learnt(name, stars.rows(train), stars.feh[train], stars.X[score])
        design = np.column_stack([np.ones(len(parts)), stars.X.feature("period"), parts])
        slopes = np.linalg.lstsq(design[train], stars.feh[train], rcond=None)[0]
        summed[score] = design[score, :2] @ slopes[:2]
        for part, slope in zip(parts.T, slopes[2:], strict=True):
            level = stars.feh[train].mean() - slope * part[train].mean()  # models start near the mean of [Fe/H]
            summed[score] += learnt(name, stars.rows(train), level + slope * part[train], stars.X[score]) - level
    plain = pd.Series(whole, index=stars.X.source_id)
    table = pd.DataFrame({"source_id": stars.X.source_id, "feh_true": stars.feh, "feh_pred": summed})
    found = beside_external(table.assign(model=name, representation="raw"), plain, "sum").iloc[0]
    return {
        "n": found["n"], "sum rmse": found["external_rmse"], "parts rmse": found["rmse"],
        "ratio": found["ratio"], "ratio_low": found["ratio_low"], "ratio_high": found["ratio_high"],
    }  # fmt: skip


def learnt(name: str, train: Source, target: FloatArray, X: Sequences) -> FloatArray:
    """What one model, taught the targets, says of other curves."""
    if name == "circular":
        return np.asarray(Circular().fit(train.X, target).predict(X))
    model = ExtremeDeconvolution()
    model.label_error = train.error
    return np.asarray(model.fit(train.X, target).predict(X))


if __name__ == "__main__":
    main()
