"""Stores service keys, with which a job can work for a course while nobody launches it."""

from ..activity import ActivityKey as ActivityKey
from .store import ServiceKeyStore as ServiceKeyStore
from .stored import StoredServiceKey as StoredServiceKey
