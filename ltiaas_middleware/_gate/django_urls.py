"""Django reads ``STATIC_URL`` and ``MEDIA_URL`` once, and puts the mount point of that moment in
front for the life of the process. In a launch, that would be one user's launch path on everybody's
pages."""

from __future__ import annotations

import sys

__all__ = ["read_outside_any_launch"]


def read_outside_any_launch(mount: str) -> None:
    """Have Django read its addresses of static files with the server's own mount point. Where they
    have been read already, or there is no Django, nothing happens.

    Args:
        mount: as the server gives it, without a launch path.
    """
    django = sys.modules.get("django.conf")
    if django is None or not django.settings.configured:
        return
    from django.urls import get_script_prefix, set_script_prefix

    before = get_script_prefix()
    set_script_prefix(mount or "/")
    try:
        for name in ("STATIC_URL", "MEDIA_URL"):
            getattr(django.settings, name, None)
    finally:
        set_script_prefix(before)
