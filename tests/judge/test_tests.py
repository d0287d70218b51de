"""Programs judged by the tests that they pass."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.engine import Engine
from forethought.errors import InvalidPolicy
from forethought.fold import complete
from forethought.judge.tests import ByTests, Trial, b4_scores, codet_scores
from forethought.policy import Policy
from forethought.ports import Bound, Inquiry
from forethought.search.vote import Vote
from forethought.stack import stack
from forethought.testing import Scripted
from forethought.wire import Completion, Request
from support.judging import candidate, hear

QUESTION = Request.of("Write a function that doubles.")
EXAMPLE = [(True, True, False), (True, True, False), (True, False, False), (False, False, True)]
matrices = st.integers(1, 5).flatmap(
    lambda tests: st.lists(st.tuples(*[st.booleans()] * tests), min_size=1, max_size=8)
)


async def run(program: str) -> Sequence[bool]:
    """Tests of doubling, the last of them wrong, of programs that are written as `x*2`."""
    told = {"x*2": [True, True, True, False], "x+x": [True, True, True, False], "x**2": [True, False, False, True]}
    return told.get(program, [False] * 4)


def judge(answers: Sequence[str], rule: ByTests | None = None) -> Trial:
    opened = (rule or ByTests(runner=run)).open(len(answers), QUESTION)
    for index, answer in enumerate(answers):
        opened.add(candidate(index, answer))
    return opened


def ran(inquiry: Inquiry) -> Completion | None:
    """What the runner would have come to; None for what could not be run."""
    program = inquiry.request.question
    passed = asyncio.run(run(program))  # type: ignore[arg-type]
    return None if program == "?" else Completion("".join(str(int(each)) for each in passed))


def test_golden_scores() -> None:
    """The scores of the worked example, to two places."""
    assert [round(score, 2) for score in b4_scores(EXAMPLE).values()] == [-55.28, -83.42, -97.75]


def test_codet_scores() -> None:
    """Tests passed, times the root of the solutions that agree."""
    assert list(codet_scores(EXAMPLE).values()) == [2 * sqrt(2), 1, 1]


@given(matrices, st.randoms(use_true_random=False))
def test_the_order_of_solutions_does_not_matter(matrix: list[tuple[bool, ...]], random: object) -> None:
    """A row has its score wherever its solutions stand."""
    shuffled = list(matrix)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # pyright: ignore
    assert b4_scores(shuffled) == pytest.approx(b4_scores(matrix))


@given(matrices.filter(lambda matrix: len(set(matrix)) == 1))
def test_solutions_that_pass_the_same_are_one(matrix: list[tuple[bool, ...]]) -> None:
    """Where all pass the same tests there is one score."""
    assert len(b4_scores(matrix)) == len(codet_scores(matrix)) == 1


def test_programs_that_agree_on_the_likeliest_tests_win() -> None:
    """Two different programs that pass the same outweigh a third that more samples wrote."""
    opened = judge(["x**2", "x**2", "x*2", "x+x"])
    hear(opened, ran)
    assert opened.leader is not None
    assert (opened.leader.answer, opened.decided) == ("x*2", True)


def test_each_program_is_run_once() -> None:
    """The same program is not run again, and none while all agree."""
    opened = judge(["x*2", "x*2"])
    assert opened.inquiries() == ()
    opened = judge(["x*2", "x**2", "x*2"])
    assert hear(opened, ran) == [0, 1]


def test_what_could_not_be_run_has_no_say() -> None:
    """It is passed over, and where nothing could be run the majority leads."""
    opened = judge(["?", "?", "x*2"])
    hear(opened, ran)
    assert opened.leader is not None
    assert opened.leader.answer == "x*2"
    opened = judge(["x+1", "x+1", "x*2"])
    hear(opened, lambda _: None)
    assert opened.leader is not None
    assert (opened.leader.answer, opened.decided) == ("x+1", True)


def test_missing_results_are_failures() -> None:
    """A runner that stops at the first failure is understood."""
    opened = judge(["x*2", "x**2"])
    hear(opened, lambda inquiry: Completion("111" if inquiry.key == 0 else "0"))
    assert [told["passed"] for told in opened.report["passes"]] == [[1, 1, 1], [0]]
    assert opened.leader is not None
    assert opened.leader.answer == "x*2"


@pytest.mark.parametrize("method", ["b4", "codet"])
async def test_in_a_vote(method: str) -> None:
    """The vote has the programs run beside its samples, and asks the model for nothing more."""
    backend = Scripted("```\nx**2\n```", "```\nx*2\n```", "```\nx+x\n```", "```\nx**2\n```")
    vote = Vote(samples=4, judge=ByTests(method=method, runner=run))  # type: ignore[arg-type]  # pyright: ignore
    assert vote.worst_case(Bound()) == Bound(4)
    answer = await Engine(backend, Policy("p", layers=(vote,))).complete(QUESTION)
    assert answer.text == "```\nx*2\n```"
    assert answer.usage.requests == len(backend.requests) == 4


async def test_a_run_is_cancelled_with_the_search() -> None:
    """A program that never ends is left when the listener leaves."""
    ended: list[str] = []

    async def forever(program: str) -> Sequence[bool]:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(program)
        return []

    backend = Scripted("1", "2", "2", "2")
    vote = Vote(samples=4, eager=True, judge=ByTests(runner=forever))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await complete(stack(backend, [vote]), QUESTION)
    assert sorted(ended) == ["1", "2"]
    assert backend.live == 0


async def test_what_the_runner_raises_is_raised() -> None:
    """A mistake in the runner is the caller's, and not hidden as a failed test."""

    async def broken(program: str) -> Sequence[bool]:
        raise ZeroDivisionError(program)

    with pytest.raises(ZeroDivisionError):
        await complete(stack(Scripted("1", "2"), [Vote(samples=2, judge=ByTests(runner=broken))]), QUESTION)


def test_a_policy_file_cannot_name_a_runner() -> None:
    """The kind is known, and refused with what would be right."""
    text = 'name = "p"\n[[layers]]\nkind = "vote"\n[layers.judge]\nkind = "tests"\n'
    with pytest.raises(InvalidPolicy, match=r"judge\.runner.*given in code"):
        Policy.from_toml(text)


def test_a_policy_with_a_runner_is_not_written() -> None:
    """What a file cannot hold is refused instead of left out."""
    policy = Policy("p", layers=(Vote(judge=ByTests(runner=run)),))
    with pytest.raises(InvalidPolicy, match="runner"):
        policy.to_toml()


@pytest.mark.parametrize(("field", "value"), [("alpha", 0.0), ("beta", -1.0), ("confidence", 2.0)])
def test_a_rule_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    """The error names the field."""
    with pytest.raises(InvalidPolicy) as caught:
        ByTests(**{field: value}, runner=run)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert caught.value.field == field
