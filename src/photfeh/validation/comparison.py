"""The verb ``compare``: models of one or several runs side by side, and what of the differences is chance.

Everything that judges (ranks, intervals, tests) sees the scored part only; train and tune rows enter nothing but the
training columns of the founding table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.errors import BadInput, MissingColumn
from photfeh.readers import read_stars
from photfeh.samples.dataset import Dataset
from photfeh.validation.groups import group_scores
from photfeh.validation.merge import MergedRuns, merge_runs
from photfeh.validation.metrics import metrics_table
from photfeh.validation.pairs import (
    Key,
    beside_external,
    chosen_table,
    fold_rmse,
    keys_of,
    ladder,
    optimism,
    pair_table,
    ranked,
    spline_table,
    squared_errors,
)
from photfeh.validation.run import Run
from photfeh.validation.significance import Ranks, average_ranks

__all__ = ["FOUNDING_METRICS", "Comparison", "compare", "founding_table"]

FOUNDING_METRICS = ("r2", "wrmse", "wmae", "rmse", "mae")
"""Rows of the founding table (Monti & Muraveva 2024), in its order; r2, wrmse and wmae are weighted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """All that is known about the models of one data set; every table is plain and sorted, best model first.

    ``metrics``: :func:`photfeh.validation.metrics.metrics_table`. ``founding`` and ``ranks``: by representation.
    ``pairs``: two models on one representation; ``spline``: one model on two representations; ``optimism``: rmse of the
    nested minus that of the paper protocol; ``external``: predictions of others beside every model. Ratios are of rmse,
    the first named over the second, with 95 % intervals that know the scatter of training; those of ``external`` know
    that of stars only. ``chosen``: the best model of each representation, corrected for having been chosen.
    ``order``: every model on every representation, those that have a rank first, best first; ``unranked``: those that
    have none, and why. ``groups``: scores by bin of [Fe/H], epochs, magnitude and by type. ``cost``: seconds beside
    rmse. ``made``: configuration and environment of every run, in the order of ``folders``, as are ``cautions``.
    Tables without input are empty.
    """

    name: str
    truth: str
    protocol: str
    folders: tuple[Path, ...]
    made: tuple[dict[str, Any], ...]
    cautions: tuple[str, ...]
    processors: tuple[str, ...]
    n_stars: int
    n_folds: int
    n_repeats: int
    out_of_fold: pd.DataFrame
    metrics: pd.DataFrame
    order: tuple[Key, ...]
    unranked: dict[Key, str]
    founding: dict[str, pd.DataFrame]
    founding_paper: dict[str, pd.DataFrame]
    ranks: dict[str, Ranks]
    pairs: pd.DataFrame
    chosen: pd.DataFrame
    spline: pd.DataFrame
    optimism: pd.DataFrame
    external: pd.DataFrame
    external_name: str
    external_feh: pd.Series
    groups: pd.DataFrame
    cost: pd.DataFrame
    failures: pd.DataFrame
    stars: pd.DataFrame | None
    dataset: Dataset | None

    @property
    def caution(self) -> str:
        """What every table must say of the networks in these runs; empty where nothing is to be said."""
        return "; ".join(dict.fromkeys(filter(None, self.cautions)))

    def ranking(self, representation: str) -> list[str]:
        """Models on one representation that have a rank, the best first."""
        return [model for model, kind in self.order if kind == representation and (model, kind) not in self.unranked]


def compare(
    runs: Sequence[Run | str | Path],
    *,
    datasets: Sequence[Dataset | str | Path] = (),
    external: str | Path | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> list[Comparison]:
    """Compare the models of runs, one comparison a data set.

    Runs of one data set are merged. Where it has runs of both protocols the nested ones are compared, and the paper
    ones tell the optimism. Models are ranked by rmse on the stars that all of them predict. One that failed in a whole
    fold has no rank and enters no test; nor has the model ``relation`` where the labels are that very formula.

    Parameters
    ----------
    runs
        Run folders made by :func:`photfeh.validate`, of one data set or of several.
    datasets
        Data-set folders of these runs, or star tables: columns ``type``, ``n_epochs``, ``zero_point`` for the scores of
        groups of stars.
    external
        Predictions of others: a table with ``source_id`` and ``feh``, or the name of a column of ``datasets``.
    n_resamples, seed
        Of the bootstrap behind ``chosen``.

    Raises
    ------
    BadInput
        for runs that contradict each other (see :func:`photfeh.validation.merge.merge_runs`), a data set that belongs
        to no run, or external predictions without a star in common with any run.
    """
    merged = merge_runs(runs)
    hashes: dict[str, list[MergedRuns]] = {}
    for group in merged:
        hashes.setdefault(group.stars_sha256, []).append(group)
    sources = _star_tables(datasets, set(hashes))
    found: list[Comparison] = []
    # of a file only the name: a whole path leaves a figure no room
    theirs = Path(external).name if external is not None and Path(external).is_file() else str(external)
    for sha, groups in hashes.items():
        groups.sort(key=lambda group: group.protocol)  # nested before paper
        source = sources.get(sha, sources.get(""))
        dataset = source if isinstance(source, Dataset) else None
        stars = source.stars if isinstance(source, Dataset) else source
        name = (groups[0].runs[0] if dataset is None else dataset).folder.resolve().name
        table = None if external is None else _external(external, stars)
        name = _unused(name, [one.name for one in found])
        found.append(_compare(name, groups, stars, dataset, table, theirs, n_resamples, seed))
    if external is not None and not any(len(one.external) for one in found):
        raise BadInput(f"the external predictions {external} have no star in common with these runs.")
    return found


def _star_tables(datasets: Sequence[Dataset | str | Path], hashes: set[str]) -> dict[str, Dataset | pd.DataFrame]:
    """Data sets by their hash; a table of stars serves every run, under the key ''."""
    found: dict[str, Dataset | pd.DataFrame] = {}
    for source in datasets:
        if not isinstance(source, Dataset) and not Path(source).is_dir():
            found[""] = read_stars(source)
            continue
        opened = source if isinstance(source, Dataset) else Dataset.open(source)
        sha = str(opened.notes["stars_sha256"])
        if sha not in hashes:
            raise BadInput(f"{opened.folder} is not the data set of any of these runs, or was prepared again since.")
        found[sha] = opened
    return found


def _unused(name: str, used: list[str]) -> str:
    number = 2
    unique = name
    while unique in used:
        unique, number = f"{name}-{number}", number + 1
    return unique


def _external(source: str | Path, stars: pd.DataFrame | None) -> pd.Series:
    """Somebody else's [Fe/H], indexed by source_id."""
    if Path(source).is_file():
        table, column = read_stars(source), "feh"
    elif stars is not None:
        table, column = stars, str(source)
    else:
        raise BadInput(f"{source} is no file; if it is a column, name the data set that has it with --dataset.")
    if column not in table.columns:
        raise MissingColumn(column, f"the table of external predictions {source}", found=table.columns)
    return table.set_index("source_id")[column].astype(np.float64).dropna()


def _compare(
    name: str,
    groups: list[MergedRuns],
    stars: pd.DataFrame | None,
    dataset: Dataset | None,
    external: pd.Series | None,
    external_name: str,
    n_resamples: int,
    seed: int,
) -> Comparison:
    main, paper = groups[0], next((group for group in groups[1:] if group.protocol == "paper"), None)
    errors = squared_errors(main.out_of_fold)
    order, unranked = ranked(main.out_of_fold, main.truth)
    keys = [key for key in keys_of(errors) if key not in unranked]
    metrics = _best_first(metrics_table(main.out_of_fold), order)
    representations = sorted(set(metrics["representation"]), key=ladder)
    ranks, pairs, chosen = {}, [], []
    for kind in representations:
        here = [key for key in keys if key[1] == kind]
        common = errors[here].dropna()
        if len(here) > 1 and len(common):
            pairs.append(pair_table(common))
            chosen.append(chosen_table(common, here, n_resamples=n_resamples, seed=seed))
            blocks = fold_rmse(common)
            if blocks.shape[1] > 1:
                ranks[kind] = average_ranks(tuple(model for model, _ in here), blocks)
    scored = main.out_of_fold[main.out_of_fold["part"] == "score"]
    runs = [run for group in groups for run in group.runs]
    return Comparison(
        name=name,
        truth=main.truth,
        protocol=main.protocol,
        folders=tuple(run.folder for run in runs),
        cautions=tuple(run.caution for run in runs),
        made=tuple({**run.config, "environment": run.environment} for run in runs),
        processors=main.processors,
        n_stars=int(scored["source_id"].nunique()),
        n_folds=int(scored["fold"].nunique()),
        n_repeats=int(scored["repeat"].nunique()),
        out_of_fold=main.out_of_fold,
        metrics=metrics,
        order=tuple(order),
        unranked=unranked,
        founding={kind: founding_table(metrics, kind, _common_rmse(errors, keys, kind)) for kind in representations},
        founding_paper={} if paper is None else _paper_tables(paper),
        ranks=ranks,
        pairs=pd.concat(pairs, ignore_index=True) if pairs else pd.DataFrame(),
        chosen=pd.DataFrame(chosen),
        spline=spline_table(errors),
        optimism=pd.DataFrame() if paper is None else optimism(errors, squared_errors(paper.out_of_fold)),
        external=pd.DataFrame() if external is None else beside_external(scored, external, external_name),
        external_name=external_name,
        external_feh=pd.Series(dtype=np.float64) if external is None else external,
        groups=group_scores(scored, stars),
        cost=_cost(metrics, main.timings),
        failures=main.failures,
        stars=None if stars is None else stars[stars["source_id"].isin(scored["source_id"])].reset_index(drop=True),
        dataset=dataset,
    )  # fmt: skip


def _common_rmse(errors: pd.DataFrame, keys: Sequence[Key], kind: str) -> pd.Series:
    """Rmse of the models on one representation, on the stars that all of them predict; by model."""
    here = [key for key in keys if key[1] == kind]
    return errors[here].dropna().mean().pow(0.5).droplevel("representation")


def founding_table(metrics: pd.DataFrame, representation: str, rmse: pd.Series) -> pd.DataFrame:
    """The table of the founding work: models in columns, each with training and validation; metrics in rows.

    Validation is the scored part. The last row is the rank by ``rmse``, that of each model on the stars that all of
    them predict; a model that is not in it has none.
    """
    rows = metrics[metrics["representation"] == representation]
    parts = {kind: rows[rows["part"] == part].set_index("model") for kind, part in _COLUMNS.items()}
    ranks = rmse.rank(method="min")
    names = sorted(parts["validation"].index, key=lambda name: (ranks.get(name, np.inf), name))
    columns = {}
    for name in names:
        for kind, table in parts.items():
            values = {metric: _value(table, name, metric) for metric in FOUNDING_METRICS}
            columns[name, kind] = values | {"rank": ranks.get(name, np.nan) if kind == "validation" else np.nan}
    return pd.DataFrame(columns, index=[*FOUNDING_METRICS, "rank"])


_COLUMNS = {"training": "train", "validation": "score"}


def _value(table: pd.DataFrame, model: str, metric: str) -> float:
    return float(table.at[model, metric]) if model in table.index else np.nan  # type: ignore[arg-type]


def _paper_tables(paper: MergedRuns) -> dict[str, pd.DataFrame]:
    metrics, errors = metrics_table(paper.out_of_fold), squared_errors(paper.out_of_fold)
    order, unranked = ranked(paper.out_of_fold, paper.truth)
    keys = [key for key in order if key not in unranked]
    kinds = sorted(set(metrics["representation"]), key=ladder)
    return {kind: founding_table(metrics, kind, _common_rmse(errors, keys, kind)) for kind in kinds}


def _best_first(metrics: pd.DataFrame, order: Sequence[Key]) -> pd.DataFrame:
    """Rows by part, then in the order of the models."""
    parts = {"score": 0, "tune": 1, "train": 2}
    keys = zip(metrics["model"], metrics["representation"], strict=True)
    places = {key: place for place, key in enumerate(order)}
    return (
        metrics.assign(part_place=metrics["part"].map(parts), place=[places[key] for key in keys])
        .sort_values(["part_place", "place"], ignore_index=True)
        .drop(columns=["part_place", "place"])
    )


def _cost(metrics: pd.DataFrame, timings: pd.DataFrame) -> pd.DataFrame:
    """Accuracy beside what it costs: seconds of one fit, of all fits, and of predicting a thousand stars."""
    means = timings.groupby(["model", "representation"], as_index=False).agg(
        fits=("fit_seconds", "size"),
        fit_seconds=("fit_seconds", "mean"),
        total_fit_seconds=("fit_seconds", "sum"),
        predict_seconds=("predict_seconds", "sum"),
        n_rows=("n_rows", "sum"),
    )
    means["predict_seconds_per_1000"] = 1000 * means.pop("predict_seconds") / means.pop("n_rows")
    scores = metrics.loc[metrics["part"] == "score", ["model", "representation", "rmse", "mae", "r2"]]
    return scores.merge(means, on=["model", "representation"], how="left")
