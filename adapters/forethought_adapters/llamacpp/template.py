"""From messages to the text a model continues: the chat template of the GGUF, and what was already said."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from typing import Any, NoReturn, cast

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from forethought.errors import InvalidRequest
from forethought.thinking import Phase, Tags
from forethought.wire import JSON, Prefix, Request

from .guard import Marks
from .messages import Form
from .tools import Tools, offered, reading, syntax_of

NO_MARKS = Marks()

_STUMBLES = (
    jinja2.TemplateError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


_ABSENT = {"tools": None, "documents": None}


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text to continue, in which phase its continuation begins, and the tools it may call.

    No token may reach across a CUT in the text.
    """

    text: str
    phase: Phase = Phase.BEFORE
    tools: Tools | None = None


class ChatTemplate:
    """A compiled chat template, rendered in a sandbox as Hugging Face's `apply_chat_template` does.

    `known_tags` says that the model has the reasoning tags in its vocabulary, `marks` what it takes for special
    tokens: only the template writes them. Raises `jinja2.TemplateError` where `source` is no template.
    """

    def __init__(
        self,
        source: str,
        *,
        bos: str = "",
        eos: str = "",
        tags: Tags,
        known_tags: bool = False,
        marks: Marks = NO_MARKS,
    ) -> None:
        self._source = source
        self._template = _environment().from_string(source)
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self.tags = tags
        self._writes_tags = known_tags or tags.open in source
        self._opening, self._closing = _spelling(source, tags)
        self._marks = marks
        self._syntax = syntax_of(source)
        self._form = self._fitting_form()

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which compiles it again."""
        return {name: value for name, value in vars(self).items() if name != "_template"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _template=_environment().from_string(state["_source"]))

    def render(self, request: Request) -> Rendered:
        """The prompt of `request` with its prefix; raises InvalidRequest where the template refuses it."""
        tools = offered(request.params)
        if tools and self._syntax is None:
            raise InvalidRequest("tools", tools, "the chat template of this model speaks of no calls that can be read")
        guard = self._marks.guard_all
        try:
            fields = {
                **self._tokens,
                **_ABSENT,
                "add_generation_prompt": True,
                **guard(_variables(request.params)),
                "messages": self._form.of(request.messages),
                "tools": guard(tools) or None,
            }
            text = self._template.render(fields)
        except _STUMBLES as error:
            # A template is a program of the model's maker: whatever it stumbles over is in the messages.
            raise InvalidRequest("messages", list(request.messages), f"the chat template refuses: {error}") from error
        return replace(self._continue(text, request.prefix), tools=reading(self._syntax, tools))

    def _fitting_form(self) -> Form:
        """The first form in which the template writes a call neither stumbling nor in the spelling of Python."""
        call: JSON = {"id": "a" * 9, "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
        messages: list[JSON] = [
            {"role": "user", "content": "?"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a" * 9, "content": "!"},
            {"role": "assistant", "content": "!"},
            {"role": "user", "content": "?"},
        ]
        forms = [Form(self._marks, self.tags, *choice) for choice in product((True, False), repeat=2)]
        for form in forms:
            with suppress(*_STUMBLES):
                text = self._template.render(self._tokens, messages=form.of(messages), **_ABSENT)
                if not ("{'x'" in text or "None" in text):
                    return form
        return Form(self._marks, self.tags)

    def _continue(self, text: str, prefix: Prefix | None) -> Rendered:
        stands = self._standing(text)
        if prefix is None:
            return Rendered(text, stands)
        if stands is Phase.ANSWERING and (prefix.reasoning or prefix.thinking):
            text = text[: text.rindex(self.tags.open)]  # reopen the empty thought that the template has written
            stands = Phase.BEFORE
        said = self._thought(prefix, stands)
        if prefix.thinking:
            opened = stands is Phase.THINKING or bool(said)
            return Rendered(text + said, Phase.THINKING if opened else Phase.BEFORE)
        return Rendered(text + said + self._marks.guard(prefix.answer), Phase.ANSWERING)

    def _thought(self, prefix: Prefix, stands: Phase) -> str:
        """The thinking of `prefix` with the tags that `stands` leaves to write; nothing for a model without."""
        if stands is Phase.ANSWERING or not (prefix.reasoning or self._writes_tags or stands is Phase.THINKING):
            return ""
        if self.tags.answer and stands is Phase.BEFORE and not (prefix.reasoning or prefix.thinking):
            return self.tags.answer
        opening = "" if stands is Phase.THINKING else self._opening
        closing = self._closing.lstrip("\n") if prefix.reasoning.endswith("\n") else self._closing
        return opening + self._marks.guard(prefix.reasoning) + ("" if prefix.thinking else closing)

    def _standing(self, text: str) -> Phase:
        """Some templates open the thinking themselves, some write an empty thought to forbid it."""
        end = text.rstrip()
        if end.endswith(self.tags.open):
            return Phase.THINKING
        empty = end.endswith(self.tags.close) and end.removesuffix(self.tags.close).rstrip().endswith(self.tags.open)
        return Phase.ANSWERING if empty else Phase.BEFORE


def _spelling(source: str, tags: Tags) -> tuple[str, str]:
    """The tags with the line ends that the template writes around a thought, because the model writes them too."""
    ends, start, end = r"((?:\\n|\n)*)", re.escape(tags.open), re.escape(tags.close)
    source = re.sub(start + ends + end, "", source)  # an empty thought is spelled differently
    openings = [tags.open, *(found[0] for found in re.finditer(start + ends, source))]
    closings = [tags.close, *(found[0] for found in re.finditer(ends + end + ends, source))]
    opening, closing = (max(spelled, key=len).replace("\\n", "\n") for spelled in (openings, closings))
    return opening, closing + tags.answer


class _Generation(Extension):
    """`{% generation %}` marks what the assistant wrote, for training; here it is no more than what it holds."""

    tags = {"generation"}  # noqa: RUF012 - jinja declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _environment() -> ImmutableSandboxedEnvironment:
    extensions = [loopcontrols, _Generation]
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    environment.filters["tojson"] = _to_json
    functions: dict[str, Any] = {"raise_exception": _raise, "strftime_now": _now}
    environment.globals.update(functions)
    return environment


def _to_json(value: Any, indent: int | None = None, ensure_ascii: bool = False, **options: Any) -> str:
    """Unlike jinja's own filter, without HTML escapes: a prompt is no web page."""
    return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, **options)


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
