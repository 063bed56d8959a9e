"""`photfeh plot`: what stands in the figure of one star, by its artists and texts."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from typer.testing import CliRunner

import photfeh as pf
from photfeh.cli.app import app
from photfeh.core.errors import BadInput, BandMismatch
from photfeh.core.flags import DESCRIPTIONS, Flag
from photfeh.readers import write_lightcurves
from photfeh.simulation.survey import simulate


@pytest.fixture(scope="module")
def survey():
    return simulate(12, seed=3)


@pytest.fixture(scope="module")
def model():
    return pf.load()


@pytest.fixture(scope="module")
def good(survey, model):
    """The first RRab star without a flag."""
    table = pf.predict(survey.curves, survey.stars, model=model)
    return int(np.flatnonzero((survey.stars["type"] == "RRab") & (table["flag"] == 0))[0])


def only(survey, row, **columns):
    """One light curve with some columns replaced."""
    lcs = survey.curves
    points = slice(lcs.offsets[row], lcs.offsets[row + 1])
    parts = {name: np.array(getattr(lcs, name)[points]) for name in ("time", "mag", "mag_error")} | columns
    return pf.LightCurves(lcs.source_id[[row]], np.array([0, len(parts["time"])]), **parts, band=lcs.band)


def words(figure) -> str:
    return " ".join(" ".join(text.get_text().split()) for ax in figure.axes for text in ax.texts)


def test_a_good_star_shows_curve_place_value_and_words(survey, model, good):
    star = int(survey.curves.source_id[good])
    figure = pf.plot_star(survey.curves, star, stars=survey.stars, model=model)
    row = pf.predict(survey.curves, survey.stars, model=model).iloc[good]
    curve, place, feh, _ = figure.axes
    points = curve.containers[0].lines[0]
    assert len(points.get_xdata()) == 2 * row["n_epochs"]
    assert curve.yaxis_inverted()
    assert curve.get_xlim() == (0, 2)
    smooth = curve.lines[1]
    assert np.nanmin(smooth.get_ydata()) < np.nanmax(points.get_ydata())
    brightest = smooth.get_xdata()[np.nanargmin(smooth.get_ydata())] % 1.0
    assert min(brightest, 1 - brightest) < 0.05  # phase 0 at maximum light
    residual = np.interp(points.get_xdata(), smooth.get_xdata(), smooth.get_ydata()) - points.get_ydata()
    assert np.std(residual) < 0.05  # curve and points are in one frame
    boxes = [patch for patch in place.patches if isinstance(patch, Rectangle)]
    limits = model.ensembles["dekany-i-band-distilled"].limits
    assert (boxes[0].get_x(), boxes[0].get_y()) == pytest.approx(tuple(limits[0, :2]))
    assert boxes[0].get_width() == pytest.approx(limits[1, 0] - limits[0, 0])
    assert place.lines[0].get_xdata()[0] == row["period"]
    line = feh.lines[0].get_xdata()
    assert (line[0], line[1]) == (row["feh_lower"], row["feh_upper"])
    assert feh.lines[2].get_xdata()[0] == row["feh"]
    said = words(figure)
    assert f"[Fe/H] = {row['feh']:.2f} ± {row['feh_error']:.2f} dex".replace("-", "−") in said
    assert "No flag: nothing unusual." in said
    assert "dekany-i-band" in said
    assert figure.get_suptitle().startswith(f"{star},  RRab,  P = ")


def test_rejected_points_are_marked(survey, model, good):
    lcs = only(survey, good)
    mag = np.array(lcs.mag)
    mag[3] += 1.5
    figure = pf.plot_star(only(survey, good, mag=mag), stars=survey.stars, model=model)
    curve = figure.axes[0]
    marks = next(line for line in curve.lines if line.get_marker() == "x")
    assert len(marks.get_xdata()) == 2
    assert marks.get_label() == "1 rejected"
    low, high = np.delete(mag, 3).min(), np.delete(mag, 3).max()
    assert marks.get_ydata()[0] <= high + 0.36 * (high - low)  # drawn at the edge, not far out


def test_a_star_that_cannot_be_predicted_says_why(survey, model, good):
    star = int(survey.curves.source_id[good])
    stars = survey.stars.copy()
    stars.loc[good, "period"] = 3.0
    figure = pf.plot_star(survey.curves, star, stars=stars, model=model)
    assert figure.axes[0].get_xlabel() == "time (d)"
    said = words(figure)
    assert "No [Fe/H]" in said
    assert DESCRIPTIONS[Flag.BAD_PERIOD][4:] in said
    assert "no prediction" in said
    assert "not measured" in said


def test_a_star_without_an_epoch_is_drawn_too(survey, model):
    stars = pd.DataFrame({"source_id": [77], "period": [0.6]})
    figure = pf.plot_star(survey.curves, 77, stars=stars, model=model)
    assert "no usable epoch" in words(figure)


def test_flags_are_said_in_words(survey, model, good):
    lcs = only(survey, good)
    few = only(survey, good, time=lcs.time[:12], mag=lcs.mag[:12], mag_error=lcs.mag_error[:12])
    said = words(pf.plot_star(few, stars=survey.stars, model=model))
    flag = int(pf.predict(few, survey.stars.iloc[[good]], model=model)["flag"].iloc[0])
    assert flag & Flag.SPARSE
    for bit, text in DESCRIPTIONS.items():
        assert (text[1:] in said) == bool(flag & bit)


def test_a_formula_has_no_training_stars(survey, good):
    figure = pf.plot_star(only(survey, good), stars=survey.stars, model="relation")
    place = figure.axes[1]
    assert not place.patches
    assert "no training stars" in place.get_title(loc="left")


def test_the_star_may_be_named_by_text_or_be_the_only_one(survey, model, good, tmp_path):
    lcs = only(survey, good)
    table = pd.DataFrame({"time": lcs.time, "mag": lcs.mag, "mag_error": lcs.mag_error})
    table.assign(name="OGLE V12").to_csv(tmp_path / "named.csv", index=False)
    table.to_csv(tmp_path / "V7.csv", index=False)
    named = pf.plot_star(tmp_path / "named.csv", "OGLE V12", model=model)
    assert named.get_suptitle().startswith("OGLE V12,")
    alone = pf.plot_star(tmp_path / "V7.csv", model=model)
    assert alone.get_suptitle().startswith("V7,")
    assert DESCRIPTIONS[Flag.PERIOD_SEARCHED][1:] in words(alone)


def test_bad_calls_are_refused(survey, model, good, tmp_path):
    with pytest.raises(BadInput, match="no star 5 in"):
        pf.plot_star(survey.curves, 5, stars=survey.stars, model=model)
    with pytest.raises(BadInput, match="several stars; name one"):
        pf.plot_star(survey.curves, stars=survey.stars, model=model)
    with pytest.raises(BadInput, match=r"\.png, \.pdf, \.svg"):
        pf.plot_star(survey.curves, stars=survey.stars, model=model, output=tmp_path / "star.txt")
    with pytest.raises(BandMismatch):
        pf.plot_star(survey.curves, stars=survey.stars, model=model, band="V")
    (tmp_path / "mine.png").write_bytes(b"\x89PNG of a holiday")
    with pytest.raises(BadInput, match="not drawn by photfeh"):
        pf.plot_star(only(survey, good), stars=survey.stars, model=model, output=tmp_path / "mine.png")


def test_other_bands_are_drawn_and_flagged(survey, model, good):
    lcs = only(survey, good)
    green = pf.LightCurves(lcs.source_id, lcs.offsets, lcs.time, lcs.mag, lcs.mag_error, band="V")
    figure = pf.plot_star(green, stars=survey.stars, model=model, any_band=True)
    assert figure.axes[0].get_ylabel() == "V (mag)"
    assert DESCRIPTIONS[Flag.OTHER_BAND][1:] in words(figure)


@pytest.mark.parametrize("suffix", [".png", ".PDF", ".svg"])
def test_the_command_draws_files_and_replaces_its_own(survey, good, suffix, tmp_path):
    write_lightcurves(survey.curves, tmp_path / "epochs.parquet")
    survey.stars.to_csv(tmp_path / "stars.csv", index=False)
    star = str(survey.curves.source_id[good])
    path = tmp_path / f"star{suffix}"
    how = ["plot", str(tmp_path / "epochs.parquet"), "--stars", str(tmp_path / "stars.csv"), "--star", star]
    for _ in range(2):
        done = CliRunner().invoke(app, [*how, "--model", "relation", "--output", str(path)])
        assert done.exit_code == 0, done.output
    magic = {".png": b"\x89PNG", ".PDF": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(magic)


def test_without_a_screen_the_figure_is_a_file_of_the_stars_name(survey, good, tmp_path, monkeypatch):
    assert matplotlib.get_backend().lower() == "agg"
    monkeypatch.chdir(tmp_path)
    write_lightcurves(survey.curves, "epochs.parquet")
    star = str(survey.curves.source_id[good])
    done = CliRunner().invoke(app, ["plot", "epochs.parquet", "--star", star, "--model", "relation"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / f"{star}.png").is_file()
    assert matplotlib.pyplot.get_fignums() == []
