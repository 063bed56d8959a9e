"""How long a network trains: to its end by one rule for all, for a number of epochs, or a quick look.

The rule looks at tune parts only. A network is trained in cycles of the learning rate of 50, 100, 200, ... epochs. Each
begins with the weights kept by the one before it (warm restarts, Loshchilov & Hutter 2017) and rises to half its rate,
since a restart at the full rate throws away what was learnt last. A cycle that makes the tune error smaller by less
than one per cent is the last one. The weights of the least tune error are kept; the epochs of their cycle and of those
before it are the budget of this fold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from photfeh.core.errors import BadInput
from photfeh.core.files import read_json, write_json
from photfeh.models.registry import MODELS

if TYPE_CHECKING:
    from photfeh.models.network import Network

__all__ = ["QUICK", "Budget", "budget_table", "check_budget", "not_converged", "to_the_end", "with_budget"]

Budget = int | str | None
"""A number of epochs; ``auto``: to the end by the rule; ``quick``: a look; None: what each model's parameters say."""

FIRST, LAST, GAIN = 50, 3200, 0.01
"""Epochs of the first cycle and of the longest one, and the least gain that is worth a cycle of twice the length."""

QUICK = 10
"""Epochs of a quick look."""

_LEARNT = 0.9
"""A network whose tune rmse is above this part of the scatter of the labels has not begun to learn, and begins anew, at
the full rate, with the next cycle."""


def check_budget(budget: Budget) -> None:
    """Raise BadInput unless this is a budget."""
    words = budget in (None, "auto", "quick")
    if not words and (isinstance(budget, (str, bool)) or not isinstance(budget, int) or budget < 1):
        raise BadInput(f"a budget must be auto, quick or a number of epochs from 1 on, found {budget!r}.")


def with_budget(name: str, params: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    """Parameters of a model under a budget; ``epochs`` that they name themselves stay.

    No cycle of the learning rate is cut short: ``patience``, unless it is named, is as long as the longest one.
    """
    settings = dict(params)
    if MODELS[name].model_class().kind != "network" or "epochs" in settings or budget is None:
        return settings
    if budget == "auto":
        return {"patience": LAST} | settings
    epochs = QUICK if budget == "quick" else int(budget)
    return {"patience": epochs} | settings | {"epochs": epochs}


def to_the_end(
    model: Network,
    fit: Callable[[Network, str], Network],
    scatter: float,
    kept: Path | None = None,
) -> tuple[Network, pd.DataFrame]:
    """The fit after which the tune error has stopped falling.

    Parameters
    ----------
    model : Network
        Not fitted; every cycle gets a copy with its own ``epochs`` and ``learning_rate`` that begins where the one
        before it ended.
    fit
        Fits a model, given a name for its checkpoint, and returns it.
    scatter : float
        Standard deviation of the tune labels, in the units of ``tune_rmse``.
    kept : path, optional
        Folder for finished cycles: an interrupted call goes on after the last of them.

    Returns
    -------
    model : Network
        That of the least tune error; ``notes_`` tell its ``budget``, the epochs in all, and whether it ``converged`` or
        the longest cycle came first.
    history : DataFrame
        One row an epoch of every cycle, told apart by ``cycle`` (its epochs); ``kept`` marks those of the model.
    """
    best, least, before = model, np.inf, np.inf
    last: Network | None = None
    tables: list[pd.DataFrame] = []
    epochs, full, converged = FIRST, FIRST, False
    while epochs <= LAST and not converged:
        fitted, table = _cycle(model, epochs, model.learning_rate * full / epochs, last, fit, kept)
        tables.append(table)
        error = float(table["tune_rmse"].iloc[int(table["tune_loss"].argmin())])
        if error < least:
            best, least = fitted, error
        learnt = min(error, before) < _LEARNT * scatter
        converged = learnt and error > (1 - GAIN) * before
        before, epochs = min(error, before), 2 * epochs
        last, full = (fitted, full) if learnt else (None, epochs)
    best.notes_ |= {"budget": in_all(best.epochs), "converged": converged}
    history = pd.concat(tables, ignore_index=True)
    return best, history.assign(kept=history["cycle"] == best.epochs)


def _cycle(
    model: Network,
    epochs: int,
    rate: float,
    last: Network | None,
    fit: Callable[[Network, str], Network],
    kept: Path | None,
) -> tuple[Network, pd.DataFrame]:
    """One cycle after the last one, from the disk where an earlier call has finished it."""
    fresh = type(model)(**{**model.get_params(deep=False), "epochs": epochs, "learning_rate": rate})
    folder = None if kept is None else kept / f"cycle-{epochs}"
    rows = None if folder is None else read_json(folder / "history.json")
    if folder is not None and rows:
        fresh.restore(folder)
    else:
        fresh = fit(fresh if last is None else fresh.begin_with(last), f"checkpoint-{epochs}")
        rows = fresh.history_
        if folder is not None:
            fresh.save(folder)
            write_json(folder / "history.json", rows)
    return fresh, pd.DataFrame(rows).assign(cycle=epochs)


def in_all(cycle: Any) -> Any:
    """Epochs of a cycle, or of each of several, and of all cycles before it."""
    return 2 * cycle - FIRST


def budget_table(history: pd.DataFrame) -> pd.DataFrame:
    """Tune rmse of every cycle of every fit that was trained to its end; empty where none was.

    Returns
    -------
    DataFrame
        ``model``, ``representation``, ``repeat``, ``fold``, ``cycle`` (its length), ``epochs`` (with those
        before it), ``tune_rmse`` (in units of the scatter of the training labels, at the least tune loss of the cycle)
        and ``kept``.
    """
    keys = ["model", "representation", "repeat", "fold", "cycle"]
    columns = [*keys, "epochs", "tune_rmse", "kept"]
    if "cycle" not in history.columns or history["cycle"].isna().all():
        return pd.DataFrame(columns=columns)
    known = history[history["cycle"].notna()]
    rows = known.loc[known.groupby(keys)["tune_loss"].idxmin()].astype({"cycle": int, "kept": bool})
    return rows.assign(epochs=in_all(rows["cycle"]))[columns].reset_index(drop=True)


def not_converged(config: Mapping[str, Any], history: pd.DataFrame | None = None) -> str:
    """What every table of a run must say of its networks; empty where nothing is to be said.

    Parameters
    ----------
    config
        Settings of the run.
    history : DataFrame, optional
        As ``Run.history``: tells which networks the longest cycle cut short.
    """
    if config.get("validation", {}).get("budget") == "quick":
        return "not converged (quick budget)"
    cut = _cut_short(budget_table(history)) if history is not None and len(history) else []
    return f"not converged after {in_all(LAST):,} epochs in some folds: {', '.join(cut)}" if cut else ""


def _cut_short(cycles: pd.DataFrame) -> list[str]:
    """Networks with a fit whose tune error was still falling, or had not begun to fall, in the longest cycle."""
    found = set()
    for (model, kind, _, _), fit in cycles.groupby(["model", "representation", "repeat", "fold"]):
        errors = fit.set_index("cycle")["tune_rmse"]
        if LAST in errors.index:
            last, before = errors[LAST], errors.drop(LAST).min()
            if last <= (1 - GAIN) * before or min(last, before) >= _LEARNT:
                found.add(f"{model} on {kind}")
    return sorted(found)
