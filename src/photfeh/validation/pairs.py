"""Pairs of models on the same stars: bootstrap over stars, corrected t-test over folds. Scored rows only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.types import FloatArray
from photfeh.validation.metrics import score
from photfeh.validation.significance import bootstrap_rmse, corrected_resampled_t, holm, intervals

__all__ = [
    "Key",
    "beside_external",
    "best_first",
    "fold_rmse",
    "keys_of",
    "ladder",
    "optimism",
    "pair_table",
    "spline_table",
    "squared_errors",
]

Key = tuple[str, str]

_LADDER = {"raw": 0, "raw-spline": 1, "spline": 2}


def ladder(representation: str) -> tuple[int, str]:
    """Sorts representations from raw to most prepared."""
    return _LADDER.get(representation, len(_LADDER)), representation


def keys_of(errors: pd.DataFrame) -> list[Key]:
    """The columns of a table of errors as pairs of model and representation."""
    return [(str(key[0]), str(key[1])) for key in errors.columns.to_list()]


def squared_errors(out_of_fold: pd.DataFrame) -> pd.DataFrame:
    """Squared errors of the scored part [dex^2]: rows (repeat, fold, source_id), columns (model, representation).

    NaN where a model made no prediction. Rows and columns are sorted: results must not depend on any order.
    """
    rows = out_of_fold[out_of_fold["part"] == "score"]
    rows = rows.assign(square=(rows["feh_pred"] - rows["feh_true"]) ** 2)
    table = rows.pivot_table(
        index=["repeat", "fold", "source_id"], columns=["model", "representation"], values="square", aggfunc="first"
    )
    return table.sort_index().sort_index(axis=1)


def best_first(errors: pd.DataFrame) -> list[Key]:
    """Columns, smallest mean square first, equal ones by name."""
    means = dict(zip(keys_of(errors), errors.mean(), strict=True))
    return sorted(means, key=lambda key: (means[key], key))


def fold_rmse(errors: pd.DataFrame) -> FloatArray:
    """Rmse of each column in each fold of each repeat, shape (blocks, columns)."""
    squares: FloatArray = errors.groupby(level=["repeat", "fold"]).mean().to_numpy(np.float64)
    return np.sqrt(squares)


def pair_table(
    errors: pd.DataFrame, pairs: Sequence[tuple[Key, Key]] | None = None, *, n_resamples: int, seed: int
) -> pd.DataFrame:
    """Bootstrap and corrected t-test of pairs of columns (default: all, the better one first).

    Only rows that all columns have are used: the models are judged on the same stars. ``p_holm`` is adjusted for the
    number of pairs in the table.
    """
    errors = errors.dropna()
    if not len(errors):
        return pd.DataFrame()
    pairs = list(combinations(best_first(errors), 2)) if pairs is None else pairs
    by_star = errors.groupby(level="source_id").mean()
    squares = by_star.to_numpy(np.float64)
    resampled = bootstrap_rmse(squares, n_resamples=n_resamples, seed=seed)
    blocks = fold_rmse(errors)
    per_repeat = errors.groupby(level="repeat").size().mean()
    per_fold = len(errors) / len(blocks)
    place = {key: number for number, key in enumerate(keys_of(errors))}
    rows: list[dict[str, Any]] = []
    for first, second in pairs:
        a, b = place[first], place[second]
        ratio, difference = intervals(squares, resampled, a, b)
        over = per_fold / (per_repeat - per_fold) if per_repeat > per_fold else np.nan
        t, p = corrected_resampled_t(blocks[:, a] - blocks[:, b], over)
        rows.append(
            {
                "model": first[0], "representation": first[1], "other": second[0], "other_representation": second[1],
                "n": len(by_star), "rmse": float(np.sqrt(squares[:, a].mean())),
                "other_rmse": float(np.sqrt(squares[:, b].mean())),
                "ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high,
                "difference": difference.value, "difference_low": difference.low, "difference_high": difference.high,
                "t": t, "p": p,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p"]))


def spline_table(errors: pd.DataFrame, *, n_resamples: int, seed: int) -> pd.DataFrame:
    """Does the spline help? One model on two representations, the more prepared over the less, for every model."""
    tables = []
    for model in dict.fromkeys(model for model, _ in keys_of(errors)):
        keys = sorted((key for key in keys_of(errors) if key[0] == model), key=lambda key: ladder(key[1]))
        if len(keys) > 1:
            pairs = [(after, before) for before, after in combinations(keys, 2)]
            tables.append(pair_table(errors[sorted(keys)], pairs, n_resamples=n_resamples, seed=seed))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def optimism(nested: pd.DataFrame, paper: pd.DataFrame, *, n_resamples: int, seed: int) -> pd.DataFrame:
    """Rmse under the nested minus that under the paper protocol, on the stars that both score.

    Parameters
    ----------
    nested, paper : DataFrame
        As :func:`squared_errors` makes them.
    """
    rows: list[dict[str, Any]] = []
    for key in [key for key in keys_of(nested) if key in keys_of(paper)]:
        one, two = (table[key].groupby(level="source_id").mean() for table in (nested, paper))
        both = pd.concat([one, two], axis=1).dropna().to_numpy(np.float64)
        if len(both):
            resampled = bootstrap_rmse(both, n_resamples=n_resamples, seed=seed)
            _, gain = intervals(both, resampled, 0, 1)
            nested_rmse, paper_rmse = np.sqrt(both.mean(axis=0))
            rows.append(
                {
                    "model": key[0], "representation": key[1], "n": len(both),
                    "nested_rmse": float(nested_rmse), "paper_rmse": float(paper_rmse),
                    "optimism": gain.value, "optimism_low": gain.low, "optimism_high": gain.high,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def beside_external(
    scored: pd.DataFrame, external: pd.Series, name: str, *, n_resamples: int, seed: int
) -> pd.DataFrame:
    """Each model and the external predictions (indexed by source_id) on the stars that both have, repeats averaged."""
    rows: list[dict[str, Any]] = []
    for (model, representation), group in scored.groupby(["model", "representation"]):
        stars = group.groupby("source_id")[["feh_true", "feh_pred"]].mean()
        stars = stars.join(external.rename("external"), how="inner").dropna()
        if not len(stars):
            continue
        squares = ((stars[["feh_pred", "external"]].sub(stars["feh_true"], axis=0)) ** 2).to_numpy(np.float64)
        resampled = bootstrap_rmse(squares, n_resamples=n_resamples, seed=seed)
        ratio, _ = intervals(squares, resampled, 0, 1)
        own, others = (score(stars["feh_true"], stars[column]) for column in ("feh_pred", "external"))
        rows.append(
            {"model": model, "representation": representation, "n": own["n"]}
            | {metric: own[metric] for metric in ("rmse", "mae", "bias")}
            | {f"external_{metric}": others[metric] for metric in ("rmse", "mae", "bias")}
            | {"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high}
        )
    table = pd.DataFrame(rows)
    if not len(table):
        return table
    table.insert(2, "external", name)
    return table.sort_values(["rmse", "model", "representation"], ignore_index=True)
