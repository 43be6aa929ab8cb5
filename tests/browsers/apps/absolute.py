"""An app that knows nothing of launches: every URL in its pages and scripts begins with a slash.

Its ``Referrer-Policy`` leaves the ``Referer`` as short as Safari cuts it in an iframe, so that the
middleware cannot redirect a request that has left its launch.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from html import escape

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

from ltiaas_middleware import current_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

app = FastAPI()
app.add_middleware(LTIAASMiddleware, exclude=["/static"])

PAGE = """<!doctype html>
<html lang="en"><head><title>Absolute</title><link rel="icon" href="data:,">
<script src="/static/early.js"></script></head>
<body data-auto-resize><h1>{heading}</h1><pre id="said"></pre><p id="early"></p>
<p><a id="link" href="/page/link">Link</a> <a id="stopped" href="/page/stopped">Stopped</a>
<a id="handled" href="/page/handled">Handled</a> <a id="static" href="/static/page">Static</a>
<a id="blank" target="_blank" href="/page/blank">Blank</a>
<a id="named" target="report" href="/page/named">Named</a>
<a id="top" target="_top" href="/page/top">Top</a>
<a id="parent" target="_parent" href="/page/parent">Parent</a>
<a id="download" download href="/report.csv">Download</a>
<a id="away" target="_blank" href="{elsewhere}/away">Away</a></p>
<svg width="60" height="30"><a id="svg" href="/page/svg"><rect width="25" height="30"/></a>
<a id="svg-blank" target="_blank" href="/page/svg-blank"><rect x="30" width="25" height="30"/></a>
</svg>
<img alt="" usemap="#map" width="60" height="30" src="/static/pixel.svg">
<map name="map"><area id="area" shape="rect" coords="0,0,60,30" href="/page/area"></map>
<form id="post" method="post" action="/page/post"><button id="post-it">Post</button>
<button id="formaction" formaction="/page/formaction">Elsewhere</button></form>
<form id="get" action="/page/get"><input name="q" value="a b"><button id="get-it">Get</button>
<button id="formtarget" formtarget="_blank">In a tab</button></form>
<div id="shadow"></div>
<form id="by-script" method="post" action="/page/by-script"></form>
<script src="/static/late.js"></script></body></html>
"""

EARLY = (
    """window.early = document.cookie; window.earlyPath = window.ltiaas && window.ltiaas.path;"""
)
LATE = """
document.querySelector("#early").textContent = window.earlyPath;
document.querySelector("#handled").onclick = event => {
  event.preventDefault();
  document.querySelector("h1").textContent = "Handled " + event.target.getAttribute("href");
};
window.makeLink = attributes => Object.assign(document.createElement("a"), attributes);
const shadow = document.querySelector("#shadow").attachShadow({mode: "open"});
shadow.innerHTML = '<form method="post" action="/page/shadow"><button>Shadow</button></form>';
document.querySelector("#stopped").onclick = event => event.stopPropagation();
const text = async answer => (await answer).text();
const first = target => new Promise((done, failed) => {
  target.onmessage = event => done(event.data);
  target.onerror = () => failed(new Error("error event"));
});
const asks = {
  fetch: () => text(fetch("/api/me")),
  "fetch of a URL": () => text(fetch(new URL("/api/me", location.href))),
  "fetch of a Request": () => text(fetch(new Request("/api/me", {method: "POST", body: "x"}))),
  XMLHttpRequest: () => new Promise(done => {
    const asked = new XMLHttpRequest();
    asked.onload = () => done(asked.responseText);
    asked.open("PUT", "/api/me");
    asked.send();
  }),
  EventSource: async () => {
    const source = new EventSource("/api/events");
    const said = await first(source);
    source.close();
    return said;
  },
  WebSocket: () => first(new WebSocket("wss://" + location.host + "/api/socket")),
  Worker: () => first(new Worker("/api/worker.js")),
  SharedWorker: () => first(new SharedWorker("/api/shared-worker.js").port),
  sendBeacon: async () => {
    navigator.sendBeacon("/api/beacon", "x");
    for (;;) {
      const said = await text(fetch("/api/beacons"));
      if (said) return said;
    }
  },
  pushState: async () => {
    const before = location.href;
    history.pushState(null, "", "/pushed/x?a=1");
    const path = location.pathname + location.search;
    const said = await text(fetch("../api/me"));
    history.replaceState(null, "", before);
    return path === window.ltiaas.path + "/pushed/x?a=1" ? said : path;
  },
};
const others = {
  excluded: async () => (await fetch("/static/early.js")).url.replace(location.origin, ""),
  elsewhere: async () => new Request("https://www.elsewhere.test/x").url,
  "service worker": () => navigator.serviceWorker.register("/sw.js").then(
    () => "registered", error => error.name),
  "data and blob": async () => await text(fetch("data:,a")) + await text(fetch(
    URL.createObjectURL(new Blob(["b"])))),
};
const cookies = {
  "of the app": async () => (await text(fetch("/api/cookies"))) && document.cookie,
  "of a script": async () => {
    document.cookie = "theme=dark; Path=/; SameSite=Lax";
    document.cookie = "deep=1; Path=/api";
    const said = [document.cookie, await text(fetch("/api/cookies"))];
    document.cookie = "theme=; Path=/; Max-Age=0";
    return [...said, document.cookie].join(" | ");
  },
  cookieStore: async () => {
    if (!window.cookieStore) return "none";
    await cookieStore.set("color", "red");
    await cookieStore.set({name: "size", value: "9", path: "/"});
    const names = (await cookieStore.getAll()).map(one => one.name).sort().join();
    const one = (await cookieStore.get("color")).value;
    await cookieStore.delete("size");
    const size = await cookieStore.get("size");
    return [names, one, size, await text(fetch("/api/cookies"))].join(" | ");
  },
};
const silence = () => new Promise(done => setTimeout(done, 4000, "no answer"));
window.run = async which => {
  const said = {};
  for (const [name, ask] of Object.entries({asks, others, cookies}[which]))
    said[name] = await Promise.race([Promise.resolve().then(ask).catch(String), silence()]);
  document.querySelector("#said").textContent = JSON.stringify(said);
};
"""

seen: Counter[tuple[str, str]] = Counter()


def _user() -> str:
    launch = current_launch()
    return str(launch.id_token.user.name) if launch else "nobody"


@app.middleware("http")
async def with_policies(request: Request, call_next):  # type: ignore[no-untyped-def]
    response = await call_next(request)
    response.headers["Referrer-Policy"] = "origin"
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; connect-src 'self' data: blob:; worker-src 'self'; "
        "img-src 'self' data:"
    )
    return response


def _page(heading: str) -> HTMLResponse:
    page = PAGE.format(heading=escape(f"{heading}: {_user()}"), elsewhere=elsewhere)
    return HTMLResponse(page)


elsewhere = "https://www.elsewhere.test"


@app.get("/launch")
async def launch() -> HTMLResponse:
    return _page("Launched")


@app.api_route("/page/{name}", methods=["GET", "POST"])
async def page(request: Request, name: str) -> HTMLResponse:
    return _page(f"{request.method} {name} {request.query_params.get('q', '')}".strip())


@app.get("/report.csv")
async def report() -> Response:
    seen["download", _user()] += 1
    return Response("a,b\n", media_type="text/csv")


@app.get("/api/downloads")
async def downloads() -> PlainTextResponse:
    return PlainTextResponse(_user() if seen.pop(("download", _user()), 0) else "")


@app.api_route("/api/me", methods=["GET", "POST", "PUT"])
async def me() -> PlainTextResponse:
    return PlainTextResponse(_user())


@app.get("/api/events")
async def events() -> StreamingResponse:
    async def stream() -> AsyncIterator[str]:
        yield f"data: {_user()}\n\n"
        await asyncio.sleep(0)

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.websocket("/api/socket")
async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(_user())
    await websocket.close()


@app.get("/api/worker.js")
async def worker() -> Response:
    return Response(f"postMessage({_user()!r})", media_type="text/javascript")


@app.get("/api/shared-worker.js")
async def shared_worker() -> Response:
    said = f"onconnect = event => event.ports[0].postMessage({_user()!r})"
    return Response(said, media_type="text/javascript")


@app.post("/api/beacon")
async def beacon() -> None:
    seen["beacon", _user()] += 1


@app.get("/api/beacons")
async def beacons() -> PlainTextResponse:
    return PlainTextResponse(_user() if seen["beacon", _user()] else "")


@app.get("/api/cookies")
async def cookies(request: Request) -> PlainTextResponse:
    said = PlainTextResponse(
        "; ".join(f"{name}={request.cookies[name]}" for name in sorted(request.cookies)) or "none"
    )
    said.set_cookie("csrftoken", _user().partition(" ")[0])
    said.set_cookie("session", "hidden", httponly=True)
    return said


@app.get("/static/{name}")
async def static(name: str) -> Response:
    if name == "page":
        return _page("Static")
    if name == "pixel.svg":
        return Response("<svg xmlns='http://www.w3.org/2000/svg'/>", media_type="image/svg+xml")
    return Response({"early.js": EARLY, "late.js": LATE}[name], media_type="text/javascript")
