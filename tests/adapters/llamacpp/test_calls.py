"""Calls and thinking from tokens to events, over a model that writes what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from forethought.fold import Partial
from forethought.thinking import THINK, Tags
from forethought.wire import Completion
from forethought_adapters.llamacpp.families import HARMONY
from forethought_adapters.llamacpp.job import Job
from forethought_adapters.llamacpp.rules import Sampling
from forethought_adapters.llamacpp.scheduler import Limits, Scheduler
from forethought_adapters.llamacpp.state import Piece
from forethought_adapters.llamacpp.tools import CHANNEL, HERMES, LLAMA, Syntax, Tools

LIMITS = Limits(cells=1000, longest=200, live=2, batch=64, parked=0)
ADD = '{"name": "add", "arguments": {"a": 1}}'


class Scripted:
    """Writes these pieces, one a token, and then the end; `<…|>` and `<think>` are control tokens."""

    shares = False

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = pieces
        self.vocabulary = len(pieces) + 2

    def tokenize(self, text: str, *, begin: bool = True) -> list[int]:
        return [len(self._pieces) + 1]

    def piece(self, token: int, *, special: bool) -> bytes:
        piece = self._pieces[token]
        control = piece.endswith("|>") or piece in THINK
        return b"" if control and not special else piece.encode()

    def is_end(self, token: int) -> bool:
        return token == len(self._pieces)

    def decode(
        self, tokens: Sequence[int], positions: Sequence[int], slots: Sequence[int], wanted: Sequence[bool]
    ) -> Any:
        return [np.eye(self.vocabulary)[position] for position in positions]

    def automaton(self, grammar: str) -> None:
        return None

    def copy(self, source: int, target: int, length: int) -> None:
        raise AssertionError

    def remove(self, slot: int) -> None:
        pass


def written(*pieces: str, syntax: Syntax | None = None, tags: Tags = THINK, most: int = 100) -> Completion:
    """What becomes of these tokens."""
    scheduler = Scheduler(Scripted(pieces), LIMITS, tags)
    tools = Tools(syntax, frozenset({"add"})) if syntax else None
    scheduler.submit(1, Job("?", sampling=Sampling(temperature=0), max_tokens=most, tools=tools))
    partial = Partial()
    for _ in range(200):
        for _, outcome in scheduler.step():
            if not isinstance(outcome, Piece):
                return partial.completion(outcome)
            if outcome.delta is not None:
                partial.add(outcome.delta)
    pytest.fail("it does not come to an end")


def names(answer: Completion) -> list[str]:
    return [call["function"]["name"] for call in answer.tool_calls]


def test_a_call_ends_as_one() -> None:
    """A call comes with the finish reason of calls, beside thinking and text."""
    answer = written("<think>", "so", "</think>", "Well:\n", "<tool_call>", *ADD, "</tool_call>", syntax=HERMES)
    assert (answer.reasoning, answer.text, names(answer)) == ("so", "Well:", ["add"])
    assert answer.finish_reason == "tool_calls"
    assert answer.tool_calls[0]["function"]["arguments"] == '{"a": 1}'


def test_a_mark_that_is_a_control_token_is_seen() -> None:
    """A family's mark is read though it is a control token, which otherwise shows no text."""
    answer = written("<|python_tag|>", ADD, syntax=LLAMA)
    assert (answer.text, names(answer)) == ("", ["add"])


def test_without_tools_nothing_is_a_call() -> None:
    """A request without tools gets text, and of control tokens nothing."""
    answer = written("<|python_tag|>", ADD)
    assert (answer.text, answer.tool_calls, answer.finish_reason) == (ADD, (), "stop")


def test_a_call_that_was_cut_short_is_text() -> None:
    """Where the ceiling ends a call it stays text, and the reason is the ceiling."""
    answer = written("<tool_call>", *ADD, "</tool_call>", syntax=HERMES, most=5)
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ('<tool_call>{"na', (), "length")


def test_a_call_has_a_channel_of_its_own() -> None:
    """In the channels of gpt-oss a call follows the thinking."""
    thought = ("<|channel|>", "analysis", "<|message|>", "1+1", "<|end|>", "<|start|>", "assistant")
    call = ("<|channel|>", "commentary", " to=functions.add ", "<|constrain|>", "json", "<|message|>", '{"a": 1}')
    answer = written(*thought, *call, tags=HARMONY, syntax=CHANNEL)
    assert (answer.reasoning, answer.text, names(answer)) == ("1+1", "", ["add"])
    assert answer.finish_reason == "tool_calls"


def test_channels_are_thinking_and_answer() -> None:
    """The channels of gpt-oss part thinking from answer, and none of their tokens is shown."""
    thought = ("<|channel|>", "analysis", "<|message|>", "1+1", "<|end|>", "<|start|>", "assistant")
    answer = written(*thought, "<|channel|>", "final", "<|message|>", "2", tags=HARMONY)
    assert (answer.reasoning, answer.text) == ("1+1", "2")
    assert answer.usage.reasoning_tokens == 5
