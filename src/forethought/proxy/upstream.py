"""What a backend may do for the front beyond answering: pass bytes on, use a caller's key, be closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, Self, runtime_checkable


class Answer(Protocol):
    """An upstream's answer that has begun: header names in lower case, `chunks` the body as it arrives."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...

    @property
    def chunks(self) -> AsyncIterator[bytes]: ...


@runtime_checkable
class Relaying(Protocol):
    """A backend over HTTP that can pass a request on as it is; one that cannot is always asked by events.

    `relay` leaves out the headers of the hop, on the way up and down, and those that carry a caller's secrets.
    """

    def relay(
        self, path: str, body: bytes | None, headers: Iterable[tuple[bytes, bytes]]
    ) -> AbstractAsyncContextManager[Answer]: ...

    async def get(self, path: str) -> bytes:
        """The body at `path`; raises UpstreamError where it is not to be had."""
        ...


@runtime_checkable
class Keyed(Protocol):
    """A backend that can be asked with the key of each caller."""

    def with_key(self, api_key: str | None, /) -> Self: ...


@runtime_checkable
class Closing(Protocol):
    """A backend that holds something open."""

    async def aclose(self) -> None: ...
