"""A certificate for this machine, and who issued it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import trustme


@contextlib.contextmanager
def certificate() -> Iterator[tuple[str, str, str]]:
    """Gives the paths of a chain for localhost, its key, and the bundle that trusts it."""
    with tempfile.TemporaryDirectory() as folder:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        chain, key, bundle = (str(Path(folder, f"{name}.pem")) for name in ("chain", "key", "ca"))
        issued.private_key_pem.write_to_path(key)
        for pem in issued.cert_chain_pems:
            pem.write_to_path(chain, append=True)
        authority.cert_pem.write_to_path(bundle)
        yield chain, key, bundle
