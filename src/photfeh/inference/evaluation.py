"""The verb ``evaluate``: predictions against any truth, with the numbers that say whether the errors are honest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from photfeh.core.errors import BadColumn, BadInput, MissingColumn
from photfeh.core.flags import Flag
from photfeh.core.identifiers import to_source_id
from photfeh.core.stars import ALIASES
from photfeh.core.types import BoolArray, FloatArray
from photfeh.inference.output import read_predictions
from photfeh.readers.startables import read_stars

__all__ = ["STATISTICS", "Evaluation", "evaluate"]

STATISTICS = {
    "bias": "mean of predicted - true [dex]",
    "sd": "standard deviation of predicted - true [dex]",
    "robust_sd": "1.4826 times the median absolute deviation from the median [dex]",
    "rmse": "root mean square of predicted - true [dex]",
    "mae": "mean absolute difference [dex]",
    "coverage_90": "share of stars whose truth lies in the 90 % interval",
    "coverage_1s": "share within one standard error; 0.683 if errors are Gaussian and right",
    "chi_mean": "mean of (predicted - true) / sqrt(feh_error^2 + truth_error^2), stars with a known truth error",
    "chi_sd": "standard deviation of the same; 1 if both errors are right",
    "chi_within_1": "share of |chi| <= 1; 0.683 if both errors are right",
}
"""What :func:`evaluate` reports, each with the central 95 % of a bootstrap over stars."""

_FEH_EDGES = (-np.inf, -2.5, -2.0, -1.5, -1.0, -0.5, np.inf)
_EPOCH_EDGES = (0, 20, 30, 50, 100, np.inf)
_MAGNITUDES = ("zero_point", "phot_g_mean_mag", "int_average_g", "mag", "g_mag", "gmag")
"""Columns that hold a magnitude, where predictions carry one along (``--full``, ``--keep``), the first first."""
_DRAWS = 1000
_AT_ONCE = 2_000_000  # numbers drawn together
_FEWEST = 5  # stars below which no bootstrap is drawn


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions against truth.

    ``pairs``: one row for every star that has both rows, with what the predictions hold, ``truth``, ``truth_error``
    (NaN: unknown), ``residual`` (predicted - true) and ``chi``. ``metrics``: one row a bin (``by``, ``bin``), ``n``
    and :data:`STATISTICS` with ``_low`` and ``_high``; the first row holds all stars. ``counts``: what was matched.
    """

    pairs: pd.DataFrame
    metrics: pd.DataFrame
    counts: dict[str, int]

    @property
    def scored(self) -> pd.DataFrame:
        """The pairs that have a prediction."""
        return self.pairs[self.pairs["residual"].notna()].reset_index(drop=True)

    @property
    def overall(self) -> dict[str, float]:
        """The statistics of all stars."""
        row = self.metrics.iloc[0].drop(["by", "bin"])
        return {str(name): float(value) for name, value in row.items()}

    def __str__(self) -> str:
        """A report of a screen or two."""
        found = self.counts
        lines = [
            f"{found['scored']} stars compared: {found['predictions']} predictions, {found['truths']} stars with a "
            f"known [Fe/H], {found['matched']} in both",
            f"left out: {found['without_truth']} predictions without truth, {found['without_prediction']} true values "
            f"without prediction, {found['no_feh']} matched stars that could not be predicted (flag says why)",
            "",
        ]
        overall = self.overall
        for name, meaning in STATISTICS.items():
            if np.isfinite(overall[name]):
                span = f"({overall[f'{name}_low']:.3f} to {overall[f'{name}_high']:.3f})"
                lines.append(f"{name:<13}{overall[name]:>7.3f}  {span:<20} {meaning}")
        shown = ["n", "bias", "sd", "robust_sd", "rmse", "mae", "coverage_90", "coverage_1s", "chi_sd"]
        shown = [name for name in shown if self.metrics[name].notna().any()]
        for by, group in self.metrics.iloc[1:].groupby("by", sort=False):
            rows = group.set_index("bin")[shown].rename_axis(None).astype({"n": int})
            lines += ["", f"by {by}", rows.to_string(float_format=lambda value: f"{value:.3f}", na_rep="")]
        return "\n".join(lines)


def evaluate(
    predictions: Any,
    truth: Any,
    *,
    columns: Mapping[str, str] | None = None,
    id_column: str | None = None,
) -> Evaluation:
    """How well predictions agree with any truth, and whether their errors and intervals hold.

    Parameters
    ----------
    predictions
        Table or file as :func:`photfeh.predict` makes it; of others, ``source_id`` and ``feh`` are enough.
    truth
        Star table with ``feh`` and perhaps ``feh_error`` (0 or missing: unknown), as :func:`photfeh.read_stars` takes.
    columns, id_column : optional
        Names of the columns of ``truth``, as for :func:`photfeh.read_stars`.

    Raises
    ------
    MissingColumn
        if predictions or truth have no [Fe/H] or no identifier.
    BadInput
        if not one star is in both, or a star has several predictions.
    """
    made = _predictions(predictions)
    known = read_stars(truth, columns=columns, id_column=id_column)
    where = truth if isinstance(truth, str) or hasattr(truth, "__fspath__") else "the table of truth"
    if "feh" not in known.columns:
        raise MissingColumn("feh", str(where), accepted=ALIASES["feh"], found=known.columns)
    known = known[known["feh"].notna()]
    if not len(known):
        raise BadColumn(f"{where}: column 'feh' holds no value to compare with. Name another with columns (feh=...).")
    error = known["feh_error"] if "feh_error" in known.columns else pd.Series(np.nan, index=known.index)
    truths = pd.DataFrame({"number": known["source_id"], "truth": known["feh"], "truth_error": error.where(error > 0)})
    pairs = made.merge(truths, on="number", how="inner", validate="one_to_one").drop(columns="number")
    if not len(pairs):
        raise BadInput(
            f"not one identifier of {len(made)} predictions occurs among {len(known)} stars of known [Fe/H]. Check "
            "that both name the same stars, or say which column holds the identifiers (id_column, --id-column)."
        )
    pairs["residual"] = pairs["feh"] - pairs["truth"]
    total = np.hypot(pairs["feh_error"].to_numpy(np.float64), pairs["truth_error"].to_numpy(np.float64))
    pairs["chi"] = pairs["residual"].to_numpy(np.float64) / np.where(total > 0, total, np.nan)
    scored = pairs[pairs["residual"].notna()]
    counts = {
        "predictions": len(made), "truths": len(known), "matched": len(pairs), "scored": len(scored),
        "without_truth": len(made) - len(pairs), "without_prediction": len(known) - len(pairs),
        "no_feh": len(pairs) - len(scored),
    }  # fmt: skip
    rows = [{"by": by, "bin": name, **_statistics(group)} for by, name, group in _bins(scored)]
    return Evaluation(pairs, pd.DataFrame(rows), counts)


def _predictions(source: Any) -> pd.DataFrame:
    """With ``number``, the identifier as an integer, and NaN in the columns that are not there."""
    table = read_predictions(source)
    table["number"] = to_source_id(table["source_id"], "the table of predictions")
    repeated = table["number"].duplicated()
    if repeated.any():
        star = table["source_id"][repeated].iloc[0]
        raise BadInput(f"the table of predictions has several rows of star {star}. Keep one row a star.")
    for name in ("feh_error", "feh_lower", "feh_upper"):
        if name not in table.columns:
            table[name] = np.nan
    return table


def _bins(scored: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """All stars, then those of each bin that holds any."""
    yield "all", "all", scored
    for by, name, edges in (
        ("true [Fe/H]", "truth", _FEH_EDGES),
        ("predicted [Fe/H]", "feh", _FEH_EDGES),
        ("number of epochs", "n_epochs", _EPOCH_EDGES),
        *(("magnitude", name, None) for name in _MAGNITUDES if name in scored.columns),
    ):
        if name in scored.columns:
            yield from _in_intervals(by if edges is not None else f"{by} ({name})", scored, name, edges)
    for name in ("type", "model"):
        if name in scored.columns:
            for value, group in scored.groupby(scored[name].fillna("").astype(str), sort=True):
                yield name, str(value) or "unknown", group
    if "flag" in scored.columns:
        flag = scored["flag"].to_numpy(np.int64)
        yield from ((by, name, group) for by, name, group in (
            ("flag", "none", scored[flag == 0]), ("flag", "any", scored[flag != 0]),
            *(("flag", bit.name, scored[(flag & bit) != 0]) for bit in Flag),
        ) if len(group))  # fmt: skip


def _in_intervals(
    by: str, scored: pd.DataFrame, name: str, edges: tuple[float, ...] | None
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Bins [low, high); quartiles where no edges are given."""
    values = pd.to_numeric(scored[name], errors="coerce").to_numpy(np.float64)
    if edges is None:
        inside = values[np.isfinite(values)]
        if not len(inside):
            return
        edges = (-np.inf, *np.unique(np.quantile(inside, [0.25, 0.5, 0.75])), np.inf)
    for low, high in pairwise(edges):
        group = scored[(values >= low) & (values < high)]
        if len(group):
            lower, upper = f"{low:.4g}", f"{high:.4g}"
            below, above = np.isinf(low) or low == 0, np.isinf(high)
            yield by, f"below {upper}" if below else f"{lower} and above" if above else f"{lower} to {upper}", group


def _statistics(group: pd.DataFrame) -> dict[str, float]:
    """:data:`STATISTICS` of some stars with the ends of their bootstrap intervals."""
    columns = group[["residual", "feh_error", "feh_lower", "feh_upper", "truth", "chi"]].to_numpy(np.float64).T
    n = columns.shape[1]
    if n == 0:
        return {"n": 0, **{f"{name}{end}": np.nan for name in STATISTICS for end in ("", "_low", "_high")}}
    found: dict[str, float] = {"n": n, **{name: float(value) for name, value in _of(columns).items()}}
    drawn: list[dict[str, FloatArray]] = []
    rng = np.random.default_rng(0)
    together = max(1, _AT_ONCE // n)
    draws = int(np.clip(2e7 / n, 100, _DRAWS)) if n >= _FEWEST else 0
    for begin in range(0, draws, together):
        drawn.append(_of(columns[:, rng.integers(0, n, (min(together, draws - begin), n))]))
    for name in STATISTICS:
        values = np.concatenate([one[name] for one in drawn]) if drawn else np.zeros(0)
        values = values[np.isfinite(values)]
        low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (np.nan, np.nan)
        found[f"{name}_low"], found[f"{name}_high"] = float(low), float(high)
    return found


def _of(columns: FloatArray) -> dict[str, FloatArray]:
    """:data:`STATISTICS` of (residual, feh_error, feh_lower, feh_upper, truth, chi) (6, ..., n), over the last axis."""
    residual, error, lower, upper, truth, chi = columns
    bias = residual.mean(axis=-1)
    middle = np.median(residual, axis=-1, keepdims=True)
    known = np.isfinite(chi)
    chi_mean = _mean(chi, known)
    return {
        "bias": bias,
        "sd": residual.std(axis=-1),
        "robust_sd": 1.4826 * np.median(np.abs(residual - middle), axis=-1),
        "rmse": np.sqrt(np.mean(residual**2, axis=-1)),
        "mae": np.mean(np.abs(residual), axis=-1),
        "coverage_90": _mean((lower <= truth) & (truth <= upper), np.isfinite(lower) & np.isfinite(upper)),
        "coverage_1s": _mean(np.abs(residual) <= error, np.isfinite(error)),
        "chi_mean": chi_mean,
        "chi_sd": np.sqrt(_mean((chi - chi_mean[..., None]) ** 2, known)),
        "chi_within_1": _mean(np.abs(chi) <= 1, known),
    }


def _mean(values: Any, among: BoolArray) -> FloatArray:
    """Mean over the last axis of the entries that count; NaN where none does."""
    number = np.asarray(among.sum(axis=-1), np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(among, values, 0.0).sum(axis=-1) / np.where(number > 0, number, np.nan))
