"""Time the fused recurrent layers of this checkout against those of another commit, in turns, in one process.

    python benchmarks/compare_kernels.py COMMIT [--stars 1000] [--rounds 5] [--compile]

Random sequences of two channels; inference in batches of 32 and 128 stars, and one training epoch in batches of 32, of
the networks gru, bigru and lstm. One thread, processor time, the smallest of all rounds. With ``--compile``, also the
seconds to the first training step of either side, from empty caches, each in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import photfeh.models.recurrent as layers
from photfeh.models.kernels import fused

FOLDER = Path(__file__).parents[1] / "src" / "photfeh" / "models" / "kernels"
FILES = ("cells", "fused", "lanes", "recurrent")
NETWORKS = {
    "gru": ("GRU", (20, 16, 8), False),
    "bigru": ("GRU", (20, 16, 16), True),
    "lstm": ("LSTM", (20, 16, 8), False),
}
FIRST = """
import time
begin = time.perf_counter()
import torch
from {0} import fused
module, x = fused.GRU(2, 8), torch.ones(1, 4, 2)
module(x)[0].sum().backward()
print(time.perf_counter() - begin)
"""


def other(commit: str, folder: Path) -> Any:
    """The module ``fused`` of another commit, as part of a package of its own."""
    package = folder / "other_kernels"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in FILES:
        path = f"{commit}:./{name}.py"
        shown = subprocess.run(["git", "show", path], cwd=FOLDER, capture_output=True, text=True, check=False)
        if shown.returncode == 0:
            text = shown.stdout
            for part in FILES:
                text = text.replace(f"photfeh.models.kernels.{part} ", f"other_kernels.{part} ")
            (package / f"{name}.py").write_text(text)
    sys.path.insert(0, str(folder))
    return importlib.import_module("other_kernels.fused")


def network(library: Any, cell: Any, units: tuple[int, ...], bidirectional: bool) -> nn.Module:
    torch.manual_seed(0)
    layers.fused = library
    return layers.RecurrentModule(cell, units, (0.2, 0.2, 0.1), bidirectional=bidirectional)


def predict(module: nn.Module, data: tuple[torch.Tensor, ...], size: int) -> None:
    module.eval()
    with torch.inference_mode():
        for x, _, lengths, extra in zip(*(part.split(size) for part in data), strict=True):
            module(x, lengths, extra)


def train(module: nn.Module, data: tuple[torch.Tensor, ...]) -> None:
    module.train()
    optimiser = torch.optim.Adam(module.parameters())
    for x, y, lengths, extra in zip(*(part.split(32) for part in data), strict=True):
        optimiser.zero_grad()
        (module(x, lengths, extra) - y).square().mean().backward()
        optimiser.step()


def compare(modules: dict[str, nn.Module], data: tuple[torch.Tensor, ...], rounds: int) -> list[str]:
    """For each task: milliseconds of both and the ratio, other to this."""
    tasks: list[Callable[[nn.Module], None]] = [
        lambda module: predict(module, data, 32),
        lambda module: predict(module, data, 128),
        lambda module: train(module, data),
    ]
    best: dict[tuple[int, str], float] = {}
    for _ in range(rounds + 1):  # the first one compiles
        for name, module in modules.items():
            for i, task in enumerate(tasks):
                begin = time.process_time()
                task(module)
                best[i, name] = min(best.get((i, name), float("inf")), time.process_time() - begin)
    pairs = [(1e3 * best[i, "this"], 1e3 * best[i, "other"]) for i in range(len(tasks))]
    return [f"{this:.0f}, {that:.0f} ({that / this:.2f} x)" for this, that in pairs]


def first_call(package: str, folder: Path) -> float:
    paths = os.pathsep.join([str(folder), str(FOLDER.parents[2])])
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": paths}
        command = [sys.executable, "-c", FIRST.format(package)]
        return float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="whose kernels to compare with")
    parser.add_argument("--stars", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="time compilation, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        that = other(options.commit, Path(name))
        print("| network | steps | inference by 32 | inference by 128 | training epoch |\n|---|---:|---:|---:|---:|")
        for label, settings in NETWORKS.items():
            modules = {"this": network(fused, *settings), "other": network(that, *settings)}
            for steps in (64, 264):
                n = options.stars
                data = (torch.randn(n, steps, 2), torch.randn(n, 1), torch.full((n,), steps), torch.zeros(n, 1))
                print(f"| {label} | {steps} | {' | '.join(compare(modules, data, options.rounds))} |", flush=True)
        if options.compile:
            packages = ("photfeh.models.kernels", "other_kernels")
            here, there = (first_call(package, Path(name)) for package in packages)
            print(f"\nFrom empty caches to the first training step: {here:.0f} s, {there:.0f} s.")


if __name__ == "__main__":
    main()
