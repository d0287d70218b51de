"""JSON schemas as grammars: whatever such a grammar lets through conforms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forethought.thinking import THINK, Phase
from forethought_adapters.llamacpp.gate import Gate
from forethought_adapters.llamacpp.grammar import Grammar
from forethought_adapters.llamacpp.native import Model
from forethought_adapters.llamacpp.options import Options
from forethought_adapters.llamacpp.rules import Sampling
from forethought_adapters.llamacpp.sampling import Sampler
from forethought_adapters.llamacpp.schema import UnsupportedSchema, grammar_of

LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 2, "maxLength": 4},
        {"type": "string", "format": "date"},
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "uuid"},
        {"type": "integer"},
        {"type": "integer", "minimum": 1},
        {"type": "integer", "minimum": -2, "maximum": 12},
        {"type": "number", "description": "any at all"},
        {"type": ["boolean", "null"]},
        {"const": 'a "quoted" \\ line\nbreak'},
        {"enum": ["a", 'b"', "ü", "\ud800", 5, None, {"x": [1.5]}]},
        {"type": "integer", "enum": [1, 2, "three"]},
        {"type": "array", "maxItems": 0, "items": {"type": "null"}},
        {"$ref": "#/$defs/list"},
    ]
)
NAMES = st.text('ab"\\ü\n', min_size=1, max_size=3)


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def an_object(properties: dict[str, Any], required: int) -> Any:
        return {"type": "object", "properties": properties, "required": [*properties][:required]}

    def an_array(items: Any, low: int, more: int | None) -> Any:
        ends = {} if more is None else {"maxItems": low + more}
        return {"type": "array", "items": items, "minItems": low, **ends}

    return st.one_of(
        st.builds(an_object, st.dictionaries(NAMES, inner, max_size=4), st.integers(0, 4)),
        st.builds(an_array, inner, st.integers(0, 3), st.integers(0, 2) | st.none()),
        st.fixed_dictionaries({"type": st.just("object"), "additionalProperties": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
    )


SCHEMAS = st.recursive(LEAVES, composed, max_leaves=6)
DEFINITIONS = {
    "$defs": {
        "list": {"type": "object", "properties": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/list"}]}}}
    }
}


@pytest.fixture(scope="module")
def model(model_file: Path) -> Iterator[Model]:
    """The random model, of whom only the vocabulary is wanted."""
    opened = Model(Options(path=model_file, name="tiny", n_threads=1), slots=2)
    yield opened
    opened.close()


def written(model: Model, schema: Any, seed: int, most: int = 400) -> str | None:
    """A text drawn at random from all that the grammar lets through, None where it does not end in time."""
    gate = Gate(Grammar(grammar_of(schema), "response_format"), model, THINK, Phase.ANSWERING)
    sampler = Sampler(Sampling(seed=seed, temperature=3.0), gate=gate)
    row = np.random.default_rng(seed).normal(0, 1, model.vocabulary).astype(np.float32)
    for letter in '",}]\\':
        row[model.tokenize(letter)] += 4
    text = b""
    for _ in range(most):
        picked = sampler.pick(row)
        assert picked, f"nothing can follow {text!r}"
        if model.is_end(picked.token):
            gate.close()
            return text.decode()
        text += model.piece(picked.token, special=False)
    gate.close()
    return None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SCHEMAS, st.integers(0, 1000))
def test_what_the_grammar_lets_through_conforms(model: Model, schema: Any, seed: int) -> None:
    """A text that ends by itself parses as JSON and validates against the schema."""
    whole = {**schema, **DEFINITIONS}
    text = written(model, whole, seed)
    if text is not None:
        jsonschema.validate(json.loads(text), whole, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "string", "pattern": "^a$"}, "pattern"),
        ({"type": "object", "properties": {"a": {"type": "number", "minimum": 3}}}, "#.a"),
        ({"type": "integer", "minimum": 2}, "minimum"),
        ({"type": "animal"}, "animal"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "maxLength is below minLength"),
        ({"type": "array", "maxItems": 100_000}, "maxItems"),
        ({"$ref": "https://example.org/schema"}, "points elsewhere"),
        ({"$ref": "#/$defs/none"}, "points to nothing"),
        ({"anyOf": []}, "anyOf"),
        ({"allOf": [{"type": "string"}, {"const": "a"}]}, "allOf"),
        ({"type": "string", "enum": [1]}, "no value"),
        ({"anyOf": [{"type": "null"}], "minLength": 1}, "minLength"),
        ({"properties": [1]}, "properties"),
        ({"required": [5]}, "required"),
        ({"items": 5}, "#.items"),
    ],
)
def test_what_cannot_be_held_to_is_refused(schema: Any, told: str) -> None:
    """A keyword that no grammar of ours holds to is refused by its name and place, never dropped."""
    with pytest.raises(UnsupportedSchema, match=told):
        grammar_of(schema)


KEYWORDS = ["type", "properties", "items", "enum", "anyOf", "$ref", "required", "minItems", "additionalProperties"]
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS) | st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSONS)
def test_any_json_is_a_schema_or_refused(model: Model, schema: Any) -> None:
    """Whatever stands for a schema becomes a grammar that llama.cpp reads, or is refused in words."""
    try:
        grammar = grammar_of(schema)
    except UnsupportedSchema:
        return
    automaton = model.automaton(grammar)
    assert automaton is not None
    automaton.close()
