"""From an empty account to a launch, as an LMS's administrator and a developer go: the sandbox's
command, the example's pre-approval page, and a browser."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests import servers

from .browser import Browser

pytestmark = pytest.mark.browser

KEY = "7d1c3f0e-0000-4000-8000-00000000000b"


class Running(NamedTuple):
    lms: str
    tool: servers.Server


@pytest.fixture
def local() -> Iterator[Running]:
    port = servers.free_port()
    tool_url = f"http://127.0.0.1:{port}"
    sandbox = [sys.executable, "-m", "ltiaas_middleware", "sandbox", "--empty"]
    sandbox += ["--tool", f"{tool_url}/launch", "--pre-approval", f"{tool_url}/register"]
    flask = [sys.executable, "-m", "flask", "--app", "examples/registration.py", "run"]
    with ExitStack() as stack:
        account = stack.enter_context(
            servers.running(
                lambda port: [*sandbox, "--api-key", KEY, "--port", str(port)], probe="/"
            )
        )
        env = {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": KEY}
        # On the port that the sandbox was told.
        tool = servers.Server([*flask, "--port", str(port)], port, env, tls=False)
        stack.callback(tool.stop)
        tool.wait_until_it_answers(None, 30)
        yield Running(f"http://lms.localhost:{account.port}", tool)


def test_an_lms_is_registered_activated_and_launched_from(
    browser: Callable[..., Browser], local: Running, picture: Callable[[Browser, str], None]
) -> None:
    person = browser()
    person.open(local.lms)
    person.text(".notice", "not registered with LTIAAS", framed=False)
    person.open(f"{local.lms}/lms/frame")
    person.text("body", "UNREGISTERED_OR_INACTIVE_PLATFORM")

    person.open(f"{local.lms}/lms/registration")
    person.click("tbody tr:first-child form button", framed=False)
    person.text("h1", "Connect http")
    picture(person, "registration-asked")
    person.type("input[name=name]", "Northfield & Co")
    person.click("form button")
    # The answer tells the LMS to close the frame.
    person.text("tbody tr:first-child .chip", "inactive", framed=False)
    picture(person, "registration-done")
    person.open(f"{local.lms}/lms/frame")
    person.text("body", "UNREGISTERED_OR_INACTIVE_PLATFORM")

    person.open(f"{local.lms}/lms/registration")
    person.click("tbody tr:first-child form[method=post] button", framed=False)
    person.text("tbody tr:first-child .chip.on", "active", framed=False)
    person.open(f"{local.lms}/lms/frame")
    person.text("body", "Hello from a connected LMS.")
    picture(person, "registration-launched")
