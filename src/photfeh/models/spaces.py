"""What of a model is worth tuning, and within which limits: data, one space a family; the registry names them.

A space maps names of parameters to a :class:`Range` or a :class:`Choice`. Another one can be read from a TOML file:

    learning_rate = { low = 0.003, high = 0.05, log = true }
    units = { choices = [[20, 16, 8], [32, 16]] }
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photfeh.core.errors import BadInput
from photfeh.models.parameters import check_parameters

__all__ = [
    "ATTENTION", "BOOSTING", "CIRCULAR", "CONVOLUTIONAL", "FOREST", "RECURRENT", "RIDGE", "SEQ2SEQ", "SVR", "Choice",
    "Range", "Space", "check_space", "read_space",
]  # fmt: skip


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``; whole ones where both are; ``log``: evenly in the logarithm."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether the parameter is a whole number."""
        return isinstance(self.low, int) and isinstance(self.high, int)


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]


Space = Mapping[str, Range | Choice]

_TRAINING: Space = {
    "learning_rate": Range(0.003, 0.05, log=True),
    "batch_size": Choice((16, 32, 64)),
    "clip": Range(0.1, 3.0, log=True),
}
RECURRENT: Space = {
    **_TRAINING,
    "units": Choice(((20, 16, 8), (20, 16, 16), (32, 24, 16), (48, 32, 16))),
    "dropout": Choice(((0.0, 0.0, 0.0), (0.1, 0.1, 0.05), (0.2, 0.2, 0.1))),
}
CONVOLUTIONAL: Space = {**_TRAINING, "learning_rate": Range(0.0005, 0.02, log=True)}
CIRCULAR: Space = {
    "learning_rate": Range(0.001, 0.02, log=True),
    "batch_size": Choice((32, 64, 128)),
    "weight_decay": Range(0.001, 0.3, log=True),
    "channels": Choice(((32, 48, 64), (48, 64, 96), (64, 96, 128))),
    "dropout": Range(0.0, 0.4),
    "keep": Range(0.5, 1.0),
    "noise": Range(0.02, 0.5, log=True),
}
ATTENTION: Space = {
    "learning_rate": Range(0.001, 0.02, log=True),
    "batch_size": Choice((32, 64)),
    "weight_decay": Range(0.003, 0.5, log=True),
    "dropout": Range(0.0, 0.4),
    "hide": Range(0.0, 0.6),
}
SEQ2SEQ: Space = {
    "learning_rate": Range(0.003, 0.03, log=True),
    "batch_size": Choice((32, 64)),
    "weight_decay": Range(0.003, 0.5, log=True),
    "dropout": Range(0.0, 0.4),
    "reconstruction": Range(0.1, 10.0, log=True),
}
RIDGE: Space = {"degree": Range(1, 3)}
SVR: Space = {
    "C": Range(0.3, 100.0, log=True),
    "gamma": Range(0.01, 3.0, log=True),
    "epsilon": Range(0.003, 0.5, log=True),
}
FOREST: Space = {"min_samples_leaf": Range(1, 10, log=True), "max_features": Range(0.1, 1.0)}
BOOSTING: Space = {
    "learning_rate": Range(0.01, 0.2, log=True),
    "n_trees": Range(100, 1200, log=True),
    "max_leaves": Range(4, 64, log=True),
    "min_samples_leaf": Range(3, 60, log=True),
    "l2": Range(0.001, 30.0, log=True),
    "max_features": Range(0.2, 1.0),
}


def check_space(what: str, model_class: type, space: Space) -> None:
    """Raise BadInput unless the model may have every value of the space; names what is wrong."""
    if not space:
        raise BadInput(f"the search space of {what} is empty; name at least one parameter.")
    for name, values in space.items():
        if isinstance(values, Range):
            if not values.low < values.high:
                raise BadInput(f"the range of {name} must rise, found {values.low} to {values.high}.")
            if values.log and values.low <= 0:
                raise BadInput(f"the range of {name} is logarithmic and must begin above 0, found {values.low}.")
            tried: tuple[Any, ...] = (values.low, values.high)
        else:
            tried = values.values
            if not tried:
                raise BadInput(f"the choices of {name} are empty; name at least one value.")
        for value in tried:
            check_parameters(what, model_class, {name: value})


def read_space(path: str | Path) -> Space:
    """A search space from a TOML file.

    Raises
    ------
    BadInput
        if the file cannot be read or an entry is neither a range nor a list of choices; names it.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"the search space {path} cannot be read: {error}.") from error
    return {name: _entry(str(path), name, given) for name, given in content.items()}


def _entry(path: str, name: str, given: Any) -> Range | Choice:
    keys = set(given) if isinstance(given, dict) else set()
    if keys == {"choices"} and isinstance(given["choices"], list):
        return Choice(tuple(tuple(value) if isinstance(value, list) else value for value in given["choices"]))
    numbers = keys >= {"low", "high"} and all(type(given[end]) in (int, float) for end in ("low", "high"))
    if numbers and keys <= {"low", "high", "log"} and isinstance(given.get("log", False), bool):
        return Range(given["low"], given["high"], given.get("log", False))
    raise BadInput(
        f"{path}: {name} must be {{ low = NUMBER, high = NUMBER, log = true|false }} or {{ choices = [...] }}, "
        f"found {given!r}."
    )
