"""A Django tool and its own tests, run by ``test_django.py`` in a process of their own."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

import django
from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.template import engines
from django.test import TestCase
from django.urls import path, reverse

settings.configure(
    ALLOWED_HOSTS=["testserver"],
    SECRET_KEY="x" * 50,
    ROOT_URLCONF=__name__,
    WSGI_APPLICATION=f"{__name__}.application",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

from ltiaas_middleware import current_launch  # noqa: E402
from ltiaas_middleware.sandbox import World  # noqa: E402
from ltiaas_middleware.testing_django import DjangoClient  # noqa: E402
from ltiaas_middleware.wsgi import LTIAASMiddleware  # noqa: E402
from tests.testing.tools import hand_in, who  # noqa: E402


def launch(request):
    launch = current_launch()
    if launch is not None:
        get_user_model().objects.get_or_create(username=launch.user_id)
        request.session["began"] = launch.user_id
    if "then" in request.GET:
        return HttpResponseRedirect(reverse("page"))
    page = engines["django"].from_string("Hello {{ name }}")
    return HttpResponse(page.render({"name": who()}, request))


def page(request):
    assert request.path == "/page"
    return HttpResponse(f"{who()} {request.session.get('began')} {reverse('page')}")


def score(request):
    assert request.POST.get("answer") == "42" or request.body == b'{"answer": 42}'
    return HttpResponse(hand_in())


def connect(request):
    request.session["state"] = "of the library"
    redirect_uri = current_launch().outside_url("/callback/")
    query = urlencode({"redirect_uri": redirect_uri, "state": request.session["state"]})
    return HttpResponseRedirect(f"https://provider.example/authorize?{query}")


def framed(request):
    policy = {"Content-Security-Policy": "frame-ancestors https://lms.example"}
    return HttpResponse("framed", headers=policy)


def callback(request):
    assert request.GET["state"] == request.session["state"]
    return HttpResponse(f"{who()} {request.META.get('HTTP_ACCEPT')}")


urlpatterns = [
    path("launch", launch),
    path("page", page, name="page"),
    path("score", score),
    path("connect", connect),
    path("callback/", callback),
    path("framed", framed),
]
application = LTIAASMiddleware(get_wsgi_application(), callbacks=["/callback/"])


class TestTheTool(TestCase):
    client_class = DjangoClient

    def test_a_learner_launches_and_hands_in(self):
        shown = self.client.launch("/launch", user="ben")
        self.assertContains(shown, "Hello Hello Ben Carter")
        self.assertEqual(shown.context["name"], "Hello Ben Carter")
        self.assertTrue(get_user_model().objects.filter(username="ben").exists())
        self.assertContains(self.client.post("/score", {"answer": "42"}), "saved")
        self.assertEqual(self.client.sandbox.scores()["ben"]["scoreGiven"], 8)

    def test_a_script_hands_in_as_json(self):
        self.client.launch(user="ben")
        sent = self.client.post("/score", {"answer": 42}, content_type="application/json")
        self.assertContains(sent, "saved")

    def test_sessions_and_redirects_are_the_launchs(self):
        shown = self.client.launch("/launch?then=1", user="ben")
        user, began, url = shown.content.decode().rsplit(" ", 2)
        self.assertEqual((user, began), ("Hello Ben Carter", "ben"))
        self.assertRegex(url, "^/lti/[^/]{22}/page$")
        # Another test's user is gone with its transaction.
        self.assertEqual(get_user_model().objects.count(), 1)

    def test_a_providers_redirect_arrives_in_the_launch(self):
        self.client.launch(user="ben")
        away = dict(parse_qsl(urlsplit(self.client.get("/connect").headers["Location"]).query))
        self.assertEqual(away["redirect_uri"], "https://testserver/callback/")
        back = f"{away['redirect_uri']}?state={away['state']}"
        self.assertContains(self.client.get(back, follow=True), "Hello Ben Carter")

    def test_views_are_asked_for_no_certain_type(self):
        self.client.launch(user="ben")
        self.client.get("/connect")
        own = self.client.get("/callback/?state=of+the+library")
        self.assertContains(own, "Hello Ben Carter None")

    def test_the_middleware_logs_once_what_it_logs_once(self):
        self.client.launch()
        with self.assertLogs("ltiaas_middleware") as logged:
            for _ in range(3):
                self.client.get("/framed")
        self.assertEqual(len([line for line in logged.output if "frame-ancestors" in line]), 1)

    def test_a_world_of_its_own(self):
        class InCanvas(DjangoClient):
            world = World.preset("canvas")

        client = InCanvas()
        client.launch()
        (platform,) = {one.product for one in client.sandbox.world.platforms[:1]}
        self.assertEqual(platform, "canvas")

    def test_without_a_launch_there_is_the_middlewares_answer(self):
        refused = self.client.post("/score", {"answer": "42"})
        self.assertEqual(refused.status_code, 401)
        self.assertEqual(refused.headers["LTIAAS-Error"], "launch_required")
        self.assertEqual(refused.json()["code"], "launch_required")
