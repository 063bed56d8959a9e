"""TAP: tables of the archive, never cut in silence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import requests

from photfeh.archive.gaia import Release
from photfeh.archive.web import ArchiveError, Broken, Patience, Refused, Session, TooSlow, Unreachable, translated
from photfeh.core.errors import BadInput
from photfeh.readers.tables import from_astropy, tidy

__all__ = ["Tap"]

_IDS_PER_CALL = 5_000
_LONGEST_JOB = 3_600.0


class Tap:
    """The TAP service of one release. All queries are asynchronous jobs: those have no limit of 2,000 rows."""

    def __init__(self, release: Release, session: Session, patience: Patience) -> None:
        self.release, self._session, self._patience = release, session, patience

    def query(self, adql: str) -> pa.Table:
        """The whole answer to a query, names lower-cased.

        Raises
        ------
        BadInput
            if the archive refuses the query (its words are in the text), or cuts the answer.
        ArchiveError
            if it cannot be reached.
        """
        table, cut = self._answer(adql, None)
        if cut:
            raise BadInput(
                f"the archive cut its answer at {table.num_rows:,} rows (OVERFLOW). Ask for less at a time: narrow the "
                "query, for example by a range of source_id."
            )
        return table

    def rows_of(self, ids: Sequence[int], table: str, columns: str = "*", *, key: str = "source_id") -> pa.Table:
        """The rows of a table for these identifiers, which are uploaded; asked in parts, halved where it is cut.

        Raises
        ------
        BadInput, ArchiveError
            as :meth:`query`.
        """
        adql = f"SELECT {columns} FROM {table} AS x JOIN TAP_UPLOAD.ids AS i ON x.{key} = i.{key}"
        parts = [
            part
            for begin in range(0, len(ids), _IDS_PER_CALL)
            for part in self._parts(adql, ids[begin : begin + _IDS_PER_CALL], key)
        ]
        return pa.concat_tables(parts, promote_options="permissive")

    def _parts(self, adql: str, ids: Sequence[int], key: str) -> Iterator[pa.Table]:
        table, cut = self._answer(adql, (key, ids))
        if not cut:
            yield table
        elif len(ids) == 1:
            raise BadInput(f"the archive cut its answer for the one source {ids[0]} (OVERFLOW): {adql}")
        else:
            half = len(ids) // 2
            yield from self._parts(adql, ids[:half], key)
            yield from self._parts(adql, ids[half:], key)

    def _answer(self, adql: str, upload: tuple[str, Sequence[int]] | None) -> tuple[pa.Table, bool]:
        """An answer, and whether the service says that it is cut."""
        return self._patience.repeat(lambda: self._once(adql, upload), f"query of {self.release.tap}")

    def _once(self, adql: str, upload: tuple[str, Sequence[int]] | None) -> tuple[pa.Table, bool]:
        import pyvo
        from astropy.table import Table
        from pyvo.dal.exceptions import DALAccessError, DALOverflowWarning

        uploads = None if upload is None else {"ids": Table({upload[0]: list(upload[1])})}
        job = None
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                service = pyvo.dal.TAPService(self.release.tap, session=self._session)
                job = service.submit_job(adql, uploads=uploads)
                job.run().wait(timeout=_LONGEST_JOB)
                job.raise_if_error()
                result = job.fetch_result()
                table = tidy(from_astropy(result.to_table()))
        except DALAccessError as error:
            raise _told(error, self.release.tap) from error
        except requests.RequestException as error:
            raise translated(error, self.release.tap) from error
        except (ValueError, TypeError, IndexError, AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise
            raise Broken(f"{self.release.tap} sent what is no VOTable ({str(error).splitlines()[0][:200]})") from error
        finally:
            _remove(job)
            self._session.finish()
        cut = any(issubclass(warning.category, DALOverflowWarning) for warning in caught)
        return table, cut


def _remove(job: Any) -> None:
    """Take the job off the server; one that stays there is removed by the server some day."""
    from pyvo.dal.exceptions import DALAccessError

    if job is None:
        return
    try:
        job.delete()
    except (DALAccessError, requests.RequestException):
        return


def _told(error: Exception, where: str) -> ArchiveError | BadInput:
    """What pyvo found, as an error of ours."""
    from pyvo.dal.exceptions import DALQueryError

    cause = getattr(error, "cause", None)
    reason = " ".join(str(getattr(error, "reason", error)).split())[:400]
    if isinstance(error, DALQueryError):
        return BadInput(f"the archive refuses the query: {reason}. Check names and syntax (ADQL).")
    if isinstance(cause, requests.HTTPError) and cause.response is not None:
        status = cause.response.status_code
        text = f"{where} answers with status {status}: {reason}"
        if status in (429, 503):
            return Unreachable(text)
        # 404 is the address of a job that was never made
        return Broken(text) if status >= 500 or status == 404 else Refused(text, reason)
    if isinstance(cause, requests.RequestException):
        return translated(cause, where)
    if "timed out" in reason:
        return TooSlow(f"{where}: {reason}")
    return Broken(f"{where}: {reason}")


def to_ids(table: pa.Table, where: str) -> list[int]:
    """The identifiers in the answer to a query, each once, in order.

    Raises
    ------
    BadInput
        if it has no column of identifiers, or no row.
    """
    from photfeh.core.stars import validate_stars

    if not table.num_rows:
        raise BadInput(f"{where} gives no source. Widen it.")
    frame = pd.DataFrame(validate_stars(table.to_pandas(), where=where))
    return [int(number) for number in frame["source_id"]]
