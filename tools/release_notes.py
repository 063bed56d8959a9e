"""What CHANGELOG.md says of one version, for the page of the release.

python tools/release_notes.py 1.2.3
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def notes(version: str, root: Path = ROOT) -> str:
    """The section of a version.

    Raises
    ------
    SystemExit
        if there is none, or fragments are left that no section holds.
    """
    left = [path.name for path in sorted((root / "changes").glob("*.md")) if path.name != "README.md"]
    if left:
        sys.exit(f"changes/ still holds {len(left)} fragments; run make notes VERSION={version} and commit.")
    text = (root / "CHANGELOG.md").read_text()
    found = re.search(rf"^## {re.escape(version)} \([^\n]*\)\n(.*?)(?=^## |\Z)", text, re.S | re.M)
    if found is None:
        sys.exit(f"CHANGELOG.md has no section {version}; run make notes VERSION={version} and commit.")
    return found[1].strip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(notes(*sys.argv[1:]))
