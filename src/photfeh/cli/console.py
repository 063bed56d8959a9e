"""What the commands share: the consoles, a progress bar, tables, and how lists and settings are read."""

from __future__ import annotations

import json
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from photfeh.core.errors import BadInput

__all__ = [
    "SHOWN",
    "budget_of",
    "err",
    "lengths",
    "names",
    "out",
    "print_flags",
    "print_frame",
    "progress",
    "roles",
    "settings",
]

SHOWN = ("model", "representation", "n", "r2", "wrmse", "wmae", "rmse", "mae", "bias")
"""Columns of the metrics that commands print."""

# a file or a pipe has no width: give tables room there
_WIDTH = None if sys.stdout.isatty() else 160
# paths and labels are printed as they are: no markup, no :names: of pictures
out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=_WIDTH)
err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


class _Speed(ProgressColumn):
    """Items a second of work that comes in stars."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {task.description}/s" if speed and task.description == "stars" else "")


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal; one line per tenth of the work otherwise."""
    if not err.is_terminal:
        last: dict[str, Any] = {"tenth": -1, "began": time.monotonic()}

        def log(what: str, done: int, total: int) -> None:
            tenth = 10 * done // max(total, 1)
            if tenth != last["tenth"]:
                last["tenth"] = tenth
                spent = max(time.monotonic() - last["began"], 1e-3)
                first = last.setdefault("first", done)  # what an earlier call had done already, but for one
                left = spent * (total - done) / max(done - first + 1, 1)
                note = f", about {_duration(left)} left" if done < total else ""
                note = f", {done / spent:,.0f} stars/s" if what == "stars" else note
                err.print(f"{what}: {done}/{total}{note}")

        yield log
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def names(text: str) -> list[str]:
    """``a, b`` -> ["a", "b"]."""
    return [part.strip() for part in text.split(",") if part.strip()]


def budget_of(text: str | None) -> int | str | None:
    """``auto``, ``quick`` or a number of epochs, from the command line."""
    return int(text) if text is not None and text.isdigit() else text


def lengths(text: str) -> int | dict[str, int]:
    """``64`` -> 64; ``raw=128,spline=64`` -> {"raw": 128, "spline": 64}."""
    try:
        if "=" not in text:
            return int(text)
        return {kind.strip(): int(n) for kind, n in (item.split("=") for item in names(text))}
    except ValueError:
        raise BadInput(f"cannot read --points {text!r}: give a number, or raw=128,raw-spline=64,spline=64.") from None


def roles(text: str | None) -> dict[str, str] | None:
    """``time=T, mag=V`` -> {"time": "T", "mag": "V"}."""
    if text is None:
        return None
    pairs = [item.partition("=") for item in names(text)]
    if not pairs or not all(role.strip() and name.strip() for role, _, name in pairs):
        raise BadInput(f"cannot read --columns {text!r}: write ROLE=NAME, for example time=T,mag=V,mag_error=e.")
    return {role.strip(): name.strip() for role, _, name in pairs}


def settings(
    items: list[str] | None, models: Sequence[str] | None = None, *, config: Path | None = None
) -> dict[str, dict[str, Any]]:
    """``gru.epochs=50`` -> {"gru": {"epochs": 50}}; values are read as JSON, else taken as text.

    A setting of a model that is not among ``models`` would be without effect, and is refused. ``config`` is a TOML file
    with a table ``models.NAME`` for each model; of it, models that are not asked for are left out.
    """
    params = {} if config is None else _configured(config, models)
    for item in items or []:
        key, equals, text = item.partition("=")
        model, dot, name = key.strip().partition(".")
        if not (equals and dot):
            raise BadInput(f"cannot read --set {item!r}: write MODEL.NAME=VALUE, for example gru.epochs=50.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if models is not None and model not in models:
            raise BadInput(f"--set {item} is for {model}, but asked for is {', '.join(models)}.")
        params.setdefault(model, {})[name] = tuple(value) if isinstance(value, list) else value
    return params


def _configured(config: Path, models: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """The parameters of models in a TOML file."""
    try:
        tables = tomllib.loads(config.read_text(encoding="utf-8")).get("models")
    except (OSError, ValueError) as error:
        raise BadInput(f"--config {config} cannot be read: {error}.") from error
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise BadInput(f"--config {config} has no table of a model, such as [models.gru].")
    if models is not None and not set(tables) & set(models):
        raise BadInput(f"--config {config} is for {', '.join(tables)}, but asked for is {', '.join(models)}.")
    return {
        model: {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
        for model, table in tables.items()
        if models is None or model in models
    }


def print_frame(frame: Any, title: str) -> None:
    """A data frame as a table on standard output."""
    table = Table(title=title, title_justify="left", box=None)
    for name in frame.columns:
        table.add_column(str(name), justify="left" if frame[name].dtype.kind not in "if" else "right")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(f"{value:.4f}" if isinstance(value, float) else str(value)) for value in row))
    out.print(table)


def print_flags(flags: Any) -> None:
    """How many stars have which flag, on standard error."""
    from photfeh.core.flags import DESCRIPTIONS

    for bit, text in DESCRIPTIONS.items():
        count = int(((flags.to_numpy() & int(bit)) > 0).sum())
        if count:
            err.print(f"  flag {int(bit):>4}: {count} stars: {text}")
