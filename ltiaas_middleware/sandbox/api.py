"""The table of endpoints (`wire.md`, "The three authorization schemes"), and which credentials they
accept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from werkzeug import Request, Response
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule

from . import credentials, errors
from .call import Call, Launch
from .credentials import Credential
from .endpoints import account, launch, services
from .errors import ApiError
from .tokens import InvalidToken
from .world import Course

if TYPE_CHECKING:
    from .app import Sandbox

_LAUNCH = (credentials.LAUNCH, credentials.OLD_LAUNCH)
_SERVICE = (*_LAUNCH, credentials.SERVICE)
_ACCOUNT = (credentials.ACCOUNT,)


_Endpoint = tuple[tuple[str, ...], Mapping[str, Callable[[Call], Response]]]
"""What one URL offers: the credentials that it takes, and an answer for each method."""


def _endpoint(schemes: tuple[str, ...], **methods: Callable[[Call], Response]) -> _Endpoint:
    return schemes, methods


_PATHS = {
    "idtoken": _endpoint(_LAUNCH, GET=launch.id_token),
    "deeplinking": _endpoint(_LAUNCH, POST=launch.deep_linking_message),
    "deeplinking/form": _endpoint(_LAUNCH, POST=launch.deep_linking_form),
    "memberships": _endpoint(_SERVICE, GET=services.memberships),
    "lineitems": _endpoint(_SERVICE, GET=services.line_items, POST=services.create_line_item),
    "lineitems/<id>": _endpoint(
        _SERVICE,
        GET=services.line_item,
        PUT=services.update_line_item,
        DELETE=services.delete_line_item,
    ),
    "lineitems/<id>/scores": _endpoint(_SERVICE, GET=services.scores, POST=services.submit_score),
    "registrations/<id>": _endpoint(_ACCOUNT, GET=account.registration),
    "registrations/<id>/complete": _endpoint(_ACCOUNT, POST=account.complete_registration),
    "platforms": _endpoint(_ACCOUNT, GET=account.platforms, POST=account.create_platform),
    "platforms/<id>": _endpoint(
        _ACCOUNT, GET=account.platform, PUT=account.update_platform, DELETE=account.delete_platform
    ),
    "platforms/<id>/activate": _endpoint(_ACCOUNT, POST=account.activate_platform),
    "platforms/<id>/deactivate": _endpoint(_ACCOUNT, POST=account.deactivate_platform),
}
# Paths are matched as received, still percent-encoded, so that an encoded slash stays inside one
# segment.
_TABLE = Map([Rule(f"/api/{path}", endpoint=path) for path in _PATHS], merge_slashes=False).bind(
    "ltiaas.invalid"
)


def answer(
    sandbox: Sandbox, request: Request, path: str, credential: Credential, origin: str
) -> Response:
    """The response to one call; `path` is as received, still percent-encoded."""
    try:
        (schemes, methods), path_id = _find(path)
        query = dict(parse_qsl(request.environ["QUERY_STRING"], keep_blank_values=True))
        admitted = _admitted(sandbox, credential, schemes)
        call = Call(sandbox, request, origin, query, path_id, admitted)
        if request.method not in methods:
            error = ApiError(405, "METHOD_NOT_ALLOWED", f"Not for {request.method}.")
            response = error.response()
            response.headers["Allow"] = ", ".join(methods)
            return response
        return methods[request.method](call)
    except ApiError as error:
        return error.response()


def _find(path: str) -> tuple[_Endpoint, str]:
    try:
        found, values = _TABLE.match(path)
    except NotFound:
        raise errors.not_found("There is no such endpoint.") from None
    return _PATHS[found], unquote(values.get("id", ""))


def _admitted(
    sandbox: Sandbox, credential: Credential, schemes: tuple[str, ...]
) -> Launch | Course | None:
    if credential.scheme not in schemes:
        taken = ", ".join(scheme for scheme in schemes if scheme != credentials.OLD_LAUNCH)
        raise ApiError(401, "INVALID_AUTHORIZATION_HEADER", f"This endpoint takes {taken} only.")
    if not credential.well_formed:
        raise ApiError(401, errors.UNAUTHORIZED_LTIK, "Malformed authorization header.")
    if credential.api_key != sandbox.api_key:
        raise errors.wrong_api_key()
    token = credential.token or ""
    if credential.scheme in _LAUNCH:
        try:
            return sandbox.launches.verify(token)
        except InvalidToken:
            raise errors.expired_ltik() from None
    if credential.scheme == credentials.SERVICE:
        course = sandbox.launches.course_of(token)
        if course is None:
            raise errors.wrong_service_key()
        return course
    return None
