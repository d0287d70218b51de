"""The innermost wrapper: every upstream call reserves and settles its budget and leaves its mark in the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from .context import FREE, Node
from .errors import BudgetExceeded, InvalidRequest
from .ports import Backend, Capabilities, Stream
from .pricing import Prices
from .tally import Tally, prompt_estimate
from .wire import Event, Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Metered:
    """A backend whose calls are paid for: reserved before they start, settled however they end.

    A request that is refused as invalid, of which nothing was read or written, costs nothing and is no call.

    Thinking ends at the scope's thinking deadline, the answer at its last; both raise BudgetExceeded in the
    stream, as does a call that its budget has no room for.
    """

    inner: Backend
    prices: Prices

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        scope, able = request.context.scope, self.capabilities
        price = FREE if able.local else self.prices.of(request.model)
        room = nullcontext() if scope is None else scope.reserve(
            prompt_tokens=prompt_estimate(request, able.chars_per_token) if scope.limited else 0,
            max_tokens=request.max_tokens,
            price=price,
            answering=request.context.answering,
            share=request.context.share,
        )  # fmt: skip
        with (
            _noted(request, able) as node,
            room as grant,
            closing(Tally(request, able.chars_per_token, price, node, grant)) as tally,
        ):
            asked = request if grant is None else request.with_max_tokens(grant.max_tokens)
            if node is not None and asked.max_tokens is not None:
                node.annotate(request_max_tokens=asked.max_tokens)
            below = self.inner.stream(asked)
            in_time = below if _deadline(asked) is None else _in_time(asked, below, tally)
            try:
                async with in_time as events, aclosing(tally.watch(events)) as seen:
                    yield seen
            except InvalidRequest:
                tally.refuse()
                raise


@contextmanager
def _noted(request: Request, able: Capabilities) -> Iterator[Node | None]:
    parent = request.context.node
    if parent is None:
        yield None
        return
    node = parent.child(request.model or able.name, "chat", **_attributes(request, able))
    try:
        yield node
    except BaseException as error:
        node.end(error=error)
        raise
    finally:
        node.end("closed")


def _attributes(request: Request, able: Capabilities) -> dict[str, Any]:
    asked = {f"request_{name}": request.params.get(name) for name in ("temperature", "top_p", "seed")}
    known = {name: value for name, value in asked.items() if value is not None}
    return {"model": request.model, "provider": able.name, "local": able.local, "stream": True, **known}


def _deadline(request: Request) -> float | None:
    scope = request.context.scope
    return None if scope is None else scope.deadline(answering=request.context.answering)


@asynccontextmanager
async def _in_time(request: Request, below: Stream, tally: Tally) -> AsyncIterator[AsyncIterator[Event]]:
    """The same stream, of which nothing is waited for beyond the deadline."""
    async with AsyncExitStack() as opened:
        events = await _until(request, opened.enter_async_context(below))
        tally.source = events
        yield await opened.enter_async_context(aclosing(_watched(request, events)))


async def _watched(request: Request, events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    """The same events; waiting for one beyond the deadline raises BudgetExceeded.

    The time-out is set for each wait and never held across a yield, where it would cancel the consumer.
    """
    while True:
        try:
            event = await _until(request, anext(events))
        except StopAsyncIteration:
            return
        yield event


async def _until(request: Request, waiting: Awaitable[T]) -> T:
    deadline = _deadline(request)
    if deadline is None:
        return await waiting
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await waiting
    except TimeoutError as error:
        scope = request.context.scope
        raise BudgetExceeded("run", "time_limit_s", "reached", scope and scope.spent) from error
