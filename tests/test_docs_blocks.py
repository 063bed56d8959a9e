"""Every command and code block of README and docs does what it says.

By default all are read: commands by the application itself, without running them, Python by its compiler. With
``make docs-blocks`` they run, page by page, on a small simulated survey; networks train for two epochs there.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shutil
import warnings

import pytest
import typer

import blocks
import photfeh as pf
from archive_server import ArchiveServer, make_stars
from photfeh.archive.gaia import ADDRESS_VARIABLE
from photfeh.cli.app import app
from photfeh.core.errors import PhotfehWarning
from photfeh.models.registry import MODELS
from photfeh.readers import write_lightcurves

TARGETS = set(re.findall(r"^([a-z-]+):", (blocks.ROOT / "Makefile").read_text(), re.M))
FEW = {"epochs": 2, "inception_epochs": 1, "n_networks": 1, "n_mixtures": 1}
RUN = [page for page in blocks.PAGES if page.name not in blocks.EXECUTED_AT_BUILD and blocks.blocks(page)]


def accept(words):
    """Read a command as the application would, up to the point where it would begin to work."""
    command, arguments = typer.main.get_command(app), words[1:]
    context = command.make_context("photfeh", list(arguments))
    while hasattr(command, "resolve_command"):
        name, command, arguments = command.resolve_command(context, arguments)
        if hasattr(command, "resolve_command"):
            context = command.make_context(name, list(arguments), parent=context)
        else:
            command.make_context(name, list(arguments), parent=context)


def exists(words):
    """Whether a command that is not run here could be: a target of make, a script of the repository."""
    program, *rest = [word for word in words if "=" not in word or word.startswith("-")]
    if program == "make":
        assert set(rest) <= TARGETS, rest
    elif program == "python":
        assert (blocks.ROOT / rest[0]).is_file(), rest
    else:
        assert program == "pip", words


@pytest.mark.parametrize("page", RUN, ids=blocks.relative)
def test_every_block_can_be_read(page):
    assert len(blocks.blocks(page)) == blocks.fences(page), "a block that Sybil does not see"
    for language, text, line, *_ in blocks.blocks(page):
        where = f"{blocks.relative(page)}:{line}"
        if language == "python":
            compile(text, where, "exec")
            continue
        for words in blocks.commands(text):
            try:
                (accept if words[0] == "photfeh" else exists)(words)
            except Exception as error:
                raise AssertionError(f"{where}: {' '.join(words)}: {error}") from error


@pytest.mark.parametrize("page", blocks.PAGES, ids=blocks.relative)
def test_no_command_hides_outside_of_a_block(page):
    if page.name in blocks.REAL_DATA:
        return
    bare = re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    assert not re.findall(r"^ {4}(?:photfeh|make|pip|python) .*", bare, re.M)


def test_every_excuse_has_a_reason_and_they_stay_few():
    tally = blocks.count()
    assert tally["excused"] <= 12, tally
    assert tally["python run"] + tally["shell run"] >= 25, tally
    assert tally["cells executed at build"] >= 10, tally
    for page in RUN:
        assert all(len(excuse) > 10 for *_, excuse, _ in blocks.blocks(page) if excuse)


# ---------------------------------------------------------------------- for real
@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The files that the pages speak of."""
    folder = tmp_path_factory.mktemp("world")
    survey = pf.simulate(150, seed=8)
    write_lightcurves(survey.curves, folder / "epochs.parquet")
    stars = survey.stars.assign(ra=10.0, dec=-5.0)
    known = stars["type"] == "RRab"
    stars[["source_id", "period", "type", "ra", "dec"]].to_csv(folder / "stars.csv", index=False)
    stars[known][["source_id", "period", "type", "feh"]].assign(feh_error=0.1).to_csv(
        folder / "labelled.csv", index=False
    )
    taken = stars[["source_id", "period", "type", "feh"]].assign(feh_error=0.1)
    taken.to_csv(folder / "spectroscopy.csv", index=False)
    taken.to_csv(folder / "spectroscopy-v.csv", index=False)
    curves = pd_table(survey.curves).assign(band="V")
    curves.to_csv(folder / "v-band.csv", index=False)
    shutil.copy(folder / "labelled.csv", folder / "labelled-v.csv")
    stars[["source_id", "period", "type"]].to_csv(folder / "stars-v.csv", index=False)
    (folder / "folder-with-csv").mkdir()
    for star in list(survey.curves)[:3]:
        pd_table(survey.curves, star).to_csv(folder / "folder-with-csv" / f"{star.source_id}.csv", index=False)
    pf.prepare(folder / "epochs.parquet", folder / "labelled.csv", folder / "dataset", n_points=32, truth="simulation")
    return folder


def pd_table(curves, star=None):
    table = curves.to_arrow().to_pandas()
    lists = [name for name in ("time", "mag", "mag_error") if name in table]
    table = table[["source_id", *lists]].explode(lists).astype(dict.fromkeys(lists, float))
    return table if star is None else table[table["source_id"] == star.source_id].drop(columns="source_id")


@pytest.fixture
def archive(monkeypatch, tmp_path):
    rows, stars = make_stars(12)
    renamed = dict(zip(stars["source_id"], (1204518424202454272, 2318121083762960128), strict=False))
    stars.loc[stars.index[:3], "period"] = 0.85  # somebody must be found by a query for long periods
    rows["source_id"], stars["source_id"] = (t["source_id"].replace(renamed) for t in (rows, stars))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with ArchiveServer(rows, stars) as server:
        monkeypatch.setenv(ADDRESS_VARIABLE, server.address)
        yield stars


@pytest.fixture
def quick(monkeypatch):
    """Two epochs for every network, small ensembles; one process, because another would not know."""
    for name, entry in MODELS.items():
        known = entry.model_class().parameter_names()
        few = {key: value for key, value in FEW.items() if key in known}
        if name == "circular-ensemble":
            few.pop("n_mixtures")
        monkeypatch.setitem(MODELS, name, dataclasses.replace(entry, defaults={**entry.defaults, **few}))


def as_here(words):
    """The command with a place where the archive on this machine has stars, in one process, in two folds for all."""
    words = ["10.0,-5.0,0.5" if word == "201.7,-47.48,0.5" else word for word in words]
    if "all" in words:
        words = [*words, "--folds", "2"]
    if "--jobs" not in words:
        return words
    at = words.index("--jobs")
    return words[:at] + words[at + 2 :]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=blocks.relative)
def test_every_block_runs(page, world, archive, quick, call, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    shutil.copytree(world, folder)
    if "archive" in page.name or "source-ids" in page.name:
        archive[["source_id"]].to_csv(folder / "stars.csv", index=False)
    if page.name == "predictions.md":  # it speaks of a model of one's own
        pf.train(folder / "dataset", folder / "model", model="svr", folds=3)
    if page.name != "comparison.md":  # the others make the data set that they speak of
        shutil.rmtree(folder / "dataset")
    monkeypatch.chdir(folder)
    scope = {"__name__": "__main__"}
    for language, text, line, excuse, package in blocks.blocks(page):
        if excuse or (package and importlib.util.find_spec(package) is None):
            continue
        if language == "python":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PhotfehWarning)
                exec(compile(text, f"{page.name}:{line}", "exec"), scope)
            continue
        for words in blocks.commands(text):
            if words[0] == "photfeh":
                code, _, err = call(*as_here(words)[1:])
                assert code == 0, f"{page.name}:{line}: {' '.join(words)}\n{err}"
