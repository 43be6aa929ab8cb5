"""A page of another site that is framed on the same LMS page, and knows the launch path, opens no
websocket with the user's cookie. Chromium sends no ``Sec-Fetch-*`` with a websocket's handshake."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .browser import Browser
from .running_apps import RunningApps
from .sites import Sites

pytestmark = pytest.mark.browser


def test_only_the_tools_own_page_opens_a_websocket_of_the_launch(
    browser: Callable[..., Browser], lms: Sites, apps: RunningApps
) -> None:
    apps.url("fastapi")
    victim = browser()
    victim.open(lms.activity(user="ben"))
    here = victim.page("Notes of Ben Carter").url
    address = here.replace("https://", "wss://").replace("/launch", "/ws")
    server = apps.servers["fastapi"]
    before, length = server.output.count('"WebSocket /'), len(server.output)

    # The tool's own page, in the frame, has the cookie.
    opened = victim.driver.execute_async_script(
        "const done = arguments[1]; const socket = new WebSocket(arguments[0]);"
        "socket.onmessage = event => done(event.data); socket.onerror = () => done('refused');",
        address,
    )
    assert opened == "hello Ben Carter"

    # Another site's frame, below the LMS's own site, has the same cookie jar.
    attack = lms.elsewhere.page("socket", address)
    victim.open(lms.elsewhere.page("frame", attack, lms_side=True))
    victim.text("#said", "refused")
    server.wait_for_output('"WebSocket /', times=before + 2)
    assert server.output[length:].count('" [accepted]') == 1
    # The log says why, once in a while.
    server.wait_for_output("refused a state-changing request or a websocket")
