"""The third noun: what a model sees of each star, and the settings that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np

from photfeh.core.arrays import frozen, owned
from photfeh.core.bands import get_band, require_same_band
from photfeh.core.errors import BadInput, UnknownName
from photfeh.core.types import Bool, BoolArray, Float32, Float32Array, Float64, FloatArray, Int64, IntArray
from photfeh.samples.measure import N_HARMONICS, Measurement
from photfeh.signal.fold import align_phases
from photfeh.signal.spline import smooth_founding, smooth_periodic

__all__ = [
    "FEATURES",
    "REPRESENTATIONS",
    "SHAPE_FEATURES",
    "PairedRepresentation",
    "PairedSequences",
    "Representation",
    "Sequences",
    "build_sequences",
    "paired",
    "plain_star",
    "shape_features",
]


SHAPE_FEATURES = (
    "period",
    "amplitude1",
    *(f"{part}{k}" for k in range(2, N_HARMONICS + 1) for part in ("cos", "sin")),
)
"""Period [d], A_1 [mag], and R_k1 cos(phi_k1), R_k1 sin(phi_k1) of the regularised decomposition: smooth in the curve,
free of phase wraps."""

_FROM_TABLE = (
    "phi31",
    "phi31_error",
    "a2",
    "a2_error",
    "n_epochs",
    "max_gap",
    "scatter",
    "peak_to_peak",
    "zero_point",
)
FEATURES = (*SHAPE_FEATURES, *_FROM_TABLE, "is_rrc")
"""Columns of ``Sequences.features``."""


_MOST_POINTS = 100_000


@dataclass(frozen=True, kw_only=True)
class Representation:
    """How folded curves become sequences of ``n_points`` steps and two channels: magnitude and phase x period [d].

    ``band``: the passband that the curves must be in (:mod:`photfeh.core.bands`).

    ``raw``: the observed points in order of phase, padded and masked, magnitudes as observed. ``raw-spline``: the
    smoothed curve, magnitudes as observed. ``spline``: the smoothed curve minus its mean.

    ``smoother``: ``periodic`` (robust weights, period 1, lambda by restricted maximum likelihood) on phases
    k / n_points; or ``founding`` (SciPy's smoothing spline, unweighted, not periodic, from the smallest to the largest
    phase of the star, centred on the mean of its points). ``alignment``: phase 0 where the first harmonic's phase is
    zero (``phi1``) or at maximum light (``maximum``). Raw curves of more than ``n_points`` epochs are thinned evenly
    in phase.
    """

    kind: Literal["raw", "raw-spline", "spline"] = "spline"
    band: str = "G"
    n_points: int = 264
    alignment: Literal["phi1", "maximum"] = "phi1"
    smoother: Literal["periodic", "founding"] = "periodic"

    def __post_init__(self) -> None:
        for value, known in (
            (self.kind, REPRESENTATIONS),
            (self.alignment, ("phi1", "maximum")),
            (self.smoother, ("periodic", "founding")),
        ):
            if value not in known:
                raise UnknownName("representation setting", str(value), known)
        get_band(self.band)
        if not isinstance(self.n_points, int) or not 8 <= self.n_points <= _MOST_POINTS:
            raise BadInput(f"n_points must be from 8 to {_MOST_POINTS:,}, found {self.n_points}.")

    @property
    def name(self) -> str:
        """What models, runs and folders call it."""
        return self.kind

    def to_dict(self) -> dict[str, Any]:
        """Plain settings for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(settings: Mapping[str, Any]) -> Representation:
        """The inverse of :meth:`to_dict`, also of a pair."""
        if "beside" not in settings:
            return Representation(**settings)
        return PairedRepresentation(**{**settings, "beside": Representation(**settings["beside"])})


REPRESENTATIONS = ("raw", "raw-spline", "spline")
"""The three data sets of the founding document."""


@dataclass(frozen=True, kw_only=True)
class PairedRepresentation(Representation):
    """A representation, its settings as they are, and another one ``beside`` it, for models that look at both.

    Its name is made of the two, such as ``raw+spline``.
    """

    beside: Representation

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.beside, PairedRepresentation):
            raise BadInput("a representation has one other beside it, not two.")
        require_same_band(
            self.beside.band, self.band, what="the curves beside are", needs="the representation is for",
            remedy="Pair representations of one band.",
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The two names, joined by ``+``."""
        return f"{self.kind}+{self.beside.kind}"

    @property
    def own(self) -> Representation:
        """The first of the two alone."""
        return Representation(**{item.name: getattr(self, item.name) for item in fields(Representation)})


@dataclass(frozen=True, eq=False)
class Sequences:
    """What models see of N stars.

    ``values`` (N, T, 2) float32: magnitude [mag] and phase x period [d]; ``mask`` (N, T) bool: true where a step holds
    data, valid steps first; ``features`` (N, F) float64: :data:`FEATURES`; ``source_id`` (N,) int64;
    ``representation``: the settings that made it. The arrays are read-only and belong to this object.

    Raises
    ------
    BadInput
        if shapes do not match or a valid step is not finite; names the star.
    """

    values: Float32[Float32Array, "stars steps 2"]
    mask: Bool[BoolArray, "stars steps"]
    features: Float64[FloatArray, "stars features"]
    source_id: Int64[IntArray, " stars"]
    representation: Representation = field(default_factory=Representation)

    def __post_init__(self) -> None:
        kinds = (("values", np.float32), ("mask", np.bool_), ("features", np.float64), ("source_id", np.int64))
        for name, dtype in kinds:
            object.__setattr__(self, name, owned(getattr(self, name), dtype))
        n, t = self.mask.shape
        for name, shape in (("values", (n, t, 2)), ("features", (n, len(FEATURES))), ("source_id", (n,))):
            found = getattr(self, name).shape
            if found != shape:
                raise BadInput(f"Sequences: {name} must have shape {shape} to match mask {(n, t)}, found {found}.")
        bad = (~np.isfinite(self.values).all(axis=2) & self.mask).any(axis=1)
        if bad.any():
            raise BadInput(f"Sequences: star {self.source_id[np.argmax(bad)]} has values that are not finite.")

    def __len__(self) -> int:
        return len(self.source_id)

    def __getitem__(self, key: Any) -> Sequences:
        """A subset by mask, indices or slice, in that order."""
        rows = np.arange(len(self))[key]
        return Sequences(
            frozen(self.values[rows]),
            frozen(self.mask[rows]),
            frozen(self.features[rows]),
            self.source_id[rows],
            self.representation,
        )

    @property
    def lengths(self) -> Int64[IntArray, " stars"]:
        """Number of valid steps, shape (N,)."""
        return np.asarray(self.mask.sum(axis=1), np.int64)

    def feature(self, name: str) -> Float64[FloatArray, " stars"]:
        """One column of ``features``, shape (N,)."""
        return np.asarray(self.features[:, FEATURES.index(name)])

    def shape_features(self) -> Float64[FloatArray, "stars 12"]:
        """The columns :data:`SHAPE_FEATURES`, shape (N, 12)."""
        return np.asarray(self.features[:, : len(SHAPE_FEATURES)])


@dataclass(frozen=True, eq=False)
class PairedSequences(Sequences):
    """N stars in one representation, with the same stars ``beside`` in another.

    Everything a :class:`Sequences` has is that of the first; a star without a valid step beside has none at all.

    Raises
    ------
    BadInput
        if the two are not of the same stars in the same order, or not what ``representation`` says.
    """

    beside: Sequences = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        settings = self.representation
        if not isinstance(settings, PairedRepresentation) or settings.beside != self.beside.representation:
            raise BadInput("PairedSequences: the representation is not that of the two sequences.")
        if not np.array_equal(self.source_id, self.beside.source_id):
            raise BadInput("PairedSequences: the sequences beside are of other stars.")
        object.__setattr__(self, "mask", frozen(self.mask & (self.beside.lengths > 0)[:, None]))

    def __getitem__(self, key: Any) -> PairedSequences:
        """A subset of both by mask, indices or slice, in that order."""
        return paired(self.own[key], self.beside[key])

    @cached_property
    def own(self) -> Sequences:
        """The first of the two alone."""
        settings = cast(PairedRepresentation, self.representation).own
        return Sequences(self.values, self.mask, self.features, self.source_id, settings)


def paired(own: Sequences, beside: Sequences) -> PairedSequences:
    """Two sequences of the same stars as one."""
    settings = PairedRepresentation(**vars(own.representation), beside=beside.representation)
    return PairedSequences(own.values, own.mask, own.features, own.source_id, settings, beside=beside)


def build_sequences(measured: Measurement, representation: Representation, *, any_band: bool = False) -> Sequences:
    """Sequences of the measured stars, row by row; a star that cannot be represented has no valid step.

    Raises
    ------
    BandMismatch
        if the curves are in another band than the representation, unless ``any_band``.
    """
    if isinstance(representation, PairedRepresentation):
        both = (representation.own, representation.beside)
        return paired(*(build_sequences(measured, one, any_band=any_band) for one in both))
    curves = measured.curves
    if not any_band:
        require_same_band(
            curves.band, representation.band, what="the light curves are", needs="the representation is for",
            remedy="Prepare these curves with their own band.",
        )  # fmt: skip
    period = measured.table["period"].to_numpy(np.float64)
    order_offsets, phase, mag, weight = curves.offsets, curves.time, curves.mag, measured.point_weight
    if representation.alignment == "maximum":
        phase = align_phases(curves.offsets, phase, -measured.max_phase)
        order = np.lexsort((phase, curves.star_index))
        phase, mag, weight = phase[order], mag[order], weight[order]
    if representation.kind == "raw":
        x, y, mask = _padded(order_offsets, phase, mag, representation.n_points)
    else:
        x, y, mask = _smoothed(order_offsets, phase, mag, weight, representation)
    mask &= (np.isfinite(period) & np.isfinite(measured.table["scatter"].to_numpy(np.float64)))[:, None]
    values = np.zeros((*mask.shape, 2), np.float32)
    # masked before the cast, in which absurd values would overflow
    values[..., 0], values[..., 1] = np.where(mask, y, 0.0), np.where(mask, x * np.nan_to_num(period)[:, None], 0.0)
    features = frozen(_features(measured))
    return Sequences(frozen(values), frozen(mask), features, curves.source_id, representation)


def plain_star(representation: Representation) -> Sequences:
    """One RRab without noise, period 0.55 d, in closed form: to try out whether a model can predict at all."""
    if isinstance(representation, PairedRepresentation):
        return paired(plain_star(representation.own), plain_star(representation.beside))
    n = representation.n_points
    phase = np.arange(n) / n
    mag = 0.3 * np.cos(2 * np.pi * phase) + 0.12 * np.cos(4 * np.pi * phase + 2.4)
    mag = mag if representation.kind == "spline" else mag + 16.0
    features = np.zeros((1, len(FEATURES)))
    known = {
        "period": 0.55, "amplitude1": 0.3, "cos2": -0.29, "sin2": 0.27, "phi31": 2.0, "phi31_error": 0.05, "a2": 0.12,
        "a2_error": 0.01, "n_epochs": 40.0, "max_gap": 0.1, "scatter": 0.01, "peak_to_peak": 0.8, "zero_point": 16.0,
    }  # fmt: skip
    for name, value in known.items():
        features[0, FEATURES.index(name)] = value
    values = np.stack([mag, 0.55 * phase], axis=1).astype(np.float32)[None]
    return Sequences(values, np.ones((1, n), bool), features, np.zeros(1, np.int64), representation)


def shape_features(
    harmonics: Float64[FloatArray, "stars coefficients"], period: Float64[FloatArray, " stars"]
) -> Float64[FloatArray, "stars coefficients-1"]:
    """:data:`SHAPE_FEATURES` from regularised coefficients (N, 2K + 1) and periods (N,): shape (N, 2K)."""
    complex_amplitude = harmonics[:, 1::2] - 1j * harmonics[:, 2::2]
    k = np.arange(1, complex_amplitude.shape[1] + 1)
    first = complex_amplitude[:, :1]
    with np.errstate(invalid="ignore"):
        relative = complex_amplitude * np.exp(-1j * k * np.angle(first)) / np.maximum(np.abs(first), 1e-4)
    columns = [period, np.abs(first[:, 0])]
    for j in range(1, len(k)):
        columns += [relative[:, j].real, relative[:, j].imag]
    return np.column_stack(columns)


def _features(measured: Measurement) -> FloatArray:
    table = measured.table
    rrc = (table["type"] == "RRc").to_numpy(np.float64) if "type" in table.columns else np.zeros(len(table))
    return np.column_stack(
        [
            shape_features(measured.harmonics, table["period"].to_numpy(np.float64)),
            table[list(_FROM_TABLE)].to_numpy(np.float64),
            rrc,
        ]
    )


def _padded(
    offsets: IntArray, phase: FloatArray, mag: FloatArray, n_points: int
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Observed points, left-aligned in rows of ``n_points``; longer curves keep evenly spaced ranks in phase."""
    counts = np.diff(offsets)
    kept = np.minimum(counts, n_points)
    step = np.arange(n_points)[None, :]
    mask = step < kept[:, None]
    rank = np.where(counts[:, None] > n_points, step * counts[:, None] // n_points, step)
    point = np.minimum(offsets[:-1, None] + rank, max(len(phase) - 1, 0))
    if len(phase) == 0:
        return np.zeros(mask.shape), np.zeros(mask.shape), mask
    return np.where(mask, phase[point], 0.0), np.where(mask, mag[point], 0.0), mask


def _smoothed(
    offsets: IntArray,
    phase: FloatArray,
    mag: FloatArray,
    weight: FloatArray,
    representation: Representation,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    if representation.smoother == "founding":
        result = smooth_founding(offsets, phase, mag, representation.n_points)
        counts = np.diff(offsets)
        star = np.repeat(np.arange(len(counts)), counts)
        centre = np.bincount(star, mag, minlength=len(counts)) / np.maximum(counts, 1)
    else:
        weights = np.maximum(weight, 1e-3)
        result = smooth_periodic(offsets, phase, mag, representation.n_points, weights=weights, criterion="reml")
        centre = result.y.mean(axis=1)
    y = result.y - centre[:, None] if representation.kind == "spline" else result.y
    return result.x, y, np.repeat(result.ok[:, None], representation.n_points, axis=1)
