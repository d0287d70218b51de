"""The way of a streamed answer to one caller: sent as it is written, with a heartbeat while nothing is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Send

from ..errors import ForethoughtError
from ..front import sse
from ..front.errors import Headers, failure_of
from .asgi import request_id

EVENT_STREAM: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class Outbox:
    """Takes bytes by `put` and sends them in `room`, in whose wait a slow caller holds the run back.

    The status goes out with the first byte. After `heartbeat_s` seconds of silence a heartbeat is sent.
    """

    __slots__ = ("_beat", "_heartbeat_s", "_last", "_loop", "_opening", "_pieces", "_send", "_timer", "begun")

    def __init__(self, send: Send, heartbeat_s: float) -> None:
        self.begun = False
        self._send = send
        self._pieces: list[bytes] = []
        self._opening = asyncio.Lock()
        self._heartbeat_s = heartbeat_s
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_later(heartbeat_s, self._tick)
        self._beat: asyncio.Task[None] | None = None

    def put(self, piece: bytes, /) -> None:
        """Add bytes to what is sent next."""
        if piece:
            self._pieces.append(piece)

    async def room(self) -> None:
        """Send what was put, and wait while the caller is slow to take it."""
        if self._pieces:
            await self._flush(more=True)

    async def finish(self) -> None:
        """Send what is left, and that it is the end."""
        await self._flush(more=False)

    def silence(self) -> None:
        """No more heartbeats."""
        self._timer.cancel()

    async def _flush(self, *, more: bool) -> None:
        if not self.begun:
            await self._begin()
        piece = b"".join(self._pieces)
        self._pieces.clear()
        self._last = self._loop.time()
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    async def _begin(self) -> None:
        async with self._opening:
            if not self.begun:
                headers = [*EVENT_STREAM, *request_id()]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
                self.begun = True

    def _tick(self) -> None:
        quiet_s = self._loop.time() - self._last
        if quiet_s >= self._heartbeat_s:
            self.put(sse.HEARTBEAT)
            self._beat = self._loop.create_task(self.room())
            quiet_s = 0.0
        self._timer = self._loop.call_later(self._heartbeat_s - quiet_s, self._tick)


async def pour(run: Callable[[Outbox], Awaitable[None]], send: Send, heartbeat_s: float) -> None:
    """Send what `run` writes, as an event stream.

    An error before the first byte is raised, so that it keeps its own status. A later one becomes the last
    event, so that no stream ends without saying why.
    """
    outbox = Outbox(send, heartbeat_s)
    try:
        await run(outbox)
    except ForethoughtError as error:
        if not outbox.begun:
            raise
        outbox.put(_error(error))
    except Exception as error:  # whatever it is, the caller must not take the stream for complete
        if outbox.begun:
            outbox.put(_error(error))
            await outbox.finish()
        raise
    finally:
        outbox.silence()
    await outbox.finish()


def _error(error: Exception) -> bytes:
    return sse.data({"error": failure_of(error).error})
