"""Star tables with labels that several sets of docs/data.md give together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from photfeh.readers import read_lightcurves, read_stars
from photfeh.samples.measure import measure
from photfeh.samples.relations import get_relation

SPECTROSCOPIC = "crestani-spectroscopic/stars.parquet"


def spectroscopic_ids(data: Path) -> np.ndarray:
    """Stars with high-resolution spectroscopy, which teach nothing."""
    return pd.read_parquet(data / SPECTROSCOPIC, columns=["source_id"])["source_id"].to_numpy()


def high_resolution(data: Path) -> pd.DataFrame:
    """The stars of Crestani+ 2021, all of them RRab; an error of 0 is not known."""
    table = pd.read_parquet(data / SPECTROSCOPIC, columns=["source_id", "pf", "feh", "feh_error"])
    errors = table["feh_error"].where(table["feh_error"] > 0)
    return read_stars(table.assign(feh_error=errors, type="RRab").rename(columns={"pf": "period"}))


def low_resolution(data: Path) -> pd.DataFrame:
    """The stars of Liu+ 2020, without those of Crestani+ 2021."""
    table = pd.read_parquet(data / "liu-2020-spectroscopic" / "stars.parquet")
    table = table[~table["source_id"].isin(spectroscopic_ids(data))]
    return read_stars(table[["source_id", "period", "feh", "feh_error"]].assign(type="RRab"))


FURTHER_OFFSET, FURTHER_SCATTER, OWN_SCATTER = -0.094, 0.28, 0.15
"""Labels of the fainter curves minus what a mixture taught by the others says of them: median, robust scatter; and the
scatter of the others' labels about what a G curve says of them [dex] (``joint_labels.py``; folds agree to 0.006)."""


def fundamental_i_band(data: Path) -> pd.DataFrame:
    """RRab of Dekany & Grebel 2022, and 1,425 fainter ones of their curves with a refitted label, which only teach.

    Weights by inverse variance give one of the latter 0.22 of what one of the former has.
    """
    columns = ["source_id", "period", "feh", "fold"]
    stars = pd.read_parquet(data / "dekany-grebel-2022" / "stars.parquet", columns=columns).set_index("source_id")
    further = pd.read_parquet(data / "ogle-i-band" / "dekany_grebel_rrab.parquet").set_index("source_id")["feh_i"]
    only_train = stars["feh"].isna() & stars.index.isin(further.index)
    error = np.where(only_train, np.hypot(OWN_SCATTER, FURTHER_SCATTER), OWN_SCATTER)
    feh = stars["feh"].fillna(further.reindex(stars.index) - FURTHER_OFFSET)
    table = stars.assign(feh=feh, feh_error=error, only_train=only_train, type="RRab").reset_index()
    return read_stars(table[table["feh"].between(-3.5, 0.8)])


def overtone_i_band(data: Path) -> pd.DataFrame:
    """RRc of Gaia DR3 with [Fe/H] from the OGLE I-band curve."""
    labels = pd.read_parquet(data / "ogle-i-band" / "gaia_dr3_rrc.parquet", columns=["source_id", "period", "feh_i"])
    labels = labels[~labels["source_id"].isin(spectroscopic_ids(data))]
    return read_stars(labels.rename(columns={"feh_i": "feh"}).assign(type="RRc"))


def overtone_relation(data: Path) -> pd.DataFrame:
    """The same stars with [Fe/H] by the relation of Muraveva+ 2025 on their G curves, and its error by the curve."""
    stars = overtone_i_band(data)
    measured = measure(read_lightcurves(data / "gaia-dr3" / "epoch_photometry.parquet"), stars).table
    relation = get_relation("muraveva-2025-rrc")
    return stars.assign(feh=relation.feh(measured)[0], curve_error=relation.curve_error(measured))
