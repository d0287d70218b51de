"""What is seen of one upstream call while it streams, and what it is charged, once and however it ends."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal

from . import tokens
from .context import Node, Price, Reservation, Usage
from .fold import Partial
from .ports import Counting
from .trace import capture_content
from .wire import Delta, Done, Event, Request


def prompt_estimate(request: Request, chars_per_token: float) -> int:
    """About how many prompt tokens a request has, with its tools and what the assistant has already said."""
    tools = request.params.get("tools")
    shown = request.messages if not tools else (*request.messages, {"tools": tools})
    said = tokens.estimate_messages(shown, chars_per_token)
    prefix = request.prefix
    return said if prefix is None else said + tokens.estimate(prefix.reasoning + prefix.answer, chars_per_token)


@dataclass(slots=True)
class Tally:
    """Counts one call; a server that reports no usage is charged what was seen of it.

    A call that did not come to its end is charged what its `source`, the events as the backend gives them, has
    counted, else what was seen. Tokens are seen by their logprobs where they come along, else estimated, and of the
    prompt nothing counts as cached. `grant` is settled and `node`
    charged when Done passes, or at `close` where none came.
    """

    request: Request
    chars_per_token: float
    price: Price | None
    node: Node | None
    grant: Reservation | None
    started: float = field(default_factory=time.perf_counter)
    written: int = 0
    thought: int = 0
    settled: bool = False
    source: object = None
    said: Partial | None = field(default_factory=lambda: Partial() if capture_content() else None)

    async def watch(self, events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
        """The same events, counted."""
        self.source = self.source or events
        async for event in events:
            if isinstance(event, Delta):
                self._see(event)
                yield event
            elif isinstance(event, Done):
                yield self._finish(event)
            else:
                yield event

    def refuse(self) -> None:
        """Charge nothing, unless something was written by now."""
        self.settled = self.settled or not (self.written or self._counted())

    def close(self) -> None:
        """Charge a call that did not come to its end what it has taken."""
        if not self.settled:
            usage = self._counted() or self._seen()
            self._charge(usage, self._cost(usage))

    def _counted(self) -> Usage | None:
        return self.source.usage if isinstance(self.source, Counting) else None

    def _see(self, delta: Delta) -> None:
        if not self.written and self.node is not None:
            self.node.annotate(time_to_first_chunk_s=time.perf_counter() - self.started)
        count = delta.tokens(self.chars_per_token)
        self.written += count
        if delta.reasoning:
            self.thought += count
        if self.said is not None:
            self.said.add(delta)

    def _finish(self, done: Done) -> Done:
        reported = done.usage.completion_tokens or done.usage.prompt_tokens
        usage = done.usage if reported else self._seen()
        cost = self._cost(usage) if done.cost is None else done.cost
        self._charge(usage, cost)
        if self.node is not None:
            self._annotate(self.node, done)
            self.node.end(done.finish_reason)
        return Done(done.finish_reason, usage, cost, done.stop_reason, done.meta, done.report)

    def _annotate(self, node: Node, done: Done) -> None:
        names = {"id": "response_id", "model": "response_model"}
        known = {to: done.meta[name] for name, to in names.items() if name in done.meta}
        node.annotate(finish_reason=done.finish_reason, **known)
        if self.said is not None:
            node.annotate(
                input_messages=list(self.request.messages),
                output_messages=[self.said.completion(done).message],
            )

    def _cost(self, usage: Usage) -> Decimal | None:
        return None if self.price is None else self.price.of(usage)

    def _charge(self, usage: Usage, cost: Decimal | None) -> None:
        self.settled = True
        if self.grant is not None:
            self.grant.settle(usage, cost)
        if self.node is not None:
            self.node.spend(usage, cost)

    def _seen(self) -> Usage:
        return Usage(prompt_estimate(self.request, self.chars_per_token), self.written, self.thought, 0, 1)
