"""The table of skipped tests at the end of a run: how many, where, and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

REASON = "Skipped: "


def lines(reports):
    """One line a reason, most tests first: its count, the reason, the files."""
    counts, files = Counter(), {}
    for report in reports:
        path, _, text = report.longrepr
        reason = text.removeprefix(REASON)
        counts[reason] += 1
        files.setdefault(reason, set()).add(Path(path).name if "conftest" not in path else Path(report.fspath).name)
    return [f"{number:5}  {reason}  ({', '.join(sorted(files[reason]))})" for reason, number in counts.most_common()]
