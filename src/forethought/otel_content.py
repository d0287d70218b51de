"""Messages of the chat wire, in the form that OpenTelemetry's GenAI conventions give to content."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .wire import JSON, text_of


def input_messages(messages: Iterable[JSON]) -> list[dict[str, Any]]:
    """Wire messages as `{"role", "parts": [...]}`."""
    return [{"role": str(message.get("role", "")), "parts": list(_parts(message))} for message in messages]


def output_messages(messages: Iterable[JSON], finish_reason: str) -> list[dict[str, Any]]:
    """Wire assistant messages, each with why it ended."""
    return [{**message, "finish_reason": finish_reason} for message in input_messages(messages)]


def _parts(message: JSON) -> Iterator[dict[str, Any]]:
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if reasoning:
        yield {"type": "reasoning", "content": str(reasoning)}
    text = text_of(message)
    if message.get("role") == "tool":
        yield {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": text}
    elif text:
        yield {"type": "text", "content": text}
    for call in message.get("tool_calls") or ():
        function: Mapping[str, Any] = call.get("function") or {}
        arguments = _parsed(function.get("arguments"))
        yield {"type": "tool_call", "id": call.get("id"), "name": function.get("name"), "arguments": arguments}


def _parsed(arguments: object) -> object:
    """Arguments as the object they spell; as they came where they spell none."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
