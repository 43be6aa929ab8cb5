"""One stored service key, as jobs get it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NoReturn

from ..api.session import ApiSession
from ..credentials import ServiceKeyCredential
from .schema import Place, Row

if TYPE_CHECKING:
    from .store import ServiceKeyStore

__all__ = ["StoredServiceKey", "microseconds"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def microseconds(moment: datetime) -> int:
    """Since 1970, as the database holds it.

    Raises:
        ValueError: ``moment`` is naive.
    """
    if moment.utcoffset() is None:
        raise ValueError("launched_at must be a datetime with a time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


class StoredServiceKey:
    """One stored service key. Its ``repr`` does not show it.

    Attributes:
        platform_id: of the LMS registration.
        context_id: of the course, or None.
        resource_link_id: of the activity, or None (a deep-linking or course-level launch).
        refreshed_at: when the launch began that brought it (aware, UTC).
    """

    __slots__ = (
        "_row",
        "_store",
        "context_id",
        "platform_id",
        "refreshed_at",
        "resource_link_id",
    )

    def __init__(self, store: ServiceKeyStore, row: Row) -> None:
        self._store = store
        self._row = row
        self.platform_id = row.platform_id
        self.context_id = row.context_id
        self.resource_link_id = row.resource_link_id
        self.refreshed_at = _EPOCH + timedelta(microseconds=row.launched_at)

    @property
    def place(self) -> Place:
        """The three ids that it is stored under."""
        return self._row.place

    @property
    def credential(self) -> ServiceKeyCredential:
        """Signs roster and grade calls.

        Raises:
            ServiceKeyUnreadable: it was sealed under a secret that is not there any more, or the
                row is not what was written.
        """
        return self._store._credential(self._row)

    @property
    def api(self) -> ApiSession:
        """Calls with this service key, on connections that all keys of the store share.

        Raises:
            ServiceKeyUnreadable: as ``credential``.
        """
        return self._store._api(self.credential)

    def __repr__(self) -> str:
        return f"<StoredServiceKey {self.place!r} of {self.refreshed_at.isoformat()}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a StoredServiceKey is not pickled; keep its place and read it again")
