"""Size and speed of every model in the registry, beside the same networks in Keras 2.12; writes a markdown page.

    python benchmarks/bench_models.py [--stars 2000] [--models gru,fcn] [--without-keras] [--output PAGE.md]

Simulated stars, prepared once under runs/. A network trains a few epochs with its own batch size, the first is not
counted; other models are fitted whole. Keras trains the same network on the same sequences with the same batch size,
in an environment of its own (see bench_recurrent.py), directly after. Medians, in seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

import photfeh as pf
from bench_recurrent import Others, keras_python, processor
from photfeh.core.errors import BadFile, PhotfehError
from photfeh.models.network import Network
from photfeh.models.registry import MODELS, create_model
from photfeh.samples.dataset import Dataset
from photfeh.samples.preparation import prepare
from photfeh.samples.sequences import REPRESENTATIONS, Sequences

IN_KERAS = ("gru", "bilstm", "fcn", "inceptiontime")
HEADER = """# Size and speed of the models

Written by `make bench-models`. {conditions}

Seconds per epoch of {stars} stars x {steps} steps (networks) or per fit (all others), and per {predictions}
predictions; medians. In brackets the same network in Keras 2.12 and the ratio of its time to ours. Parameters are those
that training moves; for models that are no networks, the numbers kept in the model's file. Batch: stars per training
step, the default of the model, used on both sides.

| model | parameters | batch | epoch (Keras) | fit | {predictions} predictions (Keras) |
|---|---:|---:|---:|---:|---:|
"""


@dataclass
class Row:
    """Measured times [s] of one model; ``keras`` is empty where there is no counterpart."""

    name: str
    parameters: int = 0
    batch: int | None = None
    epoch: list[float] = field(default_factory=list)
    fit: list[float] = field(default_factory=list)
    predict: list[float] = field(default_factory=list)
    keras: dict[str, list[float]] = field(default_factory=dict)
    failure: str = ""

    def line(self) -> str:
        if self.failure:
            return f"| {self.name} | not measured: {self.failure} | | | | |"
        batch = "" if self.batch is None else self.batch
        fit = f"{statistics.median(self.fit):.2f}" if self.fit else ""
        cells = [f"{self.parameters:,}", batch, self._pair("epoch"), fit, self._pair("predict")]
        return f"| {self.name} | " + " | ".join(map(str, cells)) + " |"

    def _pair(self, what: str) -> str:
        ours = getattr(self, what)
        if not ours:
            return ""
        median = statistics.median(ours)
        if what not in self.keras:
            return f"{median:.2f}"
        theirs = statistics.median(self.keras[what])
        return f"{median:.2f} ({theirs:.2f}, {theirs / median:.1f} x)"


def simulated(n: int, runs: Path) -> tuple[dict[str, Sequences], np.ndarray]:
    """Sequences of every representation and labels, of ``n`` stars that can be trained on."""
    folder = runs / f"bench-models-{n}"
    try:
        dataset = Dataset.open(folder)
    except BadFile:
        survey = pf.simulate(n + n // 2, seed=7)  # enough to leave out those that cannot be trained on
        dataset = prepare(survey.curves, survey.stars, folder, labels="column", cuts="none", truth="simulation")
    X = dataset.sequences("spline", dataset.sample)
    rows = dataset.sample[X.mask.any(axis=1) & np.isfinite(X.shape_features()).all(axis=1)][:n]
    return {kind: dataset.sequences(kind, rows) for kind in (*REPRESENTATIONS, "raw+spline")}, dataset.stars[
        "feh"
    ].to_numpy()[rows]


def bench(name: str, samples: dict[str, Sequences], y: np.ndarray, options: argparse.Namespace) -> Row:
    """Training and prediction of one model, on splines if it reads them."""
    row = Row(name)
    model = create_model(name)
    X = samples["spline" if "spline" in model.representations else model.representations[0]]
    if isinstance(model, Network):
        model.set_params(epochs=1 + options.epochs, patience=1 + options.epochs)
        few = np.arange(min(32, len(X)))
        model.fit(X, y, tune=(X[few], y[few], np.ones(len(few))))
        row.batch, row.epoch = model.batch_size, [epoch["seconds"] for epoch in model.history_[1:]]
        row.parameters = model.notes_["n_parameters"]
    else:
        begin = time.perf_counter()
        model.fit(X, y)
        row.fit.append(time.perf_counter() - begin)
        row.parameters = sum(array.size for array in model.arrays_.values())
    many = X[np.arange(options.predictions) % len(X)]
    model.predict(many[:1024])
    for _ in range(options.rounds):
        begin = time.perf_counter()
        model.predict(many)
        row.predict.append(time.perf_counter() - begin)
    return row


def add_keras(rows: list[Row], X: Sequences, y: np.ndarray, options: argparse.Namespace) -> str:
    """Fill in what keras_models.py measures; its version."""
    tasks = [row for row in rows if row.name in IN_KERAS and not row.failure]
    if not tasks:
        return "no counterpart in Keras"
    values = (X.values - X.values.mean(axis=(0, 1))) / X.values.std(axis=(0, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.npz"
        np.savez(path, x=values, y=((y - y.mean()) / y.std()).astype(np.float32), predictions=options.predictions)
        numbers = [str(n) for n in (options.threads, options.epochs, options.rounds)]
        script = Path(__file__).with_name("keras_models.py")
        command = [keras_python(options), script, path, *numbers, *(f"{row.name}:{row.batch}" for row in tasks)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    for row in tasks:
        row.keras = answer["networks"][row.name]
    return str(answer["version"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="names with commas between them")
    parser.add_argument("--stars", type=int, default=2000)
    parser.add_argument("--predictions", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=3, help="measured, after one that is not")
    parser.add_argument("--rounds", type=int, default=3, help="predictions of all stars")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without-keras", action="store_true")
    parser.add_argument("--keras-environment", type=Path, default=Path(".keras-environment"))
    parser.add_argument("--keras-base", default=sys.executable, help="Python (3.8 to 3.11) that makes it")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--output", type=Path, help="also write the page to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    samples, y = simulated(options.stars, options.runs)
    X = samples["spline"]
    others, rows = Others(), []
    for name in options.models.split(","):
        try:
            rows.append(bench(name, samples, y, options))
        except PhotfehError as error:
            rows.append(Row(name, failure=str(error)))
        print(f"{name}: done", file=sys.stderr, flush=True)
    versions = f"torch {torch.__version__}"
    if not options.without_keras:
        versions += ", " + add_keras(rows, X, y, options)
    conditions = (
        f"{processor()}, {options.threads} threads; {versions}; "
        f"other programs took {100 * others.share():.0f} % of the processors."
    )
    page = HEADER.format(
        conditions=conditions, stars=f"{len(X):,}", steps=X.mask.shape[1], predictions=f"{options.predictions:,}"
    )
    page += "\n".join(row.line() for row in rows) + "\n"
    print(page)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(page)


if __name__ == "__main__":
    main()
