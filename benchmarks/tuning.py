"""Default against tuned parameters, the search within each fold: what tuning is worth, and what it costs.

    make tuning              (needs the sets of docs/data.md under $PHOTFEH_DATA; resumable)

Every model is cross-validated with the parameters of the registry and with those that a search within the training
stars of each fold has chosen: the scored stars took no part in the choice. The defaults of the registry are to change
only where the gain is real on all sets. Networks get the same epochs with both.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

import photfeh as pf
from bench_recurrent import processor
from laboratory import SETS
from photfeh.validation.pairs import squared_errors, tuned_table
from real_data import markdown

REPRESENTATION = {"gradient-boosting": "spline", "gru": "spline", "circular": "raw"}
HELD = {"gradient-boosting": {"n_folds": 2}, "gru": {"epochs": 200}, "circular": {"epochs": 80}}
"""What is the same for both: epochs, and how often boosting is fitted again only to tell its sigma."""
TRIALS = 10
PLAN = {"gaia-founding": tuple(REPRESENTATION)}
"""What two cores tune in an hour; --everywhere for all models on all sets."""
_SHOWN = ["model", "representation", "n", "other_rmse", "rmse", "ratio", "ratio_low", "ratio_high", "p", "p_holm"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--everywhere", action="store_true", help="every model on every set: days on two cores")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    for one in SETS:
        names = tuple(REPRESENTATION) if options.everywhere else PLAN.get(one.name, ())
        if names:
            dataset = one.dataset(Path(options.data), options.runs)
            found = [beside_default(dataset, one, name, options) for name in names]
            print(f"\n{one.title}, {options.folds} folds, {TRIALS} trials within each:\n")
            print(markdown(pd.concat(found, ignore_index=True)))
    print(f"\n{processor()}, {os.cpu_count()} threads, {options.jobs} fits side by side; photfeh {pf.__version__}")


def beside_default(dataset: pf.Dataset, one: object, name: str, options: argparse.Namespace) -> pd.DataFrame:
    """Tuned over default, and what the search cost."""

    def report(what: str, done: int, total: int) -> None:
        print(f"{name}: {done}/{total} {what}", file=sys.stderr, flush=True)

    run = pf.validate(
        dataset, options.runs / "tuning" / f"{one.name}-{name}", models=[name],
        representations=[REPRESENTATION[name]], folds=options.folds, weighting="uniform", tune=TRIALS,
        params={name: HELD[name]}, jobs=options.jobs, progress=report,
    )  # fmt: skip
    print(f"\n{run.tuned.to_string(index=False)}")
    table = tuned_table(squared_errors(run.out_of_fold))[_SHOWN]
    table = table.rename(columns={"other_rmse": "default rmse", "rmse": "tuned rmse"})
    return table.assign(cpu_minutes=float(run.tuned["cpu_minutes"].sum()))


if __name__ == "__main__":
    main()
