"""The house stays livable: few doors, short modules."""

from __future__ import annotations

from pathlib import Path

import photfeh

PACKAGE = Path(photfeh.__file__).parent


def test_the_package_has_at_most_seventeen_entries():
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}
    assert len(entries) <= 17, sorted(entries)


def test_no_module_is_above_four_hundred_lines():
    lengths = {str(path.relative_to(PACKAGE)): path.read_text().count("\n") for path in PACKAGE.rglob("*.py")}
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_every_folder_of_code_says_what_it_is():
    for folder in {path.parent for path in PACKAGE.rglob("*.py")}:
        text = (folder / "__init__.py").read_text()
        assert text.startswith('"""'), folder
