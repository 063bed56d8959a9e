"""photfeh: photometric metallicities of RR Lyrae stars from their light curves, with honest uncertainties.

The verbs of the command line are functions here: :func:`prepare`, :func:`validate`, :func:`learning_curve`,
:func:`compare`, :func:`train`, :func:`load`, :func:`predict`, :func:`simulate`, :func:`demo`. Importing the package is
cheap; each name is loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = [
    "Dataset",
    "Ensemble",
    "LightCurves",
    "PhotfehError",
    "Representation",
    "Run",
    "Sequences",
    "__version__",
    "compare",
    "create_model",
    "demo",
    "learning_curve",
    "list_models",
    "load",
    "predict",
    "prepare",
    "read_lightcurves",
    "read_stars",
    "simulate",
    "train",
    "validate",
]

_HOME = {
    "Dataset": "dataset",
    "Ensemble": "ensemble",
    "LightCurves": "lightcurves",
    "PhotfehError": "errors",
    "Representation": "sequences",
    "Run": "validation.run",
    "Sequences": "sequences",
    "compare": "validation.comparison",
    "create_model": "models.registry",
    "demo": "demonstration",
    "learning_curve": "validation.cross_validate",
    "list_models": "models.registry",
    "load": "prediction",
    "predict": "prediction",
    "prepare": "preparation",
    "read_lightcurves": "archive",
    "read_stars": "archive",
    "simulate": "simulation",
    "train": "ensemble",
    "validate": "validation.cross_validate",
}

if TYPE_CHECKING:
    from photfeh.archive import read_lightcurves, read_stars
    from photfeh.dataset import Dataset
    from photfeh.demonstration import demo
    from photfeh.ensemble import Ensemble, train
    from photfeh.errors import PhotfehError
    from photfeh.lightcurves import LightCurves
    from photfeh.models.registry import create_model, list_models
    from photfeh.prediction import load, predict
    from photfeh.preparation import prepare
    from photfeh.sequences import Representation, Sequences
    from photfeh.simulation import simulate
    from photfeh.validation.comparison import compare
    from photfeh.validation.cross_validate import learning_curve, validate
    from photfeh.validation.run import Run

    __version__: str


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("photfeh")
    if name in _HOME:
        return getattr(importlib.import_module(f"photfeh.{_HOME[name]}"), name)
    raise AttributeError(f"module 'photfeh' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
