"""One candidate of a lookahead while it is written: its step, and the rollout that shows where it leads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

from ..wire import Completion, Delta, TokenLogprob
from .foresight import cut


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a rollout goes: `ahead` steps beyond the first, at most `tokens` in all; `lines` cut the steps."""

    ahead: int
    lines: int
    tokens: int


@dataclass(slots=True)
class Rollout:
    """What one branch has written, in steps.

    The end of the thought ends a step, and the answer is cut into steps too. `tokens` is how many were written,
    `landed` the whole completion where the branch came to its own end, `votes` how many branches began alike;
    `calls` says that a tool was called, `rehearsed` that it was carried out.
    """

    reach: Reach
    tokens: int = 0
    answer: str = ""
    calls: bool = False
    rehearsed: bool = False
    over: bool = False
    votes: int = 1
    landed: Completion | None = None
    _steps: list[str] = field(default_factory=list[str])
    _thoughts: int | None = None
    _calling: bool = False
    _written: int = 0
    _logprobs: list[tuple[int, TokenLogprob]] = field(default_factory=list[tuple[int, TokenLogprob]])

    def add(self, delta: Delta, chars_per_token: float) -> None:
        """Take the next piece."""
        self.tokens += delta.tokens(chars_per_token)
        self._place(delta)
        self._write(delta.reasoning)
        if delta.text or delta.tool_calls:
            self._close()
            self._write(delta.text)
            self.answer += delta.text
        if delta.tool_calls:
            self._calling = self.calls = True

    def rehearse(self) -> None:
        """The tools were called, and the branch goes on: what is thought then is part of the rollout."""
        self._calling, self.rehearsed = False, True

    def land(self, completion: Completion) -> None:
        """The branch has ended; one that was cut at the tokens it was allowed has not come to its own end."""
        self.over = True
        written = max(self.tokens, completion.usage.completion_tokens)
        if completion.finish_reason != "length" or written < self.reach.tokens:
            self.landed = completion
            self._close()

    def drop(self) -> None:
        """The branch has failed, or says what another says: it is no candidate."""
        self.over = True
        self.votes = 0

    @property
    def closed(self) -> bool:
        """Whether nothing more will be thought."""
        return self._thoughts is not None

    @property
    def ready(self) -> bool:
        """Whether the candidate step is whole."""
        return self.closed or len(self._steps) > (0 if self.over else 1)

    @property
    def enough(self) -> bool:
        """Whether the branch has nothing more to say here; a tool call is never cut short."""
        far = len(self._steps) - 1 > self.reach.ahead and not self._calling
        return self.over or far or self.tokens >= self.reach.tokens

    @property
    def step(self) -> str:
        """The candidate step, with the line ends after it; empty where the answer was begun at once."""
        return "" if self._thoughts == 0 else "".join(self._steps[:1])

    @property
    def last(self) -> bool:
        """Whether nothing more is thought after the candidate step."""
        return self._thoughts is not None and self._thoughts < 2

    @property
    def identity(self) -> tuple[str, ...] | None:
        """What tells it from others, None while that is unknown: its step, and how an answer right after it begins."""
        size = (self._thoughts or 0) + 1 if self.last else 1
        whole = self.over or len(self._steps) > size
        return (*self._steps[:size], str(self.last)) if whole and not self.calls else None

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...]:
        """The tokens of the candidate step; one that reaches beyond it is cut there."""
        end = len(self.step)
        return tuple(replace(token, token=token.token[: end - at]) for at, token in self._logprobs if at < end)

    @property
    def answer_logprobs(self) -> tuple[TokenLogprob, ...]:
        """The tokens after the candidate step."""
        return tuple(token for place, token in self._logprobs if place >= len(self.step))

    @property
    def ahead(self) -> Sequence[Sequence[float]]:
        """The log-probabilities of each step of the rollout; of the candidate step where nothing follows it."""
        ends = list(accumulate(map(len, self._steps), initial=0))[: self.reach.ahead + 2]
        found = [
            [token.logprob for place, token in self._logprobs if start <= place < end] for start, end in pairwise(ends)
        ]
        return (found[1:] if self.step else found) or found

    def _close(self) -> None:
        if self._thoughts is None:
            self._thoughts = len(self._steps)

    def _write(self, text: str) -> None:
        """Go on with the last step, unless the end of the thought has ended it."""
        after = self._thoughts or 0
        begun = "".join(self._steps[after:][-1:])
        self._steps[max(after, len(self._steps) - 1) :] = cut(begun + text, self.reach.lines)
        self._written += len(text)

    def _place(self, delta: Delta) -> None:
        """A token stands where its text begins; one that shows none, such as a tag, by the text that it came with."""
        size, passed = len(delta.reasoning) + len(delta.text), 0
        for token in delta.logprobs:
            self._logprobs.append((self._written + min(passed, max(0, size - 1)), token))
            passed += len(token.token)


def merge(rollouts: Collection[Rollout]) -> None:
    """Candidates that say the same become one, the first of them; one without a rival needs no rollout.

    An answer is still looked at to its end: it may be the one that is given.
    """
    known: dict[tuple[str, ...], Rollout] = {}
    candidates = [each for each in rollouts if each.votes]
    for each in candidates:
        identity = each.identity
        first = each if identity is None else known.setdefault(identity, each)
        if first is not each:
            first.votes += each.votes
            each.drop()
    if len(known) == 1 and all(each.identity for each in candidates):
        [only] = known.values()
        only.over = only.over or not only.closed
