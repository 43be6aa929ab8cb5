"""The people, courses and LMSes of a sandbox (`world_file` reads them from TOML).

Ids and LMS URLs do not depend on the sandbox's port, so they stay the same after a restart, as in
an LMS. While a sandbox runs, only its courses change: deep linking adds content, and calls withdraw
people or conclude a course.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .roles import full_role, has_role

_Row = TypeVar("_Row", "User", "Activity")

SETTINGS = ("tool", "pre_approval", "empty", "faults")
"""What a world may set of the sandbox that it is given to."""


@dataclass(frozen=True)
class User:
    """A person in a course. `id` is unique only within one platform."""

    id: str
    roles: tuple[str, ...]
    given_name: str | None = None
    family_name: str | None = None
    email: str | None = None
    """None for one made of the id, if the person has a name."""
    mentor_of: tuple[str, ...] = ()
    numeric_id: bool = False
    status: str | None = "Active"
    """`Active`, `Inactive` or `Deleted`; None for an LMS that says nothing, which means active."""

    @property
    def name(self) -> str | None:
        """The full name, or None if the LMS withholds it."""
        if self.given_name is None:
            return None
        return f"{self.given_name} {self.family_name}"

    @property
    def email_address(self) -> str | None:
        """The email address, or None if the LMS withholds it, as it does with the name."""
        return self.name and (self.email or f"{self.id}@students.example")

    def without_name(self) -> User:
        """This person as in a launch from an LMS that withholds names."""
        return replace(self, given_name=None, family_name=None, email=None)

    @property
    def label(self) -> str:
        """The name of this person on the LMS's own pages."""
        return self.name or f"Anonymous ({self.id})"

    @property
    def wire_id(self) -> str | int:
        """The id as the platform sends it: some send numbers (`wire.md`, "The ID token")."""
        return int(self.id) if self.numeric_id else self.id

    @property
    def teaches(self) -> bool:
        """Whether one of the roles is Instructor or one of its sub-roles."""
        return has_role(self.roles, "Instructor")

    @property
    def gradable(self) -> bool:
        """Whether the LMS accepts scores for this person, who must be an active learner."""
        return self.status in ("Active", None) and has_role(self.roles, "Learner")


@dataclass(frozen=True)
class Platform:
    """One LMS. `id` is the id of its registration, if it is registered from the start."""

    id: str
    name: str
    url: str
    product: str
    """Its product family code, which also says whose rules its gradebook follows."""
    version: str = "9.1"
    lti_version: str = "1.3.0"
    client_id: str | None = None
    deployment_id: str | None = None
    consumer_key: str | None = None
    roster: bool = False
    grades: bool = False
    deep_linking: bool = False
    sparse: bool = False
    """Its ID tokens omit and spell fields as the documented samples do."""
    anonymous: bool = False
    """Names and email addresses are withheld (`privacyLevel=anonymous`)."""
    custom: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Custom parameters of every launch; they may contain `variables`."""
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Claims of every launch; they may contain `variables`."""

    @property
    def legacy(self) -> bool:
        """Whether this is an LTI 1.2 platform."""
        return self.lti_version == "1.2.0"

    @property
    def guid(self) -> str:
        """The LMS's own id for its installation."""
        return urlsplit(self.url).hostname or self.url


@dataclass(frozen=True)
class Activity:
    """A link in a course that opens the tool. Its id is that of the resource link."""

    id: str
    title: str
    description: str = ""
    score_maximum: float = 100
    """Of the line item that the LMS makes for it, in points; 0 for none."""
    label: str | None = None
    """Of the line item; None for the title."""
    resource_id: str | None = None
    tag: str | None = None
    line_item: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Further fields of the line item, such as `endDateTime`."""
    query: str = ""
    """What the link's own URL adds to the launch URL."""
    custom: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(eq=False)
class Course:
    """A course: the context of its launches. Raises `ValueError` if it has no activities or no
    members."""

    id: str
    label: str
    title: str
    platform: Platform
    activities: list[Activity]
    members: list[User]
    grades: bool = True
    """False if this course has no gradebook though its platform has one."""
    custom: Mapping[str, Any] = field(default_factory=dict)
    concluded: bool = False

    def __post_init__(self) -> None:
        # Lists of its own: a world that two sandboxes are given must not tie them together.
        self.activities, self.members = list(self.activities), list(self.members)
        if not self.activities or not self.members:
            raise ValueError(f"course {self.id!r} needs an activity and a member")

    @property
    def roster_url(self) -> str:
        """The LMS's URL for the course's memberships."""
        return f"{self.platform.url}/lti/services/courses/{self.id}/memberships"

    @property
    def line_items_url(self) -> str:
        """The LMS's URL for the course's line items. Like Moodle's, it has a query, which every id
        must keep."""
        return f"{self.platform.url}/lti/services/courses/{self.id}/lineitems?type_id=7"

    def line_item_url(self, number: int) -> str:
        """The LMS's URL for line item `number`, which is also its id."""
        path = f"{self.platform.url}/lti/services/courses/{self.id}/lineitems/{number}/lineitem"
        return f"{path}?type_id=7"

    def member(self, user_id: str) -> User | None:
        """The member with that id."""
        return next((user for user in self.members if user.id == user_id), None)

    def activity(self, activity_id: str) -> Activity | None:
        """The activity with that id."""
        return next((item for item in self.activities if item.id == activity_id), None)

    def withdraw(self, user_id: str) -> None:
        """Remove a member from the course. Raises `ValueError` for a person who is not a member."""
        found = _one(self.members, user_id, "user", f"in course {self.id!r}; it has")
        self.members[self.members.index(found)] = replace(found, status="Deleted")

    @property
    def instructor(self) -> User:
        """The first member who teaches, or the first member."""
        return next((user for user in self.members if user.teaches), self.members[0])


@dataclass(frozen=True)
class Seat:
    """Who launches and from where: a course, an activity in it (none in a deep-linking launch) and
    a user. The other fields are what differs from the world in this launch, or None."""

    course: Course
    activity: Activity | None
    user: User
    deep_linking: bool = False
    roles: tuple[str, ...] | None = None
    """Full URIs, which `user` has, too."""
    custom: Mapping[str, Any] | None = None
    """In the place of the activity's custom parameters."""
    claims: Mapping[str, Any] | None = None
    """Top-level fields of the ID token. One whose name is a URI is a claim of the LMS, which
    LTIAAS gives in the raw ID token alone."""

    @property
    def platform(self) -> Platform:
        """The course's platform."""
        return self.course.platform

    def changed(
        self,
        roles: Iterable[str] | None = None,
        custom: Mapping[str, Any] | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> Seat:
        """The same launch with other roles (bare names or URIs), custom parameters and claims."""
        full = None if roles is None else tuple(map(full_role, roles))
        user = self.user if full is None else replace(self.user, roles=full)
        return replace(self, user=user, roles=full, custom=custom, claims=claims)


@dataclass(frozen=True)
class World:
    """All courses, in the order of the LMS's pages.

    `settings` are the world's defaults for the sandbox's settings (`SETTINGS`).
    """

    courses: tuple[Course, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_toml(cls, path: str | Path) -> World:
        """Read the world that a TOML file describes (docs/reference/sandbox-worlds.md).

        Raises `ValueError` for invalid content, and `OSError` if the file cannot be read.
        """
        from .world_file import read

        return read(Path(path).read_text("utf-8"), str(path))

    @classmethod
    def preset(cls, name: str) -> World:
        """The default world's people and courses in another LMS: `canvas`, `moodle`, `blackboard`
        or `brightspace`. Raises `ValueError` for any other name."""
        from .world_file import in_preset

        return in_preset(name)

    def copy(self) -> World:
        """A copy with separate courses."""
        return World(tuple(replace(course) for course in self.courses), self.settings)

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """All platforms that have a course."""
        return tuple(dict.fromkeys(course.platform for course in self.courses))

    def platform(self, url: str) -> Platform | None:
        """The platform with that URL."""
        return next((platform for platform in self.platforms if platform.url == url), None)

    def course(self, course_id: str) -> Course | None:
        """The course with that id."""
        return next((course for course in self.courses if course.id == course_id), None)

    def seat(
        self,
        course: str | None = None,
        activity: str | None = None,
        user: str | None = None,
        deep_linking: bool = False,
    ) -> Seat:
        """The place and person of a launch: by default, the first course, its first activity and
        its instructor. If you pass an activity without a course, its own course applies.

        Raises `ValueError` for a name that is not in the world, with a list of valid names.
        """
        chosen = self._course(course, activity)
        where = f"in course {chosen.id!r}; it has"
        link = chosen.activities[0]
        if activity is not None:
            link = _one(chosen.activities, activity, "activity", where)
        person = chosen.instructor if user is None else _one(chosen.members, user, "user", where)
        if not deep_linking:
            return Seat(chosen, link, person)
        if not chosen.platform.deep_linking:
            raise ValueError(f"{chosen.platform.name} (course {chosen.id!r}) has no deep linking")
        return Seat(chosen, None, person, deep_linking=True)

    def _course(self, course: str | None, activity: str | None) -> Course:
        if course is not None:
            found = self.course(course)
        elif activity is not None:
            found = next((item for item in self.courses if item.activity(activity)), None)
        else:
            found = self.courses[0]
        if found is None:
            what = f"course {course!r}" if course is not None else f"activity {activity!r}"
            known = "; ".join(
                f"{item.id} ({', '.join(link.id for link in item.activities)})"
                for item in self.courses
            )
            raise ValueError(f"no {what}; the sandbox has {known}")
        return found


def _one(rows: Iterable[_Row], id: str, what: str, where: str) -> _Row:
    known = {row.id: row for row in rows}
    if id not in known:
        raise ValueError(f"no {what} {id!r} {where} {', '.join(known)}")
    return known[id]
