"""Outcomes to sum up."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from forethought.context import Usage
from forethought.evaluate.outcome import Outcome


def outcome(index: int, right: bool | None = True, tokens: int = 10, **changes: Any) -> Outcome:
    """Problem `index`, which took `tokens` written tokens after 5 read ones."""
    usage = Usage(prompt_tokens=5, completion_tokens=tokens, requests=1)
    fields: dict[str, Any] = {"key": str(index), "policy": "p", "difficulty": 1, "usage": usage, **changes}
    return Outcome(index=index, right=right, **fields)


OUTCOMES = st.lists(
    st.builds(
        outcome,
        index=st.integers(0, 1000),
        right=st.sampled_from([True, False, None]),
        tokens=st.integers(0, 10**6),
        difficulty=st.integers(0, 9),
    ),
    max_size=30,
    unique_by=lambda each: each.index,
)
"""Different problems in any order."""
