"""Light curves and star tables from every supported file, folder and table."""

from __future__ import annotations

from photfeh.readers.files import READERS, read_table, read_tables
from photfeh.readers.layouts import COLUMN_ALIASES, LAYOUTS
from photfeh.readers.reading import read_lightcurves, to_long, write_lightcurves
from photfeh.readers.startables import read_stars, stars_from_epochs
from photfeh.readers.stream import iter_lightcurves

__all__ = [
    "COLUMN_ALIASES",
    "LAYOUTS",
    "READERS",
    "iter_lightcurves",
    "read_lightcurves",
    "read_stars",
    "read_table",
    "read_tables",
    "stars_from_epochs",
    "to_long",
    "write_lightcurves",
]
