"""The layers of a network in the order in which they run."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from torch import nn

__all__ = ["layer_table"]


def layer_table(module: nn.Module, n_points: int = 264, *, n_channels: int = 2, n_extra: int = 1) -> pd.DataFrame:
    """Layers in the order in which they run: name, kind, output shape (None = stars), own parameters.

    A layer is a module with parameters of its own or none at all inside; a module with ``show_as`` is listed whole
    under that name. Layers that run in training only, such as a decoder, come last, without a shape.
    """
    rows: list[dict[str, Any]] = []
    handles = []

    def row(name: str, layer: nn.Module, output: str) -> dict[str, Any]:
        kind = getattr(layer, "show_as", type(layer).__name__)
        count = sum(parameter.numel() for parameter in layer.parameters())
        return {"layer": name, "kind": kind, "output": output, "parameters": count}

    def record(name: str) -> Any:
        def hook(layer: nn.Module, _: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            rows.append(row(name, layer, "(None, " + ", ".join(map(str, tensor.shape[1:])) + ")"))

        return hook

    layers = _layers(module, "")
    for name, layer in layers:
        handles.append(layer.register_forward_hook(record(name)))
    module.eval()
    with torch.no_grad():
        module(torch.zeros(2, n_points, n_channels), torch.full((2,), n_points), torch.zeros(2, n_extra))
    for handle in handles:
        handle.remove()
    ran = {one["layer"] for one in rows}
    rows += [row(name, layer, "in training only") for name, layer in layers if name not in ran]
    first = {"layer": "input", "kind": "Input", "output": f"(None, {n_points}, {n_channels})", "parameters": 0}
    return pd.DataFrame([first, *rows])


def _layers(module: nn.Module, prefix: str) -> list[tuple[str, nn.Module]]:
    found: list[tuple[str, nn.Module]] = []
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        whole = hasattr(child, "show_as") or not list(child.children())
        if whole and not isinstance(child, nn.ModuleList):
            found.append((path, child))
        else:
            found += _layers(child, f"{path}.")
    return found
