from __future__ import annotations

from django.core.asgi import get_asgi_application

from ltiaas_middleware.asgi import LTIAASMiddleware

from . import django_project  # noqa: F401 - configures Django
from .mounting import asgi_site

app = LTIAASMiddleware(get_asgi_application())
site = asgi_site(app)
