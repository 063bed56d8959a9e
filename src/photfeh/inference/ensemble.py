"""The verb ``train`` and what it makes: an ensemble of fold members with its representation and calibration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from photfeh.core.errors import BadFile, BadInput
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.inference.calibration import Calibration, cross_coverage
from photfeh.models.base import Regressor
from photfeh.models.registry import MODELS, create_model
from photfeh.samples.dataset import Dataset
from photfeh.samples.sequences import SHAPE_FEATURES, Representation, Sequences
from photfeh.validation.fitting import Fitted, Labelled, fit_split
from photfeh.validation.metrics import score
from photfeh.validation.run import environment
from photfeh.validation.splits import make_splits

__all__ = ["Ensemble", "train"]

_FORMAT = 2


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A trained model: members of one kind, averaged.

    ``representation``: what the members see; it travels with them. ``types``: star types they were trained on.
    ``calibration``: None for a formula, whose own error is used. ``limits`` (2, 12): lowest and highest value of each
    shape feature among the training stars. ``notes``: how it was made, as written into model.json.
    """

    name: str
    representation: Representation
    members: tuple[Regressor, ...]
    types: tuple[str, ...]
    calibration: Calibration | None
    limits: FloatArray | None
    notes: dict[str, Any]

    @classmethod
    def formula(cls) -> Ensemble:
        """The published relations as an ensemble of one, without training."""
        notes = {"truth": "published relation", "training": "none"}
        return cls(
            "relation", Representation(kind="raw"), (create_model("relation"),), ("RRab", "RRc"), None, None, notes
        )

    def member_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        """Ensemble mean and combined sigma (law of total variance), each (N,) [dex], before calibration.

        The mean is kept within the range of the training labels, beyond which no star has taught anything.
        """
        means, sigmas = zip(*(member.predict_dist(X) for member in self.members), strict=True)
        mean = np.clip(np.mean(means, axis=0), *self.feh_range)
        return mean, np.sqrt(np.var(means, axis=0) + np.mean(np.square(sigmas), axis=0))

    @property
    def feh_range(self) -> tuple[float, float]:
        """Lowest and highest label of the training stars [dex]; unbounded for a formula."""
        low, high = self.notes.get("feh_range", (-np.inf, np.inf))
        return float(low), float(high)

    def predict_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        """Mean and calibrated standard error, each (N,) [dex]."""
        mean, sigma = self.member_dist(X)
        return mean, sigma if self.calibration is None else self.calibration.error(X, sigma)

    def predict_interval(self, X: Sequences, level: float = 0.9) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean, calibrated standard error and half-width of the central interval of ``level``, each (N,) [dex]."""
        mean, sigma = self.member_dist(X)
        if self.calibration is None:
            return mean, sigma, sigma * float(_NORMAL[level])
        return mean, self.calibration.error(X, sigma), self.calibration.half_width(X, sigma, level)

    def adapted(self, X: Sequences) -> Ensemble:
        """The same with intervals for the population that X is a sample of; see :meth:`Calibration.adapted`."""
        if self.calibration is None:
            return self
        return replace(self, calibration=self.calibration.adapted(X, self.member_dist(X)[1]))

    def extrapolated(self, X: Sequences, mean: FloatArray) -> BoolArray:
        """Where the training stars do not reach, (N,).

        Period, amplitude or a low harmonic lies out of their range, or the ``mean`` (N,) at the limit of their labels.
        """
        if self.limits is None:
            return np.zeros(len(X), bool)
        low, high = self.feh_range
        shape = X.shape_features()[:, : self.limits.shape[1]]
        margin = 0.02 * (self.limits[1] - self.limits[0])
        out = ((shape < self.limits[0] - margin) | (shape > self.limits[1] + margin)).any(axis=1)
        return np.asarray(out | (mean <= low) | (mean >= high))

    def save(self, folder: str | Path) -> Path:
        """Write model.json, calibration.safetensors and one folder a member.

        Raises
        ------
        BadInput
            if the folder holds something else.
        """
        folder = Path(folder)
        ours = any((folder / name).exists() for name in ("model.json", "training.json"))
        if folder.exists() and any(folder.iterdir()) and not ours:
            raise BadInput(f"{folder} is not empty and not a model; name another --output.")
        for number, member in enumerate(self.members):
            member.save(folder / f"member-{number}")
        content = {
            "format": _FORMAT,
            "model": self.name,
            "representation": self.representation.to_dict(),
            "types": list(self.types),
            "n_members": len(self.members),
            "calibration": None,
            "limits": None if self.limits is None else self.limits.tolist(),
            "notes": self.notes,
        }
        if self.calibration is not None:
            content["calibration"] = self.calibration.to_dict()
            save_file(self.calibration.arrays(), str(folder / "calibration.safetensors"))
        (folder / "model.json").write_text(json.dumps(content, indent=1, default=str) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Ensemble:
        """Read a folder written by :meth:`save`; the training data are not needed.

        Raises
        ------
        BadFile
            if it holds no model of this format.
        """
        folder = Path(folder)
        path = folder / "model.json"
        if not path.is_file():
            raise BadFile(f"{folder} is not a trained model (no model.json); make one with `photfeh train`.")
        content = json.loads(path.read_text())
        if content.get("format") != _FORMAT or content.get("model") not in MODELS:
            raise BadFile(f"{path} is of another format or names an unknown model; train it again.")
        calibration = content["calibration"]
        if calibration is not None:
            try:
                arrays = load_file(str(folder / "calibration.safetensors"))
            except (OSError, SafetensorError) as error:
                raise BadFile(f"{folder} holds no readable calibration.safetensors ({error}); train again.") from error
            calibration = Calibration.from_dict(calibration, arrays)
        model_class = MODELS[content["model"]].model_class()
        members = tuple(model_class().restore(folder / f"member-{i}") for i in range(content["n_members"]))
        return cls(
            content["model"],
            Representation(**content["representation"]),
            members,
            tuple(content["types"]),
            calibration,
            None if content["limits"] is None else np.array(content["limits"]),
            content["notes"],
        )


_NORMAL = {0.5: 0.6745, 0.68: 0.9945, 0.8: 1.2816, 0.9: 1.6449, 0.95: 1.96}


def train(
    dataset: Dataset | str | Path,
    output: str | Path,
    *,
    model: str = "gru",
    representation: str = "spline",
    folds: int = 5,
    weighting: str = "density",
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Ensemble:
    """Train an ensemble on the sample of a data set and calibrate it on its out-of-fold residuals.

    One member per fold; each is fitted without the stars of its fold, and their residuals, which no member has seen,
    set the errors. An interrupted call goes on with the same arguments: finished members are kept.

    Parameters are those of :func:`photfeh.validate`; ``output`` is the model folder to make.
    """
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    data = Labelled.of(dataset, representation)
    settings = dict(params or {})
    keys = {"dataset": dataset.notes["stars_sha256"], "model": model, "representation": representation, "folds": folds}
    keys |= {"weighting": weighting, "params": create_model(model, **settings).get_params(), "seed": seed}
    folder = _claim(Path(output), keys)
    splits = list(make_splits(data.feh, n_folds=folds, seed=seed))
    mean, sigma = np.full(len(data.feh), np.nan), np.full(len(data.feh), np.nan)
    members: list[Regressor] = []
    for number, split in enumerate(splits):
        here = folder / f"member-{number}"
        if (here / "model.json").exists():
            member = MODELS[model].model_class()().restore(here)
        else:
            fitted: Fitted = fit_split(
                model, settings, data, split, weighting=weighting, seed=seed + number, checkpoint=here / "checkpoint"
            )
            member = fitted.model
            member.save(here)
            for path in here.glob("checkpoint.*"):
                path.unlink()
        members.append(member)
        mean[split.score], sigma[split.score] = member.predict_dist(data.sequences[split.score])
        if progress is not None:
            progress(f"{model}, member {number + 1}", number + 1, len(splits))
    fold = np.empty(len(data.feh), np.int64)
    for split in splits:
        fold[split.score] = split.fold
    ensemble = _assemble(dataset, data, model, representation, members, mean, sigma, fold, keys)
    ensemble.save(folder)
    return ensemble


def _claim(folder: Path, keys: dict[str, Any]) -> Path:
    """Start a model folder, or go on with one begun by the same call."""
    note = folder / "training.json"
    text = json.dumps(keys, indent=1, default=str) + "\n"
    if note.exists() and note.read_text() != text:
        raise BadInput(f"{folder} holds a model trained with other settings; name another --output or remove it.")
    if not note.exists() and folder.exists() and any(folder.iterdir()):
        raise BadInput(f"{folder} is not empty; name another --output.")
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(text)
    return folder


def _assemble(
    dataset: Dataset,
    data: Labelled,
    model: str,
    representation: str,
    members: Sequence[Regressor],
    mean: FloatArray,
    sigma: FloatArray,
    fold: IntArray,
    keys: dict[str, Any],
) -> Ensemble:
    residual = mean - data.feh
    every = np.stack([member.predict(data.sequences) for member in members])
    # the error of the mean of the members is below that of one member by their variance (Krogh & Vedelsby 1995);
    # stars are seen by all members but one, so the variance is taken where it can be had, over the sample
    agreement = float(np.mean(np.var(every, axis=0, ddof=1)) * (len(members) - 1) / len(members))
    shrink = float(np.sqrt(max(1.0 - agreement / float(np.mean(residual**2)), 0.5)))
    stars = dataset.stars.iloc[dataset.sample]
    types = tuple(sorted(stars["type"].unique()))
    shape = data.sequences.shape_features()[:, : SHAPE_FEATURES.index("cos4")]
    notes = {
        "truth": dataset.truth,
        "n_stars": len(data.feh),
        "feh_range": [float(data.feh.min()), float(data.feh.max())],
        "type_counts": {str(kind): int(n) for kind, n in stars["type"].value_counts().items()},
        "cuts": dataset.notes["recipe"]["cuts"],
        "out_of_fold": score(data.feh, mean),
        "scores": _scores_by_group(stars, data.feh, mean),
        "coverage": cross_coverage(data.sequences, residual, sigma, fold).to_dict("records"),
        "training": {name: value for name, value in keys.items() if name != "dataset"},
        "dataset_sha256": keys["dataset"],
        "environment": environment(),
    }
    return Ensemble(
        model,
        dataset.representations[representation],
        tuple(members),
        types,
        Calibration.fit(data.sequences, residual, sigma, shrink=shrink),
        np.stack([shape.min(axis=0), shape.max(axis=0)]),
        notes,
    )


def _scores_by_group(stars: pd.DataFrame, feh: FloatArray, mean: FloatArray) -> list[dict[str, Any]]:
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
    return [
        {"stars": name, **{key: score(feh[members], mean[members])[key] for key in wanted}}
        for name, members in groups.items()
        if members.any()
    ]
