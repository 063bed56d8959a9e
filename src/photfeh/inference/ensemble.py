"""A trained model: an ensemble of fold members with its representation and calibration, and its folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from photfeh.core.cache import Parts
from photfeh.core.errors import BadFile, BadInput, UnknownName
from photfeh.core.files import flush_folder, remove_folder
from photfeh.core.fingerprint import fingerprint
from photfeh.core.types import BoolArray, FloatArray
from photfeh.inference.calibration import Calibration, read_calibration
from photfeh.inference.folder import CALIBRATION, check_calibration_arrays, read_folder, seal_folder
from photfeh.inference.scale import LABELS, NORMAL, SCALES, SPECTROSCOPIC, ScaleMap, named
from photfeh.models.base import UNUSABLE, Regressor, averaged, reason_of, write_arrays
from photfeh.models.registry import MODELS, create_model
from photfeh.samples.sequences import Representation, Sequences, plain_star

__all__ = ["Ensemble"]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A trained model: members of one kind, averaged.

    ``representation``: what the members see; it travels with them. ``types``: star types they were trained on.
    ``calibration``: None for a formula, whose own error is used. ``limits`` (2, 12): lowest and highest value of each
    shape feature among the training stars. ``notes``: how it was made, as written into model.json. ``maps``: the ways
    from the scale of the labels to others, by star type.
    """

    name: str
    representation: Representation
    members: tuple[Regressor, ...]
    types: tuple[str, ...]
    calibration: Calibration | None
    limits: FloatArray | None
    notes: dict[str, Any]
    maps: tuple[ScaleMap, ...] = ()

    @classmethod
    def formula(cls) -> Ensemble:
        """The published relations as an ensemble of one, without training."""
        notes = {"truth": "published relation", "training": "none", "scale": "muraveva-2025"}
        basis = "the relations were calibrated on high-resolution spectroscopy, and their errors are those against it"
        types = ("RRab", "RRc")
        known = ScaleMap.published(named(SPECTROSCOPIC), types, scatter=0.0, basis=basis)
        return cls(
            "relation", Representation(kind="raw"), (create_model("relation"),), types, None, None, notes, (known,)
        )

    def member_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]:
        """Ensemble mean and combined sigma (law of total variance), each (N,) [dex], before calibration.

        The mean is kept within the range of the training labels, beyond which no star has taught anything.
        """
        means, sigmas = zip(*(member.predict_dist(X) for member in self.members), strict=True)
        (mean, apart), (own, _) = averaged(means), averaged([sigma**2 for sigma in sigmas])
        return np.clip(mean, *self.feh_range), np.sqrt(apart + own)

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
            return mean, sigma, sigma * NORMAL[level]
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

    @property
    def label_scale(self) -> str:
        """The scale that the model was taught on: its name, or in words what the labels were."""
        return str(self.notes.get("scale") or self.notes["truth"])

    def way_to(self, scale: str | None, kind: str) -> ScaleMap | None:
        """The map for stars of a type to a scale (as for :func:`photfeh.predict`); None if that is the labels' own."""
        if scale == LABELS or (scale is not None and named(scale) == self.label_scale):
            return None
        name = named(scale or SPECTROSCOPIC)
        return next((way for way in self.maps if way.scale == name and kind in way.types), None)

    def check_scale(self, scale: str | None, title: str) -> None:
        """Raise unless there is a way to the scale for every star type.

        Raises
        ------
        UnknownName
            if no such scale is known.
        BadInput
            if the model called ``title`` has no way to it.
        """
        if scale is None or scale == LABELS or named(scale) == self.label_scale:
            return
        ways = {way.scale for way in self.maps}
        if named(scale) not in ways | set(SCALES):
            raise UnknownName("scale", scale, [SPECTROSCOPIC, LABELS, *SCALES])
        lost = [kind for kind in self.types if self.way_to(scale, kind) is None]
        if lost:
            raise BadInput(
                f"model {title} has no way from its labels ({self.label_scale}) to the scale {scale} for "
                f"{' and '.join(lost)}. Say --scale labels, or fit one with `photfeh calibrate`."
            )

    def fingerprint(self) -> str:
        """Digest of all that a prediction depends on: classes, parameters, weights, calibration, limits, scales."""
        members = [(type(m), m.get_params(deep=False), m.arrays_, m.notes_) for m in self.members]
        return fingerprint(
            self.name, self.representation, members, self.types, self.calibration, self.limits, self.feh_range,
            self.label_scale, self.maps,
        )  # fmt: skip

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
                "maps": [way.to_dict() for way in self.maps],
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
            Representation.from_dict(content["representation"]),
            members,
            tuple(content["types"]),
            calibration,
            None if content["limits"] is None else np.array(content["limits"], np.float64),
            content["notes"],
            tuple(ScaleMap.from_dict(values) for values in content["maps"]),
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
