"""A local LTIAAS account with an LMS, for developing and testing tools.

It shares no code with the middleware, so that the same mistake cannot be in both. It follows
`wire.md`; where `wire.md` says nothing, the module in question says so.
"""

from .api_log import ApiLog as ApiLog
from .api_log import ApiLogEntry as ApiLogEntry
from .app import DEFAULT_API_KEY as DEFAULT_API_KEY
from .app import Sandbox as Sandbox
from .server import SandboxServer as SandboxServer
from .serving import serve as serve
from .world import World as World
