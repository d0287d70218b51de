"""Asking several times at once: one helper holds the task group, the queue and the unwrapping for every search."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ..errors import ForethoughtError, UpstreamProtocol
from ..fold import Partial
from ..ports import Backend
from ..wire import Completion, Delta, Done, Event, Request


@dataclass(frozen=True, slots=True)
class Piece:
    """An event of branch `index`."""

    index: int
    event: Event


@dataclass(frozen=True, slots=True)
class Landed:
    """Branch `index` finished with a whole answer."""

    index: int
    completion: Completion


@dataclass(frozen=True, slots=True)
class Failed:
    """Branch `index` ended in an error of ours; the search decides what that means."""

    index: int
    error: ForethoughtError


@dataclass(slots=True)
class Branches:
    """Branches that run side by side; iterate to see what happens in them, in order of arrival.

    The iteration ends when every branch that was started has landed, failed or been cancelled. Branches
    may be started and cancelled while it goes on.
    """

    _inner: Backend
    _group: asyncio.TaskGroup
    _queue: asyncio.Queue[Piece | Landed | Failed] = field(default_factory=asyncio.Queue[Piece | Landed | Failed])
    _running: dict[int, asyncio.Task[None]] = field(default_factory=dict[int, asyncio.Task[None]])
    _cancelled: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _started: int = 0

    @property
    def running(self) -> frozenset[int]:
        return frozenset(self._running)

    def start(self, request: Request, *, of: int = 1, at: int | None = None, backend: Backend | None = None) -> int:
        """Start a branch for `request`, one of `of` that share the budget; gives back its index.

        The index, from which the seed of the branch is derived, is the next one, or `at`, which is then kept
        clear of the others by the caller. `backend` is asked instead of the one that all are asked of.
        """
        index = self._started if at is None else at
        self._started += at is None
        branch = self._run(index, self._inner if backend is None else backend, request.branch(index, of=of))
        self._running[index] = self._group.create_task(branch)
        return index

    def cancel(self, index: int | None = None) -> int:
        """Cancel one branch, or all; gives back how many were still running."""
        chosen = list(self._running) if index is None else [index] if index in self._running else []
        for number in chosen:
            task = self._running.pop(number)
            task.cancel()
            self._cancelled.add(task)
            task.add_done_callback(self._cancelled.discard)
        return len(chosen)

    async def close(self) -> int:
        """Cancel all that still run and wait until they have ended, their cost settled; gives back how many."""
        cancelled = self.cancel()
        if self._cancelled:
            await asyncio.wait(self._cancelled)
        return cancelled

    async def __aiter__(self) -> AsyncIterator[Piece | Landed | Failed]:
        while self._running or not self._queue.empty():
            happening = await self._queue.get()
            if not isinstance(happening, Piece):
                self._running.pop(happening.index, None)
            yield happening

    async def _run(self, index: int, backend: Backend, request: Request) -> None:
        try:
            self._queue.put_nowait(Landed(index, await self._watch(index, backend, request)))
        except ForethoughtError as error:
            self._queue.put_nowait(Failed(index, error))

    async def _watch(self, index: int, backend: Backend, request: Request) -> Completion:
        partial = Partial()
        async with backend.stream(request) as events:
            async for event in events:
                if isinstance(event, Done):
                    return partial.completion(event)
                if isinstance(event, Delta):
                    partial.add(event)
                self._queue.put_nowait(Piece(index, event))
        raise UpstreamProtocol("the stream ended without saying why it ended")


@asynccontextmanager
async def fan_out(inner: Backend) -> AsyncIterator[Branches]:
    """Hold the branches of a search; leaving the block ends every one of them before it returns.

    What the body or a branch raises comes out as it was raised, not wrapped in an ExceptionGroup.
    """
    raised: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            branches = Branches(inner, group)
            try:
                yield branches
            except BaseException as error:  # noqa: BLE001  held until the group has ended, then raised as it was
                raised = error
            finally:
                branches.cancel()
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    if raised is not None:
        raise raised
