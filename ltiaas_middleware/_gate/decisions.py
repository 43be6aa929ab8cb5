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
    """Hand the request to the app.

    Attributes:
        launch: the launch that the request belongs to; None where it has none.
        path: the path for the app, decoded, below the mount point.
        prefix: what moves from the path to the mount point, such as ``/lti/<id>``; or "".
        query: the query for the app; None leaves it as it is.
        cookies: the ``Cookie`` header for the app; None leaves it as it is, "" removes it.
        without: further request headers to hide from the app, as CGI variables.
        set_cookies: values of ``Set-Cookie`` to add to the response.
        jar: keeps the cookies of the response, if the browser does not; else None.
        may_have_script: whether the response may be one that a script is inserted into.
    """

    # One is made for every request of a launch, and this is what Python makes fastest: a named
    # tuple, or keywords, take twice as long.
    __slots__ = (
        "cookies", "jar", "launch", "may_have_script", "path", "prefix", "query", "set_cookies",
        "without",
    )  # fmt: skip

    def __init__(
        self,
        launch: Launch | None,
        path: str,
        prefix: str,
        query: str | None,
        cookies: str | None = None,
    ) -> None:
        self.launch = launch
        self.path = path
        self.prefix = prefix
        self.query = query
        self.cookies = cookies
        self.may_have_script = False
        self.without: Sequence[str] = ()
        self.set_cookies: Sequence[str] = ()
        self.jar: Jar | None = None

    @property
    def launch_path(self) -> str:
        """The launch's own path, percent-encoded, without a slash at its end."""
        return self.launch.path if self.launch else ""

    @property
    def mount(self) -> str:
        """The mount point, likewise."""
        return self.launch_path.removesuffix(self.prefix)

    def __repr__(self) -> str:
        return f"<Serve {self.launch!r}>"


class Refused(Exception):
    """The request is refused, with a code of ``responses.ErrorInfo``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


#: Yields what has to be waited for: a ``Verification``, or a call to make off the event loop.
Flow: TypeAlias = "Generator[Verification | Callable[[], Any], Any, Serve | Response | None]"
Decision: TypeAlias = "Serve | Response | Flow | None"
