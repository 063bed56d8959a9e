"""How long do predictions take? Every trained model of the package on a simulated survey, period known.

    make bench-predict       (--stars 20000)

Time of ``photfeh.predict`` from light curves in memory to the finished table (cleaning, folding, Fourier fit, spline,
networks, intervals, flags), after one call on a few stars that compiles what is compiled on first use.
"""

from __future__ import annotations

import argparse
import os
import resource
import time

import pandas as pd
import torch

import photfeh as pf
from bench_recurrent import Others, processor
from photfeh.inference.prediction import list_trained
from real_data import markdown

CATALOGUE = 270_905
"""RR Lyrae in Gaia DR3 (Clementini+ 2023)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stars", type=int, default=20_000)
    parser.add_argument("--models", default=",".join(list_trained()))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    survey = pf.simulate(options.stars, seed=19)
    others, rows = Others(), []
    for name in options.models.split(","):
        pf.predict(survey.curves[:300], survey.stars[:300], model=name)
        begin = time.perf_counter()
        table = pf.predict(survey.curves, survey.stars, model=name)
        seconds = time.perf_counter() - begin
        rows.append(
            {
                "model": name,
                "predicted": f"{table['feh'].notna().sum():,}",
                "seconds": f"{seconds:.1f}",
                "stars/s": f"{len(table) / seconds:,.0f}",
                f"minutes for {CATALOGUE:,} stars at that rate": f"{CATALOGUE / len(table) * seconds / 60:.1f}",
            }
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{options.stars:,} simulated stars, median {pd.Series(survey.curves.offsets).diff().median():.0f} epochs; "
        f"{processor()}, {options.threads} threads, other programs took {100 * others.share():.0f} % of them; "
        f"peak memory {peak:.1f} GiB.\n"
    )
    print(markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
