"""The endpoints of `wire.md`, "The three authorization schemes", and who may call which."""

from __future__ import annotations

import copy
import html
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, unquote

from werkzeug import Request, Response

from . import claims, credentials, errors, paging
from .credentials import Credential
from .errors import ApiError, json_response
from .gradebook import Gradebook, LineItem
from .scores import read_line_item, read_score
from .tokens import InvalidToken, Mint
from .world import Course, Platform, Seat, World, same_role

LAUNCH_SCHEMES = (credentials.LAUNCH, credentials.OLD_LAUNCH)
SERVICE_SCHEMES = (*LAUNCH_SCHEMES, credentials.SERVICE)
ACCOUNT_SCHEMES = (credentials.ACCOUNT,)

PENDING_REGISTRATION = "5d0f6a1e7c9b4b0e"
"""The id of a dynamic registration that waits to be completed, there from the start."""


@dataclass(frozen=True)
class Launch:
    """A verified ltik."""

    seat: Seat
    issued_at: int
    id: str


@dataclass(frozen=True)
class Call:
    """One request, as the endpoints see it."""

    method: str
    segments: tuple[str, ...]
    """Of the path behind `/api`, split before percent-decoding, so that an encoded slash stays
    inside one.
    """
    query: dict[str, str]
    body: Any
    credential: Credential
    origin: str


@dataclass(frozen=True)
class Endpoint:
    """What one address offers: the credentials it takes, and an answer for each method."""

    schemes: tuple[str, ...]
    methods: dict[str, Callable[[], Response]]


class Api:
    """Answers calls to the API."""

    def __init__(
        self,
        world: World,
        gradebook: Gradebook,
        mint: Mint,
        api_key: str,
        clock: Callable[[], float],
        launch_of: Callable[[str], Launch],
        tool: Callable[[], str],
    ) -> None:
        self._world = world
        self._gradebook = gradebook
        self._mint = mint
        self._api_key = api_key
        self._clock = clock
        self._launch_of = launch_of
        self._tool = tool
        self._service_keys = {
            mint.service_key(course.platform.id, course.id, activity.id if activity else ""): course
            for course, activity in world.contexts()
        }
        self._lock = threading.Lock()
        self._platforms = {platform.id: _registered(platform) for platform in world.platforms}
        self._registrations: dict[str, dict[str, Any]] = {
            PENDING_REGISTRATION: {
                "id": PENDING_REGISTRATION,
                "status": "pending",
                "platform": {
                    "url": "https://canvas.riverside.example",
                    "name": "Riverside Institute",
                    "productFamilyCode": "canvas",
                    "version": "2026.1",
                },
            }
        }

    def answer(self, request: Request, path: str, credential: Credential, origin: str) -> Response:
        """The answer to one request; `path` is as received, still percent-encoded."""
        try:
            call = Call(
                request.method,
                tuple(path.split("/")[2:]),
                dict(parse_qsl(request.environ["QUERY_STRING"], keep_blank_values=True)),
                None,
                credential,
                origin,
            )
            endpoint = self._endpoint(call, request)
            self._admit(credential, endpoint.schemes)
            if call.method not in endpoint.methods:
                response = ApiError(405, "METHOD_NOT_ALLOWED", f"Not for {call.method}.").response()
                response.headers["Allow"] = ", ".join(endpoint.methods)
                return response
            return endpoint.methods[call.method]()
        except ApiError as error:
            return error.response()

    def _endpoint(self, call: Call, request: Request) -> Endpoint:
        def body() -> Any:
            return read_body(request)

        segments = call.segments
        if segments == ("idtoken",):
            return Endpoint(LAUNCH_SCHEMES, {"GET": lambda: self._id_token(call)})
        if segments in (("deeplinking",), ("deeplinking", "form")):
            form = len(segments) == 2
            return Endpoint(
                LAUNCH_SCHEMES, {"POST": lambda: self._deep_linking(call, body(), form)}
            )
        if segments == ("memberships",):
            return Endpoint(SERVICE_SCHEMES, {"GET": lambda: self._memberships(call)})
        if segments == ("lineitems",):
            return Endpoint(
                SERVICE_SCHEMES,
                {
                    "GET": lambda: self._line_items(call),
                    "POST": lambda: self._create_line_item(call, body()),
                },
            )
        if segments[:1] == ("lineitems",) and len(segments) == 2:
            return Endpoint(
                SERVICE_SCHEMES,
                {
                    "GET": lambda: json_response(self._line_item(call).document()),
                    "PUT": lambda: self._update_line_item(call, body()),
                    "DELETE": lambda: self._delete_line_item(call),
                },
            )
        if segments[:1] == ("lineitems",) and len(segments) == 3 and segments[2] == "scores":
            return Endpoint(
                SERVICE_SCHEMES,
                {
                    "GET": lambda: self._scores(call),
                    "POST": lambda: self._submit_score(call, body()),
                },
            )
        if segments[:1] == ("registrations",) and len(segments) == 2:
            return Endpoint(ACCOUNT_SCHEMES, {"GET": lambda: self._registration(call)})
        if segments[:1] == ("registrations",) and segments[2:] == ("complete",):
            return Endpoint(
                ACCOUNT_SCHEMES, {"POST": lambda: self._complete_registration(call, body())}
            )
        if segments == ("platforms",):
            return Endpoint(
                ACCOUNT_SCHEMES,
                {
                    "GET": self._list_platforms,
                    "POST": lambda: self._create_platform(body()),
                },
            )
        if segments[:1] == ("platforms",) and len(segments) == 2:
            return Endpoint(
                ACCOUNT_SCHEMES,
                {
                    "GET": lambda: json_response(self._platform(call)),
                    "PUT": lambda: self._update_platform(call, body()),
                    "DELETE": lambda: self._delete_platform(call),
                },
            )
        if segments[:1] == ("platforms",) and segments[2:] in (("activate",), ("deactivate",)):
            active = segments[2] == "activate"
            return Endpoint(
                ACCOUNT_SCHEMES, {"POST": lambda: self._activate_platform(call, active)}
            )
        raise errors.not_found("There is no such endpoint.")

    # Credentials

    def _admit(self, credential: Credential, schemes: tuple[str, ...]) -> None:
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
            self._launch(credential)
        elif credential.scheme == credentials.SERVICE:
            self._course(credential)

    def _launch(self, credential: Credential) -> Launch:
        try:
            return self._launch_of(credential.token or "")
        except InvalidToken:
            raise errors.expired_ltik() from None

    def _course(self, credential: Credential) -> Course:
        if credential.scheme != credentials.SERVICE:
            return self._launch(credential).seat.course
        course = self._service_keys.get(credential.token or "")
        if course is None:
            raise ApiError(401, "INVALID_SERVICE_AUTH_AUTHORIZATION_HEADER", "Invalid service key.")
        return course

    def _claims(self, call: Call) -> claims.Claims:
        return claims.Claims(self._mint, self._gradebook, call.origin, self._tool())

    # The launch itself

    def _id_token(self, call: Call) -> Response:
        launch = self._launch(call.credential)
        built = self._claims(call)
        if call.query.get("raw", "").lower() == "true":
            return json_response(built.raw(launch.seat, launch.issued_at, launch.id))
        return json_response(built.id_token(launch.seat, launch.issued_at))

    def _deep_linking(self, call: Call, body: Any, form: bool) -> Response:
        seat = self._launch(call.credential).seat
        if not seat.platform.deep_linking:
            raise _inactive("Deep linking")
        if not seat.deep_linking:
            raise _unavailable("Deep linking")
        message = self._mint.jws(self._deep_linking_message(seat, body))
        target = f"{call.origin}/lms/deep-linking/return"
        if not form:
            return json_response({"message": message, "target": target})
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

    def _deep_linking_message(self, seat: Seat, body: Any) -> dict[str, Any]:
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
        claim = "https://purl.imsglobal.org/spec/lti-dl/claim/"
        said = {"message": "msg", "log": "log", "errMessage": "errormsg", "errLog": "errorlog"}
        if not isinstance(options, dict) or any(
            not isinstance(options.get(name) or "", str) for name in said
        ):
            problems.append({"field": "options", "message": "must be an object of texts"})
        if problems:
            raise errors.invalid_body(problems, body)
        now = int(self._clock())
        return {
            "iss": seat.platform.client_id,
            "aud": seat.platform.url,
            "iat": now,
            "exp": now + 600,
            f"{claims.CLAIM}message_type": "LtiDeepLinkingResponse",
            f"{claims.CLAIM}version": seat.platform.lti_version,
            f"{claims.CLAIM}deployment_id": seat.platform.deployment_id,
            f"{claim}content_items": items,
            f"{claim}data": seat.course.id,
            **{f"{claim}{said[name]}": options[name] for name in said if options.get(name)},
        }

    # Roster

    def _memberships(self, call: Call) -> Response:
        course = self._course(call.credential)
        if not course.platform.roster:
            raise _inactive("Names and roles")
        query = self._page_query(call, course.roster_url)
        filters = _filters(query, "role", "resourceLinkId")
        link = filters.get("resourceLinkId")
        if link is not None and course.activity(link) is None:
            raise errors.not_found("There is no such resource link in this course.")
        rows = [
            (number, claims.member(user))
            for number, user in enumerate(course.members, 1)
            if "role" not in filters or any(same_role(filters["role"], role) for role in user.roles)
        ]
        members, links = paging.page(rows, course.roster_url, filters, query)
        context = {"id": course.id, "label": course.label, "title": course.title}
        return json_response(
            {"id": course.roster_url, "context": context, "members": members, **links}
        )

    # Line items and scores

    def _graded_course(self, call: Call) -> Course:
        course = self._course(call.credential)
        if not course.platform.grades:
            raise _inactive("Assignment and grades")
        if not course.grades:
            raise _unavailable("Assignment and grades")
        return course

    def _line_items(self, call: Call) -> Response:
        course = self._graded_course(call)
        query = self._page_query(call, course.line_items_url)
        filters = _filters(query, "resourceLinkId", "resourceId", "tag")
        rows = [
            (item.number, item.document())
            for item in self._gradebook.items(course)
            if all(item.body.get(name) == value for name, value in filters.items())
        ]
        items, links = paging.page(rows, course.line_items_url, filters, query)
        return json_response({"lineItems": items, **links})

    def _create_line_item(self, call: Call, body: Any) -> Response:
        course = self._graded_course(call)
        item = self._gradebook.create(course, read_line_item(body, course))
        return json_response(item.document(), 201)

    def _line_item(self, call: Call) -> LineItem:
        course = self._graded_course(call)
        item = self._gradebook.item(course, unquote(call.segments[1]))
        if item is None:
            raise errors.not_found("There is no such line item.")
        return item

    def _update_line_item(self, call: Call, body: Any) -> Response:
        item = self._line_item(call)
        self._gradebook.replace(item, read_line_item(body, item.course))
        return json_response(item.document())

    def _delete_line_item(self, call: Call) -> Response:
        self._gradebook.delete(self._line_item(call))
        return Response(status=204)

    def _scores(self, call: Call) -> Response:
        item = self._line_item(call)
        base, _, own_query = item.id.partition("?")
        url = f"{base}/results?{own_query}"
        query = self._page_query(call, url)
        filters = _filters(query, "userId")
        rows = [
            (number, result)
            for number, result in self._gradebook.results(item)
            if filters.get("userId") in (None, str(result["userId"]))
        ]
        scores, links = paging.page(rows, url, filters, query)
        return json_response({"scores": scores, **links})

    def _submit_score(self, call: Call, body: Any) -> Response:
        item = self._line_item(call)
        score = read_score(body)
        if item.course.member(score["userId"]) is None:
            raise ApiError(
                400,
                "EXTERNAL_SERVICE_ERROR",
                "The LMS has no such user in this course.",
                bodyReceived=body,
                externalError=True,
                externalUrl=item.id,
            )
        now = datetime.fromtimestamp(self._clock(), timezone.utc)
        score.setdefault("timestamp", now.isoformat(timespec="milliseconds"))
        self._gradebook.submit(item, score["userId"], score)
        return Response(status=204)

    def _page_query(self, call: Call, collection: str) -> dict[str, str]:
        """The page asked for: `url` stands by itself, whatever else is in the query."""
        if "url" in call.query:
            return paging.query_of(call.query["url"], collection)
        return {name: value for name, value in call.query.items() if name != "after"}

    # Registrations and platforms. Their documents are not described in `wire.md`; what stands here
    # is the least that a tool can work with.

    def _registration(self, call: Call) -> Response:
        with self._lock:
            found = self._registrations.get(unquote(call.segments[1]))
            if found is None:
                raise errors.not_found("There is no such registration.")
            if call.query.get("raw", "").lower() == "true":
                platform = found["platform"]
                return json_response(
                    {
                        "issuer": platform["url"],
                        "registration_endpoint": f"{platform['url']}/lti/register",
                        "jwks_uri": f"{platform['url']}/lti/jwks",
                        "token_endpoint": f"{platform['url']}/lti/token",
                    }
                )
            return json_response(found)

    def _complete_registration(self, call: Call, body: Any) -> Response:
        with self._lock:
            found = self._registrations.get(unquote(call.segments[1]))
            if found is None:
                raise errors.not_found("There is no such registration.")
            if body is not None and not isinstance(body, dict):
                raise errors.invalid_body([{"field": "", "message": "must be an object"}], body)
            found["status"] = "completed"
            found["options"] = body or {}
            return json_response(found)

    def _list_platforms(self) -> Response:
        with self._lock:
            return json_response({"platforms": list(self._platforms.values())})

    def _platform(self, call: Call) -> dict[str, Any]:
        with self._lock:
            found = self._platforms.get(unquote(call.segments[1]))
            if found is None:
                raise errors.not_found("There is no such platform.")
            return copy.deepcopy(found)

    def _create_platform(self, body: Any) -> Response:
        document = _platform_body(body)
        with self._lock:
            document["id"] = f"{len(self._platforms) + 1:032x}"
            while document["id"] in self._platforms:
                document["id"] = f"{int(document['id'], 16) + 1:032x}"
            document.setdefault("active", True)
            self._platforms[document["id"]] = document
        return json_response(document)

    def _update_platform(self, call: Call, body: Any) -> Response:
        found = self._platform(call)
        if not isinstance(body, dict):
            raise errors.invalid_body([{"field": "", "message": "must be an object"}], body)
        document = {**found, **body, "id": found["id"]}
        with self._lock:
            self._platforms[found["id"]] = document
        return json_response(document)

    def _delete_platform(self, call: Call) -> Response:
        found = self._platform(call)
        with self._lock:
            self._platforms.pop(found["id"], None)
        return Response(status=204)

    def _activate_platform(self, call: Call, active: bool) -> Response:
        return self._update_platform(call, {"active": active})


def read_body(request: Request) -> Any:
    """The JSON body of a request; None for an empty one. Raises `ApiError` for anything else."""
    data = request.get_data(cache=True)
    if not data:
        return None
    if request.mimetype != "application/json":
        raise ApiError(
            400,
            "VALIDATION_ERROR",
            "The body must be sent as application/json.",
            bodyReceived=data.decode("utf-8", "replace"),
        )
    try:
        return json.loads(data, parse_constant=_no_constant)
    except ValueError:
        raise ApiError(
            400,
            "VALIDATION_ERROR",
            "The body is not JSON.",
            bodyReceived=data.decode("utf-8", "replace"),
        ) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _filters(query: dict[str, str], *names: str) -> dict[str, str]:
    return {name: query[name] for name in names if name in query}


def _inactive(service: str) -> ApiError:
    return ApiError(403, "INACTIVE_SERVICE", f"{service} is not active for this platform.")


def _unavailable(service: str) -> ApiError:
    return ApiError(
        403, "SERVICE_NOT_AVAILABLE_FOR_CONTEXT", f"{service} is not available to this launch."
    )


def _registered(platform: Platform) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": platform.id,
        "url": platform.url,
        "name": platform.name,
        "active": True,
    }
    if platform.legacy:
        document["consumerKey"] = platform.consumer_key
    else:
        document.update(
            clientId=platform.client_id,
            authenticationEndpoint=f"{platform.url}/lti/auth",
            accesstokenEndpoint=f"{platform.url}/lti/token",
            authConfig={"method": "JWK_SET", "key": f"{platform.url}/lti/jwks"},
        )
    return document


def _platform_body(body: Any) -> dict[str, Any]:
    document = (
        {key: value for key, value in body.items() if value is not None}
        if isinstance(body, dict)
        else {}
    )
    problems = [
        {"field": name, "message": "is required: text"}
        for name in ("url", "name", "clientId")
        if not isinstance(document.get(name), str)
    ]
    if problems:
        raise errors.invalid_body(problems, body)
    return document
