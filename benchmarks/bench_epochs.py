"""How the error grows when epochs are taken away: well-observed Gaia DR3 stars, thinned at random.

    python benchmarks/bench_epochs.py        (after make pretrained, whose runs/ it needs)

Stars with more than 50 epochs and a label error from the curve below 0.1 dex keep their label, made from all epochs,
and lose epochs; period and type stay. Each is predicted by the one member of `gaia-dr3-relation` that was trained
without it; beside stands the rmse of its parts alone: the three circular networks, which were the whole model before,
and the InceptionTime.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd

from photfeh.core.lightcurves import LightCurves
from photfeh.inference.ensemble import Ensemble
from photfeh.models.two_views import CircularInception
from photfeh.readers import read_lightcurves
from photfeh.samples.dataset import Dataset
from photfeh.samples.measure import measure
from photfeh.samples.sequences import PairedSequences, build_sequences
from photfeh.validation.metrics import score
from photfeh.validation.splits import make_splits

LEVELS = (12, 16, 20, 25, 30, 40, 50)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    dataset = Dataset.open(options.runs / "gaia-pretraining")
    ensemble = Ensemble.load(options.runs / "gaia-dr3-relation-model")
    stars = dataset.stars.iloc[dataset.sample].reset_index(drop=True)
    fold = np.empty(len(stars), int)
    for split in make_splits(stars["feh"].to_numpy(), n_folds=len(ensemble.members), seed=0):
        fold[split.score] = split.fold
    rich = ((stars["n_epochs"] > 50) & ((stars["type"] == "RRab") | (stars["r21"] < 0.3))).to_numpy()
    stars, fold = stars[rich].reset_index(drop=True), fold[rich]
    curves = read_lightcurves(options.data / "gaia-dr3" / "epoch_photometry.parquet")
    curves = curves.reindex(stars["source_id"].to_numpy())
    known = stars[["source_id", "period", "type"]]
    print("| type | epochs | stars | rmse | mae | robust_sd | bias | circular alone | InceptionTime alone |")
    print("|---|---|---|---|---|---|---|---|---|")
    for level in (*LEVELS, None):
        measured = measure(curves if level is None else thinned(curves, level), known)
        X = build_sequences(measured, ensemble.representation)
        made = np.full((3, len(stars)), np.nan)
        for number, member in enumerate(ensemble.members):
            made[:, fold == number] = said(member, X[fold == number])
        for kind in ("RRab", "RRc"):
            here = (stars["type"] == kind).to_numpy()
            report(stars[here], made[:, here], "all" if level is None else str(level))


def said(member: CircularInception, X: PairedSequences) -> np.ndarray:
    """What one member says, and what its circular networks and its InceptionTime say alone, (3, N)."""
    alone = [part.predict(X.own) for part in member.circular_]
    return np.stack([member.predict(X), np.mean(alone, axis=0), member.inception_[0].predict(X.beside)])


def thinned(curves: LightCurves, level: int) -> LightCurves:
    """``level`` points of every star, drawn without replacement."""
    draw = np.random.default_rng(level).random(len(curves.time))
    order = np.lexsort((draw, curves.star_index))
    rank = np.empty(len(draw), int)
    rank[order] = np.arange(len(draw)) - curves.offsets[curves.star_index[order]]
    return curves.select_points(rank < level)


def report(stars: pd.DataFrame, made: np.ndarray, level: str) -> None:
    values, *parts = (score(stars["feh"], one) for one in made)
    cells = [values[name] for name in ("rmse", "mae", "robust_sd", "bias")] + [part["rmse"] for part in parts]
    row = " | ".join(f"{cell:.3f}" for cell in cells)
    print(f"| {stars['type'].iloc[0]} | {level} | {values['n']} | {row} |", flush=True)


if __name__ == "__main__":
    main()
