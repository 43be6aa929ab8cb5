"""How dynamic registration looks in the LMS, and what LTIAAS shows where the tool has no page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from .layout import layout

PATH = "/lms/registration"

# An LMS closes the frame when the page in it says so (LTI Dynamic Registration 1.0).
_CLOSES = f"""<script>
addEventListener("message", (event) => {{
  if (event.data && event.data.subject === "org.imsglobal.lti.close") location.href = "{PATH}";
}});
</script>"""


class Standing(NamedTuple):
    """An LMS, and what the account knows of it: None where it is not registered."""

    name: str
    url: str
    can_register: bool
    registration: Mapping[str, Any] | None


def overview(standings: Sequence[Standing], tool: str | None) -> str:
    """All LMSes, and what can be done with each."""
    rows = "".join(_row(standing) for standing in standings)
    where = (
        f"LTIAAS sends the browser to the tool's pre-approval page, <code>{_e(tool)}</code>."
        if tool
        else "No pre-approval page is set (<code>--pre-approval</code>): LTIAAS registers the LMS "
        "by itself."
    )
    body = f"""
<h1>Registration</h1>
<p class="lead">What an LMS's administrator does to connect a tool. {where}</p>
<div class="scroll" role="region" aria-label="LMSes" tabindex="0"><table>
<thead><tr><th scope="col">LMS</th><th scope="col">At LTIAAS</th><td></td></tr></thead>
<tbody>{rows}</tbody></table></div>"""
    return layout("Registration", body, PATH)


def frame(standing: Standing, source: str) -> str:
    """The registration frame of an LMS."""
    body = f"""
<nav class="crumbs" aria-label="You are here"><a href="{PATH}">Registration</a>
<span aria-hidden="true">›</span><strong>{_e(standing.name)}</strong></nav>
<iframe id="tool-frame" title="Registration of the tool" src="{_e(source)}"></iframe>
{_CLOSES}"""
    return layout("Register the tool", body, PATH, wide=True)


def registered(name: str, html: str) -> str:
    """LTIAAS's own page, where the tool has none."""
    body = f"""
<h1>{_e(name)} is registered</h1>
<p>It works once somebody has activated it in LTIAAS.</p>
{html}"""
    return layout("Registered", body, None)


def _row(standing: Standing) -> str:
    found = standing.registration
    if found is None:
        state, chip = "not registered", "off"
    elif found["active"]:
        state, chip = "active", "on"
    else:
        state, chip = "inactive", "bad"
    register = activate = ""
    if standing.can_register:
        register = f"""<form method="get" action="{PATH}/frame">
<input type="hidden" name="url" value="{_e(standing.url)}">
<label class="check"><input type="checkbox" name="anonymous" value="1">
<span>tell no names</span></label>
<button class="primary" type="submit">Register the tool</button></form>"""
    elif found is None:
        register = '<span class="hint">LTI 1.2 has no dynamic registration.</span>'
    if found is not None and not found["active"]:
        activate = f"""<form method="post" action="{PATH}/activate">
<input type="hidden" name="id" value="{_e(found["id"])}">
<button type="submit">Activate in LTIAAS</button></form>"""
    id = f" <code>{_e(found['id'])}</code>" if found else ""
    return (
        f'<tr><th scope="row">{_e(standing.name)}<br><code>{_e(standing.url)}</code></th>'
        f'<td><span class="chip {chip}">{state}</span>{id}</td>'
        f'<td><div class="actions">{activate}{register}</div></td></tr>'
    )


def _e(value: object) -> str:
    return escape(str(value))
