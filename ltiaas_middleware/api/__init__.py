"""Calls to LTIAAS, for threads and for tasks. ``ltiaas_middleware`` exports the names that tools
use."""
