"""The command ``predict``: [Fe/H] of every star."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from photfeh.cli.archive import fetched_for_prediction
from photfeh.cli.console import err, names, out, print_flags, print_frame, progress, roles
from photfeh.cli.options import Band, Columns, IdColumn, Overwrite, Periods, Stars, Threads
from photfeh.core.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["predict"]

_SHOWN = ["source_id", "feh", "feh_error", "feh_lower", "feh_upper", "flag", "period", "n_epochs", "model", "scale"]
_ROWS_SHOWN = 50


def predict(
    epochs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Light curves: a file, a folder, or a quoted glob pattern. With --source-id: more of them."
        ),
    ] = None,
    stars: Stars = None,
    model: Annotated[str | None, typer.Option(help="Name (see `photfeh models list`) or model folder.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write (.parquet, .fits, .vot, .ecsv, .csv). Default: predictions.parquet, for files."
        ),
    ] = None,
    band: Band = None,
    any_band: Annotated[
        bool, typer.Option(help="Predict curves in another band than the model's too; they are flagged.")
    ] = False,
    periods: Periods = "given",
    adapt_intervals: Annotated[
        bool, typer.Option(help="Fit intervals to the population of these stars (weighted conformal).")
    ] = False,
    scale: Annotated[
        str | None,
        typer.Option(
            help="Scale of [Fe/H]: spectroscopic (default where the model has a way there), labels, or a name."
        ),
    ] = None,
    columns: Columns = None,
    id_column: IdColumn = None,
    threads: Threads = None,
    keep: Annotated[
        str | None, typer.Option(help="Columns of the star table to carry along, separated by commas: ra,dec.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also type, Fourier parameters and what else was measured.")
    ] = False,
    source_id: Annotated[
        list[str] | None, typer.Option(help="Gaia sources to fetch from the archive; or files that hold them.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="ADQL with a column source_id: fetch these from the archive.")
    ] = None,
    release: Annotated[str, typer.Option(help="Gaia release to fetch from, dr3 or dr4.")] = "dr3",
    scheduler: Annotated[
        str | None,
        typer.Option(help="For a HATS catalogue: local, local:N, none, or a Dask scheduler (tcp://host:8786)."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Predict [Fe/H] with errors for every star of a table, or of the Gaia archive.

    Example: photfeh predict epochs.parquet --stars stars.parquet --output predictions.parquet

    Example: photfeh predict --source-id 1204518424202454272 2318121083762960128
    """
    from photfeh.inference.ahead import compiled_beside
    from photfeh.inference.output import check_output
    from photfeh.inference.prediction import load
    from photfeh.inference.prediction import predict as run

    choice: Any = periods
    source, remote = _source(epochs, source_id, query)
    if _is_catalog(source, remote, scheduler, adapt_intervals):
        _predict_catalog(
            source, stars, output=output or Path("predictions"), model=model, scheduler=scheduler or "local", band=band,
            any_band=any_band, periods=choice, keep=names(keep or ""), full=full, scale=scale, columns=roles(columns),
            id_column=id_column, overwrite=overwrite,
        )  # fmt: skip
        return
    predictor = load(model)
    predictor.check_scale(scale)
    target = output or (None if remote else Path("predictions.parquet"))
    star_table: Any = stars
    if remote:
        if target is not None:
            check_output(target, overwrite=overwrite)
        fetched = fetched_for_prediction(source, query, release)
        if not fetched.count("received"):
            err.print(f"no light curve came; {fetched.reconciliation} says why")
            raise typer.Exit(1)
        source, star_table = fetched.epochs, stars if stars is not None else fetched.stars
    with compiled_beside(model), progress() as report:
        table = run(
            source, star_table, model=predictor, output=target, band=band, any_band=any_band, periods=choice,
            adapt=adapt_intervals, scale=scale, columns=roles(columns), id_column=id_column, threads=threads,
            keep=names(keep or ""), full=full, overwrite=overwrite, stream=_streams(target, remote),
            progress=lambda done, total: report("stars", done, total),
        )  # fmt: skip
    if remote:
        print_frame(table[_SHOWN].head(_ROWS_SHOWN), "Photometric metallicities [dex], 90 % intervals")
        if len(table) > _ROWS_SHOWN:
            out.print(f"... and {len(table) - _ROWS_SHOWN} more; --output writes all")
    good = table["feh"].notna()
    print_flags(table["flag"])
    if good.any():
        out.print(
            f"model {predictor.name} (labels: {predictor.truth}): {int(good.sum())} of {len(table)} "
            f"stars predicted, median [Fe/H] {table['feh'].median():.2f} "
            f"with a median error of {table['feh_error'].median():.2f}{_on_scales(table[good])}"
        )
    else:
        out.print(f"none of {len(table)} stars could be predicted; the flag column says why")
    if target is not None:
        out.print(str(target))
    if not good.any():
        raise typer.Exit(1)


def _streams(target: Path | None, remote: bool) -> bool:
    """Whether results stay on the disk: nothing but counts is shown of them."""
    return target is not None and not remote and target.suffix.lower() == ".parquet"


def _is_catalog(source: Any, remote: bool, scheduler: str | None, adapt: bool) -> bool:
    from photfeh.inference.catalogs import is_catalog

    found = not remote and is_catalog(source)
    if scheduler is not None and not found:
        raise BadInput("--scheduler is for HATS catalogues; the light curves given are none.")
    if found and adapt:
        raise BadInput("--adapt-intervals needs all stars at once and does not go with a catalogue in partitions.")
    return found


def _predict_catalog(source: Any, stars: Path | None, **how: Any) -> None:
    from photfeh.inference.catalogs import predict_catalog

    made = predict_catalog(source, stars, progress=err.is_terminal, **how)
    out.print(f"{made} (HATS catalogue)")


def _source(epochs: list[str] | None, source_id: list[str] | None, query: str | None) -> tuple[Any, bool]:
    """Light curves at hand, or identifiers for the archive; and whether it is the latter."""
    if source_id is not None:
        return [*source_id, *(epochs or [])], True
    if query is not None:
        if epochs:
            raise BadInput(f"light curves ({epochs[0]}) and --query were given; give one of them.")
        return None, True
    if not epochs:
        raise BadInput("name light curves (a file, a folder, a quoted pattern), --source-id or --query. Try --help.")
    if len(epochs) > 1:
        raise BadInput(
            f"one source of light curves is read, found {len(epochs)} ({epochs[0]}, ...). Put a pattern in quotes, or "
            "name the folder."
        )
    return epochs[0], False


def _on_scales(table: pd.DataFrame) -> str:
    """In words, the scales that [Fe/H] is on; nothing where the table does not hold them (--stream)."""
    return f", on the scale {' and '.join(sorted(set(table['scale'])))}" if "scale" in table.columns else ""
