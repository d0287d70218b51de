"""The whole of composition: a loop over a list, outermost first."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from .context import Node
from .errors import MissingCapability
from .ports import Backend, Capabilities, Demanding, Layer, Stream
from .wire import JSON, Done, Event, Note, Request


@dataclass(frozen=True, slots=True)
class Layered:
    """A layer over a backend, which is a backend: opens the layer's node and totals what is below it."""

    layer: Layer
    inner: Backend

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    def stream(self, request: Request, /) -> Stream:
        parent = request.context.node
        if parent is None:
            return self.layer.stream(self.inner, request)
        node = parent.child(kind_of(self.layer))
        return totalled(node, self.layer.stream(self.inner, request.with_context(node=node)))


@asynccontextmanager
async def totalled(node: Node, stream: Stream, report: JSON | None = None) -> AsyncIterator[AsyncIterator[Event]]:
    """The same events, inside `node`: it ends with them, and Done carries all that was spent in it.

    A note is recorded at the first node it passes, that of the layer it comes from. `report` is what the
    caller is told besides what Done reports.
    """
    ended: list[str] = []
    try:
        async with stream as events, aclosing(_total(node, events, report, ended)) as total:
            yield total
    except BaseException as error:
        node.end(error=error)
        raise
    finally:
        node.end(ended[0] if ended else "closed")


async def _total(
    node: Node, events: AsyncIterator[Event], report: JSON | None, ended: list[str]
) -> AsyncGenerator[Event, None]:
    async for event in events:
        if isinstance(event, Done):
            reason = event.stop_reason or event.finish_reason
            ended.append(reason)
            told = event.report if report is None else {**report, "stop_reason": reason, **event.report}
            yield Done(event.finish_reason, node.usage, node.cost, event.stop_reason, event.meta, told)
        elif isinstance(event, Note) and not event.by:
            node.decide(event.kind, **{"text": event.text, **(event.data or {})})
            yield replace(event, by=node.name)
        else:
            yield event


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
