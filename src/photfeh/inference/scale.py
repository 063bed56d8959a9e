"""Scales of [Fe/H]: on which one a model was taught, and the way from there to spectroscopy with its error.

A model's own intervals speak of its labels. What an astronomer means is the value of a spectrograph. Between the two
lie an offset, and a scatter that no light curve shows: that of the label relation, of abundances at equal pulsation,
and of spectroscopy itself. Both are fitted here on stars with spectroscopy that taught no point prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from photfeh.core.errors import BadInput
from photfeh.core.types import Float64, FloatArray
from photfeh.inference.calibration import LEVELS

__all__ = [
    "LABELS",
    "MIN_STARS",
    "NORMAL",
    "SCALES",
    "SPECTROSCOPIC",
    "Scale",
    "ScaleMap",
    "Spectroscopy",
    "leave_one_out",
]

LABELS = "labels"
"""The word for the scale that a model was taught on, whatever it is."""
SPECTROSCOPIC = "spectroscopic"
"""The word for the scale that [Fe/H] is given on unless another is asked for: high-resolution spectroscopy."""
NORMAL = {0.5: 0.6745, 0.68: 0.9945, 0.8: 1.2816, 0.9: 1.6449, 0.95: 1.96}
"""Half-widths of the central intervals of a Gaussian, in standard deviations."""
MIN_STARS = 20
"""Least number of stars with spectroscopy that a map is fitted on."""
_MOST = 5.0


@dataclass(frozen=True)
class Scale:
    """What a scale of [Fe/H] rests on, and where it was published."""

    meaning: str
    source: str


SCALES: dict[str, Scale] = {
    "crestani-2021": Scale("high-resolution spectroscopy", "Crestani+ 2021, ApJ 908, 20"),
    "liu-2020": Scale("LAMOST and SEGUE spectra of low resolution", "Liu+ 2020, ApJS 247, 68"),
    "dekany-2021": Scale("relations for OGLE I-band curves of RRab and RRc", "Dekany+ 2021, ApJ 920, 33"),
    "muraveva-2025": Scale("relations for Gaia G curves of RRab and RRc", "Muraveva+ 2025, MNRAS, arXiv 2407.05815"),
}
"""Scales by name. The first is the one that ``spectroscopic`` stands for."""
_SPECTROSCOPIC = next(iter(SCALES))


def named(scale: str) -> str:
    """The name of a scale: ``spectroscopic`` is a word for one of them."""
    return _SPECTROSCOPIC if scale == SPECTROSCOPIC else scale


@dataclass(frozen=True)
class Spectroscopy:
    """Stars with spectroscopy that a model has not seen: what it says of them, and what the spectrograph says.

    ``feh``, ``error`` (N,): prediction and its standard error on the scale of the labels [dex]. ``truth``,
    ``truth_error`` (N,): spectroscopic [Fe/H] and its error [dex]; an error that is not known is NaN and counts as 0.
    """

    feh: Float64[FloatArray, " stars"]
    error: Float64[FloatArray, " stars"]
    truth: Float64[FloatArray, " stars"]
    truth_error: Float64[FloatArray, " stars"]

    def __post_init__(self) -> None:
        if len(self.feh) < MIN_STARS:
            raise BadInput(f"a scale needs at least {MIN_STARS} stars with spectroscopy, found {len(self.feh)}.")
        if not all(np.isfinite(values).all() for values in (self.feh, self.error, self.truth)):
            raise BadInput("[Fe/H] or an error of a star with spectroscopy is NaN; leave such stars out.")

    def without(self, star: int) -> Spectroscopy:
        """All stars but one."""
        return Spectroscopy(*(np.delete(values, star) for values in vars(self).values()))

    @property
    def difference(self) -> FloatArray:
        """Spectroscopy minus prediction, (N,) [dex]."""
        return self.truth - self.feh

    @property
    def variance(self) -> FloatArray:
        """What is known of the variance of the difference, (N,) [dex^2]."""
        return np.asarray(self.error**2 + np.nan_to_num(self.truth_error) ** 2)


@dataclass(frozen=True, kw_only=True)
class ScaleMap:
    """From the scale of a model's labels to another one: an offset, and what it adds to the errors.

    ``scale``: where it leads (a name in :data:`SCALES`). ``types``: star types it holds for. ``offset`` [dex] is added
    to [Fe/H]; ``offset_error`` [dex] is its own error. ``scatter`` [dex]: standard deviation between the two scales
    that no light curve shows. ``quantiles``: half-widths of the central intervals of
    :data:`photfeh.inference.calibration.LEVELS` in units of the total error. ``n_stars``: stars that it was fitted on;
    0 if it is a published one. ``basis``: in words, what it rests on.
    """

    scale: str
    types: tuple[str, ...]
    offset: float
    offset_error: float
    scatter: float
    quantiles: tuple[float, ...]
    n_stars: int
    basis: str

    def __post_init__(self) -> None:
        if not all(isinstance(word, str) for word in (self.scale, self.basis, *self.types)):
            raise TypeError("the scale, the types or the basis of a map to another scale are no texts")
        object.__setattr__(self, "types", tuple(self.types))
        object.__setattr__(self, "quantiles", tuple(float(value) for value in self.quantiles))
        if not self.scale or self.scale in (LABELS, SPECTROSCOPIC) or not self.types:
            raise ValueError("a map leads to a named scale, for one type of stars at least")
        sizes = np.array([self.offset_error, self.scatter], np.float64)
        if not (abs(self.offset) <= _MOST and ((sizes >= 0) & (sizes <= _MOST)).all()):
            raise ValueError(f"the offset or scatter of the map to {self.scale} makes no sense")
        quantiles = np.array(self.quantiles)
        rising = quantiles.shape == (len(LEVELS),) and bool((np.diff(quantiles) >= 0).all())
        if not rising or not (np.isfinite(quantiles).all() and (quantiles > 0).all()):
            raise ValueError(f"the quantiles of the map to {self.scale} are not {len(LEVELS)} rising numbers above 0")

    @classmethod
    def published(
        cls,
        scale: str,
        types: Sequence[str],
        *,
        scatter: float,
        basis: str,
        offset: float = 0.0,
        offset_error: float = 0.0,
    ) -> ScaleMap:
        """A map of the literature, with Gaussian errors."""
        quantiles = tuple(NORMAL[level] for level in LEVELS)
        return cls(
            scale=scale, types=tuple(types), offset=offset, offset_error=offset_error, scatter=scatter,
            quantiles=quantiles, n_stars=0, basis=basis,
        )  # fmt: skip

    @classmethod
    def fit(
        cls, target: Spectroscopy, *others: Spectroscopy, scale: str, types: Sequence[str], basis: str = ""
    ) -> ScaleMap:
        """The median difference to ``target``, and the scatter and quantiles about it.

        ``others``, on other scales, have offsets of their own and only teach the scatter; every set counts alike,
        whatever its number of stars. Scatter: maximum likelihood of a Gaussian on top of the known errors. Quantiles:
        split conformal (Vovk+ 2005), of difference / total error, so that tails heavier than Gaussian are in them.

        Raises
        ------
        BadInput
            if a set has fewer than 20 stars.
        """
        sets = (target, *others)
        offsets = [float(np.median(each.difference)) for each in sets]
        squares = np.concatenate([(each.difference - off) ** 2 for each, off in zip(sets, offsets, strict=True)])
        known = np.concatenate([each.variance for each in sets])
        weight = np.concatenate([np.full(len(each.feh), 1.0 / len(each.feh)) for each in sets])
        scatter = _scatter(squares, known, weight)
        scores = np.sqrt(squares / (known + scatter**2))
        order = np.argsort(scores)
        # the star to be predicted counts too, with a score that may be infinite
        mass = np.cumsum(weight[order]) / (weight.sum() + weight.max())
        ranks = np.minimum(np.searchsorted(mass, LEVELS), len(scores) - 1)
        error = 1.2533 * float(np.sqrt((target.variance + scatter**2).mean() / len(target.feh)))
        return cls(
            scale=scale, types=tuple(types), offset=offsets[0], offset_error=error, scatter=scatter,
            quantiles=tuple(scores[order][ranks]), n_stars=sum(len(each.feh) for each in sets), basis=basis,
        )  # fmt: skip

    def feh(self, feh: Float64[FloatArray, " stars"]) -> Float64[FloatArray, " stars"]:
        """[Fe/H] on the other scale, (N,) [dex]."""
        return feh + self.offset

    def half_width(self, error: Float64[FloatArray, " stars"], level: float) -> Float64[FloatArray, " stars"]:
        """Half-width of the central interval of ``level`` from the error on the scale of the labels, (N,) [dex]."""
        spread = np.sqrt(error**2 + self.scatter**2 + self.offset_error**2)
        return np.asarray(spread * self.quantiles[LEVELS.index(level)])

    def error(self, error: Float64[FloatArray, " stars"]) -> Float64[FloatArray, " stars"]:
        """Total standard error: half the width of the central 68 % interval, (N,) [dex]."""
        return self.half_width(error, 0.68)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScaleMap:
        """The inverse of :meth:`to_dict`.

        Raises
        ------
        ValueError, TypeError
            if the values make no sense.
        """
        if isinstance(values["types"], str):
            raise TypeError("the types of a map to another scale are no list")
        return cls(**values)

    def __str__(self) -> str:
        known = SCALES.get(self.scale)
        what = f"{self.scale} ({known.meaning}, {known.source})" if known else self.scale
        return (
            f"{' and '.join(self.types)} to {what}: {self.offset:+.3f} +- {self.offset_error:.3f} dex, "
            f"scatter {self.scatter:.3f} dex; {self.basis}"
        )


def _scatter(squares: FloatArray, known: FloatArray, weight: FloatArray) -> float:
    """Standard deviation that, added to the known variances, makes the squares likeliest [dex]."""
    from scipy.optimize import minimize_scalar  # only where a map is fitted

    def surprise(scatter: float) -> float:
        total = known + scatter**2 + 1e-12
        return float(np.sum(weight * (np.log(total) + squares / total)))

    return float(minimize_scalar(surprise, bounds=(0.0, 2.0), method="bounded").x)


def leave_one_out(target: Spectroscopy, *others: Spectroscopy) -> dict[str, FloatArray]:
    """What a map says of each star of ``target`` that was fitted without it.

    Returns
    -------
    dict
        ``feh``, ``error`` and, for every level, ``half_50`` ..., each (N,) [dex].
    """
    made: dict[str, list[float]] = {"feh": [], "error": [], **{f"half_{100 * level:.0f}": [] for level in LEVELS}}
    for star in range(len(target.feh)):
        fitted = ScaleMap.fit(target.without(star), *others, scale="left out", types=("any",))
        one = target.error[star : star + 1]
        made["feh"].append(float(fitted.feh(target.feh[star : star + 1])[0]))
        made["error"].append(float(fitted.error(one)[0]))
        for level in LEVELS:
            made[f"half_{100 * level:.0f}"].append(float(fitted.half_width(one, level)[0]))
    return {name: np.array(values) for name, values in made.items()}
