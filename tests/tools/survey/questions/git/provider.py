from allauth.socialaccount.providers.github.provider import GitHubProvider

from .views import GitAdapter


class GitProvider(GitHubProvider):
    id = "git"
    name = "Git"
    oauth2_adapter_class = GitAdapter


provider_classes = [GitProvider]
