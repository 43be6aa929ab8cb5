from __future__ import annotations

from django.core.wsgi import get_wsgi_application

from ltiaas_middleware.wsgi import LTIAASMiddleware

from . import django_project  # noqa: F401 - configures Django
from .mounting import wsgi_site

app = LTIAASMiddleware(get_wsgi_application())
site = wsgi_site(app)
