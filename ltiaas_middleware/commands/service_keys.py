"""``python -m ltiaas_middleware service-keys list|forget|rotate``, without the command line.

Each command writes lines to ``out`` and gives the process's exit status. None ever writes a key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from ..errors import ServiceKeyStoreError, ServiceKeyUnreadable
from ..service_keys import ServiceKeyStore, StoredServiceKey

__all__ = ["forget_key", "forget_platform", "list_keys", "rotate_keys"]

_HEAD = ("LAUNCHED (UTC)", "PLATFORM", "CONTEXT", "RESOURCE LINK", "")


def list_keys(store: ServiceKeyStore, out: TextIO, *, platform_id: str | None = None) -> int:
    """One tab-separated line for each stored key: when it was refreshed, its three ids (``-`` for
    an absent one), and ``unreadable`` where no secret opens it.

    Args:
        store: where they are.
        out: what to write to.
        platform_id: only this LMS's.

    Returns:
        0, or 1 where a key is unreadable or the database cannot be used.
    """
    status = 0
    try:
        out.write("\t".join(_HEAD).rstrip() + "\n")
        for key in store.all():
            if platform_id is not None and key.platform_id != platform_id:
                continue
            mark = _mark(key)
            status = max(status, 1 if mark else 0)
            ids = (key.platform_id, key.context_id, key.resource_link_id)
            cells = [f"{key.refreshed_at:%Y-%m-%d %H:%M:%S}", *map(_shown, ids), mark]
            out.write("\t".join(cells).rstrip() + "\n")
    except ServiceKeyStoreError as error:
        return _unusable(error, out)
    return status


def forget_key(
    store: ServiceKeyStore,
    out: TextIO,
    platform_id: str,
    context_id: str | None = None,
    resource_link_id: str | None = None,
) -> int:
    """Delete the key stored under exactly these ids.

    Args:
        store: where it is.
        out: what to write to.
        platform_id: of the LMS registration.
        context_id: of the course, None for a launch without one.
        resource_link_id: of the activity, None for a launch without one.

    Returns:
        0, or 1 where there was nothing to delete or the database cannot be used.
    """
    return _forgotten(out, lambda: int(store.forget(platform_id, context_id, resource_link_id)))


def forget_platform(store: ServiceKeyStore, out: TextIO, platform_id: str) -> int:
    """Delete all keys of a platform. Returns as ``forget_key`` does."""
    return _forgotten(out, lambda: store.forget_platform(platform_id))


def _forgotten(out: TextIO, forget: Callable[[], int]) -> int:
    try:
        gone = forget()
    except ServiceKeyStoreError as error:
        return _unusable(error, out)
    out.write(f"forgotten: {gone}\n")
    return 0 if gone else 1


def rotate_keys(store: ServiceKeyStore, out: TextIO) -> int:
    """Re-encrypt every key, of all platforms, under the first secret.

    Returns:
        0, or 1 where a key is unreadable or the database cannot be used.
    """
    try:
        done = store.rotate()
    except ServiceKeyStoreError as error:
        return _unusable(error, out)
    out.write(f"re-encrypted: {done.rotated}\n")
    out.write(f"already under the first secret: {done.current}\n")
    out.write(f"unreadable: {done.unreadable}\n")
    return 1 if done.unreadable else 0


def _mark(key: StoredServiceKey) -> str:
    try:
        _ = key.credential
    except ServiceKeyUnreadable:
        return "unreadable"
    return ""


def _shown(id: str | None) -> str:
    """An id on one line: an LMS may put anything into it, and a terminal would obey it."""
    if id is None:
        return "-"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in id)


def _unusable(error: ServiceKeyStoreError, out: TextIO) -> int:
    out.write(f"the database of service keys cannot be used: {error}\n")
    return 1
