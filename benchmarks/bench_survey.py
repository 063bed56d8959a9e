"""A whole survey from Parquet on the disk to predictions on the disk, stage by stage; and the ancestor's way beside it.

    make bench-survey       (ARGS="--stars 10000,100000,270905 --without-keras")

Each size is simulated once (not timed) and predicted by the default model in a process of its own, start of Python
included: epochs.parquet (Gaia's long layout, with flagged points) and stars.parquet in, predictions.parquet out, as
``photfeh predict`` does it. Wall time of each stage is taken around its function; peak memory is the largest resident
set of the process. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

BEGIN = time.perf_counter()

ANCESTORS, SLICED = 1_000, 10_000
SLICES = (256, 1_024, 2_048, 10_000)
STAGES = (
    "Python, imports, model", "star table", "reading light curves", "cleaning, Fourier fit", "smooth curves",
    "networks, intervals", "chunks on the disk", "the file in order", "rest",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stars", default="10000,100000,270905")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, default=None, help="for the survey; a few GB")
    parser.add_argument("--without-keras", action="store_true", help="leave the ancestor out")
    parser.add_argument("--keras-environment", type=Path, default=Path(".keras-environment"))
    parser.add_argument("--keras-base", default=sys.executable, help="Python (3.8 to 3.11) that makes it")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--slice", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child, threads=options.threads)
        return
    if options.slice:
        sliced(options.slice[0], int(options.slice[1]))
        return
    from bench_recurrent import Others, keras_python, processor

    others = Others()
    told: list[dict[str, Any]] = []
    slices: list[dict[str, float]] = []
    ancestor: dict[str, Any] | None = None
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        run(folder, 200, options.threads)  # compiles what is not compiled yet
        for n in map(int, options.stars.split(",")):
            told.append(run(folder, n, options.threads))
            if n == SLICED:
                slices = [one_slice(folder, size, options.threads) for size in SLICES]
        if not options.without_keras:
            ancestor = founding(folder, keras_python(options), options.threads)
    print(
        f"{processor()}, {options.threads} threads; other programs took {100 * others.share():.0f} % of the "
        "processors.\n"
    )
    print("| stars | epochs | wall s | stars/s | CPU s | peak memory GiB |\n|---|---|---|---|---|---|")
    for row in told:
        print(
            f"| {row['stars']:,} | {row['epochs']:,} | {row['wall']:.1f} | {row['stars'] / row['wall']:,.0f} | "
            f"{row['cpu']:.1f} | {row['peak']:.2f} |"
        )
    print("\nSeconds by stage:\n")
    print("| stage |" + "".join(f" {row['stars']:,} stars |" for row in told) + "\n|---|" + "---|" * len(told))
    for stage in STAGES:
        print(f"| {stage} |" + "".join(f" {row['stages'].get(stage, 0.0):.1f} |" for row in told))
    if slices:
        print(
            f"\nThe pure function `predict_batch` on {SLICED:,} of these stars in one row group, a slice after the "
            "other, as a worker of a cluster does it; peak memory, model included:\n"
        )
        print("| stars a slice |" + "".join(f" {size:,} |" for size in SLICES) + "\n|---|" + "---|" * len(SLICES))
        print("| stars/s |" + "".join(f" {SLICED / row['seconds']:,.0f} |" for row in slices))
        print("| peak memory GiB |" + "".join(f" {row['peak']:.2f} |" for row in slices))
    on_paper(told[-1])
    if ancestor is not None:
        seconds = ancestor["read"] + ancestor["splines"] + ancestor["network"]
        rate, ours = ancestor["stars"] / seconds, told[-1]["stars"] / told[-1]["wall"]
        print(
            f"\nThe founding way on {ancestor['stars']:,} of these stars (one CSV file a star, pandas, SciPy's "
            f"splines, Keras {ancestor['version']} GRU of one network, import and start of Keras not counted): "
            f"{ancestor['read']:.1f} s reading, {ancestor['splines']:.1f} s splines, {ancestor['network']:.1f} s "
            f"network: {rate:,.0f} stars/s. photfeh at {told[-1]['stars']:,} stars, everything included: "
            f"{ours:,.0f} stars/s, {ours / rate:.1f} times as many, with an ensemble in place of one network, "
            "calibrated errors, and flags."
        )


def run(folder: Path, n: int, threads: int) -> dict[str, Any]:
    """Simulate, predict in a process of its own, and say what it took."""
    import pyarrow.parquet as pq

    from photfeh.simulation.survey import write_simulation

    survey = folder / "survey"
    write_simulation(n, survey, seed=1)
    paths = [survey / "epochs.parquet", survey / "stars.parquet", folder / "predictions.parquet"]
    command = [sys.executable, __file__, "--threads", str(threads), "--child", *map(str, paths)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    begin = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    wall = time.perf_counter() - begin
    told = json.loads(done.stdout.splitlines()[-1])
    told["stages"]["rest"] = wall - sum(told["stages"].values())
    if pq.read_metadata(paths[2]).num_rows != n:
        raise SystemExit(f"{n} stars went in, {pq.read_metadata(paths[2]).num_rows} came out")
    about = pq.read_metadata(paths[0])
    sizes: dict[str, int] = defaultdict(int)
    for group in range(about.num_row_groups):
        for place in range(about.num_columns):
            column = about.row_group(group).column(place)
            sizes[column.path_in_schema] += column.total_compressed_size
    share = sum(sizes[name] for name in READ) / sum(sizes.values())
    size = paths[2].stat().st_size / n
    return {"stars": n, "epochs": about.num_rows, "wall": wall, "share": share, "size": size, **told}


READ = (
    "source_id", "band", "time", "mag", "flux", "flux_error", "flux_over_error", "rejected_by_photometry",
    "rejected_by_variability",
)  # fmt: skip
"""Columns of Gaia's long layout that a prediction reads."""


def child(epochs: str, stars: str, output: str, threads: int) -> None:
    """One prediction with a clock around each stage."""
    import photfeh as pf
    from photfeh.core.cache import Parts
    from photfeh.inference import pieces, prediction, predictor, streaming
    from photfeh.inference.ensemble import Ensemble
    from photfeh.inference.predictor import Predictor

    seconds: dict[str, float] = defaultdict(float)
    model = pf.load()
    seconds[STAGES[0]] = time.perf_counter() - BEGIN
    for stage, owner, name in (
        (1, prediction, "stars_of"), (3, Predictor, "measured"), (4, predictor, "build_sequences"),
        (5, Ensemble, "predict_interval"), (6, pieces, "fingerprint"), (7, streaming, "write_parquet_parts"),
    ):  # fmt: skip
        setattr(owner, name, timed(getattr(owner, name), seconds, STAGES[stage]))
    prediction.iter_chunks = stepped(prediction.iter_chunks, seconds, STAGES[2])
    Parts.writing = within(Parts.writing, seconds, STAGES[6])
    pf.predict(epochs, stars, model=model, output=output, stream=True, threads=threads)
    print(json.dumps({"stages": seconds, "peak": peak_memory(), "cpu": sum(os.times()[:2])}))


def peak_memory() -> float:
    """Largest resident set of this process [GiB]; not that of the one that started it, as getrusage would say."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 2**20


def one_slice(folder: Path, size: int, threads: int) -> dict[str, float]:
    """Stars side by side with their periods, in a process of its own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from photfeh import read_lightcurves, read_stars

    path = folder / "side-by-side.parquet"
    if not path.exists():
        stars = read_stars(folder / "survey" / "stars.parquet")
        table = read_lightcurves(folder / "survey" / "epochs.parquet").reindex(stars["source_id"].to_numpy()).to_arrow()
        table = table.append_column("period", pa.array(stars["period"].to_numpy(float)))
        pq.write_table(table.append_column("type", pa.array(stars["type"].tolist())), path, row_group_size=len(stars))
    command = [sys.executable, __file__, "--slice", str(path), str(size)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def sliced(path: str, size: int) -> None:
    """All slices of one file."""
    import pyarrow.parquet as pq

    import photfeh as pf

    model = pf.load()
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        begin = time.perf_counter()
        for batch in file.iter_batches(batch_size=size):
            pf.predict_batch(batch, model=model)
        print(json.dumps({"seconds": time.perf_counter() - begin, "peak": peak_memory()}))


def timed(function: Callable[..., Any], seconds: dict[str, float], stage: str) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        begin = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            seconds[stage] += time.perf_counter() - begin

    return call


def stepped(function: Callable[..., Any], seconds: dict[str, float], stage: str) -> Callable[..., Iterator[Any]]:
    def call(*arguments: Any, **options: Any) -> Iterator[Any]:
        steps = function(*arguments, **options)
        while True:
            begin = time.perf_counter()
            try:
                step = next(steps)
            except StopIteration:
                return
            finally:
                seconds[stage] += time.perf_counter() - begin
            yield step

    return call


def within(function: Callable[..., Any], seconds: dict[str, float], stage: str) -> Callable[..., Any]:
    """The time from entering a context to leaving it."""
    from contextlib import contextmanager

    @contextmanager
    def call(*arguments: Any, **options: Any) -> Iterator[Any]:
        begin = time.perf_counter()
        with function(*arguments, **options) as value:
            yield value
        seconds[stage] += time.perf_counter() - begin

    return call


RECORDS, BYTES, CANDIDATES = 121.8e9, 7.2e12, (300_000, 1_000_000)
CORES, GB_PER_SECOND, DOLLARS = 64, 1.0, 0.05


def on_paper(row: dict[str, Any]) -> None:
    """Gaia DR4 by the rates of this run: every record read once, the candidates predicted."""
    reading = row["stages"][STAGES[2]]
    rows_a_second = row["epochs"] / reading
    milliseconds = 1e3 * (row["cpu"] - reading - row["stages"][STAGES[0]]) / row["stars"]
    read = RECORDS / rows_a_second / 3600
    tera = BYTES * row["share"] / 1e12
    print(
        f"\n### Gaia DR4, on paper\n\nEpoch photometry of {RECORDS / 1e9:.1f}e9 records, {BYTES / 1e12:.1f} TB. Rates "
        f"of the run on {row['stars']:,} stars above, where reading takes one core; {CORES} cores, a store that gives "
        f"{GB_PER_SECOND:.0f} GB/s in all and {DOLLARS} $ for a core-hour are assumptions.\n"
    )
    print("| step | rate measured here | core-hours | hours on all cores | $ |\n|---|---|---|---|---|")
    print(
        f"| read and decode one band, all records | {rows_a_second / 1e6:.2f} million records/s a core | "
        f"{read:,.0f} | {read / CORES:.1f} | {read * DOLLARS:,.0f} |"
    )
    for n in CANDIDATES:
        hours = n * milliseconds / 3.6e6
        print(
            f"| predict {n:,} candidates, periods given | {milliseconds:.2f} ms CPU a star | {hours:.1f} | "
            f"{hours / CORES:.2f} | {hours * DOLLARS:.2f} |"
        )
    print(
        f"\nOf the bytes of this file {100 * row['share']:.0f} % are in columns that are read; with the same share "
        f"{tera:.1f} TB have to come from the store, {1e3 * tera / GB_PER_SECOND / 3600:.1f} hours at that pace. The "
        f"result has {row['size']:.0f} bytes a star. So the model is not what DR4 costs: finding the candidates' "
        "records among all others is, and who has a list of identifiers and a catalogue sorted by source reads "
        "less. DataLink, at one source a second, would take "
        f"{CANDIDATES[0] / 86400:.1f} days for {CANDIDATES[0]:,} sources. Period search where none is given: "
        "[signal.md](signal.md#period-search)."
    )


def founding(folder: Path, python: Path, threads: int) -> dict[str, Any]:
    """The ancestor's way on some of the stars, each in a file of its own, in the environment of Keras."""
    import pandas as pd

    from photfeh import read_lightcurves, read_stars

    subprocess.run([python, "-m", "pip", "install", "-q", "pandas<2.2", "scipy<1.12", "numpy<1.24"], check=True)
    stars = read_stars(folder / "survey" / "stars.parquet").iloc[:ANCESTORS]
    curves = read_lightcurves(folder / "survey" / "epochs.parquet").reindex(stars["source_id"].to_numpy())
    files = folder / "files"
    files.mkdir()
    rows = SimpleNamespace(period=stars["period"].to_numpy(), ids=stars["source_id"].to_numpy())
    for number, star in enumerate(rows.ids):
        curve = curves[number]
        if len(curve.time) >= 8:
            table = pd.DataFrame({"time": curve.time, "mag": curve.mag, "period": rows.period[number]})
            table.to_csv(files / f"{star}.csv", index=False)
    script = Path(__file__).with_name("ancestor.py")
    done = subprocess.run([python, script, files, str(threads)], stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
