"""The founding experiment at its full size, on simulated stars: the tables of docs/founding.md.

    make founding            (resumable: runs/founding keeps every fit; about a day on two cores)
    python benchmarks/founding.py --device cuda --budget auto --jobs 5      (where there is a GPU)
    python benchmarks/founding.py --stars 120 --budget 2                    (a try)

Monti & Muraveva 2024: 6,696 RRab with more than 50 epochs, an error of phi31 below 0.10 rad, a peak-to-peak amplitude
below 1.4 mag and a label error below 0.4 dex; sequences [6696, 264, 2] by SciPy's unweighted smoothing spline; labels
by the relation of Muraveva+ 2025 on the very curve; eleven models on three data sets, stratified 5-fold, the founding
sample weights. Here the stars are simulated, so the published columns beside ours are of other stars: they show whether
the picture is the same, not who is better. Nested: stop on the tune part. Paper: stop on the scored fold, as they did.

Networks take steps of 256 stars, as the founding ones did. Epochs are sized for two cores (``--budget`` takes their
place); every table of a shorter run says so. Several processes may share the work, on one GPU, too: give each other
``--models`` and ``--steps fit``, and make the tables afterwards.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import photfeh as pf
from bench_recurrent import processor
from laboratory import by_model, finished_in
from photfeh.core.errors import BadFile
from photfeh.core.fingerprint import fingerprint
from photfeh.core.lightcurves import LightCurves
from photfeh.models.network import Network
from photfeh.models.registry import MODELS
from photfeh.report import write_comparison
from photfeh.samples.dataset import Dataset
from photfeh.samples.measure import measure
from photfeh.samples.preparation import prepare
from photfeh.samples.selection import CUT_SETS, add_labels, apply_cuts
from photfeh.samples.sequences import REPRESENTATIONS
from photfeh.simulation.survey import iter_simulate
from photfeh.validation.run import Run
from real_data import markdown

STARS = 6_696
FOUNDING_BATCH = 256
METRICS = ("r2", "wrmse", "wmae", "rmse", "mae")
SEQUENCE = {"inputs": "sequence"}  # the founding forest and SVR read the flattened series
EPOCHS = dict.fromkeys(("gru", "bigru", "lstm", "bilstm"), 250) | {
    "fcn": 100, "resnet": 20, "inceptiontime": 20, "convgru": 20, "convlstm": 20,
}  # fmt: skip
"""What two cores can do in about a day, by estimate from the cost of an epoch of each on fewer stars."""
MODEL_NAMES = ("random-forest", "svr", *EPOCHS)
_ORDER = ("lstm", "bilstm", "gru", "bigru", "convlstm", "convgru", "fcn", "inceptiontime", "resnet")
_SPLINE = """
.9353 .9306 .942 .9375 .947 .9449 .9472 .9451 .9485 .9357 .9433 .9391 .9402 .9388 .9546 .9442 .9507 .9388
.0798 .0827 .0755 .0784 .0723 .0738 .0721 .0735 .0712 .0798 .0747 .0793 .0787 .0788 .0699 .0742 .0697 .0778
.0605 .062 .0568 .0564 .0545 .0551 .0534 .0544 .0539 .0595 .057 .0597 .0571 .058 .0505 .0554 .0524 .0578
.0803 .0831 .078 .0788 .0727 .074 .0724 .0739 .0716 .08 .0751 .0791 .077 .0781 .0672 .0745 .07 .0779
.0609 .0624 .0572 .0583 .0548 .0554 .0537 .0547 .0543 .0599 .0573 .06 .0574 .0583 .0508 .0556 .0526 .0579
"""
_RAW_SPLINE = """
.9303 .9275 .9328 .932 .9396 .936 .942 .9375 .9367 .9336 .9372 .9306
.0828 .0845 .0813 .0818 .0771 .0794 .0755 .0784 .079 .0888 .0788 .0827
.0612 .0622 .0601 .0604 .0564 .0577 .0568 .0564 .0568 .0637 .0583 .0606
.0833 .085 .0818 .0822 .0776 .0796 .076 .0788 .0795 .0872 .0792 .0833
.0616 .0626 .0605 .0607 .0568 .058 .0572 .0588 .0591 .0641 .0583 .0614
"""
PUBLISHED = {"spline": _SPLINE, "raw-spline": _RAW_SPLINE}
"""Training and validation of each model in the order of _ORDER; rows r2, wrmse, wmae, rmse, mae. The table without
spline is shifted in the source, with two models that failed and one that diverged, and cannot be assigned. The r2 of
the GRU on `spline` is .9496 in one table of the source and .9449 in two; its rmse, .0740 beside .0739 of the BiGRU with
.9451, says .9449."""
CLASSIFICA = {
    "spline": "bigru, gru, inceptiontime, bilstm, resnet, fcn, convgru, convlstm, lstm",
    "raw-spline": "resnet, gru, bigru, inceptiontime, bilstm, convgru, lstm, fcn, convlstm",
    "raw": "gru, bilstm, lstm, inceptiontime, resnet, convgru, fcn, convlstm, bigru",
}
"""The published ranking."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--stars", type=int, default=STARS)
    parser.add_argument("--models", default=",".join(MODEL_NAMES))
    parser.add_argument("--representations", default=",".join(REPRESENTATIONS))
    parser.add_argument("--protocols", default="nested,paper")
    parser.add_argument("--weighting", default="founding")
    parser.add_argument("--budget", help="auto, quick, or epochs; default: what two cores can do in a day")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--steps", default="fit,tables")
    options = parser.parse_args()
    folder = options.runs / (f"founding-{options.stars}" if options.stars != STARS else "founding")
    dataset = founding_stars(folder / f"dataset-{fingerprint(options.stars)[:8]}", options.stars)
    steps = options.steps.split(",")
    for protocol in options.protocols.split(",") if "fit" in steps else []:
        fit(dataset, folder, protocol, options)
    if "tables" in steps:
        tables(dataset, folder, options)


def founding_stars(folder: Path, n_stars: int) -> Dataset:
    """Exactly so many simulated RRab that pass the founding cuts, as sequences of the founding kind.

    The folder is named by their number and the version of the numerics; it is made anew only where it is not there.
    """
    try:
        return Dataset.open(folder)
    except BadFile:
        pass
    curves: list[LightCurves] = []
    stars: list[pd.DataFrame] = []
    for part in iter_simulate(100 * n_stars, chunk=4_000, seed=2024, rrc_fraction=0.0):
        many = np.asarray(part.curves.n_epochs) > 50
        known = part.stars[many][["source_id", "period", "type"]].reset_index(drop=True)
        chosen = part.curves[many]
        table = add_labels(measure(chosen, known).table, "relation")
        keep, _ = apply_cuts(table, CUT_SETS["founding"], ("RRab",))
        curves.append(chosen[keep])
        stars.append(known[keep])
        if sum(map(len, stars)) >= n_stars:
            break
    table = pd.concat(stars, ignore_index=True)[:n_stars]
    return prepare(
        LightCurves.concatenate(curves)[:n_stars], table, folder, labels="relation", cuts="founding",
        smoother="founding", alignment="maximum", n_points=264, truth="same-curve formula",
    )  # fmt: skip


def fit(dataset: Dataset, folder: Path, protocol: Any, options: argparse.Namespace) -> None:
    """A run for each model on each data set under one protocol."""

    def report(what: str, done: int, total: int) -> None:
        print(f"{protocol}: {done}/{total} {what}", file=sys.stderr, flush=True)

    budget = int(options.budget) if options.budget and options.budget.isdigit() else options.budget
    for kind in options.representations.split(","):
        for name in options.models.split(","):
            pf.validate(
                dataset, folder / run_name(protocol, options) / f"{name}-{kind}", models=[name],
                representations=[kind], folds=5, protocol=protocol, weighting=options.weighting,
                params={name: parameters(name, options)}, budget=budget, jobs=options.jobs, progress=report,
            )  # fmt: skip


def run_name(protocol: str, options: argparse.Namespace) -> str:
    """One folder of runs for each way to train."""
    return "-".join([protocol, options.weighting, *([options.budget] if options.budget else [])])


def parameters(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What of a model is not as in the registry."""
    if not issubclass(MODELS[name].model_class(), Network):
        # the grid of the SVR is of no use on 529 inputs of 5,000 stars: a day would go on it alone
        return SEQUENCE | ({"C": 8.0, "gamma": 0.3} if name == "svr" else {})
    found: dict[str, Any] = {"device": options.device, "batch_size": FOUNDING_BATCH}
    return found if options.budget else found | {"epochs": EPOCHS[name], "patience": EPOCHS[name]}


def tables(dataset: Dataset, folder: Path, options: argparse.Namespace) -> None:
    """Print what the finished runs say, the published columns beside."""
    runs = {protocol: finished_in(folder / run_name(protocol, options)) for protocol in options.protocols.split(",")}
    (found,) = pf.compare([run for several in runs.values() for run in several], datasets=[dataset])
    length = f"budget {options.budget}" if options.budget else "epochs sized for two cores, not converged"
    print(f"\n{found.n_stars} simulated RRab, {found.n_folds} folds, weights `{options.weighting}`, {length}.")
    for protocol, founding in ((found.protocol, found.founding), ("paper", found.founding_paper)):
        for kind, table in founding.items():
            both = beside_published(by_model(table), kind)
            for part, prefix in (("validation", ""), ("training", "training ")):
                columns = [f"{whose}{prefix}{metric}" for whose in ("", "published ") for metric in METRICS]
                shown = both[["rank", "model", *(name for name in columns if name in both)]]
                shown = shown.rename(columns=lambda name, prefix=prefix: name.replace(prefix, "") if prefix else name)
                print(f"\n`{kind}`, protocol {protocol}, {part}:\n\n{markdown(shown)}")
            ranked = [name for name in table.loc["rank"].dropna().index.get_level_values(0)]
            print(f"\nCLASSIFICA: {', '.join(ranked)}; published: {CLASSIFICA[kind]}.")
    failed = ", ".join(sorted({f"{row.model} on {row.representation}" for row in found.failures.itertuples()}))
    print(f"\nFits that failed or diverged: {failed or 'none'}.")
    seconds = {
        name: sum(Run.open(run).timings["fit_seconds"].sum() for run in several) for name, several in runs.items()
    }
    print("\nProcess hours of the fits: " + ", ".join(f"{name} {value / 3600:.2f}" for name, value in seconds.items()))
    print(f"{processor()}, {os.cpu_count()} threads, {options.jobs} fits side by side; photfeh {pf.__version__}")
    write_comparison([found], folder / "report")


def published(kind: str) -> pd.DataFrame:
    """The published table of a data set: models in rows; columns of validation and of training."""
    rows = [line.split() for line in PUBLISHED.get(kind, "").split("\n") if line.strip()]
    found = {}
    for place, name in enumerate(_ORDER):
        if rows and 2 * place + 1 < len(rows[0]):
            found[name] = {
                f"published {metric}": float(row[2 * place + 1]) for metric, row in zip(METRICS, rows, strict=True)
            } | {
                f"published training {metric}": float(row[2 * place]) for metric, row in zip(METRICS, rows, strict=True)
            }
    return pd.DataFrame(found).T


def beside_published(ours: pd.DataFrame, kind: str) -> pd.DataFrame:
    theirs = published(kind)
    if theirs.empty:
        return ours
    return ours.merge(theirs, left_on="model", right_index=True, how="left").astype(object).fillna("")


if __name__ == "__main__":
    main()
