"""The command ``tune``: the parameters of a model, searched on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photfeh.cli.console import out, progress, settings
from photfeh.cli.options import Jobs, Output, Overwrite, Seed, Set, Weighting

__all__ = ["tune"]


def tune(
    dataset: Annotated[Path, typer.Argument(help="Data-set folder made by prepare.")],
    output: Output,
    model: Annotated[str, typer.Option(help="Name of the model.")] = "gru",
    representation: Annotated[
        str, typer.Option(help="Among those of the data set; two for one model: raw+spline.")
    ] = "spline",
    trials: Annotated[int, typer.Option(help="Number of trials.", min=1)] = 30,
    timeout: Annotated[float | None, typer.Option(help="Minutes after which no further trial is begun.", min=0)] = None,
    space: Annotated[
        Path | None, typer.Option(help="TOML file of ranges and choices. Default: the space of the registry.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Folds of the search.", min=2)] = 5,
    weighting: Weighting = "density",
    set_: Set = None,
    seed: Seed = 0,
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
) -> None:
    """Search the parameters of a model; write config.toml for train and validate, trials.csv and report.html.

    Example: photfeh tune dataset --model gru --trials 40 --output tuning
    """
    from photfeh.report.tuning_page import tuning_text, write_tuning
    from photfeh.validation.tuning.verb import tune as run

    with progress() as report:
        found = run(
            dataset, output,
            model=model, representation=representation, trials=trials, space=space, folds=folds, weighting=weighting,
            params=settings(set_, [model]).get(model, {}), timeout=None if timeout is None else 60 * timeout, jobs=jobs,
            seed=seed, overwrite=overwrite, progress=report,
        )  # fmt: skip
    path = write_tuning(found)
    out.print(f"{tuning_text(found)}\nconfiguration: {found.config}\nreport: {path}")
