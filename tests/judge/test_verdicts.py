"""How verdicts are read and weighed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.judge.verdicts import corrected, effective, pessimistic_score, read_verdict
from forethought.wire import Completion, Done

ACCEPT, REJECT = "Verdict 4f: 1", "Verdict 4f: 0"
CLUSTERS = {"A": (10, 6), "B": (5, 4), "C": (1, 1)}
"""Sixteen solutions in three clusters: how many there are of each, and how many were accepted."""

GOLDEN = [
    (1, 0.1, 0.5748, 0.7538, 0.8614),
    (1, 0.5, 0.4740, 0.5690, 0.3069),
    (1, 1.0, 0.3479, 0.3379, -0.3863),
]
"""Verdicts on each solution, alpha, and the score of each cluster."""


@pytest.mark.parametrize(("each", "alpha", "a", "b", "c"), GOLDEN)
def test_golden_scores(each: int, alpha: float, a: float, b: float, c: float) -> None:
    """The score has the values computed from the formula by hand."""
    scores = [pessimistic_score(accepted / size, size * each, 16 * each, alpha) for size, accepted in CLUSTERS.values()]
    assert [round(score, 4) for score in scores] == [a, b, c]


@pytest.mark.parametrize(("rate", "size", "alpha", "score"), [
    (0.5, 10, 0.1, 0.4899), (0.75, 5, 0.1, 0.7302), (1.0, 1, 0.1, 0.9168),
    (0.5, 10, 0.5, 0.4493), (0.75, 5, 0.5, 0.6510), (1.0, 1, 0.5, 0.5841),
])  # fmt: skip
def test_golden_scores_of_four_verdicts_each(rate: float, size: int, alpha: float, score: float) -> None:
    """With four verdicts on each of the sixteen."""
    assert round(pessimistic_score(rate, size * 4, 64, alpha), 4) == score


@pytest.mark.parametrize(("rate", "true"), [(0.0, 0.0), (1.0, 1.0), (0.1, 0.0), (0.8, 1.0), (0.45, 0.5)])
def test_a_noisy_rate_is_corrected(rate: float, true: float) -> None:
    """At one false accept in ten and two false rejects in ten, 0.1 is never and 0.8 always."""
    assert corrected(rate, 0.1, 0.2) == pytest.approx(true)


@given(st.floats(0, 1), st.floats(0, 0.4), st.floats(0, 0.4))
def test_a_corrected_rate_is_a_rate(rate: float, false_accepts: float, false_rejects: float) -> None:
    """It stays within 0 to 1, and is the rate itself where the verifier does not err."""
    assert 0 <= corrected(rate, false_accepts, false_rejects) <= 1
    assert corrected(rate, 0, 0) == rate


@given(st.integers(0, 50), st.integers(1, 20), st.floats(0, 1))
def test_alike_verdicts_count_for_less(verdicts: int, solutions: int, correlation: float) -> None:
    """Never for more than they are, never for less than one on each solution that has one, and more never for less."""
    counted = effective(verdicts, solutions, correlation)
    assert min(verdicts, solutions) <= counted + 1e-9
    assert counted <= verdicts
    assert effective(verdicts + 1, solutions, correlation) >= counted - 1e-9


@pytest.mark.parametrize("text", [
    ACCEPT, f"All is well.\n\n{ACCEPT}", f"**{ACCEPT}**", f"`{ACCEPT}`.", f"{ACCEPT}.\n", "so\nverdict 4F: 1",
])  # fmt: skip
def test_an_accepting_line_is_read(text: str) -> None:
    """The last line counts, with or without markdown around it."""
    assert read_verdict(Completion(text), ACCEPT, REJECT) is True


@pytest.mark.parametrize("text", [
    "", "1", "Verdict: 1", "Verdict 5e: 1", f"{ACCEPT}\nbut wait", f"I say {ACCEPT}", f"{ACCEPT} or {REJECT}",
    "yes", f"{ACCEPT}0",
])  # fmt: skip
def test_what_is_no_verdict_is_none(text: str) -> None:
    """Nothing but the line itself is read as a verdict, so nothing else accepts."""
    assert read_verdict(Completion(text), ACCEPT, REJECT) is None


def test_a_verdict_that_was_cut_off_is_none() -> None:
    """What ends by its length may have been about to go on."""
    assert read_verdict(Completion(ACCEPT, done=Done("length")), ACCEPT, REJECT) is None


@given(st.text())
def test_whatever_is_said_before_the_last_line_decides_nothing(text: str) -> None:
    """A verdict is the last line alone."""
    assert read_verdict(Completion(f"{text}\n{REJECT}"), ACCEPT, REJECT) is False
    assert read_verdict(Completion(f"{text}\n{ACCEPT}\n."), ACCEPT, REJECT) is None
