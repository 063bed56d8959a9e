"""The report: figures, and one self-contained HTML page.

``figures`` draw; ``figures.registry`` is the one table of them, and each entry is a function here. What a page shows is
decided in ``page.sections`` and ``page.sections_comparison``; ``page`` fills tables, prepares the data of the
interactive plot and puts it all together.
"""

from __future__ import annotations

from typing import Any

from photfeh.report.comparison import comparison_text, write_comparison
from photfeh.report.figures.predictions import comparison  # here by name, since a file of that name would hide it
from photfeh.report.figures.registry import FIGURES, Figure
from photfeh.report.page.data import TRUTH_NOTES, ReportData
from photfeh.report.page.document import write_report
from photfeh.report.page.explorer import Curves

__all__ = [
    "FIGURES",
    "TRUTH_NOTES",
    "Curves",
    "Figure",
    "ReportData",
    "comparison",
    "comparison_text",
    "write_comparison",
    "write_report",
]
__all__ += [name for name in FIGURES if name not in __all__]


def __getattr__(name: str) -> Any:
    """The functions of :data:`FIGURES`, ``photfeh.report.bailey`` for instance."""
    if name in FIGURES:
        return FIGURES[name].function
    raise AttributeError(f"module 'photfeh.report' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *FIGURES})
