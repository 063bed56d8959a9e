"""What to cite: photfeh, the papers behind the labels of its models, the relations, the survey."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files

from photfeh.core.errors import UnknownName
from photfeh.samples.relations import get_relation

__all__ = ["ACKNOWLEDGEMENT", "cite"]

ACKNOWLEDGEMENT = (
    "This work has made use of data from the European Space Agency (ESA) mission Gaia "
    "(https://www.cosmos.esa.int/gaia), processed by the Gaia Data Processing and Analysis Consortium (DPAC, "
    "https://www.cosmos.esa.int/web/gaia/dpac/consortium). Funding for the DPAC has been provided by national "
    "institutions, in particular the institutions participating in the Gaia Multilateral Agreement."
)
"""The words that the Gaia archive asks for."""

_SURVEY = ("gaia2016", "gaia2023", "clementini2023")
_OF_MODELS = {  # labels, and the spectroscopy behind the scale
    "dekany-i-band": ("dekany2021", "dekany2022", "crestani2021", "liu2020"),
    "dekany-i-band-distilled": ("dekany2021", "dekany2022", "crestani2021", "liu2020"),
    "gru": ("dekany2021", "dekany2022", "monti2024", "crestani2021", "liu2020"),
    "gaia-dr3-relation": ("muraveva2025", "crestani2021", "liu2020"),
    "liu-2020": ("liu2020", "crestani2021"),
    "ogle-i-band-rrc": ("dekany2021", "muraveva2025"),
    "relation": ("muraveva2025",),
    "default": ("dekany2021", "dekany2022", "muraveva2025", "crestani2021", "liu2020"),
}
_OF_RELATIONS = {
    "muraveva-2025": ("muraveva2025",),
    "gaia-sos-dr3": ("clementini2023", "nemec2013"),
    "dekany-2021": ("dekany2021",),
    "high-resolution-2026": ("highresolution2026",),
    "jurcsik-kovacs-1996": ("jurcsik1996",),
}
"""By the beginning of a relation's name."""


def cite(models: Iterable[str] = ("default",), relations: Iterable[str] = ()) -> str:
    """BibTeX of photfeh, of the survey, and of the papers behind trained models and relations.

    Parameters
    ----------
    models : names of trained models (:func:`photfeh.inference.prediction.list_trained`).
    relations : names of published relations (:data:`photfeh.samples.relations.RELATIONS`).

    Raises
    ------
    UnknownName
        if there is no such model or relation.
    """
    keys = [*_SURVEY]
    for model in models:
        if model not in _OF_MODELS:
            raise UnknownName("trained model", model, _OF_MODELS)
        keys += _OF_MODELS[model]
    for relation in relations:
        keys += _papers(get_relation(relation).name)
    entries = _entries()
    return "\n\n".join([_software(), *(entries[key] for key in dict.fromkeys(keys))])


def _papers(relation: str) -> tuple[str, ...]:
    return next(keys for start, keys in _OF_RELATIONS.items() if relation.startswith(start))


def _software() -> str:
    number = version("photfeh")
    year = datetime.now(UTC).year
    return (
        "@software{photfeh,\n"
        "  author = {{The photfeh developers}},\n"
        "  title = {photfeh: Photometric metallicities of RR Lyrae stars from their light curves},\n"
        f"  year = {{{year}}},\n"
        f"  version = {{{number}}}\n"
        "}"
    )


def _entries() -> dict[str, str]:
    text = files("photfeh.inference").joinpath("references.bib").read_text(encoding="utf-8")
    return {match[1]: match[0].strip() for match in re.finditer(r"@\w+\{(\w+),.*?\n\}", text, re.S)}
