"""Training to the end: the rule of the doubled cycles, on tune parts only, resumable; and quick looks called so."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import photfeh as pf
from photfeh.core.errors import BadInput
from photfeh.inference.cards import model_card
from photfeh.inference.ensemble import Ensemble
from photfeh.models.registry import create_model
from photfeh.report.comparison_page import comparison_text, write_comparison
from photfeh.report.figures.models import budgets
from photfeh.report.figures.style import styled
from photfeh.samples.dataset import Dataset
from photfeh.validation import budget, fitting
from photfeh.validation.budget import QUICK, budget_table, check_budget, not_converged, to_the_end, with_budget
from photfeh.validation.cross_validate import validate
from photfeh.validation.fitting import Labelled, fit_split
from photfeh.validation.splits import make_splits


def network_with(errors: dict[int, float]):
    """A way to fit that gives the stated tune rmse after so many epochs; the fits in order."""
    made = []

    def fit(model, checkpoint):
        assert checkpoint == f"checkpoint-{model.epochs}"
        begun = next((n for n in made if errors[n] < 0.9), model.epochs)
        assert model.learning_rate == pytest.approx(create_model("gru").learning_rate * begun / model.epochs)
        assert model._begin == ({"module.weight": made[-1]} if begun in made else None)
        made.append(model.epochs)
        model.history_ = [
            {"epoch": 0.0, "tune_loss": 2.0, "tune_rmse": 1.4},
            {"epoch": 1.0, "tune_loss": errors[model.epochs] ** 2, "tune_rmse": errors[model.epochs]},
        ]
        model.notes_ = {}
        model.arrays_ = {"module.weight": model.epochs, "scale.target": None}
        return model

    return fit, made


@pytest.mark.parametrize(
    ("errors", "kept", "tried"),
    [
        ({50: 0.5, 100: 0.4, 200: 0.399, 400: 0.1}, 200, [50, 100, 200]),  # less than 1 %: enough
        ({50: 0.5, 100: 0.4, 200: 0.45}, 100, [50, 100, 200]),  # an unlucky longer cycle is not kept
        ({50: 0.99, 100: 1.0, 200: 0.99, 400: 0.3, 800: 0.31}, 400, [50, 100, 200, 400, 800]),  # nothing learnt yet
    ],
)
def test_cycles_double_until_the_tune_error_stops_falling(errors, kept, tried):
    fit, made = network_with(errors)
    model, history = to_the_end(create_model("gru"), fit, scatter=1.0)
    assert made == tried
    assert (model.epochs, model.notes_["budget"], model.notes_["converged"]) == (kept, 2 * kept - 50, True)
    table = budget_table(history.assign(model="gru", representation="spline", repeat=0, fold=0))
    assert dict(zip(table["cycle"], table["tune_rmse"], strict=True)) == {n: errors[n] for n in tried}
    assert table["epochs"].tolist() == np.cumsum(tried).tolist()
    assert table.loc[table["kept"], "cycle"].tolist() == [kept]


def test_a_cycle_begins_with_the_weights_of_the_one_before(dataset: Dataset):
    """Without a step of any size the tune error stays where the other fit had left it."""
    data = Labelled.of(dataset, "spline")
    split = next(make_splits(data.feh, n_folds=4))
    X, feh = data.sequences, data.feh
    parts = (X[split.train], feh[split.train], np.ones(len(split.train)))
    tune = (X[split.tune], feh[split.tune], np.ones(len(split.tune)))
    first = create_model("gru", **TINY, epochs=5).fit(*parts, tune=tune)
    still = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0, **TINY}
    later = create_model("gru", **still).begin_with(first).fit(*parts, tune=tune)
    least = min(row["tune_loss"] for row in first.history_)
    assert later.history_[0]["tune_loss"] == pytest.approx(least, rel=1e-4)
    assert later.fit(*parts, tune=tune).history_[0]["tune_loss"] > 1.02 * least  # the next fit begins at random again


def test_the_longest_cycle_is_the_end_and_is_not_called_converged(monkeypatch):
    monkeypatch.setattr(budget, "LAST", 200)
    fit, made = network_with({50: 0.5, 100: 0.3, 200: 0.1})
    model, _ = to_the_end(create_model("gru"), fit, scatter=1.0)
    assert made == [50, 100, 200]
    assert model.notes_["converged"] is False


def test_what_a_budget_means_for_each_model():
    assert with_budget("gru", {"units": (3,)}, "quick") == {"units": (3,), "epochs": QUICK, "patience": QUICK}
    assert with_budget("gru", {"epochs": 7}, "quick") == {"epochs": 7}
    assert with_budget("gru", {}, 33) == {"epochs": 33, "patience": 33}
    assert with_budget("gru", {"patience": 5}, 33) == {"epochs": 33, "patience": 5}
    assert with_budget("gru", {}, "auto") == {"patience": budget.LAST}
    assert with_budget("svr", {}, "quick") == with_budget("gru", {}, None) == {}
    for bad in ("long", 0, -3, True, "20"):
        with pytest.raises(BadInput, match="auto, quick or a number of epochs"):
            check_budget(bad)


TINY = {"units": (3,)}


@pytest.fixture
def short(monkeypatch):
    """Cycles of two and four epochs."""
    for module in (budget, fitting):
        monkeypatch.setattr(module, "FIRST", 2)
        monkeypatch.setattr(module, "LAST", 4)


def test_labels_of_the_scored_fold_change_no_budget(dataset: Dataset, short):
    data = Labelled.of(dataset, "spline")
    split = next(make_splits(data.feh, n_folds=4))
    found = []
    for feh in (data.feh, data.feh.copy()):
        if found:
            feh[split.score] = np.random.default_rng(0).permutation(feh[split.score]) - 3.0
        fitted = fit_split(
            "gru",
            TINY,
            Labelled(data.sequences, feh, data.feh_error, data.only_train),
            split,
            weighting="uniform",
            budget="auto",
        )
        found.append(fitted)
    pd.testing.assert_frame_equal(*(one.history.drop(columns="seconds") for one in found))
    assert set(found[0].history["cycle"]) == {2, 4}
    for name, value in found[0].model.arrays_.items():
        assert np.array_equal(value, found[1].model.arrays_[name])


def test_an_interrupted_search_goes_on_after_the_last_cycle(dataset: Dataset, short, tmp_path):
    data = Labelled.of(dataset, "spline")
    split = next(make_splits(data.feh, n_folds=4))
    options = {"weighting": "uniform", "budget": "auto"}
    whole = fit_split("gru", TINY, data, split, **options)

    class Stop(Exception):
        pass

    epochs = []

    def stop(row):
        epochs.append(row["epoch"])
        if len(epochs) == 4:
            raise Stop

    with pytest.raises(Stop):
        fit_split("gru", TINY, data, split, workspace=tmp_path, on_epoch=stop, **options)
    again = []
    resumed = fit_split("gru", TINY, data, split, workspace=tmp_path, on_epoch=again.append, **options)
    assert len(again) == 4  # the first cycle of two is not trained again
    assert resumed.seconds >= resumed.history["seconds"].sum() > sum(row["seconds"] for row in again)
    pd.testing.assert_frame_equal(resumed.history.drop(columns="seconds"), whole.history.drop(columns="seconds"))
    for name, value in whole.model.arrays_.items():
        assert np.array_equal(value, resumed.model.arrays_[name])


def test_a_run_to_the_end_writes_down_its_budgets(dataset: Dataset, tmp_path, short):
    run = validate(
        dataset, tmp_path / "run", models=("gru", "ridge-fourier"), folds=2, params={"gru": TINY}, budget="auto"
    )
    table = run.budgets
    assert set(table["cycle"]) <= {2, 4}
    assert table[table["kept"]].groupby("fold").size().tolist() == [1, 1]
    assert run.config["validation"]["budget"] == "auto"
    assert validate(dataset, tmp_path / "plain", models=("ridge-fourier",), folds=2).budgets.empty


def test_every_point_of_the_curve_is_a_mean_over_the_same_folds():
    errors = {
        0: {50: 0.4, 150: 0.3, 350: 0.2},
        1: {50: 0.8, 150: 0.9},
    }  # fold 1 ends early, its second cycle gains nothing
    cycles = pd.DataFrame(
        {"model": "gru", "representation": "spline", "repeat": 0, "fold": fold, "epochs": epochs, "tune_rmse": error}
        for fold, fit in errors.items() for epochs, error in fit.items()
    )  # fmt: skip
    (line,) = budgets(cycles).lines
    np.testing.assert_allclose(line.get_xdata(), [50, 150, 350])
    np.testing.assert_allclose(line.get_ydata(), [0.6, 0.55, 0.5])


@pytest.mark.parametrize("kinds", [("spline",), ("raw", "raw-spline")])
def test_the_legend_of_the_curve_stays_within_the_figure(kinds):
    names = ("bigru", "bilstm", "gru", "inceptiontime", "lstm")
    cycles = pd.DataFrame(
        {"model": name, "representation": kind, "repeat": 0, "fold": 0, "epochs": epochs, "tune_rmse": 9.0 / epochs}
        for name in names for kind in kinds for epochs in (50, 150)
    )  # fmt: skip
    ax = styled(budgets)(cycles)
    figure = ax.get_figure()
    figure.draw_without_rendering()
    legend = ax.get_legend()
    assert legend.get_texts()[0].get_text() == ("bigru" if len(kinds) == 1 else "bigru on raw")
    box, page = legend.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 < box.x1 <= page.x1
    assert page.y0 <= box.y0 < box.y1 <= page.y1


@pytest.mark.parametrize(
    ("errors", "said"),
    [({50: 0.5, 100: 0.3}, ""), ({50: 0.5, 100: 0.3, 200: 0.299}, ""), ({50: 0.5, 100: 0.3, 200: 0.31}, ""),
     ({50: 0.5, 100: 0.3, 200: 0.2}, "not converged after 350 epochs in some folds: gru on spline"),
     ({50: 0.99, 100: 1.0, 200: 0.985}, "not converged after 350 epochs in some folds: gru on spline")],
)  # fmt: skip
def test_networks_that_the_longest_cycle_cut_short_are_named(monkeypatch, errors, said):
    monkeypatch.setattr(budget, "LAST", 200)
    rows = [
        {"model": "gru", "representation": "spline", "repeat": 0, "fold": 0, "cycle": cycle, "tune_loss": loss,
         "tune_rmse": error, "kept": False}
        for cycle, error in errors.items() for loss in (0.0, 1.0)
    ]  # fmt: skip
    config = {"validation": {"budget": "auto"}}
    assert not_converged(config, pd.DataFrame(rows)) == said
    assert not_converged(config) == ""


def test_a_run_that_was_cut_short_says_so_in_its_tables(dataset: Dataset, tmp_path, short):
    run = validate(dataset, tmp_path / "run", models=("gru",), folds=2, params={"gru": TINY}, budget="auto")
    assert run.caution == "not converged after 6 epochs in some folds: gru on spline"  # no network learns in six
    assert set(run.metrics["note"]) == {run.caution}
    assert pf.compare([run], n_resamples=50)[0].caution == run.caution


def test_a_quick_look_is_called_not_converged_in_every_table(dataset: Dataset, tmp_path, call):
    code, out, _ = call(
        "validate", dataset.folder, "--models", "gru,ridge-fourier", "--folds", 2, "--budget", "quick",
        "--set", "gru.units=[3]", "--output", tmp_path / "run",
    )  # fmt: skip
    assert code == 0
    assert "networks not converged (quick budget)" in out
    run = pf.Run.open(tmp_path / "run")
    assert run.config["models"]["gru"]["epochs"] == QUICK
    assert set(run.metrics["note"]) == {"not converged (quick budget)"}
    assert "networks not converged (quick budget)" in (tmp_path / "run" / "report.html").read_text()
    (one,) = pf.compare([run], n_resamples=50)
    page = write_comparison([one], tmp_path / "out").read_text()
    captions = re.findall(r"<(?:caption|summary)[^>]*>(.*?)</", page)
    assert len(captions) > 10
    assert all("networks not converged (quick budget)" in caption for caption in captions)
    assert "Models on spline; networks not converged" in comparison_text(one)
    tables = list((tmp_path / "out").rglob("*.csv")) + list((tmp_path / "out").rglob("*.txt"))
    assert len(tables) > 5
    for path in tables:
        if path.name != "ranks.csv":
            assert "not converged (quick budget)" in path.read_text(), path


def test_a_model_to_ship_is_trained_by_the_same_rule(dataset: Dataset, tmp_path, short, call):
    """Each member of an ensemble as the fit of its fold, and the card says how long."""
    code, _, _ = call(
        "train",
        dataset.folder,
        "--budget",
        "auto",
        "--folds",
        2,
        "--set",
        "gru.units=[3]",
        "--output",
        tmp_path / "auto",
    )
    assert code == 0
    data = Labelled.of(dataset, "spline")
    alone = fit_split("gru", TINY, data, next(data.splits(2, 0)), weighting="density", seed=0, budget="auto").model
    model = Ensemble.load(tmp_path / "auto")
    for name, value in alone.arrays_.items():
        assert np.array_equal(value, model.members[0].arrays_[name]), name
    assert model.notes["training"]["epochs"][0] == alone.notes_["budget"]
    low, high = min(model.notes["training"]["epochs"]), max(model.notes["training"]["epochs"])
    assert f"until the tune error stopped falling: {low} to {high} epochs; not converged" in model_card(model, "auto")
    ended = replace(model, notes=model.notes | {"training": model.notes["training"] | {"converged": True}})
    assert f"{low} to {high} epochs." in model_card(ended, "auto")
    five = pf.train(dataset, tmp_path / "five", model="gru", folds=2, params=TINY, budget=5)
    assert [member.epochs for member in five.members] == [5, 5]
    assert "stopped falling" not in model_card(five, "five")
    svr = pf.train(dataset, tmp_path / "svr", model="svr", folds=2, params={"C": 1.0, "gamma": 0.1}, budget="quick")
    assert "not converged" not in model_card(svr, "svr")
    assert "not converged" in model_card(
        pf.train(dataset, tmp_path / "quick", model="gru", folds=2, params=TINY, budget="quick"), "quick"
    )
    with pytest.raises(BadInput, match="other settings"):
        pf.train(dataset, tmp_path / "five", model="gru", folds=2, params=TINY, budget=6)
    with pytest.raises(BadInput, match="auto, quick or a number of epochs"):
        pf.train(dataset, tmp_path / "bad", model="gru", budget="long")
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize("value", ["long", "0", "-3"])
def test_a_bad_budget_is_one_clear_error(dataset: Dataset, tmp_path, call, value):
    code, _, err = call("validate", dataset.folder, "--budget", value, "--output", tmp_path / "run")
    assert code == 2
    assert "auto, quick or a number of epochs" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("ends", "labelled"),
    [((0.29, 0.37), {"0.3", "0.32", "0.34", "0.36"}), ((0.08, 3.0), {"0.1", "0.2", "0.5", "1", "2"})],
)
def test_a_logarithmic_axis_has_numbers_over_any_span(ends, labelled):
    cycles = pd.DataFrame({"model": "gru", "representation": "spline", "repeat": 0, "fold": 0, "epochs": [50, 150]})
    ax = budgets(cycles.assign(tune_rmse=ends[::-1]))
    ax.figure.draw_without_rendering()
    low, high = ax.get_ylim()
    ticks = [*ax.yaxis.get_major_ticks(), *ax.yaxis.get_minor_ticks()]
    shown = {tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high}
    assert labelled <= shown
