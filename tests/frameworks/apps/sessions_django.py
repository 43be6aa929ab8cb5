"""The addresses and views of the Django tool of ``sessions``."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.urls import path
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from .sessions import SITE, who


def sign_in(request: Any, name: str) -> None:
    user, _ = User.objects.get_or_create(username=name)
    login(request, user, "django.contrib.auth.backends.ModelBackend")


def write(request: Any, note: str) -> None:
    request.session["notes"] = [*request.session.get("notes", []), note]
    messages.success(request, f"{request.user.username} saved {note}")


def landing(request: Any) -> Any:
    sign_in(request, SITE)
    request.session["notes"] = [SITE]
    get_token(request)
    return HttpResponse("welcome")


def launch(request: Any) -> Any:
    if not request.user.is_authenticated:
        sign_in(request, who())
    return redirect("notes")


def notes(request: Any) -> Any:
    if request.method == "POST":
        write(request, request.POST["note"])
        return redirect("notes")
    page = {
        "user": request.user.username,
        "notes": request.session.get("notes", []),
        "messages": [str(message) for message in messages.get_messages(request)],
        "fields": {"csrfmiddlewaretoken": get_token(request)},
        "headers": {},
    }
    if not settings.CSRF_USE_SESSIONS:
        page["script"] = {"cookie": settings.CSRF_COOKIE_NAME, "header": "X-CSRFToken"}
    return JsonResponse(page)


@api_view(["POST"])
@authentication_classes([SessionAuthentication])
@permission_classes([IsAuthenticated])
def api(request: Any) -> Any:
    write(request._request, request.data["note"])
    return Response("saved")


urlpatterns = [
    path("admin/", admin.site.urls),
    path("landing", landing),
    path("launch", launch),
    path("notes", notes, name="notes"),
    path("api/notes", api),
]
