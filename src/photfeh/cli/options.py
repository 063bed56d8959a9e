"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Band",
    "Columns",
    "Config",
    "Epochs",
    "IdColumn",
    "Jobs",
    "Output",
    "Overwrite",
    "Periods",
    "Seed",
    "Set",
    "Stars",
    "Threads",
    "Training",
    "Weighting",
]

Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
Output = Annotated[Path, typer.Option(help="Folder to make.")]
Stars = Annotated[
    Path | None,
    typer.Option(
        help="Star table: source_id, optional period, type, feh, feh_error; or a list of identifiers. "
        "Default: the stars of the light curves."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(help="Which column plays which role where names are not known: time=T,mag=V,mag_error=e,period=Per."),
]
IdColumn = Annotated[str | None, typer.Option(help="Column that holds the identifiers.")]
Periods = Annotated[
    str, typer.Option(help="given (missing ones are searched), check (and wrong ones replaced), or search.")
]
Epochs = Annotated[str, typer.Argument(help="Light curves: a file, a folder, or a quoted glob pattern.")]
Band = Annotated[
    str | None, typer.Option(help="Passband to read, such as G, BP, V, zg. Default: the model's, or Gaia's G.")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Model parameter, MODEL.NAME=VALUE, for example gru.epochs=50.")
]
Config = Annotated[
    Path | None, typer.Option(help="TOML file with parameters of models, as tune writes it; --set goes before it.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write into an output that photfeh did not make.")]
Weighting = Annotated[str, typer.Option(help="Sample weights of the fit.")]
Threads = Annotated[int | None, typer.Option(help="Most threads at the same time. Default: one a core.", min=1)]
Training = Annotated[
    str | None,
    typer.Option(
        "--budget",
        help="Training of networks: auto (until the tune error stops falling), quick (a look, called not converged) "
        "or a number of epochs. Default: that of each model.",
    ),
]
Jobs = Annotated[int, typer.Option(help="Fits at the same time, each in a process of its own.", min=1)]
