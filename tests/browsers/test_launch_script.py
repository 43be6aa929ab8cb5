"""What ltiaas-launch.js does in a browser: an app whose URLs are all absolute stays in its launch
(``apps/absolute.py``), where the middleware could redirect nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from ltiaas_middleware import Settings
from ltiaas_middleware._gate.launch_script import LaunchScript
from ltiaas_middleware._gate.request import Request
from tests.gate.script_cookies import CASES, LAUNCH, PAGES, SHARED

from .browser import Browser
from .running_apps import RunningApps
from .sites import Sites

pytestmark = pytest.mark.browser

GetBrowser = Callable[..., Browser]
ADA, BEN = "Ada Moreau", "Ben Carter"


@pytest.fixture
def tool(apps: RunningApps) -> str:
    return apps.url("absolute")


def opened(person: Browser, lms: Sites, user: str = "ada") -> str:
    """Open the tool in the LMS's frame, in a tab of its own; returns the tab."""
    tab = person.open(lms.activity(user=user), new_tab=True)
    person.page(f"Launched: {ADA if user == 'ada' else BEN}")
    return tab


def said(person: Browser, which: str) -> dict[str, object]:
    person.enter(True)
    person.driver.execute_script(
        "document.querySelector('#said').textContent = ''; window.run(arguments[0])", which
    )
    found: dict[str, object] = json.loads(person.text("#said", "{"))
    return found


@pytest.mark.parametrize("profile", ["third-party-allowed", "third-party-blocked", "no-cookies"])
def test_what_scripts_ask_for_stays_in_the_launch(
    profile: str, browser: GetBrowser, lms: Sites, tool: str
) -> None:
    person = browser(profile)
    tabs = {ADA: opened(person, lms, "ada"), BEN: opened(person, lms, "ben")}
    for name, tab in tabs.items():
        person.show(tab)
        answers = said(person, "asks")
        assert len(answers) == 10
        if profile == "no-cookies":
            # Without storage there is no shared worker.
            del answers["SharedWorker"]
        assert set(answers.values()) == {name}, answers


def test_what_is_no_part_of_the_launch_is_left_alone(
    browser: GetBrowser, lms: Sites, tool: str
) -> None:
    person = browser("third-party-blocked")
    opened(person, lms)
    assert said(person, "others") == {
        "excluded": "/static/early.js",
        "elsewhere": "https://www.elsewhere.test/x",
        "service worker": "SecurityError",
        "data and blob": "ab",
    }
    person.click("#static")
    person.page("Static: nobody")


def test_outside_a_launch_it_does_nothing(browser: GetBrowser, lms: Sites, tool: str) -> None:
    person = browser("third-party-allowed")
    person.open(f"{tool}/page/outside")
    person.page("GET outside: nobody", framed=False)
    changed = person.run(
        """
        // Firefox's driver shows its scripts copies of what the page has.
        const page = window.wrappedJSObject || window;
        const has = () => [page.fetch, page.open, page.WebSocket, page.history.pushState];
        const before = has();
        const script = document.createElement("script");
        script.src = "/lti/ltiaas-launch.js";
        script.onload = () => {
          document.cookie = "own=1";
          const same = has().every((each, at) => each === before[at]);
          const cookies = document.cookie;
          document.cookie = "own=; Max-Age=0";
          done([same, cookies, typeof page.ltiaas]);
        };
        document.head.append(script);""",
        framed=False,
    )
    same, cookies, its_object = changed
    assert (same, its_object) == (True, "undefined")
    # Among those of other tests of the same site.
    assert "own=1" in cookies.split("; ")


def test_it_runs_before_the_apps_own_scripts(browser: GetBrowser, lms: Sites, tool: str) -> None:
    person = browser("third-party-blocked")
    opened(person, lms)
    path = person.text("#early", "/lti/")
    assert person.page(f"Launched: {ADA}").url == f"{tool}{path}/launch"


@pytest.mark.parametrize("profile", ["third-party-allowed", "third-party-blocked"])
def test_scripts_see_and_set_the_launchs_own_cookies(
    profile: str, browser: GetBrowser, lms: Sites, tool: str
) -> None:
    person = browser(profile)
    tabs = {"Ada": opened(person, lms, "ada"), "Ben": opened(person, lms, "ben")}
    for name, tab in tabs.items():
        person.show(tab)
        app = f"csrftoken={name}"
        answers = said(person, "cookies")
        assert answers["of the app"] == app
        shown, sent, after = str(answers["of a script"]).split(" | ")
        assert sorted(shown.split("; ")) == [app, "theme=dark"]
        assert sent == f"{app}; deep=1; session=hidden; theme=dark"
        assert after == app
        if answers["cookieStore"] != "none":
            assert answers["cookieStore"] == (
                f"color,csrftoken,size | red |  | color=red; {app}; deep=1; session=hidden"
            )


# The script in a page that is no more than what it looks at.
SET_COOKIES = """
const [source, cases] = arguments;
const run = new Function("page", `with (page) { ${source} }`);
return cases.map(([given, url, isSecureContext]) => {
  const sent = [];
  class Document {
    get cookie() { return ""; }
    set cookie(text) { sent.push(text); }
  }
  class HTMLFormElement { submit() {} }
  const nothing = () => {};
  const page = { Document, HTMLFormElement, document: new Document(), location: new URL(url),
    isSecureContext, fetch: nothing, open: nothing, addEventListener: nothing };
  page.self = page.window = page.top = page.parent = page;
  run(page);
  page.document.cookie = given;
  return sent.join();
});"""


def test_what_scripts_set_becomes_what_the_middleware_makes_of_the_apps(
    browser: GetBrowser,
) -> None:
    """tests/gate/test_app_cookies.py holds the middleware to the same cases."""
    settings = Settings(url="https://ltiaas.example", api_key="k", shared_cookies=[SHARED])
    source = LaunchScript(settings).response(Request({"REQUEST_METHOD": "GET"}, "", "", None)).body
    given = []
    for case in CASES:
        url = f"{PAGES[case.reached]}{case.mount}{LAUNCH}/page"
        given.append([case.given, url, case.reached != "http"])
        # An LMS without TLS makes no page in its iframe a secure context.
    given += [[text, url, False] for text, url, _ in given if url.startswith("https:")]
    person = browser("third-party-allowed")
    person.driver.get("about:blank")
    sent = person.driver.execute_script(SET_COOKIES, source.decode(), given)
    wanted = [case.becomes for case in CASES]
    wanted += [case.becomes for case in CASES if case.reached == "https"]
    assert dict(zip(map(str, given), sent, strict=True)) == dict(
        zip(map(str, given), wanted, strict=True)
    )


@pytest.mark.parametrize(
    ("element", "heading"),
    [
        ("#link", "GET link"),
        ("#svg rect", "GET svg"),
        ("#area", "GET area"),
        ("#post-it", "POST post"),
        ("#formaction", "POST formaction"),
        ("#get-it", "GET get a b"),
    ],
)
def test_links_and_forms_stay_in_the_launch(
    element: str, heading: str, browser: GetBrowser, lms: Sites, tool: str
) -> None:
    person = browser("third-party-blocked")
    opened(person, lms)
    if element == "#area":
        # Firefox's driver finds no place in it to click on.
        person.driver.execute_script("arguments[0].click()", person.find(element))
    else:
        person.click(element)
    page = person.page(f"{heading}: {ADA}")
    assert re.match(rf"{tool}/lti/[\w-]{{22}}/page/", page.url)
    # Back, the page has its own URLs again.
    person.back()
    person.page(f"Launched: {ADA}")
    assert person.link("#link") == f"{tool}/page/link"


@pytest.mark.parametrize(
    "script",
    [
        "document.querySelector('#by-script').submit()",
        "document.querySelector('#by-script').requestSubmit()",
        "document.querySelector('#shadow').shadowRoot.querySelector('button').click()",
    ],
)
def test_forms_that_a_script_sends_stay_in_the_launch(
    script: str, browser: GetBrowser, lms: Sites, tool: str
) -> None:
    person = browser("third-party-blocked")
    opened(person, lms)
    person.driver.execute_script(script)
    person.page(f"POST {'shadow' if 'shadow' in script else 'by-script'}: {ADA}")


def test_a_form_without_an_action_never_gets_one(
    browser: GetBrowser, lms: Sites, tool: str
) -> None:
    person = browser("third-party-blocked")
    opened(person, lms)
    action = person.run(
        """
        const form = document.querySelector("#by-script");
        document.head.insertAdjacentHTML("beforeend", "<base href='/'>");
        form.insertAdjacentHTML("afterend", "<iframe name='beside'></iframe>");
        form.removeAttribute("action");
        form.target = "beside";
        form.requestSubmit();
        // After the timer by which the script restores the attribute.
        setTimeout(() => done(form.getAttribute("action")));"""
    )
    assert action is None


@pytest.mark.parametrize(
    "script", ["location = '/page/x'", "document.querySelector('#stopped').click()"]
)
def test_with_the_navigation_api_all_navigations_stay_in_the_launch(
    script: str, browser: GetBrowser, lms: Sites, tool: str
) -> None:
    person = browser("third-party-blocked")
    opened(person, lms)
    if not person.driver.execute_script("return 'navigation' in window"):
        pytest.skip("this browser has no Navigation API")
    person.driver.execute_script(script)
    person.page(f"GET {'x' if 'location' in script else 'stopped'}: {ADA}")


def test_what_the_pages_own_code_has_handled_is_left_alone(
    browser: GetBrowser, lms: Sites, tool: str
) -> None:
    person = browser("third-party-blocked")
    opened(person, lms)
    person.click("#handled")
    person.page("Handled /page/handled")


@pytest.mark.parametrize(
    ("element", "heading"),
    [
        ("#blank", "GET blank"),
        ("#named", "GET named"),
        ("#svg-blank rect", "GET svg-blank"),
        ("#formtarget", "GET get a b"),
    ],
)
def test_new_tabs_open_in_the_launch(
    element: str, heading: str, browser: GetBrowser, lms: Sites, tool: str
) -> None:
    person = browser("third-party-blocked")
    opened(person, lms)
    person.new_tab_after(lambda: person.click(element))
    page = person.page(f"{heading}: {ADA}", framed=False)
    assert re.match(rf"{tool}/lti/[\w-]{{22}}/page/", page.url)
    assert "ltiaas_one_time" not in page.url
    # In a tab of its own the tool keeps its cookies: there the links are plain.
    person.click("#link", framed=False)
    person.page(f"GET link: {ADA}", framed=False)
    person.driver.close()


@pytest.mark.parametrize("target", ["top", "parent"])
def test_a_link_that_takes_the_place_of_the_lms_opens_in_the_launch(
    target: str, browser: GetBrowser, lms: Sites, tool: str
) -> None:
    person = browser("third-party-blocked")
    opened(person, lms)
    person.click(f"#{target}")
    person.page(f"GET {target}: {ADA}", framed=False)


@pytest.mark.parametrize("features", ["", ", '_blank', 'noopener'"])
def test_windows_that_a_script_opens_are_in_the_launch(
    features: str, browser: GetBrowser, lms: Sites, tool: str
) -> None:
    person = browser("third-party-blocked")
    opened(person, lms)
    person.driver.execute_script(
        "document.querySelector('h1').onclick = () => { window.opened = "
        f"window.open('/page/opened'{features}) }}"
    )
    person.new_tab_after(lambda: person.click("h1"))
    person.page(f"GET opened: {ADA}", framed=False)
    has_opener = person.driver.execute_script("return window.opener !== null")
    assert has_opener is (features == "")
    person.driver.close()


@pytest.mark.parametrize(
    "script",
    [
        "document.querySelector('#download').click()",
        "makeLink({href: '/report.csv', download: 'report.csv'}).click()",
    ],
)
def test_a_download_is_the_launchs(script: str, browser: GetBrowser, lms: Sites, tool: str) -> None:
    person = browser("third-party-blocked")
    opened(person, lms)
    person.driver.execute_script(script)
    ask = "return fetch('/api/downloads').then(answer => answer.text())"
    person.wait(lambda: person.driver.execute_script(ask) == ADA, "the download was nobody's")


def test_the_lms_is_told_what_it_understands(browser: GetBrowser, lms: Sites, tool: str) -> None:
    person = browser("third-party-blocked")
    opened(person, lms)
    person.driver.switch_to.default_content()
    person.driver.execute_script(
        "window.told = []; addEventListener('message', event => told.push(event.data))"
    )

    def told(script: str) -> list[object]:
        person.enter(True)
        person.driver.execute_script(script)
        person.driver.switch_to.default_content()
        read = "return told.length < 3 ? null : told.splice(0)"
        return person.wait(lambda: person.driver.execute_script(read), "the LMS was not told")

    for script, subject, more in (
        ("ltiaas.resize(321)", "frameResize", {"height": 321}),
        ("ltiaas.scrollToTop()", "scrollToTop", {}),
        ("ltiaas.close()", "close", {}),
    ):
        message = {"subject": f"lti.{subject}", **more}
        longer = {**message, "subject": f"org.imsglobal.lti.{subject}"}
        assert told(script) == [message, longer, json.dumps(message, separators=(",", ":"))]
    # The page asks for it: data-auto-resize.
    grown = told("document.body.style.height = '2345px'")
    assert isinstance(grown[0], dict)
    assert grown[0]["height"] > 2345
