"""Folders of models, data sets and runs are checked when they are opened: what is wrong is refused by its name."""

from __future__ import annotations

import json
import random
import shutil
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from damaged_folders import ASK, check_message, edit, flip, fresh_copy, seal, try_one
from photfeh.core.errors import BadFile, BadInput, PhotfehError
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.prediction import list_trained, load, load_card
from photfeh.inference.trained import _PRETRAINED
from photfeh.inference.training import train
from photfeh.models.parameters import check_parameters
from photfeh.models.registry import MODELS, create_model
from photfeh.samples.dataset import Dataset
from photfeh.validation.cross_validate import validate

QUICK = {
    "ridge-fourier": {"degree": 1},
    "gru": {"epochs": 1, "units": (4,), "dropout": (0.1,)},
    "random-forest": {"n_trees": 5},
}


@pytest.fixture(scope="module")
def whole(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    for name, params in QUICK.items():
        train(dataset, folder / name, model=name, params=params, folds=2)
    validate(dataset, folder / "run", models=("ridge-fourier",), params={"ridge-fourier": {"degree": 1}}, folds=2)
    shutil.copytree(dataset.folder, folder / "dataset")
    return {path.name: path for path in folder.iterdir()}


def kind_of(name: str) -> str:
    return name if name in ASK else "model"


@pytest.mark.parametrize("name", ["ridge-fourier", "gru", "random-forest", "dataset", "run"])
def test_damaged_bytes_are_refused_or_change_nothing(name, whole, tmp_path):
    kind = kind_of(name)
    told = ASK[kind](whole[name])
    refused = sum(flip(kind, whole[name], tmp_path, told, random.Random(f"{name} {seed}"))[1] for seed in range(25))
    assert refused >= (8 if kind == "dataset" else 15)


@pytest.mark.parametrize("name", ["ridge-fourier", "gru", "random-forest"])
def test_an_edited_entry_is_refused_and_a_sealed_one_is_checked(name, whole, tmp_path):
    told = ASK["model"](whole[name])
    for seed in range(25):
        path, where = edit(whole[name], tmp_path, random.Random(f"{name} {seed}"))
        folder = tmp_path / name
        with pytest.raises(BadFile, match=r"changed|reads|not the file|no JSON"):
            Ensemble.load(folder)
        seal(folder)
        tracemalloc.start()
        try:
            ASK["model"](folder)
        except PhotfehError as error:
            check_message(error, folder)
        except BaseException as error:
            error.add_note(f"{path} {where}")
            raise
        assert tracemalloc.get_traced_memory()[1] < 200e6, (path, where)
        tracemalloc.stop()
    assert len(told) == 4


@pytest.mark.parametrize(
    ("file", "keys", "value", "message"),
    [
        ("model.json", ("n_members",), 10**9, "n_members"),
        ("model.json", ("representation", "n_points"), 10**9, "n_points"),
        ("model.json", ("representation", "kind"), "nothing", "nothing"),
        ("model.json", ("model",), "gruu", "unknown model"),
        ("model.json", ("types",), "RRab", "star types"),
        ("model.json", ("calibration", "quantiles", 0), -1.0, "quantiles"),
        ("model.json", ("calibration", "quantiles", 4), float("nan"), "quantiles"),
        ("model.json", ("calibration", "n_stars"), 10**12, "calibration.safetensors"),
        ("model.json", ("limits", 0, 0), 9e9, "limits"),
        ("model.json", ("notes", "feh_range"), [1.0, -1.0], "labels"),
        ("member-1/model.json", ("params", "units"), [10**9], "units"),
        ("member-1/model.json", ("params", "units"), [9_999, 9_999, 9_999], "shape|built"),
        ("member-1/model.json", ("notes", "sigma"), -1.0, "member-1"),
        ("member-0/model.json", ("class",), "LSTM", "LSTM"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named_before_memory_is_taken(whole, tmp_path, file, keys, value, message):
    folder = fresh_copy(whole["gru"], tmp_path)
    content = json.loads((folder / file).read_text())
    content.pop("sha256", None)
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (folder / file).unlink()
    (folder / file).write_text(json.dumps(content))
    seal(folder)
    tracemalloc.start()
    with pytest.raises(BadFile, match=message) as told:
        Ensemble.load(folder)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert str(folder) in str(told.value)


def test_trees_that_would_never_end_or_look_elsewhere_are_refused(whole, tmp_path):
    from safetensors.numpy import load_file, save_file

    for name, value in (("left", 0), ("right", 10**9), ("feature", 10**9), ("root", -5)):
        folder = fresh_copy(whole["random-forest"], tmp_path)
        path = folder / "member-0" / "model.safetensors"
        arrays = load_file(path)
        arrays[name][0] = value
        path.unlink()
        save_file(arrays, path)
        seal(folder)
        with pytest.raises(BadFile, match="member-0"):
            Ensemble.load(folder)


def test_a_header_that_promises_much_is_refused(whole, tmp_path):
    folder = fresh_copy(whole["gru"], tmp_path)
    path = folder / "member-0" / "model.safetensors"
    header = json.dumps({"x": {"dtype": "F64", "shape": [10**12], "data_offsets": [0, 8 * 10**12]}}).encode()
    path.unlink()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    seal(folder)
    with pytest.raises(BadFile, match="member-0"):
        Ensemble.load(folder)


def test_the_card_is_the_folders_own(whole, tmp_path, monkeypatch, caplog):
    """A folder of a shipped model's name, and a card that somebody copied from another model."""
    mine = tmp_path / "dekany-i-band"
    shutil.copytree(whole["ridge-fourier"], mine)
    shipped = load_card("dekany-i-band")
    own = load_card(mine)
    assert "ridge-fourier" in own
    assert own != shipped
    (mine / "MODEL_CARD.md").write_text(shipped)
    assert load_card(mine) == own
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO", "photfeh")
    assert load_card("dekany-i-band") == own
    assert load("dekany-i-band").ensembles["dekany-i-band"].name == "ridge-fourier"
    assert "not the model of that name in the package" in caplog.text
    (mine / "model.json").unlink()
    assert load_card("dekany-i-band") == shipped
    with pytest.raises(BadFile, match=r"no model\.json"):
        load_card(mine)


def test_shipped_models_can_be_tried_out():
    for name in list_trained():
        if (_PRETRAINED / name).is_dir():
            Ensemble.load(_PRETRAINED / name)


@pytest.mark.parametrize("damage", ["truncated", "shape", "kind", "objects", "absent", "empty"])
@pytest.mark.parametrize("name", ["features.npy", "sequences/spline/values.npy", "sequences/spline/mask.npy"])
def test_an_array_of_another_shape_is_refused_by_name(whole, tmp_path, name, damage):
    folder = fresh_copy(whole["dataset"], tmp_path)
    path = folder / name
    array = np.load(path)
    data = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "shape":
        np.save(path, array[:-1])
    elif damage == "kind":
        np.save(path, array.astype(np.float16))
    elif damage == "objects":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    opened = Dataset.open(folder)
    with pytest.raises(BadFile, match="prepare the data set again") as told:
        opened.sequences("spline")
    assert str(path) in str(told.value)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("dataset", "stars.parquet"), ("dataset", "dataset.json"), ("dataset", "cut_flow.csv"),
        ("run", "config.toml"), ("run", "run.json"), ("run", "out_of_fold.parquet"), ("run", "metrics.csv"),
        ("run", "environment.json"),
    ],
)  # fmt: skip
def test_a_file_that_is_absent_or_cut_is_named(whole, tmp_path, kind, name):
    for cut in (None, 0, 0.5):
        folder = fresh_copy(whole[kind], tmp_path)
        data = (folder / name).read_bytes()
        (folder / name).unlink()
        if cut is not None:
            (folder / name).write_bytes(data[: int(cut * len(data))])
        if name == "cut_flow.csv" and cut == 0.5:
            continue  # no digest: a table for people
        assert try_one(kind, folder, np.zeros(0))


def test_an_edited_table_of_a_run_is_noticed(whole, tmp_path):
    from photfeh.validation.run import Run

    folder = fresh_copy(whole["run"], tmp_path)
    table = pd.read_csv(folder / "metrics.csv").assign(r2=0.99)
    (folder / "metrics.csv").unlink()
    table.to_csv(folder / "metrics.csv", index=False)
    with pytest.raises(BadFile, match=r"metrics\.csv was changed"):
        Run.open(folder)


@pytest.mark.parametrize("name", MODELS)
def test_the_table_of_parameters_knows_every_model(name):
    model = create_model(name)
    check_parameters(name, type(model), model.get_params())
    for parameter in model.get_params():
        with pytest.raises(BadInput, match=parameter):
            create_model(name, **{parameter: object()})


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("gru", {"epochs": -3}), ("gru", {"epochs": True}), ("gru", {"units": 5}), ("gru", {"units": (10**9,)}),
        ("gru", {"dropout": (0.1,)}), ("gru", {"schedule": "fast"}), ("gru", {"device": "abacus"}),
        ("svr", {"C": "abc"}), ("svr", {"C": 0}), ("svr", {"inputs": "all"}), ("relation", {"rrab": "x"}),
        ("random-forest", {"max_features": 2.0}), ("gru", {"learning_rate": float("nan")}),
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_is_refused_before_any_fit(name, params):
    with pytest.raises(BadInput):
        create_model(name, **params)
