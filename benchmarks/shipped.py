"""The shipped RRab model beside the published network: every star by the member that has not seen it.

    make shipped             (needs the sets of docs/data.md under $PHOTFEH_DATA; a minute)

The mean of the five members, which is what users get, cannot be scored on these stars: each of them taught four.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd

from label_tables import fundamental_i_band, spectroscopic_ids
from photfeh.inference.calibration import cross_coverage
from photfeh.inference.ensemble import Ensemble
from photfeh.validation.fitting import Labelled
from photfeh.validation.pairs import beside_external
from pretrain import PRETRAINED, RECIPES
from real_data import markdown, opened

NAME, PUBLISHED = "dekany-i-band", "feh_dekany_grebel_2022"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    data, recipe = Path(options.data), next(recipe for recipe in RECIPES if recipe.name == NAME)
    dataset = opened(
        options.runs / "shipped-dataset", data / recipe.epochs, fundamental_i_band(data),
        exclude=spectroscopic_ids(data), representations=("raw",), **recipe.prepare,
    )  # fmt: skip
    scored, coverage = out_of_fold(Ensemble.load(PRETRAINED / NAME), Labelled.of(dataset, "raw"))
    known = pd.read_parquet(data / recipe.epochs, columns=["source_id", "fold", PUBLISHED]).set_index("source_id")
    fold = known["fold"].reindex(scored["source_id"]).to_numpy()
    groups = {
        "all": np.ones(len(scored), bool), "published folds 0, 1 (developed on)": fold < 2, "the other eight": fold >= 2
    }  # fmt: skip
    columns = ["n", "bias", "rmse", "external_rmse", "ratio", "ratio_low", "ratio_high", "mae", "external_mae"]
    rows = []
    for name, members in groups.items():
        found = beside_external(scored[members], known[PUBLISHED], "published")[columns].iloc[0]
        rows.append({"stars": name, **found, "mae_ratio": found["mae"] / found["external_mae"]})
    print("Beside the published predictions (external), with the 95 % interval of the ratio of rmse over stars:\n")
    print(markdown(pd.DataFrame(rows).astype({"n": int})))
    print(f"\nIntervals calibrated on the other folds:\n\n{markdown(coverage)}")


def out_of_fold(ensemble: Ensemble, data: Labelled) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions as a table of scores, and the coverage of their intervals."""
    mean, sigma, fold = (np.full(len(data.feh), np.nan) for _ in range(3))
    for member, split in zip(ensemble.members, data.splits(len(ensemble.members), 0), strict=True):
        mean[split.score], sigma[split.score] = member.predict_dist(data.sequences[split.score])
        fold[split.score] = split.fold
    own = np.flatnonzero(~data.only_train)
    X, feh, mean, sigma, fold = data.sequences[own], data.feh[own], mean[own], sigma[own], fold[own]
    table = {"model": NAME, "representation": "raw", "source_id": X.source_id, "feh_true": feh, "feh_pred": mean}
    return pd.DataFrame(table), cross_coverage(X, mean - feh, sigma, fold.astype(int))


if __name__ == "__main__":
    main()
