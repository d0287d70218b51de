"""Tool calls in what a model writes, told from text while it is written."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, cast

from forethought.errors import InvalidRequest
from forethought.thinking import overlap
from forethought.wire import JSON, is_array, is_object


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a family writes calls: JSON from `open` to `close`, or to the end of the answer where that is empty.

    `bare` says that an answer which is nothing but calls may leave the mark out.
    """

    open: str
    close: str = ""
    bare: bool = False


HERMES = Syntax("<tool_call>", "</tool_call>")
LLAMA = Syntax("<|python_tag|>", bare=True)
MISTRAL = Syntax("[TOOL_CALLS]")


def syntax_of(template: str) -> Syntax | None:
    """The syntax that the source of a chat template speaks of, None where it is none of these."""
    if "ipython" in template:  # the role of tools in every Llama 3; not all of them mention the mark
        return LLAMA
    return next((syntax for syntax in (HERMES, LLAMA, MISTRAL) if syntax.open in template), None)


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools a request offers, by name, and how the model calls them."""

    syntax: Syntax
    names: frozenset[str]


def offered(params: JSON) -> list[Any]:
    """The tools that the model may call, none where `tool_choice` is "none".

    Raises InvalidRequest for what is no list of functions, and for a choice that could not be enforced.
    """
    tools: Any = params.get("tools") or ()
    choice: Any = params.get("tool_choice")
    if choice not in (None, "auto", "none"):
        raise InvalidRequest("tool_choice", choice, "this backend can only leave the choice to the model: 'auto'")
    if not is_array(tools):
        raise InvalidRequest("tools", tools, "a list of functions is expected")
    for index, tool in enumerate(tools):
        if not _name(tool):
            raise InvalidRequest(f"tools[{index}]", tool, "a function with a name is expected")
    return [] if choice == "none" else list(tools)


def reading(syntax: Syntax | None, tools: list[Any]) -> Tools | None:
    """What a CallReader needs to know; None where there are no calls to be read."""
    return Tools(syntax, frozenset(map(_name, tools))) if syntax and tools else None


def _name(tool: Any) -> str:
    function: Any = tool.get("function", tool) if is_object(tool) else None
    name: Any = function.get("name") if is_object(function) else None
    return name if isinstance(name, str) else ""


class Read(NamedTuple):
    """What has become readable: text, and the wire pieces of calls, each of which is a whole call."""

    text: str = ""
    calls: tuple[JSON, ...] = ()


class CallReader:
    """Tells the calls of one answer from its text; however that is cut into pieces, the sum is the same.

    A call comes out once it is closed, and what turns out to be none comes out as the text that it is. Blanks
    before a call, and those between a call and the end, belong to it. `held` is what may still become a call,
    `called` whether there was one.
    """

    __slots__ = ("_after_call", "_bare", "_count", "_tools", "held")

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._bare = tools.syntax.bare
        self._count = 0
        self._after_call = False
        self.held = ""

    @property
    def called(self) -> bool:
        return self._count > 0

    def feed(self, text: str) -> Read:
        """Take the next piece; returns what can be shown by now."""
        self.held += text
        return self._read(final=False)

    def flush(self) -> Read:
        """The answer has ended: a call that lacks nothing but its closing mark is one."""
        read = self._read(final=True)
        rest, self.held = self.held, ""
        return read if self._after_call and not rest.strip() else Read(read.text + rest, read.calls)

    def _read(self, *, final: bool) -> Read:
        shown, calls = "", list[JSON]()
        while self._ready(final=final):
            text, start = self._text()
            shown += text
            if start is None:
                break
            try:
                found = self._calls(start, final=final)
            except (ValueError, RecursionError):
                shown += self._give_up(start)
                continue
            if found is None:
                break
            calls += map(self._piece, found.calls)
            self.held = self.held[found.end :]
            self._after_call = True
        return Read(shown, tuple(calls))

    def _ready(self, *, final: bool) -> bool:
        """Whether reading can go on: while all of the answer may be calls, only its end shows that it is."""
        if not self._bare or not self.held.strip():
            return bool(self.held)
        head = _HEAD.match(self.held)
        self._bare = bool(head and (head["key"] is None or head["key"] in _KEYS))
        return final or not self._bare

    def _text(self) -> tuple[str, int | None]:
        """Text that is no call, taken off what is held, and where in the rest the JSON of calls would begin."""
        if self._bare:
            return "", 0
        mark = self._tools.syntax.open
        place = self.held.find(mark)
        end = place if place >= 0 else len(self.held) - overlap(self.held, mark)
        text = self.held[:end].rstrip()
        self.held = self.held[len(text) :]
        self._after_call = self._after_call and not text
        return text, None if place < 0 else place - len(text) + len(mark)

    def _give_up(self, start: int) -> str:
        """What stands before `start` is text."""
        self._bare = self._after_call = False
        text, self.held = self.held[:start], self.held[start:]
        return text

    def _calls(self, start: int, *, final: bool) -> _Found | None:
        """The calls that begin at `start`; None while that cannot be told, ValueError where there are none."""
        close, held = self._tools.syntax.close, self.held
        end = _skip(held, start)
        if held[end : end + 1] not in ("", "{", "["):
            raise ValueError("no object")
        if not final and not (close and held.find(close, end) >= 0):
            return None
        calls: list[Call] = []
        while True:
            try:
                value, end = _DECODER.raw_decode(held, end)
            except json.JSONDecodeError as error:
                if final or not _unfinished(error):
                    raise
                return None
            calls += map(_call, value if is_array(value) else [value])
            end = _skip(held, end)
            rest = held[end : end + len(close)]
            if rest == close and (close or end == len(held)):
                return self._checked(calls, end + len(close))
            if close.startswith(rest) and end + len(rest) == len(held):
                return self._checked(calls, len(held)) if final else None

    def _checked(self, calls: list[Call], end: int) -> _Found:
        strangers = {call.name for call in calls} - self._tools.names
        if not calls or (self._bare and strangers):
            raise ValueError("no calls of these tools")
        return _Found(calls, end)

    def _piece(self, call: Call) -> JSON:
        # Mistral's templates insist on ids of nine letters and digits, and nobody else minds.
        piece = {"index": self._count, "id": uuid.uuid4().hex[:9], "type": "function", "function": call._asdict()}
        self._count += 1
        return piece


class Call(NamedTuple):
    """A call; `arguments` is a JSON object, as a string."""

    name: str
    arguments: str


class _Found(NamedTuple):
    calls: list[Call]
    end: int


def _call(value: Any) -> Call:
    """The call that a JSON value describes, or ValueError."""
    if not _NAME.fullmatch(name := _name(value)):
        raise ValueError("no name")
    function: Any = value.get("function", value)
    arguments: Any = function.get("arguments", function.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = _DECODER.decode(arguments)
    if not is_object(arguments):
        raise ValueError("no arguments")
    spelled = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    spelled.encode()  # half a surrogate pair cannot be sent to anybody
    return Call(name, spelled)


def _unfinished(error: json.JSONDecodeError) -> bool:
    """Whether more text may mend it: the error is in the last word, or a string has no end yet."""
    return error.msg.startswith("Unterminated string") or error.pos > len(error.doc) - _LONGEST_WORD


def _skip(text: str, start: int) -> int:
    return cast("re.Match[str]", _BETWEEN.match(text, start)).end()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse)  # models write line ends into strings
_LONGEST_WORD = 16
_BETWEEN = re.compile(r"[;\s]*")
_NAME = re.compile(r"[\w.:/-]+")
_HEAD = re.compile(r'\s*\{\s*(?:\Z|"(?:[^"]*\Z|(?P<key>[^"]*)"))')
_KEYS = frozenset({"name", "type", "function", "id", "arguments", "parameters"})
