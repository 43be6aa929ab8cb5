"""Turns an ltik into a verified launch.

In this package, ``clock`` returns seconds since the epoch, and ``monotonic`` returns seconds of a
monotonic clock. Both are arguments so that tests can replace them.
"""
