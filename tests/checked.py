"""Shapes in annotations are checked in all tests: to be imported before any module of the package."""

from __future__ import annotations

from beartype import beartype
from jaxtyping import install_import_hook

CHECKED = [
    "photfeh.core.lightcurves",
    "photfeh.inference.calibration",
    "photfeh.models.base",
    "photfeh.samples.sequences",
    *(f"photfeh.signal.{name}" for name in ("clean", "fold", "fourier", "period", "spline")),
]
"""Files with public functions of arrays, and none with compiled kernels, which cannot be wrapped."""

_KINDS = ("Bool[", "Float32[", "Float64[", "Int64[", "Shaped[", "Str[")


def only_arrays(function):
    """Check the annotations that give a shape; the others are mypy's, and what users get wrong has its own errors."""
    hints = getattr(function, "__annotations__", {})
    function.__annotations__ = {name: hint for name, hint in hints.items() if any(kind in str(hint) for kind in _KINDS)}
    return beartype(function)


install_import_hook(CHECKED, "checked.only_arrays")

from photfeh.core.lightcurves import LightCurves  # noqa: E402
from photfeh.samples.sequences import Representation, Sequences  # noqa: E402

for noun in (
    LightCurves,
    Representation,
    Sequences,
):  # their constructors take what is like an array, and refuse what does not fit
    noun.__init__ = noun.__init__.__wrapped__
