"""What the gate decides, for the adapters to carry out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from .._verification.authenticator import Outcome
from ..launch import Launch
from ..refusals import Answer

__all__ = ["Blocking", "Decision", "Serve", "Verify"]


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
    """

    # One is made for every request of a launch, and this is what Python makes fastest: a named
    # tuple, or more of these as keywords, takes twice as long.
    __slots__ = ("cookies", "launch", "path", "prefix", "query", "set_cookies", "without")

    def __init__(self, launch: Launch | None, path: str, prefix: str) -> None:
        self.launch = launch
        self.path = path
        self.prefix = prefix
        self.query: str | None = None
        self.cookies: str | None = None
        self.without: Sequence[str] = ()
        self.set_cookies: Sequence[str] = ()

    def __repr__(self) -> str:
        return f"<Serve {self.launch!r}>"


class Verify(NamedTuple):
    """Ask LTIAAS about an ltik, then ``resume`` with the outcome.

    Attributes:
        ltik: the token.
        launch_id: its launch id.
        resume: takes the outcome and returns the next decision.
        confirms: whether the ltik came in the launch's cookie. The launch is then confirmed as soon
            as it is known, even if nobody is left to be answered.
        page: whether a page can wait for the launch, by reloading itself.
        address: of the client, as the server tells it.
    """

    ltik: str
    launch_id: str
    resume: Callable[[Outcome], Decision]
    confirms: bool = False
    page: bool = False
    address: str = ""

    def __repr__(self) -> str:
        return f"<Verify {self.launch_id}>"


class Blocking(NamedTuple):
    """Make a call that may wait for a shared store, off the event loop, then ``resume``."""

    call: Callable[[], Any]
    resume: Callable[[Any], Decision]


Decision: TypeAlias = "Serve | Answer | Verify | Blocking"
