"""Where results may go: never over an input, nor over anything that photfeh did not make."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from photfeh.core.errors import BadInput
from photfeh.core.files import read_json, write_json

__all__ = ["keep_inputs", "own_folder"]

_MARK = ".photfeh.json"


def own_folder(folder: str | Path, verb: str, *, inputs: Iterable[object] = (), overwrite: bool = False) -> Path:
    """Make a folder for the results of a verb, or take one that this verb made before.

    Parameters
    ----------
    folder : path
    verb : str
        The command that writes into it.
    inputs : iterable
        What the command reads; none of it may be the folder or lie in it.
    overwrite : bool
        Take the folder whatever it holds; files of the names that the verb writes are replaced, all others stay.

    Raises
    ------
    BadInput
        if it is a file, is or holds an input, or holds files and was not made by this verb.
    """
    folder = Path(folder)
    keep_inputs(folder, inputs, beside=False)
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; name a folder for --output.")
    made = read_json(folder / _MARK)
    ours = isinstance(made, dict) and made.get("made_by") == verb
    if folder.exists() and any(folder.iterdir()) and not ours and not overwrite:
        raise BadInput(
            f"{folder} is not empty and was not made by `photfeh {verb}`; name another --output, or say --overwrite."
        )
    if not ours:
        write_json(folder / _MARK, {"made_by": verb})
    return folder


def keep_inputs(output: str | Path, inputs: Iterable[object], *, beside: bool = True) -> None:
    """Refuse an output that is an input, lies in a folder or pattern of files that is one, or in which one lies.

    Inputs in memory do not matter. With ``beside`` false an output may lie in an input folder, such as a data set, of
    which only known files are read.

    Raises
    ------
    BadInput
        names both.
    """
    real = os.path.realpath(output)
    for source in _paths(inputs):
        there = os.path.realpath(source)
        same = there == real or (os.path.exists(there) and os.path.exists(real) and os.path.samefile(there, real))
        if same:
            raise BadInput(f"{output} is an input of this call and would be lost; name another --output.")
        if _lies_in(there, real):
            raise BadInput(f"{output} holds the input {source}, which could be lost; name another --output.")
        if beside and (_lies_in(real, there) or (not os.path.exists(there) and fnmatch.fnmatch(real, there))):
            raise BadInput(
                f"{output} would be among the inputs {source}, and read with them next time; name another --output."
            )


def _lies_in(path: str, folder: str) -> bool:
    return os.path.isdir(folder) and path.startswith(os.path.join(folder, ""))


def _paths(inputs: Iterable[object]) -> Iterator[str]:
    """The names of files and folders among these things."""
    for thing in inputs:
        if isinstance(thing, (str, os.PathLike)):
            yield os.fspath(thing)
        elif isinstance(thing, (list, tuple)):
            yield from _paths(item for item in thing if isinstance(item, (str, os.PathLike)))
