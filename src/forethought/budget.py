"""Budgets: what a run may take, as a value, and the tree of scopes that holds it under concurrency.

    with Budget(output_tokens_limit=2000, cost_limit="0.05") as scope:
        ...
    print(scope.spent, scope.cost, scope.remaining)

A call reserves the most it can cost in its scope and in every scope around it, and settles what it did cost.
Concurrent calls can therefore never overspend together: a limit is passed by no more than what the provider
counts of the prompt beyond our count of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from types import TracebackType
from typing import Any, Self

from .errors import InvalidPolicy
from .ledger import BudgetScope

_AMBIENT: ContextVar[BudgetScope | None] = ContextVar("forethought_budget", default=None)


def current_scope() -> BudgetScope | None:
    """The scope of the innermost `with Budget(...)` around the caller; read once, at the public door."""
    return _AMBIENT.get()


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Budget:
    """The limits of one scope; None does not limit.

    Tokens and requests are counted over everything inside the scope, `cost_limit` is in USD and
    `time_limit_s` in seconds since the scope was opened. `answer_tokens` of the output, the total and the money
    are kept back from thinking so that an answer can still be written; where it is None a quarter of the tightest
    of these limits is kept, and at most 256 tokens. Raises InvalidPolicy naming the field for a limit that is
    not a positive number, or that leaves no room beside the answer.
    """

    total_tokens_limit: int | None
    output_tokens_limit: int | None
    reasoning_tokens_limit: int | None
    request_limit: int | None
    cost_limit: Decimal | None
    time_limit_s: float | None
    answer_tokens: int | None

    def __init__(
        self,
        *,
        total_tokens_limit: int | None = None,
        output_tokens_limit: int | None = None,
        reasoning_tokens_limit: int | None = None,
        request_limit: int | None = None,
        cost_limit: Decimal | float | str | None = None,
        time_limit_s: float | None = None,
        answer_tokens: int | None = None,
    ) -> None:
        counts = {
            "total_tokens_limit": total_tokens_limit,
            "output_tokens_limit": output_tokens_limit,
            "reasoning_tokens_limit": reasoning_tokens_limit,
            "request_limit": request_limit,
            "answer_tokens": answer_tokens,
        }
        for name, count in counts.items():
            object.__setattr__(self, name, _count(name, count))
        object.__setattr__(self, "cost_limit", _money("cost_limit", cost_limit))
        object.__setattr__(self, "time_limit_s", _seconds("time_limit_s", time_limit_s))
        for name in ("total_tokens_limit", "output_tokens_limit"):
            _leaves_room(name, counts[name], answer_tokens)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` writes; raises InvalidPolicy naming the first field that is unknown or wrong."""
        known = [field.name for field in fields(cls)]
        for name in value:
            if name not in known:
                raise InvalidPolicy(f"budget.{name}", value[name], f"the limits are {', '.join(known)}")
        return cls(**value)

    def to_json(self) -> dict[str, int | float | str]:
        """The limits that are set, as JSON values; money is a string and so exact."""
        set_ = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in set_.items()
            if value is not None
        }

    @property
    def limited(self) -> bool:
        """Whether any limit on tokens, calls or money is set; time limits nothing that is reserved."""
        return any(
            limit is not None
            for limit in (
                self.total_tokens_limit,
                self.output_tokens_limit,
                self.reasoning_tokens_limit,
                self.request_limit,
                self.cost_limit,
            )
        )

    def tighter(self, other: Budget) -> Budget:
        """The smaller of each limit; an answer that no longer fits is derived anew."""
        limits = {field.name: _least(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)}
        rooms = [limits[name] for name in ("total_tokens_limit", "output_tokens_limit") if limits[name] is not None]
        answer = limits["answer_tokens"]
        if answer is not None and any(room <= answer for room in rooms):
            limits["answer_tokens"] = None
        return Budget(**limits)

    def __repr__(self) -> str:
        return f"Budget({', '.join(f'{name}={value!r}' for name, value in self.to_json().items())})"

    def __enter__(self) -> BudgetScope:
        scope = BudgetScope(self, "block", current_scope())
        _AMBIENT.set(scope)
        return scope

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        scope = current_scope()
        _AMBIENT.set(scope and scope.parent)


def _least(left: Any, right: Any) -> Any:
    return right if left is None else left if right is None else min(left, right)


def _count(name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidPolicy(f"budget.{name}", value, "an integer of at least 1 is expected; leave it out for no limit")
    return value


def _seconds(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise InvalidPolicy(f"budget.{name}", value, "seconds above 0 are expected; leave it out for no limit")
    return float(value)


def _money(name: str, value: object) -> Decimal | None:
    if value is None:
        return None
    hint = 'USD above 0 are expected, such as 0.05 or "0.05"; leave it out for no limit'
    if isinstance(value, bool) or not isinstance(value, Decimal | int | float | str):
        raise InvalidPolicy(f"budget.{name}", value, hint)
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise InvalidPolicy(f"budget.{name}", value, hint) from None
    if not amount.is_finite() or amount <= 0:
        raise InvalidPolicy(f"budget.{name}", value, hint)
    return amount


def _leaves_room(name: str, limit: int | None, answer: int | None) -> None:
    if limit is not None and answer is not None and limit <= answer:
        hint = f"more than the {answer} answer_tokens are needed, or no token is left to think with"
        raise InvalidPolicy(f"budget.{name}", limit, hint)
