"""What the limits of one scope grant a call, as plain functions over what is spent and what is held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from .context import Price, Usage, add_cost

ANSWER_TOKENS: Final = 256
"""The most that is kept back for an answer where the budget does not say how much."""
NOTHING: Final = Decimal(0)
_MANY: Final = 10**12


class Limits(Protocol):
    """The limits of one scope, as `forethought.budget.Budget` has them."""

    @property
    def total_tokens_limit(self) -> int | None: ...
    @property
    def output_tokens_limit(self) -> int | None: ...
    @property
    def reasoning_tokens_limit(self) -> int | None: ...
    @property
    def request_limit(self) -> int | None: ...
    @property
    def cost_limit(self) -> Decimal | None: ...
    @property
    def time_limit_s(self) -> float | None: ...
    @property
    def answer_tokens(self) -> int | None: ...
    @property
    def limited(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Remaining:
    """What can still be taken in a scope and those around it; None where nothing limits it, never below 0."""

    total_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    requests: int | None = None
    cost: Decimal | None = None
    time_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What a call wants to reserve; `share` is how many siblings draw on the same budget."""

    prompt_tokens: int = 0
    max_tokens: int | None = None
    price: Price | None = None
    answering: bool = False
    share: int = 1


@dataclass(frozen=True, slots=True)
class Room:
    """How many completion tokens one limit grants a call."""

    limit: str
    tokens: int


class Account:
    """What one scope has spent, and what calls in flight hold in it."""

    __slots__ = ("cost", "held", "held_cost", "spent")

    def __init__(self) -> None:
        self.spent = Usage()
        self.cost: Decimal | None = NOTHING
        self.held = Usage()
        self.held_cost = NOTHING

    def hold(self, usage: Usage, cost: Decimal) -> None:
        self.held += usage
        self.held_cost += cost

    def release(self, usage: Usage, cost: Decimal) -> None:
        back = Usage(-usage.prompt_tokens, -usage.completion_tokens, -usage.reasoning_tokens, 0, -usage.requests)
        self.hold(back, -cost)

    def charge(self, usage: Usage, cost: Decimal | None) -> None:
        self.spent += usage
        self.cost = add_cost(self.cost, cost)


def token_rooms(limits: Limits, account: Account, ask: Ask) -> Iterator[Room]:
    """What the limits on output and total tokens grant: a fair share, at least 1, never more than is free.

    The share is one of what is not spent, whether or not siblings hold theirs already, so that all get the same.
    """
    spent, held, prompt = account.spent, account.held, ask.prompt_tokens
    if limits.output_tokens_limit is not None:
        pool = limits.output_tokens_limit - spent.completion_tokens - _kept(limits.output_tokens_limit, limits, ask)
        yield Room("output_tokens_limit", min(pool - held.completion_tokens, max(1, pool // ask.share)))
    if limits.total_tokens_limit is not None:
        pool = limits.total_tokens_limit - spent.total_tokens - _kept(limits.total_tokens_limit, limits, ask)
        free = pool - held.total_tokens - prompt
        yield Room("total_tokens_limit", min(free, max(1, pool // ask.share - prompt)))


def money_rooms(limits: Limits, account: Account, ask: Ask) -> Iterator[Room]:
    """What the cost limit grants at this price, on the same terms."""
    limit, price = limits.cost_limit, ask.price
    if limit is None or price is None:
        return
    pool = limit - (account.cost or NOTHING)
    pool -= price.completion * _kept(_affordable(limit, price.completion), limits, ask)
    prompt = price.prompt * ask.prompt_tokens
    free = pool - account.held_cost - prompt
    if free < 0:
        yield Room("cost_limit", 0)
    elif price.completion:
        fair = max(1, _tokens_for(pool / ask.share - prompt, prompt, price, ask))
        yield Room("cost_limit", min(_tokens_for(free, prompt, price, ask), fair))


def reasoning_room(limits: Limits, account: Account, share: int) -> int | None:
    """Reasoning tokens that one of `share` siblings may write; None where nothing limits them."""
    if limits.reasoning_tokens_limit is None:
        return None
    pool = limits.reasoning_tokens_limit - account.spent.reasoning_tokens
    return max(0, min(pool - account.held.reasoning_tokens, max(1, pool // share)))


def kept_for_answer(limits: Limits) -> Iterator[int]:
    """The tokens that each limit on tokens keeps back for an answer."""
    for limit in (limits.output_tokens_limit, limits.total_tokens_limit):
        if limit is not None:
            yield _kept(limit, limits, Ask())


def remaining(limits: Limits, account: Account, elapsed: float) -> Remaining:
    """What one scope alone has left, `elapsed` seconds after it was opened."""
    spent, held = account.spent, account.held
    cost = (account.cost or NOTHING) + account.held_cost
    return Remaining(
        _left(limits.total_tokens_limit, spent.total_tokens + held.total_tokens),
        _left(limits.output_tokens_limit, spent.completion_tokens + held.completion_tokens),
        _left(limits.reasoning_tokens_limit, spent.reasoning_tokens + held.reasoning_tokens),
        _left(limits.request_limit, spent.requests + held.requests),
        None if limits.cost_limit is None else max(NOTHING, limits.cost_limit - cost),
        None if limits.time_limit_s is None else max(0.0, limits.time_limit_s - elapsed),
    )


def _kept(limit: int, limits: Limits, ask: Ask) -> int:
    """What thinking leaves for the answers of all siblings: beyond one answer no more than a quarter."""
    if ask.answering:
        return 0
    quarter = limit // 4
    one = min(ANSWER_TOKENS, quarter) if limits.answer_tokens is None else limits.answer_tokens
    return max(one, min(one * ask.share, quarter))


def _tokens_for(money: Decimal, prompt: Decimal, price: Price, ask: Ask) -> int:
    """The completion tokens that `money` buys once the prompt is paid.

    A thought that is cut has to be read again, prompt and all, for its answer to be written, so thinking is not
    granted that money either; but it is granted half of what there is, for calls that only answer.
    """
    plain = _affordable(money, price.completion)
    if ask.answering:
        return plain
    return max(_affordable(money - prompt, price.completion + price.prompt), (plain + 1) // 2)


def _affordable(money: Decimal, each: Decimal) -> int:
    return _MANY if money >= each * _MANY else int(money // each)


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)
