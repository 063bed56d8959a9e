"""How many epochs does a network need? Our recipe beside the founding one; draws docs/img/recipe.png.

    make bench-recipe
    python benchmarks/bench_recipe.py --models gru,fcn [--stars 1000] [--threads 2] [--jobs 1]

Ours is what the registry holds (standardised input and target, one cycle of the learning rate, clipped gradients).
The founding recipe is Adam with the constant rate 0.01 and batches of 256, without clipping, 150 epochs. Both get the
same standardisation, the same stars and equal weights. Stars: the Gaia curves and I-band labels of Dekany & Grebel
(2022) under $PHOTFEH_DATA, splines of 64 steps, folds 0 to 7 to train, 8 and 9 to validate; without them, the
simulation. Every finished (model, recipe) stays under runs/recipe, an interrupted one goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

import photfeh as pf
from bench_recurrent import processor
from photfeh.core.errors import BadFile
from photfeh.models.network import Network
from photfeh.models.registry import MODELS, create_model
from photfeh.samples.dataset import Dataset
from photfeh.samples.preparation import prepare
from real_data import markdown

FOUNDING = {
    "learning_rate": 0.01,
    "batch_size": 256,
    "schedule": "constant",
    "clip": 1e9,
    "weight_decay": 0.0,
    "patience": 1000,
    "epochs": 150,
}
NETWORKS = tuple(name for name in MODELS if issubclass(MODELS[name].model_class(), Network))
WIDE = ("fcn", "resnet", "inceptiontime")  # bfloat16 halves their time
NEAR = 1.02  # "there" means within 2 % of the best


def opened(data: Path, runs: Path) -> Dataset:
    """The real stars if they are there, otherwise simulated ones; prepared once."""
    real = data / "dekany-grebel-2022" / "stars.parquet"
    folder = runs / ("recipe-dataset" if real.exists() else "recipe-simulation")
    how: dict[str, Any] = {"representations": ("spline",), "n_points": 64}
    try:
        return Dataset.open(folder)
    except BadFile:
        if real.exists():
            return prepare(real, real, folder, assume_type="RRab", truth="independent passband", **how)
        survey = pf.simulate(3000, seed=11)
        return prepare(survey.curves, survey.stars, folder, labels="column", cuts="none", truth="simulation", **how)


def parts(dataset: Dataset, n_stars: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train and to validate on; ``n_stars`` thins the rows to train on."""
    rows = dataset.sample
    fold = dataset.stars["fold"].to_numpy()[rows] if "fold" in dataset.stars else np.arange(len(rows)) % 10
    held = fold >= 8
    train = rows[~held]
    if n_stars is not None and n_stars < len(train):
        train = np.sort(np.random.default_rng(0).choice(train, n_stars, replace=False))
    return train, rows[held]


def run(dataset: Dataset, name: str, recipe: str, options: argparse.Namespace) -> None:
    """One training; its history goes to a file of its own, with the settings that made it."""
    extra = {"precision": "mixed" if name in WIDE else "float32"}
    model = create_model(name, **(FOUNDING if recipe == "founding" else {}), **extra)
    assert isinstance(model, Network)
    train, held = parts(dataset, options.stars)
    settings = json.dumps({**asdict(model.fit_config()), "stars": len(train), "truth": dataset.truth}, sort_keys=True)
    path = options.runs / "recipe" / f"{name}-{recipe}.parquet"
    if path.exists() and pd.read_parquet(path, columns=["settings"])["settings"].iloc[0] == settings:
        return
    print(f"{name}, {recipe}: {len(train)} stars, {settings}", file=sys.stderr, flush=True)
    feh = dataset.stars["feh"].to_numpy(np.float64)

    def report(row: dict[str, Any]) -> None:
        if row["epoch"] % 10 == 9:
            rmse = model._scales["target"][1] * row["tune_rmse"]
            print(
                f"  {name} {recipe} epoch {row['epoch'] + 1:.0f}: {rmse:.4f} ({row['seconds']:.1f} s)",
                file=sys.stderr,
                flush=True,
            )

    model.track(checkpoint=path.with_suffix(""), on_epoch=report)
    tune = (dataset.sequences("spline", held), feh[held], np.ones(len(held)))
    model.fit(dataset.sequences("spline", train), feh[train], tune=tune)
    history = pd.DataFrame(model.history_)
    residual = model.predict(tune[0]) - feh[held]
    history["rmse"] = model._scales["target"][1] * history["tune_rmse"]
    history["final_rmse"] = np.sqrt(np.mean(residual**2))
    history.insert(0, "model", name)
    history.insert(1, "recipe", recipe)
    history["stars"], history["settings"] = len(train), settings
    history.to_parquet(path)


def summary(history: pd.DataFrame) -> pd.DataFrame:
    """One row a (model, recipe): best validation rmse [dex], and when within 2 % of its own and of either's best."""
    rows = []
    for (name, recipe), group in history.groupby(["model", "recipe"], sort=False):
        rmse = group["rmse"].to_numpy()
        either = history.loc[history["model"] == name, "rmse"].min()
        rows.append(
            {
                "model": name,
                "recipe": recipe,
                "epochs": len(rmse),
                "best rmse": rmse.min(),
                "in epoch": int(rmse.argmin()) + 1,
                "within 2 % of it from epoch": _reached(rmse, rmse.min()),
                "within 2 % of either's best": _reached(rmse, either),
                "last rmse": rmse[-1],
                "minutes": round(group["seconds"].sum() / 60, 1),
            }
        )
    return pd.DataFrame(rows)


def _reached(rmse: np.ndarray, best: float) -> str:
    near = np.flatnonzero(rmse <= NEAR * best)
    return str(near[0] + 1) if len(near) else "never"


def plot(history: pd.DataFrame, path: Path, truth: str) -> None:
    names = list(dict.fromkeys(history["model"]))
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.6 * rows + 0.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, sharey=True)).ravel()
    for ax, name in zip(axes, names, strict=False):
        for colour, (recipe, label) in enumerate((("ours", "this package"), ("founding", "founding recipe"))):
            group = history[(history["model"] == name) & (history["recipe"] == recipe)]
            ax.plot(group["epoch"] + 1, group["rmse"], color=f"C{colour}", lw=1.2, label=label)
        ax.set_title(f"{name}, {history.loc[history['model'] == name, 'stars'].iloc[0]} stars", fontsize=10)
        ax.grid(alpha=0.3)
    best = history["rmse"].min()
    axes[0].set(yscale="log", ylim=(0.95 * best, 2.2 * best))
    axes[0].yaxis.set_major_formatter("{x:.2f}")
    axes[0].yaxis.set_minor_formatter("{x:.2f}")
    axes[0].legend(fontsize=8)
    for ax in axes[len(names) :]:
        ax.remove()
    figure.supxlabel("epoch")
    figure.supylabel(f"validation rmse (dex), {truth}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(NETWORKS), help="names with commas between them")
    parser.add_argument("--recipes", default="ours,founding")
    parser.add_argument("--stars", type=int, default=1000, help="train on so many stars; the picture says so")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--plot", type=Path, default=Path("docs/img/recipe.png"))
    options = parser.parse_args()
    names = options.models.split(",")
    if not set(names) <= set(NETWORKS):
        parser.error(f"--models must be among {', '.join(NETWORKS)}, found {options.models}")
    torch.set_num_threads(options.threads)
    dataset = opened(Path(options.data), options.runs)
    with joblib.parallel_config("loky", n_jobs=options.jobs, inner_max_num_threads=options.threads):
        joblib.Parallel(batch_size=1)(
            joblib.delayed(run)(dataset, name, recipe, options)
            for name in names
            for recipe in options.recipes.split(",")
        )
    found = [options.runs / "recipe" / f"{name}-{recipe}.parquet" for name in MODELS for recipe in ("ours", "founding")]
    history = pd.concat([pd.read_parquet(path) for path in found if path.exists()], ignore_index=True)
    history.to_parquet(options.runs / "recipe" / "history.parquet")
    plot(history, options.plot, dataset.truth)
    print(f"{history['stars'].iloc[0]} training stars, {processor()}, {options.jobs} side by side\n")
    print(markdown(summary(history)))


if __name__ == "__main__":
    main()
