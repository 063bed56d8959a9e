"""The commands ``evaluate`` and ``plot``: predictions against a truth, and one star on a page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from photfeh.cli.console import out, roles
from photfeh.cli.options import Band, Columns, Epochs, IdColumn, Overwrite, Periods, Stars

__all__ = ["evaluate", "plot"]


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Table written by predict, of any format.")],
    truth: Annotated[Path, typer.Option(help="Star table with source_id, feh, and perhaps feh_error.")],
    output: Annotated[Path | None, typer.Option(help="Folder for tables and the figure. Default: only print.")] = None,
    columns: Columns = None,
    id_column: IdColumn = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare predictions with any known [Fe/H]: bias, scatter, coverage, by bins, with a figure.

    Example: photfeh evaluate predictions.parquet --truth spectroscopy.csv --output evaluation
    """
    from photfeh.core.outputs import own_folder
    from photfeh.inference.evaluation import evaluate as run

    found = run(predictions, truth, columns=roles(columns), id_column=id_column)
    out.print(str(found))
    if output is not None:
        from photfeh.report.evaluation import write_evaluation

        out.print(f"\n{write_evaluation(found, own_folder(output, 'evaluate', overwrite=overwrite))}")


def plot(
    epochs: Epochs,
    star: Annotated[str | None, typer.Option(help="Identifier or name; needed where there are several stars.")] = None,
    stars: Stars = None,
    model: Annotated[str | None, typer.Option(help="Name (see `photfeh models list`) or model folder.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="File to draw: .png, .pdf or .svg. Default: the screen, or STAR.png without one."),
    ] = None,
    band: Band = None,
    any_band: Annotated[bool, typer.Option(help="Predict curves in another band than the model's too.")] = False,
    periods: Periods = "given",
    columns: Columns = None,
    id_column: IdColumn = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw one star: its folded curve and fit, its place among the training stars, [Fe/H], and its flags in words.

    Example: photfeh plot epochs.parquet --stars stars.csv --star 4689637789368824064 --output star.png
    """
    from photfeh.report.star import check_figure, plot_star

    choice: Any = periods
    figure = None
    if output is None and (pyplot := _screen()) is not None:
        figure = pyplot.figure()
    elif output is None:
        output = Path(re.sub(r"[^\w.+-]+", "-", star or "star") + ".png")
    if output is not None:
        check_figure(output, overwrite=overwrite)
    plot_star(
        epochs, star, stars=stars, model=model, output=output, band=band, any_band=any_band, periods=choice,
        columns=roles(columns), id_column=id_column, figure=figure, overwrite=overwrite,
    )  # fmt: skip
    if output is not None:
        out.print(str(output))
    else:
        pyplot.show()


def _screen() -> Any:
    """Matplotlib's pyplot if it can open windows here, else None."""
    from matplotlib import pyplot
    from matplotlib.backends.registry import BackendFilter, backend_registry

    windows = backend_registry.list_builtin(BackendFilter.INTERACTIVE)  # type: ignore[no-untyped-call]
    return pyplot if pyplot.get_backend().lower() in [name.lower() for name in windows] else None
