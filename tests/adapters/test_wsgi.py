"""The WSGI adapter is transparent, and the launch is right wherever the app's code runs."""

from __future__ import annotations

import io
import sys
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from a2wsgi import ASGIMiddleware
from fastapi import FastAPI
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app
from werkzeug.wrappers import Request, Response

from ltiaas_middleware import (
    LaunchRequired,
    LTIAASError,
    MiddlewareMissing,
    RoleRequired,
    SettingsError,
    current_launch,
    require_launch,
)
from ltiaas_middleware.wsgi import LTIAASMiddleware
from tests.fixtures.tools import API_KEY
from tests.tokens import ltik

OPTIONS = {"url": "https://account.ltiaas.example", "api_key": API_KEY}


@pytest.fixture
def wrap(upstream):
    made = []

    def wrap(app, **options):
        made.append(LTIAASMiddleware(app, **(OPTIONS | options)))
        return made[-1]

    yield wrap
    for middleware in made:
        middleware.close()
    assert current_launch() is None


def environ(path="/", **options):
    made = EnvironBuilder(path=path, **options).get_environ()
    made["wsgi.file_wrapper"] = FileWrapper
    return made


def with_launch(path="/"):
    return environ(f"{path}?ltik={ltik()}")


def start_response(status, headers, exc_info=None):
    if exc_info:
        raise exc_info[1].with_traceback(exc_info[2])
    return lambda data: None


def user():
    launch = current_launch()
    return launch.id_token.user.name.encode() if launch else b"nobody"


BOTH = pytest.mark.parametrize("make", [environ, with_launch], ids=["no launch", "launch"])


LINTS = pytest.mark.parametrize("lint", [validator, LintMiddleware])


@LINTS
@BOTH
def test_the_validators_find_nothing_on_either_side(wrap, make, lint):
    @Request.application
    def app(request):
        return Response(user(), mimetype="text/plain")

    client = Client(lint(wrap(lint(app))))
    path = "/page" if make is environ else f"/page?ltik={ltik()}"
    # The lint middleware takes a HEAD's Content-Length for a mistake (RFC 9110 section 9.3.2).
    for method in ("GET", "POST", "HEAD")[: 3 if lint is validator else 2]:
        response = client.open(path, method=method, buffered=True)
        assert response.status_code == 200


# A relative Location is right since RFC 7231 (RFC 9110 section 10.2.2).
@pytest.mark.filterwarnings("ignore:Absolute URLs required")
@LINTS
def test_the_validators_find_nothing_in_our_own_answers(wrap, lint):
    @Request.application
    def app(request):
        raise AssertionError("not reached")

    client = Client(lint(wrap(app, require=True)))
    assert client.get("/", buffered=True).status_code == 401
    assert client.get("/?ltik=x", buffered=True).status_code == 400
    assert client.get("/?ltik=x", headers={"Accept": "text/html"}, buffered=True).status_code == 400
    assert (
        client.get(f"/?ltik={ltik()}", headers={"Accept": "text/html"}, buffered=True).status_code
        == 303
    )


class TestBodies:
    def test_a_list_is_handed_on_as_it_is(self, wrap):
        body = [b"whole"]

        def app(environ, start):
            start("200 OK", [])
            return body

        assert wrap(app)(with_launch(), start_response) is body

    def test_a_file_wrapper_is_handed_on_as_it_is(self, wrap):
        def app(environ, start):
            start("200 OK", [])
            return environ["wsgi.file_wrapper"](io.BytesIO(b"file"))

        assert isinstance(wrap(app)(with_launch(), start_response), FileWrapper)

    def test_a_file_wrapper_that_is_a_function_is_iterated(self, wrap):
        def app(environ, start):
            start("200 OK", [])
            return environ["wsgi.file_wrapper"](io.BytesIO(b"file"))

        given = with_launch()
        given["wsgi.file_wrapper"] = lambda file: file
        assert b"".join(wrap(app)(given, start_response)) == b"file"

    def test_anything_else_is_handed_on_as_it_is_where_there_is_no_launch(self, wrap):
        body = iter([b"x"])

        def app(environ, start):
            start("200 OK", [])
            return body

        assert wrap(app)(environ(), start_response) is body

    def test_a_stream_is_not_read_ahead_and_has_the_launch(self, wrap):
        produced = []

        def app(environ, start):
            start("200 OK", [])

            def stream():
                for n in range(3):
                    produced.append(n)
                    yield user()

            return stream()

        body = iter(wrap(app)(with_launch(), start_response))
        assert produced == []
        assert next(body) == b"Ada"
        assert produced == [0]
        assert current_launch() is None
        assert list(body) == [b"Ada", b"Ada"]

    def test_a_generator_app_has_the_launch_from_its_first_line(self, wrap):
        def app(environ, start):
            who = user()
            start("200 OK", [])
            yield who
            yield user()

        assert b"".join(wrap(app)(with_launch(), start_response)) == b"AdaAda"
        assert b"".join(wrap(app)(environ(), start_response)) == b"nobodynobody"

    def test_interleaved_streams_are_kept_apart(self, wrap, upstream):
        def app(environ, start):
            start("200 OK", [])
            return (current_launch().id.encode() for _ in range(3))

        middleware = wrap(app)
        one = middleware(with_launch(), start_response)
        two = middleware(with_launch(), start_response)
        pairs = list(zip(one, two, strict=True))
        assert len({pair[0] for pair in pairs}) == 1
        assert len({pair[1] for pair in pairs}) == 1
        assert pairs[0][0] != pairs[0][1]

    def test_close_is_called_once_and_has_the_launch(self, wrap):
        closed = []

        class Body:
            def __iter__(self):
                return iter([b"x"])

            def close(self):
                closed.append(user())

        def app(environ, start):
            start("200 OK", [])
            return Body()

        body = wrap(app)(with_launch(), start_response)
        list(body)
        body.close()
        assert closed == [b"Ada"]

    def test_a_client_that_hangs_up_closes_the_stream(self, wrap):
        closed = []

        def app(environ, start):
            start("200 OK", [])
            try:
                while True:
                    yield b"x"
            finally:
                closed.append(user())

        body = wrap(app)(with_launch(), start_response)
        next(iter(body))
        body.close()
        assert closed == [b"Ada"]

    def test_a_body_without_close_is_closed(self, wrap):
        def app(environ, start):
            start("200 OK", [])
            return {b"x": 1}

        wrap(app)(with_launch(), start_response).close()


class TestExceptions:
    @BOTH
    def test_of_the_app_pass_and_leave_no_launch_behind(self, wrap, make):
        def app(environ, start):
            raise ZeroDivisionError(user())

        with pytest.raises(ZeroDivisionError):
            wrap(app)(make(), start_response)
        assert current_launch() is None

    def test_in_a_stream_pass_and_leave_no_launch_behind(self, wrap):
        def app(environ, start):
            start("200 OK", [])
            yield user()
            raise ZeroDivisionError

        body = iter(wrap(app)(with_launch(), start_response))
        next(body)
        with pytest.raises(ZeroDivisionError):
            next(body)
        assert current_launch() is None

    @BOTH
    def test_exc_info_reaches_the_server(self, wrap, make):
        def app(environ, start):
            start("200 OK", [])
            try:
                raise ZeroDivisionError
            except ZeroDivisionError:
                start("500 Oh", [("X-Error", "1")], sys.exc_info())
            return [b""]

        calls = []

        def record(status, headers, exc_info=None):
            calls.append((status, exc_info and exc_info[0]))

        wrap(app)(make(), record)
        assert calls == [("200 OK", None), ("500 Oh", ZeroDivisionError)]

    @BOTH
    def test_write_is_the_servers(self, wrap, make):
        written = []

        def app(environ, start):
            start("200 OK", [])(b"written")
            return []

        wrap(app)(make(), lambda status, headers, exc_info=None: written.append)
        assert written == [b"written"]


class TestLaunchRequired:
    @pytest.mark.parametrize("started", [True, False])
    def test_is_answered_401(self, wrap, started):
        def app(environ, start):
            if started:
                start("200 OK", [("X", "1")])
            require_launch()
            raise AssertionError

        _, status, headers = run_wsgi_app(wrap(app), environ())
        assert status.startswith("401")
        assert "X" not in headers

    @pytest.mark.parametrize("started", [True, False])
    @BOTH
    def test_is_answered_401_in_a_generator_too(self, wrap, started, make):
        def app(environ, start):
            if started:
                start("200 OK", [])
            raise LaunchRequired
            yield b""

        body, status, _ = run_wsgi_app(wrap(app), make())
        assert status.startswith("401")
        assert b"launch_required" in b"".join(body)

    def test_after_the_answer_began_it_is_the_servers(self, wrap):
        def app(environ, start):
            start("200 OK", [])
            yield b"begun"
            raise LaunchRequired

        body = iter(wrap(app)(environ(), start_response))
        assert next(body) == b"begun"
        with pytest.raises(LTIAASError, match="after its response had begun"):
            next(body)


def test_the_environ_stays_the_servers_own(wrap):
    seen = []

    def app(environ, start):
        seen.append(environ)
        start("200 OK", [])
        return []

    given = with_launch()
    wrap(app)(given, start_response)
    assert seen[0] is given
    assert given["ltiaas.launch"].id_token.user.name == "Ada"


@pytest.mark.parametrize("key", ["RAW_URI", "REQUEST_URI"])
def test_the_ltik_is_in_none_of_what_the_server_may_log(wrap, key):
    token = ltik()
    given = environ(f"/page?a=1&ltik={token}")
    given[key] = f"/page?a=1&ltik={token}"
    given["HTTP_REFERER"] = "https://lms.example/"
    wrap(lambda environ, start: [])(given, start_response)
    assert given[key] == "/page?a=1"
    assert token not in repr({k: v for k, v in given.items() if isinstance(v, str)})
    alone = environ(f"/page?ltik={token}")
    alone[key] = f"/page?ltik={token}"
    wrap(lambda environ, start: [])(alone, start_response)
    assert alone[key] == "/page"


def test_a_leftover_launch_of_another_request_is_never_seen(wrap):
    """A server that never closed a body, or a client inside an app, may leave one behind."""
    from ltiaas_middleware.launch import current

    def app(environ, start):
        start("200 OK", [])
        return [user()]

    token = current.set(object())
    try:
        assert wrap(app)(environ(), start_response) == [b"nobody"]
    finally:
        current.reset(token)


def test_a_request_without_the_optional_keys(wrap):
    def app(environ, start):
        start("200 OK", [])
        return [user()]

    bare = {"REQUEST_METHOD": "GET", "wsgi.url_scheme": "http", "SERVER_NAME": "x"}
    assert wrap(app)(dict(bare), start_response) == [b"nobody"]
    assert wrap(app)(bare | {"QUERY_STRING": f"ltik={ltik()}"}, start_response) == [b"Ada"]


def test_wrapped_twice_the_launch_is_kept(wrap):
    def app(environ, start):
        start("200 OK", [])
        return [user() + str(environ["ltiaas.launch"].id is not None).encode()]

    assert wrap(wrap(app))(with_launch(), start_response) == [b"AdaTrue"]


def test_settings_and_options_are_not_mixed(wrap):
    from ltiaas_middleware import Settings

    settings = Settings(**OPTIONS)
    assert LTIAASMiddleware(None, settings).settings is settings
    with pytest.raises(TypeError, match="url="):
        LTIAASMiddleware(None, "https://your.ltiaas.com")
    with pytest.raises(TypeError, match="either"):
        LTIAASMiddleware(None, settings, ttl=5)


def test_an_asgi_app_in_a2wsgi_is_wrapped_inside(wrap):
    with pytest.raises(SettingsError, match=r"ASGIMiddleware\(LTIAASMiddleware\(app\)\)"):
        wrap(ASGIMiddleware(FastAPI()))


def test_from_the_environment(monkeypatch, upstream):
    monkeypatch.setenv("LTIAAS_URL", "your.ltiaas.com")
    monkeypatch.setenv("LTIAAS_API_KEY", "k")
    assert LTIAASMiddleware(None, ttl=5).settings.ttl == 5
    assert LTIAASMiddleware(None).stats()["fetches"] == 0


def test_what_is_raised_in_a_group_is_answered_as_well(wrap):
    def app(environ, start):
        raise BaseExceptionGroup("tasks", [BaseExceptionGroup("more", [RoleRequired()])])

    _, status, headers = run_wsgi_app(wrap(app), with_launch())
    assert status.startswith("403")
    assert headers["LTIAAS-Error"] == "role_required"


@pytest.mark.parametrize("group", [[LaunchRequired(), KeyboardInterrupt()], [ValueError()]])
def test_a_group_that_is_not_a_refusal_is_the_servers(wrap, group):
    def app(environ, start):
        raise BaseExceptionGroup("tasks", group)

    with pytest.raises(BaseExceptionGroup):
        run_wsgi_app(wrap(app), environ())


def test_without_the_middleware_require_launch_says_so_in_an_ordinary_exception():
    with pytest.raises(MiddlewareMissing, match="wrap the app"):
        require_launch()
    assert current_launch() is None
