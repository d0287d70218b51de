"""Problems with known answers, and who is right: sets that packages install, and JSONL files."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import TypeAdapter, ValidationError

from .. import plugins
from ..answers import extract, same
from ..errors import InvalidRequest
from ..wire import JSON

PROBLEMS = "forethought.problems"
"""Entry points of packages that bring problems with known answers: a `ProblemSet` each."""


class Problem(Protocol):
    """A question with a known answer."""

    @property
    def question(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def difficulty(self) -> int: ...
    @property
    def messages(self) -> Sequence[JSON]: ...


class ProblemSet(Protocol):
    """Seeded problems, and who is right."""

    def problems(self, split: Any, count: int, /, *, seed: int = 0) -> Sequence[Any]:
        """`count` different problems of `train`, `dev` or `test`, the same for the same seed."""
        ...

    def is_right(self, problem: Any, text: str, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a JSONL file; `difficulty` is a whole number that grows with it, 0 where it is not known."""

    question: str
    answer: str | int | float
    difficulty: int = 0
    system: str | None = None

    @property
    def messages(self) -> list[JSON]:
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": self.question}]


@dataclass(frozen=True, slots=True)
class Exam:
    """The problems that are asked, in this order, and who is right."""

    problems: Sequence[Problem]
    is_right: Callable[[Any, str], bool]


def exam(source: str, count: int, *, split: str = "test", kind: str | None = None, seed: int = 0) -> Exam:
    """`count` problems of an installed set, or of a `.jsonl` file; more of them with the same seed begin alike.

    `kind` narrows a set that has several. A file has neither split nor kind: its rows are shuffled by the seed,
    and all of them are asked where it has fewer. Raises UnknownPlugin, and InvalidRequest for what is not there.
    """
    if source.endswith(".jsonl"):
        rows = _read(Path(source))
        random.Random(seed).shuffle(rows)  # noqa: S311  any order will do
        return Exam(rows[:count], _row_is_right)
    chosen: ProblemSet = plugins.load(PROBLEMS, source)
    narrowed = {} if kind is None else {"kind": kind}
    try:
        return Exam(chosen.problems(split, count, seed=seed, **narrowed), chosen.is_right)
    except (TypeError, ValueError) as error:
        raise InvalidRequest("problems", source, str(error)) from error


def _row_is_right(row: Row, text: str) -> bool:
    return same(extract(text, row.question), str(row.answer))


def _read(path: Path) -> list[Problem]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest("problems", str(path), f"the file cannot be read: {error}") from error
    rows = [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise InvalidRequest("problems", str(path), 'at least one line {"question": …, "answer": …} is expected')
    return cast("list[Problem]", rows)


def _row(path: Path, number: int, line: str) -> Row:
    try:
        return _ROW.validate_json(line)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, (f"{path}:{number}", *wrong["loc"])))
        raise InvalidRequest(place, line, wrong["msg"]) from None


_ROW = TypeAdapter(Row)
