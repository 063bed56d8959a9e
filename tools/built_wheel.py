"""The built wheel: what is in it, and whether an empty environment that has it can predict.

python tools/built_wheel.py check dist [VERSION]       contents, size, version
python tools/built_wheel.py install dist               into an empty environment, without torch and with it
python tools/built_wheel.py smoke INDEX VERSION      the same from a package index
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_BYTES = 12_000_000
PRETRAINED = sorted(path.parent.name for path in ROOT.glob("src/photfeh/pretrained/*/model.json"))
"""Names of the trained models: those of this checkout."""
TORCH = os.environ.get("TORCH", "torch==2.13.0")
SMOKE = Path(__file__).with_name("smoke.py")


def only(folder: str | Path, pattern: str) -> Path:
    """The one file of a folder that matches."""
    found = sorted(Path(folder).glob(pattern))
    if len(found) != 1:
        sys.exit(f"{folder} holds {len(found)} files {pattern}, not one; run make dist.")
    return found[0]


def complaints(wheel: Path) -> list[str]:
    """What is wrong with the contents of a wheel, in words."""
    names = zipfile.ZipFile(wheel).namelist()
    wrong = [f"{name} does not belong in it" for name in names if not belongs(name)]
    wrong += [
        f"the trained model {model} is missing"
        for model in PRETRAINED
        if f"photfeh/pretrained/{model}/member-0/model.safetensors" not in names
    ]
    wrong += [f"{name} is missing" for name in ("photfeh/py.typed", "photfeh/cli/app.py") if name not in names]
    if wheel.stat().st_size > MOST_BYTES:
        wrong.append(f"it has {wheel.stat().st_size:,} bytes, more than {MOST_BYTES:,}")
    return wrong


def belongs(name: str) -> bool:
    """Whether a file is code, weights or metadata: no test, no data, nothing compiled here."""
    top, _, rest = name.partition("/")
    if top.endswith(".dist-info"):
        return True
    suffixes = (".py", ".typed", ".json", ".safetensors", ".md", ".html", ".css", ".js", ".svg", ".bib")
    return top == "photfeh" and rest.endswith(suffixes) and "test" not in rest.lower()


def check(folder: str, version: str = "") -> None:
    """Leave with what is wrong, or say how large the wheel is; with a version, it must be that one."""
    wheel = only(folder, "*.whl")
    wrong = complaints(wheel)
    if version and wheel.name.split("-")[1] != version:
        wrong.append(f"it is not of version {version}")
    if wrong:
        sys.exit(f"{wheel.name}: {'; '.join(wrong)}.")
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(zipfile.ZipFile(wheel).namelist())} files")


def install(wheel: str, version: str) -> None:
    """Install into an empty environment and let it work there: as it comes, and again with torch."""
    with tempfile.TemporaryDirectory(prefix="photfeh-wheel-") as home:
        folder = Path(home)
        venv.create(folder / "env", with_pip=True)
        python = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
        for what in ("light", "torch"):
            began = time.monotonic()
            if what == "torch":
                run(python, "-m", "pip", "install", "--quiet", TORCH, where=folder)
            extra = "[torch]" if what == "torch" else ""
            run(python, "-m", "pip", "install", "--quiet", f"{wheel}{extra}", where=folder)
            installed = time.monotonic() - began
            run(python, "-I", str(SMOKE), what, version, where=folder)
            print(f"{what}: installed in {installed:.0f} s, worked in {time.monotonic() - began - installed:.0f} s")


def run(*command: str | Path, where: Path) -> None:
    """A command in a folder of its own, without this checkout on its path; what it says is shown."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([str(part) for part in command], cwd=where, env=clean, check=False)
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}")


def main(verb: str, *rest: str) -> None:
    """What the module's docstring says."""
    if verb == "check":
        check(*rest)
    elif verb == "install":
        wheel = only(rest[0], "*.whl").resolve()
        install(str(wheel), wheel.name.split("-")[1])
    elif verb == "smoke":
        index, version = rest
        # only photfeh comes from that index: what it stands on is not there
        with tempfile.TemporaryDirectory() as folder:
            download = ("download", "--quiet", "--no-deps", "--index-url", index, "--dest", folder)
            run(sys.executable, "-m", "pip", *download, f"photfeh=={version}", where=Path(folder))
            install(str(only(folder, "*.whl")), version)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:] or ["help"])
