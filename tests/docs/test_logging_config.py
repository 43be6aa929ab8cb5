"""The logging configuration in docs/howto/monitor.md shows when, where and what."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.servers import ROOT


def test_each_line_has_time_worker_level_and_logger() -> None:
    page = (ROOT / "docs" / "howto" / "monitor.md").read_text()
    (config,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    use = "\nlogging.getLogger('ltiaas_middleware').warning('Redis works again')\n"
    command = [sys.executable, "-c", config + use]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    shape = r"[\d-]{10} [\d:,]{12} \[\d+\] WARNING ltiaas_middleware: Redis works again\n"
    assert re.fullmatch(shape, done.stderr), done.stderr
