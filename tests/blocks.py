"""The command and code blocks of README and docs: found by Sybil, run one after another in a folder of their own."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path

from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if not {"_build", "generated"} & set(page.parts)),
]
EXECUTED_AT_BUILD = {"tutorial.md"}
REAL_DATA = {"results.md", "laboratory.md"}
"""Pages that commands write from real data; their few commands say how, in blocks without a fence."""
EXCUSE = re.compile(r"<!-- (no-run|needs): (.+?) -->\s*\Z", re.S)


def relative(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    """Every fenced block of Python or shell commands of a page: (kind, text, line, excuse or None, package or None)."""
    found = []
    parsers = [CodeBlockParser(language=kind, evaluator=lambda example: None) for kind in ("python", "shell")]
    document = Sybil(parsers=parsers, encoding="utf-8").parse(page)
    for example in document.examples():
        before = EXCUSE.search(document.text[: example.region.start].rstrip() + "\n")
        kind, why = before.groups() if before else (None, None)
        language = "python" if document.text[example.region.start :].lstrip(" `~").startswith("python") else "shell"
        excuse, package = (why, None) if kind == "no-run" else (None, why)
        found.append((language, str(example.parsed), example.line, excuse, package))
    return found


def fences(page):
    """How many fenced blocks of Python or shell commands a page has, counted in the simplest way."""
    return len(re.findall(r"^ *```(?:python|shell)\n", page.read_text(encoding="utf-8"), re.M))


def commands(text):
    """The commands of a shell block as lists of words, without comments."""
    lines = text.replace("\\\n", " ").split("\n")
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def count(pages=PAGES):
    """How many blocks there are, by what becomes of them."""
    tally = Counter()
    for page in pages:
        if page.name in EXECUTED_AT_BUILD:
            tally["cells executed at build"] += page.read_text(encoding="utf-8").count("```{code-cell}")
            continue
        for language, _, _, excuse, _ in blocks(page):
            tally["excused" if excuse else f"{language} run"] += 1
    return tally
