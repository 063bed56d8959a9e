"""An evaluation written down: text, tables and a figure."""

from __future__ import annotations

from pathlib import Path

from photfeh.core.files import write_text, written
from photfeh.inference.evaluation import Evaluation
from photfeh.report.figures.evaluation import evaluation_figure

__all__ = ["write_evaluation"]


def write_evaluation(found: Evaluation, folder: str | Path) -> Path:
    """Write evaluation.txt, metrics.csv (every number), stars.csv (every pair) and evaluation.png; return the last."""
    folder = Path(folder)
    write_text(folder / "evaluation.txt", f"{found}\n")
    write_text(folder / "metrics.csv", found.metrics.to_csv(index=False))
    write_text(folder / "stars.csv", found.pairs.to_csv(index=False))
    with written(folder / "evaluation.png") as beside:
        evaluation_figure(found).savefig(beside, format="png", dpi=160)
    return folder / "evaluation.png"
