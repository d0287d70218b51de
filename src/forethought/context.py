"""What belongs to a run and travels down with each request: budget scope, run node, tenant, seed."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol, Self


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and calls of one upstream call or of a whole subtree.

    `reasoning_tokens` are part of `completion_tokens`, `cached_tokens` part of `prompt_tokens`.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    requests: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cached_tokens + other.cached_tokens,
            self.requests + other.requests,
        )


def add_cost(left: Decimal | None, right: Decimal | None) -> Decimal | None:
    """Sum of two costs in USD; one that is unknown makes the sum unknown, never 0."""
    return None if left is None or right is None else left + right


class Reservation(Protocol):
    """What one call was granted; leaving it unsettled refunds all of it."""

    @property
    def max_tokens(self) -> int | None:
        """The most completion tokens this call may write; None where nothing limits it."""
        ...

    def settle(self, usage: Usage, cost: Decimal | None) -> None:
        """Replace what was reserved by what the call did cost, in every enclosing scope."""
        ...


class Scope(Protocol):
    """A budget scope as a layer sees it; `forethought.budget` has the real one."""

    @property
    def limited(self) -> bool:
        """Whether this scope or one around it has any limit on tokens, calls or money."""
        ...

    @property
    def spent(self) -> Usage:
        """What settled calls have used in this scope and below it."""
        ...

    @property
    def answer_tokens(self) -> int:
        """Tokens held back from thinking so that an answer can still be written."""
        ...

    def child(self, budget: Any, name: str) -> Scope:
        """Open a scope inside this one; what is spent there is spent here too."""
        ...

    def deadline(self, *, answering: bool) -> float | None:
        """`time.monotonic()` by which a call must have ended; thinking ends earlier than answering."""
        ...

    def headroom(self, *, answering: bool = False, share: int = 1, prompt_tokens: int = 0) -> int | None:
        """Completion tokens that one of `share` siblings can still reserve, after what is kept for the answer."""
        ...

    def reasoning_headroom(self, *, share: int = 1) -> int | None:
        """Reasoning tokens that one of `share` siblings can still spend; None where nothing limits them."""
        ...

    @property
    def requests_left(self) -> int | None:
        """Calls that can still be reserved; None where nothing limits them."""
        ...

    def reserve(
        self,
        *,
        prompt_tokens: int,
        max_tokens: int | None,
        price: Price | None,
        answering: bool = False,
        share: int = 1,
    ) -> AbstractContextManager[Reservation]:
        """Take the most one call can cost out of every enclosing scope, or raise BudgetExceeded."""
        ...


@dataclass(frozen=True, slots=True)
class Price:
    """USD per token; `cached` is the price of a prompt token that the upstream had cached."""

    prompt: Decimal
    completion: Decimal
    cached: Decimal | None = None

    def of(self, usage: Usage) -> Decimal:
        cached = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt_tokens - usage.cached_tokens
        return self.prompt * fresh + cached * usage.cached_tokens + self.completion * usage.completion_tokens


FREE = Price(Decimal(0), Decimal(0))


class Node(Protocol):
    """A place in the tree of a run; `forethought.trace` has the real one."""

    @property
    def name(self) -> str: ...

    @property
    def run_id(self) -> str:
        """The id of the run that this node is in, by which feedback on its answer comes back."""
        ...

    @property
    def usage(self) -> Usage:
        """Settled usage of this node and everything below it, cancelled calls included."""
        ...

    @property
    def cost(self) -> Decimal | None:
        """USD of this node and everything below it; None as soon as one part is unknown."""
        ...

    def child(self, name: str, operation: str = "invoke_agent", **attributes: Any) -> Node:
        """Open a node below this one; `operation` is its OpenTelemetry GenAI operation."""
        ...

    def decide(self, what: str, /, **facts: Any) -> None:
        """Record a decision taken here; facts are JSON values."""
        ...

    def annotate(self, **attributes: Any) -> None:
        """Add attributes that were not known when the node was opened."""
        ...

    def spend(self, usage: Usage, cost: Decimal | None) -> None:
        """Charge a call to this node and to all above it."""
        ...

    def end(self, reason: str = "", error: BaseException | None = None) -> None:
        """Close this node; `reason` says why it ended. Ending twice changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """An explicit, frozen companion of a request; a layer derives the next with `child`.

    `share` is how many siblings may draw on the same budget at once; `answering` marks a call that only
    writes the answer and may use the tokens held back for it, `probing` one that only looks at what would be
    said and is not steered.
    """

    scope: Scope | None = None
    node: Node | None = None
    tenant: str = ""
    seed: int | None = None
    share: int = 1
    answering: bool = False
    probing: bool = False

    def child(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def branch(self, index: int, *, of: int = 1) -> Self:
        """The context of branch `index`, with its own seed and one `of`-th of the budget still free."""
        return replace(self, seed=derive_seed(self.seed, index), share=self.share * max(1, of))


def derive_seed(seed: int | None, index: int) -> int | None:
    """A seed for child `index`, the same for the same parent; None stays None."""
    if seed is None:
        return None
    digest = hashlib.blake2b(f"{seed}/{index}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") & 0x7FFFFFFF
