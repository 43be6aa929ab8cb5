"""LTI launches for Python web apps on LTIAAS. See README.md."""

from typing import TYPE_CHECKING

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from ._launch_header import launch_from as launch_from
    from .activity import ActivityKey as ActivityKey
    from .api.async_session import AsyncApiSession as AsyncApiSession
    from .api.content_items import ContentItem as ContentItem
    from .api.content_items import DeepLinkingMessage as DeepLinkingMessage
    from .api.content_items import Iframe as Iframe
    from .api.content_items import Image as Image
    from .api.content_items import ItemColumn as ItemColumn
    from .api.content_items import Period as Period
    from .api.content_items import Window as Window
    from .api.exchange import RetryPolicy as RetryPolicy
    from .api.id_token import IdToken as IdToken
    from .api.line_items import LineItem as LineItem
    from .api.line_items import NewLineItem as NewLineItem
    from .api.registrations import AuthConfig as AuthConfig
    from .api.registrations import CompletedRegistration as CompletedRegistration
    from .api.registrations import PlatformDetails as PlatformDetails
    from .api.registrations import PlatformRegistration as PlatformRegistration
    from .api.registrations import Registration as Registration
    from .api.registrations import SupportedMessage as SupportedMessage
    from .api.roster import Member as Member
    from .api.scores import Result as Result
    from .api.scores import Score as Score
    from .api.scores import ScoreOutcome as ScoreOutcome
    from .api.session import ApiSession as ApiSession
    from .credentials import ApiKeyCredential as ApiKeyCredential
    from .credentials import LtikCredential as LtikCredential
    from .credentials import ServiceKeyCredential as ServiceKeyCredential
    from .errors import AnonymousLaunch as AnonymousLaunch
    from .errors import ApiError as ApiError
    from .errors import ApiKeyRejected as ApiKeyRejected
    from .errors import CredentialError as CredentialError
    from .errors import CredentialScopeError as CredentialScopeError
    from .errors import Forbidden as Forbidden
    from .errors import IdTokenError as IdTokenError
    from .errors import InvalidRequest as InvalidRequest
    from .errors import InvalidResponse as InvalidResponse
    from .errors import LaunchExpired as LaunchExpired
    from .errors import LaunchRequired as LaunchRequired
    from .errors import LmsError as LmsError
    from .errors import LTIAASError as LTIAASError
    from .errors import MiddlewareMissing as MiddlewareMissing
    from .errors import PlatformInactive as PlatformInactive
    from .errors import RateLimited as RateLimited
    from .errors import RoleRequired as RoleRequired
    from .errors import ServiceKeyStoreError as ServiceKeyStoreError
    from .errors import ServiceKeyUnreadable as ServiceKeyUnreadable
    from .errors import ServiceNotAvailable as ServiceNotAvailable
    from .errors import SettingsError as SettingsError
    from .errors import UpstreamError as UpstreamError
    from .launch import GlobalUserId as GlobalUserId
    from .launch import Launch as Launch
    from .launch import current_launch as current_launch
    from .launch import require_launch as require_launch
    from .responses import ErrorInfo as ErrorInfo
    from .responses import ErrorRequest as ErrorRequest
    from .responses import Response as Response
    from .scrubbing import LtikFilter as LtikFilter
    from .service_keys import ServiceKeyStore as ServiceKeyStore
    from .settings import Settings as Settings

# The module of each public name. It is imported when the name is first used, because most apps need
# only a few names, and the API's modules import requests.
_NAMES = {
    "_launch_header": "launch_from",
    "activity": "ActivityKey",
    "api.content_items": "ContentItem DeepLinkingMessage Iframe Image ItemColumn Period Window",
    "api.exchange": "RetryPolicy",
    "api.id_token": "IdToken",
    "api.line_items": "LineItem NewLineItem",
    "api.registrations": (
        "AuthConfig CompletedRegistration PlatformDetails PlatformRegistration "
        "Registration SupportedMessage"
    ),
    "api.roster": "Member",
    "api.scores": "Result Score ScoreOutcome",
    "api.session": "ApiSession",
    "credentials": "ApiKeyCredential LtikCredential ServiceKeyCredential",
    "errors": (
        "AnonymousLaunch ApiError ApiKeyRejected CredentialError CredentialScopeError "
        "Forbidden IdTokenError InvalidRequest InvalidResponse LaunchExpired "
        "LaunchRequired LmsError LTIAASError MiddlewareMissing PlatformInactive "
        "RateLimited RoleRequired ServiceKeyStoreError ServiceKeyUnreadable "
        "ServiceNotAvailable SettingsError UpstreamError"
    ),
    "launch": "GlobalUserId Launch current_launch require_launch",
    "responses": "ErrorInfo ErrorRequest Response",
    "scrubbing": "LtikFilter",
    "settings": "Settings",
}
# These need an extra: [async] (httpx2) and [sql] (SQLAlchemy). `import *` and help() skip them.
_EXTRAS = {"AsyncApiSession": "api.async_session", "ServiceKeyStore": "service_keys"}
_MODULES = _EXTRAS | {name: module for module, names in _NAMES.items() for name in names.split()}

# Type checkers use the imports above, and report names that do not exist.
if not TYPE_CHECKING:
    __all__ = sorted(_MODULES.keys() - _EXTRAS)

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
