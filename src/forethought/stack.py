"""The whole of composition: a loop over a list, outermost first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from .errors import MissingCapability
from .ports import Backend, Capabilities, Demanding, Layer
from .wire import Delta, Done, Event, Note, Request


@dataclass(frozen=True, slots=True)
class Layered:
    """A layer over a backend, which is a backend: opens the layer's node and totals what is below it."""

    layer: Layer
    inner: Backend

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        parent = request.context.node
        if parent is None:
            async with self.layer.stream(self.inner, request) as events:
                yield events
            return
        node = parent.child(kind_of(self.layer))
        reason: list[str] = []

        async def totalled(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
            async for event in events:
                if isinstance(event, Done):
                    reason.append(event.stop_reason or event.finish_reason)
                    yield replace(event, usage=node.usage, cost=node.cost)
                else:
                    if isinstance(event, Note):
                        node.decide(event.kind, text=event.text, **(event.data or {}))
                    yield event

        try:
            async with self.layer.stream(self.inner, request.with_context(node=node)) as events:
                yield totalled(events)
        except BaseException as error:
            node.end(error=error)
            raise
        finally:
            node.end(reason[0] if reason else "closed")


def stack(backend: Backend, layers: Iterable[Layer]) -> Backend:
    """Put `layers`, outermost first, over `backend`; raises MissingCapability before anything is asked."""
    for layer in reversed(list(layers)):
        missing = layer.missing(backend.capabilities) if isinstance(layer, Demanding) else None
        if missing is not None:
            raise MissingCapability(kind_of(layer), backend.capabilities.name, missing)
        backend = Layered(layer, backend)
    return backend


def kind_of(layer: Layer) -> str:
    """The name of a layer in policies and traces."""
    return str(getattr(layer, "kind", type(layer).__name__.lower()))
