"""The command line: each command is a few lines that call the library."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from photfeh.cli.console import err, lengths, names, out, print_flags, print_frame, progress, settings
from photfeh.cli.laboratory import compare, learning_curve
from photfeh.core.errors import BadInput, PhotfehError, PhotfehWarning

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Photometric metallicities of RR Lyrae stars: light curves in, [Fe/H] with honest uncertainties out.",
)
models_app = typer.Typer(no_args_is_help=True, help="List and describe models.")
app.add_typer(models_app, name="models")
_SHOWN = ("model", "representation", "n", "r2", "wrmse", "wmae", "rmse", "mae", "bias")

Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
Output = Annotated[Path, typer.Option(help="Folder to make.")]
Stars = Annotated[Path, typer.Option(help="Star table: source_id, optional period, type, feh, feh_error.")]
Periods = Annotated[
    str, typer.Option(help="given (missing ones are searched), check (and wrong ones replaced), or search.")
]
Epochs = Annotated[str, typer.Argument(help="Light curves: a file, a folder, or a quoted glob pattern.")]
Band = Annotated[str | None, typer.Option(help="Passband to read, such as G, BP, V, zg. Default: the model's, or G.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Model parameter, MODEL.NAME=VALUE, for example gru.epochs=50.")
]


@app.command()
def demo(
    output: Output = Path("demo-output"),
    stars: Annotated[int, typer.Option(help="Number of simulated stars.", min=200)] = 1000,
    seed: Seed = 1,
) -> None:
    """Run the whole way on a simulated survey: simulate, prepare, validate, train, predict, report.

    Example: photfeh demo --output demo-output
    """
    from photfeh.demonstration import demo as run

    with progress() as report:
        result = run(output, n_stars=stars, seed=seed, progress=report)
    print_frame(result.metrics[list(_SHOWN)], "Scored on stars that no fit has seen")
    out.print(result.summary)
    out.print(f"predictions: {result.predictions}\nreport: {result.report}")


@app.command()
def simulate(
    stars: Annotated[int, typer.Option(help="Number of stars.", min=1)],
    output: Output,
    seed: Seed = 0,
) -> None:
    """Write a simulated survey with known truth: epochs.parquet and stars.parquet.

    Example: photfeh simulate --stars 2000 --output survey
    """
    from photfeh.simulation.survey import write_simulation

    write_simulation(stars, output, seed=seed)
    out.print(f"{stars} stars: {output / 'epochs.parquet'}, {output / 'stars.parquet'}")


@app.command()
def prepare(
    epochs: Epochs,
    stars: Stars,
    output: Output,
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
            exclude=exclude,
            progress=lambda done, total: report("stars", done, total),
        )  # fmt: skip
    print_frame(dataset.cut_flow, "Cut flow")
    print_flags(dataset.stars["flag"])
    out.print(f"labels: {dataset.truth}")
    out.print(f"{len(dataset)} stars, {len(dataset.sample)} in the sample: {output}")


@app.command()
def validate(
    dataset: Annotated[Path, typer.Argument(help="Data-set folder made by prepare.")],
    output: Output,
    models: Annotated[
        str, typer.Option(help="Names separated by commas, or all (that can read these representations).")
    ] = "ridge-fourier,svr,gru",
    representations: Annotated[str, typer.Option(help="Among those of the data set.")] = "spline",
    folds: Annotated[str, typer.Option(help="Number of folds, or a column that holds given folds.")] = "5",
    repeats: Annotated[int, typer.Option(help="Repetitions with other folds.", min=1)] = 1,
    protocol: Annotated[
        str, typer.Option(help="nested; or paper (stops on the scored fold: optimistic, for comparison only).")
    ] = "nested",
    weighting: Annotated[str, typer.Option(help="Sample weights of the fit.")] = "density",
    external: Annotated[
        str | None, typer.Option(help="Column of the star table with predictions of others, scored on the same stars.")
    ] = None,
    set_: Set = None,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(help="Fits at the same time, each in a process of its own.", min=1)] = 1,
) -> None:
    """Cross-validate models; write the out-of-fold table, metrics and report.html.

    Example: photfeh validate dataset --models gru,svr --folds 5 --output run
    """
    from photfeh.demonstration import report_run
    from photfeh.models.registry import MODELS, list_models
    from photfeh.samples.dataset import Dataset
    from photfeh.validation.cross_validate import validate as run

    how: Any = protocol
    if how not in ("nested", "paper"):
        raise BadInput(f"--protocol must be nested or paper, not {protocol!r}.")
    kinds = names(representations)
    chosen = names(models)
    if models == "all":
        chosen = [name for name in list_models() if set(kinds) & set(MODELS[name].model_class().representations)]
    opened = Dataset.open(dataset)
    with progress() as report:
        result = run(
            opened, output,
            models=chosen, representations=kinds, folds=int(folds) if folds.isdigit() else folds,
            repeats=repeats, protocol=how, weighting=weighting, params=settings(set_), seed=seed,
            jobs=jobs, progress=report,
        )  # fmt: skip
    metrics, path = report_run(opened, result, external=external)
    print_frame(metrics[metrics["part"] == "score"][list(_SHOWN)], f"Scored parts ({protocol} protocol)")
    for row in result.failures.itertuples():
        err.print(f"failed: {row.model} on {row.representation}, fold {row.fold}: {row.reason}", style="red")
    out.print(f"labels: {opened.truth}\nrun: {output}\nreport: {path}")
    if len(result.failures):
        raise typer.Exit(1)


app.command()(compare)
app.command()(learning_curve)


@app.command()
def train(
    dataset: Annotated[Path, typer.Argument(help="Data-set folder made by prepare.")],
    output: Output,
    model: Annotated[str, typer.Option(help="Name of the model.")] = "gru",
    representation: Annotated[str, typer.Option(help="Among those of the data set.")] = "spline",
    folds: Annotated[int, typer.Option(help="Members of the ensemble.", min=2)] = 5,
    weighting: Annotated[str, typer.Option(help="Sample weights of the fit.")] = "density",
    set_: Set = None,
    seed: Seed = 0,
) -> None:
    """Train an ensemble, calibrate its errors on out-of-fold residuals, and save it.

    Example: photfeh train dataset --model gru --output model
    """
    from photfeh.inference.training import train as run

    with progress() as report:
        ensemble = run(
            dataset, output,
            model=model, representation=representation, folds=folds, weighting=weighting,
            params=settings(set_).get(model, {}), seed=seed, progress=report,
        )  # fmt: skip
    scores = ensemble.notes["out_of_fold"]
    values = ", ".join(f"{name} {scores[name]:.4f}" for name in ("r2", "rmse", "mae"))
    out.print(f"{model}: {len(ensemble.members)} members, {scores['n']} stars; out of fold {values}\nmodel: {output}")


@app.command()
def predict(
    epochs: Epochs,
    stars: Stars,
    model: Annotated[str | None, typer.Option(help="Name (see `photfeh models list`) or model folder.")] = None,
    output: Annotated[Path, typer.Option(help="File to write, .parquet or .csv.")] = Path("predictions.parquet"),
    band: Band = None,
    any_band: Annotated[
        bool, typer.Option(help="Predict curves in another band than the model's too; they are flagged.")
    ] = False,
    periods: Periods = "given",
    adapt_intervals: Annotated[
        bool, typer.Option(help="Fit intervals to the population of these stars (weighted conformal).")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an output that photfeh did not make.")] = False,
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
            adapt=adapt_intervals, overwrite=overwrite,
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


@models_app.command("list")
def models_list() -> None:
    """Architectures to train, and trained models to predict with."""
    from photfeh.core.bands import get_band
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
        predictor = load(name)
        ready.add_row(name, str(get_band(predictor.band)), predictor.truth)
    out.print(ready)


@models_app.command("card")
def models_card(name: Annotated[str, typer.Argument(help="Trained model or model folder.")]) -> None:
    """What a trained model was taught, how well it does, and where it must not be trusted.

    Example: photfeh models card dekany-i-band
    """
    from photfeh.inference.prediction import load_card

    out.print(load_card(name), markup=False, highlight=False, soft_wrap=True)


@models_app.command("describe")
def models_describe(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    points: Annotated[int, typer.Option(help="Length of the sequence.")] = 264,
) -> None:
    """Parameters of a model; for networks the layer table with output shapes and parameter counts."""
    from photfeh.models.describe import describe

    layers, params, summary = describe(name, points)
    out.print(f"[bold]{name}[/bold]: {summary}")
    if layers is not None:
        print_frame(layers, "Layers")
        out.print(f"total parameters: {int(layers['parameters'].sum()):,}")
    out.print("defaults: " + json.dumps(params, default=str))


def main() -> None:
    """Entry point: errors of photfeh become one line on stderr and exit status 2."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        app(standalone_mode=False)
    except PhotfehError as error:
        err.print(f"photfeh: {error}", style="red", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("photfeh: interrupted; run the same command again to go on.")
        sys.exit(130)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "format_message"):  # click's usage errors
            err.print(f"photfeh: {error.format_message()} Try --help.", markup=False)
            sys.exit(2)
        raise


def _show_warning(message: Any, category: type[Warning], *where: Any) -> None:
    if issubclass(category, PhotfehWarning):
        err.print(f"photfeh: warning: {message}", style="yellow", markup=False)
