"""A reasoning budget with a soft landing: the thought is closed with a sentence and the answer still written.

The hard cut with an answer is budget forcing (s1, arXiv 2501.19393); the transition sentence is what users of
local servers ask for, because a bare cut makes models go on thinking in the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ..errors import InvalidPolicy
from ..ports import Continue, Ended, Situation, Steering, Stop
from ..wire import Delta
from .drive import Steered

TRANSITION = "\nTime is up, so I answer now.\n"


@dataclass(frozen=True, slots=True)
class Limit(Steered):
    """At most `reasoning_tokens` of thinking, then `transition`, then the answer.

    Without `reasoning_tokens` only the budgets above and the caller's `max_tokens` limit the thinking: what
    they leave after the tokens held back for the answer. 0 answers without thinking. On a backend that cannot
    continue inside the thinking, the answer is asked for in a new turn.
    """

    kind: ClassVar[str] = "limit"

    reasoning_tokens: int | None = None
    transition: str = TRANSITION

    def __post_init__(self) -> None:
        if self.reasoning_tokens is not None and self.reasoning_tokens < 0:
            raise InvalidPolicy("limit.reasoning_tokens", self.reasoning_tokens, "0 or more tokens are expected")

    def steer(self, situation: Situation, /) -> Steering:
        allowed, reason = min(self._limits(situation), default=(None, ""))
        if allowed is not None and allowed <= 0:
            yield Stop(reason)
        thought = 0
        seen = yield Continue()
        while True:
            cut = isinstance(seen, Ended) and seen.thinking and seen.finish_reason == "length"
            if isinstance(seen, Delta) and seen.reasoning:
                thought += seen.tokens(situation.capabilities.chars_per_token)
                cut = allowed is not None and thought >= allowed
            seen = yield Stop(reason or "budget", self.transition) if cut else Continue()

    def _limits(self, situation: Situation) -> Iterator[tuple[int, str]]:
        if self.reasoning_tokens is not None:
            yield self.reasoning_tokens, "limit"
        if situation.reasoning_tokens is not None:
            yield situation.reasoning_tokens, "budget"
        if situation.output_tokens is not None:
            yield situation.output_tokens, "budget"
