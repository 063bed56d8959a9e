"""One network in place of the fifteen of the shipped ensemble for RRab, beside its mixtures: as good, and less work.

    make distilled           (needs the sets of docs/data.md under $PHOTFEH_DATA; resumable, half an hour on one core)

A student learns mean and sigma of the networks on simulated stars, on real curves without labels and on the stars that
taught the ensemble, each as observed and once more thinned and made noisier. No label is used. For every fold a student
of the networks that have not seen it learns from stars that are not in it: half of it and half of the mixtures of the
same member is scored there beside the member itself, and its residuals calibrate what ships, the student of all
networks beside all mixtures. Sizes and epochs were set by how well a student meets its teacher, not by labels.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from label_tables import spectroscopic_ids
from photfeh.core.fingerprint import fingerprint
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.inference.calibration import Calibration, cross_coverage
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.training import scores_by_group
from photfeh.models.blend import Blend
from photfeh.models.circular import Circular
from photfeh.models.deconvolution import ExtremeDeconvolution
from photfeh.samples.dataset import Dataset
from photfeh.samples.sequences import Sequences
from photfeh.simulation.survey import write_simulation
from photfeh.validation.fitting import Labelled as Fitting
from photfeh.validation.metrics import score
from photfeh.validation.pairs import beside_external
from pretrain import PRETRAINED, RECIPES, ship
from real_data import markdown, opened

SIMULATED = 16_000  # two thirds are RRab
FEWEST = 12
TRAINING = {"epochs": 12, "patience": 12, "batch_size": 64, "dropout": 0.0, "weight_decay": 0.001}
Dist = tuple[FloatArray, FloatArray]


TEACHER, NAME = "dekany-i-band", "dekany-i-band-distilled"
_OWN = next(recipe for recipe in RECIPES if recipe.name == TEACHER)
_SAID = f"One network, taught by the answers of the fifteen of `{TEACHER}`, beside the mixtures of that model."
RECIPE = replace(
    _OWN, name=NAME, texts=_OWN.texts | {"Training": _SAID, "Remake": "`make distilled` (benchmarks/distil.py)."}
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--folds", help="only fit the students of these, such as 3,4; for two processes side by side")
    options = parser.parse_args()
    data, folder = Path(options.data), options.runs / "distilled"
    teacher = Ensemble.load(PRETRAINED / TEACHER)
    labelled, pool = labelled_stars(data, folder), unlabelled(data, folder)
    if options.folds:
        for number in map(int, options.folds.split(",")):
            student_of_fold(number, teacher, labelled, pool, folder)
        return
    told = out_of_fold(teacher, labelled, pool, folder)
    student = fitted(folder / "student", networks_of(teacher.members), joined(pool, labelled.X))
    own = labelled.fold >= 0  # the others only teach
    scored = Labelled(labelled.X[own], labelled.feh[own], labelled.fold[own], labelled.stars[own])
    told = {who: (mean[own], sigma[own]) for who, (mean, sigma) in told.items()}
    ship(RECIPE, assembled(teacher, student, scored, told["student"]), folder)
    report(scored, told)


@dataclass(frozen=True)
class Labelled:
    """The stars that taught the teacher, N rows."""

    X: Sequences
    feh: FloatArray
    fold: IntArray
    stars: pd.DataFrame


def labelled_stars(data: Path, folder: Path) -> Labelled:
    dataset = opened(
        folder / "labelled", data / RECIPE.epochs, RECIPE.stars(data), exclude=spectroscopic_ids(data),
        representations=("raw",), **RECIPE.prepare,
    )  # fmt: skip
    data = Fitting.of(dataset, "raw")
    fold = np.full(len(data.feh), -1)
    for split in data.splits(5, 0):
        fold[split.score] = split.fold
    return Labelled(data.sequences, data.feh, fold, dataset.stars.iloc[dataset.sample])


def unlabelled(data: Path, folder: Path) -> Sequences:
    """RRab curves, simulated and of Gaia DR3, without the stars that have high-resolution spectroscopy."""
    survey = folder / "survey"
    if not (survey / "stars.parquet").is_file():
        write_simulation(SIMULATED, survey, seed=41)
    files = {"simulated": (survey / "epochs.parquet", survey / "stars.parquet")}
    files["gaia"] = (data / "gaia-dr3" / "epoch_photometry.parquet", data / "gaia-dr3" / "stars.parquet")
    how = {"labels": "none", "cuts": "none", "representations": ("raw",)}
    pool = joined(*(usable(opened(folder / name, *paths, **how)) for name, paths in files.items()))
    return pool[~np.isin(pool.source_id, spectroscopic_ids(data))]


def usable(dataset: Dataset) -> Sequences:
    X = dataset.sequences("raw", np.arange(len(dataset.stars)))
    good = (X.lengths >= FEWEST) & np.isfinite(X.shape_features()).all(axis=1)
    return X[good & (dataset.stars["type"] == "RRab").to_numpy()]


def joined(*parts: Sequences) -> Sequences:
    names = ("values", "mask", "features", "source_id")
    return Sequences(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in names), parts[0].representation
    )


def worsened(X: Sequences, rng: np.random.Generator) -> Sequences:
    """The same stars with a part of their points, a third to all of them, and noise of up to 0.12 of their rms."""
    keep = np.maximum(np.round(X.lengths * rng.uniform(0.33, 1.0, len(X))), np.minimum(FEWEST, X.lengths)).astype(int)
    rank = np.where(X.mask, rng.random(X.mask.shape), 2.0).argsort(axis=1).argsort(axis=1)
    kept = rank < keep[:, None]
    order = np.argsort(~kept, axis=1, kind="stable")  # still in the order of phase
    values = np.take_along_axis(X.values, order[..., None], axis=1)
    mask = np.take_along_axis(kept, order, axis=1)
    values[~mask] = 0.0
    level = 0.12 * rng.random(len(X)) ** 2 * rms(values[..., 0], mask)
    values[..., 0] += np.where(mask, level[:, None] * rng.standard_normal(mask.shape), 0.0)
    return Sequences(values, mask, X.features, X.source_id, X.representation)


def rms(values: FloatArray, mask: BoolArray) -> FloatArray:
    """About the mean of the valid steps, (N,)."""
    count = mask.sum(axis=1)
    centred = np.where(mask, values - (values * mask).sum(axis=1, keepdims=True) / count[:, None], 0.0)
    return np.sqrt(np.square(centred).sum(axis=1) / count)


def networks_of(members: tuple[Blend, ...]) -> list[Circular]:
    return [part for member in members for part in member.parts_[1:]]


def said(networks: list[Circular], X: Sequences) -> Dist:
    """Mean and sigma of the mixture of what all networks say, each (N,) [dex]."""
    means, sigmas = zip(*(network.predict_dist(X) for network in networks), strict=True)
    mean = np.mean(means, axis=0)
    return mean, np.sqrt(np.mean(np.square(sigmas) + np.square(np.array(means) - mean), axis=0))


def fitted(place: Path, networks: list[Circular], X: Sequences) -> Circular:
    """A student of what the networks say of the curves; from the disk, where an earlier call has left the same."""
    student = Circular(**TRAINING)
    made_of = fingerprint([network.arrays_ for network in networks], X, student.get_params())
    folder = place.with_name(f"{place.name}-{made_of[:12]}")
    if (folder / "model.json").is_file():
        return student.restore(folder)
    curves = joined(X, worsened(X, np.random.default_rng(7)))
    student.learn_from(curves, *said(networks, curves))
    student.save(folder)
    return student


def student_of_fold(number: int, teacher: Ensemble, labelled: Labelled, pool: Sequences, folder: Path) -> Circular:
    """Neither it nor the networks that taught it have seen the fold."""
    held = labelled.fold == number
    others = joined(pool[~np.isin(pool.source_id, labelled.X.source_id[held])], labelled.X[~held])
    return fitted(folder / f"student-{number}", networks_of(teacher.members[number : number + 1]), others)


def beside(mixtures: list[ExtremeDeconvolution], student: Circular) -> Blend:
    """Half the mixtures, half the student."""
    arrays = {name: np.concatenate([one.arrays_[name] for one in mixtures]) for name in mixtures[0].arrays_}
    model = Blend(n_networks=1, n_mixtures=len(arrays["share"]))
    own = {f"0.{name}": array for name, array in arrays.items()}
    own |= {f"1.{name}": array for name, array in student.arrays_.items()}
    return model.adopt(own, {"parts": [mixtures[0].notes_, student.notes_]})


def out_of_fold(teacher: Ensemble, labelled: Labelled, pool: Sequences, folder: Path) -> dict[str, Dist]:
    """Mean and sigma (N,) of members, and with a student for their networks, on the fold that neither has seen."""
    told = {who: (np.empty(len(labelled.feh)), np.empty(len(labelled.feh))) for who in ("teacher", "student")}
    for number, member in enumerate(teacher.members):
        held = labelled.fold == number
        student = beside([member.parts_[0]], student_of_fold(number, teacher, labelled, pool, folder))
        for who, model in (("teacher", member), ("student", student)):
            for column, values in zip(told[who], model.predict_dist(labelled.X[held]), strict=True):
                column[held] = values
    return told


def assembled(teacher: Ensemble, student: Circular, labelled: Labelled, told: Dist) -> Ensemble:
    """All mixtures and the student of all networks, calibrated on the residuals of those of single members."""
    mean, sigma = told
    model = beside([member.parts_[0] for member in teacher.members], student)
    calibration = Calibration.fit(labelled.X, mean - labelled.feh, sigma, shrink=teacher.calibration.shrink)
    how = {"weighting": f"none, the answers of {TEACHER}", "params": student.get_params()}
    held = cross_coverage(labelled.X, mean - labelled.feh, sigma, labelled.fold, feh=labelled.feh)
    notes = teacher.notes | {
        "training": teacher.notes["training"] | how, "out_of_fold": score(labelled.feh, mean),
        "scores": scores_by_group(labelled.stars, labelled.feh, mean), "coverage": held.to_dict("records"),
    }  # fmt: skip
    return Ensemble("blend", teacher.representation, (model,), teacher.types, calibration, teacher.limits, notes)


def report(labelled: Labelled, told: dict[str, Dist]) -> None:
    X, feh = labelled.X, labelled.feh
    table = pd.DataFrame({"source_id": X.source_id, "feh_true": feh, "feh_pred": told["student"][0]})
    theirs = pd.Series(told["teacher"][0], index=X.source_id)
    found = beside_external(table.assign(model="student", representation="raw"), theirs, "teacher")
    print("\nOut of fold, with one student beside the member whose networks taught it (external):\n")
    columns = ["n", "rmse", "external_rmse", "ratio", "ratio_low", "ratio_high", "mae", "external_mae"]
    print(markdown(found[columns]))
    for who, (mean, sigma) in told.items():
        print(f"\nCoverage, {who}:\n\n{markdown(cross_coverage(X, mean - feh, sigma, labelled.fold, feh=feh))}")


if __name__ == "__main__":
    main()
