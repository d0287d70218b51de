"""Choosing a detector of confidence from thoughts whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.evaluate.calibrate import Point, Trace, Watch, auroc, detectors
from forethought.fold import complete
from forethought.stack import stack
from forethought.steer.detector import VERBAL, Detector
from forethought.testing import SCRIPTED, Script, Scripted
from forethought.wire import Request

GOOD, BAD = {" yes": 0.8, " no": 0.2}, {" yes": 0.1, " no": 0.9}


def thought(*right: bool, ends_right: bool = True, suffix: str = "?") -> Trace:
    """A thought of 100 tokens, at every tenth of which a right answer reads as good and a wrong one as bad."""
    points = [Point(10 * n, each, {suffix: GOOD if each else BAD}) for n, each in enumerate(right, 1)]
    return Trace(100, ends_right, tuple(points))


def test_chooses_what_points_the_right_way() -> None:
    """Of the tokens that were read the one that is likelier where the answer is right is chosen."""
    found = detectors([thought(False, True)] * 200)
    assert found[0].detector.tokens == (" yes",)
    assert found[0].auroc == 1.0


def test_threshold_lets_no_wrong_answer_through() -> None:
    """The threshold is the lowest at which no more answers are lost than allowed; what it saves is measured."""
    best = detectors([thought(False, True)] * 200)[0]
    assert 0.1 <= best.detector.threshold < 0.8
    assert (best.lost, best.gained, best.thoughts) == (0.0, 0.0, 100)
    assert best.saved == pytest.approx(0.8)


def test_stopping_at_a_wrong_answer_is_no_loss_where_going_on_would_not_help() -> None:
    """A detector that is blind may still save, where thoughts that go on do not get better."""
    best = detectors([thought(False, False, ends_right=False)] * 200)[0]
    assert (best.auroc, best.lost) == (0.5, 0.0)
    assert best.saved == pytest.approx(0.9)


def test_gains_are_told() -> None:
    """A right answer that going on would have spoilt is gained."""
    assert detectors([thought(True, ends_right=False)] * 200)[0].gained == 1.0


def test_few_thoughts_promise_nothing() -> None:
    """With too few thoughts to promise the bound the detector never stops."""
    best = detectors([thought(False, True)] * 20)[0]
    assert (best.detector.threshold, best.saved) == (1.0, 0.0)


def test_a_number_is_calibrated_too() -> None:
    """Where the model gave a number, only the threshold is chosen."""
    points = [Point(10, right, {VERBAL.suffix: {"": 0.9 if right else 0.6}}) for right in (True, False)]
    best = detectors([Trace(100, True, (points[1], points[0]))] * 200)[0].detector
    assert replace(best, threshold=VERBAL.threshold) == VERBAL
    assert 0.6 <= best.threshold < 0.9


def test_nothing_read() -> None:
    """Thoughts that came to no answer before their end give no detector."""
    assert detectors([Trace(100, True)] * 200) == []


@pytest.mark.parametrize(
    ("right", "wrong", "area"),
    [([3, 2], [1, 0], 1.0), ([0], [1], 0.0), ([1, 1], [1], 0.5), ([2, 1], [1], 0.75), ([], [1], 0.5)],
)
def test_auroc(right: list[float], wrong: list[float], area: float) -> None:
    """The share of pairs in the right order, ties counting half."""
    assert auroc(right, wrong) == area


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_auroc_counts_pairs(right: list[float], wrong: list[float]) -> None:
    """By rank it is what counting every pair gives."""
    pairs = [(ours > theirs) + (ours == theirs) / 2 for ours in right for theirs in wrong]
    assert auroc(right, wrong) == pytest.approx(sum(pairs) / len(pairs))


shares = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.floats(0, 1), max_size=3)
points = st.builds(Point, st.integers(0, 99), st.booleans(), shares.map(lambda read: {"?": read}))
traces = st.lists(st.builds(Trace, st.just(100), st.booleans(), st.lists(points, max_size=4).map(tuple)), max_size=40)


@given(traces, st.floats(0, 1))
def test_keeps_its_promise(thoughts: list[Trace], false_stops: float) -> None:
    """Whatever was read, no detector loses more than allowed, and a threshold of 1 stops nothing."""
    for found in detectors(thoughts, false_stops=false_stops):
        assert found.lost <= false_stops
        assert 0 <= found.detector.threshold <= 1
        assert found.detector.threshold < 1 or found.saved == 0


async def test_watching_changes_nothing() -> None:
    """A watched thought goes on as it is; each place tells tokens, trial answer and readings."""
    script = Script("42", reasoning="so 42\n\ncheck 42", logprob=-0.1)
    answer = await complete(stack(Scripted(script), [Watch("so ", suffixes=("=",))]), Request.of("?"))
    assert (answer.reasoning, answer.text) == ("so 42\n\ncheck 42", "42")
    [point] = answer.done.report["watch"]["points"]
    assert list(point) == ["thought", "answer", "readings"]
    assert list(point["readings"]) == ["="]


async def test_watching_without_logprobs() -> None:
    """Where there are no logprobs the model is asked for a number."""
    blind = replace(SCRIPTED, logprobs=False, top_logprobs=0)
    backend = Scripted(Script("42", reasoning="so 42\n\ncheck 42"), capabilities=blind)
    answer = await complete(stack(backend, [Watch("so ")]), Request.of("?"))
    [point] = answer.done.report["watch"]["points"]
    assert list(point["readings"]) == [VERBAL.suffix]


def test_detectors_are_ranked_by_what_they_save() -> None:
    """Of several suffixes that which saves most comes first."""
    both = [
        Trace(100, True, (Point(10, False, {"a": BAD, "b": BAD}), Point(20, True, {"a": BAD, "b": GOOD})))
    ] * 200  # fmt: skip
    best = detectors(both)[0]
    assert best.detector == Detector("b", best.detector.tokens, threshold=best.detector.threshold)
