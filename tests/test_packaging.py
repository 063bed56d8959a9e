"""What is handed out: names that agree, a wheel that holds what it should, an empty environment that predicts."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec

import built_wheel
import citation_files
import pytest
import release_notes

from blocks import PAGES, ROOT
from photfeh.inference.trained import _COMPOSED

FILES = (citation_files.CFF, citation_files.CODEMETA, citation_files.ZENODO, citation_files.RECIPE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def copied(folder):
    for name in (
        citation_files.CFF,
        citation_files.CODEMETA,
        citation_files.ZENODO,
        citation_files.RECIPE,
        "pyproject.toml",
        "CHANGELOG.md",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_files_for_citation_agree_with_the_project():
    assert citation_files.disagreements() == []


def test_a_disagreement_is_named(tmp_path):
    root = copied(tmp_path)
    content = json.loads((root / citation_files.ZENODO).read_text())
    (root / citation_files.ZENODO).write_text(json.dumps(content | {"license": "GPL-3.0"}))
    text = (root / citation_files.RECIPE).read_text()
    (root / citation_files.RECIPE).write_text(text.replace("    - numba >=0.60\n", ""))
    assert [line.partition(":")[0] for line in citation_files.disagreements(root)] == [
        citation_files.ZENODO,
        citation_files.RECIPE,
    ]


def test_version_and_day_are_written_twice_without_trace_of_the_first(tmp_path):
    root = copied(tmp_path)
    for version, day in (("1.2.3", "2031-01-02"), ("1.2.4", "2031-02-03")):
        citation_files.write(version, root, day)
        assert citation_files.disagreements(root) == []
    assert json.loads((root / citation_files.CODEMETA).read_text())["version"] == "1.2.4"
    assert "1.2.3" not in (root / citation_files.CFF).read_text()
    assert "2031-02-03" in (root / citation_files.CFF).read_text()


def test_release_notes_are_those_of_one_version(tmp_path):
    (tmp_path / "changes").mkdir()
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 1.2.0 (day)\n\n### Added\n\n- new\n\n## 1.1.0 (day)\n\n- old\n"
    )
    assert release_notes.notes("1.2.0", tmp_path) == "### Added\n\n- new\n"
    assert release_notes.notes("1.1.0", tmp_path) == "- old\n"
    with pytest.raises(SystemExit, match=r"no section 1\.2;"):
        release_notes.notes("1.2", tmp_path)
    (tmp_path / "changes" / "+more.added.md").write_text("more")
    with pytest.raises(SystemExit, match="still holds 1 fragments"):
        release_notes.notes("1.2.0", tmp_path)


def test_fragments_have_names_that_the_changelog_understands():
    names = [path.name for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    assert [name for name in names if not re.fullmatch(r"\+[a-z0-9-]+\.(added|changed|fixed)\.md", name)] == []


def test_a_wheel_with_tests_data_or_without_weights_is_refused(tmp_path):
    path = tmp_path / "photfeh-1-py3-none-any.whl"
    good = ["photfeh/py.typed", "photfeh/cli/app.py", "photfeh-1.dist-info/METADATA"]
    good += [f"photfeh/pretrained/{model}/member-0/model.safetensors" for model in built_wheel.PRETRAINED]
    with zipfile.ZipFile(path, "w") as file:
        for name in good:
            file.writestr(name, "")
    assert built_wheel.complaints(path) == []
    for bad in ("tests/test_x.py", "photfeh/data/stars.parquet", "photfeh/test_x.py", "photfeh/kernel.nbi"):
        with zipfile.ZipFile(path, "w") as file:
            for name in (*good[1:], bad):
                file.writestr(name, "")
        assert built_wheel.complaints(path) == [f"{bad} does not belong in it", "photfeh/py.typed is missing"]


def test_what_must_be_in_a_wheel_and_predict_there_is_what_the_package_has():
    folder = ROOT / "src" / "photfeh" / "pretrained"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == built_wheel.PRETRAINED
    asked = ast.literal_eval(re.search(r"^DEFAULT = (.*)$", built_wheel.SMOKE.read_text(), re.M)[1])
    types = {name: json.loads((folder / name / "model.json").read_text())["types"] for name in _COMPOSED["default"]}
    assert asked == {kind: name for name, kinds in types.items() for kind in kinds}


def test_torch_is_no_dependency_but_an_extra():
    assert not [name for name in PROJECT["dependencies"] if name.startswith("torch")]
    assert PROJECT["optional-dependencies"]["torch"] == ["torch>=2.6"]


def test_every_step_of_a_workflow_is_a_target_of_make():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    commands = []
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        text = path.read_text()
        commands += re.findall(r"^ +- run: (.*)$", text, re.M)
        uses = re.findall(r"uses: (\S+)(.*)", text)
        assert all(re.search(r"@[0-9a-f]{40}$", name) and re.match(r" # v\d", note) for name, note in uses), path
    assert len(commands) > 10
    others = [one for one in commands if not (one.startswith("make ") and one.split()[1] in targets)]
    assert [one.split()[:3] for one in others] == [["gh", "release", "create"]]


def test_pages_speak_of_the_extras_and_least_releases_of_the_project():
    extras = PROJECT["optional-dependencies"]
    install = (ROOT / "docs" / "install.md").read_text()
    for extra in extras.keys() - {"test", "lint", "docs", "release", "dev"}:
        assert f"`{extra}`" in install, extra
    for page in PAGES:
        named = re.findall(r"photfeh\[([\w,]+)\]", page.read_text())
        assert {name for names in named for name in names.split(",")} <= extras.keys(), page
    least = dict(one.split(">=") for one in [*PROJECT["dependencies"], *extras["survey"]])
    said = f"photfeh alone runs with pandas {least['pandas']} and numpy {least['numpy']}, both with astropy "
    survey = (ROOT / "docs" / "survey.md").read_text()
    assert f"lsdb >= {least['lsdb']}, hats, dask" in survey
    assert said + least["astropy"].removesuffix(".0") in survey


@pytest.mark.slow
@pytest.mark.skipif(find_spec("build") is None, reason="needs the extra release: make release-check installs it")
def test_an_empty_environment_with_the_wheel_predicts(tmp_path):
    """Built from a copy, so that nothing of this checkout is touched; needs a package index."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    built_wheel.check(str(tmp_path))
    built_wheel.main("install", str(tmp_path))
