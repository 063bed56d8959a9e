"""Runs of one data set put together, or refused where they contradict each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from photfeh.core.errors import BadInput
from photfeh.validation.run import Run

__all__ = ["MergedRuns", "merge_runs"]

PART = ["model", "representation", "repeat", "fold"]


@dataclass(frozen=True, eq=False)
class MergedRuns:
    """All runs of one data set under one protocol: rows in an order that does not depend on that of the runs."""

    stars_sha256: str
    truth: str
    protocol: str
    runs: tuple[Run, ...]
    processors: tuple[str, ...]
    out_of_fold: pd.DataFrame
    timings: pd.DataFrame
    failures: pd.DataFrame


def merge_runs(runs: Sequence[Run | str | Path]) -> list[MergedRuns]:
    """Group runs by data set (hash of its star table) and protocol, in the order given, and merge each group.

    Raises
    ------
    BadInput
        if there is no run; if two runs hold different predictions of the same model, representation, repeat and fold;
        if they trained one model on one representation with different settings; or if they cut the stars into
        different folds.
    """
    opened = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    if not opened:
        raise BadInput("no run was given; make one with `photfeh validate`.")
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in opened:
        key = (str(run.config["dataset"]["stars_sha256"]), str(run.config["validation"]["protocol"]))
        groups.setdefault(key, []).append(run)
    return [_merge(sha, protocol, group) for (sha, protocol), group in groups.items()]


def _merge(sha: str, protocol: str, runs: list[Run]) -> MergedRuns:
    for number, run in enumerate(runs):
        for earlier in runs[:number]:
            _check_settings(earlier, run)
            _check_folds(earlier, run)
            _check_predictions(earlier, run)
    table = pd.concat([run.out_of_fold for run in runs], ignore_index=True)
    table = table.drop_duplicates([*PART, "part", "source_id"])
    timings = pd.concat([run.timings for run in runs], ignore_index=True).drop_duplicates(PART)
    failures = pd.concat([run.failures.astype(object) for run in runs], ignore_index=True)
    return MergedRuns(
        sha,
        str(runs[0].config["dataset"]["truth"]),
        protocol,
        tuple(runs),
        tuple(sorted({str(run.environment.get("processor", "unknown")) for run in runs})),
        table.sort_values([*PART, "part", "source_id"], kind="stable", ignore_index=True),
        timings.sort_values(PART, kind="stable", ignore_index=True),
        failures.sort_values(PART, kind="stable", ignore_index=True),
    )


def _check_settings(one: Run, two: Run) -> None:
    """One model on one representation must have one recipe, else its parts would be averaged over two models."""
    both = [set(run.out_of_fold[["model", "representation"]].itertuples(index=False, name=None)) for run in (one, two)]
    for model, representation in sorted(both[0] & both[1]):
        recipes = [
            (
                run.config["models"][model],
                run.config["representations"][representation],
                run.config["validation"]["weighting"],
            )
            for run in (one, two)
        ]
        if recipes[0] != recipes[1]:
            raise BadInput(
                f"{model} on {representation} has other settings in {one.folder} than in {two.folder}; "
                "compare them in two calls."
            )


def _check_folds(one: Run, two: Run) -> None:
    """Scores can be paired only where both runs put every star into the same fold."""
    folds = [run.score[["repeat", "source_id", "fold"]].drop_duplicates() for run in (one, two)]
    both = folds[0].merge(folds[1], on=["repeat", "source_id"], suffixes=("", "_other"))
    if (both["fold"] != both["fold_other"]).any():
        raise BadInput(
            f"{one.folder} and {two.folder} are of one data set but cut it into different folds; "
            "validate both with the same --folds and --seed."
        )


def _check_predictions(one: Run, two: Run) -> None:
    keys = [*PART, "part", "source_id"]
    both = one.out_of_fold.merge(two.out_of_fold, on=keys, suffixes=("", "_other"))
    same = (both["feh_pred"] == both["feh_pred_other"]) | (both["feh_pred"].isna() & both["feh_pred_other"].isna())
    bad = both.loc[~same, PART].drop_duplicates()
    if len(bad):
        raise BadInput(
            f"{one.folder} and {two.folder} hold different predictions of {_listed(bad.itertuples(index=False))}; "
            "leave one of the two runs out."
        )


def _listed(rows: Iterable[tuple[object, ...]]) -> str:
    """The first three parts in words, and how many more there are."""
    names = [f"{model} on {kind}, repeat {repeat}, fold {fold}" for model, kind, repeat, fold in rows]
    return "; ".join(names[:3]) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")
