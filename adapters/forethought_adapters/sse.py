"""Reads server-sent events out of bytes that arrive in any pieces."""

from __future__ import annotations

from collections.abc import Iterator

BOM = b"\xef\xbb\xbf"


class Events:
    """Decodes one event stream: `feed` returns the data of each event that has become complete.

    Lines may end in LF, CR or CRLF; comments, names and ids are left out; several `data` lines are one
    event. However the bytes are cut, the events are the same. Cost is linear in the bytes.
    """

    __slots__ = ("_after_cr", "_data", "_first", "_tail")

    def __init__(self) -> None:
        self._tail: list[bytes] = []
        self._data: list[bytes] = []
        self._first = True
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes."""
        if not chunk:
            return []
        text = chunk.removeprefix(b"\n") if self._after_cr else chunk
        self._after_cr = chunk.endswith(b"\r")
        if b"\n" not in text and b"\r" not in text:
            self._tail.append(text)
            return []
        text = b"".join((*self._tail, text))
        end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        self._tail = [text[end:]]
        return list(self._events(text[:end].splitlines()))

    def close(self) -> list[bytes]:
        """The bytes have ended: an event that lacks only its blank line counts."""
        rest = b"".join(self._tail)
        self._tail = []
        return list(self._events([*rest.splitlines(), b""]))

    def _events(self, lines: list[bytes]) -> Iterator[bytes]:
        for line in lines:
            if self._first:
                line = line.removeprefix(BOM)
                self._first = False
            if not line:
                if self._data:
                    yield b"\n".join(self._data)
                    self._data = []
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line == b"data":
                self._data.append(b"")
