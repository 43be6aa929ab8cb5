"""What a deep-linking launch hands back to the LMS: LTI Deep Linking 2.0, as LTIAAS spells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidRequest
from .values import mapping, text

__all__ = ["ContentItem", "DeepLinkingMessage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentItem:
    """One thing that a teacher picked.

    ``type`` is ``"ltiResourceLink"`` (a launch of this tool, the default), ``"link"``, ``"html"``,
    ``"file"`` or ``"image"`` (LTI Deep Linking 2.0 section 3). ``url`` is where the launch or link
    goes; a query that it has comes back with every launch. ``custom`` holds custom parameters of
    the launches. ``extra`` holds all that has no field here, under its wire name: ``icon``,
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
            InvalidRequest: it has no type, or ``extra`` holds what has a field.
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
        body: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
        for name in self.extra:
            if name in body:
                raise InvalidRequest(f"extra cannot hold {name}, which has a field of its own")
        return {**body, **self.extra}


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
