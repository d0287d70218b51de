"""The owner thread with workers that behave badly."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from forethought.context import Usage
from forethought.errors import EngineStopped
from forethought.thinking import THINK
from forethought.wire import Delta, Done
from forethought_adapters.llamacpp.engine import Engine, Ticket
from forethought_adapters.llamacpp.job import Job
from forethought_adapters.llamacpp.state import Facts, Occupancy, Piece
from forethought_adapters.llamacpp.template import ChatTemplate
from support.eventually import eventually


def piece(left: int) -> Piece:
    return Piece(Delta(f"{left} "), Usage(completion_tokens=4 - left, requests=1))


class Counting:
    """A worker that writes a word a step for each job, three words long; it notes the threads that call it."""

    facts = Facts("counting", ChatTemplate("", tags=THINK), cells=1, longest=1)
    occupancy = Occupancy()

    def __init__(self) -> None:
        self.left: dict[int, int] = {}
        self.threads = {threading.get_ident()}
        self.closed = threading.Event()

    @property
    def busy(self) -> bool:
        return bool(self.left)

    def submit(self, key: int, job: Job) -> None:
        del job
        self.threads.add(threading.get_ident())
        self.left[key] = 3

    def cancel(self, key: int) -> None:
        self.threads.add(threading.get_ident())
        self.left.pop(key, None)

    def step(self) -> list[tuple[int, Piece | Done]]:
        self.threads.add(threading.get_ident())
        words: list[tuple[int, Piece | Done]] = [(key, piece(left)) for key, left in self.left.items()]
        ended = [key for key, left in self.left.items() if left == 1]
        self.left = {key: left - 1 for key, left in self.left.items() if left > 1}
        return [*words, *((key, Done()) for key in ended)]

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed.set()


class Dying(Counting):
    """A worker that fails in its second step."""

    def step(self) -> list[tuple[int, Piece | Done]]:
        if 2 in self.left.values():
            raise RuntimeError("native code is unwell")
        return super().step()


async def test_only_the_owner_touches_the_worker() -> None:
    """The worker is made, asked and closed in one thread, which is none of the callers'."""
    worker: list[Counting] = []
    engine = Engine(lambda: worker.append(Counting()) or worker[0], "test")
    await asyncio.gather(*(_read(engine) for _ in range(5)))
    engine.close()
    await asyncio.to_thread(engine.join)
    assert len(worker[0].threads) == 1
    assert threading.get_ident() not in worker[0].threads
    assert worker[0].closed.is_set()


async def test_what_the_worker_raises_reaches_every_reader() -> None:
    """A worker that dies ends every stream with EngineStopped from the cause, and further ones are refused."""
    engine = Engine(Dying, "test")
    results = await asyncio.gather(*(_read(engine) for _ in range(3)), return_exceptions=True)
    assert {type(result) for result in results} == {EngineStopped}
    assert {str(result.__cause__) for result in results if isinstance(result, EngineStopped)} == {
        "native code is unwell"
    }
    with pytest.raises(EngineStopped):
        engine.submit(Job("x"))
    await asyncio.to_thread(engine.join)


async def test_a_worker_that_cannot_be_made_is_reported() -> None:
    """What making the worker raises is raised to those who wait for the model."""

    def fail() -> Counting:
        raise OSError("no such thing")

    engine = Engine(fail, "test")
    with pytest.raises(OSError, match="no such thing"):
        await asyncio.wrap_future(engine.facts)
    assert engine.stopped


async def test_what_nobody_has_read_is_counted() -> None:
    """A ticket knows what the worker has written, how little of it may have been read."""
    engine = Engine(Counting, "test")
    ticket = engine.submit(Job("x"))
    assert written(ticket) == 0
    await anext(ticket)
    await eventually(lambda: written(ticket) == 3)
    engine.close()


def written(ticket: Ticket) -> int:
    return ticket.usage.completion_tokens if ticket.usage else 0


async def _read(engine: Engine) -> str:
    ticket = engine.submit(Job("x"))
    return "".join([event.text async for event in ticket if isinstance(event, Delta)])


DROP = """
import time
from forethought.thinking import THINK
from forethought_adapters.llamacpp.engine import Engine
from forethought_adapters.llamacpp.state import Facts
from forethought_adapters.llamacpp.template import ChatTemplate

class Slow:
    facts = Facts("slow", ChatTemplate("", tags=THINK), cells=1, longest=1)
    busy = False

    def close(self):
        time.sleep(0.5)
        print("freed", flush=True)

Engine(Slow, "test").facts.result()
"""


def test_exit_waits_for_a_dropped_engine() -> None:
    """A process that drops its engine and ends lets the owner thread free the model first."""
    ended = subprocess.run([sys.executable, "-c", DROP], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "freed\n", "")
