"""Pairs of a short and a long thought on one question: sampled from a model, or read from a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BaseModel, Field, ValidationError, model_validator

from ..errors import InvalidRequest
from ..evaluate.problems import Exam
from ..ports import Backend
from ..search.fanout import Failed, Landed, fan_out
from ..wire import JSON, Completion, Prefix, Request

Pair: TypeAlias = tuple[Request, Request]
"""The question with its short thought, and with its long one, each as the `prefix`."""

Text: TypeAlias = Annotated[str, Field(min_length=1)]


def pair(messages: Sequence[JSON], short: str, long: str) -> Pair:
    """The two thoughts on the question that `messages` ask."""
    asked = tuple(messages)
    return Request(asked, prefix=Prefix(short)), Request(asked, prefix=Prefix(long))


async def sample(
    backend: Backend, exam: Exam, samples: int, *, temperature: float, seed: int, told: Callable[[int], None]
) -> list[Pair]:
    """Ask each problem `samples` times; of those with two right answers, the shortest and the longest thought.

    A thought that was cut off is not among them. `told` hears how many answers have come.
    """
    heard: list[list[Completion]] = [[] for _ in exam.problems]
    requests = [_request(problem, temperature, seed) for problem in exam.problems for _ in range(samples)]
    count = 0
    async for index, completion in ask_all(backend, requests):
        heard[index // samples].append(completion)
        told(count := count + 1)
    pairs = (_extremes(exam, problem, found) for problem, found in zip(exam.problems, heard, strict=True))
    return [each for each in pairs if each is not None]


async def ask_all(backend: Backend, requests: Sequence[Request]) -> AsyncIterator[tuple[int, Completion]]:
    """The answer to each request with its index, as they come; the index gives each a seed of its own."""
    async with fan_out(backend) as branches:
        for request in requests:
            branches.start(request)
        async for happening in branches:
            if isinstance(happening, Failed):
                raise happening.error
            if isinstance(happening, Landed):
                yield happening.index, happening.completion


def read(path: Path) -> list[Pair]:
    """The pairs of a JSONL file, a line each; raises InvalidRequest naming line and field."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest("pairs", str(path), f"the file cannot be read: {error}") from error
    pairs = [_read_line(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not pairs:
        raise InvalidRequest(
            "pairs", str(path), 'a line {"prompt": …, "short": …, "long": …} for each pair is expected'
        )
    return pairs


class _Line(BaseModel):
    """One pair: the question as `prompt` or as `messages`, and two thoughts without their tags."""

    short: Text
    long: Text
    prompt: Text | None = None
    messages: list[dict[str, Any]] | None = None

    @model_validator(mode="after")
    def _asks_once(self) -> Self:
        if bool(self.prompt) == bool(self.messages):
            raise ValueError("either prompt or messages is expected")
        return self

    @property
    def pair(self) -> Pair:
        return pair(self.messages or [{"role": "user", "content": self.prompt}], self.short, self.long)


def _read_line(path: Path, number: int, line: str) -> Pair:
    try:
        return _Line.model_validate_json(line).pair
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, (f"{path}:{number}", *wrong["loc"])))
        raise InvalidRequest(place, line, wrong["msg"]) from None


def _request(problem: Any, temperature: float, seed: int) -> Request:
    return Request(tuple(problem.messages), {"temperature": temperature, "seed": seed})


def _extremes(exam: Exam, problem: Any, heard: Sequence[Completion]) -> Pair | None:
    right = [each for each in heard if each.reasoning and exam.is_right(problem, each.text) and not _was_cut(each)]
    if not right:
        return None
    short, long = min(right, key=thought_tokens), max(right, key=thought_tokens)
    if thought_tokens(short) == thought_tokens(long):
        return None
    return pair(problem.messages, short.reasoning, long.reasoning)


def thought_tokens(completion: Completion) -> int:
    """How long the thinking was."""
    return completion.usage.reasoning_tokens


def _was_cut(completion: Completion) -> bool:
    return completion.finish_reason != "stop"
