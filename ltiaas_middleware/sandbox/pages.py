"""How the LMS looks. Every page works without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit

from .claims import ACCEPT_TYPES, offers_grades, offers_roster
from .faults import DESCRIPTIONS
from .journal import JournalEntry
from .layout import layout
from .world import Course, Seat, World


def home(
    world: World,
    course: Course,
    tool: str,
    content: Sequence[Mapping[str, Any]],
    registration: Mapping[str, Any] | None,
) -> str:
    """The first page: a course, and what can be launched from it."""
    activities = "".join(
        f'<option value="{_e(item.id)}">{_e(item.title)}</option>' for item in course.activities
    )
    people = "".join(
        f'<option value="{_e(user.id)}"{" selected" if user is course.instructor else ""}>'
        f"{_e(user.label)} — {_e(_role_words(user.roles))}</option>"
        for user in course.members
    )
    deep_linking = (
        '<label class="check"><input type="checkbox" name="deep_linking" value="1"> '
        "<span>Deep linking: let the teacher choose content "
        "instead of opening the activity</span></label>"
        if course.platform.deep_linking
        else '<p class="hint">This platform has no deep linking.</p>'
    )
    body = f"""
<div class="columns">
{_course_list(world, course, "/")}
<section aria-labelledby="course-title">
<p class="eyebrow">{_e(course.platform.name)} · LTI {_e(course.platform.lti_version)}</p>
<h1 id="course-title">{_e(course.title)}</h1>
<p class="chips">{_chips(course)}</p>
{_unusable(registration)}
<form class="card" method="get" action="/lms/frame">
<h2>Launch the tool</h2>
<input type="hidden" name="course" value="{_e(course.id)}">
<div class="fields">
<label>Activity <select name="activity">{activities}</select></label>
<label>As <select name="user">{people}</select></label>
</div>
<label>Extra query <span class="hint">kept by LTIAAS, for example <code>resource=123</code></span>
<input name="query" placeholder="resource=123" autocomplete="off" spellcheck="false"></label>
{deep_linking}
<div class="actions">
<button class="primary" type="submit">Launch in this page</button>
<button type="submit" formaction="/lms/launch" formtarget="_blank">Launch in a new tab</button>
</div>
<p class="hint">Launches go to <code>{_e(tool)}</code></p>
</form>
{_shelf(course, content)}
</section>
</div>"""
    return layout(course.title, body, "/")


def frame(seat: Seat, source: str) -> str:
    """An activity with the tool in its iframe."""
    title = seat.activity.title if seat.activity else "Choose content"
    body = f"""
<nav class="crumbs" aria-label="You are here"><a href="/?{_query(course=seat.course.id)}">
{_e(seat.course.title)}</a><span aria-hidden="true">›</span><strong>{_e(title)}</strong>
<span class="who">{_e(seat.user.label)} · {_e(_role_words(seat.user.roles))}</span></nav>
<iframe id="tool-frame" name="tool-frame" title="{_e(title)}, the tool" src="{_e(source)}"
 allow="fullscreen; clipboard-write"></iframe>"""
    return layout(title, body, "/", wide=True)


def deep_linking_return(
    course: Course, items: Sequence[Mapping[str, Any]], said: Mapping[str, str]
) -> str:
    """Where a deep-linking form posts back to: what was chosen."""
    count = "1 item" if len(items) == 1 else f"{len(items)} items"
    body = f"""
<h1>{"Nothing was chosen" if not items else f"{count} added to {_e(course.title)}"}</h1>
{_messages(said)}
{_items(course, items)}
<p><a class="button primary" target="_top"
 href="/?{_query(course=course.id)}">Back to the course</a></p>"""
    return layout("Content chosen", body, None)


def returned(said: Mapping[str, str]) -> str:
    """The page behind a launch's return URL."""
    body = f"""
<h1>Back in the LMS</h1>
<p>The tool sent you back here through the launch's return URL.</p>
{_messages(said)}
<p><a class="button primary" target="_top" href="/">To the courses</a></p>"""
    return layout("Back in the LMS", body, None)


def gradebook(
    world: World,
    course: Course,
    columns: Iterable[tuple[dict[str, Any], dict[str, dict[str, Any]]]],
) -> str:
    """One course's line items with what was submitted to each."""
    shown = "".join(_column(course, item, scores) for item, scores in columns)
    body = f"""
<div class="columns">
{_course_list(world, course, "/lms/gradebook")}
<section aria-labelledby="gradebook-title">
<p class="eyebrow">Gradebook</p>
<h1 id="gradebook-title">{_e(course.title)}</h1>
{shown or '<p class="card empty">This course has no line items.</p>'}
</section>
</div>"""
    return layout("Gradebook", body, "/lms/gradebook")


def faults(active: Sequence[Mapping[str, Any]], problem: str | None = None) -> str:
    """The misbehaviours that are on, and a form for another."""
    choices = "".join(
        f'<option value="{_e(name)}">{_e(text)} ({_e(name)})</option>'
        for name, text in DESCRIPTIONS.items()
    )
    body = f"""
<h1>Misbehaviour</h1>
<p class="lead">Make LTIAAS fail, and see what your tool does then.</p>
{f'<p class="notice bad" role="alert">{_e(problem)}</p>' if problem else ""}
{_active_faults(active)}
<form class="card" method="post" action="/lms/faults">
<h2>Switch one on</h2>
<label>What happens <select name="name">{choices}</select></label>
<div class="fields">
<label>Calls to <span class="hint">a path's beginning; empty for all</span>
<input name="endpoint" placeholder="/api/idtoken" autocomplete="off" spellcheck="false"></label>
<label>How often <span class="hint">empty: until switched off</span>
<input name="times" inputmode="numeric" pattern="[0-9]*" autocomplete="off"></label>
</div>
<details><summary>Options</summary>
<div class="fields">
<label>Seconds <span class="hint">delay, drip</span>
<input name="seconds" inputmode="decimal" autocomplete="off"></label>
<label>Retry-After <span class="hint">rate_limit, in seconds</span>
<input name="retry_after" inputmode="decimal" autocomplete="off"></label>
<label>Status <span class="hint">status</span>
<input name="status" inputmode="numeric" placeholder="502" autocomplete="off"></label>
<label>Location <span class="hint">redirect</span>
<input name="location" type="url" placeholder="https://elsewhere.example/"
 autocomplete="off"></label>
</div></details>
<div class="actions"><button class="primary" type="submit">Switch on</button></div>
</form>"""
    return layout("Misbehaviour", body, "/lms/faults")


def journal(entries: Sequence[JournalEntry]) -> str:
    """What was asked of the API, newest first."""
    rows = "".join(
        f"<tr><td><time>{_e(_clock_time(entry.at))}</time></td>"
        f"<td><code>{_e(entry.method)}</code></td>"
        f'<td class="path"><code>{_e(_target(entry))}</code></td>'
        f"<td><code>{_e(_credential(entry))}</code></td>"
        f"<td><code>{_e(entry.ltik_id or '—')}</code></td>"
        f"<td>{_status(entry)}</td><td>{_e(entry.fault or '—')}</td></tr>"
        for entry in reversed(entries)
    )
    table = f"""
<div class="scroll" role="region" aria-label="Requests" tabindex="0"><table>
<thead><tr><th scope="col">Time</th><th scope="col">Method</th><th scope="col">Path</th>
<th scope="col">Credential</th><th scope="col">Launch</th><th scope="col">Status</th>
<th scope="col">Misbehaviour</th></tr></thead><tbody>{rows}</tbody></table></div>"""
    body = f"""
<h1>Journal</h1>
<p class="lead">Every call to the API since the start. Keys and ltiks are never written down:
a launch is told by a digest of its ltik.</p>
<form class="actions" method="post" action="/lms/journal/clear">
<a class="button" href="/lms/journal">Refresh</a><button type="submit">Clear</button></form>
{table if entries else '<p class="card empty">Nothing was asked yet.</p>'}"""
    return layout("Journal", body, "/lms/journal", wide=True)


def problem(title: str, text: str, *, embedded: bool = False) -> str:
    """What went wrong, in words."""
    body = f'<h1>{_e(title)}</h1><p class="lead">{_e(text)}</p>'
    if not embedded:
        body += '<p><a class="button primary" href="/">To the courses</a></p>'
    return layout(title, body, None if embedded else "")


def _course_list(world: World, current: Course, address: str) -> str:
    links = "".join(
        f'<li><a href="{address}?{_query(course=course.id)}"'
        f"{' aria-current=true' if course is current else ''}><strong>{_e(course.title)}</strong>"
        f"<span>{_e(course.platform.name)}</span></a></li>"
        for course in world.courses
    )
    return f'<nav class="courses" aria-label="Courses"><h2>Courses</h2><ul>{links}</ul></nav>'


def _chips(course: Course) -> str:
    offered = (
        ("Roster", offers_roster(course)),
        ("Grades", offers_grades(course)),
        ("Deep linking", course.platform.deep_linking),
    )
    return "".join(
        f'<span class="chip {"on" if available else "off"}">'
        f"{'✓' if available else '–'} {name}{'' if available else ' not offered'}</span>"
        for name, available in offered
    )


def _unusable(registration: Mapping[str, Any] | None) -> str:
    if registration is not None and registration["active"]:
        return ""
    what = "not registered with LTIAAS" if registration is None else "registered, but not active"
    return (
        f'<p class="notice bad" role="status">This LMS is {what}: launches from it fail. '
        '<a href="/lms/registration">Register the tool</a></p>'
    )


def _shelf(course: Course, content: Sequence[Mapping[str, Any]]) -> str:
    if not content:
        return ""
    return f'<h2 class="apart">Added through deep linking</h2>{_items(course, content)}'


def _items(course: Course, items: Sequence[Mapping[str, Any]]) -> str:
    return "".join(_item(course, item) for item in items)


def _item(course: Course, item: Mapping[str, Any]) -> str:
    kind = str(item.get("type"))
    title = item.get("title") or item.get("url") or kind
    text = f"<p>{_e(item['text'])}</p>" if item.get("text") else ""
    odd = (
        ""
        if kind in ACCEPT_TYPES
        else '<p class="notice bad">This LMS does not accept items of this type.</p>'
    )
    launch = ""
    if kind == "ltiResourceLink":
        link = _query(course=course.id, query=_item_query(item))
        launch = f'<p><a class="button" target="_top" href="/lms/frame?{_e(link)}">Open it</a></p>'
    source = _e(json.dumps(item, indent=2, ensure_ascii=False))
    return (
        f'<article class="card"><p class="eyebrow">{_e(kind)}</p><h3>{_e(title)}</h3>'
        f"{text}{odd}{launch}"
        f"<details><summary>As received</summary><pre>{source}</pre></details></article>"
    )


def _item_query(item: Mapping[str, Any]) -> str:
    try:
        return urlsplit(str(item.get("url") or "")).query
    except ValueError:
        return ""


def _messages(said: Mapping[str, str]) -> str:
    return "".join(
        f'<p class="notice {"bad" if "error" in name else "good"}" role="status">'
        f"<code>{_e(name)}</code> {_e(text)}</p>"
        for name, text in said.items()
    )


def _column(
    course: Course, item: Mapping[str, Any], scores: Mapping[str, Mapping[str, Any]]
) -> str:
    rows = "".join(_score_row(course, user_id, score) for user_id, score in scores.items())
    table = f"""
<div class="scroll" role="region" aria-label="{_e(item["label"])}" tabindex="0"><table>
<thead><tr><th scope="col">Who</th><th scope="col">Score</th><th scope="col">Activity</th>
<th scope="col">Grading</th><th scope="col">Comment</th><th scope="col">Sent</th>
<th scope="col">When</th></tr></thead><tbody>{rows}</tbody></table></div>"""
    return (
        f'<article class="card"><h2>{_e(item["label"])}</h2>'
        f'<p class="hint">out of {_e(_number(item["scoreMaximum"]))} · '
        f"<code>{_e(item['id'])}</code></p>"
        f"{table if scores else '<p class=empty>No score has been sent yet.</p>'}</article>"
    )


def _score_row(course: Course, user_id: str, score: Mapping[str, Any]) -> str:
    user = course.member(user_id)
    given = score["scoreGiven"]
    shown = "—" if given is None else f"{_number(given)} / {_number(score['scoreMaximum'])}"
    sent = "once" if score["submissions"] == 1 else f"{score['submissions']} times"
    return (
        f'<tr><th scope="row">{_e(user.label if user else user_id)}</th>'
        f"<td><strong>{_e(shown)}</strong></td>"
        f"<td>{_e(score['activityProgress'])}</td><td>{_e(score['gradingProgress'])}</td>"
        f"<td>{_e(score['comment'] or '—')}</td><td>{_e(sent)}</td>"
        f"<td>{_e(str(score['timestamp'])[:19].replace('T', ' '))}</td></tr>"
    )


def _active_faults(active: Sequence[Mapping[str, Any]]) -> str:
    if not active:
        return '<p class="notice good" role="status">LTIAAS behaves.</p>'
    rows = "".join(
        f"<tr><th scope='row'>{_e(DESCRIPTIONS[fault['name']])}</th>"
        f"<td><code>{_e(fault['name'])}</code></td>"
        f"<td>{_e(_options(fault))}</td>"
        f"<td><code>{_e(fault['endpoint'] or 'every call')}</code></td>"
        f"<td>{_e('until switched off' if fault['times'] is None else fault['times'])}</td>"
        f'<td><form method="post" action="/lms/faults/end"><input type="hidden" name="name" '
        f'value="{_e(fault["name"])}"><button type="submit">Switch off</button></form></td></tr>'
        for fault in active
    )
    return (
        '<section class="card" aria-label="Switched on"><h2>Switched on</h2>'
        '<div class="scroll" role="region" aria-label="Switched on" tabindex="0"><table><thead><tr>'
        '<th scope="col">What happens</th><th scope="col">Name</th><th scope="col">Options</th>'
        '<th scope="col">Calls to</th><th scope="col">Times left</th><td></td></tr></thead>'
        f'<tbody>{rows}</tbody></table></div><form class="actions" method="post" '
        'action="/lms/faults/end"><button type="submit">Switch all off</button></form></section>'
    )


def _options(fault: Mapping[str, Any]) -> str:
    return (
        ", ".join(
            f"{name} {value}"
            for name, value in fault.items()
            if name not in ("name", "endpoint", "times")
        )
        or "—"
    )


def _status(entry: JournalEntry) -> str:
    if not entry.answered:
        return "waiting"
    if entry.status is None:
        return '<span class="chip off">cut off</span>'
    return f'<span class="chip {"on" if entry.status < 400 else "bad"}">{entry.status}</span>'


def _target(entry: JournalEntry) -> str:
    return f"{entry.path}?{entry.query}" if entry.query else entry.path


def _credential(entry: JournalEntry) -> str:
    if entry.scheme is None:
        return "—"
    return entry.scheme if entry.well_formed else f"{entry.scheme} (malformed)"


def _role_words(roles: Sequence[str]) -> str:
    words = dict.fromkeys(role.rpartition("#")[2] for role in roles)
    return ", ".join(words) or "no role"


def _number(value: float) -> str:
    return f"{value:g}"


def _clock_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%H:%M:%S")


def _query(**values: str) -> str:
    return urlencode({name: value for name, value in values.items() if value})


def _e(value: object) -> str:
    return escape(str(value))
