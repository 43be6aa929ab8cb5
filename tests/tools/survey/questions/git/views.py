from allauth.socialaccount.providers.github.views import GitHubOAuth2Adapter
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from django.conf import settings

from ltiaas_middleware import require_launch


class GitAdapter(GitHubOAuth2Adapter):
    provider_id = "git"
    authorize_url = f"{settings.GIT_URL}/login/oauth2/auth"
    access_token_url = f"{settings.GIT_API_URL}/login/oauth2/token"
    profile_url = f"{settings.GIT_API_URL}/user"
    emails_url = f"{settings.GIT_API_URL}/user/emails"

    def get_callback_url(self, request, app) -> str:
        """The URL that is registered with the provider, which names no launch."""
        return require_launch().outside_url("/accounts/git/login/callback/")


oauth2_login = OAuth2LoginView.adapter_view(GitAdapter)
oauth2_callback = OAuth2CallbackView.adapter_view(GitAdapter)
