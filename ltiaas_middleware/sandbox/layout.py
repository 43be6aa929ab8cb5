"""What the LMS's pages have in common: the frame of a page, and its style."""

from __future__ import annotations

from html import escape
from importlib import resources

# Inline, so that a page needs no second request and no network.
STYLE = resources.files(__package__).joinpath("style.css").read_text("utf-8")

_NAVIGATION = (
    ("/", "Courses"),
    ("/lms/gradebook", "Gradebook"),
    ("/lms/registration", "Registration"),
    ("/lms/faults", "Misbehaviour"),
    ("/lms/journal", "Journal"),
)


def layout(title: str, body: str, current: str | None, *, wide: bool = False) -> str:
    """A whole page. `current` is the navigation's own entry; None leaves the navigation out (inside
    a frame).
    """
    header = ""
    if current is not None:
        links = "".join(
            f'<a href="{address}"{" aria-current=page" if address == current else ""}>{name}</a>'
            for address, name in _NAVIGATION
        )
        header = (
            '<a class="skip" href="#main">Skip to content</a><header><div>'
            '<a class="brand" href="/"><span class="mark" aria-hidden="true">S</span>'
            "Sandbox LMS</a>"
            f'<nav aria-label="Main">{links}</nav></div></header>'
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(title)} · Sandbox LMS</title><style>{STYLE}</style></head>"
        f'<body>{header}<main id="main"{" class=wide" if wide else ""}>{body}</main></body></html>'
    )
