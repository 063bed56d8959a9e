"""Models on the same stars: order, pairs, the best of many, beside predictions of others. Scored rows only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.types import FloatArray
from photfeh.validation.metrics import METRICS, score
from photfeh.validation.significance import Paired, best_of_many, compare_blocks, holm

__all__ = [
    "Key",
    "beside_external",
    "best_first",
    "chosen_table",
    "complete",
    "fold_rmse",
    "keys_of",
    "keys_of_rows",
    "ladder",
    "optimism",
    "pair_table",
    "ranked",
    "spline_table",
    "squared_errors",
    "tuned_table",
]

Key = tuple[str, str]

TUNED = "-tuned"
"""What stands behind the name of a model whose parameters were searched within each fold."""

_REPEATS_LABELS = ("relation", "same-curve formula")
_LADDER = {"raw": 0, "raw-spline": 1, "spline": 2}


def ladder(representation: str) -> tuple[int, str]:
    """Sorts representations from raw to most prepared."""
    return _LADDER.get(representation, len(_LADDER)), representation


def keys_of(errors: pd.DataFrame) -> list[Key]:
    """The columns of a table of errors as pairs of model and representation."""
    return [(str(key[0]), str(key[1])) for key in errors.columns.to_list()]


def keys_of_rows(table: pd.DataFrame) -> list[Key]:
    """Model and representation of each row."""
    return list(zip(table["model"].astype(str), table["representation"].astype(str), strict=True))


def squared_errors(out_of_fold: pd.DataFrame) -> pd.DataFrame:
    """Squared errors of the scored part [dex^2]: rows (repeat, fold, source_id), columns (model, representation).

    NaN where a model made no prediction. Rows and columns are sorted: results must not depend on any order. A table
    without repeats or folds is one of each.
    """
    rows = out_of_fold[out_of_fold["part"] == "score"]
    rows = rows.assign(**{name: 0 for name in ("repeat", "fold") if name not in rows.columns})
    rows = rows.assign(square=(rows["feh_pred"] - rows["feh_true"]) ** 2)
    table = rows.pivot_table(
        index=["repeat", "fold", "source_id"], columns=["model", "representation"], values="square", aggfunc="first"
    )
    return table.sort_index().sort_index(axis=1)


def complete(errors: pd.DataFrame, keys: Sequence[Key]) -> tuple[list[Key], list[Key]]:
    """Those of ``keys`` whose model predicted stars of every fold, and those of which a whole fold is absent."""
    found = errors[list(keys)].notna().groupby(level=["repeat", "fold"]).any().all()
    good = [key for key in keys if found[key]]
    return good, [key for key in keys if not found[key]]


def ranked(out_of_fold: pd.DataFrame, truth: str) -> tuple[list[Key], dict[Key, str]]:
    """The one ranking of models: every one of them, the best first; and those that have no rank, last, with the reason.

    ``truth``: where the labels are a formula of the same curve the model ``relation`` repeats them.
    """
    errors = squared_errors(out_of_fold)
    _, failed = complete(errors, keys_of(errors))
    unranked = dict.fromkeys(failed, "failed in a whole fold")
    if truth == _REPEATS_LABELS[1]:
        unranked |= {key: "repeats the labels" for key in keys_of(errors) if key[0] == _REPEATS_LABELS[0]}
    good = [key for key in keys_of(errors) if key not in unranked]
    return [*best_first(errors[good]), *sorted(unranked)], unranked


def best_first(errors: pd.DataFrame) -> list[Key]:
    """Columns by rmse on the stars that all of them predict, equal ones by name."""
    means = dict(zip(keys_of(errors), errors.dropna().mean(), strict=True))
    return sorted(means, key=lambda key: (means[key], key))


def fold_rmse(errors: pd.DataFrame) -> FloatArray:
    """Rmse of each column in each fold of each repeat, shape (repeats, folds, columns)."""
    squares = errors.groupby(level=["repeat", "fold"]).mean()
    folds = squares.groupby(level="repeat").size()
    # repeats that lost a fold would make a ragged table: as many folds of each as all of them have
    rows = [squares.loc[repeat].to_numpy(np.float64)[: folds.min()] for repeat in folds.index]
    return np.asarray(np.sqrt(np.stack(rows)), np.float64)


def pair_table(errors: pd.DataFrame, pairs: Sequence[tuple[Key, Key]] | None = None) -> pd.DataFrame:
    """Corrected t-test of pairs of columns (default: all, the better one first), with intervals of the same kind.

    Only rows that all columns have are used: the models are judged on the same stars. ``p_holm`` is adjusted for the
    number of pairs in the table. See :func:`photfeh.validation.significance.compare_blocks`.
    """
    errors = errors.dropna()
    if not len(errors):
        return pd.DataFrame()
    pairs = list(combinations(best_first(errors), 2)) if pairs is None else pairs
    stars = errors.index.get_level_values("source_id").nunique()
    rows = [_pair_row(*pair, _compared(errors[list(pair)]), errors[list(pair)]) | {"n": stars} for pair in pairs]
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p"]))


def _pair_row(first: Key, second: Key, found: Paired, errors: pd.DataFrame) -> dict[str, Any]:
    rmse = np.sqrt(errors.mean().to_numpy(np.float64))
    return {
        "model": first[0], "representation": first[1], "other": second[0], "other_representation": second[1],
        "n": 0, "rmse": float(rmse[0]), "other_rmse": float(rmse[1]),
        "ratio": found.ratio.value, "ratio_low": found.ratio.low, "ratio_high": found.ratio.high,
        "difference": found.difference.value, "difference_low": found.difference.low,
        "difference_high": found.difference.high, "t": found.t, "p": found.p,
    }  # fmt: skip


def _compared(errors: pd.DataFrame) -> Paired:
    """Two columns without gaps, a block for each fold of each repeat."""
    blocks = errors.groupby(level=["repeat", "fold"])
    squares, sizes = blocks.mean().to_numpy(np.float64), blocks.size().to_numpy(np.float64)
    per_repeat = len(errors) / errors.index.get_level_values("repeat").nunique()
    others = per_repeat - sizes.mean()
    return compare_blocks(squares[:, 0], squares[:, 1], sizes, sizes.mean() / others if others > 0 else np.nan)


def spline_table(errors: pd.DataFrame) -> pd.DataFrame:
    """Does the spline help? One model on two representations, the more prepared over the less, for every model."""
    tables = []
    for model in dict.fromkeys(model for model, _ in keys_of(errors)):
        keys = sorted((key for key in keys_of(errors) if key[0] == model), key=lambda key: ladder(key[1]))
        keys, _ = complete(errors, keys)
        if len(keys) > 1:
            pairs = [(after, before) for before, after in combinations(keys, 2)]
            tables.append(pair_table(errors[sorted(keys)], pairs))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def tuned_table(errors: pd.DataFrame) -> pd.DataFrame:
    """Every model with searched parameters over the same one as it is; as :func:`pair_table`, adjusted for all."""
    tables = []
    for key in keys_of(errors):
        plain = (key[0].removesuffix(TUNED), key[1])
        if key[0].endswith(TUNED) and plain in keys_of(errors):
            tables.append(pair_table(errors[[plain, key]], [(key, plain)]))
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    return table.assign(p_holm=holm(table["p"]))


def optimism(nested: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Rmse under the nested minus that under the paper protocol, on the stars that both score.

    Blocks are the folds of the nested run; the interval knows what changes from one training to the next.

    Parameters
    ----------
    nested, paper : DataFrame
        As :func:`squared_errors` makes them.
    """
    rows: list[dict[str, Any]] = []
    for key in [key for key in keys_of(nested) if key in keys_of(paper)]:
        two = paper[key].droplevel("fold").rename("paper")
        both = nested[key].rename("nested").to_frame().join(two, on=["repeat", "source_id"], how="inner").dropna()
        if len(both):
            found = _compared(both)
            nested_rmse, paper_rmse = np.sqrt(both.mean().to_numpy(np.float64))
            rows.append(
                {
                    "model": key[0], "representation": key[1],
                    "n": both.index.get_level_values("source_id").nunique(),
                    "nested_rmse": float(nested_rmse), "paper_rmse": float(paper_rmse),
                    "optimism": found.difference.value, "optimism_low": found.difference.low,
                    "optimism_high": found.difference.high, "p": found.p,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def chosen_table(errors: pd.DataFrame, keys: Sequence[Key], *, n_resamples: int, seed: int) -> dict[str, Any]:
    """The best of ``keys`` with its rmse, and that rmse corrected for its having been chosen among them.

    See :func:`photfeh.validation.significance.best_of_many`. Stars count once, averaged over repeats.
    """
    stars = errors[list(keys)].dropna().groupby(level="source_id").mean()
    found = best_of_many(stars.to_numpy(np.float64), n_resamples=n_resamples, seed=seed)
    model, representation = keys[found.best]
    return {
        "model": model, "representation": representation, "candidates": len(keys), "n": len(stars),
        "rmse": found.apparent, "corrected_rmse": found.corrected.value,
        "corrected_low": found.corrected.low, "corrected_high": found.corrected.high,
    }  # fmt: skip


def beside_external(scored: pd.DataFrame, external: pd.Series, name: str) -> pd.DataFrame:
    """Each model and the external predictions (indexed by source_id) on the stars that both have, repeats averaged.

    Every metric of both (theirs with ``external_`` before the name), and the ratio of the rmse with an interval over
    stars: it judges the two sets of predictions, not what another training would make of the models.
    """
    rows: list[dict[str, Any]] = []
    for (model, representation), group in scored.groupby(["model", "representation"]):
        columns = ["feh_true", "feh_pred", *(["weight"] if "weight" in group.columns else [])]
        stars = group.groupby("source_id")[columns].mean()
        stars = stars.join(external[~external.index.duplicated()].rename("external"), how="inner").dropna()
        if not len(stars):
            continue
        squares = ((stars[["feh_pred", "external"]].sub(stars["feh_true"], axis=0)) ** 2).to_numpy(np.float64)
        ratio = compare_blocks(squares[:, 0], squares[:, 1], np.ones(len(stars)), 0.0).ratio
        own, others = (
            score(stars["feh_true"], stars[column], stars.get("weight")) for column in ("feh_pred", "external")
        )
        rows.append(
            {"model": model, "representation": representation, "n": own["n"]}
            | {metric: own[metric] for metric in METRICS}
            | {f"external_{metric}": others[metric] for metric in METRICS}
            | {"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high}
        )
    table = pd.DataFrame(rows)
    if not len(table):
        return table
    table.insert(2, "external", name)
    return table.sort_values(["rmse", "model", "representation"], ignore_index=True)
