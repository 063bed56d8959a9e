"""Exit statuses and messages of the command line: 0 all done, 1 nothing or not all, 2 bad input, 130 Ctrl-C."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from photfeh.core import kernels
from photfeh.core.errors import BadInput
from photfeh.core.files import naming, read_json, write_text
from photfeh.core.interrupts import deaf
from photfeh.models.classical import RidgeFourier
from photfeh.samples.dataset import Dataset
from photfeh.simulation.survey import Simulation, write_simulation
from photfeh.validation.run import Run

COMMAND = str(Path(sys.executable).parent / "photfeh")
PATIENCE = 240.0
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
ODD = "[red]x[/red] {0} %s :star: \N{GREEK SMALL LETTER PHI}"


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("survey")
    write_simulation(60, folder, seed=3)
    return folder


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a shell starts it in the foreground (SIGINT not ignored)."""
    return subprocess.Popen(
        [COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=os.environ | environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_for(state: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not state():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline, "the child does nothing"
        time.sleep(0.005)


def one_line(code: int, err: str, status: int = 2) -> str:
    assert code == status, err
    lines = [line for line in err.strip().splitlines() if not line.startswith("photfeh: warning")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    assert "mistake of photfeh" not in err
    return lines[0]


# ---------------------------------------------------------------------- Ctrl-C
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_with_130_and_the_hint_and_the_call_goes_on(call, dataset: Dataset, tmp_path, jobs):
    """SIGINT goes to the whole group, as from a terminal, when the first fit stands on the disk."""
    pytest.importorskip("torch", reason="a network takes long enough to be interrupted")
    run = tmp_path / "run"
    arguments = (
        "validate", dataset.folder, "--models", "ridge-fourier,gru", "--folds", 3, "--output", run, "--jobs", jobs,
        "--set", "gru.epochs=100000", "--set", "gru.patience=100000", "--set", "ridge-fourier.degree=1",
    )  # fmt: skip
    child = start(*arguments)
    wait_for(lambda: len(list((run / "parts").glob("ridge*.*[0-9a-f]"))) >= 3, child)
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130, err
    assert "interrupted; run the same command again to go on" in err.splitlines()[-1]
    assert "Traceback" not in err
    kept = {path.name for path in (run / "parts").glob("ridge*.*[0-9a-f]")}
    assert len(kept) == 3
    code, _, err = call(*arguments[:-6], "--set", "gru.epochs=1", "--set", "ridge-fourier.degree=1")
    assert code == 0, err
    assert "3 of 6 parts taken from an earlier call" in err
    assert len(Run.open(run).timings) == 6


@pytest.mark.skipif(sys.platform == "win32", reason="Windows hands no signals down")
def test_processes_started_deaf_do_not_hear_ctrl_c_and_their_starter_does_again():
    """A plain one, those of joblib, and those of multiprocessing, whose tracker of resources unblocks signals."""
    before = signal.getsignal(signal.SIGINT)
    with deaf():
        child = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], **PIPES)
        spawned = multiprocessing.get_context("spawn").Pool(1)
        heard = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(signal.getsignal)(signal.SIGINT) for _ in "ab")
    assert signal.getsignal(signal.SIGINT) is before
    assert heard == [signal.SIG_IGN] * 2
    with spawned:
        assert spawned.apply(signal.getsignal, (signal.SIGINT,)) == signal.SIG_IGN
    assert child.stdout.readline() == "\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate("\n", timeout=PATIENCE)
    assert (child.returncode, out, err) == (0, "", "")


# ---------------------------------------------------------------------- 1: not all was done
def test_fits_that_fail_end_with_1(call, dataset: Dataset, tmp_path, monkeypatch):
    fit = RidgeFourier._fit

    def sometimes(self, X, *rest):
        if len(X) % 2 or self.degree == 1:
            raise ValueError("deliberate")
        return fit(self, X, *rest)

    monkeypatch.setattr(RidgeFourier, "_fit", sometimes)
    options = ("--models", "ridge-fourier,svr", "--folds", 3, "--set", "svr.C=1", "--set", "svr.gamma=0.2")
    options = (*options, "--set", "ridge-fourier.degree=1")
    code, out, err = call("validate", dataset.folder, *options, "--output", tmp_path / "some")
    assert code == 1
    assert err.count("failed: ridge-fourier on spline, fold") == 3
    assert "report" in out
    every = ("--models", "ridge-fourier", "--folds", 3, "--set", "ridge-fourier.degree=1")
    code, _, err = call("validate", dataset.folder, *every, "--output", tmp_path / "none")
    assert code == 1
    assert "no model could be fitted; first reason: ValueError: deliberate" in err
    options = ("--model", "ridge-fourier", "--set", "ridge-fourier.degree=1", "--output", tmp_path / "m")
    code, _, err = call("train", dataset.folder, *options)
    assert code == 1
    assert "ridge-fourier could not be fitted, fold 0: ValueError: deliberate" in err


def test_no_star_predicted_ends_with_1(call, paths, tmp_path):
    pd.DataFrame({"source_id": [1, 2], "period": [0.5, 0.6]}).to_csv(tmp_path / "others.csv", index=False)
    code, out, _ = call(
        "predict", paths / "epochs.parquet", "--stars", tmp_path / "others.csv", "--model", "relation",
        "--output", tmp_path / "p.csv",
    )  # fmt: skip
    assert code == 1
    assert "none of 2 stars could be predicted" in out
    assert len(pd.read_csv(tmp_path / "p.csv")) == 2


def test_what_nobody_foresaw_is_one_line_too(call, monkeypatch, tmp_path):
    def broken(*arguments, **named):
        raise ZeroDivisionError("deliberate\nand long")

    monkeypatch.setattr("photfeh.simulation.survey.write_simulation", broken)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code, _, err = call("simulate", "--stars", 3, "--output", tmp_path / "s")
    assert code == 1
    assert len(err.strip().splitlines()) == 1
    assert "a mistake of photfeh itself: ZeroDivisionError: deliberate. Please report it, with" in err
    assert "Traceback" in Path(err.strip().rstrip(".").rsplit(" ", 1)[1]).read_text()


# ---------------------------------------------------------------------- 2: the system says no
def bad_paths(folder: Path) -> Iterator[tuple[str, str]]:
    """Where nothing can be written, and a word of the reason."""
    (folder / "file").write_text("x")
    (folder / "folder").mkdir()
    yield str(folder / ("n" * 300)), "File name too long"
    yield str(folder / "file" / "x"), "ot a directory"
    yield str(folder / "file"), "is a file"


@pytest.mark.parametrize("verb", ["simulate", "prepare", "validate", "train", "compare", "learning-curve", "demo"])
def test_an_output_that_cannot_be_is_one_line_with_its_path(call, verb, paths, dataset, tmp_path):
    reads = {
        "simulate": ("--stars", 3), "prepare": (paths / "epochs.parquet", "--stars", paths / "stars.parquet"),
        "validate": (dataset.folder, "--models", "ridge-fourier"),
        "train": (dataset.folder, "--model", "ridge-fourier"),
        "learning-curve": (dataset.folder, "--models", "ridge-fourier"), "demo": (), "compare": (tmp_path / "run",),
    }  # fmt: skip
    if verb == "compare":
        call("validate", dataset.folder, "--models", "ridge-fourier", "--folds", 2, "--output", tmp_path / "run")
    for path, reason in bad_paths(tmp_path):
        code, _, err = call(verb, *reads[verb], "--output", path)
        line = one_line(code, err)
        assert path in line
        assert reason.lower() in line.lower()


def test_an_output_of_predict_that_cannot_be(call, paths, tmp_path):
    reads = (paths / "epochs.parquet", "--stars", paths / "stars.parquet", "--model", "relation", "--output")
    for path, reason in bad_paths(tmp_path):
        name = path if reason == "is a file" else path + ".csv"
        code, _, err = call("predict", *reads, name)
        line = one_line(code, err)
        assert path in line
    code, _, err = call("predict", *reads, tmp_path / "folder")
    assert "ends in .parquet" in one_line(code, err)
    (tmp_path / "folder.csv").mkdir()
    code, _, err = call("predict", *reads, tmp_path / "folder.csv")
    assert "is a folder" in one_line(code, err)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(call, tmp_path):
    tmp_path.chmod(0o500)
    code, _, err = call("simulate", "--stars", 3, "--output", tmp_path / "s")
    assert "Permission denied" in one_line(code, err)
    assert str(tmp_path / "s") in err


def test_an_error_without_a_name_gets_one(call, monkeypatch, tmp_path):
    """What a full disk, or another user's folder, says while a file is written."""

    def full(*arguments, **named):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device: '.*/x'"), naming(tmp_path / "x"):
        full()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match=r"text\.txt"):
            write_text(tmp_path / "text.txt", "x")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    code, _, err = call("simulate", "--stars", 3, "--output", tmp_path / "s")
    line = one_line(code, err)
    assert str(tmp_path / "s") in line
    assert "No space left on device" in line
    assert "run the same command again" in line
    assert not list((tmp_path / "s").glob("*.part"))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_keeps_what_was_finished(call, survey: Simulation, dataset: Dataset, paths, tiny_disk):
    """Arrays are claimed before they are filled, so that nobody is killed; with space the same command goes on."""
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(3_700_000))
    reads = (paths / "epochs.parquet", "--stars", paths / "stars.parquet")
    prepare = ("prepare", *reads, "--output", tiny_disk / "d", "--points", 64)
    code, _, err = call(*prepare, "--representations", "raw,spline", "--points", 1024)
    line = one_line(code, err)
    assert "No space left on device" in line
    assert str(tiny_disk / "d") in line
    train = ("train", dataset.folder, "--model", "random-forest", "--set", "random-forest.n_trees=30")
    code, _, err = call(*train, "--output", tiny_disk / "m")
    lines = [line for line in err.splitlines() if "No space" in line]
    assert code == 2
    assert str(tiny_disk / "m") in lines[0]
    kept = len(list((tiny_disk / "m" / "parts").glob("member*.*[0-9a-f]")))
    ballast.unlink()
    code, _, err = call(*train, "--output", tiny_disk / "m")
    assert code == 0, err
    assert kept == 0 or f"{kept} of 5 parts taken" in err
    code, _, err = call(*prepare, "--representations", "spline")
    assert code == 0, err
    assert len(Dataset.open(tiny_disk / "d")) == 60


# ---------------------------------------------------------------------- options before the first star
PREPARE = [
    ("--labels", "maybe"), ("--cuts", "nothing>3"), ("--cuts", "foundling"), ("--types", "RRab,EA"), ("--types", ","),
    ("--assume-type", "Cepheid"), ("--representations", "raw,wave"), ("--representations", ","), ("--smoother", "iron"),
    ("--alignment", "minimum"), ("--points", "many"), ("--points", "3"), ("--points", "1000000000"), ("--band", " "),
    ("--periods", "perhaps"), ("--columns", "time"),
]  # fmt: skip


@pytest.mark.parametrize(("option", "value"), PREPARE)
def test_prepare_checks_every_option_before_the_first_star(call, paths, tmp_path, monkeypatch, option, value):
    monkeypatch.setattr("photfeh.samples.preparation.measure", None)
    reads = (paths / "epochs.parquet", "--stars", paths / "stars.parquet")
    code, _, err = call("prepare", *reads, "--output", tmp_path / "d", option, value)
    one_line(code, err)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--model", "gruu"), ("--band", "V"), ("--periods", "perhaps"), ("--output", "p.txt"), ("--columns", "time"),
     ("--id-column", "none such")],
)  # fmt: skip
def test_predict_checks_every_option_before_the_first_star(call, paths, tmp_path, monkeypatch, option, value):
    monkeypatch.setattr("photfeh.inference.predictor.measure", None)
    monkeypatch.chdir(tmp_path)
    options = {"--model": "relation", "--output": "p.csv"} | {option: value}
    reads = (paths / "epochs.parquet", "--stars", paths / "stars.parquet")
    code, _, err = call("predict", *reads, *(word for pair in options.items() for word in pair))
    one_line(code, err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["validate", "train", "learning-curve"])
@pytest.mark.parametrize(
    ("option", "value"),
    [("MODEL", "svrr"), ("REPRESENTATION", "wave"), ("--folds", "1"), ("--folds", "100000"), ("--weighting", "heavy"),
     ("--seed", "-1"), ("--seed", "99999999999"), ("--set", "svr.D=1"), ("--set", "svr.C=abc"),
     ("--set", "gru.epochs=3"),
     ("--jobs", "0"), ("--fractions", "0.5,1.5"), ("--fractions", "0"), ("--fractions", "nan"), ("--repeats", "0")],
)  # fmt: skip
def test_the_laboratory_checks_every_option_before_the_first_fit(
    call, dataset, tmp_path, monkeypatch, verb, option, value
):
    only = {"--fractions": ("learning-curve",), "--jobs": ("validate", "learning-curve"), "--repeats": ("validate",)}
    if verb not in only.get(option, (verb,)):
        pytest.skip("no such option")
    monkeypatch.setattr("photfeh.models.classical.SupportVector._fit", None)
    singular = {"validate": "s", "train": "", "learning-curve": "s"}[verb]
    name = {"MODEL": f"--model{singular}", "REPRESENTATION": "--representation" + "s" * (verb == "validate")}
    options = {f"--model{singular}": "svr", "--output": tmp_path / "o"} | {name.get(option, option): value}
    code, _, err = call(verb, dataset.folder, *(word for pair in options.items() for word in pair))
    one_line(code, err)
    made = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".photfeh.json"]
    assert not made


# ---------------------------------------------------------------------- words as they are
def test_markup_in_names_and_labels_is_printed_as_it_is(call, paths, tmp_path):
    folder = tmp_path / ODD
    code, _, err = call("predict", folder / "epochs.csv", "--stars", paths / "stars.parquet", "--model", "relation")
    assert str(folder / "epochs.csv") in one_line(code, err)
    reads = (paths / "epochs.parquet", "--stars", paths / "stars.parquet", "--output", folder)
    code, out, err = call("prepare", *reads, "--truth", ODD, "--representations", "spline", "--points", 64, "--types",
                          "RRab,RRc")  # fmt: skip
    assert code == 0, err
    assert f"labels: {ODD}" in out
    assert f"in the sample: {folder}" in out
    options = ("--models", "ridge-fourier", "--folds", 2, "--output", tmp_path / f"run {ODD}")
    code, out, err = call("validate", folder, *options)
    assert code == 0, err
    assert f"labels: {ODD}" in out
    assert ODD in (tmp_path / f"run {ODD}" / "report.html").read_text()
    code, _, err = call("validate", folder, *options[:-1], tmp_path / "x", "--external", "<b>&[bold]")
    assert "<b>&[bold]" in err


def test_a_name_that_is_no_text_can_be_printed(tmp_path):
    """Bytes of a Latin-1 name, in a real process with its real streams, and a version and completion on the way."""
    name = os.fsencode(tmp_path) + b"/caf\xe9.csv"
    done = subprocess.run(
        [COMMAND, "predict", name, "--model", "relation"], capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2
    assert b"caf" in done.stderr
    assert b"Traceback" not in done.stderr


def test_version_and_completion(call, tmp_path):
    code, out, _ = call("--version")
    assert code == 0
    assert out.startswith("photfeh ")
    environment = os.environ | {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    for option, where in (("--show-completion", None), ("--install-completion", ".bash_completions")):
        done = subprocess.run(
            [COMMAND, option, "bash"], capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "_PHOTFEH_COMPLETE=complete_bash" in done.stdout or where
        assert where is None or any(where in path.name for path in tmp_path.iterdir())


# ---------------------------------------------------------------------- the first call of an installation
FIRST = """
import logging, numpy as np
logging.basicConfig(level=logging.INFO, format="%(message)s")
from photfeh.core.kernels import row_products
row_products(np.ones((2, 2)), np.ones(2)); row_products(np.ones((2, 2)), np.ones(2))
"""


def test_the_first_call_says_once_that_kernels_are_compiled(tmp_path):
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", FIRST], capture_output=True, text=True, timeout=PATIENCE, check=True,
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        )  # fmt: skip
        said.append(done.stderr.count("compiling kernels, once for this installation; half a minute"))
    assert said == [1, 0]


def test_the_note_of_kernels_reaches_the_terminal(call, paths, tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr(kernels, "cache_folder", lambda: empty)
    kernels._say_if_new.cache_clear()
    options = ("--stars", paths / "stars.parquet", "--model", "relation", "--output", tmp_path / "p.csv")
    code, _, err = call("predict", paths / "epochs.parquet", *options)
    assert code == 0
    assert err.count("photfeh: compiling kernels, once for this installation; half a minute") == 1
    monkeypatch.setattr(kernels, "cache_folder", lambda: None)
    kernels._say_if_new.cache_clear()
    assert "nowhere can they be kept" in call("predict", paths / "epochs.parquet", *options)[2]


def test_json_that_cannot_be_is_nothing(tmp_path):
    path = tmp_path / "x.json"
    for text in ("", "{", "[" * 100_000, "\0"):
        path.write_text(text)
        assert read_json(path) is None
    os.mkfifo(tmp_path / "pipe.json")
    assert read_json(tmp_path / "pipe.json") is None
    assert isinstance(BadInput("x"), Exception)
    assert np.isfinite(1.0)
