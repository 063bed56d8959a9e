"""Fit the ways from the scales of the shipped models to the spectroscopic one, and write their cards.

    make pretrained          (needs the sets of docs/data.md under $PHOTFEH_DATA; part of it, half a minute)

RRab: offset from the stars of Crestani+ 2021 (high resolution); scatter and quantiles from these and, where the model
was not trained on them, the stars of Liu+ 2020 with an offset of their own. RRc: no spectroscopy is at hand. The
relation of Muraveva+ 2025 stands for it: the offset is the median difference between it, on well-observed curves, and
the I-band labels; the scatter is the published one.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from distil import RECIPE as STUDENT
from label_tables import high_resolution, low_resolution, overtone_i_band, overtone_relation
from photfeh.inference.ensemble import Ensemble
from photfeh.inference.scale import ScaleMap
from photfeh.inference.spectroscopy import compared, of_type
from pretrain import PRETRAINED, RECIPES, card

HIGH = "crestani-2021"
PUBLISHED_SCATTER = 0.21
"""RRc about the relation, Muraveva+ 2025 (MNRAS, arXiv 2407.05815) [dex]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--models", default=",".join(recipe.name for recipe in (*RECIPES, STUDENT)))
    options = parser.parse_args()
    data = options.data
    for recipe in (*RECIPES, STUDENT):
        folder = PRETRAINED / recipe.name
        if not folder.is_dir() or recipe.name not in options.models.split(","):
            continue
        ensemble = Ensemble.load(folder)
        maps = [way for kind in ensemble.types for way in ways(ensemble, kind, data)]
        ensemble = replace(ensemble, maps=tuple(maps))
        ensemble.save(folder)
        card(ensemble, recipe)
        print(recipe.name, *maps, sep="\n  ", flush=True)


def ways(ensemble: Ensemble, kind: str, data: Path) -> list[ScaleMap]:
    """The maps of one model for one star type."""
    if kind == "RRc":
        return [overtone(ensemble, data)]
    high = of_type(beside(ensemble, data, "crestani-spectroscopic", high_resolution(data)), kind)
    if ensemble.label_scale == "liu-2020":
        basis = f"offset, scatter and quantiles from {len(high.feh)} stars of Crestani+ 2021"
        return [ScaleMap.fit(high, scale=HIGH, types=(kind,), basis=basis)]
    low = of_type(beside(ensemble, data, "liu-2020-spectroscopic", low_resolution(data)), kind)
    basis = (
        f"offset from {len(high.feh)} stars of Crestani+ 2021, scatter and quantiles from these and {len(low.feh)} of "
        "Liu+ 2020, both sets alike"
    )
    other = f"offset from {len(low.feh)} stars of Liu+ 2020, scatter and quantiles from these"
    return [
        ScaleMap.fit(high, low, scale=HIGH, types=(kind,), basis=basis),
        ScaleMap.fit(low, scale="liu-2020", types=(kind,), basis=other),
    ]


def beside(ensemble: Ensemble, data: Path, name: str, stars: object) -> object:
    return compared(ensemble, data / name / "epoch_photometry.parquet", stars)


def overtone(ensemble: Ensemble, data: Path) -> ScaleMap:
    """RRc: by way of the relation, which was calibrated on high-resolution spectroscopy."""
    if ensemble.label_scale == "muraveva-2025":
        basis = "the relation was calibrated on high-resolution spectroscopy; its published scatter"
        return ScaleMap.published(HIGH, ("RRc",), scatter=PUBLISHED_SCATTER, basis=basis)
    difference = relation_minus_labels(data)
    return ScaleMap.published(
        HIGH, ("RRc",), scatter=PUBLISHED_SCATTER, offset=float(np.median(difference)),
        offset_error=1.2533 * float(np.std(difference) / np.sqrt(len(difference))),
        basis=f"by way of the relation of Muraveva+ 2025, on {len(difference)} stars that have it to 0.1 dex and an "
        "I-band label; its published scatter, since no spectroscopic RRc are at hand",
    )  # fmt: skip


def relation_minus_labels(data: Path) -> np.ndarray:
    """The relation's [Fe/H] from well-observed G curves minus the I-band label of the same star [dex]."""
    stars, relation = overtone_i_band(data), overtone_relation(data)
    difference = relation["feh"].to_numpy() - stars["feh"].to_numpy()
    return difference[np.isfinite(difference) & (relation["curve_error"].to_numpy() < 0.1)]


if __name__ == "__main__":
    main()
