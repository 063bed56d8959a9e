"""The contract of every model: scikit-learn's, on :class:`~photfeh.samples.sequences.Sequences`; no pickles."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from numba.core.errors import NumbaError
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from photfeh.core.errors import BadFile, BadInput
from photfeh.core.files import naming
from photfeh.core.threads import after_fork
from photfeh.core.types import Float64, FloatArray
from photfeh.models.estimator import Estimator
from photfeh.models.parameters import check_parameters
from photfeh.samples.sequences import REPRESENTATIONS, Sequences

__all__ = ["Regressor", "Tune", "averaged", "once", "read_arrays", "write_arrays"]

Made = TypeVar("Made")
Tune = tuple[Sequences, FloatArray, FloatArray]
"""Stars for early stopping and choices inside the fit: sequences, labels, weights."""


_MADE: WeakKeyDictionary[Sequences, dict[Hashable, Any]] = WeakKeyDictionary()


def once(X: Sequences, key: Hashable, make: Callable[[], Made]) -> Made:
    """What many models want of the same stars: made for the first of them, kept as long as these sequences live.

    Nobody may change it.
    """
    kept = _MADE.setdefault(X, {})
    if key not in kept:
        kept[key] = make()
    return cast(Made, kept[key])


def averaged(values: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Mean and variance over M arrays (N,), each (N,), summed one array after the other.

    NumPy sums eight or more numbers in an order that depends on the number of stars: a star alone would get other bits.
    """
    mean = np.asarray(sum(values) / len(values))
    return mean, np.asarray(sum((value - mean) ** 2 for value in values) / len(values))


class Regressor(Estimator):
    """Base of all models.

    ``fit`` checks its input, drops rows of zero weight (so that zero weight equals the row removed) and calls ``_fit``.
    Fitted state lives in ``arrays_`` (NumPy arrays, saved as safetensors) and ``notes_`` (JSON).
    """

    kind: ClassVar[str] = "classical"
    star_types: ClassVar[tuple[str, ...] | None] = None
    """Types the model is for by nature; None: those it is trained on."""

    representations: ClassVar[tuple[str, ...]] = REPRESENTATIONS
    """Kinds of sequences that the model can read."""

    arrays_: dict[str, npt.NDArray[Any]]
    notes_: dict[str, Any]

    def check(self) -> None:
        """Whether the parameters can go together, as far as that is known without data.

        Raises
        ------
        BadInput
            if they cannot; names what is wrong.
        """

    def fit(
        self, X: Sequences, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, *, tune: Tune | None = None
    ) -> Regressor:
        """Fit to sequences X (N), labels y (N,) [dex] and weights (N,).

        ``tune`` are further stars that the fit may look at for early stopping, never those that will be scored; a
        network without them sets a seventh of its stars aside.

        Raises
        ------
        BadInput
            if lengths differ, a label or weight is not finite, a weight is negative, a star has no valid step, or the
            model cannot read this representation.
        """
        after_fork()
        target, weight = self._checked(X, y, sample_weight)
        used = weight > 0
        self._fit(X[used], target[used], weight[used], tune)
        return self

    def predict(self, X: Sequences) -> Float64[FloatArray, " stars"]:
        """[Fe/H], shape (N,) [dex]; NaN for stars without a valid step."""
        return self.predict_dist(X)[0]

    def predict_dist(self, X: Sequences) -> tuple[Float64[FloatArray, " stars"], Float64[FloatArray, " stars"]]:
        """Mean and standard deviation of [Fe/H], each of shape (N,) [dex]; NaN for stars without a valid step."""
        if not hasattr(self, "arrays_"):
            raise BadInput(f"this {type(self).__name__} is not fitted; call fit first.")
        self._readable(X)
        after_fork()
        mean, sigma = np.full(len(X), np.nan), np.full(len(X), np.nan)
        valid = X.mask.any(axis=1)
        if valid.any():
            mean[valid], sigma[valid] = self._predict_dist(X if valid.all() else X[valid])
        return mean, sigma

    @abstractmethod
    def _fit(self, X: Sequences, y: FloatArray, weight: FloatArray, tune: Tune | None) -> None: ...

    @abstractmethod
    def _predict_dist(self, X: Sequences) -> tuple[FloatArray, FloatArray]: ...

    # ------------------------------------------------------------------ disk
    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json`` into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_arrays(folder / "model.safetensors", self.arrays_)
        content = {"class": type(self).__name__, "params": self.get_params(deep=False), "notes": self.notes_}
        with naming(folder / "model.json"):
            (folder / "model.json").write_text(json.dumps(content, indent=1) + "\n")

    def restore(self, folder: str | Path) -> Regressor:
        """Take the fitted state from a folder written by :meth:`save`.

        Raises
        ------
        BadFile
            if a file is absent, was written by another class, or holds what no such model can have.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / "model.json").read_text())
            arrays = read_arrays(folder / "model.safetensors")
            if content["class"] != type(self).__name__:
                raise BadFile(f"{folder} holds a {content['class']}, not a {type(self).__name__}.")
            params = {name: _tupled(value) for name, value in content["params"].items()}
            check_parameters(f"the model in {folder}", type(self), params)
            return self.set_params(**params).adopt(arrays, dict(content["notes"]))
        except BadFile:
            raise
        except (BadInput, *UNUSABLE) as error:
            raise BadFile(f"{folder} holds no model that can be used: {reason_of(error)}. Train it again.") from error

    def adopt(self, arrays: dict[str, npt.NDArray[Any]], notes: dict[str, Any]) -> Regressor:
        """Take arrays and notes of another fit as the fitted state."""
        after_fork()
        self.arrays_, self.notes_ = arrays, notes
        return self

    # ------------------------------------------------------------------ checks
    def _readable(self, X: Sequences) -> None:
        kind = X.representation.name
        if kind not in self.representations:
            raise BadInput(
                f"{type(self).__name__} cannot read the representation {kind!r}; "
                f"prepare one of {', '.join(self.representations)}."
            )

    def _checked(
        self, X: Sequences, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None
    ) -> tuple[FloatArray, FloatArray]:
        self._readable(X)
        target = np.asarray(y, np.float64)
        weight = np.ones(len(target)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        if target.shape != (len(X),) or weight.shape != (len(X),):
            raise BadInput(f"X has {len(X)} stars, y shape {target.shape}, sample_weight shape {weight.shape}.")
        if not np.isfinite(weight).all() or (weight < 0).any() or not (weight > 0).any():
            raise BadInput("sample_weight must be finite, not negative, and somewhere positive.")
        for bad, what in (
            (~np.isfinite(target), "has no finite label"),
            (~X.mask.any(axis=1), "has no valid step"),
            (~np.isfinite(X.shape_features()).all(axis=1), "has no finite light-curve features"),
        ):
            bad = bad & (weight > 0)
            if bad.any():
                raise BadInput(f"star {X.source_id[np.argmax(bad)]} {what}; leave it out of the training set.")
        return target, weight


UNUSABLE = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError),
    *(SafetensorError, NumbaError),
)
"""What reading a damaged model may raise, wherever the damage shows."""


def reason_of(error: Exception) -> str:
    """The first line of what an error says, without the full stop."""
    said = f"no entry {error}" if isinstance(error, KeyError) else str(error)
    return (said.splitlines() or [type(error).__name__])[0].rstrip(".")


def write_arrays(path: str | Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Write arrays as one safetensors file."""
    with naming(path):
        Path(path).write_bytes(to_bytes({name: np.asarray(array, order="C") for name, array in arrays.items()}))


def read_arrays(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a safetensors file.

    Raises
    ------
    BadFile
        if it cannot be read, or an array holds a number that is not finite.
    """
    try:
        arrays = load_file(str(path))
    except UNUSABLE as error:
        raise BadFile(f"{path} cannot be read ({reason_of(error)}); copy or train the model again.") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise BadFile(f"{path}: the array {name!r} holds what is no finite number; train the model again.")
    return arrays


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value
