"""What every backend promises, whatever is behind it."""

from __future__ import annotations

import asyncio
import random

import pytest

from forethought.errors import ForethoughtError
from forethought.fold import complete
from forethought.ports import Capabilities
from forethought.wire import Delta, Done, Event
from support.backends import Case

# litellm reads deprecated attributes of its own models, and drops a coroutine when it is cancelled before it starts.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Accessing the .* attribute on the instance:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:coroutine 'OpenAIChatCompletion.* was never awaited:RuntimeWarning"),
]


async def events_of(case: Case) -> list[Event]:
    async with case.backend.stream(case.request) as events:
        return [event async for event in events]


async def quiet(case: Case) -> bool:
    for _ in range(400):
        if not case.live():
            return True
        await asyncio.sleep(0.005)
    return False


async def test_one_done_and_last(case: Case) -> None:
    """A stream ends with exactly one Done."""
    events = await events_of(case)
    assert [isinstance(event, Done) for event in events] == [False] * (len(events) - 1) + [True]


async def test_says_something(case: Case) -> None:
    """The deltas of a stream add up to an answer."""
    assert any(isinstance(event, Delta) and event.text for event in await events_of(case))


async def test_thinks(case: Case) -> None:
    """Thinking comes as reasoning, apart from the answer and before it."""
    deltas = [event for event in await events_of(case) if isinstance(event, Delta)]
    text_began = [bool(delta.text) for delta in deltas].index(True)
    assert any(delta.reasoning for delta in deltas[: text_began + 1])
    assert not any(delta.reasoning for delta in deltas[text_began + 1 :])


async def test_tags_do_not_show(case: Case) -> None:
    """The tags around the thinking never show."""
    answer = await complete(case.backend, case.request)
    assert "think>" not in answer.reasoning + answer.text


async def test_usage(case: Case) -> None:
    """Done carries a usage that counts the prompt, the answer and the calls."""
    usage = (await complete(case.backend, case.request)).usage
    assert min(usage.prompt_tokens, usage.completion_tokens, usage.requests) >= 1
    assert usage.reasoning_tokens <= usage.completion_tokens


async def test_nothing_is_left(case: Case) -> None:
    """After the whole answer nothing goes on."""
    await complete(case.backend, case.request)
    assert await quiet(case)


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_left_early(case: Case, after: int) -> None:
    """Leaving a stream at any point ends the work below."""
    async with case.backend.stream(case.request) as events:
        for _ in range(after):
            await anext(events)
    assert await quiet(case)


async def test_raising_in_the_block(case: Case) -> None:
    """What is raised while reading comes out as it was, and the work below has ended."""
    with pytest.raises(KeyError, match="mine"):
        async with case.backend.stream(case.request) as events:
            await anext(events)
            raise KeyError("mine")
    assert await quiet(case)


async def test_cancelled(case: Case) -> None:
    """Cancelling the task that reads ends the work below."""
    reading = asyncio.ensure_future(complete(case.backend, case.request))
    await asyncio.sleep(0.003)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert await quiet(case)


async def test_timed_out(case: Case) -> None:
    """A time-out around a stream is a TimeoutError, and the work below has ended."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await complete(case.backend, case.request)
    assert await quiet(case)


async def test_again_after_leaving(case: Case) -> None:
    """A backend that was left early answers the next request whole."""
    async with case.backend.stream(case.request) as events:
        await anext(events)
    assert (await complete(case.backend, case.request)).finish_reason == "stop"


async def test_side_by_side(case: Case) -> None:
    """Sixteen streams side by side, some of them cancelled, end without trace."""
    dice = random.Random(7)

    async def ask() -> None:
        try:
            async with asyncio.timeout(dice.choice([0.002, 0.01, 60])):
                await complete(case.backend, case.request)
        except TimeoutError:
            pass

    await asyncio.gather(*(ask() for _ in range(16)))
    assert await quiet(case)


async def test_max_tokens(case: Case) -> None:
    """A ceiling on tokens holds, or the answer says that it was cut for length."""
    try:
        answer = await complete(case.backend, case.request.with_params(max_tokens=4))
    except ForethoughtError as error:
        pytest.fail(f"a small max_tokens is no error: {error}")
    assert answer.text or answer.finish_reason == "length"


def test_capabilities(case: Case) -> None:
    """A backend says what it can do, and who it is."""
    assert isinstance(case.backend.capabilities, Capabilities)
    assert case.backend.capabilities.name
