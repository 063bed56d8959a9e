"""The command ``compare``, in a file of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["compare"]


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders made by validate, of one data set or of several.")],
    output: Annotated[Path, typer.Option(help="Folder to make.")] = Path("comparison"),
    dataset: Annotated[
        list[Path] | None,
        typer.Option(
            help="Data set of the runs, or star table: scores by epochs, magnitude and type. May be repeated."
        ),
    ] = None,
    external: Annotated[
        str | None, typer.Option(help="Table (source_id, feh), or column of --dataset, with predictions of others.")
    ] = None,
) -> None:
    """Compare models: founding tables, paired tests, critical differences, cost, and report.html.

    Example: photfeh compare run other-run --dataset dataset --output comparison
    """
    from photfeh.report import comparison_text, write_comparison
    from photfeh.validation.comparison import compare as run

    found = run(runs, datasets=dataset or (), external=external)
    path = write_comparison(found, output)
    width = shutil.get_terminal_size((160, 24)).columns
    typer.echo("\n\n".join(comparison_text(one, width=width) for one in found))
    typer.echo(f"\nreport: {path}")
