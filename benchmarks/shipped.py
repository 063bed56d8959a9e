"""The shipped models out of fold, every star by the member that has not seen it; RRab beside the published network.

    make shipped             (needs the sets of docs/data.md under $PHOTFEH_DATA; some minutes)

What the intervals hold is written on the cards, too.

The mean of all members, which is what users get, cannot be scored on these stars: each taught all members but one.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from photfeh.inference.calibration import cross_coverage
from photfeh.inference.ensemble import Ensemble
from photfeh.validation.fitting import Labelled
from photfeh.validation.metrics import score
from photfeh.validation.pairs import beside_external
from pretrain import PRETRAINED, RECIPES, Recipe, card, dataset_of
from real_data import markdown

PUBLISHED = "feh_dekany_grebel_2022"
DEFAULT = "dekany-i-band"
SAME = 0.0005
"""Largest difference of rmse [dex] that rounding the weights of networks may make."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--models", default=",".join(recipe.name for recipe in RECIPES))
    options = parser.parse_args()
    for recipe in (recipe for recipe in RECIPES if recipe.name in options.models.split(",")):
        print(f"\n### `{recipe.name}`: {recipe.prepare['truth']}\n")
        ensemble = Ensemble.load(PRETRAINED / recipe.name)
        scored, coverage = out_of_fold(ensemble, recipe, Path(options.data), options.runs)
        note(ensemble, recipe, coverage)
        if recipe.name == DEFAULT:
            print(
                "Beside the published predictions (external), with the 95 % interval of the ratio of rmse over stars:\n"
            )
            print(markdown(beside_published(scored, Path(options.data) / recipe.epochs)))
        else:
            found = score(scored["feh_true"], scored["feh_pred"])
            print(markdown(pd.DataFrame([{name: found[name] for name in ("n", "bias", "rmse", "mae", "robust_sd")}])))
        print(f"\nIntervals calibrated on the other folds:\n\n{markdown(coverage)}")


def beside_published(scored: pd.DataFrame, table: Path) -> pd.DataFrame:
    """Our scores and theirs on the same stars, the folds on which the models were developed apart."""
    known = pd.read_parquet(table, columns=["source_id", "fold", PUBLISHED]).set_index("source_id")
    fold = known["fold"].reindex(scored["source_id"]).to_numpy()
    groups = {
        "all": np.ones(len(scored), bool), "published folds 0, 1 (developed on)": fold < 2, "the other eight": fold >= 2
    }  # fmt: skip
    columns = ["n", "bias", "rmse", "external_rmse", "ratio", "ratio_low", "ratio_high", "mae", "external_mae"]
    rows = []
    for name, members in groups.items():
        found = beside_external(scored[members], known[PUBLISHED], "published")[columns].iloc[0]
        rows.append({"stars": name, **found, "mae_ratio": found["mae"] / found["external_mae"]})
    return pd.DataFrame(rows).astype({"n": int})


def note(ensemble: Ensemble, recipe: Recipe, coverage: pd.DataFrame) -> None:
    """Write down in the model folder, and on its card, what the intervals of its members hold."""
    ensemble = replace(ensemble, notes=ensemble.notes | {"coverage": coverage.to_dict("records"), "verified": False})
    ensemble.save(PRETRAINED / recipe.name)
    card(ensemble, recipe)


def out_of_fold(ensemble: Ensemble, recipe: Recipe, data: Path, runs: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions as a table of scores, and the coverage of their intervals."""
    dataset = dataset_of(recipe, data, runs / f"shipped-{recipe.name}")
    known = Labelled.of(dataset, ensemble.representation.name)
    mean, sigma, fold = (np.full(len(known.feh), np.nan) for _ in range(3))
    for member, split in zip(ensemble.members, known.splits(len(ensemble.members), 0), strict=True):
        mean[split.score], sigma[split.score] = member.predict_dist(known.sequences[split.score])
        fold[split.score] = split.fold
    own = np.flatnonzero(~known.only_train)
    X, feh, mean, sigma, fold = known.sequences[own], known.feh[own], mean[own], sigma[own], fold[own]
    noted, found = ensemble.notes["out_of_fold"], score(feh, mean)
    if noted["n"] != found["n"] or abs(noted["rmse"] - found["rmse"]) > SAME:
        raise SystemExit(f"{recipe.name} was trained on other stars or folds: {noted} in training, {found} now.")
    table = {"model": recipe.name, "representation": "raw", "source_id": X.source_id, "feh_true": feh, "feh_pred": mean}
    return pd.DataFrame(table), cross_coverage(X, mean - feh, sigma, fold.astype(int), feh=feh)


if __name__ == "__main__":
    main()
