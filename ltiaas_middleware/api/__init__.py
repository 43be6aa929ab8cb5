"""Calls to LTIAAS, for threads and for tasks.

``AsyncApiSession`` stands in ``api.async_session``: it needs the extra ``[async]``.
"""

from .content_items import ContentItem as ContentItem
from .content_items import DeepLinkingMessage as DeepLinkingMessage
from .exchange import Limits as Limits
from .gradebook import LineItem as LineItem
from .gradebook import NewLineItem as NewLineItem
from .gradebook import Result as Result
from .gradebook import Score as Score
from .id_token import IdToken as IdToken
from .registrations import AuthConfig as AuthConfig
from .registrations import CompletedRegistration as CompletedRegistration
from .registrations import PlatformRegistration as PlatformRegistration
from .registrations import Registration as Registration
from .registrations import SupportedMessage as SupportedMessage
from .roster import Member as Member
from .session import ApiSession as ApiSession
