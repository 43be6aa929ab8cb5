"""Identifies an activity of an LMS: the key of stored service keys, and an argument for jobs."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .api.id_token import IdToken

__all__ = ["ActivityKey"]


class ActivityKey(NamedTuple):
    """Identifies one activity. It contains no secret and can be pickled, so you can pass it to a
    job.

    Attributes:
        platform_id: the LMS registration's ID. A legacy (LTI 1.1) launch has none, so it is
            ``guid:`` and the LMS's own guid instead. The prefix matters: an LMS chooses its guid,
            and must not get another LMS's service keys by choosing that LMS's ID.
        context_id: the course's ID, or None.
        resource_link_id: the activity's ID, or None (a deep-linking or course-level launch).
    """

    platform_id: str
    context_id: str | None = None
    resource_link_id: str | None = None

    @classmethod
    def of(cls, id_token: IdToken) -> ActivityKey | None:
        """The activity of a launch, or None if the launch has neither a platform ID nor a guid."""
        platform, launch = id_token.platform, id_token.launch
        if platform.id:
            platform_id = platform.id
        elif platform.guid:
            platform_id = f"guid:{platform.guid}"
        else:
            return None
        return cls(
            platform_id,
            launch.context.id if launch.context else None,
            launch.resource_link.id if launch.resource_link else None,
        )

    @property
    def digest(self) -> str:
        """64 hexadecimal digits: the SHA-256 of the three IDs as a compact JSON list."""
        text = json.dumps(list(self), separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
