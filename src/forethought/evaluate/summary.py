"""What outcomes come to: each policy summed up, and set against another on the problems that both have answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from math import nan

from ..context import Usage, add_cost
from .outcome import Outcome
from .statistics import Estimate, differ, gap, growth, mean, share


@dataclass(frozen=True, slots=True)
class Summary:
    """One policy over all its problems; means are per problem that was answered.

    `fresh` and `cached` are the tokens read, without and with a hit in the upstream's cache, `written` those written
    and `computed` both but for the cached, all calls together. `cost` is the USD of all problems, failed ones too;
    None where a part is unknown.
    """

    policy: str
    answered: int
    failed: int
    accuracy: Estimate
    tokens: Estimate
    computed: Estimate
    written: Estimate
    fresh: float
    cached: float
    calls: float
    seconds: float
    cost: Decimal | None
    first_error: str = ""


@dataclass(frozen=True, slots=True)
class Contrast:
    """`policy` against `base` on the `problems` that both have answered.

    `accuracy` is a difference of shares; the others are changes as shares of the base's: of all `tokens`, of those
    `computed`, which are not read from a cache, and of those `written`. `significant` says whether accuracy
    differs beyond chance, by the bootstrap and by McNemar's exact test.
    """

    policy: str
    base: str
    problems: int
    accuracy: Estimate
    tokens: Estimate
    computed: Estimate
    written: Estimate
    significant: bool


def summarize(policy: str, outcomes: Iterable[Outcome]) -> Summary:
    """One policy, in whatever order its outcomes came."""
    asked = sorted(outcomes, key=lambda each: each.index)
    answered = [each for each in asked if each.right is not None]
    failed = [each for each in asked if each.right is None]
    spent = reduce(lambda total, each: total + each.usage, answered, Usage())
    count = len(answered) or nan
    nothing: Decimal | None = Decimal(0)
    return Summary(
        policy,
        len(answered),
        len(failed),
        share([bool(each.right) for each in answered]),
        mean([each.tokens for each in answered]),
        mean([each.computed for each in answered]),
        mean([each.usage.completion_tokens for each in answered]),
        (spent.prompt_tokens - spent.cached_tokens) / count,
        spent.cached_tokens / count,
        spent.requests / count,
        sum(each.seconds for each in answered) / count,
        reduce(add_cost, (each.cost for each in asked), nothing),
        failed[0].error if failed else "",
    )


def contrast(policy: str, ours: Iterable[Outcome], base: str, theirs: Iterable[Outcome]) -> Contrast:
    """`policy` against `base`, problem by problem."""
    left, right = _answered(ours), _answered(theirs)
    both = sorted(left.keys() & right.keys())
    mine, other = [left[i] for i in both], [right[i] for i in both]
    hits, theirs_hit = [bool(each.right) for each in mine], [bool(each.right) for each in other]
    accuracy = gap(hits, theirs_hit)
    return Contrast(
        policy,
        base,
        len(both),
        accuracy,
        growth([each.tokens for each in mine], [each.tokens for each in other]),
        growth([each.computed for each in mine], [each.computed for each in other]),
        growth([each.usage.completion_tokens for each in mine], [each.usage.completion_tokens for each in other]),
        accuracy.excludes_zero and differ(hits, theirs_hit),
    )


def by_difficulty(outcomes: Iterable[Outcome]) -> Mapping[int, Estimate]:
    """Accuracy on the answered problems of each difficulty, the easiest first."""
    answered = _answered(outcomes).values()
    levels = sorted({each.difficulty for each in answered})
    return {level: share([bool(each.right) for each in answered if each.difficulty == level]) for level in levels}


def hardest_quarter(difficulties: Sequence[int]) -> int:
    """The difficulty from which on as near to a quarter of all are as levels allow."""

    def off(level: int) -> float:
        return abs(sum(each >= level for each in difficulties) / len(difficulties) - 0.25)

    return min(sorted(set(difficulties)), key=off)


def _answered(outcomes: Iterable[Outcome]) -> dict[int, Outcome]:
    return {each.index: each for each in sorted(outcomes, key=lambda one: one.index) if each.right is not None}
