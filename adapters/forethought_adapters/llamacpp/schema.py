"""From a JSON schema to the GBNF grammar of texts that conform to it.

llama-cpp-python has such a converter, but lets line breaks into strings, breaks on quotes in an `enum`, confuses
definitions of one name and drops without a word what it does not know. This one refuses what it cannot hold to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from forethought.wire import JSON, is_array, is_object

MOST_REPEATED = 2000
"""What llama.cpp counts to: above it a bound is dropped, or refused."""
_MOST_LISTED = 500

_ANNOTATIONS = frozenset(
    (
        *("$schema", "$id", "$comment", "$defs", "definitions"),
        *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
    )
)
_KEYWORDS: Mapping[str, frozenset[str]] = {
    "object": frozenset(("properties", "required", "additionalProperties")),
    "array": frozenset(("items", "minItems", "maxItems")),
    "string": frozenset(("minLength", "maxLength", "format")),
    "integer": frozenset(("minimum", "maximum")),
    "number": frozenset[str](),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
}
_FORMATS = {"date": "date", "time": "time", "date-time": 'date "T" time', "uuid": "uuid"}


class UnsupportedSchema(ValueError):
    """A schema that no grammar of ours holds to; says where and why."""


def grammar_of(schema: object) -> str:
    """The grammar whose root conforms to `schema`; objects have no properties but those that are named.

    Properties come in the order of the schema, and `oneOf` is read as `anyOf`. Raises UnsupportedSchema.
    """
    grammar = _Grammar(schema)
    return f"root ::= {grammar.rule(schema, '#')}\n{grammar.text}{_PRIMITIVES}"


class _Grammar:
    """Rules gathered while a schema is walked; every rule is written once, so that nesting stays flat."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._names: dict[str, str] = {}
        self._refs: dict[str, str] = {}
        self._rules: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._rules)

    def rule(self, schema: object, path: str) -> str:
        """The name of the rule for `schema`, which stands at `path`."""
        if schema is True or schema == {}:
            return "value"
        if not is_object(schema):
            raise UnsupportedSchema(f"{path}: a schema is an object, this is {schema!r}")
        if "$ref" in schema:
            _allow(schema, path, "$ref")
            return self._ref(schema["$ref"], path)
        for keyword, kinds in (("const", ("type",)), ("enum", ("type",)), ("anyOf", ()), ("oneOf", ()), ("allOf", ())):
            if keyword in schema:
                _allow(schema, path, keyword, *kinds)
                return self._choice(keyword, schema, path)
        return self._typed(schema, path)

    def _add(self, body: str) -> str:
        name = self._names.get(body)
        if name is None:
            name = self._names[body] = f"r{len(self._names)}"
            self._rules.append(f"{name} ::= {body}\n")
        return name

    def _ref(self, ref: object, path: str) -> str:
        if not isinstance(ref, str) or not ref.startswith("#"):
            raise UnsupportedSchema(f"{path}: $ref {ref!r} points elsewhere; only definitions of this schema are read")
        if ref not in self._refs:
            name = self._refs[ref] = f"d{len(self._refs)}"
            self._rules.append(f"{name} ::= {self.rule(self._resolved(ref, path), ref)}\n")
        return self._refs[ref]

    def _resolved(self, ref: str, path: str) -> object:
        found = self._root
        for part in ref.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if not is_object(found) or key not in found:
                raise UnsupportedSchema(f"{path}: $ref {ref!r} points to nothing")
            found = found[key]
        return found

    def _choice(self, keyword: str, schema: JSON, path: str) -> str:
        if keyword == "const":
            return self._literals([schema["const"]], schema, path)
        options: Any = schema[keyword]
        if not is_array(options) or not options or (keyword == "allOf" and len(options) > 1):
            raise UnsupportedSchema(f"{path}.{keyword}: a list of at least one is expected, of exactly one for allOf")
        if keyword == "enum":
            return self._literals(options, schema, path)
        return self._add(" | ".join(self.rule(option, f"{path}.{keyword}") for option in options))

    def _literals(self, values: Iterable[object], schema: JSON, path: str) -> str:
        kinds = _kinds(schema, path) if "type" in schema else tuple(_KEYWORDS)
        fitting = [value for value in values if any(_is(value, kind) for kind in kinds)]
        if not fitting:
            raise UnsupportedSchema(f"{path}: no value is of its type")
        return self._add(" | ".join(_quoted(value) for value in fitting))

    def _typed(self, schema: JSON, path: str) -> str:
        kinds = _kinds(schema, path)
        known = frozenset[str]().union(*(_KEYWORDS[kind] for kind in kinds))
        _allow(schema, path, "type", *known)
        return self._add(" | ".join(self._kind(kind, schema, path) for kind in kinds))

    def _kind(self, kind: str, schema: JSON, path: str) -> str:
        if not _KEYWORDS[kind] & schema.keys():
            return kind
        if kind == "object":
            return self._object(schema, path)
        if kind == "array":
            return self._array(schema, path)
        return self._string(schema, path) if kind == "string" else self._integer(schema, path)

    def _object(self, schema: JSON, path: str) -> str:
        properties: Any = schema.get("properties", {})
        required: Any = schema.get("required", [])
        if not is_object(properties) or not is_array(required) or not all(isinstance(name, str) for name in required):
            raise UnsupportedSchema(f"{path}: properties is an object and required a list of names")
        extra = schema.get("additionalProperties", not properties)
        stated = {
            **properties,
            **{name: True if extra is False else extra for name in required if name not in properties},
        }
        first, rest = "", ""  # what may follow the brace, and what may follow a property
        if extra is not False and not stated:
            pair = self._add(f'string ":" ws {self.rule(extra, f"{path}.additionalProperties")}')
            first = self._add(f'({pair} ("," ws {pair})*)?')
        for name, value in reversed(stated.items()):
            pair = self._add(f'{_quoted(name)} ":" ws {self.rule(value, f"{path}.{name}")}')
            begun, going = f"{pair} {rest}", f'"," ws {pair}'
            if name in required:
                first, rest = self._add(begun), self._add(f"{going} {rest}")
            else:
                first, rest = (
                    self._add(f"{begun} | {first}" if first else f"({begun})?"),
                    self._add(f"({going})? {rest}"),
                )
        return self._add(f'"{{" ws {first} ws "}}"')

    def _array(self, schema: JSON, path: str) -> str:
        item = self.rule(schema.get("items", True), f"{path}.items")
        low, high = _bounds(schema, path, "minItems", "maxItems")
        if high == 0:
            return self._add('"[" ws "]"')
        more = f'("," ws {item}){{{max(0, low - 1)},{"" if high is None else high - 1}}}'
        return self._add(f'"[" ws {item} {more} ws "]"' if low else f'"[" ws ({item} {more})? ws "]"')

    def _string(self, schema: JSON, path: str) -> str:
        form = _FORMATS.get(str(schema.get("format")))
        low, high = _bounds(schema, path, "minLength", "maxLength")
        if form is None:
            return self._add(f'"\\"" char{{{low},{"" if high is None else high}}} "\\""')
        if (low, high) != (0, None):
            raise UnsupportedSchema(f"{path}: a length together with format {schema['format']!r} is not supported")
        return self._add(f'"\\"" {form} "\\""')

    def _integer(self, schema: JSON, path: str) -> str:
        low, high = schema.get("minimum"), schema.get("maximum")
        if isinstance(low, int) and isinstance(high, int) and 0 <= high - low < _MOST_LISTED:
            return self._add(" | ".join(f'"{value}"' for value in range(low, high + 1)))
        if high is None and low in (0, 1):
            return "natural" if low == 0 else "positive"
        hint = f"a minimum of 0 or 1 alone, or at most {_MOST_LISTED} integers from minimum to maximum"
        raise UnsupportedSchema(f"{path}: {hint} are supported, this is {low!r} to {high!r}")


def _kinds(schema: JSON, path: str) -> tuple[str, ...]:
    """The types of `schema`; where it names none, that which its keywords speak of."""
    stated: Any = schema.get("type") or [kind for kind, words in _KEYWORDS.items() if words & schema.keys()][:1]
    if not stated and not schema.keys() - _ANNOTATIONS:
        stated = list(_KEYWORDS)
    kinds: Any = stated if is_array(stated) and not isinstance(stated, str) else [stated]
    if not kinds or any(not isinstance(kind, str) or kind not in _KEYWORDS for kind in kinds):
        raise UnsupportedSchema(f"{path}: type {schema.get('type')!r} is none of {', '.join(_KEYWORDS)}")
    return tuple(kinds)


def _allow(schema: JSON, path: str, *known: str) -> None:
    for keyword in schema.keys() - _ANNOTATIONS - set(known):
        raise UnsupportedSchema(f"{path}: the keyword {keyword!r} is not supported here")


def _bounds(schema: JSON, path: str, lowest: str, highest: str) -> tuple[int, int | None]:
    for name in (lowest, highest):
        value = schema.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_REPEATED:
            raise UnsupportedSchema(
                f"{path}.{name}: an integer from 0 to {MOST_REPEATED} is expected, this is {value!r}"
            )
    low, high = schema.get(lowest, 0), schema.get(highest)
    if high is not None and high < low:
        raise UnsupportedSchema(f"{path}: {highest} is below {lowest}")
    return low, high


def _is(value: object, kind: str) -> bool:
    if isinstance(value, bool) or value is None:
        return kind == ("null" if value is None else "boolean")
    if isinstance(value, int | float):
        return kind == "number" or (kind == "integer" and float(value).is_integer())
    if isinstance(value, str):
        return kind == "string"
    return kind == ("object" if is_object(value) else "array")


def _quoted(value: object) -> str:
    """A GBNF literal of `value` as JSON, in its own letters where UTF-8 has them."""
    text = json.dumps(value, ensure_ascii=False)
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        text = json.dumps(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_PRIMITIVES = r"""
ws ::= | " " | "\n" [ \t]{0,20}
value ::= object | array | string | number | boolean | null
object ::= "{" ws (pair ("," ws pair)*)? ws "}"
pair ::= string ":" ws value
array ::= "[" ws (value ("," ws value)*)? ws "]"
string ::= "\"" char* "\""
char ::= [^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" ([0-9a-cA-CefEF] hex | [dD] [0-7]) hex hex)
hex ::= [0-9a-fA-F]
number ::= integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?
integer ::= "-"? natural
natural ::= "0" | positive
positive ::= [1-9] [0-9]{0,15}
boolean ::= "true" | "false"
null ::= "null"
date ::= [12] [0-9]{3} "-" (long "-" (day | "29" | "3" [01]) | short "-" (day | "29" | "30") | "02-" day)
long ::= "0" [13578] | "1" [02]
short ::= "0" [469] | "11"
day ::= "0" [1-9] | "1" [0-9] | "2" [0-8]
time ::= hour ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{3})? ("Z" | [-+] hour ":" [0-5] [0-9])
hour ::= [01] [0-9] | "2" [0-3]
uuid ::= hex{8} ("-" hex{4}){3} "-" hex{12}
"""
