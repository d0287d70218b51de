"""`POST /v1/chat/completions`: passed on as it is, or thought about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar, cast

from starlette.types import Receive, Scope, Send

from .. import fold
from ..context import Context
from ..engine import Engine
from ..errors import InvalidRequest, UpstreamProtocol
from ..ledger import BudgetScope
from ..policy import Policy
from ..ports import Backend, Sink
from ..wire import Done, Request
from . import jsonio
from .answer import Chunks, Form, closing, completion
from .asgi import JSON_TYPE, Gone, header, read_json_body, request_id, send_whole, while_connected
from .errors import Refused
from .outbox import Outbox, pour
from .relay import relay
from .select import INLINE, NONE, Selection, Selector
from .upstream import Keyed, Relaying

MAX_CHOICES = 128
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """A request that is to be thought about, with the form of its answer."""

    request: Request
    form: Form
    choices: int
    streamed: bool

    @classmethod
    def of(cls, selection: Selection) -> Self:
        """Raises InvalidRequest naming the first field that is wrong."""
        scope = None if selection.budget is None else BudgetScope(selection.budget, "request")
        request = Request.from_json(selection.body, Context(scope=scope))
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


@dataclass(slots=True)
class Thinkers:
    """The engine of each policy over one backend, made when it is first asked for."""

    backend: Backend
    sinks: Sequence[Sink] | None
    _made: dict[str, Engine] = field(default_factory=dict[str, Engine])

    def of(self, policy: Policy | None, backend: Backend) -> Engine:
        """Raises MissingCapability where the policy cannot run on this backend."""
        name = NONE if policy is None else policy.name
        known = self._made.get(name)
        if known is not None and backend is self.backend and (policy is None or known.policy == policy):
            return known
        made = Engine(backend, policy, sinks=self.sinks)
        if backend is self.backend and name != INLINE:
            self._made[name] = made
        return made


@dataclass(frozen=True, slots=True)
class Access:
    """Whose key the upstream is asked with: ours, or with `pass_through` the caller's."""

    backend: Backend
    pass_through: bool

    def backend_for(self, scope: Scope) -> Backend:
        """Raises Refused where the caller should bring a key and does not."""
        if not self.pass_through:
            return self.backend
        kind, _, key = (header(scope, b"authorization") or b"").decode("latin-1").partition(" ")
        if kind.lower() != "bearer" or not key.strip():
            raise Refused(401, "invalid_api_key", "authorization: 'Bearer' and a key of the upstream are expected")
        return cast("Backend", cast("Keyed", self.backend).with_key(key.strip()))


@dataclass(frozen=True, slots=True)
class Chat:
    """The endpoint, an ASGI app: what it raises before an answer has begun is an error for the caller."""

    access: Access
    selector: Selector
    thinkers: Thinkers
    heartbeat_s: float
    max_body_bytes: int
    relays: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_json_body(scope, receive, self.max_body_bytes)
        except Gone:
            return
        backend = self.access.backend_for(scope)
        selection = self.selector.select(jsonio.read_object(body))
        if selection.plain and self.relays:
            sent = jsonio.write(selection.body) if selection.rewritten else body
            work = relay(cast("Relaying", backend), sent, scope["headers"], send)
        else:
            work = self._think(self.thinkers.of(selection.policy, backend), Question.of(selection), send)
        await while_connected(receive, work)

    async def _think(self, engine: Engine, question: Question, send: Send) -> None:
        if question.streamed:
            await pour(lambda outbox: _stream(engine, question, outbox), send, self.heartbeat_s)
            return
        started = time.perf_counter()
        whole = await _side_by_side([fold.complete(engine, request) for request in question.branches])
        taken = str(round((time.perf_counter() - started) * 1000)).encode()
        headers = [JSON_TYPE, (b"openai-processing-ms", taken), *request_id()]
        await send_whole(send, 200, jsonio.write(completion(question.form, whole)), headers)


async def _stream(engine: Engine, question: Question, outbox: Outbox) -> None:
    requests = enumerate(question.branches)
    ends = await _side_by_side([_choice(engine, r, Chunks(question.form, i), outbox) for i, r in requests])
    outbox.put(closing(question.form, ends))


async def _choice(engine: Engine, request: Request, chunks: Chunks, outbox: Outbox) -> Done:
    async with engine.stream(request) as events:
        async for event in events:
            outbox.put(chunks.write(event))
            if isinstance(event, Done):
                return event
            await outbox.room()
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
