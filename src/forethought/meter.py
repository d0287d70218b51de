"""The innermost wrapper: every upstream call reserves and settles its budget and leaves its mark in the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from . import tokens
from .context import FREE, Context, Node, Price, Reservation, Usage
from .errors import BudgetExceeded
from .ports import Backend, Capabilities
from .pricing import Prices
from .wire import Delta, Done, Event, Request


@dataclass(frozen=True, slots=True)
class Metered:
    """A backend whose calls are paid for: reserved before they start, settled however they end.

    A call that was cancelled, or whose server reported no usage, is charged what was seen of it: tokens by
    their logprobs or the estimate of `Capabilities.chars_per_token`. Thinking ends at the scope's thinking
    deadline, the answer at its last; both raise BudgetExceeded in the stream.
    """

    inner: Backend
    prices: Prices

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        context = request.context
        price = FREE if self.capabilities.local else self.prices.of(request.model)
        with (
            _noted(context, request, self.capabilities) as node,
            _reserved(context, request, price, self.capabilities) as grant,
            closing(_Tally(self.capabilities.chars_per_token, request, price, node, grant)) as tally,
        ):
            asked = request if grant is None else request.with_max_tokens(grant.max_tokens)
            deadline = context.scope.deadline(answering=context.answering) if context.scope else None
            async with AsyncExitStack() as opened:
                events = await _until(deadline, opened.enter_async_context(self.inner.stream(asked)), context)
                watched = tally.watch(events if deadline is None else _timed(events, deadline, context))
                yield await opened.enter_async_context(aclosing(watched))


@contextmanager
def _noted(context: Context, request: Request, capabilities: Capabilities) -> Iterator[Node | None]:
    node = context.node and context.node.child(
        request.model or capabilities.name, "chat", **_attributes(request, capabilities)
    )
    try:
        yield node
    except BaseException as error:
        if node is not None:
            node.end(error=error)
        raise
    finally:
        if node is not None:
            node.end("closed")


def _attributes(request: Request, capabilities: Capabilities) -> dict[str, Any]:
    params = request.params
    sampling = {f"request_{name}": params[name] for name in ("temperature", "top_p", "seed") if name in params}
    return {
        "model": request.model,
        "provider": capabilities.name,
        "local": capabilities.local,
        "stream": True,
        **sampling,
    }


@contextmanager
def _reserved(
    context: Context, request: Request, price: Price | None, capabilities: Capabilities
) -> Iterator[Reservation | None]:
    scope = context.scope
    if scope is None:
        yield None
        return
    estimate = tokens.estimate_messages(request.messages, capabilities.chars_per_token) if scope.limited else 0
    with scope.reserve(
        prompt_tokens=estimate,
        max_tokens=request.max_tokens,
        price=price,
        answering=context.answering,
        share=context.share,
    ) as grant:
        yield grant


class _Tally:
    """What is seen of one call: first chunk, tokens, and the usage that it is charged, once."""

    __slots__ = (
        "_chars_per_token",
        "_grant",
        "_node",
        "_price",
        "_request",
        "_settled",
        "_started",
        "_thought",
        "_written",
    )

    def __init__(
        self,
        chars_per_token: float,
        request: Request,
        price: Price | None,
        node: Node | None,
        grant: Reservation | None,
    ) -> None:
        self._chars_per_token = chars_per_token
        self._request = request
        self._price = price
        self._node = node
        self._grant = grant
        self._started = time.perf_counter()
        self._written = 0
        self._thought = 0
        self._settled = False

    async def watch(self, events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
        async for event in events:
            if isinstance(event, Delta):
                self._see(event)
                yield event
            elif isinstance(event, Done):
                yield self._finish(event)
            else:
                yield event

    def close(self) -> None:
        """Charge a call that did not come to its end what was seen of it."""
        if not self._settled:
            usage = self._seen()
            self._charge(usage, self._cost(usage))

    def _see(self, delta: Delta) -> None:
        if not self._written and self._node is not None:
            self._node.annotate(time_to_first_chunk_s=time.perf_counter() - self._started)
        count = delta.tokens(self._chars_per_token)
        self._written += count
        if delta.reasoning:
            self._thought += count

    def _finish(self, done: Done) -> Done:
        reported = done.usage.completion_tokens or done.usage.prompt_tokens
        usage = done.usage if reported else self._seen()
        cost = self._cost(usage) if done.cost is None else done.cost
        self._charge(usage, cost)
        if self._node is not None:
            names = {"id": "response_id", "model": "response_model"}
            known = {to: done.meta[name] for name, to in names.items() if name in done.meta}
            self._node.annotate(finish_reason=done.finish_reason, **known)
            self._node.end(done.finish_reason)
        return replace(done, usage=usage, cost=cost)

    def _cost(self, usage: Usage) -> Decimal | None:
        return None if self._price is None else self._price.of(usage)

    def _charge(self, usage: Usage, cost: Decimal | None) -> None:
        self._settled = True
        if self._grant is not None:
            self._grant.settle(usage, cost)
        if self._node is not None:
            self._node.spend(usage, cost)

    def _seen(self) -> Usage:
        prompt = tokens.estimate_messages(self._request.messages, self._chars_per_token)
        return Usage(prompt, self._written, self._thought, 0, 1)


async def _timed(events: AsyncIterator[Event], deadline: float, context: Context) -> AsyncGenerator[Event, None]:
    """The same events; waiting for one beyond `deadline` raises BudgetExceeded.

    The time-out is set for each wait and never held across a yield, where it would cancel the consumer.
    """
    while True:
        try:
            event = await _until(deadline, anext(events), context)
        except StopAsyncIteration:
            return
        yield event


async def _until(deadline: float | None, waiting: Any, context: Context) -> Any:
    if deadline is None:
        return await waiting
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await waiting
    except TimeoutError as error:
        raise BudgetExceeded("run", "time_limit_s", "reached", context.scope and context.scope.spent) from error
