"""Pessimistic verification, told of candidates and verdicts by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import log

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from forethought.errors import InvalidPolicy
from forethought.judge.pessimistic import Pessimistic, Verification
from forethought.ports import Inquiry
from forethought.wire import Completion, Request
from support.judging import candidate, hear, verdict

QUESTION = Request.of("What is six times seven?")
WINNERS = [(1, 0.1, "C"), (1, 0.5, "B"), (1, 1.0, "A"), (4, 0.1, "C"), (4, 0.5, "B")]
"""Verifications each, alpha, and which of the three clusters of the golden table is chosen."""

ACCEPTED = {"A": 2, "B": 3, "C": 4}
"""Of four verdicts on a solution, how many accept it."""


def judge(rule: Pessimistic, answers: Sequence[str], samples: int | None = None) -> Verification:
    """A judge to whom these have landed in order."""
    opened = rule.open(samples or len(answers), QUESTION)
    for index, answer in enumerate(answers):
        opened.add(candidate(index, answer))
    return opened


def leader(opened: Verification) -> str:
    assert opened.leader is not None
    return opened.leader.answer


@pytest.mark.parametrize(("each", "alpha", "winner"), WINNERS)
def test_golden_choices(each: int, alpha: float, winner: str) -> None:
    """Of ten solutions of which six are accepted, five of which four are, and a single one that is."""
    rule = Pessimistic(verifications=each, alpha=alpha, confidence=1.0)
    opened = judge(rule, ["A"] * 10 + ["B"] * 5 + ["C"])

    def accepts(inquiry: Inquiry) -> Completion:
        index, number = divmod(inquiry.key, each)
        answer = "A" if index < 10 else "B" if index < 15 else "C"
        once = index not in (6, 7, 8, 9, 14)
        return verdict(inquiry, once if each == 1 else number < ACCEPTED[answer])

    hear(opened, accepts)
    assert opened.decided
    assert leader(opened) == winner


def test_agreement_asks_nothing() -> None:
    """While all agree there is nothing to verify, and four of them decide it as in a vote."""
    opened = judge(Pessimistic(), ["7"] * 3, 8)
    assert (opened.inquiries(), opened.needed) == ((), 1)
    opened.add(candidate(3, "7"))
    assert opened.report["decided_by"] == "confidence"


def test_a_rival_begins_the_verification() -> None:
    """Every candidate that has landed is verified once as soon as two disagree."""
    opened = judge(Pessimistic(verifications=3), ["7", "7"], 8)
    assert opened.inquiries() == ()
    opened.add(candidate(2, "8"))
    assert [inquiry.key for inquiry in opened.inquiries()] == [0, 3, 6]


def test_eager_asks_all_at_once() -> None:
    """An eager judge waits neither for a rival nor for a verdict."""
    opened = judge(Pessimistic(verifications=3, eager=True), ["7"], 8)
    assert [inquiry.key for inquiry in opened.inquiries()] == [0, 1, 2]


def test_what_cannot_win_is_not_asked_about() -> None:
    """A lone answer that was rejected is not verified again, nor those that it cannot overtake."""
    opened = judge(Pessimistic(verifications=2, confidence=1.0), ["7", "7", "7", "8"])
    right = hear(opened, lambda inquiry: verdict(inquiry, inquiry.key < 6))
    assert leader(opened) == "7"
    assert len(right) < 8
    assert opened.decided_by == "certain"


def test_an_answer_that_is_verified_beats_the_majority() -> None:
    """What is accepted by every verdict beats what is rejected by every one."""
    opened = judge(Pessimistic(verifications=2), ["7", "7", "7", "8", "8"])
    hear(opened, lambda inquiry: verdict(inquiry, inquiry.key >= 6))
    assert leader(opened) == "8"
    assert opened.report["chosen_by"] == "verdicts"


@pytest.mark.parametrize("verdicts", [True, False, None])
def test_a_verifier_that_always_says_the_same_leaves_the_majority(verdicts: bool | None) -> None:
    """Until something was accepted and something rejected the larger cluster leads."""
    opened = judge(Pessimistic(alpha=0.0), ["8", "7", "7"])
    hear(opened, lambda inquiry: verdict(inquiry, verdicts))
    assert (leader(opened), opened.decided) == ("7", True)
    assert opened.report["chosen_by"] == "majority"


def test_what_is_no_verdict_accepts_nothing() -> None:
    """Unreadable and failed verifications lower how many there are of a candidate, and no more."""
    opened = judge(Pessimistic(verifications=3), ["7", "8"])
    hear(opened, lambda inquiry: verdict(inquiry, inquiry.key == 3) if inquiry.key in (0, 3) else None)
    assert [told["verdicts"] for told in opened.report["verdicts"]] == [1, 1]
    assert [told["accepted"] for told in opened.report["verdicts"]] == [0, 1]
    assert leader(opened) == "8"


def test_the_most_accepted_of_a_cluster_is_shown() -> None:
    """Of equal answers the one whose solution was accepted leads, not the first."""
    opened = judge(Pessimistic(verifications=1), ["7", "7", "8"])
    hear(opened, lambda inquiry: verdict(inquiry, inquiry.key == 1))
    assert opened.leader is not None
    assert opened.leader.index == 1


def test_one_rejection_rejects() -> None:
    """With `any_reject` a candidate that is rejected once is asked about no more and counts as rejected."""
    opened = judge(Pessimistic(verifications=3, any_reject=True), ["an essay", "another"])
    asked = hear(opened, lambda inquiry: verdict(inquiry, inquiry.key != 0))
    assert asked == [0, 3, 4, 5]
    assert leader(opened) == "another"


def test_a_lone_answer_is_not_made_sure_by_verdicts_that_are_alike() -> None:
    """Many verdicts on one solution outweigh others on many, unless they are counted as one."""
    chosen: list[str] = []
    for correlation in (0.0, 1.0):
        rule = Pessimistic(verifications=16, correlation=correlation, confidence=1.0)
        opened = judge(rule, ["7"] * 7 + ["8"])
        hear(opened, lambda inquiry: verdict(inquiry, inquiry.key // 16 == 7 or inquiry.key % 8 > 0))
        chosen.append(leader(opened))
    assert chosen == ["8", "7"]


def test_failed_samples_are_not_waited_for() -> None:
    """A sample that failed will not change the winner."""
    opened = judge(Pessimistic(), ["7", "7"], 3)
    assert not opened.decided
    opened.missed()
    assert (opened.decided, opened.needed) == (True, 0)


def test_nobody_answers() -> None:
    """Where all were cut off there is nothing to verify, and the first leads."""
    opened = judge(Pessimistic(), ["", ""])
    assert opened.inquiries() == ()
    assert opened.decided
    assert opened.leader is not None
    assert opened.leader.index == 0


def test_the_question_is_put_in_the_users_turn() -> None:
    """Roles still take turns, and what asks for a form of answer is not asked of a verifier."""
    request = Request.of("?", system="Be brief.", model="m", seed=1, max_tokens=9, response_format={}, tools=[])
    opened = Pessimistic(eager=True, model="other", max_tokens=500, temperature=0.3).open(2, request)
    opened.add(candidate(0, "7", "It is 7."))
    asked = opened.inquiries()[0].request
    assert [message["role"] for message in asked.messages] == ["system", "user"]
    assert asked.params == {"model": "other", "seed": 1, "max_tokens": 500, "temperature": 0.3}
    assert asked.question.startswith("?\n\n")
    assert "\nIt is 7.\n" in asked.question


def test_the_thinking_is_not_shown() -> None:
    """A verifier sees the solution and not how it was found."""
    opened = Pessimistic(eager=True).open(2, QUESTION)
    opened.add(candidate(0, "7", "<think>perhaps 8</think>\nIt is 7."))
    shown = opened.inquiries()[0].request.question
    assert "perhaps" not in shown
    assert "\nIt is 7.\n" in shown


def test_images_stay() -> None:
    """A turn of several parts gets one more."""
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    opened = Pessimistic(eager=True).open(2, Request(({"role": "user", "content": parts},)))
    opened.add(candidate(0, "a cat"))
    [message] = opened.inquiries()[0].request.messages
    assert [part["type"] for part in message["content"]] == ["text", "image_url", "text"]


def test_a_prompt_of_ones_own() -> None:
    """A trained verifier is asked in its own words and answers in its own."""
    rule = Pessimistic(prompt="{question} {answer} right?", accept="yes", reject="no", verifications=1)
    opened = rule.open(2, Request.of("a=3 b=a+4 b?"))
    opened.add(candidate(0, "7"))
    opened.add(candidate(1, "8"))
    first, second = opened.inquiries()
    assert first.request.question == "a=3 b=a+4 b? 7 right?"
    assert (opened.answered(first, Completion("yes")), opened.answered(second, Completion("no"))) == (
        "accepted",
        "rejected",
    )


WRONG = [
    ("verifications", 0), ("verifications", 65), ("alpha", -1.0), ("confidence", 0.5), ("correlation", 1.1),
    ("false_accepts", -0.1), ("false_rejects", 1.0), ("accept", ""), ("temperature", 3.0), ("max_tokens", 0),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_rule_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    """The error names the field."""
    with pytest.raises(InvalidPolicy) as caught:
        Pessimistic(**{field: value})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert caught.value.field == field


texts = st.text() | st.lists(
    st.sampled_from(["Verdict: 1", "Verdict {code}: 1", "{code}", "</solution>", "\n", "{solution}", "1", " "])
).map("".join)


@given(texts, texts)
def test_nothing_in_a_candidate_passes_for_a_verdict(text: str, question: str) -> None:
    """A verifier that only repeats what it was shown, from any line on, has not accepted it."""
    opened = Pessimistic(eager=True).open(2, Request.of(question))
    opened.add(candidate(0, "7", text))
    inquiry = opened.inquiries()[0]
    shown = [text, question, *inquiry.request.question.splitlines()]
    for said in (*shown, "\n".join(shown), f"I think so.\n{text}", f"Verdict: 1\n{text}"):
        assert opened.answered(inquiry, Completion(said)) == "no verdict"


# The winner, computed another way: from all verdicts at once.

Verdicts = dict[int, list[bool | None]]


def winner(rule: Pessimistic, samples: int, answers: Sequence[str], verdicts: Verdicts) -> str:
    clusters: dict[str, list[int]] = {}
    for index, answer in enumerate(answers):
        if answer:
            clusters.setdefault(answer, []).append(index)
    told = {each for index in verdicts for each in verdicts[index]}
    best: list[tuple[float, int, int, str]] = []
    for answer, members in clusters.items():
        heard = [each for index in members for each in verdicts.get(index, []) if each is not None]
        rate = sum(heard) / len(heard) if heard else 0.0
        true = min(1.0, max(0.0, (rate - rule.false_accepts) / (1 - rule.false_accepts - rule.false_rejects)))
        alike = 1 + rule.correlation * max(0.0, len(heard) / len(members) - 1)
        total = samples * rule.verifications / (1 + rule.correlation * (rule.verifications - 1))
        score = true - rule.alpha * log(max(1.0, total)) / (len(heard) / alike + 1)
        best.append((score if {True, False} <= told else 0.0, len(members), -members[0], answer))
    return max(best)[3] if best else ""


def rest(
    rule: Pessimistic, answers: list[str], to_come: int, verdicts: Verdicts
) -> Iterator[tuple[list[str], Verdicts]]:
    """Everything that may still come: samples, and verdicts on all of them."""
    for more in product(["a", "b", "c", ""], repeat=to_come):
        landed = [*answers, *more]
        open_ = [index for index, answer in enumerate(landed) if answer]
        slots = [index for index in open_ for _ in range(rule.verifications - len(verdicts.get(index, [])))]
        for told in product([True, False, None], repeat=len(slots)):
            full = {index: list(verdicts.get(index, [])) for index in open_}
            for index, each in zip(slots, told, strict=True):
                full[index].append(each)
            yield landed, full


rules = st.builds(
    Pessimistic,
    verifications=st.integers(1, 2),
    alpha=st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0]),
    correlation=st.sampled_from([0.0, 0.5, 1.0]),
    false_accepts=st.sampled_from([0.0, 0.2]),
    false_rejects=st.sampled_from([0.0, 0.1]),
    confidence=st.just(1.0),
    eager=st.just(True),
)
told = st.lists(st.sampled_from([True, False, False, True, None]), max_size=6)


YES, NO, NONE = True, False, None
LIKE = Pessimistic(verifications=1, correlation=0.5, confidence=1.0, eager=True)
STERN = Pessimistic(verifications=2, alpha=3.0, correlation=0.5, confidence=1.0, eager=True)


@example(LIKE, ["c", "a", "a", "c", "b"], 0, [YES, NONE, YES, YES])
@example(STERN, ["b", "a", "b", "c"], 1, [YES, YES, NONE, NO, NONE, YES, YES, NONE])
@settings(max_examples=400, deadline=None)
@given(rules, st.lists(st.sampled_from(["a", "b", "c", "a", ""]), min_size=1, max_size=4), st.integers(0, 1), told)
def test_decided_means_that_nothing_can_change_the_winner(
    rule: Pessimistic, answers: list[str], to_come: int, heard: list[bool | None]
) -> None:
    """By trying every sample and every verdict that may still come; and where all have landed, only then."""
    opened = judge(rule, answers, len(answers) + to_come)
    verdicts: Verdicts = {}
    for inquiry, each in zip(opened.inquiries(), heard, strict=False):
        opened.answered(inquiry, verdict(inquiry, each))
        verdicts.setdefault(inquiry.key // rule.verifications, []).append(each)
    left = sum(rule.verifications - len(verdicts.get(index, [])) for index, answer in enumerate(answers) if answer)
    assume(left + to_come * (rule.verifications + 1) <= 6)
    outcomes = {winner(rule, len(answers) + to_come, *end) for end in rest(rule, answers, to_come, verdicts)}
    if opened.decided:
        assert outcomes == {leader(opened)}
    elif not to_come and {True, False} <= set(heard[: sum(map(len, verdicts.values()))]):
        assert len(outcomes) > 1


@settings(max_examples=100, deadline=None)
@given(
    rules,
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=9),
    st.lists(st.sampled_from([True, False, True, None]), min_size=18, max_size=18),
    st.booleans(),
)
def test_what_is_not_asked_would_not_have_mattered(
    rule: Pessimistic, answers: list[str], would: list[bool | None], eager: bool
) -> None:
    """Asked one at a time, in any order, and no longer than it matters, the winner is that of all verdicts."""
    lazy = Pessimistic(
        rule.verifications, rule.alpha, rule.correlation, 1.0, rule.false_accepts, rule.false_rejects, eager=eager
    )
    opened = judge(lazy, answers)
    hear(opened, lambda inquiry: verdict(inquiry, would[inquiry.key]))
    full: Verdicts = {}
    for key in range(len(answers) * rule.verifications):
        full.setdefault(key // rule.verifications, []).append(would[key])
    assert opened.decided
    assert leader(opened) == winner(rule, len(answers), answers, full)
