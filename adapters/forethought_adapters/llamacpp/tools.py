"""Tool calls in what a model writes, told from text while it is written."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from forethought.errors import InvalidRequest
from forethought.thinking import overlap
from forethought.wire import JSON, is_array, is_object

from .calls import Call, Found, find_calls, find_named


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a family writes calls: from `open` to `close`, or to the end of the answer where that is empty.

    `bare` says that an answer which is nothing but calls may leave the mark out, `short` is another spelling of
    the mark, within the first one. `header` ends what follows the mark and begins with the name of the function.
    """

    open: str
    close: str = ""
    bare: bool = False
    short: str = ""
    header: str = ""


HERMES = Syntax("<tool_call>", "</tool_call>")
LLAMA = Syntax("<|python_tag|>", bare=True)
MISTRAL = Syntax("[TOOL_CALLS]")
CHANNEL = Syntax("<|channel|>commentary to=functions.", short="to=functions.", header="<|message|>")


def syntax_of(template: str) -> Syntax | None:
    """The syntax that the source of a chat template speaks of, None where it is none of these."""
    if "ipython" in template:  # the role of tools in every Llama 3; not all of them mention the mark
        return LLAMA
    if "<|channel|>commentary" in template:
        return CHANNEL
    return next((syntax for syntax in (HERMES, LLAMA, MISTRAL) if syntax.open in template), None)


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools a request offers, by name, and how the model calls them.

    `texts` are their parameters that are strings, by tool and name.
    """

    syntax: Syntax
    names: frozenset[str]
    texts: frozenset[tuple[str, str]] = frozenset()


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
    if syntax is None or not tools:
        return None
    texts = frozenset((_name(tool), name) for tool in tools for name in _texts(tool))
    return Tools(syntax, frozenset(map(_name, tools)), texts)


def _name(tool: Any) -> str:
    name: Any = _inner(tool.get("function", tool) if is_object(tool) else None, "name")
    return name if isinstance(name, str) else ""


def _texts(tool: Any) -> Iterator[str]:
    properties: Any = _inner(_inner(_inner(tool, "function"), "parameters"), "properties")
    for name, schema in properties.items() if is_object(properties) else ():
        kind: Any = _inner(schema, "type")
        if kind == "string" or (is_array(kind) and "string" in kind):
            yield name


def _inner(value: Any, name: str) -> Any:
    return value.get(name) if is_object(value) else None


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
        mark, short = self._tools.syntax.open, self._tools.syntax.short
        place, tail = self.held.find(mark), overlap(self.held, mark)
        if short and (nearer := self.held.find(short)) >= 0 and (place < 0 or nearer < place):
            mark, place = short, nearer
        end = place if place >= 0 else len(self.held) - max(tail, overlap(self.held, short))
        text = self.held[:end].rstrip()
        self.held = self.held[len(text) :]
        self._after_call = self._after_call and not text
        return text, None if place < 0 else place - len(text) + len(mark)

    def _give_up(self, start: int) -> str:
        """What stands before `start` is text."""
        self._bare = self._after_call = False
        text, self.held = self.held[:start], self.held[start:]
        return text

    def _calls(self, start: int, *, final: bool) -> Found | None:
        syntax = self._tools.syntax
        if syntax.header:
            return find_named(self.held, start, syntax.header) if final else None
        found = find_calls(self.held, start, syntax.close, final=final, texts=self._tools.texts)
        if found is not None:
            strangers = {call.name for call in found.calls} - self._tools.names
            if not found.calls or (self._bare and strangers):
                raise ValueError("no calls of these tools")
        return found

    def _piece(self, call: Call) -> JSON:
        # Mistral's templates insist on ids of nine letters and digits, and nobody else minds.
        piece = {"index": self._count, "id": uuid.uuid4().hex[:9], "type": "function", "function": call._asdict()}
        self._count += 1
        return piece


_HEAD = re.compile(r'\s*\{\s*(?:\Z|"(?:[^"]*\Z|(?P<key>[^"]*)"))')
_KEYS = frozenset({"name", "type", "function", "id", "arguments", "parameters"})
