"""Every model, three representations, three sets of real stars, both protocols: the tables of docs/laboratory.md.

    make laboratory          (needs the sets of docs/data.md under $PHOTFEH_DATA; resumable, runs/ keeps everything)

The recipe is sized for two cores: smoothed curves have 64 steps, networks train for tens of epochs on one cycle of the
learning rate, two fits side by side, wide convolutions in bfloat16. Nested: stop and choose on the tune part. Paper:
stop on the scored fold, and train on the tune part, too. Equal: the paper protocol with as many training stars as the
nested one. Ensembles of networks are run where they are meant to be, on the epochs as observed.
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
from photfeh.models.registry import MODELS
from photfeh.report import model_scores, write_comparison
from photfeh.report.figures.style import styled
from photfeh.samples.dataset import Dataset
from photfeh.samples.sequences import REPRESENTATIONS
from photfeh.validation.comparison import FOUNDING_METRICS, Comparison
from photfeh.validation.metrics import score
from photfeh.validation.run import Run
from real_data import markdown, opened

ENSEMBLES = ("circular-ensemble", "blend")
SINGLE = tuple(name for name in MODELS if name not in ENSEMBLES)
NETWORKS = tuple(name for name in SINGLE if issubclass(MODELS[name].model_class(), Network))
_TRAINING = (
    ("gru,bigru,lstm,bilstm", {"epochs": 50}),
    ("fcn,resnet,inceptiontime", {"epochs": 20, "precision": "mixed"}),
    ("convgru,convlstm", {"epochs": 20}),
    ("transformer", {"epochs": 40}),
    ("seq2seq", {"epochs": 60}),
    ("circular", {"epochs": 80}),
)
RECIPE: dict[str, dict[str, Any]] = {name: params for names, params in _TRAINING for name in names.split(",")}
POINTS = {"raw": 264, "raw-spline": 64, "spline": 64}
NESTED_SHARE = 7 / 8  # of the stars outside the scored fold; the others are the tune part
PUBLISHED = "feh_dekany_grebel_2022"


@dataclass(frozen=True)
class StarSet:
    """One of the three sets: its files, how it is prepared, and the share of all epochs to train on it."""

    name: str
    title: str
    epochs: str
    stars: str
    prepare: dict[str, Any]
    effort: float = 1.0

    def dataset(self, data: Path, runs: Path) -> Dataset:
        """Prepared now or by an earlier call."""
        folder = runs / "laboratory" / f"{self.name}-dataset"
        return opened(folder, data / self.epochs, data / self.stars, n_points=POINTS, **self.prepare)

    def training(self, name: str) -> dict[str, Any]:
        """Parameters of a network on this set; where stars are many, fewer epochs make as many steps."""
        return RECIPE[name] | {"epochs": round(self.effort * RECIPE[name]["epochs"])}


_GAIA = ("gaia-dr3/epoch_photometry.parquet", "gaia-dr3/stars.parquet")
_DEKANY = "dekany-grebel-2022/stars.parquet"
SETS = (
    StarSet("gaia-founding", "Gaia DR3, founding cuts, labels by the formula", *_GAIA, {"cuts": "founding"}),
    StarSet("gaia-relaxed", "Gaia DR3, relaxed cuts, labels by the formula", *_GAIA, {"cuts": "relaxed"}),
    StarSet(
        "dekany", "Gaia DR2 curves, I-band labels of Dekany & Grebel 2022", _DEKANY, _DEKANY,
        {"assume_type": "RRab", "truth": "independent passband"}, effort=0.6,
    ),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--sets", default=",".join(one.name for one in SETS))
    parser.add_argument("--steps", default="nested,paper,ensembles,equal", help="what to fit; empty: only tables")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--picture", type=Path, default=Path("docs/img/laboratory.png"))
    options = parser.parse_args()
    found = []
    for one in SETS:
        if one.name in options.sets.split(","):
            dataset = one.dataset(Path(options.data), options.runs)
            for step in filter(None, options.steps.split(",")):
                fit(one, dataset, step, options)
            found.append(tables(one, dataset, options.runs))
    print(f"\n{processor()}, {os.cpu_count()} threads, {options.jobs} fits side by side; photfeh {pf.__version__}")
    finished = [one for one in found if one is not None]
    write_comparison(finished, options.runs / "laboratory" / "report")
    if len(finished) == len(SETS):
        picture(finished, options.picture)


def fit(one: StarSet, dataset: Dataset, step: str, options: argparse.Namespace) -> None:
    """One run: all single models, nested; the networks under the paper protocol, once more on `spline` with as many
    training stars as nested; or the ensembles, nested."""
    names = {"nested": SINGLE, "paper": NETWORKS, "equal": NETWORKS, "ensembles": ENSEMBLES}[step]
    kinds = {"ensembles": ("raw",), "equal": ("spline",)}
    if dataset.truth.startswith("same-curve"):  # the relation is the label there
        names = tuple(name for name in names if name != "relation")

    def report(what: str, done: int, total: int) -> None:
        print(f"{one.name}, {step}: {done}/{total} {what}", file=sys.stderr, flush=True)

    pf.validate(
        dataset, options.runs / "laboratory" / f"{one.name}-{step}", models=names,
        representations=kinds.get(step, REPRESENTATIONS), folds=5, weighting="uniform",
        protocol="paper" if step in ("paper", "equal") else "nested",
        train_fraction=NESTED_SHARE if step == "equal" else 1.0,
        params={name: one.training(name) for name in RECIPE if name in names}, jobs=options.jobs, progress=report,
    )  # fmt: skip


def tables(one: StarSet, dataset: Dataset, runs: Path) -> Comparison | None:
    """Print what the finished runs of one set say."""
    folders = [runs / "laboratory" / f"{one.name}-{step}" for step in ("nested", "paper", "ensembles")]
    finished = [folder for folder in folders if (folder / "out_of_fold.parquet").is_file()]
    print(f"\n## {one.title}\n")
    if not finished:
        print("Not run yet.")
        return None
    known = PUBLISHED if PUBLISHED in dataset.stars else None
    found = pf.compare(finished, datasets=[dataset], external=known)[0]
    shape = f"{found.n_stars} stars, 5 folds, seed 0"
    costs = found.cost.set_index(["representation", "model"])["fit_seconds"]
    for kind, table in found.founding.items():
        shown = by_model(table, costs[kind])
        if known:
            shown = pd.concat([shown, published(found, kind)], ignore_index=True).astype(object).fillna("")
        print(f"\n{shape}, nested; representation `{kind}`:\n\n{markdown(shown)}")
    for kind, table in found.founding_paper.items():
        print(f"\n{shape}, paper protocol (networks); representation `{kind}`:\n\n{markdown(by_model(table))}")
    if one.name == "gaia-relaxed":
        print("\nRRab with more than 50 epochs and an error of phi31 below 0.10 rad, best first:\n")
        print(markdown(well_observed(found, dataset)))
    print("\n### Does the spline help?\n")
    print(markdown(pd.DataFrame(spline_answer(found))))
    if len(found.optimism):
        print("\n### Optimism of the paper protocol\n\n" + markdown(with_means(found.optimism)))
    equal = runs / "laboratory" / f"{one.name}-equal"
    if (equal / "out_of_fold.parquet").is_file():
        print("\nThe same with as many training stars as nested: what stopping on the scored stars alone does.\n")
        print(markdown(with_means(pf.compare([folders[0], equal])[0].optimism)))
        finished.append(equal)
    print("\nRmse from fold to fold, networks on `spline`:\n\n" + markdown(fold_scatter(folders[:2])))
    hours = {folder.name: Run.open(folder).timings["fit_seconds"].sum() / 3600 for folder in finished}
    print("\nProcess hours of the fits: " + ", ".join(f"{name} {value:.2f}" for name, value in hours.items()))
    return found


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
    """Smallest and largest rmse of a fold of every network on `spline`, nested and paper."""
    columns = {}
    for folder in folders:
        if (folder / "out_of_fold.parquet").is_file():
            run = Run.open(folder)
            scored = run.score[run.score["model"].isin(NETWORKS) & (run.score["representation"] == "spline")]
            square = (scored["feh_pred"] - scored["feh_true"]) ** 2
            rmse = square.groupby([scored["model"], scored["fold"]]).mean().pow(0.5).unstack()
            protocol = run.config["validation"]["protocol"]
            columns |= {f"{protocol}, smallest": rmse.min(axis=1), f"{protocol}, largest": rmse.max(axis=1)}
    return pd.DataFrame(columns).rename_axis("model").reset_index()


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
    names = [name for name in NETWORKS if name in set(found.spline.get("model", []))]
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
def picture(found: list[Comparison], path: Path) -> None:
    """Rmse of every model on every representation, one panel a set."""
    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    for one, described, panel in zip(found, SETS, figure.subplots(1, len(found)), strict=True):
        theirs = float(one.external["external_rmse"].iloc[0]) if len(one.external) else None
        model_scores(one.metrics, reference=None if theirs is None else ("published", theirs), ax=panel)
        panel.set_title(described.title, loc="right", pad=20, fontsize=8.5)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
