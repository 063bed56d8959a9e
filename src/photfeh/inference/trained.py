"""Trained models by name: those in the package, those made of several, and folders of one's own."""

from __future__ import annotations

import logging
from pathlib import Path

from photfeh.core.errors import UnknownName
from photfeh.inference.cards import model_card, weights_sha256
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.predictor import Predictor

__all__ = ["list_trained", "load", "load_card", "model_place"]

_log = logging.getLogger("photfeh")
_PRETRAINED = Path(__file__).parents[1] / "pretrained"
DEFAULT_MODEL = "default"
_COMPOSED = {"default": ("dekany-i-band-distilled", "ogle-i-band-rrc")}
"""Models made of others: each star goes to the first one that was trained on its type."""


def list_trained() -> list[str]:
    """Names that :func:`load` knows without a folder: the formula and the trained models in the package."""
    shipped = sorted(path.parent.name for path in _PRETRAINED.glob("*/model.json"))
    composed = [name for name, parts in _COMPOSED.items() if set(parts) <= set(shipped)]
    return [*composed, *shipped, "relation"]


def load(model: str | Path | Ensemble | None = None) -> Predictor:
    """A predictor from the name of a model in the package or from a model folder.

    Raises
    ------
    UnknownName
        if it is neither; lists the names.
    BadFile
        if the folder holds no whole model.
    """
    if isinstance(model, Ensemble):
        return Predictor(model.name, {model.name: model})
    name, folders = _folders(model)
    return Predictor(name, {part: _ensemble(folder) for part, folder in folders.items()})


def model_place(model: str | Path | None = None) -> str:
    """The name of a model of the package, or the absolute folder of another: what another process can load it by.

    Raises
    ------
    UnknownName
        as :func:`load`.
    """
    name, folders = _folders(model)
    own = [folder for folder in folders.values() if folder is not None and folder.parent != _PRETRAINED]
    return str(own[0]) if own else name


def _ensemble(folder: Path | None) -> Ensemble:
    """The model in a folder, or the formula; those of the package are tried out by the tests, not on every start."""
    if folder is None:
        return Ensemble.formula()
    return Ensemble.load(folder, try_out=folder.parent != _PRETRAINED)


def load_card(model: str | Path) -> str:
    """The model card, Markdown, of a trained model or model folder; of each part where a model has several.

    Raises
    ------
    UnknownName, BadFile
        as :func:`load`.
    """
    return "\n".join(_card_of(name, folder) for name, folder in _folders(model)[1].items())


def _card_of(name: str, folder: Path | None) -> str:
    """The card that lies in the folder if it is of these weights, else one written from what the training noted."""
    if folder is None:
        return model_card(_ensemble(None), name)
    ensemble, card = _ensemble(folder), folder / "MODEL_CARD.md"
    if card.is_file():
        text = card.read_text(encoding="utf-8", errors="replace")
        if weights_sha256(folder) in text:
            return text
    return model_card(ensemble, name, folder=folder)


def _folders(model: str | Path | None) -> tuple[str, dict[str, Path | None]]:
    """The name of a model and the folder of each of its parts; none for the formula.

    A model folder goes before a shipped model of its name: who trained one here means that.
    """
    name = str(model) if model is not None else DEFAULT_MODEL
    known = name in (*list_trained(), "relation")
    if model is not None and Path(name).is_dir() and (not known or (Path(name) / "model.json").is_file()):
        folder = Path(name).resolve()
        if known:
            _log.info("model %s: the folder %s, not the model of that name in the package", name, folder)
        return folder.name, {folder.name: folder}
    if name == "relation":
        return name, {name: None}
    if known:
        return name, {part: _PRETRAINED / part for part in _COMPOSED.get(name, (name,))}
    raise UnknownName("trained model or model folder", name, list_trained())
