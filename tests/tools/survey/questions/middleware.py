"""Signs the launch's user in, as docs/howto/django.md shows it."""

from collections.abc import Callable
from hashlib import sha256

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse

from ltiaas_middleware import Launch, current_launch

ADMINISTRATOR = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Administrator"


class LaunchUserMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        launch = current_launch()
        if launch is not None:
            request.user = _user_of(launch)
        return self.get_response(request)


def _user_of(launch: Launch):
    """The LMS's administrators work in Django's admin."""
    is_administrator = ADMINISTRATOR in launch.id_token.user.roles
    user, _ = get_user_model().objects.update_or_create(
        username=sha256("/".join(launch.global_user_id).encode()).hexdigest(),
        defaults={
            "first_name": launch.id_token.user.name or "",
            "is_staff": is_administrator,
            "is_superuser": is_administrator,
        },
    )
    return user
