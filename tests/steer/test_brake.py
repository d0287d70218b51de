"""Braking a thought whose answer stands."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.engine import Engine
from forethought.errors import InvalidPolicy
from forethought.policy import Policy
from forethought.ports import Capabilities, Continue, Decision, Ended, Inject, Observed, Probe, Probed, Situation, Stop
from forethought.steer.brake import Brake, overthink
from forethought.testing import Script, Scripted
from forethought.wire import Delta, Request

QUESTION = Request.of("?")
LINES = Brake(probe="\nanswer ", lines=1, nudge="\nenough\n", transition="\nit is {answer}\n")
GOES_ON = "x=1\nso 7\n" + "y=2\n" * 20


def drive(brake: Brake, steps: Sequence[str], answers: Sequence[str]) -> list[Decision]:
    """The decisions after each step, where the probes bring back `answers` in turn (the last one for ever)."""
    steering = brake.steer(Situation(QUESTION, Capabilities()))
    next(steering)
    left = list(answers)
    decisions: list[Decision] = []
    for step in steps:
        seen: Observed = Delta(reasoning=step + "\n")
        decision = steering.send(seen)
        while isinstance(decision, Probe):
            decision = steering.send(Probed(left.pop(0) if len(left) > 1 else left[0]))
        decisions.append(decision)
        if isinstance(decision, Stop):
            break
    return decisions


@pytest.mark.parametrize(
    ("first", "steps", "kappa", "score"),
    [(1, 1, 0.0, 0.0), (3, 4, 0.0, 0.225), (3, 4, 0.03, 0.228), (1, 10, 1.0, 0.91), (78, 100, 0.03, 0.201)],
)
def test_the_score(first: int, steps: int, kappa: float, score: float) -> None:
    """β·κ + (1−β)·(1−FS/TS) with β = 0.1."""
    assert overthink(first, steps, kappa) == pytest.approx(score)


def test_markers_hardly_matter() -> None:
    """With a usual share of markers, the score passes 0.2 where FS/TS falls below 0.78."""
    assert overthink(79, 100, 0.03) < 0.2 < overthink(78, 100, 0.03)


@given(st.integers(1, 500), st.integers(0, 500), st.floats(0, 1), st.floats(0, 1))
def test_the_score_is_a_share(first: int, more: int, kappa: float, beta: float) -> None:
    """The score lies between 0 and 1 and grows with every step after the first answer."""
    score = overthink(first, first + more, kappa, beta)
    assert 0 <= score <= 1
    assert overthink(first, first + more + 1, kappa, beta) >= score


def test_no_probe_before_an_answer() -> None:
    """Steps that conclude nothing are not probed."""
    decisions = drive(LINES, ["a=1", "b=2"] * 20, ["must not be asked"])
    assert decisions == [Continue()] * 40


def test_soft_brake() -> None:
    """Between the two thresholds the nudge is added to the thought, once."""
    steps = ["a=1"] * 8 + ["so 7"] + ["b=2"] * 10
    decisions = drive(LINES, steps, ["7"])
    assert [place for place, decision in enumerate(decisions) if isinstance(decision, Inject)] == [11]
    assert sum(isinstance(decision, Inject) for decision in decisions) == 1


def test_hard_brake() -> None:
    """A thought that goes on after the nudge is stopped, and the transition can tell the answer."""
    last = drive(LINES, ["a=1"] * 8 + ["so 7"] + ["b=2"] * 10, ["7"])[-1]
    assert isinstance(last, Stop)
    assert (last.reason, last.say) == ("brake", "\nit is 7\n")


def test_a_moving_answer_is_not_braked() -> None:
    """While every probe brings another answer, nothing is braked however long it takes."""
    decisions = drive(LINES, ["so it is"] * 30, [str(number) for number in range(100)])
    assert decisions == [Continue()] * 30


def test_an_answer_that_moves_at_the_last_moment() -> None:
    """The step that would be braked at is probed too, and another answer there lets the thought go on."""
    decisions = drive(LINES, ["a=1", "so 7", "so 7", "Wait", "so 8"], ["8", "9", "8"])
    assert not any(isinstance(decision, Stop | Inject) for decision in decisions)


def test_a_doubt_is_heard_out() -> None:
    """A doubt that is still being followed is not braked, until it concludes."""
    steps = ["a=1"] * 4 + ["so 7", "Wait, again", "a=1", "a=1", "a=1", "so 7"]
    decisions = drive(LINES, steps, ["7"])
    assert decisions[:-1] == [Continue()] * 9
    assert isinstance(decisions[-1], Stop)


def test_a_doubt_is_not_heard_for_ever() -> None:
    """A doubt that comes to nothing is heard for as many steps as the answer took at first."""
    decisions = drive(LINES, ["a=1"] * 4 + ["so 7", "Wait, again"] + ["a=1"] * 20, ["7"])
    assert len(decisions) == 11
    assert isinstance(decisions[-1], Stop)


def test_a_stated_answer_is_not_asked_for() -> None:
    """A step that states its answer costs no probe, and counts as one that brought it."""
    steering = LINES.steer(Situation(QUESTION, Capabilities()))
    next(steering)
    assert steering.send(Delta(reasoning="so 7\n")) == Continue()
    assert isinstance(steering.send(Delta(reasoning="check\n")), Probe)
    decision = steering.send(Probed("7"))
    assert isinstance(decision, Stop)
    assert decision.facts is not None
    assert (decision.facts["first_step"], decision.facts["agreed"]) == (1, 2)


def test_what_is_stated_of_a_part_brakes_nothing() -> None:
    """However often a step states something, what would be braked at is probed, and another answer there counts."""
    decisions = drive(LINES, ["so 3"] * 12, ["42"])
    assert decisions == [Continue()] * 12


def test_an_answer_without_words_for_it_is_asked_for() -> None:
    """A step that concludes without stating an answer is probed."""
    steering = LINES.steer(Situation(QUESTION, Capabilities()))
    next(steering)
    assert isinstance(steering.send(Delta(reasoning="so x = 3 in the end\n")), Probe)


def test_derived_once_is_not_enough() -> None:
    """One answer never brakes, stated or probed."""
    for step in ("so 7", "so x = 7"):
        assert drive(LINES, [step], ["7"]) == [Continue()]


def test_probes_are_bounded() -> None:
    """After the last probe the thought is let alone."""
    decisions = drive(Brake(lines=1, probes=3, window=3), ["so it is"] * 10, ["1}", "2}", "3}", "3}", "3}"])
    assert decisions == [Continue()] * 10


def test_the_end_is_reported() -> None:
    """A thought that ends by itself leaves its score and the share of its markers as facts."""
    steering = LINES.steer(Situation(QUESTION, Capabilities()))
    next(steering)
    steering.send(Delta(reasoning="Wait, check\na b\n"))
    assert steering.send(Ended("stop", thinking=False)) == Continue(
        {"score": 0.0, "kappa": 0.5, "steps": 2, "first_step": None, "agreed": 0}
    )


@given(st.lists(st.sampled_from(["so 1", "a=1", "Wait", ""]), max_size=40), st.lists(st.sampled_from("12")), st.data())
def test_never_brakes_on_fewer_than_window_agreeing_probes(
    steps: list[str], answers: list[str], data: st.DataObject
) -> None:
    """Whatever is written and probed, a brake follows `window` answers that agree."""
    window = data.draw(st.integers(2, 4))
    brake = Brake(probe="\nanswer ", lines=1, window=window)
    for decision in drive(brake, steps, [*answers, "1"]):
        if isinstance(decision, Stop | Inject):
            assert decision.facts is not None
            assert decision.facts["agreed"] >= window
            assert decision.facts["score"] >= brake.soft


async def test_end_to_end() -> None:
    """A thought that goes on after its answer is cut, the answer written, and the report says what it took."""

    def answer(request: Request) -> Script:
        thought = request.prefix.reasoning if request.prefix else ""
        return Script("7", reasoning=thought + "7" if thought.endswith("answer ") else GOES_ON)

    brake = Brake(probe="\nanswer ", probe_tokens=1, lines=1)
    answered = await Engine(Scripted(answer=answer), Policy("p", layers=(brake,))).complete(QUESTION)
    assert (answered.text, answered.done.stop_reason) == ("7", "brake")
    assert answered.done.report["brake"]["probes"] == answered.done.report["brake"]["probe_tokens"] == 1
    assert answered.reasoning.count("y=2") < 5


@pytest.mark.parametrize("options", [{"beta": 2.0}, {"soft": -1.0}, {"hard": 0.1}, {"window": 1}])
def test_options(options: dict[str, float]) -> None:
    """An option out of its range is refused by name."""
    with pytest.raises(InvalidPolicy, match=f"brake.{next(iter(options))}"):
        Brake(**options)  # type: ignore[arg-type]
