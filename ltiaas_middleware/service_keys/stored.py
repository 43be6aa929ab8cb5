"""A stored service key, for jobs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from ..activity import ActivityKey
from ..api.session import ApiSession
from ..credentials import ServiceKeyCredential
from .schema import activity_key

if TYPE_CHECKING:
    from .store import ServiceKeyStore

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_END = datetime.max.replace(tzinfo=timezone.utc)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, as in the database.

    Raises:
        ValueError: ``moment`` is naive.
    """
    if moment.utcoffset() is None:
        raise ValueError("launched_at must be a datetime with a time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(value: Any) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=value)
    except (TypeError, OverflowError):
        # Someone changed the row. It must not keep a job from all other rows.
        return _END


class StoredServiceKey:
    """A stored service key. Its ``repr`` does not show the key.

    Attributes:
        activity_key: the activity under which the key is stored.
        platform_id: the LMS registration's ID.
        context_id: the course's ID, or None.
        resource_link_id: the activity's ID, or None (a deep-linking or course-level launch).
        refreshed_at: when the launch that stored the key began (aware, UTC).
    """

    def __init__(self, store: ServiceKeyStore, row: Any) -> None:
        self._store, self._row = store, row
        self.activity_key: ActivityKey = activity_key(row)
        self.platform_id, self.context_id, self.resource_link_id = self.activity_key
        self.refreshed_at = _moment(row.launched_at)

    @property
    def credential(self) -> ServiceKeyCredential:
        """A credential that signs roster and grade calls.

        Raises:
            ServiceKeyUnreadable: the key's secret is no longer in ``Settings.secrets``, or the row
                was changed.
        """
        return self._store._credential(self._row)

    @property
    def api(self) -> ApiSession:
        """An ``ApiSession`` for this service key. All keys of the store share its connections.

        Raises:
            ServiceKeyUnreadable: as for ``credential``.
        """
        return self._store._api(self.credential)

    def __repr__(self) -> str:
        return f"<StoredServiceKey {self.activity_key!r} of {self.refreshed_at.isoformat()}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a StoredServiceKey cannot be pickled; keep its activity_key instead")
