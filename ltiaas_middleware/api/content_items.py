"""What a deep-linking launch hands back to the LMS: LTI Deep Linking 2.0, as LTIAAS spells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidRequest
from ..origins import origin_of
from .values import mapping, merged, query, text

__all__ = ["ContentItem", "DeepLinkingMessage", "deep_linking_body"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentItem:
    """One thing that a teacher picked.

    ``type`` is ``"ltiResourceLink"`` (a launch of this tool, the default), ``"link"``, ``"html"``,
    ``"file"`` or ``"image"`` (LTI Deep Linking 2.0 section 3). ``url`` is where a link goes; of a
    launch it is an address of LTIAAS, whose query comes back to the tool with every launch:
    ``launch.launch_url(resource="123")`` makes one. ``custom`` holds custom parameters of the
    launches. ``extra`` holds all that has no field here, under its wire name: ``icon``,
    ``thumbnail``, ``lineItem``, ``available``, ``iframe``, ``window``, …
    """

    type: str = "ltiResourceLink"
    url: str | None = None
    title: str | None = None
    text: str | None = None
    html: str | None = None
    custom: Mapping[str, str] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """The item as it is sent.

        Raises:
            InvalidRequest: it has no type, or ``extra`` has a field that has one of its own.
        """
        if not isinstance(self.type, str) or not self.type:
            raise InvalidRequest("a content item needs a type")
        fields = {
            "type": self.type,
            "url": self.url,
            "title": self.title,
            "text": self.text,
            "html": self.html,
            "custom": None if self.custom is None else dict(self.custom),
        }
        return merged(fields, self.extra)


@dataclass(frozen=True, slots=True)
class DeepLinkingMessage:
    """What a tool that builds the form itself posts to the LMS, as the field ``JWT``.

    ``message`` is a signed JWT; ``target`` the LMS's address. ``raw`` is the mapping as it came.
    """

    message: str = field(repr=False)
    target: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, raw: object) -> DeepLinkingMessage:
        """Read the answer of ``POST /api/deeplinking``.

        Raises:
            ValueError: it has no message or no target.
        """
        fields = mapping(raw)
        message, target = text(fields.get("message")), text(fields.get("target"))
        if message is None or target is None:
            raise ValueError("the answer has no message or no target")
        return cls(message, target, fields)


def deep_linking_body(
    origin: str,
    items: Iterable[ContentItem | Mapping[str, Any]],
    message: str | None,
    log: str | None,
    error_message: str | None,
    error_log: str | None,
    extra: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What both deep-linking calls send.

    Args:
        origin: of the account, where every ``ltiResourceLink`` has to lead.
        items: what the teacher picked.
        message: for the teacher; ``log`` for the LMS's log.
        log: see ``message``.
        error_message: for the teacher where the picking failed; ``error_log`` for the LMS's log.
        error_log: see ``error_message``.
        extra: further keys beside the items.

    Raises:
        InvalidRequest: an item without a type, an ``ltiResourceLink`` that leads elsewhere, both a
            message and an error, or an ``extra`` that has a key of its own here.
    """
    if (message or log) and (error_message or error_log):
        raise InvalidRequest("a message and an error cannot go together")
    bodies = [_item_body(item, origin) for item in items]
    options = query(message=message, log=log, errMessage=error_message, errLog=error_log)
    return merged({"contentItems": bodies, "options": dict(options)}, extra or {})


def _item_body(item: ContentItem | Mapping[str, Any], origin: str) -> dict[str, Any]:
    body = item.body() if isinstance(item, ContentItem) else dict(item)
    if not body.get("type"):
        raise InvalidRequest("a content item needs a type")
    url = body.get("url")
    if body["type"] != "ltiResourceLink" or url is None:
        return body
    # wire.md, "The three authorization schemes": at any other address the LMS's launch never
    # reaches LTIAAS.
    if not isinstance(url, str) or origin_of(url) != origin:
        raise InvalidRequest(
            f"the url of an ltiResourceLink must be an address of LTIAAS, {origin}/lti/launch?… "
            "(launch_url makes it), never the tool's own: LTIAAS receives the LMS's launch and "
            "sends the browser on to the tool"
        )
    return body
