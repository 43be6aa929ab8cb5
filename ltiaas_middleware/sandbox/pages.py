"""The LMS's HTML pages, from the Jinja templates in `templates/`. Every page works without
JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

try:
    import jinja2
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'The sandbox needs Jinja2: pip install "ltiaas-middleware[sandbox]"', name=error.name
    ) from error
from werkzeug import Response

_NAVIGATION = {
    "/": "Courses",
    "/lms/gradebook": "Gradebook",
    "/lms/registration": "Registration",
    "/lms/faults": "Faults",
    "/lms/api-log": "API log",
}


def page(
    template: str, title: str, current: str | None = None, status: int = 200, **values: Any
) -> Response:
    """A page with `no-store`.

    `current` is the path of the current navigation entry ("" for none). None omits the navigation,
    for a page in an iframe.
    """
    shown = {"wide": False, "title": title, "current": current, **values}
    document = rendered(template, navigation=_NAVIGATION.items(), **shown)
    return Response(document, status, {"Cache-Control": "no-store"}, mimetype="text/html")


def rendered(template: str, **values: Any) -> str:
    return _environment.get_template(f"{template}.html").render(values)


def found(location: str) -> Response:
    return Response("", 302, {"Location": location, "Cache-Control": "no-store"})


def see_other(location: str) -> Response:
    return Response("", 303, {"Location": location})


def role_words(roles: Sequence[str]) -> str:
    """Roles in readable form: without their vocabulary, and without duplicates."""
    return ", ".join(dict.fromkeys(role.rpartition("#")[2] for role in roles)) or "no role"


_environment = jinja2.Environment(
    loader=jinja2.PackageLoader(__package__),
    autoescape=jinja2.select_autoescape(["html"]),
    trim_blocks=True,
)
_environment.filters["role_words"] = role_words
_environment.filters["decoded"] = unquote
_environment.filters["number"] = "{:g}".format
_environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
