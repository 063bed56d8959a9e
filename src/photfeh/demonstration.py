"""The whole way in one call: simulate, prepare, validate, train, predict, report; and the report of any run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from photfeh.core.errors import MissingColumn, PhotfehWarning
from photfeh.core.outputs import own_folder
from photfeh.core.packages import has_package
from photfeh.inference.prediction import predict
from photfeh.inference.training import train
from photfeh.report import ReportData, write_report
from photfeh.report.page.explorer import shown_curves
from photfeh.samples.dataset import Dataset
from photfeh.samples.preparation import prepare
from photfeh.samples.weights import DensityWeights
from photfeh.simulation.survey import write_simulation
from photfeh.validation.cross_validate import validate
from photfeh.validation.metrics import METRICS, score
from photfeh.validation.pairs import beside_external
from photfeh.validation.run import Run

__all__ = ["Demonstration", "demo", "report_run"]

Progress = Callable[[str, int, int], None]

_MODELS = ("ridge-fourier", "svr", "gru")
_QUICK = {"gru": {"epochs": 40, "batch_size": 64, "learning_rate": 0.03}}


@dataclass(frozen=True)
class Demonstration:
    """What :func:`demo` made: files, scores, and one sentence on the predictions of new stars."""

    report: Path
    predictions: Path
    metrics: pd.DataFrame
    summary: str


def demo(
    output: str | Path, *, n_stars: int = 1000, seed: int = 1, overwrite: bool = False, progress: Progress | None = None
) -> Demonstration:
    """Simulate a survey and take it the whole way.

    Models are compared and trained on ``n_stars`` stars; a second survey of half the size, which nothing was trained
    on, is then predicted and compared with its truth.

    Raises
    ------
    BadInput
        if ``output`` holds files that no demonstration made, unless ``overwrite``.
    """
    # what an earlier demonstration has made is made again; whatever else lies there stays
    folder = own_folder(output, "demo", overwrite=overwrite)

    def say(what: str, done: int, total: int) -> None:
        if progress is not None:
            progress(what, done, total)

    models = _affordable()
    survey, fresh = folder / "survey", folder / "new-stars"
    say("simulate", 0, 1)
    write_simulation(n_stars, survey, seed=seed)
    write_simulation(max(n_stars // 2, 1), fresh, seed=seed + 1)
    dataset = prepare(
        survey / "epochs.parquet", survey / "stars.parquet", folder / "dataset",
        labels="column", cuts="none", types=("RRab", "RRc"), truth="simulation", overwrite=True,
        progress=lambda done, total: say("prepare", done, total),
    )  # fmt: skip
    run = validate(
        dataset, folder / "run",
        models=models, folds=5, params={name: _QUICK[name] for name in models if name in _QUICK},
        seed=seed, overwrite=True, progress=say,
    )  # fmt: skip
    train(dataset, folder / "model", model="svr", seed=seed, overwrite=True, progress=say)
    predictions = predict(
        fresh / "epochs.parquet", fresh / "stars.parquet",
        model=folder / "model", output=folder / "predictions.parquet", overwrite=True,
    )  # fmt: skip
    metrics, report = report_run(
        dataset, run, predictions=predictions, title="A simulated survey", path=folder / "report.html"
    )
    summary = _summary(predictions, pd.read_parquet(fresh / "stars.parquet"))
    return Demonstration(report, folder / "predictions.parquet", metrics[metrics["part"] == "score"], summary)


def _affordable() -> tuple[str, ...]:
    """The models to compare: without torch no networks."""
    if has_package("torch"):
        return _MODELS
    warnings.warn("gru is left out, which needs torch: pip install 'photfeh[torch]'.", PhotfehWarning, stacklevel=3)
    return tuple(name for name in _MODELS if name != "gru")


def _summary(predictions: pd.DataFrame, stars: pd.DataFrame) -> str:
    """How the trained model did on stars of the second survey."""
    both = predictions.merge(stars[["source_id", "feh"]], on="source_id", suffixes=("", "_true")).dropna(subset=["feh"])
    values = score(both["feh_true"], both["feh"])
    known = both.dropna(subset=["feh_lower", "feh_upper"])  # a star without a prediction is no miss
    inside = ((known["feh_lower"] <= known["feh_true"]) & (known["feh_true"] <= known["feh_upper"])).mean()
    return (
        f"{values['n']} of {len(predictions)} new stars predicted by the trained svr: rmse {values['rmse']:.3f} dex, "
        f"truth inside the 90 % interval for {100 * inside:.1f} %"
    )


def report_run(
    dataset: Dataset,
    run: Run,
    *,
    external: str | None = None,
    predictions: pd.DataFrame | None = None,
    title: str | None = None,
    path: str | Path | None = None,
) -> tuple[pd.DataFrame, Path]:
    """Write the report of a run (default: report.html in its folder).

    ``external`` names a column of the star table with somebody else's predictions of the same stars; their metrics,
    on the scored stars, join the table.

    Returns
    -------
    metrics : DataFrame
        The run's metrics, with a row for the external predictions where given.
    path : Path
    """
    metrics, table = run.metrics, None
    if external is not None:
        metrics, table = _with_external(dataset, run, external)
    sample = dataset.stars.iloc[dataset.sample]
    weighting = str(run.config["validation"]["weighting"])
    density = DensityWeights(weighting).fit(sample["feh"], sample["feh_error"])
    weights = pd.DataFrame(
        {
            "feh": sample["feh"].to_numpy(),
            "weight": density(sample["feh"], sample["feh_error"]),
            "density": density.density(sample["feh"]),
        }
    )
    data = ReportData(
        title=title or f"Metallicities from light curves: {run.folder.resolve().name}",
        truth=dataset.truth,
        metrics=metrics,
        out_of_fold=run.out_of_fold,
        history=run.history if len(run.history) else None,
        timings=run.timings,
        stars=sample,
        curves=shown_curves(dataset, run.score),
        cut_flow=dataset.cut_flow,
        weights=weights,
        external=table,
        external_name=external or "external",
        predictions=predictions,
        config=run.config,
        environment=run.environment,
    )
    return metrics, write_report(data, path or run.folder / "report.html")


def _with_external(dataset: Dataset, run: Run, column: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    if column not in dataset.stars.columns:
        raise MissingColumn(column, f"the star table of {dataset.folder}", found=dataset.stars.columns)
    table = dataset.stars[["source_id", column]].rename(columns={column: "feh"}).dropna()
    beside = beside_external(run.score, table.set_index("source_id")["feh"], column)
    if beside.empty:
        return run.metrics, table
    first = beside.iloc[0]
    row: dict[str, Any] = {"model": column, "representation": "published", "part": "score", "n": first["n"]}
    row |= {metric: first[f"external_{metric}"] for metric in METRICS}
    return pd.concat([run.metrics, pd.DataFrame([row])], ignore_index=True), table
