"""The script's tag in the app's documents, through both adapters; and in nothing else."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.both_adapters import Reply, Tool
from tests.fixtures.tools import API_KEY
from tests.gate.test_launch_paths import Captured
from tests.upstream import Upstream

HTML = ("Content-Type", "text/html; charset=utf-8")
XHTML = ("Content-Type", "application/xhtml+xml")
PAGE = (
    b'<!doctype html>\n<html lang="en"><head data-x="a>b"><title>Hi</title></head><body>Hi</body>'
)
HEAD = b'<head data-x="a>b">'
FRAME = {"Sec-Fetch-Dest": "iframe"}
# What an older browser sends.
SILENT: dict[str, str] = {"Sec-Fetch-Dest": ""}


class Pages:
    """An app that answers with what a test wants, behind one of the adapters."""

    def __init__(self, tool: Tool, **ask: Any) -> None:
        self.tool = tool
        self.ask = ask
        self.launch = Captured(tool, **ask)
        self.status = 200
        self.chunks: Callable[[], Iterable[bytes]] = list
        self.accepted: str | None = None
        self.writes: list[bytes] = []
        tool.middleware.app = self._wsgi if tool.kind == "wsgi" else self._asgi
        self.headers: list[tuple[str, str]] = []

    def _wsgi(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        self.accepted = environ.get("HTTP_ACCEPT_ENCODING")
        write = start_response(f"{self.status} Whatever", list(self.headers))
        for chunk in self.writes:
            write(chunk)
        return self.chunks()

    async def _asgi(self, scope: Any, receive: Any, send: Any) -> None:
        found = dict(scope["headers"]).get(b"accept-encoding")
        self.accepted = found and found.decode()
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for chunk in self.chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    @property
    def tag(self) -> bytes:
        launch = self.launch.prefix
        script = launch[:-22] + "ltiaas-launch.js"
        return f'<script src="{script}" data-launch="{launch}"></script>'.encode()

    def get(
        self,
        body: bytes | Callable[[], Iterable[bytes]] = PAGE,
        *headers: tuple[str, str],
        status: int = 200,
        method: str = "GET",
        path: str = "/page",
        sent: dict[str, str] = FRAME,
    ) -> Reply:
        self.status = status
        self.headers = list(headers or (HTML,))
        if isinstance(body, bytes):
            whole = body
            self.headers.append(("Content-Length", str(len(whole))))
            self.chunks = lambda: [whole]
        else:
            self.chunks = body
        marks = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
        target = self.launch.prefix.removeprefix(self.ask.get("mount", "")) + path
        return self.tool.ask(method, target, marks | sent | self.launch.cookie, **self.ask)


@pytest.fixture
def pages(tool: Tool) -> Pages:
    return Pages(tool)


def has_tag(reply: Reply) -> bool:
    """Whether the tag is there; the length is right in any case."""
    if (length := reply.get("Content-Length")) is not None:
        assert int(length) == len(reply.body)
    return b"ltiaas-launch.js" in reply.body


def test_the_tag_comes_first_in_the_head_and_the_length_follows(pages: Pages) -> None:
    reply = pages.get()
    assert reply.body == PAGE.replace(HEAD, HEAD + pages.tag)
    assert reply["Content-Length"] == str(len(reply.body))


def test_below_a_mount_point(tool: Tool) -> None:
    pages = Pages(tool, mount="/a&'b")
    assert pages.launch.prefix.startswith("/a&'b/lti/")
    tag = pages.tag.replace(b"a&'b", b"a&amp;&#x27;b")
    assert pages.get().body == PAGE.replace(HEAD, HEAD + tag)


@pytest.mark.parametrize("size", [1, 2, 7, 30, 10_000])
def test_streamed_and_chunked(pages: Pages, size: int) -> None:
    pieces = [PAGE[at : at + size] for at in range(0, len(PAGE), size)]
    reply = pages.get(lambda: iter(pieces))
    assert reply.body == PAGE.replace(HEAD, HEAD + pages.tag)
    assert reply.get("Content-Length") is None


@pytest.mark.parametrize("pieces", [list, tuple])
def test_a_body_of_several_pieces(pages: Pages, pieces: Any) -> None:
    reply = pages.get(lambda: pieces([PAGE[:20], b"", PAGE[20:]]))
    assert reply.body == PAGE.replace(HEAD, HEAD + pages.tag)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"<HTML>\n<HEAD>", b"<title>x</title>"),
        (b"\xef\xbb\xbf <!-- <head> --><?php?><!doctype html><head>", b"<p>"),
        (b'<!DOCTYPE html PUBLIC "-//W3C" "x">\n<html lang=en>', b"<title>No head</title>"),
        (b"<html>", b"<header>No head either</header>"),
        (b"<!doctype html>", b"<meta charset=utf-8><p>Nor here"),
        (b"<!doctype html>", b"<body>Nor here"),
        (b"<html><!-- head --> <head\n/>", b"<title>x"),
        (b"<html title=it's><head>", b"<script>app('x', 1 > 0)</script>"),
        (b"<!--><head>", b"<script>app()</script><!-- x -->"),
        (b"<!-- x --!><head>", b"<script>app()</script><!-- x -->"),
        (b"<!foo>\n<!doctype html>", b"<p>"),
        (b"<head>", b""),
    ],
)
@pytest.mark.parametrize("sent", [FRAME, SILENT])
def test_where_the_tag_goes(
    pages: Pages, before: bytes, after: bytes, sent: dict[str, str]
) -> None:
    reply = pages.get(before + after, sent=sent)
    assert has_tag(reply)
    assert re.sub(rb"\s+$", b"", reply.body.partition(pages.tag)[0]) == before
    assert reply.body.partition(pages.tag)[2].lstrip() == after


@pytest.mark.parametrize(
    "body",
    [
        b"<h1>Hello</h1><a href='/one'>One</a>",
        b"Hello Ada<br><a href='/one'>One</a>",
        "Übung <a href='/one'>One</a>".encode(),
        b"</p><a href='/one'>One</a>",
    ],
)
def test_a_page_without_any_of_these_is_one_if_the_browser_shows_it_as_one(
    pages: Pages, body: bytes
) -> None:
    assert pages.get(b"\n" + body, sent=FRAME).body == b"\n" + pages.tag + body
    pieces = [bytes([each]) for each in body]
    assert pages.get(lambda: iter(pieces), sent=FRAME).body == pages.tag + body
    assert pages.get(body, sent=SILENT).body == body


@pytest.mark.parametrize("body", [b"", b"Hello", b"1 < 2", "Übung".encode("utf-16")])
def test_a_page_without_an_element_stays_as_it_is(pages: Pages, body: bytes) -> None:
    assert pages.get(body, sent=FRAME).body == body
    assert pages.get(lambda: iter([body, b" again"]), sent=FRAME).body == body + b" again"


@pytest.mark.parametrize(
    "sent",
    [
        {"Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Dest": "empty", "HX-Request": "true"},
        {"Sec-Fetch-Dest": "", "HX-Request": "true"},
        {"Sec-Fetch-Dest": "", "X-Requested-With": "XMLHttpRequest"},
        {"Sec-Fetch-Dest": "image"},
    ],
)
def test_what_a_script_asks_for_stays_as_it_is(pages: Pages, sent: dict[str, str]) -> None:
    assert pages.get(sent=sent).body == PAGE


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", "text/plain")],
        [("Content-Type", "application/json")],
        [("Content-Type", "text/html; charset=UTF-16LE")],
        [("Content-Type", 'text/html; charset="utf-16"')],
        [HTML, ("Content-Disposition", 'attachment; filename="page.html"')],
        [HTML, ("Content-Encoding", "br")],
        [HTML, ("Content-Range", "bytes 0-9/100")],
        [HTML, ("LTIAAS-Error", "launch_required")],
        [("X-Other", "text/html")],
    ],
)
def test_other_bodies_stay_as_they_are(pages: Pages, headers: list[tuple[str, str]]) -> None:
    reply = pages.get(PAGE, *headers, ("ETag", '"x"'), ("Accept-Ranges", "bytes"))
    assert reply.body == PAGE
    assert (reply["ETag"], reply["Accept-Ranges"]) == ('"x"', "bytes")
    assert not has_tag(reply)


@pytest.mark.parametrize("kind", ["text/javascript; charset=utf-8", "application/javascript"])
@pytest.mark.parametrize("destination", ["worker", "sharedworker"])
def test_the_script_of_a_worker_begins_with_what_keeps_it_inside(
    pages: Pages, destination: str, kind: str
) -> None:
    code = b"fetch('/api/me');"
    sent = {"Sec-Fetch-Dest": destination, "Sec-Fetch-Mode": "same-origin", "Accept-Encoding": "br"}
    reply = pages.get(code, ("Content-Type", kind), ("ETag", '"x"'), sent=sent)
    assert reply.body.endswith(b"})();\n" + code)
    assert b"Worker" in reply.body
    assert len(reply.body) < 3_000
    assert b"addEventListener" not in reply.body
    assert (reply["Content-Length"], reply["ETag"]) == (str(len(reply.body)), 'W/"x"')
    assert pages.accepted is None


@pytest.mark.parametrize(
    ("changed", "sent"),
    [
        ({"status": 404}, {}),
        ({}, {"Sec-Fetch-Dest": "script"}),
        ({}, {"Sec-Fetch-Dest": "serviceworker"}),
        ({"headers": [("Content-Encoding", "br")]}, {}),
        ({"kind": "text/html"}, {}),
        ({"method": "HEAD"}, {}),
    ],
)
def test_other_scripts_stay_as_they_are(
    pages: Pages, changed: dict[str, Any], sent: dict[str, str]
) -> None:
    ask = {"kind": "text/javascript", "headers": [], "status": 200, "method": "GET"} | changed
    headers = [("Content-Type", ask.pop("kind")), ("ETag", '"x"'), *ask.pop("headers")]
    reply = pages.get(b"code", *headers, sent={"Sec-Fetch-Dest": "worker"} | sent, **ask)
    assert reply["ETag"] == '"x"'
    assert reply.body in (b"code", b"")


@pytest.mark.parametrize("mode", ["navigate", "", "cors"])
def test_an_app_is_asked_for_pages_that_are_not_compressed(pages: Pages, mode: str) -> None:
    # Django's, Starlette's and NiceGUI's GZipMiddleware go by Accept-Encoding.
    sent = {"Accept": "text/html", "Accept-Encoding": "gzip, br", "Sec-Fetch-Mode": mode}
    pages.get(sent=sent)
    assert pages.accepted == ("gzip, br" if mode == "cors" else None)


def test_without_the_script_an_app_may_compress_its_pages(make_tool: Callable[..., Tool]) -> None:
    pages = Pages(make_tool(insert_script=False))
    pages.get(sent={"Accept-Encoding": "gzip"})
    assert pages.accepted == "gzip"


def test_an_encoded_page_stays_as_it_is_and_the_log_says_why(
    pages: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    body = gzip.compress(PAGE)
    for n in range(3):
        with caplog.at_level(logging.WARNING):
            reply = pages.get(body, HTML, ("Content-Encoding", "gzip"), path=f"/pages/{n}")
        assert (reply.body, has_tag(reply)) == (body, False)
    assert [record.getMessage()[:34] for record in caplog.records] == [
        "the app compresses '/pages/0', so "
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_that_no_header_names_stays_as_it_is(pages: Pages, encoding: str) -> None:
    body = PAGE.decode().encode(encoding)
    assert pages.get(body, ("Content-Type", "text/html")).body == body


@pytest.mark.parametrize("status", [204, 206, 302, 304])
def test_statuses_without_a_whole_body(pages: Pages, status: int) -> None:
    reply = pages.get(PAGE if status in (206, 302) else b"", HTML, ("ETag", '"x"'), status=status)
    assert (has_tag(reply), reply["ETag"]) == (False, '"x"')


def test_a_page_that_says_what_is_wrong_has_the_tag(pages: Pages) -> None:
    assert has_tag(pages.get(status=404))
    assert has_tag(pages.get(status=500))
    assert has_tag(pages.get(method="POST"))


def test_a_page_in_a_phones_web_view_has_the_tag(pages: Pages) -> None:
    assert has_tag(pages.get(sent=FRAME | {"X-Requested-With": "com.instructure.candroid"}))


def test_head(pages: Pages) -> None:
    reply = pages.get(lambda: [], HTML, ("Content-Length", "77"), method="HEAD")
    assert (reply.body, reply["Content-Length"]) == (b"", "77")


def test_what_was_said_of_the_apps_own_bytes_is_said_no_more(pages: Pages) -> None:
    digests = [("Content-MD5", "x"), ("Digest", "x"), ("Repr-Digest", "x"), ("Content-Digest", "x")]
    reply = pages.get(PAGE, HTML, ("ETag", '"x"'), ("Accept-Ranges", "bytes"), *digests)
    assert reply["ETag"] == 'W/"x"'
    assert {name.lower() for name, _ in reply.headers} == {
        *("content-type", "content-length", "etag", "referrer-policy", "cache-control")
    }
    assert pages.get(PAGE, HTML, ("ETag", 'W/"x"'))["ETag"] == 'W/"x"'
    # None of it if there is no place for the tag.
    reply = pages.get(b"no page", HTML, ("ETag", '"x"'), ("Digest", "x"), sent=SILENT)
    assert (reply["ETag"], reply["Digest"]) == ('"x"', "x")


NAMESPACE = b'<html xmlns="http://www.w3.org/1999/xhtml">'


@pytest.mark.parametrize(
    ("before", "after", "inserted"),
    [
        (b'<?xml version="1.0"?>\n' + NAMESPACE + b"<head>", b"<title>x</title></head>", True),
        (NAMESPACE, b"<body/></html>", True),
        (b'<!DOCTYPE html [<!ENTITY a "b">]>' + NAMESPACE + b"<head/>", b"<body/></html>", True),
        (b'<h:html xmlns:h="http://www.w3.org/1999/xhtml"><h:head/></h:html>', b"", False),
        (b"<html>", b"<body/></html>", False),
        (b"<!DOCTYPE svg>", b"<svg/>", False),
        (b"", b"<p xmlns='http://www.w3.org/1999/xhtml'/>", False),
    ],
)
def test_xhtml_stays_well_formed(pages: Pages, before: bytes, after: bytes, inserted: bool) -> None:
    reply = pages.get(before + after, XHTML)
    assert reply.body == before + (pages.tag if inserted else b"") + after


class TestPolicies:
    """Whether the page's own Content-Security-Policy lets the script run."""

    @pytest.mark.parametrize(
        "policy",
        [
            "script-src 'self'",
            "default-src https:; img-src 'none'",
            "default-src 'none'; script-src 'self'",
            "script-src 'none'; script-src-elem *",
            "img-src 'none'",
            "script-src https://cdn.example https://tool.example/",
            "script-src *.example:*",
            "default-src 'self', script-src 'self'",
        ],
    )
    def test_it_does(self, pages: Pages, policy: str, caplog: pytest.LogCaptureFixture) -> None:
        reply = pages.get(PAGE, HTML, ("Content-Security-Policy", policy))
        assert pages.tag in reply.body
        assert not caplog.records

    @pytest.mark.parametrize(
        "policy",
        [
            "script-src 'nonce-aB+/9=' 'strict-dynamic'",
            "default-src 'none'; script-src-elem 'self' 'nonce-aB+/9='",
            "script-src 'nonce-aB+/9=', default-src 'self'",
        ],
    )
    def test_it_does_with_its_nonce(self, pages: Pages, policy: str) -> None:
        reply = pages.get(PAGE, HTML, ("Content-Security-Policy", policy))
        assert pages.tag.replace(b"></", b' nonce="aB+/9="></') in reply.body

    @pytest.mark.parametrize(
        "policy",
        [
            "default-src 'none'",
            "script-src",
            "script-src 'strict-dynamic' 'sha256-x' 'self'",
            "script-src https://cdn.example; default-src 'self'",
            "script-src https://tool.example/static/",
            "script-src 'self', script-src 'none'",
            "script-src 'nonce-a', script-src 'nonce-b'",
        ],
    )
    def test_it_does_not_and_the_log_says_so_once_for_each_pattern(
        self, pages: Pages, policy: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        for path in ("/quiz/1", "/quiz/2", "/report"):
            reply = pages.get(PAGE, HTML, ("content-security-policy", policy), path=path)
            assert reply.body == PAGE
        assert [record.args[0] for record in caplog.records] == ["/quiz/1", "/report"]
        assert "script-src" in caplog.text


def test_a_page_that_begins_with_a_long_comment_is_sent_without_the_tag(pages: Pages) -> None:
    body = b"<!--" + b"x" * 20_000 + b"-->" + PAGE
    assert pages.get(body).body == body
    assert pages.get(lambda: [b"<!--", b"x" * 20_000, b"-->", PAGE]).body == body
    license_and_page = b"<!--" + b"x" * 4000 + b"-->" + PAGE
    assert has_tag(pages.get(license_and_page))


def test_it_can_be_switched_off(make_tool: Callable[..., Tool]) -> None:
    assert Pages(make_tool(insert_script=False)).get().body == PAGE


def test_what_belongs_to_no_launch_path_stays_as_it_is(pages: Pages) -> None:
    pages.get()
    outside = pages.tool.ask("GET", "/page", FRAME)
    assert outside.body == PAGE
    in_place = pages.tool.ask("POST", f"/page?ltik={pages.launch.ltik}", FRAME)
    assert (in_place.status, in_place.body) == (200, PAGE)


def test_a_hundred_megabytes_named_html_pass_through(pages: Pages) -> None:
    chunk = b"x" * 65_536
    sizes: list[int] = []

    def chunks() -> Iterator[bytes]:
        yield PAGE
        for _ in range(1600):
            yield chunk

    pages.headers, pages.chunks = [HTML], chunks
    tool, launch = pages.tool, pages.launch
    tracemalloc.start()
    try:
        if tool.kind == "wsgi":
            body = tool.middleware(wsgi_environ(launch), lambda *_: None)
            sizes = [len(piece) for piece in body]
        else:

            async def send(message: Any) -> None:
                sizes.append(len(message.get("body", b"")))

            asyncio.run(tool.middleware(asgi_scope(launch), None, send))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) == len(PAGE) + len(pages.tag) + 1600 * len(chunk)
    assert peak < 2_000_000


def asgi_scope(launch: Captured) -> dict[str, Any]:
    """A request in a launch."""
    return {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "path": f"{launch.prefix}/page.html",
        "query_string": b"",
        "headers": [(b"host", b"tool.example"), (b"cookie", launch.cookie["Cookie"].encode())],
    }


def wsgi_environ(launch: Captured) -> dict[str, Any]:
    """The same."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": f"{launch.prefix}/page.html",
        "QUERY_STRING": "",
        "wsgi.url_scheme": "https",
        "HTTP_HOST": "tool.example",
        "HTTP_COOKIE": launch.cookie["Cookie"],
    }


def one(kind: str) -> Tool:
    """A tool behind one of the adapters."""
    return Tool(kind, {"url": "https://account.ltiaas.example", "api_key": API_KEY})


class TestStreams:
    """The beginning of a page is sent as soon as the tag has its place."""

    def test_wsgi(self, upstream: Upstream) -> None:
        tool = one("wsgi")
        pages = Pages(tool)
        asked: list[str] = []

        def chunks() -> Iterator[bytes]:
            asked.append("first")
            yield PAGE[:60]
            asked.append("second")
            yield PAGE[60:]

        started: list[str] = []
        pages.headers, pages.chunks = [HTML], chunks
        body = tool.middleware(
            wsgi_environ(pages.launch), lambda status, headers: started.append(status)
        )
        assert started == []
        assert pages.tag in next(iter(body))
        assert (started, asked) == (["200 Whatever"], ["first"])

    def test_what_is_written_by_start_response(self, upstream: Upstream) -> None:
        tool = one("wsgi")
        pages = Pages(tool)
        pages.headers = [HTML]
        pages.writes = [PAGE[:10], PAGE[10:60], PAGE[60:]]
        written: list[bytes] = []
        body = tool.middleware(wsgi_environ(pages.launch), lambda status, headers: written.append)
        assert b"".join(written) + b"".join(body) == PAGE.replace(HEAD, HEAD + pages.tag)

    def test_asgi(self, upstream: Upstream) -> None:
        tool = one("asgi")
        pages = Pages(tool)
        sent: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-type", b"text/html")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            assert sent == []
            await send({"type": "http.response.body", "body": PAGE[:60], "more_body": True})
            assert sent == ["http.response.start", "http.response.body"]

        async def send(message: Any) -> None:
            sent.append(message["type"])

        tool.middleware.app = app
        asyncio.run(tool.middleware(asgi_scope(pages.launch), None, send))
        assert len(sent) == 2

    def test_a_file_that_the_server_would_read_by_itself(self, upstream: Upstream) -> None:
        tool = one("asgi")
        pages = Pages(tool)
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["extensions"])

        tool.middleware.app = app
        scope = asgi_scope(pages.launch)
        scope["extensions"] = {"http.response.pathsend": {}, "tls": {}}
        asyncio.run(tool.middleware(scope, None, None))
        assert seen == [{"tls": {}}]
