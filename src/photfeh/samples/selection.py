"""Which stars enter a sample, and with which label: published or given metallicities, cuts with their cut-flow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from photfeh.core.bands import require_same_band
from photfeh.core.errors import BadInput, MissingColumn, UnknownName
from photfeh.core.flags import predictable
from photfeh.core.types import BoolArray
from photfeh.samples.relations import Relation, get_relation

__all__ = ["CUT_SETS", "DEFAULT_RELATIONS", "Cut", "add_labels", "apply_cuts", "get_cuts", "label_relations"]

DEFAULT_RELATIONS = ("muraveva-2025-rrab", "muraveva-2025-rrc")
"""What the label ``relation`` means: one relation for each type, both in G."""
_COMPARE = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal}


@dataclass(frozen=True)
class Cut:
    """Keep the stars for which ``column operator value`` holds; a missing value never passes."""

    column: str
    operator: Literal["<", "<=", ">", ">=", "=="]
    value: float
    meaning: str = ""

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value:g}"

    def keeps(self, stars: pd.DataFrame) -> BoolArray:
        """Boolean mask of shape (len(stars),).

        Raises
        ------
        MissingColumn
            if the column is absent.
        """
        if self.column not in stars.columns:
            raise MissingColumn(self.column, f"the star table (cut {self})", found=stars.columns)
        with np.errstate(invalid="ignore"):
            return np.asarray(_COMPARE[self.operator](stars[self.column].to_numpy(np.float64), self.value), bool)

    @classmethod
    def parse(cls, text: str) -> Cut:
        """Read ``"n_epochs>50"``.

        Raises
        ------
        BadInput
            if the text is no such comparison.
        """
        match = re.fullmatch(r"\s*([a-z_][a-z0-9_]*)\s*(<=|>=|==|<|>)\s*([-+0-9.eE]+)\s*", text)
        if not match:
            raise BadInput(f"cannot read the cut {text!r}: write COLUMN<VALUE, for example n_epochs>50.")
        column, operator, value = match.groups()
        return cls(column, operator, float(value))  # type: ignore[arg-type]


_LABEL_ERROR = Cut("feh_error", "<", 0.4, "label error below 0.4 dex")
_AMPLITUDE = Cut("peak_to_peak", "<", 1.4, "peak-to-peak amplitude below 1.4 mag")
_PHI31_ERROR = Cut("phi31_error", "<", 0.10, "phi31 error below 0.10 rad")
CUT_SETS: dict[str, tuple[Cut, ...]] = {
    "founding": (_LABEL_ERROR, _AMPLITUDE, Cut("n_epochs", ">", 50, "more than 50 epochs"), _PHI31_ERROR),
    "well-observed": (_AMPLITUDE, Cut("n_epochs", ">", 50, "more than 50 epochs"), _PHI31_ERROR),
    "relaxed": (_AMPLITUDE, Cut("n_epochs", ">", 20, "more than 20 epochs"), _PHI31_ERROR),
    "precise-labels": (
        _AMPLITUDE,
        Cut("n_epochs", ">", 11, "at least 12 epochs"),
        Cut("feh_curve_error", "<", 0.10, "error of the label from the curve below 0.1 dex"),
    ),
    "none": (),
}
"""Named sets of cuts.

``founding``: Monti & Muraveva 2024, the selection of their 6,696 RRab. The others leave out its cut on the label
error: that error is mostly the relation's own, grows with period and phi31, and so removes long-period and metal-rich
stars however well they were observed. ``precise-labels`` treats RRab and RRc alike: an error of phi31 of 0.1 rad means
0.094 dex for RRab, but 0.023 dex for RRc, whose label depends on A2 instead.
"""


def get_cuts(text: str | Sequence[Cut]) -> tuple[Cut, ...]:
    """Cuts by the name of a set, or from comparisons separated by commas.

    Raises
    ------
    UnknownName, BadInput
        if the text is neither.
    """
    if not isinstance(text, str):
        return tuple(text)
    if text in CUT_SETS:
        return CUT_SETS[text]
    if re.fullmatch(r"[a-z_-]+", text):
        raise UnknownName("set of cuts", text, CUT_SETS)
    return tuple(Cut.parse(part) for part in text.split(",") if part.strip())


def apply_cuts(stars: pd.DataFrame, cuts: Sequence[Cut], types: Sequence[str]) -> tuple[BoolArray, pd.DataFrame]:
    """Which stars form the sample, and how many each step leaves.

    A sample star has a measurable light curve, a label and one of the ``types``, and passes every cut.

    Returns
    -------
    keep : (len(stars),) bool
    cut_flow : DataFrame
        ``cut``, ``meaning``, ``n_before``, ``n_after``, ``n_alone`` (stars of the whole table that pass it alone).
    """
    steps: list[tuple[str, str, BoolArray]] = [
        ("light curve", "light curve and period could be measured", predictable(stars["flag"])),
        ("type", "type is " + " or ".join(types), stars["type"].isin(list(types)).to_numpy(bool)),
        ("label", "has a metallicity label", np.isfinite(stars["feh"].to_numpy(np.float64))),
    ]
    steps += [(str(cut), cut.meaning or str(cut), cut.keeps(stars)) for cut in cuts]
    keep = np.ones(len(stars), bool)
    rows = []
    for name, meaning, passes in steps:
        before = int(keep.sum())
        keep &= passes
        rows.append((name, meaning, before, int(keep.sum()), int(passes.sum())))
    return keep, pd.DataFrame(rows, columns=["cut", "meaning", "n_before", "n_after", "n_alone"])


def label_relations(labels: str, band: str) -> tuple[Relation, ...]:
    """The relations that ``labels`` asks for, none for labels of another kind; checked before anything is measured.

    Raises
    ------
    UnknownName
        if ``labels`` is neither none, column, relation nor relation:NAME or relation:NAME+NAME with known names.
    BandMismatch
        if a relation is not made for curves in ``band``; names both.
    BadInput
        if two relations are for one type of star.
    """
    kind, colon, chosen = labels.partition(":")
    if kind not in ("none", "column", "relation") or (colon and kind != "relation"):
        raise UnknownName("kind of labels", labels, ("none", "column", "relation", "relation:NAME+NAME"))
    if kind != "relation":
        return ()
    relations = tuple(get_relation(name.strip()) for name in (chosen.split("+") if colon else DEFAULT_RELATIONS))
    for relation in relations:
        require_same_band(
            band,
            relation.band,
            what="the light curves are",
            needs=f"the relation {relation.name} is made for",
            remedy="Choose a relation of that band (labels relation:NAME), or give labels in a column.",
        )
    types = [relation.star_type for relation in relations]
    twice = {kind for kind in types if types.count(kind) > 1}
    if twice:
        raise BadInput(f"labels {labels!r} name several relations for {', '.join(sorted(twice))}: choose one a type.")
    return relations


def add_labels(stars: pd.DataFrame, labels: str, *, band: str = "G") -> pd.DataFrame:
    """Set ``feh``, ``feh_error`` and ``feh_source``.

    ``none``: NaN. ``column``: the table's own feh (errors of zero count as unknown). ``relation``: Muraveva+ 2025 for
    RRab and RRc on the measured period, phi31 and A2; a label made from the very curve that a model will see.
    ``relation:NAME`` or ``relation:NAME+NAME``: other ones of :data:`photfeh.samples.relations.RELATIONS`; stars of a
    type for which none is named get no label. ``band`` is that of the curves.

    Raises
    ------
    MissingColumn
        if ``labels`` is ``column`` and there is no feh column.
    UnknownName, BandMismatch, BadInput
        as :func:`label_relations`.
    """
    relations = label_relations(labels, band)
    stars = stars.copy()
    if labels == "column":
        if "feh" not in stars.columns:
            raise MissingColumn("feh", "the star table", accepted=("[fe/h]", "fe_h", "feh_spec"), found=stars.columns)
        error = stars["feh_error"].to_numpy(np.float64) if "feh_error" in stars.columns else np.full(len(stars), np.nan)
        stars["feh_error"] = np.where(error > 0, error, np.nan)
        stars["feh_source"] = "column"
        return stars
    stars["feh"], stars["feh_error"], stars["feh_curve_error"] = np.nan, np.nan, np.nan
    stars["feh_source"] = "none"
    for relation in relations:
        here = (stars["type"] == relation.star_type).to_numpy(bool)
        value, error = relation.feh(stars)
        stars.loc[here, "feh"], stars.loc[here, "feh_error"] = value[here], error[here]
        stars.loc[here, "feh_curve_error"] = relation.curve_error(stars)[here]
        stars.loc[here, "feh_source"] = relation.name
    return stars
