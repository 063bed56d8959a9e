"""Does training with the fused layers end at the same accuracy as training with torch's own? On real curves.

Part of bench_recurrent.py. A GRU 20/16/8 learns from the folded Gaia curves of Dekany & Grebel (2022), interpolated to
264 phases, and their [Fe/H] labels, on folds 0 to 7, and is scored on folds 8 and 9 after the last epoch. Both sides
start from the same weights and see the same batches. The data lie under $PHOTFEH_DATA (docs/data.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from photfeh.models.kernels import fused

DATA = Path(os.environ.get("PHOTFEH_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILE = DATA / "dekany-grebel-2022" / "stars.parquet"


def curves() -> tuple[Tensor, Tensor, np.ndarray]:
    """Values (N, 264, 2), standardised, labels [dex] (N, 1), and folds (N,)."""
    stars = pd.read_parquet(FILE).dropna(subset=["feh"])
    grid = np.arange(264) / 264
    values = np.empty((len(stars), 264, 2), np.float32)
    for i, (phase, mag, period) in enumerate(zip(stars["phase"], stars["mag"], stars["period"], strict=True)):
        order = np.argsort(phase)
        values[i, :, 0] = np.interp(grid, np.asarray(phase)[order], np.asarray(mag)[order] - np.mean(mag), period=1.0)
        values[i, :, 1] = grid * period
    values = (values - values.mean(axis=(0, 1))) / values.std(axis=(0, 1))
    return (
        torch.from_numpy(values),
        torch.tensor(stars["feh"].to_numpy(np.float32))[:, None],
        stars["fold"].to_numpy(int),
    )


def train(stack: nn.Module, seed: int, epochs: int) -> tuple[float, float]:
    """Validation rmse [dex] after the last epoch, and seconds."""
    values, feh, fold = curves()
    learn, score = torch.from_numpy(np.flatnonzero(fold < 8)), torch.from_numpy(np.flatnonzero(fold >= 8))
    mean, spread = feh[learn].mean(), feh[learn].std()
    generator = torch.Generator().manual_seed(seed)
    steps = epochs * -(-len(learn) // 128)
    optimiser = torch.optim.Adam(stack.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.02, total_steps=steps)
    begin = time.perf_counter()
    for _ in range(epochs):
        for batch in learn[torch.randperm(len(learn), generator=generator)].split(128):
            optimiser.zero_grad()
            ((stack(values[batch]) - (feh[batch] - mean) / spread) ** 2).mean().backward()
            torch.nn.utils.clip_grad_norm_(stack.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    seconds = time.perf_counter() - begin
    with torch.inference_mode():
        error = stack(values[score]) * spread + mean - feh[score]
    return float(error.square().mean().sqrt()), seconds


def compare(network: Callable[[Any], nn.Module], seeds: int, epochs: int) -> list[str]:
    """Markdown lines: validation rmse of ``network(library)`` for both libraries and every seed."""
    lines = ["| seed | rmse, photfeh | rmse, torch.nn | seconds, photfeh | seconds, torch.nn |", "|---:|" + "---:|" * 4]
    found = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        theirs, ours = network(nn), network(fused)
        ours.load_state_dict(theirs.state_dict())
        (a, time_a), (b, time_b) = train(ours, seed, epochs), train(theirs, seed, epochs)
        found.append((a, b))
        lines.append(f"| {seed} | {a:.4f} | {b:.4f} | {time_a:.0f} | {time_b:.0f} |")
    means, spreads = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) if seeds > 1 else np.zeros(2)
    lines.append(f"| mean ± sd | {means[0]:.4f} ± {spreads[0]:.4f} | {means[1]:.4f} ± {spreads[1]:.4f} | | |")
    return lines
