"""Iterative deepening within one answer: a thought that grows past a boundary is told to look again.

ID-sampling (arXiv 2502.05449): boundaries grow geometrically, and at each a trigger makes the model correct itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from ..answers import extract, same
from ..errors import InvalidPolicy
from ..ports import Bound, Capabilities, Continue, Decision, Inject, Situation, Steering
from ..wire import JSON, Delta
from .probing import Probing, thinks
from .steps import Steps

TRIGGER = "\n\nWait, I may have made a mistake. Let me work it out again from the start.\n\n"
TURN = "You may have made a mistake. Work it out again from the start."


@dataclass(frozen=True, slots=True)
class Deepen(Probing):
    """Adds `trigger` at the first end of a step beyond `first`, `first · growth`, … thought tokens, below `longest`.

    A thought that has ended is never triggered, so an easy question costs nothing, and the triggers of a hard one
    are at most ⌈log_growth(longest / first)⌉. Models told to doubt also overturn right answers; so, unless `guard`
    is off, the answer is probed at each boundary, and there is no trigger where it is the same as at the last one:
    a trigger that changed nothing is the last. The run tells the probed answers, then the final one, and the
    `flips`, answers that changed after a trigger.

    Nothing is cut at `longest`; for that put `limit` above. Where the backend cannot continue inside the thinking,
    the model is shown its thought and told `turn` as a new user turn, without a guard, as there is no probe; thoughts
    that are not shown are not deepened. The paper's numbers are not known: `first` is about the length of an easy
    thought.
    """

    kind: ClassVar[str] = "deepen"

    first: int = 1024
    growth: float = 2.0
    longest: int = 32_768
    guard: bool = True
    trigger: str = TRIGGER
    turn: str = TURN

    def __post_init__(self) -> None:
        Probing.__post_init__(self)
        self.within("longest", 1, 10_000_000)
        self.within("first", 1, self.longest)
        if not (isfinite(self.growth) and self.growth > 1):
            raise InvalidPolicy("deepen.growth", self.growth, "a factor above 1 is expected")
        for option in ("trigger", "turn"):
            if not getattr(self, option).strip():
                raise InvalidPolicy(f"deepen.{option}", getattr(self, option), "words are expected")

    def missing(self, capabilities: Capabilities, /) -> str | None:
        """Nothing: where thinking cannot be continued there are turns."""
        del capabilities
        return None

    def worst_case(self, inner: Bound, /) -> Bound:
        """Every boundary, at most `probes` of them, opens the thought anew and is probed."""
        return inner.times(1 + sum(1 for _ in self.boundaries(self.longest)) * (2 if self.guard else 1))

    def boundaries(self, longest: int) -> Iterator[float]:
        """Thought tokens at which to look again, all below `longest`, at most `probes` of them."""
        at = float(self.first)
        for _ in range(self.probes):
            if at >= longest:
                return
            yield at
            at *= self.growth

    def steer(self, situation: Situation, /) -> Steering:
        thought = _Thought(self, situation)
        seen = yield Continue()
        while isinstance(seen, Delta) and thinks(seen):
            decision: Decision = Continue()
            if thought.crossed(seen):
                answer = self.answer((yield self.asking())) if self.guard else ""
                if thought.unstable(answer):
                    decision = Inject(self.trigger, thought.facts, self.turn)
            seen = yield decision
        while isinstance(seen, Delta):
            thought.text += seen.text
            seen = yield Continue()
        thought.ended()
        yield Continue(thought.facts)


class _Thought:
    """What is known of one thought; its steps, the boundaries ahead and the answers behind."""

    def __init__(self, deepen: Deepen, situation: Situation) -> None:
        room = (deepen.longest, situation.reasoning_tokens, situation.output_tokens)
        self.text = ""
        self._steps = Steps(deepen.lines)
        self._ahead = list(deepen.boundaries(min(limit for limit in room if limit is not None)))
        self._situation = situation
        self._written = 0
        self._triggers = 0
        self._flips = 0
        self._answers: list[str] = []

    def crossed(self, delta: Delta) -> bool:
        """Whether a step has ended beyond a boundary; several boundaries in one step are crossed at once."""
        self._written += delta.tokens(self._situation.capabilities.chars_per_token)
        ended = self._steps.feed(delta.reasoning)
        if not ended or not self._ahead or self._written < self._ahead[0]:
            return False
        self._ahead = [boundary for boundary in self._ahead if boundary > self._written]
        return True

    def unstable(self, answer: str) -> bool:
        """Take the answer at a boundary; whether to trigger there."""
        stands = self._stands(answer)
        self._note(answer)
        self._triggers += not stands
        return not stands

    def ended(self) -> None:
        if self._triggers:
            self._note(extract(self.text[-_TAIL:], self._situation.request.question))

    def _stands(self, answer: str) -> bool:
        return bool(self._answers and answer) and same(self._answers[-1], answer)

    def _note(self, answer: str) -> None:
        if self._answers and self._answers[-1] and answer:
            self._flips += not self._stands(answer)
        self._answers.append(answer[:_REPORTED])

    @property
    def facts(self) -> JSON:
        return {"triggers": self._triggers, "flips": self._flips, "answers": list(self._answers)}


_TAIL = 50_000
_REPORTED = 200
"""Characters of an answer that are looked at, and that are repeated in a report."""
