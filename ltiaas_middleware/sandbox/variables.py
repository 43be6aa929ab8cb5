"""The variables that an LMS replaces in custom parameters (LTI 1.3, appendix B, and Canvas's)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any

from .world import Platform, Seat

_VARIABLE = re.compile(r"\$\{?([A-Za-z]\w*(?:\.\w+)+)\}?")


def replaced(value: Any, seat: Seat, platform: Platform) -> Any:
    """`value` with the variables in all its strings replaced. As in an LMS, a variable without a
    value in this launch stays unchanged."""
    known = _values(seat, platform)

    def walk(part: Any) -> Any:
        if isinstance(part, str):
            return _VARIABLE.sub(lambda match: str(known.get(match[1]) or match[0]), part)
        if isinstance(part, Mapping):
            return {name: walk(item) for name, item in part.items()}
        return [walk(item) for item in part] if isinstance(part, list) else part

    return walk(value)


def _values(seat: Seat, platform: Platform) -> dict[str, str | None]:
    course, user, link = seat.course, seat.user, seat.activity
    known = {
        "Context.id": course.id,
        "Context.label": course.label,
        "Context.title": course.title,
        "CourseSection.sourcedId": f"sis:{course.id}",
        "CourseSection.title": course.title,
        "ToolConsumerInstance.guid": platform.guid,
        "ToolPlatformInstance.guid": platform.guid,
        "ToolPlatform.productFamilyCode": platform.product,
        "Canvas.account.id": "1",
        "Canvas.root_account.id": "1",
        "Canvas.api.domain": platform.guid,
        "Canvas.api.baseUrl": platform.url,
        "Canvas.course.id": _number(course.id),
        "Canvas.course.name": course.title,
        "Canvas.course.sisSourceId": f"sis:{course.id}",
        "User.id": user.id,
        "User.username": user.id,
        "Person.sourcedId": f"sis:{user.id}",
        "Person.name.full": user.name,
        "Person.name.given": user.given_name,
        "Person.name.family": user.family_name,
        "Person.email.primary": user.email_address,
        "Membership.role": ",".join(user.roles),
        "Canvas.user.id": _number(user.id),
        "Canvas.user.loginId": user.id,
        "Canvas.user.sisSourceId": f"sis:{user.id}",
    }
    if link is None:
        return known
    return known | {
        "ResourceLink.id": link.id,
        "ResourceLink.title": link.title,
        "ResourceLink.description": link.description,
        "Canvas.assignment.id": _number(link.id) if link.score_maximum else None,
        "Canvas.assignment.title": link.title,
        "Canvas.assignment.pointsPossible": f"{link.score_maximum:g}",
    }


def _number(id: str) -> str:
    """The number that Canvas has for what its LTI ids name: the same one every time."""
    return id if id.isdigit() else str(zlib.crc32(id.encode()) % 100_000)
