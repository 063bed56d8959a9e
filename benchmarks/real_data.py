"""Cross-validation on real data; prints the first tables of docs/results.md.

    make real-data           (needs the sets of docs/data.md under $PHOTFEH_DATA; resumable, runs/ keeps everything)

Three kinds of truth are reported apart: (a) labels by a formula of the same curve, (b) labels from another passband;
(c), spectroscopy, has a script of its own (benchmarks/spectroscopy.py).
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import photfeh as pf
from photfeh.demonstration import report_run
from photfeh.inference.calibration import cross_coverage
from photfeh.report.figures import predictions as figures
from photfeh.samples.dataset import Dataset
from photfeh.samples.preparation import prepare
from photfeh.validation.metrics import score
from photfeh.validation.pairs import beside_external
from photfeh.validation.run import Run

CLASSICAL = ("ridge-fourier", "svr", "random-forest", "gradient-boosting", "relation")
MODELS = (*CLASSICAL, "circular", "circular-ensemble", "extreme-deconvolution", "blend")
# raw epochs for all: the feature-based models read the same Fourier features beside any representation
HOW = {"representations": ("raw",), "weighting": "uniform"}
USUAL = (-2.8, 0.1)
"""Labels [dex] beyond which a star is no RR Lyrae, or its period wrong."""
COLUMNS = ("r2", "wrmse", "wmae", "rmse", "mae", "bias", "robust_sd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--models", default=",".join(MODELS))
    options = parser.parse_args()
    models = options.models.split(",")
    # the relation is the label of the first set: it would only repeat it
    first = [name for name in models if name != "relation"]
    models = [name for name in models if name != "circular-ensemble"]  # half of the blend
    gaia(Path(options.data) / "gaia-dr3", options.runs, first)
    dekany(Path(options.data) / "dekany-grebel-2022" / "stars.parquet", options.runs, models)
    overview(options.runs, Path("docs/img/overview.png"))
    print(f"\n{os.cpu_count()} cores, {platform.machine()}, photfeh {pf.__version__}")


def gaia(folder: Path, runs: Path, models: list[str]) -> None:
    print("\n### (a) Same-curve formula: Gaia DR3, Muraveva+ 2025 labels, nested 5-fold")
    for cuts, types in (("founding", ("RRab",)), ("relaxed", ("RRab",)), ("precise-labels", ("RRab", "RRc"))):
        dataset = opened(
            runs / f"gaia-{cuts}-dataset", folder / "epoch_photometry.parquet", folder / "stars.parquet",
            cuts=cuts, types=types,
        )  # fmt: skip
        print(f"\n#### Cuts: {cuts}, types: {', '.join(types)}\n")
        print(markdown(dataset.cut_flow[["cut", "n_before", "n_after"]]))
        # where most RRc labels are, mixtures made for one type are no use: no blend
        names = models if types == ("RRab",) else [name for name in models if name != "blend"]
        run = pf.validate(dataset, runs / f"gaia-{cuts}", models=names, folds=5, **HOW)
        report_run(dataset, run)
        columns = dataset.stars.set_index("source_id")[["n_epochs", "phi31_error", "type", "r21"]]
        scored = run.score.join(columns, on="source_id")
        rrab, rrc = scored[scored["type"] == "RRab"], scored[scored["type"] == "RRc"]
        table(rrab, f"\nAll {rrab['source_id'].nunique()} RRab:\n")
        if cuts != "founding":
            sharp = (rrab["n_epochs"] > 50) & (rrab["phi31_error"] < 0.1)
            table(rrab[sharp], "\nRRab with more than 50 epochs and an error of phi31 below 0.10 rad:\n")
            usual = sharp & rrab["feh_true"].between(*USUAL)
            table(rrab[usual], f"\nOf these, those with a label between {USUAL[0]} and {USUAL[1]}:\n")
        if len(rrc):
            table(rrc, f"\nAll {rrc['source_id'].nunique()} RRc:\n")
            likely = rrc["r21"] < 0.3
            table(rrc[likely], "\nRRc with A2/A1 < 0.3, the Gaia pipeline's own range:\n")
            table(rrc[likely & (rrc["n_epochs"] > 50)], "\nOf these, those with more than 50 epochs:\n")
        if cuts != "founding":
            by_epochs(scored[scored["model"] == "circular-ensemble"])
        intervals(dataset, run)
        cost(run)


def by_epochs(scored: pd.DataFrame) -> None:
    """How the error falls with the number of epochs."""
    print("\n`circular-ensemble` by number of epochs:\n")
    rows = []
    for kind, group in scored.groupby("type", sort=False):
        for low, high in ((12, 20), (20, 30), (30, 40), (40, 50), (50, 70), (70, 999)):
            part = group[(group["n_epochs"] >= low) & (group["n_epochs"] < high)]
            if len(part) >= 10:
                values = score(part["feh_true"], part["feh_pred"])
                rows.append(
                    {"type": kind, "epochs": f"{low} to {high - 1}"}
                    | {k: values[k] for k in ("n", "rmse", "mae", "robust_sd")}
                )
    print(markdown(pd.DataFrame(rows)))


def intervals(dataset: Dataset, run: Run) -> None:
    """Coverage of intervals that were calibrated on the other folds, of the last model in the run that gives sigmas."""
    for name in ("circular-ensemble", "blend"):
        scored = run.score[run.score["model"] == name].dropna(subset=["feh_pred", "feh_pred_error"])
        if len(scored) < 100:
            continue
        rows = pd.Index(dataset.stars["source_id"]).get_indexer(scored["source_id"])
        found = cross_coverage(
            dataset.sequences("raw", rows), (scored["feh_pred"] - scored["feh_true"]).to_numpy(),
            scored["feh_pred_error"].to_numpy(), scored["fold"].to_numpy(), feh=scored["feh_true"].to_numpy(),
        )  # fmt: skip
        print(f"\nCoverage of the intervals of `{name}`, calibrated on the other folds:\n\n{markdown(found)}")


def dekany(path: Path, runs: Path, models: list[str]) -> None:
    dataset = opened(runs / "dekany-dataset", path, path, assume_type="RRab", truth="independent passband")
    print("\n### (b) Independent passband: Gaia DR2 G curves, OGLE I-band labels, the published ten folds\n")
    run = pf.validate(dataset, runs / "dekany", models=models, folds="fold", **HOW)
    report_run(dataset, run, external="feh_dekany_grebel_2022")
    published = dataset.stars[["source_id", "feh_dekany_grebel_2022"]]
    scored = run.score.merge(published, on="source_id")
    peer = scored[scored["model"] == scored["model"].iloc[0]].assign(
        model="Dekany & Grebel 2022 (published)", feh_pred=lambda t: t["feh_dekany_grebel_2022"]
    )
    table(pd.concat([scored, peer]), f"\nAll {len(dataset.sample)} labelled stars, the suspect ones too:\n")
    early = pd.concat([scored, peer])["fold"].isin([0, 1])
    table(pd.concat([scored, peer])[early], "\nOf these, folds 0 and 1, on which the models were developed:\n")
    table(pd.concat([scored, peer])[~early], "\nThe other eight folds:\n")
    print(
        "\nrmse and mae relative to the published predictions on the same stars, with the 95 % interval of the first "
        "over stars:\n"
    )
    theirs = published.set_index("source_id")["feh_dekany_grebel_2022"]
    beside = beside_external(run.score, theirs, "published").assign(mae_ratio=lambda t: t["mae"] / t["external_mae"])
    columns = {"ratio": "rmse ratio", "ratio_low": "2.5 %", "ratio_high": "97.5 %", "mae_ratio": "mae ratio"}
    print(markdown(beside[["model", "n", *columns]].rename(columns=columns)))
    intervals(dataset, run)
    cost(run)


def overview(runs: Path, path: Path) -> None:
    """The picture of the README: a real folded curve, and predicted against independent [Fe/H]."""
    dataset, run = Dataset.open(runs / "gaia-precise-labels-dataset"), Run.open(runs / "dekany")
    stars = dataset.stars
    row = int((stars["phi31_error"] - 0.08).abs().where(stars["type"] == "RRab").argmin())
    rows = np.array([row])
    raw, smooth = dataset.sequences("raw", rows), dataset.sequences("raw-spline", rows)
    period = raw.feature("period")[0]
    points, curve = raw.values[0][raw.mask[0]], smooth.values[0]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    figures.light_curve(points[:, 1] / period, points[:, 0], curve=(curve[:, 1] / period, curve[:, 0]), ax=left)
    left.set_title(f"Gaia DR3 RRab, P = {period:.4f} d, {raw.mask.sum()} epochs")
    scored = run.score[run.score["model"] == "blend"]
    figures.predicted_against_true(scored["feh_true"], scored["feh_pred"], ax=right)
    right.set_title("blend from Gaia G, labels from OGLE I, out of fold")
    figure.savefig(path, dpi=110)
    print(f"\n{path} written")


def table(scored: pd.DataFrame, title: str) -> None:
    print(title)
    rows = []
    for name, group in scored.groupby("model", sort=False):
        values = score(group["feh_true"], group["feh_pred"], group["weight"])
        rows.append({"model": name, "n": values["n"], **{column: values[column] for column in COLUMNS}})
    print(markdown(pd.DataFrame(rows)))


def cost(run: Run) -> None:
    seconds = run.timings.groupby("model", sort=False)["fit_seconds"].mean().round(1)
    print("\nSeconds per fit: " + ", ".join(f"{name} {value}" for name, value in seconds.items()))


def opened(folder: Path, epochs: Path, stars: Path | pd.DataFrame, **options: Any) -> Dataset:
    """Prepared anew, which takes seconds: a folder of other files or settings is never taken for this one.

    Runs on it go on all the same where its content is what it was.
    """
    return prepare(epochs, stars, folder, overwrite=True, **options)


def markdown(frame: pd.DataFrame) -> str:
    def cell(value: object) -> str:
        return f"{round(value, 4) + 0.0:.4f}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + "---|" * len(frame.columns)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
