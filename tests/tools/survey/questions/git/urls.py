from allauth.socialaccount.providers.oauth2.urls import default_urlpatterns

from .provider import GitProvider

urlpatterns = default_urlpatterns(GitProvider)
