"""Answers the body of a chat-completions request, whole or streamed, and takes feedback on the answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from forethought.clients import Thinking
from forethought.engine import Engine
from forethought.errors import ForethoughtError, UpstreamTimeout, UpstreamUnreachable
from forethought.front import jsonio, sse
from forethought.front.errors import NO_RETRY, Headers, failure_of
from forethought.front.feedback import take
from forethought.front.question import Question, stream, whole
from forethought.ports import Backend

WHOLE: Headers = [(b"content-type", b"application/json")]
STREAM: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it goes to the client; `body` is whole, or still being written."""

    status: int
    headers: Headers
    body: bytes | Writing


class Writing:
    """A streamed answer while it is written: by a task of its own, since several may take turns in reading it."""

    def __init__(self, engine: Engine, question: Question) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._begun = False
        self._first = b""
        self._task = asyncio.create_task(self._write(engine, question))

    async def begin(self) -> None:
        """Wait until it speaks; raises what kept it from speaking."""
        try:
            self._first = await self.read()
        except BaseException:
            await self.aclose()
            raise

    async def read(self) -> bytes:
        """What was written next; nothing once it is finished."""
        if self._first:
            first, self._first = self._first, b""
            return first
        piece = None if self._task.done() and self._queue.empty() else await self._queue.get()
        if piece is None:
            await self._task
            return b""
        return piece

    async def aclose(self) -> None:
        """Stop; when this returns, nothing is asked upstream any more."""
        if self._task.cancel():
            await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()

    def put(self, piece: bytes, /) -> None:
        """Add to what can be read; comments are left out, since no time runs out between client and transport."""
        if piece and not piece.startswith(b":"):
            self._queue.put_nowait(piece)
            self._begun = True

    async def room(self) -> None:
        """There always is: an answer is small."""

    async def _write(self, engine: Engine, question: Question) -> None:
        try:
            await stream(engine, question, self)
        except ForethoughtError as error:
            if not self._begun:
                raise
            self.put(sse.data({"error": failure_of(error).error}))
        finally:
            self._queue.put_nowait(None)


async def answer(body: bytes, thinking: Thinking, backend: Backend) -> Reply:
    """What a request is answered; a streamed reply has begun to speak when this returns.

    Errors of ours become replies, so that the SDK raises its own class for them, but for UpstreamTimeout and
    UpstreamUnreachable, which no reply could say. Every call of a run has been retried already, so no reply asks
    the SDK to repeat it.
    """
    try:
        selection = thinking.selector.select(jsonio.read_object(body))
        question = Question.of(selection)
        engine = thinking.engine(backend, selection.policy)
        if not question.streamed:
            return Reply(200, WHOLE, await whole(engine, question))
        writing = Writing(engine, question)
        await writing.begin()
        return Reply(200, STREAM, writing)
    except (UpstreamTimeout, UpstreamUnreachable):
        raise
    except ForethoughtError as error:
        return _failed(error)


async def feedback(body: bytes, thinking: Thinking) -> Reply:
    """What feedback on a run is answered; it goes no further than to the layers that learn."""
    try:
        return Reply(200, WHOLE, await take(body, thinking.selector))
    except ForethoughtError as error:
        return _failed(error)


def _failed(error: ForethoughtError) -> Reply:
    told = failure_of(error)
    return Reply(told.status, [*(pair for pair in told.headers if pair[0] != NO_RETRY[0]), NO_RETRY], told.body)
