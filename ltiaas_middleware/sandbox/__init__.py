"""A local LTIAAS account with an LMS, to develop and test a tool against.

It shares no code with the middleware, so that a mistake cannot hide by being made twice. What it
does is held to `wire.md`; where a page of it is silent, the module concerned says so.
"""

from .api_log import ApiLog as ApiLog
from .api_log import ApiLogEntry as ApiLogEntry
from .app import DEFAULT_API_KEY as DEFAULT_API_KEY
from .app import Sandbox as Sandbox
from .server import SandboxServer as SandboxServer
from .serving import serve as serve
from .world import World as World
