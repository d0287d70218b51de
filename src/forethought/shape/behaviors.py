"""A behavior: one line on how to think that has helped before; and the TOML file that people keep behaviors in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import tomli_w
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..errors import InvalidPolicy
from ..toml_lines import line_of, syntax_error
from ..wire import is_array, is_object

State: TypeAlias = Literal["quarantined", "active", "retired"]

INSTRUCTION_LENGTH = 300
"""Characters: an instruction is one line, and every question that it is served to pays for it."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_FILE_SIZE = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """A named instruction (Metacognitive Reuse, arXiv 2509.13237), with where it came from and what it has earned.

    `sources` are the problems it was drawn from and `origin` who drew it. `uses` are the problems it was tried
    on, `wins` those it won against thinking without it, and `tokens_saved` is the sum of what it saved on them,
    its own input counted. `version` counts what was learned about it. Only an active behavior is ever served.
    Raises InvalidPolicy for a name that is no word, or an instruction that is not one plain line.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    instruction: str
    topic: str = ""
    state: State = "quarantined"
    origin: str = ""
    sources: tuple[str, ...] = ()
    uses: int = 0
    wins: int = 0
    tokens_saved: int = 0
    version: int = 1

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidPolicy("name", self.name, "lower-case letters, digits and _ are expected, at most 60")
        if wrong := _wrong(self.instruction):
            raise InvalidPolicy("instruction", self.instruction, wrong)

    @property
    def active(self) -> bool:
        return self.state == "active"


def _wrong(instruction: str) -> str:
    """What is wrong with an instruction, or nothing. Delimiters of chat templates could open a turn of their own."""
    if not instruction.strip() or not instruction.isprintable():
        return "one line of text is expected"
    if len(instruction) > INSTRUCTION_LENGTH:
        return f"at most {INSTRUCTION_LENGTH} characters are expected"
    return "no delimiters of a chat template are expected" if re.search(r"<\||\|>|</?s>|\[/?INST]", instruction) else ""


_BEHAVIOR = TypeAdapter(Behavior)


def from_json(value: object) -> tuple[Behavior, ...]:
    """Read what `to_json` writes; raises InvalidPolicy naming the field. No two may have one name."""
    if not is_array(value):
        raise InvalidPolicy("behaviors", value, "a list of tables is expected")
    behaviors: dict[str, Behavior] = {}
    for index, each in enumerate(value):
        behavior = _read(f"behaviors[{index}]", each)
        if behavior.name in behaviors:
            raise InvalidPolicy(f"behaviors[{index}].name", behavior.name, "a name that no other has is expected")
        behaviors[behavior.name] = behavior
    return tuple(behaviors.values())


def _read(place: str, value: object) -> Behavior:
    try:
        return _BEHAVIOR.validate_python(value)
    except InvalidPolicy as wrong:
        raise InvalidPolicy(f"{place}.{wrong.field}", wrong.value, wrong.hint) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join([place, *map(str, first["loc"][:1])])
        raise InvalidPolicy(field, first["input"], first["msg"]) from None


def to_json(behaviors: Iterable[Behavior]) -> list[dict[str, Any]]:
    """Behaviors as JSON values; what has its default is left out, but for the state."""
    return [_dumped(behavior) for behavior in behaviors]


def from_toml(text: str, *, source: str = "handbook") -> tuple[Behavior, ...]:
    """Read `[[behaviors]]` tables; one without a `state` was written by hand and is active.

    Raises InvalidPolicy naming the field and its line in `source`.
    """
    try:
        table = tomllib.loads(text)
        if table.keys() - {"behaviors"}:  # of a file that is something else nothing is repeated
            raise InvalidPolicy("handbook", source, "a file of [[behaviors]] tables and nothing else is expected")
        found: Any = table.get("behaviors", [])
        return from_json([_by_hand(each) for each in found] if is_array(found) else found)
    except tomllib.TOMLDecodeError as error:
        raise syntax_error(error, text, source) from None
    except InvalidPolicy as wrong:
        line = line_of(text, wrong.field)
        raise InvalidPolicy(wrong.field, wrong.value, wrong.hint, source=source, line=line) from None


def to_toml(behaviors: Iterable[Behavior]) -> str:
    """A file that people can read and edit, and that `from_toml` reads back as the same behaviors."""
    return tomli_w.dumps({"behaviors": to_json(behaviors)})


def read(path: Path) -> tuple[Behavior, ...]:
    """Read a handbook file; raises InvalidPolicy where there is none or it is wrong."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_SIZE + 1)
        text = content.decode("utf-8")
    except (OSError, ValueError) as error:
        raise InvalidPolicy("book", str(path), "the file cannot be read as text") from error
    if len(content) > _FILE_SIZE:
        raise InvalidPolicy("book", str(path), f"at most {_FILE_SIZE} bytes are expected")
    return from_toml(text, source=str(path))


def _by_hand(value: Any) -> Any:
    return {"state": "active", **value} if is_object(value) else value


def _dumped(behavior: Behavior) -> dict[str, Any]:
    defaults = {f.name: f.default for f in fields(Behavior)}
    values = {name: value for name, value in asdict(behavior).items() if name == "state" or value != defaults[name]}
    return {**values, "sources": list(behavior.sources)} if behavior.sources else values
