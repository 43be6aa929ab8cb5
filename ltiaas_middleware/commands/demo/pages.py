"""How the demo tool looks. Every text that came from an LMS is escaped here, and nowhere else."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...api.id_token import User
from ...api.roster import Member
from ...launch import Launch

__all__ = [
    "STYLE",
    "Form",
    "Gradebook",
    "Roster",
    "activity",
    "choose",
    "hand_over",
    "home",
    "origin",
    "problem",
]

STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Roster:
    """Everyone in the course, or why they are not known."""

    offered: bool = False
    members: Sequence[Member] = ()
    problem: str = ""


@dataclass(frozen=True)
class Gradebook:
    """Results by user id, as (score, maximum), or why there are none."""

    offered: bool = False
    results: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Form:
    """What was typed into a form before, and what became of it."""

    score: str = ""
    learner: str = ""
    comment: str = ""
    problem: str = ""
    sent: bool = False

    def with_problem(self, problem: str) -> Form:
        """The same, and why it was not taken."""
        return replace(self, problem=problem)


def activity(
    root: str, launch: Launch, roster: Roster, gradebook: Gradebook, form: Form, opened: int
) -> str:
    """The page of one activity. ``root`` is ``SCRIPT_NAME``, which holds the launch's path;
    ``opened`` counts the pages of this launch so far."""
    token = launch.id_token
    teaches = launch.has_role("Instructor")
    parts = [
        _notice(form),
        '<div class="columns"><div>',
        _score_card(root, launch, roster, gradebook, form, teaches),
        _roster_card(token.user.id or "", roster, gradebook, teaches),
        "</div><div>",
        _person_card(launch),
        _offers_card(launch),
        _session_card(opened),
        "</div></div>",
    ]
    return _document(root, _title(launch), "".join(parts), launch)


def choose(root: str, launch: Launch, content: Sequence[tuple[str, str]], form: Form | None) -> str:
    """The page of a deep-linking launch: what shall stand in the course?"""
    options = "".join(
        f'<label class="option"><input type="radio" name="item" value="{escape(key)}"'
        f"{' checked' if not number else ''}> {escape(title)}</label>"
        for number, (key, title) in enumerate(content)
    )
    card = _card(
        "Add to your course",
        f"""<form method="post" action="{escape(root)}/content">
<fieldset><legend>What shall your learners open?</legend>{options}</fieldset>
<button>Continue</button></form>""",
    )
    sides = f"{_person_card(launch)}{_offers_card(launch)}"
    body = f"""{_notice(form or Form())}
<div class="columns"><div>{card}</div><div>{sides}</div></div>"""
    return _document(root, _title(launch), body, launch)


def hand_over(root: str, launch: Launch, title: str, target: str, jwt: str) -> str:
    """The page that brings the chosen content back to the LMS: a form, since there is no script."""
    body = f"""<section aria-labelledby="ready"><h2 id="ready">Ready for your course</h2>
<p><strong>{escape(title)}</strong> will be added to your course.</p>
<form method="post" action="{escape(target)}">
<input type="hidden" name="JWT" value="{escape(jwt)}"><button>Add it to the course</button></form>
</section>"""
    return _document(root, _title(launch), body, launch)


def home(root: str, lms: str) -> str:
    """The page for someone who opened the tool by itself."""
    link = (
        f'<p><a class="button" href="{escape(lms)}">Open the sandbox’s LMS</a></p>' if lms else ""
    )
    body = f"""<section><h2>There is no launch here</h2>
<p>This tool is opened from a course, so that it knows who you are and what you are working on.</p>
{link}</section>"""
    return _document(root, "LTIAAS demo tool", body)


def problem(root: str, title: str, text: str) -> str:
    """A page that says what went wrong."""
    body = f'<section role="alert"><h2>{escape(title)}</h2><p>{escape(text)}</p></section>'
    return _document(root, title, body)


def origin(url: str) -> str:
    """The origin of a web address, as a Content-Security-Policy names it; "" for anything else."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if (
        parts.scheme not in ("http", "https")
        or not host.replace("-", "").replace(".", "").isalnum()
    ):
        return ""
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def _session_card(opened: int) -> str:
    pages = "page" if opened == 1 else "pages"
    return _card(
        "The tool's own session",
        f'<p><strong id="opened">{opened}</strong> {pages} of this launch opened so far.</p>'
        "<p>A cookie of the tool's own counts them. The middleware keeps it apart for each launch, "
        "and makes it survive in a frame of another site.</p>",
        "session",
    )


def _document(root: str, title: str, body: str, launch: Launch | None = None) -> str:
    band = f'<header class="plain"><div><h1>{escape(title)}</h1></div></header>'
    head = title
    if launch is not None:
        band = _band(launch, title)
        head = f"{title} · {_name(launch.id_token.user)}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(head)}</title>
<link rel="stylesheet" href="{escape(root)}/style.css">
</head>
<body>
{band}
<main>{body}</main>
</body>
</html>
"""


def _band(launch: Launch, title: str) -> str:
    """A band in the launch's own two colours, so that two tabs are told apart at a glance."""
    number = int.from_bytes(urlsafe_b64decode(f"{launch.id}=="), "big")
    hue = number % 360
    other = (hue + 50 + number // 360 % 70) % 360
    user = launch.id_token.user
    role = "Instructor" if launch.has_role("Instructor") else _roles(user.roles)
    context = launch.id_token.launch.context
    label = f"{escape(context.label)} · " if context and context.label else ""
    name = f"<strong>{escape(_name(user))}</strong>"
    return f"""<header class="band" style="--hue:{hue};--other:{other}"><div>
<div class="what"><p class="course">{label}{escape(_course(launch))}</p>
<h1>{escape(title)}</h1></div>
<p class="who"><span class="avatar" aria-hidden="true">{escape(_initials(user))}</span>
<span>{name}<br>{escape(role or "No role in this course")}</span></p>
</div></header>"""


def _notice(form: Form) -> str:
    if form.problem:
        return f'<p class="notice bad" role="alert">{escape(form.problem)}</p>'
    if form.sent:
        return '<p class="notice good" role="status">Saved: the score is in the gradebook.</p>'
    return ""


def _score_card(
    root: str, launch: Launch, roster: Roster, gradebook: Gradebook, form: Form, teaches: bool
) -> str:
    user = launch.id_token.user
    if not gradebook.offered:
        return _card("Score", f'<p class="soft">{escape(gradebook.problem)}</p>')
    own = "" if teaches else _own_result(gradebook.results.get(user.id or ""))
    problem = f'<p class="notice bad">{escape(gradebook.problem)}</p>' if gradebook.problem else ""
    whose = ""
    if teaches:
        choices = _learners(roster)
        if choices:
            options = "".join(
                f'<option value="{escape(key)}"{" selected" if key == form.learner else ""}>'
                f"{escape(name)}</option>"
                for key, name in choices
            )
            whose = (
                '<div class="field grow"><label for="learner">Learner</label>'
                f'<select id="learner" name="learner">{options}</select></div>'
            )
        else:
            whose = '<p class="soft">Without a roster, the score goes to yourself.</p>'
    return _card(
        "Give a score" if teaches else "Your score",
        f"""{problem}{own}<form method="post" action="{escape(root)}/score">
{whose}<div class="field"><label for="score">Score, 0 to 100</label>
<input id="score" name="score" inputmode="decimal" autocomplete="off" required size="6"
value="{escape(form.score)}"></div>
<div class="field grow"><label for="comment">Comment <span class="soft">(optional)</span></label>
<input id="comment" name="comment" autocomplete="off" maxlength="200"
value="{escape(form.comment)}"></div>
<button>{"Save score" if teaches else "Hand in"}</button></form>""",
    )


def _own_result(result: tuple[Any, Any] | None) -> str:
    if result is None:
        return "<p>Nothing handed in yet.</p>"
    return f'<p class="result">In the gradebook: <strong>{_points(result)}</strong></p>'


def _roster_card(own_id: str, roster: Roster, gradebook: Gradebook, teaches: bool) -> str:
    if roster.problem:
        kind = "notice bad" if roster.offered else "soft"
        return _card("People", f'<p class="{kind}">{escape(roster.problem)}</p>')
    graded = teaches and gradebook.offered and not gradebook.problem
    rows = []
    for member in roster.members:
        you = ' <span class="chip">you</span>' if member.user_id == own_id else ""
        away = ' <span class="chip">inactive</span>' if member.status == "Inactive" else ""
        cells = f"<th scope=row>{escape(_member_name(member))}{you}{away}</th>"
        cells += f"<td>{escape(_roles(member.roles) or '–')}</td>"
        if graded:
            result = gradebook.results.get(member.user_id)
            cells += f'<td class="number">{_points(result) if result else "–"}</td>'
        rows.append(f"<tr>{cells}</tr>")
    score = '<th scope="col" class="number">Score</th>' if graded else ""
    table = (
        '<div class="scroll" tabindex="0" role="region" aria-label="People in this course"><table>'
        f'<thead><tr><th scope="col">Name</th><th scope="col">Role</th>{score}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    return _card(f'People <span class="chip">{len(rows)}</span>', table, "people")


def _person_card(launch: Launch) -> str:
    user, platform = launch.id_token.user, launch.id_token.platform
    rows = [("Signed in as", _name(user))]
    if user.name is None:
        rows.append(("", "The LMS keeps this person anonymous: no name and no e-mail were sent."))
    if user.email is not None:
        rows.append(("E-mail", user.email))
    rows += [
        ("Roles", _roles(user.roles) or "none in this course"),
        ("User id", user.id or ""),
        ("LMS", platform.name or platform.url or platform.id or "unnamed"),
        ("Course", _course(launch)),
        ("Activity", _title(launch)),
    ]
    return _card("This launch", _list(rows))


def _offers_card(launch: Launch) -> str:
    services = launch.id_token.services
    offers = (
        ("Roster", services.names_and_roles_available),
        ("Grades", services.assignment_and_grades.available),
        ("Deep linking", services.deep_linking.available),
    )
    rows = [(name, "offered" if there else "not offered here") for name, there in offers]
    rows.append(("Valid until", f"{launch.expires_at:%d %b %Y, %H:%M} UTC"))
    return _card("What the LMS offers", _list(rows))


def _card(title: str, content: str, name: str = "") -> str:
    """``title`` is markup of this module's own."""
    name = name or title.lower().replace(" ", "-")
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{content}</section>'


def _list(rows: Sequence[tuple[str, str]]) -> str:
    groups = []
    for name, value in rows:
        term = f"<dt>{escape(name)}</dt>" if name else ""
        groups.append(f"{term}<dd{'' if name else ' class=soft'}>{escape(value)}</dd>")
    return f"<dl>{''.join(groups)}</dl>"


def _learners(roster: Roster) -> list[tuple[str, str]]:
    """Who may get a score: an LMS refuses one for a teacher or for someone who has left."""
    return [
        (member.user_id, _member_name(member))
        for member in roster.members
        if member.has_role("Learner") and member.status == "Active"
    ]


def _member_name(member: Member) -> str:
    return member.name or f"Anonymous ({member.user_id})"


def _name(user: User) -> str:
    full = " ".join(filter(None, (user.given_name, user.family_name)))
    return user.name or full or "Someone anonymous"


def _initials(user: User) -> str:
    if user.name is None and user.given_name is None:
        return "?"
    words = _name(user).split()
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()


def _roles(roles: object) -> str:
    """Roles as people call them: what stands behind the vocabulary's address, once each."""
    if not isinstance(roles, (list, tuple)):
        return ""
    names = (str(role).rpartition("#")[2].rpartition("/")[2] for role in roles)
    return ", ".join(dict.fromkeys(name for name in names if name))


def _title(launch: Launch) -> str:
    link = launch.id_token.launch.resource_link
    if launch.id_token.services.deep_linking.available:
        return "Choose content"
    return (link and link.title) or "Untitled activity"


def _course(launch: Launch) -> str:
    context = launch.id_token.launch.context
    if context is None:
        return "No course"
    return context.title or context.label or "an untitled course"


def _points(result: tuple[Any, Any]) -> str:
    score, maximum = (f"{part:g}" if isinstance(part, (int, float)) else "–" for part in result)
    return f"{score} / {maximum}"
