"""How the next token is drawn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought_adapters.llamacpp.penalties import Penalties
from forethought_adapters.llamacpp.rules import Sampling
from forethought_adapters.llamacpp.sampling import Sampler

WEIGHTS = (0.5, 0.3, 0.15, 0.05)
ROW = np.log(np.array(WEIGHTS, np.float32))


def token(sampler: Sampler, row: Any) -> int:
    picked = sampler.pick(row)
    assert picked is not None
    return picked.token


def drawn(count: int, row: Any = ROW, **asked: Any) -> Counter[int]:
    sampler = Sampler(Sampling(seed=3, **asked))
    return Counter(token(sampler, row) for _ in range(count))


def test_temperature_one_draws_by_probability() -> None:
    """At temperature 1 tokens come as often as their probability says."""
    counts = drawn(20_000)
    assert [counts[token] / 20_000 for token in range(4)] == pytest.approx(WEIGHTS, abs=0.02)


def test_temperature_flattens() -> None:
    """A temperature of 2 takes the square root of the odds."""
    counts = drawn(20_000, temperature=2.0)
    assert counts[0] / counts[3] == pytest.approx((0.5 / 0.05) ** 0.5, rel=0.1)


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"top_p": 0.5}, {0}),
        ({"top_p": 0.81}, {0, 1, 2}),
        ({"top_p": 0.0}, {0}),
        ({"min_p": 0.5}, {0, 1}),
        ({"temperature": 0.0}, {0}),
        ({"top_k": 3, "top_p": 0.8}, {0, 1}),
    ],
)
def test_a_rule_leaves_the_likeliest(rule: dict[str, Any], left: set[int]) -> None:
    """Each sampling rule leaves exactly the tokens it promises."""
    assert set(drawn(2_000, **rule)) == left


def test_a_penalty_makes_room_for_others() -> None:
    """A presence penalty makes greedy output leave a token it has written."""
    sampler = Sampler(Sampling(temperature=0.0, presence_penalty=2.0))
    assert [token(sampler, ROW) for _ in range(3)] == [0, 1, 2]


def test_a_repetition_penalty_counts_the_prompt() -> None:
    """A repetition penalty divides logits above 0 and multiplies those below, of tokens of prompt and text."""
    row = np.array([2.0, 1.5, -1.0, -1.5], np.float32)
    sampler = Sampler(Sampling(temperature=0.0, repetition_penalty=2.0), prompt=[0])
    assert [token(sampler, row) for _ in range(3)] == [1, 0, 0]


def test_a_bias_moves_the_odds() -> None:
    """A bias is added to the logit of its token: that of log 6 makes it six times as likely."""
    counts = drawn(20_000, logit_bias=((3, float(np.log(6))),))
    assert counts[3] / counts[1] == pytest.approx(1.0, rel=0.1)


def test_logprobs_are_of_the_model() -> None:
    """Logprobs are those of the model's distribution, untouched by temperature and penalties."""
    picked = Sampler(Sampling(temperature=0.1, top_k=1, logprobs=True, top_logprobs=2)).pick(ROW + 5)
    assert picked
    assert picked.logprob == pytest.approx(np.log(0.5), abs=1e-6)
    assert [token for token, _ in picked.top] == [0, 1]


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40),
    st.builds(
        Sampling,
        temperature=st.floats(0, 5),
        top_p=st.floats(0, 1),
        top_k=st.integers(0, 50),
        min_p=st.floats(0, 1),
        logprobs=st.just(True),
    ),
)
def test_something_is_always_drawn(row: list[float], asked: Sampling) -> None:
    """Whatever the logits and the rules, a token of the vocabulary is drawn and its logprob is no more than 0."""
    picked = Sampler(asked).pick(np.array(row, np.float32))
    assert picked
    assert 0 <= picked.token < len(row)
    assert picked.logprob <= 1e-9


LARGE = np.random.default_rng(5).normal(0, 3, 20_000).astype(np.float32)


def plainly(row: Any, top_k: int, top_p: float, min_p: float) -> set[int]:
    """What the rules leave, told by sorting everything."""
    order = np.argsort(-row, kind="stable")[: top_k or None]
    weights = np.exp(row[order].astype(np.float64) - row.max())
    held = weights.cumsum() / weights.sum()
    order = order[: np.count_nonzero(held < top_p - 1e-6) + 1]
    return {int(id_) for id_ in order if np.exp(row[id_] - row.max()) >= min_p}


@pytest.mark.parametrize("top_k", [0, 7, 700])
@pytest.mark.parametrize("top_p", [1.0, 0.99, 0.3])
@pytest.mark.parametrize("min_p", [0.0, 0.01])
def test_shortcuts_leave_what_sorting_leaves(top_k: int, top_p: float, min_p: float) -> None:
    """Over a large vocabulary the tokens drawn are those that the rules leave, and all of them can be."""
    left = plainly(LARGE, top_k, top_p, min_p)
    seen = set(drawn(1_000, LARGE, temperature=1.0, top_k=top_k, top_p=top_p, min_p=min_p))
    assert seen <= left
    assert len(seen) > 0.5 * min(len(left), 100)


def test_a_large_vocabulary_is_drawn_by_probability() -> None:
    """Over many blocks of tokens each block comes as often as its share says (chi-square at four sigmas)."""
    weights = np.exp(LARGE.astype(np.float64) - LARGE.max())
    shares = np.add.reduceat(weights, np.arange(0, len(weights), 500)) / weights.sum()
    counts = np.zeros(len(shares))
    for id_, count in drawn(8_000, LARGE).items():
        counts[id_ // 500] += count
    surprise = float(((counts - 8_000 * shares) ** 2 / (8_000 * shares)).sum())
    assert surprise < len(shares) + 4 * (2 * len(shares)) ** 0.5


@given(st.lists(st.integers(0, 9), max_size=300))
def test_penalties_are_those_of_a_plain_count(written: list[int]) -> None:
    """However much was written, each logit is lowered by what a plain count of its token says."""
    penalties = Penalties(Sampling(presence_penalty=0.5, frequency_penalty=0.25))
    for id_ in written:
        penalties.add(id_)
    counts = np.bincount(written, minlength=10) if written else np.zeros(10)
    expected = -0.5 * (counts > 0) - 0.25 * counts
    assert penalties.apply(np.zeros(10, np.float32)) == pytest.approx(expected)
