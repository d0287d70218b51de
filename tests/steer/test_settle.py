"""Ending a thought whose answer has settled."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.engine import Engine
from forethought.errors import InvalidPolicy, MissingCapability
from forethought.policy import Policy
from forethought.ports import Capabilities, Continuation, Continue, Decision, Probe, Probed, Situation, Stop
from forethought.stack import stack
from forethought.steer.settle import Settle, confidence
from forethought.testing import Script, Scripted
from forethought.wire import Delta, Request, TokenLogprob

QUESTION = Request.of("?")
STEADY = Settle(every=1, lines=1, transition="\nit is {answer}\n")
SURE = Settle(by="confidence", every=1, lines=1)


def drive(settle: Settle, probed: Sequence[Probed | str]) -> list[Decision]:
    """The decisions on one line after another, where each probe brings back the next of `probed`."""
    steering = settle.steer(Situation(QUESTION, Capabilities()))
    next(steering)
    decisions: list[Decision] = []
    for said in probed:
        decision = steering.send(Delta(reasoning="a=1\n"))
        if isinstance(decision, Probe):
            decision = steering.send(Probed(said) if isinstance(said, str) else said)
        decisions.append(decision)
        if isinstance(decision, Stop):
            break
    return decisions


def stops(settle: Settle, probed: Sequence[Probed | str]) -> bool:
    return isinstance(drive(settle, probed)[-1], Stop)


def trial(*tokens: tuple[str, float]) -> Probed:
    """A probed text with the probability of each of its tokens."""
    return Probed("".join(text for text, _ in tokens), tuple(TokenLogprob(text, log(p)) for text, p in tokens))


def test_equal_answers_settle() -> None:
    """The third equal answer in a row stops the thought, and the transition can tell it."""
    decisions = drive(STEADY, ["7}", "7.0}", "7}", "7}"])
    assert decisions[:2] == [Continue()] * 2
    assert decisions[2] == Stop("settled", "\nit is 7\n", {"by": "stability", "agreed": 3})


def test_differing_answers_do_not_settle() -> None:
    """Enough answers do not suffice: they must be equal, though none of them is in doubt."""
    assert not stops(STEADY, ["1}", "2}", "3}", "4}", "5}", "6}"])


def test_empty_answers_do_not_settle() -> None:
    """Probes that bring back nothing are equal and settle nothing."""
    assert not stops(STEADY, ["", "", "", "}", "}", "}"])


def test_doubtful_answers_do_not_settle() -> None:
    """A trial answer that is taken back at once does not count."""
    assert not stops(STEADY, ["7}. Wait, no", "7}", "7}. Hmm", "7}", "7} but"])


def test_know_is_no_doubt() -> None:
    """A doubt is a whole word: neither `know` nor `now` holds a `no`."""
    assert stops(STEADY, ["7}. I know", "7}. By now", "7}. Another butter"])


def test_no_is_an_answer() -> None:
    """The answer `no` is an answer and no doubt."""
    assert stops(STEADY, ["no}", "no}", "no}"])


def test_too_few_answers() -> None:
    """Fewer equal answers than the window settle nothing."""
    assert not stops(STEADY, ["7}", "7}"])


def test_sure_answer_settles() -> None:
    """One trial answer whose tokens are likely enough stops the thought."""
    assert stops(SURE, [trial(("4", 0.96), ("2", 0.97), ("}", 0.1))])


def test_exactly_the_threshold_is_not_enough() -> None:
    """The confidence must be above the threshold."""
    assert not stops(Settle(by="confidence", every=1, lines=1, threshold=1.0), [trial(("7", 1.0), ("}", 1.0))])


def test_unsure_answer_goes_on() -> None:
    """One unlikely token makes the whole answer unsure, which an arithmetic mean would hide."""
    assert not stops(SURE, [trial(*[("1", 1.0)] * 9, ("7", 0.5), ("}", 1.0))])


def test_an_answer_of_one_token_has_a_confidence() -> None:
    """The first token counts where it belongs to the answer: of `7}` the `7` is judged."""
    assert confidence(trial(("7", 0.5), ("}", 1.0)).logprobs, "7") == pytest.approx(0.5)


def test_tokens_around_the_answer_do_not_count() -> None:
    """Blanks before the answer and what comes after it are left out."""
    assert confidence(trial((" ", 0.1), ("42", 0.9), ("}", 0.1)).logprobs, "42") == pytest.approx(0.9)


def test_without_logprobs_there_is_no_confidence() -> None:
    """Nothing to judge is not sure."""
    assert confidence((), "7") == 0
    assert not stops(SURE, ["7}"])


def test_without_an_answer_there_is_no_confidence() -> None:
    """An empty answer is never sure, however likely its tokens."""
    assert not stops(SURE, [trial(("}", 1.0))])


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=20))
def test_confidence_is_a_geometric_mean(shares: list[float]) -> None:
    """It is the geometric mean of the probabilities, never above the likeliest."""
    found = confidence(trial(*(("7", share) for share in shares)).logprobs, "7" * len(shares))
    assert found == pytest.approx(exp(sum(map(log, shares)) / len(shares)))
    assert found <= max(shares) + 1e-9


@given(st.lists(st.sampled_from(["", "7}", "8}", "7} but", "7"]), min_size=1, max_size=40), st.integers(2, 5))
def test_stability_is_the_last_answers(said: list[str], window: int) -> None:
    """It stops exactly at the first place where the last `window` answers are equal and in no doubt."""
    decisions = drive(Settle(every=1, lines=1, window=window), said)
    equal = [said[end - window : end] in (["7}"] * window, ["8}"] * window) for end in range(1, len(said) + 1)]
    assert [isinstance(decision, Stop) for decision in decisions] == equal[: len(decisions)]
    assert len(decisions) == len(said) or isinstance(decisions[-1], Stop)


def test_probes_are_spaced() -> None:
    """It asks at the ends of steps that are `every` tokens apart, and not in the middle of one."""
    steering = Settle(every=4, lines=1).steer(Situation(QUESTION, Capabilities(chars_per_token=1.0)))
    next(steering)
    assert [isinstance(steering.send(Delta(reasoning=text)), Probe) for text in ("a\n", "bcdef", "g", "\n")] == [
        False,
        False,
        False,
        True,
    ]


def test_a_doubt_is_heard_out() -> None:
    """With patience it does not ask while a doubt is open, and asks again once that has concluded."""
    steering = Settle(every=1, lines=1, patience=5).steer(Situation(QUESTION, Capabilities()))
    next(steering)
    lines = ("Wait, again\n", "a=1\n", "so a is 1\n")
    assert [isinstance(steering.send(Delta(reasoning=line)), Probe) for line in lines] == [False, False, True]


def test_one_probe_suffices_for_confidence() -> None:
    """The window is that of stability, and does not bind the other rule."""
    assert Settle(by="confidence", probes=1).window == 3


def test_probes_are_bounded() -> None:
    """After the last probe the thought is let alone."""
    assert not stops(Settle(every=1, lines=1, probes=3), ["1}", "2}", "3}", "3}", "3}", "3}"])


def test_confidence_asks_for_logprobs() -> None:
    """Only the rule that needs logprobs asks for them."""
    asked: list[Decision] = []
    for settle in (STEADY, SURE):
        steering = settle.steer(Situation(QUESTION, Capabilities()))
        next(steering)
        asked.append(steering.send(Delta(reasoning="a\n")))
    assert [getattr(probe, "top_logprobs", "") for probe in asked] == [None, 0]


def test_confidence_needs_logprobs() -> None:
    """Over a backend without logprobs the confidence exit refuses when the stack is built."""
    backend = Scripted("42", capabilities=Capabilities("plain", Continuation.RAW))
    with pytest.raises(MissingCapability, match="logprobs"):
        stack(backend, [SURE])


@pytest.mark.parametrize("settle", [STEADY, SURE])
async def test_end_to_end(settle: Settle) -> None:
    """A settled thought is cut, its answer written, and the report says what it took."""

    def answer(request: Request) -> Script:
        thought = request.prefix.reasoning if request.prefix else ""
        probing = thought.endswith("{")
        return Script("7", reasoning=thought + "7}" if probing else "b=2\n" * 20, logprob=-0.001)

    answered = await Engine(Scripted(answer=answer), Policy("p", layers=(settle,))).complete(QUESTION)
    report = answered.done.report["settle"]
    assert (answered.text, answered.done.stop_reason, report["by"]) == ("7", "settled", settle.by)
    assert report["probes"] == (3 if settle.by == "stability" else 1)
    assert answered.reasoning.count("b=2") < 6


@pytest.mark.parametrize("options", [{"by": "luck"}, {"every": 0}, {"window": 1}, {"threshold": 1.5}, {"patience": -1}])
def test_options(options: dict[str, float | str]) -> None:
    """An option out of its range is refused by name."""
    with pytest.raises(InvalidPolicy, match=f"settle.{next(iter(options))}"):
        Settle(**options)  # type: ignore[arg-type]
