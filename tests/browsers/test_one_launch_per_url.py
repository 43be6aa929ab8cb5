"""One launch per URL, in real browsers: design.md's section of that name."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from .browser import Browser, Page
from .sites import Sites

pytestmark = pytest.mark.browser

GetBrowser = Callable[..., Browser]


def test_a_launch_survives_links_forms_reload_and_back_and_shows_no_ltik(
    browser: GetBrowser, sites: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tool, person = sites.tool(), browser()
    person.open(sites.activity())

    pages = [person.page("Launched")]
    for link, heading in (("#one", "One"), ("#two", "Two"), ("#three", "Three a b 3")):
        person.click(link)
        pages.append(person.page(heading))
    person.click("#save")
    pages.append(person.page("Saved"))
    person.reload_frame()
    pages.append(person.page("Saved"))
    person.back()
    pages.append(person.page("Three a b 3"))

    (ltik,) = tool.ltiks()
    (launch,) = {page.launch for page in pages}
    assert launch
    for page in pages:
        assert page.url.startswith(f"{tool.url}/lti/{launch}/")
        assert page.cookies == ""  # HttpOnly: a script in the page cannot read it either.
        for shown in (page.url, page.referrer, page.text, person.driver.current_url):
            assert ltik not in shown
            assert "ltik=" not in shown
    assert {page.referrer.partition("/lti/")[0] for page in pages[1:]} == {tool.url}
    assert "GET /launch?ltik=[hidden]" in caplog.text
    assert f"/lti/{launch}/one" in caplog.text
    assert ltik not in caplog.text
    assert [seen for seen in tool.seen if ltik in seen.referer] == []
    # Another site's image is asked for on every page, and learns the tool's origin alone.
    assert sites.elsewhere.referers
    assert set(sites.elsewhere.referers) == {f"{tool.url}/"}
    assert sites.sandbox.scores("quiz-1")["ben"]["scoreGiven"] == 7


def test_two_activities_in_two_tabs_each_send_their_score_to_their_own_column(
    browser: GetBrowser, sites: Sites
) -> None:
    sites.tool()
    person = browser()
    quiz = person.open(sites.activity("quiz-1"))
    quiz_launch = person.page("Launched").launch
    report = person.open(sites.activity("lab-report"), new_tab=True)
    report_launch = person.page("Launched").launch

    launches: dict[str, set[str | None]] = {quiz: {quiz_launch}, report: {report_launch}}
    for link, heading in (("#one", "One"), ("#two", "Two")):
        for tab in (quiz, report):
            person.show(tab)
            person.click(link)
            launches[tab].add(person.page(heading).launch)
    for tab, button, heading in (
        (quiz, "#fetch", "Saved by script"),
        (report, "#save", "Saved"),
    ):
        person.show(tab)
        person.click(button)
        launches[tab].add(person.page(heading).launch)

    assert quiz_launch != report_launch
    assert launches == {quiz: {quiz_launch}, report: {report_launch}}
    scores = {name: sites.sandbox.scores(name) for name in ("quiz-1", "lab-report")}
    assert {name: list(column) for name, column in scores.items()} == {
        "quiz-1": ["ben"],
        "lab-report": ["ben"],
    }
    assert scores["quiz-1"]["ben"]["scoreGiven"] == 7
    assert scores["lab-report"]["ben"]["scoreGiven"] == 42
    assert {column["ben"]["submissions"] for column in scores.values()} == {1}


def test_with_third_party_cookies_blocked_the_partitioned_cookie_comes_back(
    browser: GetBrowser, sites: Sites
) -> None:
    person = browser("third-party-blocked")

    tool = sites.tool()
    person.open(sites.activity())
    launch = person.page("Launched").launch
    person.click("#one")
    assert person.page("One").launch == launch
    tool.replace_worker()  # Which knows no launch: only the cookie can open it.
    person.click("#two")
    assert person.page("Two").launch == launch
    person.click("#save")
    assert person.page("Saved").launch == launch
    assert [seen.has_launch_cookie for seen in tool.on("/one") + tool.on("/two")] == [True] * 2
    assert sites.sandbox.scores("quiz-1")["ben"]["submissions"] == 1

    # The control: the block is real, and Partitioned is what gets the cookie past it.
    tool = sites.tool(partitioned=False)
    person.open(sites.activity())
    launch = person.page("Launched").launch
    person.click("#one")
    assert person.page("One").launch == launch
    assert [seen.has_launch_cookie for seen in tool.on("/one")] == [False]
    tool.replace_worker()
    person.click("#two")
    person.page("Open this from your course")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["firefox"], indirect=True, scope="session")
def test_in_firefoxs_strict_mode_the_cookie_comes_back(browser: GetBrowser, sites: Sites) -> None:
    tool, person = sites.tool(), browser("strict")
    person.open(sites.activity())
    launch = person.page("Launched").launch
    tool.replace_worker()
    person.click("#save")
    assert person.page("Saved").launch == launch
    assert tool.on("/score")[0].has_launch_cookie


def test_with_all_cookies_refused_the_path_alone_carries_the_launch(
    kind: str, browser: GetBrowser, sites: Sites
) -> None:
    profiles = ["no-cookies"] + ["third-party-refused"] * (kind == "firefox")
    for times, profile in enumerate(profiles, 1):
        tool, person = sites.tool(), browser(profile)
        person.open(sites.activity())
        launch = person.page("Launched").launch
        for link, heading in (("#one", "One"), ("#two", "Two"), ("#save", "Saved")):
            person.click(link)
            assert person.page(heading).launch == launch
        person.reload_frame()
        assert person.page("Saved").launch == launch
        assert not any(seen.cookie for seen in tool.seen)
        assert sites.sandbox.scores("quiz-1")["ben"]["submissions"] == times


def test_the_copied_address_of_a_cookie_bound_launch_opens_nothing_in_another_profile(
    browser: GetBrowser, sites: Sites
) -> None:
    tool, person, other = sites.tool(), browser(), browser("other")
    person.open(sites.activity())
    person.page("Launched")
    person.click("#one")
    copied = person.page("One").url
    assert tool.on("/one")[0].has_launch_cookie

    other.open(copied)
    assert other.page("Open this from your course", framed=False).launch is None
    # Nor in a frame, where the person whose launch it is had it.
    other.open(sites.elsewhere.page("frame", copied, lms_side=True))
    assert other.page("Open this from your course").launch is None
    assert [seen.status for seen in tool.on("/one")] == [200, 401, 401]
    # And the one who copied it has not ended anything.
    person.click("#two")
    person.page("Two")


def test_a_one_time_link_leaves_the_frame_once(browser: GetBrowser, sites: Sites) -> None:
    tool, person, other = sites.tool(), browser(), browser("other")
    person.open(sites.activity())
    person.page("Launched")
    person.click("#one")
    launch = person.page("One").launch
    one_time_link = person.link("#one-time-link")

    person.new_tab_after(lambda: person.click("#one-time-link"))
    page = person.page("Two", framed=False)
    assert page.launch == launch
    assert "ltiaas_one_time" not in page.url + page.referrer
    assert tool.on("/two")[-1].has_launch_cookie
    person.click("#save", framed=False)
    assert person.page("Saved", framed=False).launch == launch

    other.open(one_time_link)  # For the second time, and within its minute.
    assert other.page("Open this from your course", framed=False).launch is None


def test_a_one_time_link_is_used_up_by_a_tab_that_could_have_done_without(
    browser: GetBrowser, sites: Sites
) -> None:
    tool, person, other = sites.tool(), browser(), browser("other")
    activity = person.open(sites.activity())
    person.page("Launched")
    person.click("#one")
    person.page("One")
    person.new_tab_after(lambda: person.click("#one-time-link"))
    person.page("Two", framed=False)  # And with it a cookie for tabs of the tool's own.

    person.show(activity)
    one_time_link = person.link("#one-time-link")
    person.new_tab_after(lambda: person.click("#one-time-link"))
    person.page("Two", framed=False)
    assert any(seen.has_launch_cookie for seen in tool.seen if "ltiaas_one_time" in seen.query)
    other.open(one_time_link)
    assert other.page("Open this from your course", framed=False).launch is None


def test_by_default_only_the_one_time_link_leaves_the_frame(
    browser: GetBrowser, sites: Sites
) -> None:
    tool, person, other = sites.tool(), browser(), browser("other")
    activity = person.open(sites.activity())
    person.page("Launched")
    person.click("#one")
    launch, address = person.page("One").launch, person.page("One").url

    person.new_tab_after(lambda: person.middle_click("#two"))
    person.page("Open this from your course", framed=False)
    assert tool.on("/two")[-1].fetch_site == "same-origin"

    person.show(activity)
    one_time_link = person.link("#one-time-link")
    person.new_tab_after(lambda: person.click("#one-time-link"))
    assert person.page("Two", framed=False).launch == launch
    assert tool.on("/two")[-1].has_launch_cookie
    person.click("#three", framed=False)
    assert person.page("Three a b 3", framed=False).launch == launch
    other.open(one_time_link)
    other.page("Open this from your course", framed=False)

    # One that a script fetches when it is needed, as docs/howto/single-page-apps.md has it.
    person.show(activity)
    person.new_tab_after(lambda: person.click("#leave"))
    assert person.page("Two", framed=False).launch == launch

    # A fellow student, who has a launch of their own, can be on a page of the tool's own origin.
    other.open(sites.activity(user="chen"))
    other.page("Launched")
    own = other.link("#one-time-link")
    other.open(own)
    other.page("Two", framed=False)
    other.driver.execute_script("location.href = arguments[0]", address)
    other.page("Open this from your course", framed=False)
    assert tool.on("/one")[-1].fetch_site == "same-origin"

    # A one-time link that nobody has used yet opens the launch in whatever browser it is taken to.
    person.show(activity)
    person.reload_frame()
    other.open(person.link("#one-time-link"))
    assert other.page("Two", framed=False).launch == launch


def test_the_script_opens_links_in_new_tabs(browser: GetBrowser, sites: Sites) -> None:
    tool, person = sites.tool(new_tabs=True), browser()
    activity = person.open(sites.activity())
    person.page("Launched")
    person.click("#one")
    launch = person.page("One").launch
    frame = person.page("One").url

    def opens(action: Callable[[], None]) -> Page:
        person.show(activity)
        person.page("One")
        person.new_tab_after(action)
        page = person.page("Two", framed=False)
        assert page.launch == launch
        assert "ltiaas_one_time" not in page.url
        assert tool.on("/two")[-1].has_launch_cookie
        return page

    opens(lambda: person.middle_click("#two"))
    opens(lambda: person.modified_click("#two"))
    assert opens(lambda: person.click("#blank")).url.endswith("/two#part")
    opens(lambda: person.click("#quiet"))
    one_time_link = next(seen for seen in reversed(tool.seen) if "ltiaas_one_time" in seen.query)
    assert one_time_link.referer == ""

    # A link to another site is left alone, and the frame is where it was.
    asked = len(tool.on("/ltiaas-one-time-link"))
    person.show(activity)
    person.new_tab_after(lambda: person.click("#away"))
    person.page("Elsewhere", framed=False)
    person.show(activity)
    assert person.page("One").url == frame
    assert len(tool.on("/ltiaas-one-time-link")) == asked == 4
    person.click("#two")
    person.page("Two")


def test_the_script_falls_back_to_the_plain_link(browser: GetBrowser, sites: Sites) -> None:
    sites.tool(new_tabs=True)
    person = browser()
    person.open(sites.activity())
    person.page("Launched")
    person.click("#one")
    person.page("One")
    person.find("#two")
    person.driver.execute_script("Response.prototype.json = () => Promise.reject(new Error())")
    person.new_tab_after(lambda: person.middle_click("#two"))
    person.page("Open this from your course", framed=False)


def test_a_refusal_shows_its_advice_inside_the_frame(
    browser: GetBrowser, sites: Sites, picture: Callable[[Browser, str], None]
) -> None:
    person = browser()
    # With a ttl that is over at once, every request asks LTIAAS.
    sites.tool(ttl=0.001)
    advice = "Return to your course and open this activity again."

    person.open(sites.activity())
    person.page("Launched")
    sites.clock.ahead = 24 * 60 * 60 + 60
    person.click("#one")
    assert advice in person.page("Your session has ended").text
    picture(person, "expired-launch")
    sites.clock.ahead = 0

    for fault, heading, words, name in (
        ("refuse", "Your session has ended", advice, "refused-launch"),
        (
            "reset",
            "Opening your activity…",
            "it will continue automatically",
            "ltiaas-down",
        ),
        (
            "bad_api_key",
            "This tool isn't set up correctly",
            "You did nothing wrong",
            "api-key-rejected",
        ),
    ):
        sites.sandbox.fault(fault, endpoint="/api/idtoken")
        person.open(sites.activity())
        assert words in person.page(heading).text
        picture(person, name)
        sites.sandbox.clear_faults()

    # And what it advises works.
    person.open(sites.activity())
    person.page("Launched")


def test_a_form_that_another_site_posts_with_the_users_cookies_changes_nothing(
    browser: GetBrowser, sites: Sites
) -> None:
    tool, victim = sites.tool(), browser()
    activity = victim.open(sites.activity())
    victim.page("Launched")
    victim.click("#one")
    victim.page("One")
    # A tab of the tool's own gives the victim a cookie that a cross-site form will carry.
    victim.new_tab_after(lambda: victim.click("#one-time-link"))
    launch_path = victim.page("Two", framed=False).url.removesuffix("/two")
    refused = "Request blocked"

    victim.open(sites.elsewhere.page("form", f"{launch_path}/score"))
    victim.click("#go", framed=False)
    victim.page(refused, framed=False)
    attack = tool.on("/score")[-1]
    assert (attack.method, attack.status, attack.fetch_site) == ("POST", 303, "cross-site")
    assert attack.has_launch_cookie, "the attack must be a real one"

    # In a frame below the LMS's own site, the form carries the cookie that the LMS's frame has.
    form = sites.elsewhere.page("form", f"{launch_path}/score")
    victim.open(sites.elsewhere.page("frame", form, lms_side=True))
    victim.click("#go")
    victim.page(refused)
    attack = tool.on("/score")[-1]
    assert (attack.method, attack.status, attack.fetch_site) == ("POST", 303, "cross-site")
    assert attack.has_launch_cookie, "the attack must be a real one"

    # Without knowing the launch path there is no launch to misuse.
    victim.open(sites.elsewhere.page("form", f"{tool.url}/score"))
    victim.click("#go", framed=False)
    attack = victim.wait(
        lambda: next((seen for seen in tool.seen if seen.path == "/score" and seen.status), None),
        "no request",
    )
    assert (attack.method, attack.status) == ("POST", 401)
    assert not attack.has_launch_cookie

    assert tool.changes == []
    assert sites.sandbox.scores("quiz-1") == {}
    # The same form, posted by the tool's own page, does change something.
    victim.show(activity)
    victim.open(sites.activity())
    victim.page("Launched")
    victim.click("#save")
    victim.page("Saved")
    assert len(tool.changes) == 1
