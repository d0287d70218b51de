"""Forward-backward reasoning, told of candidates and recoveries by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.errors import InvalidPolicy
from forethought.judge.backward import Backward, Recovery, backward_probabilities, hideable
from forethought.judge.majority import Ballot
from forethought.ports import Inquiry
from forethought.wire import Completion, Done, Request
from support.judging import candidate, hear

QUESTION = Request.of("Anna buys 6 boxes of 7 eggs. How many eggs does she have?")


def judge(rule: Backward, answers: Sequence[str], samples: int | None = None) -> Recovery:
    """A judge to whom these have landed in order."""
    opened = rule.open(samples or len(answers), QUESTION)
    assert isinstance(opened, Recovery)
    for index, answer in enumerate(answers):
        opened.add(candidate(index, answer))
    return opened


def leader(opened: Recovery) -> str:
    assert opened.leader is not None
    return opened.leader.answer


def solve(inquiry: Inquiry) -> Completion:
    """Works the hidden factor out from the answer, and finds none where it does not divide."""
    question = inquiry.request.question
    [known] = [int(number) for number in re.findall(r"\d", question.split("\n")[2])]
    told = re.search(r"known to be: (\d+)", question)
    assert told is not None
    whole, left = divmod(int(told[1]), known)
    return Completion("None fits." if left else f"So X is {whole}.\nThe answer is {whole}.")


def test_golden_probabilities() -> None:
    """Sixteen votes with six recoveries outweigh twenty-four with two."""
    assert [round(each, 3) for each in backward_probabilities([24, 16], [2, 6], 0.5)] == [0.414, 0.586]


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 8)), min_size=1, max_size=6), st.floats(0, 1))
def test_probabilities_add_up(counts: list[tuple[int, int]], alpha: float) -> None:
    """However the votes and recoveries fall, the answers share one probability."""
    chances = backward_probabilities(*zip(*counts, strict=True), alpha)  # type: ignore[arg-type]
    assert sum(chances) == pytest.approx(1)
    assert min(chances) >= 0


@pytest.mark.parametrize(("question", "numbers"), [
    ("Anna buys 6 boxes of 7 eggs.", ["6", "7"]), ("It costs $1,250.50, or 3%.", ["1,250.50", "3"]),
    ("How many sides have two squares?", []), ("1. First\n2) then 5", ["5"]), ("x^2 of B-52 and T1000", []),
    ("a=3 b=a+4 b?", ["3", "4"]), ("Add (3 + 4).", ["3", "4"]), ("Version 1.2.3 of 8.", ["8"]),
])  # fmt: skip
def test_numbers_that_can_be_hidden(question: str, numbers: list[str]) -> None:
    """Quantities in digits are; words, names, exponents and the numbers of a list are not."""
    assert [hidden.number for hidden in hideable(question)] == numbers


@given(st.text(alphabet="ab X15,.()\n$-^", max_size=40))
def test_hiding_changes_one_number(question: str) -> None:
    """Put back, the hidden number makes the question again."""
    for hidden in hideable(question):
        size = len(hidden.number)
        places = [at for at in range(len(question)) if question.startswith(hidden.number, at)]
        assert hidden.question in [f"{question[:at]}{hidden.name}{question[at + size :]}" for at in places]


def test_the_letter_is_not_one_of_the_question() -> None:
    """A question that has an X of its own gets a Y."""
    assert hideable("X is 5 more than 3.")[0].question == "X is Y more than 3."


def test_recoveries_outweigh_votes() -> None:
    """The answer from which the numbers follow beats one that more samples gave."""
    opened = judge(Backward(recoveries=2), ["43", "42", "43", "42", "43"])
    hear(opened, solve)
    assert leader(opened) == "42"
    assert [told["recovered"] for told in opened.report["recovered"]] == [0, 1]


def test_each_number_is_hidden_in_turn() -> None:
    """The question names the answer and hides one number, then the other."""
    opened = judge(Backward(recoveries=2, eager=True), ["42", "43"])
    asked = [inquiry.request.question for inquiry in opened.inquiries()]
    assert ["X boxes of 7" in each for each in asked] == [True, False, True, False]
    assert ["be: 42\n" in each for each in asked] == [True, True, False, False]


def test_nothing_recovered_leaves_the_majority() -> None:
    """A model that recovers nothing has no say, and neither has a call that failed or was cut off."""
    cut = Completion("The answer is 6.", done=Done("length"))
    for reply in (None, Completion(""), cut):
        opened = judge(Backward(recoveries=2), ["43", "42", "43"])
        hear(opened, lambda _, said=reply: said)  # type: ignore[misc]
        assert (leader(opened), opened.decided) == ("43", True)


def test_what_cannot_win_is_not_asked_about() -> None:
    """Once one answer was recovered often enough the others are left alone."""
    opened = judge(Backward(recoveries=8), ["42", "42", "42", "43"])
    asked = hear(opened, solve)
    assert opened.decided_by == "certain"
    assert len(asked) < 16


def test_agreement_asks_nothing() -> None:
    """Four that agree decide it as in a vote."""
    opened = judge(Backward(), ["42"] * 4, 8)
    assert (opened.inquiries(), opened.decided_by) == ((), "confidence")


def test_a_question_without_numbers_is_a_vote() -> None:
    """There is nothing to hide, so the majority judges."""
    assert isinstance(Backward().open(3, Request.of("Who wrote Faust?")), Ballot)


@pytest.mark.parametrize(("field", "value"), [("recoveries", 0), ("alpha", 1.5), ("confidence", 0.0)])
def test_a_rule_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    """The error names the field."""
    with pytest.raises(InvalidPolicy) as caught:
        Backward(**{field: value})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert caught.value.field == field


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["41", "42", "43", ""]), min_size=1, max_size=4),
    st.integers(0, 1),
    st.lists(st.booleans(), max_size=5),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_decided_means_that_nothing_can_change_the_winner(
    answers: list[str], to_come: int, heard: list[bool], alpha: float
) -> None:
    """By trying every sample and every recovery that may still come."""
    rule = Backward(recoveries=2, alpha=alpha, confidence=1.0, eager=True)
    opened = judge(rule, answers, len(answers) + to_come)
    found: dict[str, list[bool]] = {answer: [] for answer in answers if answer}
    for inquiry, each in zip(opened.inquiries(), heard, strict=False):
        opened.answered(inquiry, solve(inquiry) if each else None)
        shown = re.search(r"known to be: (\d+)", inquiry.request.question)
        assert shown is not None
        found[shown[1]].append(each and shown[1] == "42")
    if not opened.decided or not found:
        return
    winners: set[str] = set()
    for more in product(["41", "42", "43", ""], repeat=to_come):
        landed = [answer for answer in (*answers, *more) if answer]
        names = list(dict.fromkeys(landed))
        left = [name for name in names for _ in range(2 - len(found.get(name, [])))]
        for told in product([True, False], repeat=len(left)):
            hits = [
                sum(found.get(name, [])) + sum(t for n, t in zip(left, told, strict=True) if n == name)
                for name in names
            ]
            chances = backward_probabilities([landed.count(name) for name in names], hits, alpha)
            best = max(chances)
            winners |= {name for name, chance in zip(names, chances, strict=True) if chance > best - 1e-12}
    assert leader(opened) in winners
    assert len(winners) == 1 or all(landed_ties(answers, leader(opened), other) for other in winners - {leader(opened)})


def landed_ties(answers: list[str], leader: str, other: str) -> bool:
    """Whether of two that come out equal the leader is the larger, or of equals the one that began first."""
    mine, theirs = answers.count(leader), answers.count(other)
    return mine > theirs or (mine == theirs and answers.index(leader) < answers.index(other))
