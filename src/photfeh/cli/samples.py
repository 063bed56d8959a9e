"""The commands ``demo``, ``simulate`` and ``prepare``: from light curves to data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from photfeh.cli.console import SHOWN, lengths, names, out, print_flags, print_frame, progress, roles
from photfeh.cli.options import Band, Columns, Epochs, IdColumn, Output, Overwrite, Periods, Seed, Stars, Threads

__all__ = ["demo", "prepare", "simulate"]


def demo(
    output: Output = Path("demo-output"),
    stars: Annotated[int, typer.Option(help="Number of simulated stars.", min=200)] = 1000,
    seed: Seed = 1,
    overwrite: Overwrite = False,
) -> None:
    """Run the whole way on a simulated survey: simulate, prepare, validate, train, predict, report.

    Example: photfeh demo --output demo-output
    """
    from photfeh.demonstration import demo as run

    with progress() as report:
        result = run(output, n_stars=stars, seed=seed, overwrite=overwrite, progress=report)
    print_frame(result.metrics[list(SHOWN)], "Scored on stars that no fit has seen")
    out.print(result.summary)
    out.print(f"predictions: {result.predictions}\nreport: {result.report}")


def simulate(
    stars: Annotated[int, typer.Option(help="Number of stars.", min=1)],
    output: Output,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write a simulated survey with known truth: epochs.parquet and stars.parquet.

    Example: photfeh simulate --stars 2000 --output survey
    """
    from photfeh.core.outputs import own_folder
    from photfeh.simulation.survey import write_simulation

    write_simulation(stars, own_folder(output, "simulate", overwrite=overwrite), seed=seed)
    out.print(f"{stars} stars: {output / 'epochs.parquet'}, {output / 'stars.parquet'}")


def prepare(
    epochs: Epochs,
    output: Output,
    stars: Stars = None,
    labels: Annotated[
        str | None,
        typer.Option(help="none, column, relation, or relation:NAME (NAME+NAME). Default: column if there is one."),
    ] = None,
    cuts: Annotated[
        str | None, typer.Option(help="founding, well-observed, relaxed, none, or e.g. 'n_epochs>20,phi31_error<0.1'.")
    ] = None,
    types: Annotated[str, typer.Option(help="Types that enter the sample, separated by commas.")] = "RRab",
    assume_type: Annotated[str | None, typer.Option(help="Type of stars for which the table gives none.")] = None,
    representations: Annotated[str, typer.Option(help="Among raw, raw-spline, spline.")] = "raw,raw-spline,spline",
    smoother: Annotated[str, typer.Option(help="periodic or founding.")] = "periodic",
    alignment: Annotated[str, typer.Option(help="Where phase 0 lies: phi1 or maximum.")] = "phi1",
    points: Annotated[
        str, typer.Option(help="Length of the sequences: a number, or raw=128,raw-spline=64,spline=64.")
    ] = "264",
    band: Band = None,
    periods: Periods = "given",
    truth: Annotated[
        str | None, typer.Option(help="What the labels are, e.g. 'independent passband' or 'spectroscopy'.")
    ] = None,
    exclude: Annotated[
        Path | None, typer.Option(help="Star table of stars that must not enter the sample.", exists=True)
    ] = None,
    columns: Columns = None,
    id_column: IdColumn = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Clean, fold, decompose and smooth light curves; label and select stars; write a data set.

    Example: photfeh prepare epochs.parquet --stars stars.parquet --output dataset
    """
    from photfeh.samples.preparation import prepare as run

    choice: Any = periods
    with progress() as report:
        dataset = run(
            epochs, stars, output,
            labels=labels, cuts=cuts, types=names(types),
            assume_type=assume_type, representations=names(representations),
            n_points=lengths(points), band=band, smoother=smoother, alignment=alignment, truth=truth, periods=choice,
            exclude=exclude, columns=roles(columns), id_column=id_column, threads=threads, overwrite=overwrite,
            progress=lambda done, total: report("stars", done, total),
        )  # fmt: skip
    print_frame(dataset.cut_flow, "Cut flow")
    print_flags(dataset.stars["flag"])
    out.print(f"labels: {dataset.truth}")
    out.print(f"{len(dataset)} stars, {len(dataset.sample)} in the sample: {output}")
