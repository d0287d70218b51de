"""Running a policy over problems."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought import Budget, Engine, Policy
from forethought.errors import UpstreamStatus
from forethought.evaluate.outcome import Outcome
from forethought.evaluate.problems import Exam, Row
from forethought.evaluate.runner import run, trials
from forethought.evaluate.summary import summarize
from forethought.search.vote import Vote
from forethought.testing import Script, Scripted
from forethought.wire import Request
from support.eventually import eventually


def an_exam(*questions: str) -> Exam:
    """Each question is its own answer."""
    rows = [Row(question, question, index) for index, question in enumerate(questions or ("a", "b", "c"))]
    return Exam(rows, lambda row, text: row.answer == text)


def echo(request: Request) -> Script:
    """Says the question; fails at `bad`."""
    error = UpstreamStatus(400, b"no") if request.question == "bad" else None
    return Script(request.question, error=error)


async def outcomes(engine: Engine, exam: Exam, *, concurrency: int = 2) -> list[Outcome]:
    told: list[Outcome] = []
    asked = trials(engine, exam.problems, model="scripted", params={}, seed=0)
    await run(engine, exam, asked, told.append, concurrency=concurrency)
    return told


def keys(engine: Engine, *, questions: Sequence[str] = ("a", "b"), model: str = "m", seed: int = 0) -> list[str]:
    exam = an_exam(*questions)
    return [each.key for each in trials(engine, exam.problems, model=model, params={}, seed=seed)]


async def test_every_problem_is_asked_once() -> None:
    """Each problem has one outcome, right where the answer is, with what it took."""
    told = await outcomes(Engine(Scripted("a")), an_exam())
    assert sorted((each.index, each.right) for each in told) == [(0, True), (1, False), (2, False)]
    assert all(each.usage.requests == 1 and each.usage.completion_tokens == 1 for each in told)


async def test_a_failing_problem_is_an_outcome() -> None:
    """An error of the upstream is neither right nor wrong, says what it was, and the others go on."""
    told = await outcomes(Engine(Scripted(answer=echo)), an_exam("a", "bad", "c"))
    assert [each.right for each in sorted(told, key=lambda one: one.index)] == [True, None, True]
    assert [each.error[:14] for each in told if each.error] == ["UpstreamStatus"]


async def test_what_a_failure_spent_is_counted() -> None:
    """Tokens written before a failure are in its outcome."""
    backend = Scripted(Script("one two three four", error=UpstreamStatus(400, b"no"), fail_after=3))
    (told,) = await outcomes(Engine(backend), an_exam("a"))
    assert told.right is None
    assert told.usage.completion_tokens > 0


async def test_no_more_than_allowed_are_in_flight() -> None:
    """With a concurrency of two, two problems are in flight and never three."""
    seen: list[int] = []

    def watch(request: Request) -> Script:
        seen.append(backend.live)
        return Script("a b c", delay=0.001)

    backend = Scripted(answer=watch)
    await outcomes(Engine(backend), an_exam(*"abcdefgh"), concurrency=2)
    assert max(seen) == 1  # besides the one that is being opened


async def test_leaving_leaves_no_call_behind() -> None:
    """Cancelling an evaluation closes every stream that is open, and what was told stays told."""
    backend = Scripted(answer=lambda request: Script("a b", delay=0 if request.question == "a" else 60))
    engine, exam = Engine(backend), an_exam("a", *"bcdefgh")
    told: list[Outcome] = []
    asked = trials(engine, exam.problems, model="scripted", params={}, seed=0)
    work = asyncio.create_task(run(engine, exam, asked, told.append, concurrency=3))
    await eventually(lambda: bool(told) and backend.live == 3)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (backend.live, [each.index for each in told]) == (0, [0])


async def test_the_budget_of_the_engine_holds() -> None:
    """Each problem has the budget of the engine for itself."""
    told = await outcomes(Engine(Scripted("a b c d e f"), budget=Budget(output_tokens_limit=4)), an_exam())
    assert all(0 < each.usage.completion_tokens <= 4 for each in told)


async def test_every_call_of_a_strategy_is_counted() -> None:
    """A vote of three costs three calls."""
    (told,) = await outcomes(Engine(Scripted("a", "b", "c"), Policy("v", layers=(Vote(3),))), an_exam("a"))
    assert (told.usage.requests, told.usage.completion_tokens) == (3, 3)


def test_the_same_trial_has_the_same_key() -> None:
    """Two engines of one policy ask the same, and more problems begin with the same."""
    assert keys(Engine(Scripted("a"))) == keys(Engine(Scripted("b")))
    assert keys(Engine(Scripted("a")), questions="abc")[:2] == keys(Engine(Scripted("a")))


def test_whatever_could_change_an_outcome_changes_its_key() -> None:
    """Policy, budget, model, seed and question each make another trial."""
    plain = Engine(Scripted("a"))
    others = [
        keys(Engine(Scripted("a"), Policy("v", layers=(Vote(3),)))),
        keys(Engine(Scripted("a"), budget=Budget(request_limit=2))),
        keys(plain, model="another"),
        keys(plain, seed=1),
        keys(plain, questions=("c", "d")),
    ]
    assert len(set(keys(plain)).union(*others)) == 12


@settings(deadline=None, max_examples=25)
@given(st.sets(st.integers(0, 7)), st.integers(1, 8))
async def test_a_resumed_evaluation_is_as_one_in_one_go(done: set[int], concurrency: int) -> None:
    """Whatever part was asked before, parts and rest come to what all at once come to, but for the seconds."""
    engine, exam = Engine(Scripted(answer=echo)), an_exam(*"abcdefgh")
    asked = trials(engine, exam.problems, model="scripted", params={}, seed=0)
    whole, parts = list[Outcome](), list[Outcome]()
    await run(engine, exam, asked, whole.append)
    await run(engine, exam, [each for each in asked if each.index in done], parts.append, concurrency=concurrency)
    await run(engine, exam, [each for each in asked if each.index not in done], parts.append, concurrency=concurrency)
    one, other = summarize("p", whole), summarize("p", parts)
    assert (one.accuracy, one.tokens, one.calls) == (other.accuracy, other.tokens, other.calls)
