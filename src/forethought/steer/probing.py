"""What steers that probe have in common: how the answer is asked for in mid-thought, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import ClassVar, TypeGuard

from ..answers import canonical, extract
from ..errors import InvalidPolicy
from ..ports import Bound, Capabilities, Continuation, Observed, Probe, Probed
from ..wire import Delta
from .drive import Steered
from .steps import DOUBTS, whole_words


@dataclass(frozen=True, slots=True)
class Probing(Steered):
    """A steer that asks for the answer in mid-thought.

    It asks at most `probes` times with `probe`, which ends where the answer begins (in an open `\\boxed{`, or
    before a line), for `probe_tokens` tokens each, at temperature 0 because a sampled answer moves by chance. What
    does not end in time, and what is followed by doubt, is no answer. Steps have at most `lines` lines (0: any
    number). Needs a backend that can continue inside the thinking.
    """

    kind: ClassVar[str] = "probing"

    probe: str = "\n\nSo far, the final answer is \\boxed{"
    probe_tokens: int = 20
    probes: int = 32
    lines: int = 8

    def __post_init__(self) -> None:
        self.within("probe_tokens", 1, 1_000)
        self.within("probes", 1, 1_000)
        self.within("lines", 0, 1_000)

    def within(self, option: str, least: float, most: float) -> None:
        """Raise InvalidPolicy where a number is out of its range."""
        value = getattr(self, option)
        if not least <= value <= most:
            raise InvalidPolicy(f"{self.kind}.{option}", value, f"{least} to {most} is expected")

    def missing(self, capabilities: Capabilities, /) -> str | None:
        able = capabilities.continuation >= Continuation.REASONING
        return None if able else "to continue inside the thinking"

    def worst_case(self, inner: Bound, /) -> Bound:
        """The thought, once more after an injection, its probes and the answer."""
        tokens = None if inner.output_tokens is None else inner.output_tokens + self.probes * self.probe_tokens
        return replace(inner.times(self.probes + 3), output_tokens=tokens)

    def asking(self, *, top_logprobs: int | None = None) -> Probe:
        return Probe(self.probe, self.probe_tokens, temperature=0.0, top_logprobs=top_logprobs)

    def answer(self, said: Observed) -> str:
        """The answer that a probe brought back, or ""."""
        answer, after = read_answer(self.probe, said.text if isinstance(said, Probed) else "")
        return "" if _DOUBT.search(after) else answer


class Agreement:
    """How many probes in a row have brought the same answer, and `since` which step."""

    __slots__ = ("_key", "answer", "count", "since")

    def __init__(self) -> None:
        self.answer = ""
        self.count = 0
        self.since = 0
        self._key: Hashable = None

    def add(self, answer: str, step: int) -> None:
        """One more probe, made after `step` steps; an empty answer agrees with nothing."""
        key = canonical(answer) if answer else None
        if key is None or key != self._key:
            self.answer, self.count, self.since, self._key = answer, 0, step, key
        self.count += key is not None


def thinks(seen: Observed) -> TypeGuard[Delta]:
    """Whether the thought goes on."""
    return isinstance(seen, Delta) and not (seen.text or seen.tool_calls)


def read_answer(suffix: str, said: str) -> tuple[str, str]:
    """The answer with which `said` begins and what comes after it; ("", said) where it has none or no end."""
    answer, after = _boxed(said) if _OPEN_BOX.search(suffix) else _first_line(said.strip())
    return (answer, after) if any(map(str.isalnum, answer)) else ("", said)


def _boxed(text: str) -> tuple[str, str]:
    """What stands before the brace that closes a box which was opened before `text`."""
    depth = 1
    for brace in _BRACE.finditer(text):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if not depth:
            return text[: brace.start()].strip(), text[brace.end() :]
    return "", text


def _first_line(text: str) -> tuple[str, str]:
    line = text.partition("\n")[0]
    answer = extract(f"answer: {line}") if line else ""
    return answer, text.partition(answer)[2] if answer else text


_DOUBT = whole_words(DOUBTS)
_OPEN_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{\s*$")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
