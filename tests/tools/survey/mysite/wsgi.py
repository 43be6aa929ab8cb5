import os

from django.core.wsgi import get_wsgi_application

from ltiaas_middleware.wsgi import LTIAASMiddleware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = LTIAASMiddleware(
    get_wsgi_application(), require=["/api"], callbacks=["/accounts/git/login/callback/"]
)
