"""The command ``fetch``, and what ``predict --source-id`` and ``--query`` fetch before they predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from photfeh.cli.console import err, out, progress
from photfeh.cli.options import Overwrite
from photfeh.core.errors import BadInput

__all__ = ["fetch", "fetched_for_prediction"]

_STATUSES = ("received", "without data", "failed", "no counterpart")


def fetch(
    ids: Annotated[
        list[str] | None, typer.Argument(help="source_ids, or files that hold them (any star table or list).")
    ] = None,
    cone: Annotated[
        str | None, typer.Option(help="RA,DEC,RADIUS in degrees: the RR Lyrae stars of the release in it.")
    ] = None,
    query: Annotated[str | None, typer.Option(help="ADQL whose answer has a column source_id.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to make. Default: one for this request in the cache folder.")
    ] = None,
    release: Annotated[str, typer.Option(help="dr3 or dr4.")] = "dr3",
    ids_of: Annotated[
        str | None, typer.Option(help="Release that the identifiers are of, if another: dr3 or dr4.")
    ] = None,
    local: Annotated[
        str | None,
        typer.Option(help="Folder of a HATS catalogue or of bulk files, or a catalogue's address: curves from there."),
    ] = None,
    structure: Annotated[
        str, typer.Option(help="individual or raw: how the archive packs its answers.")
    ] = "individual",
    format: Annotated[str, typer.Option(help="votable, csv, ecsv or fits: format of its answers.")] = "votable",
    chunk: Annotated[int, typer.Option(help="Sources in each call, at most 5000.")] = 200,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and leave.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Fetch light curves and RR Lyrae parameters from the Gaia archive: epochs.parquet and stars.parquet.

    Example: photfeh fetch stars.csv --output gaia

    Example: photfeh fetch --cone 201.7,-47.48,0.5 --output omega-cen
    """
    from photfeh.archive.fetch import fetch as run
    from photfeh.archive.fetch import plan

    sources = _sources(ids)
    where = _position(cone)
    if dry_run:
        planned = plan(sources, cone=where, query=query, release=release, chunk=chunk)
        out.print(str(planned))
        if planned.advice:
            out.print(planned.advice)
        return
    shape: Any = structure
    with progress() as report:
        result = run(
            sources, cone=where, query=query, output=output, release=release, ids_of=ids_of, structure=shape,
            format=format, chunk=chunk, local=local, overwrite=overwrite, progress=report,
        )  # fmt: skip
    counts = ", ".join(f"{result.count(status)} {status}" for status in _STATUSES if result.count(status))
    out.print(f"{len(result.table)} sources asked for: {counts}")
    out.print(f"light curves: {result.epochs}\nstars: {result.stars}\nevery source: {result.reconciliation}")
    if not result.complete:
        err.print("run the same command again to ask for those that failed")
        raise typer.Exit(1)


def fetched_for_prediction(ids: list[str] | None, query: str | None, release: str) -> Any:
    """Fetch into the cache folder; what did not come is said."""
    from photfeh.archive.fetch import fetch as run

    with progress() as report:
        result = run(_sources(ids), query=query, release=release, progress=report)
    for status in _STATUSES[1:]:
        rows = result.table[result.table["status"] == status]
        if len(rows):
            first = rows.iloc[0]
            reason = f": {first['reason']}" if first["reason"] else ""
            err.print(f"{len(rows)} of {len(result.table)} sources {status}, first {first['id_asked']}{reason}")
    return result


def _sources(ids: list[str] | None) -> Any:
    """Identifiers and files, in order; None for nothing."""
    if not ids:
        return None
    from photfeh.readers.startables import read_stars

    found: list[str] = []
    for entry in ids:
        if entry.strip().lstrip("-").isdigit() or not Path(entry).exists():
            found.append(entry)
        else:
            stars = read_stars(entry)
            given = stars["source_id"].astype(str)
            found += list(stars["name"].where(stars["name"].notna(), given) if "name" in stars.columns else given)
    return found


def _position(text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        ra, dec, radius = (float(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise BadInput(
            f"cannot read --cone {text!r}: write RA,DEC,RADIUS in degrees, such as 201.7,-47.48,0.5."
        ) from None
    return ra, dec, radius
