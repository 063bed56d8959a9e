"""Every model, three representations, three sets of real stars, both protocols: the tables of docs/laboratory.md.

    make laboratory          (needs the sets of docs/data.md under $PHOTFEH_DATA; resumable, runs/ keeps everything)

Every network is trained until its tune error stops falling (``--budget auto``); ``--budget quick`` or a number of
epochs takes a folder of its own. Smoothed curves have 64 steps, all networks run in float32, two fits side by
side. Nested: stop and choose on the tune part. Paper: stop on the scored fold, and train on the tune part, too. Equal:
the paper protocol with as many training stars as the nested one. Ensembles of networks are run where they are meant to
be, on the epochs as observed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import photfeh as pf
from bench_recurrent import processor
from photfeh.models.network import Network
from photfeh.models.registry import MODELS, create_model
from photfeh.report import budgets, model_scores, write_comparison
from photfeh.report.figures.style import styled
from photfeh.samples.dataset import Dataset
from photfeh.samples.sequences import REPRESENTATIONS
from photfeh.validation.comparison import FOUNDING_METRICS, Comparison
from photfeh.validation.metrics import score
from photfeh.validation.run import Run
from real_data import markdown, opened

ENSEMBLES = ("circular-ensemble", "blend")
SINGLE = tuple(name for name in MODELS if name not in (*ENSEMBLES, "circular-inception"))
NETWORKS = tuple(name for name in SINGLE if issubclass(MODELS[name].model_class(), Network))
POINTS = {"raw": 264, "raw-spline": 64, "spline": 64}
NESTED_SHARE = 7 / 8  # of the stars outside the scored fold; the others are the tune part
PUBLISHED = "feh_dekany_grebel_2022"


@dataclass(frozen=True)
class StarSet:
    """One of the three sets: its files, and how it is prepared."""

    name: str
    title: str
    epochs: str
    stars: str
    prepare: dict[str, Any]

    def dataset(self, data: Path, runs: Path) -> Dataset:
        """Prepared now or by an earlier call."""
        folder = runs / "laboratory" / f"{self.name}-dataset"
        return opened(folder, data / self.epochs, data / self.stars, n_points=POINTS, **self.prepare)


_GAIA = ("gaia-dr3/epoch_photometry.parquet", "gaia-dr3/stars.parquet")
_DEKANY = "dekany-grebel-2022/stars.parquet"
SETS = (
    StarSet("gaia-founding", "Gaia DR3, founding cuts, labels by the formula", *_GAIA, {"cuts": "founding"}),
    StarSet("gaia-relaxed", "Gaia DR3, relaxed cuts, labels by the formula", *_GAIA, {"cuts": "relaxed"}),
    StarSet(
        "dekany", "Gaia DR2 curves, I-band labels of Dekany & Grebel 2022", _DEKANY, _DEKANY,
        {"assume_type": "RRab", "truth": "independent passband"},
    ),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--sets", default=",".join(one.name for one in SETS))
    parser.add_argument("--steps", default="nested,paper,ensembles,equal", help="what to fit; empty: only tables")
    parser.add_argument("--models", default="", help="of those of a step; default: all")
    parser.add_argument("--representations", default=",".join(REPRESENTATIONS))
    parser.add_argument("--budget", default="auto", help="auto, quick or a number of epochs")
    parser.add_argument("--repeats", type=int, default=1, help="divisions into folds, with other random numbers each")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--tables", type=Path, default=Path("docs/laboratory"), help="folder for the whole tables")
    parser.add_argument("--picture", type=Path, default=Path("docs/img/laboratory.png"))
    options = parser.parse_args()
    options.budget = int(options.budget) if options.budget.isdigit() else options.budget
    found = []
    for one in SETS:
        if one.name in options.sets.split(","):
            dataset = one.dataset(Path(options.data), options.runs)
            for step in filter(None, options.steps.split(",")):
                fit(one, dataset, step, options)
            found.append((one, tables(one, dataset, options)))
    print(f"\n{processor()}, {os.cpu_count()} threads, {options.jobs} fits side by side; photfeh {pf.__version__}")
    finished = {one.title: result for one, result in found if result is not None}
    if finished:
        write_comparison(list(finished.values()), options.runs / "laboratory" / "report")
        picture(finished, options.picture)
    cycles = {one.title: found_epochs(finished_runs(one, "nested", options)) for one, _ in found}
    if cycles := {title: table for title, table in cycles.items() if len(table)}:
        curves(cycles, options.picture.with_name("budgets.png"))


def fit(one: StarSet, dataset: Dataset, step: str, options: argparse.Namespace) -> None:
    """A run for each model: the single ones, nested; the networks under the paper protocol, once more on `spline` with
    as many training stars as nested; or the ensembles, nested."""
    names = {"nested": SINGLE, "paper": NETWORKS, "equal": NETWORKS, "ensembles": ENSEMBLES}[step]
    kinds = {"ensembles": ["raw"], "equal": ["spline"]}.get(step, options.representations.split(","))
    if dataset.truth.startswith("same-curve"):  # the relation is the label there
        names = tuple(name for name in names if name != "relation")
    if options.models:
        names = tuple(name for name in options.models.split(",") if name in names)

    def report(what: str, done: int, total: int) -> None:
        print(f"{one.name}, {step}: {done}/{total} {what}", file=sys.stderr, flush=True)

    for name in names:
        for kind in readable(name, kinds):
            pf.validate(
                dataset, runs_of(one, step, options) / f"{name}-{kind}", models=[name], representations=[kind], folds=5,
                weighting="uniform", protocol="paper" if step in ("paper", "equal") else "nested",
                train_fraction=NESTED_SHARE if step == "equal" else 1.0,
                budget=options.budget, repeats=options.repeats, jobs=options.jobs, progress=report,
            )  # fmt: skip


def readable(name: str, kinds: list[str]) -> list[str]:
    """Those of the representations that a model reads."""
    return [kind for kind in kinds if kind in create_model(name).representations]


def runs_of(one: StarSet, step: str, options: argparse.Namespace) -> Path:
    return Path(options.runs) / "laboratory" / f"{one.name}-{step}-{options.budget}"


def finished_runs(one: StarSet, step: str, options: argparse.Namespace) -> list[Path]:
    return finished_in(runs_of(one, step, options))


def finished_in(folder: Path) -> list[Path]:
    """Runs within a folder that came to their end."""
    return sorted(path.parent for path in folder.glob("*/out_of_fold.parquet"))


def tables(one: StarSet, dataset: Dataset, options: argparse.Namespace) -> Comparison | None:
    """Print what the finished runs of one set say, and write their whole tables."""
    nested, paper, ensembles, equal = (
        finished_runs(one, step, options) for step in ("nested", "paper", "ensembles", "equal")
    )
    print(f"\n## {one.title}\n")
    if not nested:
        print("Not run yet.")
        return None
    known = PUBLISHED if PUBLISHED in dataset.stars else None
    found = pf.compare([*nested, *paper, *ensembles], datasets=[dataset], external=known)[0]
    costs = found.cost.set_index(["representation", "model"])["fit_seconds"]
    whole = {"epochs": found_epochs([*nested, *paper])}
    for kind, table in found.founding.items():
        shown = by_model(table, costs[kind])
        if known:
            shown = pd.concat([shown, published(found, kind)], ignore_index=True).astype(object).fillna("")
        whole[kind] = shown
        brief = shown[["rank", "model", *FOUNDING_METRICS]].merge(kept_epochs(whole["epochs"], kind), how="left")
        print(f"\n{found.n_stars} stars, 5 folds, nested; `{kind}`:\n\n{markdown(brief.astype(object).fillna(''))}")
    if found.caution:
        print(f"\n{found.caution[0].upper()}{found.caution[1:]}.")
    whole |= {f"{kind}-paper": by_model(table) for kind, table in found.founding_paper.items()}
    whole["does-the-spline-help"] = pd.DataFrame(spline_answer(found))
    whole["significance"] = found.pairs
    if one.name == "gaia-relaxed":
        whole["well-observed"] = well_observed(found, dataset)
    if len(found.optimism):
        whole["optimism"] = with_means(found.optimism)
    if equal:
        whole["optimism-equal-stars"] = with_means(pf.compare([*nested, *equal])[0].optimism)
    whole["folds"] = fold_scatter([*nested, *paper])
    for name, table in whole.items():
        if len(table):
            options.tables.mkdir(parents=True, exist_ok=True)
            table.to_csv(options.tables / f"{one.name}-{name}.csv", index=False, float_format="%.5g")
    runs = {"nested": nested, "paper": paper, "ensembles": ensembles, "equal": equal}
    hours = {step: sum(Run.open(path).timings["fit_seconds"].sum() for path in paths) for step, paths in runs.items()}
    print("\nProcess hours of the fits: " + ", ".join(f"{name} {value / 3600:.2f}" for name, value in hours.items()))
    return found


def found_epochs(folders: list[Path]) -> pd.DataFrame:
    """Epochs after which the tune error of every fit had stopped falling, and that error."""
    rows = [Run.open(folder).budgets for folder in folders]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["model", "representation"])


def kept_epochs(cycles: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Smallest and largest number of epochs that the folds of a network have kept, on one representation."""
    kept = cycles[(cycles["representation"] == kind) & cycles["kept"]] if len(cycles) else cycles
    if not len(kept):
        return pd.DataFrame({"model": [], "epochs": []}, dtype=object)
    spans = kept.groupby("model")["epochs"].agg(["min", "max"])
    return pd.DataFrame({"model": spans.index, "epochs": [f"{low} to {high}" for low, high in spans.to_numpy()]})


def with_means(optimism: pd.DataFrame) -> pd.DataFrame:
    """The table with a mean over the models for each representation, and twice its error."""
    rows = [optimism]
    for kind, group in optimism.groupby("representation", sort=False):
        values = group["optimism"]
        mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
        row = {"model": f"mean of {len(values)}", "representation": kind, "n": group["n"].max()}
        row |= {name: group[name].mean() for name in ("nested_rmse", "paper_rmse")}
        row |= {"optimism": mean, "optimism_low": mean - 2 * error, "optimism_high": mean + 2 * error}
        rows.append(pd.DataFrame([row]))
    return pd.concat(rows, ignore_index=True)


def fold_scatter(folders: list[Path]) -> pd.DataFrame:
    """Smallest and largest rmse of a fold of every network, nested and paper."""
    rows = []
    for folder in folders:
        run = Run.open(folder)
        scored = run.score[run.score["model"].isin(NETWORKS)]
        square = (scored["feh_pred"] - scored["feh_true"]) ** 2
        rmse = square.groupby([scored["model"], scored["representation"], scored["fold"]]).mean().pow(0.5)
        table = rmse.groupby(level=[0, 1]).agg(["min", "max"]).reset_index()
        rows.append(table.assign(protocol=run.config["validation"]["protocol"]))
    return pd.concat(rows, ignore_index=True)


def by_model(founding: pd.DataFrame, seconds: pd.Series | None = None) -> pd.DataFrame:
    """The founding table with models in rows, best first, and the mean time of a fit where it is given."""
    rows = []
    for name in founding.columns.get_level_values(0).unique():
        validation, training = founding[name, "validation"], founding[name, "training"]
        rows.append(
            {"rank": "" if np.isnan(validation["rank"]) else f"{validation['rank']:.0f}", "model": name}
            | {metric: validation[metric] for metric in FOUNDING_METRICS}
            | {f"training {metric}": training[metric] for metric in FOUNDING_METRICS}
            | ({} if seconds is None else {"seconds a fit": f"{seconds[name]:.1f}"})
        )
    return pd.DataFrame(rows).astype(object).fillna("")


def published(found: Comparison, kind: str) -> pd.DataFrame:
    """The row of the published predictions: same stars, same weights, but their own folds."""
    row = found.external[found.external["representation"] == kind].iloc[0]
    return pd.DataFrame([{"model": "published"} | {name: row[f"external_{name}"] for name in FOUNDING_METRICS}])


def well_observed(found: Comparison, dataset: Dataset) -> pd.DataFrame:
    """Scores of the scored stars that the founding work would have kept."""
    stars = dataset.stars[(dataset.stars["n_epochs"] > 50) & (dataset.stars["phi31_error"] < 0.1)]
    scored = found.out_of_fold[found.out_of_fold["part"] == "score"]
    scored = scored[scored["source_id"].isin(stars["source_id"])]
    rows = [
        {"model": model, "representation": kind} | score(group["feh_true"], group["feh_pred"])
        for (model, kind), group in scored.groupby(["model", "representation"])
    ]
    columns = ["model", "representation", "n", "r2", "rmse", "mae", "bias", "robust_sd"]
    return pd.DataFrame(rows).sort_values("rmse")[columns]


def spline_answer(found: Comparison) -> Iterator[dict[str, Any]]:
    """Ratio of the rmse on two representations, every network and their geometric mean."""
    if not len(found.spline):
        return
    names = [name for name in NETWORKS if name in set(found.spline["model"])]
    chosen = found.spline[found.spline["model"].isin(names)]
    for _, row in chosen.iterrows():
        yield {"model": row["model"], "compared": f"{row['representation']} / {row['other_representation']}"} | {
            "ratio of rmse": row["ratio"],
            "2.5 %": row["ratio_low"],
            "97.5 %": row["ratio_high"],
        }
    for (first, second), group in chosen.groupby(["representation", "other_representation"], sort=False):
        logs = np.log(group["ratio"].to_numpy())
        error = logs.std(ddof=1) / np.sqrt(len(logs))
        yield {
            "model": f"mean of {len(logs)} networks",
            "compared": f"{first} / {second}",
            "ratio of rmse": float(np.exp(logs.mean())),
            "2.5 %": float(np.exp(logs.mean() - 2 * error)),
            "97.5 %": float(np.exp(logs.mean() + 2 * error)),
        }


@styled
def picture(found: dict[str, Comparison], path: Path) -> None:
    """Rmse of every model on every representation, one panel a set."""
    figure = Figure(figsize=(3.8 * len(found), 4.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(found)))
    for (title, one), panel in zip(found.items(), panels, strict=True):
        theirs = float(one.external["external_rmse"].iloc[0]) if len(one.external) else None
        model_scores(one.metrics, reference=None if theirs is None else ("published", theirs), ax=panel)
        panel.set_title(title, loc="right", pad=20, fontsize=8.5)
    figure.savefig(path, dpi=120)


@styled
def curves(cycles: dict[str, pd.DataFrame], path: Path) -> None:
    """Tune error against epochs of the networks that were trained to their end, one panel a set."""
    figure = Figure(figsize=(0.6 + 4.4 * len(cycles), 3.8), layout="constrained")
    for (title, table), panel in zip(cycles.items(), np.atleast_1d(figure.subplots(1, len(cycles))), strict=True):
        budgets(table, ax=panel)
        rows = -(-table["model"].nunique() // 3)
        panel.set_title(title, loc="right", pad=8 + 12 * rows, fontsize=8.5)  # above the legend
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
