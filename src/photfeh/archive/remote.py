"""A HATS catalogue far away (https, s3, ...), by the library ``hats``: which of its files hold which sources."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from photfeh.archive.web import ArchiveError
from photfeh.core.errors import BadInput

__all__ = ["RemoteFile", "is_remote", "remote_files"]

_LEVEL_12 = 35
"""source_id >> 35 is the HEALPix pixel (nested) of level 12 in which Gaia first saw the source."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class RemoteFile:
    """The Parquet file (or files) of one partition: its address, and the version of the catalogue it belongs to."""

    address: str
    version: str

    def dataset(self) -> Any:
        """The partition as a pyarrow data set; nothing but its footer is read yet.

        Raises
        ------
        ArchiveError
            if it cannot be reached.
        """
        from hats.io.file_io import read_parquet_dataset

        return _reached(lambda: read_parquet_dataset(self.address)[1], self.address)

    def rows(self, read: Callable[[], Result]) -> Result:
        """What ``read`` gives, errors of the network as ours."""
        return _reached(read, self.address)


def is_remote(place: object) -> bool:
    """Whether this names a place elsewhere: https://..., s3://..."""
    return "://" in str(place)


def remote_files(url: str, ids: Collection[int]) -> list[RemoteFile]:
    """The partitions of a catalogue that may hold these Gaia sources, in order of their pixels.

    A source may have moved since its number was given: the level-12 pixels around its own (0.9 arcmin) count, too.

    Raises
    ------
    BadInput
        if the library ``hats`` is not installed.
    ArchiveError
        if the catalogue cannot be reached or is none.
    """
    try:
        import hats
        from cdshealpix.nested import neighbours
        from hats.io.paths import pixel_catalog_file
    except ImportError as error:
        raise BadInput(
            f"{url}: catalogues elsewhere are read by the library hats, which is not installed. "
            "pip install 'photfeh[survey]', or copy the catalogue and name its folder."
        ) from error
    catalog: Any = _reached(lambda: hats.read_hats(url, read_moc=False), url)
    catalog = getattr(catalog, "main_catalog", catalog)
    own = np.unique(np.array(sorted(ids), np.int64) >> _LEVEL_12).astype(np.uint64)
    around = np.unique(np.asarray(neighbours(own, 12)).astype(np.int64))
    around = around[around >= 0]
    info = catalog.catalog_info
    version = f"{info.total_rows} rows, {getattr(info, 'hats_creation_date', '')}"
    files = []
    for pixel in sorted(catalog.get_healpix_pixels()):
        if np.any((around >> (2 * (12 - pixel.order))) == pixel.pixel):
            place = pixel_catalog_file(catalog.catalog_base_dir, pixel, npix_suffix=info.npix_suffix)
            files.append(RemoteFile(str(place), version))
    return files


def _reached(read: Callable[[], Result], where: str) -> Result:
    from aiohttp import ClientError

    try:
        return read()
    except (OSError, ValueError, ClientError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ArchiveError(
            f"{where} cannot be read ({reason}). Check the address (a HATS catalogue) and the network."
        ) from error
