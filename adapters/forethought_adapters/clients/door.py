"""Answers the body of a chat-completions request by an engine, whole or streamed."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from forethought.budget import Budget, current_scope
from forethought.chunks import DONE, JSON_HEADERS, SSE_HEADERS, Chunks, completion, failure
from forethought.context import Usage
from forethought.engine import Engine
from forethought.errors import ForethoughtError, InvalidPolicy, InvalidRequest, UpstreamTimeout, UpstreamUnreachable
from forethought.fold import Partial
from forethought.ledger import BudgetScope
from forethought.ports import Backend
from forethought.search.fanout import Failed, Landed, fan_out
from forethought.wire import JSON, Delta, Done, Event, Request

FIELD = "forethought"
FINAL = {"x-should-retry": "false"}
"""Every call of a run has been retried already: a client that repeats the run multiplies its cost."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it goes to the client; `body` is whole, or still being written."""

    status: int
    headers: Mapping[str, str]
    body: bytes | Writing


class Writing:
    """An answer while it is written: by a task of its own, since whoever reads it may do so from several."""

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._write(chunks))
        self._first = b""

    async def begin(self) -> None:
        """Wait until it speaks; raises what kept it from speaking."""
        try:
            self._first = await self.read()
        except BaseException:
            await self.aclose()
            raise

    async def read(self) -> bytes:
        """What was written since the last time; nothing once it is finished."""
        if self._first:
            first, self._first = self._first, b""
            return first
        chunk = None if self._task.done() and self._queue.empty() else await self._queue.get()
        if chunk is None:
            await self._task
            return b""
        return chunk

    async def aclose(self) -> None:
        """Stop; when this returns, nothing is asked upstream any more."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()

    async def _write(self, chunks: AsyncGenerator[bytes, None]) -> None:
        begun = False
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    self._queue.put_nowait(chunk)
                    begun = True
        except ForethoughtError as error:
            if not begun:
                raise
            self._queue.put_nowait(failure(error).event)
        finally:
            self._queue.put_nowait(None)


async def answer(body: bytes, engine: Engine) -> Reply:
    """What `engine` says to a request; a streamed reply has begun to speak when this returns.

    Errors become replies, so that the SDK raises its own class for them, but for UpstreamTimeout and
    UpstreamUnreachable, for which there is none to reply with.
    """
    try:
        request = read(body, engine)
        if not request.params.get("stream"):
            return Reply(200, JSON_HEADERS, await whole(engine, request))
        writing = Writing(streamed(engine, request))
        await writing.begin()
        return Reply(200, SSE_HEADERS, writing)
    except (UpstreamTimeout, UpstreamUnreachable):
        raise
    except ForethoughtError as error:
        told = failure(error)
        return Reply(told.status, {**told.headers, **FINAL}, told.body)


def read(body: bytes, engine: Engine) -> Request:
    """The request in `body`, within the budget that its field `forethought` sets; raises InvalidRequest."""
    try:
        request = Request.from_json(json.loads(body))
    except ValueError as error:
        raise InvalidRequest("body", body[:60], f"valid JSON is expected: {error}") from None
    options = request.params.get(FIELD)
    budget = engine.budget if options is None else engine.budget.tighter(_budget(options))
    request = request.with_params(**{FIELD: None})
    if options is None and not _several(request):
        return request
    return request.with_context(scope=BudgetScope(budget, "request", current_scope()))


async def whole(backend: Backend, request: Request) -> bytes:
    """The answer as a `chat.completion`."""
    partials: defaultdict[int, Partial] = defaultdict(Partial)
    done: dict[int, Done] = {}
    async with aclosing(choices(backend, request)) as events:
        async for index, event in events:
            if isinstance(event, Delta):
                partials[index].add(event)
            elif isinstance(event, Done):
                done[index] = event
    return completion(*(partials[index].completion(done[index]) for index in sorted(done)), model=request.model)


async def streamed(backend: Backend, request: Request) -> AsyncGenerator[bytes, None]:
    """The answer as `chat.completion.chunk` events."""
    options: Any = request.params.get("stream_options")
    include_usage = isinstance(options, Mapping) and bool(cast("JSON", options).get("include_usage"))
    chunks = Chunks(request.model, include_usage=include_usage)
    opened: set[int] = set()
    usage = Usage()
    async with aclosing(choices(backend, request)) as events:
        async for index, event in events:
            if isinstance(event, Delta | Done) and index not in opened:
                opened.add(index)
                yield chunks.first(index)
            if isinstance(event, Delta):
                yield chunks.of(event, index)
            elif isinstance(event, Done):
                usage += event.usage
                yield chunks.last(event, index)
    if include_usage:
        yield chunks.usage(usage)
    yield DONE


async def choices(backend: Backend, request: Request) -> AsyncGenerator[tuple[int, Event], None]:
    """The events of each of the `n` answers that are asked for, side by side, with the number of the answer."""
    if not _several(request):
        async with backend.stream(request) as events:
            async for event in events:
                yield 0, event
        return
    wanted: int = request.params["n"]
    single = request.with_params(n=None)
    async with fan_out(backend) as branches:
        for _ in range(wanted):
            branches.start(single, of=wanted)
        async for happening in branches:
            if isinstance(happening, Failed):
                raise happening.error
            event = happening.completion.done if isinstance(happening, Landed) else happening.event
            yield happening.index, event


def _several(request: Request) -> bool:
    return (request.params.get("n") or 1) > 1


def _budget(value: Any) -> Budget:
    options: JSON = cast("JSON", value) if isinstance(value, Mapping) else {"": value}
    limits: Any = options.get("budget", {})
    if set(options) - {"budget"} or not isinstance(limits, Mapping):
        hint = "an object with a 'budget' is expected; the policy is the wrapped client's"
        raise InvalidRequest(FIELD, cast("object", value), hint)
    try:
        return Budget.from_json(cast("JSON", limits))
    except InvalidPolicy as wrong:
        raise InvalidRequest(f"{FIELD}.{wrong.field}", wrong.value, wrong.hint) from None
