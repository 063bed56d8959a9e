"""Light curves and star tables from every supported file, folder and table."""

from __future__ import annotations

from photfeh.readers.files import READERS, read_stars, read_table
from photfeh.readers.layouts import COLUMN_ALIASES, LAYOUTS
from photfeh.readers.reading import iter_lightcurves, read_lightcurves, to_long, write_lightcurves

__all__ = [
    "COLUMN_ALIASES",
    "LAYOUTS",
    "READERS",
    "iter_lightcurves",
    "read_lightcurves",
    "read_stars",
    "read_table",
    "to_long",
    "write_lightcurves",
]
