"""The one table of models: name -> class, defaults, one line of meaning. A new model is one class and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, cast

from photfeh.core.errors import UnknownName
from photfeh.core.packages import needing
from photfeh.models.parameters import check_parameters
from photfeh.models.spaces import (
    ATTENTION,
    BOOSTING,
    CIRCULAR,
    CONVOLUTIONAL,
    FOREST,
    RECURRENT,
    RIDGE,
    SEQ2SEQ,
    SVR,
    Space,
)

if TYPE_CHECKING:
    from photfeh.models.base import Regressor

__all__ = ["MODELS", "Entry", "create_model", "list_models"]


@dataclass(frozen=True)
class Entry:
    """Where a model lives, its default parameters beyond those of its class, and what it is.

    ``space``: what ``photfeh tune`` searches; empty: only with a space that is given.
    """

    module: str
    class_name: str
    summary: str
    source: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    space: Space = field(default_factory=dict)

    def model_class(self) -> type[Regressor]:
        """Import the class (and with it torch or scikit-learn).

        Raises
        ------
        MissingPackage
            if the model needs torch and that is not installed; says how to get it.
        """
        with needing(f"the model class {self.class_name}"):
            module = importlib.import_module(f"photfeh.models.{self.module}")
        return cast("type[Regressor]", getattr(module, self.class_name))


_FOUNDING = "Monti & Muraveva 2024"
MODELS: dict[str, Entry] = {
    "relation": Entry("relation", "RelationModel", "published linear relations, nothing trained", "Muraveva+ 2025"),
    "ridge-fourier": Entry(
        "classical", "RidgeFourier", "quadratic ridge on Fourier features", "Hoerl & Kennard 1970", space=RIDGE
    ),
    "random-forest": Entry(
        "classical", "RandomForest", "random forest on Fourier features", f"Breiman 2001; {_FOUNDING}", space=FOREST
    ),
    "svr": Entry(
        "classical", "SupportVector", "support vectors on Fourier features", f"Smola 2004; {_FOUNDING}", space=SVR
    ),
    "gradient-boosting": Entry(
        "boosting", "GradientBoosting", "boosted regression trees on Fourier features", "Friedman 2001; Ke+ 2017",
        space=BOOSTING,
    ),
    "minirocket": Entry("rocket", "MiniRocket", "ridge regression on 9,996 fixed convolutions", "Dempster+ 2021"),
    "gru": Entry("recurrent", "GRU", "three GRU layers, 20/16/8 units", _FOUNDING, space=RECURRENT),
    "bigru": Entry(
        "recurrent", "BiGRU", "three GRU layers in both directions, 20/16/16 units each", _FOUNDING, space=RECURRENT
    ),
    "lstm": Entry("recurrent", "LSTM", "three LSTM layers, 20/16/8 units", _FOUNDING, space=RECURRENT),
    "bilstm": Entry(
        "recurrent", "BiLSTM", "three LSTM layers in both directions, 20/16/16 units each", _FOUNDING, space=RECURRENT
    ),
    "fcn": Entry(
        "convolutional", "FCN", "three convolutions, average over the curve", "Wang+ 2017", space=CONVOLUTIONAL
    ),
    "resnet": Entry(
        "convolutional", "ResNet", "nine convolutions in three residual blocks", "Wang+ 2017", space=CONVOLUTIONAL
    ),
    "inceptiontime": Entry(
        "convolutional", "InceptionTime", "six inception modules with shortcuts", "Ismail Fawaz+ 2020",
        space=CONVOLUTIONAL,
    ),
    "convgru": Entry("mixed", "ConvGRU", "the convolutions of fcn, then GRU 8/4", _FOUNDING, space=CONVOLUTIONAL),
    "convlstm": Entry("mixed", "ConvLSTM", "the convolutions of fcn, then LSTM 8/4", _FOUNDING, space=CONVOLUTIONAL),
    "transformer": Entry(
        "attention", "Transformer", "two attention layers that know the phase", "Vaswani+ 2017", space=ATTENTION
    ),
    "seq2seq": Entry(
        "seq2seq", "Seq2Seq", "encoder-decoder that also draws the curve", "Sutskever+ 2014; Naul+ 2018", space=SEQ2SEQ
    ),
    "circular": Entry(
        "circular", "Circular", "circular convolutions on a ridge-Fourier curve; mean and sigma", "photfeh",
        space=CIRCULAR,
    ),
    "extreme-deconvolution": Entry(
        "deconvolution", "ExtremeDeconvolution", "mixtures of Gaussians that know each star's noise", "Bovy+ 2011"
    ),
    "circular-ensemble": Entry(
        "blend", "Blend", "mean of three circular networks", "Lakshminarayanan+ 2017", {"n_mixtures": 0}
    ),
    "blend": Entry("blend", "Blend", "mean of circular networks and extreme deconvolution", "photfeh"),
    "circular-inception": Entry(
        "two_views", "CircularInception", "circular networks on epochs, InceptionTime on the smoothed curve", "photfeh"
    ),
}  # fmt: skip
"""Every model by name."""


def list_models(pattern: str = "*") -> list[str]:
    """Names that match a shell pattern, in the order of the table."""
    return [name for name in MODELS if fnmatch(name, pattern)]


def create_model(name: str, **params: Any) -> Regressor:
    """A fresh, unfitted model with the registry's defaults, overridden by ``params``.

    Raises
    ------
    UnknownName
        if there is no such model.
    BadInput
        if it has no such parameter, or it must not have such a value; names what may be.
    """
    if name not in MODELS:
        raise UnknownName("model", name, MODELS)
    entry = MODELS[name]
    model_class = entry.model_class()
    check_parameters(f"model {name!r}", model_class, params)
    model = model_class(**{**entry.defaults, **params})
    model.check()
    return model
