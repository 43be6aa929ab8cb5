"""From an ltik to a verified launch.

In this package ``clock`` gives seconds since the epoch, ``monotonic`` seconds of a monotonic clock;
both are arguments for the sake of tests.
"""
