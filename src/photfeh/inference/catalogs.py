"""Predictions for HATS catalogues, partition by partition, by LSDB on Dask; catalogue in, catalogue out."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from photfeh.core.errors import BadInput, InUse, MissingColumn
from photfeh.core.files import read_json, remove_folder, write_json
from photfeh.core.fingerprint import fingerprint
from photfeh.core.identifiers import identifier_columns
from photfeh.inference.output import provenance
from photfeh.inference.partitions import Job, columns_to_read, empty_result, predict_partition
from photfeh.inference.scale import SPECTROSCOPIC
from photfeh.inference.trained import load, model_place
from photfeh.readers.startables import read_stars
from photfeh.samples.periods import Periods, check_period_word

__all__ = ["is_catalog", "predict_catalog"]

_log = logging.getLogger("photfeh")
_STATE = "photfeh.json"
_SIGNS = ("hats.properties", "properties", "collection.properties")
_STARS = ["source_id", "name", "period", "type"]


def is_catalog(place: object) -> bool:
    """Whether this names a HATS catalogue: a folder with its properties, or an address elsewhere (https://, s3://)."""
    if not isinstance(place, (str, os.PathLike)):
        return False
    return "://" in str(place) or any((Path(place) / sign).is_file() for sign in _SIGNS)


def predict_catalog(
    catalog: str | Path,
    stars: Any = None,
    *,
    output: str | Path,
    model: str | Path | None = None,
    scheduler: str = "local",
    band: str | None = None,
    any_band: bool = False,
    periods: Periods = "given",
    keep: Sequence[str] = (),
    full: bool = False,
    scale: str | None = None,
    columns: Mapping[str, str] | None = None,
    id_column: str | None = None,
    overwrite: bool = False,
    stars_per_slice: int = 2_048,
    progress: bool = False,
) -> Path:
    """[Fe/H] of the stars of a HATS catalogue, written as a HATS catalogue with the same partitions.

    An interrupted call goes on with the partitions that are not written yet; a finished one returns at once.

    Parameters
    ----------
    catalog : path or address
        HATS catalogue, or collection, with light curves in any layout of one row a star (list columns, or a nested
        column such as ``epoch_photometry``).
    stars : any star table, optional
        Periods and types. Only its stars are predicted. Default: columns of the catalogue.
    output : path
        Folder of the catalogue to write.
    model : str or path, optional
        As for :func:`photfeh.predict`; a model folder must be there for every worker.
    scheduler : str
        ``local``, ``local:N`` (N worker processes of one thread each; default: one a core), the address of a Dask
        scheduler (``tcp://host:8786``), or ``none``: this process alone. No result depends on it.
    band, any_band, periods, keep, full, scale, columns, id_column
        As for :func:`photfeh.predict`; ``keep`` names columns of the catalogue.
    overwrite : bool
        Begin anew where ``output`` holds predictions that were made otherwise.
    stars_per_slice : int
        Rows that a worker holds at a time; no result depends on it.
    progress : bool
        Show a bar.

    Returns
    -------
    Path
        The catalogue: position, :data:`photfeh.inference.columns.PREDICTION_COLUMNS` and what was asked for besides;
        ``photfeh.json`` in it holds the provenance.

    Raises
    ------
    BadInput
        if ``lsdb`` is not installed, the catalogue has no light curves or cannot be read, the folder holds something
        else, or holds predictions of another model, settings, stars or version (names which).
    InUse
        if another process writes there.
    """
    lsdb = _library()
    check_period_word(periods)
    _check_scheduler(scheduler)
    predictor = load(model)
    band = band or predictor.band
    predictor.check_band(band, any_band=any_band)
    predictor.check_scale(scale)
    output = Path(output)
    with _quiet():
        found, source, identifier = _opened(lsdb, str(catalog), id_column, keep)
    table = None if stars is None else read_stars(stars, id_column=None)
    made_of = {
        "version": version("photfeh"),
        "model": predictor.fingerprint(),
        "settings": fingerprint(band, any_band, periods, full, scale, sorted(keep), dict(columns or {}), id_column),
        "stars": fingerprint(table[[n for n in _STARS if n in table.columns]]) if table is not None else "",
        "catalog": _identity(found),
    }
    with _claimed(output):
        if _ready(output, made_of, overwrite=overwrite):
            return output
        info = found.catalog_info
        job = Job(
            model=model_place(model), digest=predictor.fingerprint(), base=str(found.catalog_base_dir),
            suffix=info.npix_suffix, identifier=identifier, ra=info.ra_column, dec=info.dec_column,
            leaves=tuple(columns_to_read(found.schema, band, identifier, columns)), stars=_kept_stars(table, output),
            band=band, any_band=any_band, periods=periods, full=full, scale=scale, keep=tuple(keep),
            columns=tuple((columns or {}).items()), slice=stars_per_slice,
        )  # fmt: skip
        about = provenance(
            model=predictor.name, model_digest=predictor.fingerprint(), truth=predictor.truth,
            settings={"band": band, "periods": periods, "any_band": any_band, "full": full, "scheduler": scheduler,
                      "scale": scale or SPECTROSCOPIC},
        )  # fmt: skip
        write_json(output / _STATE, {"made_of": made_of, "complete": False, "about": about})
        _mend(output)
        with _quiet(), _workers(scheduler) as client:
            _write(source, job, output, progress=progress)
            _say_spilled(client)
        if job.stars is not None:
            Path(job.stars).unlink(missing_ok=True)
        write_json(output / _STATE, {"made_of": made_of, "complete": True, "about": about})
    return output


# ---------------------------------------------------------------------- the catalogue
def _library() -> Any:
    try:
        import lsdb
    except ImportError as error:
        raise BadInput(
            "HATS catalogues are read by the library lsdb, which is not installed: pip install 'photfeh[survey]'. "
            "Without it, one on this disk can be read as files: photfeh predict 'CATALOG/dataset/**/*.parquet'."
        ) from error
    return lsdb


def _opened(lsdb: Any, place: str, id_column: str | None, keep: Sequence[str]) -> tuple[Any, Any, str]:
    """The main catalogue, the same lazily with position, identifier and kept columns alone, and the identifier."""
    import hats

    try:
        found = hats.read_hats(place)
        found = getattr(found, "main_catalog", found)
        exact = {name.lower(): name for name in reversed(found.schema.names)}
        known = [exact[name] for name in identifier_columns(list(exact))]
        identifier = exact.get(id_column.strip().lower(), id_column) if id_column else next(iter(known), "source_id")
        wanted = [found.catalog_info.ra_column, found.catalog_info.dec_column, identifier, *keep]
        absent = [name for name in wanted if name not in found.schema.names]
        if absent:
            raise MissingColumn(absent[0], f"catalogue {place}", found=found.schema.names)
        return found, lsdb.open_catalog(found.catalog_base_dir, columns=list(dict.fromkeys(wanted))), identifier
    except (OSError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise BadInput(
            f"{place} cannot be read as a HATS catalogue ({reason}). Check the folder or address."
        ) from error


def _identity(found: Any) -> str:
    """What tells that a catalogue is the one of the earlier call: place, size, date, partitions, columns.

    On this disk also size and time of writing of every file, so that a partition that was written again is seen; of one
    elsewhere only what it says of itself.
    """
    info = found.catalog_info
    pixels = sorted((int(pixel.order), int(pixel.pixel)) for pixel in found.get_healpix_pixels())
    created = str((info.model_extra or {}).get("hats_creation_date", ""))
    base = Path(str(found.catalog_base_dir).removeprefix("file://"))
    files = [(path.relative_to(base).as_posix(), path.stat()) for path in sorted(base.glob("dataset/**/*.parquet"))]
    written = [(name, about.st_size, about.st_mtime_ns) for name, about in files]
    return fingerprint(str(base), int(info.total_rows or 0), created, pixels, str(found.schema), written)


def _kept_stars(table: pd.DataFrame | None, output: Path) -> str | None:
    """The star rows where every worker can read them."""
    if table is None:
        return None
    path = (output / "stars.parquet").resolve()
    table[[name for name in _STARS if name in table.columns]].to_parquet(path)
    return str(path)


def _write(source: Any, job: Job, output: Path, *, progress: bool) -> None:
    meta = empty_result(source.meta, job)
    predicted = source.map_partitions(predict_partition, job, include_pixel=True, meta=meta)
    try:
        predicted.write_catalog(
            output, catalog_name=output.name, as_collection=False, resume=True, progress_bar=progress,
            inherit_provenance=False, default_columns=None,
        )  # fmt: skip
    except RuntimeError as error:
        if "empty" not in str(error):
            raise
        raise BadInput(
            "not one star of the star table occurs in the catalogue. Check that both name the same stars, or say which "
            "column holds the identifiers (id_column, --id-column)."
        ) from error


# ---------------------------------------------------------------------- the folder
@contextmanager
def _claimed(output: Path) -> Iterator[None]:
    """Be the only process that writes there."""
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(output.with_name(f".{output.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InUse(f"{output} is in use by another process; wait for its end, or name another --output.") from None
    try:
        yield
    finally:
        lock.release()


def _ready(output: Path, made_of: Mapping[str, str], *, overwrite: bool) -> bool:
    """Whether the folder holds the finished answer; refuses what is not ours and what was made otherwise."""
    if not output.exists():
        output.mkdir(parents=True)
        return False
    state = read_json(output / _STATE) if output.is_dir() else None
    if not isinstance(state, dict):
        if output.is_dir() and not any(output.iterdir()):
            return False
        if not overwrite or not output.is_dir():
            raise BadInput(f"{output} exists and holds no predictions of photfeh; name another --output.")
        remove_folder(output)
        output.mkdir(parents=True)
        return False
    changed = [name for name, digest in made_of.items() if state["made_of"].get(name) != digest]
    if changed and not overwrite:
        raise BadInput(
            f"{output} holds predictions that were made otherwise ({', '.join(changed)} changed). Say --overwrite to "
            "begin anew, or name another --output."
        )
    if changed:
        remove_folder(output)
        output.mkdir(parents=True)
        return False
    return bool(state["complete"])


def _mend(output: Path) -> None:
    """Make what a killed writer left fit together: LSDB refuses to go on where a partition is half noted.

    A partition counts as written if it has its note, its histogram and its file. One without stars has no file, is not
    to stand in the list of partitions, and costs nothing to do again.
    """
    done, histograms = output / "done", output / "hists"
    noted = {path.name.removesuffix("_done"): path for path in done.glob("*_done")}
    counted = {path.name.removesuffix("_histogram.npz"): path for path in histograms.glob("*_histogram.npz")}
    for name in noted.keys() | counted.keys():
        order, pixel = name.split("_")
        written = any((output / "dataset" / f"Norder={order}").glob(f"Dir=*/Npix={pixel}.parquet"))
        if name in noted and name in counted and written:
            continue
        for place in (noted, counted):
            if name in place:
                place[name].unlink()


# ---------------------------------------------------------------------- the workers
_SCHEDULER = re.compile(r"none|local(:[1-9]\d*)?|[a-z]+://.+")


def _check_scheduler(scheduler: str) -> None:
    if not _SCHEDULER.fullmatch(scheduler):
        raise BadInput(f"unknown scheduler {scheduler!r}. Give local, local:N, none or an address (tcp://host:8786).")


@contextmanager
def _workers(scheduler: str) -> Iterator[Any]:
    """The Dask client that all work goes to; None for this process alone.

    Raises
    ------
    BadInput
        if no scheduler answers.
    """
    import dask

    kind, _, number = scheduler.partition(":")
    if scheduler == "none":
        with dask.config.set(scheduler="synchronous"):
            yield None
        return
    from distributed import Client, LocalCluster

    if kind == "local":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        cluster = LocalCluster(n_workers=int(number or cores), threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=20)
    except OSError as error:
        raise BadInput(f"no Dask scheduler answers at {scheduler} ({error}). Check the address.") from error
    with client:
        yield client


def _say_spilled(client: Any) -> None:
    """Tell if workers had to put data on the disk: their partitions are too large for their memory."""
    if client is None:
        return
    spilled = sum(client.run(_spilled_bytes).values())
    if spilled:
        _log.warning("workers wrote %.1f GB to the disk for want of memory; give them more", spilled / 1e9)


def _spilled_bytes(dask_worker: Any) -> float:
    metrics = getattr(dask_worker.data, "cumulative_metrics", {})
    return float(sum(value for key, value in metrics.items() if "disk-write" in key and "bytes" in key))


@contextmanager
def _quiet() -> Iterator[None]:
    """The libraries below warn of each other; what they raise is not hidden."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
