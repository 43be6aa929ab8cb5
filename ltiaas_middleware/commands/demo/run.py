"""Serves the sandbox and the demo tool together, in threads of this process.

``check`` runs doctor against the demo, then one launch from the LMS to the gradebook, over real
sockets, like a browser. Its output never contains an ltik or the API key.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
import time
import webbrowser
from collections.abc import Iterable, Iterator
from html import unescape
from importlib.resources import files
from typing import NamedTuple, TextIO
from urllib.parse import urlencode

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from ..._version import __version__
from ...sandbox import Sandbox, SandboxServer
from ...wsgi import LTIAASMiddleware
from ..browser import Browser, NoReply, Reply
from ..doctor import examine
from ..doctor.finding import Finding, find, print_findings
from .tool import DemoTool

_HOST, _SCORE = "127.0.0.1", 80


class Demo(NamedTuple):
    """A running sandbox, and the URL of the demo tool that it launches."""

    sandbox: Sandbox
    server: SandboxServer
    tool_url: str


@contextlib.contextmanager
def serve_demo(port: int, tool_port: int, faults: Iterable[str] = ()) -> Iterator[Demo]:
    """Run a sandbox and the demo tool on two loopback ports.

    Args:
        port: the sandbox's port, and ``tool_port`` the tool's; 0 picks a free one.
        faults: the faults at the start, in the format of ``sandbox.faults.read_faults``.

    Raises:
        OSError: a port is in use.
        ValueError: unknown fault.
    """
    sandbox = Sandbox()
    sandbox.faults.begin(faults)
    with SandboxServer(sandbox, _HOST, port) as server:
        tool = DemoTool(f"{server.url}/")
        app = LTIAASMiddleware(tool, url=server.url, api_key=sandbox.api_key)
        with contextlib.closing(app):
            # Bound here, because Werkzeug ends the process when a port is taken.
            with socket.create_server((_HOST, tool_port), backlog=128) as listener:
                fd = listener.fileno()
                serving = ThreadedWSGIServer(_HOST, 0, app, handler=_QuietHandler, fd=fd)
            threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True).start()
            url = f"http://{_HOST}:{serving.port}"
            sandbox.tool = f"{url}/launch"
            try:
                yield Demo(sandbox, server, url)
            finally:
                # Before the tool: it lets go of requests that a fault holds up.
                server.stop()
                serving.shutdown()


class _QuietHandler(WSGIRequestHandler):
    """Logs errors only."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def run(port: int, tool_port: int, faults: Iterable[str], *, show: bool) -> None:
    """Serve in the main thread until Ctrl-C or SIGTERM; ``show`` opens the LMS in a browser."""
    logging.basicConfig(format="[tool] %(message)s", level=logging.INFO)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with serve_demo(port, tool_port, faults) as demo:
            lms, url, tool = demo.server.lms_url, demo.server.url, demo.tool_url
            greeting = files(__package__).joinpath("greeting.txt").read_text("utf-8")
            print(greeting.format(version=__version__, lms=lms, url=url, tool=tool), flush=True)
            for fault in demo.sandbox.faults:
                print(f"Fault injected: {fault.name}.", flush=True)
            if show:
                webbrowser.open(f"{lms}/")
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        print("Stopped.", flush=True)
    finally:
        signal.signal(signal.SIGTERM, before)


def check(faults: Iterable[str], out: TextIO) -> int:
    """Print each finding, and return the exit status. With ``faults`` in the sandbox, the check
    should fail. An unknown fault raises ``ValueError``."""
    with serve_demo(0, 0, faults) as demo:
        return print_findings(_findings(demo), out, as_json=False)


def _findings(demo: Demo) -> Iterator[Finding]:
    env = {"LTIAAS_URL": demo.server.url, "LTIAAS_API_KEY": demo.sandbox.api_key}
    failed = False
    for finding in examine(env, tool=f"{demo.tool_url}/launch"):
        failed = failed or finding.level == "failed"
        yield finding
    injected = ", ".join(fault.name for fault in demo.sandbox.faults) or "none"
    if failed:
        yield find("demo-skipped", faults=injected)
        return
    try:
        yield from _steps(demo, Browser(demo.server.url))
    except NoReply as error:
        yield find("demo-fails", why=error, faults=injected)


def _steps(demo: Demo, browser: Browser) -> Iterator[Finding]:
    first = _launch(demo, browser, "biology", "quiz-1", "chen")
    # The last of them is on the roster's second page.
    people = ("Ada Moreau", "Ben Carter", "Amir Karimi")
    yield _shows(first, "demo-launch", "Chen Liu", "Introduction to Biology", "Quiz 1")
    yield _shows(first, "demo-roster", *people)
    score = {"score": str(_SCORE), "comment": "by demo --check"}
    *_, page = browser.open(f"{first.url.rpartition('/launch')[0]}/score", score)
    yield _shows(page, "demo-score", "Saved.")
    given = demo.sandbox.scores("quiz-1")
    if {user: row["scoreGiven"] for user, row in given.items()} != {"chen": _SCORE}:
        raise NoReply("the score is not in the LMS's gradebook")
    yield find("demo-gradebook", seen=f"{_SCORE} of 100 for Chen Liu")
    second = _launch(demo, browser, "history", "essay", "noor")
    _shows(second, "demo-two-tabs", "<strong>Noor Haddad</strong>")
    *_, first = browser.open(first.url)
    yield _shows(first, "demo-two-tabs", "<strong>Chen Liu</strong>")


def _launch(demo: Demo, browser: Browser, course: str, activity: str, user: str) -> Reply:
    query = urlencode({"course": course, "activity": activity, "user": user})
    *_, redirect = browser.open(f"{demo.server.url}/lms/launch?{query}")
    if not (redirect.location or "").startswith(f"{demo.tool_url}/launch?"):
        raise NoReply(f"the LMS responded to the launch with an error ({redirect.status})")
    *_, page = browser.open(f"{redirect.location}")
    if "ltik=" in page.url:
        raise NoReply("the ltik is still in the URL")
    return page


def _shows(page: Reply, code: str, *words: str) -> Finding:
    text = unescape(page.text)
    missing = [word for word in words if word not in text]
    if missing:
        raise NoReply(f"the page ({page.status}) does not show {missing[0]!r}")
    return find(code, seen=", ".join(words))
