"""A predictor: trained models ready for light curves, and what they say of each star on the scale asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from photfeh.core.bands import require_same_band
from photfeh.core.errors import BandMismatch
from photfeh.core.fingerprint import fingerprint
from photfeh.core.flags import Flag, predictable
from photfeh.core.lightcurves import LightCurves
from photfeh.core.types import BoolArray, FloatArray, IntArray
from photfeh.inference.columns import full_columns
from photfeh.inference.ensemble import Ensemble
from photfeh.samples.measure import Measurement, measure
from photfeh.samples.periods import Periods
from photfeh.samples.sequences import build_sequences

__all__ = ["Predictor"]


@dataclass(frozen=True, eq=False)
class Predictor:
    """Trained models ready for light curves; a star's result depends on that star alone.

    ``ensembles``: by name; a star is predicted by the first that was made for its type.
    """

    name: str
    ensembles: Mapping[str, Ensemble]

    def __post_init__(self) -> None:
        if len({ensemble.band for ensemble in self.ensembles.values()}) != 1:
            told = ", ".join(f"{name}: {ensemble.band}" for name, ensemble in self.ensembles.items())
            raise BandMismatch(f"the parts of model {self.name} are for light curves in unlike bands ({told}).")

    @property
    def band(self) -> str:
        """Passband of the light curves that the models were made for."""
        return next(iter(self.ensembles.values())).band

    def fingerprint(self) -> str:
        """Digest of all that a prediction depends on."""
        return fingerprint(self.name, {name: ensemble.fingerprint() for name, ensemble in self.ensembles.items()})

    @property
    def truth(self) -> str:
        """What the labels of the training were."""
        return "; ".join(str(ensemble.notes["truth"]) for ensemble in self.ensembles.values())

    def predict(
        self,
        curves: LightCurves,
        stars: pd.DataFrame,
        *,
        periods: Periods = "given",
        any_band: bool = False,
        full: bool = False,
        scale: str | None = None,
    ) -> pd.DataFrame:
        """Predictions for every row of a star table (:func:`photfeh.core.stars.validate_stars`), in its order.

        Columns as in :data:`PREDICTION_COLUMNS`, with ``full`` also :data:`photfeh.inference.columns.FULL_COLUMNS`;
        ``periods`` as in :func:`photfeh.samples.measure.measure`, ``scale`` as in :func:`photfeh.predict`.

        Raises
        ------
        BandMismatch
            if the curves are in another band than the model's; with ``any_band`` they are predicted nevertheless, and
            flagged.
        BadInput
            if a part of the model has no way to the scale that was asked for.
        """
        self.check_band(curves.band, any_band=any_band)
        self.check_scale(scale)
        return self.predict_measured(self.measured(curves, stars, periods=periods), full=full, scale=scale)

    def measured(self, curves: LightCurves, stars: pd.DataFrame, *, periods: Periods = "given") -> Measurement:
        """What :meth:`predict_measured` takes, for every row of a star table (:func:`photfeh.samples.measure`)."""
        return measure(curves, stars, periods=periods)

    def predict_measured(self, measured: Measurement, *, full: bool = False, scale: str | None = None) -> pd.DataFrame:
        """Predictions for stars that are measured already, in whatever band they are (flagged if another)."""
        curves, table = measured.curves, measured.table
        flag = table["flag"].to_numpy(np.int64).copy()
        if curves.band != self.band:
            flag |= int(Flag.OTHER_BAND)
        columns = {name: np.full(len(table), np.nan) for name in _NUMBERS}
        chosen, on = np.full(len(table), self.name, dtype=object), np.full(len(table), "", dtype=object)
        free = predictable(flag)
        for name, ensemble in self.ensembles.items():
            mine = free & table["type"].isin(list(ensemble.types)).to_numpy(bool)
            free &= ~mine
            chosen[mine] = name
            on[mine] = self._fill(ensemble, measured, mine, columns, flag, scale)[mine]
        flag[free] |= int(Flag.WRONG_TYPE)
        predicted = pd.DataFrame(
            {
                "source_id": table["source_id"].to_numpy(np.int64),
                **{name: columns[name] for name in ("feh", "feh_error", "feh_lower", "feh_upper")},
                "flag": flag,
                "period": table["period"].to_numpy(np.float64),
                "n_epochs": table["n_epochs"].to_numpy(np.int64),
                "model": chosen.astype(str),
                "scale": on.astype(str),
                "feh_curve_error": columns["feh_curve_error"],
                "feh_curve_error_90": columns["feh_curve_error_90"],
            }
        )
        return pd.concat([predicted, full_columns(table)], axis=1) if full else predicted

    def check_band(self, band: str, *, any_band: bool = False) -> None:
        """Raise BandMismatch unless the model was made for this band, or any will do."""
        if not any_band:
            require_same_band(
                band, self.band, what="the light curves are", needs=f"model {self.name} was trained on curves in",
                remedy="Take a model for that band, or --any-band to predict nevertheless, with a flag.",
            )  # fmt: skip

    def check_scale(self, scale: str | None) -> None:
        """Raise BadInput unless every part has a way to the scale: None (spectroscopy where there is one) always has.

        A name that no scale has, and that no part leads to, is an UnknownName.
        """
        for name, ensemble in self.ensembles.items():
            ensemble.check_scale(scale, name)

    def adapted(
        self, curves: LightCurves, stars: pd.DataFrame, *, periods: Periods = "given", any_band: bool = False
    ) -> Predictor:
        """The same with intervals for the population that these stars are a sample of (weighted conformal prediction).

        Raises
        ------
        BadInput
            if there are too few stars, or they are too unlike those of the calibration.
        """
        return self.adapted_to(self.measured(curves, stars, periods=periods), any_band=any_band)

    def adapted_to(self, measured: Measurement, *, any_band: bool = False) -> Predictor:
        """:meth:`adapted` for stars that are measured already."""
        good = predictable(measured.table["flag"])
        made = {}
        for name, ensemble in self.ensembles.items():
            mine = good & measured.table["type"].isin(list(ensemble.types)).to_numpy(bool)
            good &= ~mine
            made[name] = ensemble
            if mine.any():
                X = build_sequences(measured.select(mine), ensemble.representation, any_band=any_band)
                usable = X.mask.any(axis=1)
                made[name] = ensemble.adapted(X[usable]) if usable.any() else ensemble
        return Predictor(self.name, made)

    @staticmethod
    def _fill(
        ensemble: Ensemble,
        measured: Measurement,
        mine: BoolArray,
        columns: dict[str, FloatArray],
        flag: IntArray,
        scale: str | None,
    ) -> npt.NDArray[np.object_]:
        """Predict the stars ``mine``, write columns and flags in place, and say on which scale each star is."""
        on = np.full(len(mine), "", dtype=object)
        if not mine.any():
            return on
        rows = np.flatnonzero(mine)
        # bands were compared before the stars were measured
        sequences = build_sequences(measured.select(mine), ensemble.representation, any_band=True)
        usable = sequences.mask.any(axis=1)
        flag[rows[~usable]] |= int(Flag.NO_FIT)
        good = rows[usable]
        if not len(good):
            return on
        X = sequences if usable.all() else sequences[usable]
        mean, error, half = ensemble.predict_interval(X)
        flag[good[ensemble.extrapolated(X, mean)]] |= int(Flag.EXTRAPOLATED)
        flag[good[~np.isfinite(mean)]] |= int(Flag.NO_FIT)
        columns["feh_curve_error"][good], columns["feh_curve_error_90"][good] = error, half
        kinds = measured.table["type"].to_numpy()[good]
        for kind in ensemble.types:
            here, way = kinds == kind, ensemble.way_to(scale, kind)
            on[good[here]] = ensemble.label_scale if way is None else way.scale
            if way is not None:
                mean[here] = way.feh(mean[here])
                half[here], error[here] = way.half_width(error[here], 0.9), way.error(error[here])
        columns["feh"][good], columns["feh_error"][good] = mean, error
        columns["feh_lower"][good], columns["feh_upper"][good] = mean - half, mean + half
        return on


_NUMBERS = ("feh", "feh_error", "feh_lower", "feh_upper", "feh_curve_error", "feh_curve_error_90")
