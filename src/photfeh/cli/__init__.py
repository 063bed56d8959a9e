"""The command line: one file for each group of verbs; a command is a few lines that call the library."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point. The commands are imported here, so that Ctrl-C is understood from the first moment."""
    try:
        from photfeh.cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()
