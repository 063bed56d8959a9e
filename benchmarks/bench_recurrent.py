"""Time the fused recurrent layers against torch.nn, ONNX Runtime and Keras 2.12, on the networks of the package.

    python benchmarks/bench_recurrent.py [--without-keras] [--output TABLE.md]

Three layers of a network and a dense output on random sequences of 264 steps with two channels. A training step is the
forward and the backward pass of the mean squared error; inference is the forward pass without gradients. All sides get
the same weights, and their predictions are compared before anything is timed. The sides take turns, several times, so
that a busy machine harms all of them; the table holds medians in milliseconds and ratios of medians.

The gates get a bias that makes states last (``--weights fresh`` leaves torch's own): with fresh weights gradients
vanish within a hundred steps into denormal numbers, on which torch.nn is several times slower, these kernels not.

At the end a network is trained with either side on real curves, if they are there (recurrent_accuracy.py).

Keras runs in an environment of its own, made when it is not there (TensorFlow 2.12 wants Python 3.11 or older).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import recurrent_accuracy
from photfeh.models.kernels import fused

STEPS, CHANNELS = 264, 2
NETWORKS = {
    "GRU 20/16/8": ("GRU", (20, 16, 8), False),
    "LSTM 20/16/8": ("LSTM", (20, 16, 8), False),
    "BiGRU 20/16/16": ("GRU", (20, 16, 16), True),
}
TARGETS = {
    ("train", "torch.nn"): 4.0,
    ("train", "Keras 2.12"): 5.0,
    ("infer", "torch.nn"): 4.0,
    ("infer", "ONNX Runtime"): 3.0,
}
Times = dict[str, list[float]]


class Stack(nn.Module):
    """Recurrent layers and a dense output on the final state of the last; ``library`` is torch.nn or photfeh's."""

    def __init__(self, library: Any, kind: str, units: tuple[int, ...], bidirectional: bool) -> None:
        super().__init__()
        options = {"batch_first": True} if library is nn else {}
        sizes = [CHANNELS, *(n * (2 if bidirectional else 1) for n in units)]
        self.layers = nn.ModuleList(
            getattr(library, kind)(n_in, n, bidirectional=bidirectional, **options)
            for n_in, n in zip(sizes, units, strict=False)
        )
        self.dense = nn.Linear(sizes[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x, state = layer(x)
        last = state[0] if isinstance(state, tuple) else state
        return self.dense(torch.cat(list(last), dim=1))


def reference(kind: str, units: tuple[int, ...], bidirectional: bool, lasting: bool) -> Stack:
    """The network of torch.nn that lends its weights to all others."""
    torch.manual_seed(0)
    stack = Stack(nn, kind, units, bidirectional)
    if lasting:
        with torch.no_grad():
            for name, parameter in stack.layers.named_parameters():
                if "bias_ih" in name:  # second gate: update gate of the GRU, forget gate of the LSTM
                    n = len(parameter) // (3 if kind == "GRU" else 4)
                    parameter[n : 2 * n] += 3.0
    return stack


def onnx_session(stack: Stack, x: Tensor, threads: int, folder: Path) -> Callable[[], Any]:
    import onnxruntime

    path = folder / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(stack, (x,), path, dynamo=False, input_names=["x"], output_names=["y"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    array = x.numpy()
    return lambda: session.run(None, {"x": array})[0]


def training_step(stack: Stack, x: Tensor, y: Tensor) -> Callable[[], Any]:
    def step() -> None:
        stack.zero_grad(set_to_none=True)
        ((stack(x) - y) ** 2).mean().backward()

    return step


def inference(stack: Stack, x: Tensor) -> Callable[[], Any]:
    def step() -> np.ndarray:
        with torch.inference_mode():
            return stack(x).numpy()

    return step


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def measure(steps: dict[str, Callable[[], Any]], args: argparse.Namespace) -> Times:
    """Milliseconds of every call; the sides take turns, each warms up with one call."""
    clock = CLOCKS[args.clock]
    times: Times = {name: [] for name in steps}
    for _ in range(args.rounds):
        for name, step in steps.items():
            step()
            for _ in range(args.repeats):
                begin = clock()
                step()
                times[name].append(1e3 * (clock() - begin))
    return times


def agree(name: str, found: np.ndarray, expected: np.ndarray) -> None:
    difference = float(np.abs(found - expected).max())
    if difference > 1e-4:
        raise SystemExit(
            f"{name}: predictions differ by {difference:.2g} from those of torch.nn; timing is meaningless."
        )


def bench(label: str, batch: int, args: argparse.Namespace, folder: Path) -> dict[str, Times]:
    kind, units, bidirectional = NETWORKS[label]
    theirs = reference(kind, units, bidirectional, args.weights == "lasting")
    ours = Stack(fused, kind, units, bidirectional)
    ours.load_state_dict(theirs.state_dict())
    generator = torch.Generator().manual_seed(batch)
    x, y = torch.randn(batch, STEPS, CHANNELS, generator=generator), torch.randn(batch, 1, generator=generator)
    sides = {"photfeh": inference(ours, x), "torch.nn": inference(theirs, x)}
    if not args.without_onnx:
        sides["ONNX Runtime"] = onnx_session(theirs, x, args.threads, folder)
    expected = sides["torch.nn"]()
    for name, step in sides.items():
        agree(f"{label}, {name}", step(), expected)
    weights = {name: value.numpy() for name, value in theirs.state_dict().items()}
    np.savez(folder / f"{len(list(folder.glob('*.npz'))):02d}.npz", x=x, y=y, expected=expected, **weights)
    steps = {"photfeh": training_step(ours, x, y), "torch.nn": training_step(theirs, x, y)}
    return {"train": measure(steps, args), "infer": measure(sides, args)}


def keras_python(args: argparse.Namespace) -> Path:
    """Python of the Keras environment; the environment is made if it is not there."""
    python = args.keras_environment / "bin" / "python"
    if not python.exists():
        print(f"making the environment {args.keras_environment} for Keras 2.12", flush=True)
        subprocess.run([args.keras_base, "-m", "venv", args.keras_environment], check=True)
        packages = ["tensorflow-cpu==2.12.0", "numpy<1.24"]
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return python


def add_keras(results: dict[tuple[str, int], dict[str, Times]], args: argparse.Namespace, folder: Path) -> str:
    """Fill in the times of Keras, measured by keras_recurrent.py on the same networks and stars."""
    script = Path(__file__).with_name("keras_recurrent.py")
    command = [keras_python(args), script, folder, str(args.threads), str(args.rounds * args.repeats), args.clock]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    for key, times in zip(results, answer["times"], strict=True):
        for task in ("train", "infer"):
            results[key][task]["Keras 2.12"] = times[task]
    return str(answer["version"])


def table(results: dict[tuple[str, int], dict[str, Times]], task: str) -> list[str]:
    """Markdown lines: medians in ms, ratios to photfeh in brackets."""
    names = list(dict.fromkeys(name for row in results.values() for name in row[task]))
    lines = ["| network | batch | " + " | ".join(names) + " |", "|---|---:|" + "---:|" * len(names)]
    for (label, batch), row in results.items():
        median = {name: statistics.median(times) for name, times in row[task].items()}
        cells = [
            f"{value:.1f}" + ("" if name == "photfeh" else f" ({value / median['photfeh']:.1f} x)")
            for name, value in median.items()
        ]
        lines.append(f"| {label} | {batch} | " + " | ".join(cells) + " |")
    return lines


def missed(results: dict[tuple[str, int], dict[str, Times]]) -> list[str]:
    found = []
    for (label, batch), row in results.items():
        for (task, name), target in TARGETS.items():
            if name in row[task]:
                ratio = statistics.median(row[task][name]) / statistics.median(row[task]["photfeh"])
                if ratio < target:
                    found.append(f"{label}, batch {batch}, {task}: {ratio:.1f} x {name} instead of {target:.0f} x")
    return found


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


class Others:
    """How much of the processors other programs take meanwhile (Linux; elsewhere unknown, nan)."""

    def __init__(self) -> None:
        self.begin = self.now()

    @staticmethod
    def now() -> tuple[float, float]:
        stat, times = Path("/proc/stat"), os.times()
        if not stat.exists():
            return float("nan"), 0.0
        user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, stat.read_text().split()[1:11])
        busy = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
        return busy - sum(times[:4]), times.elapsed

    def share(self) -> float:
        busy, clock = self.now()
        return (busy - self.begin[0]) / ((clock - self.begin[1]) * (os.cpu_count() or 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-keras", action="store_true", help="leave Keras out")
    parser.add_argument("--without-onnx", action="store_true", help="leave ONNX Runtime out")
    parser.add_argument(
        "--keras-environment", type=Path, default=Path(".keras-environment"), help="made if it is not there"
    )
    parser.add_argument("--keras-base", default=sys.executable, help="Python (3.8 to 3.11) that makes it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="processor time of all threads, with --threads 1, says more on a busy machine",
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--repeats", type=int, default=5, help="calls in each turn")
    parser.add_argument("--weights", choices=["lasting", "fresh"], default="lasting")
    parser.add_argument("--accuracy-seeds", type=int, default=3, help="trainings on real curves, 0 for none")
    parser.add_argument("--output", type=Path, help="also write the tables to this file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    versions = f"torch {torch.__version__}"
    others = Others()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = {}
        for label in args.networks:
            for batch in args.batches:
                results[label, batch] = bench(label, batch, args, folder)
                print(f"{label}, batch {batch}: done", flush=True)
        if not args.without_onnx:
            import onnxruntime

            versions += f", onnxruntime {onnxruntime.__version__}"
        if not args.without_keras:
            versions += ", " + add_keras(results, args, folder)
    lines = [
        f"{processor()}, {args.threads} threads, {STEPS} steps, {args.weights} weights, {args.clock} time; "
        f"{versions}; "
        f"other programs took {100 * others.share():.0f} % of the processors.",
    ]
    for task, title in (("train", "Training step"), ("infer", "Inference")):
        lines += ["", f"{title}, ms (ratio to photfeh):", "", *table(results, task)]
    short = missed(results)
    lines += ["", "Below target:" if short else "All ratios reach their targets.", *(f"- {line}" for line in short)]
    if args.accuracy_seeds and recurrent_accuracy.FILE.exists():
        lines += ["", "Training on real curves, GRU 20/16/8, validation rmse in dex:", ""]
        lines += recurrent_accuracy.compare(
            lambda library: Stack(library, *NETWORKS["GRU 20/16/8"]), args.accuracy_seeds, epochs=30
        )
    elif args.accuracy_seeds:
        lines += ["", f"No training on real curves: {recurrent_accuracy.FILE.name} is not under $PHOTFEH_DATA."]
    text = "\n".join(lines)
    print(text)
    if args.output:
        args.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
