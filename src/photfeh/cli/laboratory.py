"""The commands ``compare`` and ``learning-curve``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from photfeh.cli.console import names, out, print_frame, progress, settings
from photfeh.core.errors import BadInput

__all__ = ["compare", "learning_curve"]


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


def learning_curve(
    dataset: Annotated[Path, typer.Argument(help="Data-set folder made by prepare.")],
    output: Annotated[Path, typer.Option(help="Folder to make.")] = Path("learning-curve"),
    models: Annotated[str, typer.Option(help="Names separated by commas.")] = "ridge-fourier,svr",
    representation: Annotated[str, typer.Option(help="One of those of the data set.")] = "spline",
    fractions: Annotated[str, typer.Option(help="Parts of the training stars.")] = "0.125,0.25,0.5,1",
    folds: Annotated[int, typer.Option(help="Number of folds.", min=2)] = 5,
    weighting: Annotated[str, typer.Option(help="Sample weights of the fit.")] = "density",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Model parameter, MODEL.NAME=VALUE.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    jobs: Annotated[int, typer.Option(help="Fits at the same time.", min=1)] = 1,
) -> None:
    """Error against the number of training stars: what would more of them bring? Writes a table and a figure.

    Example: photfeh learning-curve dataset --models svr,circular --output learning-curve
    """
    from matplotlib.figure import Figure

    from photfeh.report import learning_curve as draw
    from photfeh.validation.cross_validate import learning_curve as run

    try:
        parts = [float(text) for text in names(fractions)]
    except ValueError:
        raise BadInput(f"cannot read --fractions {fractions!r}: give numbers above 0 up to 1, as 0.25,0.5,1.") from None
    with progress() as report:
        table = run(
            dataset, output, fractions=parts, models=names(models), representations=[representation], folds=folds,
            weighting=weighting, params=settings(set_), seed=seed, jobs=jobs, progress=report,
        )  # fmt: skip
    table.to_csv(output / "learning_curve.csv", index=False)
    wide = table.pivot(index=["n_train", "repeat", "fold"], columns="model", values="rmse")
    sizes = wide.index.get_level_values("n_train").unique()
    scores = {str(name): [wide.loc[size, name].to_numpy() for size in sizes] for name in wide.columns}
    figure = Figure(figsize=(6, 4))
    draw(sizes, scores, ax=figure.subplots())
    figure.savefig(output / "learning_curve.png", dpi=150, bbox_inches="tight")
    means = table.groupby(["model", "n_train"], as_index=False)["rmse"].mean()
    print_frame(means, "rmse in dex, mean over folds")
    out.print(f"table and figure: {output / 'learning_curve.csv'}, {output / 'learning_curve.png'}")
