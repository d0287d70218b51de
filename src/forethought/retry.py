"""Asks again when the upstream fails before it has said anything."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from .errors import UpstreamError, UpstreamStatus
from .ports import Backend, Bound
from .wire import Event, Note, Request


@dataclass(frozen=True, slots=True)
class Retry:
    """Up to `attempts` calls until one begins to answer; a transient failure after that is raised as it is.

    Waits as long as the upstream asks (`retry-after`), else a random time within `wait_s` doubling up to
    `longest_wait_s`; where the upstream asks for a longer wait, the failure is raised at once. Each wait is
    told in a Note. Entering the stream waits for its first event.
    """

    kind: ClassVar[str] = "retry"
    attempts: int = 3
    wait_s: float = 0.5
    longest_wait_s: float = 30.0

    @asynccontextmanager
    async def stream(self, inner: Backend, request: Request, /) -> AsyncGenerator[AsyncIterator[Event], None]:
        notes: list[Event] = []
        begun = await self._begin(inner, request, notes)
        async with begun.closing:
            yield _joined(notes, begun)

    def worst_case(self, inner: Bound, /) -> Bound:
        return inner.times(self.attempts)

    async def _begin(self, inner: Backend, request: Request, notes: list[Event]) -> _Begun:
        for attempt in range(1, self.attempts):
            try:
                return await _begin(inner, request)
            except UpstreamError as error:
                if not self._worth_it(error):
                    raise
                delay = self._delay(attempt, error)
                notes.append(Note("retry", f"{error}; asking again in {delay:.1f} s", {"attempt": attempt}))
            await asyncio.sleep(delay)
        return await _begin(inner, request)

    def _worth_it(self, error: UpstreamError) -> bool:
        return error.transient and (_asked(error) or 0.0) <= self.longest_wait_s

    def _delay(self, attempt: int, error: UpstreamError) -> float:
        asked = _asked(error)
        longest = min(self.longest_wait_s, self.wait_s * 2 ** (attempt - 1))
        return random.uniform(0.0, longest) if asked is None else asked  # noqa: S311  spreads load, hides nothing


def _asked(error: UpstreamError) -> float | None:
    asked = error.retry_after if isinstance(error, UpstreamStatus) else None
    return None if asked is None else max(0.0, asked)


class _Begun(NamedTuple):
    closing: AsyncExitStack
    first: Event | None
    events: AsyncIterator[Event]


async def _begin(inner: Backend, request: Request) -> _Begun:
    async with AsyncExitStack() as attempt:
        events = await attempt.enter_async_context(inner.stream(request))
        first = await anext(events, None)
        return _Begun(attempt.pop_all(), first, events)


async def _joined(notes: list[Event], begun: _Begun) -> AsyncIterator[Event]:
    for note in notes:
        yield note
    if begun.first is not None:
        yield begun.first
        async for event in begun.events:
            yield event
