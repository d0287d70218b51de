"""The engine in a process of its own: what it does as in a thread, and what is left where it dies."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from forethought.errors import EngineStopped, InvalidModelFile, InvalidRequest
from forethought.fold import complete, fold
from forethought.wire import Delta, Request
from forethought_adapters.llamacpp import LlamaCpp, open_backend

TEN_SECONDS = 10.0
A_SECOND = 1.0
"""What is promised to those whose engine was killed."""


@pytest.fixture
async def isolated(model_file: Path) -> AsyncIterator[LlamaCpp]:
    """The random model in a process of its own."""
    async with open_backend(model_file, isolation="process", n_parallel=8, n_threads=1) as opened:
        yield opened


def children() -> list[psutil.Process]:
    """The processes of isolated engines, the oldest first."""
    ours = [child for child in psutil.Process().children() if "forethought_adapters.llamacpp.child" in child.cmdline()]
    return sorted(ours, key=lambda child: child.create_time())


def endless(seed: int = 1) -> Request:
    return Request.of(f"Go on, {seed}.", temperature=0, max_tokens=480)


async def quiet(backend: LlamaCpp) -> None:
    """Wait until the engine has nothing to do; fails after ten seconds."""
    async with asyncio.timeout(TEN_SECONDS):
        while backend.live:  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_it_writes_what_a_thread_writes(isolated: LlamaCpp, backend: LlamaCpp) -> None:
    """Text, logprobs and the reason to end are those of the engine in a thread, as far as floating point goes."""
    requests = [Request.of("x", seed=seed, max_tokens=30, logprobs=True, top_logprobs=2) for seed in range(3)]
    here, there = [[await complete(each, request) for request in requests] for each in (backend, isolated)]
    assert [(a.text, a.finish_reason) for a in here] == [(a.text, a.finish_reason) for a in there]
    ours, theirs = [[entry.logprob for a in each for entry in a.logprobs] for each in (here, there)]
    assert ours == pytest.approx(theirs, abs=1e-3)


async def test_it_says_what_it_loaded(isolated: LlamaCpp, backend: LlamaCpp) -> None:
    """The facts of the model are those that the engine in a thread tells, and so are the capabilities."""
    here, there = await backend.load(), await isolated.load()
    assert (here.description, here.cells, here.longest) == (there.description, there.cells, there.longest)
    assert here.template.render(endless()) == there.template.render(endless())
    assert isolated.capabilities == backend.capabilities


async def test_a_killed_engine_ends_its_streams(isolated: LlamaCpp) -> None:
    """Of an engine killed in mid-text each stream gets EngineStopped within a second, and the next request succeeds."""
    alone = await complete(isolated, endless(1))
    async with AsyncExitStack() as opened:
        streams = [await opened.enter_async_context(isolated.stream(endless(seed))) for seed in range(4)]
        for events in streams:
            assert isinstance(await anext(events), Delta)
        children()[0].kill()
        async with asyncio.timeout(A_SECOND):
            ends = await asyncio.gather(*map(fold, streams), return_exceptions=True)
    assert [type(end) for end in ends] == [EngineStopped] * 4
    assert all("SIGKILL" in str(end) for end in ends)
    assert (await complete(isolated, endless(1))).text == alone.text


async def test_an_assertion_in_native_code_ends_its_streams(isolated: LlamaCpp) -> None:
    """An engine that aborts ends its streams with the name of the signal."""
    async with isolated.stream(endless()) as events:
        await anext(events)
        children()[0].send_signal(signal.SIGABRT)
        with pytest.raises(EngineStopped, match="SIGABRT"):
            [event async for event in events]


async def test_an_engine_that_died_idle_costs_nobody(isolated: LlamaCpp) -> None:
    """A request after an idle engine was killed is served by a new one."""
    before = await complete(isolated, endless())
    (child,) = children()
    child.kill()
    await asyncio.to_thread(psutil.wait_procs, [child], TEN_SECONDS)
    assert (await complete(isolated, endless())).text == before.text


async def test_leaving_ends_the_work(isolated: LlamaCpp) -> None:
    """Leaving a stream crosses: nothing stays live, and nothing more is evaluated."""
    async with isolated.stream(endless()) as events:
        await anext(events)
        assert isolated.live == 1
    await quiet(isolated)
    evaluated = isolated.occupancy.evaluated
    await asyncio.sleep(0.02)
    assert isolated.occupancy.evaluated == evaluated < 480


async def test_a_storm_of_cancels_leaves_nothing(isolated: LlamaCpp) -> None:
    """Of many streams cancelled at any point, before their first word too, none is left."""

    async def taste(index: int) -> None:
        async with isolated.stream(endless(index)) as events:
            for _ in range(index % 5):
                await anext(events)

    async with asyncio.timeout(60):
        await asyncio.gather(*(taste(index) for index in range(32)))
    await quiet(isolated)


async def test_what_is_wrong_with_a_request_crosses(isolated: LlamaCpp) -> None:
    """A prompt that can never fit raises InvalidRequest with its facts, and others go on."""
    other = asyncio.create_task(complete(isolated, endless()))
    with pytest.raises(InvalidRequest) as raised:
        await complete(isolated, Request.of("x" * 9000))
    assert (raised.value.field, "fits" in raised.value.hint) == ("messages", True)
    assert (await other).usage.completion_tokens > 0


async def test_what_is_wrong_with_a_file_crosses(tmp_path: Path) -> None:
    """A file that is no model raises InvalidModelFile with its path, and no process stays."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGML" * 9)
    async with open_backend(path, isolation="process") as backend:
        with pytest.raises(InvalidModelFile) as raised:
            await backend.load()
    assert raised.value.path == str(path)
    assert children() == []


async def test_engines_die_alone(isolated: LlamaCpp, model_file: Path) -> None:
    """What kills one engine leaves another undisturbed."""
    await isolated.load()
    async with open_backend(model_file, isolation="process", n_threads=1) as second:
        alone = (await complete(second, endless())).text
        async with isolated.stream(endless(2)) as events:
            await anext(events)
            going = asyncio.create_task(complete(second, endless()))
            children()[0].kill()
            with pytest.raises(EngineStopped):
                [event async for event in events]
        assert (await going).text == alone


async def test_closing_ends_the_process(isolated: LlamaCpp) -> None:
    """Closing ends the process and the streams in flight; afterwards there is nobody to ask."""
    async with isolated.stream(endless()) as events:
        await anext(events)
        await isolated.aclose()
        with pytest.raises(EngineStopped, match="closed"):
            [event async for event in events]
    assert children() == []
    with pytest.raises(EngineStopped):
        await complete(isolated, endless())


def test_there_are_two_ways_to_live() -> None:
    """Any other isolation is an error that names the ones there are."""
    with pytest.raises(ValueError, match="isolation: got 'jail'; 'thread' or 'process'"):
        open_backend("x.gguf", isolation="jail")


LEAVE = """
import asyncio, os, signal, sys
import psutil
from forethought.wire import Request
from forethought_adapters.llamacpp import open_backend

backend = open_backend(sys.argv[1], n_threads=1, isolation="process")

async def main():
    async with backend.stream(Request.of("x", temperature=0)) as events:
        await anext(events)
        print(psutil.Process().children()[0].pid, "llama_cpp" in sys.modules, flush=True)
        {ending}

asyncio.run(main())
"""


@pytest.mark.real
@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_the_child_ends_with_its_parent(model_file: Path, ending: str) -> None:
    """However a process ends with an engine open, the engine's ends too; native code was never loaded into it."""
    script = LEAVE.format(ending=ending)
    ended = subprocess.run(
        [sys.executable, "-c", script, model_file], capture_output=True, text=True, timeout=60, check=False
    )
    child, loaded = ended.stdout.split()
    assert (loaded, ended.stderr) == ("False", "")
    assert ended.returncode in (0, 3, -signal.SIGKILL)
    assert not psutil.pid_exists(int(child)) or _ends(int(child))


def _ends(pid: int) -> bool:
    try:
        return psutil.Process(pid).wait(TEN_SECONDS) is None
    except psutil.NoSuchProcess:
        return True
