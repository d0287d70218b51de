"""The owner thread: model and context live in it, the event loops talk to it through a queue."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol, TypeAlias

from forethought.context import Usage
from forethought.errors import EngineStopped, InvalidRequest
from forethought.wire import Delta, Done

from .job import Job
from .state import Facts, Occupancy, Piece

Item: TypeAlias = Piece | Done | BaseException

_EXIT_WAIT_S = 10.0


class Worker(Protocol):
    """What lives in the owner thread; `worker.Worker` is the real one, `isolated.Isolated` one in another process."""

    @property
    def facts(self) -> Facts: ...
    @property
    def occupancy(self) -> Occupancy: ...
    @property
    def busy(self) -> bool: ...
    def submit(self, key: int, job: Job) -> None: ...
    def cancel(self, key: int) -> None: ...
    def step(self) -> Sequence[tuple[int, Item]]: ...
    def close(self) -> None: ...


class Ticket:
    """One stream at its reader: an iterator of Delta and Done that raises what the engine reports.

    `usage` is what the engine has told of it by now, what nobody has read yet included; None before its first token.
    """

    __slots__ = ("_items", "_over", "key", "loop", "usage")

    def __init__(self, key: int) -> None:
        self.key = key
        self.loop = asyncio.get_running_loop()
        self.usage: Usage | None = None
        self._items: asyncio.Queue[Delta | Done | BaseException] = asyncio.Queue()
        self._over = False

    def __aiter__(self) -> Ticket:
        return self

    async def __anext__(self) -> Delta | Done:
        if self._over:
            raise StopAsyncIteration
        item = await self._items.get()
        self._over = not isinstance(item, Delta)
        if isinstance(item, InvalidRequest):
            raise item
        if isinstance(item, BaseException):
            raise EngineStopped(f"the engine ended while this request was served: {item}") from item
        return item

    def put(self, item: Item) -> None:
        """Called on the reader's loop."""
        if not isinstance(item, Piece):
            self._items.put_nowait(item)
            return
        self.usage = item.usage
        if item.delta is not None:
            self._items.put_nowait(item.delta)


@dataclass(frozen=True, slots=True)
class _Submit:
    ticket: Ticket
    job: Job


@dataclass(frozen=True, slots=True)
class _Cancel:
    key: int


class _Close:
    pass


_Message: TypeAlias = _Submit | _Cancel | _Close


class Engine:
    """Starts the owner thread, which loads the model; safe to use from several event loops.

    `facts` resolves once the model is loaded, or with what prevented it. An engine that is dropped unclosed,
    or still open when the interpreter exits, is closed.
    """

    def __init__(self, open_worker: Callable[[], Worker], name: str) -> None:
        self._keys = itertools.count()
        self._owner = _Owner(open_worker)
        self.facts = self._owner.facts
        self._thread = threading.Thread(target=self._owner.run, name=f"forethought-{name}", daemon=True)
        self._thread.start()
        weakref.finalize(self, self._owner.post, _Close()).atexit = False
        _owners[self._thread] = self._owner

    @property
    def occupancy(self) -> Occupancy:
        """As of the last step."""
        return self._owner.occupancy

    @property
    def stopped(self) -> bool:
        """Whether requests are refused: closed, died, or never loaded."""
        return self._owner.stopped

    def submit(self, job: Job) -> Ticket:
        """Queue a job for the running event loop; raises EngineStopped where there is nobody to do it."""
        ticket = Ticket(next(self._keys))
        self._owner.post(_Submit(ticket, job))
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Free what `ticket` holds within a step; nothing happens where it has ended."""
        if not self.stopped:
            self._owner.post(_Cancel(ticket.key))

    def close(self) -> None:
        """Ask the owner thread to end; what is in flight gets EngineStopped."""
        self._owner.post(_Close())

    def join(self, timeout: float | None = None) -> None:
        """Wait for the owner thread; blocks."""
        self._thread.join(timeout)


class _Owner:
    """Runs in the thread. It keeps no reference to the Engine, so that a dropped one can be collected."""

    def __init__(self, open_worker: Callable[[], Worker]) -> None:
        self.facts: Future[Facts] = Future()
        self.facts.set_running_or_notify_cancel()  # one impatient caller must not cancel the load for all
        self.occupancy = Occupancy()
        self.stopped = False
        self._open_worker = open_worker
        self._inbox: SimpleQueue[_Message] = SimpleQueue()
        self._gate = threading.RLock()  # the garbage collector may post from within a post
        self._tickets: dict[int, Ticket] = {}

    def post(self, message: _Message) -> None:
        """Called from any thread; only a submission to a stopped engine is an error."""
        with self._gate:
            if not self.stopped:
                self._inbox.put(message)
            elif isinstance(message, _Submit):
                raise EngineStopped("the engine is closed")

    def run(self) -> None:
        """The life of the thread."""
        try:
            worker = self._open_worker()
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to those who wait for the model
            self._stop(error)
            self.facts.set_exception(error)
            return
        self.facts.set_result(worker.facts)
        cause: BaseException = EngineStopped("the engine was closed")
        try:
            self._serve(worker)
        except BaseException as error:  # noqa: BLE001 - it is reported to every reader, and ends the engine
            cause = error
        finally:
            self._stop(cause)
            worker.close()

    def _serve(self, worker: Worker) -> None:
        while self._listen(worker):
            outcomes = worker.step() if worker.busy else ()
            self.occupancy = worker.occupancy
            self._deliver(outcomes)

    def _listen(self, worker: Worker) -> bool:
        """Take every message that waits, and wait for one where there is nothing else to do."""
        try:
            message = self._inbox.get(block=not worker.busy)
            while True:
                if isinstance(message, _Close):
                    return False
                self._obey(worker, message)
                message = self._inbox.get_nowait()
        except Empty:
            return True

    def _obey(self, worker: Worker, message: _Submit | _Cancel) -> None:
        if isinstance(message, _Cancel):
            self._tickets.pop(message.key, None)
            worker.cancel(message.key)
            return
        key = message.ticket.key
        self._tickets[key] = message.ticket
        try:
            worker.submit(key, message.job)
        except InvalidRequest as error:
            self._deliver([(key, error)])

    def _deliver(self, items: Iterable[tuple[int, Item]]) -> None:
        """Wake each loop once with all that is for it; a loop that is gone wants nothing any more."""
        letters: defaultdict[asyncio.AbstractEventLoop, list[tuple[Ticket, Item]]] = defaultdict(list)
        for key, item in items:
            ticket = self._tickets[key] if isinstance(item, Piece) else self._tickets.pop(key)
            letters[ticket.loop].append((ticket, item))
        for loop, letter in letters.items():
            try:
                loop.call_soon_threadsafe(_put_all, letter)
            except RuntimeError:  # the loop is closed
                for ticket, _ in letter:
                    self._inbox.put(_Cancel(ticket.key))

    def _stop(self, cause: BaseException) -> None:
        with self._gate:
            self.stopped = True
        while not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, _Submit):
                self._tickets[message.ticket.key] = message.ticket
        self._deliver([(key, cause) for key in self._tickets])
        self.occupancy = Occupancy()


def _put_all(letter: list[tuple[Ticket, Item]]) -> None:
    for ticket, item in letter:
        ticket.put(item)


_owners: weakref.WeakKeyDictionary[threading.Thread, _Owner] = weakref.WeakKeyDictionary()


@atexit.register
def _close_all() -> None:
    """A thread that is inside native code while the interpreter is taken down may crash it.

    The threads are waited for, not the engines: one that was dropped may still be freeing its model.
    """
    for thread, owner in list(_owners.items()):
        owner.post(_Close())
        thread.join(_EXIT_WAIT_S)
