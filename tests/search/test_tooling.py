"""Tools in rollouts: rehearsed where they do no harm, never called where they might."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forethought.errors import InvalidPolicy
from forethought.fold import complete
from forethought.policy import Policy
from forethought.ports import Bound
from forethought.search.lookahead import Lookahead
from forethought.search.tooling import Rehearsed, Tool
from forethought.stack import stack
from forethought.testing import Script, Scripted
from forethought.wire import JSON, Request

QUESTION = Request.of("What is in the box?")


def calling(name: str, arguments: str = '{"box": 1}') -> Script:
    function = {"name": name, "arguments": arguments}
    call = {"id": "c1", "type": "function", "function": function}
    return Script(reasoning="look first", tool_calls=(call,), logprob=-0.1, finish_reason="tool_calls")


class Box:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[JSON] = []

    async def __call__(self, arguments: JSON) -> str:
        self.asked.append(arguments)
        return "a cat"


def turns(*scripts: Script) -> Scripted:
    """Says one script for each turn of the conversation."""
    return Scripted(answer=lambda request: scripts[sum(m["role"] == "tool" for m in request.messages)])


async def test_harmless_tool_is_called() -> None:
    """A harmless tool is called, and the stream goes on from its result."""
    box = Box()
    backend = turns(calling("look"), Script("a cat", "it purrs"))
    answer = await complete(Rehearsed(backend, {"look": Tool(box, destructive=False)}, rounds=2), QUESTION)
    assert box.asked == [{"box": 1}]
    assert answer.text == "a cat"
    thought, result = backend.requests[1].messages[1:]
    assert thought["reasoning_content"] == "look first"
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "a cat"}
    assert answer.usage.requests == 2


@pytest.mark.parametrize("name", ["burn", "unheard of"])
async def test_other_tools_are_not_called(name: str) -> None:
    """A destructive tool, as every tool is unless it says otherwise, and an unknown one end the stream uncalled."""
    box = Box()
    backend = turns(calling(name))
    answer = await complete(Rehearsed(backend, {"burn": Tool(box)}, rounds=2), QUESTION)
    assert (box.asked, len(backend.requests)) == ([], 1)
    assert answer.finish_reason == "tool_calls"


async def test_one_destructive_call_among_others() -> None:
    """Of a turn that calls a destructive tool too, nothing is executed."""
    box = Box()
    both = replace(calling("look"), tool_calls=calling("look").tool_calls + calling("burn").tool_calls)
    tools = {"look": Tool(box, destructive=False), "burn": Tool(box)}
    await complete(Rehearsed(turns(both), tools, rounds=2), QUESTION)
    assert box.asked == []


async def test_rounds_are_bounded() -> None:
    """A model that calls tools for ever is not followed for ever."""
    box = Box()
    backend = Scripted(calling("look"))
    await complete(Rehearsed(backend, {"look": Tool(box, destructive=False)}, rounds=3), QUESTION)
    assert (len(box.asked), len(backend.requests)) == (3, 4)


@pytest.mark.parametrize("arguments", ["[1]", "{", '{"box": 1}'])
async def test_failing_tool_is_told(arguments: str) -> None:
    """Whatever goes wrong in a tool, or with its arguments, the model is told as its result."""

    async def fail(_: JSON) -> str:
        raise LookupError("no such box")

    backend = turns(calling("look", arguments), Script("nothing"))
    await complete(Rehearsed(backend, {"look": Tool(fail, destructive=False)}, rounds=1), QUESTION)
    assert backend.requests[1].messages[-1]["content"].startswith("error: ")


async def test_a_rollout_sees_what_a_tool_tells() -> None:
    """A candidate is worth what its rollout sees behind a harmless tool; its call is still the caller's to execute."""
    box = Box()
    guess = Script("a dog", "just guess\n\nsurely a dog", logprob=-1.0)
    sure = Script("a cat", "it purrs", logprob=-0.1)
    scripts = iter([calling("look"), guess, sure])
    backend = Scripted(answer=lambda _: next(scripts, calling("look")))
    layer = Lookahead(candidates=2, ahead=2, tools={"look": Tool(box, destructive=False)})
    answer = await complete(stack(backend, [layer]), QUESTION)
    assert len(box.asked) == 1
    assert (answer.reasoning, answer.finish_reason) == ("look first", "tool_calls")
    assert answer.tool_calls[0]["function"]["name"] == "look"
    assert backend.live == 0


async def test_a_rollout_executes_nothing_destructive() -> None:
    """A destructive tool that a rollout calls is not executed, whether or not it is chosen."""
    box = Box()
    backend = Scripted(calling("burn"), calling("look"))
    layer = Lookahead(candidates=2, ahead=2, tools={"burn": Tool(box)})
    answer = await complete(stack(backend, [layer]), QUESTION)
    assert box.asked == []
    assert answer.finish_reason == "tool_calls"


def test_tools_are_no_part_of_a_file() -> None:
    """A policy with tools cannot be written to a file, and a file cannot name any."""
    layer = Lookahead(tools={"look": Tool(Box())})
    with pytest.raises(InvalidPolicy, match="tools"):
        Policy("test", layers=(layer,)).to_toml()
    with pytest.raises(InvalidPolicy, match="tools"):
        Policy.from_toml('name = "a"\n[[layers]]\nkind = "lookahead"\ntools = {}\n')


def test_worst_case_counts_turns() -> None:
    """With tools every branch may take as many calls more as it looks ahead."""
    layer = Lookahead(candidates=2, ahead=3, steps=5, tools={"look": Tool(Box())})
    assert layer.worst_case(Bound(1)).requests == 2 * 5 * 4 + 1
