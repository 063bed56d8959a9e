"""Who, what and under which licence: pyproject.toml is the source, the files for citation must agree with it.

python tools/citation_files.py --check               leaves with what does not agree
python tools/citation_files.py --version 1.2.3       writes version and today's date into the files for citation
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CFF, CODEMETA, ZENODO, RECIPE = "CITATION.cff", "codemeta.json", ".zenodo.json", "conda/recipe.yaml"


def disagreements(root: Path = ROOT) -> list[str]:
    """What the files for citation and the conda recipe say otherwise than pyproject.toml, in words."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    cff = yaml.safe_load((root / CFF).read_text())
    codemeta = json.loads((root / CODEMETA).read_text())
    zenodo = json.loads((root / ZENODO).read_text())
    expected = {
        (CFF, "title"): (cff["title"], f"photfeh: {project['description']}"),
        (CFF, "license"): (cff["license"], project["license"]),
        (CFF, "keywords"): (cff["keywords"], project["keywords"]),
        (CFF, "authors"): ([one["name"] for one in cff["authors"]], [one["name"] for one in project["authors"]]),
        (CODEMETA, "name"): (codemeta["name"], project["name"]),
        (CODEMETA, "description"): (codemeta["description"], project["description"]),
        (CODEMETA, "license"): (codemeta["license"], f"https://spdx.org/licenses/{project['license']}"),
        (CODEMETA, "keywords"): (codemeta["keywords"], project["keywords"]),
        (CODEMETA, "runtimePlatform"): (codemeta["runtimePlatform"], f"Python {project['requires-python']}"),
        (CODEMETA, "version"): (codemeta.get("version"), cff.get("version")),
        (CODEMETA, "dateModified"): (codemeta.get("dateModified"), _day(cff)),
        (ZENODO, "title"): (zenodo["title"], f"photfeh: {project['description']}"),
        (ZENODO, "license"): (zenodo["license"], project["license"]),
        (ZENODO, "keywords"): (zenodo["keywords"], project["keywords"]),
        (ZENODO, "creators"): (
            [one["name"] for one in zenodo["creators"]],
            [one["name"] for one in project["authors"]],
        ),
        (ZENODO, "upload_type"): (zenodo["upload_type"], "software"),
        (ZENODO, "version"): (zenodo.get("version"), cff.get("version")),
        (RECIPE, "requirements.run"): (
            _conda(root),
            sorted([f"python {project['requires-python']}", *_spaced(project)]),
        ),
    }
    return [
        f"{file}: {field} is {found!r}, pyproject.toml or {CFF} has {wanted!r}"
        for (file, field), (found, wanted) in expected.items()
        if found != wanted
    ]


def _day(cff: dict[str, object]) -> str | None:
    return str(cff["date-released"]) if "date-released" in cff else None


_CONDA_NAMES = {"matplotlib": "matplotlib-base", "tomli-w": "tomli-w", "torch": "pytorch"}


def _spaced(project: dict[str, object]) -> list[str]:
    """``astropy>=6.1`` as conda writes it: ``astropy >=6.1``. conda-forge has small builds of torch: it comes along."""
    wanted = [*project["dependencies"], *project["optional-dependencies"]["torch"]]
    pairs = [re.fullmatch(r"([\w.-]+)(.*)", one).groups() for one in wanted]
    return [f"{_CONDA_NAMES.get(name, name)} {bound}".strip() for name, bound in pairs]


def _conda(root: Path) -> list[str]:
    recipe = yaml.safe_load((root / RECIPE).read_text())
    low = str(recipe["context"]["python_min"])
    return sorted(str(one).replace("${{ python_min }}", low) for one in recipe["requirements"]["run"])


def write(version: str, root: Path = ROOT, day: str | None = None) -> None:
    """Put version and date into the three files; the rest of them stays as it is."""
    day = day or datetime.now(UTC).date().isoformat()
    text = re.sub(r"(?m)^(version|date-released):.*\n", "", (root / CFF).read_text())
    (root / CFF).write_text(f'{text.rstrip()}\nversion: "{version}"\ndate-released: "{day}"\n')
    for name, values in (
        (CODEMETA, {"version": version, "dateModified": day}),
        (ZENODO, {"version": version, "publication_date": day}),
    ):
        content = json.loads((root / name).read_text())
        (root / name).write_text(json.dumps(content | values, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    """What the module's docstring says."""
    parser = argparse.ArgumentParser(description=__doc__)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--check", action="store_true")
    how.add_argument("--version")
    asked = parser.parse_args()
    if asked.version:
        write(asked.version)
    wrong = disagreements()
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
