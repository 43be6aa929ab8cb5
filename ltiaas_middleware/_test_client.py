"""A browser in an LMS's iframe, for testing tools; see ``testing``."""

from __future__ import annotations

import time
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from werkzeug.datastructures import Headers
from werkzeug.test import Client as WerkzeugClient
from werkzeug.test import EnvironBuilder, TestResponse

if TYPE_CHECKING:
    from .sandbox import Sandbox

REDIRECTS = (301, 302, 303, 307, 308)
# Redirects and reloads that a browser follows for one request.
MOST = 20
_CALLS = 2
_NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "iframe",
}
FROM_ELSEWHERE = {**_NAVIGATION, "Sec-Fetch-Site": "cross-site"}
_FETCH = {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


class Client(WerkzeugClient):
    """A browser in an LMS's iframe, for a WSGI or ASGI app: a Werkzeug test client that can launch.

    It sends requests as a page in the latest launch would: under the launch path, with its
    ``Referer`` and cookies. Requests with ``json=`` look like a script's ``fetch``, and all others
    like a link or a form. It follows the middleware's redirects out of the launch (308), but the
    app's own redirects only with ``follow_redirects=True``.

    Attributes:
        sandbox: the sandbox that launches the app; it has the gradebook (``scores()``) and faults.
    """

    def __init__(self, app: Any, sandbox: Sandbox, url: str, base_url: str) -> None:
        self.sandbox = sandbox
        self._url = url
        self._base_url = base_url
        self._page: str | None = None
        self._base = ""
        super().__init__(app)

    def launch(self, path: str = "/launch", **seat: Any) -> TestResponse:
        """Launch the app as LTIAAS's redirect does, and follow the redirects.

        Args:
            path: the path of the app's launch URL; may have a query.
            seat: who launches what: the arguments of ``Sandbox.issue`` (``user``, ``roles``,
                ``custom``, ``course``, ``activity``, ``deep_linking``, ``claims``).

        Returns:
            the page that the user finally sees; an error page has the header ``LTIAAS-Error``.

        Raises:
            AssertionError: the app ignores launches.
        """
        ltik = self.sandbox.issue(**seat)
        before = self._asked()
        url = launched_url(path, self.sandbox.launch_url(ltik))
        self._page, self._base = None, ""
        for _ in range(MOST):
            # A verification is a call and one repeat: where both have failed, more will.
            is_last = self._asked(answered=True) - before >= _CALLS
            response = self.open(url, headers=FROM_ELSEWHERE)
            if is_last or response.headers.get("LTIAAS-Error") != "launch_waiting":
                break
            time.sleep(float(response.headers["Refresh"]))
        if self._asked() == before:
            raise AssertionError(
                "the app ignored the launch: wrap it in LTIAASMiddleware, and let it read its "
                f"settings from the environment (this test sets LTIAAS_URL={self._url})"
            )
        for _ in range(MOST):
            if response.status_code not in REDIRECTS:
                break
            if self._page is None:
                self._page = urljoin(self._base_url, response.location or "")
                self._base = base_of(self._page, path)
            response = self.resolve_redirect(response)
        return response

    def open(
        self, *args: Any, buffered: bool = False, follow_redirects: bool = False, **kwargs: Any
    ) -> TestResponse:
        """Make a request, with the arguments of Werkzeug's client. The client requests a path
        within the latest launch. It opens a URL outside the launch, such as the target of an OAuth
        provider's redirect, like a redirect from another site."""
        if args and not isinstance(args[0], str):
            return super().open(
                *args, buffered=buffered, follow_redirects=follow_redirects, **kwargs
            )
        path = args[0] if args else kwargs.pop("path", "/")
        marks = marks_of(self._page, is_fetch="json" in kwargs)
        if is_elsewhere(self._base, path):
            marks = FROM_ELSEWHERE
        headers = Headers(kwargs.pop("headers", None))
        for name, value in marks.items():
            headers.setdefault(name, value)
        kwargs.setdefault("base_url", self._base_url)
        kwargs["headers"] = headers
        path = within(self._base, path)
        builder = EnvironBuilder(path, *args[1:], **kwargs)
        environ = builder.get_environ()
        body = environ["wsgi.input"].read()
        builder.close()
        for _ in range(MOST):
            # The middleware changes what it is given, and the app may have read the body.
            response = super().open({**environ, "wsgi.input": BytesIO(body)}, buffered=buffered)
            if response.status_code not in (307, 308):
                break
            to = urlsplit(urljoin(response.request.url, response.location or ""))
            moved = EnvironBuilder.from_environ(
                {**environ, "wsgi.input": BytesIO(body)}, path=to.path, query_string=to.query
            )
            environ = moved.get_environ()
        while follow_redirects and response.status_code in REDIRECTS:
            response = self.resolve_redirect(response)
        return response

    def _asked(self, *, answered: bool = False) -> int:
        calls = self.sandbox.api_log.entries("/api/idtoken")
        return sum(call.answered or not answered for call in calls)


def marks_of(page: str | None, *, is_fetch: bool) -> dict[str, str]:
    """The headers with which a browser marks a request from a page in a launch; none without a
    page.

    Args:
        page: the page's URL.
        is_fetch: whether a script's ``fetch`` sends the request, not a link or a form.
    """
    if page is None:
        return {}
    own = {"Referer": page, "Sec-Fetch-Site": "same-origin"}
    return own | (_FETCH if is_fetch else _NAVIGATION)


def launched_url(path: str, url: str) -> str:
    """One of the app's paths with the query of a launch: the content item's query and the ltik."""
    return f"{path}{'&' if '?' in path else '?'}{urlsplit(url).query}"


def base_of(page: str, path: str) -> str:
    """The path of a launch, without a trailing slash, or "" if there is none.

    Args:
        page: the URL that the middleware redirected to.
        path: the path of the app's launch URL, which follows the launch path.
    """
    shown, own = urlsplit(page).path, urlsplit(path).path
    return shown.removesuffix(own) if shown.endswith(own) else ""


def within(base: str, path: str) -> str:
    """One of the app's paths, moved into a launch. A path that is already in a launch stays
    unchanged."""
    launches = base.rpartition("/")[0]
    is_own = path.startswith("/") and not (base and path.startswith(f"{launches}/"))
    return base + path if is_own else path


def is_elsewhere(base: str, url: str) -> bool:
    """Whether this is a full URL outside the launch."""
    whole = urlsplit(url)
    return bool(whole.netloc) and not (base and whole.path.startswith(f"{base}/"))
