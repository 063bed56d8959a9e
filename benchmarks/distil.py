"""One network taught by all the networks and mixtures of a shipped ensemble: as good, and a fraction of the work.

    make distilled           (needs the sets of docs/data.md under $PHOTFEH_DATA; resumable, two hours on one core)

A student learns the teacher's mean and sigma on simulated stars, on real curves without labels and on the teacher's own
training stars, each as observed and once more thinned and made noisier. No label is used. For every fold of the
teacher a student of the member that has not seen that fold learns from stars that are not in it: what it says there is
scored beside the member itself, and its residuals calibrate the student of the whole ensemble, which is what ships.
Sizes and epochs were set by how well a student meets its teacher on simulated stars, not by labels.
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
from photfeh.models.base import Regressor
from photfeh.models.circular import Circular
from photfeh.samples.dataset import Dataset
from photfeh.samples.sequences import Sequences
from photfeh.simulation.survey import write_simulation
from photfeh.validation.fitting import Labelled as Fitting
from photfeh.validation.metrics import score
from photfeh.validation.pairs import beside_external
from pretrain import PRETRAINED, RECIPES, Recipe, ship
from real_data import markdown, opened

SIMULATED = 16_000  # two thirds are RRab
FEWEST = 12
TRAINING = {"batch_size": 64, "dropout": 0.0, "weight_decay": 0.001}
Dist = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A shipped ensemble for one star type, and the epochs of its student."""

    teacher: str
    kind: str
    epochs: int

    @property
    def recipe(self) -> Recipe:
        """What ships: the teacher's texts under the student's name."""
        own = next(recipe for recipe in RECIPES if recipe.name == self.teacher)
        said = f"One network, taught by the answers of `{self.teacher}`, which is a little better and much slower."
        texts = own.texts | {"Training": said, "Remake": "`make distilled` (benchmarks/distil.py)."}
        return replace(own, name=f"{self.teacher}-distilled", texts=texts)


LESSONS = (
    Lesson(teacher="dekany-i-band", kind="RRab", epochs=12), Lesson(teacher="ogle-i-band-rrc", kind="RRc", epochs=12)
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--teachers", default=",".join(lesson.teacher for lesson in LESSONS))
    options = parser.parse_args()
    for lesson in LESSONS:
        if lesson.teacher in options.teachers.split(","):
            taught(lesson, options.data, options.runs)


def taught(lesson: Lesson, data: Path, runs: Path) -> None:
    """Fit the students of one teacher, ship the one of the whole, print how they compare."""
    folder = runs / f"distilled-{lesson.teacher}"
    teacher = Ensemble.load(PRETRAINED / lesson.teacher)
    labelled, pool = labelled_stars(lesson, data, folder), unlabelled(lesson, data, folder)
    told = out_of_fold(lesson, teacher, labelled, pool, folder)
    student = fitted(lesson, folder / "student", teacher, joined(pool, labelled.X))
    own = labelled.fold >= 0  # the others only teach
    scored = Labelled(labelled.X[own], labelled.feh[own], labelled.fold[own], labelled.stars[own])
    told = {who: (mean[own], sigma[own]) for who, (mean, sigma) in told.items()}
    print(ship(lesson.recipe, assembled(lesson, teacher, student, scored, told["student"]), folder))
    report(lesson, scored, told)


@dataclass(frozen=True)
class Labelled:
    """The stars that taught the teacher, N rows."""

    X: Sequences
    feh: FloatArray
    fold: IntArray
    stars: pd.DataFrame


def labelled_stars(lesson: Lesson, data: Path, folder: Path) -> Labelled:
    recipe = lesson.recipe
    stars = recipe.stars(data) if callable(recipe.stars) else data / recipe.stars
    dataset = opened(
        folder / "labelled", data / recipe.epochs, stars, exclude=spectroscopic_ids(data), representations=("raw",),
        **recipe.prepare,
    )  # fmt: skip
    data = Fitting.of(dataset, "raw")
    fold = np.full(len(data.feh), -1)
    for split in data.splits(recipe.train.get("folds", 5), 0):
        fold[split.score] = split.fold
    return Labelled(data.sequences, data.feh, fold, dataset.stars.iloc[dataset.sample])


def unlabelled(lesson: Lesson, data: Path, folder: Path) -> Sequences:
    """Curves of the star type, simulated and of Gaia DR3, without the stars that have high-resolution spectroscopy."""
    survey = folder / "survey"
    if not (survey / "stars.parquet").is_file():
        write_simulation(SIMULATED, survey, seed=41)
    files = {"simulated": (survey / "epochs.parquet", survey / "stars.parquet")}
    files["gaia"] = (data / "gaia-dr3" / "epoch_photometry.parquet", data / "gaia-dr3" / "stars.parquet")
    how = {"labels": "none", "cuts": "none", "representations": ("raw",)}
    pool = joined(*(usable(lesson, opened(folder / name, *paths, **how)) for name, paths in files.items()))
    return pool[~np.isin(pool.source_id, spectroscopic_ids(data))]


def usable(lesson: Lesson, dataset: Dataset) -> Sequences:
    X = dataset.sequences("raw", np.arange(len(dataset.stars)))
    good = (X.lengths >= FEWEST) & np.isfinite(X.shape_features()).all(axis=1)
    return X[good & (dataset.stars["type"] == lesson.kind).to_numpy()]


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


def fitted(lesson: Lesson, place: Path, teacher: Ensemble | Regressor, X: Sequences) -> Circular:
    """A student of what the teacher says of the curves; from the disk, where an earlier call has left the same."""
    student = Circular(**TRAINING, epochs=lesson.epochs, patience=lesson.epochs)
    whole = isinstance(teacher, Ensemble)
    made_of = teacher.fingerprint() if whole else fingerprint(teacher.arrays_, teacher.notes_)
    folder = place.with_name(f"{place.name}-{fingerprint(made_of, X, student.get_params())[:12]}")
    if (folder / "model.json").is_file():
        return student.restore(folder)
    curves = joined(X, worsened(X, np.random.default_rng(7)))
    student.learn_from(curves, *(teacher.member_dist if whole else teacher.predict_dist)(curves))
    student.save(folder)
    print(f"{folder}: {len(curves)} curves", *(f"{row['tune_rmse']:.4f}" for row in student.history_[::9]), flush=True)
    return student


def out_of_fold(
    lesson: Lesson, teacher: Ensemble, labelled: Labelled, pool: Sequences, folder: Path
) -> dict[str, Dist]:
    """Mean and sigma (N,) of members and of their students on the fold that neither has seen."""
    told = {who: (np.empty(len(labelled.feh)), np.empty(len(labelled.feh))) for who in ("teacher", "student")}
    for number, member in enumerate(teacher.members):
        held = labelled.fold == number
        others = joined(pool[~np.isin(pool.source_id, labelled.X.source_id[held])], labelled.X[~held])
        student = fitted(lesson, folder / f"student-{number}", member, others)
        for who, model in (("teacher", member), ("student", student)):
            for column, values in zip(told[who], model.predict_dist(labelled.X[held]), strict=True):
                column[held] = values
    return told


def assembled(lesson: Lesson, teacher: Ensemble, student: Circular, labelled: Labelled, told: Dist) -> Ensemble:
    """The student of the whole ensemble, calibrated on the residuals of the students of its members."""
    (mean, sigma), stars = told, labelled.stars
    calibration = Calibration.fit(labelled.X, mean - labelled.feh, sigma, shrink=teacher.calibration.shrink)
    how = {"model": "circular", "weighting": f"none, the answers of {lesson.teacher}", "params": student.get_params()}
    notes = teacher.notes | {
        "training": teacher.notes["training"] | how, "out_of_fold": score(labelled.feh, mean),
        "scores": scores_by_group(stars, labelled.feh, mean), "coverage": [],
    }  # fmt: skip
    return Ensemble("circular", teacher.representation, (student,), teacher.types, calibration, teacher.limits, notes)


def report(lesson: Lesson, labelled: Labelled, told: dict[str, Dist]) -> None:
    X, feh = labelled.X, labelled.feh
    table = pd.DataFrame({"source_id": X.source_id, "feh_true": feh, "feh_pred": told["student"][0]})
    theirs = pd.Series(told["teacher"][0], index=X.source_id)
    beside = beside_external(table.assign(model="student", representation="raw"), theirs, "teacher")
    print(f"\n{lesson.teacher}, out of fold, student beside the member that taught it (external):\n")
    columns = ["n", "rmse", "external_rmse", "ratio", "ratio_low", "ratio_high", "mae", "external_mae"]
    print(markdown(beside[columns]))
    for who, (mean, sigma) in told.items():
        print(f"\nCoverage, {who}:\n\n{markdown(cross_coverage(X, mean - feh, sigma, labelled.fold))}")


if __name__ == "__main__":
    main()
