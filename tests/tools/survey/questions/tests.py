"""The tool's own tests, which ``manage.py test`` runs."""

import re

import requests
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.auth import get_user_model
from django.test import TestCase
from ltiaas_middleware.sandbox import World
from ltiaas_middleware.testing_django import DjangoClient
from rest_framework.test import APIClient
from tests.tools.provider import provider

from .git.views import GitAdapter
from .models import Answer


class CanvasClient(DjangoClient):
    world = World.preset("canvas")


class ApiClient(CanvasClient, APIClient):
    """REST framework's client, in a launch."""


class TestCaseOfTheTool(TestCase):
    client_class = CanvasClient

    def answer(self, text="Mitosis, please", user="ben"):
        self.client.launch("/launch", user=user)
        return self.client.post("/answer", {"text": text}, follow=True)


class TestStudents(TestCaseOfTheTool):
    def test_an_answer_is_saved_and_counts(self):
        page = self.answer()
        self.assertContains(page, "Your answer is saved.")
        self.assertEqual(page.context["launch"].user_id, "ben")
        self.assertEqual(Answer.objects.get().user.first_name, "Ben Carter")
        self.assertEqual(self.client.sandbox.scores()["ben"]["scoreGiven"], 1)

    def test_an_answer_that_is_too_short_is_not(self):
        self.assertContains(self.answer("x"), "at least 3 characters", status_code=400)
        self.assertFalse(Answer.objects.exists())

    def test_what_canvas_says_of_a_refused_point_is_shown(self):
        self.client.launch("/launch", user="ben")
        self.client.sandbox.fault("not_a_student", endpoint="/api/lineitems")
        page = self.client.post("/answer", {"text": "Mitosis"}, follow=True)
        self.assertContains(page, "not a student")
        self.assertTrue(Answer.objects.exists())

    def test_the_launch_page_is_protected_as_djangos_are(self):
        page = self.answer()
        policy = page.headers["Content-Security-Policy"]
        self.assertRegex(policy, r"script-src 'self' 'nonce-[^']+'")
        self.assertIn("frame-ancestors https://*.instructure.com", policy)
        self.assertNotIn("X-Frame-Options", page.headers)

    def test_django_asks_for_its_csrf_token(self):
        client = CanvasClient(enforce_csrf_checks=True)
        page = client.launch("/launch", user="ben")
        self.assertEqual(client.post("/answer", {"text": "Mitosis"}).status_code, 403)
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page.content.decode())[1]
        form = {"text": "Mitosis", "csrfmiddlewaretoken": token}
        self.assertEqual(client.post("/answer", form).status_code, 302)


class TestTheApi(TestCaseOfTheTool):
    def test_students_see_and_change_their_own(self):
        self.answer("Mine", "ben")
        self.answer("Somebody else's", "chen")
        self.client.launch("/launch", user="ben")
        ((mine),) = self.client.get("/api/answers/").json()
        self.assertEqual((mine["name"], mine["text"]), ("Ben Carter", "Mine"))
        changed = self.client.patch(
            f"/api/answers/{mine['id']}/", {"text": "New"}, content_type="application/json"
        )
        self.assertEqual(changed.json()["text"], "New")
        other = Answer.objects.get(user__first_name="Chen Liu")
        url = f"/api/answers/{other.id}/"
        self.assertEqual(self.client.get(url).status_code, 404)
        self.assertEqual(self.client.delete(url).status_code, 403)

    def test_assistants_read_and_teachers_delete(self):
        self.answer()
        url = f"/api/answers/{Answer.objects.get().id}/"
        self.client.launch("/launch", user="tess")
        self.assertEqual(self.client.get(url).json()["name"], "Ben Carter")
        self.assertEqual(self.client.delete(url).status_code, 403)
        self.client.launch("/launch", user="ada")
        self.assertEqual(self.client.delete(url).status_code, 204)

    def test_rest_frameworks_own_client_is_in_the_launch(self):
        client = ApiClient(enforce_csrf_checks=True)
        client.launch("/launch", user="ben")
        token = client.cookies["csrftoken"].value
        made = client.post(
            "/api/answers/", {"text": "Hi"}, format="json", headers={"X-CSRFToken": token}
        )
        self.assertEqual((made.status_code, made.data["name"]), (201, "Ben Carter"))
        self.assertEqual(client.post("/api/answers/", {"text": "Hi"}).status_code, 403)

    def test_another_course_is_another_survey(self):
        self.answer()
        self.client.launch("/launch", user="ada", course="history")
        self.assertEqual(self.client.get("/api/answers/").json(), [])

    def test_nobody_gets_the_middlewares_answer(self):
        refused = self.client.get("/api/answers/")
        self.assertEqual(refused.status_code, 401)
        self.assertEqual(refused.json()["code"], "launch_required")


class TestTeachersAndAdministrators(TestCaseOfTheTool):
    def test_results_are_for_teachers_and_assistants(self):
        self.answer()
        for user in ("ada", "tess"):
            self.assertContains(self.client.launch(user=user), "Ben Carter: Mitosis, please")
        self.client.launch(user="ben")
        self.assertEqual(self.client.get("/results").status_code, 403)

    def test_administrators_work_in_djangos_admin(self):
        self.answer()
        page = self.client.launch(user="adam")
        self.assertContains(page, "Site administration")
        self.assertContains(self.client.get("/admin/questions/answer/"), "Mitosis, please")

    def test_who_is_an_administrator_no_more_leaves_it(self):
        self.client.launch(user="adam")
        self.client.launch(user="adam", roles=["Learner"])
        self.assertEqual(self.client.get("/admin/").status_code, 302)
        self.assertFalse(get_user_model().objects.get().is_staff)


class TestGit(TestCaseOfTheTool):
    """allauth, with a provider that compares the redirect URL exactly."""

    def setUp(self):
        self.git = self.enterContext(provider())
        for name, path in (
            ("authorize_url", "/login/oauth2/auth"),
            ("access_token_url", "/login/oauth2/token"),
            ("profile_url", "/user"),
            ("emails_url", "/user/emails"),
        ):
            before = getattr(GitAdapter, name)
            setattr(GitAdapter, name, self.git.url + path)
            self.addCleanup(setattr, GitAdapter, name, before)
        self.git.redirect_uris = {"https://testserver/accounts/git/login/callback/"}

    def away(self):
        return self.client.post("/accounts/git/login/?process=connect").headers["Location"]

    def test_the_launchs_user_is_connected(self):
        self.client.launch(user="ada")
        allowed = requests.post(self.away(), allow_redirects=False, timeout=10)
        shown = self.client.get(allowed.headers["Location"], follow=True)
        self.assertEqual(shown.status_code, 200)
        self.assertEqual(SocialAccount.objects.get().user.first_name, "Ada Moreau")
        self.assertTrue(SocialToken.objects.get().token.startswith("token-"))

    def test_a_forged_state_connects_nobody(self):
        self.client.launch(user="ada")
        shown = self.client.get("/accounts/git/login/callback/?code=code-0&state=x")
        self.assertEqual(shown.status_code, 401)
        self.assertFalse(SocialAccount.objects.exists())

    def test_the_provider_is_given_the_fixed_url(self):
        self.client.launch(user="ada")
        self.assertEqual(requests.get(self.away(), timeout=10).status_code, 200)
        self.git.redirect_uris.clear()
        self.assertEqual(requests.get(self.away(), timeout=10).status_code, 400)
