"""What only a launch may ask: its ID token, and deep linking."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from werkzeug import Response

from .. import claims, errors
from ..call import Call, Launch
from ..errors import json_response
from ..gradebook import Gradebook
from ..tokens import Mint

DEEP_LINKING = "https://purl.imsglobal.org/spec/lti-dl/claim/"

_OPTIONS = {"message": "msg", "log": "log", "errMessage": "errormsg", "errLog": "errorlog"}


class LaunchEndpoints:
    """The endpoints of a launch. `tool` gives the tool's launch address."""

    def __init__(
        self,
        gradebook: Gradebook,
        mint: Mint,
        clock: Callable[[], float],
        tool: Callable[[], str],
    ) -> None:
        self._gradebook = gradebook
        self._mint = mint
        self._clock = clock
        self._tool = tool

    def id_token(self, call: Call) -> Response:
        """`GET /api/idtoken`."""
        origin = call.launch.lms or call.origin
        built = claims.Claims(call.launch, self._mint, self._gradebook, origin, self._tool())
        return json_response(built.raw() if call.raw else built.id_token())

    def deep_linking_message(self, call: Call) -> Response:
        """`POST /api/deeplinking`."""
        message, target = self._deep_linking(call)
        return json_response({"message": message, "target": target})

    def deep_linking_form(self, call: Call) -> Response:
        """`POST /api/deeplinking/form`."""
        message, target = self._deep_linking(call)
        return json_response(
            {
                "form": (
                    '<form id="ltiaas_deeplinking_form" style="display: none;" '
                    f'action="{html.escape(target)}" method="POST">'
                    f'<input type="hidden" name="JWT" value="{message}" /></form>'
                    '<script>document.getElementById("ltiaas_deeplinking_form").submit()</script>'
                )
            }
        )

    def _deep_linking(self, call: Call) -> tuple[str, str]:
        seat = call.launch.seat
        if not seat.platform.deep_linking:
            raise errors.inactive("Deep linking")
        if not seat.deep_linking:
            raise errors.unavailable("Deep linking")
        message = self._mint.jws(self._message(call.launch, call.body))
        return message, f"{call.launch.lms or call.origin}/lms/deep-linking/return"

    def _message(self, launch: Launch, body: Any) -> dict[str, Any]:
        problems = []
        document = body if isinstance(body, dict) else {}
        items = document.get("contentItems")
        if not isinstance(items, list) or not all(
            isinstance(item, dict) and isinstance(item.get("type"), str) for item in items
        ):
            problems.append(
                {"field": "contentItems", "message": "is required: a list of objects with a type"}
            )
        options = document.get("options") or {}
        if not isinstance(options, dict) or any(
            not isinstance(options.get(name) or "", str) for name in _OPTIONS
        ):
            problems.append({"field": "options", "message": "must be an object of texts"})
        if problems:
            raise errors.invalid_body(problems, body)
        now = int(self._clock())
        further = {
            name: value
            for name, value in document.items()
            if name not in ("contentItems", "options")
        }
        return {
            # Before the message's own claims, which nothing that a tool sends replaces.
            **further,
            "iss": launch.platform.client_id,
            "aud": launch.platform.url,
            "iat": now,
            "exp": now + 600,
            f"{claims.CLAIM}message_type": "LtiDeepLinkingResponse",
            f"{claims.CLAIM}version": launch.platform.lti_version,
            f"{claims.CLAIM}deployment_id": launch.platform.deployment_id,
            f"{DEEP_LINKING}content_items": items,
            f"{DEEP_LINKING}data": launch.seat.course.id,
            **{
                f"{DEEP_LINKING}{claim}": options[name]
                for name, claim in _OPTIONS.items()
                if options.get(name)
            },
        }
