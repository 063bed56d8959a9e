from __future__ import annotations

import pandas as pd
import pytest

import photfeh as pf
from photfeh import demonstration
from photfeh.core.errors import BadInput


def test_the_demonstration_runs_twice_and_ends_with_a_report(tmp_path, monkeypatch):
    monkeypatch.setattr(
        demonstration, "_QUICK", {"gru": {"epochs": 2, "batch_size": 64}, "svr": {"C": 4.0, "gamma": 0.2}}
    )
    said = []
    for _ in range(2):
        result = pf.demo(tmp_path / "demo", n_stars=250, progress=lambda *step: said.append(step))
        assert set(result.metrics["model"]) == {"ridge-fourier", "svr", "gru"}
        assert result.report.read_text().startswith("<!DOCTYPE html>")
        assert len(pd.read_parquet(result.predictions)) == 125
        assert "90 % interval" in result.summary
    assert {step[0].split(",")[0].split(" on ")[0] for step in said} >= {"simulate", "prepare", "gru", "svr"}


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(BadInput, match="was not made by `photfeh demo`"):
        pf.demo(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "precious"
