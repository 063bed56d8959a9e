"""What needs no torch works without it, most trained models too, and the rest says in one line how to get it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import photfeh as pf
from photfeh.core.errors import MissingPackage
from photfeh.core.packages import EXTRAS, has_package, needing, versions

WITHOUT = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTorch())  # every import of it fails, as where it is not installed
"""
WORK = """
import pytest
import photfeh as pf
from photfeh.core.errors import MissingPackage

survey = pf.simulate(150, seed=3)
table = pf.predict(survey.curves, survey.stars, model="relation", output="predictions.ecsv")
assert len(table) == 150 and table["feh"].notna().sum() > 130, table
dataset = pf.prepare(survey.curves, survey.stars, "dataset", labels="column", cuts="none", truth="simulation")
run = pf.validate(dataset, "run", models=("relation", "ridge-fourier", "svr"), folds=2)
assert not len(run.failures)
pf.train(dataset, "model", model="svr", folds=2)
assert pf.predict(survey.curves, survey.stars, model="model")["feh"].notna().sum() > 50
few = survey.curves[:20], survey.stars[:20]
for name in ("default", "dekany-i-band", "dekany-i-band-distilled", "ogle-i-band-rrc", "liu-2020"):
    assert pf.predict(*few, model=name)["feh"].notna().sum() > 3, name
from photfeh.models.circular import Circular
X = dataset.sequences("raw", dataset.sample[:30])
for ask in (
    lambda: pf.predict(survey.curves, survey.stars, model="gru"),
    lambda: pf.predict(survey.curves, survey.stars, model="gaia-dr3-relation"),
    lambda: pf.create_model("gru"),
    lambda: pf.create_model("circular"),
    lambda: Circular().fit(X, [-1.5] * len(X)),
    lambda: pf.validate(dataset, "another", models=("svr", "gru"), folds=2),
    lambda: pf.train(dataset, "another", model="blend"),
):
    with pytest.raises(MissingPackage, match=r"needs torch, which is not installed: pip install 'photfeh\\[torch\\]'"):
        ask()
"""


def run(code: str, folder: Path, *arguments: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", WITHOUT + code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_relations_feature_models_readers_and_most_trained_models_need_no_torch(tmp_path):
    done = run(WORK, tmp_path, options=("-W", "error"))
    assert done.returncode == 0, done.stderr


def test_the_command_line_says_what_is_missing_in_one_line(tmp_path):
    pf.simulate(2, seed=1).stars.to_csv(tmp_path / "stars.csv", index=False)
    code = "from photfeh.cli import main\nmain()"  # called as by a user: a warning that is shown is a line too much
    done = run(code, tmp_path, "models", "describe", "gru")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "pip install 'photfeh[torch]'" in done.stderr
    done = run(code, tmp_path, "models", "list")
    assert done.returncode == 0, done.stderr
    assert re.search(r"gaia-dr3-relation +the model class CircularInception needs torch", done.stdout), done.stdout


def test_only_optional_packages_are_excused():
    assert set(EXTRAS) == {"torch"}
    assert not has_package("no_such_package")
    assert list(versions(["numpy", "no-such-package"])) == ["numpy"]
    with pytest.raises(MissingPackage, match="the answer needs torch"), needing("the answer"):
        raise ModuleNotFoundError(name="torch.nn")
    with pytest.raises(ModuleNotFoundError, match="mine"), needing("the answer"):
        raise ModuleNotFoundError("mine", name="photfeh.mine")
