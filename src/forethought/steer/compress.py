"""Confidence-guided compression: less doubt put into a thought, and an end to it once the model is sure.

ConCISE (arXiv 2505.04881) makes training data in this way; here both halves work on the thought itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..errors import InvalidPolicy
from ..ports import (
    Bound,
    Capabilities,
    Continuation,
    Continue,
    Decision,
    Inject,
    Observed,
    Probe,
    Probed,
    Situation,
    Steering,
    Stop,
)
from ..wire import JSON, Delta
from .detector import PUBLISHED, VERBAL, Detector, read
from .drive import Steered
from .probing import thinks
from .steps import OVERTHINKING, Steps, comes_to_an_answer, whole_words

PHRASES = (
    "\n\nThis is right, so I go on: ",
    "\n\nThere is no doubt about that, and so ",
    "\n\nThat settles it: ",
)
TRANSITION = "\n\nI am sure of this, so I answer now.\n"


class _Calibrated(Steered):
    """Holds what was read; apart from the fields, which alone make up the policy."""

    __slots__ = ("_detector",)
    _detector: Detector


@dataclass(frozen=True, slots=True)
class Compress(_Calibrated):
    """At each end of a step that comes to an answer: stops where the model is sure, else keeps it from doubting.

    It is sure where the detector of `calibration`, a file that `forethought calibrate` writes for one model, reads
    more than its threshold; without a file the published detector is used, which on some models points the wrong
    way, and where the backend gives no logprobs the model is asked for a number. Stopping adds `transition` and has
    the answer written.

    Where it is not sure, up to `peek` tokens are looked at of what would come next; if they begin a reflection,
    `phrase` (or the next of `PHRASES`) is injected before it, up to `injections` times. The paper throws the
    reflection away after it was written; what has been streamed cannot be taken back, so it is foreseen instead, and
    only where an answer has been come to. `probes` such places are looked at. Steps have at most `lines` lines (0: any
    number). Needs a backend that can continue inside the thinking.
    """

    kind: ClassVar[str] = "compress"

    calibration: str = ""
    phrase: str = ""
    injections: int = 4
    peek: int = 8
    probes: int = 32
    lines: int = 8
    transition: str = TRANSITION

    def __post_init__(self) -> None:
        for option, least in (("injections", 0), ("peek", 1), ("probes", 1), ("lines", 0)):
            if not least <= getattr(self, option) <= 1_000:
                raise InvalidPolicy(f"compress.{option}", getattr(self, option), f"{least} to 1000 is expected")
        chosen = read(self.calibration).detector if self.calibration else PUBLISHED
        object.__setattr__(self, "_detector", chosen)

    def missing(self, capabilities: Capabilities, /) -> str | None:
        able = capabilities.continuation >= Continuation.REASONING
        return None if able else "to continue inside the thinking"

    def worst_case(self, inner: Bound, /) -> Bound:
        """The thought, up to three probes at each place, what follows each injection, and the answer."""
        return inner.times(2 + 3 * self.probes + self.injections)

    def steer(self, situation: Situation, /) -> Steering:
        detector = self._detector if self._detector.fits(situation.capabilities) else VERBAL
        steps, told = Steps(self.lines), _Told(verbal=detector.verbal)
        seen = yield Continue()
        while isinstance(seen, Delta) and thinks(seen):
            decision: Decision = Continue()
            if told.looked < self.probes and any(map(comes_to_an_answer, steps.feed(seen.reasoning))):
                sure = yield from detector.confidence()
                told.look(sure, steps.count)
                if sure > detector.threshold:
                    decision = Stop("confident", self.transition, told.facts)
                elif told.injected < self.injections and begins_a_reflection((yield Probe("", self.peek, 0.0))):
                    decision = Inject(self.phrase or PHRASES[told.injected % len(PHRASES)], told.facts)
                    told.injected += 1
            seen = yield decision
        yield Continue(told.facts)


class _Told:
    """What the run is told of one thought."""

    def __init__(self, *, verbal: bool) -> None:
        self.looked = 0
        self.injected = 0
        self._verbal = verbal
        self._confidence = 0.0
        self._steps = 0

    def look(self, confidence: float, steps: int) -> None:
        self.looked += 1
        self._confidence, self._steps = confidence, steps

    @property
    def facts(self) -> JSON:
        detector = "verbal" if self._verbal else "tokens"
        return {
            "confidence": round(self._confidence, 4),
            "looked": self.looked,
            "steps": self._steps,
            "detector": detector,
        }


def begins_a_reflection(said: Observed) -> bool:
    """Whether one of the first words is of doubt or of looking again."""
    return isinstance(said, Probed) and _REFLECTION.search(" ".join(said.text.split()[:5])) is not None


_REFLECTION = whole_words((*OVERTHINKING, "again", "sure"))
