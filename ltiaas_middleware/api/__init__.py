"""Calls to LTIAAS, for threads and for tasks. ``ltiaas_middleware`` exports what a tool writes."""
