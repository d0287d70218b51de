"""A GGUF file in this process as a backend."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from forethought.context import Usage
from forethought.errors import EngineStopped
from forethought.ports import Capabilities, Continuation
from forethought.wire import JSON, Done, Event, Request

from .engine import Engine, Ticket, Worker
from .isolated import Isolated
from .job import job_of
from .options import Options
from .rules import MAX_TOP_LOGPROBS
from .state import Facts, Occupancy

if TYPE_CHECKING:
    from .deriving import At, Derived, Pair  # imports an optional package


class LlamaCpp:
    """Runs a model in a thread, or a process, of its own; the first request, or `load`, loads it.

    Requests are decoded together, and what two of them have in common is evaluated once. Raises
    InvalidModelFile where the file cannot be used, InvalidRequest where a request cannot be served, and
    EngineStopped once closed, or where the engine died under it: the next one starts it anew. `async with`
    closes it.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._engine: Engine | None = None
        self._closed = False
        self._gate = threading.Lock()  # several threads may each bring an event loop
        self.capabilities = Capabilities(
            name=options.name,
            continuation=Continuation.RAW,
            logprobs=True,
            top_logprobs=MAX_TOP_LOGPROBS,
            fork=True,
            grammar=True,
            local=True,
            chars_per_token=options.chars_per_token,
        )

    @property
    def occupancy(self) -> Occupancy:
        """What the engine is doing, as of its last step."""
        return self._engine.occupancy if self._engine else Occupancy()

    @property
    def live(self) -> int:
        """How many requests the engine works on or keeps waiting, as of its last step."""
        return self.occupancy.live + self.occupancy.waiting

    async def load(self) -> Facts:
        """Load the model unless that was done; returns what it is."""
        return await asyncio.wrap_future(self._started().facts)

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncGenerator[AsyncIterator[Event]]:
        """Entering queues the request, leaving frees its sequence within a step."""
        engine = self._started()
        facts = await asyncio.wrap_future(engine.facts)
        rendered = facts.template.render(request)
        ticket = engine.submit(job_of(request, rendered.text, rendered.phase, self._options.seed, rendered.tools))
        try:
            yield _identified(ticket, self._options.name)
        finally:
            engine.cancel(ticket)

    async def derive_vector(
        self, pairs: Sequence[Pair], to: Path, /, *, at: At, told: Callable[[int], None]
    ) -> Derived:
        """Write a control vector that leads from the second thought of each pair to the first; see `deriving`.

        The model is loaded once more for it, unsteered and in this process, and read in another thread, which calls
        `told` with the number of pairs done. Raises what `deriving.derive` raises.
        """
        from .deriving import derive  # noqa: PLC0415 - imports the optional SDK

        stop = threading.Event()
        try:
            return await asyncio.to_thread(derive, self._options, pairs, to, at=at, told=told, stop=stop)
        finally:
            stop.set()

    async def aclose(self) -> None:
        """Free model and thread; requests in flight get EngineStopped. Closing twice changes nothing."""
        with self._gate:
            self._closed = True
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
            await asyncio.to_thread(engine.join)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _started(self) -> Engine:
        """The engine, which is started on first use, and again where it could not load the model or has died."""
        with self._gate:
            if self._closed:
                raise EngineStopped(f"the backend {self._options.name!r} is closed")
            if self._engine is None or self._engine.stopped:
                self._engine = Engine(partial(_open_worker, self._options), self._options.name)
            return self._engine


def _open_worker(options: Options) -> Worker:
    """Runs in the owner thread."""
    if options.isolation == "process":
        return Isolated(options)
    from .worker import Worker  # noqa: PLC0415 - imports the optional SDK, off the event loop

    return Worker(options)


def _identified(ticket: Ticket, name: str) -> AsyncIterator[Event]:
    meta: JSON = {"id": f"chatcmpl-{uuid.uuid4().hex}", "model": name, "created": int(time.time())}
    return _Identified(ticket, meta)


class _Identified:
    """The events of a ticket, the last of them with the identity of the answer; counted as they come."""

    __slots__ = ("_meta", "_ticket")

    def __init__(self, ticket: Ticket, meta: JSON) -> None:
        self._ticket = ticket
        self._meta = meta

    @property
    def usage(self) -> Usage | None:
        return self._ticket.usage

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        item = await self._ticket.__anext__()
        return replace(item, meta=self._meta) if isinstance(item, Done) else item
