"""Remake the trained models of the package: prepare, train, write the model cards.

    make pretrained          (needs the sets of docs/data.md under $PHOTFEH_DATA; resumable, runs/ keeps everything)

The ways to the spectroscopic scale are fitted afterwards, by benchmarks/scales.py.

No star with high-resolution spectroscopy enters a training. The models land in src/photfeh/pretrained/.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from label_tables import fundamental_i_band, low_resolution, overtone_i_band, spectroscopic_ids
from photfeh.inference.cards import model_card
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.training import train
from photfeh.samples.dataset import Dataset
from photfeh.samples.preparation import prepare

HERE = Path(__file__).parents[1]
PRETRAINED = HERE / "src" / "photfeh" / "pretrained"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One model to ship: where its stars come from, how it is trained, what its card says beyond the figures."""

    name: str
    epochs: str
    stars: str | Callable[[Path], pd.DataFrame]
    prepare: dict[str, Any]
    train: dict[str, Any]
    dataset: str
    texts: dict[str, str] = field(default_factory=dict)


_DEKANY_TEXTS = {
    "Intended use": "[Fe/H] of RRab stars from Gaia G light curves with 12 or more clean epochs, in time or folded.",
    "Limits": (
        "Labels are photometric themselves (OGLE I-band relation of Dekany+ 2021): the tables above refer to that "
        "scale. [Fe/H] is given on the spectroscopic one unless asked for otherwise; docs/results.md has the "
        "comparison. Bulge and disk stars taught it; few lie below -2.5 or above -0.3 dex. Not for RRc, RRd or "
        "Blazhko stars of strong modulation with few epochs."
    ),
    "Citation": (
        "Labels, folded curves and folds: Dekany & Grebel 2022 (ApJS 261, 33), Dekany+ 2021 (ApJ 920, 33). "
        "Photometry: ESA/Gaia/DPAC, Gaia DR2; periods: OGLE-IV (Soszynski+ 2014, 2019) and periodograms."
    ),
    "Remake": "`make pretrained` (benchmarks/pretrain.py).",
}
_RELATION_TEXTS = {
    "Intended use": "[Fe/H] on the scale of Muraveva+ 2025 for RRab and RRc from Gaia G light curves.",
    "Limits": (
        "The label of a star is the relation on period, phi31 and A2 of the very curve that the model sees: the "
        "figures above tell how well the model reads the curve, not how accurate [Fe/H] is. RRc labels come from the "
        "relation, too; no spectroscopy stands behind them. Periods are partly from a periodogram of the same epochs. "
        "That InceptionTime reads well-observed curves best, and so is in the model, was seen on stars of this set "
        "(docs/laboratory.md); its size was bounded by that of the package, and its share is fitted within each member."
    ),
    "Citation": (
        "Relations: Muraveva+ 2025 (MNRAS, arXiv 2407.05815). Photometry: ESA/Gaia/DPAC, Gaia DR3 (Clementini+ 2023, "
        "A&A 674, A18); periods: OGLE-IV (Soszynski+ 2014, 2019) and periodograms."
    ),
    "Remake": "`make pretrained` (benchmarks/pretrain.py).",
}
_FURTHER_TEXT = (
    "1,425 fainter curves of the same survey, whose labels are a refitted formula of the I-band curve, teach with 0.22 "
    "of the weight of the others and are scored nowhere. That they help, and about how much weight they bear, was seen "
    "on the stars that the tables above score (docs/experiments.md)."
)
_DEKANY = "dekany-grebel-2022/stars.parquet"
_I_BAND: dict[str, Any] = {"assume_type": "RRab", "truth": "independent passband (OGLE I)"}
_GAIA: dict[str, Any] = {"cuts": "precise-labels", "types": ("RRab", "RRc"), "truth": "same-curve formula"}
_OVERTONE_TEXTS = {
    "Intended use": "[Fe/H] of RRc stars from Gaia G light curves with 12 or more clean epochs.",
    "Limits": (
        "440 disk and bulge stars taught it, by labels that are weak themselves: the I-band relation for RRc (Dekany+ "
        "2021) scatters by 0.47 dex (robust 0.26) about 30 spectroscopic values. No set of RRc with spectroscopy is at "
        "hand: the way to the spectroscopic scale leads over the relation of Muraveva+ 2025 and takes its scatter."
    ),
    "Citation": (
        "Labels: Dekany+ 2021 (ApJ 920, 33) on OGLE-IV curves (Soszynski+ 2014, 2019). Photometry: ESA/Gaia/DPAC, Gaia "
        "DR3 (Clementini+ 2023, A&A 674, A18)."
    ),
    "Remake": "`make pretrained` (benchmarks/pretrain.py).",
}
_LOW_RESOLUTION_TEXTS = {
    "Intended use": (
        "[Fe/H] of RRab from Gaia G light curves on the scale of LAMOST and SEGUE spectra (Liu+ 2020); for comparison "
        "with that catalogue. Against high-resolution spectroscopy the default is better."
    ),
    "Limits": (
        "364 stars taught it. Number of mixtures and of members were chosen on the same folds that the table above "
        "scores (five settings, 0.254 to 0.271 dex)."
    ),
    "Citation": "Labels: Liu+ 2020 (ApJS 247, 68). Photometry: ESA/Gaia/DPAC, Gaia DR3 (Clementini+ 2023).",
    "Remake": "`make pretrained` (benchmarks/pretrain.py).",
}
_UNIFORM: dict[str, Any] = {"representation": "raw", "weighting": "uniform"}
_MIXTURES = {"model": "extreme-deconvolution", "folds": 10, **_UNIFORM}
RECIPES = (
    Recipe(
        name="dekany-i-band", epochs=_DEKANY, stars=fundamental_i_band, prepare=_I_BAND, dataset="i-band-pretraining",
        train={"model": "blend", "scale": "dekany-2021", "representation": "raw", "weighting": "inverse-variance"},
        texts=_DEKANY_TEXTS | {"Further labels": _FURTHER_TEXT},
    ),
    Recipe(
        name="gaia-dr3-relation", epochs="gaia-dr3/epoch_photometry.parquet", stars="gaia-dr3/stars.parquet",
        prepare=_GAIA | {"n_points": {"raw": 264, "spline": 64}}, dataset="gaia-pretraining",
        train={
            "model": "circular-inception", "scale": "muraveva-2025", **_UNIFORM, "representation": "raw+spline",
        }, texts=_RELATION_TEXTS,
    ),
    Recipe(
        name="gru", epochs=_DEKANY, stars=_DEKANY, prepare=_I_BAND, dataset="dekany-pretraining",
        train={"model": "gru", "representation": "spline", "weighting": "uniform", "scale": "dekany-2021"},
        texts=_DEKANY_TEXTS,
    ),
    Recipe(
        name="ogle-i-band-rrc", epochs="gaia-dr3/epoch_photometry.parquet", stars=overtone_i_band,
        prepare={"types": ("RRc",), "truth": "independent passband (OGLE I)"}, dataset="rrc-pretraining",
        train={**_MIXTURES, "params": {"n_members": 4}, "scale": "dekany-2021"}, texts=_OVERTONE_TEXTS,
    ),
    Recipe(
        name="liu-2020", epochs="liu-2020-spectroscopic/epoch_photometry.parquet", stars=low_resolution,
        prepare={"truth": "spectroscopy (LAMOST, SEGUE)"}, dataset="liu-pretraining",
        train={
            **_MIXTURES, "params": {"n_components": 5, "n_members": 12, "label_error": 0.1}, "scale": "liu-2020",
        }, texts=_LOW_RESOLUTION_TEXTS,
    ),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--models", default=",".join(recipe.name for recipe in RECIPES))
    options = parser.parse_args()
    for recipe in RECIPES:
        if recipe.name in options.models.split(","):
            ensemble = make(recipe, options.data, options.runs)
            print(ship(recipe, ensemble, options.runs / f"{recipe.name}-model"), flush=True)


def make(recipe: Recipe, data: Path, runs: Path) -> Ensemble:
    """Prepare the data set and train (or finish) the ensemble."""
    dataset = dataset_of(recipe, data, runs / recipe.dataset)
    print(dataset.cut_flow.to_string(index=False), flush=True)
    return train(
        dataset, runs / f"{recipe.name}-model", **recipe.train, progress=lambda *what: print(*what, flush=True)
    )


def dataset_of(recipe: Recipe, data: Path, folder: Path) -> Dataset:
    """The stars of a recipe with their labels, prepared anew; none that has high-resolution spectroscopy."""
    stars = recipe.stars(data) if callable(recipe.stars) else data / recipe.stars
    return prepare(
        data / recipe.epochs, stars, folder, exclude=spectroscopic_ids(data), representations=("raw", "spline"),
        overwrite=True, **recipe.prepare,
    )  # fmt: skip


def ship(recipe: Recipe, ensemble: Ensemble, trained: Path) -> Path:
    """Copy weights and settings, without anything about single stars, and write the card.

    Weights of networks are rounded to half precision, which changes predictions by less than 0.002 dex.
    """
    target = PRETRAINED / recipe.name
    for member in ensemble.members:
        for name, array in member.arrays_.items():
            if "module." in name and array.dtype.kind == "f":
                member.arrays_[name] = array.astype(np.float16)
    shutil.rmtree(target, ignore_errors=True)
    ensemble.save(target)
    card(ensemble, recipe)
    return target


def card(ensemble: Ensemble, recipe: Recipe) -> None:
    """Write the card beside a model of the package."""
    folder = PRETRAINED / recipe.name
    text = model_card(ensemble, recipe.name, folder=folder, texts=recipe.texts)
    (folder / "MODEL_CARD.md").write_text(text)


if __name__ == "__main__":
    main()
