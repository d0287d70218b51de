"""Holds calls back: so many a minute, so many at once, first come first served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from asyncio_throttle.throttler import Throttler

from .errors import InvalidPolicy
from .ports import Backend, Capabilities, Stream
from .wire import Event, Request

POLL_S = 0.05
"""How often the one call at the head of the queue looks whether its turn has come."""
_NO_WAIT = nullcontext()


class Gate:
    """Lets at most `requests` calls start in any `period_s` seconds, and `concurrency` run at once.

    None means no limit. Calls wait in one queue and only its head polls, so ten thousand waiting cost no
    more than one. Each event loop counts for itself.
    """

    def __init__(self, *, requests: int | None = None, concurrency: int | None = None, period_s: float = 60.0) -> None:
        for name, value in (("requests", requests), ("concurrency", concurrency)):
            if value is not None and value < 1:
                raise InvalidPolicy(name, value, "an integer of at least 1, or none for no limit, is expected")
        self._requests = requests
        self._concurrency = concurrency
        self._period_s = period_s
        self.open = requests is None and concurrency is None  # nothing to wait for
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()

    def hold(self, *, beside: bool = False) -> AbstractAsyncContextManager[None]:
        """Wait for a place, keep it while the block runs.

        A call that is made `beside` one that has a place and waits for it needs none: it would wait for ever.
        """
        return _NO_WAIT if self.open else self._hold(beside)

    @asynccontextmanager
    async def _hold(self, beside: bool) -> AsyncGenerator[None, None]:
        line = self._line()
        async with _NO_WAIT if beside else line.places:
            if line.throttler is not None:
                async with line.head:
                    await line.throttler.acquire()
            yield

    def _line(self) -> _Line:
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            places = nullcontext() if self._concurrency is None else asyncio.Semaphore(self._concurrency)
            throttler = None if self._requests is None else Throttler(self._requests, self._period_s, POLL_S)
            line = self._lines[loop] = _Line(places, asyncio.Lock(), throttler)
        return line


@dataclass(frozen=True, slots=True)
class _Line:
    places: AbstractAsyncContextManager[Any]
    head: asyncio.Lock
    throttler: Any  # untyped


@dataclass(frozen=True, slots=True)
class Throttled:
    """A backend whose streams start when the gate lets them and keep their place until they are closed."""

    inner: Backend
    gate: Gate

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    def stream(self, request: Request, /) -> Stream:
        return self.inner.stream(request) if self.gate.open else self._stream(request)

    @asynccontextmanager
    async def _stream(self, request: Request) -> AsyncGenerator[AsyncIterator[Event], None]:
        async with self.gate.hold(beside=request.context.probing), self.inner.stream(request) as events:
            yield events
