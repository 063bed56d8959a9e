"""The search for parameters: never a look at scored stars, and no trial lost, stuck or run twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import photfeh as pf
from photfeh.core.errors import BadInput, FitFailed, UnknownName
from photfeh.models.registry import MODELS, create_model
from photfeh.models.spaces import Choice, Range, check_space, read_space
from photfeh.report.tuning_page import tuning_text, write_tuning
from photfeh.samples.dataset import Dataset
from photfeh.validation.cross_validate import validate
from photfeh.validation.fitting import Labelled, Task, fit_split
from photfeh.validation.splits import make_splits
from photfeh.validation.tuning import search as searching
from photfeh.validation.tuning import verb

optuna = pytest.importorskip("optuna")
from photfeh.validation.tuning.nested import NestedSearch  # noqa: E402
from photfeh.validation.tuning.pruning import FOLDS_FROM, EpochsThenFolds  # noqa: E402
from photfeh.validation.tuning.search import Search, search  # noqa: E402
from photfeh.validation.tuning.study import JOURNAL, Desk, decoded, process_start  # noqa: E402

SPACE = {"C": Range(0.5, 50.0, log=True), "gamma": Range(0.02, 2.0, log=True)}
STATES = optuna.trial.TrialState


@pytest.fixture(scope="module")
def data(dataset: Dataset) -> Labelled:
    return Labelled.of(dataset, "spline")


def how(n_trials: int = 6, **changed) -> Search:
    return Search(
        **{"name": "svr", "n_trials": n_trials, "space": SPACE, "params": {}, "weighting": "uniform"} | changed
    )


def trials_of(folder: Path) -> list[optuna.trial.FrozenTrial]:
    desk = Desk(folder, SPACE, seed=0, first={})
    return desk.study.get_trials(deepcopy=False)


# --- spaces ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if entry.space])
def test_every_space_of_the_registry_can_be_searched(name):
    """Its ends are allowed, every corner makes a model, and the default lies within it where it can."""
    entry = MODELS[name]
    check_space(name, entry.model_class(), entry.space)
    default = create_model(name).get_params()
    for number in range(8):
        rng = np.random.default_rng(number)
        drawn = {}
        for key, values in entry.space.items():
            drawn[key] = values.values[rng.integers(len(values.values))] if isinstance(values, Choice) else (
                [values.low, values.high][rng.integers(2)]
            )  # fmt: skip
        create_model(name, **drawn)
    for key, values in entry.space.items():
        if default[key] is not None and isinstance(values, Choice):
            assert default[key] in values.values, key
        elif default[key] is not None:
            assert values.low <= default[key] <= values.high, key


def test_a_space_is_read_from_a_file(tmp_path):
    (tmp_path / "s.toml").write_text(
        "learning_rate = { low = 0.003, high = 0.05, log = true }\nunits = { choices = [[4, 3], [5]] }\n"
        "batch_size = { low = 8, high = 64 }\n"
    )
    space = read_space(tmp_path / "s.toml")
    assert space == {
        "learning_rate": Range(0.003, 0.05, log=True), "units": Choice(((4, 3), (5,))), "batch_size": Range(8, 64)
    }  # fmt: skip
    assert space["batch_size"].whole
    assert not space["learning_rate"].whole


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = { low = 1, high = 2 }", "has no parameter 'colour'"),
        ("C = { low = 5.0, high = 2.0 }", "range of C must rise, found 5.0 to 2.0"),
        ("C = { low = 0.0, high = 2.0, log = true }", "must begin above 0"),
        ("C = { low = -3.0, high = 2.0 }", "the parameter C of model 'svr' must be a number above 0"),
        ("C = { high = 2.0 }", "C must be { low = NUMBER"),
        ("C = 3", "found 3"),
        ("C = { choices = [] }", "choices of C are empty"),
        ("C = {", "cannot be read"),
        ("", "is empty"),
    ],
)
def test_a_bad_space_is_one_clear_error_before_any_work(dataset: Dataset, tmp_path, call, text, said):
    (tmp_path / "s.toml").write_text(text)
    code, _, err = call(
        "tune", dataset.folder, "--model", "svr", "--space", tmp_path / "s.toml", "--output", tmp_path / "out"
    )
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_other_bad_input_is_one_clear_error(dataset: Dataset, tmp_path, call):
    (tmp_path / "file").write_text("")
    for options, said in (
        (["--model", "svm"], "Did you mean 'svr'?"),
        (["--model", "blend"], "has no search space of its own; give one with --space"),
        (["--model", "svr", "--set", "svr.C=3"], "C of svr cannot be held and searched"),
        (["--model", "svr", "--set", "svr.kernel=3"], "no parameter 'kernel'"),
        (["--model", "svr", "--representation", "splines"], "representation"),
        (["--model", "svr", "--output", tmp_path / "file"], "is a file"),
        (["--model", "svr", "--output", tmp_path / "file" / "deep"], "file"),
    ):
        given = ["--output", tmp_path / "out"] if "--output" not in options else []
        code, _, err = call("tune", dataset.folder, *options, *given)
        assert code == 2, options
        assert said in err
        assert len(err.strip().splitlines()) == 1, err


# --- the study ------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_serial_study(data, tmp_path):
    rows = np.arange(200)
    one, two, _ = (search(data, rows, tmp_path / name, how(seed=seed)) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert one.params == two.params
    assert one.value == two.value
    tried = [[trial.params for trial in trials_of(tmp_path / name)] for name in "abc"]
    assert tried[0] == tried[1]
    assert tried[0] != tried[2]
    assert one.n_trials == 6
    assert one.value == min(trial.value for trial in trials_of(tmp_path / "a") if trial.state == STATES.COMPLETE)


def test_an_interrupted_study_goes_on_and_runs_no_trial_twice(data, tmp_path, monkeypatch):
    rows, calls = np.arange(200), []
    whole = search(data, rows, tmp_path / "whole", how(8))

    def stopped(*args, **options):
        calls.append(1)
        if len(calls) == 13:  # in the third fold of the third trial, or so
            raise KeyboardInterrupt
        return fit_split(*args, **options)

    monkeypatch.setattr(searching, "fit_split", stopped)
    with pytest.raises(KeyboardInterrupt):
        search(data, rows, tmp_path / "cut", how(8))
    before = {trial.number: trial.params for trial in trials_of(tmp_path / "cut") if trial.state.is_finished()}
    resumed = search(data, rows, tmp_path / "cut", how(8))
    trials = trials_of(tmp_path / "cut")
    assert Counter(trial.state in (STATES.COMPLETE, STATES.PRUNED) for trial in trials) == {True: 8, False: 1}
    real = [tuple(trial.params.values()) for trial in trials if "reaped" not in trial.user_attrs]
    assert len(set(real)) == 8
    assert all(trials[number].params == params for number, params in before.items())
    (reaped,) = [trial for trial in trials if "reaped" in trial.user_attrs]
    (again,) = [trial for trial in trials if trial.user_attrs.get("again_for") == reaped.number]
    assert again.params == reaped.params
    assert resumed.value == pytest.approx(whole.value, rel=0.2)
    assert search(data, rows, tmp_path / "cut", how(8)).n_trials == 9  # nothing left to do
    assert search(data, rows, tmp_path / "cut", how(10)).n_trials == 11  # more may be asked for


WORKER = """
import sys, time
import numpy as np
from photfeh.samples.dataset import Dataset
from photfeh.validation.fitting import Labelled, fit_split
from photfeh.validation.tuning import search as searching
from photfeh.models.spaces import Range

def slow(*args, **options):
    time.sleep(0.05)
    return fit_split(*args, **options)

searching.fit_split = slow
data = Labelled.of(Dataset.open(sys.argv[1]), "spline")
space = {"C": Range(0.5, 50.0, log=True), "gamma": Range(0.02, 2.0, log=True)}
how = searching.Search(name="svr", n_trials=12, space=space, params={}, weighting="uniform")
print("ready", flush=True)
from pathlib import Path
searching.search(data, np.arange(120), Path(sys.argv[2]), how)
"""


@pytest.mark.slow
def test_two_workers_one_of_them_killed_lose_no_trial(dataset: Dataset, tmp_path):
    """SIGKILL in the middle of a trial: the other worker ends it, runs its parameters again, and finishes the study."""
    folder = tmp_path / "study"
    command = [sys.executable, "-c", WORKER, str(dataset.folder), str(folder)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    victim = workers[0]
    try:
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        end = time.monotonic() + 120
        mine: list[int] = []
        while not mine and time.monotonic() < end:
            time.sleep(0.1)
            if (folder / JOURNAL).exists():
                running = [trial for trial in trials_of(folder) if trial.state == STATES.RUNNING]
                mine = [trial.number for trial in running if trial.user_attrs.get("pid") == victim.pid and trial.params]
        assert mine
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert workers[1].wait(timeout=180) == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            worker.stdout.close()
    trials = trials_of(folder)
    assert not [trial.number for trial in trials if trial.state in (STATES.RUNNING, STATES.WAITING)]
    real = [trial for trial in trials if "reaped" not in trial.user_attrs]
    assert len(real) == 12
    assert all(trial.state in (STATES.COMPLETE, STATES.PRUNED) for trial in real)
    reaped = [trial for trial in trials if "reaped" in trial.user_attrs]
    assert len(reaped) <= 1  # none if the victim had just finished its trial
    for trial in reaped:
        assert [again.params for again in real if again.user_attrs.get("again_for") == trial.number] == [trial.params]
    assert len({tuple(trial.params.values()) for trial in real}) == 12


def test_only_trials_of_processes_that_are_gone_are_reaped(tmp_path):
    desk = Desk(tmp_path, SPACE, seed=0, first={})
    living, elsewhere, gone, reborn, unsigned = (desk.study.ask() for _ in range(5))
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    mine = process_start(os.getpid())
    for trial, pid, host, started in (
        (living, os.getpid(), None, mine),
        (elsewhere, child.pid, "another.host", "123"),
        (gone, child.pid, None, "123"),
        (reborn, os.getpid(), None, "1"),  # the number of a process is used again
    ):
        for name, value in (("pid", pid), ("host", host or os.uname().nodename), ("started", started)):
            trial.set_user_attr(name, value)
    assert desk.reap() == [gone.number, reborn.number, unsigned.number]
    assert desk.reap() == []
    states = {trial.number: trial.state for trial in desk.study.trials}
    assert states[living.number] == states[elsewhere.number] == STATES.RUNNING
    assert states[gone.number] == STATES.FAIL
    assert process_start(child.pid) is None


def test_a_fit_that_fails_is_a_trial_with_a_reason(data, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise ValueError("deliberate")

    monkeypatch.setattr(searching, "fit_split", broken)
    with pytest.raises(FitFailed, match="no trial of svr could be fitted; first reason: ValueError: deliberate"):
        search(data, np.arange(100), tmp_path, how(3))
    assert len(trials_of(tmp_path)) == 3


def test_the_first_trial_is_the_default(data, tmp_path):
    space = {"min_samples_leaf": Range(1, 10, log=True), "max_features": Range(0.1, 1.0)}
    search(data, np.arange(120), tmp_path, how(2, name="random-forest", space=space, params={"n_trees": 5}))
    default = create_model("random-forest").get_params()
    assert trials_of(tmp_path)[0].params == {name: default[name] for name in space}


def test_lists_survive_the_journal():
    assert decoded({"units": "[20, 16, 8]", "C": 2.0, "word": "one-cycle"}) == {
        "units": (20, 16, 8), "C": 2.0, "word": "one-cycle"
    }  # fmt: skip


# --- pruning --------------------------------------------------------------------------------------------------------


def test_worse_folds_end_a_trial_and_good_ones_do_not():
    study = optuna.create_study(pruner=EpochsThenFolds(0))

    def run(errors, epochs=()):
        trial = study.ask()
        for step, value in epochs:
            trial.report(value, step)
        for fold, value in enumerate(errors):
            trial.report(value, FOLDS_FROM + fold)
            if fold + 1 < len(errors) and trial.should_prune():
                study.tell(trial, state=STATES.PRUNED)
                return fold
        study.tell(trial, float(np.mean(errors)))
        return None

    best = [0.10, 0.11, 0.12, 0.13, 0.14]
    assert run(best, epochs=[(1, 9.0)]) is None
    assert run([value + 0.05 for value in best], epochs=[(1, 0.01)]) == 3  # four of five worse: p = 1 / 16
    assert run([value - 0.01 for value in best], epochs=[(1, 99.0)]) is None


def test_bad_epochs_end_a_trial():
    study = optuna.create_study(pruner=EpochsThenFolds(90), sampler=optuna.samplers.RandomSampler(seed=0))
    ended = []
    for number in range(12):
        trial = study.ask()
        ended.append(None)
        for epoch in range(1, 91):
            trial.report(0.1 + 0.1 * number, epoch)
            if trial.should_prune():
                ended[-1] = epoch
                break
        study.tell(trial, 0.1 + 0.1 * number) if ended[-1] is None else study.tell(trial, state=STATES.PRUNED)
    assert ended[0] is None
    pruned = [epoch for epoch in ended if epoch is not None]
    assert len(pruned) >= 6
    assert min(pruned) >= 10


def test_a_network_is_searched_with_pruning_on_its_epochs(data, tmp_path):
    space = {"learning_rate": Range(0.0001, 0.05, log=True), "units": Choice(((3, 3, 3), (4, 3, 3)))}
    given = how(4, name="gru", space=space, params={"epochs": 9}, n_folds=2)
    found = search(data, np.arange(100), tmp_path, given)
    assert found.params["units"] in ((3, 3, 3), (4, 3, 3))
    first = trials_of(tmp_path)[0]
    assert {step for step in first.intermediate_values if step < FOLDS_FROM} == set(range(1, 9))


# --- nested, and the verb -------------------------------------------------------------------------------------------


def test_permuting_the_scored_labels_changes_no_chosen_parameter(data, tmp_path):
    split = next(make_splits(data.feh, n_folds=3))
    rows = np.union1d(split.train, split.tune)
    permuted = data.feh.copy()
    permuted[split.score] = np.random.default_rng(0).permutation(permuted[split.score]) + 2.0
    found = []
    for number, feh in enumerate((data.feh, permuted)):
        one = Labelled(data.sequences, feh, data.feh_error, data.only_train)
        task = Task(None, None, None, "ridge-fourier", {}, "", split, "uniform", 5)
        params, noted = NestedSearch(3, "uniform")(task, one, rows, tmp_path / str(number))
        found.append((params, noted["tuning_rmse"]))
    assert found[0] == found[1]


def test_validate_tunes_within_each_fold(dataset: Dataset, tmp_path, monkeypatch, call):
    monkeypatch.setitem(MODELS, "svr", type(MODELS["svr"])(**{**vars(MODELS["svr"]), "space": SPACE}))
    seen = []

    def watched(self, task, data, rows, folder):
        seen.append(not set(rows) & set(task.split.score))
        return NestedSearch.__dict__["original"](self, task, data, rows, folder)

    monkeypatch.setattr(NestedSearch, "original", NestedSearch.__call__, raising=False)
    monkeypatch.setattr(NestedSearch, "__call__", watched)
    code, out, _ = call(
        "validate", dataset.folder, "--models", "svr,relation", "--folds", 2, "--tune", 3, "--output", tmp_path / "run"
    )
    assert code == 0
    assert "Tuned within each fold, over default" in out
    run = pf.Run.open(tmp_path / "run")
    assert seen == [True, True]
    assert set(run.metrics["model"]) == {"svr", "svr-tuned", "relation"}
    assert run.tuned["fold"].tolist() == [0, 1]
    assert (run.tuned["C"].astype(float).between(0.5, 50)).all()
    assert (run.tuned["cpu_minutes"] > 0).all()
    assert run.config["models"]["svr-tuned"]["trials"] == 3
    (one,) = pf.compare([run], n_resamples=20)
    assert "svr-tuned" in one.ranking("spline")
    again = validate(dataset, tmp_path / "run", models=("svr", "relation"), folds=2, tune=3)
    assert len(seen) == 2  # finished parts are not searched again
    pd.testing.assert_frame_equal(again.out_of_fold, run.out_of_fold)
    with pytest.raises(BadInput, match="none of relation has a search space"):
        validate(dataset, tmp_path / "b", models=("relation",), tune=3)
    with pytest.raises(BadInput, match="must not be negative"):
        validate(dataset, tmp_path / "b", models=("svr",), tune=-1)


@pytest.fixture(scope="module")
def tuning(dataset: Dataset, tmp_path_factory) -> verb.Tuning:
    folder = tmp_path_factory.mktemp("tuning") / "study"
    return pf.tune(dataset, folder, model="random-forest", trials=6, params={"n_trees": 10}, folds=3)


def test_the_configuration_can_be_trained_and_validated(tuning, dataset: Dataset, tmp_path, call):
    code, _, _ = call(
        "validate", dataset.folder, "--models", "random-forest", "--config", tuning.config, "--folds", 2,
        "--output", tmp_path / "run",
    )  # fmt: skip
    assert code == 0
    made = pf.Run.open(tmp_path / "run").config["models"]["random-forest"]
    assert {name: made[name] for name in tuning.found.params} == tuning.found.params
    code, _, _ = call(
        "train", dataset.folder, "--model", "random-forest", "--config", tuning.config, "--set",
        "random-forest.n_trees=4", "--folds", 2, "--output", tmp_path / "model",
    )  # fmt: skip
    assert code == 0
    notes = pf.load(tmp_path / "model").notes if hasattr(pf.load(tmp_path / "model"), "notes") else None
    params = (notes or pf.Ensemble.load(tmp_path / "model").notes)["training"]["params"]
    assert params["n_trees"] == 4  # --set goes before
    assert params["max_features"] == tuning.found.params["max_features"]
    code, _, err = call(
        "train", dataset.folder, "--model", "svr", "--config", tuning.config, "--output", tmp_path / "m"
    )
    assert code == 2
    assert "is for random-forest, but asked for is svr" in err
    (tmp_path / "bad.toml").write_text("a = 1")
    code, _, err = call("train", dataset.folder, "--config", tmp_path / "bad.toml", "--output", tmp_path / "m")
    assert code == 2
    assert "no table of a model" in err


def test_the_page_shows_history_importance_and_coordinates(tuning):
    page = write_tuning(tuning).read_text()
    assert page.count("<svg") >= 3
    for text in ("Tuned against default", "What matters.", "Where the good values lie.", "CPU minutes"):
        assert text in page
    assert "validate --tune" in tuning_text(tuning)
    assert set(tuning.trials["state"]) <= {"complete", "pruned"}
    assert len(tuning.trials) == 6
    assert tuning.importance["importance"].sum() == pytest.approx(1.0)
    assert tuning.errors["n"].sum() == 500
    assert tuning.beside.ratio.low <= tuning.beside.ratio.value <= tuning.beside.ratio.high
    assert tuning.found.cpu_minutes > 0


def test_a_folder_holds_one_study(tuning, dataset: Dataset):
    with pytest.raises(BadInput, match="study of other settings or data"):
        pf.tune(dataset, tuning.folder, model="random-forest", trials=6, params={"n_trees": 11}, folds=3)
    with pytest.raises(UnknownName):
        pf.tune(dataset, tuning.folder, model="forest")
    again = pf.tune(dataset, tuning.folder, model="random-forest", trials=6, params={"n_trees": 10}, folds=3)
    assert again.found == tuning.found


@pytest.mark.slow
def test_jobs_work_on_one_study(dataset: Dataset, tmp_path):
    found = pf.tune(dataset, tmp_path / "s", model="random-forest", trials=6, params={"n_trees": 10}, folds=3, jobs=2)
    assert len(found.trials) == 6
    pids = {trial.user_attrs["pid"] for trial in trials_of(tmp_path / "s")}
    assert os.getpid() not in pids


def test_without_optuna_the_remedy_is_told():
    """In a process of its own, where nothing of it was imported before."""
    code = (
        "import sys\nsys.modules['optuna'] = None\nimport photfeh as pf\nfrom photfeh.validation.tuning import nested\n"
        "for act in (lambda: pf.tune('nowhere', 'x', model='svr'), nested.needs_optuna):\n"
        "    try:\n        act()\n    except pf.PhotfehError as error:\n        print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["tuning needs Optuna: pip install 'photfeh[tune]'."] * 2
