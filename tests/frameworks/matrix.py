"""The frameworks under test, and what each of them has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WSGI = "wsgi"
ASGI = "asgi"

# Where a tool stands: at the root; in Werkzeug's dispatcher or in Starlette's Mount (with a name,
# as "mount", and without); behind a proxy that strips a prefix, which the tool learns from
# X-Forwarded-Prefix or from uvicorn's --root-path.
Mounting = Literal["root", "dispatcher", "proxy", "mount", "plain-mount", "root-path"]
_MOUNTINGS: dict[str, tuple[Mounting, ...]] = {
    WSGI: ("root", "dispatcher", "proxy"),
    ASGI: ("root", "mount", "plain-mount", "root-path"),
}


@dataclass(frozen=True)
class Framework:
    """A framework, and what its tool has of the contract in `apps/__init__.py`.

    `views` are the kinds of views; `streams` the routes that stream; `later` what it records after
    the answer; `sockets`, whether it has websockets; `redirects_slashes`, whether it redirects
    /folder to /folder/; `mounted`, whether it can stand below a mount point; `keep_alive`, whether
    a connection can serve several requests; `warnings`, filters for what the framework itself is
    warned of; `slow`, whether only `make check` runs it: `test_guards.py` has every framework.
    """

    name: str
    kind: str
    views: tuple[str, ...] = ("sync",)
    streams: tuple[str, ...] = ("/stream",)
    later: frozenset[str] = frozenset()
    sockets: bool = False
    redirects_slashes: bool = False
    mounted: bool = True
    keep_alive: bool = True
    warnings: tuple[str, ...] = ()
    slow: bool = False

    @property
    def module(self) -> str:
        return f"{self.name}_app"

    @property
    def mountings(self) -> tuple[Mounting, ...]:
        return _MOUNTINGS[self.kind] if self.mounted else ("root",)


_BOTH = ("sync", "async")
_STREAMS = ("/stream", "/stream-in-threads")
_TASKS = frozenset({"task", "task in a thread"})

FRAMEWORKS = (
    Framework(
        "flask",
        WSGI,
        views=_BOTH,
        later=frozenset({"teardown", "call_on_close"}),
        redirects_slashes=True,
    ),
    Framework("falcon_wsgi", WSGI, later=frozenset({"close"})),
    Framework("django_wsgi", WSGI, views=_BOTH, later=frozenset({"close"}), redirects_slashes=True),
    Framework("bottle", WSGI, later=frozenset({"close"}), slow=True),
    Framework(
        "pyramid",
        WSGI,
        later=frozenset({"finished"}),
        # WebOb still imports it.
        warnings=(
            "ignore:'cgi' is deprecated:DeprecationWarning",
            "ignore:pkg_resources is deprecated:UserWarning",
        ),
        slow=True,
    ),
    Framework(
        "flask_in_asgi",
        ASGI,
        views=_BOTH,
        # The adapter never closes what the app returned.
        later=frozenset({"teardown"}),
        redirects_slashes=True,
        # On uvicorn a kept connection fails about one request in eight, without the middleware too:
        # "CurrentThreadExecutor already quit" (https://github.com/django/asgiref/issues/491).
        keep_alive=False,
        slow=True,
    ),
    Framework(
        "falcon_asgi",
        ASGI,
        views=_BOTH,
        later=_TASKS,
        sockets=True,
        # It routes on scope["path"] as it is, root_path and all, in a launch as outside one.
        mounted=False,
    ),
    Framework(
        "django_asgi",
        ASGI,
        views=_BOTH,
        later=frozenset({"close"}),
        redirects_slashes=True,
        # Django does not close its request body when a view is cancelled, or refuses by
        # LaunchRequired; the garbage collector does.
        warnings=("ignore:Unclosed file:ResourceWarning",),
    ),
    Framework(
        "starlette",
        ASGI,
        views=_BOTH,
        streams=_STREAMS,
        later=_TASKS,
        sockets=True,
        redirects_slashes=True,
        slow=True,
    ),
    Framework(
        "fastapi",
        ASGI,
        views=_BOTH,
        streams=_STREAMS,
        later=_TASKS,
        sockets=True,
        redirects_slashes=True,
    ),
    Framework(
        "quart", ASGI, views=_BOTH, later=_TASKS, sockets=True, redirects_slashes=True, slow=True
    ),
    Framework("litestar", ASGI, views=_BOTH, later=_TASKS, sockets=True, slow=True),
)
