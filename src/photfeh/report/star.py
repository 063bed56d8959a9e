"""One star on a page: what was observed, how the models see it, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from photfeh.core.bands import require_same_band
from photfeh.core.errors import BadInput
from photfeh.core.files import written
from photfeh.core.flags import describe
from photfeh.core.identifiers import source_id_of
from photfeh.core.lightcurves import LightCurves
from photfeh.core.stars import restore_names, validate_stars
from photfeh.core.types import BoolArray, FloatArray
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.prediction import Predictor, load
from photfeh.readers.pairing import of_curves, stars_of
from photfeh.readers.stream import iter_lightcurves
from photfeh.report.figures.star import lines_of, star_curve, star_feh, star_place, star_times, star_words
from photfeh.report.figures.style import STYLE
from photfeh.samples.measure import Measurement, measure
from photfeh.samples.periods import Periods
from photfeh.samples.sequences import Representation, build_sequences, shape_features

__all__ = ["check_figure", "plot_star"]

SUFFIXES = (".png", ".pdf", ".svg")
_MADE_BY = "photfeh"
_NO_WEIGHT = 0.1
"""Points below this robust weight count as rejected, as in ``n_rejected``."""


def plot_star(
    epochs: Any,
    star: int | str | None = None,
    *,
    stars: Any = None,
    model: str | Path | Ensemble | Predictor | None = None,
    output: str | Path | None = None,
    band: str | None = None,
    any_band: bool = False,
    periods: Periods = "given",
    columns: Mapping[str, str] | None = None,
    id_column: str | None = None,
    figure: Figure | None = None,
    overwrite: bool = False,
) -> Figure:
    """Draw one star: folded curve and fit, place among the training stars, [Fe/H] with its interval, flags in words.

    Parameters
    ----------
    epochs, stars, model, band, any_band, periods, columns, id_column
        As for :func:`photfeh.predict`.
    star : int or str, optional
        Its identifier, number or name. May be left out where ``epochs`` hold one star.
    output : path, optional
        Write the figure there too (.png, .pdf or .svg).
    figure : matplotlib.figure.Figure, optional
        An empty one to draw on, such as one on the screen. Default: a new one that pyplot does not know of.
    overwrite : bool
        Replace an ``output`` that photfeh did not draw.

    Returns
    -------
    matplotlib.figure.Figure
        Of a star that cannot be predicted it shows what there is, and says why.

    Raises
    ------
    BadInput
        if the star is neither in the epochs nor in the star table, or ``epochs`` hold several and none is named.
    BandMismatch
        as :func:`photfeh.predict`.
    """
    if output is not None:
        check_figure(output, overwrite=overwrite)
    predictor = model if isinstance(model, Predictor) else load(model)
    band = band or (epochs.band if isinstance(epochs, LightCurves) else predictor.band)
    predictor.check_band(band, any_band=any_band)
    curves, row = _one(epochs, star, stars, band, columns, id_column)
    known = [name for name in ("source_id", "period", "type") if name in row.columns]
    measured = measure(curves, row[known], periods=periods)
    predicted = predictor.predict_measured(measured).iloc[0]
    seen = _Seen(predictor, curves, measured, predicted, str(restore_names(row, row)["source_id"].iloc[0]))
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = _draw(seen, Figure() if figure is None else figure)
        if output is not None:
            kind = Path(output).suffix.lower()
            with written(output) as beside:
                made_by = {"Software" if kind == ".png" else "Creator": f"{_MADE_BY} {version('photfeh')}"}
                figure.savefig(beside, format=kind[1:], dpi=160, metadata=made_by)
    return figure


def check_figure(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse to draw over a file that photfeh did not draw.

    Raises
    ------
    BadInput
        if the suffix is unknown, or the file is not a figure of photfeh and ``overwrite`` is false.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(f"cannot draw {path}: name a file that ends in {', '.join(SUFFIXES)}.")
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name a file to draw, such as {path / 'star.png'}.")
    if path.exists() and not overwrite and _MADE_BY.encode() not in path.read_bytes():
        raise BadInput(f"{path} exists and was not drawn by photfeh; name another --output, or say --overwrite.")


def _one(
    epochs: Any,
    star: int | str | None,
    stars: Any,
    band: str,
    columns: Mapping[str, str] | None,
    id_column: str | None,
) -> tuple[LightCurves, pd.DataFrame]:
    """The light curve of the star, perhaps empty, and its row of the star table."""
    curves = _curves_of(None if star is None else source_id_of(str(star)), epochs, band, columns, id_column)
    given = stars_of(epochs, stars, band=band, columns=columns, id_column=id_column)
    number = source_id_of(str(star)) if curves is None else int(curves.source_id[0])
    rows = given[given["source_id"] == number].reset_index(drop=True)
    if not len(rows) and curves is None:
        names = restore_names(given, given)["source_id"].head(3).astype(str)
        raise BadInput(
            f"there is no star {star} in the light curves or the star table; there are {', '.join(names)}, ... "
            "Correct --star, or say which column holds the identifiers (--id-column)."
        )
    if not len(rows):
        rows = validate_stars(pd.DataFrame({"source_id": [str(star) if number < 0 and star is not None else number]}))
    if curves is None:
        nothing = np.zeros(0)
        curves = LightCurves(np.array([number]), np.zeros(2, np.int64), nothing, nothing, nothing, band)
    return curves, rows


def _curves_of(
    number: int | None, epochs: Any, band: str, columns: Mapping[str, str] | None, id_column: str | None
) -> LightCurves | None:
    """The light curve of one star from a source of any size, None where it has none; the only one without a number.

    Raises
    ------
    BadInput
        if no number is given and there are several stars.
    """
    found = None
    how: dict[str, Any] = {"columns": of_curves(columns), "id_column": id_column, "stars_per_chunk": 1000}
    stream: Any = iter_lightcurves(epochs, band=band, **how)
    with closing(stream) as parts:
        for part in parts:
            require_same_band(part.band, band, what="the light curves are", needs="asked was", remedy="Name theirs.")
            if number is None and (len(part) > 1 or found is not None):
                raise BadInput("the light curves are of several stars; name one: --star ID.")
            rows = np.flatnonzero(part.source_id == number) if number is not None else np.arange(len(part))
            if len(rows):
                found = part[rows]
                if number is not None:
                    break
    if found is None and number is None:
        raise BadInput("the light curves hold no star; name one of the star table: --star ID.")
    return found


@dataclass(frozen=True, eq=False)
class _Seen:
    """All that the page of one star needs."""

    predictor: Predictor
    curves: LightCurves
    measured: Measurement
    predicted: pd.Series[Any]
    name: str

    @property
    def row(self) -> pd.Series[Any]:
        return self.measured.table.iloc[0]

    @property
    def fitted(self) -> bool:
        return bool(np.isfinite(self.row["scatter"]))

    @property
    def ensemble(self) -> Ensemble | None:
        """The one that predicted the star."""
        return self.predictor.ensembles.get(str(self.predicted["model"]))


def _draw(seen: _Seen, figure: Figure) -> Figure:
    words = _words(seen)
    size = 0.26 + 0.175 * lines_of(words)
    figure.set_size_inches(7.6, 3.7 + size)
    figure.set_layout_engine("constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(1.55, 1.0), height_ratios=(2.3, 1.0, size / 3.7 * 3.3))
    curve = figure.add_subplot(grid[:2, 0])
    if seen.fitted:
        phase, mag, error, rejected, smooth = _folded(seen)
        star_curve(phase, mag, error, rejected, curve=smooth, band=seen.curves.band, ax=curve)
    else:
        star_times(seen.curves.time, seen.curves.mag, band=seen.curves.band, ax=curve)
        if seen.curves.folded:
            curve.set_xlabel("phase")
    shape = shape_features(seen.measured.harmonics, seen.measured.table["period"].to_numpy(np.float64))[0]
    amplitude = float(shape[1]) if seen.fitted else np.nan
    star_place(float(seen.row["period"]), amplitude, _ranges(seen.predictor), ax=figure.add_subplot(grid[0, 1]))
    numbers = [float(seen.predicted[name]) for name in ("feh", "feh_error", "feh_lower", "feh_upper")]
    trained = None if seen.ensemble is None else seen.ensemble.feh_range
    star_feh(*numbers, trained=trained, ax=figure.add_subplot(grid[1, 1]))
    star_words(words, ax=figure.add_subplot(grid[2, :]))
    figure.suptitle(_title(seen), fontsize=10.5, x=0.01, ha="left")
    return figure


def _folded(seen: _Seen) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray, tuple[FloatArray, FloatArray] | None]:
    """All points with phase 0 at maximum light, which of them were rejected, and the smooth curve."""
    curves, measured, row = seen.curves, seen.measured, seen.row
    period = 1.0 if curves.folded else float(row["period"])
    phase = np.mod((curves.time - float(row["epoch_of_maximum"])) / period, 1.0)
    maximum = float(row["max_phase"])
    used = measured.point_weight >= _NO_WEIGHT
    rejected = ~_among(phase, curves.mag, np.mod(measured.curves.time[used] - maximum, 1.0), measured.curves.mag[used])
    spline = build_sequences(measured, Representation(kind="raw-spline", band=curves.band))
    if not spline.mask[0].all():
        return phase, curves.mag, curves.mag_error, rejected, None
    x = spline.values[0, :, 1].astype(np.float64) / float(row["period"]) - maximum
    return phase, curves.mag, curves.mag_error, rejected, (np.mod(x, 1.0), spline.values[0, :, 0].astype(np.float64))


def _among(phase: FloatArray, mag: FloatArray, some_phase: FloatArray, some_mag: FloatArray) -> BoolArray:
    """Which points are among some of them that went through another folding: same magnitude, phase to 1e-5."""
    cells = 100_000
    there = {
        (m, (int(p * cells) + step) % cells)
        for p, m in zip(some_phase.tolist(), some_mag.tolist(), strict=True)
        for step in (-1, 0, 1)
    }
    points = zip(phase.tolist(), mag.tolist(), strict=True)
    return np.array([(m, int(p * cells) % cells) in there for p, m in points], bool)


def _ranges(predictor: Predictor) -> dict[str, FloatArray]:
    """Ranges of period [d] and amplitude [mag] of the training stars, by model; none of a formula."""
    return {
        f"{'/'.join(ensemble.types)} ({name})": np.asarray(ensemble.limits[:, :2]).T
        for name, ensemble in predictor.ensembles.items()
        if ensemble.limits is not None
    }


def _title(seen: _Seen) -> str:
    row, predicted = seen.row, seen.predicted
    parts = [seen.name]
    if isinstance(row["type"], str) and row["type"]:
        parts.append(row["type"])
    if np.isfinite(row["period"]):
        parts.append(f"P = {float(row['period']):.6g} d")
    parts.append(f"{int(predicted['n_epochs'])} epochs")
    return ",  ".join(parts)


def _words(seen: _Seen) -> list[str]:
    """[Fe/H] in a sentence, then the flags; first of all why there is none."""
    predicted = seen.predicted
    flag = int(predicted["flag"])
    said = [text[0].upper() + text[1:] for text in describe(flag)]
    if not np.isfinite(predicted["feh"]):
        return ["No [Fe/H]: see what follows.", *said]
    ensemble = seen.ensemble
    truth = "" if ensemble is None else f" (labels: {ensemble.notes['truth']})"
    low, high = (f"{float(predicted[name]):.2f}" for name in ("feh_lower", "feh_upper"))
    value = f"[Fe/H] = {float(predicted['feh']):.2f} ± {float(predicted['feh_error']):.2f} dex, 90 % {low} to {high}"
    source = f"by {predicted['model']}{truth}"
    period = {"given": "", "unchecked": ""}.get(str(seen.row["period_source"]), f"; period {seen.row['period_source']}")
    return [f"{value.replace('-', '−')}, {source}{period}.", *(said or ["No flag: nothing unusual."])]
