"""HATS catalogues on Dask, and the pure function underneath: the same bits as in this process, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import photfeh as pf
from photfeh.core.errors import BadInput, InUse, MissingColumn
from photfeh.inference.batches import batch_schema, predict_batch
from photfeh.inference.catalogs import predict_catalog
from photfeh.inference.prediction import PREDICTION_COLUMNS, load
from photfeh.readers import read_stars

SURVEY = pf.simulate(160, seed=4)
pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")


def one_row_a_star(survey: Any, nested: bool = False) -> pa.Table:
    """Light curves and parameters side by side: list columns, or a nested column as in a HATS catalogue."""
    curves = survey.curves
    offsets = pa.array(curves.offsets, pa.int64())
    lists = {
        "g_transit_time": curves.time, "g_transit_mag": curves.mag, "g_transit_flux": 10 ** (-0.4 * curves.mag),
        "g_transit_flux_over_error": 1.0857 / curves.mag_error,
    }  # fmt: skip
    own = {name: pa.LargeListArray.from_arrays(offsets, pa.array(values)) for name, values in lists.items()}
    own = {name: values.cast(pa.list_(pa.float64())) for name, values in own.items()}
    if nested:
        own = {"epoch_photometry": pa.StructArray.from_arrays(list(own.values()), names=list(own))}
    rng = np.random.default_rng(5)
    stars = survey.stars
    return pa.table(
        {
            "source_id": pa.array(curves.source_id), "ra": rng.uniform(0, 90, len(stars)),
            "dec": rng.uniform(0, 40, len(stars)), **own,
            "period": pa.array(stars["period"].to_numpy(float)), "type": pa.array(stars["type"].tolist(), pa.string()),
        }
    )  # fmt: skip


TABLE = one_row_a_star(SURVEY)


@pytest.fixture(scope="module")
def direct() -> pd.DataFrame:
    """What predict says of these stars."""
    return pf.predict(TABLE, model="relation")


def equal(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """The same bits, row by row, whatever the order."""
    found, wanted = (table.sort_values("source_id", ignore_index=True) for table in (found, wanted))
    assert found["source_id"].tolist() == wanted["source_id"].tolist()
    for name, column in PREDICTION_COLUMNS.items():
        if column.dtype == "float64":
            one, other = (table[name].to_numpy(float).view(np.int64) for table in (found, wanted))
            np.testing.assert_array_equal(one, other)
        else:
            assert found[name].tolist() == wanted[name].tolist()


# ---------------------------------------------------------------------- the pure function
@pytest.mark.parametrize("size", [1, 7, 160])
@pytest.mark.parametrize("nested", [False, True])
def test_batches_of_any_size_give_the_same_bits(direct: pd.DataFrame, size: int, nested: bool) -> None:
    table = one_row_a_star(SURVEY, nested)
    table = table if size > 1 else table.slice(0, 12)
    made = [predict_batch(batch, model="relation") for batch in table.to_batches(max_chunksize=size)]
    assert all(batch.schema.equals(batch_schema()) for batch in made)
    equal(pa.Table.from_batches(made).to_pandas(), direct.iloc[: len(table)])


def test_an_empty_batch_and_stars_given_apart(direct: pd.DataFrame) -> None:
    batch = TABLE.drop_columns(["period", "type"]).to_batches()[0]
    assert predict_batch(batch.slice(0, 0), model="relation").schema.equals(batch_schema())
    stars = read_stars(SURVEY.stars.iloc[[5, 3]])
    found = predict_batch(batch, model="relation", stars=stars).to_pandas()
    equal(found, direct.iloc[[3, 5]])
    assert found["source_id"].tolist() == [TABLE["source_id"][3].as_py(), TABLE["source_id"][5].as_py()]
    assert predict_batch(batch, model="relation", stars=stars.assign(source_id=[1, 2])).num_rows == 0


def test_full_columns_and_names(direct: pd.DataFrame) -> None:
    names = pa.array([f"V{number}" if number else "12" for number in range(10)])
    table = TABLE.slice(0, 10).drop_columns(["source_id"]).append_column("name", names)
    found = predict_batch(table.to_batches()[0], model="relation", full=True)
    assert found.schema.equals(batch_schema(full=True, names=True))
    assert found["source_id"].to_pylist() == names.to_pylist()
    np.testing.assert_array_equal(found["feh"].to_numpy(), direct["feh"].iloc[:10])
    assert predict_batch(table.slice(0, 1), model="relation", full=True).schema.equals(found.schema)


def test_the_model_is_loaded_once_and_again_when_it_was_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    monkeypatch.setattr("photfeh.inference.batches.load", lambda model: seen.append(model) or load("relation"))
    batch = TABLE.slice(0, 2).to_batches()[0]
    (tmp_path / "model.json").write_text("1")
    for _ in range(2):
        predict_batch(batch, model=tmp_path)
    assert seen == [str(tmp_path)]
    then = (tmp_path / "model.json").stat()
    (tmp_path / "model.json").write_text("2")  # other weights, at a time that tells nothing
    os.utime(tmp_path / "model.json", ns=(then.st_atime_ns, then.st_mtime_ns))
    predict_batch(batch, model=tmp_path)
    assert len(seen) == 2


# ---------------------------------------------------------------------- predict in bounded memory
@pytest.mark.parametrize("order", ["given", "shuffled"])
def test_streamed_output_is_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setattr("photfeh.inference.streaming._ROWS_AT_A_TIME", 37)
    pq.write_table(TABLE, tmp_path / "epochs.parquet", row_group_size=16)
    stars = SURVEY.stars[["source_id", "period", "type"]].assign(note=[f"n{i}" for i in range(160)], ra=1.5)
    if order == "shuffled":
        stars = stars.sample(frac=1.0, random_state=3)
    stars.to_parquet(tmp_path / "stars.parquet", index=False)
    how: dict[str, Any] = {"model": "relation", "keep": ["note", "ra"], "full": True, "stars_per_chunk": 30}
    paths = tmp_path / "epochs.parquet", tmp_path / "stars.parquet"
    whole = pf.predict(*paths, output=tmp_path / "whole.parquet", **how)
    brief = pf.predict(*paths, output=tmp_path / "streamed.parquet", stream=True, **how)
    one, other = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("whole", "streamed"))
    assert one.equals(other)
    for key in (b"IVOA.VOTable-Parquet.content", b"pandas"):
        texts = [table.schema.metadata[key].replace(b"streamed", b"whole") for table in (one, other)]
        assert _undated(texts[0]) == _undated(texts[1])
    assert [field.metadata for field in one.schema] == [field.metadata for field in other.schema]
    pd.testing.assert_frame_equal(brief, whole[["source_id", "feh", "feh_error", "flag"]])
    assert not list(tmp_path.glob("*.parts/*"))


def _undated(text: bytes) -> bytes:
    import re

    return re.sub(rb"20\d\d-\d\d-\d\dT[0-9:+]+", b"", text)


def test_streamed_output_with_names_and_what_is_refused(tmp_path: Path) -> None:
    names = [f"V{number}" if number else "7" for number in range(20)]
    table = TABLE.slice(0, 20).drop_columns(["source_id"]).append_column("name", pa.array(names))
    pq.write_table(table, tmp_path / "epochs.parquet")
    pf.predict(tmp_path / "epochs.parquet", model="relation", output=tmp_path / "p.parquet", stream=True)
    assert pd.read_parquet(tmp_path / "p.parquet")["source_id"].tolist() == names
    with pytest.raises(BadInput, match="piece by piece"):
        pf.predict(tmp_path / "epochs.parquet", model="relation", output=tmp_path / "p.csv", stream=True)


def test_of_a_wide_star_table_only_what_is_needed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from photfeh.readers import pairing

    stars = SURVEY.stars.assign(waste="x", kept=2)
    stars.to_parquet(tmp_path / "stars.parquet")
    found = pairing.stars_of(SURVEY.curves, tmp_path / "stars.parquet", band="G", only=["kept"])
    assert {"source_id", "period", "type", "kept"} <= set(found.columns)
    assert "waste" not in found.columns


def test_sequences_are_built_for_the_stars_predicted_and_adapt_measures_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from photfeh.inference import predictor as prediction

    built, measured = [], []
    build, measure = prediction.build_sequences, prediction.measure
    monkeypatch.setattr(prediction, "build_sequences", lambda m, *a, **k: built.append(len(m)) or build(m, *a, **k))
    monkeypatch.setattr(prediction, "measure", lambda c, *a, **k: measured.append(len(c)) or measure(c, *a, **k))
    double = np.arange(len(SURVEY.stars)) < 50  # of no type that the model is for
    stars = SURVEY.stars.assign(type=SURVEY.stars["type"].where(~double, "RRd"))
    found = pf.predict(SURVEY.curves, stars, model="gaia-dr3-relation")
    assert found["feh"].notna().sum() <= sum(built) <= len(stars) - 50
    assert found["feh"].notna().any()
    measured.clear()
    pf.predict(SURVEY.curves, SURVEY.stars, model="gaia-dr3-relation", adapt=True)
    assert measured == [len(SURVEY.curves)]


# ---------------------------------------------------------------------- HATS catalogues
@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lsdb = pytest.importorskip("lsdb", reason="the extra `survey` is not installed")
    return write_catalog(lsdb, SURVEY, tmp_path_factory.mktemp("hats") / "epochs", rows=20)


def write_catalog(lsdb: Any, survey: Any, path: Path, rows: int) -> Path:
    import warnings

    table = one_row_a_star(survey, nested=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = table.to_pandas(types_mapper=pd.ArrowDtype)
        made = lsdb.from_dataframe(frame, margin_threshold=None, partition_rows=rows, schema=table.schema)
        made.write_catalog(path, catalog_name="epochs", as_collection=False, progress_bar=False)
    return path


def read_catalog(path: Path) -> pd.DataFrame:
    files = sorted(path.rglob("dataset/**/Npix=*.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


survey_warnings = pytest.mark.filterwarnings("ignore")  # the libraries below warn of each other


@survey_warnings
def test_without_dask_the_same_bits(catalog: Path, tmp_path: Path, direct: pd.DataFrame) -> None:
    path = predict_catalog(
        catalog, output=tmp_path / "out", model="relation", scheduler="none", keep=["type"], stars_per_slice=7
    )
    found = read_catalog(path)
    equal(found, direct)
    assert len(list(path.rglob("Npix=*.parquet"))) > 4
    by_id = dict(zip(TABLE["source_id"].to_pylist(), TABLE["type"].to_pylist(), strict=True))
    assert found["type_given"].tolist() == [by_id[number] for number in found["source_id"]]
    about = json.loads((path / "photfeh.json").read_text())
    assert about["complete"]
    assert about["about"]["model_digest"] == load("relation").fingerprint()
    import lsdb

    again = lsdb.open_catalog(path)
    assert len(again) == len(direct)
    assert {"ra", "dec", "feh"} <= set(again.columns)


@survey_warnings
def test_stars_given_apart_and_none_that_fit(catalog: Path, tmp_path: Path, direct: pd.DataFrame) -> None:
    stars = SURVEY.stars[["source_id", "period", "type"]].iloc[::9]
    stars.to_csv(tmp_path / "stars.csv", index=False)
    path = predict_catalog(catalog, tmp_path / "stars.csv", output=tmp_path / "out", model="relation", scheduler="none")
    equal(read_catalog(path), direct.iloc[::9])
    with pytest.raises(BadInput, match="not one star"):
        predict_catalog(
            catalog, stars.assign(source_id=range(1, len(stars) + 1)), output=tmp_path / "none", model="relation",
            scheduler="none",
        )  # fmt: skip


@survey_warnings
def test_what_changed_is_named_and_finished_work_is_not_done_again(
    catalog: Path, tmp_path: Path, direct: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    how: dict[str, Any] = {"output": tmp_path / "out", "model": "relation", "scheduler": "none"}
    predict_catalog(catalog, **how)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    predict_catalog(catalog, **how)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")} == before
    with pytest.raises(BadInput, match=r"settings changed.*--overwrite"):
        predict_catalog(catalog, periods="check", **how)
    with pytest.raises(BadInput, match="model changed"):
        predict_catalog(catalog, **{**how, "model": "gaia-dr3-relation"})
    with pytest.raises(BadInput, match="stars changed"):
        predict_catalog(catalog, SURVEY.stars.iloc[:3], **how)
    with pytest.raises(BadInput, match="settings changed"):
        predict_catalog(catalog, scale="labels", **how)
    partition = next(catalog.glob("dataset/**/*.parquet"))
    about = partition.stat()
    os.utime(partition, ns=(about.st_atime_ns, about.st_mtime_ns + 1_000_000))  # written again, with as many rows
    with pytest.raises(BadInput, match="catalog changed"):
        predict_catalog(catalog, **how)
    os.utime(partition, ns=(about.st_atime_ns, about.st_mtime_ns))
    monkeypatch.setattr("photfeh.inference.catalogs.version", lambda name: "another")
    with pytest.raises(BadInput, match="version changed"):
        predict_catalog(catalog, **how)
    predict_catalog(catalog, overwrite=True, **how)
    equal(read_catalog(tmp_path / "out"), direct)


@survey_warnings
def test_what_a_killed_writer_leaves_is_mended(
    catalog: Path, tmp_path: Path, direct: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notes without histograms, histograms without notes, half a file: LSDB alone would refuse or take them."""
    from photfeh.inference import catalogs

    how: dict[str, Any] = {"output": tmp_path / "out", "model": "relation", "scheduler": "none"}
    real, calls = catalogs.predict_partition, []

    def fails_later(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(catalogs, "predict_partition", fails_later)
    with pytest.raises(KeyboardInterrupt):
        predict_catalog(catalog, **how)
    done = sorted((tmp_path / "out" / "done").iterdir())
    histograms = sorted((tmp_path / "out" / "hists").iterdir())
    assert len(done) == len(histograms) == 4
    done[0].unlink()
    histograms[1].unlink()
    order, pixel = done[2].name.split("_")[:2]
    next((tmp_path / "out" / "dataset" / f"Norder={order}").glob(f"Dir=*/Npix={pixel}.parquet")).unlink()
    calls.clear()
    monkeypatch.setattr(catalogs, "predict_partition", lambda *a: calls.append(a) or real(*a))
    predict_catalog(catalog, **how)
    equal(read_catalog(tmp_path / "out"), direct)
    assert len(calls) == len(list((tmp_path / "out").rglob("Npix=*.parquet"))) - 1


@survey_warnings
def test_bad_requests_for_a_catalogue(catalog: Path, tmp_path: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    how: dict[str, Any] = {"output": tmp_path / "out", "model": "relation"}
    with pytest.raises(BadInput, match="unknown scheduler 'many'"):
        predict_catalog(catalog, scheduler="many", **how)
    with pytest.raises(BadInput, match="unknown scheduler 'local:0'"):
        predict_catalog(catalog, scheduler="local:0", overwrite=True, **how)
    with pytest.raises(BadInput, match="no Dask scheduler answers"):
        predict_catalog(catalog, scheduler="tcp://127.0.0.1:9", overwrite=True, **how)
    with pytest.raises(MissingColumn, match="absent"):
        predict_catalog(catalog, scheduler="none", keep=["absent"], **how)
    with pytest.raises(BadInput, match="cannot be read as a HATS catalogue"):
        predict_catalog(tmp_path / "none", scheduler="none", **how)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="holds no predictions of photfeh"):
        predict_catalog(catalog, output=tmp_path / "mine", model="relation", scheduler="none")
    from filelock import FileLock

    with FileLock(tmp_path / ".busy.lock"), pytest.raises(InUse, match="in use"):
        predict_catalog(catalog, output=tmp_path / "busy", model="relation", scheduler="none")
    code, _, err = call("predict", catalog, "--adapt-intervals", "--model", "relation")
    assert code == 2
    assert "--adapt-intervals" in err


def test_scheduler_without_a_catalogue_and_a_catalogue_without_the_library(
    tmp_path: Path, call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(TABLE, tmp_path / "epochs.parquet")
    code, _, err = call("predict", tmp_path / "epochs.parquet", "--scheduler", "local:2")
    assert code == 2
    assert "--scheduler is for HATS catalogues" in err
    monkeypatch.setitem(sys.modules, "lsdb", None)
    (tmp_path / "hats").mkdir()
    (tmp_path / "hats" / "hats.properties").write_text("")
    code, _, err = call("predict", tmp_path / "hats", "--output", tmp_path / "out")
    assert code == 2
    assert "photfeh[survey]" in err


# ---------------------------------------------------------------------- Dask
@pytest.mark.slow
@survey_warnings
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_bits(catalog: Path, tmp_path: Path, direct: pd.DataFrame, workers: int) -> None:
    path = predict_catalog(catalog, output=tmp_path / "out", model="relation", scheduler=f"local:{workers}")
    equal(read_catalog(path), direct)


@pytest.mark.slow
@survey_warnings
def test_a_scheduler_that_is_running_and_a_worker_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default model on 1,500 stars; one of two workers is killed in the middle, and comes back by itself."""
    lsdb = pytest.importorskip("lsdb", reason="the extra `survey` is not installed")
    from distributed import Client, LocalCluster

    survey = pf.simulate(1_500, seed=6)
    place = write_catalog(lsdb, survey, tmp_path / "epochs", rows=60)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            pids = client.run(os.getpid)
        work = subprocess.Popen(
            command(place, tmp_path / "out", cluster.scheduler_address), stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: len(list((tmp_path / "out" / "done").glob("*"))) >= 3, work)
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        assert work.wait(timeout=600) == 0, work.stderr.read() if work.stderr else ""
    equal(read_catalog(tmp_path / "out"), pf.predict(one_row_a_star(survey)))


@pytest.mark.slow
@survey_warnings
def test_the_whole_process_group_killed_and_resumed(tmp_path: Path) -> None:
    lsdb = pytest.importorskip("lsdb", reason="the extra `survey` is not installed")
    survey = pf.simulate(1_500, seed=6)
    place = write_catalog(lsdb, survey, tmp_path / "epochs", rows=60)
    output = tmp_path / "out"
    seen = 0
    for more in (2, 3):
        with subprocess.Popen(
            command(place, output, "local:2"), stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as work:
            wait_for(lambda: len(list((output / "done").glob("*"))) >= seen + more, work)  # noqa: B023
            os.killpg(work.pid, signal.SIGKILL)
        seen = len(list((output / "done").glob("*")))
        assert seen >= more
        assert not json.loads((output / "photfeh.json").read_text())["complete"]
    kept = {path: path.stat().st_mtime_ns for path in output.rglob("Npix=*.parquet")}
    done = subprocess.run(command(place, output, "local:2"), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    equal(read_catalog(output), pf.predict(one_row_a_star(survey)))
    same = [path for path, when in kept.items() if path.stat().st_mtime_ns == when]
    assert len(same) >= seen  # what was finished is not done again


def command(catalog: Path, output: Path, scheduler: str) -> list[str]:
    code = "from photfeh.cli import main\nif __name__ == '__main__': main()"
    script = output.with_name("run.py")
    script.write_text(code)
    return [sys.executable, str(script), "predict", str(catalog), "--output", str(output), "--scheduler", scheduler]


def wait_for(ready: Callable[[], bool], work: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 300
    while not ready():
        assert work.poll() is None, work.stderr.read() if work.stderr else ""
        assert time.monotonic() < end
        time.sleep(0.02)


# ---------------------------------------------------------------------- recipes
PAGE = Path(__file__).parents[1] / "docs" / "survey.md"


def recipe(title: str) -> dict[str, Any]:
    """The names that a block of code of the documentation makes, run as it stands there."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"### {title}\n")
    block = rest.partition("```python\n")[2].partition("```")[0]
    assert block, title
    assert len(block.strip().splitlines()) <= 20
    names: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_recipe_of_a_processor(direct: pd.DataFrame) -> None:
    frame = TABLE.to_pandas().iloc[:20]
    series = (frame[name] for name in ("source_id", "g_transit_time", "g_transit_mag", "period"))
    found = recipe("A processor of an alert stream")["photometric_metallicity"](*series)
    wanted = pf.predict(TABLE.slice(0, 20).select(["source_id", "g_transit_time", "g_transit_mag", "period"]))
    np.testing.assert_array_equal(found["feh"], wanted["feh"])
    assert list(found.columns) == ["feh", "feh_error", "flag"]


@survey_warnings
def test_recipe_of_map_partitions(direct: pd.DataFrame) -> None:
    dd = pytest.importorskip("dask.dataframe", reason="the extra `survey` is not installed")
    frame = dd.from_pandas(TABLE.slice(0, 30).to_pandas(types_mapper=pd.ArrowDtype), npartitions=3)
    found = recipe("map_partitions")["predicted"](frame).compute(scheduler="synchronous")
    equal(found, pf.predict(TABLE.slice(0, 30)))


@pytest.mark.slow
def test_recipe_of_a_pool_of_processes(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "epochs.parquet")
    block = PAGE.read_text(encoding="utf-8").partition("### A pool of processes\n")[2].partition("```python\n")[2]
    (tmp_path / "recipe.py").write_text(block.partition("```")[0])
    done = subprocess.run(
        [sys.executable, "recipe.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(pf.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    equal(pd.read_parquet(tmp_path / "predictions.parquet"), pf.predict(TABLE))
