"""The script that keeps a page's requests inside its launch, and the one-time links that it
requests.

docs/reference/script.md documents it; ``insertion`` inserts its tag into the app's pages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from urllib.parse import quote

from ..responses import Response
from ..settings import Settings
from .request import Request, without_parameters

__all__ = ["NAME", "ONE_TIME_PATH", "LaunchScript", "one_time_answer"]

#: The script's file name, directly under the setting ``launch_path``.
NAME = "ltiaas-launch.js"
ONE_TIME_PATH = "/ltiaas-one-time-link"


# A declaration that is followed by one of the same block.
_CONSTANTS = re.compile(r"(?m)^(( *)const .*(?:\n\2[ }\])].*)*);\n\2const ")


def _shortened(source: str) -> str:
    """The source in one line, without comments and without spaces around operators."""
    source = re.sub(r"(?m)^ *(//.*)?\n", "", source)
    found = 1
    while found:
        source, found = _CONSTANTS.subn(r"\1,", source)
    source = re.sub(r"(?m)^ +", "", source).replace("\n", "")
    source = re.sub(r"\bconst\b", "let", source)
    source = re.sub(r" ?([=!<>?:&|+]+) |([,:]) ", r"\1\2", source)
    source = re.sub(r" ?([(){}[\]]) ?", r"\1", source)
    source = re.sub(r",(?=[}\])])|;(?=})", "", source)
    return re.sub(r"(?<!\w)\((\w+)\)=>", r"\1=>", source)


_SOURCE = files(__package__).joinpath("launch.js").read_text("utf-8")
_FOR_PAGES = _shortened(_SOURCE)
_FOR_WORKERS = _shortened(f"{_SOURCE.partition('// -- in pages alone')[0]}}})();")
# A regular expression that matches nothing.
_NONE = "(?!)"
_SETTINGS = "/*settings*/{}"


class LaunchScript:
    """Serves the script: the same for every launch, and without secrets.

    Args:
        settings: the launch path, the excluded paths, and the cookies that launches share. If
            ``exclude`` is a function, the script does not know the paths, and the middleware
            redirects those requests.

    Attributes:
        path: where it is served, under the mount point.
    """

    def __init__(self, settings: Settings) -> None:
        exclude = () if callable(settings.exclude) else settings.exclude or ()
        prefixes = [re.escape(quote(prefix.rstrip("/"))) for prefix in exclude]
        # No path has a NUL.
        launches = settings.launch_path or "\0"
        self.path = f"{launches}/{NAME}"
        values = json.dumps(
            {
                "launches": re.escape(launches),
                "exclude": "|".join(prefixes) or _NONE,
                "shared": list(settings.shared_cookies),
            },
            separators=(",", ":"),
        )
        #: Keeps a worker's requests inside the launch. Valid as a classic script and as a module.
        self.for_workers = f"{_FOR_WORKERS.replace(_SETTINGS, values)}\n".encode()
        self._body = _FOR_PAGES.replace(_SETTINGS, values).encode()
        self._etag = f'"{sha256(self._body).hexdigest()[:16]}"'

    def response(self, request: Request) -> Response:
        """The script, or 304 if the browser already has it."""
        headers = (
            ("Cache-Control", "public, max-age=3600"),
            ("ETag", self._etag),
            ("X-Content-Type-Options", "nosniff"),
        )
        if request.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return Response(405, (("Allow", "GET, HEAD"),))
        if self._etag in (request.get("HTTP_IF_NONE_MATCH") or ""):
            return Response(304, headers)
        content_type = ("Content-Type", "text/javascript; charset=utf-8")
        return Response(200, (content_type, *headers), self._body)


def one_time_answer(request: Request, one_time_url: Callable[[str], str]) -> Response:
    """A one-time link to the path in the launch that the parameter ``to`` names.

    Args:
        request: an authenticated request in the launch.
        one_time_url: ``Launch.one_time_url``.
    """
    if request.get("REQUEST_METHOD") != "POST":
        return Response(405, (("Allow", "POST"),))
    found, _ = without_parameters(request.query, ("to",))
    to = found[0][1] if len(found) == 1 else ""
    if not to.startswith("/") or not to.isprintable():
        return Response(400)
    headers = (("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"))
    return Response(200, headers, json.dumps({"url": one_time_url(to)}).encode())
