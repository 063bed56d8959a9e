"""A person's first quarter of an hour with photfeh, timed in a fresh clone: install, demo, own CSV, own model."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STEPS = (
    ("make install: environment, torch, photfeh with all its tools", "make install"),
    ("make demo: simulate, prepare, validate, train, predict, report", "make demo"),
    (
        "a table of 100 stars as CSV, periods given",
        ".venv/bin/photfeh predict own.csv --stars stars.csv --output first.csv",
    ),
    ("the same again", ".venv/bin/photfeh predict own.csv --stars stars.csv --output second.csv"),
    ("the same without periods: they are searched", ".venv/bin/photfeh predict own.csv --output third.csv"),
    ("one star as a figure", ".venv/bin/photfeh plot own.csv --stars stars.csv --star {star} --output star.png"),
)
OWN = """
import photfeh as pf
survey = pf.simulate(100, seed=6)
rows = survey.curves.to_arrow().to_pandas().explode(["time", "mag", "mag_error"])
rows.to_csv("own.csv", index=False)
survey.stars[["source_id", "period", "type"]].to_csv("stars.csv", index=False)
print(survey.stars["source_id"].iloc[0])
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="photfeh-minutes-") as home:
        folder = Path(home) / "photfeh"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        clean |= {"XDG_CACHE_HOME": str(Path(home) / "cache"), "NUMBA_CACHE_DIR": str(Path(home) / "numba")}
        star = ""
        print("| step | minutes |\n|---|---|")
        for what, command in STEPS:
            if "own.csv" in command and not star:
                made = [str(folder / ".venv" / "bin" / "python"), "-c", OWN]
                star = subprocess.check_output(made, cwd=folder, env=clean, text=True).strip()
            began = time.monotonic()
            words = command.format(star=star).split()
            done = subprocess.run(words, cwd=folder, env=clean, check=False, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{command}\n{done.stdout}{done.stderr}")
            print(f"| {what} | {(time.monotonic() - began) / 60:.1f} |", flush=True)
        size = (folder / "demo-output" / "report.html").stat().st_size / 1e6
        print(f"\nThe report of the demo is one file of {size:.1f} MB; it opens in any browser, without a network.")


if __name__ == "__main__":
    main()
