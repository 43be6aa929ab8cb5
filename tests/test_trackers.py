"""What error trackers and traces get to see: the real sentry-sdk and OpenTelemetry."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests
import sentry_sdk
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as TracedASGI
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as TracedWSGI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from werkzeug.test import EnvironBuilder, run_wsgi_app

from ltiaas_middleware import (
    LtikCredential,
    ServiceKeyCredential,
    Settings,
    SettingsError,
    asgi,
    current_launch,
    wsgi,
)
from ltiaas_middleware.scrubbing import scrub_event, scrubbed_spans
from tests.fixtures.tools import API_KEY
from tests.tokens import ltik
from tests.upstream import Upstream

SECRET = "a-secret-of-the-tools-own-7f3a"
OPTIONS: dict[str, Any] = {
    "url": "https://account.ltiaas.example",
    "api_key": API_KEY,
    "secrets": SECRET,
}


class Tracker:
    """A sentry-sdk whose events stay here."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    @contextlib.contextmanager
    def on(self, **options: Any) -> Iterator[None]:
        sent = self.sent

        class Kept(sentry_sdk.Transport):
            def capture_envelope(self, envelope: Any) -> None:
                sent.append(envelope.serialize().decode("utf-8", "replace"))

        client = sentry_sdk.Client(
            dsn="https://key@sentry.example/1",
            transport=Kept,
            default_integrations=False,
            **options,
        )
        with sentry_sdk.isolation_scope() as scope:
            scope.set_client(client)
            yield
            client.flush()
        client.close()

    def shows(self, *secrets: str) -> list[str]:
        assert self.sent, "nothing was sent, so nothing was shown"
        everything = "\n".join(self.sent)
        parts = [part for secret in secrets for part in (secret, secret.rpartition(".")[2])]
        return [part for part in parts if part and part in everything]


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


def crash() -> None:
    launch = current_launch()
    assert launch is not None
    credential = launch.credential
    headers = credential.headers
    ready = credential.authorization
    raise ZeroDivisionError(f"{launch!r} {credential!r} {headers!r} {ready!r}")


def crashing_wsgi(environ: Any, start_response: Any) -> Any:
    crash()


async def crashing_asgi(scope: Any, receive: Any, send: Any) -> None:
    crash()


class OneKind:
    """A crashing app behind one of the adapters, as Sentry and OpenTelemetry wrap it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        if kind == "wsgi":
            self.middleware: Any = wsgi.LTIAASMiddleware(crashing_wsgi, **OPTIONS)
        else:
            self.middleware = asgi.LTIAASMiddleware(crashing_asgi, **OPTIONS)

    def ask(self, wrap: Callable[[Any], Any], address: str, cookie: str = "") -> Any:
        """A crash (None), or an answer's headers."""
        app = wrap(self.middleware)
        marks = {"Sec-Fetch-Mode": "navigate"} if "navigate" in address else {}
        headers = {"Cookie": cookie, **marks} if cookie else marks
        builder = EnvironBuilder(address, base_url="https://tool.example", headers=headers)
        try:
            if self.kind == "wsgi":
                _, _, answered = run_wsgi_app(app, builder.get_environ())
                return answered
            return asyncio.run(self._ask_asgi(app, builder))
        except ZeroDivisionError:
            return None

    async def _ask_asgi(self, app: Any, builder: EnvironBuilder) -> Any:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "method": "GET",
            "scheme": "https",
            "path": builder.path,
            "raw_path": builder.path.encode(),
            "root_path": "",
            "query_string": (builder.query_string or "").encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in builder.headers],
            "server": ("tool.example", 443),
            "client": ("192.0.2.1", 1),
        }
        await app(scope, receive, send)
        return {key.decode(): value.decode() for key, value in sent[0]["headers"]}

    def launch(self, token: str) -> tuple[str, str]:
        """A launch path and the cookie that opens it."""
        answered = self.ask(lambda app: app, f"/navigate?ltik={token}")
        answered = {key.lower(): value for key, value in dict(answered).items()}
        return answered["location"], answered["set-cookie"].partition(";")[0]


@pytest.fixture(params=["wsgi", "asgi"])
def tool(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[OneKind]:
    tool = OneKind(request.param)
    yield tool
    tool.middleware.close()


def sentry(tool: OneKind) -> Callable[[Any], Any]:
    return SentryWsgiMiddleware if tool.kind == "wsgi" else SentryAsgiMiddleware


class TestSentry:
    # Newer versions call it data_collection, and go on taking this.
    pytestmark = pytest.mark.filterwarnings("ignore:The send_default_pii:DeprecationWarning")
    PII = pytest.mark.parametrize("pii", [False, True], ids=["defaults", "send_default_pii"])

    @PII
    def test_an_apps_error_on_a_launch_path_shows_nothing(
        self, tool: OneKind, tracker: Tracker, pii: bool
    ) -> None:
        """By construction: no hook is set."""
        token = ltik()
        path, cookie = tool.launch(token)
        with tracker.on(send_default_pii=pii, max_request_body_size="always"):
            assert tool.ask(sentry(tool), path, cookie) is None
        assert tracker.shows(token, API_KEY, SECRET) == []

    @PII
    @pytest.mark.parametrize("hook", [None, scrub_event], ids=["no hook", "hook"])
    def test_an_apps_error_in_place_shows_nothing(
        self, tool: OneKind, tracker: Tracker, pii: bool, hook: Any
    ) -> None:
        """Sentry's WSGI middleware reads the query before any other runs: that is the hook's."""
        token = ltik()
        with tracker.on(send_default_pii=pii, before_send=hook):
            assert tool.ask(sentry(tool), f"/page?a=1&ltik={token}") is None
        if hook is None and tool.kind == "wsgi":
            sent = "\n".join(tracker.sent)
            read_early = f'"query_string":"a=1&ltik={token}"'
            assert sent.count(token) == sent.count(read_early) == 1
            tracker.sent = [sent.replace(read_early, "")]
        assert tracker.shows(token, API_KEY, SECRET) == []

    @PII
    def test_tracing_shows_nothing_with_the_hook(
        self, tool: OneKind, tracker: Tracker, pii: bool
    ) -> None:
        token = ltik()
        hooks = {"before_send": scrub_event, "before_send_transaction": scrub_event}
        with tracker.on(send_default_pii=pii, traces_sample_rate=1.0, **hooks):
            tool.ask(sentry(tool), f"/navigate?ltik={token}")
            tool.ask(sentry(tool), f"/page?ltik={token}")
        assert len(tracker.sent) >= 2
        assert tracker.shows(token, API_KEY, SECRET) == []

    @pytest.mark.parametrize("client", ["requests", "httpx"])
    @pytest.mark.parametrize("answers", [False, True], ids=["nobody listens", "no answer"])
    def test_a_call_that_fails_in_an_http_library_shows_nothing_with_the_hook(
        self, tracker: Tracker, client: str, answers: bool
    ) -> None:
        """Their frames hold the bytes of the request."""
        token, service_key = ltik(), "a-service-key-9d2c7e"
        with socket.socket() as nobody, tracker.on(before_send=scrub_event):
            nobody.bind(("127.0.0.1", 0))
            if answers:
                nobody.listen()
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            for credential in (
                LtikCredential(url, API_KEY, token),
                ServiceKeyCredential(url, API_KEY, service_key),
            ):
                library: Any = requests if client == "requests" else httpx
                try:
                    library.get(f"{url}/api/memberships", auth=credential, timeout=0.3)
                except Exception:  # noqa: BLE001 - each library has its own
                    sentry_sdk.capture_exception()
        assert len(tracker.sent) == 2
        assert tracker.shows(token, API_KEY, service_key) == []

    def test_what_stays_of_an_event(self) -> None:
        event = {
            "request": {
                "url": "https://tool.example/launch",
                "query_string": "a=1&ltik=a.b.c&b=2",
                "headers": {"Cookie": "__Secure-ltiaas-launch=a.b.c; a=1", "X-Other": "kept"},
                "cookies": {"__Secure-ltiaas-launch": "a.b.c", "a": "1"},
                "env": {"SERVER_PORT": 443, "SECURE": True, "NOTHING": None},
            },
            "pairs": [["ltik", "a.b.c"], ("a", "1")],
            "vars": {"api_key": "'abc'", "claims": "{'serviceKey': 'abc', 'user': 1}"},
            "seen": {"'/page?ltik=a.b.c'": 1, (2, 3): {"b": 3}},
            "raw": b"ltik=a.b.c&a=1",
        }
        assert scrub_event(event) == {
            "request": {
                "url": "https://tool.example/launch",
                "query_string": "a=1&ltik=[hidden]&b=2",
                "headers": {"Cookie": "__Secure-ltiaas-launch=[hidden]; a=1", "X-Other": "kept"},
                "cookies": {"__Secure-ltiaas-launch": "[hidden]", "a": "1"},
                "env": {"SERVER_PORT": 443, "SECURE": True, "NOTHING": None},
            },
            "pairs": [["ltik", "[hidden]"], ["a", "1"]],
            "vars": {"api_key": "[hidden]", "claims": "{'serviceKey': '[hidden]', 'user': 1}"},
            "seen": {"'/page?ltik=[hidden]'": 1, (2, 3): {"b": 3}},
            "raw": b"ltik=[hidden]&a=1",
        }
        assert event["raw"] == b"ltik=a.b.c&a=1"


class TestOpenTelemetry:
    def test_spans_show_nothing_and_keep_the_rest(self, tool: OneKind) -> None:
        token = ltik()
        kept = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(scrubbed_spans(SimpleSpanProcessor(kept)))
        wrapped = TracedWSGI if tool.kind == "wsgi" else TracedASGI
        tool.ask(lambda app: wrapped(app, tracer_provider=provider), f"/navigate?a=1&ltik={token}")
        tool.ask(lambda app: wrapped(app, tracer_provider=provider), f"/page?ltik={token}")
        assert provider.force_flush()
        spans = kept.get_finished_spans()
        shown = "\n".join(span.to_json() for span in spans)
        assert "a=1&ltik=[hidden]" in shown
        assert token.rpartition(".")[2] not in shown
        provider.shutdown()

    def test_every_part_of_a_span_is_scrubbed(self) -> None:
        token = ltik()
        kept = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(scrubbed_spans(SimpleSpanProcessor(kept)))
        tracer = provider.get_tracer("test", "1")
        with tracer.start_as_current_span("outer") as outer:
            link = Link(outer.get_span_context(), {"link": f"ltik={token}"})
            with (
                contextlib.suppress(ValueError),
                tracer.start_as_current_span(f"GET ?ltik={token}", links=[link]) as span,
            ):
                span.set_attribute("http.request.header.x-ltik", [token])
                span.set_attribute("list", [f"ltik={token}", "kept"])
                span.set_attribute("number", 1)
                span.add_event(f"ltik={token}", {"event": f"ltik={token}"})
                raise ValueError(f"?ltik={token}")
        inner, _ = kept.get_finished_spans()
        shown = inner.to_json()
        assert token not in shown
        found = json.loads(shown)
        assert found["name"] == "GET ?ltik=[hidden]"
        assert found["attributes"]["list"] == ["ltik=[hidden]", "kept"]
        assert found["attributes"]["number"] == 1
        assert found["attributes"]["http.request.header.x-ltik"] == ["[hidden]"]
        assert [event["name"] for event in found["events"]] == ["ltik=[hidden]", "exception"]
        assert found["status"]["description"] == "ValueError: ?ltik=[hidden]"
        assert inner.parent is not None
        assert inner.instrumentation_scope is not None
        assert (inner.start_time or 0) < (inner.end_time or 0)
        provider.shutdown()


def told(error: BaseException) -> str:
    """All that a tracker could get out of an exception, less this test's own frames."""
    assert error.__context__ is None
    assert error.__cause__ is None
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), capture_locals=True
    )
    shown = [repr(frame.locals) for frame in frames if frame.filename != __file__]
    assert shown
    return "\n".join([str(error), repr(error), *shown])


class TestSettings:
    BAD: tuple[dict[str, Any], ...] = (
        {"ttl": "soon"},
        {"url": "ftp://x"},
        {"secrets": (SECRET, "short")},
        {"cache": f"nonsense://:{SECRET}@x"},
        {"service_keys": 1},
        {"launch_pth": "/x"},
        {"api_key": f"{API_KEY} and a space"},
    )

    @pytest.mark.parametrize("bad", BAD, ids=lambda bad: next(iter(bad)))
    @pytest.mark.parametrize(
        "make",
        [
            Settings,
            Settings.from_env,
            lambda **options: wsgi.LTIAASMiddleware(crashing_wsgi, **options),
            lambda **options: asgi.LTIAASMiddleware(crashing_asgi, **options),
        ],
        ids=["Settings", "from_env", "wsgi", "asgi"],
    )
    def test_that_are_refused_show_nothing(
        self, make: Callable[..., Any], bad: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LTIAAS_API_KEY", API_KEY)
        monkeypatch.setenv("LTIAAS_SECRETS", SECRET)
        with pytest.raises((SettingsError, TypeError)) as refused:
            make(**(OPTIONS | bad))
        shown = told(refused.value)
        assert API_KEY not in shown
        assert SECRET not in shown

    def test_of_the_environment_that_are_refused_show_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LTIAAS_API_KEY", API_KEY)
        monkeypatch.setenv("LTIAAS_SECRETS", f"{SECRET} short")
        monkeypatch.setenv("LTIAAS_URL", "https://account.ltiaas.example")
        for make in (Settings.from_env, lambda: wsgi.LTIAASMiddleware(crashing_wsgi).settings):
            with pytest.raises(SettingsError, match="secret") as refused:
                make()
            assert not [each for each in (API_KEY, SECRET) if each in told(refused.value)]

    def test_keep_their_signature(self) -> None:
        import inspect

        assert "api_key" in inspect.signature(Settings).parameters
        with pytest.raises(TypeError, match="api_key"):
            Settings(url="https://account.ltiaas.example")  # type: ignore[call-arg]


def test_an_answer_shows_no_cookie(upstream: Upstream) -> None:
    """``rich`` and debuggers show what a variable's ``repr`` gives."""
    token = ltik()
    tool = OneKind("wsgi")
    environ = EnvironBuilder(f"/launch?ltik={token}", headers={"Sec-Fetch-Mode": "navigate"})
    decision = tool.middleware._decide("/launch", f"ltik={token}", environ.get_environ())
    answer = tool.middleware._settle(decision)
    assert answer.status == 303
    assert re.search("set-cookie", repr(answer), re.IGNORECASE)
    assert token not in repr(answer)
    assert token not in repr(answer.headers)
    assert [type(value) for _, value in answer.all_headers] == [str] * len(answer.all_headers)
    tool.middleware.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs sockets as POSIX has them")
def test_a_servers_own_error_shows_no_cookie_of_ours(upstream: Upstream) -> None:
    """A client that hung up makes the server raise while it is given the headers."""
    token = ltik()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    middleware = wsgi.LTIAASMiddleware(app, **OPTIONS)
    marks = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    first = EnvironBuilder(f"/launch?ltik={token}", "https://tool.example", headers=marks)
    _, _, headers = run_wsgi_app(middleware, first.get_environ())
    path, cookie = headers["Location"], headers["Set-Cookie"].partition(";")[0]
    confirm = EnvironBuilder(path, "https://tool.example", headers={"Cookie": cookie})
    run_wsgi_app(middleware, confirm.get_environ())

    def hung_up(status: str, headers: Any, exc_info: Any = None) -> Any:
        assert any(token in value for _, value in headers)
        del headers
        raise BrokenPipeError

    # A webview's download manager, which gets a cookie with the app's answer.
    one_time_token = middleware._gate._account.one_time_tokens.make(path.split("/")[2])
    again = EnvironBuilder(f"{path}?ltiaas_one_time={one_time_token}", "https://tool.example")
    with pytest.raises(BrokenPipeError) as raised:
        middleware(again.get_environ(), hung_up)
    assert token not in told(raised.value)
    middleware.close()


class TestAServerThatRaisesWhileAnAnswerIsSent:
    """It logs the ``environ`` or ``scope`` that it made, and an error tracker shows its frame."""

    @pytest.mark.parametrize("address", ["/navigate?a=1&ltik={}", "/x?ltik={}&ltik=other"])
    def test_shows_no_ltik(self, tool: OneKind, address: str) -> None:
        token = ltik()
        query = address.format(token)
        headers = {"Sec-Fetch-Mode": "navigate", "Referer": query, "X-Other": "kept"}
        headers["Cookie"] = f"__Secure-ltiaas-launch={token}; a=1"
        builder = EnvironBuilder(query, base_url="https://tool.example", headers=headers)
        made: list[Any] = []
        if tool.kind == "wsgi":
            made.append(builder.get_environ() | {"REQUEST_URI": query})

            def start_response(*_: Any) -> Any:
                raise ConnectionResetError

            with pytest.raises(ConnectionResetError):
                tool.middleware(made[0], start_response)
        else:

            async def outer(scope: Any, receive: Any, send: Any) -> None:
                made.append(scope)

                async def broken(message: Any) -> None:
                    raise ConnectionResetError

                await tool.middleware(scope, receive, broken)

            with pytest.raises(ConnectionResetError):
                asyncio.run(tool._ask_asgi(outer, builder))
        assert "kept" in repr(made[0])
        assert token.rpartition(".")[2] not in repr(made[0])
