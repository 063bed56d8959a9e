"""Rehearse a release on this machine: every step of .github/workflows/release.yml, against two indexes on loopback.

python tools/rehearse.py [--version 1.2.3]

The last commit is cloned into a folder of its own, gets its notes, version, commit and tag there, is built once,
tested, uploaded to a stand-in for TestPyPI, installed from it, and uploaded to a stand-in for PyPI. Not rehearsed:
proof of identity between GitHub and PyPI, attestations, and the page of the release.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import built_wheel
import citation_files
from release_notes import notes

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable


def step(what: str) -> None:
    """Say what comes next."""
    print(f"== {what}", flush=True)


def run(*command: str, where: Path, fails: bool = False) -> str:
    """A command that must end well, or must fail; its output."""
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    if bool(done.returncode) != fails:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def next_version() -> str:
    """The patch release after the last tag, or 0.1.0."""
    tags = run("git", "tag", "--list", "v*", "--sort=-v:refname", where=ROOT).split()
    numbers = [match for match in (re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)", tag) for tag in tags) if match]
    return f"{numbers[0][1]}.{numbers[0][2]}.{int(numbers[0][3]) + 1}" if numbers else "0.1.0"


def tagged_clone(folder: Path, version: str) -> Path:
    """The last commit with its notes and its tag, as `make notes` and a person would make them."""
    if run("git", "status", "--porcelain", where=ROOT):
        print("   changes that are not committed are left out")
    checkout = folder / "checkout"
    run("git", "clone", "--quiet", str(ROOT), str(checkout), where=folder)
    run(PYTHON, "-m", "towncrier", "build", "--yes", "--version", version, where=checkout)
    citation_files.write(version, checkout)
    wrong = citation_files.disagreements(checkout)
    if wrong:
        sys.exit("\n".join(wrong))
    run("git", "add", "--all", where=checkout)
    who = ("-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost")
    run("git", *who, "commit", "--quiet", "--message", f"Release {version}", where=checkout)
    run("git", *who, "tag", "--annotate", f"v{version}", "--message", f"v{version}", where=checkout)
    return checkout


@contextmanager
def index(folder: Path) -> Iterator[str]:
    """A package index on loopback that serves and takes the files of a folder; its address."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(PYTHON).with_name("pypi-server"))
    options = ("--interface", "127.0.0.1", "--port", str(port), "--disable-fallback", "-P", ".", "-a", ".")
    server = subprocess.Popen(
        [program, "run", *options, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with socket.socket() as knock:
                if not knock.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def upload(dist: Path, address: str, *, fails: bool = False) -> str:
    """What the publishing action does: twine, once."""
    options = ("--non-interactive", "--disable-progress-bar", "-u", "rehearsal", "-p", "rehearsal")
    files = sorted(str(path) for path in dist.glob("photfeh-*"))
    command = (PYTHON, "-m", "twine", "upload", *options, "--repository-url", f"{address}/", *files)
    return run(*command, where=dist, fails=fails)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of wheel and sdist."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("photfeh-*"))}


def recipe(checkout: Path, version: str, sha256: str) -> str:
    """The conda recipe with version and checksum."""
    text = (checkout / citation_files.RECIPE).read_text()
    text = re.sub(r'(?m)^  version: ".*"$', f'  version: "{version}"', text)
    return re.sub(r'(?m)^  sha256: ".*"$', f'  sha256: "{sha256}"', text)


def main() -> None:
    """All steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", default=next_version())
    version = parser.parse_args().version
    os.environ.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory(prefix="photfeh-release-") as home:
        folder = Path(home)
        step(f"notes, version and tag v{version}, in a clone")
        checkout = tagged_clone(folder, version)
        step("release notes")
        print(f"   {len(notes(version, checkout).splitlines())} lines")
        step("build once, check names, contents and size")
        run(PYTHON, "-m", "build", "--no-isolation", where=checkout)
        dist = checkout / "dist"
        run(PYTHON, "-m", "twine", "check", "--strict", *map(str, sorted(dist.iterdir())), where=checkout)
        built_wheel.check(str(dist))
        built = digests(dist)
        assert set(built) == {f"photfeh-{version}-py3-none-any.whl", f"photfeh-{version}.tar.gz"}, built
        step("the wheel in an empty environment, without torch and with it")
        built_wheel.main("install", str(dist))
        with index(folder / "testpypi") as testpypi, index(folder / "pypi") as pypi:
            step("upload to the stand-in for TestPyPI, install from there")
            upload(dist, testpypi)
            built_wheel.main("smoke", f"{testpypi}/simple/", version)
            step("upload to the stand-in for PyPI, the same files; a second time it is refused")
            upload(dist, pypi)
            refused = upload(dist, pypi, fails=True)
            if not re.search(r"HTTPError: 4\d\d", refused):  # PyPI says 400, others 409
                sys.exit(f"not refused as it should be: {refused}")
            assert digests(folder / "pypi") == digests(folder / "testpypi") == built
        step("conda recipe")
        text = recipe(checkout, version, built[f"photfeh-{version}.tar.gz"])
        (ROOT / "dist").mkdir(exist_ok=True)
        (ROOT / "dist" / "recipe.yaml").write_text(text)
        print("   dist/recipe.yaml")
    print(
        f"release {version} rehearsed; not rehearsed: identity between GitHub and PyPI, attestations, the release page"
    )


if __name__ == "__main__":
    main()
