"""The page: complete in itself, safe for any text, right in its numbers; and, in Chromium, alive."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html.parser
import json
import re

import numpy as np
import pandas as pd
import pytest

from browser import needs_chromium
from photfeh.core.errors import MissingColumn
from photfeh.core.flags import Flag
from photfeh.report import TRUTH_NOTES, ReportData, write_report
from photfeh.report.page import explorer, tables

N = 60
HOSTILE = "</script><script>alert('x')</script>\"><img src=x onerror=alert(1)>{{ 7*7 }} $\\frac{a}{"
VOID = {"meta", "input", "br", "link", "img", "hr"}


def survey(name="gru", n=N, folds=3):
    """A small run of two models with everything that a report can show."""
    generator = np.random.default_rng(0)
    source_id = 4_611_686_018_427_387_905 + 1_000_003 * np.arange(n)
    true = generator.permutation(np.linspace(-2.4, -0.4, n))
    runs, losses, times, scores = [], [], [], []
    for model, sigma in ((name, 0.1), ("svr", 0.2)):
        for part in ("train", "score"):
            pred = true + generator.normal(0.0, sigma * (0.5 if part == "train" else 1.0), n)
            run = {"model": model, "representation": "spline", "repeat": 0, "fold": np.arange(n) % folds, "part": part}
            star = {"source_id": source_id, "feh_true": true, "feh_pred": pred, "feh_pred_error": sigma, "weight": 1.0}
            runs.append(pd.DataFrame(run | star))
            rmse = float(np.sqrt(np.mean((pred - true) ** 2)))
            scores.append({"model": model, "representation": "spline", "part": part, "n": n, "rmse": rmse, "r2": 0.9})
        for fold in range(folds):
            key = {"model": model, "representation": "spline", "repeat": 0, "fold": fold}
            times.append(key | {"fit_seconds": 1.0 + fold, "predict_seconds": 0.1})
            losses += [key | {"epoch": e, "train_loss": 0.5**e, "tune_loss": 0.1 + 0.5**e} for e in range(5)]
    stars = pd.DataFrame(
        {
            "source_id": source_id,
            "period": generator.uniform(0.4, 0.8, n),
            "type": ["RRab", None] * (n // 2),
            "feh": true,
            "n_epochs": generator.integers(20, 90, n),
            "peak_to_peak": generator.uniform(0.3, 1.2, n),
        }
    )
    grid = np.arange(264) / 264
    curves = {
        int(star): {
            "phase": generator.uniform(size=30),
            "mag": 15 + place + 0.1 * generator.normal(size=30),
            "mag_error": np.full(30, 0.02),
            "curve_phase": grid,
            "curve_mag": 15 + place + 0.3 * np.cos(2 * np.pi * grid),
        }
        for place, star in enumerate(source_id[: n // 2])
    }
    flag = np.where(np.arange(n) < 3, int(Flag.TOO_FEW_EPOCHS), 0)
    return ReportData(
        title="A run",
        truth="simulation",
        metrics=pd.DataFrame(scores),
        out_of_fold=pd.concat(runs),
        history=pd.DataFrame(losses),
        timings=pd.DataFrame(times),
        stars=stars,
        curves=curves,
        cut_flow=pd.DataFrame({"cut": ["period"], "n_before": [n + 5], "n_after": [n]}),
        weights=pd.DataFrame({"feh": true, "weight": 1.0 + true**2}),
        external=pd.DataFrame({"source_id": source_id[:10], "feh": true[:10] + 0.5}),
        external_name="published",
        predictions=pd.DataFrame({"source_id": source_id, "feh": np.where(flag > 0, np.nan, true), "flag": flag}),
        config={"folds": folds, "gru": {"batch": 256}},
        environment={"data_hash": "sha256:abc"},
    )


def scores_only():
    """The same run with its scores alone: a page that is written faster."""
    data = survey()
    return ReportData(title=data.title, truth=data.truth, metrics=data.metrics, out_of_fold=data.out_of_fold)


class Parsed(html.parser.HTMLParser):
    """A strict reading: every element closed in order; attributes, identifiers and scripts collected."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.attributes, self.ids, self.scripts, self.text, self.tags = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> without a start"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif not self.open or self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_report(survey(), tmp_path_factory.mktemp("page") / "new" / "report.html")


@pytest.fixture(scope="module")
def parsed(page):
    return Parsed(page.read_text(encoding="utf-8"))


def embedded(parsed):
    return json.loads(parsed.scripts[0])


def test_page_is_well_formed_and_its_links_lead_somewhere(parsed):
    assert len(parsed.ids) == len(set(parsed.ids))
    references = [value[1:] for _, name, value in parsed.attributes if name == "href"]
    references += [value for _, name, value in parsed.attributes if name in ("aria-labelledby", "aria-describedby")]
    assert references
    assert set(references) <= set(parsed.ids)
    assert {"results", "predicted", "residuals", "uncertainties", "comparison"} <= set(parsed.ids)
    assert {"predictions", "worst", "curves", "training", "stars", "making"} <= set(parsed.ids)


def test_page_refers_to_nothing_outside(page, parsed):
    text = page.read_text(encoding="utf-8")
    for _, name, value in parsed.attributes:
        assert not re.match(r"\s*(https?:)?//", value)
        if name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            assert value.startswith(("#", "data:"))
    assert "@import" not in text
    assert all(target.startswith(("#", '"#')) for target in re.findall(r"url\(([^)]*)\)", text))
    assert not re.search(r"https?://", text)


def test_policy_forbids_connections_and_names_the_one_script(parsed):
    policy = next(value for tag, _, value in parsed.attributes if tag == "meta" and "default-src" in value)
    assert policy.startswith("default-src 'none'")
    digest = base64.b64encode(hashlib.sha256(parsed.scripts[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert len(parsed.scripts) == 2


def test_page_fits_phones_and_both_themes(page):
    text = page.read_text(encoding="utf-8")
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "prefers-color-scheme: dark" in text


def test_same_data_same_bytes(tmp_path):
    first, again = (write_report(scores_only(), tmp_path / name).read_bytes() for name in ("1.html", "2.html"))
    assert first == again


def test_any_text_is_only_text(tmp_path):
    data = survey(name=HOSTILE)
    data = dataclasses.replace(
        data,
        title=HOSTILE,
        truth=HOSTILE,
        external_name=HOSTILE,
        stars=data.stars.assign(type=HOSTILE),
        cut_flow=data.cut_flow.assign(cut=HOSTILE),
        config={HOSTILE: HOSTILE, "inner": {HOSTILE: [HOSTILE]}},
        environment={"hash": HOSTILE},
    )
    parsed = Parsed(write_report(data, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(parsed.scripts) == 2
    assert "img" not in parsed.tags
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert HOSTILE in parsed.words
    content = embedded(parsed)
    assert content["models"][0]["name"] == HOSTILE
    assert set(content["type"]) == {HOSTILE}


def test_identifiers_survive_exactly(parsed):
    data, content = survey(), embedded(parsed)
    assert content["source_id"] == sorted(str(star) for star in data.stars["source_id"])
    assert set(content["curves"]) == {str(star) for star in data.curves}
    assert all(isinstance(star, str) for star in content["source_id"])
    # Above 2**53 neighbours collapse as floating-point numbers: the very case that text is needed for.
    assert int(content["source_id"][0]) > 2**53


def test_embedded_predictions_are_those_of_the_score_part(parsed):
    data, content = survey(), embedded(parsed)
    rows = data.out_of_fold[(data.out_of_fold["part"] == "score") & (data.out_of_fold["model"] == "svr")]
    expected = rows.set_index("source_id")["feh_pred"]
    found = dict(zip(content["source_id"], content["models"][1]["pred"], strict=True))
    assert content["models"][1]["name"] == "svr"
    for star, value in expected.items():
        assert found[str(star)] == pytest.approx(value, abs=1e-4)


def test_minimum_of_input(tmp_path):
    parsed = Parsed(write_report(ReportData(title="Nothing", truth="none"), tmp_path / "r.html").read_text())
    assert "Nothing" in parsed.words
    assert "section" not in parsed.tags
    assert "nav" not in parsed.tags


SECTIONS = {
    "metrics": {"results"},
    "out_of_fold": {"predicted", "residuals", "uncertainties"},
    "history": {"training"},
    "timings": {"making"},
    "stars": {"stars"},
    "curves": {"curves"},
    "cut_flow": {"stars"},
    "weights": {"stars"},
    "external": set(),  # needs predictions to compare with
    "predictions": {"predictions"},
    "config": {"making"},
    "environment": {"making"},
}


@pytest.mark.parametrize("name", SECTIONS)
def test_each_input_brings_its_own_sections(name, tmp_path):
    data = ReportData(title="One", truth="simulation", **{name: getattr(survey(), name)})
    text = write_report(data, tmp_path / "report.html").read_text()
    assert set(re.findall(r'<section id="(\w+)"', text)) == SECTIONS[name]
    Parsed(text)


def test_the_worst_stars_are_drawn_worst_first(tmp_path):
    data = survey()
    text = write_report(data, tmp_path / "report.html").read_text()
    scored = data.out_of_fold.query("part == 'score' and model == 'gru'").set_index("source_id")
    size = (scored["feh_pred"] - scored["feh_true"]).abs().sort_values(ascending=False)
    expected = [str(star) for star in size.index if star in data.curves][:9]
    section = text.split('<section id="worst"')[1].split("</section>")[0]
    assert list(dict.fromkeys(re.findall(r'aria-label="(\d+) ', section))) == expected


def test_headline_names_the_best_on_the_score_part(tmp_path):
    data = scores_only()
    metrics = data.metrics.copy()
    # The best on train is the worst on score.
    metrics.loc[(metrics["model"] == "svr") & (metrics["part"] == "train"), "rmse"] = 0.001
    parsed = Parsed(write_report(dataclasses.replace(data, metrics=metrics), tmp_path / "r.html").read_text())
    best = metrics[(metrics["model"] == "gru") & (metrics["part"] == "score")]["rmse"].iloc[0]
    sentence = (
        f"gru on spline data predicts [Fe/H] of 60 stars that it had not seen with an rmse of {best:.3f} dex , "
        "the best of 2 models."
    )
    assert sentence in parsed.words


def test_published_row_of_the_metrics_is_shown_but_not_the_headline(tmp_path):
    data = scores_only()
    row = {"model": "published", "representation": "paper", "part": "score", "rmse": 0.001, "n": 9}
    metrics = pd.concat([data.metrics, pd.DataFrame([row])], ignore_index=True)
    words = Parsed(write_report(dataclasses.replace(data, metrics=metrics), tmp_path / "r.html").read_text()).words
    assert "published paper 0.0010" in words
    assert "gru on spline data predicts [Fe/H] of 60 stars" in words
    assert "the best of 2 models" in words


def test_truth_is_said_and_the_founding_protocol_cautioned(tmp_path):
    data = ReportData(title="", truth="same-curve formula", config={"run": {"protocol": "paper"}})
    words = Parsed(write_report(data, tmp_path / "r.html").read_text()).words
    assert TRUTH_NOTES["same-curve formula"] in words
    assert "the scores are too good" in words
    own = ReportData(title="", truth="measured by hand", config={"protocol": "nested"})
    words = Parsed(write_report(own, tmp_path / "r.html").read_text()).words
    assert "Truth: measured by hand" in words
    assert "too good" not in words


def test_table_lacking_a_column_is_named():
    with pytest.raises(MissingColumn, match=r"'out_of_fold' has no column 'feh_pred'"):
        ReportData(title="", truth="", out_of_fold=survey().out_of_fold.drop(columns="feh_pred"))


def test_best_values_are_marked():
    metrics = pd.DataFrame(
        {
            "model": ["a", "b", "c"],
            "representation": "raw",
            "part": "score",
            "rmse": [0.2, 0.1, np.nan],
            "r2": [0.5, 0.4, np.nan],
            "bias": [-0.01, 0.02, np.nan],
            "fold_sd_rmse": [1.0, 2.0, 3.0],
            "n": [10, 10, 0],
        }
    )
    table = tables.metrics_table(metrics, "score", {("b", "raw"): 1.5})
    assert [heading.text for heading in table.headings] == [
        *("model", "data", "rmse", "r²", "bias", "fold sd rmse", "n", "fit (s)")
    ]
    assert [row[0].text for row in table.rows] == ["b", "a", "c"]
    marked = {(row[0].text, place) for row in table.rows for place, cell in enumerate(row) if cell.best}
    assert marked == {("b", 2), ("a", 3), ("a", 4)}
    assert table.rows[1][4].text == "−0.0100"
    assert [row[7].text for row in table.rows] == ["1.50", "–", "–"]
    assert table.rows[2][2].sort == ""


def test_comparison_is_on_common_stars(parsed):
    data = survey()
    common = data.external["source_id"]
    rows = data.out_of_fold[(data.out_of_fold["model"] == "gru") & (data.out_of_fold["part"] == "score")]
    shared = rows[rows["source_id"].isin(common)]
    rmse = np.sqrt(np.mean((shared["feh_pred"] - shared["feh_true"]) ** 2))
    assert f" {rmse:.4f} 0.5000 " in parsed.words  # ours and theirs
    assert "Beside published" in parsed.words


def test_flags_are_counted_and_explained(parsed):
    assert "57 of 60 stars have a prediction" in parsed.words
    assert "too_few_epochs 8 3 fewer than 8 clean epochs" in parsed.words


def test_coverage_of_a_gaussian_is_nominal(tmp_path):
    n = 4000
    level = (np.arange(n) + 0.5) / n
    from scipy.stats import norm

    table = pd.DataFrame(
        {
            "model": "m",
            "representation": "raw",
            "part": "score",
            "source_id": np.arange(n),
            "feh_true": 0.0,
            "feh_pred": 0.2 * norm.ppf(level),
            "feh_pred_error": 0.2,
        }
    )
    data = ReportData(title="", truth="", out_of_fold=table)
    words = Parsed(write_report(data, tmp_path / "r.html").read_text()).words
    assert "hold 90.0 % (4,000 stars)" in words


def test_repeats_are_averaged():
    table = pd.DataFrame(
        {
            "model": "m",
            "representation": "raw",
            "repeat": [0, 1, 0, 0],
            "part": ["score", "score", "score", "train"],
            "source_id": [7, 7, 8, 8],
            "feh_true": [-1.0, -1.0, -2.0, -2.0],
            "feh_pred": [-1.2, -1.0, np.nan, -2.0],
            "feh_pred_error": [0.3, 0.4, 0.1, 0.1],
        }
    )
    stars = explorer.score_predictions(table, ("m", "raw"))
    assert list(stars.index) == [7]
    assert stars.at[7, "feh_pred"] == pytest.approx(-1.1)
    assert stars.at[7, "feh_pred_error"] == pytest.approx(np.sqrt((0.09 + 0.16) / 2))


def test_samples_are_limited_stated_and_hold_what_matters(tmp_path, monkeypatch):
    monkeypatch.setattr(explorer, "MAX_STARS", 30)
    monkeypatch.setattr(explorer, "MAX_CURVES", 5)
    monkeypatch.setattr(explorer, "MAX_MODELS", 1)
    data = dataclasses.replace(scores_only(), curves=survey().curves)
    parsed = Parsed(write_report(data, tmp_path / "r.html").read_text())
    content = embedded(parsed)
    assert len(content["source_id"]) == 30
    assert len(content["curves"]) == 5
    assert [model["name"] for model in content["models"]] == ["gru"]
    assert set(content["curves"]) <= set(content["source_id"])
    rows = data.out_of_fold[(data.out_of_fold["model"] == "gru") & (data.out_of_fold["part"] == "score")]
    worst = rows.loc[(rows["feh_pred"] - rows["feh_true"]).abs().nlargest(20).index, "source_id"]
    assert {str(star) for star in worst} <= set(content["source_id"])
    assert "30 of 60 scored stars are shown" in parsed.words
    assert "5 have their light curve in this file" in parsed.words
    assert "best 1 of 2 models" in parsed.words


def test_embedded_curve_keeps_shape_within_its_rounding():
    curve = survey().curves[int(survey().stars["source_id"].iloc[3])]
    kept = explorer._curve(curve)
    assert kept["closed"] is True
    assert len(kept["curve_phase"]) == 132
    np.testing.assert_allclose(
        kept["curve_mag"], 18 + 0.3 * np.cos(2 * np.pi * np.array(kept["curve_phase"])), atol=2e-4
    )
    np.testing.assert_allclose(kept["phase"], curve["phase"], atol=5e-5)
    open_curve = explorer._curve({"phase": [0.1], "mag": [1.0], "curve_phase": [0.2, 0.3, 0.4], "curve_mag": [1, 2, 3]})
    assert open_curve["closed"] is False


def test_json_cannot_leave_its_element():
    text = explorer.embedded_json({"a": HOSTILE + "\u2028<!--"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["a"] == HOSTILE + "\u2028<!--"
    with pytest.raises(ValueError, match="not JSON compliant"):
        explorer.embedded_json({"a": np.nan})


@pytest.fixture
def opened(browser, page):
    browser.open(page.as_uri())
    yield browser
    assert browser.complaints() == []


def worst_star(parsed):
    """The star farthest from all others in the plane: a click there can only mean this one."""
    content = embedded(parsed)
    points = np.column_stack([content["true"], content["models"][0]["pred"]])
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + 99 * np.eye(len(points))
    return content["source_id"][int(distance.min(axis=1).argmax())]


@needs_chromium
def test_page_opens_without_complaint_or_connection(opened, page):
    assert opened.requests() == [page.as_uri()]
    assert opened.evaluate("document.title") == "A run"
    ink = "Array.from(document.querySelector('canvas').getContext('2d').getImageData(0, 0, 500, 500).data)"
    assert opened.evaluate(f"{ink}.filter((value, i) => i % 4 === 3 && value > 0).length") > 1000


@needs_chromium
def test_click_on_a_point_shows_that_star(opened, parsed):
    star = worst_star(parsed)
    opened.evaluate("document.getElementById('predicted-plane').scrollIntoView({block: 'center', behavior: 'instant'})")
    place = opened.evaluate(f"photfeh.predicted.locate('{star}')")
    opened.call("Input.dispatchMouseEvent", type="mouseMoved", x=place["x"] + 2, y=place["y"])
    assert opened.evaluate("document.getElementById('predicted-tip').textContent").startswith(star)
    opened.click(place["x"] + 2, place["y"] - 1)
    assert opened.evaluate("document.getElementById('predicted-card-title').textContent") == star
    data = survey()
    row = data.stars.set_index("source_id").loc[int(star)]
    facts = opened.evaluate("document.getElementById('predicted-card-facts').innerText")
    assert f"{row['period']:.6f}" in facts
    assert f"{row['feh']:.3f}".replace("-", "−") in facts
    assert opened.evaluate("location.hash") == f"#star={star}"


@needs_chromium
def test_light_curve_of_the_chosen_star_is_drawn_over_two_cycles(opened):
    star, curve = next(iter(survey().curves.items()))
    assert opened.evaluate(f"photfeh.predicted.select('{star}')") is True
    circles = "document.querySelectorAll('#predicted-curve circle')"
    points = opened.evaluate(f"Array.from({circles}, (c) => [c.cx.baseVal.value, c.cy.baseVal.value])")
    x, y = np.array(points).T
    assert len(points) == 60
    cycle = x[30:] - x[:30]
    np.testing.assert_allclose(cycle, cycle[0], atol=1e-3)  # the second cycle is the first, moved
    np.testing.assert_allclose(y[30:], y[:30], atol=1e-4)
    # Brighter, that is smaller magnitudes, stand higher; both axes are linear.
    assert np.corrcoef(y[:30], curve["mag"])[0, 1] > 0.99999
    assert np.corrcoef(x[:30], curve["phase"])[0, 1] > 0.99999
    assert opened.evaluate("document.querySelectorAll('#predicted-curve .smooth').length") == 1
    without = survey().stars["source_id"].iloc[-1]
    assert opened.evaluate(f"photfeh.predicted.select('{without}')") is True
    assert opened.evaluate("document.querySelectorAll('#predicted-curve circle').length") == 0
    assert "not in this file" in opened.evaluate("document.getElementById('predicted-card-note').textContent")


@needs_chromium
def test_stars_are_reached_by_keyboard_search_address_and_table(opened, page):
    data = survey()
    ordered = [str(star) for star in data.stars.sort_values("feh")["source_id"]]
    title = "document.getElementById('predicted-card-title').textContent"
    opened.evaluate(f"photfeh.predicted.select('{ordered[10]}'); document.getElementById('predicted-plane').focus()")
    opened.press("ArrowRight")
    assert opened.evaluate(title) == ordered[11]
    opened.press("ArrowLeft")
    assert opened.evaluate(title) == ordered[10]
    search = (
        "const form = document.getElementById('predicted-find'); form.elements.star.value = ID; form.requestSubmit()"
    )
    opened.evaluate("{" + search.replace("ID", f"'{ordered[20]}'") + "}")
    assert opened.evaluate(title) == ordered[20]
    opened.evaluate("{" + search.replace("ID", "'12'") + "}")
    assert opened.evaluate(title) == ordered[20]
    assert opened.evaluate("document.getElementById('predicted-find').elements.star.validationMessage")
    first = "document.querySelector('button.star')"
    assert opened.evaluate(f"{first}.click(); {first}.textContent === {title}") is True
    opened.open("about:blank")
    opened.open(f"{page.as_uri()}#star={ordered[5]}")
    assert opened.evaluate(title) == ordered[5]


@needs_chromium
def test_another_model_moves_the_points(opened, parsed):
    star = embedded(parsed)["source_id"][0]
    before = opened.evaluate(
        f"photfeh.predicted.select('{star}'); document.getElementById('predicted-card-facts').innerText"
    )
    change = "const menu = document.getElementById('predicted-model'); menu.value = '1';"
    change += "menu.dispatchEvent(new Event('change'))"
    opened.evaluate("{" + change + "}")
    after = opened.evaluate("document.getElementById('predicted-card-facts').innerText")
    pred = embedded(parsed)["models"][1]["pred"][0]
    assert before != after
    assert f"{pred:.3f}".replace("-", "−") in after


@needs_chromium
def test_tables_sort_by_value_up_down_and_back(opened):
    column = (
        "Array.from(document.querySelectorAll('#predicted tbody tr'), (row) => row.cells[COLUMN].dataset.sort)"
        ".filter((text) => text)"
    )
    head = "document.querySelectorAll('#predicted thead th')[COLUMN]"
    for place in ("0", "3"):
        kind = int if place == "0" else float
        before = opened.evaluate(column.replace("COLUMN", place))
        for expected in ("ascending", "descending", "none"):
            opened.evaluate(head.replace("COLUMN", place) + ".querySelector('button').click()")
            found = opened.evaluate(column.replace("COLUMN", place))
            assert opened.evaluate(head.replace("COLUMN", place) + ".getAttribute('aria-sort')") == expected
            down = expected == "descending"
            assert found == (before if expected == "none" else sorted(before, key=kind, reverse=down))


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_phone_shows_everything_within_its_width(opened, dark):
    opened.screen(width=390, height=844, dark=dark)
    assert opened.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    parts = "Array.from(document.querySelectorAll('svg, canvas, figure, .card, .table')"
    assert max(opened.evaluate(f"{parts}, (part) => part.getBoundingClientRect().right)")) <= 390
    ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", ground)[:3])) / 3
    assert brightness < 60 if dark else brightness > 200
    opened.screen(width=1280, height=900, dark=False)
