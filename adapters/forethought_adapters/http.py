"""The one seam to the HTTP client: send bytes, get a status, headers and the body as it arrives.

The client is aiohttp. It closes the connection of a request that is left or cancelled at any moment, also
before the first byte of an answer; a client that only does so once the answer has begun lets a model go on
thinking for nobody.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from forethought.errors import UpstreamError, UpstreamProtocol, UpstreamTimeout, UpstreamUnreachable

Headers = tuple[tuple[bytes, bytes], ...]
LARGE = 1 << 20
"""From this many bytes on, a body is sent in pieces so that it does not hold up the event loop."""
HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers that speak of one connection and not of the message."""
OURS = HOP | {b"host", b"content-length", b"expect", b"authorization", b"x-api-key", b"cookie"}
"""Request headers that are not forwarded: those, what the client writes itself, and the caller's credentials."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that has begun: header names in lower case, `chunks` the body as it arrives, not decoded."""

    status: int
    headers: Headers
    chunks: AsyncIterator[bytes]

    def header(self, name: str) -> str | None:
        """The first header of this name, or None."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), None)

    @property
    def fields(self) -> dict[str, str]:
        """The headers as a mapping; of several with one name the last."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers}

    async def read(self, limit: int) -> bytes:
        """The rest of the body, of which anything beyond `limit` bytes is left unread."""
        body = bytearray()
        async for chunk in self.chunks:
            body += chunk
            if len(body) >= limit:
                break
        return bytes(body[:limit])


class Sender(Protocol):
    """What a backend needs of an HTTP client; `Client` is one, and a caller's own can be made one."""

    def send(
        self, method: str, path: str, /, *, body: bytes | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> AbstractAsyncContextManager[Response]:
        """Send one request; leaving before the end of the answer closes its connection."""
        ...

    async def aclose(self) -> None: ...


class Client:
    """Connections to the server at `url`, kept alive between requests; opened on first use, a pool per event loop.

    `silence_s` is the longest wait between two pieces of an answer, `connect_s` that for a connection;
    `max_connections` 0 means no limit; `verify` False accepts any certificate, a context brings its own.
    Proxies named in the environment are used. Close it with `aclose()`.
    """

    def __init__(
        self,
        url: str,
        *,
        silence_s: float,
        connect_s: float,
        max_connections: int = 0,
        verify: bool | ssl.SSLContext = True,
    ) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=silence_s)
        self._max_connections = max_connections
        self._verify = verify
        self._sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}

    @asynccontextmanager
    async def send(
        self, method: str, path: str, *, body: bytes | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> AsyncGenerator[Response, None]:
        """Send one request; leaving before the end of the answer closes its connection.

        Raises UpstreamTimeout, UpstreamUnreachable and, where the answer breaks off, UpstreamProtocol, from
        here and from `chunks`. Redirects are not followed.
        """
        url = self._url + path
        data = body if body is None or len(body) < LARGE else io.BytesIO(body)
        try:
            response = await self._session().request(
                method, url, data=data, headers=list(headers), allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            raise _translated(error, url, begun=False) from error
        try:
            names = tuple((name.lower(), value) for name, value in response.raw_headers)
            async with aclosing(_chunks(response, url)) as chunks:
                yield Response(response.status, names, chunks)
        finally:
            response.close()  # which keeps the connection where the answer was read to its end

    async def aclose(self) -> None:
        """Close all connections, those that other running event loops hold included."""
        here = asyncio.get_running_loop()
        while self._sessions:
            loop, session = self._sessions.popitem()
            if loop is here:
                await session.close()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(session.close(), loop))

    def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            session = self._sessions[loop] = self._open()
        return session

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._max_connections, ssl=self._verify),
            timeout=self._timeout,
            proxy=proxy_for(self._url),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),  # callers of one process must not share cookies
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )


def forwarded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers of a request that may travel on to another server."""
    pairs = ((name.lower(), value) for name, value in headers)
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs if name not in OURS}


def passed_on(headers: Headers) -> Headers:
    """The headers of an answer that may travel back."""
    return tuple(pair for pair in headers if pair[0] not in HOP)


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this URL, or None."""
    parts = urlsplit(url)
    proxies = getproxies()
    chosen = proxies.get(parts.scheme) or proxies.get("all")
    return None if chosen is None or proxy_bypass(parts.hostname or "") else chosen


async def _chunks(response: aiohttp.ClientResponse, url: str) -> AsyncGenerator[bytes, None]:
    begun = False
    while True:
        try:
            chunk = await response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _translated(error, url, begun=begun) from error
        if not chunk:
            return
        begun = True
        yield chunk


def _translated(error: Exception, url: str, *, begun: bool) -> UpstreamError:
    if isinstance(error, TimeoutError):
        return UpstreamTimeout(f"{url} was silent for too long: {error}")
    if begun or isinstance(error, aiohttp.ClientResponseError):
        return UpstreamProtocol(f"{url} broke off its answer: {error}")
    return UpstreamUnreachable(f"{url}: {error}")
