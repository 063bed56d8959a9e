"""The command line: one file for each group of verbs; a command is a few lines that call the library."""

from __future__ import annotations

from photfeh.cli.app import main

__all__ = ["main"]
