"""Wrapping a client that an application already has: the copy answers as a policy says, its type stays the same.

    client = forethought.wrap(AsyncOpenAI(), policy="balanced", budget=Budget(output_tokens_limit=4000))

Which clients can be wrapped is found by entry point, in the group `forethought.clients`. Each entry is a function

    wrap(client, thinking, **options) -> the wrapped copy, or None where this is not its kind of client

that leaves `client` untouched and imports no SDK that is not loaded already. `thinking` says which policy and budget
a request gets and makes the engine that runs it over a backend, which asks the client's own server the client's own
way. `options` are the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from . import plugins
from .budget import Budget
from .engine import Engine
from .errors import ForethoughtError
from .front.select import Selector
from .otel import OtelSink
from .policy import Policy, available, load
from .ports import Backend, Sink
from .pricing import Prices

CLIENTS = "forethought.clients"

Client = TypeVar("Client")


@dataclass(frozen=True, slots=True)
class Thinking:
    """How the requests of one wrapped client are thought about."""

    selector: Selector
    sinks: Sequence[Sink]
    prices: Prices

    def engine(self, backend: Backend, policy: Policy | None) -> Engine:
        """The engine for a policy that was selected; raises MissingCapability where it cannot run on `backend`."""
        return Engine(backend, policy, sinks=self.sinks, prices=self.prices)

    def check(self, backend: Backend) -> None:
        """Raise now what would be wrong with the default policy once it is asked."""
        self.engine(backend, self.selector.default)


class NotWrappable(ForethoughtError):
    """No adapter knows this kind of client; `known` lists the adapters that are installed."""

    def __init__(self, client: object, known: Sequence[str]) -> None:
        kind = f"{type(client).__module__}.{type(client).__qualname__}"
        super().__init__(f"client: got a {kind}; clients that can be wrapped are those of {', '.join(known) or 'none'}")
        self.client = client
        self.known = tuple(known)


def wrap(
    client: Client,
    *,
    policy: Policy | str | Path | None = None,
    budget: Budget | None = None,
    sinks: Sequence[Sink] | None = None,
    prices: Prices | None = None,
    **options: Any,
) -> Client:
    """A copy of `client`, of the same type, whose chat completions are answered as `policy` says.

    `policy`, `budget` (of each request), `sinks` and `prices` are those of an Engine, `options` those of the adapter
    (`flavour`: which kind of server the client talks to, `auto` by default). A request may choose for itself as it
    may with the proxy, by its field `forethought` or the alias of its model; its budget only becomes tighter.
    Requests go out through the client's own transport, and `client` itself stays as it was. Raises NotWrappable,
    InvalidPolicy and MissingCapability here and not when the copy is asked.
    """
    chosen = None if policy is None else load(policy)
    thinking = Thinking(
        Selector(available(), chosen, budget),
        (OtelSink(),) if sinks is None else tuple(sinks),
        Prices() if prices is None else prices,
    )
    adapters = plugins.names(CLIENTS)
    for name in adapters:
        wrapped: Client | None = plugins.load(CLIENTS, name)(client, thinking, **options)
        if wrapped is not None:
            return wrapped
    raise NotWrappable(client, adapters)
