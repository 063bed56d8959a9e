"""What a model is made of: the layer table of a network, the parameters of any model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from photfeh.models.registry import MODELS, create_model

if TYPE_CHECKING:
    from photfeh.models.network import Network

__all__ = ["describe"]


def describe(name: str, n_points: int = 264) -> tuple[pd.DataFrame | None, dict[str, Any], str]:
    """Layer table (None for models that are no networks), default parameters and one line about a model.

    Raises
    ------
    UnknownName
        if there is no such model.
    """
    model = create_model(name)
    layers = None
    if model.kind == "network":
        from photfeh.models.layers import layer_table  # torch, which the other models do not need

        model = cast("Network", model)
        channels, extra = 3 if model.with_phase else 2, len(model.extra_names)
        layers = layer_table(model.build(), n_points, n_channels=channels, n_extra=extra)
    entry = MODELS[name]
    return layers, model.get_params(), f"{entry.summary} ({entry.source})"
