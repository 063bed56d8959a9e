"""Quality flags that the archive sends as a product of their own, joined to the light curves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photfeh.archive.epochs import Answer, tables_of_zip
from photfeh.archive.gaia import FlagsProduct, Release
from photfeh.core.errors import MissingColumn
from photfeh.readers.numbers import Points
from photfeh.readers.points import source_ids
from photfeh.readers.quality import known_false
from photfeh.readers.tables import is_list
from photfeh.readers.tally import Origin, Tally
from photfeh.readers.times import to_gaia_days

__all__ = ["joined"]


def joined(answer: Answer, path: Path, release: Release, tally: Tally) -> Answer:
    """The answer with those of its ``no_flags`` that the product in this zip file tells.

    Rows are matched by source and ``transit_id``, or by source, band and time where the product has no transits. A row
    without a partner has no known flag (null); where nothing came for a source, its flags stay false, which is noted.

    Raises
    ------
    photfeh.archive.web.Broken
        if a member cannot be read.
    MissingColumn
        if the product has none of the columns that are expected, or nothing to join by; names them.
    """
    product = release.flags_product
    assert product is not None
    found: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for content, table in tables_of_zip(path):
        origin = Origin(f"the archive's {content.name}", tally=tally)
        for band in release.bands:
            for flag, rows in _told(table, product, band, answer.no_flags, origin).items():
                found.setdefault((flag, band), []).append(rows)
    rows, told = answer.rows, {flag for flag, _ in found}
    for flag in told:
        by_band = {band: pd.concat(tables) for (name, band), tables in found.items() if name == flag}
        values = _matched(rows, by_band)
        silent = set(rows["source_id"].unique().to_pylist()) - set(
            np.unique(np.concatenate([table["source_id"] for table in by_band.values()])).tolist()
        )
        if silent:
            tally.note(
                f"{product.retrieval_type} holds nothing for {len(silent)} sources, first {min(silent)}; "
                f"none of their points counts as {flag}",
                flag,
            )
        alone = pc.is_in(rows["source_id"], value_set=pa.array(sorted(silent), pa.int64()))
        place = rows.schema.get_field_index(flag)
        rows = rows.set_column(place, rows.schema.field(place), pc.if_else(alone, False, values))
    return replace(answer, rows=rows, no_flags=answer.no_flags - told)


def _told(
    table: pa.Table, product: FlagsProduct, band: str, wanted: Collection[str], origin: Origin
) -> dict[str, pd.DataFrame]:
    """For each wanted flag that a table tells: source_id, transit_id or time, and whether it is set."""
    names, short = table.column_names, band.lower()
    columns = {
        flag: next((form.format(band=short) for form in forms if form.format(band=short) in names), None)
        for flag, forms in product.columns.items()
        if flag in wanted
    }
    if not any(columns.values()):
        accepted = [form.format(band=short) for flag in columns for form in product.columns[flag]]
        raise MissingColumn(accepted[0], origin.name, accepted=accepted, found=names)
    key = next((name for name in ("transit_id", *product.times[band]) if name in names), None)
    if key is None or "source_id" not in names:
        missing = "source_id" if "source_id" not in names else "transit_id"
        raise MissingColumn(missing, origin.name, accepted=("transit_id", *product.times[band]), found=names)
    found = {}
    for flag, name in columns.items():
        if name is None:
            continue
        own = _one_row_a_point(table.select(["source_id", key, name]))
        ids = source_ids(own["source_id"], origin.name)
        keys = own[key].to_pandas() if key == "transit_id" else to_gaia_days(Points(own, ids, origin), key, gaia=True)
        unknown = own[name].is_null().to_numpy()
        by = "transit_id" if key == "transit_id" else "time"
        found[flag] = pd.DataFrame({"source_id": ids, by: np.asarray(keys), "set": ~known_false(own[name])})[~unknown]
    return found


def _one_row_a_point(table: pa.Table) -> pa.Table:
    """A row for each entry of the lists, if the columns are lists."""
    lists = [name for name in table.column_names if is_list(table[name].type)]
    if not lists:
        return table
    table = table.combine_chunks()
    parents = pc.list_parent_indices(table[lists[0]])
    columns = {
        name: pc.list_flatten(table[name]) if name in lists else table[name].take(parents)
        for name in table.column_names
    }
    fields = [
        pa.field(name, columns[name].type, metadata=table.schema.field(name).metadata) for name in table.column_names
    ]
    return pa.table(list(columns.values()), schema=pa.schema(fields))


def _matched(rows: pa.Table, by_band: dict[str, pd.DataFrame]) -> pa.Array:
    """The flag of every row, null where no row of the product is of its source, band and transit."""
    frame = rows.select(["source_id", "band", "transit_id", "time"]).to_pandas(integer_object_nulls=True)
    values = np.full(len(frame), None, dtype=object)
    for band, told in by_band.items():
        mine = (frame["band"] == band).to_numpy(bool)
        keys = ["source_id", "transit_id" if "transit_id" in told.columns else "time"]
        most = told.groupby(keys, sort=False, as_index=False)["set"].max()
        left = frame.loc[mine, keys].astype(most[keys].dtypes)
        values[mine] = left.merge(most, on=keys, how="left")["set"].to_numpy(object)
    return pa.array([None if value is None or value != value else bool(value) for value in values], pa.bool_())
