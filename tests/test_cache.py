"""Names by content, parts that are whole or absent, folders with one owner."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photfeh.core import fingerprint as module
from photfeh.core.cache import Key, Parts
from photfeh.core.errors import InUse
from photfeh.core.files import written
from photfeh.core.fingerprint import fingerprint
from photfeh.core.lightcurves import LightCurves


@dataclass(frozen=True)
class Recipe:
    name: str
    size: float


@dataclass(frozen=True)
class OtherRecipe:
    name: str
    size: float


DIFFERENT = [
    None, True, False, 0, 1, 1.0, "1", b"1", "", (), ("",), ("", ""), ("a", "b"), ("ab",), (("a",), "b"), {}, {"a": 1},
    {"a": 1.0}, {"a": None}, {1: "a"}, {"1": "a"}, frozenset({1}), float("nan"), float("inf"), -0.0, 0.0,
    np.zeros(2), np.zeros(2, np.float32), np.zeros((1, 2)), np.zeros((2, 1)), np.zeros(0), np.array([0.0, -0.0]),
    np.array([1, 2]), np.array(["a", "b"]), np.array([True, False]), Recipe("a", 1.0), Recipe("a", 2.0),
    OtherRecipe("a", 1.0), Recipe, OtherRecipe,
    pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]}), pd.DataFrame({"a": [1.0, 2.0]}),
    pd.DataFrame({"a": ["1", "2"]}), pd.DataFrame({"a": ["12", ""]}), pd.DataFrame({"a": [None, "2"]}),
    pd.DataFrame({"a": ["None", "2"]}), pd.DataFrame({"a": ["nan", "2"]}), pd.DataFrame({"a": [1, 2], "b": [1, 2]}),
    pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), pd.DataFrame({"a": pd.array([1, 0], dtype="Int64")}),
]  # fmt: skip


def test_unlike_things_have_unlike_fingerprints():
    found = [fingerprint(thing) for thing in DIFFERENT]
    for i, one in enumerate(found):
        for j in range(i):
            assert one != found[j], (DIFFERENT[i], DIFFERENT[j])
    assert fingerprint(1, 2) != fingerprint((1, 2))
    assert fingerprint("a", "b") != fingerprint("ab")


def test_like_things_have_like_fingerprints_in_any_process():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    strided = np.arange(10.0)[::2]
    assert fingerprint(strided) == fingerprint(strided.copy())
    assert fingerprint(float("nan")) == fingerprint(np.float64("nan"))
    frame = pd.DataFrame({"a": [1, 2]})
    assert fingerprint(frame) == fingerprint(frame.set_index(pd.Index([7, 8])))
    code = "from photfeh.core.fingerprint import fingerprint; print(fingerprint({'x': {1, 2, 3}, 'y': ['a', None]}))"
    for seed in ("1", "2"):
        other = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert other.stdout.strip() == fingerprint({"y": ["a", None], "x": {3, 2, 1}})


def test_what_has_no_known_content_is_refused():
    with pytest.raises(TypeError, match="no fingerprint of a object"):
        fingerprint(object())


def test_another_number_of_the_numerics_is_another_name(monkeypatch):
    before = fingerprint("x")
    monkeypatch.setattr(module, "NUMERICS", module.NUMERICS + 1)
    assert fingerprint("x") != before


@given(st.integers(0, 4), st.integers(0, 3))
def test_every_part_of_light_curves_counts(which, position):
    base = {
        "source_id": np.array([1, 2]), "offsets": np.array([0, 2, 4]), "time": np.array([1.0, 2.0, 1.0, 3.0]),
        "mag": np.array([15.0, 16.0, 15.0, 16.0]), "mag_error": np.full(4, 0.1),
    }  # fmt: skip
    curves = LightCurves(**base)
    assert fingerprint(curves) == fingerprint(LightCurves(**base))
    name = list(base)[which]
    changed = {key: value.copy() for key, value in base.items()}
    if name == "offsets":
        changed["offsets"] = np.array([0, 1, 4])
    else:
        changed[name][position % len(changed[name])] += 0.25 if changed[name].dtype.kind == "f" else 7
    assert fingerprint(LightCurves(**changed)) != fingerprint(curves)
    assert fingerprint(LightCurves(**base, band="BP")) != fingerprint(curves)


# ---------------------------------------------------------------------- parts
KEY = Key("chunk", "a" * 64)


def test_a_part_is_there_whole_or_not_at_all(tmp_path):
    parts = Parts(tmp_path / "parts")

    def interrupted():
        with parts.writing(KEY) as here:
            (here / "half").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert parts.find(KEY) is None
    assert not list((tmp_path / "parts").iterdir())
    parts.workspace(KEY).mkdir()
    with parts.writing(KEY) as here:
        assert parts.find(KEY) is None
        (here / "whole").write_text("x")
    assert [path.name for path in parts.find(KEY).iterdir()] == ["whole"]
    assert not parts.workspace(KEY).exists()
    assert parts.find(Key("chunk", "b" * 64)) is None


def test_stale_parts_go_others_stay_and_what_happened_is_said(tmp_path, caplog):
    parts = Parts(tmp_path / "out" / "parts")
    asked, stale, other = KEY, Key("chunk", "b" * 64), Key("another", "c" * 64)
    for key in (asked, stale, other):
        with parts.writing(key) as here:
            (here / "x").touch()
    parts.workspace(Key("chunk", "d" * 64)).mkdir()
    with caplog.at_level("INFO", "photfeh"):
        left = parts.finish([asked], made=0)
    assert [path.name for path in left] == [other.name]
    assert sorted(path.name for path in parts.folder.iterdir()) == sorted([asked.name, other.name])
    assert "1 of 1 parts taken from an earlier call, 1 stale removed, 1 others left alone" in caplog.text


def test_what_a_killed_writer_left_is_taken_away(tmp_path):
    half = tmp_path / "parts" / ".chunk.aaaa.99999.new"
    half.mkdir(parents=True)
    (half / "x").touch()
    (tmp_path / "parts" / ".lock").touch()
    parts = Parts(tmp_path / "parts")
    with parts.claim():
        assert not half.exists()
    assert not (tmp_path / "parts").exists()  # nothing was done: nothing stays


def test_a_folder_has_one_owner_at_a_time(tmp_path):
    """The second process is told who writes; when the first is killed, the folder is free."""
    code = (
        "import sys, time; from photfeh.core.cache import Parts\n"
        f"with Parts({str(tmp_path / 'out' / 'parts')!r}).claim():\n"
        "    print('mine', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "mine\n"
        with (
            pytest.raises(InUse, match=rf"in use by process {holder.pid} since 20\d\d-"),
            Parts(tmp_path / "out" / "parts").claim(),
        ):
            pass
        holder.kill()
    with Parts(tmp_path / "out" / "parts").claim() as parts, parts.writing(KEY):
        pass
    assert parts.find(KEY) is not None


def test_a_file_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")

    def failed():
        with written(path) as beside:
            beside.write_text("half")
            raise ValueError("deliberate")

    with pytest.raises(ValueError, match="deliberate"):
        failed()
    assert path.read_text() == "old"
    with written(path) as beside:
        beside.write_text("new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
