"""A sandbox in a process of its own, so that it does not share the measured one's interpreter.

``python -m benchmarks.sandbox N [certificate key]`` prints its address, its key and N ltiks as one
line of JSON, and serves until its input ends. For each line of input it prints how many TLS
handshakes there have been.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from ltiaas_middleware.sandbox import Sandbox, SandboxServer


@contextlib.contextmanager
def running(launches: int, *certificate: str) -> Iterator[dict[str, Any]]:
    """Start one; gives ``url``, ``api_key`` and ``ltiks``, and ``handshakes``, which asks for their
    number."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sandbox", str(launches), *certificate],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def handshakes() -> int:
        print(file=process.stdin, flush=True)
        return int(process.stdout.readline())

    try:
        yield {**json.loads(process.stdout.readline()), "handshakes": handshakes}
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def _main(launches: int, *certificate: str) -> None:
    context = None
    handshakes: list[object] = []
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.sni_callback = lambda *about: handshakes.append(about)
    sandbox = Sandbox()
    with SandboxServer(sandbox, host="localhost", ssl_context=context) as server:
        ltiks = [sandbox.issue(user="ada") for _ in range(launches)]
        about = {"url": server.url, "api_key": sandbox.api_key, "ltiks": ltiks}
        print(json.dumps(about), flush=True)
        for _ in sys.stdin:
            print(len(handshakes), flush=True)


if __name__ == "__main__":
    _main(int(sys.argv[1]), *sys.argv[2:])
