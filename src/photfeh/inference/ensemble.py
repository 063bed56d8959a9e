"""A trained model: an ensemble of fold members with its representation and calibration, and its folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from photfeh.core.cache import Parts
from photfeh.core.errors import BadFile, BadInput
from photfeh.core.files import flush_folder, remove_folder
from photfeh.core.fingerprint import fingerprint
from photfeh.core.types import BoolArray, FloatArray
from photfeh.inference.calibration import Calibration, read_calibration
from photfeh.inference.folder import CALIBRATION, check_calibration_arrays, read_folder, seal_folder
from photfeh.models.base import UNUSABLE, Regressor, reason_of, write_arrays
from photfeh.models.registry import MODELS, create_model
from photfeh.samples.sequences import Representation, Sequences, plain_star

__all__ = ["Ensemble"]


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

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write one folder a member, calibration.safetensors, and model.json, the sign of a whole model, last.

        Raises
        ------
        BadInput
            if the folder holds something else, unless ``overwrite``; files that are not of a model stay.
        """
        folder = Path(folder)
        ours = (folder / "model.json").exists() or Parts(folder / "parts").exists()
        if folder.exists() and any(folder.iterdir()) and not ours and not overwrite:
            raise BadInput(f"{folder} is not empty and not a model; name another --output, or say --overwrite.")
        (folder / "model.json").unlink(missing_ok=True)
        for old in folder.glob("member-*"):
            remove_folder(old)
        for number, member in enumerate(self.members):
            member.save(folder / f"member-{number}")
        if self.calibration is not None:
            write_arrays(folder / CALIBRATION, self.calibration.arrays())
        flush_folder(folder)
        seal_folder(
            folder,
            {
                "model": self.name,
                "representation": self.representation.to_dict(),
                "types": list(self.types),
                "n_members": len(self.members),
                "calibration": None if self.calibration is None else self.calibration.to_dict(),
                "limits": None if self.limits is None else self.limits.tolist(),
                "notes": self.notes,
            },
        )
        return folder

    @classmethod
    def load(cls, folder: str | Path, *, try_out: bool = True) -> Ensemble:
        """Read a folder written by :meth:`save`; the training data are not needed.

        With ``try_out`` every member predicts a star of no survey, so that what does not fit together is found now.

        Raises
        ------
        BadFile
            if it holds no model of this format, a file in it was changed or is absent, its numbers make no sense, or
            its members cannot predict a star; names the file.
        """
        folder = Path(folder)
        content = read_folder(folder)
        calibration = content["calibration"]
        if calibration is not None:
            arrays = check_calibration_arrays(folder, calibration["n_stars"])
            calibration = read_calibration(calibration, arrays)
        model_class = MODELS[content["model"]].model_class()
        members = tuple(model_class().restore(folder / f"member-{i}") for i in range(content["n_members"]))
        made = cls(
            content["model"],
            Representation(**content["representation"]),
            members,
            tuple(content["types"]),
            calibration,
            None if content["limits"] is None else np.array(content["limits"], np.float64),
            content["notes"],
        )
        if try_out:
            made._try_out(folder)
        return made

    def _try_out(self, folder: Path) -> None:
        """Let every member predict one star: the only way to know that arrays and notes of any model fit together."""
        star = plain_star(self.representation)
        for number, member in enumerate(self.members):
            try:
                mean, sigma = member.predict_dist(star)
            except (BadInput, *UNUSABLE) as error:
                said = reason_of(error)
                raise BadFile(f"{folder / f'member-{number}'} cannot predict: {said}. Train it again.") from error
            if not (np.isfinite(mean).all() and np.isfinite(sigma).all() and (sigma >= 0).all()):
                raise BadFile(f"{folder / f'member-{number}'} predicts {mean[0]} +- {sigma[0]}; train it again.")


_NORMAL = {0.5: 0.6745, 0.68: 0.9945, 0.8: 1.2816, 0.9: 1.6449, 0.95: 1.96}
