"""Below HTTP: address, connection, certificate; of the proxy, where there is one."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from ...origins import is_loopback
from .asking import CONNECT
from .finding import FAILED, OK, WARNING, Finding

__all__ = ["Network"]

_DAYS_LEFT = 14


class Network:
    """The way to an account.

    Args:
        url: the account's origin.
        proxy: the proxy on the way, or None.
        authorities: what certificates are verified with, as requests takes ``verify``.
        clock: this machine's, in seconds since the epoch.
    """

    def __init__(
        self, url: str, proxy: str | None, authorities: bool | str, clock: Callable[[], float]
    ) -> None:
        self._url = url
        self._proxy = proxy
        self._authorities = authorities
        self._clock = clock
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)

    def findings(self) -> Iterator[Finding]:
        """Up to the first that failed."""
        for step in (self._address, self._connection, self._certificate):
            finding = step()
            yield finding
            if not finding.ok:
                return

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
                FAILED,
                f"{shown} has no address.",
                "Check the spelling of LTIAAS_URL; if it is right, this machine's DNS does not "
                "know the name."
                if self._proxy is None
                else "Check HTTPS_PROXY and NO_PROXY.",
            )
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        return Finding("address", OK, f"{shown} is {', '.join(addresses[:3])}.")

    def _connection(self) -> Finding:
        host, port, shown = self._endpoint()
        try:
            socket.create_connection((host, port), timeout=CONNECT).close()
        except OSError as error:
            why = "did not answer in time" if isinstance(error, TimeoutError) else "does not answer"
            return Finding(
                "connection",
                FAILED,
                f"{shown} {why} on port {port} ({error.strerror or 'timed out'}).",
                "Start the sandbox, or check the port in LTIAAS_URL."
                if is_loopback(self._host)
                else "Check the port in LTIAAS_URL, and firewalls between here and there; behind a "
                "proxy, set HTTPS_PROXY.",
            )
        return Finding("connection", OK, f"{shown} answers on port {port}.")

    def _certificate(self) -> Finding:
        step = "certificate"
        if not self._url.startswith("https"):
            return Finding(step, OK, "not needed on this machine itself.")
        if self._proxy is not None:
            return Finding(step, OK, "checked with the next step, through the proxy.")
        path = DEFAULT_CA_BUNDLE_PATH if self._authorities is True else str(self._authorities)
        try:
            context = _trusting(path)
            with (
                socket.create_connection((self._host, self._port), timeout=CONNECT) as plain,
                context.wrap_socket(plain, server_hostname=self._host) as secure,
            ):
                certificate = secure.getpeercert() or {}
        except ssl.SSLCertVerificationError as error:
            return _untrusted(error.verify_message, path)
        except OSError as error:
            spoken = getattr(error, "reason", None) or error.strerror or "timed out"
            return Finding(
                step,
                FAILED,
                f"no TLS connection could be made ({spoken}).",
                "Check the port in LTIAAS_URL: what listens there may not speak https.",
            )
        ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        days = int((ends - self._clock()) // 86_400)
        if days < _DAYS_LEFT:
            return Finding(
                step, WARNING, f"accepted, but it ends in {days} days.", "Tell who runs the server."
            )
        return Finding(step, OK, f"accepted, valid for another {days} days.")


def _trusting(path: str) -> ssl.SSLContext:
    """A context that trusts what requests would trust: a file of authorities, or a folder."""
    try:
        return ssl.create_default_context(cafile=path)
    except IsADirectoryError:
        return ssl.create_default_context(capath=path)


def _untrusted(why: str, path: str) -> Finding:
    if "expired" in why or "not yet valid" in why:
        fix = "Check this machine's clock; if it is right, tell who runs the server."
    elif "match" in why:
        fix = "Check the name in LTIAAS_URL: the certificate is for another one."
    else:
        fix = (
            "If a proxy of your own opens the connection, set LTIAAS_CA_BUNDLE to the file with "
            f"its authority (now: {path}). Verification cannot be switched off."
        )
    return Finding("certificate", FAILED, f"not accepted: {why}.", fix)
