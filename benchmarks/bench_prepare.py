"""Time and memory of `photfeh prepare` at the size of a survey, on simulated stars, everything included.

    python benchmarks/bench_prepare.py [--stars 1000,20000,270905] [--folder DIR]

Each size is simulated once (not timed) and prepared by the command line in a process of its own, as a user would:
reading Parquet, cleaning, folding, Fourier decomposition, periodic spline on 264 points, writing the data set. Peak
memory is the largest resident set of that process; a memory map of the written arrays counts as long as it is resident.
The cost of one star more leaves out the start of Python, taken from a run on 200 stars. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from photfeh.simulation.survey import write_simulation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stars", default="1000,20000,270905")
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        prepare(folder, 200)  # compiles what is not compiled yet
        _, wall, start, _ = prepare(folder, 200)
        print(f"Start of the program, with 200 stars: {wall:.1f} s wall, {start:.1f} s CPU.\n")
        print("| stars | epochs | wall s | CPU s | stars/s | CPU ms for one star more | peak memory GiB |")
        print("|---|---|---|---|---|---|---|")
        for n in map(int, options.stars.split(",")):
            epochs, wall, cpu, peak = prepare(folder, n)
            more = 1e3 * (cpu - start) / (n - 200)
            print(
                f"| {n:,} | {epochs:,} | {wall:.1f} | {cpu:.1f} | {n / wall:,.0f} | {more:.3f} | {peak:.2f} |",
                flush=True,
            )


def prepare(folder: Path, n: int) -> tuple[int, float, float, float]:
    survey, output = folder / f"survey-{n}", folder / f"dataset-{n}"
    write_simulation(n, survey, seed=1)
    command = [
        str(Path(sys.executable).parent / "photfeh"), "prepare", str(survey / "epochs.parquet"),
        "--stars", str(survey / "stars.parquet"), "--representations", "spline", "--output", str(output),
    ]  # fmt: skip
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed with status {status}")
    epochs = pq.ParquetFile(survey / "epochs.parquet").metadata.num_rows
    shutil.rmtree(survey)
    shutil.rmtree(output)
    return epochs, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


if __name__ == "__main__":
    main()
