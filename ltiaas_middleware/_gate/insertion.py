"""Inserts the script's tag (``launch_script``) into the HTML documents that an app sends in a
launch, and the script's first part into worker scripts. It inserts nothing into fragments,
downloads, and encoded or partial responses.

Both adapters hold back the start of a document until ``Insertion`` has found the place for the tag,
which is in the first bytes of the body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from html import escape
from typing import AnyStr, Generic, TypeAlias

from .._rare_log import RareLog, pattern_of
from .adapter_text import AdapterText
from .decisions import Serve
from .launch_script import NAME, LaunchScript
from .request import Variables
from .script_policy import nonce_for

__all__ = ["SHOWN", "Insertion", "Insertions"]

# What a browser shows as a separate page (``Sec-Fetch-Dest``).
_DOCUMENTS = frozenset({"document", "iframe", "frame", "embed", "object"})
_WORKERS = frozenset({"worker", "sharedworker"})
#: ``Sec-Fetch-Dest`` of requests whose responses may be documents or worker scripts.
SHOWN = _DOCUMENTS | _WORKERS
_WITHOUT_BODY = frozenset({204, 205, 206})
_WIDE = re.compile(r"charset\s*=\s*[\"']?(utf-?16|utf-?32|ucs-?2)", re.I)
_OF_BODY = frozenset(
    {
        "content-disposition",
        "content-encoding",
        "content-range",
        "content-security-policy",
        "content-type",
        "ltiaas-error",
    }
)
# Checksums of the app's own bytes, and the header that offers parts of them.
_UNTRUE = frozenset({"accept-ranges", "content-digest", "content-md5", "digest", "repr-digest"})
# Headers that let a browser reuse a document with outdated cookies.
_KEPT_BY = frozenset({"cache-control", "etag", "expires", "last-modified"})
_CHANGED = _UNTRUE | _KEPT_BY | {"content-length"}
# The maximum number of bytes to hold back.
_BOUND = 8192

# A quote begins a value only after an equals sign: ``<html title=it's>``.
_ATTRIBUTES = rb"""(?:[\s/](?:[^>=]|=\s*+(?:"[^"]*"|'[^']*'|(?!["'])))*)?"""
_START = re.compile(
    rb"(?:\s+|\xef\xbb\xbf|<!--(?:-?>|.*?--!?>)|<(?:\?|!(?!--|doctype))[^>]*>"
    rb"|(?P<doctype><!doctype[^>\[]*(?:\[[^\]]*\]\s*)?>)"
    rb"|(?P<html><html" + _ATTRIBUTES + rb">))*(?P<head><head" + _ATTRIBUTES + rb">)?",
    re.I | re.S,
)
# Beginnings of a part, of which the rest may be in the next chunk.
_CUT = frozenset(
    part[:end] for part in (b"\xef\xbb\xbf", b"<html", b"<head") for end in range(len(part) + 1)
)
_BEGUN = re.compile(rb"<[?!]|<(?:html|head)[\s/]", re.I)
# A page that has an element, not in UTF-16, which has a byte order mark or NULs.
_ELEMENT = re.compile(rb"(?![\xfe\xff])[^\x00]*?<[a-z]", re.I)
_XHTML = b"http://www.w3.org/1999/xhtml"
_Headers: TypeAlias = list[tuple[AnyStr, AnyStr]]


class Insertion(Generic[AnyStr]):
    """Inserts the tag into one document.

    Attributes:
        waiting: whether the start of the response must still be held back.
        headers: the headers to send, valid once ``waiting`` is False.

    Args:
        tag: what to insert.
        headers: the headers without it.
        longer: returns the headers for a document with the tag.
        is_page: whether the browser says that it shows this as a page. It is then a document even
            without ``<html>`` or a doctype.
        is_xml: whether it is XHTML.
    """

    def __init__(
        self,
        tag: bytes,
        headers: _Headers[AnyStr],
        longer: Callable[[_Headers[AnyStr]], _Headers[AnyStr]],
        *,
        is_page: bool,
        is_xml: bool,
    ) -> None:
        self.waiting = True
        self.headers: _Headers[AnyStr] = headers
        self._tag = tag
        self._longer: Callable[[_Headers[AnyStr]], _Headers[AnyStr]] = longer
        self._is_page = is_page
        self._is_xml = is_xml
        self._buffer = b""

    def feed(self, chunk: bytes, *, last: bool = False) -> bytes:
        """Return what to send after the next bytes of the body: nothing while ``waiting``.

        Args:
            chunk: what the app sent.
            last: whether the body ends here.
        """
        if not self.waiting:
            return chunk
        buffer = self._buffer = self._buffer + chunk if self._buffer else chunk
        at = self._position(buffer[:_BOUND], last=last or len(buffer) > _BOUND)
        if at is None:
            return b""
        self.waiting, self._buffer = False, b""
        if at < 0:
            return buffer
        self.headers = self._longer(self.headers)
        return b"".join((buffer[:at], self._tag, buffer[at:]))

    def _position(self, start: bytes, *, last: bool) -> int | None:
        """Where the tag belongs, -1 if nowhere, None if it is not clear yet."""
        found = _START.match(start)
        assert found is not None  # It also matches the empty string.
        at = found.end()
        if found["head"]:
            return at
        rest = start[at : at + 16].lower()
        after = found.end("html")
        if not self._is_xml:
            after = max(after, found.end("doctype"))
        elif _XHTML not in (found["html"] or b""):
            # Without a default namespace, the tag would not be HTML.
            after = -1
        has_begun = _BEGUN.match(rest)
        if not last and (has_begun or rest in _CUT):
            return None
        if after >= 0 or has_begun or not self._is_page or self._is_xml:
            return after
        if _ELEMENT.match(start, at):
            return at
        # Text alone needs no script.
        return -1 if last else None


class _IntoWorker(Insertion[AnyStr]):
    def _position(self, start: bytes, *, last: bool) -> int:
        return 0


class Insertions(AdapterText[AnyStr]):
    """Finds documents among an app's responses.

    Args:
        kind: ``str`` or ``bytes``, whichever the adapter's headers are.
        script: the script to insert.
    """

    def __init__(self, kind: type[AnyStr], script: LaunchScript) -> None:
        super().__init__(kind)
        self._script = script
        self._not_stored: tuple[AnyStr, AnyStr] = (
            self._encode("cache-control"),
            self._encode("no-store"),
        )
        self._rare_log = RareLog()
        names = _OF_BODY | _CHANGED
        self._known: dict[AnyStr, str] = {self._encode(name): name for name in names}

    def of(
        self, status: int, headers: _Headers[AnyStr], serve: Serve, request: Variables
    ) -> Insertion[AnyStr] | None:
        """The insertion for a response that ``may_have_script``, or None if it is not a document
        for the script. Its headers must be ready to send."""
        facts, changing = self._read(headers)
        destination = request.get("HTTP_SEC_FETCH_DEST")
        if destination in _WORKERS:
            is_whole = status == 200 and request.get("REQUEST_METHOD") != "HEAD"
            return self._into_worker(facts, headers, changing) if is_whole else None
        if not (_wants_document(request) and self._is_document(status, facts, request)):
            return None
        nonce = nonce_for(facts.get("content-security-policy", ""), request)
        if nonce is None:
            self._warn(
                "the Content-Security-Policy of %.200r does not allow %s, so that page's links "
                "and requests may leave the launch. Add 'self' to its script-src, or set "
                "insert_script=False. (Logged once an hour per path pattern.)",
                request,
            )
            return None
        is_page, is_xml = bool(destination), _document_type(facts["content-type"]) == "xhtml"
        cookies = None if serve.jar is None else serve.jar.for_scripts()
        tag = _tag(serve.mount + self._script.path, serve.launch_path, nonce, cookies)
        longer = partial(self._longer, len(tag), changing, has_cookies=cookies is not None)
        return Insertion(tag, headers, longer, is_page=is_page, is_xml=is_xml)

    def _into_worker(
        self, facts: Mapping[str, str], headers: _Headers[AnyStr], changing: Sequence[int]
    ) -> Insertion[AnyStr] | None:
        """A worker does not load its page's scripts, and its ``Referer`` is shortened like the
        page's."""
        kind = facts["content-type"].partition(";")[0]
        if "javascript" not in kind.lower() or "content-encoding" in facts:
            return None
        code = self._script.for_workers
        longer = partial(self._longer, len(code), changing)
        return _IntoWorker(code, headers, longer, is_page=False, is_xml=False)

    def _read(self, headers: _Headers[AnyStr]) -> tuple[dict[str, str], list[int]]:
        """What the headers say about the body, by lower-case name, and where those are that may
        change. Neither has cookies, because an error tracker would show them."""
        facts: dict[str, str] = {}
        changing = []
        for at, (name, value) in enumerate(headers):
            key = self._known.get(name.lower())
            if key in _CHANGED:
                changing.append(at)
            elif key is not None:
                text = self._decode(value)
                facts[key] = f"{facts[key]}, {text}" if key in facts else text
        return facts, changing

    def _is_document(self, status: int, facts: Mapping[str, str], variables: Variables) -> bool:
        if _document_type(facts["content-type"]) is None:
            return False
        # A browser shows neither these bodies nor a redirect's.
        if status < 200 or status in _WITHOUT_BODY or status // 100 == 3:
            return False
        # The second header is the middleware's own.
        if "content-range" in facts or "ltiaas-error" in facts:
            return False
        if facts.get("content-disposition", "").lower().lstrip().startswith("attachment"):
            return False
        if facts.get("content-encoding", "identity").strip().lower() != "identity":
            self._warn(
                "the app compresses %.200r, so the middleware cannot insert %s. Compress in the "
                "proxy or in a middleware outside this one. (Logged once an hour per path "
                "pattern.)",
                variables,
            )
            return False
        return True

    def _warn(self, message: str, variables: Variables) -> None:
        path: str = variables.get("PATH_INFO") or ""
        self._rare_log.warning(pattern_of(path), message, path, NAME)

    def _longer(
        self,
        more: int,
        changing: Sequence[int],
        headers: _Headers[AnyStr],
        *,
        has_cookies: bool = False,
    ) -> _Headers[AnyStr]:
        sent = headers.copy()
        for at in reversed(changing):
            name, value = headers[at]
            key, text = self._known[name.lower()], self._decode(value)
            if key in _UNTRUE or (has_cookies and key in _KEPT_BY):
                del sent[at]
            elif key == "content-length" and text.strip().isdigit():
                sent[at] = (name, self._encode(str(int(text) + more)))
            elif key == "etag" and text.startswith('"'):
                # It belongs to the app's bytes; If-None-Match ignores the difference.
                sent[at] = (name, self._encode(f"W/{text}"))
        if has_cookies:
            sent.append(self._not_stored)
        return sent


def _wants_document(variables: Variables) -> bool:
    """Whether a request may be for a whole page, according to its headers."""
    # Android's web views also send X-Requested-With, with the app's name.
    by_script = variables.get("HTTP_X_REQUESTED_WITH") == "XMLHttpRequest"
    by_script = by_script or bool(variables.get("HTTP_HX_REQUEST"))
    return not by_script and variables.get("REQUEST_METHOD") != "HEAD"


@lru_cache(maxsize=100)
def _document_type(content_type: str) -> str | None:
    """``html``, ``xhtml``, or None if it is neither, or in an encoding that ASCII does not fit."""
    kind = content_type.lower().lstrip()
    if _WIDE.search(kind):
        return None
    if kind.startswith("application/xhtml+xml"):
        return "xhtml"
    return "html" if kind.startswith("text/html") else None


def _tag(script: str, launch_path: str, nonce: str, cookies: str | None) -> bytes:
    attributes = f' nonce="{escape(nonce)}"' if nonce else ""
    if cookies is not None:
        attributes += f' data-cookies="{escape(cookies)}"'
    tag = f"{_opening(script, launch_path)}{attributes}></script>"
    # ASCII works in every encoding of the document.
    return tag.encode("ascii", "xmlcharrefreplace")


# All pages of a launch have the same.
@lru_cache(maxsize=1000)
def _opening(script: str, launch_path: str) -> str:
    return f'<script src="{escape(script)}" data-launch="{escape(launch_path)}"'
