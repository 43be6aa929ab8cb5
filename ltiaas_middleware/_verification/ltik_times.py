"""An ltik's own account of when its launch began and ends.

The payload of an ltik is not verified here: its times are hints (wire.md, "The launch redirect").
LTIAAS alone says whether an ltik is good; a hint can only make a launch end earlier.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import Any

__all__ = ["DAY", "launch_end", "launch_start"]

#: An ltik stops working 24 hours after the launch (wire.md, "The launch redirect").
DAY = 86_400.0
# How far LTIAAS's clock and ours may be apart (seconds) before its times are not believed.
_SKEW = 3600.0


def launch_end(ltik: str, now: float) -> float | None:
    """When a launch ends by its ltik's own ``iat`` and ``exp`` (seconds since the epoch); None
    where they are missing or implausible.

    Args:
        ltik: the token.
        now: seconds since the epoch.
    """
    issued, ends = _hints(ltik)
    if issued is not None and issued > now + _SKEW:
        return None
    if issued is not None:
        return min(ends, issued + DAY) if ends is not None and ends > issued else issued + DAY
    if ends is not None and ends <= now + DAY + _SKEW:
        return ends
    return None


def launch_start(ltik: str, now: float) -> float | None:
    """When a launch began by its ltik's own ``iat`` (seconds since the epoch); None where it is
    missing or in the future.

    Args:
        ltik: the token.
        now: seconds since the epoch.
    """
    issued, _ = _hints(ltik)
    return None if issued is None or issued > now + _SKEW else issued


def _hints(ltik: str) -> tuple[float | None, float | None]:
    try:
        payload = ltik.split(".")[1]
        hints = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return _moment(hints.get("iat")), _moment(hints.get("exp"))
    except (ValueError, IndexError, AttributeError, RecursionError):
        return None, None


def _moment(value: Any) -> float | None:
    """A plausible time in seconds since the epoch: LTI 1.3 is younger than 2015."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 1_420_070_400 <= value <= 32_503_680_000 else None
