"""Folders that photfeh makes bear a mark, so that nothing of the user's is ever written over."""

from __future__ import annotations

from pathlib import Path

from photfeh.core.errors import BadInput
from photfeh.core.files import read_json, write_json

__all__ = ["own_folder"]

_MARK = ".photfeh.json"


def own_folder(folder: str | Path, verb: str, *, overwrite: bool = False) -> Path:
    """Make a folder for the results of a verb, or take one that this verb made before.

    Parameters
    ----------
    folder : path
    verb : str
        The command that writes into it.
    overwrite : bool
        Take the folder whatever it holds; files of the names that the verb writes are replaced.

    Raises
    ------
    BadInput
        if it is a file, or holds files and was not made by this verb.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; name a folder for --output.")
    mark = read_json(folder / _MARK)
    ours = isinstance(mark, dict) and mark.get("made_by") == verb
    if folder.exists() and any(folder.iterdir()) and not ours and not overwrite:
        raise BadInput(
            f"{folder} is not empty and was not made by `photfeh {verb}`; name another --output, or say --overwrite."
        )
    if not ours:
        write_json(folder / _MARK, {"made_by": verb})
    return folder
