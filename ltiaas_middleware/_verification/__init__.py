"""From an ltik to a verified launch."""
