"""Nothing of the user's is lost: no output over an input, or over what photfeh did not make."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

import photfeh as pf
from photfeh.core.errors import BadInput
from photfeh.core.outputs import keep_inputs, own_folder
from photfeh.inference.training import train
from photfeh.samples.dataset import Dataset
from photfeh.samples.preparation import prepare
from photfeh.simulation.survey import Simulation
from photfeh.validation.cross_validate import learning_curve, validate
from photfeh.validation.run import Run

SMALL = {"labels": "column", "cuts": "none", "types": ("RRab", "RRc"), "representations": ("spline",), "n_points": 32}
RIDGE = {"models": ("ridge-fourier",), "params": {"ridge-fourier": {"degree": 1}}, "folds": 2}


@pytest.fixture(scope="module")
def files(survey: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one star a file, and a star table beside it."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "curves").mkdir()
    for i in range(12):
        star = survey.curves[i]
        frame = pd.DataFrame({"time": star.time, "mag": star.mag, "mag_error": star.mag_error})
        frame.to_csv(folder / "curves" / f"star {star.source_id}.csv", index=False)
    survey.stars.iloc[:12][["source_id", "period", "type", "feh"]].to_csv(folder / "stars.csv", index=False)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("output", ["stars.csv", "link.csv", "curves/p.csv", "STAR", "curves", "deep/../stars.csv"])
def test_predict_writes_over_no_input(files, tmp_path, output, overwrite):
    place = tmp_path / "place"
    shutil.copytree(files, place)
    (place / "deep").mkdir()
    (place / "link.csv").symlink_to(place / "stars.csv")
    before = content(place)
    star = next((place / "curves").iterdir())
    path = star if output == "STAR" else place / output
    with pytest.raises(BadInput, match=r"input|is a folder|name a file"):
        pf.predict(str(place / "curves"), str(place / "stars.csv"), model="relation", output=path, overwrite=overwrite)
    with pytest.raises(BadInput, match=r"input|is a folder|name a file"):
        pf.predict(f"{place}/curves/*.csv", place / "stars.csv", model="relation", output=path, overwrite=overwrite)
    assert content(place) == before


def test_predict_writes_over_no_file_of_others_whatever_its_case(files, tmp_path):
    for name in ("mine.CSV", "mine.Parquet"):
        path = tmp_path / name
        path.write_text("source_id,thoughts\n1,deep\n")
        with pytest.raises(BadInput, match="--overwrite"):
            pf.predict(files / "curves", files / "stars.csv", model="relation", output=path)
        assert "deep" in path.read_text()
        table = pf.predict(files / "curves", files / "stars.csv", model="relation", output=path, overwrite=True)
        assert len(table) == 12
        # its own it writes again without a word
        pf.predict(files / "curves", files / "stars.csv", model="relation", output=path)
    parts = tmp_path / "new.csv.parts"
    parts.mkdir()
    (parts / "chapter").mkdir()
    with pytest.raises(BadInput, match="is not of photfeh"):
        pf.predict(files / "curves", files / "stars.csv", model="relation", output=tmp_path / "new.csv")
    assert (parts / "chapter").is_dir()


def calls(files: Path, dataset: Dataset, run: Run) -> dict[str, tuple]:
    """Each verb that makes a folder, and what it reads."""
    curves, stars = files / "curves", files / "stars.csv"
    fit = {"model": "ridge-fourier", "params": {"degree": 1}, "folds": 2}
    return {
        "prepare": (lambda out, **more: prepare(curves, stars, out, **SMALL, **more), curves, "stars.parquet"),
        "validate": (lambda out, **more: validate(dataset, out, **RIDGE, **more), dataset.folder, "metrics.csv"),
        "train": (lambda out, **more: train(dataset, out, **fit, **more), dataset.folder, "model.json"),
        "learning-curve": (
            lambda out, **more: learning_curve(dataset, out, fractions=(1.0,), **RIDGE, **more), dataset.folder, None
        ),
    }  # fmt: skip


@pytest.mark.parametrize("verb", ["prepare", "validate", "train", "learning-curve"])
def test_folders_of_others_are_left_alone_and_taken_with_overwrite(verb, files, dataset, tmp_path):
    run, source, made = calls(files, dataset, None)[verb]
    before = content(source)
    (tmp_path / "link").symlink_to(source)
    for output in (source, tmp_path / "link", source.parent):
        for overwrite in (False, True):
            with pytest.raises(BadInput, match="input"):
                run(output, overwrite=overwrite)
    assert content(source) == before
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "config.toml").write_text("title = 'mine'\n")
    (thesis / "text").mkdir()
    (thesis / "text" / "chapter.tex").write_text("precious")
    before = content(thesis)
    with pytest.raises(BadInput, match="--overwrite"):
        run(thesis)
    assert content(thesis) == before
    a_file = tmp_path / "file"
    a_file.write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(BadInput, match="is a file"):
            run(a_file, overwrite=overwrite)
    assert a_file.read_text() == "precious"
    run(thesis, overwrite=True)
    assert (thesis / "text" / "chapter.tex").read_text() == "precious"
    assert made is None or (thesis / made).exists()
    run(thesis, overwrite=True)  # and once more: what the user put there stays
    assert (thesis / "text" / "chapter.tex").read_text() == "precious"


def test_prepare_again_over_a_data_set_is_a_new_one(files, tmp_path):
    first = prepare(files / "curves", files / "stars.csv", tmp_path / "d", **SMALL)
    before = first.sequences("spline").values.copy()
    with pytest.raises(BadInput, match="already holds a data set"):
        prepare(files / "curves", files / "stars.csv", tmp_path / "d", **SMALL | {"n_points": 16})
    again = prepare(files / "curves", files / "stars.csv", tmp_path / "d", **SMALL | {"n_points": 16}, overwrite=True)
    assert again.sequences("spline").values.shape[1] == 16
    assert before.shape[1] == 32
    with pytest.raises(BadInput, match="was prepared again"):
        first.sequences("spline")


def test_simulate_compare_and_demo_keep_what_is_there(call, dataset, tmp_path):
    validate(dataset, tmp_path / "run", **RIDGE)
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "report.html").write_text("precious")
    run = content(tmp_path / "run")
    for verb in (
        ("simulate", "--stars", 5, "--output", thesis),
        ("compare", tmp_path / "run", "--output", thesis),
        ("demo", "--output", thesis),
        ("compare", tmp_path / "run", "--output", tmp_path / "run", "--overwrite"),
        ("compare", tmp_path / "run", "--output", tmp_path, "--overwrite"),
    ):
        code, _, err = call(*verb)
        assert code == 2, verb
        assert "--overwrite" in err or "input" in err
        assert len(err.strip().splitlines()) == 1
    assert content(tmp_path / "run") == run
    assert (thesis / "report.html").read_text() == "precious"
    for _ in range(2):
        assert call("simulate", "--stars", 5, "--output", tmp_path / "survey")[0] == 0
        (tmp_path / "survey" / "notes.txt").write_text("mine")
    assert (tmp_path / "survey" / "notes.txt").read_text() == "mine"


def test_what_is_an_input_and_what_is_not(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.csv").touch()
    keep_inputs(tmp_path / "b.csv", (tmp_path / "a", "no-such-file", None, 3, ["x"], pd.DataFrame()))
    keep_inputs(tmp_path / "a" / "run", (tmp_path / "a",), beside=False)
    keep_inputs(tmp_path / "ab", (tmp_path / "a",))
    for output, source in (
        ("a", "a"), ("a/x.csv", "a/x.csv"), ("a/y.csv", "a"), ("a/y.csv", "a/*.csv"), ("a", "a/x.csv"),
        ("a/b/../y", "a"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match="name another --output"):
            keep_inputs(tmp_path / output, [[tmp_path / source]])
    with pytest.raises(BadInput, match="is a file"):
        own_folder(tmp_path / "a" / "x.csv", "demo")
