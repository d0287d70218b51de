"""Messages as chat templates expect them, and guarded against what they might be taken for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from forethought.errors import InvalidRequest
from forethought.thinking import Tags
from forethought.wire import JSON, is_array, is_object

from .guard import Marks


@dataclass(frozen=True, slots=True)
class Form:
    """How a template expects messages: guarded with `marks`, call arguments as objects where `parsed`, and the
    content of a message that has none as null where `null`, otherwise as an empty string."""

    marks: Marks
    tags: Tags
    parsed: bool = True
    null: bool = False

    def of(self, messages: Sequence[JSON]) -> list[dict[str, Any]]:
        """The messages with content a string, `developer` as `system`, reasoning under each of its names, and the
        results of tools named after the call; fields that are null are left out.

        Every text is guarded but for roles, and for the reasoning tags in what the assistant said, by which
        templates part it. Raises InvalidRequest for content that is not text.
        """
        names = dict(_names(messages))
        return [self._plain(f"messages[{index}]", each, names) for index, each in enumerate(messages)]

    def _plain(self, field: str, message: JSON, names: Mapping[str, str]) -> dict[str, Any]:
        role = message.get("role")
        plain = {name: value for name, value in message.items() if value is not None}
        calls: Any = plain.pop("tool_calls", None)
        if calls:
            plain["tool_calls"] = [_call(call, self.parsed) for call in calls] if is_array(calls) else calls
        content = _content(f"{field}.content", message.get("content"))
        reasoning: Any = message.get("reasoning_content") or message.get("reasoning")
        if reasoning:
            plain["reasoning_content"] = reasoning
            if not (calls and content):  # gpt-oss takes one of the two beside calls
                plain["thinking"] = reasoning
        name = names.get(str(message.get("tool_call_id")))
        if role == "tool" and name:
            plain["name"] = name
        guarded = self.marks.guard(content, spared=self.tags if role == "assistant" else ())
        role = "system" if role == "developer" else role
        return {
            **self.marks.guard_all(plain),
            "role": role,
            "content": None if self.null and calls and not content else guarded,
        }


def _names(messages: Iterable[JSON]) -> Iterator[tuple[str, str]]:
    calls: Any
    for calls in (message.get("tool_calls") for message in messages):
        for call in calls if is_array(calls) else ():
            function: Any = call.get("function") if is_object(call) else None
            if is_object(function):
                yield str(call.get("id")), str(function.get("name"))


def _content(field: str, content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list | tuple):
        raise InvalidRequest(field, content, "a string or a list of text parts is expected")
    parts = enumerate(cast("list[Any]", content))
    return "".join(_text(f"{field}[{place}]", part) for place, part in parts)


def _text(field: str, part: Any) -> str:
    try:
        if part["type"] in ("text", "input_text"):
            return str(part["text"])
    except (TypeError, KeyError):
        pass
    raise InvalidRequest(field, part, "this model reads text parts only")


def _call(call: Any, parsed: bool) -> Any:
    """A call with its arguments in the form that the template wants, or as it is where that cannot be."""
    try:
        function: JSON = call["function"]
        arguments: Any = function.get("arguments") or "{}"
        if isinstance(arguments, str):
            return {**call, "function": {**function, "arguments": json.loads(arguments) if parsed else arguments}}
        return call if parsed else {**call, "function": {**function, "arguments": json.dumps(arguments)}}
    except (TypeError, KeyError, ValueError, RecursionError):
        return call  # as the caller wrote it: the template may know what to do with it
