"""Whether a behavior earns its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.context import Usage
from forethought.errors import UpstreamTimeout
from forethought.learn.trial import Bench, Case, Outcome, Trial, sign_test
from forethought.shape.behaviors import Behavior
from forethought.testing import Script, Scripted
from forethought.wire import Completion, Request, text_of

VIETA = Behavior(name="vieta", instruction="Read the sum of roots off the coefficients.")
QUESTION = "What is the sum of the roots?"
outcomes = st.builds(Outcome, st.just("t"), st.booleans(), st.booleans(), st.integers(0, 9), st.integers(0, 9))


def is_six(answer: Completion) -> bool:
    return answer.text == "6"


def cases(count: int, question: str = QUESTION) -> list[Case]:
    return [Case(f"t{n}", Request.of(question), is_six) for n in range(count)]


def trial(*, wins: int = 0, losses: int = 0, mistakes: int = 0) -> Trial:
    won = [Outcome("w", True, True, 50, 100)] * wins
    return Trial(
        VIETA, (*won, *[Outcome("l", True, True, 100, 50)] * losses, *[Outcome("m", False, True, 1, 9)] * mistakes)
    )


SCORES = [
    (Outcome("a", True, False, 99, 1), 1),
    (Outcome("a", False, True, 1, 99), -1),
    (Outcome("a", True, True, 1, 2), 1),
    (Outcome("a", True, True, 2, 1), -1),
    (Outcome("a", True, True, 2, 2), 0),
    (Outcome("a", False, False, 1, 99), 0),
]


@pytest.mark.parametrize(("outcome", "score"), SCORES)
def test_score(outcome: Outcome, score: int) -> None:
    """The right answer decides, and tokens only where both are right; saving on wrong answers wins nothing."""
    assert outcome.score == score


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (trial(wins=19), "undecided"),
        (trial(wins=20), "won"),
        (trial(wins=16, losses=4), "won"),
        (trial(wins=15, losses=5), "lost"),
        (trial(wins=99, mistakes=1), "lost"),
        (trial(losses=20), "lost"),
        (Trial(VIETA), "undecided"),
    ],
)
def test_verdict(told: Trial, verdict: str) -> None:
    """A behavior wins by a sign test at 1 %, on at least 20 problems, and by no lost answer at all."""
    assert told.verdict() == verdict


def test_sign_test() -> None:
    """The chances are those of a fair coin, in closed form."""
    assert (sign_test(0, 5), sign_test(5, 5), sign_test(4, 5)) == (1, 1 / 32, 6 / 32)


@given(st.lists(outcomes, max_size=40))
def test_never_worse(some: list[Outcome]) -> None:
    """Nothing is promoted that answers fewer problems right or loses as often as it wins."""
    told = Trial(VIETA, tuple(some))
    if told.verdict() == "won":
        assert told.right_with >= told.right_without
        assert told.wins > told.losses


def helped(short: int, long: int, *, wrong: bool = False) -> Scripted:
    """A model that thinks `short` under advice, `long` without, and may then be `wrong`."""

    def answer(request: Request) -> Script:
        advised = "coefficients" in text_of(request.messages[0])
        usage = Usage(10, short if advised else long, requests=1)
        return Script("7" if advised and wrong else "6", usage=usage)

    return Scripted(answer=answer)


async def test_a_behavior_that_helps() -> None:
    """A behavior that shortens the thoughts wins its trial."""
    told = await Bench(helped(10, 100), cases(20)).trial(VIETA)
    assert (told.verdict(), told.tokens_with, told.tokens_without) == ("won", 400, 2200)


async def test_a_behavior_that_misleads() -> None:
    """A behavior that shortens the thoughts to wrong answers loses."""
    assert (await Bench(helped(10, 100, wrong=True), cases(20)).trial(VIETA)).verdict() == "lost"


async def test_its_input_counts() -> None:
    """A behavior that saves less than it costs as input loses."""
    told = await Bench(Scripted(Script("6", reasoning="hm")), cases(20)).trial(VIETA)
    assert (told.verdict(), told.losses) == ("lost", 20)


async def test_only_where_it_fits() -> None:
    """A behavior is tried only on problems that it would be served to."""
    backend = helped(10, 100)
    told = await Bench(backend, cases(20, "Who wrote this?")).trial(VIETA)
    assert (told.outcomes, backend.requests) == ((), [])


async def test_not_on_its_own_problems() -> None:
    """A behavior is not tried on the problems it was drawn from."""
    drawn = Behavior(name="vieta", instruction=VIETA.instruction, sources=("t0", "t1"))
    told = await Bench(helped(10, 100), cases(5)).trial(drawn)
    assert sorted(outcome.case for outcome in told.outcomes) == ["t2", "t3", "t4"]


async def test_plain_answers_are_asked_for_once() -> None:
    """What is answered without a behavior is asked once for all behaviors."""
    backend = helped(10, 100)
    bench = Bench(backend, cases(6))
    for name in ("vieta", "again"):
        await bench.trial(Behavior(name=name, instruction=VIETA.instruction))
    assert len(backend.requests) == 6 + 2 * 6


async def test_at_most() -> None:
    """No more problems are asked than were asked for."""
    told: list[Outcome] = []
    await Bench(helped(10, 100), cases(9), most=4).trial(VIETA, told.append)
    assert len(told) == 4


async def test_a_backend_that_fails() -> None:
    """What the backend raises comes out as it was raised, and no call goes on."""
    backend = Scripted(Script("6", error=UpstreamTimeout("silent"), delay=0.001))
    with pytest.raises(UpstreamTimeout):
        await Bench(backend, cases(8)).trial(VIETA)
    assert backend.live == 0
