"""The majority judge and its stopping rule."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import InvalidPolicy
from forethought.judge.majority import Ballot, Majority, beta_confidence
from forethought.ports import Candidate
from forethought.wire import Completion, Done

REFUSED = [("confidence", {"confidence": 0.5}), ("confidence", {"confidence": 1.1}), ("min_votes", {"min_votes": 0})]
votes = st.lists(st.sampled_from(["", "1", "2", "3"]), min_size=1, max_size=14)


def ballot(answers: list[str], samples: int | None = None, rule: Majority | None = None, *, first: int = 0) -> Ballot:
    """A judge that has heard these answers; they landed in order, with indices from `first` on."""
    judge = (rule or Majority()).open(samples or max(1, len(answers)))
    for index, answer in enumerate(answers, first):
        judge.add(Candidate(index, answer, Completion(text=answer)))
    return judge


@pytest.mark.parametrize(
    ("a", "b", "value"), [(3, 0, 0.9375), (4, 0, 0.9688), (6, 1, 0.9648), (8, 2, 0.9673), (10, 3, 0.9713)]
)
def test_the_beta_criterion_has_its_published_values(a: int, b: int, value: float) -> None:
    """The closed form agrees with the incomplete beta function to four places."""
    assert round(beta_confidence(a, b), 4) == value


@pytest.mark.parametrize(("b", "least"), list(enumerate([4, 6, 8, 9, 11, 12, 14, 15, 17])))
def test_the_least_lead_that_stops(b: int, least: int) -> None:
    """At 0.95 these many votes against `b` stop, and one vote fewer does not."""
    assert beta_confidence(least, b) >= 0.95 > beta_confidence(least - 1, b)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_beta_criterion_is_a_probability_of_two_sides(a: int, b: int) -> None:
    """Who is ahead in one order is behind in the other."""
    assert beta_confidence(a, b) + beta_confidence(b, a) == pytest.approx(1)


def test_negative_votes_are_refused() -> None:
    """A count below zero is a mistake of the caller."""
    with pytest.raises(ValueError, match="at least 0"):
        beta_confidence(-1, 0)


def test_four_equal_votes_of_many_decide() -> None:
    """The fourth vote without a rival is confident enough, the third is not."""
    assert not ballot(["7"] * 3, 16).decided
    assert ballot(["7"] * 4, 16).report["decided_by"] == "confidence"


def test_more_votes_can_be_asked_for() -> None:
    """`min_votes` holds the confidence rule back."""
    rule = Majority(min_votes=6)
    assert not ballot(["7"] * 5, 16, rule).decided
    assert ballot(["7"] * 6, 16, rule).decided


def test_full_confidence_waits_until_nothing_can_change() -> None:
    """At confidence 1 a vote of 8 ends when the rest cannot overtake, not before."""
    rule = Majority(confidence=1)
    assert not ballot(["7"] * 4, 8, rule).decided
    assert ballot(["7"] * 5, 8, rule).report["decided_by"] == "certain"


def test_equal_notations_vote_together() -> None:
    """Answers are clustered by equivalence before they are counted."""
    judge = ballot(["3", "1/2", "0.5", r"\frac{1}{2}"], 4)
    assert judge.report["votes"] == {"1/2": 3, "3": 1}
    assert judge.leader is not None
    assert judge.leader.index == 1


def test_of_equal_clusters_that_of_the_lowest_index_leads() -> None:
    """A tie is broken by the place in the fan-out, whoever landed first."""
    judge = ballot(["a", "a"], 4, first=2)
    judge.add(Candidate(1, "b", Completion(text="b")))
    judge.add(Candidate(0, "b", Completion(text="b")))
    assert judge.leader is not None
    assert (judge.leader.answer, judge.leader.index) == ("b", 0)


def test_a_candidate_without_an_answer_does_not_vote() -> None:
    """Two that were cut off do not outvote one that answered."""
    judge = ballot(["", "", "7"], 3)
    assert judge.leader is not None
    assert judge.leader.answer == "7"
    assert judge.report["votes"] == {"7": 1}
    assert judge.report["candidates"] == 3


def test_where_nobody_answers_the_first_to_land_leads() -> None:
    """A caller gets what was written, with the finish reason that explains it."""
    judge = Majority().open(2)
    cut = Completion(reasoning="hm", done=Done("length"))
    judge.add(Candidate(1, "", cut))
    judge.add(Candidate(0, "", cut))
    assert judge.decided
    assert judge.leader is not None
    assert judge.leader.index == 1


def test_before_the_first_candidate_there_is_no_leader() -> None:
    """An empty ballot leads nowhere and reports that."""
    judge = Majority().open(3)
    assert judge.leader is None
    assert not judge.decided
    assert judge.report == {"candidates": 0, "votes": {}, "agreement": 0.0, "answers": [], "decided_by": ""}


def test_the_report_says_how_much_they_agree() -> None:
    """Agreement is the share of the votes that the winner has."""
    assert ballot(["7", "7", "", "8"]).report["agreement"] == pytest.approx(2 / 3)


def test_a_report_repeats_only_the_beginning_of_a_long_answer() -> None:
    """Eight programs are not sent eight times, and no vote is lost in the shortening."""
    report = ballot(["x" * 1_000, "x" * 1_000, "x" * 999 + "y"]).report
    assert report["votes"] == {"x" * 199 + "…": 3}
    assert max(map(len, report["answers"])) == 200


@pytest.mark.parametrize(("field", "rule"), REFUSED)
def test_a_rule_that_makes_no_sense_is_refused(field: str, rule: dict[str, float]) -> None:
    """The error names the field."""
    with pytest.raises(InvalidPolicy) as caught:
        Majority(**rule)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert caught.value.field == field


@given(votes, st.randoms(use_true_random=False))
def test_the_winner_is_one_of_the_largest_clusters_in_any_order(answers: list[str], random: object) -> None:
    """The order of the votes can only break a tie."""
    shuffled = list(answers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # pyright: ignore
    judge = ballot(shuffled)
    counts = Counter(answer for answer in answers if answer)
    best = {answer for answer, count in counts.items() if count == max(counts.values())} or {""}
    assert judge.leader is not None
    assert judge.leader.answer in best


@given(votes, votes)
def test_what_is_certain_stays(answers: list[str], rest: list[str]) -> None:
    """Once no sample to come can change the winner, none does."""
    rule = Majority(confidence=1)
    for landed in range(len(answers)):
        early = ballot(answers[:landed], len(answers), rule)
        if early.decided:
            end = ballot(answers[:landed] + (rest + answers)[: len(answers) - landed], len(answers), rule)
            assert early.leader is not None
            assert end.leader == early.leader


@given(votes, votes)
def test_what_is_not_certain_can_still_change(answers: list[str], new: list[str]) -> None:
    """Where the judge is undecided at confidence 1, some rest of the samples elects another winner."""
    samples = len(answers) + len(new)
    early = ballot(answers, samples, Majority(confidence=1), first=len(new))
    if early.decided or early.leader is None or not early.leader.answer:
        return
    winners: set[str] = set()
    for other in ("1", "2", "3", "4"):
        end = ballot(answers, samples, first=len(new))
        for index in range(len(new)):
            end.add(Candidate(index, other, Completion(text=other)))
        winners |= {end.leader.answer} if end.leader else set()
    assert winners - {early.leader.answer}


@given(st.integers(1, 40))
def test_unanimous_votes_decide_once_and_for_all(samples: int) -> None:
    """While all agree, a judge that has decided stays decided."""
    decided = [ballot(["7"] * landed, samples).decided for landed in range(samples + 1)]
    assert decided[-1]
    assert not any(before and not after for before, after in pairwise(decided))


@given(votes, st.integers(1, 20))
def test_as_many_as_needed_decide(answers: list[str], spare: int) -> None:
    """As many further votes for the leader as are needed decide it, and one fewer does not."""
    judge = ballot(answers, len(answers) + spare)
    needed = judge.needed
    leading = judge.leader.answer if judge.leader and judge.leader.answer else "1"
    for more in range(needed):
        assert not judge.decided
        judge.add(Candidate(100 + more, leading, Completion(text=leading)))
    assert judge.decided


def test_every_sample_can_be_heard_out() -> None:
    """With as many `min_votes` as samples nothing decides before the last has landed."""
    judge = ballot(["1"] * 7, 8, Majority(min_votes=8))
    assert not judge.decided
    judge.add(Candidate(7, "1", Completion(text="1")))
    assert judge.decided
