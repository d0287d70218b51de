"""Fakes that ship, because users test too: a scripted backend, a replay of recorded answers, a sink and a clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import tokens
from .context import Usage
from .errors import InvalidRequest
from .ports import Capabilities, Continuation, Moment
from .wire import JSON, Delta, Done, Event, FinishReason, Request, TokenLogprob


@dataclass(frozen=True, slots=True)
class Script:
    """What a scripted backend says once.

    `usage` is counted in words where it is not given. `error` is raised after `fail_after` pieces; `delay`
    seconds pass before each piece; a script that is not `complete` ends without Done.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[JSON, ...] = ()
    logprob: float | None = None
    finish_reason: FinishReason = "stop"
    usage: Usage | None = None
    error: BaseException | None = None
    fail_after: int = 0
    delay: float = 0.0
    complete: bool = True
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])


SCRIPTED = Capabilities(
    name="scripted", continuation=Continuation.RAW, logprobs=True, top_logprobs=20, local=True, chars_per_token=4.0
)


class Scripted:
    """A backend that says what it was told to, word by word, and remembers what it was asked.

    Takes texts or Scripts, given out in turn and then from the start again, or one function from a Request
    to a Script. It keeps to `max_tokens` (a word is a token) and to `prefix`: what the assistant has already
    said is not said again. `requests` are those seen so far, `live` the streams that are open now.
    """

    def __init__(
        self,
        *scripts: str | Script,
        answer: Callable[[Request], str | Script] | None = None,
        capabilities: Capabilities = SCRIPTED,
    ) -> None:
        if bool(scripts) == (answer is not None):
            raise ValueError("scripts: give texts or Scripts, or `answer`, and not both")
        self._scripts = scripts
        self._answer = answer
        self._capabilities = capabilities
        self.requests: list[Request] = []
        self.live = 0

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        script = self._next(request)
        self.requests.append(request)
        self.live += 1
        try:
            yield _play(script, request)
        finally:
            self.live -= 1

    def _next(self, request: Request) -> Script:
        said = self._answer(request) if self._answer else self._scripts[len(self.requests) % len(self._scripts)]
        return Script(text=said) if isinstance(said, str) else said


class Replay:
    """A backend that gives recorded answers back: each question its own samples, in turn.

    `records` are mappings with `question` and `samples` (texts, or objects with `text`); thinking is read
    from `<think>` tags. Asking something that was not recorded raises InvalidRequest.
    """

    def __init__(self, records: Iterable[JSON], *, capabilities: Capabilities | None = None) -> None:
        self._samples = {str(record["question"]): _samples(record["samples"]) for record in records}
        self._turn: dict[str, int] = {}
        self._capabilities = capabilities or replace(SCRIPTED, name="replay", logprobs=False, top_logprobs=0)

    @classmethod
    def read(cls, path: str | Path) -> Replay:
        """Read records from a JSONL file."""
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        return cls(json.loads(line) for line in lines if line.strip())

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        samples = self._samples.get(request.question)
        if not samples:
            raise InvalidRequest("messages", request.question, "this question was not recorded")
        turn = self._turn.get(request.question, 0)
        if request.prefix is None:
            self._turn[request.question] = turn + 1
        yield _play(samples[turn % len(samples)], request)


class CapturingSink:
    """A sink that keeps every moment it is told of."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def __call__(self, moment: Moment, /) -> None:
        self.moments.append(moment)


class FakeClock:
    """A clock that stands still until it is told to go on; seconds."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


async def _play(script: Script, request: Request) -> AsyncIterator[Event]:
    pieces = _pieces(script, request)
    limit = request.max_tokens
    spoken = [piece for piece in pieces if piece.text or piece.reasoning]
    cut = limit is not None and len(spoken) > limit
    if cut:
        pieces = spoken[:limit]
    for index, piece in enumerate(pieces):
        if script.error is not None and index == script.fail_after:
            raise script.error
        await asyncio.sleep(script.delay)
        yield piece
    if script.error is not None:
        raise script.error
    if script.complete:
        yield Done(
            "length" if cut else script.finish_reason,
            usage=script.usage or _usage(pieces, request),
            meta=script.meta or {"id": "chatcmpl-scripted", "model": request.model or "scripted"},
        )


def _pieces(script: Script, request: Request) -> list[Delta]:
    prefix = request.prefix
    reasoning, text = script.reasoning, script.text
    if prefix is not None:
        reasoning = reasoning.removeprefix(prefix.reasoning) if prefix.thinking else ""
        text = text.removeprefix(prefix.answer)
    wanted = bool(request.params.get("logprobs")) and script.logprob is not None
    pieces = [Delta(reasoning=word, logprobs=_logprobs(word, script, wanted)) for word in words(reasoning)]
    pieces += [Delta(text=word, logprobs=_logprobs(word, script, wanted)) for word in words(text)]
    if script.tool_calls:
        pieces.append(Delta(tool_calls=tuple({"index": i, **c} for i, c in enumerate(script.tool_calls))))
    return pieces


def _logprobs(word: str, script: Script, wanted: bool) -> tuple[TokenLogprob, ...]:
    return (TokenLogprob(word, script.logprob),) if wanted and script.logprob is not None else ()


def _usage(pieces: Sequence[Delta], request: Request) -> Usage:
    thought = sum(1 for piece in pieces if piece.reasoning)
    return Usage(
        prompt_tokens=tokens.estimate_messages(request.messages),
        completion_tokens=thought + sum(1 for piece in pieces if piece.text),
        reasoning_tokens=thought,
        requests=1,
    )


def _samples(samples: Iterable[Any]) -> list[Script]:
    return [_script(sample if isinstance(sample, str) else str(sample["text"])) for sample in samples]


def _script(text: str) -> Script:
    head, closed, tail = text.partition("</think>")
    if not closed and "<think>" not in head:
        return Script(text=text)
    return Script(text=tail.lstrip("\n"), reasoning=head.replace("<think>", "", 1))


def words(text: str) -> list[str]:
    """Cut text into words, each with the space before it; joined they are the text again."""
    pieces: list[str] = []
    start = 0
    for index in range(1, len(text)):
        if text[index].isspace() and not text[index - 1].isspace():
            pieces.append(text[start:index])
            start = index
    return [*pieces, text[start:]] if text else []
