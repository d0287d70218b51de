"""From the bytes of tokens to deltas: whole characters, thinking and calls apart from text, ended by stop strings."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable

from forethought.thinking import Phase, Split, Splitter, Tags
from forethought.wire import Delta, TokenLogprob

from .stopping import StopStrings
from .tools import CallReader, Read, Tools

_UTF8 = codecs.getincrementaldecoder("utf-8")


class Writer:
    """Writes one stream.

    Never half a character, half a tag, half a call or half a stop string is shown. The logprob of a token goes
    out with the delta that shows its last character. Stop strings are looked for in the answer alone, so that
    they cannot cut a thought and leave no answer. `reasoning_tokens` counts those written while thinking, the
    closing tag's included.
    """

    __slots__ = ("_calls", "_decoder", "_logprobs", "_marks", "_read", "_splitter", "_stops", "reasoning_tokens")

    def __init__(self, tags: Tags, phase: Phase, stops: Iterable[str] = (), tools: Tools | None = None) -> None:
        self._decoder = _UTF8("replace")
        self._splitter = Splitter(tags, phase)
        self._stops = StopStrings(stops)
        self._calls = CallReader(tools) if tools else None
        self._marks = (*tags, tools.syntax.open, tools.syntax.close) if tools else tags
        self._read = 0
        self._logprobs: deque[tuple[int, TokenLogprob]] = deque()
        self.reasoning_tokens = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop string has ended the answer."""
        return self._stops.stopped

    @property
    def reads_calls(self) -> bool:
        """Whether calls of tools are looked for."""
        return self._calls is not None

    def knows(self, piece: bytes) -> bool:
        """Whether `piece` is, or is part of, a tag or the mark of a call."""
        return any(piece in mark.encode() for mark in self._marks)

    @property
    def called(self) -> bool:
        """Whether a tool was called."""
        return self._calls is not None and self._calls.called

    def write(self, piece: bytes, logprob: TokenLogprob | None = None) -> Delta | None:
        """Take the bytes of the next token; returns what can be shown by now, None where that is nothing."""
        thought = self._splitter.phase is Phase.THINKING
        text = self._decoder.decode(piece)
        self._read += len(text)
        if logprob is not None:
            unfinished = bool(self._decoder.getstate()[0])
            self._logprobs.append((self._read + unfinished, logprob))
        delta = self._show(self._splitter.feed(text))
        self.reasoning_tokens += thought or self._splitter.phase is Phase.THINKING
        return delta

    def finish(self) -> Delta | None:
        """The stream has ended: show what was held back, except half a character."""
        split = self._splitter.flush()
        read = self._told(self._stops.feed(split.answer) + self._stops.flush())
        if self._calls is not None:
            rest = self._calls.flush()
            read = Read(read.text + rest.text, read.calls + rest.calls)
        return self._delta(split.reasoning, read)

    def _show(self, split: Split) -> Delta | None:
        return self._delta(split.reasoning, self._told(self._stops.feed(split.answer)))

    def _told(self, answer: str) -> Read:
        return Read(answer) if self._calls is None else self._calls.feed(answer)

    def _delta(self, reasoning: str, read: Read) -> Delta | None:
        logprobs = self._shown_logprobs()
        if not (reasoning or read.text or read.calls or logprobs):
            return None
        return Delta(text=read.text, reasoning=reasoning, tool_calls=read.calls, logprobs=logprobs)

    def _shown_logprobs(self) -> tuple[TokenLogprob, ...]:
        held = len(self._calls.held) if self._calls is not None else 0
        shown = self._read - len(self._splitter.held) - len(self._stops.held) - held
        ready: list[TokenLogprob] = []
        while self._logprobs and self._logprobs[0][0] <= shown:
            ready.append(self._logprobs.popleft()[1])
        return tuple(ready)
