"""The available faults, and which of them affect a request.

A fault that delays a request ends when the client disconnects, at `clear_faults`, and when the
server stops; it checks for these several times a second. `spoiling` says what each fault does.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .lms_errors import SHAPES

_LONGEST = 86400


@dataclass(frozen=True)
class Kind:
    """A kind of fault: its description on the page, its options with their defaults, and which
    requests it affects, as a pattern of `method path scheme`."""

    text: str
    options: Mapping[str, Any] = field(default_factory=dict)
    affects: str = ""


def _refusal(text: str, affects: str) -> Kind:
    return Kind(f"The LMS refuses: {text}", {"lms": "canvas", "shape": SHAPES[0]}, affects)


_LMS = r"\S+ /api/(memberships|lineitems)"
_GRADES = r"\S+ /api/lineitems"
_COLUMN = r"\S+ /api/lineitems/"
_SCORE = r"POST /api/lineitems/\S*/scores "

KINDS: Mapping[str, Kind] = {
    "delay": Kind("Wait some seconds before each answer", {"seconds": 5.0}),
    "rate_limit": Kind("Answer 429 with Retry-After", {"retry_after": 1}),
    "per_second": Kind("Accept only this many requests per second", {"limit": 10}),
    "status": Kind("Answer with a status and a proxy's HTML error page", {"status": 502}),
    "refuse": Kind("Answer 401: this launch is over"),
    "bad_api_key": Kind("Answer 401: the API key is wrong"),
    "service_key_refused": Kind(
        "Answer 401: the service key is wrong", affects=r".* SERVICE-AUTH-V1$"
    ),
    "reset": Kind("Reset the connection"),
    "lost_answer": Kind("Carry out the request, then reset the connection"),
    "truncated": Kind("Close the connection in the middle of the body"),
    "not_json": Kind("Answer 200 with an HTML page"),
    "wrong_type": Kind("Answer 200 with a JSON list"),
    "no_user": Kind("Omit the user's ID from ID tokens"),
    "drip": Kind("Send the answer one byte at a time", {"seconds": 0.2}),
    "endless": Kind("Send a body that never ends"),
    "gzip_bomb": Kind("Send a small body that decompresses to 200 MB"),
    "redirect": Kind("Answer 302 to another URL", {"location": None}),
    "not_a_student": _refusal("not a student here", _SCORE),
    "attempts_used_up": _refusal("all attempts are used up", _SCORE),
    "column_gone": _refusal("the column is gone", _COLUMN),
    "course_concluded": _refusal("the course has concluded", _GRADES),
    "access_refused": _refusal("LTIAAS has no access to it", _LMS),
    "throttled": _refusal('too many requests (403 "Rate Limit Exceeded")', _LMS),
    "lms_down": _refusal("500, an error of its own", _LMS),
}


@dataclass(eq=False)
class Fault:
    """An active fault. `left` is how many more requests it affects, or None for all."""

    name: str
    options: Mapping[str, Any]
    endpoint: str | None
    left: int | None
    ended: threading.Event = field(default_factory=threading.Event)
    _taken: list[float] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return {"name": self.name, **self.options, "endpoint": self.endpoint, "times": self.left}

    def affects(self, method: str, path: str, scheme: str | None, now: float) -> bool:
        """Whether the fault affects a request; `path` is as received."""
        if not path.startswith(self.endpoint or ""):
            return False
        if not re.match(KINDS[self.name].affects, f"{method} {path} {scheme}"):
            return False
        if self.name != "per_second":
            return True
        self._taken = [taken for taken in self._taken if taken > now - 1]
        if len(self._taken) >= self.options["limit"]:
            return True
        self._taken.append(now)
        return False


class Faults:
    """The active faults, in order. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[Fault] = []

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter(list(self._active))

    def switch_on(self, settings: Mapping[str, Any]) -> None:
        """Turn on a fault: its `name`, optionally `endpoint` and `times`, and its options.

        Raises `ValueError` for a name, an option or a value that does not exist.
        """
        options = dict(settings)
        name, endpoint = options.pop("name", None), options.pop("endpoint", None)
        times = options.pop("times", None)
        if not isinstance(name, str) or name not in KINDS:
            raise ValueError(f"unknown fault {name!r}; valid faults: {', '.join(KINDS)}")
        known = KINDS[name].options
        for option in options:
            if option not in known:
                takes = ", ".join(known) or "none"
                raise ValueError(f"{name} has no option {option!r}; valid options: {takes}")
        if not isinstance(endpoint, (str, type(None))):
            raise ValueError("endpoint must be the beginning of a path, or None for every call")
        if times is not None and (type(times) is not int or times < 1):
            raise ValueError(
                "times must be a whole number of at least 1, or None for every request"
            )
        options = {**known, **options}
        for option, value in options.items():
            fits, what = _OPTIONS[option]
            if not fits(value):
                raise ValueError(f"{option} is {what}, not {value!r}")
        fault = Fault(name, options, endpoint, times)
        with self._lock:
            self._active.append(fault)

    def begin(self, descriptions: Iterable[str | Mapping[str, Any]]) -> None:
        """Turn on faults in the format of `read_faults`."""
        for settings in read_faults(descriptions):
            self.switch_on(settings)

    def end(self, name: str | None = None) -> None:
        """Turn off one fault, or all; delayed requests continue."""
        with self._lock:
            ending = [fault for fault in self._active if name in (None, fault.name)]
            self._active = [fault for fault in self._active if fault not in ending]
        for fault in ending:
            fault.ended.set()

    def draw(self, method: str, path: str, scheme: str | None, now: float) -> list[Fault]:
        """The faults that affect a request: any delays, then at most one other fault."""
        delays: list[Fault] = []
        others: list[Fault] = []
        with self._lock:
            for fault in list(self._active):
                group = delays if fault.name == "delay" else others
                if (others and group is others) or not fault.affects(method, path, scheme, now):
                    continue
                group.append(fault)
                if fault.left is not None:
                    fault.left -= 1
                    if not fault.left:
                        self._active.remove(fault)
                        # It stays un-ended: the request that drew it last must still meet it.
        return delays + others


def read_faults(descriptions: Iterable[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Read faults from a command line (`name` or `name:option=value,option=value`) or from
    mappings.

    Returns arguments for `Faults.switch_on`. Raises `ValueError` for text in another format.
    """
    read: list[dict[str, Any]] = []
    for description in descriptions:
        if not isinstance(description, str):
            read.append(dict(description))
            continue
        name, _, rest = description.partition(":")
        settings: dict[str, Any] = {"name": name.strip()}
        for setting in filter(None, rest.split(",")):
            option, equals, value = setting.partition("=")
            if not equals:
                raise ValueError(f"{setting!r} in {description!r} is not option=value")
            settings[option.strip()] = value_of(value.strip())
        read.append(settings)
    return read


def value_of(text: str) -> Any:
    """An option's value from text: a number if possible."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _fits_header(value: object) -> bool:
    return str(value).isascii() and str(value).isprintable()


_OPTIONS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "seconds": (
        lambda value: type(value) in (int, float) and 0 <= value <= _LONGEST,
        f"a number from 0 to {_LONGEST}",
    ),
    "limit": (lambda value: type(value) is int and value >= 1, "a whole number of at least 1"),
    # Text is let through: a date is allowed, and what is not allowed is worth testing with.
    "retry_after": (
        lambda value: type(value) in (int, float, str) and _fits_header(value),
        "a number of seconds, or a header's text",
    ),
    "status": (
        lambda value: type(value) is int and 200 <= value <= 599,
        "a number from 200 to 599",
    ),
    "location": (
        lambda value: isinstance(value, str) and value != "" and _fits_header(value),
        "the URL to send the client to",
    ),
    "lms": (
        lambda value: isinstance(value, str),
        "a product family code, such as canvas or moodle",
    ),
    "shape": (lambda value: value in SHAPES, f"one of {', '.join(SHAPES)}"),
}
