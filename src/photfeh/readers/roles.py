"""Columns that the user names, and columns without any name: which of them is time, magnitude, identifier."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa

from photfeh.core.errors import BadInput, MissingColumn, UnknownName
from photfeh.core.stars import ALIASES, COLUMNS
from photfeh.core.types import FloatArray
from photfeh.readers.layouts import COLUMN_ALIASES
from photfeh.readers.tables import NO_NAMES, is_list
from photfeh.readers.tally import Origin

__all__ = ["Roles", "name_the_nameless", "roles_of"]

CURVE_ROLES = ("source_id", "time", "phase", "mag", "mag_error", "flux", "flux_error", "band")
"""What ``columns=`` may name in a table of light curves."""

_WIDE_TIMES = ("g_transit_time", "bp_obs_time", "rp_obs_time")


class Roles(dict[str, str]):
    """Role -> lower-case name of the column that the user gave it to."""

    def apply(self, table: pa.Table, where: str) -> pa.Table:
        """The table with these columns under the names of their roles; others that could play them are left out.

        Raises
        ------
        MissingColumn
            if a column is not there.
        """
        if not self:
            return table
        for column in self.values():
            if column not in table.column_names:
                close = difflib.get_close_matches(column, table.column_names, n=1)
                raise MissingColumn(column, where, accepted=close, found=table.column_names)
        new = {column: role for role, column in self.items()}
        rivals = {name for role in self for name in (role, *COLUMN_ALIASES.get(role, ()), *ALIASES.get(role, ()))}
        if {"time", "phase"} & set(self):
            rivals |= {"time", "phase", *COLUMN_ALIASES["time"], *COLUMN_ALIASES["phase"], *_WIDE_TIMES}
        kept = [name for name in table.column_names if name in new or name not in rivals]
        table = table.select(kept)
        return table.rename_columns([new.get(name, name) for name in kept])

    def needed(self, names: Collection[str]) -> set[str]:
        """The names in the file of columns that are needed under their roles."""
        return {self.get(name, name) for name in names}


def roles_of(
    columns: Mapping[str, str] | None, id_column: str | None, accepted: Collection[str] = CURVE_ROLES
) -> Roles:
    """What the user named, checked.

    Raises
    ------
    UnknownName
        for a role that does not exist; lists those that do.
    BadInput
        if one column is given to two roles.
    """
    roles = Roles()
    for role, column in (columns or {}).items():
        if role not in accepted:
            raise UnknownName("role of a column", role, accepted)
        roles[role] = str(column).strip().lower()
    if id_column is not None:
        roles["source_id"] = str(id_column).strip().lower()
    if len(set(roles.values())) < len(roles):
        raise BadInput(f"columns: one column cannot play two roles ({dict(roles)}). Name a column for each.")
    return roles


STAR_ROLES = tuple(COLUMNS)
"""What ``columns=`` may name in a star table."""


# ---------------------------------------------------------------------- no names at all
def name_the_nameless(table: pa.Table, origin: Origin) -> pa.Table:
    """A table without names of two or three numeric columns as time, magnitude and error, which is said aloud.

    Raises
    ------
    BadInput
        if it has another number of columns, or the numbers cannot be these.
    """
    if NO_NAMES not in (table.schema.metadata or {}) or "time" in table.column_names:
        return table
    names = ["time", "mag", "mag_error"][: table.num_columns]
    if table.num_columns not in (2, 3) or not _plausible(table):
        kinds = ", ".join(table.column_names)
        raise BadInput(
            f"{origin.name} has no names of columns, and its {table.num_columns} columns are not time, magnitude and "
            f"error. Write their names in a first line, or name them: columns={{'time': 'column1', ...}} ({kinds})."
        )
    origin.warn(
        f"no names of columns; taken as {', '.join(names)}. Write the names in a first line, or give columns=, to "
        "avoid this message.",
        key="no names of columns",
    )
    return table.rename_columns(names)


def _plausible(table: pa.Table) -> bool:
    """Whether nine in ten numbers could be times, magnitudes from -5 to 35, and errors from 0 to 5."""
    numbers = [_numbers(table, name) for name in table.column_names]
    if any(column is None or not np.isfinite(column).any() for column in numbers):
        return False
    ranges = ((-1e5, 1e10), (-5.0, 35.0), (0.0, 5.0))
    for values, (lowest, highest) in zip(numbers, ranges, strict=False):
        assert values is not None
        known = values[np.isfinite(values) & (np.abs(values) < 1e15)]
        known = known[np.abs(known) < 90] if highest < 90 else known  # place-holders say nothing
        if len(known) == 0 or np.mean((known >= lowest) & (known <= highest)) < 0.9:
            return False
        if len(known) < 0.5 * np.isfinite(values).sum():
            return False
    return True


def _numbers(table: pa.Table, name: str) -> FloatArray | None:
    kind = table[name].type
    if is_list(kind) or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    return np.asarray(table[name].cast(pa.float64(), safe=False).to_numpy(), np.float64)
