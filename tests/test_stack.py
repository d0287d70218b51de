"""Composition: a loop over a list, outermost first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from forethought.errors import MissingCapability
from forethought.fold import complete
from forethought.ports import Backend, Capabilities
from forethought.stack import stack
from forethought.testing import CapturingSink, Script, Scripted
from forethought.trace import Run
from forethought.wire import Delta, Done, Event, Note, Request


@dataclass(frozen=True)
class Marked:
    """Writes its mark before the answer of what is below."""

    mark: str
    kind: str = "marked"

    @asynccontextmanager
    async def stream(self, inner: Backend, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        async def events(below: AsyncIterator[Event]) -> AsyncIterator[Event]:
            yield Note("marking", self.mark)
            yield Delta(self.mark)
            async for event in below:
                yield event

        async with inner.stream(request) as below:
            yield events(below)


@dataclass(frozen=True)
class Fussy(Marked):
    def missing(self, capabilities: Capabilities, /) -> str | None:
        return "telepathy"


async def test_order() -> None:
    """The first layer of the list is the outermost."""
    answer = await complete(stack(Scripted("x"), [Marked("a"), Marked("b")]), Request.of("?"))
    assert answer.text == "abx"


async def test_empty() -> None:
    """Without layers a stack is its backend."""
    backend = Scripted("x")
    assert stack(backend, []) is backend


def test_missing_capability() -> None:
    """A layer that cannot run here is refused when the stack is built, naming layer, backend and capability."""
    with pytest.raises(MissingCapability, match=r"'marked' needs telepathy and backend 'scripted'"):
        stack(Scripted("x"), [Fussy("a")])


async def test_note_recorded_once() -> None:
    """A note is a decision of the layer it comes from, and of no layer above it."""
    run = Run.start("test")
    backend = stack(Scripted("x"), [Marked("a"), Marked("b")])
    await complete(backend, Request.of("?").with_context(node=run.root))
    outer = run.root.children[0]
    inner = outer.children[0]
    assert [[d.facts["text"] for d in node.decisions] for node in (run.root, outer, inner)] == [[], ["a"], ["b"]]


async def test_node_ends_with_its_stream() -> None:
    """A layer's node says why its stream ended."""
    run = Run.start("test", sinks=[CapturingSink()])
    await complete(stack(Scripted("x"), [Marked("a")]), Request.of("?").with_context(node=run.root))
    assert run.root.children[0].end_reason == "stop"


async def test_node_of_a_failure() -> None:
    """A layer whose stream fails ends in that error."""
    run = Run.start("test")
    backend = stack(Scripted(Script("x", error=ValueError("broken"))), [Marked("a")])
    with pytest.raises(ValueError, match="broken"):
        await complete(backend, Request.of("?").with_context(node=run.root))
    assert run.root.children[0].error_type == "ValueError"


async def test_left_early() -> None:
    """Leaving a stack early closes what is below."""
    backend = Scripted("a b c d")
    async with stack(backend, [Marked("a")]).stream(Request.of("?")) as events:
        await anext(events)
        assert backend.live == 1
    assert backend.live == 0


async def test_done_is_last() -> None:
    """Exactly one Done comes through, and last."""
    async with stack(Scripted("a b"), [Marked("m")]).stream(Request.of("?")) as events:
        seen = [event async for event in events]
    assert [isinstance(event, Done) for event in seen].count(True) == 1
    assert isinstance(seen[-1], Done)
