"""Finds the answer in what a model wrote, by the strongest sign there is."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from ..wire import JSON, Completion
from .notation import tidy

_TAIL = 50_000
"""Characters at the end of a text in which an answer is looked for."""


def extract(said: Completion | str, question: str | None = None) -> str:
    r"""The answer in `said`, or "" where there is none; never raises, linear in the length.

    Tool calls are answered as canonical JSON of names and sorted arguments. In a text, thinking in
    `<think>` tags is left out, and an unfinished thought has no answer but one in `<answer>` tags; then the
    first of these that is there: the whole text where it is JSON, the last `\boxed{…}`, the last
    `<answer>…</answer>`, `#### 72` at the end of a line, the last "the answer is …", a closing formula, the
    last fenced block, JSON at the end, the last line.

    `question` is only read for what form is asked for: with options (A), (B), … an answer that begins with
    an option is its letter; where a percentage is asked for, the answer goes without its percent sign.
    """
    if isinstance(said, str):
        return _asked(_in_text(said), question)
    return _calls(said.tool_calls) if said.tool_calls else _asked(_in_text(said.text), question)


def _in_text(text: str) -> str:
    text = _after_thinking(text).strip()
    if not text:
        return ""
    tail = text[-_TAIL:]
    prose = _FENCE.sub("\n", tail)
    return (
        (text if _is_json(text) else "")
        or _boxed(tail)
        or _last(_TAGGED, prose)
        or _last(_HASHES, prose)
        or _cued(prose)
        or _last(_DISPLAY, prose)
        or _fenced(tail)
        or _closing_json(tail)
        or _trim(tail.rsplit("\n", 1)[-1])
    )


def _after_thinking(text: str) -> str:
    _, closed, after = text.rpartition("</think>")
    if closed:
        return after
    return _last(_TAGGED, text[-_TAIL:]) if text.lstrip().startswith("<think>") else text


def _boxed(text: str) -> str:
    """The content of the box that closes last, braces balanced."""
    opened: list[int] = []
    found = ""
    for token in _BRACE.finditer(text):
        if token[0] == "}" and opened:
            start = opened.pop()
            found = (start >= 0 and text[start : token.start()].strip()) or found
        elif token[0] == "{":
            opened.append(-1)
        elif len(token[0]) > 2:
            opened.append(token.end())
    return found


def _last(pattern: re.Pattern[str], text: str) -> str:
    found = (_trim(match[1]) for match in reversed([*pattern.finditer(text)]))
    return next(filter(None, found), "")


def _cued(text: str) -> str:
    """What follows the last cue: the rest of its line, or the next line that says something."""
    found = (_begun(text[cue.end() : cue.end() + 2_000]) for cue in reversed([*_CUE.finditer(text)]))
    return next(filter(None, found), "")


def _begun(text: str) -> str:
    """The answer with which `text` begins, up to the end of its sentence or line."""
    line = text.lstrip(" \t\r\n:*_").split("\n", 1)[0]
    return _trim(_SENTENCE_END.split(line, maxsplit=1)[0])


def _trim(text: str) -> str:
    """One answer without the markdown, the full stop and the dollar signs around it."""
    text = text.strip().strip("*").strip()
    inline = _INLINE_MATH.match(text)
    text = inline[1] or inline[2] if inline else text
    if len(text) > 1 and text[0] == text[-1] == "`":
        text = text.strip("`")
    return text.removesuffix(".").strip("*").strip()


def _fenced(text: str) -> str:
    blocks = [match[1].strip("\n") for match in _FENCE.finditer(text)]
    return next((block for block in reversed(blocks) if block.strip()), "")


def _is_json(text: str) -> bool:
    if (text[0], text[-1]) not in (("{", "}"), ("[", "]")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _closing_json(text: str) -> str:
    """The JSON value that begins at the start of a line and ends with the text."""
    if text[-1] not in "}]":
        return ""
    starts = [match.start(1) for match in _JSON_START.finditer(text)]
    return next((text[start:] for start in starts[:20] if _is_json(text[start:])), "")


def _calls(calls: tuple[JSON, ...]) -> str:
    return json.dumps([_call(call) for call in calls], sort_keys=True, ensure_ascii=False, default=str)


def _call(call: JSON) -> dict[str, Any]:
    function: JSON = call.get("function") or {}
    arguments = function.get("arguments") or "{}"
    with suppress(ValueError, RecursionError):
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    return {"name": function.get("name") or "", "arguments": arguments}


def _asked(answer: str, question: str | None) -> str:
    """The answer in the form that the question asks for."""
    if not question or len(answer) > 1_000:
        return answer
    question = question[-_TAIL:]
    options = {match[1] or match[2] for match in _OPTION.finditer(question)}
    if {"A", "B"} <= options:
        letter = _LETTER.match(tidy(answer))
        chosen = (letter[1] or letter[2]).upper() if letter else ""
        return chosen if chosen in options else answer
    if _PERCENTAGE.search(question):
        return re.sub(r"\s*\\?%\s*$", "", answer)
    return answer


_BRACE = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{|\\.|[{}]", re.DOTALL)
_TAGGED = re.compile(r"<answer>([^<]{1,2000})</answer>", re.IGNORECASE)
_HASHES = re.compile(r"####[ \t]{1,3}([-+]?[$€£]?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?)[ \t]*(?=\n|\Z)")
_CUE = re.compile(
    r"\bfinal\s{1,3}answer[*_ :]{0,5}\n"
    r"|\banswer(?:\s{1,3}to\s[^\n.:]{1,80}?)?[*_]{0,3}(?:\s{1,3}(?:is|would be|must be)\b|\s{0,3}[:=])",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=\w{3})\.\s+(?=[A-Z])|(?<=[\d)}$*])\.\s+")
_INLINE_MATH = re.compile(r"\$([^$\n]+)\$(?!\w)(?=[^$]*$)|\\\((.{1,300}?)\\\)(?!.{0,300}\\\()")
_DISPLAY = re.compile(r"(?:\\\[|\$\$)(.{1,400}?)(?:\\\]|\$\$)[\s.]{0,9}\Z", re.DOTALL)
_FENCE = re.compile(r"^[ \t]{0,3}```[^\n`]*\n(.*?)^[ \t]{0,3}```[ \t]*$", re.DOTALL | re.MULTILINE)
_JSON_START = re.compile(r"^\s{0,9}([{\[])", re.MULTILINE)
_OPTION = re.compile(r"(?:^|[\s,;])(?:\(([A-J])\)|([A-J])[.):])\s")
_LETTER = re.compile(r"\(([A-Ja-j])\)|([A-Ja-j])(?:[.):]|\s*$)")
_PERCENTAGE = re.compile(r"\bpercent(?:age)?\b|\bper cent\b", re.IGNORECASE)
