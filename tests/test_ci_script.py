""".ci/run installs a browser where it may, says so where it may not, and calls make in any case."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from blocks import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell script for Debian")
STUBS = {
    "root": {"id": "echo 0"},
    "person": {"id": "echo 1000"},
    "browser": {"chromium": ":"},
    "network": {"apt-get": 'echo "$@" >> "$LOG"'},
    "no network": {"apt-get": "exit 100"},
}


@pytest.mark.parametrize(
    ("machine", "installs", "said"),
    [
        (("root", "browser", "network"), False, ""),
        (("root", "network"), True, ""),
        (("root", "no network"), False, "none could be installed"),
        (("root",), False, "no apt-get to install one"),
        (("person", "network"), False, "no right to install one"),
    ],
)
def test_a_browser_is_installed_where_that_is_possible(tmp_path, machine, installs, said):
    programs, log = tmp_path / "bin", tmp_path / "log"
    programs.mkdir()
    for name in ("bash", "dirname", "timeout"):
        (programs / name).symlink_to(shutil.which(name))
    stubs = {"make": 'echo "make $@"'}
    for part in machine:
        stubs |= STUBS[part]
    for name, text in stubs.items():
        path = programs / name
        path.write_text(f"#!{shutil.which('bash')}\n{text}\n")
        path.chmod(0o755)
    script = [str(programs / "bash"), str(ROOT / ".ci" / "run")]
    env = {"PATH": str(programs), "LOG": str(log)}
    done = subprocess.run(script, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    *before, last = done.stdout.splitlines()
    assert last == "make lint test"
    assert (said in "".join(before)) if said else not before
    asked = log.read_text() if log.exists() else ""
    assert ("install -y -qq --no-install-recommends chromium" in asked) == installs
