"""How one problem went under one policy; a journal of outcomes in a JSONL file, so that a rerun goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Self

from pydantic import TypeAdapter, ValidationError

from ..context import Usage
from ..errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Outcome:
    """One problem, answered or failed.

    `key` stands for all that could change the outcome: policy, model, question and seed. `right` is None where
    there was an `error`: a failure is neither right nor wrong. `usage` and `cost` (USD, None when unknown) are
    all that was spent on it, cancelled calls, probes and verifications included; `seconds` is wall clock.
    """

    key: str
    policy: str
    index: int
    difficulty: int
    right: bool | None
    usage: Usage = Usage()
    cost: Decimal | None = Decimal(0)
    seconds: float = 0.0
    answer: str = ""
    stop_reason: str = ""
    error: str = ""

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.usage.total_tokens

    @property
    def computed(self) -> int:
        """Tokens but for those read from a cache."""
        return self.usage.total_tokens - self.usage.cached_tokens


class Journal:
    """Outcomes by key, kept in a file of JSON lines where one is given; the latest of a key counts.

    A last line that was cut off in mid-write is dropped. Raises InvalidRequest for a file of anything else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._known: dict[str, Outcome] = {}
        self._file: IO[str] | None = None
        if path is not None:
            self._file = self._opened(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def known(self) -> Mapping[str, Outcome]:
        return self._known

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome; it is in the file when this returns."""
        self._known[outcome.key] = outcome
        if self._file is not None:
            self._file.write(_OUTCOME.dump_json(outcome).decode() + "\n")
            self._file.flush()

    def _opened(self, path: Path) -> IO[str]:
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            whole = text[: text.rfind("\n") + 1]
            if text and not whole:
                raise InvalidRequest("json", str(path), "a file of an evaluation, or none yet, is expected")
            self._known.update((outcome.key, outcome) for outcome in _outcomes(path, whole))
            file = path.open("a", encoding="utf-8")
            file.truncate(len(whole.encode()))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest("json", str(path), f"the file cannot be used: {error}") from error
        return file


def _outcomes(path: Path, text: str) -> Iterator[Outcome]:
    for number, line in enumerate(text.split("\n")[:-1], 1):
        try:
            yield _OUTCOME.validate_json(line)
        except ValidationError as error:
            raise InvalidRequest(f"{path}:{number}", line, "a line of an evaluation is expected") from error


_OUTCOME = TypeAdapter(Outcome)
