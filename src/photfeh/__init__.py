"""photfeh: photometric metallicities of RR Lyrae stars from their light curves, with calibrated uncertainties.

The verbs of the command line are functions here: :func:`prepare`, :func:`validate`, :func:`learning_curve`,
:func:`compare`, :func:`tune`, :func:`train`, :func:`calibrate`, :func:`load`, :func:`predict`, :func:`predict_batch`,
:func:`predict_catalog`, :func:`evaluate`, :func:`plot_star`, :func:`simulate`, :func:`fetch`, :func:`demo`. Importing
the package is cheap; each name is loaded when first used.
"""

from __future__ import annotations

import importlib
import os
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
    "calibrate",
    "compare",
    "create_model",
    "demo",
    "evaluate",
    "fetch",
    "learning_curve",
    "list_models",
    "load",
    "plot_star",
    "predict",
    "predict_batch",
    "predict_catalog",
    "prepare",
    "read_lightcurves",
    "read_predictions",
    "read_stars",
    "simulate",
    "train",
    "tune",
    "validate",
]

# Threads of OpenMP that have nothing to do sleep, and take no core from other programs; read when torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOME = {
    "Dataset": "samples.dataset",
    "Ensemble": "inference.ensemble",
    "LightCurves": "core.lightcurves",
    "PhotfehError": "core.errors",
    "Representation": "samples.sequences",
    "Run": "validation.run",
    "Sequences": "samples.sequences",
    "calibrate": "inference.spectroscopy",
    "compare": "validation.comparison",
    "create_model": "models.registry",
    "demo": "demonstration",
    "evaluate": "inference.evaluation",
    "fetch": "archive.fetch",
    "learning_curve": "validation.cross_validate",
    "list_models": "models.registry",
    "load": "inference.prediction",
    "plot_star": "report.star",
    "predict": "inference.prediction",
    "predict_batch": "inference.batches",
    "predict_catalog": "inference.catalogs",
    "prepare": "samples.preparation",
    "read_lightcurves": "readers",
    "read_predictions": "inference.output",
    "read_stars": "readers",
    "simulate": "simulation.survey",
    "train": "inference.training",
    "tune": "validation.tuning.verb",
    "validate": "validation.cross_validate",
}

if TYPE_CHECKING:
    from photfeh.archive.fetch import fetch
    from photfeh.core.errors import PhotfehError
    from photfeh.core.lightcurves import LightCurves
    from photfeh.demonstration import demo
    from photfeh.inference.batches import predict_batch
    from photfeh.inference.catalogs import predict_catalog
    from photfeh.inference.ensemble import Ensemble
    from photfeh.inference.evaluation import evaluate
    from photfeh.inference.output import read_predictions
    from photfeh.inference.prediction import load, predict
    from photfeh.inference.spectroscopy import calibrate
    from photfeh.inference.training import train
    from photfeh.models.registry import create_model, list_models
    from photfeh.readers import read_lightcurves, read_stars
    from photfeh.report.star import plot_star
    from photfeh.samples.dataset import Dataset
    from photfeh.samples.preparation import prepare
    from photfeh.samples.sequences import Representation, Sequences
    from photfeh.simulation.survey import simulate
    from photfeh.validation.comparison import compare
    from photfeh.validation.cross_validate import learning_curve, validate
    from photfeh.validation.run import Run
    from photfeh.validation.tuning.verb import tune

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
