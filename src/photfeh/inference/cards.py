"""Model cards: what a trained model was taught, how well it does, on which stars, and where it must not be trusted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from photfeh.core.bands import get_band
from photfeh.inference.ensemble import Ensemble

__all__ = ["model_card", "weights_sha256"]

_UNITS = "dex"


def model_card(
    ensemble: Ensemble, name: str, *, folder: str | Path | None = None, texts: Mapping[str, str] | None = None
) -> str:
    """Markdown text about a trained model, from what its training noted down.

    Parameters
    ----------
    ensemble : Ensemble
    name : str
        Title of the card.
    folder : path, optional
        The model folder, for the sha256 of its weights.
    texts : mapping, optional
        Further sections, heading to text: intended use, limits, citation, the command that remakes it.
    """
    notes = ensemble.notes
    lines = [f"# {name}", ""]
    if "n_stars" not in notes:
        lines += [
            f"For light curves in {get_band(ensemble.band)}. Published relations between period, Fourier parameters "
            f"and [Fe/H]; training: {notes['training']}."
        ]
    else:
        low, high = notes["feh_range"]
        how, types = notes["training"], " and ".join(ensemble.types)
        lines += [
            f"{len(ensemble.members)} members of the model `{ensemble.name}`, averaged; for {types}.",
            "",
            f"- Truth of the labels: {notes['truth']}.",
            f"- Training stars: {notes['n_stars']:,}, [Fe/H] from {low:.2f} to {high:.2f}; {_counts(notes)}.",
            f"- Cuts: {', '.join(notes.get('cuts') or ['none'])}.",
            f"- Input: light curves in {get_band(ensemble.band)}, representation `{ensemble.representation.name}`; "
            f"weights of the stars: {how['weighting']}.",
            f"- Parameters: {', '.join(f'{key}={value}' for key, value in how['params'].items())}; seed {how['seed']}.",
            *_length(how),
        ]
        lines += ["", f"## Accuracy out of fold [{_UNITS}]", "", *_table(notes.get("scores", []))]
        lines += [
            "",
            "Of one member, on stars that it has not seen; the average of the members is a little better.",
            "",
            "## Coverage of the intervals",
            "",
            *_coverage(notes),
        ]
    if ensemble.maps:
        lines += ["", "## Scale", "", f"The labels are on the scale {ensemble.label_scale}. From there:", ""]
        lines += [f"- {way}." for way in ensemble.maps]
    elif "n_stars" in notes:
        lines += ["", "## Scale", "", f"[Fe/H] is on the scale of the labels: {ensemble.label_scale}."]
    for heading, text in (texts or {}).items():
        lines += ["", f"## {heading}", "", text]
    if "environment" in notes:
        made = notes["environment"]
        versions = ", ".join(f"{key} {value}" for key, value in made["versions"].items())
        lines += [
            "",
            "## Made with",
            "",
            f"{versions}; Python {made['python']}, {made['platform']}, {made['date'][:10]}.",
        ]
        lines += [f"Data set (sha256 of its star table): {notes['dataset_sha256']}."]
    if folder is not None:
        lines += [f"Weights (sha256): {weights_sha256(folder)}."]
    return "\n".join(lines) + "\n"


def weights_sha256(folder: str | Path) -> str:
    """One hash over all weight files of a model folder, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*.safetensors")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _counts(notes: Mapping[str, Any]) -> str:
    extra = notes.get("n_only_train", 0)
    told = [f"{count:,} {kind}" for kind, count in notes.get("type_counts", {}).items()]
    return ", ".join([*told, f"{extra:,} of them only teach and are not scored"] if extra else told)


def _length(how: Mapping[str, Any]) -> list[str]:
    """How long networks were trained, where a budget ruled it."""
    if how.get("budget") == "quick":
        return ["- Trained for a quick look: not converged."]
    if how.get("budget") == "auto" and how["epochs"]:
        cut = "" if how["converged"] else "; not converged when the longest cycle ended, in some members"
        low, high = min(how["epochs"]), max(how["epochs"])
        return [f"- Trained until the tune error stopped falling: {low} to {high} epochs{cut}."]
    return []


def _coverage(notes: Mapping[str, Any]) -> list[str]:
    """What the intervals were scored on, and how many truths they hold."""
    if not notes.get("coverage"):
        return ["Not measured: too few stars, or trained by a version that measured it only with `--verify`."]
    whose = (
        "Of single members, on stars that they have not seen, calibrated on the other folds; `photfeh train --verify` "
        "measures that of their mean."
    )
    if notes.get("verified"):
        whose = "Of ensembles of one member less, on stars that none of their members and no calibration has seen."
    return [whose, "", *_table(notes["coverage"])]


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return ["not recorded"]
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    for row in rows:
        cells = (f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values())
        lines.append("| " + " | ".join(cells) + " |")
    return lines
