"""The cache of compiled kernels: an edit of any file with kernels is seen, wherever the cache has to be."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import photfeh
from photfeh.core import kernels

PACKAGE = Path(photfeh.__file__).parent
CALLEE = "from photfeh.core.kernels import kernel\n\n\n@kernel()\ndef part(x: float) -> float:\n    return {}\n"
CALLER = """from photfeh.core.kernels import kernel
from photfeh.signal._callee import part


@kernel()
def whole(x: float) -> float:
    return 1.0 + part(x)
"""
ASK = """
from photfeh.core.kernels import cache_folder
from photfeh.signal._caller import whole
print(whole(3.0), sum(whole.stats.cache_hits.values()), cache_folder())
"""


@pytest.fixture
def copy(tmp_path):
    """The least part of the package that has kernels, with a kernel that calls one of another file."""
    root = tmp_path / "photfeh"
    for name in ("core/__init__.py", "core/kernels.py", "core/threads.py", "core/errors.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text((PACKAGE / name).read_text())
    (root / "__init__.py").touch()
    (root / "signal").mkdir()
    (root / "signal" / "__init__.py").touch()
    (root / "signal" / "_caller.py").write_text(CALLER)
    (root / "signal" / "_callee.py").write_text(CALLEE.format("2.0 * x"))
    return root


def ask(root, **environment):
    """What the calling kernel says in a new process, whether it came from the cache, and from where."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "XDG", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env=inherited | {"PYTHONPATH": str(root.parent), "HOME": str(root.parent / "home")} | environment,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    value, hits, folder = done.stdout.split()
    return float(value), bool(int(hits)), Path(folder) if folder != "None" else None


def test_an_edit_of_a_kernel_in_another_file_is_seen(copy):
    value, cached, first = ask(copy)
    assert (value, cached) == (7.0, False)
    assert ask(copy) == (7.0, True, first)
    source = copy / "signal" / "_callee.py"
    source.write_text(CALLEE.format("9.00 * x"))
    value, cached, second = ask(copy)
    assert (value, cached) == (28.0, False)
    assert ask(copy) == (28.0, True, second)
    assert list(first.parent.iterdir()) == [second]  # nothing stale is left
    assert copy in second.parents
    # the caller's own file, and files without kernels, which change nothing
    (copy / "signal" / "_plain.py").write_text("VALUE = 3\n")
    assert ask(copy) == (28.0, True, second)
    (copy / "signal" / "_caller.py").write_text(CALLER.replace("1.0 +", "2.0 +"))
    assert ask(copy)[:2] == (29.0, False)


def test_a_read_only_installation_caches_for_the_user(copy):
    (copy / "__pycache__").write_text("no folder can be made here, not even by root")
    environment = {"PYTHONDONTWRITEBYTECODE": "1"}
    value, cached, folder = ask(copy, **environment)
    assert (value, cached) == (7.0, False)
    assert copy.parent / "home" / ".cache" / "photfeh" in folder.parents
    assert ask(copy, **environment) == (7.0, True, folder)
    elsewhere = ask(copy, XDG_CACHE_HOME=str(copy.parent / "xdg"), **environment)
    assert copy.parent / "xdg" in elsewhere[2].parents


def test_where_nothing_can_be_written_kernels_work_without_a_cache(copy):
    (copy / "__pycache__").write_text("")
    (copy.parent / "home").write_text("")
    for _ in range(2):
        assert ask(copy, PYTHONDONTWRITEBYTECODE="1") == (7.0, False, None)


def test_the_folder_that_numba_is_told_is_used(copy):
    value, cached, folder = ask(copy, NUMBA_CACHE_DIR=str(copy.parent / "told"))
    assert (value, cached) == (7.0, False)
    assert copy.parent / "told" in folder.parents
    assert ask(copy, NUMBA_CACHE_DIR=str(copy.parent / "told")) == (7.0, True, folder)


def test_kernels_stand_in_files_that_the_cache_knows_and_take_nothing_from_others():
    """What a kernel takes from another module is compiled in: constants, too, must come from files that are known."""
    known = {".".join(["photfeh", *path.relative_to(PACKAGE).with_suffix("").parts]) for path in kernels.sources()}
    assert "photfeh.models.kernels.lanes" in known  # it holds what kernels are made of, and none
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(["photfeh", *path.relative_to(PACKAGE).with_suffix("").parts])
        tree = ast.parse(path.read_text())
        compiled = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and _is_kernel(node)]
        if not compiled:
            continue
        assert name in known
        used = {item.id for node in compiled for item in ast.walk(node) if isinstance(item, ast.Name)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("photfeh."):
                taken = used & {alias.asname or alias.name for alias in node.names}
                assert not taken or node.module in known | {"photfeh.core.types"}, f"{name} takes {taken}"


def _is_kernel(node):
    return any("kernel(" in text or "njit" in text for text in map(ast.unparse, node.decorator_list))


def test_kernels_are_compiled_once_for_all_kinds_of_arrays():
    """Read-only, strided or shifted inputs: one signature."""
    from photfeh.signal import _phase_kernels, fold

    offsets, phase = np.array([0, 3, 6]), np.linspace(0.0, 0.9, 12)
    for given in (phase[:6], phase[::2], phase[1:7]):
        given.flags.writeable = given is not phase
        fold.max_phase_gap(offsets, given)
    fold.max_phase_gap(offsets, np.frombuffer(phase[:6].tobytes()))
    assert len(_phase_kernels.fill_gaps.signatures) == 1
