"""The people, courses and learning platforms that the sandbox starts with.

Nothing here changes while the sandbox runs (what does is in `gradebook`), and nothing depends on
the address that it listens on: ids and LMS URLs are the same after every restart, as they would be
in an LMS.

The platforms differ on purpose, so that a tool meets every shape of `wire.md`, "The ID token":

- *Northfield* offers everything, and withholds the name and e-mail of one learner.
- *Lakeside* offers deep linking alone, and its ID tokens are sparse: what a deep-linking launch
  accepts stands in the raw token only, and `accept_multiple` there is text.
- *Heritage* is a legacy LTI 1.2 platform with numeric user ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
INSTITUTION = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#"


@dataclass(frozen=True)
class User:
    """Someone enrolled in a course. `id` is unique within one platform only."""

    id: str
    roles: tuple[str, ...]
    given_name: str | None = None
    family_name: str | None = None
    mentor_of: tuple[str, ...] = ()
    numeric_id: bool = False
    status: str | None = "Active"
    """`Active`, `Inactive` or `Deleted`; None for an LMS that says nothing, which means active."""

    @property
    def name(self) -> str | None:
        """The full name, or None when the LMS withholds it."""
        if self.given_name is None:
            return None
        return f"{self.given_name} {self.family_name}"

    @property
    def label(self) -> str:
        """What the LMS's own pages call this person."""
        return self.name or f"Anonymous ({self.id})"

    @property
    def wire_id(self) -> str | int:
        """The id on the wire: some platforms send numbers (`wire.md`, "The ID token")."""
        return int(self.id) if self.numeric_id else self.id

    @property
    def teaches(self) -> bool:
        """Whether one of the roles is Instructor, as a full URI or as a bare name."""
        return any(same_role(role, "Instructor") for role in self.roles)


@dataclass(frozen=True)
class Platform:
    """One LMS. `id` is that of its registration, where the account knows it from the start."""

    id: str
    name: str
    url: str
    product: str
    lti_version: str = "1.3.0"
    client_id: str | None = None
    deployment_id: str | None = None
    consumer_key: str | None = None
    roster: bool = False
    grades: bool = False
    deep_linking: bool = False
    sparse: bool = False
    """Its ID tokens leave out, and spell, fields as the documented samples do."""
    anonymous: bool = False
    """It was registered with `privacyLevel=anonymous`: names and e-mail addresses are withheld."""

    @property
    def legacy(self) -> bool:
        """Whether this is an LTI 1.2 platform."""
        return self.lti_version == "1.2.0"


@dataclass(frozen=True)
class Activity:
    """A place in a course from which the tool is launched; its id is the resource link's."""

    id: str
    title: str
    description: str
    score_maximum: float = 100
    """Of the line item that the LMS made for it, in points."""


@dataclass(frozen=True)
class Course:
    """A course: the context of its launches."""

    id: str
    label: str
    title: str
    platform: Platform
    activities: tuple[Activity, ...]
    members: tuple[User, ...]
    grades: bool = True
    """False where this course has no gradebook though its platform has one."""

    @property
    def roster_url(self) -> str:
        """The LMS's address of the course's memberships."""
        return f"{self.platform.url}/lti/services/courses/{self.id}/memberships"

    @property
    def line_items_url(self) -> str:
        """The LMS's address of the course's line items. Its query is as Moodle's, to be kept in
        every id.
        """
        return f"{self.platform.url}/lti/services/courses/{self.id}/lineitems?type_id=7"

    def line_item_url(self, number: int) -> str:
        """The LMS's address, and so the id, of line item `number`."""
        path = f"{self.platform.url}/lti/services/courses/{self.id}/lineitems/{number}/lineitem"
        return f"{path}?type_id=7"

    def member(self, user_id: str) -> User | None:
        """The member with that id."""
        return next((user for user in self.members if user.id == user_id), None)

    def activity(self, activity_id: str) -> Activity | None:
        """The activity with that id."""
        return next((item for item in self.activities if item.id == activity_id), None)

    @property
    def instructor(self) -> User:
        """The first member who teaches."""
        return next(user for user in self.members if user.teaches)


@dataclass(frozen=True)
class Seat:
    """Where a launch stands: a course, an activity in it (none in a deep-linking launch) and a
    user.
    """

    course: Course
    activity: Activity | None
    user: User
    deep_linking: bool = False

    @property
    def platform(self) -> Platform:
        """The course's platform."""
        return self.course.platform


@dataclass(frozen=True)
class World:
    """All courses, in the order in which the LMS's pages list them."""

    courses: tuple[Course, ...]

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """Every platform that has a course."""
        return tuple(dict.fromkeys(course.platform for course in self.courses))

    def platform(self, url: str) -> Platform | None:
        """The platform with that URL."""
        return next((platform for platform in self.platforms if platform.url == url), None)

    def course(self, course_id: str) -> Course | None:
        """The course with that id."""
        return next((course for course in self.courses if course.id == course_id), None)

    def contexts(self) -> Iterator[tuple[Course, Activity | None]]:
        """Every place that a launch can come from, deep linking (no activity) included."""
        for course in self.courses:
            yield course, None
            for activity in course.activities:
                yield course, activity

    def seat(
        self,
        course: str | None = None,
        activity: str | None = None,
        user: str | None = None,
        deep_linking: bool = False,
    ) -> Seat:
        """The place and person of a launch; what is left out is the first course, its first
        activity, its instructor. An activity given without its course brings the course with it.

        Raises `ValueError`, listing what there is, for a name that the world does not have.
        """
        chosen = self._course(course, activity)
        link = chosen.activities[0] if activity is None else chosen.activity(activity)
        if link is None:
            raise ValueError(
                f"no activity {activity!r} in course {chosen.id!r}; "
                f"it has {', '.join(item.id for item in chosen.activities)}"
            )
        person = chosen.instructor if user is None else chosen.member(user)
        if person is None:
            raise ValueError(
                f"no user {user!r} in course {chosen.id!r}; "
                f"it has {', '.join(member.id for member in chosen.members)}"
            )
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


def same_role(one: str, other: str) -> bool:
    """Whether two roles are the same: a bare name stands for the membership vocabulary's URI."""
    return _full_role(one) == _full_role(other)


def _full_role(role: str) -> str:
    return role if "#" in role or ":" in role else f"{MEMBERSHIP}{role}"


INSTRUCTOR = (f"{MEMBERSHIP}Instructor", f"{INSTITUTION}Faculty")
LEARNER = (f"{MEMBERSHIP}Learner", f"{INSTITUTION}Student")

_LEARNERS = (
    "chen Chen Liu|dora Dora Kovács|emil Emil Berg|fatima Fatima Zahra|george George Obi|"
    "hana Hana Sato|ivan Ivan Petrov|julia Julia Rossi|kofi Kofi Mensah|lena Lena Fischer|"
    "marco Marco Silva|nadia Nadia Haddad|omar Omar Aziz|priya Priya Nair|quinn Quinn O'Neill|"
    "rosa Rosa Méndez|sven Sven Lund|tara Tara Singh|uma Uma Iyer|viktor Viktor Novák|"
    "wanda Wanda Nowak|xavier Xavier Dubois|yara Yara Costa|zoe Zoe Martin|amir Amir Karimi"
)


def _learners() -> tuple[User, ...]:
    rows = (entry.split(" ", 2) for entry in _LEARNERS.split("|"))
    return tuple(User(id, LEARNER, given, family) for id, given, family in rows)


def default_world() -> World:
    """The world that the sandbox starts with: the same one every time."""
    northfield = Platform(
        id="8f1d0c5ae2b94c7f9d36c1a4e0b7f215",
        name="Northfield University",
        url="https://moodle.northfield.example",
        product="moodle",
        client_id="b3PnQ7xKc2LtVdA",
        deployment_id="1",
        roster=True,
        grades=True,
        deep_linking=True,
    )
    lakeside = Platform(
        id="27c4be90d1534f0ab6e8823c9f5d1e64",
        name="Lakeside School",
        url="https://lms.lakeside.example",
        product="homegrown",
        client_id="lakeside-tool",
        deployment_id="main",
        deep_linking=True,
        sparse=True,
    )
    heritage = Platform(
        id="c05a7716f3e84d21b49fd8b20e6a93c7",
        name="Heritage College",
        url="https://lms.heritage.example",
        product="heritage",
        lti_version="1.2.0",
        consumer_key="heritage-consumer",
        grades=True,
    )
    ada = User("ada", INSTRUCTOR, "Ada", "Moreau")
    ben = User("ben", ("Learner",), "Ben", "Carter")
    anonymous = User("f3b1c9d2-77aa", LEARNER)
    mentor = User("mia", (f"{MEMBERSHIP}Mentor",), "Mia", "Carter", mentor_of=("ben",))
    guest = User("gil", (), "Gil", "Stone")
    inactive = User("ines", LEARNER, "Inés", "Vega", status="Inactive")
    deleted = User("dele", LEARNER, "Dele", "Ade", status="Deleted")
    silent = User("sol", LEARNER, "Sol", "Ruiz", status=None)
    learners = _learners()
    return World(
        (
            Course(
                "biology",
                "BIO-101",
                "Introduction to Biology",
                northfield,
                (
                    Activity("quiz-1", "Quiz 1: The cell", "Ten questions on the living cell.", 10),
                    Activity("lab-report", "Lab report", "Write up the microscope session."),
                ),
                (ada, ben, anonymous, mentor, guest, inactive, *learners),
            ),
            Course(
                "history",
                "HIS-204",
                "The Long Nineteenth Century",
                northfield,
                (
                    Activity("essay", "Essay", "Two thousand words on one revolution."),
                    Activity("timeline", "Timeline", "Put twelve events in order.", 12),
                ),
                (
                    User("noor", INSTRUCTOR, "Noor", "Haddad"),
                    ada,
                    ben,
                    *learners[:6],
                    deleted,
                    silent,
                ),
            ),
            Course(
                "choir",
                "MUS-001",
                "University Choir",
                northfield,
                (
                    Activity("rehearsal", "Rehearsal room", "Scores and recordings."),
                    Activity("concert", "Concert plan", "Who stands where."),
                ),
                (ada, ben, *learners[6:10]),
                grades=False,
            ),
            Course(
                "drawing",
                "ART-7",
                "Drawing from Life",
                lakeside,
                (
                    Activity("sketchbook", "Sketchbook", "A page for each week."),
                    Activity("portfolio", "Portfolio", "Opened from the school's front page."),
                ),
                # The same user id as at Northfield, and another person: ids are unique per
                # platform.
                (
                    User("ada", ("Instructor",), "Ada", "Lindqvist"),
                    User("pupil-1", ("Learner",)),
                    User("pupil-2", ("Learner",), "Otto", "Brandt"),
                ),
            ),
            Course(
                "chemistry",
                "CHEM-2",
                "Practical Chemistry",
                heritage,
                (
                    Activity("titration", "Titration", "Measure, then calculate.", 20),
                    Activity("safety", "Safety test", "Before you enter the lab.", 5),
                ),
                (
                    User("1001", ("Instructor",), "Grace", "Owusu", numeric_id=True),
                    User("1002", ("Learner",), "Hugo", "Weiss", numeric_id=True),
                    User("1003", ("Learner",), "Ida", "Holm", numeric_id=True),
                ),
            ),
        )
    )
