"""LTI launches for Python web apps on LTIAAS. See README.md."""

from ._version import __version__ as __version__
from .access_logs import LtikFilter as LtikFilter
from .credentials import ApiKeyCredential as ApiKeyCredential
from .credentials import LtikCredential as LtikCredential
from .credentials import ServiceKeyCredential as ServiceKeyCredential
from .errors import ApiError as ApiError
from .errors import ApiKeyRejected as ApiKeyRejected
from .errors import CredentialError as CredentialError
from .errors import CredentialScopeError as CredentialScopeError
from .errors import IdTokenError as IdTokenError
from .errors import LaunchExpired as LaunchExpired
from .errors import LaunchRequired as LaunchRequired
from .errors import LTIAASError as LTIAASError
from .errors import RateLimited as RateLimited
from .errors import ServiceUnavailableForContext as ServiceUnavailableForContext
from .errors import SettingsError as SettingsError
from .errors import UpstreamError as UpstreamError
from .id_token import IdToken as IdToken
from .launch import GlobalUserId as GlobalUserId
from .launch import Launch as Launch
from .launch import current_launch as current_launch
from .launch import require_launch as require_launch
from .refusals import Answer as Answer
from .refusals import Refusal as Refusal
from .settings import Settings as Settings
