"""Shared stand-ins: a small simulated survey, its data set, and the real data where they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from browser import Browser
from photfeh.dataset import Dataset
from photfeh.preparation import prepare
from photfeh.simulation import Simulation, simulate

torch.set_num_threads(2)


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
