"""A trained model: an ensemble of fold members with its representation and calibration, and its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from photfeh.core.cache import Parts
from photfeh.core.errors import BadFile, BadInput
from photfeh.core.files import flush_folder, read_json, remove_folder, write_json
from photfeh.core.fingerprint import fingerprint
from photfeh.core.types import BoolArray, FloatArray
from photfeh.inference.calibration import LEVELS, Calibration, read_calibration
from photfeh.models.base import Regressor
from photfeh.models.registry import MODELS, create_model
from photfeh.samples.sequences import SHAPE_FEATURES, Representation, Sequences

__all__ = ["Ensemble"]

_FORMAT = 3
_MOST_MEMBERS, _MOST_POINTS = 1_000, 100_000


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

    @property
    def band(self) -> str:
        """Passband of the light curves that the members were trained on."""
        return self.representation.band

    def fingerprint(self) -> str:
        """Digest of all that a prediction depends on: classes, parameters, weights, calibration, limits."""
        members = [(type(m), m.get_params(deep=False), m.arrays_, m.notes_) for m in self.members]
        return fingerprint(
            self.name, self.representation, members, self.types, self.calibration, self.limits, self.feh_range
        )

    def save(self, folder: str | Path) -> Path:
        """Write one folder a member, calibration.safetensors, and model.json, the sign of a whole model, last.

        Raises
        ------
        BadInput
            if the folder holds something else.
        """
        folder = Path(folder)
        ours = (folder / "model.json").exists() or Parts(folder / "parts").exists()
        if folder.exists() and any(folder.iterdir()) and not ours:
            raise BadInput(f"{folder} is not empty and not a model; name another --output.")
        (folder / "model.json").unlink(missing_ok=True)
        for old in folder.glob("member-*"):
            remove_folder(old)
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
        flush_folder(folder)
        write_json(folder / "model.json", content | {"files": file_digests(folder)})
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Ensemble:
        """Read a folder written by :meth:`save`; the training data are not needed.

        Raises
        ------
        BadFile
            if it holds no model of this format, a file in it was changed or is absent, or its numbers make no sense;
            names the file.
        """
        folder = Path(folder)
        path = folder / "model.json"
        if not path.is_file():
            unfinished = Parts(folder / "parts").exists()
            hint = (
                "its training was interrupted; run the same command again"
                if unfinished
                else "make one with `photfeh train`"
            )
            raise BadFile(f"{folder} is not a trained model (no model.json): {hint}.")
        content = read_json(path)
        if not isinstance(content, dict):
            raise BadFile(f"{path} cannot be read as JSON; train the model again.")
        if content.get("format") != _FORMAT:
            raise BadFile(
                f"{folder} is a model of format {content.get('format')}, this version of photfeh reads {_FORMAT}: "
                "train it again."
            )
        try:
            _check_content(content)
            _check_files(folder, content["files"])
            return cls._of(folder, content)
        except BadFile:
            raise
        except (BadInput, KeyError, TypeError, ValueError, OSError, RuntimeError, SafetensorError) as error:
            said = f"has no entry {error}" if isinstance(error, KeyError) else str(error).splitlines()[0].rstrip(".")
            raise BadFile(f"{path} is no model that can be used: {said}. Train it again.") from error

    @classmethod
    def _of(cls, folder: Path, content: dict[str, Any]) -> Ensemble:
        calibration = content["calibration"]
        if calibration is not None:
            calibration = read_calibration(calibration, load_file(str(folder / "calibration.safetensors")))
        model_class = MODELS[content["model"]].model_class()
        return cls(
            content["model"],
            Representation(**content["representation"]),
            tuple(model_class().restore(folder / f"member-{i}") for i in range(content["n_members"])),
            tuple(content["types"]),
            calibration,
            None if content["limits"] is None else np.array(content["limits"], np.float64),
            content["notes"],
        )


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that a model folder reads, by its path in the folder."""
    files = [*folder.glob("member-*/*"), *folder.glob("calibration.safetensors")]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)
    }


def _check_files(folder: Path, digests: Mapping[str, str]) -> None:
    """Every file as it was written, before anything is made of it."""
    found = file_digests(folder)
    for name in sorted({*digests, *found}):
        if name not in found:
            raise BadFile(f"{folder / name} is absent, so that the model is not whole; copy or train it again.")
        if digests.get(name) != found[name]:
            raise BadFile(f"{folder / name} is not the file that model.json speaks of; copy or train the model again.")


def _check_content(content: Mapping[str, Any]) -> None:
    """What model.json says must be of the right kind and size before anything is allocated.

    Raises
    ------
    ValueError, KeyError, TypeError
        says what is wrong.
    """
    if content["model"] not in MODELS:
        raise ValueError(f"it names the unknown model {content['model']!r}")
    if not 1 <= int(content["n_members"]) <= _MOST_MEMBERS:
        raise ValueError(f"n_members is {content['n_members']}, not 1 to {_MOST_MEMBERS}")
    if not isinstance(content["notes"], dict) or not isinstance(content["files"], dict):
        raise ValueError("notes or files is no table")
    if not content["types"] or not all(isinstance(kind, str) for kind in content["types"]):
        raise ValueError("types is no list of star types")
    if not int(content["representation"]["n_points"]) <= _MOST_POINTS:
        raise ValueError(f"n_points is above {_MOST_POINTS}")
    if content["limits"] is not None:
        limits = np.array(content["limits"], np.float64)
        fits = limits.ndim == 2 and limits.shape[0] == 2 and limits.shape[1] <= len(SHAPE_FEATURES)
        if not fits or not np.isfinite(limits).all() or (limits[0] > limits[1]).any():
            raise ValueError("limits are not the lowest and highest value of each feature")
    calibration = content["calibration"]
    if calibration is not None:
        quantiles = np.array(calibration["quantiles"], np.float64)
        good = quantiles.shape == (len(LEVELS),) and bool(np.isfinite(quantiles).all() and (quantiles > 0).all())
        if not good or not np.isfinite(float(calibration["shrink"])) or float(calibration["shrink"]) <= 0:
            raise ValueError("the quantiles or the shrink factor of the calibration are not finite and positive")


_NORMAL = {0.5: 0.6745, 0.68: 0.9945, 0.8: 1.2816, 0.9: 1.6449, 0.95: 1.96}
