"""The table of endpoints (`wire.md`, "The three authorization schemes"), and who may call which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from werkzeug import Request, Response
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule

from . import credentials, errors
from .call import Call, Launch
from .credentials import Credential
from .endpoints.account import AccountEndpoints
from .endpoints.launch import LaunchEndpoints
from .endpoints.services import ServiceEndpoints
from .errors import ApiError
from .tokens import InvalidToken
from .world import Course

LAUNCH_SCHEMES = (credentials.LAUNCH, credentials.OLD_LAUNCH)
SERVICE_SCHEMES = (*LAUNCH_SCHEMES, credentials.SERVICE)
ACCOUNT_SCHEMES = (credentials.ACCOUNT,)


@dataclass(frozen=True, eq=False)
class Endpoint:
    """What one address offers: the credentials that it takes, and an answer for each method."""

    schemes: tuple[str, ...]
    methods: Mapping[str, Callable[[Call], Response]]


def routes(launch: LaunchEndpoints, services: ServiceEndpoints, account: AccountEndpoints) -> Map:
    """The table. Paths are matched as received, still percent-encoded, so that an encoded slash
    stays inside one segment.
    """

    def rule(path: str, schemes: tuple[str, ...], **methods: Callable[[Call], Response]) -> Rule:
        return Rule(f"/api{path}", endpoint=Endpoint(schemes, methods))

    return Map(
        [
            rule("/idtoken", LAUNCH_SCHEMES, GET=launch.id_token),
            rule("/deeplinking", LAUNCH_SCHEMES, POST=launch.deep_linking_message),
            rule("/deeplinking/form", LAUNCH_SCHEMES, POST=launch.deep_linking_form),
            rule("/memberships", SERVICE_SCHEMES, GET=services.memberships),
            rule(
                "/lineitems",
                SERVICE_SCHEMES,
                GET=services.line_items,
                POST=services.create_line_item,
            ),
            rule(
                "/lineitems/<id>",
                SERVICE_SCHEMES,
                GET=services.line_item,
                PUT=services.update_line_item,
                DELETE=services.delete_line_item,
            ),
            rule(
                "/lineitems/<id>/scores",
                SERVICE_SCHEMES,
                GET=services.scores,
                POST=services.submit_score,
            ),
            rule("/registrations/<id>", ACCOUNT_SCHEMES, GET=account.registration),
            rule(
                "/registrations/<id>/complete",
                ACCOUNT_SCHEMES,
                POST=account.complete_registration,
            ),
            rule(
                "/platforms",
                ACCOUNT_SCHEMES,
                GET=account.platforms,
                POST=account.create_platform,
            ),
            rule(
                "/platforms/<id>",
                ACCOUNT_SCHEMES,
                GET=account.platform,
                PUT=account.update_platform,
                DELETE=account.delete_platform,
            ),
            rule("/platforms/<id>/activate", ACCOUNT_SCHEMES, POST=account.activate_platform),
            rule("/platforms/<id>/deactivate", ACCOUNT_SCHEMES, POST=account.deactivate_platform),
        ],
        merge_slashes=False,
    )


class Api:
    """Answers calls to the API.

    `launch_of` gives the launch of an ltik or raises `InvalidToken`; `course_of` the course of a
    service key, or None.
    """

    def __init__(
        self,
        table: Map,
        api_key: str,
        launch_of: Callable[[str], Launch],
        course_of: Callable[[str], Course | None],
    ) -> None:
        self._table = table.bind("ltiaas.invalid")
        self._api_key = api_key
        self._launch_of = launch_of
        self._course_of = course_of

    def answer(self, request: Request, path: str, credential: Credential, origin: str) -> Response:
        """The answer to one request; `path` is as received, still percent-encoded."""
        try:
            endpoint, path_id = self._find(path)
            call = Call(
                request,
                origin,
                dict(parse_qsl(request.environ["QUERY_STRING"], keep_blank_values=True)),
                path_id,
                self._admitted(credential, endpoint.schemes),
            )
            if request.method not in endpoint.methods:
                response = ApiError(
                    405, "METHOD_NOT_ALLOWED", f"Not for {request.method}."
                ).response()
                response.headers["Allow"] = ", ".join(endpoint.methods)
                return response
            return endpoint.methods[request.method](call)
        except ApiError as error:
            return error.response()

    def _find(self, path: str) -> tuple[Endpoint, str]:
        try:
            endpoint, values = self._table.match(path)
        except NotFound:
            raise errors.not_found("There is no such endpoint.") from None
        return endpoint, unquote(values.get("id", ""))

    def _admitted(self, credential: Credential, schemes: tuple[str, ...]) -> Launch | Course | None:
        if credential.scheme not in schemes:
            taken = ", ".join(scheme for scheme in schemes if scheme != credentials.OLD_LAUNCH)
            raise ApiError(
                401, "INVALID_AUTHORIZATION_HEADER", f"This endpoint takes {taken} only."
            )
        if not credential.well_formed:
            raise ApiError(401, errors.UNAUTHORIZED_LTIK, "Malformed authorization header.")
        if credential.api_key != self._api_key:
            raise errors.wrong_api_key()
        if credential.scheme in LAUNCH_SCHEMES:
            try:
                return self._launch_of(credential.token or "")
            except InvalidToken:
                raise errors.expired_ltik() from None
        if credential.scheme == credentials.SERVICE:
            course = self._course_of(credential.token or "")
            if course is None:
                raise ApiError(
                    401, "INVALID_SERVICE_AUTH_AUTHORIZATION_HEADER", "Invalid service key."
                )
            return course
        return None
