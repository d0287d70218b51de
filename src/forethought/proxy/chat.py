"""`POST /v1/chat/completions`: passed on as it is, or thought about."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import cast

from starlette.types import Receive, Scope, Send

from ..engine import Engine
from ..front import jsonio
from ..front.errors import Refused
from ..front.question import Question, stream, whole
from ..front.select import INLINE, NONE, Selector
from ..policy import Policy
from ..ports import Backend, Sink
from .asgi import JSON_TYPE, Gone, header, read_json_body, request_id, send_whole, while_connected
from .outbox import pour
from .relay import relay
from .upstream import Keyed, Relaying


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
        return cast("Backend", cast("Keyed", self.backend).with_key(_key(scope)))

    def tenant_of(self, scope: Scope) -> str:
        """Who shares what is learned: the callers with one key, which cannot be told from this; with ours, all."""
        return blake2b(_key(scope).encode("latin-1"), digest_size=16).hexdigest() if self.pass_through else ""


def _key(scope: Scope) -> str:
    kind, _, key = (header(scope, b"authorization") or b"").decode("latin-1").partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise Refused(401, "invalid_api_key", "authorization: 'Bearer' and a key of the upstream are expected")
    return key.strip()


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
            question = Question.of(selection, self.access.tenant_of(scope))
            work = self._think(self.thinkers.of(selection.policy, backend), question, send)
        await while_connected(receive, work)

    async def _think(self, engine: Engine, question: Question, send: Send) -> None:
        if question.streamed:
            await pour(lambda outbox: stream(engine, question, outbox), send, self.heartbeat_s)
            return
        started = time.perf_counter()
        body = await whole(engine, question)
        taken = str(round((time.perf_counter() - started) * 1000)).encode()
        headers = [JSON_TYPE, (b"openai-processing-ms", taken), *request_id()]
        await send_whole(send, 200, body, headers)
