"""What may be done to a file of a model, data-set or run folder: used by tests and by the fuzzing target."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from photfeh.core.errors import PhotfehError
from photfeh.core.files import read_json, write_sealed
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.folder import seal_folder
from photfeh.samples.dataset import Dataset
from photfeh.samples.sequences import plain_star
from photfeh.validation.run import Run
from test_fuzz_readers import damage

STRANGE: list[Any] = [
    None, True, -1, 0, 10**9, 10**18, 10**400, 1e308, -1e308, float("nan"), float("inf"), "", "x", "../..", [], {},
    [[]], [None], [1e300] * 3, {"a": 1}, "[red]x[/red]",
]  # fmt: skip


def ask_model(folder: Path) -> np.ndarray:
    """All that a model says of one star."""
    ensemble = Ensemble.load(folder)
    star = plain_star(ensemble.representation)
    return np.array([*ensemble.predict_interval(star), ensemble.extrapolated(star, np.zeros(1))])


def ask_dataset(folder: Path) -> np.ndarray:
    """What a data set holds, as one row of numbers; the arrays bear no digest, and may have changed within."""
    opened = Dataset.open(folder)
    for name in opened.representations:
        opened.sequences(name, np.arange(5))
    numbers = opened.stars.select_dtypes("number").to_numpy(np.float64).ravel()
    return np.concatenate([numbers, opened.sample, [len(opened.cut_flow)]])


def ask_run(folder: Path) -> np.ndarray:
    """What a run holds."""
    opened = Run.open(folder)
    tables = (opened.out_of_fold, opened.timings, opened.metrics)
    return np.concatenate([table.select_dtypes("number").to_numpy(np.float64).ravel() for table in tables])


ASK: dict[str, Callable[[Path], np.ndarray]] = {"model": ask_model, "dataset": ask_dataset, "run": ask_run}


def check_message(error: PhotfehError, folder: Path) -> None:
    """One line that names the folder, or a file in it."""
    assert str(folder) in str(error), error
    assert "\n" not in str(error), error


def try_one(kind: str, folder: Path, told: np.ndarray) -> bool:
    """Whether a damaged folder was refused, in one line with a file's name; else it must say what it said whole."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            said = ASK[kind](folder)
        except PhotfehError as error:
            check_message(error, folder)
            return True
    if kind != "dataset":
        assert np.array_equal(said, told, equal_nan=True)
    return False


def files_of(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name != ".lock" and "parts" not in path.parts
    )


def flip(kind: str, whole: Path, place: Path, told: np.ndarray, draw: random.Random) -> tuple[Path, bool]:
    """Damage the bytes of one file of a copy, and ask."""
    folder = fresh_copy(whole, place)
    path = draw.choice(files_of(folder))
    before = path.read_bytes()
    after = damage(before, draw)
    path.unlink()
    path.write_bytes(after)
    refused = try_one(kind, folder, told)
    return path, refused


def edit(whole: Path, place: Path, draw: random.Random) -> tuple[Path, list[Any]]:
    """Set one entry of a JSON file of a copied model to something strange, and seal all of it again."""
    folder = fresh_copy(whole, place)
    path = draw.choice([path for path in files_of(folder) if path.suffix == ".json"])
    content = json.loads(path.read_text())
    content.pop("sha256", None)
    where = change(content, draw)
    path.unlink()
    path.write_text(json.dumps(content))
    return path, where


def seal(folder: Path) -> None:
    """As if photfeh itself had written the edited files."""
    content = read_json(folder / "model.json")
    content.pop("sha256", None)
    for member in [*folder.glob("member-*")]:
        assert member.is_dir()
    number = content.get("format")
    seal_folder(folder, {key: value for key, value in content.items() if key != "format"})
    if number != read_json(folder / "model.json")["format"]:
        write_sealed(folder / "model.json", content | {"format": number})


def change(content: Any, draw: random.Random) -> list[Any]:
    """Replace or remove one entry somewhere in nested tables and lists; where it stood."""
    where: list[Any] = []
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        key = draw.choice(keys)
        where.append(key)
        inner = content[key]
        if isinstance(inner, (dict, list)) and inner and draw.random() < 0.8:
            content = inner
            continue
        if draw.random() < 0.15:
            del content[key]
        else:
            content[key] = draw.choice(STRANGE)
        return where


def fresh_copy(whole: Path, place: Path) -> Path:
    """A copy in which files are the same until one is replaced."""
    folder = place / whole.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder, copy_function=lambda one, two: Path(two).hardlink_to(one))
    return folder
