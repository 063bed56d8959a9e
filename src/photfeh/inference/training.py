"""The verb ``train``: fold members fitted, their errors calibrated on the stars that they have not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.cache import Key, Parts
from photfeh.core.errors import BadInput, FitFailed
from photfeh.core.fingerprint import fingerprint
from photfeh.core.outputs import keep_inputs
from photfeh.core.threads import limited
from photfeh.core.types import FloatArray, IntArray
from photfeh.inference.calibration import Calibration
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.verification import Dist, Pair, member_coverage, pair_splits, shipped_coverage, shrinking
from photfeh.models.base import Regressor, read_arrays, write_arrays
from photfeh.models.registry import MODELS, create_model
from photfeh.samples.dataset import Dataset
from photfeh.samples.sequences import SHAPE_FEATURES
from photfeh.samples.weights import check_weighting
from photfeh.validation.budget import Budget, check_budget, with_budget
from photfeh.validation.fitting import FIT_ERRORS, Labelled, fit_key, fit_split
from photfeh.validation.groups import scores_of
from photfeh.validation.metrics import score
from photfeh.validation.run import environment
from photfeh.validation.splits import Split

__all__ = ["scores_by_group", "train"]

_SAID = "said.safetensors"


def train(
    dataset: Dataset | str | Path,
    output: str | Path,
    *,
    model: str = "gru",
    representation: str = "spline",
    folds: int = 5,
    weighting: str = "density",
    params: Mapping[str, Any] | None = None,
    budget: Budget = None,
    seed: int = 0,
    scale: str | None = None,
    threads: int | None = None,
    verify: bool = False,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Ensemble:
    """Train an ensemble on the sample of a data set and calibrate it on its out-of-fold residuals.

    One member per fold; each is fitted without the stars of its fold, and their residuals, which no member has seen,
    set the errors. An interrupted call goes on with the same arguments: finished members are kept.

    ``scale`` is the name of the scale that the labels are on (one of :data:`photfeh.inference.scale.SCALES`, or any
    other), for models that are to be compared with spectroscopy; default: what the data set says of its labels.
    Parameters are those of :func:`photfeh.validate`, with ``budget`` for how long networks train; ``output`` is the
    model folder to make, ``threads`` the most threads that work at the same time. With ``verify`` the coverage of the
    intervals is measured on ensembles that have not seen the stars (:mod:`photfeh.inference.verification`): one more
    fit for each pair of folds. With ``overwrite`` the folder may hold another model or something else; files that are
    not of a model stay.

    Raises
    ------
    BadInput
        before any work, for names and values that do not exist, and as :func:`photfeh.validate`.
    FitFailed
        if a member could not be fitted.
    """
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    keep_inputs(output, (dataset.folder,), beside=False)
    check_weighting(weighting)
    check_budget(budget)
    dataset.representation(representation)
    kinds = create_model(model, **(params or {})).representations
    if representation not in kinds:
        raise BadInput(f"{model} can read {', '.join(kinds)} only, not {representation}.")
    data = Labelled.of(dataset, representation)
    settings, folder = dict(params or {}), Path(output)
    splits = list(data.splits(folds, seed))
    fits = _Fits(Parts(folder / "parts"), model, settings, data, weighting, budget)
    keys = [fits.key(f"member-{split.fold}", split, seed + number) for number, split in enumerate(splits)]
    recipe = fingerprint("ensemble", [key.fingerprint for key in keys], scale, verify)
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; name a folder for --output.")
    if (folder / "model.json").exists() and not overwrite:
        finished = Ensemble.load(folder)
        if finished.notes.get("recipe") == recipe:
            return finished
        raise BadInput(
            f"{folder} holds a model trained with other settings or data; name another --output, or say --overwrite."
        )
    parts = fits.parts
    if folder.exists() and any(folder.iterdir()) and not parts.exists() and not overwrite:
        raise BadInput(f"{folder} is not empty and not a model; name another --output, or say --overwrite.")
    with limited(threads), parts.claim():
        members, made = [], 0
        for number, (key, split) in enumerate(zip(keys, splits, strict=True), 1):
            made += fits.make(key, split, seed + number - 1)
            # also one that was just fitted is read back: all members are what the disk holds
            members.append(MODELS[model].model_class()().restore(parts.folder / key.name))
            if progress is not None:
                progress(f"{model}, member {number}", number, len(splits))
        unseen, pair_keys, pairs_made = _fit_pairs(fits, splits if verify else [], seed, progress)
        how = {"model": model, "representation": representation, "folds": folds, "weighting": weighting}
        how |= {"params": create_model(model, **with_budget(model, settings, budget)).get_params(), "seed": seed}
        how |= {
            "budget": budget if MODELS[model].model_class().kind == "network" else None,
            "epochs": [member.notes_["budget"] for member in members if "budget" in member.notes_],
            "converged": all(member.notes_.get("converged", True) for member in members),
        }
        notes = {"training": how, "recipe": recipe, "dataset_sha256": dataset.notes["stars_sha256"]}
        notes |= {"scale": scale or dataset.truth, "verified": bool(unseen)}
        ensemble = _assemble(dataset, data, representation, model, members, splits, unseen, notes)
        ensemble.save(folder, overwrite=True)
        parts.finish([*keys, *pair_keys], made + pairs_made)
        parts.clear()
    return ensemble


@dataclass(frozen=True)
class _Fits:
    """All that the fits of one ensemble have in common."""

    parts: Parts
    model: str
    settings: Mapping[str, Any]
    data: Labelled
    weighting: str
    budget: Budget

    def key(self, label: str, split: Split, seed: int) -> Key:
        return fit_key(
            label, self.model, self.settings, self.data.content, split, weighting=self.weighting, seed=seed,
            budget=self.budget,
        )  # fmt: skip

    def make(self, key: Key, split: Split, seed: int, *, keep: bool = True) -> bool:
        """Fit and store what is not there, and tell whether; without ``keep`` only what it says of every star."""
        if self.parts.find(key) is not None:
            return False
        try:
            fitted = fit_split(
                self.model, self.settings, self.data, split, weighting=self.weighting, seed=seed, budget=self.budget,
                workspace=self.parts.workspace(key),
            )  # fmt: skip
        except FIT_ERRORS as error:
            reason = f"{type(error).__name__}: {error}"
            raise FitFailed(f"{self.model} could not be fitted, fold {split.fold}: {reason}") from error
        with self.parts.writing(key) as here:
            if keep:
                fitted.model.save(here)
            else:
                mean, sigma = fitted.model.predict_dist(self.data.sequences)
                write_arrays(here / _SAID, {"mean": mean, "sigma": sigma})
        return True


def _fit_pairs(
    fits: _Fits, splits: Sequence[Split], seed: int, progress: Callable[[str, int, int], None] | None
) -> tuple[dict[Pair, Dist], list[Key], int]:
    """What models say that were fitted without two folds each; their parts, and how many were made now."""
    pairs, keys, made = pair_splits(fits.data.feh, splits, seed), [], 0
    unseen: dict[Pair, Dist] = {}
    for number, (pair, split) in enumerate(pairs.items(), 1):
        own = seed + len(splits) + number
        key = fits.key(f"without-{pair[0]}-{pair[1]}", split, own)
        keys.append(key)
        made += fits.make(key, split, own, keep=False)
        arrays = read_arrays(fits.parts.folder / key.name / _SAID)
        unseen[pair] = arrays["mean"], arrays["sigma"]
        if progress is not None:
            progress(f"{fits.model}, coverage {number} of {len(pairs)}", number, len(pairs))
    return unseen, keys, made


def _assemble(
    dataset: Dataset,
    data: Labelled,
    representation: str,
    model: str,
    members: Sequence[Regressor],
    splits: Sequence[Split],
    unseen: Mapping[Pair, Dist],
    notes: dict[str, Any],
) -> Ensemble:
    """The ensemble of these members, calibrated on the stars that each of them has not seen."""
    every_star = dataset.stars.iloc[dataset.sample]
    shape = data.sequences.shape_features()[:, : SHAPE_FEATURES.index("cos4")]
    notes |= {
        "truth": dataset.truth,
        "n_stars": len(data.feh),
        "n_only_train": int(data.only_train.sum()),
        "feh_range": [float(data.feh.min()), float(data.feh.max())],
        "type_counts": {str(kind): int(n) for kind, n in every_star["type"].value_counts().items()},
        "cuts": dataset.notes["recipe"]["cuts"],
        "environment": environment(),
    }
    types = tuple(sorted(every_star["type"].unique()))
    limits = np.stack([shape.min(axis=0), shape.max(axis=0)])
    mean, sigma = np.full(len(data.feh), np.nan), np.full(len(data.feh), np.nan)
    fold: IntArray = np.empty(len(data.feh), np.int64)
    for member, split in zip(members, splits, strict=True):
        mean[split.score], sigma[split.score] = member.predict_dist(data.sequences[split.score])
        fold[split.score] = split.fold
    own = np.flatnonzero(~data.only_train)  # the others are never scored
    mean, sigma, fold, data, stars = mean[own], sigma[own], fold[own], data.rows(own), every_star.iloc[own]
    unseen = {pair: (one[own], two[own]) for pair, (one, two) in unseen.items()}
    residual = mean - data.feh
    every = np.stack([member.predict(data.sequences) for member in members])
    notes |= {
        "out_of_fold": score(data.feh, mean),
        "scores": scores_by_group(stars, data.feh, mean),
        "coverage": (
            shipped_coverage(data.sequences, data.feh, fold, unseen)
            if unseen
            else member_coverage(data.sequences, data.feh, fold, residual, sigma)
        ).to_dict("records"),
    }
    return Ensemble(
        model,
        dataset.representation(representation),
        tuple(members),
        types,
        Calibration.fit(data.sequences, residual, sigma, shrink=shrinking(every, residual)),
        limits,
        notes,
    )


def scores_by_group(stars: pd.DataFrame, feh: FloatArray, mean: FloatArray) -> list[dict[str, Any]]:
    """Metrics of all stars, by type, by number of epochs and by [Fe/H]."""
    groups = {"all": np.ones(len(stars), bool)}
    kinds = stars["type"].to_numpy()
    if len(set(kinds)) > 1:
        groups |= {str(kind): kinds == kind for kind in sorted(set(kinds))}
    for column, values, edges, digits in (
        ("epochs", stars["n_epochs"].to_numpy(np.float64), (0, 20, 30, 50, np.inf), 0),
        ("[Fe/H]", feh, (-np.inf, -2.0, -1.5, -1.0, np.inf), 1),
    ):
        for low, high in pairwise(edges):
            groups[f"{low:.{digits}f} < {column} <= {high:.{digits}f}"] = (values > low) & (values <= high)
    wanted = ("n", "r2", "rmse", "mae", "bias", "robust_sd")
    table = pd.DataFrame({"source_id": stars["source_id"].to_numpy(), "feh_true": feh, "feh_pred": mean})
    found = {name: scores_of(table[members]) for name, members in groups.items() if members.any()}
    return [{"stars": name, **{key: scores[key] for key in wanted}} for name, scores in found.items()]
