"""How long does one star take? `photfeh predict` in a process of its own: with nothing compiled, and called again.

    make bench-start       (ARGS="--repeats 3")

The star has 40 epochs or so in a CSV file, its period and type are given, and the model is the default. The first call
finds an empty NUMBA_CACHE_DIR and compiles the kernels (in two processes, where there are two cores), the second finds
them there. One call before all is not timed: it leaves the bytecode of Python, which an installation does, too. CPU
seconds are those of all processes; on a busy machine they tell more than wall time. Prints Markdown, medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

import photfeh as pf
from bench_recurrent import Others, processor
from photfeh.core.threads import number_of_threads
from real_data import markdown

PREDICT = "from photfeh.cli import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    others, rows = Others(), []
    with tempfile.TemporaryDirectory(prefix="photfeh-start-") as name:
        folder = Path(name)
        survey = pf.simulate(1, seed=2, rrc_fraction=0.0)
        table = survey.curves.to_arrow().to_pandas().explode(["time", "mag", "mag_error"])
        table.merge(survey.stars[["source_id", "period", "type"]]).to_csv(folder / "star.csv", index=False)
        called(folder, options.model, folder / "bytecode")
        for number in range(options.repeats):
            kernels = folder / f"kernels-{number}"
            rows += [(when, *called(folder, options.model, kernels)) for when in ("nothing compiled", "again")]
    print(
        f"One star of {len(table)} epochs, model {options.model}, {options.repeats} times; {processor()}, "
        f"{number_of_threads()} threads, other programs took {100 * others.share():.0f} % of the processors.\n"
    )
    told = []
    for when in ("nothing compiled", "again"):
        wall, cpu = zip(*(row[1:] for row in rows if row[0] == when), strict=True)
        told.append({"first prediction": when, "wall s": middle(wall), "CPU s": middle(cpu)})
    print(markdown(pd.DataFrame(told)))


def middle(values: tuple[float, ...]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def called(folder: Path, model: str, kernels: Path) -> tuple[float, float]:
    """Wall time and CPU seconds of one call, of its children, too."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["NUMBA_CACHE_DIR"] = str(kernels)
    command = [sys.executable, "-c", PREDICT, "predict", "star.csv", "--model", model, "--output", "out.csv"]
    spent, begin = sum(os.times()[2:4]), time.perf_counter()
    done = subprocess.run([*command, "--overwrite"], cwd=folder, env=environment, capture_output=True, text=True)
    wall = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(done.stderr)
    return wall, sum(os.times()[2:4]) - spent


if __name__ == "__main__":
    main()
