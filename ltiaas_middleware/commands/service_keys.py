"""``service-keys list|delete|rotate``, without the command line.

Each function prints its result, but never a key, and returns the exit status. Each may raise
``ServiceKeyStoreError``.
"""

from __future__ import annotations

import json
from typing import Any

from ..activity import ActivityKey
from ..errors import ServiceKeyUnreadable
from ..service_keys import ServiceKeyStore, StoredServiceKey
from .printing import PROGRAM, fail, printable

_HEAD = ("LAUNCHED (UTC)", "PLATFORM", "CONTEXT", "RESOURCE LINK", "")
_UNREADABLE = "add the secret that encrypted them to LTIAAS_SECRETS, or wait for the next launches"


def list_keys(store: ServiceKeyStore, platform_id: str | None, *, as_json: bool) -> int:
    """For each stored key of one platform or of all, print when it was refreshed, its three ids
    (``-`` for a missing one), and whether it can be decrypted."""
    keys = [_document(key) for key in store.all() if platform_id in (None, key.platform_id)]
    if as_json:
        print(json.dumps({"keys": keys}, indent=2))
    elif not keys:
        print("No service keys. Each launch that offers roster or grades stores one.")
    else:
        rows = [_HEAD, *map(_cells, keys)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(map(str.ljust, row, widths)).rstrip())
    if all(key["readable"] for key in keys):
        return 0
    return fail("Some keys cannot be decrypted.", _UNREADABLE)


def _document(key: StoredServiceKey) -> dict[str, Any]:
    try:
        readable = bool(key.credential)
    except ServiceKeyUnreadable:
        readable = False
    ids = key.activity_key._asdict()
    return {**ids, "refreshed_at": key.refreshed_at.isoformat(), "readable": readable}


def _cells(key: dict[str, Any]) -> tuple[str, ...]:
    ids = (key["platform_id"], key["context_id"], key["resource_link_id"])
    # An LMS may put anything into its ids.
    shown = ("-" if one is None else printable(one) for one in ids)
    refreshed_at = key["refreshed_at"][:19].replace("T", " ")
    return refreshed_at, *shown, "" if key["readable"] else "unreadable"


def delete_keys(store: ServiceKeyStore, which: ActivityKey | str) -> int:
    """Delete the key of one activity, or all keys of a platform (by its id)."""
    deleted = store.delete_platform(which) if isinstance(which, str) else int(store.delete(which))
    if not deleted:
        return fail("No such key.", f"{PROGRAM} service-keys list")
    print(f"Deleted {deleted} key{'' if deleted == 1 else 's'}.")
    return 0


def rotate_keys(store: ServiceKeyStore) -> int:
    """Re-encrypt every key, of all platforms, under the first secret."""
    done = store.rotate()
    print(f"re-encrypted:                    {done.rotated}")
    print(f"already under the first secret:  {done.current}")
    print(f"unreadable:                      {done.unreadable}")
    if done.unreadable:
        return fail(f"Keep the old secret: {done.unreadable} cannot be decrypted.", _UNREADABLE)
    again = "Run it again once every worker has the new secret."
    print(again if done.rotated else "No stored key needs an old secret.")
    return 0
