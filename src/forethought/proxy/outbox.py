"""Bytes on their way from a run to one caller: whatever has gathered is sent at once, and silence has a heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Send

from ..errors import ForethoughtError
from ..front import sse
from ..front.errors import Headers, failure_of
from .asgi import request_id

ROOM = 1 << 18
"""Bytes that may wait for a slow caller before the run waits with them."""
EVENT_STREAM: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class Outbox:
    """Filled by `put`, emptied by `take`; closed once. After `heartbeat_s` of silence a heartbeat is put."""

    def __init__(self, heartbeat_s: float) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._closed = False
        self._stirred = asyncio.Event()
        self._taken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._heartbeat_s = heartbeat_s
        self._last = self._loop.time()
        self._timer = self._loop.call_later(heartbeat_s, self._beat)

    def put(self, piece: bytes) -> None:
        """Add bytes; nothing is sent before the caller of this waits for something."""
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
            self._last = self._loop.time()
            self._stirred.set()

    async def room(self) -> None:
        """Wait while too much is waiting to be sent."""
        while self._size > ROOM:
            self._taken.clear()
            await self._taken.wait()

    async def take(self) -> bytes | None:
        """All that is there, as soon as there is something; None once it is closed and empty."""
        while not self._pieces:
            if self._closed:
                return None
            self._stirred.clear()
            await self._stirred.wait()
        pieces, self._pieces, self._size = self._pieces, [], 0
        self._taken.set()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self, _: object = None) -> None:
        """Nothing more will be put."""
        self._closed = True
        self._timer.cancel()
        self._stirred.set()

    def _beat(self) -> None:
        silence = self._loop.time() - self._last
        if silence >= self._heartbeat_s:
            self.put(sse.HEARTBEAT)
            silence = 0.0
        self._timer = self._loop.call_later(self._heartbeat_s - silence, self._beat)


async def pour(run: Callable[[Outbox], Awaitable[None]], send: Send, heartbeat_s: float) -> None:
    """Send what `run` puts into an outbox, as an event stream.

    The status goes out with the first byte: an error before it is raised, so that it keeps its own status. A
    later one becomes the last event of the stream.
    """
    outbox = Outbox(heartbeat_s)
    running = asyncio.ensure_future(run(outbox))
    running.add_done_callback(outbox.close)
    begun = False
    try:
        while (piece := await outbox.take()) is not None:
            if not begun:
                headers = [*EVENT_STREAM, *request_id()]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                begun = True
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    finally:
        outbox.close()
        if not running.done():
            running.cancel()
            await asyncio.wait((running,))
    error = running.exception()
    if error is not None and not begun:
        raise error
    last = sse.data({"error": failure_of(error).error}) if isinstance(error, Exception) else b""
    await send({"type": "http.response.body", "body": last})
    if error is not None and not isinstance(error, ForethoughtError):
        raise error
