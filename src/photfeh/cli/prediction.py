"""The command ``predict``: [Fe/H] of every star."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from photfeh.cli.console import names, out, print_flags, progress, roles
from photfeh.cli.options import Band, Columns, Epochs, IdColumn, Overwrite, Periods, Stars, Threads

__all__ = ["predict"]


def predict(
    epochs: Epochs,
    stars: Stars = None,
    model: Annotated[str | None, typer.Option(help="Name (see `photfeh models list`) or model folder.")] = None,
    output: Annotated[Path, typer.Option(help="File to write: .parquet, .fits, .vot, .ecsv or .csv.")] = Path(
        "predictions.parquet"
    ),
    band: Band = None,
    any_band: Annotated[
        bool, typer.Option(help="Predict curves in another band than the model's too; they are flagged.")
    ] = False,
    periods: Periods = "given",
    adapt_intervals: Annotated[
        bool, typer.Option(help="Fit intervals to the population of these stars (weighted conformal).")
    ] = False,
    columns: Columns = None,
    id_column: IdColumn = None,
    threads: Threads = None,
    keep: Annotated[
        str | None, typer.Option(help="Columns of the star table to carry along, separated by commas: ra,dec.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also type, Fourier parameters and what else was measured.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Predict [Fe/H] with errors for every star of a table.

    Example: photfeh predict epochs.parquet --stars stars.parquet --model model --output predictions.parquet
    """
    from photfeh.inference.prediction import load
    from photfeh.inference.prediction import predict as run

    predictor = load(model)
    choice: Any = periods
    with progress() as report:
        table = run(
            epochs, stars, model=predictor, output=output, band=band, any_band=any_band, periods=choice,
            adapt=adapt_intervals, columns=roles(columns), id_column=id_column, threads=threads,
            keep=names(keep or ""), full=full, overwrite=overwrite,
            progress=lambda done, total: report("stars", done, total),
        )  # fmt: skip
    good = table["feh"].notna()
    print_flags(table["flag"])
    if good.any():
        out.print(
            f"model {predictor.name} (labels: {predictor.truth}): {int(good.sum())} of {len(table)} "
            f"stars predicted, median [Fe/H] {table['feh'].median():.2f} "
            f"with a median error of {table['feh_error'].median():.2f}"
        )
    else:
        out.print(f"none of {len(table)} stars could be predicted; the flag column says why")
    out.print(str(output))
    if not good.any():
        raise typer.Exit(1)
