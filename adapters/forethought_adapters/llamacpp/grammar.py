"""The grammar that a request wants its answer held to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from forethought.errors import InvalidRequest
from forethought.wire import JSON, is_object

from .schema import MOST_REPEATED, UnsupportedSchema, grammar_of

_LONGEST = 100_000
_MOST_GROUPS = 2000
_SPELLED = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|#[^\r\n]*', re.DOTALL)
_BOUNDS = re.compile(r"(.?)\s*\{\s*(\d*)\s*,?\s*(\d*)\s*\}", re.DOTALL)
_MOST_COMPOSED = 200
"""Rules and groups that may be empty take time with the cube of their repetitions."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """A grammar in GBNF, and the field of the request that asks for it."""

    text: str
    field: str


def requested_grammar(params: JSON) -> Grammar | None:
    """The grammar of `grammar` (GBNF) or `response_format`; raises InvalidRequest naming the field.

    Whether a GBNF parses is known to llama.cpp alone; refused here is what would bring it down.
    """
    form, gbnf = params.get("response_format"), params.get("grammar")
    schema = _schema(form)
    if gbnf is None:
        return None if schema is None else Grammar(_converted(schema, form), "response_format")
    if schema is not None:
        raise InvalidRequest("grammar", gbnf, "either response_format or grammar is expected, not both")
    if not isinstance(gbnf, str) or not gbnf.strip() or "\0" in gbnf or not _encodable(gbnf):
        raise InvalidRequest("grammar", gbnf, "a grammar in GBNF is expected")
    trouble = _trouble(gbnf)
    if trouble:
        raise InvalidRequest("grammar", gbnf, trouble)
    return Grammar(gbnf, "grammar")


def _trouble(gbnf: str) -> str:
    """What in a grammar llama.cpp would not survive, empty where there is nothing of the kind.

    Its parser goes down with its stack, its tokens by name abort what accepts them, bounds that it cannot count
    to are dropped, and bounds the wrong way round, or on what is repeated already, keep it busy for ever.
    """
    bare = _SPELLED.sub(lambda spelled: " " if spelled[0].startswith("#") else "_", gbnf)
    if len(gbnf) > _LONGEST or bare.count("(") > _MOST_GROUPS:
        return f"at most {_LONGEST} characters and {_MOST_GROUPS} groups are read"
    if "<" in bare or "!" in bare:
        return "tokens by name, as in <think>, are not supported"
    for repeated, low, high in _BOUNDS.findall(bare):
        most = MOST_REPEATED if repeated == "_" else _MOST_COMPOSED
        if max(len(low), len(high)) > 4 or max(int(low or 0), int(high or 0)) > most:
            return f"letters are repeated up to {MOST_REPEATED} times, rules and groups up to {_MOST_COMPOSED}"
        if high and int(high) < int(low or 0):
            return f"the repetition {{{low},{high}}} is the wrong way round"
    return "a repetition of a repetition needs a rule of its own" if re.search(r"[?*+}]\s*[?*+{]", bare) else ""


def _schema(form: Any) -> Any:
    """The schema of a response format, None where it leaves the text free."""
    if form in (None, "text", {}):
        return None
    kind: Any = form.get("type") if is_object(form) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return form.get("schema") or {"type": "object"}
    named: Any = form.get("json_schema") if kind == "json_schema" else None
    if not is_object(named) or "schema" not in named:
        hint = "type text, json_object, or json_schema with a json_schema.schema is expected"
        raise InvalidRequest("response_format", form, hint)
    return named["schema"]


def _converted(schema: Any, form: Any) -> str:
    try:
        text = grammar_of(schema)
    except (UnsupportedSchema, RecursionError) as error:
        raise InvalidRequest("response_format", form, str(error)) from error
    if len(text) > _LONGEST:
        raise InvalidRequest("response_format", form, "the schema is too large")
    return text


def _encodable(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
