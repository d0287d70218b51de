"""How the next token is drawn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought_adapters.llamacpp.job import Sampling
from forethought_adapters.llamacpp.sampling import Sampler

WEIGHTS = (0.5, 0.3, 0.15, 0.05)
ROW = np.log(np.array(WEIGHTS, np.float32))


def drawn(count: int, row: Any = ROW, **asked: Any) -> Counter[int]:
    sampler = Sampler(Sampling(seed=3, **asked))
    return Counter(sampler.pick(row).token for _ in range(count))


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
    assert [sampler.pick(ROW).token for _ in range(3)] == [0, 1, 2]


def test_logprobs_are_of_the_model() -> None:
    """Logprobs are those of the model's distribution, untouched by temperature and penalties."""
    picked = Sampler(Sampling(temperature=0.1, top_k=1, logprobs=True, top_logprobs=2)).pick(ROW + 5)
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
    assert 0 <= picked.token < len(row)
    assert picked.logprob <= 1e-9
