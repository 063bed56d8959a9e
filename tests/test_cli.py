from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from photfeh.cli import console as cli
from photfeh.core.errors import BadInput
from photfeh.simulation.survey import Simulation


def test_the_way_from_survey_to_report(call, tmp_path):
    code, out, _ = call("simulate", "--stars", 300, "--output", tmp_path / "s", "--seed", 3)
    assert code == 0
    assert "300 stars" in out
    epochs, stars = tmp_path / "s" / "epochs.parquet", tmp_path / "s" / "stars.parquet"
    code, out, _ = call("prepare", epochs, "--stars", stars, "--output", tmp_path / "d", "--truth", "simulation")
    assert code == 0
    assert "Cut flow" in out
    assert "labels: simulation" in out
    code, out, _ = call(
        "validate", tmp_path / "d", "--models", "relation,ridge-fourier", "--folds", 3, "--external", "true_phi31",
        "--output", tmp_path / "r",
    )  # fmt: skip
    assert code == 0
    assert (tmp_path / "r" / "report.html").stat().st_size > 50_000
    assert "true_phi31" in out
    code, out, _ = call(
        "train",
        tmp_path / "d",
        "--model",
        "ridge-fourier",
        "--output",
        tmp_path / "m",
        "--set",
        "ridge-fourier.degree=1",
    )
    assert code == 0
    assert "out of fold" in out
    code, out, _ = call(
        "predict", epochs, "--stars", stars, "--model", tmp_path / "m", "--output", tmp_path / "p.parquet"
    )
    assert code == 0
    assert len(pd.read_parquet(tmp_path / "p.parquet")) == 300
    code, out, _ = call("predict", epochs, "--stars", stars, "--output", tmp_path / "p.csv")
    assert code == 0
    assert pd.read_csv(tmp_path / "p.csv")["model"].isin(["dekany-i-band-distilled", "ogle-i-band-rrc"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("validate", "nowhere", "--output", "x"), "not a finished data set"),
        (("predict", "nowhere.parquet", "--stars", "no.parquet"), "no.parquet"),
        (("models", "describe", "gruu"), "Did you mean 'gru'"),
        (("prepare", "a", "--stars", "stars.csv", "--output", "c", "--labels", "maybe"), "maybe"),
        (("validate", "d", "--output", "x", "--protocol", "fair"), "--protocol must be"),
        (("nothing",), "No such command"),
        (("simulate", "--stars", "0", "--output", "x"), "stars"),
        (("train", "d", "--output", "x", "--set", "epochs=3"), "cannot read --set"),
    ],
)
def test_bad_usage_is_one_line_and_exit_status_2(call, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("stars.csv").write_text("source_id,period\n1,0.5\n")
    code, _, err = call(*arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2


def test_models_are_listed_and_described(call):
    code, out, _ = call("models", "list")
    assert code == 0
    for name in ("relation", "ridge-fourier", "random-forest", "svr", "gru"):
        assert name in out
    _, out, _ = call("models", "describe", "gru")
    for count in ("1440", "1824", "624", "9", "3,897"):
        assert count in out
    _, out, _ = call("models", "describe", "svr")
    assert "epsilon" in out


def test_a_learning_curve_is_a_table_and_a_figure(call, dataset, tmp_path):
    output = tmp_path / "curve"
    options = ("--models", "ridge-fourier", "--fractions", "0.5,1", "--folds", 3, "--output", output)
    code, out, _ = call("learning-curve", dataset.folder, *options)
    assert code == 0
    assert "rmse in dex" in out
    assert len(pd.read_csv(output / "learning_curve.csv")) == 6
    assert (output / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = call("learning-curve", dataset.folder, "--fractions", "half", "--output", output)
    assert code == 2
    assert "--fractions" in err


def test_settings_are_read_as_json():
    settings = cli.settings(["gru.epochs=5", "gru.units=[4,3]", "svr.inputs=sequence"])
    assert settings == {"gru": {"epochs": 5, "units": (4, 3)}, "svr": {"inputs": "sequence"}}
    with pytest.raises(BadInput, match="cannot read --set"):
        cli.settings(["epochs"])
    assert cli.lengths("64") == 64
    assert cli.lengths("raw=128, spline=64") == {"raw": 128, "spline": 64}
    for text in ("many", "raw=", "raw=12=3"):
        with pytest.raises(BadInput, match="--points"):
            cli.lengths(text)


def test_help_shows_examples():
    for command in ("demo", "simulate", "prepare", "validate", "train", "predict"):
        text = subprocess.run(
            [str(Path(sys.executable).parent / "photfeh"), command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "Example:" in text, command


def test_a_bad_file_among_good_ones_is_named(call, survey: Simulation, tmp_path):
    """A folder with one star a file: the truncated one is named, the others are predicted."""
    folder = tmp_path / "curves"
    folder.mkdir()
    for i in range(4):
        star = survey.curves[i]
        frame = pd.DataFrame({"time": star.time, "mag": star.mag, "mag_error": star.mag_error})
        frame.to_csv(folder / f"star {star.source_id}.csv", index=False)
    broken = folder / f"star {survey.curves[3].source_id}.csv"
    broken.write_bytes(b"")
    survey.stars.iloc[:4][["source_id", "period"]].to_csv(tmp_path / "stars.csv", index=False)
    code, _, err = call("predict", folder, "--stars", tmp_path / "stars.csv", "--output", tmp_path / "p.parquet")
    assert code == 0
    assert f"{broken} is empty" in err
    table = pd.read_parquet(tmp_path / "p.parquet")
    assert table["feh"].notna().tolist() == [True, True, True, False]
    assert table["flag"].iloc[3] & 1
