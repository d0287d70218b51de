"""The values of a lookahead, against vectors worked out by hand and what must hold for all of them."""

from __future__ import annotations

from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.search.foresight import Valuation, cut, slopes, softmax, variance

PAPER = Valuation(normalised=False, scaled=False)
LOGPROBS = st.lists(st.floats(-20, 0), min_size=1, max_size=6)
ROLLOUTS = st.lists(st.lists(LOGPROBS, min_size=1, max_size=5), min_size=1, max_size=6)


def test_variance_of_steps() -> None:
    """V_step is the mean square distance of the steps' log-probabilities from their mean."""
    assert variance([-1.0, -2.0, -3.0, -2.0]) == pytest.approx(0.5)


def test_variance_of_slopes() -> None:
    """V_slope is that of the differences between neighbours, of which there is one less."""
    assert slopes([-1.0, -2.0, -3.0, -2.0]) == [-1.0, -1.0, 1.0]
    assert variance(slopes([-1.0, -2.0, -3.0, -2.0])) == pytest.approx(8 / 9)


def test_published_choice_is_nearly_random() -> None:
    """Foresights of .40 .35 .10 .38 and variances five times apart give the candidates nearly equal chances."""
    variances = [(0.1, 0.05), (0.5, 0.25), (0.1, 0.05), (0.1, 0.05)]
    advantages = softmax([exp((f - 0.3) / 0.6) for f in (0.40, 0.35, 0.10, 0.38)], 0.6)
    steady = softmax([exp(-step / 0.6) for step, _ in variances], 0.6)
    smooth = softmax([exp(-slope / 0.6) for _, slope in variances], 0.6)
    values = [0.5 * a + 0.3 * b + 0.2 * c for a, b, c in zip(advantages, steady, smooth, strict=True)]
    assert [round(chance, 3) for chance in softmax(values, 0.6)] == [0.269, 0.233, 0.234, 0.264]
    assert variance(values) == pytest.approx(1.56e-3, abs=1e-5)
    assert PAPER.converged(values)
    assert not Valuation().converged(values)


@pytest.mark.parametrize(("candidates", "chance"), [(4, 0.54), (8, 0.30)])
def test_published_choice_at_its_surest(candidates: int, chance: float) -> None:
    """One perfect candidate among hopeless ones is chosen with .54 of four and .30 of eight."""
    hopeless = [[-100.0], [0.0], [-100.0], [100.0 - 1e3]]
    values = PAPER.values([[[0.0]] * 4] + [hopeless] * (candidates - 1), before=0.0)
    assert softmax(values, PAPER.tau)[0] == pytest.approx(chance, abs=0.005)


def test_values_by_hand() -> None:
    """The value is (1-α-β) of the advantage, α of the steadiness and β of the smoothness, each as a softmax."""
    first, second = [[-0.1], [-0.2], [-0.6]], [[-0.3], [-0.3], [-0.3]]
    told = PAPER.values([first, second], before=0.2)
    advantage = softmax([exp((exp(-0.9) - 0.2) / 0.6)] * 2, 0.6)[0]
    steady = softmax([exp(-variance([-0.1, -0.2, -0.6]) / 0.6), 1.0], 0.6)[0]
    smooth = softmax([exp(-variance([-0.1, -0.4]) / 0.6), 1.0], 0.6)[0]
    assert told[0] == pytest.approx(0.5 * advantage + 0.3 * steady + 0.2 * smooth)
    assert told[1] == pytest.approx(1 - told[0])


def test_length_does_not_count() -> None:
    """Normalised, a rollout is worth the same however often it is repeated; as published it falls towards 0."""
    steps = [[-0.1, -0.3], [-0.2]]
    assert Valuation().foresight(steps * 50) == pytest.approx(Valuation().foresight(steps))
    assert PAPER.foresight(steps * 50) < 1e-12


def test_impossible_tokens() -> None:
    """A token that a server calls impossible makes no value infinite."""
    values = PAPER.values([[[float("-inf")], [-1.0]], [[-1.0], [-1.0]]], before=0.0)
    assert values[0] < values[1]
    assert sum(values) == pytest.approx(1)


@given(ROLLOUTS, st.floats(0, 1), st.booleans())
def test_values_are_shares(rollouts: list[list[list[float]]], before: float, normalised: bool) -> None:
    """Values are positive and sum to 1."""
    values = Valuation(normalised=normalised).values(rollouts, before)
    assert all(value >= 0 for value in values)
    assert sum(values) == pytest.approx(1)


@given(ROLLOUTS, st.floats(0, 1), st.randoms(use_true_random=False))
def test_values_follow_their_candidates(rollouts: list[list[list[float]]], before: float, rng: Random) -> None:
    """In whatever order the candidates come, each has the same value."""
    order = list(range(len(rollouts)))
    rng.shuffle(order)
    straight = Valuation().values(rollouts, before)
    mixed = Valuation().values([rollouts[place] for place in order], before)
    assert mixed == pytest.approx([straight[place] for place in order])


@given(st.lists(LOGPROBS, min_size=1, max_size=5), st.integers(1, 8), st.floats(0, 1))
def test_equal_candidates_have_converged(steps: list[list[float]], count: int, before: float) -> None:
    """Candidates that lead to the same have equal values, one alone among them, and the search is over."""
    values = Valuation().values([steps] * count, before)
    assert values == pytest.approx([1 / count] * count)
    assert Valuation().converged(values)


@given(st.lists(LOGPROBS, min_size=1, max_size=5), st.floats(0.01, 5), st.floats(0, 1))
def test_surer_is_better(steps: list[list[float]], lift: float, before: float) -> None:
    """Of two rollouts that vary alike, the one whose tokens are all likelier is worth no less."""
    lower = [[logprob - lift for logprob in step] for step in steps]
    surer, less = Valuation().values([steps, lower], before)
    assert surer >= less


@given(st.text(alphabet="ab \t\n\r", max_size=60), st.integers(0, 3))
def test_cutting_loses_nothing(text: str, lines: int) -> None:
    """Steps joined are the text again, and none of several is blank."""
    steps = cut(text, lines)
    assert "".join(steps) == text
    assert len(steps) < 2 or all(step.strip() for step in steps)


@given(st.text(alphabet="ab \n", max_size=40), st.integers(0, 3), st.integers(0, 40))
def test_cutting_goes_on(text: str, lines: int, split: int) -> None:
    """Cut in two pieces, of which the second goes on with the last step of the first, a text has the same steps."""
    *whole, last = cut(text[:split], lines) or [""]
    assert [*whole, *cut(last + text[split:], lines)] == cut(text, lines)


@pytest.mark.parametrize(
    ("lines", "steps"),
    [(0, ["a\nb\nc\n\n", "d"]), (1, ["a\n", "b\n", "c\n\n", "d"]), (2, ["a\nb\n", "c\n\n", "d"])],
)
def test_steps(lines: int, steps: list[str]) -> None:
    """A step ends after a blank line, or after so many lines; the line ends belong to it."""
    assert cut("a\nb\nc\n\nd", lines) == steps
