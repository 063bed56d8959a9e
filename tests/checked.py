"""Shapes in annotations are checked in all tests: to be imported before any module of the package."""

from __future__ import annotations

from jaxtyping import install_import_hook

CHECKED = [
    "photfeh.core.lightcurves",
    "photfeh.inference.calibration",
    "photfeh.models.base",
    "photfeh.samples.sequences",
    *(f"photfeh.signal.{name}" for name in ("clean", "fold", "fourier", "period", "spline")),
]
"""Files with public functions of arrays, and none with compiled kernels, which cannot be wrapped."""

install_import_hook(CHECKED, "beartype.beartype")

from photfeh.core.lightcurves import LightCurves  # noqa: E402
from photfeh.samples.sequences import Representation, Sequences  # noqa: E402

for noun in (
    LightCurves,
    Representation,
    Sequences,
):  # their constructors take what is like an array, and refuse what does not fit
    noun.__init__ = noun.__init__.__wrapped__
