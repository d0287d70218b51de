"""A strategy and a backend as another package would add them: by entry point alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

from forethought import Backend, Capabilities, Delta, Done, Event, Request, Usage


@dataclass(frozen=True, slots=True)
class Shout:
    """Makes an answer louder."""

    kind: ClassVar[str] = "shout"

    marks: int = 1

    @asynccontextmanager
    async def stream(self, inner: Backend, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        async with inner.stream(request) as events:
            yield self._louder(events)

    async def _louder(self, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        async for event in events:
            if isinstance(event, Done):
                yield Delta("!" * self.marks)
            yield replace(event, text=event.text.upper()) if isinstance(event, Delta) else event


class Echo:
    """A backend that says what it is asked."""

    capabilities = Capabilities(name="echo", local=True)

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        async def events() -> AsyncIterator[Event]:
            yield Delta(request.question)
            yield Done(usage=Usage(1, 1, requests=1))

        yield events()


def open_backend() -> Echo:
    return Echo()
