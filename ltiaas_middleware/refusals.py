"""Why a request does not reach the app, and the answer that it gets instead.

``Settings.on_refusal`` is given a ``Refusal`` and returns an ``Answer``, or None for the built-in
page.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["Answer", "Refusal"]


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """A whole HTTP answer that the middleware gives without the app.

    Attributes:
        status: HTTP status.
        headers: name and value pairs, latin-1.
        body: bytes; ``Content-Length`` is added.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __repr__(self) -> str:
        # Not the values: a launch's cookie is its ltik.
        names = ", ".join(name for name, _ in self.headers)
        return f"<Answer {self.status}, {len(self.body)} bytes, headers: {names}>"

    @property
    def status_line(self) -> str:
        """Status and phrase, as WSGI wants it."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"{self.status} Unknown"

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        """``headers`` with ``Content-Length``, and ``Cache-Control: no-store`` unless given: what
        stands here is about one person at one moment."""
        given = {name.lower() for name, _ in self.headers}
        extra = [("Content-Length", str(len(self.body)))]
        if "cache-control" not in given:
            extra.append(("Cache-Control", "no-store"))
        # Plain texts: ``str`` of a subclass is one, and strict servers ask for it.
        return [*((name, str(value)) for name, value in self.headers), *extra]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request does not reach the app; what ``on_refusal`` is given.

    Attributes:
        code: stable, for programs: ``malformed_ltik``, ``launch_expired``, ``launch_unknown``,
            ``launch_required``, ``cross_site``, ``launch_waiting``, ``ltiaas_unavailable``,
            ``api_key_rejected``, ``anonymous_launch``, ``platform_inactive``, ``access_forbidden``,
            ``launch_refused``. With ``launch_waiting`` the built-in page reloads itself after
            ``retry_after`` (a ``Refresh`` header); an answer of your own should, too.
        status: HTTP status.
        title: one short sentence.
        detail: what the person can do now.
        retry_after: seconds, for a 503.
        wants_html: whether a person is looking: a browser's navigation.
    """

    code: str
    status: int
    title: str
    detail: str
    retry_after: float | None = None
    wants_html: bool = False
