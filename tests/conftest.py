"""Shared stand-ins: a small simulated survey, its data set, and the real data where they are."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import checked  # noqa: F401 - first of all, see there
import skipped
from browser import Browser
from photfeh.cli import app, archive, console, laboratory, models, prediction, samples, stars, tuning
from photfeh.core.errors import MissingPackage, PhotfehWarning
from photfeh.core.packages import has_package
from photfeh.samples.dataset import Dataset
from photfeh.samples.preparation import prepare
from photfeh.simulation.survey import Simulation, simulate

if has_package("torch"):
    import torch

    torch.set_num_threads(2)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    table = skipped.lines(terminalreporter.stats.get("skipped", []))
    if table:
        terminalreporter.section("skipped, and why")
        for line in table:
            terminalreporter.write_line(line)


LONG = ("test_kill.py", "test_validation.py", "test_exit_status.py", "test_archive.py", "test_models.py")
"""Files that take a minute or more: first, so that no worker begins one when the others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Where torch is not installed, what asks for it is skipped."""
    try:
        return (yield)
    except MissingPackage as error:
        if has_package("torch"):
            raise
        pytest.skip(str(error))


def real_folder() -> Path:
    return Path(os.environ.get("PHOTFEH_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = real_folder()
    if not (folder / "gaia-dr3" / "stars.parquet").is_file():
        pytest.skip(f"no real data at {folder}: set PHOTFEH_DATA (docs/data.md says how to get them)")
    return folder


@pytest.fixture(scope="session")
def survey() -> Simulation:
    return simulate(500, seed=5)


@pytest.fixture(scope="session")
def dataset(survey: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("survey") / "dataset"
    return prepare(
        survey.curves, survey.stars, folder, labels="column", cuts="none", types=("RRab", "RRc"), truth="simulation"
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    running = Browser(tmp_path_factory.mktemp("chromium"))
    yield running
    running.close()


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """The command line as the shell would call it, without a new process: exit status, output, messages."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["photfeh", *map(str, arguments)])
        style = {"highlight": False, "markup": False, "emoji": False, "soft_wrap": True, "width": 200}
        consoles = {"out": Console(file=sys.stdout, **style), "err": Console(file=sys.stderr, **style)}
        for module in (app, archive, console, laboratory, models, prediction, samples, stars, tuning):
            for name in consoles.keys() & vars(module).keys():
                monkeypatch.setattr(module, name, consoles[name])
        code = 0
        with warnings.catch_warnings():
            warnings.simplefilter("always", PhotfehWarning)
            try:
                app.main()
            except SystemExit as stop:
                code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
