"""``doctor``: are my settings right, and if not, what is to be mended?

It goes the way that a launch goes, one step at a time: settings, address, connection, certificate,
LTIAAS itself, API key, and on request the running tool. A step that fails ends the way, because
what comes after it could only fail too.

The API key is tested without a launch: LTIAAS is asked about an ltik that never was, and says whose
fault it is that it cannot answer (wire.md, "Errors"). It is sent only once the address has answered
as LTIAAS does. No finding holds a secret.
"""

from __future__ import annotations

import difflib
import http.client
import json
import re
import secrets
import socket
import ssl
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy

from .._crypto.keys import LaunchIds
from ..api.deadlines import DeadlinePassed, TooLarge, deadline, read_bounded
from ..api.error_answers import error_for
from ..api.transport import new_session
from ..credentials import ApiKeyCredential, Credential, LtikCredential
from ..errors import ApiKeyRejected, LaunchExpired, RateLimited, SettingsError, UpstreamError
from ..origins import is_loopback, origin_of
from ..sandbox import DEFAULT_API_KEY
from ..settings import Settings

__all__ = ["Finding", "examine", "report"]

_OK, _WARNING, _FAILED = "ok", "warning", "FAILED"
# Seconds; of an LTIAAS or a tool that is well.
_CONNECT, _READ, _DEADLINE = 5.0, 8.0, 15.0
_MAX_ANSWER = 1_048_576
# Seconds between two clocks that are worth a word: 24 hours of a launch are counted by ours.
_SKEW = 60
_DAYS_LEFT = 14
_KNOWN_VARIABLES = {f"LTIAAS_{item.name.upper()}" for item in fields(Settings)} | {"LTIAAS_DOMAIN"}


@dataclass(frozen=True)
class Finding:
    """What one step found.

    Attributes:
        step: its name, such as ``"API key"``.
        level: ``"ok"``, ``"warning"`` or ``"FAILED"``.
        seen: what was found.
        mend: what to do about it; "" where there is nothing to do.
    """

    step: str
    level: str
    seen: str
    mend: str = ""

    @property
    def ok(self) -> bool:
        """Whether launches can work in spite of it."""
        return self.level != _FAILED


def report(finding: Finding) -> str:
    """A finding as text: one line, and another where there is something to mend."""
    line = f"{finding.level:<7} {finding.step}: {finding.seen}"
    return f"{line}\n        → {finding.mend}" if finding.mend else line


def examine(
    env: Mapping[str, str],
    *,
    url: str | None = None,
    tool: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """Look at everything in order, and say each finding as soon as it is there.

    Args:
        env: the environment to read settings from.
        url: the account's address, instead of the environment's.
        tool: the launch address of a running tool, to be looked at too.
        clock: this machine's, in seconds since the epoch.
    """
    yield from _variables(env)
    try:
        settings = Settings.from_env(env) if url is None else Settings.from_env(env, url=url)
    except SettingsError as error:
        given = url or env.get("LTIAAS_URL") or env.get("LTIAAS_DOMAIN") or ""
        yield Finding("settings", _FAILED, f"{error}.", _settings_mend(str(error), given))
        return
    for finding in _Examination(settings, clock).findings(tool):
        # A server may echo what it was sent.
        seen, mend = (
            text.replace(settings.api_key, "[hidden]") for text in (finding.seen, finding.mend)
        )
        yield replace(finding, seen=seen, mend=mend)


# -- the environment ------------------------------------------------------------------------------


def _variables(env: Mapping[str, str]) -> Iterator[Finding]:
    """What is odd about the variables by themselves. Their values are not shown."""
    for name in sorted(env):
        if not name.startswith("LTIAAS_") or name in _KNOWN_VARIABLES:
            continue
        near = difflib.get_close_matches(name, _KNOWN_VARIABLES, 1, 0.7)
        mend = f"Did you mean {near[0]}?" if near else "Remove it, if nothing of yours reads it."
        yield Finding("settings", _WARNING, f"{name} is no setting of this package.", mend)
    domain, address = env.get("LTIAAS_DOMAIN", "").strip(), env.get("LTIAAS_URL", "").strip()
    if domain and address and domain not in (address, urlsplit(address).netloc):
        yield Finding(
            "settings",
            _WARNING,
            "LTIAAS_URL and LTIAAS_DOMAIN name two addresses; LTIAAS_URL is taken.",
            "Remove the one that is wrong.",
        )
    key = env.get("LTIAAS_API_KEY", "").strip()
    if key[:1] in ('"', "'") and key[-1:] == key[:1]:
        yield Finding(
            "settings",
            _WARNING,
            "LTIAAS_API_KEY stands in quotes, and they are taken for a part of it.",
            "Remove them: Docker's --env-file and systemd keep what a shell would take away.",
        )


def _settings_mend(problem: str, address: str) -> str:
    if "LTIAAS_API_KEY" in problem:
        return "Copy the API key from LTIAAS's portal into LTIAAS_API_KEY; it is never shown here."
    if "LTIAAS_URL" not in problem:
        return "Correct this variable, or remove it: every setting but two has a default."
    address = address.strip()
    origin = origin_of(address if "://" in address else f"https://{address}")
    if origin is None:
        return "Set LTIAAS_URL to your account's address, such as https://your.ltiaas.com."
    return f"Set LTIAAS_URL to {origin.replace('http://', 'https://')}."


# -- LTIAAS ---------------------------------------------------------------------------------------


class _Reply(NamedTuple):
    """What came back, whole and of a bearable size."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def kind(self) -> str:
        """The body's media type, for a reader."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip() or "no content type"


class _NoReply(Exception):
    """None came; the text says why."""


class _Examination:
    """The steps over settings that are sound by themselves."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._session = new_session(2)
        parts = urlsplit(settings.url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        found = self._session.merge_environment_settings(
            settings.url, {}, True, settings.ca_bundle or True, None
        )
        self._authorities = found["verify"]
        self._proxy = select_proxy(settings.url, found["proxies"])
        self._bogus = _bogus_ltik(clock())
        self._date = ""

    def findings(self, tool: str | None) -> Iterator[Finding]:
        """All of them, up to the one that ends the way."""
        steps: list[Callable[[], Finding]] = [
            self._address,
            self._connection,
            self._certificate,
            self._answer,
            self._api_key,
            self._service,
        ]
        yield self._found()
        well = True
        for step in steps:
            finding = step()
            yield finding
            if not finding.ok:
                well = False
                break
        if self._date:
            yield self._time(self._date)
        if tool is not None and well:
            yield from self._tool(tool)
        elif tool is not None:
            yield Finding("tool", _WARNING, "not looked at: LTIAAS itself has to answer first.")

    def _found(self) -> Finding:
        if self._settings.url.startswith("http://"):
            return Finding(
                "settings",
                _WARNING,
                f"{self._settings.url}, by plain http: right for the sandbox only.",
                "Your account's own address begins with https.",
            )
        return Finding("settings", _OK, f"{self._settings.url}, with an API key.")

    # Below HTTP. Where a proxy stands between, it is what has to be reached.

    def _endpoint(self) -> tuple[str, int, str]:
        """(host, port, for a reader) of what a connection is made to."""
        if self._proxy is None:
            return self._host, self._port, self._host
        parts = urlsplit(self._proxy if "://" in self._proxy else f"http://{self._proxy}")
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return host, port, f"the proxy {host}"

    def _address(self) -> Finding:
        host, port, shown = self._endpoint()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return Finding(
                "address",
                _FAILED,
                f"{shown} has no address.",
                "Look for a slip in LTIAAS_URL; if there is none, this machine's DNS does not "
                "know the name."
                if self._proxy is None
                else "Look at HTTPS_PROXY and NO_PROXY.",
            )
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        return Finding("address", _OK, f"{shown} is {', '.join(addresses[:3])}.")

    def _connection(self) -> Finding:
        host, port, shown = self._endpoint()
        try:
            socket.create_connection((host, port), timeout=_CONNECT).close()
        except OSError as error:
            why = "did not answer in time" if isinstance(error, TimeoutError) else "does not answer"
            return Finding(
                "connection",
                _FAILED,
                f"{shown} {why} on port {port} ({error.strerror or 'timed out'}).",
                "Start the sandbox, or look at the port in LTIAAS_URL."
                if is_loopback(self._host)
                else "Look at the port in LTIAAS_URL, and at firewalls between here and there; "
                "behind a proxy, set HTTPS_PROXY.",
            )
        return Finding("connection", _OK, f"{shown} answers on port {port}.")

    def _certificate(self) -> Finding:
        step = "certificate"
        if not self._settings.url.startswith("https"):
            return Finding(step, _OK, "none is needed on this machine itself.")
        if self._proxy is not None:
            return Finding(step, _OK, "looked at with the next step, through the proxy.")
        path = DEFAULT_CA_BUNDLE_PATH if self._authorities is True else str(self._authorities)
        try:
            context = _trusting(path)
            with (
                socket.create_connection((self._host, self._port), timeout=_CONNECT) as plain,
                context.wrap_socket(plain, server_hostname=self._host) as secure,
            ):
                certificate = secure.getpeercert() or {}
        except ssl.SSLCertVerificationError as error:
            return _untrusted(error.verify_message, path)
        except OSError as error:
            spoken = getattr(error, "reason", None) or error.strerror or "timed out"
            return Finding(
                step,
                _FAILED,
                f"no TLS connection came about ({spoken}).",
                "Look at the port in LTIAAS_URL: what listens there may not speak https.",
            )
        ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        days = int((ends - self._clock()) // 86_400)
        if days < _DAYS_LEFT:
            return Finding(
                step,
                _WARNING,
                f"accepted, but it ends in {days} days.",
                "Tell who runs the server.",
            )
        return Finding(step, _OK, f"accepted, valid for another {days} days.")

    # HTTP

    def _ask(
        self, address: str, headers: Mapping[str, str], auth: Credential | None = None
    ) -> _Reply:
        """GET, once, bounded in time and size.

        Raises:
            _NoReply: nothing usable came.
        """
        until = time.monotonic() + _DEADLINE
        ours = address.startswith(f"{self._settings.url}/")
        try:
            with (
                deadline(until),
                self._session.get(
                    address,
                    headers=dict(headers),
                    auth=auth,
                    timeout=(_CONNECT, _READ),
                    allow_redirects=False,
                    stream=True,
                    verify=(self._settings.ca_bundle if ours else None) or True,
                ) as response,
            ):
                body = read_bounded(response, limit=_MAX_ANSWER, until=until)
                return _Reply(response.status_code, response.headers, body)
        except (TooLarge, DeadlinePassed):
            raise _NoReply("the answer does not end") from None
        except requests.exceptions.SSLError:
            raise _NoReply("the TLS certificate is not accepted") from None
        except requests.Timeout:
            raise _NoReply("no answer in time") from None
        except requests.RequestException as error:
            # Not its text, nor the chain: both hold the request with its header.
            raise _NoReply(f"no answer ({type(error).__name__})") from None
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError):
            raise _NoReply("the answer broke off") from None

    def _api(self, path: str, auth: Credential | None = None) -> _Reply:
        reply = self._ask(f"{self._settings.url}{path}", {"Accept": "application/json"}, auth)
        self._date = reply.headers.get("Date", "") or self._date
        return reply

    def _answer(self) -> Finding:
        step = "LTIAAS"
        try:
            reply = self._api("/api/idtoken")
        except _NoReply as error:
            return Finding(
                step, _FAILED, f"{error}.", "Try again in a moment; if it stays, ask LTIAAS."
            )
        location = reply.headers.get("Location")
        if 300 <= reply.status < 400 and location:
            target = origin_of(location) or self._settings.url
            return Finding(
                step,
                _FAILED,
                f"{self._settings.url} redirects to {target}.",
                f"If that is your account, set LTIAAS_URL to {target}; the API key is not sent "
                "after a redirect.",
            )
        failing = _failing(step, reply)
        if failing is not None:
            return failing
        document = reply.document()
        details = document.get("details") if isinstance(document, dict) else None
        if not isinstance(details, dict) or not isinstance(details.get("message"), str):
            return Finding(
                step,
                _FAILED,
                f"what answers is not LTIAAS: {reply.status} with {reply.kind()}.",
                "Look at LTIAAS_URL: it is your account's own address, not your tool's and not a "
                "page of the portal. A proxy or a sign-in page of the network may answer, too.",
            )
        return Finding(step, _OK, f"answers as LTIAAS does ({reply.status} without a credential).")

    def _api_key(self) -> Finding:
        step = "API key"
        settings = self._settings
        try:
            credential = LtikCredential(settings.url, settings.api_key, self._bogus)
            reply = self._api("/api/idtoken", credential)
        except _NoReply as error:
            return Finding(step, _FAILED, f"{error}.", "Try again in a moment.")
        told = error_for(
            reply.status, reply.body, reply.headers.get("Retry-After"), "GET", "/api/idtoken"
        )
        if isinstance(told, ApiKeyRejected):
            return self._key_rejected(step)
        if isinstance(told, LaunchExpired) and "ltik" in told.description.lower():
            return Finding(step, _OK, "accepted.")
        failing = _failing(step, reply)
        if failing is not None:
            return failing
        what = f"{reply.status} {told.code or ''}".strip()
        if isinstance(told, (UpstreamError, RateLimited)):
            what = f"{reply.status} with {reply.kind()}"
        return Finding(
            step,
            _FAILED,
            f"nobody knows: LTIAAS answers {what} about a launch that never was.",
            "Try again in a moment; if it stays, show this line to LTIAAS's support.",
        )

    def _key_rejected(self, step: str) -> Finding:
        mend = "Copy it again from LTIAAS's portal, and look whether it belongs to this account."
        if self._settings.api_key == DEFAULT_API_KEY:
            mend = f"This is the sandbox's well-known key. {mend}"
        return Finding(step, _FAILED, "LTIAAS does not accept it.", mend)

    def _service(self) -> Finding:
        """The one call that asks for nothing but the API key."""
        step = "service"
        settings = self._settings
        try:
            reply = self._api("/api/platforms", ApiKeyCredential(settings.url, settings.api_key))
        except _NoReply as error:
            return Finding(step, _FAILED, f"{error}.", "Try again in a moment.")
        failing = _failing(step, reply)
        if failing is not None:
            return failing
        if reply.status == 401:
            return self._key_rejected(step)
        if reply.status != 200:
            return Finding(
                step, _OK, f"lives; it keeps its list of LMSes to itself ({reply.status})."
            )
        document = reply.document()
        rows = document.get("platforms") if isinstance(document, dict) else document
        if not isinstance(rows, list):
            return Finding(step, _OK, "lives; its list of LMSes is of a shape not known here.")
        if not rows:
            return Finding(
                step,
                _WARNING,
                "lives, but no LMS is registered with this account.",
                "Register your LMS in LTIAAS's portal: there is nobody to launch from.",
            )
        return Finding(step, _OK, f"lives, with {len(rows)} LMS registration(s).")

    def _time(self, date: str) -> Finding:
        step = "clock"
        try:
            skew = round(self._clock() - parsedate_to_datetime(date).timestamp())
        except (TypeError, ValueError, OverflowError):
            return Finding(step, _OK, "not compared: LTIAAS sends no readable Date.")
        if abs(skew) <= _SKEW:
            return Finding(step, _OK, "this machine's clock agrees with LTIAAS's.")
        way = "ahead of" if skew > 0 else "behind"
        return Finding(
            step,
            _WARNING,
            f"this machine's clock is {abs(skew)} s {way} LTIAAS's.",
            "Have it set by NTP: the 24 hours of a launch are counted by it.",
        )

    # -- the tool ---------------------------------------------------------------------------------

    def _tool(self, address: str) -> Iterator[Finding]:
        origin = origin_of(address)
        if origin is None:
            yield Finding(
                "tool",
                _FAILED,
                "--tool is no web address.",
                "Give the launch address, such as https://tool.example/launch.",
            )
            return
        secure = origin.startswith("https")
        parts = urlsplit(address)
        if not secure and not is_loopback(parts.hostname or ""):
            yield Finding(
                "tool",
                _FAILED,
                "it is reached by plain http.",
                "Serve it by https: in an LMS's iframe no browser keeps a cookie without, and the "
                "ltik would travel in the open.",
            )
        joint = "&" if parts.query else "?"
        try:
            reply = self._ask(
                f"{address.partition('#')[0]}{joint}ltik={self._bogus}",
                {
                    "Accept": "text/html",
                    "Sec-Fetch-Mode": "navigate",
                    "Sec-Fetch-Dest": "iframe",
                    "Sec-Fetch-Site": "cross-site",
                },
            )
        except _NoReply as error:
            yield Finding(
                "tool", _FAILED, f"{error}.", "Start it, and look at the address after --tool."
            )
            return
        launch = _launch_finding(reply, origin)
        yield launch
        yield _frame_finding(reply)
        if launch.ok and secure:
            yield self._scheme(origin, parts.path)

    def _scheme(self, origin: str, path: str) -> Finding:
        """Whether the tool knows that it is reached by https.

        The middleware reads the launch's cookie under one name on https and under another on
        http. So a cookie that proves the launch that never was, sent under each name, shows by the
        refusal which of them was read: ``launch_expired`` (read, and refused by LTIAAS) or
        ``launch_unknown`` (not read).
        """
        step = "tool's scheme"
        settings = self._settings
        if settings.launch_path is None:
            return Finding(step, _OK, "of no account: launch paths are off, no cookie is set.")
        launch_id = LaunchIds(settings.secrets).of(self._bogus)
        folders = path.split("/")[1:]
        mounts = ["".join(f"/{folder}" for folder in folders[:end]) for end in range(len(folders))]
        for name, seen in (
            (f"__Secure-{settings.cookie_name}", "https"),
            (settings.cookie_name, "http"),
        ):
            for mount in mounts or [""]:
                address = f"{origin}{mount}{settings.launch_path}/{launch_id}/"
                try:
                    reply = self._ask(
                        address,
                        {"Accept": "application/json", "Cookie": f"{name}={self._bogus}"},
                    )
                except _NoReply:
                    continue
                if _code(reply) != "launch_expired":
                    continue
                if seen == "https":
                    return Finding(step, _OK, "the tool knows that it is reached by https.")
                return Finding(
                    step,
                    _FAILED,
                    "the tool takes itself to be reached by plain http.",
                    "TLS ends at a proxy: tell the app what it forwards (Werkzeug's ProxyFix with "
                    "x_proto=1, uvicorn --proxy-headers), or the launch's cookie is not kept in an "
                    "iframe.",
                )
        return Finding(
            step,
            _WARNING,
            "not found out: the tool's API key, secret or launch_path differ from those here.",
            "Run this with the very environment that the tool runs with.",
        )


def _launch_finding(reply: _Reply, origin: str) -> Finding:
    """What the answer to a launch that never was says of the tool."""
    step = "tool"
    code = _code(reply)
    if code == "api_key_rejected":
        return Finding(
            step,
            _FAILED,
            "LTIAAS does not accept the API key that the tool itself has.",
            "Set LTIAAS_API_KEY where the tool runs, and restart it.",
        )
    if code == "ltiaas_unavailable":
        return Finding(
            step,
            _FAILED,
            "the tool cannot reach LTIAAS from where it runs.",
            "Run this command there, with the tool's environment.",
        )
    if reply.status == 401 and code in ("launch_expired", None):
        whose = "the middleware's page" if code else "a page of its own"
        return Finding(step, _OK, f"refuses a launch that never was with {whose} (401).")
    location = reply.headers.get("Location")
    if 300 <= reply.status < 400 and location:
        target = origin_of(location)
        if target == origin.replace("http://", "https://") != origin:
            mend = f"Register {target} with LTIAAS: on the way through http, the ltik is readable."
        else:
            mend = "Put the middleware around what redirects: it has to see a launch first."
        shown = target or f"{origin}{location.partition('?')[0]}"
        return Finding(
            step, _FAILED, f"it redirects to {shown} instead of taking the launch.", mend
        )
    if reply.status >= 500:
        return Finding(
            step, _FAILED, f"answers {reply.status}.", "Look at its own log, and at a proxy's."
        )
    return Finding(
        step,
        _FAILED,
        f"takes no notice of a launch: it answers {reply.status}"
        f"{f' ({code})' if code else ''} to one that never was.",
        "Wrap the app in LTIAASMiddleware, and look at the address after --tool.",
    )


def _frame_finding(reply: _Reply) -> Finding:
    """Whether an LMS may show the tool in its iframe (wire.md, "Where the browser gets in the
    way")."""
    step = "tool in a frame"
    if "X-Frame-Options" in reply.headers:
        return Finding(
            step,
            _FAILED,
            "its page carries X-Frame-Options: the LMS shows a blank frame.",
            "Have the app, its framework or the proxy before it stop sending that header.",
        )
    policy = reply.headers.get("Content-Security-Policy", "")
    allowed = re.search(r"frame-ancestors([^;]*)", policy, re.IGNORECASE)
    if allowed and "*" not in allowed[1].split():
        return Finding(
            step,
            _WARNING,
            f"may be framed only by:{allowed[1].rstrip() or ' nobody'}.",
            "Look whether every LMS is among them (Content-Security-Policy, frame-ancestors).",
        )
    return Finding(step, _OK, "nothing keeps it out of an iframe.")


def _code(reply: _Reply) -> str | None:
    """The code of the middleware's own refusals (``refusals.Refusal``); None for other answers."""
    document = reply.document()
    if isinstance(document, dict):
        code = document.get("code")
        return code if isinstance(code, str) else None
    found = re.search(r"Code for support: (\w+)", unescape(reply.body.decode("utf-8", "replace")))
    return found[1] if found else None


def _failing(step: str, reply: _Reply) -> Finding | None:
    """The finding for an LTIAAS that is asked too much or is ill; None where it is neither."""
    if reply.status == 429:
        wait = reply.headers.get("Retry-After", "")
        when = f"in {wait} s" if wait.isdigit() else "in a minute"
        return Finding(
            step, _FAILED, "LTIAAS is asked too much just now (429).", f"Try again {when}."
        )
    if reply.status >= 500:
        return Finding(
            step,
            _FAILED,
            f"answers {reply.status} with {reply.kind()}: it fails, or a proxy before it does.",
            "Try again in a moment; if it stays, ask LTIAAS.",
        )
    return None


def _trusting(path: str) -> ssl.SSLContext:
    """A context that trusts what requests would trust: a file of authorities, or a folder."""
    try:
        return ssl.create_default_context(cafile=path)
    except IsADirectoryError:
        return ssl.create_default_context(capath=path)


def _untrusted(why: str, path: str) -> Finding:
    if "expired" in why or "not yet valid" in why:
        mend = "Look at this machine's clock; if it is right, tell who runs the server."
    elif "match" in why:
        mend = "Look at the name in LTIAAS_URL: the certificate is for another one."
    else:
        mend = (
            "If a proxy of your own opens the connection, set LTIAAS_CA_BUNDLE to the file with "
            f"its authority (now: {path}). Verification cannot be switched off."
        )
    return Finding("certificate", _FAILED, f"not accepted: {why}.", mend)


def _bogus_ltik(now: float) -> str:
    """An ltik of the right shape that LTIAAS never made: its signature is chance."""

    def part(document: Mapping[str, Any]) -> str:
        return urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")

    head = part({"alg": "HS256", "typ": "JWT"})
    return f"{head}.{part({'iat': int(now), 'note': 'doctor'})}.{secrets.token_urlsafe(32)}"
