"""Behaviors drawn from solved problems, by a scripted model."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.context import Context
from forethought.learn.curate import Curator, parse
from forethought.learn.handbook import Library
from forethought.learn.trial import Bench, Case
from forethought.shape.behaviors import Behavior
from forethought.shape.handbook import Advised
from forethought.stack import stack
from forethought.store.memory import MemoryStore
from forethought.testing import Script, Scripted
from forethought.wire import Request

GOOD = {"name": "Sum of roots", "instruction": "Read the sum of roots off the coefficients.", "topic": "Algebra"}
PARSED = [("sum_of_roots", "Read the sum of roots off the coefficients.", "Algebra")]
WRITTEN = [
    json.dumps([GOOD]),
    json.dumps(GOOD),
    json.dumps({"behaviors": [GOOD]}),
    f"Here they are:\n```json\n{json.dumps([GOOD], indent=2)}\n```\nI hope [this] helps {{you}}!",
    f"<think>Maybe [{{1}}] or {json.dumps([{**GOOD, 'name': 'no'}])}</think>{json.dumps([GOOD])}",
    f"[1] as a start, then {json.dumps([GOOD])}",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_json(text: str) -> None:
    """JSON is found, fenced or not, among other words, after the thinking."""
    assert parse(text) == PARSED


@pytest.mark.parametrize(
    "text",
    [
        "- sum_of_roots: Read the sum of roots off the coefficients.",
        "1. **sum_of_roots**: Read the sum of roots off the coefficients.",
        "Sure!\nbehavior_sum_of_roots: Read the sum of roots off the coefficients.\nNote: good luck",
        json.dumps({"sum_of_roots": "Read the sum of roots\noff the coefficients."}),
        json.dumps({"behaviors": {"sum_of_roots": "Read the sum of roots off the coefficients."}}),
    ],
)
def test_names_and_instructions(text: str) -> None:
    """Lines of `name: instruction` and objects of instructions by name are read too."""
    assert [each[:2] for each in parse(text)] == [PARSED[0][:2]]


@pytest.mark.parametrize(
    "text", ["", "none", "[]", "{}", "[1, 2]", '[{"name": 3}]', '{"a": ', "[" * 5000, '[{"' * 5000]
)
def test_junk(text: str) -> None:
    """What holds no behavior yields none."""
    assert parse(text) == []


@given(
    st.text()
    | st.recursive(st.none() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)).map(json.dumps)
)
def test_never_raises(text: str) -> None:
    """Whatever a model writes is read without an error."""
    assert isinstance(parse(text), list)


def model(*listed: object, answer: str = "The answer is \\boxed{12}.") -> Scripted:
    return Scripted(answer, "It was roundabout.", json.dumps(listed))


def curator(backend: Scripted) -> Curator:
    return Curator(backend, {"model": "m", "temperature": 0.5}, Context(tenant="a"))


async def test_three_steps() -> None:
    """The problem is solved, the solution reflected on, and behaviors extracted from both."""
    backend = model(GOOD)
    drawn = await curator(backend).curate("p7", "Roots of x^2-5x+6?")
    solve, reflect, extract = (request.question for request in backend.requests)
    assert "Roots of x^2-5x+6?" in solve
    assert r"The answer is \boxed{12}." in reflect
    assert "It was roundabout." in extract
    assert drawn.candidates == (
        Behavior(
            name="sum_of_roots",
            instruction=str(GOOD["instruction"]),
            topic="algebra",
            origin="scripted",
            sources=("p7",),
        ),
    )


async def test_known_answer() -> None:
    """The right answer, where it is known, is told to whoever reflects."""
    backend = model(GOOD)
    await curator(backend).curate("p", "?", "forty-two")
    assert "forty-two" in backend.requests[1].question


async def test_asked_as_told() -> None:
    """Every step is asked with the fields and in the context that were given."""
    backend = model(GOOD)
    await curator(backend).curate("p", "?")
    assert {(request.model, request.context.tenant) for request in backend.requests} == {("m", "a")}


@pytest.mark.parametrize(
    ("name", "instruction", "why"),
    [
        ("tells", "It comes to 12 always.", "answer"),
        ("tells_truth", "It comes to 77 always.", "answer"),
        ("constant", "Divide by 4321 first.", "numbers"),
        ("two_lines", "<|im_end|>", "template"),
        ("long", "word " * 100, "300 characters"),
        ("名", "Do it.", "lower-case"),
    ],
)
async def test_refused(name: str, instruction: str, why: str) -> None:
    """What tells the answer, found or known, or is no plain line under a plain name is refused, with the reason."""
    backend = model({"name": name, "instruction": instruction}, GOOD)
    drawn = await curator(backend).curate("p", "What is 4321 * 3?", "77")
    assert [each.name for each in drawn.candidates] == ["sum_of_roots"]
    assert [why in each.why for each in drawn.refused] == [True]


async def test_from_a_problem_to_an_answer() -> None:
    """Drawn from one problem, held in quarantine, tried on others, promoted, and then served."""
    library = Library(MemoryStore())
    drawn = await curator(model(GOOD)).curate("p", "Roots of x^2-5x+6?")
    await library.book("a").propose(drawn.candidates)
    question = Request.of("What is the sum of the roots?")
    context = question.with_context(tenant="a")
    serving = stack(Scripted("served"), [Advised(library)])

    async def served(request: Request) -> list[str]:
        async with serving.stream(request) as events:
            done = [event async for event in events][-1]
        return getattr(done, "report", {}).get("handbook", {}).get("served", [])

    assert await served(context) == []
    shorter = Scripted(answer=lambda r: Script("6", reasoning="step " * (1 if len(r.messages) > 1 else 200)))
    bench = Bench(shorter, [Case(f"t{n}", question, lambda answer: answer.text == "6") for n in range(20)])
    await library.book("a").settle([await bench.trial(each) for each in drawn.candidates])
    assert await served(context) == ["sum_of_roots"]
    assert await served(question.with_context(tenant="b")) == []
