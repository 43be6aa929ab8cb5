"""A server that answers what a test tells it to, for what neither sandbox nor tool ever does."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler, make_server

App = Callable[..., Any]


class _QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serving(app: App, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve a WSGI app on a free port; gives its origin."""
    server = make_server(
        "127.0.0.1", 0, app, threaded=True, ssl_context=tls, request_handler=_QuietHandler
    )
    server.log = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answering(*responses: Response) -> App:
    """An app that gives these answers, one after the other, the last one for ever."""
    left = list(responses)

    def app(environ: Any, start_response: Any) -> Any:
        Request(environ).get_data()
        response = left.pop(0) if len(left) > 1 else left[0]
        return response(environ, start_response)

    return app
