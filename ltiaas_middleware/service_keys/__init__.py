"""Service keys at rest: what lets a job work for a course when nobody is there to launch it."""

from ..activity import ActivityKey as ActivityKey
from .store import ServiceKeyStore as ServiceKeyStore
from .stored import StoredServiceKey as StoredServiceKey
