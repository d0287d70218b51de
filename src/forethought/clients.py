"""Wrapping a client that an application already has: the copy answers as a policy says, its type stays the same.

    client = forethought.wrap(AsyncOpenAI(), policy="balanced", budget=Budget(output_tokens_limit=4000))

Which clients can be wrapped is found by entry point, in the group `forethought.clients`. Each entry is a function

    wrap(client, engine, **options) -> the wrapped copy, or None where this is not its kind of client

that leaves `client` untouched and imports no SDK that is not loaded already. `engine` is called with a backend,
which asks the client's own server the client's own way, and gives back the engine to run over it; called once when
the client is wrapped, it raises what is wrong with the policy there and then. `options` are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from . import plugins
from .budget import Budget
from .engine import Engine
from .errors import ForethoughtError
from .otel import OtelSink
from .policy import Policy, load
from .ports import Backend, Sink
from .pricing import Prices

CLIENTS = "forethought.clients"

Client = TypeVar("Client")
EngineOver: TypeAlias = Callable[[Backend], Engine]


class NotWrappable(ForethoughtError):  # noqa: N818  named as the other errors are
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

    `policy`, `budget`, `sinks` and `prices` are those of an Engine, `options` those of the adapter (`flavour`: which
    kind of server the client talks to, `auto` by default). Requests still go out through the client's own
    transport, and `client` itself stays as it was. Raises NotWrappable, InvalidPolicy and MissingCapability here
    and not when the copy is asked.
    """
    chosen = None if policy is None else load(policy)
    told = (OtelSink(),) if sinks is None else tuple(sinks)
    known = Prices() if prices is None else prices

    def engine(backend: Backend) -> Engine:
        return Engine(backend, chosen, budget=budget, sinks=told, prices=known)

    adapters = plugins.names(CLIENTS)
    for name in adapters:
        wrapped: Client | None = plugins.load(CLIENTS, name)(client, engine, **options)
        if wrapped is not None:
            return wrapped
    raise NotWrappable(client, adapters)
