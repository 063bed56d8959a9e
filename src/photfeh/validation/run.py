"""A run folder: parts written as they finish, tables collected from them, the record of what ran."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from photfeh.core.errors import BadFile, BadInput
from photfeh.validation.metrics import metrics_table

__all__ = ["Part", "Run", "RunWriter", "environment"]


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
            if it holds no finished run.
        """
        import tomllib

        folder = Path(folder)
        if not (folder / "out_of_fold.parquet").is_file():
            raise BadFile(f"{folder} is not a finished run (no out_of_fold.parquet); run `photfeh validate` again.")
        return cls(
            folder,
            pd.read_parquet(folder / "out_of_fold.parquet"),
            pd.read_parquet(folder / "history.parquet"),
            pd.read_csv(folder / "timings.csv"),
            pd.read_csv(folder / "metrics.csv"),
            pd.read_csv(folder / "failures.csv"),
            tomllib.loads((folder / "config.toml").read_text()),
            json.loads((folder / "environment.json").read_text()),
        )

    @property
    def score(self) -> pd.DataFrame:
        """The rows of the scored parts."""
        return self.out_of_fold[self.out_of_fold["part"] == "score"]


class RunWriter:
    """Keeps what is done; a part exists completely or not at all."""

    def __init__(self, folder: str | Path, config: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.parts = self.folder / "parts"
        text = tomli_w.dumps(_plain(config))
        note = self.folder / "config.toml"
        if note.exists() and _resumable(note.read_text()) != _resumable(text):
            raise BadInput(
                f"{self.folder} holds a run with other settings; name another --output or remove that folder."
            )
        if not note.exists() and self.folder.exists() and any(self.folder.iterdir()):
            raise BadInput(f"{self.folder} is not empty and not a run; name another --output.")
        self.parts.mkdir(parents=True, exist_ok=True)
        note.write_text(text)
        self._config = config
        self._used: list[Part] = []

    def done(self, part: Part) -> bool:
        """Whether the part was finished, now or by an earlier call, with the same parameters."""
        self._used.append(part)
        path = self.parts / part.name / "done.json"
        return path.is_file() and json.loads(path.read_text())["fingerprint"] == self._fingerprint(part)

    def _fingerprint(self, part: Part) -> str:
        """Hash of the parameters of the part's model and representation."""
        settings = [self._config["models"][part.model], self._config["representations"][part.representation]]
        return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()

    def checkpoint(self, part: Part) -> Path:
        """Where a network may keep its state during the fit."""
        return self.parts / part.name / "checkpoint"

    def write(
        self,
        part: Part,
        table: pd.DataFrame,
        history: pd.DataFrame,
        fit_seconds: float,
        predict_seconds: float,
        notes: dict[str, Any],
    ) -> None:
        """Store one finished part; ``done.json`` is written last."""
        here = self.parts / part.name
        here.mkdir(parents=True, exist_ok=True)
        table.to_parquet(here / "out_of_fold.parquet")
        keys = {name: getattr(part, name) for name in ("model", "representation", "repeat", "fold")}
        history.assign(**keys).to_parquet(here / "history.parquet")
        timing = keys | {"fit_seconds": fit_seconds, "predict_seconds": predict_seconds, "n_rows": len(table)}
        for path in (here / "failed.json", *here.glob("checkpoint.*")):
            path.unlink(missing_ok=True)
        content = {"fingerprint": self._fingerprint(part), "timing": timing, "notes": notes}
        (here / "done.json").write_text(json.dumps(content) + "\n")

    def fail(self, part: Part, reason: str) -> None:
        """Record why a part could not be fitted; the next call tries it again."""
        here = self.parts / part.name
        here.mkdir(parents=True, exist_ok=True)
        keys = {name: getattr(part, name) for name in ("model", "representation", "repeat", "fold")}
        (here / "failed.json").write_text(json.dumps(keys | {"reason": reason}) + "\n")

    def finish(self) -> Run:
        """Collect the parts of this call into the tables of the run.

        Raises
        ------
        BadInput
            if not a single part could be fitted.
        """
        good = [part for part in self._used if (self.parts / part.name / "done.json").is_file()]
        failed = [self.parts / part.name / "failed.json" for part in self._used if part not in good]
        failures = pd.DataFrame(
            [json.loads(path.read_text()) for path in failed],
            columns=["model", "representation", "repeat", "fold", "reason"],
        )
        if not good:
            raise BadInput(f"no model could be fitted; first reason: {failures['reason'].iloc[0]}")
        tables = {
            name: [pd.read_parquet(self.parts / p.name / f"{name}.parquet") for p in good]
            for name in ("out_of_fold", "history")
        }
        out_of_fold = pd.concat(tables["out_of_fold"], ignore_index=True)
        history = pd.concat([t for t in tables["history"] if len(t)] or tables["history"][:1], ignore_index=True)
        timings = [json.loads((self.parts / part.name / "done.json").read_text())["timing"] for part in good]
        history.to_parquet(self.folder / "history.parquet")
        pd.DataFrame(timings).to_csv(self.folder / "timings.csv", index=False)
        metrics_table(out_of_fold).to_csv(self.folder / "metrics.csv", index=False)
        failures.to_csv(self.folder / "failures.csv", index=False)
        (self.folder / "environment.json").write_text(json.dumps(environment(), indent=1) + "\n")
        out_of_fold.to_parquet(self.folder / "out_of_fold.parquet", compression="zstd")
        return Run.open(self.folder)


def environment() -> dict[str, Any]:
    """Versions, machine and time; no host or user name."""
    names = ("photfeh", "numpy", "scipy", "scikit-learn", "torch", "numba", "pandas", "pyarrow")
    return {
        "versions": {name: version(name) for name in names},
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


def _resumable(text: str) -> str:
    """The settings that a resumed run must share: all but the lists of models and representations, which may grow."""
    import tomllib

    config = tomllib.loads(text)
    shared = {name: config[name] for name in ("dataset", "validation")}
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """TOML has no null and no tuples: drop None, turn the rest into plain types."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.item() if hasattr(value, "item") else value
