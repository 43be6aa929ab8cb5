"""Launches for testing tools, with pytest or unittest.

A function of the app, without HTTP::

    with testing.launch(user="ben", roles=["Learner"], custom={"level": "2"}) as launch:
        hand_in(answer)
        launch.api.submit_score.assert_called_once()

The whole app, through the middleware, as a browser in an LMS's iframe uses it::

    with testing.client(app) as client:
        client.launch("/launch", user="ben")
        client.post("/score")
        assert client.sandbox.scores()["ben"]["scoreGiven"] == 8

For Django's own test client, see ``testing_django``. All functions except ``launch`` start the
sandbox (extra ``[sandbox]``), a local LTIAAS.
"""

from __future__ import annotations

import atexit
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import create_autospec, patch

from ._asgi_in_wsgi import asgi_in_wsgi, is_async
from ._crypto.one_time_tokens import OneTimeTokens
from ._test_client import Client
from .api.decoded import DecodedTokens
from .api.session import ApiSession
from .launch import Account, Launch, current
from .settings import Settings

if TYPE_CHECKING:
    from .sandbox import Sandbox, SandboxServer, World

__all__ = [
    "Client",
    "RunningSandbox",
    "client",
    "launch",
    "running_sandbox",
    "sandbox",
]

_DAY = 24 * 60 * 60


# -- without HTTP ---------------------------------------------------------------------------------


class _Entry(NamedTuple):
    """What a ``Launch`` reads of a verified one."""

    id: str
    ltik: str
    claims: bytes
    ends_at: float

    def __repr__(self) -> str:
        return f"<_Entry {self.id}>"


class _FakeLaunch(Launch):
    """A launch whose calls to LTIAAS go to something else."""

    __slots__ = ("_given",)

    def __init__(self, entry: Any, account: Account, path: str, given: Any) -> None:
        super().__init__(entry, account, path)
        self._given = given

    @property
    def api(self) -> Any:
        if self._given is None:
            self._given = create_autospec(ApiSession, instance=True)
        return self._given

    @property
    def async_api(self) -> Any:
        if self._given is None:
            from .api.async_session import AsyncApiSession

            self._given = create_autospec(AsyncApiSession, instance=True)
        return self._given


@contextmanager
def launch(
    user: str | None = "ben",
    roles: Sequence[str] = ("Learner",),
    custom: Mapping[str, str] | None = None,
    claims: Mapping[str, Any] | None = None,
    *,
    api: Any = None,
    path: str = "/lti/AAAAAAAAAAAAAAAAAAAAAA",
) -> Iterator[Any]:
    """A launch without HTTP: inside, ``current_launch()`` and ``require_launch()`` return it.

    Args:
        user: the user's ID, or None for an anonymous launch.
        roles: the user's roles, as URIs or bare names.
        custom: the launch's custom parameters.
        claims: fields of the ID token in LTIAAS's format (wire.md, "The ID token"), merged into the
            default ones: ``{"platform": {"productFamilyCode": "canvas"}}``.
        api: the object for ``launch.api`` and ``launch.async_api``. By default, a ``unittest.mock``
            mock of ``ApiSession`` (or ``AsyncApiSession``, if you use it first), which checks
            arguments, records calls, and returns the values that you set
            (``launch.api.members.return_value = [...]``). To make real calls, with a launch that
            the sandbox issues for this user, pass the fixture ``ltiaas_sandbox``.
        path: ``launch.path``.

    Yields:
        the ``Launch``.
    """
    document = _merged(_document(user, roles, custom or {}), claims or {})
    url, api_key, ltik = "https://your.ltiaas.com", "an-api-key-of-tests", "test.launch.token"
    is_real = isinstance(api, RunningSandbox)
    if is_real:
        url, api_key = api.url, api.api_key
        ltik = api.sandbox.issue(user=user, roles=roles, custom=custom, claims=claims)
        with ApiSession(Launch(_entry(ltik, {}), _account(url, api_key)).credential) as calls:
            document = dict(calls.id_token().raw)
    entry, account = _entry(ltik, document), _account(url, api_key)
    made = Launch(entry, account, path) if is_real else _FakeLaunch(entry, account, path, api)
    made.origin = "https://testserver"
    token = current.set(made)
    try:
        yield made
    finally:
        current.reset(token)
        if is_real:
            made.api.close()


def _entry(ltik: str, document: Mapping[str, Any]) -> Any:
    claims = json.dumps(document).encode()
    return _Entry("A" * 22, ltik, claims, time.time() + _DAY)


def _account(url: str, api_key: str) -> Account:
    settings = Settings(url=url, api_key=api_key)
    return Account(settings, OneTimeTokens(settings.signing_secrets, time.time), DecodedTokens())


def _document(user: str | None, roles: Sequence[str], custom: Mapping[str, str]) -> dict[str, Any]:
    name = None if user is None else user.replace("-", " ").title()
    return {
        "ltiVersion": "1.3.0",
        "user": {"roles": list(roles)} | ({} if user is None else {"id": user, "name": name}),
        "platform": {"id": "a-platform", "url": "https://lms.example", "name": "An LMS"},
        "launch": {
            "type": "LtiResourceLinkRequest",
            "context": {"id": "a-course", "title": "A course", "type": []},
            "resourceLink": {"id": "an-activity", "title": "An activity"},
            "custom": dict(custom),
        },
        "services": {
            "deepLinking": {"available": False},
            "namesAndRoles": {"available": True},
            "assignmentAndGrades": {
                "available": True,
                "lineItemId": "https://lms.example/line-items/1",
            },
            "serviceKey": "a-service-key-of-tests",
        },
    }


def _merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(document)
    for key, value in changes.items():
        before = made.get(key)
        is_object = isinstance(value, Mapping) and isinstance(before, Mapping)
        made[key] = _merged(before, value) if is_object else value  # type: ignore[arg-type]
    return made


# -- through the middleware -----------------------------------------------------------------------


class RunningSandbox(NamedTuple):
    """A sandbox and its server."""

    sandbox: Sandbox
    """Issues launches, injects faults, and logs the calls that it gets."""
    server: SandboxServer
    """The sandbox's server."""

    @property
    def url(self) -> str:
        """The URL for a tool's ``LTIAAS_URL``."""
        return self.server.url

    @property
    def api_key(self) -> str:
        """The API key for a tool's ``LTIAAS_API_KEY``."""
        return self.sandbox.api_key


@cache
def _server() -> SandboxServer:
    from .sandbox import Sandbox, SandboxServer

    server = SandboxServer(Sandbox())
    atexit.register(server.__exit__, None, None, None)
    return server.__enter__()


@contextmanager
def sandbox(world: World | None = None) -> Iterator[RunningSandbox]:
    """Start a new sandbox on a loopback port.

    It does not share launches, scores or faults with other sandboxes. All sandboxes in a process
    have the same URL and API key, so an app that reads them once works in every test.

    Args:
        world: the sandbox's LMSes, courses and people, such as ``World.preset("canvas")``.
    """
    try:
        yield running_sandbox(world)
    finally:
        # Lets go of the requests that a fault still holds up, and of what the test changed.
        running_sandbox()


def running_sandbox(world: World | None = None) -> RunningSandbox:
    """A new sandbox, which lasts until you create the next one."""
    from .sandbox import Sandbox

    server = _server()
    server.replace(Sandbox(world=world))
    return RunningSandbox(server.sandbox, server)


@contextmanager
def client(
    app: Any, running: RunningSandbox | None = None, *, base_url: str = "https://testserver"
) -> Iterator[Client]:
    """A test client for an app that is wrapped in the middleware, and a sandbox to launch it from.

    In this context, ``LTIAAS_URL`` and ``LTIAAS_API_KEY`` have the sandbox's values, so an app that
    reads its settings from the environment needs no change.

    Args:
        app: a WSGI or ASGI app, such as a ``Flask`` or a ``FastAPI``.
        running: the sandbox to use, such as the fixture ``ltiaas_sandbox``. By default, a new one.
        base_url: the app's URL, as the browser sees it.
    """
    with ExitStack() as stack:
        given = running or stack.enter_context(sandbox())
        account = {"LTIAAS_URL": given.url, "LTIAAS_API_KEY": given.api_key}
        stack.enter_context(patch.dict(os.environ, account))
        if is_async(app):
            app = stack.enter_context(asgi_in_wsgi(app))
        yield Client(app, given.sandbox, given.url, base_url)
