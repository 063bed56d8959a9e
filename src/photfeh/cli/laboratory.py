"""The commands ``validate``, ``compare`` and ``learning-curve``: which model is good, and where."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from photfeh.cli.console import SHOWN, budget_of, err, names, out, print_frame, progress, settings
from photfeh.cli.options import Config, Jobs, Output, Overwrite, Seed, Set, Training, Weighting
from photfeh.core.errors import BadInput
from photfeh.core.files import naming, write_text
from photfeh.core.outputs import keep_inputs, own_folder

__all__ = ["compare", "learning_curve", "validate"]


def validate(
    dataset: Annotated[Path, typer.Argument(help="Data-set folder made by prepare.")],
    output: Output,
    models: Annotated[
        str, typer.Option(help="Names separated by commas, or all (that can read these representations).")
    ] = "ridge-fourier,svr,gru",
    representations: Annotated[
        str, typer.Option(help="Among those of the data set; two for one model: raw+spline.")
    ] = "spline",
    folds: Annotated[str, typer.Option(help="Number of folds, or a column that holds given folds.")] = "5",
    repeats: Annotated[int, typer.Option(help="Repetitions with other folds.", min=1)] = 1,
    protocol: Annotated[
        str, typer.Option(help="nested; or paper (stops on the scored fold: optimistic, for comparison only).")
    ] = "nested",
    weighting: Weighting = "density",
    external: Annotated[
        str | None, typer.Option(help="Column of the star table with predictions of others, scored on the same stars.")
    ] = None,
    set_: Set = None,
    budget: Training = None,
    config: Config = None,
    tune: Annotated[int, typer.Option(help="Trials of a search for parameters within each fold; 0: none.", min=0)] = 0,
    seed: Seed = 0,
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
) -> None:
    """Cross-validate models; write the out-of-fold table, metrics and report.html.

    Example: photfeh validate dataset --models gru,svr --folds 5 --output run
    """
    from photfeh.demonstration import report_run
    from photfeh.models.registry import MODELS, list_models
    from photfeh.samples.dataset import Dataset
    from photfeh.validation.cross_validate import validate as run
    from photfeh.validation.pairs import squared_errors, tuned_table

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
            repeats=repeats, protocol=how, weighting=weighting, params=settings(set_, chosen, config=config),
            seed=seed, tune=tune,
            budget=budget_of(budget),
            jobs=jobs, overwrite=overwrite, progress=report,
        )  # fmt: skip
    metrics, path = report_run(opened, result, external=external)
    note = f"; networks {result.caution}" if result.caution else ""
    print_frame(metrics[metrics["part"] == "score"][list(SHOWN)], f"Scored parts ({protocol} protocol{note})")
    found = tuned_table(squared_errors(result.out_of_fold))
    if len(found):
        cost = result.tuned.groupby(["model", "representation"], as_index=False)["cpu_minutes"].sum()
        shown = ["model", "representation", "other_rmse", "rmse", "ratio", "ratio_low", "ratio_high", "p"]
        table = found[shown].merge(cost, on=["model", "representation"], how="left")
        print_frame(table, "Tuned within each fold, over default")
    budgets = result.budgets
    if len(budgets):
        kept = budgets[budgets["kept"]].groupby(["model", "representation"])["epochs"].agg(["min", "median", "max"])
        print_frame(kept.reset_index(), "Epochs after which the tune error had stopped falling, over folds")
    for row in result.failures.itertuples():
        err.print(f"failed: {row.model} on {row.representation}, fold {row.fold}: {row.reason}", style="red")
    out.print(f"labels: {opened.truth}\nrun: {output}\nreport: {path}")
    if len(result.failures):
        raise typer.Exit(1)


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
    overwrite: Overwrite = False,
) -> None:
    """Compare models: founding tables, paired tests, critical differences, cost, and report.html.

    Example: photfeh compare run other-run --dataset dataset --output comparison
    """
    from photfeh.report import comparison_text, write_comparison
    from photfeh.validation.comparison import compare as run

    keep_inputs(output, (*runs, *(dataset or ()), *([] if external is None else [external])), beside=False)
    found = run(runs, datasets=dataset or (), external=external)
    path = write_comparison(found, own_folder(output, "compare", overwrite=overwrite))
    width = shutil.get_terminal_size((160, 24)).columns
    typer.echo("\n\n".join(comparison_text(one, width=width) for one in found))
    typer.echo(f"\nreport: {path}")


def learning_curve(
    dataset: Annotated[Path, typer.Argument(help="Data-set folder made by prepare.")],
    output: Annotated[Path, typer.Option(help="Folder to make.")] = Path("learning-curve"),
    models: Annotated[str, typer.Option(help="Names separated by commas.")] = "ridge-fourier,svr",
    representation: Annotated[str, typer.Option(help="One of those of the data set, or two: raw+spline.")] = "spline",
    fractions: Annotated[str, typer.Option(help="Parts of the training stars.")] = "0.125,0.25,0.5,1",
    folds: Annotated[int, typer.Option(help="Number of folds.", min=2)] = 5,
    weighting: Weighting = "density",
    set_: Set = None,
    seed: Seed = 0,
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
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
            weighting=weighting, params=settings(set_, names(models)), seed=seed, jobs=jobs, overwrite=overwrite,
            progress=report,
        )  # fmt: skip
    write_text(output / "learning_curve.csv", table.to_csv(index=False))
    wide = table.pivot(index=["n_train", "repeat", "fold"], columns="model", values="rmse")
    sizes = wide.index.get_level_values("n_train").unique()
    scores = {str(name): [wide.loc[size, name].to_numpy() for size in sizes] for name in wide.columns}
    figure = Figure(figsize=(6, 4))
    draw(sizes, scores, ax=figure.subplots())
    with naming(output / "learning_curve.png"):
        figure.savefig(output / "learning_curve.png", dpi=150, bbox_inches="tight")
    means = table.groupby(["model", "n_train"], as_index=False)["rmse"].mean()
    print_frame(means, "rmse in dex, mean over folds")
    out.print(f"table and figure: {output / 'learning_curve.csv'}, {output / 'learning_curve.png'}")
