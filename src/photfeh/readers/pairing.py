"""Light curves and the star table that goes with them: which table, by which identifier, which columns of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd
import pyarrow as pa

from photfeh.core.errors import BadInput, MissingColumn, UnknownName
from photfeh.core.identifiers import identifier_columns
from photfeh.core.lightcurves import LightCurves
from photfeh.core.stars import ALIASES, FREQUENCIES, validate_stars
from photfeh.readers.files import read_schema, read_tables
from photfeh.readers.objects import as_tables
from photfeh.readers.reading import files_of, is_path_or_paths
from photfeh.readers.roles import CURVE_ROLES, STAR_ROLES
from photfeh.readers.startables import FROM_EPOCHS, stars_from_epochs, stars_of_tables, tables_of_stars
from photfeh.readers.tables import tidy

__all__ = ["of_curves", "stars_of"]


def stars_of(
    epochs: object,
    stars: object,
    *,
    band: str,
    columns: Mapping[str, str] | None = None,
    id_column: str | None = None,
    only: Collection[str] | None = None,
) -> pd.DataFrame:
    """The star table of a command: the one that is given, or, where that is None, what the light curves say.

    ``columns`` may name columns of both; each table takes the roles that it can have. A table of identifiers alone,
    without the column ``id_column``, is read as it is. With ``only``, a Parquet file is read for identifiers, periods,
    types and these columns, so that a wide table costs no memory.

    Raises
    ------
    UnknownName
        for a role that neither table has.
    BadInput
        as :func:`read_stars` and :func:`stars_from_epochs`.
    """
    for role in columns or {}:
        if role not in {*CURVE_ROLES, *STAR_ROLES}:
            raise UnknownName("role of a column", role, {*CURVE_ROLES, *STAR_ROLES})
    if stars is None:
        if isinstance(epochs, LightCurves):
            return validate_stars(pd.DataFrame({"source_id": epochs.source_id}))
        return stars_from_epochs(epochs, band=band, columns=of_curves(columns), id_column=id_column)
    own = {role: name for role, name in (columns or {}).items() if role in STAR_ROLES and role not in CURVE_ROLES}
    if only is not None:
        roles = ("period", "type")
        named = {str(name).strip().lower() for name in (*only, *own.values(), *([id_column] if id_column else []))}
        only = {*named, *roles, *(name for role in roles for name in ALIASES.get(role, ())), *FROM_EPOCHS, *FREQUENCIES}
    where, tables = tables_of_stars(stars, only)
    if id_column is None:
        id_column = _identifier_of_both(tables, epochs)
    try:
        return stars_of_tables(tables, where, own, id_column)
    except MissingColumn:
        # the identifiers of the two tables may have other names
        return stars_of_tables(tables, where, own, None)


def _identifier_of_both(tables: list[pa.Table], epochs: object) -> str | None:
    """Where a star table has several identifiers: the one by which the light curves are identified, if it has that.

    None leaves the choice to the order of :data:`photfeh.core.identifiers.IDENTIFIERS`.
    """
    names = identifier_columns(tables[0].column_names) if len(tables) == 1 else []
    if len(names) < 2 or isinstance(epochs, LightCurves):
        return None
    theirs = identifier_columns(_names_of_curves(epochs))
    return theirs[0] if theirs and theirs[0] in names else None


def _names_of_curves(epochs: object) -> list[str]:
    """The names of the columns of a source of light curves, of several files those of the first that can be read."""
    if not is_path_or_paths(epochs):
        return list(as_tables(epochs)[0].column_names)
    for file in files_of(epochs)[0]:
        try:
            schema = read_schema(file)
            table = tidy(schema.empty_table()) if schema is not None else read_tables(file)[0]
            return list(table.column_names)
        except BadInput:
            continue
    return []


def of_curves(columns: Mapping[str, str] | None) -> dict[str, str]:
    """The roles that a table of light curves can have."""
    return {role: name for role, name in (columns or {}).items() if role in CURVE_ROLES}
