"""The verb ``tune``: the best parameters of one model on one data set, resumable, beside the default ones."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

from photfeh.core.errors import BadInput, UnknownName
from photfeh.core.files import read_json, write_json, write_text
from photfeh.core.fingerprint import fingerprint
from photfeh.core.interrupts import deaf
from photfeh.core.outputs import own_folder
from photfeh.models.registry import MODELS, create_model
from photfeh.models.spaces import Space, read_space
from photfeh.samples.dataset import Dataset
from photfeh.samples.weights import check_weighting
from photfeh.validation.fitting import Labelled, fit_split
from photfeh.validation.significance import Paired, compare_blocks
from photfeh.validation.splits import check_seed
from photfeh.validation.tuning.search import (
    FOLDS,
    Found,
    Search,
    _Objective,
    _work,
    best_of,
    checked_space,
    trials_table,
)
from photfeh.validation.tuning.study import Desk, needs_optuna

__all__ = ["Tuning", "tune"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Tuning:
    """A finished search: the best parameters, every trial, what matters, and the best beside the default.

    ``beside``: tuned over default on folds that the search has not used, of the same stars: still optimistic, since the
    best was chosen on them; ``validate --tune`` is free of that. ``importance``: share of each parameter in what the
    error varies by. ``config``: the TOML file for ``train`` and ``validate --config``.
    """

    folder: Path
    search: Search
    found: Found
    default: dict[str, Any]
    trials: pd.DataFrame
    importance: pd.DataFrame
    beside: Paired
    errors: pd.DataFrame
    config: Path
    truth: str


def tune(
    dataset: Dataset | str | Path,
    output: str | Path,
    *,
    model: str,
    trials: int = 30,
    representation: str = "spline",
    space: Space | str | Path | None = None,
    folds: int = FOLDS,
    weighting: str = "density",
    params: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    jobs: int = 1,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Tuning:
    """Search the parameters of a model on the sample of a data set.

    A call that was cut off goes on with the same arguments; ``trials`` may grow. Several calls may work on one folder.

    Parameters
    ----------
    dataset, output
        Data-set folder; folder of the study to make, or to go on with.
    trials
        Number of trials, pruned and failed ones included.
    space
        Ranges and choices, or a TOML file of them; default: the space that the registry has for the model.
    params
        Parameters that are held.
    timeout
        Seconds after which no further trial is begun.
    jobs
        Processes that run trials at the same time; with more than one the study depends on who was faster.

    Raises
    ------
    UnknownName, BadInput
        before any work, for names and values that do not exist, ranges that cannot be, a folder that cannot be written
        to, or one with a study of other settings.
    FitFailed
        if not one trial could be fitted.
    """
    needs_optuna()
    opened = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    how = _settings(model, trials, space, params or {}, folds, weighting, seed, timeout)
    opened.representation(representation)
    if representation not in create_model(model, **how.params).representations:
        raise BadInput(f"{model} cannot read {representation}.")
    if jobs < 1:
        raise BadInput(f"jobs must be at least 1, found {jobs}.")
    data = Labelled.of(opened, representation)
    folder = own_folder(output, "tune", inputs=(opened.folder,), overwrite=overwrite)
    _same_study(folder, how, data.content)
    rows = np.arange(len(data.feh))
    objective = _Objective(data, rows, how)
    first = create_model(model, **how.params).get_params()
    desk = Desk(folder, how.space, seed=seed, first=first, epochs=objective.epochs)
    if jobs > 1:
        _side_by_side(opened, representation, folder, how, jobs)
    _work(desk, objective, how, progress)  # alone, or what a killed process has left
    return _finished(folder, how, desk, data, first, opened.truth)


def _settings(
    model: str,
    trials: int,
    space: Space | str | Path | None,
    params: Mapping[str, Any],
    folds: int,
    weighting: str,
    seed: int,
    timeout: float | None,
) -> Search:
    """What is asked for, checked."""
    if model not in MODELS:
        raise UnknownName("model", model, MODELS)
    if trials < 1:
        raise BadInput(f"trials must be at least 1, found {trials}.")
    check_weighting(weighting)
    check_seed(seed)
    create_model(model, **params)
    chosen = checked_space(model, read_space(space) if isinstance(space, (str, Path)) else space)
    both = sorted(set(chosen) & set(params))
    if both:
        raise BadInput(f"{', '.join(both)} of {model} cannot be held and searched at the same time.")
    return Search(
        name=model, n_trials=trials, space=chosen, params=dict(params), n_folds=folds, weighting=weighting, seed=seed,
        timeout=timeout,
    )  # fmt: skip


def _same_study(folder: Path, how: Search, content: str) -> None:
    """A folder holds one study; the number of trials and the time may differ from call to call."""
    space = {name: asdict(values) for name, values in how.space.items()}
    made_of = fingerprint(how.name, space, dict(how.params), how.n_folds, how.weighting, how.seed, content)
    kept = read_json(folder / "study.json")
    if kept is not None and kept.get("made_of") != made_of:
        raise BadInput(f"{folder} holds a study of other settings or data; name another --output.")
    write_json(folder / "study.json", {"made_of": made_of, "model": how.name})


def _side_by_side(dataset: Dataset, representation: str, folder: Path, how: Search, jobs: int) -> None:
    """Workers in processes of their own; what one that is killed leaves behind, the others take up."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_worker, args=(dataset.folder, representation, folder, how)) for _ in range(jobs)]
    with deaf():
        for worker in workers:
            worker.start()
    try:
        for worker in workers:
            worker.join()
    except BaseException:
        for worker in workers:
            worker.terminate()
        raise


def _worker(dataset: Path, representation: str, folder: Path, how: Search) -> None:
    data = Labelled.of(Dataset.open(dataset), representation)
    objective = _Objective(data, np.arange(len(data.feh)), how)
    first = create_model(how.name, **how.params).get_params()
    _work(Desk(folder, how.space, seed=how.seed, first=first, epochs=objective.epochs), objective, how)


def _finished(folder: Path, how: Search, desk: Desk, data: Labelled, first: Mapping[str, Any], truth: str) -> Tuning:
    """Write down what the study has found."""
    found = best_of(desk, how)
    default = {name: first[name] for name in how.space}
    beside, errors = _beside_default(data, how, found)
    trials = trials_table(desk)
    config = {
        "models": {how.name: {name: _plain(value) for name, value in found.params.items()}},
        "tuning": {
            "trials": found.n_trials, "cpu_minutes": found.cpu_minutes, "rmse": found.value, "folds": how.n_folds,
            "seed": how.seed, "weighting": how.weighting,
        },
    }  # fmt: skip
    write_text(folder / "trials.csv", trials.to_csv(index=False))
    write_text(folder / "beside_default.csv", errors.to_csv(index=False))
    write_text(folder / "config.toml", tomli_w.dumps(config))
    return Tuning(folder, how, found, default, trials, _importance(desk), beside, errors, folder / "config.toml", truth)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _beside_default(data: Labelled, how: Search, found: Found) -> tuple[Paired, pd.DataFrame]:
    """Tuned and default parameters on folds that the search has not used; ratio of rmse, and a row a fold."""
    rows = []
    for number, split in enumerate(data.splits(how.n_folds, how.seed + 1)):
        row: dict[str, float] = {"fold": number, "n": len(split.score)}
        for name, params in (("tuned", found.params), ("default", how.params)):
            fitted = fit_split(how.name, params, data, split, weighting=how.weighting, seed=how.seed + 500 + number)
            residual = fitted.model.predict(data.sequences[split.score]) - data.feh[split.score]
            row |= {f"{name}_rmse": float(np.sqrt(np.mean(residual**2))), f"{name}_seconds": fitted.seconds}
        rows.append(row)
    table = pd.DataFrame(rows)
    tuned, plain = (table[f"{name}_rmse"].to_numpy(np.float64) ** 2 for name in ("tuned", "default"))
    return compare_blocks(tuned, plain, table["n"], 1 / (how.n_folds - 1)), table


def _importance(desk: Desk) -> pd.DataFrame:
    """Share of each parameter, largest first; empty where too few trials were finished to tell."""
    from optuna.importance import get_param_importances

    done = desk.finished()
    if len(done) < 4 or np.ptp([trial.value for trial in done]) == 0:
        return pd.DataFrame(columns=["parameter", "importance"])
    found = get_param_importances(desk.study)
    return pd.DataFrame({"parameter": list(found), "importance": list(found.values())})
