"""Calls to LTIAAS, for threads and for tasks."""
