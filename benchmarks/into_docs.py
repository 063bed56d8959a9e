"""Run a benchmark and put what it prints between the marks of its section in a page of the documentation.

    python benchmarks/into_docs.py docs/benchmarks/signal.md spline benchmarks/bench_spline.py --stars 60000

The page holds ``<!-- spline -->`` and ``<!-- end of spline -->``, each on a line of its own.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path


def main() -> None:
    page, section, *command = sys.argv[1:]
    begin, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->\n"
    text = Path(page).read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise SystemExit(f"{page} has no lines {begin.strip()} and {end.strip()}")
    lines = []
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with status {process.returncode}; {page} is as it was")
    text = Path(page).read_text(encoding="utf-8")  # anew: a benchmark takes long
    where = f"`python {' '.join(command)}` on {os.cpu_count()} cores, {platform.machine()}"
    before, after = text[: text.index(begin)], text[text.index(end) :]
    Path(page).write_text(f"{before}{begin}{where}\n\n{''.join(lines).strip()}\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
