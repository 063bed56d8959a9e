"""The Python in the README runs, and what it points to is there."""

from __future__ import annotations

import re

from blocks import PAGES, ROOT


def test_code_blocks_run():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert blocks
    for block in blocks:
        scope: dict[str, object] = {}
        exec(block, scope)
        assert len(scope["table"]) == 300


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            written_at_build = "generated/" in target  # by docs/_ext/reference.py; make docs finds what is missing
            if not target.startswith(("http://", "https://")) and not written_at_build:
                assert (page.parent / target).exists(), (page.name, target)
