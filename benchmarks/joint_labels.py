"""One latent [Fe/H], labels of several sources: what further labels are worth; a table of docs/experiments.md.

    make experiments         (needs the sets of docs/data.md under $PHOTFEH_DATA; some minutes)

Extreme deconvolution takes an error for every label. Another source of labels joins with a scale and an error of its
own, both learnt in the training part of the fold: its offset is the median difference between its labels and what a
model of the target's own labels says of these stars, its error the scatter about that which the curves do not explain.
Scored are the target's labels, out of fold, beside the model that had no others; a star that is scored lends its other
labels to no fit.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from label_tables import low_resolution, overtone_i_band, overtone_relation, spectroscopic_ids
from photfeh.core.types import FloatArray, IntArray
from photfeh.models.deconvolution import ExtremeDeconvolution
from photfeh.readers import read_stars
from photfeh.samples.sequences import Sequences
from photfeh.validation.pairs import beside_external
from photfeh.validation.splits import make_splits
from real_data import markdown, opened

RAW = {"representations": ("raw",), "cuts": "none"}
LEAST_ERROR = 0.05
GAIA, LIU = "gaia-dr3/epoch_photometry.parquet", "liu-2020-spectroscopic/epoch_photometry.parquet"
DEKANY = "dekany-grebel-2022/stars.parquet"


@dataclass(frozen=True)
class Source:
    """Curves with labels of one kind: N rows, labels and their own errors [dex]."""

    X: Sequences
    feh: FloatArray
    error: FloatArray
    fold: IntArray | None = None

    def rows(self, key: np.ndarray) -> Source:
        return Source(self.X[key], self.feh[key], self.error[key])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PHOTFEH_DATA", "../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    rows = [row for trial in trials(Path(options.data), options.runs / "joint") for row in scored(*trial)]
    print(markdown(pd.DataFrame(rows)))


def trials(data: Path, runs: Path) -> Iterator[tuple[str, Source, dict[str, tuple[Source, ...]], dict[str, float]]]:
    """Title, target, other sources by name, parameters of the mixtures."""
    i_band = source(runs / "i-band", data / DEKANY, data / DEKANY, 0.05, assume_type="RRab")
    further = pd.read_parquet(data / "ogle-i-band" / "dekany_grebel_rrab.parquet", columns=["source_id", "feh_i"])
    curves = pd.read_parquet(data / DEKANY, columns=["source_id", "period"]).merge(further, on="source_id")
    table = read_stars(curves.rename(columns={"feh_i": "feh"}).assign(type="RRab"))
    refitted = source(runs / "refitted", data / DEKANY, table, 0.05)
    liu = source(runs / "liu", data / LIU, low_resolution(data), 0.1)
    gaia = data / "gaia-dr3" / "stars.parquet"
    relation = source(
        runs / "relation", data / GAIA, gaia, None, labels="relation", types=("RRab",), exclude=spectroscopic_ids(data)
    )
    few = {"n_components": 5, "n_members": 12}
    others = {
        "I band (Dekany+ 2021)": (i_band,), "relation of the same curve": (relation,), "both": (i_band, relation)
    }  # fmt: skip
    yield "LAMOST, SEGUE (Liu+ 2020), 10-fold", liu, others, few
    others = {"1,425 refitted I-band labels": (refitted,), "LAMOST, SEGUE": (liu,), "both": (refitted, liu)}
    yield "I band, RRab, published folds", i_band, others, {}
    i_band_rrc = source(runs / "i-band-rrc", data / GAIA, overtone_i_band(data), 0.1, types=("RRc",))
    own = overtone_relation(data)
    known = own.rename(columns={"curve_error": "feh_error"})[["source_id", "period", "type", "feh", "feh_error"]]
    relation_rrc = source(runs / "relation-rrc", data / GAIA, known.dropna(subset="feh"), None, types=("RRc",))
    yield "I band, RRc, 5-fold", i_band_rrc, {"relation of the same curve": (relation_rrc,)}, {"n_members": 12}


def source(folder: Path, epochs: Path, stars: object, error: float | None, **options: object) -> Source:
    """The labelled stars of a file; ``error`` [dex] for all of them, or None: as their table says."""
    dataset = opened(folder, epochs, stars, **(RAW | options))
    table, X = dataset.stars.iloc[dataset.sample], dataset.sequences("raw", dataset.sample)
    feh, fold = table["feh"].to_numpy(float), table["fold"].to_numpy() if "fold" in table else None
    own = np.full(len(feh), error) if error is not None else table["feh_error"].to_numpy(float)
    good = np.isfinite(feh) & (feh > -3.5) & (feh < 0.8) & np.isfinite(own) & X.mask.any(axis=1)
    return Source(X[good], feh[good], np.maximum(own[good], LEAST_ERROR), None if fold is None else fold[good])


def scored(title: str, target: Source, others: dict[str, tuple[Source, ...]], params: dict[str, float]) -> list[dict]:
    """One row a choice of sources."""
    n_folds = 10 if "10-fold" in title else 5
    folds = target.fold
    if folds is None:
        folds = np.empty(len(target.feh), np.int64)
        for split in make_splits(target.feh, n_folds=n_folds, seed=0):
            folds[split.score] = split.fold
    said = {name: np.empty(len(target.feh)) for name in ("none", *others)}
    for fold in np.unique(folds):
        here = folds == fold
        train, X = target.rows(~here), target.X[here]
        alone = fitted([train], params)
        said["none"][here] = alone.predict(X)
        for name, sources in others.items():
            free = [one.rows(~np.isin(one.X.source_id, X.source_id)) for one in sources]
            said[name][here] = fitted([train, *(on_scale(one, alone) for one in free)], params).predict(X)
    plain = pd.Series(said["none"], index=target.X.source_id)
    rows = []
    for name, values in said.items():
        table = pd.DataFrame({"source_id": target.X.source_id, "feh_true": target.feh, "feh_pred": values})
        found = beside_external(table.assign(model="joint", representation="raw"), plain, "alone").iloc[0]
        columns = ("n", "rmse", "mae", "ratio", "ratio_low", "ratio_high")
        rows.append({"scored labels": title, "further labels": name} | {column: found[column] for column in columns})
    return rows


def on_scale(one: Source, alone: ExtremeDeconvolution) -> Source:
    """Labels moved to the scale of the model, with the scatter about it that neither curve nor label explains."""
    mean, sigma = alone.predict_dist(one.X)
    difference = one.feh - mean
    offset = float(np.median(difference))
    scatter = (1.4826 * np.median(np.abs(difference - offset))) ** 2 - float(np.median(sigma**2 + one.error**2))
    return Source(one.X, one.feh - offset, np.sqrt(one.error**2 + max(scatter, 0.0)))


def fitted(sources: list[Source], params: dict[str, float]) -> ExtremeDeconvolution:
    """A mixture of all stars, each label with its error."""
    model = ExtremeDeconvolution(**params)
    model.label_error = np.concatenate([one.error for one in sources])
    names = ("values", "mask", "features", "source_id")
    parts = (np.concatenate([getattr(one.X, name) for one in sources]) for name in names)
    model.fit(Sequences(*parts, sources[0].X.representation), np.concatenate([one.feh for one in sources]))
    return model


if __name__ == "__main__":
    main()
