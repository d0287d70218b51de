"""Sends upstream requests through an httpx client that is not ours, so that its settings go on to count.

Proxies, mounts, certificates, auth, hooks and time-outs are those of that client, URL and headers those of the
request that is being answered. Works with httpx and with httpx2, and imports neither.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, TypeAlias

from forethought.errors import UpstreamError, UpstreamProtocol, UpstreamTimeout, UpstreamUnreachable

from ..http import Response

OWN = frozenset({"content-length", "transfer-encoding", "accept-encoding", "idempotency-key"})
"""Headers of the request that the calls made for it do not share."""
Fields: TypeAlias = Iterable[tuple[str, str]]


class Through:
    """Sends through an `httpx.AsyncClient` on behalf of `asked`, a request that it was about to send."""

    def __init__(self, client: Any, asked: Any, httpx: Any) -> None:
        self._client = client
        self._asked = asked
        self._httpx = httpx

    @asynccontextmanager
    async def send(
        self, method: str, _path: str, /, *, body: bytes | None = None, headers: Fields = ()
    ) -> AsyncGenerator[Response, None]:
        """Send `body` where `asked` goes, of which the path is part already. Leaving closes the connection."""
        url = str(self._asked.url)
        try:
            answer = await self._client.send(like(self._asked, method, body, headers), stream=True)
        except self._httpx.RequestError as error:
            raise self._translated(error, url, begun=False) from error
        try:
            async with aclosing(self._chunks(answer, url)) as chunks:
                yield Response(answer.status_code, fields_of(answer), chunks)
        finally:
            await answer.aclose()

    async def aclose(self) -> None:
        """Nothing to do: the connections are the client's."""

    async def _chunks(self, answer: Any, url: str) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in answer.aiter_bytes():
                yield chunk
        except self._httpx.RequestError as error:
            raise self._translated(error, url, begun=True) from error

    def _translated(self, error: Exception, url: str, *, begun: bool) -> UpstreamError:
        if isinstance(error, self._httpx.TimeoutException):
            return UpstreamTimeout(f"{url} was silent for too long: {error!r}")
        if begun:
            return UpstreamProtocol(f"{url} broke off its answer: {error!r}")
        return UpstreamUnreachable(f"{url}: {error!r}")


class Blocking:
    """What `Through` needs of an async client, made of an `httpx.Client`: each request has a thread of its own.

    An answer that is left has its connection shut down. A request that is left before its answer began cannot be
    interrupted: its thread waits for the first byte, and closes then.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    async def send(self, request: Any, **_: bool) -> Pump:
        pump = Pump(self._client, request, asyncio.get_running_loop())
        threading.Thread(target=pump.run, name="forethought-upstream", daemon=True).start()
        try:
            await pump.begun()
        except BaseException:
            await pump.aclose()
            raise
        return pump


class Pump:
    """One answer, read by a thread that blocks and handed on to an event loop."""

    def __init__(self, client: Any, request: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._request = request
        self._loop = loop
        self._queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._answer: Any = None
        self._left = False
        self._ended = False

    @property
    def status_code(self) -> int:
        return int(self._answer.status_code)

    @property
    def headers(self) -> Any:
        return self._answer.headers

    def run(self) -> None:
        """The thread's work: send, read, and tell how it ended."""
        try:
            answer = self._answer = self._client.send(self._request, stream=True)
            self._tell(b"")
            try:
                for chunk in () if self._left else answer.iter_bytes():
                    self._tell(chunk)
            finally:
                answer.close()
            self._tell(None)
        except Exception as error:  # noqa: BLE001  a client's own transport may raise anything: whoever waits gets it
            self._tell(error)

    async def begun(self) -> None:
        """Wait for status and headers."""
        await self._next()

    async def aiter_bytes(self) -> AsyncGenerator[bytes, None]:
        while (chunk := await self._next()) is not None:
            yield chunk

    async def aclose(self) -> None:
        """Leave: what is still being read is broken off."""
        self._left = True
        if self._answer is not None and not self._ended:
            hang_up(self._answer)

    async def _next(self) -> bytes | None:
        said = await self._queue.get()
        self._ended = not isinstance(said, bytes)
        if isinstance(said, Exception):
            raise said
        return said

    def _tell(self, said: bytes | Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._queue.put_nowait, said)


def like(asked: Any, method: str, body: bytes | None, headers: Fields) -> Any:
    """A request to where `asked` goes, under its headers and time-outs, with another body."""
    given = [(name, value) for name, value in asked.headers.multi_items() if name not in OWN]
    names = {name for name, _ in given}
    added = [(name, value) for name, value in headers if name not in names]
    return type(asked)(method, asked.url, headers=[*given, *added], content=body, extensions=dict(asked.extensions))


def fields_of(answer: Any) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of an answer whose body was decoded."""
    pairs = ((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.multi_items())
    return tuple(pair for pair in pairs if pair[0] != b"content-encoding")


def hang_up(answer: Any) -> None:
    """Shut down the connection of an answer that another thread is reading; unless other answers share it."""
    stream = answer.extensions.get("network_stream")
    connection = stream and stream.get_extra_info("socket")
    if isinstance(connection, socket.socket) and answer.http_version.startswith("HTTP/1"):
        with suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # below TLS, whose own shutdown is not thread-safe
