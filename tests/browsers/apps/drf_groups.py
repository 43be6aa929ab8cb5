"""Django REST framework's quickstart, in one file: the browsable API of ``Group``, by a session."""

from __future__ import annotations

import os
from typing import Any

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="a key of the tests",
    DEBUG=True,
    ALLOWED_HOSTS=["tool.vendor.test", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    STATIC_URL="static/",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "rest_framework",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    REST_FRAMEWORK={"DEFAULT_PAGINATION_CLASS": None},
)
django.setup()

from django.contrib.auth import login  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.staticfiles.urls import staticfiles_urlpatterns  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.shortcuts import redirect  # noqa: E402
from django.urls import include, path  # noqa: E402
from rest_framework import permissions, routers, serializers, viewsets  # noqa: E402

from ltiaas_middleware import require_launch  # noqa: E402
from ltiaas_middleware.wsgi import LTIAASMiddleware  # noqa: E402


class GroupSerializer(serializers.HyperlinkedModelSerializer):
    class Meta:
        model = Group
        fields = ("url", "name")


class GroupViewSet(viewsets.ModelViewSet):
    queryset = Group.objects.all().order_by("name")
    serializer_class = GroupSerializer
    permission_classes = (permissions.IsAuthenticated,)

    def perform_create(self, serializer: Any) -> None:
        said = serializer.validated_data["name"]
        serializer.save(name=f"{self.request.user.username} saved {said}")


def launch(request: Any) -> Any:
    name = require_launch().id_token.user.name
    login(request, User.objects.get_or_create(username=name)[0])
    return redirect("group-list")


router = routers.DefaultRouter()
router.register("groups", GroupViewSet)
urlpatterns = [
    path("launch", launch),
    path("", include(router.urls)),
    path("api-auth/", include("rest_framework.urls")),
    *staticfiles_urlpatterns(),
]

call_command("migrate", verbosity=0)
app = LTIAASMiddleware(get_wsgi_application())
