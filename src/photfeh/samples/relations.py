"""Published relations between pulsation and metallicity: (period, Fourier parameters) -> [Fe/H]. Data, not code.

Every phi31 in this package belongs to the cosine series; the sine-series value is larger by pi.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from photfeh.core.errors import MissingColumn, UnknownName
from photfeh.core.types import FloatArray

__all__ = ["RELATIONS", "Relation", "get_relation"]


@dataclass(frozen=True, kw_only=True)
class Relation:
    """[Fe/H] = zero_point + sum_i coefficient_i * term_i.

    A term is a column of the star table (``period`` [d], ``phi31`` [rad, cosine series], ``a1``, ``a2`` [mag]) or a
    product of such columns written ``period*phi31``. ``phi31`` is first brought within pi of ``phi31_centre``, about
    the median of the stars that the relation was made for, and then ``phi31_offset`` is added (pi for relations
    calibrated on sine series). ``band`` is a name of :data:`photfeh.core.bands.BANDS`; in other bands the relation does
    not hold. ``variance`` is the intrinsic variance of the relation plus that of its zero point [dex^2], NaN where none
    was published; ``coefficient_variance`` that of the coefficients. ``source`` is the paper the numbers come from.
    """

    name: str
    star_type: Literal["RRab", "RRc"]
    band: str
    zero_point: float
    coefficients: Mapping[str, float]
    variance: float
    coefficient_variance: Mapping[str, float] = field(default_factory=dict)
    phi31_centre: float
    phi31_offset: float = 0.0
    source: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The star-table columns that the relation reads."""
        return tuple(dict.fromkeys(part for term in self.coefficients for part in term.split("*")))

    def feh(self, stars: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
        """[Fe/H] and its standard error [dex], each of shape (len(stars),); NaN where a parameter is missing.

        The error propagates ``<column>_error`` to first order (a missing error column or entry counts as zero for
        ``period``, as unknown, hence NaN, for the others) and adds the relation's own variances.

        Raises
        ------
        MissingColumn
            if a parameter column, or the error column of one other than the period, is absent.
        """
        values = {name: self._column(stars, name) for name in self.columns}
        result = np.full(len(stars), self.zero_point)
        variance = np.full(len(stars), self.variance)
        for term, coefficient in self.coefficients.items():
            product = np.prod([values[part] for part in term.split("*")], axis=0)
            result += coefficient * product
            variance += self.coefficient_variance.get(term, 0.0) * product**2
        return result, np.sqrt(variance + self.curve_error(stars) ** 2)

    def curve_error(self, stars: pd.DataFrame) -> FloatArray:
        """The part of the error that comes from the curve, that is from ``<column>_error`` [dex], (len(stars),).

        Raises
        ------
        MissingColumn
            as :meth:`feh`.
        """
        values = {name: self._column(stars, name) for name in self.columns}
        variance = np.zeros(len(stars))
        for name in self.columns:
            variance += (self._slope(name, values) * self._error(stars, name)) ** 2
        return np.sqrt(variance)

    def _slope(self, name: str, values: Mapping[str, FloatArray]) -> FloatArray | float:
        """Derivative of [Fe/H] with respect to one column."""
        slope: FloatArray | float = 0.0
        for term, coefficient in self.coefficients.items():
            parts = term.split("*")
            if name in parts:
                rest = list(parts)
                rest.remove(name)
                slope = slope + coefficient * parts.count(name) * np.prod([values[part] for part in rest], axis=0)
        return slope

    def _column(self, stars: pd.DataFrame, name: str) -> FloatArray:
        if name not in stars.columns:
            raise MissingColumn(name, f"the star table (relation {self.name})", found=stars.columns)
        value = stars[name].to_numpy(dtype=np.float64)
        if name == "phi31":
            turns = np.round((value - self.phi31_centre) / (2 * math.pi))
            value = value - 2 * math.pi * turns + self.phi31_offset
        return value

    def _error(self, stars: pd.DataFrame, name: str) -> FloatArray:
        column = f"{name}_error"
        if column in stars.columns:
            error = stars[column].to_numpy(dtype=np.float64)
            return np.nan_to_num(error) if name == "period" else error
        if name == "period":
            return np.zeros(len(stars))
        raise MissingColumn(column, f"the star table (relation {self.name})", found=stars.columns)


_MURAVEVA = "Muraveva et al. 2025, MNRAS (arXiv 2407.05815)"
_DEKANY = "Dekany, Grebel & Pojmanski 2021, ApJ 920, 33 (arXiv 2107.05983); sine series"

RELATIONS: dict[str, Relation] = {
    relation.name: relation
    for relation in (
        Relation(
            name="muraveva-2025-rrab", star_type="RRab", band="G", zero_point=-0.37,
            coefficients={"period": -5.55, "phi31": 0.94}, phi31_centre=2.1,
            # fitted to the published errors of 12,877 LMC stars; they are met to 0.006 dex (median)
            variance=0.0851, coefficient_variance={"period": 0.0968, "phi31": 0.00824},
            source=_MURAVEVA,
        ),
        Relation(
            name="muraveva-2025-rrc", star_type="RRc", band="G", zero_point=0.80,
            coefficients={"period": -8.54, "phi31": 0.23, "a2": -9.34}, phi31_centre=3.0,
            # fitted to the published errors of 851 LMC stars; they are met to 0.004 dex (median)
            variance=0.0696, coefficient_variance={"period": 0.194, "phi31": 0.00177, "a2": 2.28},
            source=_MURAVEVA,
        ),
        Relation(
            name="gaia-sos-dr3-rrab", star_type="RRab", band="G", zero_point=3.0336834,
            coefficients={"period": -20.127524, "phi31": 1.3684267, "period*phi31": 6.27, "phi31*phi31": -0.72},
            variance=math.nan, phi31_centre=2.1,  # no scatter was published for the G band
            source="Clementini et al. 2023, A&A 674, A18, after Nemec et al. 2013, ApJ 773, 181",
        ),
        Relation(
            name="dekany-2021-rrab-i", star_type="RRab", band="I", zero_point=-5.819,
            coefficients={"period": -6.350, "a2": 5.785, "phi31": 1.248},
            variance=0.16**2, phi31_centre=5.88 - math.pi, phi31_offset=math.pi, source=_DEKANY,
        ),
        Relation(
            name="dekany-2021-rrc-i", star_type="RRc", band="I", zero_point=-1.821,
            coefficients={"period": -10.014, "a1": 13.835, "a2": -34.704, "phi31": 0.325},
            variance=0.18**2, phi31_centre=6.83 - math.pi, phi31_offset=math.pi, source=_DEKANY,
        ),
        Relation(
            name="high-resolution-2026-rrab", star_type="RRab", band="G", zero_point=-6.93,
            coefficients={"period": -6.04, "phi31": 1.65}, variance=0.26**2, phi31_centre=2.1, phi31_offset=math.pi,
            source="arXiv 2605.13811, 72 RRab with high-resolution spectroscopy; sine series",
        ),
        Relation(
            name="jurcsik-kovacs-1996-rrab-v", star_type="RRab", band="V", zero_point=-5.038,
            coefficients={"period": -5.394, "phi31": 1.345}, variance=0.14**2,
            phi31_centre=5.0 - math.pi, phi31_offset=math.pi,
            source="Jurcsik & Kovacs 1996, A&A 312, 111; sine series",
        ),
    )
}  # fmt: skip
"""Every relation by name. A new one is one entry."""


def get_relation(name: str) -> Relation:
    """The relation of that name.

    Raises
    ------
    UnknownName
        lists the known names.
    """
    try:
        return RELATIONS[name]
    except KeyError:
        raise UnknownName("relation", name, RELATIONS) from None
