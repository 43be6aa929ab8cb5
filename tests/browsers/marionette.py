"""Selenium for Firefox without geckodriver, which neither Debian nor PyPI has.

geckodriver is a translator: WebDriver's HTTP on one side, Firefox's own Marionette protocol on the
other. Selenium lets the HTTP side be replaced, so that the translation can be done here, for the
commands that these tests use. A Marionette message is ``<length>:<JSON>``, the JSON a list
``[0, number, command, parameters]`` or ``[1, number, error, result]``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import FirefoxOptions, Remote
from selenium.webdriver.remote.command import Command
from selenium.webdriver.remote.errorhandler import ErrorCode

_STARTS_WITHIN = 60.0
_ANSWERS_WITHIN = 60.0

# Selenium's name of a command: Marionette's.
_COMMANDS = {
    Command.QUIT: "Marionette:Quit",
    Command.GET: "WebDriver:Navigate",
    Command.CLOSE: "WebDriver:CloseWindow",
    Command.NEW_WINDOW: "WebDriver:NewWindow",
    Command.SWITCH_TO_WINDOW: "WebDriver:SwitchToWindow",
    Command.SWITCH_TO_FRAME: "WebDriver:SwitchToFrame",
    Command.W3C_GET_CURRENT_WINDOW_HANDLE: "WebDriver:GetWindowHandle",
    Command.W3C_GET_WINDOW_HANDLES: "WebDriver:GetWindowHandles",
    Command.GET_CURRENT_URL: "WebDriver:GetCurrentURL",
    Command.FIND_ELEMENT: "WebDriver:FindElement",
    Command.CLICK_ELEMENT: "WebDriver:ElementClick",
    Command.SEND_KEYS_TO_ELEMENT: "WebDriver:ElementSendKeys",
    Command.W3C_EXECUTE_SCRIPT: "WebDriver:ExecuteScript",
    Command.W3C_EXECUTE_SCRIPT_ASYNC: "WebDriver:ExecuteAsyncScript",
    Command.W3C_ACTIONS: "WebDriver:PerformActions",
    Command.SCREENSHOT: "WebDriver:TakeScreenshot",
    Command.SET_WINDOW_RECT: "WebDriver:SetWindowRect",
    Command.SET_TIMEOUTS: "WebDriver:SetTimeouts",
}
_STATUS = {
    "element click intercepted": ErrorCode.ELEMENT_CLICK_INTERCEPTED,
    "javascript error": ErrorCode.JAVASCRIPT_ERROR,
    "no such element": ErrorCode.NO_SUCH_ELEMENT,
    "no such frame": ErrorCode.NO_SUCH_FRAME,
    "no such window": ErrorCode.NO_SUCH_WINDOW,
    "stale element reference": ErrorCode.STALE_ELEMENT_REFERENCE,
    "timeout": ErrorCode.TIMEOUT,
}


class MarionetteFirefox(Remote):
    """A headless Firefox of its own on a profile directory.

    Args:
        binary: Firefox.
        profile: an existing directory; what stands in it stays.
        preferences: for ``user.js``.
    """

    def __init__(self, binary: str, profile: Path, preferences: dict[str, object]) -> None:
        lines = (
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
            # Port 0: Firefox takes a free one and writes it down in the profile.
            for name, value in {**preferences, "marionette.port": 0}.items()
        )
        (profile / "user.js").write_text("".join(lines))
        with (profile / "firefox.log").open("wb") as log:
            self._process = subprocess.Popen(
                [binary, "--headless", "--no-remote", "-marionette", "-profile", str(profile)],
                stdout=log,
                stderr=log,
                # Its home: nothing of the user's own Firefox is read or written.
                env={**os.environ, "HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"},
            )
        try:
            super().__init__(_Marionette(self._port(profile)), options=FirefoxOptions())
        except BaseException:
            self._stop()
            raise

    def quit(self) -> None:
        """End Firefox and wait until it is gone."""
        with contextlib.suppress(OSError, WebDriverException):
            super().quit()
        self._stop()

    def _stop(self) -> None:
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _port(self, profile: Path) -> int:
        until = time.monotonic() + _STARTS_WITHIN
        written = profile / "MarionetteActivePort"
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                return int(written.read_text())
            time.sleep(0.05)  # A file says nothing when it appears.
        log = (profile / "firefox.log").read_text(errors="replace")
        raise WebDriverException(f"Firefox did not start:\n{log}")


class _Marionette:
    """What Selenium calls a command executor."""

    client_config = None

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_ANSWERS_WITHIN)
        self._stream = self._socket.makefile("rb")
        self._number = 0
        self._read()  # Firefox speaks first, and tells its protocol's version.

    def execute(self, command: str, params: dict[str, Any] | None) -> dict[str, Any]:
        """Run one of Selenium's commands."""
        params = {name: value for name, value in (params or {}).items() if name != "sessionId"}
        if command == Command.NEW_SESSION:
            wanted = {"pageLoadStrategy": "normal", "unhandledPromptBehavior": "dismiss"}
            return {"value": self._ask("WebDriver:NewSession", wanted)}
        if command == Command.SWITCH_TO_FRAME and isinstance(params.get("id"), dict):
            params = {"element": params["id"]}
        if command == Command.SCREENSHOT:
            params = {"full": False}
        try:
            result = self._ask(_COMMANDS[command], params)
        except _Refused as refused:
            status = _STATUS.get(refused.error["error"], ErrorCode.UNKNOWN_ERROR)
            return {"status": status[0], "value": refused.error}
        if isinstance(result, dict) and result.keys() == {"value"}:
            result = result["value"]
        return {"value": result}

    def close(self) -> None:
        """Part from Firefox."""
        self._stream.close()
        self._socket.close()

    def _ask(self, name: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, name, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, number, error, result = self._read()
        assert number == self._number, "Marionette answers in order"
        if error is not None:
            raise _Refused(error)
        return result

    def _read(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            byte = self._stream.read(1)
            if not byte:
                raise WebDriverException("Firefox hung up")
            length += byte
        return json.loads(self._stream.read(int(length[:-1])))


class _Refused(Exception):
    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("message"))
        self.error = error
