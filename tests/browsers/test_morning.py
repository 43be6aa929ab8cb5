"""A school opens its activities at eight, all at once, and LTIAAS answers some of the calls with
429: nobody has to touch a key."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from werkzeug.wrappers import Response

from ltiaas_middleware.commands.demo.run import Demo, serve_demo
from ltiaas_middleware.sandbox import Sandbox
from tests.workers.crowd import get

from .browser import Browser

pytestmark = pytest.mark.browser

# Calls in a second that the account allows, and those who come before the browser does.
LIMIT, CROWD = 5, 40
# Within so many seconds of the last launch everybody is in.
PATIENCE = 90.0
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Accept": "text/html"}


class Limited:
    """An account in front of a sandbox that may ask for so many ID tokens in a second, and for none
    before it is ``open``."""

    def __init__(self, sandbox: Sandbox, limit: int) -> None:
        self.open = False
        self.asked = 0
        self.refused = 0
        self._sandbox = sandbox
        self._lately: deque[float] = deque(maxlen=limit)
        self._lock = threading.Lock()

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/api/idtoken" and not self._may():
            answer = Response('{"status": 429}', 429, {"Retry-After": "1"}, "application/json")
            return answer(environ, start_response)
        return self._sandbox(environ, start_response)

    def _may(self) -> bool:
        with self._lock:
            now = time.monotonic()
            full = len(self._lately) == self._lately.maxlen and now - self._lately[0] < 1
            if full or not self.open:
                self.refused += 1
                return False
            self._lately.append(now)
            self.asked += 1
            return True


@pytest.fixture
def demo() -> Iterator[Demo]:
    with serve_demo(0, 0) as running:
        yield running


async def enter(address: str, end: float) -> bool:
    """Open an activity as a browser does by itself: follow, keep the cookie, reload when told."""
    url = urlsplit(address)
    path, cookie = f"{url.path}?{url.query}", ""
    while time.monotonic() < end:
        headers = NAVIGATION | ({"Cookie": cookie} if cookie else {})
        reply = await get(url.port or 0, path, headers)
        if reply.status == 303:
            path = urlsplit(reply.headers["location"]).path
            cookie = reply.headers["set-cookie"].partition(";")[0]
        elif "refresh" in reply.headers:
            await asyncio.sleep(float(reply.headers["refresh"].partition(";")[0]))
        else:
            return reply.status == 200
    return False


def test_four_tabs_open_by_themselves_behind_a_crowd(
    browser: Callable[..., Browser], demo: Demo, picture: Callable[[Browser, str], None]
) -> None:
    limited = Limited(demo.sandbox, LIMIT)
    # The account in front of the sandbox, on the same port.
    demo.server._server.app = limited  # type: ignore[union-attr, assignment]
    person = browser()
    crowd = [
        demo.sandbox.launch_url(demo.sandbox.issue(course="biology", user="ben"))
        for _ in range(CROWD)
    ]
    entered: list[bool] = []

    async def all_at_once() -> list[bool]:
        end = time.monotonic() + 2 * PATIENCE
        return await asyncio.gather(*(enter(address, end) for address in crowd))

    thread = threading.Thread(target=lambda: entered.extend(asyncio.run(all_at_once())))
    thread.start()
    try:
        tabs = []
        for user in ("ada", "ben", "mia", "chen"):
            query = urlencode({"course": "biology", "activity": "quiz-1", "user": user})
            tabs.append(person.open(f"{demo.server.lms_url}/lms/frame?{query}", new_tab=True))
            person.text("h1", "Opening your activity")
        picture(person, "morning")
        limited.open = True
        end = time.monotonic() + PATIENCE
        for tab in tabs:
            person.show(tab)
            person.text("#opened", "1", timeout=end - time.monotonic())
    finally:
        limited.open = True
        thread.join()
    assert entered == [True] * CROWD
    assert limited.refused > 0
    # One call each, besides those that were refused.
    assert limited.asked == CROWD + len(tabs)
