"""The pocket model as its own verifier."""

from __future__ import annotations

import pytest

from forethought.engine import Engine
from forethought.fold import complete
from forethought.judge.pessimistic import Pessimistic
from forethought.policy import Policy
from forethought.ports import Candidate
from forethought.wire import Completion, Request
from forethought_adapters.pocket import open_backend
from forethought_pocket import problems

pytest.importorskip("llama_cpp")

JUDGE = (
    'kind = "pessimistic"\nprompt = "{question} {answer} right?"\naccept = "yes"\nreject = "no"\nverifications = 2\n'
)
POLICY = f'name = "p"\n[[layers]]\nkind = "vote"\nsamples = 4\n[layers.judge]\n{JUDGE}'


async def test_it_tells_right_answers_from_wrong_ones() -> None:
    """Of two answers to a chain it accepts the right one at least nine times in ten."""
    rule = Pessimistic(
        prompt="{question} {answer} right?", accept="yes", reject="no", verifications=1, temperature=0.0, eager=True
    )
    found = 0
    async with open_backend() as model:
        for problem in problems("test", 10, difficulty=4):
            opened = rule.open(2, Request(tuple(problem.messages)))
            for index, answer in enumerate([str((int(problem.answer) + 1) % 10), problem.answer]):
                opened.add(Candidate(index, answer, Completion(answer)))
            for inquiry in opened.inquiries():
                opened.answered(inquiry, await complete(model, inquiry.request))
            found += opened.leader is not None and opened.leader.answer == problem.answer
    assert found >= 9


async def test_a_vote_is_verified_from_a_policy_file() -> None:
    """The same stack runs on it as over any server: samples, verdicts, one answer."""
    [problem] = problems("test", 1, difficulty=8)
    async with open_backend() as model:
        engine = Engine(model, Policy.from_toml(POLICY), sinks=[])
        answer = await engine.complete(Request(tuple(problem.messages), {"temperature": 1.0, "seed": 1}))
    report = answer.done.report
    assert answer.text.isdigit()
    assert report["judge_calls"] >= sum(told["verdicts"] for told in report["verdicts"])
    assert answer.usage.requests >= report["samples"] + report["judge_calls"] > 0
