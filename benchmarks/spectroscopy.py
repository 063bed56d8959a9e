"""The shipped models against spectroscopy, and three estimators for RRc; tables of docs/results.md.

    make spectroscopy        (needs the sets of docs/data.md under $PHOTFEH_DATA; minutes; runs/ keeps the fits)

No star of Crestani+ 2021 taught a point prediction. The way to that scale is fitted leave-one-out wherever it is scored
on these stars; what was fitted on Liu+ 2020 is scored out of fold there.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import photfeh as pf
from label_tables import high_resolution, low_resolution, overtone_i_band, overtone_relation
from laboratory import SETS
from photfeh.inference.calibration import Calibration
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.scale import Spectroscopy, leave_one_out
from photfeh.inference.spectroscopy import compared, of_type
from photfeh.samples.dataset import Dataset
from pretrain import PRETRAINED, RECIPES
from real_data import markdown, opened

EPOCHS = {
    "high": "crestani-spectroscopic/epoch_photometry.parquet",
    "low": "liu-2020-spectroscopic/epoch_photometry.parquet",
    "gaia": "gaia-dr3/epoch_photometry.parquet",
}
DEFAULT = "dekany-i-band-distilled"
RAW: dict[str, Any] = {"representations": ("raw",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    data = Path(options.data)
    high_resolution_table(data)
    low_resolution_table(data, options.runs)
    distillation_table(data, options.runs)
    overtones(data, options.runs)


# ---------------------------------------------------------------------- RRab, high resolution
def high_resolution_table(data: Path) -> None:
    print("### (c) High-resolution spectroscopy: 93 RRab of Crestani+ 2021 with Gaia DR3 G epochs\n")
    stars, epochs = high_resolution(data), data / EPOCHS["high"]
    rows = []
    for name in ("dekany-i-band-distilled", "dekany-i-band", "gru", "gaia-dr3-relation", "liu-2020"):
        ensemble = Ensemble.load(PRETRAINED / name)
        high = of_type(compared(ensemble, epochs, stars), "RRab")
        others = (
            ()
            if name == "liu-2020"
            else (of_type(compared(ensemble, data / EPOCHS["low"], low_resolution(data)), "RRab"),)
        )
        rows.append({"method": f"`{name}`, spectroscopic scale, leave-one-out"} | scored_by_map(high, *others))
        if name == DEFAULT:
            alone = scored_by_map(high)
            rows.append({"method": "the same, scatter from these stars alone"} | alone)
            plain = pf.predict(epochs, stars, model=name, scale="labels")
            rows.append({"method": "the same, on the scale of its labels"} | of_table(plain, stars))
            free = replace(ensemble, notes={**ensemble.notes, "feh_range": [-np.inf, np.inf]})
            unclipped = of_type(compared(free, epochs, stars), "RRab")
            rows.append(
                {"method": "the same, not kept within its labels, leave-one-out"} | scored_by_map(unclipped, *others)
            )
    table = stars.set_index("source_id")
    peer = pd.read_csv(data / "crestani-spectroscopic" / "peer_predictions.csv").set_index("source_id").iloc[:, 0]
    truth = table["feh"].reindex(peer.index)
    rows.append(
        {"method": "Dekany & Grebel 2022 (their ten networks), as published"} | scored((peer - truth).to_numpy())
    )
    offsets = np.array([np.median(np.delete((truth - peer).to_numpy(), i)) for i in range(len(peer))])
    rows.append({"method": "the same with an offset, leave-one-out"} | scored((peer - truth).to_numpy() + offsets))
    made = pf.predict(epochs, stars, model="relation")
    rows.append({"method": "Muraveva+ 2025 on our Fourier fit"} | of_table(made, stars))
    gaia = pd.read_parquet(data / "crestani-spectroscopic" / "stars.parquet").set_index("source_id").reindex(peer.index)
    archive = -0.37 - 5.55 * gaia["pf"] + 0.94 * gaia["phi31_g"]
    rows.append({"method": "Muraveva+ 2025 on Gaia's own phi31"} | scored((archive - truth).to_numpy()))
    print(markdown(pd.DataFrame(rows)))


def scored_by_map(high: Spectroscopy, *others: Spectroscopy) -> dict[str, Any]:
    """Every star by a map that was fitted without it."""
    made = leave_one_out(high, *others)
    return scored(made["feh"] - high.truth, made["error"], made["half_90"])


def of_table(made: pd.DataFrame, stars: pd.DataFrame) -> dict[str, Any]:
    """A table of predictions as it is."""
    both = made.merge(stars[["source_id", "feh"]].rename(columns={"feh": "truth"}), on="source_id").dropna(subset="feh")
    half = ((both["feh_upper"] - both["feh_lower"]) / 2).to_numpy()
    return scored((both["feh"] - both["truth"]).to_numpy(), both["feh_error"].to_numpy(), half)


def scored(residual: np.ndarray, error: np.ndarray | None = None, half: np.ndarray | None = None) -> dict[str, Any]:
    """The columns of a row [dex]; shares within the 68 and the 90 % interval where they are known."""
    size = np.abs(residual)
    values = {
        "n": len(residual),
        "bias": float(residual.mean()),
        "rmse": float(np.sqrt(np.mean(residual**2))),
        "sd": float(residual.std()),
        "robust_sd": float(1.4826 * np.median(np.abs(residual - np.median(residual)))),
    }
    shares = {"68 %": error, "90 %": half}
    return values | {name: "" if half is None else float(np.mean(size <= half)) for name, half in shares.items()}


# ---------------------------------------------------------------------- RRab, low resolution
def low_resolution_table(data: Path, runs: Path) -> None:
    print("\n### (c) Low-resolution spectroscopy: 364 RRab of Liu+ 2020 (LAMOST, SEGUE) with Gaia DR3 G epochs\n")
    stars, epochs = low_resolution(data), data / EPOCHS["low"]
    rows = []
    ensemble = Ensemble.load(PRETRAINED / DEFAULT)
    low = of_type(compared(ensemble, epochs, stars), "RRab")
    made = leave_one_out(low)
    own = made["feh"] - low.truth
    rows.append({"method": f"`{DEFAULT}`, this scale, leave-one-out"} | scored(own, made["error"], made["half_90"]))
    default = pf.predict(epochs, stars, model=DEFAULT)
    rows.append({"method": f"`{DEFAULT}`, spectroscopic scale (high resolution)"} | of_table(default, stars))
    plain = pf.predict(epochs, stars, model=DEFAULT, scale="labels")
    rows.append({"method": f"`{DEFAULT}`, on the scale of its labels"} | of_table(plain, stars))
    shift = np.median((default["feh"] - stars["feh"]).dropna())
    moved = default.assign(**{name: default[name] - shift for name in ("feh", "feh_lower", "feh_upper")})
    rows.append({"method": f"`{DEFAULT}`, spectroscopic scale, offset removed"} | of_table(moved, stars))
    residual, error, half, _ = out_of_fold(data, runs)
    rows.append({"method": "`liu-2020`, out of fold (ten)"} | scored(residual, error, half))
    rows.append(
        {"method": "Muraveva+ 2025 on our Fourier fit"} | of_table(pf.predict(epochs, stars, model="relation"), stars)
    )
    print(markdown(pd.DataFrame(rows)))
    print("\nIntervals of the first and of `liu-2020` in bins of 40 stars by predicted [Fe/H]:\n")
    print(markdown(bins(made["feh"], own, made["error"], made["half_90"], f"`{DEFAULT}`")))
    print()
    feh = residual + stars["feh"].to_numpy()
    print(markdown(bins(feh, residual, error, half, "`liu-2020`")))


def out_of_fold(data: Path, runs: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Residual, standard error, half of the 90 % interval and fold of ``liu-2020``, calibrated on the other folds."""
    recipe = next(recipe for recipe in RECIPES if recipe.name == "liu-2020")
    dataset = opened(runs / "liu-dataset", data / EPOCHS["low"], low_resolution(data), truth="spectroscopy", **RAW)
    return nested(dataset, runs / "liu", recipe.train["params"], folds=10)


def nested(
    dataset: Dataset, folder: Path, params: dict[str, Any], *, folds: int, weighting: str = "uniform"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mixtures cross-validated; intervals of a star are calibrated on the folds that do not hold it."""
    run = pf.validate(
        dataset, folder, models=("extreme-deconvolution",), representations=("raw",), folds=folds,
        weighting=weighting, params={"extreme-deconvolution": params}, overwrite=True,
    )  # fmt: skip
    score = run.score.set_index("source_id").reindex(dataset.stars["source_id"].iloc[dataset.sample])
    X = dataset.sequences("raw", dataset.sample)
    residual, sigma = (score["feh_pred"] - score["feh_true"]).to_numpy(), score["feh_pred_error"].to_numpy()
    fold = score["fold"].to_numpy()
    error, half = np.full(len(X), np.nan), np.full(len(X), np.nan)
    for held in np.unique(fold):
        here = fold == held
        fitted = Calibration.fit(X[~here], residual[~here], sigma[~here])
        error[here], half[here] = fitted.error(X[here], sigma[here]), fitted.half_width(X[here], sigma[here], 0.9)
    return residual, error, half, fold


def distillation_table(data: Path, runs: Path) -> None:
    """The ensemble and the student that is the default, on all kinds of truth."""
    print("\n### Before and after distillation, on every kind of truth\n")
    formula = next(one for one in SETS if one.name == "gaia-relaxed")
    dataset = formula.dataset(data, runs)
    labelled = dataset.stars.iloc[dataset.sample]
    rows = []
    for name in ("dekany-i-band", DEFAULT):
        ensemble = Ensemble.load(PRETRAINED / name)
        plain = pf.predict(data / formula.epochs, labelled, model=name, scale="labels")
        shift = float(
            np.median((plain.set_index("source_id")["feh"] - labelled.set_index("source_id")["feh"]).dropna())
        )
        moved = plain.assign(**{column: plain[column] - shift for column in ("feh", "feh_lower", "feh_upper")})
        truth = "(a) formula of the same curve (relaxed cuts), offset removed"
        rows.append({"truth": truth, "model": f"`{name}`"} | of_table(moved, labelled))
        noted = ensemble.notes["out_of_fold"]
        own = {column: noted.get(column, "") for column in ("n", "bias", "rmse", "sd", "robust_sd")}
        rows.append({"truth": "(b) I band, out of fold", "model": f"`{name}`"} | own | {"68 %": "", "90 %": ""})
        for truth, key, stars in (
            ("(c) Crestani+ 2021, leave-one-out", "high", high_resolution(data)),
            ("(c) Liu+ 2020, leave-one-out", "low", low_resolution(data)),
        ):
            made = of_type(compared(ensemble, data / EPOCHS[key], stars), "RRab")
            rows.append({"truth": truth, "model": f"`{name}`"} | scored_by_map(made))
    print(markdown(pd.DataFrame(rows).sort_values("truth", kind="stable")))


def bins(feh: np.ndarray, residual: np.ndarray, error: np.ndarray, half: np.ndarray, name: str) -> pd.DataFrame:
    rows = []
    for part in np.array_split(np.argsort(feh), len(feh) // 40):
        values = scored(residual[part], error[part], half[part])
        rows.append({"model": name, "[Fe/H]": f"{feh[part].min():.2f} to {feh[part].max():.2f}"} | values)
    return pd.DataFrame(rows).drop(columns=["sd", "robust_sd"])


# ---------------------------------------------------------------------- RRc
def overtones(data: Path, runs: Path) -> None:
    print("\n### RRc: three estimators on two kinds of label, 5-fold, the same 440 stars\n")
    i_band, relation = overtone_i_band(data), overtone_relation(data)
    both = i_band.merge(relation[["source_id", "feh", "curve_error"]], on="source_id", suffixes=("", "_g"))
    both = both[both["feh"].notna() & both["feh_g"].notna()].reset_index(drop=True)
    well = both["curve_error"] < 0.1
    offset = float(np.median((both["feh_g"] - both["feh"])[well]))
    # two noisy views of one [Fe/H]: each with its own error, on the scale of the first
    variance_i = float(np.var((both["feh_g"] - both["feh"])[well])) / 2
    variance_g = variance_i + both["curve_error"] ** 2
    weight = 1 / variance_i + 1 / variance_g
    views = (both["feh"] / variance_i + (both["feh_g"] - offset) / variance_g) / weight
    labels = {
        "I band": both.assign(feh_error=np.nan),
        "relation of the same curve": both.assign(feh=both["feh_g"], feh_error=np.sqrt(variance_g)),
        "both, each with its error": both.assign(feh=views, feh_error=np.sqrt(1 / weight)),
    }
    print(
        f"The relation lies {offset:+.3f} dex above the I-band labels ({int(well.sum())} stars that have it to 0.1 "
        "dex). Bias, scatter and coverage on each kind of label, the offset between the scales taken away:\n"
    )
    rows, params = [], {"n_members": 12}
    for number, (name, table) in enumerate(labels.items()):
        own = table[["source_id", "period", "type", "feh", "feh_error"]].dropna(subset="feh")
        dataset = opened(runs / f"rrc-dataset-{number}", data / EPOCHS["gaia"], own, types=("RRc",), truth=name, **RAW)
        weighting = "uniform" if number == 0 else "inverse-variance"
        residual, error, half, _ = nested(dataset, runs / f"rrc-{number}", params, folds=5, weighting=weighting)
        stars = dataset.stars.iloc[dataset.sample]
        made = pd.DataFrame(
            {"source_id": stars["source_id"], "feh": residual + stars["feh"], "error": error, "half": half,
             "n_epochs": stars["n_epochs"]}
        )  # fmt: skip
        made["feh"] -= offset if number == 1 else 0.0
        seen = made.merge(both[["source_id", "feh", "feh_g", "curve_error"]], on="source_id", suffixes=("", "_i"))
        groups = {
            "I band, all": seen["feh_i"],
            "I band, more than 40 epochs": seen["feh_i"].where(seen["n_epochs"] > 40),
            "relation, all": seen["feh_g"] - offset,
            "relation, to 0.1 dex": (seen["feh_g"] - offset).where(seen["curve_error"] < 0.1),
        }
        for truth, values in groups.items():
            known = values.notna().to_numpy()
            off = (seen["feh"] - values).to_numpy()[known]
            # a label by the relation has an error of the curve that the estimator does not speak of
            noise = np.where(truth.startswith("relation"), seen["curve_error"], 0.0)[known]
            wide = [
                np.hypot(seen[column].to_numpy()[known], k * noise)
                for column, k in (("error", 0.9945), ("half", 1.6449))
            ]
            rows.append({"trained on": name, "label": truth} | scored(off, *wide))
    print(markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
