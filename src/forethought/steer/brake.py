"""Ends a thought that goes on after its answer stands: first with a nudge, then with a stop.

Self-Braking Tuning (arXiv 2505.14604) is a way to train; this is its overthink score taken at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..errors import InvalidPolicy
from ..ports import Continue, Decision, Inject, Situation, Steering, Stop
from ..wire import JSON
from .probing import Agreement, Probing, thinks
from .steps import OVERTHINKING, Doubt, Steps, Words, comes_to_an_answer, stated

NUDGE = "\n\nI keep coming to the same answer, so it is time to stop thinking.\n\n"
TRANSITION = "\n\nThe answer stands, so I give it now.\n"


@dataclass(frozen=True, slots=True)
class Brake(Probing):
    """Brakes where the overthink score is high and the answer was the same the last `window` times it was seen.

    The score is `overthink` with FS, unknown without the truth, put as the first of the answers in a row that agree:
    an equal answer before one that differed may be chance. A step that states its answer is taken at its word, one
    that comes to an answer without saying which is probed, and so is the step that would be braked at, so a moving
    answer is never braked, nor what a step states of a part only; a step that begins with a doubt is heard out
    until a step concludes, or for as many steps as the answer took at first. At `soft` the `nudge` is added to the
    thought, once, and the model should end by itself; at `hard` the thought is closed after `transition`, in which
    `{answer}` is the probed answer. `beta`, `soft` and `hard` are the paper's; its markers hardly move the score, and
    `kappa` is reported apart.
    """

    kind: ClassVar[str] = "brake"

    beta: float = 0.1
    soft: float = 0.2
    hard: float = 0.25
    window: int = 2
    nudge: str = NUDGE
    transition: str = TRANSITION

    def __post_init__(self) -> None:
        Probing.__post_init__(self)
        self.within("beta", 0, 1)
        self.within("soft", 0, 1)
        self.within("window", 2, self.probes)
        if self.hard < self.soft:
            raise InvalidPolicy("brake.hard", self.hard, f"at least `soft`, {self.soft}, is expected")

    def steer(self, _: Situation, /) -> Steering:
        thought = _Thought(self)
        asked = 0
        seen = yield Continue()
        while thinks(seen):
            decision: Decision = Continue()
            ended = thought.steps.feed(seen.reasoning)
            if ended and thought.read(ended) and asked < self.probes:
                said = yield self.asking()
                asked += 1
                thought.agreed.add(self.answer(said), thought.steps.count)
                decision = thought.judged()
            seen = yield decision
        yield Continue(thought.facts)


class _Thought:
    """What the brake knows of one thought."""

    __slots__ = ("agreed", "brake", "doubt", "markers", "nudged", "steps")

    def __init__(self, brake: Brake) -> None:
        self.brake = brake
        self.steps = Steps(brake.lines)
        self.markers = Words(OVERTHINKING)
        self.agreed = Agreement()
        self.nudged = False
        self.doubt = Doubt()

    def read(self, ended: Sequence[str]) -> bool:
        """Count these steps, and the answers that they state; whether it is time to ask for the answer."""
        cued = False
        for number, step in enumerate(ended, self.steps.count - len(ended) + 1):
            self.markers.add(step)
            self.doubt.read(step, number)
            answer = stated(step)
            if answer:
                self.agreed.add(answer, number)
            cued = not answer and (cued or comes_to_an_answer(step))
        return cued or (self.score >= self.threshold and not self.doubt.open(self.steps.count, self.agreed.since))

    def judged(self) -> Decision:
        """What to do after a probe."""
        if not self.stands or self.score < self.threshold:
            return Continue()
        if self.score >= self.brake.hard:
            return Stop("brake", self.brake.transition.replace("{answer}", self.agreed.answer), self.facts)
        self.nudged = True
        return Inject(self.brake.nudge, self.facts)

    @property
    def stands(self) -> bool:
        return self.agreed.count >= self.brake.window

    @property
    def threshold(self) -> float:
        return self.brake.hard if self.nudged else self.brake.soft

    @property
    def score(self) -> float:
        """0 while no answer stands: what has not arrived cannot be late."""
        if not self.agreed.count:
            return 0.0
        return overthink(self.agreed.since, self.steps.count, self.markers.ratio, self.brake.beta)

    @property
    def facts(self) -> JSON:
        return {
            "score": round(self.score, 4),
            "kappa": round(self.markers.ratio, 4),
            "steps": self.steps.count,
            "first_step": self.agreed.since if self.agreed.count else None,
            "agreed": self.agreed.count,
        }


def overthink(first: int, steps: int, kappa: float, beta: float = 0.1) -> float:
    """The overthink score β·κ + (1−β)·(1 − FS/TS), 0 to 1.

    `first` (FS) is the step in which the answer first stands, `steps` (TS ≥ FS) all steps so far, `kappa` the share
    of marker words among the words.
    """
    return beta * kappa + (1 - beta) * (1 - first / steps)
