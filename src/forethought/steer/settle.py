"""Ends a thought once its answer has settled: because trial answers agree, or because one of them is sure.

By stability after Dynasor (Certaindex, arXiv 2412.20993), by confidence after DEER (arXiv 2504.15895).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum
from typing import ClassVar, Literal

from ..errors import InvalidPolicy
from ..ports import Capabilities, Continue, Decision, Probed, Situation, Steering, Stop
from ..wire import JSON, TokenLogprob
from .probing import Agreement, Probing, thinks
from .steps import Doubt, Steps

TRANSITION = "\n\nThe answer has settled, so I give it now.\n"


@dataclass(frozen=True, slots=True)
class Settle(Probing):
    """Asks for the answer at the first end of a step that is `every` tokens or more after the last time.

    `by = "stability"` stops once the last `window` probes brought the same answer, none of them empty or followed by
    a word of doubt; `by = "confidence"` once the tokens of one trial answer have a geometric mean probability above
    `threshold`, and needs logprobs. The thought is closed after `transition`, in which `{answer}` is the probed
    answer. `window` and `every` are Dynasor's middle setting, `threshold` is DEER's, whose 10 judgements are
    `probes = 10`. Both ask at the ends of steps, where DEER waits for a "Wait", which not every model writes; DEER
    skips the first token because it is the brace, here exactly the tokens of the answer count. `patience`, which is
    not theirs, hears a doubt out for so many steps before it asks again.
    """

    kind: ClassVar[str] = "settle"

    by: Literal["stability", "confidence"] = "stability"
    every: int = 64
    window: int = 3
    threshold: float = 0.95
    patience: int = 0
    transition: str = TRANSITION

    def __post_init__(self) -> None:
        Probing.__post_init__(self)
        if self.by not in _RULES:
            raise InvalidPolicy("settle.by", self.by, f"one of {', '.join(_RULES)} is expected")
        self.within("every", 1, 1_000_000)
        self.within("patience", 0, 1_000_000)
        if self.by == "stability":
            self.within("window", 2, self.probes)
        self.within("threshold", 0, 1)

    def missing(self, capabilities: Capabilities, /) -> str | None:
        blind = self.by == "confidence" and not capabilities.logprobs
        return Probing.missing(self, capabilities) or ("logprobs" if blind else None)

    def steer(self, situation: Situation, /) -> Steering:
        rule, steps, doubt = _RULES[self.by](self), Steps(self.lines), Doubt()
        asked = since = 0
        seen = yield Continue()
        while thinks(seen):
            since += seen.tokens(situation.capabilities.chars_per_token)
            decision: Decision = Continue()
            ended = steps.feed(seen.reasoning)
            for number, step in enumerate(ended, steps.count - len(ended) + 1):
                doubt.read(step, number)
            due = ended and since >= self.every and not doubt.open(steps.count, self.patience)
            if due and asked < self.probes:
                said = yield self.asking(top_logprobs=rule.top_logprobs)
                asked, since = asked + 1, 0
                if isinstance(said, Probed) and rule.settled(said, self.answer(said)):
                    decision = Stop("settled", self.transition.replace("{answer}", rule.answer), rule.facts)
            seen = yield decision
        yield Continue(rule.facts)


class _Stability:
    top_logprobs = None

    def __init__(self, settle: Settle) -> None:
        self._window = settle.window
        self._agreed = Agreement()

    @property
    def answer(self) -> str:
        return self._agreed.answer

    @property
    def facts(self) -> JSON:
        return {"by": "stability", "agreed": self._agreed.count}

    def settled(self, _: Probed, answer: str) -> bool:
        self._agreed.add(answer, 0)
        return self._agreed.count >= self._window


class _Confidence:
    top_logprobs = 0

    def __init__(self, settle: Settle) -> None:
        self._threshold = settle.threshold
        self._confidence = 0.0
        self.answer = ""

    @property
    def facts(self) -> JSON:
        return {"by": "confidence", "confidence": round(self._confidence, 4)}

    def settled(self, said: Probed, answer: str) -> bool:
        self.answer = answer
        self._confidence = confidence(said.logprobs, answer)
        return self._confidence > self._threshold


_RULES: dict[str, type[_Stability] | type[_Confidence]] = {"stability": _Stability, "confidence": _Confidence}


def confidence(said: Sequence[TokenLogprob], answer: str) -> float:
    """The geometric mean probability of the tokens that spell `answer`; 0 where none does."""
    start = "".join(token.token for token in said).find(answer) if answer else -1
    if start < 0:
        return 0.0
    logprobs: list[float] = []
    at = 0
    for token in said:
        if at < start + len(answer) and at + len(token.token) > start:
            logprobs.append(token.logprob)
        at += len(token.token)
    return exp(fsum(logprobs) / len(logprobs))
