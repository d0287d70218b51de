"""What stands between the marks of tool calls: JSON, or a tag for each parameter."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, NamedTuple, NoReturn, cast

from forethought.wire import is_array, is_object


class Call(NamedTuple):
    """A call; `arguments` is a JSON object, as a string."""

    name: str
    arguments: str


class Found(NamedTuple):
    """Calls, and where in the text they end."""

    calls: list[Call]
    end: int


def find_calls(
    text: str, start: int, close: str, *, final: bool, texts: Collection[tuple[str, str]] = ()
) -> Found | None:
    """The calls from `start` to `close`, or to the end of the text where that is empty.

    None while more text may tell; with `final` none will come, and the closing mark may be missing. `texts` are
    the parameters, by function and name, that are strings: a tag does not say what its value is. Raises
    ValueError or RecursionError where there are no calls.
    """
    start = _skip(text, start)
    if close and text.startswith(_FUNCTION[: len(text) - start], start):
        return _find_tags(text, start, close, final, texts)
    if text[start : start + 1] not in ("", "{", "["):
        raise ValueError("no object")
    if not final and not (close and text.find(close, start) >= 0):
        return None
    return _find_json(text, start, close, final)


def find_named(text: str, start: int, header: str) -> Found:
    """The one call that ends the text: a name at `start`, and its arguments after `header`; raises as above."""
    name, place = _NAME.match(text, start), text.find(header, start)
    if name is None or place < 0:
        raise ValueError("no name")
    return Found([_call({"name": name[0], "arguments": text[place + len(header) :]})], len(text))


def _find_json(text: str, end: int, close: str, final: bool) -> Found | None:
    """Objects, or lists of them, one after the other."""
    calls: list[Call] = []
    while True:
        try:
            value, end = _DECODER.raw_decode(text, end)
        except json.JSONDecodeError as error:
            if final or not _unfinished(error):
                raise
            return None
        calls += map(_call, value if is_array(value) else [value])
        end = _skip(text, end)
        rest = text[end : end + len(close)]
        if rest == close and (close or end == len(text)):
            return Found(calls, end + len(close))
        if close.startswith(rest) and end + len(rest) == len(text):
            return Found(calls, len(text)) if final else None


def _find_tags(text: str, start: int, close: str, final: bool, texts: Collection[tuple[str, str]]) -> Found | None:
    """One call in the spelling of Qwen3-Coder and its kin."""
    ending = re.compile(rf"{_END_FUNCTION}\s*({re.escape(close)}{'|$' if final else ''})").search(text, start)
    if ending is None:
        if final:
            raise ValueError("no end")
        return None
    head = _HEAD.match(text, start)
    if head is None:
        raise ValueError("no name")
    arguments: dict[str, Any] = {}
    place = head.end()
    while (parameter := _PARAMETER.match(text, place, ending.start())) is not None:
        name, value = parameter["name"], parameter["value"]
        arguments[name] = value if (head["name"], name) in texts else _value(value)
        place = parameter.end()
    if place != ending.start():
        raise ValueError("no parameter")
    return Found([Call(head["name"], _spelled(arguments))], ending.end())


def _value(text: str) -> Any:
    """What a parameter that is no string stands for; the text where it stands for nothing else."""
    if text in _PYTHON:
        return _PYTHON[text]
    try:
        return _DECODER.decode(text)
    except ValueError:
        return text


def _call(value: Any) -> Call:
    """The call that a JSON value describes, or ValueError."""
    function: Any = value.get("function", value) if is_object(value) else None
    name: Any = function.get("name") if is_object(function) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("no name")
    arguments: Any = function.get("arguments", function.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = _DECODER.decode(arguments)
    if not is_object(arguments):
        raise ValueError("no arguments")
    return Call(name, _spelled(arguments))


def _spelled(arguments: Any) -> str:
    spelled = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    spelled.encode()  # half a surrogate pair cannot be sent to anybody
    return spelled


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
_FUNCTION, _END_FUNCTION = "<function=", "</function>"
_HEAD = re.compile(rf"{_FUNCTION}(?P<name>{_NAME.pattern})>\s*")
_PARAMETER = re.compile(
    r"<parameter=(?P<name>[^<>\n]+)>\n?(?P<value>.*?)\n?</parameter>\s*(?=<parameter=|\Z)", re.DOTALL
)
_PYTHON = {"True": True, "False": False, "None": None}
