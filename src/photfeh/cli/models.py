"""The commands ``train`` and ``models``: make a model, and see what there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from photfeh.cli.console import budget_of, out, print_frame, progress, settings
from photfeh.cli.options import Config, Output, Overwrite, Seed, Set, Threads, Training, Weighting

__all__ = ["calibrate", "cite", "models", "train"]

models = typer.Typer(no_args_is_help=True, help="List and describe models.")


def train(
    dataset: Annotated[Path, typer.Argument(help="Data-set folder made by prepare.")],
    output: Output,
    model: Annotated[str, typer.Option(help="Name of the model.")] = "gru",
    representation: Annotated[
        str, typer.Option(help="Among those of the data set; two for one model: raw+spline.")
    ] = "spline",
    folds: Annotated[int, typer.Option(help="Members of the ensemble.", min=2)] = 5,
    weighting: Weighting = "density",
    set_: Set = None,
    budget: Training = None,
    config: Config = None,
    seed: Seed = 0,
    scale: Annotated[str | None, typer.Option(help="Scale that the labels are on: muraveva-2025, or any name.")] = None,
    threads: Threads = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Measure the coverage of the intervals: one more fit for each pair of folds."),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train an ensemble, calibrate its errors on out-of-fold residuals, and save it.

    Example: photfeh train dataset --model gru --output model
    """
    from photfeh.inference.training import train as run

    params = settings(set_, [model], config=config)
    with progress() as report:
        ensemble = run(
            dataset, output,
            model=model, representation=representation, folds=folds, weighting=weighting,
            params=params.get(model, {}), budget=budget_of(budget), seed=seed, scale=scale, threads=threads,
            verify=verify, overwrite=overwrite, progress=report,
        )  # fmt: skip
    scores = ensemble.notes["out_of_fold"]
    values = ", ".join(f"{name} {scores[name]:.4f}" for name in ("r2", "rmse", "mae"))
    note = ", not converged (quick budget)" if ensemble.notes["training"]["budget"] == "quick" else ""
    out.print(f"{model}: {len(ensemble.members)} members{note}, {scores['n']} stars; out of fold {values}")
    out.print(f"model: {output}")


def calibrate(
    model: Annotated[Path, typer.Argument(help="Model folder made by train.")],
    epochs: Annotated[
        str, typer.Argument(help="Light curves of stars with spectroscopy that taught the model nothing.")
    ],
    stars: Annotated[str, typer.Option(help="Star table with their feh and, where known, feh_error [dex].")],
    scale: Annotated[str, typer.Option(help="Name of the scale of that spectroscopy.")] = "crestani-2021",
) -> None:
    """Fit the way from the scale of a model's labels to spectroscopy, and keep it in the model folder.

    Example: photfeh calibrate model epochs.parquet --stars spectroscopy.csv
    """
    from photfeh.inference.spectroscopy import calibrate as run

    for way in run(model, epochs, stars, scale=scale).maps:
        out.print(str(way))


def cite(
    model: Annotated[
        list[str] | None, typer.Option(help="Trained model that you used; again for more. Default: default.")
    ] = None,
    relation: Annotated[
        list[str] | None, typer.Option(help="Published relation that you used; again for more.")
    ] = None,
) -> None:
    """What to cite, as BibTeX, and the acknowledgement that the Gaia archive asks for.

    Example: photfeh cite --model gru --relation dekany-2021-rrab-i > references.bib
    """
    from photfeh.inference.citation import ACKNOWLEDGEMENT
    from photfeh.inference.citation import cite as entries

    told = entries(model or ("default",), relation or ())
    out.print(f"% {ACKNOWLEDGEMENT}\n\n{told}")


@models.command("list")
def models_list() -> None:
    """Architectures to train, and trained models to predict with."""
    from photfeh.core.bands import get_band
    from photfeh.core.errors import MissingPackage
    from photfeh.inference.prediction import list_trained, load
    from photfeh.models.registry import MODELS

    table = Table(title="Models", title_justify="left", box=None)
    for name in ("name", "what", "source"):
        table.add_column(name)
    for name, entry in MODELS.items():
        table.add_row(name, entry.summary, entry.source)
    out.print(table)
    ready = Table(title="Ready to predict", title_justify="left", box=None)
    for name in ("name", "light curves in", "labels"):
        ready.add_column(name)
    for name in list_trained():
        try:
            predictor = load(name)
        except MissingPackage as error:
            ready.add_row(name, str(error), "")
        else:
            ready.add_row(name, str(get_band(predictor.band)), predictor.truth)
    out.print(ready)


@models.command("card")
def models_card(name: Annotated[str, typer.Argument(help="Trained model or model folder.")]) -> None:
    """What a trained model was taught, how well it does, and where it must not be trusted.

    Example: photfeh models card dekany-i-band
    """
    from photfeh.inference.prediction import load_card

    out.print(load_card(name))


@models.command("describe")
def models_describe(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    points: Annotated[int, typer.Option(help="Length of the sequence.")] = 264,
) -> None:
    """Parameters of a model; for networks the layer table with output shapes and parameter counts."""
    from photfeh.models.describe import describe

    layers, params, summary = describe(name, points)
    out.print(f"{name}: {summary}")
    if layers is not None:
        print_frame(layers, "Layers")
        out.print(f"total parameters: {int(layers['parameters'].sum()):,}")
    out.print("defaults: " + json.dumps(params, default=str))
