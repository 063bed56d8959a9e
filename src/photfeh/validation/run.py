"""A run folder: parts written as they finish, tables collected from them, the record of what ran."""

from __future__ import annotations

import json
import os
import platform
import re
import traceback
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import tomli_w

from photfeh.core.cache import Key, Parts
from photfeh.core.errors import BadFile, BadInput, FitFailed
from photfeh.core.files import digest_of, read_json, read_sealed, write_json, write_sealed, write_text, written
from photfeh.core.fingerprint import fingerprint
from photfeh.core.packages import versions
from photfeh.validation.budget import budget_table, not_converged
from photfeh.validation.metrics import metrics_table

__all__ = ["Part", "Run", "RunWriter", "environment", "seal_run", "write_failure", "write_fit"]

_FORMAT = 3
_FINISHED, _FAILED = "run.json", "failed.json"
_TABLES = ("out_of_fold", "history")
_FILES = (
    *("out_of_fold.parquet", "history.parquet", "timings.csv", "metrics.csv", "failures.csv"),
    *("config.toml", "environment.json"),
)


@dataclass(frozen=True)
class Part:
    """One fit: model, representation, repeat, fold."""

    model: str
    representation: str
    repeat: int
    fold: int

    def __str__(self) -> str:
        return f"{self.model} on {self.representation}, repeat {self.repeat}, fold {self.fold}"

    @property
    def name(self) -> str:
        """Folder name."""
        return f"{self.model}__{self.representation}__repeat{self.repeat}__fold{self.fold}"


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run folder, opened.

    ``out_of_fold`` is the single source of every metric; ``history`` has one row per epoch of each network fit;
    ``failures`` lists parts that could not be fitted.
    """

    folder: Path
    out_of_fold: pd.DataFrame
    history: pd.DataFrame
    timings: pd.DataFrame
    metrics: pd.DataFrame
    failures: pd.DataFrame
    config: dict[str, Any]
    environment: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open a run folder.

        Raises
        ------
        BadFile
            if it holds no finished run, one of another format, or a file that was changed since; names the file.
        """
        folder = Path(folder)
        if not (folder / _FINISHED).is_file():
            what = "holds no finished run" if (folder / "config.toml").is_file() else "is not a run"
            raise BadFile(f"{folder} {what} (no {_FINISHED}); run `photfeh validate` again.")
        mark = read_sealed(
            folder / _FINISHED, what="a run", number=_FORMAT, remedy="validate again into another folder"
        )
        return cls(folder, *(_content(folder / name, mark.get("files")) for name in _FILES))

    @property
    def budgets(self) -> pd.DataFrame:
        """Tune error of every cycle of networks trained to their end; see :func:`~photfeh.validation.budget_table`."""
        return budget_table(self.history)

    @property
    def tuned(self) -> pd.DataFrame:
        """Parameters that searches inside the folds have chosen, with their cost, a row a fold; may be empty."""
        path = self.folder / "tuned.csv"
        return pd.read_csv(path) if path.is_file() else pd.DataFrame()

    @property
    def caution(self) -> str:
        """What every table must say of these networks; empty where nothing is to be said."""
        return not_converged(self.config, self.history)

    @property
    def score(self) -> pd.DataFrame:
        """The rows of the scored parts."""
        return self.out_of_fold[self.out_of_fold["part"] == "score"]


def _content(path: Path, digests: Any) -> Any:
    """A table or the settings in a file of a finished run, which must be as it was written."""
    import tomllib

    try:
        if digest_of(path) != digests[path.name]:
            raise BadFile(f"{path} was changed since photfeh wrote it; validate again into another folder.")
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".csv":
            return pd.read_csv(path)
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        said = str(error).splitlines() or [type(error).__name__]
        raise BadFile(f"{path} cannot be read ({said[0].rstrip('.')}); validate again into another folder.") from error


class RunWriter:
    """A run folder while it is filled; what an earlier call has fitted is taken if nothing that made it has changed.

    Used as a context: the folder belongs to this process until the end of the block.

    Raises
    ------
    BadInput
        if the folder holds a run of another data set or validation, or something else.
    InUse
        if another process is filling it.
    """

    def __init__(self, folder: str | Path, config: dict[str, Any], *, overwrite: bool = False) -> None:
        self.folder, self._overwrite = Path(folder), overwrite
        self.parts = Parts(self.folder / "parts")
        self._config = config
        self._asked: dict[Key, Part] = {}
        self._reused = 0

    def __enter__(self) -> RunWriter:
        text = tomli_w.dumps(_plain(self._config))
        note = self.folder / "config.toml"
        if self.folder.exists() and not self.folder.is_dir():
            raise BadInput(f"{self.folder} is a file; name a folder for --output.")
        # a call that was cut off in its first fit has left its settings, nothing else
        before = _resumable(note) if note.exists() else None
        ours = (self.folder / _FINISHED).exists() or self.parts.exists() or before is not None
        if ours and not self._overwrite and note.exists() and before != _resumable(text):
            raise BadInput(f"{self.folder} holds a run with other settings; name another --output, or say --overwrite.")
        if not ours and not self._overwrite and self.folder.exists() and any(self.folder.iterdir()):
            raise BadInput(f"{self.folder} is not empty and not a run; name another --output, or say --overwrite.")
        with ExitStack() as stack:
            stack.enter_context(self.parts.claim())
            # from here on the tables of an earlier call are not those of this one
            (self.folder / _FINISHED).unlink(missing_ok=True)
            write_text(note, text)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)

    def done(self, key: Key, part: Part) -> bool:
        """Whether this very fit was finished before; either way it is asked for now."""
        self._asked[key] = part
        found = self.parts.find(key) is not None
        self._reused += found
        return found

    def finish(self) -> Run:
        """Collect the fits of this call, and no others, into the tables of the run.

        Raises
        ------
        FitFailed
            if not a single fit succeeded.
        """
        good = [path for path in map(self.parts.find, self._asked) if path is not None]
        failures = self._failures()
        if not good:
            raise FitFailed(f"no model could be fitted; first reason: {failures['reason'].iloc[0]}")
        tables = {name: [pd.read_parquet(path / f"{name}.parquet") for path in good] for name in _TABLES}
        out_of_fold = pd.concat(tables["out_of_fold"], ignore_index=True)
        history = pd.concat([t for t in tables["history"] if len(t)] or tables["history"][:1], ignore_index=True)
        metrics = metrics_table(out_of_fold)
        if caution := not_converged(self._config, history):
            metrics["note"] = caution
        timings = pd.DataFrame([read_json(path / "fit.json")["timing"] for path in good])
        with written(self.folder / "history.parquet") as path:
            history.to_parquet(path)
        with written(self.folder / "out_of_fold.parquet") as path:
            out_of_fold.to_parquet(path, compression="zstd")
        for name, table in (("timings", timings), ("metrics", metrics), ("failures", failures)):
            write_text(self.folder / f"{name}.csv", table.to_csv(index=False))
        write_json(self.folder / "environment.json", environment())
        _write_tuned(self.folder / "tuned.csv", good)
        self.parts.finish(self._asked, len(self._asked) - self._reused)
        seal_run(self.folder, [path.name for path in good])
        return Run.open(self.folder)

    def _failures(self) -> pd.DataFrame:
        """What failed in this call; the tracebacks go into ``failures``, one file a fit."""
        told = self.folder / "failures"
        for old in told.glob("*__fold*.txt"):
            old.unlink()
        if told.is_dir() and not any(told.iterdir()):
            told.rmdir()
        rows = []
        for key, part in self._asked.items():
            said = read_json(self.parts.workspace(key) / _FAILED)
            if self.parts.find(key) is None:
                said = said or {"reason": "not fitted", "traceback": ""}
                rows.append(vars(part) | {"reason": said["reason"]})
                write_text(told / f"{part.name}.txt", said["traceback"])
        return pd.DataFrame(rows, columns=["model", "representation", "repeat", "fold", "reason"])


def _write_tuned(path: Path, parts: list[Path]) -> None:
    """What searches inside the folds have chosen, a row a fold; no file where none was made."""
    rows = []
    for part in parts:
        fit = read_json(part / "fit.json")
        if "tuned" in fit["notes"]:
            notes = fit["notes"]
            named = {name: fit["timing"][name] for name in ("model", "representation", "repeat", "fold")}
            cost = {"rmse_within": notes["tuning_rmse"], "cpu_minutes": notes["tuning_cpu_minutes"]}
            rows.append(named | cost | {name: json.dumps(value) for name, value in notes["tuned"].items()})
    path.unlink(missing_ok=True)
    if rows:
        write_text(path, pd.DataFrame(rows).to_csv(index=False))


def seal_run(folder: Path, parts: list[str]) -> None:
    """Write the sign of a finished run: the names of its parts and the digest of each of its files."""
    digests = {name: digest_of(folder / name) for name in _FILES}
    write_sealed(folder / _FINISHED, {"format": _FORMAT, "parts": parts, "files": digests})


def write_fit(
    parts: Parts,
    key: Key,
    part: Part,
    table: pd.DataFrame,
    history: pd.DataFrame,
    seconds: tuple[float, float],
    notes: dict[str, Any],
) -> None:
    """Store one finished fit: its predictions, its history, and the seconds to fit and to predict."""  # fmt: skip
    timing = vars(part) | {"fit_seconds": seconds[0], "predict_seconds": seconds[1], "n_rows": len(table)}
    with parts.writing(key) as here:
        table.to_parquet(here / "out_of_fold.parquet")
        history.assign(**vars(part)).to_parquet(here / "history.parquet")
        write_json(here / "fit.json", {"timing": timing, "notes": notes})


def write_failure(parts: Parts, key: Key, error: Exception) -> None:
    """Record why a fit failed; the next call tries it again."""
    told = "".join(traceback.format_exception(error))
    write_json(parts.workspace(key) / _FAILED, {"reason": f"{type(error).__name__}: {error}", "traceback": told})


def environment() -> dict[str, Any]:
    """Versions, machine and time; no host or user name."""
    names = ("photfeh", "numpy", "scipy", "scikit-learn", "torch", "numba", "pandas", "pyarrow")
    return {
        "versions": versions(names),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        match = re.search(r"model name\s*:\s*(.+)", info.read_text())
        if match:
            return match.group(1).strip()
    return platform.processor() or platform.machine()


def _resumable(config: str | Path) -> str | None:
    """The settings that a resumed run must share: all but the lists of models and representations, which may grow.

    None for a file that holds no such settings.
    """
    import tomllib

    try:
        content = tomllib.loads(config.read_text(encoding="utf-8") if isinstance(config, Path) else config)
        return fingerprint({name: content[name] for name in ("dataset", "validation")})
    except (ValueError, KeyError):
        return None


def _plain(value: Any) -> Any:
    """TOML has no null and no tuples: drop None, turn the rest into plain types."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.item() if hasattr(value, "item") else value
