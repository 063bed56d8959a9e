"""What the parameters of models may be: kind and range of each, one table for all models.

Checked when a model is made by name and when one is read from a folder, so that a mistyped value is refused before the
first fit, and a damaged file asks for no more memory than a model could need.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from photfeh.core.errors import BadInput

__all__ = ["CHOICES", "LIMITS", "check_parameters"]

_COUNT = (1, 10_000)
_MANY = (1, 1_000_000)
_TINY = 1e-300  # above zero
_BELOW_ONE = math.nextafter(1.0, 0.0)

LIMITS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("bottleneck", "channels", "d_model", "feed_forward", "filters", "hidden", "units"), _COUNT),
    **dict.fromkeys(("kernel", "n_grid", "n_phases", "patch", "widths"), _COUNT),
    **dict.fromkeys(("depth", "n_heads", "n_layers", "n_members", "n_networks", "n_waves"), (1, 1_000)),
    **dict.fromkeys(("n_components", "n_harmonics"), (1, 1_000)),
    **dict.fromkeys(("batch_size", "epochs", "iterations", "n_trees", "min_samples_leaf"), _MANY),
    **dict.fromkeys(("clip", "floor", "label_error", "learning_rate", "C", "gamma"), (_TINY, 1e12)),
    **dict.fromkeys(("epsilon", "kernel_l2", "l2", "noise", "recurrent_l1", "reconstruction"), (0, 1e12)),
    **dict.fromkeys(("dropout", "hide"), (0, _BELOW_ONE)),
    **dict.fromkeys(("keep", "max_features"), (_TINY, 1)),
    "degree": (1, 4),
    "max_leaves": (2, 1_000_000),
    "n_features": (84, 1_000_000),
    "n_folds": (2, 1_000),
    "n_mixtures": (0, 1_000),
    "patience": (0, 1_000_000),
    "seed": (0, 2**32 - 1),
    "weight_decay": (0, 1e6),
}
"""Least and greatest value of parameters that are a number, or a tuple of numbers; others are not bounded closely."""

CHOICES: dict[str, tuple[str, ...]] = {
    "schedule": ("one-cycle", "constant"),
    "precision": ("float32", "mixed"),
    "inputs": ("fourier", "sequence"),
}
"""Values of parameters that are one of a few words."""

_MAY_BE_NONE = {"C": 1.0, "gamma": 1.0, "patch": 1}
"""Parameters whose default is None, with a value of the kind that they have otherwise."""
_LONGEST = 100
_UNLISTED = (-1e12, 1e12)


def check_parameters(what: str, model_class: type, params: Mapping[str, Any]) -> None:
    """Whether a model of this class can be made with these parameters.

    ``what`` is the model in words. A parameter must be of the kind of its default: whole number, number, truth value,
    text, or a tuple of such.

    Raises
    ------
    BadInput
        names the parameter, what it may be, and what was found.
    """
    known = {name: item.default for name, item in inspect.signature(model_class).parameters.items()}
    for name, value in params.items():
        if name not in known:
            raise BadInput(f"{what} has no parameter {name!r}; it has {', '.join(sorted(known))}.")
        like = known[name]
        if like is None and value is None:
            continue
        like = _MAY_BE_NONE[name] if like is None else like
        if isinstance(like, tuple):
            whole = isinstance(value, (tuple, list)) and 0 < len(value) <= _LONGEST
            good = whole and all(_fits(name, item, like[0]) for item in value)
        else:
            good = _fits(name, value, like)
        if not good:
            raise BadInput(f"the parameter {name} of {what} must be {_meaning(name, like)}, found {value!r}.")


def _fits(name: str, value: Any, like: Any) -> bool:
    """Whether one value is of the kind of ``like`` and within its limits."""
    if isinstance(like, bool):
        return isinstance(value, bool)
    if isinstance(like, str):
        return isinstance(value, str) and value in CHOICES.get(name, (value,))
    low, high = LIMITS.get(name, _UNLISTED)
    if isinstance(value, bool) or not isinstance(value, Integral if isinstance(like, int) else Real):
        return False
    return low <= float(value) <= high


def _meaning(name: str, like: Any) -> str:
    if isinstance(like, tuple):
        return f"a list, each {_meaning(name, like[0])}"
    if isinstance(like, bool):
        return "true or false"
    if isinstance(like, str):
        return " or ".join(CHOICES[name]) if name in CHOICES else "text"
    low, high = LIMITS.get(name, _UNLISTED)
    kind = "a whole number" if isinstance(like, int) else "a number"
    if low == _TINY:
        return f"{kind} above 0" + (f" up to {high:g}" if high == 1 else "")
    if high == _BELOW_ONE:
        return f"{kind} from 0 to below 1"
    return f"{kind} from {low:,} to {high:,}"
