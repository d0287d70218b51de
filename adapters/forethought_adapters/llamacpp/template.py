"""From messages to the text a model continues: the chat template of the GGUF, and what was already said."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, cast

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from forethought.errors import InvalidRequest
from forethought.thinking import Phase, Tags
from forethought.wire import JSON, Prefix, Request


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text to continue, and in which phase its continuation begins."""

    text: str
    phase: Phase = Phase.BEFORE


class ChatTemplate:
    """A compiled chat template, rendered in a sandbox as Hugging Face's `apply_chat_template` does.

    `known_tags` says that the model has the reasoning tags in its vocabulary. Raises `jinja2.TemplateError`
    where `source` is no template.
    """

    def __init__(self, source: str, *, bos: str = "", eos: str = "", tags: Tags, known_tags: bool = False) -> None:
        self._source = source
        self._template = _environment().from_string(source)
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._tags = tags
        self._writes_tags = known_tags or tags.open in source
        self._opening, self._closing = _spelling(source, tags)

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which compiles it again."""
        return {name: value for name, value in vars(self).items() if name != "_template"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _template=_environment().from_string(state["_source"]))

    def render(self, request: Request) -> Rendered:
        """The prompt of `request` with its prefix; raises InvalidRequest where the template refuses it."""
        fields = {
            **self._tokens,
            "messages": [_plain(index, message) for index, message in enumerate(request.messages)],
            "tools": request.params.get("tools") or None,
            "documents": None,
            "add_generation_prompt": True,
            **_variables(request.params),
        }
        try:
            text = self._template.render(fields)
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            # A template is a program of the model's maker: whatever it stumbles over is in the messages.
            raise InvalidRequest("messages", list(request.messages), f"the chat template refuses: {error}") from error
        return self._continue(text, request.prefix)

    def _continue(self, text: str, prefix: Prefix | None) -> Rendered:
        stands = self._standing(text)
        if prefix is None:
            return Rendered(text, stands)
        if stands is Phase.ANSWERING and (prefix.reasoning or prefix.thinking):
            text = text[: text.rindex(self._tags.open)]  # reopen the empty thought that the template has written
            stands = Phase.BEFORE
        said = self._thought(prefix, stands)
        if prefix.thinking:
            opened = stands is Phase.THINKING or bool(said)
            return Rendered(text + said, Phase.THINKING if opened else Phase.BEFORE)
        return Rendered(text + said + prefix.answer, Phase.ANSWERING)

    def _thought(self, prefix: Prefix, stands: Phase) -> str:
        """The thinking of `prefix` with the tags that `stands` leaves to write; nothing for a model without."""
        if stands is Phase.ANSWERING or not (prefix.reasoning or self._writes_tags or stands is Phase.THINKING):
            return ""
        opening = "" if stands is Phase.THINKING else self._opening
        closing = self._closing.lstrip("\n") if prefix.reasoning.endswith("\n") else self._closing
        return opening + prefix.reasoning + ("" if prefix.thinking else closing)

    def _standing(self, text: str) -> Phase:
        """Some templates open the thinking themselves, some write an empty thought to forbid it."""
        end = text.rstrip()
        if end.endswith(self._tags.open):
            return Phase.THINKING
        empty = end.endswith(self._tags.close) and end.removesuffix(self._tags.close).rstrip().endswith(self._tags.open)
        return Phase.ANSWERING if empty else Phase.BEFORE


def _spelling(source: str, tags: Tags) -> tuple[str, str]:
    """The tags with the line ends that the template writes around a thought, because the model writes them too."""
    ends, start, end = r"((?:\\n|\n)*)", re.escape(tags.open), re.escape(tags.close)
    source = re.sub(start + ends + end, "", source)  # an empty thought is spelled differently
    openings = [tags.open, *(found[0] for found in re.finditer(start + ends, source))]
    closings = [tags.close, *(found[0] for found in re.finditer(ends + end + ends, source))]
    opening, closing = (max(spelled, key=len).replace("\\n", "\n") for spelled in (openings, closings))
    return opening, closing


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    functions: dict[str, Any] = {"raise_exception": _raise, "strftime_now": _now}
    environment.globals.update(functions)
    return environment


def _to_json(value: Any, indent: int | None = None, **options: Any) -> str:
    """Unlike jinja's own filter, without HTML escapes: a prompt is no web page."""
    return json.dumps(value, ensure_ascii=False, indent=indent, **options)


def _now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _variables(params: JSON) -> dict[str, Any]:
    """The template variables of a request: effort, thinking switch, then whatever `chat_template_kwargs` says."""
    variables: dict[str, Any] = {}
    effort = params.get("reasoning_effort")
    if isinstance(effort, str):
        variables["reasoning_effort"] = effort
        if effort == "none":
            variables["enable_thinking"] = False
    if params.get("enable_thinking") is not None:
        variables["enable_thinking"] = bool(params["enable_thinking"])
    extra: Any = params.get("chat_template_kwargs") or {}
    if not isinstance(extra, Mapping):
        raise InvalidRequest("chat_template_kwargs", params["chat_template_kwargs"], "an object is expected")
    variables.update(cast("JSON", extra))
    return variables


def _plain(index: int, message: JSON) -> dict[str, Any]:
    """The message as templates expect it: content a string, `developer` as `system`, call arguments as objects."""
    plain = {**message, "content": _content(index, message.get("content"))}
    if plain.get("role") == "developer":
        plain["role"] = "system"
    if plain.get("tool_calls"):
        plain["tool_calls"] = [_call(call) for call in plain["tool_calls"]]
    return plain


def _content(index: int, content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list | tuple):
        raise InvalidRequest(f"messages[{index}].content", content, "a string or a list of text parts is expected")
    parts = enumerate(cast("list[Any]", content))
    return "".join(_text(f"messages[{index}].content[{place}]", part) for place, part in parts)


def _text(field: str, part: Any) -> str:
    try:
        if part["type"] in ("text", "input_text"):
            return str(part["text"])
    except (TypeError, KeyError):
        pass
    raise InvalidRequest(field, part, "this model reads text parts only")


def _call(call: Any) -> Any:
    try:
        function = call["function"]
        return {**call, "function": {**function, "arguments": json.loads(function["arguments"])}}
    except (TypeError, KeyError, ValueError):
        return call  # as the caller wrote it: the template may know what to do with it
