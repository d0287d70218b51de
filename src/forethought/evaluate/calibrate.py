"""Finds, for one model, the detector of confidence that spares most thinking at a bounded loss of right answers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ..ports import Continue, Probe, Situation, Steering
from ..steer.detector import TOP, VERBAL, Detector, masses, verbalised
from ..steer.probing import Probing, thinks
from ..steer.steps import Steps, comes_to_an_answer
from ..wire import JSON, Delta

SUFFIXES = (" So, I'm", "\n\nSo far, the final answer is \\boxed{", "")
"""Where the next token is read: the published one, in a trial answer, and just as the thought goes on."""

MOST_TOKENS = 4
OFTEN = 0.1
"""A token is considered that is among the likeliest at this share of the places."""


@dataclass(frozen=True, slots=True)
class Watch(Probing):
    """Takes down, at each end of a step that comes to an answer, the trial answer and the likeliest next tokens.

    The report has `points`: thought tokens so far, the probed answer, and by suffix the probability of each token.
    Without logprobs the only reading is the number that the model gives. Nothing in the thought is changed.
    """

    kind: ClassVar[str] = "watch"

    suffixes: tuple[str, ...] = SUFFIXES

    def steer(self, situation: Situation, /) -> Steering:
        steps, points, thought = Steps(self.lines), list[JSON](), 0
        able = situation.capabilities.logprobs and situation.capabilities.top_logprobs > 0
        seen = yield Continue()
        while isinstance(seen, Delta) and thinks(seen):
            thought += seen.tokens(situation.capabilities.chars_per_token)
            if len(points) < self.probes and any(map(comes_to_an_answer, steps.feed(seen.reasoning))):
                answer = self.answer((yield self.asking()))
                readings: dict[str, Mapping[str, float]] = {}
                for suffix in self.suffixes if able else ():
                    readings[suffix] = masses((yield Probe(suffix, 1, 0.0, TOP)))
                if not able:
                    readings[VERBAL.suffix] = {"": verbalised((yield Probe(VERBAL.suffix, 4, 0.0)))}
                points.append({"thought": thought, "answer": answer, "readings": readings})
            seen = yield Continue()
        yield Continue({"points": points, "thought": thought})


@dataclass(frozen=True, slots=True)
class Point:
    """A place where a thought could end: tokens so far, whether its answer is right, and what was read there."""

    thought: int
    right: bool
    readings: Mapping[str, Mapping[str, float]]

    def confidence(self, detector: Detector) -> float:
        return detector.mass(self.readings.get(detector.suffix, {}))


@dataclass(frozen=True, slots=True)
class Trace:
    """One thought that was let go on to its end: its tokens, whether its answer is right, and its points."""

    thought: int
    right: bool
    points: Sequence[Point] = field(default_factory=tuple[Point, ...])


@dataclass(frozen=True, slots=True)
class Found:
    """A detector with its threshold, and what it does on thoughts that it was not chosen by.

    `auroc` is the chance that a place with a right answer reads higher than one with a wrong answer (0.5: blind).
    `saved` is a share of the thought tokens. `lost` and `gained` are shares of the thoughts: right answers that
    stopping lost, and wrong ones that it kept from being made of right ones. `thoughts` is how many there were.
    """

    detector: Detector
    auroc: float
    saved: float
    lost: float
    gained: float
    thoughts: int

    @property
    def measured(self) -> dict[str, Any]:
        numbers = {name: round(getattr(self, name), 4) for name in ("auroc", "saved", "lost", "gained")}
        return {**numbers, "thoughts": self.thoughts}


def detectors(traces: Sequence[Trace], *, false_stops: float = 0.01) -> list[Found]:
    """Detectors with thresholds, the one that saves most first.

    Every second thought chooses the tokens, those between set the threshold: the lowest at which, and above which,
    (lost + 1) / (thoughts + 1) is at most `false_stops` (conformal risk control, arXiv 2208.02814). A false stop is
    one that loses an answer which going on would have got right. Where even never stopping cannot promise that, or
    nothing was read, the threshold is 1 and the detector never stops.
    """
    learn, check = traces[::2], traces[1::2]
    suffixes = dict.fromkeys(suffix for trace in traces for point in trace.points for suffix in point.readings)
    candidates = [detector for suffix in suffixes for detector in _candidates(suffix, learn)]
    found = [_measured(_with_threshold(detector, check, false_stops), check) for detector in candidates]
    return sorted(found, key=lambda each: (-each.saved, -each.auroc))


def auroc(right: Iterable[float], wrong: Iterable[float]) -> float:
    """The chance that one of `right` is above one of `wrong`, ties counting half; 0.5 where either is empty."""
    ours, theirs = list(right), sorted(wrong)
    if not ours or not theirs:
        return 0.5
    beaten = sum(bisect_left(theirs, value) + bisect_right(theirs, value) for value in ours)
    return beaten / (2 * len(ours) * len(theirs))


def _candidates(suffix: str, traces: Sequence[Trace]) -> Iterator[Detector]:
    """The certainty of the likeliest token, and the set of tokens that tells right from wrong best."""
    if suffix == VERBAL.suffix:
        yield VERBAL
        return
    yield Detector(suffix)
    tokens = _telling(suffix, traces)
    if tokens:
        yield Detector(suffix, tokens)


def _telling(suffix: str, traces: Sequence[Trace]) -> tuple[str, ...]:
    """Tokens added one by one while the ranking gets better; none that points the wrong way."""
    points = [point for trace in traces for point in trace.points]
    seen = Counter(token for point in points for token in point.readings.get(suffix, ()))
    left = [token for token, times in seen.items() if times >= OFTEN * len(points)]
    chosen: tuple[str, ...] = ()
    best = 0.5
    while left and len(chosen) < MOST_TOKENS:
        ranked = {token: _auroc(Detector(suffix, (*chosen, token)), points) for token in left}
        token = max(ranked, key=lambda token: ranked[token])
        if ranked[token] <= best:
            break
        chosen, best = (*chosen, token), ranked[token]
        left.remove(token)
    return chosen


def _auroc(detector: Detector, points: Sequence[Point]) -> float:
    read = [(point.right, point.confidence(detector)) for point in points]
    return auroc((sure for right, sure in read if right), (sure for right, sure in read if not right))


def _with_threshold(detector: Detector, traces: Sequence[Trace], false_stops: float) -> Detector:
    chosen = replace(detector, threshold=1.0)
    read = {point.confidence(detector) for trace in traces for point in trace.points}
    for threshold in (*sorted(read, reverse=True), 0.0):
        lower = replace(detector, threshold=min(1.0, threshold))
        lost = sum(_lost(trace, _stop(trace, lower)) for trace in traces)
        if (lost + 1) / (len(traces) + 1) > false_stops:
            break
        chosen = lower
    return chosen


def _measured(detector: Detector, traces: Sequence[Trace]) -> Found:
    stops = [(trace, _stop(trace, detector)) for trace in traces]
    thought = sum(trace.thought for trace in traces)
    points = [point for trace in traces for point in trace.points]
    return Found(
        detector,
        _auroc(detector, points),
        saved=sum(trace.thought - stop.thought for trace, stop in stops if stop) / max(1, thought),
        lost=sum(_lost(trace, stop) for trace, stop in stops) / max(1, len(traces)),
        gained=sum(bool(stop and stop.right and not trace.right) for trace, stop in stops) / max(1, len(traces)),
        thoughts=len(traces),
    )


def _stop(trace: Trace, detector: Detector) -> Point | None:
    return next((point for point in trace.points if point.confidence(detector) > detector.threshold), None)


def _lost(trace: Trace, stop: Point | None) -> bool:
    return stop is not None and trace.right and not stop.right
