"""The folder of a trained model: what is in it, and the checks without which nothing in it is used.

model.json                            settings and notes, digests of all other files, and one of itself
calibration.safetensors               scores and covariates of the calibration stars
member-<n>/model.json, model.safetensors   parameters and weights of each member
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from photfeh.core.cache import Parts
from photfeh.core.errors import BadFile, BadInput, MissingPackage
from photfeh.core.files import digest_of, read_sealed, write_sealed
from photfeh.core.types import Float32Array
from photfeh.inference.calibration import LEVELS, N_COVARIATES
from photfeh.inference.scale import ScaleMap
from photfeh.models.base import UNUSABLE, read_arrays, reason_of
from photfeh.models.registry import MODELS
from photfeh.samples.sequences import SHAPE_FEATURES, Representation

__all__ = ["CALIBRATION", "check_calibration_arrays", "read_folder", "seal_folder"]

_FORMAT = 5
_MOST_MEMBERS = 1_000
CALIBRATION = "calibration.safetensors"


def seal_folder(folder: Path, content: Mapping[str, Any]) -> None:
    """Write model.json, the sign of a whole model: content, digests of the files that are there, and its own."""
    write_sealed(folder / "model.json", {"format": _FORMAT, **content, "files": _digests(folder)})


def read_folder(folder: Path) -> dict[str, Any]:
    """The content of model.json, when every file is as it was written and all numbers make sense.

    Nothing is allocated by what the file says before that was checked.

    Raises
    ------
    BadFile
        names the file that is wrong.
    """
    path = folder / "model.json"
    if not path.is_file():
        unfinished = Parts(folder / "parts").exists()
        hint = (
            "its training was interrupted; run the same command again"
            if unfinished
            else "make one with `photfeh train`"
        )
        raise BadFile(f"{folder} is not a trained model (no model.json): {hint}.")
    content = read_sealed(path, what="a model", number=_FORMAT, remedy="train it again")
    try:
        _check_content(content)
    except MissingPackage:  # nothing is wrong with the model
        raise
    except (BadInput, *UNUSABLE) as error:
        raise BadFile(f"{path} is no model that can be used: {reason_of(error)}. Train it again.") from error
    _check_files(folder, content)
    return content


def check_calibration_arrays(folder: Path, n_stars: int) -> dict[str, Float32Array]:
    """Scores (n,) and covariates (n, 6) of the calibration stars.

    Raises
    ------
    BadFile
        if they are not those of ``n_stars`` stars.
    """
    path = folder / CALIBRATION
    arrays = read_arrays(path)
    found = {name: array.shape for name, array in arrays.items()}
    if found != {"scores": (n_stars,), "covariates": (n_stars, N_COVARIATES)}:
        raise BadFile(f"{path} holds {found}, not the scores of {n_stars} stars; train the model again.")
    return arrays


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that a model folder reads, by its path in the folder."""
    files = [*folder.glob("member-*/model.json"), *folder.glob("member-*/model.safetensors"), folder / CALIBRATION]
    return {path.relative_to(folder).as_posix(): digest_of(path) for path in sorted(files) if path.is_file()}


def _check_files(folder: Path, content: Mapping[str, Any]) -> None:
    """Every file as it was written, before anything is made of it; names them from what the model must have."""
    needed = [f"member-{n}/{name}" for n in range(content["n_members"]) for name in ("model.json", "model.safetensors")]
    needed += [] if content["calibration"] is None else [CALIBRATION]
    for name in needed:
        path = folder / name
        if not path.is_file():
            raise BadFile(f"{path} is absent, so that the model is not whole; copy or train it again.")
        try:
            found = digest_of(path)
        except OSError as error:
            raise BadFile(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
        if found != content["files"].get(name):
            raise BadFile(f"{path} is not the file that model.json speaks of; copy or train the model again.")


def _check_content(content: Mapping[str, Any]) -> None:
    """What model.json says must be of the right kind and size.

    Raises
    ------
    BadInput, ValueError, KeyError, TypeError
        says what is wrong.
    """
    if content["model"] not in MODELS:
        raise ValueError(f"it names the unknown model {content['model']!r}")
    n_members = content["n_members"]
    if type(n_members) is not int or not 1 <= n_members <= _MOST_MEMBERS:
        raise ValueError(f"n_members is {n_members!r}, not a whole number from 1 to {_MOST_MEMBERS}")
    if not isinstance(content["notes"], dict) or not isinstance(content["files"], dict):
        raise ValueError("notes or files is no table")
    types = content["types"]
    if not isinstance(types, list) or not types or not all(isinstance(kind, str) and kind for kind in types):
        raise ValueError("types is no list of star types")
    representation = Representation.from_dict(content["representation"])
    if representation.name not in MODELS[content["model"]].model_class().representations:
        raise ValueError(f"{content['model']} cannot read the representation {representation.name!r}")
    _check_range(content["notes"])
    _check_limits(content["limits"])
    for values in content["maps"]:
        ScaleMap.from_dict(values)
    if content["calibration"] is not None:
        _check_calibration(content["calibration"])


def _check_range(notes: Mapping[str, Any]) -> None:
    if not isinstance(notes["truth"], str):
        raise ValueError("notes.truth is no text")
    if "feh_range" in notes:
        low, high = notes["feh_range"]
        if not -10.0 <= low <= high <= 10.0:
            raise ValueError(f"the range of the labels is {low} to {high}")


def _check_limits(values: Any) -> None:
    """Lowest and highest value of the first shape features among the training stars."""
    if values is None:
        return
    limits = np.array(values, np.float64)
    fits = limits.ndim == 2 and limits.shape[0] == 2 and 1 <= limits.shape[1] <= len(SHAPE_FEATURES)
    if not fits or not np.isfinite(limits).all() or (limits[0] > limits[1]).any():
        raise ValueError("limits are not the lowest and highest value of each feature")


def _check_calibration(values: Mapping[str, Any]) -> None:
    """Numbers of :class:`photfeh.inference.calibration.Calibration`: finite, and positive where they are sizes."""
    lengths = dict.fromkeys(("mean", "scale", "least", "most"), N_COVARIATES)
    lengths |= {"coefficients": N_COVARIATES + 1, "quantiles": len(LEVELS)}
    for name, length in lengths.items():
        numbers = np.array(values[name], np.float64)
        if numbers.shape != (length,) or not np.isfinite(numbers).all():
            raise ValueError(f"the calibration's {name} are not {length} finite numbers")
    quantiles = np.array(values["quantiles"], np.float64)
    if (quantiles <= 0).any() or (np.diff(quantiles) < 0).any():
        raise ValueError("the quantiles of the calibration are not positive and rising")
    if (np.array(values["scale"], np.float64) <= 0).any() or (np.array(values["least"]) > values["most"]).any():
        raise ValueError("the scale of the calibration is not positive, or its range is empty")
    low, high, shrink = (float(values[name]) for name in ("low", "high", "shrink"))
    if not -50.0 <= low <= high <= 50.0 or not 0.0 < shrink <= 1.0:
        raise ValueError("the range of errors of the calibration, or its shrink factor, makes no sense")
    if type(values["n_stars"]) is not int or not values["n_stars"] >= 1:
        raise ValueError("the calibration's n_stars is no number of stars")
