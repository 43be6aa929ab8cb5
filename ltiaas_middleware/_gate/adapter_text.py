"""Headers in each adapter's type: ``str`` under WSGI, ``bytes`` under ASGI."""

from __future__ import annotations

from typing import AnyStr, Generic

__all__ = ["AdapterText"]


class AdapterText(Generic[AnyStr]):
    """Base class for classes that read and write an app's headers.

    Args:
        kind: ``str`` or ``bytes``, whichever the adapter's headers are.
    """

    def __init__(self, kind: type[str | bytes]) -> None:
        self._is_text = issubclass(kind, str)

    def _encode(self, text: str) -> AnyStr:
        # ``str`` turns a subclass into a plain string, which strict servers require.
        return str(text) if self._is_text else text.encode("latin-1")  # type: ignore[return-value]

    @staticmethod
    def _decode(value: AnyStr) -> str:
        return value if isinstance(value, str) else value.decode("latin-1")
