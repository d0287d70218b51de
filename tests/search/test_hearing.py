"""Judges that ask, heard while their candidates are still being written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.budget import Budget
from forethought.engine import Engine
from forethought.errors import UpstreamTimeout
from forethought.fold import complete
from forethought.judge.majority import Ballot, Majority
from forethought.judge.pessimistic import Pessimistic
from forethought.policy import Policy
from forethought.ports import Bound, Inquiry
from forethought.search.deepen import DeepenSamples
from forethought.search.vote import Vote
from forethought.stack import stack
from forethought.testing import Script, Scripted
from forethought.wire import Completion, Delta, Note, Request

QUESTION = Request.of("What is six times seven?")
PESSIMISTIC = Vote(samples=5, judge=Pessimistic(verifications=2))


def checked(request: Request, accepts: Callable[[str], bool]) -> str | None:
    """What a verifier says to this; None where it is asked something else."""
    line = re.search(r'"(Verdict \w+): 1"', request.question)
    shown = re.search(r"<solution \w+>\n(.*)\n</solution", request.question, re.DOTALL)
    return None if line is None or shown is None else f"{line[1]}: {int(accepts(shown[1]))}"


def model(*answers: str, right: str = "42", slow: float = 0.0) -> Scripted:
    """Gives these answers in turn, and accepts only `right`."""
    turn = iter(answers * 20)

    def answer(request: Request) -> Script:
        said = checked(request, lambda solution: solution == right)
        return Script(next(turn)) if said is None else Script(said, delay=slow)

    return Scripted(answer=answer)


async def test_what_verifications_accept_wins() -> None:
    """The answer of a minority is returned where it alone is accepted."""
    backend = model("41", "42", "41", "42", "41")
    answer = await Engine(backend, Policy("p", layers=(PESSIMISTIC,))).complete(QUESTION)
    assert answer.text == "42"
    assert answer.done.stop_reason == "decided"
    assert backend.live == 0


async def test_usage_and_report_count_the_verifications() -> None:
    """Done carries what judging took, and the verdicts on each answer."""
    backend = model("41", "42", "41", "42", "41")
    answer = await Engine(backend, Policy("p", layers=(PESSIMISTIC,))).complete(QUESTION)
    report = answer.done.report
    assert answer.usage.requests == len(backend.requests) == 5 + report["judge_calls"]
    assert report["judge_tokens"] > 0
    accepted = {told["answer"]: told["accepted"] for told in report["verdicts"]}
    assert accepted["41"] == 0 < accepted["42"]


async def test_agreement_costs_no_verification() -> None:
    """Where nobody disagrees a vote with this judge makes the calls of a plain one."""
    backend = model("42")
    answer = await complete(stack(backend, [Vote(samples=8, judge=Pessimistic())]), QUESTION)
    assert len(backend.requests) == 4
    assert answer.done.report["judge_calls"] == 0


async def test_verification_does_not_wait_for_the_last_sample() -> None:
    """It begins when two that have landed disagree, while others are still being written."""
    turn = iter(["41", "42", "never"])

    def answer(request: Request) -> Script:
        said = checked(request, lambda solution: solution == "42")
        if said is not None:
            return Script(said)
        text = next(turn)
        return Script(text, delay=60.0 if text == "never" else 0.0)

    backend = Scripted(answer=answer)
    vote = Vote(samples=3, judge=Pessimistic(verifications=2, confidence=1.0))
    async with asyncio.timeout(20), stack(backend, [vote]).stream(QUESTION) as events:
        async for event in events:
            if isinstance(event, Note) and event.text == "accepted":
                break
    assert len(backend.requests) > 3
    assert backend.live == 0


async def test_leaving_in_mid_verification_leaves_nothing_open() -> None:
    """Whoever stops listening ends samples and verifications alike."""
    backend = model("41", "42", slow=60.0)
    async with asyncio.timeout(20), stack(backend, [PESSIMISTIC]).stream(QUESTION) as events:
        landed = 0
        async for event in events:
            landed += isinstance(event, Note) and event.kind == "candidate"
            if landed == 5:
                await asyncio.sleep(0.01)
                break
        assert backend.live > 0
    assert backend.live == 0


async def test_what_no_longer_matters_is_called_off() -> None:
    """After one rejection the verifications that are still in flight for that candidate are cancelled."""
    answers, seen = iter(["41", "42"]), set[str]()

    def answer(request: Request) -> Script:
        said = checked(request, lambda solution: solution == "42")
        if said is None:
            return Script(next(answers))
        again = said in seen
        seen.add(said)
        return Script(said, delay=60.0 if again and said.endswith("0") else 0.0)

    backend = Scripted(answer=answer)
    vote = Vote(samples=2, judge=Pessimistic(verifications=3, any_reject=True, eager=True))
    async with asyncio.timeout(20):
        assert (await complete(stack(backend, [vote]), QUESTION)).text == "42"
    assert len(backend.requests) == 2 + 6
    assert backend.live == 0


async def test_a_verifier_of_ones_own_is_asked() -> None:
    """A backend that is given to the judge verifies, and the one below only answers; both are paid for."""
    below, verifier = model("41", "42"), model(right="42")
    vote = Vote(samples=4, judge=Pessimistic(verifications=1, verifier=verifier))
    answer = await Engine(below, Policy("p", layers=(vote,))).complete(QUESTION.with_params(model="below"))
    assert answer.text == "42"
    assert len(below.requests) == 4
    assert answer.usage.requests == 4 + len(verifier.requests)
    assert {request.model for request in verifier.requests} == {""}


async def test_an_engine_verifies_within_the_run() -> None:
    """An engine as verifier draws on the same budget and is charged once."""
    below, verifier = model("41", "42"), model(right="42")
    vote = Vote(samples=4, judge=Pessimistic(verifications=2, verifier=Engine(verifier)))
    policy = Policy("p", budget=Budget(request_limit=7), layers=(vote,))
    answer = await Engine(below, policy).complete(QUESTION)
    assert answer.usage.requests == len(below.requests) + len(verifier.requests) <= 7


async def test_a_verifier_that_fails_leaves_the_majority() -> None:
    """A failed verification is no verdict, and the answer is that of the vote."""
    verifier = Scripted(Script(error=UpstreamTimeout("silent")))
    vote = Vote(samples=3, judge=Pessimistic(verifications=2, verifier=verifier))
    answer = await complete(stack(model("41", "42", "41"), [vote]), QUESTION)
    assert answer.text == "41"
    assert answer.done.report["chosen_by"] == "majority"


async def test_samples_may_fail() -> None:
    """A sample that failed is not waited for, and the others are verified."""
    turn = iter([Script(error=UpstreamTimeout("silent")), Script("41"), Script("42")])

    def answer(request: Request) -> Script:
        said = checked(request, lambda solution: solution == "42")
        return next(turn) if said is None else Script(said)

    answered = await complete(stack(Scripted(answer=answer), [Vote(samples=3, judge=Pessimistic())]), QUESTION)
    assert (answered.text, answered.done.stop_reason) == ("42", "decided")


@pytest.mark.parametrize("calls", range(1, 16))
async def test_a_budget_that_ends_in_mid_verification(calls: int) -> None:
    """The best so far is returned and says why, and no call beyond the budget was made."""
    backend = model("41", "42", "41", "42", "41")
    policy = Policy("p", budget=Budget(request_limit=calls), layers=(PESSIMISTIC,))
    answer = await Engine(backend, policy).complete(QUESTION)
    assert len(backend.requests) <= calls
    assert answer.text in ("41", "42")
    assert answer.done.stop_reason == ("decided" if answer.done.report["decided_by"] else "budget")
    assert backend.live == 0


async def test_a_run_can_be_repeated() -> None:
    """With a seed each question has its own, whoever landed first."""
    seeds: list[list[object]] = []
    for _ in range(2):
        backend = model("41", "42", "41")
        await complete(stack(backend, [Vote(samples=3, judge=Pessimistic())]), QUESTION.with_params(seed=7))
        seeds.append(sorted(request.params["seed"] for request in backend.requests))
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == len(seeds[0])


async def test_judging_has_its_own_place_in_the_run() -> None:
    """The verifications of a vote stand below a node of theirs."""
    moments: list[object] = []
    policy = Policy("p", layers=(PESSIMISTIC,))
    await Engine(model("41", "42"), policy, sinks=[moments.append]).complete(QUESTION)
    nodes = {moment.node.name: moment.node for moment in moments if hasattr(moment, "node")}  # type: ignore[attr-defined]
    assert nodes["judge"].parent.name == "vote"
    assert {child.operation for child in nodes["judge"].children} == {"chat"}


async def test_rounds_are_verified_too() -> None:
    """The judge asks in a deepening search as in a vote."""
    layer = DeepenSamples(first=2, samples=4, judge=Pessimistic(verifications=1))
    answer = await complete(stack(model("41", "42", "41", "41"), [layer]), QUESTION)
    assert answer.text == "42"


class Curious(Ballot):
    """A judge from elsewhere that never stops wanting to know the same."""

    request: Request

    def inquiries(self) -> list[Inquiry]:
        return [Inquiry(0, self.request)]

    def answered(self, _inquiry: Inquiry, completion: Completion | None, /) -> str:
        return "" if completion is None else completion.text

    def missed(self) -> None:
        """It does not wait for anybody."""


class Curiosity(Majority):
    """The rule that opens it."""

    def open(self, samples: int, request: Request | None = None, /) -> Ballot:
        judge = Curious(self, samples)
        judge.request = request or QUESTION
        return judge


async def test_nothing_is_asked_twice() -> None:
    """A judge that wants an answer again has had it."""
    backend = Scripted("42")
    answer = await complete(stack(backend, [Vote(samples=3, judge=Curiosity(confidence=1.0))]), QUESTION)
    assert answer.done.report["judge_calls"] == 1
    assert len(backend.requests) <= 4


def test_worst_case() -> None:
    """Every sample may be verified as often as the judge wants."""
    assert PESSIMISTIC.worst_case(Bound(2, 10)) == Bound(30, 150)
    assert Vote(samples=1, judge=Pessimistic()).worst_case(Bound()) == Bound()


def test_from_a_policy_file() -> None:
    """The judge is named by its kind and keeps its options."""
    text = 'name = "p"\n[[layers]]\nkind = "vote"\n[layers.judge]\nkind = "pessimistic"\nalpha = 0.3\nmodel = "other"\n'
    policy = Policy.from_toml(text)
    assert policy == Policy("p", layers=(Vote(judge=Pessimistic(alpha=0.3, model="other")),))
    assert Policy.from_toml(policy.to_toml()) == policy


async def test_backward_from_a_policy_file() -> None:
    """Each answer is held against the numbers of the question."""
    turn = iter(["43", "42", "43", "43"])

    def answer(request: Request) -> Script:
        told = re.search(r"known to be: (\d+)\n", request.question)
        if told is None:
            return Script(next(turn))
        return Script("The answer is 6." if "X times 7" in request.question and told[1] == "42" else "None fits.")

    text = 'name = "p"\n[[layers]]\nkind = "vote"\nsamples = 4\n[layers.judge]\nkind = "backward"\nrecoveries = 2\n'
    policy = Policy.from_toml(text)
    assert policy.worst_case() == Bound(12)
    backend = Scripted(answer=answer)
    answered = await Engine(backend, policy).ask("What is 6 times 7?")
    assert (answered.text, answered.done.stop_reason) == ("42", "decided")
    assert backend.live == 0


async def test_pairwise_from_a_policy_file() -> None:
    """Answers meet in both orders, and the one that is preferred in both wins."""
    turn = iter(["41", "42", "41", "43"])

    def answer(request: Request) -> Script:
        line = re.search(r'"(Better \w+): 1"', request.question)
        shown = re.findall(r"<solution \d \w+>\n(.*)\n</sol", request.question)
        return Script(next(turn)) if line is None else Script(f"{line[1]}: {2 if shown[1] == '42' else 1}")

    text = 'name = "p"\n[[layers]]\nkind = "vote"\nsamples = 4\njudge = { kind = "pairwise" }\n'
    policy = Policy.from_toml(text)
    assert policy.worst_case() == Bound(4 + 3 * 2 * 2)
    backend = Scripted(answer=answer)
    answered = await Engine(backend, policy).complete(QUESTION)
    assert (answered.text, answered.done.stop_reason) == ("42", "decided")
    assert backend.live == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["41", "42", "43", ""]), min_size=2, max_size=6), st.booleans(), st.booleans())
async def test_the_right_answer_wins_where_it_was_given(answers: list[str], eager: bool, at_once: bool) -> None:
    """A verifier that is always right finds it; without it the answer is one of those given."""
    backend = model(*answers)
    judge = Pessimistic(verifications=2, confidence=1.0, eager=at_once)
    answer = await complete(stack(backend, [Vote(samples=len(answers), eager=eager, judge=judge)]), QUESTION)
    assert answer.text == "42" if "42" in answers else answer.text in answers
    assert backend.live == 0


async def test_the_answer_streams_once() -> None:
    """Nothing of what the verifier says reaches the caller's text."""
    async with stack(model("41", "42"), [PESSIMISTIC]).stream(QUESTION) as events:
        said = [event.text async for event in events if isinstance(event, Delta)]
    assert said == ["42"]
