# python examples/django_app.py runserver --noreload 8000
"""An LTI tool in Django, in one file. In production: ``gunicorn examples.django_app:app``.

Start a local LTIAAS first, and set the two variables that it prints:

    python -m ltiaas_middleware sandbox --tool http://127.0.0.1:8000/launch
"""

import os
import sys

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.shortcuts import redirect
from django.template import engines
from django.urls import path
from django.views.decorators.http import require_POST

from ltiaas_middleware import Score, require_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY", "only for the sandbox"),
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    USE_TZ=True,
    WSGI_APPLICATION=f"{__name__}.app",
    # The same as in startproject. Under a launch path, the middleware removes the X-Frame-Options
    # header and makes Django's cookies work in the LMS's iframe.
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
)

PAGE = """<!doctype html>
<title>{{ token.launch.resource_link.title }}</title>
<h1>Hello {{ token.user.name|default:"there" }}</h1>
<p>{{ token.launch.context.title }}: {{ token.launch.resource_link.title }}</p>
<p><a href="{% url 'roster' %}">Who else is in this course</a></p>
<form method="post" action="{% url 'finish' %}">{% csrf_token %}<button>Finish</button></form>
"""
ROSTER = """<!doctype html>
<title>Roster</title>
<ul>{% for member in members %}<li>{{ member.name|default:member.user_id }}</li>{% endfor %}</ul>
<p><a href="{% url 'start' %}">Back</a></p>
"""


def page(request, template, **values):
    return HttpResponse(engines["django"].from_string(template).render(values, request))


def start(request):
    return page(request, PAGE, token=require_launch().id_token)


def roster(request):
    launch = require_launch()
    if not launch.has_role("Instructor"):
        raise PermissionDenied
    return page(request, ROSTER, members=launch.api.members())


@require_POST
def finish(request):
    launch = require_launch()
    column = launch.id_token.services.assignment_and_grades.line_item_id
    if column is None or not launch.has_role("Learner"):
        return HttpResponse("There is no grade to hand in here.", status=409)
    # Your tool decides the score.
    score = Score(user_id=launch.user_id, score_given=8, score_maximum=10)
    launch.api.submit_score(column, score)
    return redirect("start")  # Inside the launch, like {% url %}.


urlpatterns = [
    path("launch", start, name="start"),
    path("roster", roster, name="roster"),
    path("finish", finish, name="finish"),
]


def needs_a_launch(path):
    """Every path except the pages for the tool's own staff."""
    return not path.startswith("/admin/")


# Settings come from LTIAAS_URL and LTIAAS_API_KEY. With require, the middleware responds with 401
# to a request without a launch, and Django never sees it.
app = LTIAASMiddleware(get_wsgi_application(), require=needs_a_launch)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
