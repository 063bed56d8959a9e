"""The reference, written from the code before Sphinx reads its pages: nothing in it can be out of date."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import typer
import typer.cli

import photfeh
from photfeh.cli.app import app as application
from photfeh.core import bands, flags, stars
from photfeh.inference.columns import FULL_COLUMNS, PREDICTION_COLUMNS
from photfeh.inference.formats import WRITERS
from photfeh.inference.prediction import list_trained
from photfeh.models.registry import MODELS
from photfeh.readers.layouts import LAYOUTS
from photfeh.report import FIGURES
from photfeh.samples.relations import RELATIONS
from photfeh.samples.selection import CUT_SETS
from photfeh.validation.metrics import METRICS

FOLDER = Path(__file__).parents[1] / "reference" / "generated"
ROOMS = {
    "Nouns and conventions": ("core.lightcurves", "core.bands", "core.flags", "core.stars", "core.errors"),
    "Reading": ("readers.reading", "readers.layouts", "readers.startables"),
    "The signal": ("signal.clean", "signal.fold", "signal.period", "signal.fourier", "signal.spline"),
    "Samples": ("samples.measure", "samples.relations", "samples.selection", "samples.sequences", "samples.weights"),
    "Models": ("models.registry", "models.base", "models.network", "models.loop"),
    "Validation": ("validation.splits", "validation.metrics", "validation.significance"),
    "Inference": ("inference.ensemble", "inference.calibration", "inference.formats", "inference.citation"),
    "Simulation": ("simulation.survey",),
}


def table(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> list[str]:
    """A Markdown table."""
    clean = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [f"| {' | '.join(header)} |", "|" + "---|" * len(header), *(f"| {' | '.join(row)} |" for row in clean), ""]


def first_line(thing: object) -> str:
    """The first sentence of a docstring, as Markdown."""
    text = (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")


def top() -> list[str]:
    """The names of ``photfeh`` itself."""
    lines = [
        "# Python: the verbs and nouns",
        "",
        "`import photfeh as pf`; importing is cheap, each name is loaded when first used.",
        "",
    ]
    names = [name for name in photfeh.__all__ if name != "__version__"]
    rows = [(f"[`pf.{name}`](#{anchor(name)})", first_line(getattr(photfeh, name))) for name in names]
    lines += table(("name", "what"), rows)
    for name in names:
        home = f"photfeh.{photfeh._HOME[name]}"
        kind = "class" if inspect.isclass(getattr(photfeh, name)) else "function"
        lines += [
            f"({anchor(name)})=",
            "",
            f"## `pf.{name}`",
            "",
            *directive(kind, f"{where(home, name)}.{name}", bare=False),
        ]
    return lines


def anchor(name: str) -> str:
    """A target of one page for a name of Python."""
    return f"pf-{name.replace('_', '-').lower()}"


def where(home: str, name: str) -> str:
    """The module in which something is defined."""
    return str(getattr(getattr(importlib.import_module(home), name), "__module__", home))


def directive(kind: str, path: str, *, bare: bool) -> list[str]:
    """An autodoc directive; ``bare`` leaves it out of the index, where it stands elsewhere already."""
    return ["```{eval-rst}", f".. auto{kind}:: {path}", *(["   :no-index:"] if bare else []), "```", ""]


def room(title: str, modules: tuple[str, ...]) -> list[str]:
    """What each module of a room offers."""
    taken = {f"{where(f'photfeh.{home}', name)}.{name}" for name, home in photfeh._HOME.items()}
    lines = [f"# {title}", ""]
    for name in modules:
        module = importlib.import_module(f"photfeh.{name}")
        lines += [f"## `photfeh.{name}`", "", first_line(module), ""]
        for member in module.__all__:
            thing = getattr(module, member)
            path = f"{module.__name__}.{member}"
            if getattr(thing, "__module__", module.__name__) != module.__name__:
                continue
            if inspect.isclass(thing) or inspect.isfunction(thing):
                kind = "exception" if inspect.isclass(thing) and issubclass(thing, Exception) else "class"
                kind = "function" if inspect.isfunction(thing) else kind
                lines += directive(kind, path, bare=path in taken)
    return lines


def command_line() -> list[str]:
    """Every command with its options, from the application itself."""
    command = typer.main.get_command(application)
    context = typer.Context(command, info_name="photfeh")
    text = typer.cli.get_docs_for_click(obj=command, ctx=context, name="photfeh", title="Command line")
    # <path> is no HTML, and a command is written as code
    text = re.sub(r"(`[^`\n]*`)|<(?=\w)", lambda match: match[1] or "&lt;", text)
    text = re.sub(r"(?m)^(Examples?): (photfeh.*)$", r"\1: `\2`", text)
    statuses = "Exit status: 0 all done, 1 fits failed or no star could be predicted, 2 bad input, 130 Ctrl-C.\n"
    return [text.replace("**Usage**", f"{statuses}\n**Usage**", 1)]


def names() -> list[str]:
    """Flags, columns, formats, bands, types, models, relations, cuts, metrics, layouts, figures."""
    lines = ["# Names: columns, flags, formats, models, ...", "", "Every table here is written from the code.", ""]
    lines += ["## Flags", "", "Bits of the column `flag`.", ""]
    lines += table(("bit", "name", "meaning"), [(int(f), f.name, text) for f, text in flags.DESCRIPTIONS.items()])
    for title, columns in (
        ("Columns of predictions", PREDICTION_COLUMNS),
        ("More columns with `--full`", FULL_COLUMNS),
        ("Columns of star tables", stars.COLUMNS),
    ):
        lines += [f"## {title}", ""]
        lines += table(("column", "unit", "meaning"), [row_of(name, columns) for name in columns])
    lines += ["## Formats of predictions", "", "By suffix, in any case.", ""]
    lines += table(
        ("suffix", "written by"), [(f"`{suffix}`", first_line(writer)) for suffix, writer in WRITERS.items()]
    )
    lines += ["## Layouts of light curves", "", "Recognised by their columns.", ""]
    lines += table(("layout", "what"), [(title, first_line(layout)) for title, layout in LAYOUTS.items()])
    lines += ["## Passbands", ""]
    lines += table(("name", "band"), [(f"`{name}`", band) for name, band in bands.BANDS.items()])
    lines += ["## Models to train", ""]
    lines += table(("name", "what", "source"), [(f"`{n}`", e.summary, e.source) for n, e in MODELS.items()])
    lines += [
        "## Models to predict with",
        "",
        ", ".join(f"`{name}`" for name in list_trained()) + "; `photfeh models card NAME`.",
        "",
    ]
    lines += ["## Relations", "", "For `--labels relation:NAME`. φ31 of the cosine series.", ""]
    lines += table(("name", "type", "band", "[Fe/H] =", "source"), [relation(one) for one in RELATIONS.values()])
    lines += ["## Sets of cuts", ""]
    lines += table(
        ("name", "cuts"), [(f"`{n}`", ", ".join(f"`{cut}`" for cut in cuts)) for n, cuts in CUT_SETS.items()]
    )
    lines += ["## Metrics", ""]
    lines += table(("name", "definition"), [(f"`{n}`", first_line(metric.function)) for n, metric in METRICS.items()])
    lines += ["## Figures of `photfeh.report`", ""]
    lines += table(("name", "what"), [(f"`{n}`", first_line(figure.function)) for n, figure in FIGURES.items()])
    return lines


def row_of(name: str, columns: object) -> tuple[str, str, str]:
    """Name, unit and meaning of a column, of whichever table."""
    column = columns[name] if hasattr(columns, "keys") else name
    unit, meaning = (getattr(column, field, "") for field in ("unit", "meaning"))
    return f"`{name if isinstance(name, str) else column.name}`", unit, meaning or getattr(column, "description", "")


def relation(one: object) -> tuple[str, ...]:
    """A relation as a formula."""
    terms = "".join(f" {'+' if c >= 0 else '−'} {abs(c):g} {t.replace('*', ' ')}" for t, c in one.coefficients.items())
    formula = f"{one.zero_point:g}{terms}"
    return f"`{one.name}`", one.star_type, one.band, formula.replace("phi31", "φ31"), one.source


def write(app: object) -> None:
    """All pages; a page that did not change is not touched."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    pages = {"api": top(), "cli": command_line(), "names": names()}
    pages |= {f"room-{title.split()[-1].lower()}": room(title, modules) for title, modules in ROOMS.items()}
    for name, lines in pages.items():
        text = "\n".join(lines) + "\n"
        path = FOLDER / f"{name}.md"
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def setup(app: object) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("builder-inited", write)
    return {"version": "1", "parallel_read_safe": True}
