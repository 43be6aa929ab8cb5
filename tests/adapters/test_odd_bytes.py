"""Whatever bytes a client or the app sends, neither adapter raises."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from tests.both_adapters import Tool
from tests.gate.test_app_answers import Launched

ODD = st.sampled_from(
    [
        *(
            "/",
            "//",
            "/\\",
            "[",
            "]",
            "//x]",
            "//[::1",
            "%",
            "%2",
            "%ff",
            "%e2%98%83",
            "%2F",
            "%0a",
        ),
        *(
            "\x00",
            "\n",
            "\x7f",
            "\xe9",
            "\xff",
            "\u2603",
            "\U0001f600",
            "\ufffd",
            "\udcff",
            ";",
            ":",
        ),
        *(
            "?",
            "#",
            "&",
            "=",
            "ltik",
            "ltik=",
            "ltik=a.b.c",
            "ltiaas_one_time=",
            "x",
            "..",
            "/lti/",
        ),
    ]
)
TEXT = st.lists(ODD | st.characters(exclude_categories=[]), max_size=5).map("".join)
NAMES = st.sampled_from(
    [
        *("origin", "referer", "cookie", "authorization", "host", "accept", "upgrade", "purpose"),
        *("sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "x-ltik"),
        *("access-control-request-method", "access-control-request-headers"),
    ]
)
VALUES = TEXT | st.sampled_from(
    ["same-origin", "cross-site", "navigate", "https://[", "//]", "text/html", "GET", "websocket"]
)


NAVIGATE = {"sec-fetch-mode": "navigate", "accept": "text/html"}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _latin(text: str) -> str:
    return _bytes(text).decode("latin-1")


def _environ(tool: Tool, asked: dict[str, Any]) -> int:
    environ = {
        "REQUEST_METHOD": asked["method"],
        "SCRIPT_NAME": _latin(asked["root"]),
        "PATH_INFO": _latin(asked["path"]),
        "QUERY_STRING": _latin(asked["query"]),
        "RAW_URI": _latin(asked["raw"]),
        "wsgi.url_scheme": "https",
    }
    for name, value in asked["headers"].items():
        environ["HTTP_" + name.upper().replace("-", "_")] = _latin(value)
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)
        for name, value in headers:
            assert (name + value).encode("latin-1")

    app: Any = tool.middleware
    b"".join(app(environ, start_response))
    return int(statuses[-1].split()[0])


def _scope(tool: Tool, asked: dict[str, Any]) -> int:
    scope = {
        "type": "http",
        "method": asked["method"],
        "scheme": "https",
        "root_path": asked["root"],
        "path": asked["root"] + asked["path"],
        "raw_path": _bytes(asked["raw"]),
        "query_string": _bytes(asked["query"]),
        "headers": [(name.encode(), _bytes(value)) for name, value in asked["headers"].items()],
    }
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(tool.middleware(scope, receive, send))
    status: int = sent[0]["status"]
    return status


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "method": draw(st.sampled_from(["GET", "POST", "OPTIONS", "HEAD"])),
        "root": draw(st.just("") | TEXT.map(lambda text: f"/{text}")),
        "below": draw(TEXT),
        "in_launch": draw(st.sampled_from(["", "as it is", "encoded"])),
        "with_cookie": draw(st.booleans()),
        "raw_agrees": draw(st.booleans()),
        "raw": draw(TEXT),
        "query": draw(TEXT | TEXT.map(lambda text: f"ltik=<ltik>&{text}")),
        "headers": draw(st.dictionaries(NAMES, VALUES, max_size=3)),
        "location": draw(TEXT | TEXT.map(lambda text: f"https://tool.example{text}")),
    }


def _example(**odd: Any) -> dict[str, Any]:
    plain = {"method": "GET", "root": "", "below": "/x", "in_launch": "as it is", "raw": ""}
    rest = {"with_cookie": True, "raw_agrees": True, "query": "", "headers": {}, "location": ""}
    return plain | rest | odd


def test_nothing_raises(tool: Tool) -> None:
    launched = Launched(tool)
    before, _, launch_id = launched.path.rpartition("/")
    partly = f"{before}/%{ord(launch_id[0]):02X}{launch_id[1:]}"
    token = launched.cookie["Cookie"].partition("=")[2]
    ask = _environ if tool.kind == "wsgi" else _scope
    # An app that is not there to be tested: it reads nothing, and sends a redirect.
    location = ""

    def wsgi_app(environ: Any, start_response: Any) -> Any:
        start_response("302 Found", [("Location", _latin(location))])
        return [b""]

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"location", _bytes(location))]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    tool.middleware.app = wsgi_app if tool.kind == "wsgi" else asgi_app

    @settings(
        max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(requests())
    @example(_example(below="/\u2603", in_launch="encoded", query="ltik=<ltik>", headers=NAVIGATE))
    @example(_example(root="/\udcff"))
    @example(_example(root="/\udcff", below="", query="ltik=<ltik>&"))
    @example(_example(location="https://tool.example//x]"))
    def run(asked: dict[str, Any]) -> None:
        nonlocal location
        # A dictionary of its own: an example is used once more to be shown.
        asked = asked | {"headers": dict(asked["headers"])}
        asked["query"] = asked["query"].replace("<ltik>", token)
        location = asked["location"]
        path = asked["below"]
        arrived = quote(path.encode("utf-8", "surrogatepass"))
        if asked["in_launch"]:
            path = f"{launched.path}{path}"
            arrived = f"{partly if asked['in_launch'] == 'encoded' else launched.path}{arrived}"
        asked["path"] = path
        if asked["raw_agrees"]:
            asked["raw"] = quote(asked["root"].encode("utf-8", "surrogatepass")) + arrived
        if asked["with_cookie"]:
            asked["headers"] |= launched.cookie
        asked["headers"].setdefault("host", "tool.example")
        note(repr(asked))
        assert ask(tool, asked) in (200, 204, 302, 303, 307, 308, 400, 401, 403, 404, 503)

    run()
