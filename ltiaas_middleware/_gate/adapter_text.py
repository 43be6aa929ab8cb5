"""Headers as an adapter has them: ``str`` under WSGI, ``bytes`` under ASGI."""

from __future__ import annotations

from typing import AnyStr, Generic

__all__ = ["AdapterText"]


class AdapterText(Generic[AnyStr]):
    """For classes that read and make an app's headers.

    Args:
        kind: ``str`` or ``bytes``, whichever the adapter's headers are.
    """

    def __init__(self, kind: type[str | bytes]) -> None:
        self._is_text = issubclass(kind, str)

    def _encode(self, text: str) -> AnyStr:
        # ``str`` of a subclass is a plain one, which strict servers ask for.
        return str(text) if self._is_text else text.encode("latin-1")  # type: ignore[return-value]

    @staticmethod
    def _decode(value: AnyStr) -> str:
        return value if isinstance(value, str) else value.decode("latin-1")
