"""A chat-completions body as a question to an engine, and its answer: whole, or streamed as it is written."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar, cast

from ..budget import current_scope
from ..context import Context
from ..engine import Engine
from ..errors import InvalidRequest, UpstreamProtocol
from ..ledger import BudgetScope
from ..wire import Done, Note, Request
from . import jsonio
from .answer import Chunks, Form, closing, completion
from .select import NONE, Selection

MAX_CHOICES = 128
UNEASY = frozenset({"failed", "retry"})
"""Notes that wait for what comes next: should it be the failure of all, that is better told by its own status."""
T = TypeVar("T")


class Outlet(Protocol):
    """Where the bytes of a streamed answer go."""

    def put(self, piece: bytes, /) -> None:
        """Add bytes, which need not be sent before the next `room`."""
        ...

    async def room(self) -> None:
        """Send what was put, and wait while too much is waiting to be taken."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """A request that is to be thought about, with the form of its answer."""

    request: Request
    form: Form
    choices: int
    streamed: bool

    @classmethod
    def of(cls, selection: Selection, tenant: str = "") -> Self:
        """What `tenant` asks; raises InvalidRequest naming the first field that is wrong."""
        scope = None if selection.budget is None else BudgetScope(selection.budget, "request", current_scope())
        request = Request.from_json(selection.body, Context(scope=scope, tenant=tenant))
        name = NONE if selection.policy is None else selection.policy.name
        form = Form.of(request, name, selection.progress, _stream_options(request))
        choices = request.params.get("n") or 1
        if choices > MAX_CHOICES:
            raise InvalidRequest("n", choices, f"at most {MAX_CHOICES} choices are given")
        bare = request.with_params(n=None, stream=None, stream_options=None)
        return cls(bare, form, choices, bool(request.params.get("stream")))

    @property
    def branches(self) -> list[Request]:
        """One request for each choice, which share seed and budget."""
        if self.choices == 1:
            return [self.request]
        return [self.request.branch(index, of=self.choices) for index in range(self.choices)]


async def whole(engine: Engine, question: Question) -> bytes:
    """The answer as the JSON of a chat.completion."""
    answers = await _side_by_side([engine.complete(request) for request in question.branches])
    return jsonio.write(completion(question.form, answers))


async def stream(engine: Engine, question: Question, outlet: Outlet) -> None:
    """Put the answer as an event stream, end mark included; what is raised leaves the stream unfinished."""
    requests = enumerate(question.branches)
    ends = await _side_by_side([_choice(engine, r, Chunks(question.form, i), outlet) for i, r in requests])
    outlet.put(closing(question.form, ends))


async def _choice(engine: Engine, request: Request, chunks: Chunks, outlet: Outlet) -> Done:
    async with engine.stream(request) as events:
        async for event in events:
            outlet.put(chunks.write(event))
            if isinstance(event, Done):
                return event
            if not isinstance(event, Note) or event.kind not in UNEASY:
                await outlet.room()
    raise UpstreamProtocol("the stream ended without saying why it ended")


async def _side_by_side(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; the first failure ends the others and is raised as it was."""
    if len(works) == 1:
        return [await works[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def _stream_options(request: Request) -> Mapping[str, Any] | None:
    options = request.params.get("stream_options")
    if options is not None and not isinstance(options, Mapping):
        raise InvalidRequest("stream_options", options, "an object is expected")
    return cast("Mapping[str, Any] | None", options)
