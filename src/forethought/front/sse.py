"""Server-sent events as chat clients read them."""

from __future__ import annotations

from typing import Any, Final

from . import jsonio

DONE: Final = b"data: [DONE]\n\n"
HEARTBEAT: Final = b": heartbeat\n\n"


def data(value: Any) -> bytes:
    """One event; JSON holds no line breaks, so it is one line."""
    return b"data: " + jsonio.write(value) + b"\n\n"


def comment(value: Any) -> bytes:
    """A line that clients skip, with a JSON value that those who care can read."""
    return b": forethought " + jsonio.write(value) + b"\n\n"
