"""Shapes in annotations: checked in this test run, at no cost and without jaxtyping elsewhere."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from checked import CHECKED
from photfeh.core.lightcurves import LightCurve
from photfeh.samples.sequences import shape_features
from photfeh.signal.clean import plausible_points
from photfeh.signal.fold import fold_times, max_phase_gap
from photfeh.signal.fourier import evaluate_series, regularised_harmonics
from photfeh.signal.spline import SplineResult

OFFSETS, POINTS, STARS = np.array([0, 3, 6]), np.linspace(0.0, 0.9, 6), np.ones(2)


@pytest.mark.parametrize(
    ("function", "right", "wrong"),
    [
        (fold_times, (OFFSETS, POINTS, STARS), {2: np.ones(3)}),
        (fold_times, (OFFSETS, POINTS, STARS), {2: np.float64(1.0)}),
        (max_phase_gap, (OFFSETS, POINTS), {0: OFFSETS.astype(float)}),
        (max_phase_gap, (OFFSETS, POINTS), {1: POINTS.astype(np.float32)}),
        (plausible_points, (OFFSETS, POINTS, POINTS), {2: POINTS[:3]}),
        (evaluate_series, (np.ones((2, 21)), POINTS), {0: np.ones(21)}),
        (regularised_harmonics, (OFFSETS, POINTS, POINTS, np.ones(6), 0.1 * STARS), {4: np.ones(3)}),
        (shape_features, (np.ones((2, 13)), STARS), {1: np.ones(3)}),
        (LightCurve, (1, POINTS, POINTS, POINTS), {2: POINTS[:2]}),
        (SplineResult, (np.ones((2, 5)), np.ones((2, 5)), STARS, STARS, STARS > 0), {1: np.ones((2, 4))}),
    ],
)
def test_a_wrong_shape_or_kind_of_number_is_caught(function, right, wrong):
    function(*right)
    for place, value in wrong.items():
        with pytest.raises(TypeCheckError):
            function(*right[:place], value, *right[place + 1 :])


def test_what_is_checked_is_there():
    for name in CHECKED:
        module = importlib.import_module(name)
        public = [getattr(module, item) for item in module.__all__]
        functions = [item for item in public if inspect.isfunction(item) and item.__module__ == name]
        functions += [item.__init__ for item in public if inspect.isclass(item) and item.__module__ == name]
        assert any(hasattr(function, "__wrapped__") for function in functions), name


def test_the_package_neither_needs_nor_loads_the_checkers():
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jaxtyping", "beartype"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np
import photfeh, photfeh.models.base, photfeh.inference.calibration
from photfeh.signal.fold import max_phase_gap
assert np.allclose(max_phase_gap(np.array([0, 2]), np.array([0.1, 0.6])), 0.5)
assert not {"jaxtyping", "beartype"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
