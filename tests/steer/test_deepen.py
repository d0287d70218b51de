"""Iterative deepening within one answer."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import InvalidPolicy
from forethought.fold import complete
from forethought.plugins import load
from forethought.policy import Policy
from forethought.ports import Bound, Capabilities, Continuation, Continue, Ended, Inject, Probe, Probed, Situation
from forethought.stack import stack
from forethought.steer.deepen import Deepen
from forethought.testing import Script, Scripted
from forethought.wire import Delta, Request
from forethought_adapters.pocket import open_backend

QUESTION = Request.of("What is six times seven?")
LETTERS = Capabilities("letters", Continuation.RAW, chars_per_token=1.0, local=True)
TURNS = Capabilities("turns", Continuation.TURNS, chars_per_token=1.0, local=True)
UNGUARDED = Deepen(first=4, growth=2.0, longest=32, guard=False, trigger="?!")
GUARDED = Deepen(first=4, growth=2.0, longest=64, trigger="?!", probe="\n= ")
POLICY = """
name = "deeper"

[[layers]]
kind = "deepen"
first = 64
growth = 3.0
guard = false
"""


def situation(**limits: int) -> Situation:
    return Situation(QUESTION, LETTERS, **limits)


def test_triggers_at_growing_boundaries() -> None:
    """Steps of two tokens each are interrupted at 4, 8 and 16 tokens, and not at `longest`."""
    steering = UNGUARDED.steer(situation())
    next(steering)
    decisions = [steering.send(Delta(reasoning="ab\n\n"[:2] if n % 2 else "\n\n")) for n in range(1, 17)]
    assert [2 * n for n, decision in enumerate(decisions, 1) if isinstance(decision, Inject)] == [4, 8, 16]


def test_waits_for_the_end_of_a_step() -> None:
    """A boundary within a step is taken at its end."""
    steering = UNGUARDED.steer(situation())
    next(steering)
    assert steering.send(Delta(reasoning="six sevens are")) == Continue()
    assert isinstance(steering.send(Delta(reasoning="\n\n")), Inject)


def test_a_long_step_crosses_several_boundaries_at_once() -> None:
    """There is one trigger for all boundaries that a step has passed."""
    steering = UNGUARDED.steer(situation())
    next(steering)
    assert isinstance(steering.send(Delta(reasoning="a step of more than 16\n\n")), Inject)
    assert steering.send(Delta(reasoning="another\n\n")) == Continue()


def test_never_after_the_thought_has_ended() -> None:
    """Once the answer has begun nothing is injected, however long it grows."""
    steering = UNGUARDED.steer(situation())
    next(steering)
    steering.send(Delta(reasoning="ab"))
    assert [type(steering.send(Delta("word\n\n"))) for _ in range(9)] == [Continue] * 9


def test_a_budget_is_the_longest_thought() -> None:
    """Where a budget ends before the boundary, there is no trigger that it has no room for."""
    steering = UNGUARDED.steer(situation(reasoning_tokens=4))
    next(steering)
    assert steering.send(Delta(reasoning="abcd\n\n")) == Continue()


def test_a_trigger_that_changed_nothing_is_the_last() -> None:
    """The guard asks at every boundary, and does not trigger where the answer is that of the one before."""
    steering = GUARDED.steer(situation())
    next(steering)
    assert isinstance(steering.send(Delta(reasoning="abcd\n\n")), Probe)
    assert isinstance(steering.send(Probed("42\n")), Inject)
    assert isinstance(steering.send(Delta(reasoning="abcd\n\n")), Probe)
    assert steering.send(Probed("42.0\n")) == Continue()


def test_tells_what_flipped() -> None:
    """Each answer that changed after a trigger is counted, the final one included, and all of them are told."""
    steering = GUARDED.steer(situation())
    next(steering)
    for said in ("41\n", "42\n"):
        steering.send(Delta(reasoning="abcd\n\n"))
        assert isinstance(steering.send(Probed(said)), Inject)
    steering.send(Delta("It is "))
    steering.send(Delta("43"))
    told = steering.send(Ended("stop", thinking=False))
    assert told == Continue({"triggers": 2, "flips": 2, "answers": ["41", "42", "It is 43"]})


async def test_end_to_end() -> None:
    """The trigger stands in the thought, the model goes on from it, and the report tells of it."""

    def think(request: Request) -> Script:
        looked = request.prefix is not None and "?!" in request.prefix.reasoning
        return Script("42", reasoning="so 41\n\ncheck?! so 42") if looked else Script("41", reasoning="so 41\n\ncheck")

    answer = await complete(stack(Scripted(answer=think, capabilities=LETTERS), [UNGUARDED]), QUESTION)
    assert (answer.reasoning, answer.text) == ("so 41\n\ncheck?! so 42", "42")
    assert answer.done.report["deepen"]["triggers"] == 1


async def test_a_short_thought_costs_nothing() -> None:
    """A thought that ends before the first boundary is one call, unchanged."""
    backend = Scripted(Script("42", reasoning="6·7"), capabilities=LETTERS)
    answer = await complete(stack(backend, [GUARDED]), QUESTION)
    assert (answer.reasoning, answer.text, len(backend.requests)) == ("6·7", "42", 1)


async def test_fallback_turn() -> None:
    """Where thinking cannot be continued the model is shown its thought and told to look again in a new turn."""
    backend = Scripted(Script("41", reasoning="so 41\n\ncheck"), Script("42", reasoning=" so 42"), capabilities=TURNS)
    answer = await complete(stack(backend, [Deepen(first=4, trigger="?!", turn="Again.")]), QUESTION)
    assert [message["role"] for message in backend.requests[1].messages] == ["user", "assistant", "user"]
    assert backend.requests[1].messages[2]["content"] == "Again."
    assert (answer.text, answer.reasoning) == ("42", "so 41\n\ncheck?! so 42")


async def test_on_the_pocket_model() -> None:
    """On a real model a hard problem is worked out again after the trigger, and still ends in an answer."""
    pytest.importorskip("llama_cpp")
    layer = Deepen(first=48, longest=64, lines=0, guard=False, trigger="Wait, again\n")
    problems = load("forethought.problems", "pocket").problems("test", 3, seed=1, difficulty=8)
    async with open_backend() as backend:
        asked = [Request(tuple(problem.messages), {"temperature": 0.0}) for problem in problems]
        answers = [await complete(stack(backend, [layer]), request) for request in asked]
    assert any("Wait, again\n" in answer.reasoning for answer in answers)
    assert all(answer.text.isdigit() for answer in answers)


def test_policy_round_trip() -> None:
    """A policy file names it `deepen` and reads back as it was written."""
    policy = Policy.from_toml(POLICY)
    assert policy.layers == (Deepen(first=64, growth=3.0, guard=False),)
    assert Policy.from_toml(policy.to_toml()) == policy


def test_worst_case() -> None:
    """Each boundary may take a probe and open the thought anew."""
    assert GUARDED.worst_case(Bound(1, 10)) == Bound(9, 90)
    assert UNGUARDED.worst_case(Bound(1, None)) == Bound(4, None)


@pytest.mark.parametrize(
    ("field", "value"), [("first", 0), ("first", 9_999_999), ("longest", 0), ("growth", 1.0), ("trigger", " ")]
)
def test_wrong_options(field: str, value: object) -> None:
    """An option that cannot be is refused by name."""
    with pytest.raises(InvalidPolicy, match=rf"deepen\.{field}"):
        Deepen(**{field: value})  # type: ignore[arg-type]


@given(
    st.lists(st.text("ab\n", min_size=1, max_size=9), max_size=60),
    st.integers(1, 40),
    st.integers(0, 300),
    st.integers(5, 16).map(lambda quarters: Fraction(quarters, 4)),
)
def test_overhead_is_logarithmic(pieces: list[str], first: int, more: int, growth: Fraction) -> None:
    """Whatever is thought, what is injected is at most |T| · ⌈log_γ(Lmax / B0)⌉ tokens."""
    deepen = Deepen(first=first, growth=float(growth), longest=first + more, guard=False, trigger="?!")
    steering = deepen.steer(situation())
    next(steering)
    decisions = [steering.send(Delta(reasoning=piece)) for piece in pieces]
    injected = "".join(decision.text for decision in decisions if isinstance(decision, Inject))
    steps = next(steps for steps in range(400) if first * growth**steps >= deepen.longest)
    assert len(injected) <= len("?!") * steps
    assert deepen.worst_case(Bound()).requests == 1 + min(steps, deepen.probes)
