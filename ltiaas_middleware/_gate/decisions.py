"""What the gate decides, for the adapters to carry out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .._verification.launches import Verification
    from ..launch import Launch
    from ..responses import Response
    from .jar import Jar

__all__ = ["Decision", "Flow", "Refused", "Serve"]


class Serve:
    """Pass the request to the app.

    Attributes:
        launch: the request's launch, or None.
        path: the path for the app, decoded, under the mount point.
        prefix: the part of the path that moves to the mount point, such as ``/lti/<id>``, or "".
        query: the query for the app; None leaves it unchanged.
        cookies: the ``Cookie`` header for the app; None leaves it unchanged, "" removes it.
        without: other request headers to hide from the app, as CGI variables.
        set_cookies: values of ``Set-Cookie`` to add to the response.
        jar: stores the response's cookies if the browser blocks cookies; otherwise None.
        may_have_script: whether the script may be inserted into the response.
    """

    # Every request in a launch creates one, and this is the fastest way in Python: a constructor
    # with arguments or a named tuple takes twice as long. Who creates one sets all of these.
    __slots__ = (
        "cookies", "jar", "launch", "may_have_script", "path", "prefix", "query", "set_cookies",
        "without",
    )  # fmt: skip

    launch: Launch | None
    path: str
    prefix: str
    query: str | None
    cookies: str | None
    without: Sequence[str]
    set_cookies: Sequence[str]
    jar: Jar | None
    may_have_script: bool

    @property
    def launch_path(self) -> str:
        """The launch's path, percent-encoded, without a trailing slash."""
        return self.launch.path if self.launch else ""

    @property
    def mount(self) -> str:
        """The mount point, in the same format."""
        return self.launch_path.removesuffix(self.prefix)

    def __repr__(self) -> str:
        return f"<Serve {self.launch!r}>"


class Refused(Exception):
    """The middleware refuses the request, with a code of ``responses.ErrorInfo``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


#: Yields what to wait for: a ``Verification``, or a call to make outside the event loop.
Flow: TypeAlias = "Generator[Verification | Callable[[], Any], Any, Serve | Response | None]"
Decision: TypeAlias = "Serve | Response | Flow | None"
