"""The transports in a client's copy: chat completions are answered by an engine, feedback is taken, the rest passes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

from forethought.clients import Thinking
from forethought.front.feedback import PATH as FEEDBACK
from forethought.ports import Backend

from .door import Reply, Writing, answer, feedback
from .loop import LoopThread
from .through import Blocking, Through

BackendOver: TypeAlias = Callable[[Through], Backend]
"""Makes the backend whose calls are sent through."""
Telling: TypeAlias = Callable[[Any], AbstractContextManager[None]]
"""Raises the SDK's own errors, which it neither repeats nor wraps, for a request that could not be answered."""


@dataclass(frozen=True, slots=True)
class AsyncTransport:
    """Stands before `inner`, an `httpx.AsyncClient`; it is the caller's, and never closed here.

    Time-outs between two reads are enforced below, call by call, and not here: a run may think as long as
    its budget lets it.
    """

    inner: Any
    httpx: Any
    thinking: Thinking
    backend: BackendOver
    telling: Telling

    async def handle_async_request(self, request: Any) -> Any:
        if is_feedback(request):
            with self.telling(request):
                reply = await feedback(await request.aread(), self.thinking)
            return respond(self.httpx, reply, self._stream)
        if not is_chat(request):
            return await self.inner.send(request, stream=True)
        backend = self.backend(Through(self.inner, request, self.httpx))
        with self.telling(request):
            reply = await answer(await request.aread(), self.thinking, backend)
        return respond(self.httpx, reply, self._stream)

    async def __aenter__(self) -> AsyncTransport:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def aclose(self) -> None:
        return

    def _stream(self, writing: Writing) -> Any:
        return _also(AsyncAnswer, self.httpx.AsyncByteStream)(writing)


@dataclass(frozen=True, slots=True)
class BlockingTransport:
    """Stands before `inner`, an `httpx.Client`; the engine runs in a thread of its own."""

    inner: Any
    httpx: Any
    thinking: Thinking
    backend: BackendOver
    telling: Telling
    loop: LoopThread = field(default_factory=LoopThread)

    def handle_request(self, request: Any) -> Any:
        if is_feedback(request):
            with self.telling(request):
                reply = self.loop.run(feedback(request.read(), self.thinking))
            return respond(self.httpx, reply, self._stream)
        if not is_chat(request):
            return self.inner.send(request, stream=True)
        backend = self.backend(Through(Blocking(self.inner), request, self.httpx))
        with self.telling(request):
            reply = self.loop.run(answer(request.read(), self.thinking, backend))
        return respond(self.httpx, reply, self._stream)

    def __enter__(self) -> BlockingTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.loop.stop()

    def _stream(self, writing: Writing) -> Any:
        return _also(Answer, self.httpx.SyncByteStream)(writing, self.loop)


class AsyncAnswer:
    """The bytes of an answer while it is written; closing it ends every call that is made for it."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._writing.read():
            yield chunk

    async def aclose(self) -> None:
        await self._writing.aclose()


class Answer:
    """The same for a client that blocks."""

    def __init__(self, writing: Writing, loop: LoopThread) -> None:
        self._writing = writing
        self._loop = loop

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._loop.run(self._writing.read()):
            yield chunk

    def close(self) -> None:
        self._loop.run(self._writing.aclose())


def is_chat(request: Any) -> bool:
    return bool(request.method == "POST" and request.url.path.endswith("/chat/completions"))


def is_feedback(request: Any) -> bool:
    return bool(request.method == "POST" and request.url.path.endswith(FEEDBACK))


def respond(httpx: Any, reply: Reply, stream: Callable[[Writing], Any]) -> Any:
    """The reply as a response of this httpx."""
    if isinstance(reply.body, Writing):
        return httpx.Response(reply.status, headers=reply.headers, stream=stream(reply.body))
    return httpx.Response(reply.status, headers=reply.headers, content=reply.body)


@cache
def _also(kind: type, base: type) -> Any:
    """`kind` as a subclass of `base`, which httpx insists on and only the caller has imported."""
    return type(kind.__name__, (kind, base), {})
