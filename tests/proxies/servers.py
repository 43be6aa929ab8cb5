"""nginx and Varnish in front of a tool, each with a configuration of the test's own."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import requests

from tests.programs import need
from tests.servers import free_port
from tests.waiting import wait_until

_NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log;
{user}
events {{ worker_connections 128; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  proxy_cache_path {folder}/cache keys_zone=all:1m;
  server {{
    listen 127.0.0.1:{port};
    {server}
  }}
}}
"""
_VCL = 'vcl 4.1; backend default {{ .host = "127.0.0.1"; .port = "{port}"; }}'


@contextlib.contextmanager
def nginx(folder: Path, server: str) -> Iterator[str]:
    """nginx with these lines in its ``server`` block; gives its origin."""
    program, port = need("nginx"), free_port()
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(_NGINX.format(folder=folder, port=port, server=server, user=user))
    with _running([program, "-p", str(folder), "-c", str(config)], port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def varnish(folder: Path, backend: int) -> Iterator[str]:
    """Varnish with its built-in rules in front of a port; gives its origin."""
    program, port = need("varnishd"), free_port()
    (folder / "default.vcl").write_text(_VCL.format(port=backend))
    command = [program, "-F", "-n", str(folder / "varnish"), "-a", f"127.0.0.1:{port}"]
    command += ["-f", str(folder / "default.vcl"), "-s", "malloc,16m", "-j", "none"]
    with _running(command, port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def answers() -> bool:
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        with contextlib.suppress(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/nothing", timeout=5)
            return True
        return False

    try:
        wait_until(answers)
        yield
    finally:
        process.terminate()
        process.wait(10)
        if process.stderr is not None:
            process.stderr.close()
