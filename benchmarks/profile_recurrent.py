"""Where the time of an LSTM training step goes, in torch.nn and here: the reason for the ratios that are missed.

    python benchmarks/profile_recurrent.py [--batch 256]

torch.nn hands an LSTM, but not a GRU, to oneDNN's fused kernel, one call a layer and pass: there are no launches left
to save, and what remains is arithmetic on both sides.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from bench_recurrent import CHANNELS, NETWORKS, STEPS, Stack, reference
from photfeh.models.kernels import fused


def milliseconds(step: Callable[[], object], repeats: int = 21) -> float:
    for _ in range(5):  # memory and threads settle
        step()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"Batch {options.batch}, {STEPS} steps, {options.threads} threads, milliseconds (medians).\n")
    print("| network | library | forward | forward + backward | largest parts of torch's step |")
    print("|---|---|---:|---:|---|")
    for label in ("LSTM 20/16/8", "GRU 20/16/8"):
        kind, units, bidirectional = NETWORKS[label]
        theirs = reference(kind, units, bidirectional, lasting=True)
        ours = Stack(fused, kind, units, bidirectional)
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(options.batch, STEPS, CHANNELS)
        for name, stack in (("photfeh", ours), ("torch.nn", theirs)):
            forward = milliseconds(lambda stack=stack, x=x: stack(x))
            both = milliseconds(lambda stack=stack, x=x: stack(x).sum().backward())
            parts = largest(stack, x) if name == "torch.nn" else ""
            print(f"| {label} | {name} | {forward:.1f} | {both:.1f} | {parts} |", flush=True)


def largest(stack: nn.Module, x: torch.Tensor) -> str:
    """The three operations of a training step with the largest own time, and how often they are called."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        stack(x).sum().backward()
    rows = sorted(seen.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    return "; ".join(
        f"{row.key.removeprefix('aten::')} {100 * row.self_cpu_time_total / total:.0f} % ({row.count} calls)"
        for row in rows[:3]
    )


if __name__ == "__main__":
    main()
